#include <criterion/criterion.h>

#include "base/arena.h"
#include "core/store.h"
#include "helpers.h"
#include "walk_help.h"

static struct epb_options options;
static struct epb_arena *arena;
static struct epb_quota quota;
static struct epb_store *store;
static struct epb_time now;

/* What the hooks were told and say. */
static char told[400];      /* "set key 1, del key 1" */
static const char *guarded; /* no value may be stored here, and its value not evicted */

static void
on_change(void *context, enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    static const char *const names[] = {"", "set", "del", "expire", "evict"};
    size_t length = strlen(told);

    cr_assert_eq(context, &options);
    snprintf(told + length, sizeof(told) - length, "%s%s %.*s %d",
             length == 0 ? "" : ", ", names[kind], (int)key.size_bytes,
             (const char *)key.data, (int)version);
}

static bool
is_free(struct epb_bytes key)
{
    return guarded == NULL || !bytes_equal(key, bytes_of(guarded));
}

static bool
may_store(void *context, struct epb_bytes key, const struct epb_time *time)
{
    cr_assert_eq(context, &options);
    cr_assert_eq(time, &now);
    return is_free(key);
}

static bool
may_evict(void *context, struct epb_bytes key)
{
    cr_assert_eq(context, &options);
    return is_free(key);
}

/* Options are set before, with options_default. */
static void
open_store(void)
{
    const struct epb_store_hooks hooks = {on_change, may_store, may_evict, &options};

    told[0] = '\0';
    guarded = NULL;
    arena = epb_arena_new(false);
    quota = (struct epb_quota){options.max_memory_bytes, 0};
    store = epb_store_new(&options, arena, &quota, &hooks);
    cr_assert_not_null(store);
    now = time_at(1000);
}

static void
setup(void)
{
    epb_options_default(&options);
}

static void
teardown(void)
{
    struct epb_mem_stats stats;

    epb_store_free(store);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 0, "the store gave everything back");
    cr_assert_eq(quota.used_bytes, 0);
    epb_arena_free(arena);
}

TestSuite(store, .init = setup, .fini = teardown);

static enum epb_status
try_set(const char *key, const char *value, uint64_t ttl_ms)
{
    const struct epb_write write = {
        .key = bytes_of(key), .value = bytes_of(value), .ttl_ms = ttl_ms};
    uint64_t version;

    return epb_store_set(store, &write, &now, &version);
}

static uint64_t
set(const char *key, const char *value, uint64_t ttl_ms)
{
    const struct epb_write write = {
        .key = bytes_of(key), .value = bytes_of(value), .ttl_ms = ttl_ms};
    uint64_t version = 0;

    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_OK);
    return version;
}

static void
assert_value(const char *key, const char *value)
{
    struct epb_item_view view;

    cr_assert_eq(epb_store_peek(store, bytes_of(key), &now, &view), EPB_OK, "%s", key);
    cr_assert(bytes_equal(view.value, bytes_of(value)), "%s", key);
}

static void
assert_missing(const char *key)
{
    struct epb_item_view view;

    cr_assert_eq(epb_store_peek(store, bytes_of(key), &now, &view), EPB_NOT_FOUND, "%s",
                 key);
}

static struct epb_store_stats
stats_now(void)
{
    struct epb_store_stats stats;

    epb_store_stats(store, &stats);
    return stats;
}

Test(store, gives_back_what_was_written)
{
    static const uint8_t data[] = {0, 1, 2, 255};
    struct epb_item_view view;
    uint64_t version;

    open_store();
    const struct epb_write write = {
        .key = bytes_of("__proto__"),
        .value = {data, sizeof(data)},
        .value_flags = EPB_F_BINARY | EPB_F_GZIP,
        .ttl_ms = 500,
    };

    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_OK);
    cr_assert_eq(epb_store_get(store, bytes_of("__proto__"), &now, &view), EPB_OK);
    cr_assert(bytes_equal(view.key, bytes_of("__proto__")));
    cr_assert(bytes_equal(view.value, write.value));
    cr_assert_eq(view.value_flags, EPB_F_BINARY | EPB_F_GZIP);
    cr_assert_eq(view.version, version);
    cr_assert_eq(view.ttl_ms, 500);
    cr_assert_eq(epb_store_get(store, bytes_of("__proto_"), &now, &view), EPB_NOT_FOUND);
}

Test(store, empty_and_large_values_and_the_longest_key)
{
    static char key[EPB_KEY_MAX_BYTES + 1];
    static char value[256 * 1024 + 1];

    open_store();
    memset(key, 'k', EPB_KEY_MAX_BYTES);
    memset(value, 'v', sizeof(value) - 1);
    set(key, value, 10);
    set("empty", "", 10);
    assert_value(key, value);
    assert_value("empty", "");
    set(key, "", 10);
    set("empty", value, 10);
    assert_value(key, "");
    assert_value("empty", value);
}

Test(store, expires_at_the_millisecond_of_the_deadline)
{
    struct epb_item_view view;

    open_store();
    set("key", "value", 100);
    now = time_at(1099);
    cr_assert_eq(epb_store_get(store, bytes_of("key"), &now, &view), EPB_OK);
    cr_assert_eq(view.ttl_ms, 1);
    now = time_at(1100);
    assert_missing("key");
    cr_assert_eq(epb_store_get(store, bytes_of("key"), &now, &view), EPB_NOT_FOUND);
    cr_assert_not(epb_store_del(store, bytes_of("key"), &now));
    cr_assert_eq(stats_now().expired, 1);
}

Test(store, only_the_clock_that_counts_suspend_expires)
{
    open_store();
    set("key", "value", 100);
    now.mono_ms += 1000000;
    now.wall_ms += 1000000;
    assert_value("key", "value");
    now.boot_ms += 100;
    assert_missing("key");
}

Test(store, writing_again_starts_a_new_ttl)
{
    open_store();
    set("key", "one", 100);
    now = time_at(1050);
    set("key", "two", 100);
    now = time_at(1149);
    assert_value("key", "two");
    now = time_at(1150);
    assert_missing("key");
}

/* 0: it has no value. */
static uint64_t
ttl_of(const char *key)
{
    struct epb_item_view view;

    return epb_store_peek(store, bytes_of(key), &now, &view) == EPB_OK ? view.ttl_ms : 0;
}

Test(store, the_longest_ttl_holds)
{
    open_store();
    set("key", "value", EPB_NUMBER_MAX);
    set("least", "value", EPB_TTL_FOREVER_MS);
    set("less", "value", EPB_TTL_FOREVER_MS - 1);
    now = time_at(EPB_TTL_FOREVER_MS - 1000);
    assert_value("key", "value");
    cr_assert_eq(ttl_of("key"), EPB_NUMBER_MAX);
    cr_assert_eq(ttl_of("least"), EPB_NUMBER_MAX);
    cr_assert_eq(ttl_of("less"), 1999);
    now = time_at(EPB_TTL_FOREVER_MS + 999);
    cr_assert_eq(ttl_of("less"), 0);
    assert_value("key", "value");
}

static void
assert_gone(const char *key, enum epb_event_kind kind, uint64_t ago_ms, uint64_t ttl_ms)
{
    struct epb_gone_view view;

    cr_assert(epb_store_gone(store, bytes_of(key), &now, &view), "%s", key);
    cr_assert_eq(view.kind, kind, "%s", key);
    cr_assert_eq(view.ago_ms, ago_ms, "%s: %llu", key, (unsigned long long)view.ago_ms);
    cr_assert_eq(view.ttl_ms, ttl_ms, "%s: %llu", key, (unsigned long long)view.ttl_ms);
}

/* The latest thousand names are remembered, each once; no deleted one is. */
Test(store, names_that_expired_are_remembered_for_a_while)
{
    static const uint64_t exact_ms[] = {1, 60, 131071, 300000, 3600000, 864000000};
    struct epb_gone_view view;
    char key[16];

    open_store();
    for (size_t i = 0; i < sizeof(exact_ms) / sizeof(exact_ms[0]); i++) {
        now = time_at(1000);
        set("key", "value", exact_ms[i]);
        now = time_at(1000 + exact_ms[i] + 40);
        cr_assert_eq(ttl_of("key"), 0);
        cr_assert_leq(epb_store_sweep(store, &now, 10), UINT64_MAX);
        assert_gone("key", EPB_EVENT_EXPIRE, 40, exact_ms[i]);
    }
    set("key", "value", 1234567);
    now = time_at(now.boot_ms + 1234567);
    cr_assert_eq(epb_store_sweep(store, &now, 10), UINT64_MAX);
    assert_gone("key", EPB_EVENT_EXPIRE, 0, 1234560);
    set("key", "value", 10);
    cr_assert(epb_store_del(store, bytes_of("key"), &now));
    cr_assert_not(epb_store_gone(store, bytes_of("key"), &now, &view));
    for (unsigned i = 0; i < EPB_GONE_MAX + 2; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i);
        set(key, "value", 10 + i);
    }
    now = time_at(now.boot_ms + 10 + EPB_GONE_MAX + 2);
    cr_assert_eq(epb_store_sweep(store, &now, EPB_GONE_MAX + 2), UINT64_MAX);
    cr_assert_not(epb_store_gone(store, bytes_of("key-1"), &now, &view));
    assert_gone("key-2", EPB_EVENT_EXPIRE, EPB_GONE_MAX, 12);
    assert_gone("key-1001", EPB_EVENT_EXPIRE, 1, 1011);
    cr_assert_eq(times_in_memory(arena, "key-1", 6), 0, "%s",
                 "forgotten names are wiped");
}

/* An earlier loss of the key is forgotten, too, whether or not there is a value now. */
Test(store, names_that_were_deleted_or_cleared_are_forgotten)
{
    static const char *const names[] = {"run-1", "run-2", "run-3", "other"};
    struct epb_budget budget = {SIZE_MAX};
    struct epb_gone_view view;
    uint64_t cursor = 0;
    uint64_t deleted = 0;

    open_store();
    for (size_t i = 0; i < 4; i++) {
        set(names[i], "value", 10);
    }
    now = time_at(1010);
    cr_assert_eq(epb_store_sweep(store, &now, 10), UINT64_MAX);
    cr_assert_not(epb_store_del(store, bytes_of("run-1"), &now));
    cr_assert_not(epb_store_gone(store, bytes_of("run-1"), &now, &view));
    set("run-2", "value", 10);
    cr_assert(epb_store_clear(store, bytes_of("run-"), epb_store_version(store), &now,
                              &cursor, &budget, &deleted));
    cr_assert_eq(deleted, 1);
    cr_assert_not(epb_store_gone(store, bytes_of("run-2"), &now, &view));
    cr_assert_not(epb_store_gone(store, bytes_of("run-3"), &now, &view));
    assert_gone("other", EPB_EVENT_EXPIRE, 0, 10);
    cr_assert_eq(times_in_memory(arena, "run-", 4), 0, "forgotten names are wiped");
    cr_assert_eq(times_in_memory(arena, "other", 5), 1, "the names are in the arena");
    cursor = 0;
    cr_assert(epb_store_clear(store, bytes_of(""), epb_store_version(store), &now,
                              &cursor, &budget, &deleted));
    cr_assert_not(epb_store_gone(store, bytes_of("other"), &now, &view));
    set("last", "value", 10);
    now = time_at(1020);
    cr_assert_eq(epb_store_sweep(store, &now, 10), UINT64_MAX);
    assert_gone("last", EPB_EVENT_EXPIRE, 0, 10);
    epb_store_free(store);
    store = NULL;
    cr_assert_eq(times_in_memory(arena, "last", 4), 0, "the end wipes them");
}

Test(store, names_that_were_evicted_are_remembered)
{
    options.max_items = 1;
    options.evict_lru = true;
    open_store();
    set("key", "value", 500);
    now = time_at(1100);
    set("other", "value", EPB_NUMBER_MAX);
    now = time_at(1105);
    assert_gone("key", EPB_EVENT_EVICT, 5, 500);
    set("third", "value", 500);
    assert_gone("other", EPB_EVENT_EVICT, 0, EPB_NUMBER_MAX);
}

Test(store, every_write_gets_a_greater_version)
{
    uint64_t first;
    uint64_t second;

    open_store();
    first = set("a", "1", 100);
    cr_assert_eq(first, 1);
    second = set("b", "1", 100);
    cr_assert_gt(second, first);
    cr_assert(epb_store_del(store, bytes_of("a"), &now));
    cr_assert_gt(set("a", "1", 100), second, "not its old one");
}

Test(store, if_absent_writes_once_until_it_expires)
{
    struct epb_write write = {.key = bytes_of("key"),
                              .value = bytes_of("one"),
                              .ttl_ms = 100,
                              .if_absent = true};
    uint64_t version;

    open_store();
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_OK);
    write.value = bytes_of("two");
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_CONFLICT);
    assert_value("key", "one");
    now = time_at(1100);
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_OK);
    assert_value("key", "two");
}

Test(store, if_version_writes_over_that_version_only)
{
    struct epb_write write = {.key = bytes_of("key"),
                              .value = bytes_of("two"),
                              .ttl_ms = 100,
                              .check_version = true};
    uint64_t version;

    open_store();
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_CONFLICT, "missing");
    write.version = set("key", "one", 100);
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_OK);
    cr_assert_neq(version, write.version);
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_CONFLICT,
                 "old by now");
    write.version = version;
    now = time_at(1100);
    cr_assert_eq(epb_store_set(store, &write, &now, &version), EPB_CONFLICT, "expired");
}

Test(store, counters)
{
    struct epb_bytes key = bytes_of("n");
    int64_t number = 0;

    open_store();
    cr_assert_eq(epb_store_incr(store, key, 5, 100, &now, &number), EPB_OK);
    cr_assert_eq(number, 5);
    now = time_at(1050);
    cr_assert_eq(epb_store_incr(store, key, -7, 5000, &now, &number), EPB_OK);
    cr_assert_eq(number, -2);
    assert_value("n", "-2");
    now = time_at(1100);
    cr_assert_eq(epb_store_incr(store, key, 1, 100, &now, &number), EPB_OK);
    cr_assert_eq(number, 1, "it kept its first deadline");
}

Test(store, counters_stay_exact_in_javascript)
{
    struct epb_bytes key = bytes_of("n");
    int64_t number;

    open_store();
    set("n", "9007199254740990", 100);
    cr_assert_eq(epb_store_incr(store, key, 1, 100, &now, &number), EPB_OK);
    cr_assert_eq(number, EPB_NUMBER_MAX);
    cr_assert_eq(epb_store_incr(store, key, 1, 100, &now, &number), EPB_NOT_A_NUMBER);
    assert_value("n", "9007199254740991");
    cr_assert_eq(epb_store_incr(store, key, -EPB_NUMBER_MAX, 100, &now, &number), EPB_OK);
    cr_assert_eq(epb_store_incr(store, key, -EPB_NUMBER_MAX, 100, &now, &number), EPB_OK);
    assert_value("n", "-9007199254740991");
    cr_assert_eq(epb_store_incr(store, key, INT64_MIN, 100, &now, &number),
                 EPB_NOT_A_NUMBER);
    cr_assert_eq(epb_store_incr(store, key, INT64_MAX, 100, &now, &number),
                 EPB_NOT_A_NUMBER);
}

Test(store, only_integers_are_counted)
{
    static const char *const others[] = {
        "",
        "\"5\"",
        "1.5",
        "1e3",
        "-",
        "+1",
        "01",
        "-01",
        " 1",
        "1 ",
        "0x1",
        "[1]",
        "--1",
        "null",
        "true",
        "1x",
        "x1",
        "12345678901234567890",
        "9007199254740992",
        "-9007199254740992",
    };
    int64_t number;

    open_store();
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        set("n", others[i], 100);
        cr_assert_eq(epb_store_incr(store, bytes_of("n"), 1, 100, &now, &number),
                     EPB_NOT_A_NUMBER, "%s", others[i]);
        assert_value("n", others[i]);
    }
    set("n", "-0", 100);
    cr_assert_eq(epb_store_incr(store, bytes_of("n"), 0, 100, &now, &number), EPB_OK);
    cr_assert_eq(number, 0);
    const struct epb_write bytes = {.key = bytes_of("n"),
                                    .value = bytes_of("5"),
                                    .value_flags = EPB_F_BINARY,
                                    .ttl_ms = 100};
    uint64_t version;

    cr_assert_eq(epb_store_set(store, &bytes, &now, &version), EPB_OK);
    cr_assert_eq(epb_store_incr(store, bytes_of("n"), 1, 100, &now, &number),
                 EPB_NOT_A_NUMBER);
}

Test(store, a_value_past_the_limit_is_too_large)
{
    options.max_value_bytes = 4;
    open_store();
    cr_assert_eq(try_set("key", "12345", 100), EPB_TOO_LARGE);
    assert_missing("key");
    set("key", "1234", 100);
    cr_assert_eq(try_set("key", "12345", 100), EPB_TOO_LARGE);
    assert_value("key", "1234");
}

Test(store, the_item_limit_counts_live_items)
{
    options.max_items = 2;
    open_store();
    set("a", "1", 100);
    set("b", "1", 200);
    cr_assert_eq(try_set("c", "1", 100), EPB_MAX_ITEMS);
    set("a", "2", 100);
    now = time_at(1100);
    set("c", "1", 100);
    assert_missing("a");
    assert_value("b", "1");
    cr_assert_eq(try_set("d", "1", 100), EPB_MAX_ITEMS);
    cr_assert(epb_store_del(store, bytes_of("b"), &now));
    set("d", "1", 100);
    cr_assert_eq(stats_now().items, 2);
}

Test(store, the_memory_limit_counts_what_items_take)
{
    static char value[1001];

    memset(value, 'v', 1000);
    options.max_memory_bytes = 3 * epb_arena_block_bytes(1000 + 1 + 24);
    open_store();
    set("a", value, 100);
    set("b", value, 200);
    set("c", value, 200);
    cr_assert_eq(stats_now().stored_bytes, options.max_memory_bytes);
    cr_assert_eq(try_set("d", "1", 100), EPB_MAX_MEMORY);
    /* Overwriting counts the difference. */
    set("b", "small", 200);
    set("d", "1", 100);
    cr_assert_eq(try_set("b", value, 200), EPB_MAX_MEMORY);
    assert_value("b", "small");
    now = time_at(1100);
    /* What has expired makes room. */
    set("b", value, 200);
    assert_value("b", value);
    cr_assert_leq(stats_now().stored_bytes, options.max_memory_bytes);
}

Test(store, with_eviction_the_least_recently_used_goes)
{
    struct epb_item_view view;

    options.max_items = 3;
    options.evict_lru = true;
    open_store();
    set("a", "1", 1000);
    set("b", "1", 1000);
    set("c", "1", 1000);
    cr_assert_eq(epb_store_get(store, bytes_of("a"), &now, &view), EPB_OK);
    /* A look without effect is no use. */
    cr_assert_eq(epb_store_peek(store, bytes_of("b"), &now, &view), EPB_OK);
    set("d", "1", 1000);
    assert_missing("b");
    set("c", "2", 1000);
    set("e", "1", 1000);
    assert_missing("a");
    assert_value("c", "2");
    assert_value("d", "1");
    assert_value("e", "1");
    cr_assert_eq(stats_now().evicted, 2);
    cr_assert_eq(stats_now().items, 3);
}

Test(store, eviction_takes_the_expired_before_the_living)
{
    options.max_items = 2;
    options.evict_lru = true;
    open_store();
    set("old", "1", 5000);
    set("short", "1", 10);
    now = time_at(1010);
    set("new", "1", 5000);
    assert_value("old", "1");
    cr_assert_eq(stats_now().evicted, 0);
    cr_assert_eq(stats_now().expired, 1);
}

Test(store, eviction_makes_room_for_a_value_but_never_takes_its_own_key)
{
    static char value[4001];

    memset(value, 'v', 4000);
    options.evict_lru = true;
    options.max_memory_bytes = 6000;
    open_store();
    set("mine", "1", 1000);
    for (unsigned i = 0; i < 60; i++) {
        const char key[] = {(char)('A' + i), '\0'};

        set(key, "1", 1000);
    }
    cr_assert_leq(stats_now().stored_bytes, 6000);
    /* The least recently used of all, and still there after it has grown. */
    set("mine", value, 1000);
    assert_value("mine", value);
    cr_assert_leq(stats_now().stored_bytes, 6000);
    set("other", value, 1000);
    assert_missing("mine");
    assert_value("other", value);
}

Test(store, what_cannot_fit_alone_is_refused_and_evicts_nothing)
{
    static char value[7001];

    memset(value, 'v', 7000);
    options.evict_lru = true;
    options.max_memory_bytes = 6000;
    open_store();
    set("a", "1", 1000);
    cr_assert_eq(try_set("b", value, 1000), EPB_MAX_MEMORY);
    cr_assert_eq(try_set("a", value, 1000), EPB_MAX_MEMORY);
    assert_value("a", "1");
    cr_assert_eq(stats_now().evicted, 0);
}

Test(store, reading_restarts_the_ttl_when_told_so)
{
    struct epb_item_view view;

    options.refresh_ttl_on_get = true;
    open_store();
    set("read", "1", 100);
    set("unread", "1", 100);
    now = time_at(1090);
    cr_assert_eq(epb_store_get(store, bytes_of("read"), &now, &view), EPB_OK);
    cr_assert_eq(view.ttl_ms, 100);
    cr_assert_eq(epb_store_peek(store, bytes_of("unread"), &now, &view), EPB_OK);
    now = time_at(1189);
    assert_value("read", "1");
    assert_missing("unread");
    now = time_at(1190);
    assert_missing("read");
}

Test(store, reading_does_not_restart_the_ttl_otherwise)
{
    struct epb_item_view view;

    open_store();
    set("key", "1", 100);
    now = time_at(1090);
    cr_assert_eq(epb_store_get(store, bytes_of("key"), &now, &view), EPB_OK);
    cr_assert_eq(view.ttl_ms, 10);
    now = time_at(1100);
    assert_missing("key");
}

static void
collect(void *context, const struct epb_item_view *view)
{
    unsigned *seen = context;

    *seen |= 1U << (view->value.data[0] - '0');
}

Test(store, walks_over_live_items_with_the_prefix)
{
    unsigned seen = 0;

    open_store();
    set("user:a", "0", 100);
    set("user:b", "1", 50);
    set("user", "2", 100);
    set("users", "3", 100);
    set("other", "4", 100);
    now = time_at(1050);
    walk_items(store, bytes_of("user:"), &now, collect, &seen);
    cr_assert_eq(seen, 0x01);
    seen = 0;
    walk_items(store, bytes_of("user"), &now, collect, &seen);
    cr_assert_eq(seen, 0x0D);
    seen = 0;
    walk_items(store, bytes_of(""), &now, collect, &seen);
    cr_assert_eq(seen, 0x1D);
}

Test(store, a_sweep_is_bounded_and_tells_the_next_deadline)
{
    open_store();
    cr_assert_eq(epb_store_sweep(store, &now, 10), UINT64_MAX);
    for (unsigned i = 0; i < 25; i++) {
        const char key[] = {(char)('A' + i), '\0'};

        set(key, "1", 100);
    }
    set("later", "1", 700);
    cr_assert_eq(epb_store_sweep(store, &now, 10), 1100);
    cr_assert_eq(stats_now().items, 26);
    now = time_at(1150);
    cr_assert_leq(epb_store_sweep(store, &now, 10), now.boot_ms);
    cr_assert_eq(stats_now().items, 16);
    cr_assert_leq(epb_store_sweep(store, &now, 10), now.boot_ms);
    cr_assert_eq(epb_store_sweep(store, &now, 10), 1700);
    cr_assert_eq(stats_now().items, 1);
    cr_assert_eq(stats_now().expired, 25);
}

Test(store, counts_hits_and_misses)
{
    struct epb_item_view view;

    open_store();
    set("key", "1", 100);
    cr_assert_eq(epb_store_get(store, bytes_of("key"), &now, &view), EPB_OK);
    cr_assert_eq(epb_store_get(store, bytes_of("no"), &now, &view), EPB_NOT_FOUND);
    cr_assert_eq(epb_store_peek(store, bytes_of("no"), &now, &view), EPB_NOT_FOUND);
    cr_assert_eq(stats_now().hits, 1);
    cr_assert_eq(stats_now().misses, 1);
    cr_assert(epb_store_del(store, bytes_of("key"), &now));
    cr_assert_eq(stats_now().stored_bytes, 0);
}

Test(store, tells_of_every_change_in_its_order)
{
    struct epb_item_view view;
    int64_t number;

    options.max_items = 2;
    options.evict_lru = true;
    open_store();
    set("a", "1", 100);
    set("b", "1", 50);
    cr_assert_eq(epb_store_incr(store, bytes_of("a"), 1, 100, &now, &number), EPB_OK);
    cr_assert(epb_store_del(store, bytes_of("b"), &now));
    cr_assert_not(epb_store_del(store, bytes_of("b"), &now));
    cr_assert_str_eq(told, "set a 1, set b 2, set a 3, del b 2");
    told[0] = '\0';
    set("b", "1", 50);
    set("c", "1", 10);
    cr_assert_str_eq(told, "set b 4, evict a 3, set c 5");
    told[0] = '\0';
    now = time_at(1010);
    cr_assert_eq(epb_store_get(store, bytes_of("c"), &now, &view), EPB_NOT_FOUND);
    now = time_at(1050);
    (void)epb_store_sweep(store, &now, 10);
    set("b", "1", 50);
    now = time_at(1100);
    set("b", "1", 50);
    cr_assert_str_eq(told, "expire c 5, expire b 4, set b 6, expire b 6, set b 7");
    told[0] = '\0';
    epb_store_free(store);
    store = NULL;
    cr_assert_str_eq(told, "", "the end of a store is no change");
}

Test(store, a_key_of_another_kind_gets_no_value)
{
    int64_t number;

    open_store();
    set("old", "1", 100);
    guarded = "pool";
    cr_assert_eq(try_set("pool", "1", 100), EPB_KIND_MISMATCH);
    cr_assert_eq(epb_store_incr(store, bytes_of("pool"), 1, 100, &now, &number),
                 EPB_KIND_MISMATCH);
    assert_missing("pool");
    cr_assert_str_eq(told, "set old 1");
    guarded = "old";
    set("old", "2", 100);
    now = time_at(1100);
    cr_assert_eq(try_set("old", "3", 100), EPB_KIND_MISMATCH, "it has expired");
}

Test(store, what_may_not_be_evicted_stays_and_counts_as_used)
{
    options.max_items = 3;
    options.evict_lru = true;
    open_store();
    set("kept", "1", 1000);
    guarded = "kept";
    set("a", "1", 1000);
    set("b", "1", 1000);
    set("c", "1", 1000);
    assert_missing("a");
    assert_value("kept", "1");
    guarded = NULL;
    set("d", "1", 1000);
    assert_missing("b");
    assert_value("kept", "1");
    set("e", "1", 1000);
    assert_missing("kept");
    assert_value("c", "1");
}

Test(store, a_write_that_only_the_guarded_could_make_room_for_evicts_nothing)
{
    static char value[3001];

    memset(value, 'v', 3000);
    options.max_memory_bytes = 6000;
    options.evict_lru = true;
    open_store();
    set("kept", value, 1000);
    guarded = "kept";
    set("a", "1", 1000);
    cr_assert_eq(try_set("b", value, 1000), EPB_MAX_MEMORY);
    assert_value("kept", value);
    assert_value("a", "1");
    cr_assert_eq(stats_now().evicted, 0);
    set("kept", "1", 1000);
    set("b", value, 1000);
    options.max_items = 1;
    guarded = "b";
    cr_assert_eq(try_set("c", "1", 1000), EPB_MAX_ITEMS);
}

Test(store, shares_its_memory_limit_with_others)
{
    static char value[1001];
    const size_t item_bytes = epb_arena_block_bytes(1000 + 1 + 24);

    memset(value, 'v', 1000);
    options.max_memory_bytes = 4 * item_bytes;
    open_store();
    set("a", value, 100);
    set("b", value, 200);
    quota.used_bytes += item_bytes + 1;
    cr_assert_eq(try_set("c", value, 100), EPB_MAX_MEMORY);
    cr_assert_eq(stats_now().stored_bytes, 2 * item_bytes);
    cr_assert_eq(quota.used_bytes, 3 * item_bytes + 1);
    cr_assert_not(epb_store_make_room(store, item_bytes, &now));
    assert_value("a", value);
    now = time_at(1100);
    cr_assert(epb_store_make_room(store, item_bytes, &now), "what has expired goes");
    assert_missing("a");
    set("c", value, 200);
    /* Others may have taken more than there is: what shrinks is written still. */
    quota.used_bytes += 2 * item_bytes;
    set("c", "1", 200);
    cr_assert_eq(try_set("c", value, 200), EPB_MAX_MEMORY);
    quota.used_bytes -= 3 * item_bytes + 1;
}

Test(store, makes_room_for_others_by_eviction_when_that_is_on)
{
    static char value[1001];
    const size_t item_bytes = epb_arena_block_bytes(1000 + 1 + 48);

    memset(value, 'v', 1000);
    options.max_memory_bytes = 3 * item_bytes;
    options.evict_lru = true;
    open_store();
    set("a", value, 1000);
    set("b", value, 1000);
    set("c", value, 1000);
    guarded = "a";
    cr_assert(epb_store_make_room(store, item_bytes + 1, &now));
    assert_value("a", value);
    assert_missing("b");
    assert_missing("c");
    cr_assert(epb_store_make_room(store, 2 * item_bytes, &now), "there is");
    cr_assert_not(epb_store_make_room(store, 2 * item_bytes + 1, &now));
    assert_value("a", value);
}

/* Nothing of a value may be left in memory once the store has let go of it. */

static const char secret[] = "sk-live-51HxYq-do-not-leave-this-behind";

static unsigned
times_stored(void)
{
    return times_in_memory(arena, secret, sizeof(secret) - 1);
}

Test(store, deleted_and_replaced_values_are_wiped)
{
    static char longer[5000];

    open_store();
    /* Keeps the memory of the others in place. */
    set("neighbour", "0123456789012345678901234567890123456789", 1000);
    memset(longer, 'x', sizeof(longer) - 1);
    set("key", secret, 1000);
    cr_assert_eq(times_stored(), 1);
    cr_assert(epb_store_del(store, bytes_of("key"), &now));
    cr_assert_eq(times_stored(), 0, "deleted");
    set("key", secret, 1000);
    set("key", "short", 1000);
    cr_assert_eq(times_stored(), 0, "replaced by a shorter one");
    set("key", secret, 1000);
    set("key", "sk-live-51HxYq-do-not-leave-", 1000);
    cr_assert_eq(times_in_memory(arena, "this-behind", 11), 0, "replaced in place");
    set("key", secret, 1000);
    set("key", longer, 1000);
    cr_assert_eq(times_stored(), 0, "replaced by a longer one");
    set(secret, "1", 1000);
    cr_assert_eq(times_stored(), 1);
    cr_assert(epb_store_del(store, bytes_of(secret), &now));
    cr_assert_eq(times_stored(), 0, "keys are wiped, too");
}

Test(store, expired_and_evicted_values_are_wiped)
{
    struct epb_item_view view;

    options.max_items = 2;
    options.evict_lru = true;
    open_store();
    set("neighbour", "0123456789012345678901234567890123456789", 1000);
    set("key", secret, 10);
    now = time_at(1010);
    cr_assert_eq(epb_store_sweep(store, &now, 10), 2000);
    cr_assert_eq(times_stored(), 0, "swept");
    set("key", secret, 10);
    now = time_at(1020);
    cr_assert_eq(epb_store_get(store, bytes_of("key"), &now, &view), EPB_NOT_FOUND);
    cr_assert_eq(times_stored(), 0, "found expired");
    set("key", secret, 100);
    set("neighbour", "0123456789012345678901234567890123456789", 1000);
    set("third", "1", 100);
    assert_missing("key");
    cr_assert_eq(times_stored(), 0, "evicted");
}
