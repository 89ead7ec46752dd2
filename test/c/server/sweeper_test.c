/* When items are swept: an engine and its sweeper by an injected clock, with the sleeping
 * and waking of a broker's thread. */
#include "server/sweeper.h"

#include "engine_help.h"

/* What SECURITY.md promises. */
#define GONE_WITHIN_MS 100U
/* What the timer of a thread that has the processor is late by: each of the clocks is cut
 * to whole milliseconds, and one more is added for that. */
#define LATE_MOST_MS 3U
#define ITEMS 2048U
#define STEPS 10000U

TestSuite(sweeper, .init = table_setup, .fini = table_close);

/* The deadlines of what is stored, by the number that is its key; 0: nothing is. */
static uint64_t deadlines[ITEMS];
static struct epb_sweeper sweeper;
static uint64_t asked_ms;      /* when to wake */
static uint64_t last_asked_ms; /* when it was woken as asked the last time */
static uint64_t resumed_ms;    /* the end of the last suspend */
static unsigned long long seed;

static void
store(unsigned number, uint64_t ttl_ms)
{
    char key[16];

    (void)snprintf(key, sizeof(key), "%u", number);
    cr_assert_eq(ask(&table.a, lasting(saying(to(EPB_ACTION_SET, key), "1"), ttl_ms)),
                 EPB_OK);
    deadlines[number] = table.now.boot_ms + ttl_ms;
}

static void
forget(unsigned number)
{
    char key[16];

    (void)snprintf(key, sizeof(key), "%u", number);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, key)), EPB_OK);
    deadlines[number] = 0;
}

/* What the thread does each time before it sleeps. Nothing that is due now may have been
 * so for long: it was there until now. */
static void
look_at_due(void)
{
    const uint64_t now_ms = table.now.boot_ms;
    uint64_t count = 0;
    struct epb_due due;

    for (unsigned i = 0; i < ITEMS; i++) {
        if (deadlines[i] != 0 && deadlines[i] <= now_ms) {
            uint64_t from_ms = deadlines[i] > resumed_ms ? deadlines[i] : resumed_ms;
            cr_assert_lt(now_ms - from_ms, GONE_WITHIN_MS,
                         "seed %llu: due at %llu, there until %llu", seed,
                         (unsigned long long)deadlines[i], (unsigned long long)now_ms);
            deadlines[i] = 0;
        }
        count += deadlines[i] != 0;
    }
    do {
        epb_engine_sweep(table.engine, &table.now, &due);
        asked_ms = epb_sweeper_next(&sweeper, due.item_boot_ms, now_ms);
    } while (asked_ms <= now_ms);
    cr_assert_eq(table_stats().store.items, count, "seed %llu: all that was due is gone",
                 seed);
    cr_assert_eq(asked_ms == UINT64_MAX, count == 0,
                 "seed %llu: woken when there is something, only", seed);
}

static uint64_t
some_ttl(struct random *random)
{
    static const unsigned limits[] = {3, 50, 95, 200, 5000, 600000};

    return 1 + random_below(random, limits[random_below(random, 6)]);
}

/* Requests of one turn: some items, or so many that one sweep does not remove them. */
static void
some_requests(struct random *random)
{
    if (random_below(random, 200) == 0) {
        const uint64_t ttl_ms = some_ttl(random);
        for (unsigned i = 0; i < 1500; i++) {
            store(i, ttl_ms);
        }
        return;
    }
    for (unsigned i = random_below(random, 4); i > 0; i--) {
        unsigned number = random_below(random, ITEMS);
        if (deadlines[number] > table.now.boot_ms && random_below(random, 4) == 0) {
            forget(number);
        } else {
            store(number, some_ttl(random));
        }
    }
}

static void
pass_time(uint64_t ms)
{
    table.now.boot_ms += ms;
    table.now.mono_ms += ms;
}

/* Sleeps until the time that was asked for, or until somebody comes before that; now and
 * then the machine is suspended meanwhile. */
static void
sleep_and_wake(struct random *random)
{
    uint64_t stays_ms = random_below(random, random_below(random, 8) == 0 ? 5000 : 120);
    uint64_t comes_ms = table.now.boot_ms + stays_ms;

    if (random_below(random, 100) == 0) {
        resumed_ms = table.now.boot_ms + random_below(random, 3600000);
        table.now.boot_ms = resumed_ms;
        comes_ms = resumed_ms + stays_ms;
    }
    if (comes_ms < asked_ms) {
        pass_time(comes_ms - table.now.boot_ms);
        some_requests(random);
        return;
    }
    if (asked_ms > table.now.boot_ms) {
        pass_time(asked_ms - table.now.boot_ms);
    }
    pass_time(random_below(random, LATE_MOST_MS + 1));
    cr_assert_geq(table.now.boot_ms - last_asked_ms, EPB_SWEEP_REST_MS,
                  "seed %llu: woken for each item", seed);
    last_asked_ms = table.now.boot_ms;
}

static void
history(uint64_t from)
{
    struct random random = {from};

    seed = from;
    memset(deadlines, 0, sizeof(deadlines));
    epb_sweeper_init(&sweeper);
    last_asked_ms = 0;
    resumed_ms = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        look_at_due();
        sleep_and_wake(&random);
    }
}

Test(sweeper, what_expires_is_gone_within_100_ms)
{
    history(1);
    table_close();
    table_setup();
    history(random_seed("sweeper"));
}
