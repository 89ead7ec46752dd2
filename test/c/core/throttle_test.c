#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/mem_testing.h"
#include "core/throttle.h"
#include "helpers.h"

static struct epb_arena *arena;
static struct epb_quota quota;
static struct epb_waits *waits;
static struct epb_peer *peer;
static struct epb_throttles *throttles;
static struct epb_time now;
static struct epb_throttle_answer answer;

static void
on_ready(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void
setup(void)
{
    arena = epb_arena_new(false);
    quota = (struct epb_quota){0, 0};
    waits = epb_waits_new(arena, &quota, 0, on_ready, NULL);
    cr_assert_not_null(waits);
    peer = epb_peer_new(waits, NULL, false);
    cr_assert_not_null(peer);
    throttles = epb_throttles_new(arena, &quota, waits);
    cr_assert_not_null(throttles);
    now = (struct epb_time){.boot_ms = 7, .mono_ms = 5000, .wall_ms = 9};
}

static void
teardown(void)
{
    struct epb_mem_stats stats;

    (void)epb_peer_withdraw(waits, peer, &now, &(struct epb_budget){SIZE_MAX});
    epb_peer_free(waits, peer);
    epb_throttles_free(throttles);
    epb_waits_free(waits);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_eq(quota.used_bytes, 0);
    epb_arena_free(arena);
}

TestSuite(throttle, .init = setup, .fini = teardown);

static struct epb_request
request_of(const char *key, int64_t limit, uint64_t period_ms)
{
    return (struct epb_request){.key = bytes_of(key),
                                .flags = EPB_F_COUNT | EPB_F_PERIOD,
                                .count = limit,
                                .period_ms = period_ms};
}

static enum epb_status
take(struct epb_request request)
{
    memset(&answer, 0x55, sizeof(answer));
    return epb_throttle_take(throttles, peer, &request, &now, &answer);
}

static bool
allowed(struct epb_request request)
{
    cr_assert_eq(take(request), EPB_OK);
    return answer.allowed;
}

static struct epb_request
with_cost(struct epb_request request, uint64_t cost)
{
    request.flags |= EPB_F_COST;
    request.cost = cost;
    return request;
}

static struct epb_request
with_burst(struct epb_request request, uint64_t burst)
{
    request.flags |= EPB_F_BURST;
    request.burst = burst;
    return request;
}

Test(throttle, a_burst_and_then_one_an_interval)
{
    const struct epb_request request = request_of("api", 10, 1000);

    for (unsigned i = 0; i < 10; i++) {
        cr_assert(allowed(request), "%u", i);
        cr_assert_eq(answer.remaining, 9 - i);
        cr_assert_eq(answer.retry_after_ms, 0);
        cr_assert_eq(answer.reset_after_ms, 100 * (i + 1));
    }
    cr_assert_not(allowed(request));
    cr_assert_eq(answer.retry_after_ms, 100);
    cr_assert_eq(answer.remaining, 0);
    cr_assert_eq(answer.reset_after_ms, 1000);
    now.mono_ms += 99;
    cr_assert_not(allowed(request));
    cr_assert_eq(answer.retry_after_ms, 1);
    now.mono_ms += 1;
    cr_assert(allowed(request));
    cr_assert_not(allowed(request));
    cr_assert(allowed(request_of("other", 10, 1000)), "keys are apart");
}

Test(throttle, nothing_is_rounded_when_an_interval_is_no_whole_number)
{
    const struct epb_request request = with_burst(request_of("third", 3, 1000), 1);
    unsigned granted = 0;

    /* Three in a thousand ms, for a thousand of them, asked every ms. */
    for (unsigned ms = 0; ms < 1000000; ms++) {
        granted += allowed(request);
        now.mono_ms++;
    }
    /* The intervals are 333.3 ms, but a request is made on whole ms only: 334. */
    cr_assert_eq(granted, (1000000 + 333) / 334);
    cr_assert_eq(take(with_cost(request, 2)), EPB_INVALID_REQUEST, "more than the burst");
    /* With room for the rests it is three a second, exactly. */
    const struct epb_request steady = request_of("steady", 3, 1000);

    granted = 0;
    for (unsigned ms = 0; ms < 1000000; ms++) {
        granted += allowed(steady);
        now.mono_ms++;
    }
    cr_assert_eq(granted, 3 + 2999);
}

Test(throttle, a_look_takes_nothing)
{
    const struct epb_request request = request_of("k", 5, 100);

    cr_assert(allowed(with_cost(request, 0)));
    cr_assert_eq(answer.remaining, 5);
    cr_assert_eq(answer.reset_after_ms, 0);
    cr_assert_eq(epb_throttles_count(throttles), 0);
    cr_assert(allowed(with_cost(request, 4)));
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(allowed(with_cost(request, 0)));
        cr_assert_eq(answer.remaining, 1);
        cr_assert_eq(answer.reset_after_ms, 80);
    }
}

Test(throttle, a_refusal_changes_nothing)
{
    const struct epb_request request = request_of("k", 5, 100);

    cr_assert(allowed(with_cost(request, 3)));
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(allowed(with_cost(request, 4)));
        cr_assert_eq(answer.retry_after_ms, 40);
        cr_assert_eq(answer.remaining, 2);
    }
    cr_assert(allowed(with_cost(request, 2)));
    cr_assert_eq(take(with_cost(request, 6)), EPB_INVALID_REQUEST);
}

Test(throttle, numbers_beyond_the_bounds_are_refused)
{
    const struct epb_request good = request_of("k", 1000000, 31536000000);

    cr_assert_eq(take(request_of("k", 0, 10)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(request_of("k", -1, 10)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(request_of("k", INT64_MIN, 10)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(request_of("k", 1000001, 10)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(request_of("k", 1, 0)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(request_of("k", 1, 31536000001)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(with_burst(good, 0)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(with_burst(good, 1000001)), EPB_INVALID_REQUEST);
    cr_assert_eq(take(with_burst(request_of("k", 1, 31536000000), 1000000)),
                 EPB_INVALID_REQUEST, "a time that no reply can tell");
    cr_assert_eq(epb_throttles_count(throttles), 0);
    cr_assert_eq(take(with_burst(request_of("long", 1, 31536000000), 100000)), EPB_OK);
    cr_assert(allowed(with_burst(good, 1000000)));
    cr_assert_eq(answer.remaining, 999999);
    cr_assert_eq(take(with_cost(good, UINT64_MAX)), EPB_INVALID_REQUEST);
}

Test(throttle, what_is_over_is_forgotten_within_a_second)
{
    uint64_t next_ms;

    cr_assert_eq(epb_throttles_sweep(throttles, &now, 100), UINT64_MAX);
    for (unsigned i = 0; i < 25; i++) {
        const char key[] = {(char)('A' + i), '\0'};

        cr_assert(allowed(request_of(key, 1, 100)));
    }
    cr_assert_eq(epb_throttles_count(throttles), 25);
    next_ms = epb_throttles_sweep(throttles, &now, 10);
    cr_assert(next_ms > now.mono_ms && next_ms <= now.mono_ms + 100);
    now.mono_ms = next_ms;
    cr_assert_leq(epb_throttles_sweep(throttles, &now, 10), now.mono_ms, "more is due");
    cr_assert_eq(epb_throttles_count(throttles), 15);
    cr_assert_leq(epb_throttles_sweep(throttles, &now, 10), now.mono_ms);
    cr_assert_eq(epb_throttles_sweep(throttles, &now, 10), UINT64_MAX);
    cr_assert_eq(epb_throttles_count(throttles), 0);
}

/* Sweeps when that is due, for so many milliseconds or until nothing is kept. */
static void
sweep_for(uint64_t span_ms, uint64_t *next_ms)
{
    for (uint64_t i = 0; i < span_ms && epb_throttles_count(throttles) > 0; i++) {
        now.mono_ms++;
        if (now.mono_ms >= *next_ms) {
            *next_ms = epb_throttles_sweep(throttles, &now, 10);
        }
    }
}

/* A name may tell something. Whatever the time since the last sweep. */
Test(throttle, a_name_is_forgotten_within_100_ms)
{
    for (uint64_t lead_ms = 0; lead_ms < 250; lead_ms++) {
        (void)take(request_of("earlier", 1, 200));
        uint64_t next_ms = epb_throttles_sweep(throttles, &now, 10);

        sweep_for(lead_ms, &next_ms);
        (void)take(request_of("name", 1, 40));
        uint64_t due_ms = now.mono_ms + (lead_ms < 160 ? 200 - lead_ms : 40);

        next_ms = epb_throttles_sweep(throttles, &now, 10);
        sweep_for(1000, &next_ms);
        cr_assert_eq(epb_throttles_count(throttles), 0);
        cr_assert_lt(now.mono_ms, due_ms + 100);
    }
}

Test(throttle, a_busy_limit_asks_for_ten_sweeps_a_second_or_so)
{
    const uint64_t end_ms = now.mono_ms + 10000;
    uint64_t next_ms = 0;
    unsigned wakeups = 0;

    while (now.mono_ms < end_ms) {
        (void)take(request_of("busy", 1000, 1000));
        wakeups += next_ms <= now.mono_ms;
        next_ms = epb_throttles_sweep(throttles, &now, 10);
        now.mono_ms++;
    }
    cr_assert_leq(wakeups, 112);
}

Test(throttle, memory_is_bounded_and_a_failure_changes_nothing)
{
    uint64_t countdown = 1;

    quota.limit_bytes = epb_arena_block_bytes(1);
    cr_assert_eq(take(request_of("a-key", 5, 100)), EPB_MAX_MEMORY);
    quota.limit_bytes = 0;
    for (;; countdown++) {
        epb_mem_fail_after(countdown);
        if (take(request_of("k", 5, 100)) == EPB_OK) {
            break;
        }
        cr_assert_eq(epb_throttles_count(throttles), 0);
        cr_assert_eq(quota.used_bytes, 0);
    }
    epb_mem_fail_after(0);
    cr_assert_geq(countdown, 3);
    cr_assert_eq(answer.remaining, 4);
}

/* The algorithm in one line of rational arithmetic: the TAT in parts of 1/limit ms. */

typedef __int128 wide;

struct model {
    wide tat;
    wide limit;
};

static wide
larger(wide left, wide right)
{
    return left > right ? left : right;
}

/* The TAT as the request's limit sees it, but not before now. */
static wide
model_start(const struct model *model, wide limit, wide now_ms)
{
    wide tat = (model->tat * limit + model->limit - 1) / model->limit;

    return larger(model->tat > now_ms * model->limit ? tat : 0, now_ms * limit);
}

static bool
model_allows(const struct model *model, const struct epb_request *request, wide cost,
             wide now_ms)
{
    return model_start(model, request->count, now_ms) + cost * request->period_ms <=
           now_ms * request->count + (wide)request->burst * request->period_ms;
}

static void
check_take(struct model *model, const struct epb_request *request, const char *place)
{
    wide at = now.mono_ms;
    wide cost = (request->flags & EPB_F_COST) != 0 ? request->cost : 1;
    bool expected = model_allows(model, request, cost, at);

    if (cost > request->burst) {
        cr_assert_eq(take(*request), EPB_INVALID_REQUEST, "%s", place);
        return;
    }
    cr_assert_eq(allowed(*request), expected, "%s", place);
    if (expected && cost > 0) {
        model->tat = model_start(model, request->count, at) + cost * request->period_ms;
        model->limit = request->count;
    }
    wide start = model_start(model, request->count, at);
    wide reset = (start - at * request->count + request->count - 1) / request->count;

    cr_assert_eq(answer.reset_after_ms, (uint64_t)reset, "%s", place);
    cr_assert(answer.remaining == 0 || model_allows(model, request, answer.remaining, at),
              "%s", place);
    cr_assert_not(model_allows(model, request, (wide)answer.remaining + 1, at), "%s",
                  place);
    if (expected) {
        cr_assert_eq(answer.retry_after_ms, 0, "%s", place);
    } else {
        wide retry = answer.retry_after_ms;

        cr_assert(model_allows(model, request, cost, at + retry), "%s", place);
        cr_assert_not(model_allows(model, request, cost, at + retry - 1), "%s", place);
    }
}

#define MODEL_KEYS 4U

static uint64_t
some_number(struct random *random, uint64_t limit)
{
    switch (random_below(random, 4)) {
    case 0:
        return limit;
    case 1:
        return 1;
    case 2:
        return 1 + random_below(random, limit < 50 ? (unsigned)limit : 50);
    default:
        return 1 + random_next(random) % limit;
    }
}

static struct epb_request
some_request(struct random *random, unsigned key)
{
    static const char *const keys[MODEL_KEYS] = {"a", "b", "c", "d"};
    /* One key keeps its limit, so that it gets somewhere. */
    struct epb_request request =
        key == 0 ? with_burst(request_of(keys[key], 7, 1000), 9)
                 : with_burst(request_of(keys[key], (int64_t)some_number(random, 1000000),
                                         some_number(random, 31536000000)),
                              some_number(random, 1000000));

    if (request.burst * request.period_ms / (uint64_t)request.count >
        EPB_NUMBER_MAX / 2) {
        request.burst = (uint64_t)request.count;
    }
    switch (random_below(random, 6)) {
    case 0:
        return with_cost(request, 0);
    case 1:
        return with_cost(request, request.burst + random_below(random, 3));
    case 2:
        return with_cost(request, random_below(random, 10));
    default:
        return request;
    }
}

static void
history(uint64_t seed, unsigned steps)
{
    struct random random = {seed};
    struct model models[MODEL_KEYS];
    char place[64];

    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        models[i] = (struct model){0, 1};
    }
    now.mono_ms = 1 + random_below(&random, 100);
    for (unsigned step = 0; step < steps; step++) {
        unsigned key = random_below(&random, MODEL_KEYS);
        struct epb_request request = some_request(&random, key);

        snprintf(place, sizeof(place), "seed %llu step %u", (unsigned long long)seed,
                 step);
        check_take(&models[key], &request, place);
        switch (random_below(&random, 8)) {
        case 0:
            now.mono_ms += random_below(&random, 400);
            break;
        case 1:
            now.mono_ms += answer.retry_after_ms < UINT32_MAX ? answer.retry_after_ms : 1;
            break;
        case 2:
            (void)epb_throttles_sweep(throttles, &now, 2);
            break;
        case 3:
            if (random_below(&random, 1000) == 0) {
                now.mono_ms += UINT64_C(1) << (30 + random_below(&random, 20));
            }
            break;
        default:
            break;
        }
    }
}

Test(throttle, agrees_with_the_formula)
{
    uint64_t seed = random_seed("throttle");

    history(1, 200000);
    teardown();
    setup();
    history(seed, 200000);
}

/* Waiting */

static uint32_t last_id;

static enum epb_status
wait_for(struct epb_request request, uint64_t wait_ms)
{
    request.flags |= EPB_F_WAIT;
    request.wait_ms = wait_ms;
    request.id = ++last_id;
    return take(request);
}

/* Lets time pass, and takes what is granted: its id; 0: nothing. */
static uint32_t
granted_at(uint64_t mono_ms)
{
    now.mono_ms = mono_ms;
    (void)epb_throttles_wake(throttles, &now, 100);
    (void)epb_waits_sweep(waits, &now, 100);

    struct epb_wait *wait = epb_wait_pop(peer);
    uint32_t id = 0;

    if (wait != NULL) {
        cr_assert_eq(wait->status, EPB_OK);
        cr_assert(epb_throttle_granted(wait)->allowed);
        id = wait->id;
        epb_wait_free(waits, wait);
    }
    return id;
}

Test(throttle, who_waits_comes_in_order_and_in_the_exact_ms)
{
    const struct epb_request request = with_burst(request_of("api", 10, 1000), 1);

    cr_assert(allowed(request));
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(wait_for(request, 1000), EPB_OK);
        cr_assert(answer.waits);
    }
    cr_assert_eq(epb_waits_count(waits), 3);
    cr_assert_eq(epb_throttles_wake(throttles, &now, 100), 5100);
    cr_assert_not(allowed(request), "nobody overtakes");
    cr_assert_eq(answer.retry_after_ms, 400);
    cr_assert_eq(wait_for(request, 399), EPB_WAIT_TIMEOUT, "it could not come in time");
    cr_assert_eq(granted_at(5099), 0);
    cr_assert_eq(granted_at(5100), 1);
    cr_assert_eq(granted_at(5199), 0);
    cr_assert_not(allowed(with_cost(request, 0)));
    cr_assert_eq(granted_at(5200), 2);
    cr_assert_eq(granted_at(5300), 3);
    cr_assert_eq(wait_for(request, 100), EPB_OK);
    cr_assert_eq(granted_at(5400), last_id, "in the last ms of its time");
    cr_assert_eq(epb_throttles_wake(throttles, &now, 100), UINT64_MAX);
}

Test(throttle, who_leaves_lets_the_others_come_earlier)
{
    const struct epb_request request = with_burst(request_of("api", 10, 1000), 5);

    cr_assert(allowed(with_cost(request, 5)));
    cr_assert_eq(wait_for(with_cost(request, 4), EPB_WAIT_FOREVER_MS), EPB_OK);
    cr_assert_eq(wait_for(request, EPB_WAIT_FOREVER_MS), EPB_OK);
    cr_assert_eq(epb_throttles_wake(throttles, &now, 100), 5400);
    cr_assert(epb_wait_cancel(waits, peer, last_id - 1, &now));
    struct epb_wait *wait = epb_wait_pop(peer);

    cr_assert_eq(wait->status, EPB_WAIT_TIMEOUT);
    epb_wait_free(waits, wait);
    cr_assert_eq(epb_throttles_wake(throttles, &now, 100), 5100);
    cr_assert_eq(granted_at(5100), last_id);
    /* What waits when its peer leaves costs nothing. */
    cr_assert_eq(wait_for(with_cost(request, 5), EPB_WAIT_FOREVER_MS), EPB_OK);
    (void)epb_peer_withdraw(waits, peer, &now, &(struct epb_budget){SIZE_MAX});
    cr_assert_eq(epb_throttles_wake(throttles, &now, 100), UINT64_MAX);
    cr_assert_eq(epb_throttles_sweep(throttles, &now, 100), 5600);
    peer->leaving = false;
}

/* In parts of this many units; how many were cleared. */
static uint64_t
clear(const char *prefix, size_t units)
{
    uint64_t cursor = 0;
    uint64_t cleared = 0;
    struct epb_budget budget;

    do {
        budget.units = units;
    } while (
        !epb_throttles_clear(throttles, bytes_of(prefix), &cursor, &budget, &cleared));
    return cleared;
}

Test(throttle, clear_forgets_what_has_the_prefix_and_is_not_waited_for)
{
    char key[16];

    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "%s-%u", i % 3 == 0 ? "other" : "run", i);
        cr_assert(allowed(request_of(key, 1, 1000)));
    }
    cr_assert(allowed(request_of("run-waited", 1, 1000)));
    cr_assert_eq(wait_for(request_of("run-waited", 1, 1000), 5000), EPB_OK);
    cr_assert_eq(clear("none", 1), 0);
    cr_assert_eq(clear("run-", 1), 200);
    cr_assert_eq(epb_throttles_count(throttles), 101);
    cr_assert(allowed(request_of("run-1", 1, 1000)), "it begins anew");
    cr_assert_not(allowed(request_of("other-0", 1, 1000)), "it is as it was");
    cr_assert_eq(granted_at(now.mono_ms + 1000), last_id, "who waits is not left alone");
    cr_assert_eq(clear("", 50), 102);
    cr_assert_eq(epb_throttles_count(throttles), 0);
}

/* Waiting requests against a model that goes through every ms. Times are in halves of a
 * ms: an interval is 2.5 ms. */

#define WAITERS_MAX 64U
#define HALF 2U
#define INTERVAL 5U /* halves: 2 units in 5 ms */
#define BURST 3U

struct waiter {
    uint32_t id;
    uint64_t cost;
};

struct crowd {
    struct waiter queue[WAITERS_MAX];
    unsigned count;
    uint64_t tat; /* halves */
};

static bool
crowd_allows(const struct crowd *crowd, uint64_t cost, uint64_t ms, uint64_t *after)
{
    uint64_t from = crowd->tat > ms * HALF ? crowd->tat : ms * HALF;

    *after = from + cost * INTERVAL;
    return *after <= ms * HALF + (uint64_t)BURST * INTERVAL;
}

static void
crowd_drop(struct crowd *crowd, unsigned place)
{
    crowd->count--;
    memmove(&crowd->queue[place], &crowd->queue[place + 1],
            (crowd->count - place) * sizeof(crowd->queue[0]));
}

/* The id that is granted in this ms; 0: none any more. */
static uint32_t
crowd_grant(struct crowd *crowd, uint64_t ms)
{
    uint64_t after;
    uint32_t id = crowd->queue[0].id;

    if (crowd->count == 0 || !crowd_allows(crowd, crowd->queue[0].cost, ms, &after)) {
        return 0;
    }
    after = crowd->tat + crowd->queue[0].cost * INTERVAL;
    crowd->tat = after;
    crowd_drop(crowd, 0);
    return id;
}

/* When the last of the queue is granted if nothing else happens. */
static uint64_t
crowd_last_ms(struct crowd crowd, uint64_t ms)
{
    for (;; ms++) {
        while (crowd_grant(&crowd, ms) != 0) {
        }
        if (crowd.count == 0) {
            return ms;
        }
    }
}

static void
check_request(struct crowd *crowd, struct random *random, const char *place)
{
    struct epb_request request = with_burst(request_of("k", 2, 5), BURST);
    uint64_t cost = 1 + random_below(random, BURST);
    uint64_t wait_ms = random_below(random, 4) == 0 ? 0 : random_below(random, 200);
    struct crowd longer = *crowd;
    uint64_t after;
    bool at_once = crowd->count == 0 && crowd_allows(crowd, cost, now.mono_ms, &after);
    enum epb_status status = wait_for(with_cost(request, cost), wait_ms);

    if (at_once) {
        cr_assert(status == EPB_OK && answer.allowed, "%s", place);
        crowd->tat = after;
        return;
    }
    longer.queue[longer.count++] = (struct waiter){last_id, cost};
    uint64_t comes_ms = crowd_last_ms(longer, now.mono_ms);

    cr_assert_eq(now.mono_ms + answer.retry_after_ms, comes_ms, "%s", place);
    if (wait_ms == 0) {
        cr_assert(status == EPB_OK && !answer.allowed && !answer.waits, "%s", place);
    } else if (comes_ms > now.mono_ms + wait_ms) {
        cr_assert_eq(status, EPB_WAIT_TIMEOUT, "%s", place);
    } else {
        cr_assert(status == EPB_OK && answer.waits, "%s", place);
        *crowd = longer;
    }
}

static void
check_leaving(struct crowd *crowd, struct random *random, const char *place)
{
    unsigned gone = random_below(random, crowd->count);
    uint32_t id = crowd->queue[gone].id;

    cr_assert(epb_wait_cancel(waits, peer, id, &now), "%s", place);
    struct epb_wait *wait = epb_wait_pop(peer);

    cr_assert(wait != NULL && wait->id == id, "%s", place);
    epb_wait_free(waits, wait);
    crowd_drop(crowd, gone);
}

Test(throttle, waiting_agrees_with_a_model)
{
    uint64_t seed = random_seed("throttle");
    struct random random = {seed};
    struct crowd crowd = {.count = 0, .tat = 0};
    char place[64];

    for (unsigned step = 0; step < 20000; step++) {
        snprintf(place, sizeof(place), "seed %llu step %u", (unsigned long long)seed,
                 step);
        /* Others that leave may let the first one go in this very ms. */
        for (;;) {
            uint32_t id = crowd_grant(&crowd, now.mono_ms);

            cr_assert_eq(granted_at(now.mono_ms), id, "%s", place);
            if (id == 0) {
                break;
            }
        }
        if (crowd.count + 1 < WAITERS_MAX && random_below(&random, 5) < 2) {
            check_request(&crowd, &random, place);
        } else if (crowd.count > 0 && random_below(&random, 6) == 0) {
            check_leaving(&crowd, &random, place);
        } else {
            now.mono_ms += 1 + random_below(&random, 3) * random_below(&random, 4);
        }
    }
}
