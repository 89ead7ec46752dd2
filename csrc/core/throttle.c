/*
 * A span is whole milliseconds, and a rest in parts of 1/limit ms. So neither a large TAT
 * nor a large limit overflows: burst * period is below 2^55 parts.
 */
#include "throttle.h"

#include "../base/arena.h"
#include "../base/heap.h"
#include "../base/list.h"
#include "../base/map.h"
#include "../base/mem.h"

/* A key is forgotten within 100 ms of the time when its TAT has passed, however late the
 * timer is. */
#define SWEEP_REST_MS 90U
/* The most waiting requests that a new request grants first, if their time has come. */
#define GRANTS_A_CALL 100U
/* The unit in which intervals of different limits are summed: shares of a ms. 10,000 of
 * the longest intervals fit. */
#define SHARES_A_MS UINT64_C(1024)
#define SHARES_MAX_MS (UINT64_C(1) << 40)

/* A span with parts of 1/limit ms; parts < limit. */
struct span {
    uint64_t ms;
    uint64_t parts;
};

struct throttle {
    struct epb_heap_node due;  /* the first ms at which the TAT has passed */
    struct epb_heap_node wake; /* the ms in which the first request in the queue is
                                  granted */
    struct epb_list queue;     /* waits (of_queue), in the order of requests */
    uint64_t queued;           /* the sum of their intervals, see shares_of */
    struct span tat;           /* mono_ms */
    uint32_t limit;            /* the TAT is in parts of 1/limit ms */
    uint16_t key_bytes;
    uint8_t key[];
};

/* A request with its numbers filled in and checked. */
struct ask {
    uint64_t limit;
    uint64_t period_ms; /* also the interval, in parts of 1/limit ms */
    uint64_t burst;
    uint64_t cost;
};

/* The `detail` of a wait. */
struct turn {
    struct throttle *throttle; /* NULL: not in a queue any more */
    struct ask ask;
    struct epb_throttle_answer answer; /* once granted */
};

struct epb_throttles {
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_waits *waits;
    struct epb_map *map;
    struct epb_heap heap;
    struct epb_heap wakes;  /* of throttles with a queue */
    uint64_t rest_until_ms; /* mono_ms: no sweep before */
};

static struct epb_bytes
key_of(const void *item)
{
    const struct throttle *throttle = item;

    return (struct epb_bytes){throttle->key, throttle->key_bytes};
}

/* Spans */

static struct span
span_of(uint64_t parts, uint64_t limit)
{
    return (struct span){parts / limit, parts % limit};
}

static struct span
span_add(struct span left, struct span right, uint64_t limit)
{
    uint64_t parts = left.parts + right.parts;

    return (struct span){left.ms + right.ms + parts / limit, parts % limit};
}

static bool
span_less(struct span left, struct span right)
{
    return left.ms != right.ms ? left.ms < right.ms : left.parts < right.parts;
}

/* `right` must not be greater than `left`. */
static struct span
span_subtract(struct span left, struct span right, uint64_t limit)
{
    if (left.parts >= right.parts) {
        return (struct span){left.ms - right.ms, left.parts - right.parts};
    }
    return (struct span){left.ms - right.ms - 1, left.parts + limit - right.parts};
}

/* The span rounded up to whole ms. */
static uint64_t
span_ceil_ms(struct span span)
{
    return span.ms + (span.parts > 0);
}

/* The span in parts of another limit, rounded up. */
static struct span
span_convert(struct span span, uint64_t from_limit, uint64_t limit)
{
    uint64_t parts = (span.parts * limit + from_limit - 1) / from_limit;

    return (struct span){span.ms + parts / limit, parts % limit};
}

/* Requests */

/* Otherwise a reply could not contain the time until a request is allowed again. */
static bool
is_tellable(const struct ask *ask)
{
    return ask->burst * ask->period_ms / ask->limit <= EPB_NUMBER_MAX / 2;
}

static bool
ask_read(const struct epb_request *request, struct ask *ask)
{
    if (request->count < 1 || request->count > (int64_t)EPB_THROTTLE_UNITS_MAX) {
        return false;
    }
    ask->limit = (uint64_t)request->count;
    ask->period_ms = request->period_ms;
    ask->burst = (request->flags & EPB_F_BURST) != 0 ? request->burst : ask->limit;
    ask->cost = (request->flags & EPB_F_COST) != 0 ? request->cost : 1;
    /* A cost above the burst would never be allowed. */
    return ask->cost <= ask->burst && ask->period_ms >= 1 &&
           ask->period_ms <= EPB_THROTTLE_PERIOD_MAX_MS && ask->burst >= 1 &&
           ask->burst <= EPB_THROTTLE_UNITS_MAX && is_tellable(ask);
}

/* How far the TAT is ahead of now, in parts of the request's limit. */
static struct span
ahead_of(const struct throttle *throttle, const struct ask *ask,
         const struct epb_time *now)
{
    const struct span present = {now->mono_ms, 0};

    if (throttle == NULL || !span_less(present, throttle->tat)) {
        return (struct span){0, 0};
    }
    return span_subtract(span_convert(throttle->tat, throttle->limit, ask->limit),
                         present, ask->limit);
}

static void
answer_fill(const struct ask *ask, struct span ahead, struct span burst,
            struct epb_throttle_answer *answer)
{
    answer->reset_after_ms = span_ceil_ms(ahead);
    answer->remaining = 0;
    if (span_less(ahead, burst)) {
        struct span room = span_subtract(burst, ahead, ask->limit);

        answer->remaining = (room.ms * ask->limit + room.parts) / ask->period_ms;
    }
}

/* Keys */

static enum epb_status
throttle_new(struct epb_throttles *throttles, struct epb_bytes key, struct throttle **out)
{
    struct throttle *throttle;
    void *block;
    enum epb_status status = epb_heap_reserve(&throttles->heap);

    if (status == EPB_OK) {
        status = epb_quota_alloc(throttles->quota, throttles->arena,
                                 sizeof(*throttle) + key.size_bytes, &block);
    }
    if (status != EPB_OK) {
        return status;
    }
    throttle = block;
    throttle->key_bytes = (uint16_t)key.size_bytes;
    memcpy(throttle->key, key.data, key.size_bytes);
    status = epb_map_insert(throttles->map, throttle);
    if (status != EPB_OK) {
        epb_quota_release(throttles->quota, throttles->arena, throttle,
                          sizeof(*throttle) + throttle->key_bytes);
        return status;
    }
    throttle->wake.index = EPB_HEAP_NOWHERE;
    throttle->queued = 0;
    epb_list_init(&throttle->queue);
    epb_heap_insert(&throttles->heap, &throttle->due, UINT64_MAX);
    *out = throttle;
    return EPB_OK;
}

static void
throttle_free(struct epb_throttles *throttles, struct throttle *throttle)
{
    EPB_ASSERT(epb_list_empty(&throttle->queue));
    epb_heap_remove(&throttles->heap, &throttle->due);
    epb_map_remove(throttles->map, throttle);
    epb_quota_release(throttles->quota, throttles->arena, throttle,
                      sizeof(*throttle) + throttle->key_bytes);
}

static void
throttle_set(struct epb_throttles *throttles, struct throttle *throttle,
             const struct ask *ask, struct span tat)
{
    throttle->limit = (uint32_t)ask->limit;
    throttle->tat = tat;
    epb_heap_change(&throttles->heap, &throttle->due, span_ceil_ms(throttle->tat));
}

/* Sets the TAT to `ahead` from now. */
static enum epb_status
throttle_move(struct epb_throttles *throttles, struct throttle *throttle,
              struct epb_bytes key, const struct ask *ask, struct span ahead,
              const struct epb_time *now)
{
    enum epb_status status = EPB_OK;

    if (throttle == NULL) {
        status = throttle_new(throttles, key, &throttle);
    }
    if (status == EPB_OK) {
        throttle_set(throttles, throttle, ask,
                     (struct span){now->mono_ms + ahead.ms, ahead.parts});
    }
    return status;
}

/* Converts shares of a ms to a span in parts of the limit, rounded up. */
static struct span
span_of_shares(uint64_t shares, uint64_t limit)
{
    uint64_t rest = shares % SHARES_A_MS;

    return (struct span){shares / SHARES_A_MS,
                         (rest * limit + SHARES_A_MS - 1) / SHARES_A_MS};
}

/* Whether the request is allowed now, after others whose intervals sum up to `before`.
 * `after` is how far ahead of now it would move the TAT. */
static bool
ask_behind(const struct throttle *throttle, uint64_t before, const struct ask *ask,
           const struct epb_time *now, struct span *after,
           struct epb_throttle_answer *answer)
{
    struct span ahead = span_add(ahead_of(throttle, ask, now),
                                 span_of_shares(before, ask->limit), ask->limit);
    struct span burst = span_of(ask->burst * ask->period_ms, ask->limit);

    *after = span_add(ahead, span_of(ask->cost * ask->period_ms, ask->limit), ask->limit);
    *answer = (struct epb_throttle_answer){.allowed = !span_less(burst, *after)};
    if (answer->allowed) {
        answer_fill(ask, *after, burst, answer);
    } else {
        answer->retry_after_ms = span_ceil_ms(span_subtract(*after, burst, ask->limit));
        answer_fill(ask, ahead, burst, answer);
    }
    return answer->allowed;
}

/* The queue */

/* A request's interval in shares of a ms, rounded up, so that intervals of different
 * limits can be summed. */
static uint64_t
shares_of(const struct ask *ask)
{
    uint64_t product = ask->cost * ask->period_ms;
    uint64_t ms = product / ask->limit;
    uint64_t rest = product % ask->limit;

    /* Longer intervals count as SHARES_MAX_MS, which is 34 years. */
    return ms >= SHARES_MAX_MS
               ? SHARES_MAX_MS * SHARES_A_MS
               : ms * SHARES_A_MS + (rest * SHARES_A_MS + ask->limit - 1) / ask->limit;
}

static struct turn *
first_turn(const struct throttle *throttle)
{
    struct epb_wait *wait =
        EPB_LIST_ITEM(throttle->queue.next, struct epb_wait, of_queue);

    return epb_list_empty(&throttle->queue) ? NULL : wait->detail;
}

/* Sets the time at which the first request in the queue is granted. */
static void
wake_set(struct epb_throttles *throttles, struct throttle *throttle,
         const struct epb_time *now)
{
    const struct turn *turn = first_turn(throttle);
    struct epb_throttle_answer answer;
    struct span after;

    if (turn == NULL) {
        epb_heap_remove(&throttles->wakes, &throttle->wake);
        return;
    }
    (void)ask_behind(throttle, 0, &turn->ask, now, &after, &answer);
    epb_heap_change(&throttles->wakes, &throttle->wake,
                    now->mono_ms + answer.retry_after_ms);
}

static void
queue_leave(struct throttle *throttle, struct epb_wait *wait)
{
    struct turn *turn = wait->detail;

    epb_list_remove(&wait->of_queue);
    throttle->queued -= shares_of(&turn->ask);
    turn->throttle = NULL;
}

/* The TAT after a waiting request is granted: as if the request had come exactly when it
 * became allowed. So waiting requests are granted exactly at the rate of the limit,
 * although grants happen on whole ms, and a late timer delays no later request. */
static struct span
tat_after(const struct throttle *throttle, const struct ask *ask)
{
    return span_add(span_convert(throttle->tat, throttle->limit, ask->limit),
                    span_of(ask->cost * ask->period_ms, ask->limit), ask->limit);
}

/* Grants requests in the queue that are allowed now, at most `limit`. */
static void
go_on(struct epb_throttles *throttles, struct throttle *throttle,
      const struct epb_time *now, unsigned limit)
{
    struct turn *turn;
    struct span after;

    while (limit > 0 && (turn = first_turn(throttle)) != NULL &&
           ask_behind(throttle, 0, &turn->ask, now, &after, &turn->answer)) {
        struct epb_wait *wait =
            EPB_LIST_ITEM(throttle->queue.next, struct epb_wait, of_queue);

        queue_leave(throttle, wait);
        throttle_set(throttles, throttle, &turn->ask, tat_after(throttle, &turn->ask));
        epb_wait_finish(throttles->waits, wait, EPB_OK);
        limit--;
    }
    wake_set(throttles, throttle, now);
}

static void
wait_withdraw(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct turn *turn = wait->detail;
    struct throttle *throttle = turn->throttle;

    queue_leave(throttle, wait);
    wake_set(owner, throttle, now);
}

static void
wait_drop(void *owner, struct epb_wait *wait)
{
    struct epb_throttles *throttles = owner;

    if (wait->detail != NULL) {
        epb_quota_release(throttles->quota, throttles->arena, wait->detail,
                          sizeof(struct turn));
        wait->detail = NULL;
    }
}

static const struct epb_wait_owner owner_calls = {.withdraw = wait_withdraw,
                                                  .drop = wait_drop};

/* Appends the request to the queue. */
static enum epb_status
queue_join(struct epb_throttles *throttles, struct throttle *throttle,
           struct epb_peer *peer, const struct epb_request *request,
           const struct ask *ask, const struct epb_time *now)
{
    struct epb_wait *wait;
    void *block;
    enum epb_status status =
        epb_quota_alloc(throttles->quota, throttles->arena, sizeof(struct turn), &block);

    if (status == EPB_OK && epb_list_empty(&throttle->queue)) {
        status = epb_heap_reserve(&throttles->wakes);
        if (status != EPB_OK) {
            epb_quota_release(throttles->quota, throttles->arena, block,
                              sizeof(struct turn));
        }
    }
    if (status != EPB_OK) {
        return status;
    }
    status = epb_wait_new(throttles->waits, peer, request, &owner_calls, throttles, now,
                          &wait);
    if (status != EPB_OK) {
        epb_quota_release(throttles->quota, throttles->arena, block, sizeof(struct turn));
        return status;
    }
    struct turn *turn = block;

    *turn = (struct turn){.throttle = throttle, .ask = *ask};
    wait->detail = turn;
    if (epb_list_empty(&throttle->queue)) {
        epb_heap_insert(&throttles->wakes, &throttle->wake, UINT64_MAX);
    }
    epb_list_append(&throttle->queue, &wait->of_queue);
    throttle->queued += shares_of(ask);
    wake_set(throttles, throttle, now);
    return EPB_OK;
}

/* The request is not allowed now, or others wait before it. */
static enum epb_status
refuse_or_wait(struct epb_throttles *throttles, struct throttle *throttle,
               struct epb_peer *peer, const struct epb_request *request,
               const struct ask *ask, const struct epb_time *now,
               struct epb_throttle_answer *answer)
{
    EPB_ASSERT(throttle != NULL);
    /* Behind other requests it can be granted in the next ms at the earliest. */
    answer->allowed = false;
    answer->retry_after_ms = answer->retry_after_ms > 0 ? answer->retry_after_ms : 1;
    if (request->wait_ms == 0 || ask->cost == 0) {
        return EPB_OK;
    }
    if (request->wait_ms < EPB_WAIT_FOREVER_MS &&
        answer->retry_after_ms > request->wait_ms) {
        return EPB_WAIT_TIMEOUT;
    }
    answer->waits = true;
    return queue_join(throttles, throttle, peer, request, ask, now);
}

enum epb_status
epb_throttle_take(struct epb_throttles *throttles, struct epb_peer *peer,
                  const struct epb_request *request, const struct epb_time *now,
                  struct epb_throttle_answer *answer)
{
    struct throttle *throttle = epb_map_find(throttles->map, request->key);
    struct epb_throttle_answer made;
    struct span after;
    struct ask ask;
    enum epb_status status = EPB_OK;

    if (!ask_read(request, &ask)) {
        return EPB_INVALID_REQUEST;
    }
    if (throttle != NULL && !epb_list_empty(&throttle->queue)) {
        go_on(throttles, throttle, now, GRANTS_A_CALL);
    }
    uint64_t before = throttle == NULL ? 0 : throttle->queued;

    if (!ask_behind(throttle, before, &ask, now, &after, &made) ||
        (before > 0 && ask.cost > 0)) {
        status = refuse_or_wait(throttles, throttle, peer, request, &ask, now, &made);
    } else if (ask.cost > 0) {
        status = throttle_move(throttles, throttle, request->key, &ask, after, now);
    }
    if (status == EPB_OK || status == EPB_WAIT_TIMEOUT) {
        *answer = made;
    }
    return status;
}

const struct epb_throttle_answer *
epb_throttle_granted(const struct epb_wait *wait)
{
    const struct turn *turn = wait->detail;

    return &turn->answer;
}

uint64_t
epb_throttles_wake(struct epb_throttles *throttles, const struct epb_time *now,
                   unsigned limit)
{
    struct epb_heap_node *first = epb_heap_first(&throttles->wakes);

    while (first != NULL && first->due_ms <= now->mono_ms && limit > 0) {
        /* Grants at least one, or sets its time anew. */
        go_on(throttles, EPB_LIST_ITEM(first, struct throttle, wake), now, 1);
        first = epb_heap_first(&throttles->wakes);
        limit--;
    }
    return first == NULL ? UINT64_MAX : first->due_ms;
}

/* Creation, sweeping and clearing */

struct epb_throttles *
epb_throttles_new(struct epb_arena *arena, struct epb_quota *quota,
                  struct epb_waits *waits)
{
    struct epb_throttles *throttles = epb_mem_table_alloc(sizeof(*throttles));

    if (throttles == NULL) {
        return NULL;
    }
    throttles->arena = arena;
    throttles->quota = quota;
    throttles->waits = waits;
    throttles->map = epb_map_new(key_of);
    if (throttles->map == NULL) {
        epb_mem_table_free(throttles);
        return NULL;
    }
    epb_heap_init(&throttles->heap);
    epb_heap_init(&throttles->wakes);
    return throttles;
}

static struct throttle *
throttle_of(struct epb_heap_node *node)
{
    return (struct throttle *)node; /* its first member */
}

void
epb_throttles_free(struct epb_throttles *throttles)
{
    if (throttles == NULL) {
        return;
    }
    while (throttles->heap.count > 0) {
        throttle_free(throttles,
                      throttle_of(throttles->heap.nodes[throttles->heap.count - 1]));
    }
    epb_heap_fini(&throttles->heap);
    epb_heap_fini(&throttles->wakes);
    epb_map_free(throttles->map);
    epb_mem_table_free(throttles);
}

uint64_t
epb_throttles_sweep(struct epb_throttles *throttles, const struct epb_time *now,
                    unsigned limit)
{
    struct epb_heap_node *first = epb_heap_first(&throttles->heap);

    if (first == NULL) {
        return UINT64_MAX;
    }
    if (now->mono_ms < throttles->rest_until_ms) {
        return first->due_ms > throttles->rest_until_ms ? first->due_ms
                                                        : throttles->rest_until_ms;
    }
    for (unsigned i = 0; i < limit && first != NULL && first->due_ms <= now->mono_ms;
         i++) {
        struct throttle *throttle = throttle_of(first);

        if (epb_list_empty(&throttle->queue)) {
            throttle_free(throttles, throttle);
        } else {
            /* Its queue still has requests, whose grants are late: keep the throttle. */
            epb_heap_change(&throttles->heap, first, now->mono_ms + 1);
        }
        first = epb_heap_first(&throttles->heap);
    }
    if (first == NULL) {
        return UINT64_MAX;
    }
    if (first->due_ms <= now->mono_ms) {
        return now->mono_ms;
    }
    throttles->rest_until_ms = now->mono_ms + SWEEP_REST_MS;
    return first->due_ms > throttles->rest_until_ms ? first->due_ms
                                                    : throttles->rest_until_ms;
}

/* The most throttles of one part of the map that are freed at a time. */
#define CLEAR_THROTTLES 64U

struct found {
    struct epb_bytes prefix;
    struct epb_budget *budget;
    unsigned count;
    struct throttle *throttles[CLEAR_THROTTLES];
};

static void
find_part(void *context, void *visited)
{
    struct found *found = context;
    struct throttle *throttle = visited;

    epb_budget_spend(found->budget, EPB_UNITS_VISIT);
    if (found->count < CLEAR_THROTTLES && epb_list_empty(&throttle->queue) &&
        throttle->key_bytes >= found->prefix.size_bytes &&
        (found->prefix.size_bytes == 0 ||
         memcmp(throttle->key, found->prefix.data, found->prefix.size_bytes) == 0)) {
        found->throttles[found->count++] = throttle;
    }
}

bool
epb_throttles_clear(struct epb_throttles *throttles, struct epb_bytes prefix,
                    uint64_t *cursor, struct epb_budget *budget, uint64_t *cleared)
{
    struct found found = {.prefix = prefix, .budget = budget};

    while (!epb_budget_is_spent(budget)) {
        uint64_t next = *cursor;
        bool more;

        epb_budget_spend(budget, 1);
        found.count = 0;
        more = epb_map_scan(throttles->map, &next, find_part, &found);
        for (unsigned i = 0; i < found.count; i++) {
            throttle_free(throttles, found.throttles[i]);
        }
        *cleared += found.count;
        /* If the array is full, the part may contain more throttles. */
        if (found.count < CLEAR_THROTTLES) {
            *cursor = next;
            if (!more) {
                return true;
            }
        }
    }
    return false;
}

uint64_t
epb_throttles_count(const struct epb_throttles *throttles)
{
    return epb_map_count(throttles->map);
}

size_t
epb_throttles_table_bytes(const struct epb_throttles *throttles)
{
    return sizeof(*throttles) + epb_map_bytes(throttles->map) +
           epb_heap_bytes(&throttles->heap) + epb_heap_bytes(&throttles->wakes);
}
