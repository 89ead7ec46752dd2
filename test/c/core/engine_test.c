#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "core/command.h"
#include "core/engine.h"
#include "core/engine_internal.h"
#include "helpers.h"

static struct epb_options options;
static struct epb_engine *engine;
static struct epb_peer *peer;
static struct epb_time now;
static struct epb_reply reply;
static bool is_long; /* the request may be worked on in slices */

static void
setup(void)
{
    epb_options_default(&options);
    now = time_at(1000);
}

static void
on_ready(void *context, void *user)
{
    (void)context;
    (void)user;
    cr_assert(is_long, "nothing here waits");
}

static void
close_engine(void)
{
    if (engine != NULL) {
        epb_engine_leave(engine, peer, &now);
    }
    epb_engine_free(engine);
    engine = NULL;
    peer = NULL;
}

static void
teardown(void)
{
    struct epb_mem_stats shared;

    close_engine();
    epb_mem_shared_stats(&shared);
    cr_assert_eq(shared.used_bytes, 0, "nothing of it is left");
}

TestSuite(engine, .init = setup, .fini = teardown);

static void
open_engine(void)
{
    engine = epb_engine_new(&options, &now, on_ready, NULL);
    cr_assert_not_null(engine);
    peer = epb_engine_join(engine, NULL, false);
    cr_assert_not_null(peer);
}

static enum epb_status
run(struct epb_request request)
{
    static uint32_t id;

    request.id = ++id;
    memset(&reply, 0x55, sizeof(reply));
    epb_engine_run(engine, peer, &request, &now, &reply);
    cr_assert_eq(reply.id, id);
    cr_assert_not(reply.deferred);
    if (reply.status != EPB_OK) {
        /* These two say more than their status. */
        if (reply.status != EPB_NOT_FOUND && reply.status != EPB_TOO_LARGE) {
            cr_assert_eq(reply.flags, 0);
            cr_assert_eq(reply.body.size_bytes, 0);
        }
        cr_assert_null(reply.stats);
    }
    return reply.status;
}

/* The boot_ms of the next sweep. */
static uint64_t
sweep(void)
{
    struct epb_due due;

    epb_engine_sweep(engine, &now, &due);
    cr_assert_eq(due.lease_mono_ms, UINT64_MAX);
    return due.item_boot_ms;
}

static struct epb_request
set_request(const char *key, const char *value)
{
    return (struct epb_request){.action = EPB_ACTION_SET,
                                .flags = EPB_F_TTL,
                                .ttl_ms = 100,
                                .key = bytes_of(key),
                                .value = bytes_of(value)};
}

static void
set(const char *key, const char *value)
{
    cr_assert_eq(run(set_request(key, value)), EPB_OK);
}

static enum epb_status
ask(enum epb_action action, const char *key)
{
    return run((struct epb_request){.action = (uint8_t)action, .key = bytes_of(key)});
}

static void
assert_body(const char *text)
{
    cr_assert(bytes_equal(reply.body, bytes_of(text)));
}

Test(engine, ping_tells_the_wall_clock)
{
    open_engine();
    cr_assert_eq(ask(EPB_ACTION_PING, ""), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_COUNT);
    cr_assert_eq((uint64_t)reply.count, now.wall_ms);
}

Test(engine, values_go_in_and_come_out)
{
    open_engine();
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_NOT_FOUND);
    set("k", "\"v\"");
    cr_assert_eq(reply.flags, EPB_F_VERSION);
    uint64_t version = reply.version;

    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_OK);
    cr_assert_eq(reply.flags, 0);
    assert_body("\"v\"");
    now = time_at(1040);
    cr_assert_eq(ask(EPB_ACTION_GET_ENTRY, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_TTL | EPB_F_VERSION);
    cr_assert_eq(reply.ttl_ms, 60);
    cr_assert_eq(reply.version, version);
    assert_body("\"v\"");
    cr_assert_eq(ask(EPB_ACTION_TTL, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_TTL);
    cr_assert_eq(reply.ttl_ms, 60);
    cr_assert_eq(ask(EPB_ACTION_HAS, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_COUNT);
    cr_assert_eq(reply.count, 1);
    cr_assert_eq(ask(EPB_ACTION_DEL, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_COUNT);
    cr_assert_eq(reply.count, 1);
    cr_assert_eq(ask(EPB_ACTION_DEL, "k"), EPB_OK);
    cr_assert_eq(reply.count, 0);
    cr_assert_eq(ask(EPB_ACTION_HAS, "k"), EPB_OK);
    cr_assert_eq(reply.count, 0);
    cr_assert_eq(ask(EPB_ACTION_TTL, "k"), EPB_NOT_FOUND);
    cr_assert_eq(ask(EPB_ACTION_GET_ENTRY, "k"), EPB_NOT_FOUND);
}

Test(engine, a_ttl_is_required_unless_the_options_give_one)
{
    struct epb_request request = set_request("k", "1");

    open_engine();
    request.flags = 0;
    cr_assert_eq(run(request), EPB_TTL_REQUIRED);
    close_engine();
    options.require_ttl = false;
    options.default_ttl_ms = 777;
    open_engine();
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(ask(EPB_ACTION_TTL, "k"), EPB_OK);
    cr_assert_eq(reply.ttl_ms, 777);
}

Test(engine, touch_gives_a_value_another_ttl_and_nothing_else)
{
    struct epb_request request = set_request("k", "1");

    open_engine();
    cr_assert_eq(run(request), EPB_OK);
    uint64_t version = reply.version;

    request.action = EPB_ACTION_TOUCH;
    request.value = (struct epb_bytes){NULL, 0};
    request.flags = EPB_F_TTL;
    request.ttl_ms = 5000;
    now = time_at(1010);
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_COUNT);
    cr_assert_eq(reply.count, 1);
    cr_assert_eq(ask(EPB_ACTION_GET_ENTRY, "k"), EPB_OK);
    cr_assert_eq(reply.ttl_ms, 5000);
    cr_assert_eq(reply.version, version);
    assert_body("1");
    request.ttl_ms = 20;
    cr_assert_eq(run(request), EPB_OK, "a shorter one");
    now = time_at(1030);
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_NOT_FOUND);
    cr_assert_eq(reply.count, EPB_EVENT_EXPIRE);
    cr_assert_eq(reply.ttl_ms, 20, "not_found has the last TTL");
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(reply.count, 0, "it brings nothing back");
    request.flags = 0;
    cr_assert_eq(run(request), EPB_TTL_REQUIRED);
    request.flags = EPB_F_TTL;
    request.ttl_ms = 0;
    cr_assert_eq(run(request), EPB_INVALID_TTL);
}

Test(engine, touch_is_for_values_only)
{
    open_engine();
    cr_assert_eq(run((struct epb_request){.action = EPB_ACTION_LIMIT,
                                          .flags = EPB_F_COUNT,
                                          .id = 1,
                                          .key = bytes_of("slots"),
                                          .count = 2}),
                 EPB_OK);
    cr_assert_eq(run((struct epb_request){.action = EPB_ACTION_TOUCH,
                                          .flags = EPB_F_TTL,
                                          .id = 2,
                                          .key = bytes_of("slots"),
                                          .ttl_ms = 1000}),
                 EPB_KIND_MISMATCH);
    cr_assert_eq(reply.flags, 0);
}

Test(engine, only_a_new_counter_needs_a_ttl)
{
    struct epb_request request = {.action = EPB_ACTION_INCR, .key = bytes_of("n")};

    open_engine();
    cr_assert_eq(run(request), EPB_TTL_REQUIRED);
    cr_assert_eq(ask(EPB_ACTION_HAS, "n"), EPB_OK);
    cr_assert_eq(reply.count, 0);
    request.flags = EPB_F_TTL;
    request.ttl_ms = 100;
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_COUNT | EPB_F_TTL);
    cr_assert_eq(reply.count, 1);
    cr_assert_eq(reply.ttl_ms, 100);
    request.flags = EPB_F_COUNT;
    request.count = 41;
    now = time_at(1040);
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(reply.count, 42);
    cr_assert_eq(reply.ttl_ms, 60, "it keeps its TTL");
    now = time_at(1100);
    cr_assert_eq(run(request), EPB_TTL_REQUIRED, "it has expired");
}

Test(engine, conditions_of_a_write)
{
    struct epb_request request = set_request("k", "1");

    open_engine();
    request.flags = EPB_F_TTL | EPB_F_VERSION;
    cr_assert_eq(run(request), EPB_CONFLICT);
    request.flags = EPB_F_TTL | EPB_F_IF_ABSENT;
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(run(request), EPB_CONFLICT);
    request.flags = EPB_F_TTL | EPB_F_VERSION;
    request.version = 0;
    cr_assert_eq(run(request), EPB_CONFLICT, "no item has version 0");
    cr_assert_eq(ask(EPB_ACTION_GET_ENTRY, "k"), EPB_OK);
    request.version = reply.version;
    cr_assert_eq(run(request), EPB_OK);
    request.flags |= EPB_F_IF_ABSENT;
    cr_assert_eq(run(request), EPB_INVALID_REQUEST);
    request.flags = EPB_F_TTL | EPB_F_FENCE;
    cr_assert_eq(run(request), EPB_FENCED, "no lease has token 0");
}

Test(engine, json_text_is_utf8_and_bytes_are_anything)
{
    struct epb_request request = set_request("k", "\"\xED\xA0\x80\"");

    open_engine();
    cr_assert_eq(run(request), EPB_INVALID_VALUE);
    request.flags |= EPB_F_BINARY;
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_BINARY);
    assert_body("\"\xED\xA0\x80\"");
    request.value = (struct epb_bytes){NULL, 0};
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_BINARY);
    cr_assert_eq(reply.body.size_bytes, 0);
    request.flags = EPB_F_TTL;
    cr_assert_eq(run(request), EPB_INVALID_VALUE, "no JSON text is empty");
}

Test(engine, limits_hold_for_what_a_compressed_value_unpacks_to)
{
    uint8_t gzip[20] = {0x1F, 0x8B};
    struct epb_request request = set_request("k", "");

    options.max_value_bytes = 1000;
    open_engine();
    request.flags |= EPB_F_GZIP;
    request.value = (struct epb_bytes){gzip, sizeof(gzip)};
    epb_put_u32(gzip + 16, 1000);
    cr_assert_eq(run(request), EPB_OK);
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_OK);
    cr_assert_eq(reply.flags, EPB_F_GZIP);
    epb_put_u32(gzip + 16, 1001);
    cr_assert_eq(run(request), EPB_TOO_LARGE);
    epb_put_u32(gzip + 16, 1000);
    request.value.size_bytes = 17;
    cr_assert_eq(run(request), EPB_INVALID_VALUE);
    gzip[1] = 0x8C;
    request.value.size_bytes = sizeof(gzip);
    cr_assert_eq(run(request), EPB_INVALID_VALUE);
}

Test(engine, a_value_may_be_as_large_as_the_limit)
{
    static char value[256 * 1024 + 2];
    struct epb_request request;

    open_engine();
    memset(value, '1', sizeof(value) - 1);
    request = set_request("k", value);
    cr_assert_eq(run(request), EPB_TOO_LARGE);
    request.value.size_bytes--;
    cr_assert_eq(run(request), EPB_OK);
    close_engine();
    options.max_value_bytes = 0;
    open_engine();
    request.value.size_bytes++;
    cr_assert_eq(run(request), EPB_OK);
}

static const uint8_t *
assert_entry(const uint8_t *at, const char *key, uint64_t ttl_ms, uint32_t value_bytes)
{
    cr_assert_eq(epb_get_u64(at), ttl_ms);
    cr_assert_gt(epb_get_u64(at + 8), 0);
    cr_assert_eq(epb_get_u32(at + 16), value_bytes);
    cr_assert_eq(epb_get_u16(at + 20), strlen(key));
    cr_assert_eq(memcmp(at + EPB_LIST_ENTRY_HEADER_BYTES, key, strlen(key)), 0, "%s",
                 key);
    return at + EPB_LIST_ENTRY_HEADER_BYTES + strlen(key);
}

Test(engine, lists_are_packed_and_sorted_bytewise)
{
    const uint8_t *at;

    open_engine();
    cr_assert_eq(ask(EPB_ACTION_LIST, ""), EPB_OK);
    cr_assert_eq(reply.body.size_bytes, 0);
    set("b", "22");
    set("\xC3\xBC", "1");
    set("ab", "333");
    now = time_at(1030);
    set("a", "1");
    set("B", "1");
    cr_assert_eq(ask(EPB_ACTION_LIST, ""), EPB_OK);
    at = assert_entry(reply.body.data, "B", 100, 1);
    at = assert_entry(at, "a", 100, 1);
    at = assert_entry(at, "ab", 70, 3);
    at = assert_entry(at, "b", 70, 2);
    at = assert_entry(at, "\xC3\xBC", 70, 1);
    cr_assert_eq((size_t)(at - reply.body.data), reply.body.size_bytes);
    cr_assert_eq(ask(EPB_ACTION_LIST, "a"), EPB_OK);
    at = assert_entry(reply.body.data, "a", 100, 1);
    at = assert_entry(at, "ab", 70, 3);
    cr_assert_eq((size_t)(at - reply.body.data), reply.body.size_bytes);
    now = time_at(1100);
    cr_assert_eq(ask(EPB_ACTION_LIST, "ab"), EPB_OK);
    cr_assert_eq(reply.body.size_bytes, 0, "it has expired");
}

Test(engine, a_list_is_wiped_by_the_next_call)
{
    static const char key[] = "a-key-that-tells-a-lot";

    open_engine();
    set(key, "1");
    cr_assert_eq(ask(EPB_ACTION_LIST, ""), EPB_OK);
    cr_assert_eq(times_in_memory(NULL, key, sizeof(key) - 1), 1);
    cr_assert_eq(ask(EPB_ACTION_PING, ""), EPB_OK);
    cr_assert_eq(times_in_memory(NULL, key, sizeof(key) - 1), 0);
    cr_assert_eq(ask(EPB_ACTION_LIST, ""), EPB_OK);
    (void)sweep();
    cr_assert_eq(times_in_memory(NULL, key, sizeof(key) - 1), 0);
}

/* A list to its end, however many slices it takes; how many bytes it had. */
static enum epb_status
list_whole(const char *prefix, size_t *size_bytes)
{
    const struct epb_request request = {
        .action = EPB_ACTION_LIST, .id = 7, .key = bytes_of(prefix)};
    struct epb_bytes piece;
    struct epb_due due;
    size_t rest_bytes;

    is_long = true;
    epb_engine_run(engine, peer, &request, &now, &reply);
    while (reply.deferred) {
        cr_assert(epb_engine_is_occupied(peer));
        cr_assert(epb_engine_has_next(engine, peer));
        if (epb_engine_next(engine, peer, &now, &reply)) {
            cr_assert_eq(reply.id, 7);
        } else {
            reply.deferred = true;
        }
    }
    *size_bytes = reply.body.size_bytes;
    for (rest_bytes = reply.rest_bytes; rest_bytes > 0; rest_bytes -= piece.size_bytes) {
        cr_assert(epb_engine_is_occupied(peer));
        cr_assert_eq(epb_engine_piece(engine, peer, &piece), EPB_OK);
        cr_assert(piece.size_bytes > 0 && piece.size_bytes <= EPB_LIST_PIECE_BYTES);
        *size_bytes += piece.size_bytes;
    }
    cr_assert_not(epb_engine_is_occupied(peer));
    do {
        epb_engine_sweep(engine, &now, &due);
    } while (due.lease_mono_ms <= now.mono_ms);
    return reply.status;
}

Test(engine, a_list_that_is_too_long_is_refused)
{
    size_t size_bytes;
    static char key[EPB_KEY_MAX_BYTES + 1];
    const unsigned count =
        EPB_LIST_MAX_BYTES / (EPB_KEY_MAX_BYTES + EPB_LIST_ENTRY_HEADER_BYTES);

    options.max_items = 0;
    open_engine();
    memset(key, 'k', EPB_KEY_MAX_BYTES);
    for (unsigned i = 0; i <= count; i++) {
        key[snprintf(key, sizeof(key), "%u", i)] = 'k';
        set(key, "1");
        if (i == count - 1) {
            cr_assert_eq(list_whole("", &size_bytes), EPB_OK);
            cr_assert_eq(size_bytes, (size_t)count * (512 + 22));
        }
    }
    cr_assert_eq(list_whole("", &size_bytes), EPB_TOO_LARGE);
    cr_assert_eq(list_whole("1234", &size_bytes), EPB_OK);
}

Test(engine, malformed_requests_are_refused)
{
    open_engine();
    cr_assert_eq(run((struct epb_request){.action = 0}), EPB_UNKNOWN_ACTION);
    cr_assert_eq(run((struct epb_request){.action = 255}), EPB_UNKNOWN_ACTION);
    cr_assert_eq(ask(EPB_ACTION_GET, ""), EPB_INVALID_KEY);
    cr_assert_eq(ask(EPB_ACTION_PING, "key"), EPB_INVALID_REQUEST);
    cr_assert_eq(run((struct epb_request){.action = EPB_ACTION_GET, .flags = 0x8000}),
                 EPB_INVALID_REQUEST);
}

Test(engine, reports_what_happened)
{
    struct epb_stats stats;

    options.max_items = 1;
    open_engine();
    epb_engine_traffic(engine)->connections = 3;
    set("k", "1");
    cr_assert_eq(run(set_request("l", "1")), EPB_MAX_ITEMS);
    cr_assert_eq(ask(EPB_ACTION_GET, "k"), EPB_OK);
    cr_assert_eq(run((struct epb_request){.action = 200}), EPB_UNKNOWN_ACTION);
    epb_engine_count_refusal(engine, EPB_INVALID_JSON);
    now.mono_ms += 250;
    cr_assert_eq(ask(EPB_ACTION_HEALTH, ""), EPB_OK);
    cr_assert_not_null(reply.stats);
    epb_engine_stats(engine, &now, &stats);
    cr_assert_eq(reply.stats->requests, 6);
    cr_assert_eq(stats.requests, 6);
    cr_assert_eq(stats.by_action[EPB_ACTION_SET], 2);
    cr_assert_eq(stats.by_action[EPB_ACTION_GET], 1);
    cr_assert_eq(stats.by_action[EPB_ACTION_HEALTH], 1);
    cr_assert_eq(stats.by_status[EPB_OK], 3);
    cr_assert_eq(stats.by_status[EPB_MAX_ITEMS], 1);
    cr_assert_eq(stats.by_status[EPB_UNKNOWN_ACTION], 1);
    cr_assert_eq(stats.by_status[EPB_INVALID_JSON], 1);
    cr_assert_eq(stats.store.items, 1);
    cr_assert_eq(stats.store.hits, 1);
    cr_assert_eq(stats.traffic.connections, 3);
    cr_assert_eq(stats.options->max_items, 1);
    cr_assert_eq(stats.uptime_ms, 250);
    cr_assert_eq(stats.wall_ms, now.wall_ms);
    cr_assert_not(stats.draining);
    cr_assert_geq(stats.memory.reserved_bytes, stats.store.stored_bytes);
}

Test(engine, while_draining_it_tells_about_itself_and_takes_things_back)
{
    open_engine();
    set("k", "1");
    epb_engine_drain(engine, &now);
    for (unsigned i = 0; i < epb_command_count(); i++) {
        uint8_t action = epb_command_at(i)->action;
        bool served = action == EPB_ACTION_PING || action == EPB_ACTION_STATS ||
                      action == EPB_ACTION_HEALTH || action == EPB_ACTION_METRICS ||
                      action == EPB_ACTION_RELEASE || action == EPB_ACTION_CANCEL;

        cr_assert_eq(run((struct epb_request){.action = action}) != EPB_DRAINING, served,
                     "%s", epb_command_at(i)->name);
    }
    cr_assert_eq(ask(EPB_ACTION_STATS, ""), EPB_OK);
    cr_assert(reply.stats->draining);
    now = time_at(1100);
    cr_assert_eq(sweep(), UINT64_MAX, "expiry goes on");
}

Test(engine, a_sweep_removes_what_is_due_in_bounded_steps)
{
    char key[16];
    unsigned sweeps = 0;

    options.max_items = 0;
    open_engine();
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        set(key, "1");
    }
    cr_assert_eq(sweep(), 1100);
    now = time_at(1100);
    do {
        sweeps++;
    } while (sweep() <= now.boot_ms);
    cr_assert(sweeps >= 5 && sweeps <= 50, "%u sweeps", sweeps);
    cr_assert_eq(ask(EPB_ACTION_STATS, ""), EPB_OK);
    cr_assert_eq(reply.stats->store.items, 0);
    cr_assert_eq(reply.stats->store.expired, 5000);
}

Test(engine, an_item_of_100_bytes_costs_at_most_170)
{
    const unsigned count = 100000;
    static char value[103];
    char key[24];
    struct epb_stats stats;

    options.max_items = 0;
    open_engine();
    epb_engine_stats(engine, &now, &stats);
    cr_assert_leq(stats.memory.reserved_bytes + stats.table_bytes, 128 * 1024,
                  "a fresh broker is small");
    /* A string of 100 characters, as JSON text. */
    memset(value, 'v', sizeof(value) - 1);
    value[0] = value[sizeof(value) - 2] = '"';
    for (unsigned i = 0; i < count; i++) {
        /* 12 to 16 bytes. */
        snprintf(key, sizeof(key), "key-%0*u", (int)(8 + i % 5), i);
        set(key, value);
    }
    epb_engine_stats(engine, &now, &stats);
    size_t all_bytes = stats.memory.reserved_bytes + stats.table_bytes;

    cr_log_info("%.1f bytes an item", (double)all_bytes / count);
    cr_assert_leq(all_bytes, (size_t)count * 170);
    now = time_at(1100);
    while (sweep() <= now.boot_ms) {
    }
    epb_engine_stats(engine, &now, &stats);
    cr_assert_leq(stats.memory.reserved_bytes + stats.table_bytes, 768 * 1024,
                  "what expired went back to the system, but for a few spare chunks, and "
                  "the latest names");
}

/* Every allocation of every step of a scenario fails in turn: the step is refused with
 * `internal`, nothing that a client can see has changed, and the same step works
 * afterwards. */

#define SCENARIO_STEPS 72U

static char large_value[20000];

static struct epb_request
scenario_step(unsigned step)
{
    static char keys[SCENARIO_STEPS][16];
    struct epb_request request;

    snprintf(keys[step], sizeof(keys[step]), "k%u", step);
    switch (step % 9) {
    case 3: /* over an older one, larger */
        request = set_request(keys[step - 2], large_value);
        break;
    case 5:
        request = (struct epb_request){.action = EPB_ACTION_INCR,
                                       .flags = EPB_F_TTL | EPB_F_COUNT,
                                       .ttl_ms = 100,
                                       .count = 99999,
                                       .key = bytes_of(step % 2 == 0 ? "n" : "m")};
        break;
    case 7:
        request = (struct epb_request){.action = EPB_ACTION_DEL,
                                       .key = bytes_of(keys[step - 1])};
        break;
    case 8:
        request = (struct epb_request){.action = EPB_ACTION_LIST};
        break;
    default:
        request = set_request(keys[step], "\"small\"");
        break;
    }
    return request;
}

/* All that a client can see, as one number. */
static uint64_t
fingerprint(void)
{
    uint64_t sum = 1469598103934665603U;
    struct epb_stats stats;
    char key[16];

    for (unsigned i = 0; i < SCENARIO_STEPS + 2; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        (void)ask(EPB_ACTION_GET_ENTRY,
                  i == SCENARIO_STEPS ? "n" : (i > SCENARIO_STEPS ? "m" : key));
        sum = (sum ^ reply.status) * 1099511628211U;
        if (reply.status != EPB_OK) {
            continue; /* which near keys it names may differ */
        }
        sum = (sum ^ reply.version << 8 ^ reply.ttl_ms << 32) * 1099511628211U;
        for (size_t at = 0; at < reply.body.size_bytes; at++) {
            sum = (sum ^ reply.body.data[at]) * 1099511628211U;
        }
    }
    epb_engine_stats(engine, &now, &stats);
    sum = (sum ^ stats.store.items ^ stats.store.stored_bytes << 20) * 1099511628211U;
    return (sum ^ stats.memory.used_bytes) * 1099511628211U;
}

/* Whether the planned failure is still to come; ends the plan. */
static bool
fault_pending(void)
{
    for (unsigned i = 0; i < 20; i++) {
        if (epb_mem_fault_due()) {
            return true;
        }
    }
    return false;
}

static void
check_step_without_memory(unsigned step)
{
    struct epb_request request = scenario_step(step);
    uint64_t before = fingerprint();

    for (uint64_t countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        if (run(request) != EPB_INTERNAL) {
            break;
        }
        cr_assert_lt(countdown, 20);
        cr_assert_eq(fingerprint(), before, "step %u, allocation %u", step,
                     (unsigned)countdown);
    }
    cr_assert_eq(reply.status, EPB_OK, "step %u", step);
    cr_assert(fault_pending(), "step %u: an allocation failed and nobody noticed", step);
}

Test(engine, without_memory_a_request_changes_nothing)
{
    memset(large_value, '7', sizeof(large_value) - 1);
    open_engine();
    for (unsigned step = 0; step < SCENARIO_STEPS; step++) {
        check_step_without_memory(step);
    }
}

Test(engine, is_made_whole_or_not_at_all)
{
    uint64_t countdown = 1;

    for (;; countdown++) {
        epb_mem_fail_after(countdown);
        engine = epb_engine_new(&options, &now, on_ready, NULL);
        if (engine != NULL) {
            break;
        }
        cr_assert_lt(countdown, 60);
    }
    epb_mem_fail_after(0);
    cr_assert_geq(countdown, 10);
    epb_engine_free(NULL);
    peer = epb_engine_join(engine, NULL, false);
}
