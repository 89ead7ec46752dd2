/*
 * The store against a model that is small enough to be obviously right: an array,
 * searched from end to end, in which what is due is gone at once. Random histories of all
 * operations, under all combinations of the options, with allocations failing now and
 * then, others taking of the same memory limit, and values that may not be evicted; after
 * every step the two must agree on everything that can be seen, and at times on the
 * history of every key that the store has told of.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem_testing.h"
#include "core/store.h"
#include "helpers.h"
#include "walk_help.h"

#define KEYS 48U
#define VALUE_MAX 700U
/* What an item takes besides key and value; with eviction or refreshing, EXTRA more. */
#define HEADER 24U
#define EXTRA 24U

struct model_item {
    bool exists;
    uint8_t value[VALUE_MAX];
    size_t size_bytes;
    uint32_t flags;
    uint64_t version;
    uint64_t ttl_ms;
    uint64_t due_ms;
    uint64_t used;   /* greater: used later */
    bool pinned;     /* may not be evicted */
    uint64_t events; /* a sum over all that happened to the key */
    uint64_t told;   /* the same, of what the store told */
};

struct run {
    struct epb_options options;
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_store *store;
    struct epb_time now;
    struct random random;
    uint64_t seed;
    unsigned step;
    struct model_item items[KEYS];
    uint64_t version;
    uint64_t uses;
    uint64_t other_bytes;                 /* that others have taken of the quota */
    uint64_t hits, misses, gone, evicted; /* gone: expired */
    struct epb_store_walk walk;           /* with other steps between its parts */
    bool walking;
    uint64_t walk_versions[KEYS]; /* of what was there when it began; 0: nothing */
    uint64_t walk_due_ms[KEYS];   /* 0: touched since */
    bool walk_seen[KEYS];
};

#define CHECK(run, condition)                                                      \
    cr_assert(condition, "seed %llu step %u: %s", (unsigned long long)(run)->seed, \
              (run)->step, #condition)

/* The keys: short, long, one a prefix of another. */
static struct epb_bytes
key_of(unsigned index)
{
    static char keys[KEYS][EPB_KEY_MAX_BYTES];
    static size_t sizes[KEYS];

    if (sizes[index] == 0) {
        sizes[index] = index % 16 == 15 ? EPB_KEY_MAX_BYTES - index : index / 4 + 1;
        memset(keys[index], 'a' + (int)(index % 4), sizes[index]);
    }
    return (struct epb_bytes){(const uint8_t *)keys[index], sizes[index]};
}

static unsigned
index_of(struct epb_bytes key)
{
    unsigned index = 0;

    while (!bytes_equal(key, key_of(index))) {
        index++;
        cr_assert_lt(index, KEYS);
    }
    return index;
}

/* The hooks */

static void
add_event(uint64_t *sum, enum epb_event_kind kind, uint64_t version)
{
    *sum = (*sum ^ (version * 8 + kind)) * 1099511628211U;
}

static void
on_change(void *context, enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    struct run *run = context;

    add_event(&run->items[index_of(key)].told, kind, version);
}

static bool
may_store(void *context, struct epb_bytes key, const struct epb_time *now)
{
    const struct run *run = context;

    CHECK(run, now->boot_ms == run->now.boot_ms);
    /* The key of another kind. */
    return index_of(key) != 0;
}

static bool
may_evict(void *context, struct epb_bytes key)
{
    const struct run *run = context;

    return !run->items[index_of(key)].pinned;
}

/* The model */

static void
model_gone(struct run *run, unsigned key, enum epb_event_kind kind)
{
    run->items[key].exists = false;
    add_event(&run->items[key].events, kind, run->items[key].version);
}

static uint64_t
model_charge(const struct run *run, unsigned key, size_t value_bytes)
{
    size_t extra = run->options.evict_lru || run->options.refresh_ttl_on_get ? EXTRA : 0;

    return epb_arena_block_bytes(HEADER + extra + key_of(key).size_bytes + value_bytes);
}

static void
model_expire(struct run *run)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (run->items[i].exists && run->items[i].due_ms <= run->now.boot_ms) {
            model_gone(run, i, EPB_EVENT_EXPIRE);
            run->gone++;
        }
    }
}

static unsigned
model_count(const struct run *run)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        count += run->items[i].exists;
    }
    return count;
}

static uint64_t
model_bytes(const struct run *run)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        sum += run->items[i].exists ? model_charge(run, i, run->items[i].size_bytes) : 0;
    }
    return sum;
}

/* What others take besides the store, or the store's own write of a key. */
#define NO_KEY KEYS

/* The error of a write of so many bytes (charged), if nothing else were evicted but what
 * is `gone`. */
static enum epb_status
model_quota(const struct run *run, unsigned key, uint64_t new_bytes, const bool *gone)
{
    uint64_t old_bytes = 0;
    uint64_t bytes = run->other_bytes + model_bytes(run);
    unsigned count = model_count(run) + (key != NO_KEY && !run->items[key].exists);

    if (key != NO_KEY && run->items[key].exists) {
        old_bytes = model_charge(run, key, run->items[key].size_bytes);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        if (gone[i]) {
            bytes -= model_charge(run, i, run->items[i].size_bytes);
            count--;
        }
    }
    if (run->options.max_items != 0 && count > run->options.max_items) {
        return EPB_MAX_ITEMS;
    }
    if (run->options.max_memory_bytes != 0 && new_bytes > old_bytes &&
        bytes - old_bytes + new_bytes > run->options.max_memory_bytes) {
        return EPB_MAX_MEMORY;
    }
    return EPB_OK;
}

/* The least recently used item that was used after `after` and not after `last`. */
static unsigned
model_next_used(const struct run *run, uint64_t after, uint64_t last)
{
    unsigned next = NO_KEY;

    for (unsigned i = 0; i < KEYS; i++) {
        const struct model_item *item = &run->items[i];

        if (item->exists && item->used > after && item->used <= last &&
            (next == NO_KEY || item->used < run->items[next].used)) {
            next = i;
        }
    }
    return next;
}

/* Who has to go, so that the write fits. */
static enum epb_status
model_plan(struct run *run, unsigned key, uint64_t new_bytes, bool *gone)
{
    enum epb_status status;
    uint64_t last = run->uses;
    uint64_t at = 0;
    unsigned next;

    memset(gone, 0, KEYS * sizeof(*gone));
    status = model_quota(run, key, new_bytes, gone);
    if (!run->options.evict_lru) {
        return status;
    }
    while (status != EPB_OK && (next = model_next_used(run, at, last)) != NO_KEY) {
        at = run->items[next].used;
        if (next != key && run->items[next].pinned) {
            run->items[next].used = ++run->uses;
        } else if (next != key) {
            gone[next] = true;
            status = model_quota(run, key, new_bytes, gone);
        }
    }
    return status;
}

static enum epb_status
model_room(struct run *run, unsigned key, uint64_t new_bytes)
{
    bool gone[KEYS];
    enum epb_status status = model_plan(run, key, new_bytes, gone);

    for (unsigned i = 0; i < KEYS && status == EPB_OK; i++) {
        if (gone[i]) {
            model_gone(run, i, EPB_EVENT_EVICT);
            run->evicted++;
        }
    }
    return status;
}

/* The error of a write, for which room is made if it can be. */
static enum epb_status
model_admit(struct run *run, unsigned key, size_t value_bytes)
{
    if (!run->items[key].exists && key == 0) {
        return EPB_KIND_MISMATCH;
    }
    if (run->options.max_value_bytes != 0 && value_bytes > run->options.max_value_bytes) {
        return EPB_TOO_LARGE;
    }
    return model_room(run, key, model_charge(run, key, value_bytes));
}

/* After model_admit has agreed. */
static void
model_write(struct run *run, unsigned key, struct epb_bytes value, uint32_t flags)
{
    struct model_item *item = &run->items[key];

    item->exists = true;
    item->size_bytes = value.size_bytes;
    if (value.size_bytes > 0) {
        memcpy(item->value, value.data, value.size_bytes);
    }
    item->flags = flags;
    item->version = ++run->version;
    item->used = ++run->uses;
    add_event(&item->events, EPB_EVENT_SET, item->version);
}

/* Steps */

static void
check_view(const struct run *run, unsigned key, const struct epb_item_view *view)
{
    const struct model_item *item = &run->items[key];

    CHECK(run, bytes_equal(view->key, key_of(key)));
    CHECK(run,
          bytes_equal(view->value, (struct epb_bytes){item->value, item->size_bytes}));
    CHECK(run, view->value_flags == item->flags);
    CHECK(run, view->version == item->version);
    CHECK(run, view->ttl_ms == item->due_ms - run->now.boot_ms);
}

/* Some writes lack the memory: whether this one will. */
static bool
maybe_fail(struct run *run)
{
    bool armed = random_below(&run->random, 8) == 0;

    epb_mem_fail_after(armed ? 1 + random_below(&run->random, 3) : 0);
    return armed;
}

/* Then nothing has changed, and the model does nothing either, but for what counts as
 * used because it may not be evicted. */
static bool
out_of_memory(struct run *run, bool armed, enum epb_status status, unsigned key,
              size_t value_bytes)
{
    bool gone[KEYS];

    epb_mem_fail_after(0);
    CHECK(run, armed || status != EPB_INTERNAL);
    if (status == EPB_INTERNAL) {
        status = model_plan(run, key, model_charge(run, key, value_bytes), gone);
        CHECK(run, status == EPB_OK);
        return true;
    }
    return false;
}

static size_t
make_value(struct run *run, uint8_t *value)
{
    size_t size_bytes =
        random_below(&run->random, random_below(&run->random, 4) == 0 ? 700 : 60);

    if (random_below(&run->random, 4) == 0) {
        return (size_t)snprintf((char *)value, VALUE_MAX, "%d",
                                (int)random_below(&run->random, 20000) - 10000);
    }
    random_fill(&run->random, value, size_bytes);
    return size_bytes;
}

static void
step_set(struct run *run, unsigned key)
{
    uint8_t value[VALUE_MAX];
    struct model_item *item = &run->items[key];
    struct epb_write write = {
        .key = key_of(key),
        .value = {value, make_value(run, value)},
        .value_flags = random_below(&run->random, 3) == 0 ? EPB_F_BINARY : 0,
        .ttl_ms = 1 + random_below(&run->random, 300),
        .if_absent = random_below(&run->random, 6) == 0,
        .check_version = random_below(&run->random, 6) == 0,
    };
    uint64_t version = 0;

    write.version =
        item->exists ? item->version + (random_below(&run->random, 3) == 0) : 3;
    bool armed = maybe_fail(run);
    enum epb_status status = epb_store_set(run->store, &write, &run->now, &version);
    enum epb_status expected = EPB_OK;

    if (out_of_memory(run, armed, status, key, write.value.size_bytes)) {
        return;
    }
    if (write.if_absent && item->exists) {
        expected = EPB_CONFLICT;
    } else if (write.check_version && (!item->exists || item->version != write.version)) {
        expected = EPB_CONFLICT;
    } else {
        expected = model_admit(run, key, write.value.size_bytes);
    }
    CHECK(run, status == expected);
    if (status == EPB_OK) {
        model_write(run, key, write.value, write.value_flags);
        item->ttl_ms = write.ttl_ms;
        item->due_ms = run->now.boot_ms + write.ttl_ms;
        CHECK(run, version == item->version);
    }
}

static void
step_incr(struct run *run, unsigned key)
{
    struct model_item *item = &run->items[key];
    int64_t by = (int64_t)random_below(&run->random, 2000) - 1000;
    uint64_t ttl_ms = 1 + random_below(&run->random, 300);
    char text[32] = "0";
    char *end = text;
    int64_t result = 0;
    bool counts = !item->exists || (item->size_bytes > 0 && item->size_bytes < 8);

    bool armed = maybe_fail(run);
    enum epb_status status =
        epb_store_incr(run->store, key_of(key), by, ttl_ms, &run->now, &result);

    if (item->exists && counts) {
        memcpy(text, item->value, item->size_bytes);
        text[item->size_bytes] = '\0';
    }
    long old = strtol(text, &end, 10);
    char sum[32];
    int length = snprintf(sum, sizeof(sum), "%lld", (long long)(old + by));

    if (out_of_memory(run, armed, status, key, (size_t)length)) {
        return;
    }
    char again[32];

    /* Only a number that is printed the same way counts, up to its last byte: a NUL may
     * follow it. */
    snprintf(again, sizeof(again), "%ld", old);
    if (!counts || item->exists * item->flags != 0 || strcmp(again, text) != 0 ||
        (item->exists && strlen(text) != item->size_bytes)) {
        CHECK(run, status == EPB_NOT_A_NUMBER);
        return;
    }
    CHECK(run, status == model_admit(run, key, (size_t)length));
    if (status == EPB_OK) {
        bool created = !item->exists;

        CHECK(run, result == old + by);
        model_write(run, key, bytes_of(sum), 0);
        if (created) {
            item->ttl_ms = ttl_ms;
            item->due_ms = run->now.boot_ms + ttl_ms;
        }
    }
}

/* It never fails for lack of memory. */
static void
step_touch(struct run *run, unsigned key)
{
    struct model_item *item = &run->items[key];
    uint64_t ttl_ms = 1 + random_below(&run->random, 300);
    bool touched;

    (void)maybe_fail(run);
    touched = epb_store_touch(run->store, key_of(key), ttl_ms, &run->now);

    epb_mem_fail_after(0);
    CHECK(run, touched == item->exists);
    if (touched) {
        item->ttl_ms = ttl_ms;
        item->due_ms = run->now.boot_ms + ttl_ms;
        item->used = ++run->uses;
        run->walk_due_ms[key] = 0;
    }
}

static void
step_get(struct run *run, unsigned key)
{
    struct model_item *item = &run->items[key];
    struct epb_item_view view;
    enum epb_status status = epb_store_get(run->store, key_of(key), &run->now, &view);

    CHECK(run, (status == EPB_OK) == item->exists);
    if (status != EPB_OK) {
        CHECK(run, status == EPB_NOT_FOUND);
        run->misses++;
        return;
    }
    run->hits++;
    item->used = ++run->uses;
    if (run->options.refresh_ttl_on_get) {
        item->due_ms = run->now.boot_ms + item->ttl_ms;
    }
    check_view(run, key, &view);
}

static void
step_del(struct run *run, unsigned key)
{
    bool exists = run->items[key].exists;

    CHECK(run, epb_store_del(run->store, key_of(key), &run->now) == exists);
    if (exists) {
        model_gone(run, key, EPB_EVENT_DEL);
    }
}

static void
step_pin(struct run *run, unsigned key)
{
    run->items[key].pinned = random_below(&run->random, 3) == 0;
}

/* Others take of the memory limit, or give back. */
static void
step_others(struct run *run)
{
    uint64_t bytes = random_below(&run->random, 900);

    if (random_below(&run->random, 2) == 0) {
        CHECK(run, epb_store_make_room(run->store, bytes, &run->now) ==
                       (model_room(run, NO_KEY, bytes) == EPB_OK));
    } else {
        run->quota.used_bytes += bytes - run->other_bytes;
        run->other_bytes = bytes;
    }
}

struct listing {
    const struct run *run;
    struct epb_bytes prefix;
    bool seen[KEYS];
};

static void
listed(void *context, const struct epb_item_view *view)
{
    struct listing *listing = context;

    unsigned index = index_of(view->key);

    CHECK(listing->run, !listing->seen[index]);
    listing->seen[index] = true;
    check_view(listing->run, index, view);
}

static void
step_list(struct run *run)
{
    struct listing listing = {.run = run};

    if (random_below(&run->random, 2) == 0) {
        listing.prefix = key_of(random_below(&run->random, KEYS));
        listing.prefix.size_bytes = random_below(&run->random, 4);
    }
    walk_items(run->store, listing.prefix, &run->now, listed, &listing);
    for (unsigned i = 0; i < KEYS; i++) {
        struct epb_bytes key = key_of(i);
        bool matches =
            key.size_bytes >= listing.prefix.size_bytes &&
            (listing.prefix.size_bytes == 0 ||
             memcmp(key.data, listing.prefix.data, listing.prefix.size_bytes) == 0);

        CHECK(run, listing.seen[i] == (run->items[i].exists && matches));
    }
}

/* A walk in parts shows what was there when it began, whatever happened since. */
static void
walk_visit(void *context, const struct epb_item_view *view)
{
    struct run *run = context;
    unsigned index = index_of(view->key);

    CHECK(run, run->walk_versions[index] == view->version);
    CHECK(run, run->options.refresh_ttl_on_get || run->walk_due_ms[index] == 0 ||
                   view->ttl_ms + run->walk.began.boot_ms == run->walk_due_ms[index]);
    run->walk_seen[index] = true;
}

static void
walk_begin(struct run *run)
{
    run->walking = true;
    run->walk = (struct epb_store_walk){.visit = walk_visit, .context = run};
    for (unsigned i = 0; i < KEYS; i++) {
        const struct model_item *item = &run->items[i];

        run->walk_versions[i] = item->exists ? item->version : 0;
        run->walk_due_ms[i] = item->due_ms;
        run->walk_seen[i] = false;
    }
    epb_store_walk_begin(run->store, &run->walk, &run->now);
}

static void
walk_end(struct run *run)
{
    run->walking = false;
    epb_store_walk_end(&run->walk);
}

static void
step_walk(struct run *run)
{
    struct epb_budget budget = {1 + random_below(&run->random, 8)};

    if (!run->walking) {
        walk_begin(run);
        return;
    }
    if (!epb_store_walk_on(run->store, &run->walk, &budget)) {
        return;
    }
    walk_end(run);
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK(run, run->walk_seen[i] == (run->walk_versions[i] != 0));
    }
}

static void
check_totals(struct run *run)
{
    struct epb_store_stats stats;

    while (epb_store_sweep(run->store, &run->now, 7) <= run->now.boot_ms) {
    }
    epb_store_stats(run->store, &stats);
    CHECK(run, stats.items == model_count(run));
    CHECK(run, stats.stored_bytes == model_bytes(run));
    CHECK(run, stats.hits == run->hits);
    CHECK(run, stats.misses == run->misses);
    CHECK(run, stats.expired == run->gone);
    CHECK(run, stats.evicted == run->evicted);
    CHECK(run, run->quota.used_bytes == stats.stored_bytes + run->other_bytes);
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK(run, run->items[i].told == run->items[i].events);
    }
}

/* All that has the prefix, is no newer than the version, and may be evicted. */
static void
step_clear(struct run *run)
{
    struct epb_bytes prefix = key_of(random_below(&run->random, KEYS));
    uint64_t version = run->version - random_below(&run->random, 10) % (run->version + 1);
    uint64_t cursor = 0;
    uint64_t deleted = 0;
    struct epb_budget budget = {0};

    prefix.size_bytes = 1 + random_below(&run->random, 3) % prefix.size_bytes;
    check_totals(run);
    do {
        budget.units = 1 + random_below(&run->random, 9);
    } while (!epb_store_clear(run->store, prefix, version, &run->now, &cursor, &budget,
                              &deleted));
    for (unsigned i = 0; i < KEYS; i++) {
        struct model_item *item = &run->items[i];
        struct epb_bytes key = key_of(i);

        if (item->exists && item->version <= version && may_evict(run, key) &&
            key.size_bytes >= prefix.size_bytes &&
            memcmp(key.data, prefix.data, prefix.size_bytes) == 0) {
            item->exists = false;
            add_event(&item->events, EPB_EVENT_DEL, item->version);
            deleted--;
        }
    }
    CHECK(run, deleted == 0);
}

static void
step_sweep(struct run *run)
{
    unsigned limit = 1 + random_below(&run->random, 20);
    uint64_t next_ms = epb_store_sweep(run->store, &run->now, limit);
    uint64_t earliest_ms = UINT64_MAX;

    for (unsigned i = 0; i < KEYS; i++) {
        if (run->items[i].exists && run->items[i].due_ms < earliest_ms) {
            earliest_ms = run->items[i].due_ms;
        }
    }
    CHECK(run, next_ms <= run->now.boot_ms || next_ms == earliest_ms);
}

static void
step(struct run *run)
{
    unsigned key = random_below(&run->random, KEYS);
    unsigned choice = random_below(&run->random, 100);

    if (random_below(&run->random, 3) == 0) {
        run->now = time_at(run->now.boot_ms + random_below(&run->random, 40));
        model_expire(run);
    }
    if (random_below(&run->random, 4) == 0) {
        step_walk(run);
    }
    if (choice < 40) {
        step_set(run, key);
    } else if (choice < 50) {
        step_incr(run, key);
    } else if (choice < 55) {
        step_touch(run, key);
    } else if (choice < 80) {
        step_get(run, key);
    } else if (choice < 90) {
        step_del(run, key);
    } else if (choice < 91) {
        step_list(run);
    } else if (choice < 92) {
        step_clear(run);
    } else if (choice < 94) {
        step_pin(run, key);
    } else if (choice < 96) {
        step_others(run);
    } else if (choice < 99) {
        step_sweep(run);
    } else {
        check_totals(run);
    }
}

/* `variant` chooses the options. */
static void
history(uint64_t seed, unsigned variant, unsigned steps)
{
    static const uint64_t item_limits[] = {0, 10, 30};
    static const uint64_t memory_limits[] = {0, 1500, 6000};
    static struct run run;
    const struct epb_store_hooks hooks = {on_change, may_store, may_evict, &run};
    struct epb_mem_stats stats;

    memset(&run, 0, sizeof(run));
    run.seed = seed * 1000 + variant;
    run.random.state = run.seed;
    epb_options_default(&run.options);
    run.options.evict_lru = variant % 2 == 1;
    run.options.refresh_ttl_on_get = variant / 2 % 2 == 1;
    run.options.max_items = item_limits[variant / 4 % 3];
    run.options.max_memory_bytes = memory_limits[variant / 12 % 3];
    run.options.max_value_bytes = variant % 5 == 0 ? 100 : 0;
    run.quota.limit_bytes = run.options.max_memory_bytes;
    run.now = time_at(5000);
    run.arena = epb_arena_new(false);
    run.store = epb_store_new(&run.options, run.arena, &run.quota, &hooks);
    for (run.step = 0; run.step < steps; run.step++) {
        step(&run);
    }
    check_totals(&run);
    if (run.walking) {
        walk_end(&run);
    }
    epb_store_free(run.store);
    epb_arena_stats(run.arena, &stats);
    CHECK(&run, stats.used_bytes == 0);
    epb_arena_free(run.arena);
}

#define VARIANTS 36U

Test(store_model, agrees_on_histories_seen_before)
{
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        history(1, variant, 4000);
        history(2, variant, 4000);
    }
    history(UINT64_C(167435683863117), 20, 2000); /* a digit and a NUL are no number */
}

Test(store_model, agrees_on_a_history_nobody_has_seen)
{
    uint64_t seed = random_seed("store_model") >> 16;

    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        history(seed, variant, 2000);
    }
}
