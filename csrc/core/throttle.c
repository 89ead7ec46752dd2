/*
 * A span is whole milliseconds and a rest in parts of 1/limit ms, so that neither a large
 * TAT nor a large limit overflows: burst * period is below 2^55 parts.
 */
#include "throttle.h"

#include "../base/heap.h"
#include "../base/map.h"

/* A name is gone within 100 ms of the moment it says nothing any more, however late the
 * timer is. */
#define SWEEP_REST_MS 90U

/* Of one limit: parts < limit. */
struct span {
    uint64_t ms;
    uint64_t parts;
};

struct throttle {
    struct epb_heap_node due; /* the first ms at which the TAT has passed */
    struct span tat;          /* mono_ms */
    uint32_t limit;           /* of the TAT's parts */
    uint16_t key_bytes;
    uint8_t key[];
};

/* A request with its numbers filled in and checked. */
struct ask {
    uint64_t limit;
    uint64_t period_ms; /* an interval, in parts of 1/limit ms */
    uint64_t burst;
    uint64_t cost;
};

struct epb_throttles {
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_map *map;
    struct epb_heap heap;
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

/* `right` is not the greater one. */
static struct span
span_subtract(struct span left, struct span right, uint64_t limit)
{
    if (left.parts >= right.parts) {
        return (struct span){left.ms - right.ms, left.parts - right.parts};
    }
    return (struct span){left.ms - right.ms - 1, left.parts + limit - right.parts};
}

/* The whole ms that cover it. */
static uint64_t
span_ceil_ms(struct span span)
{
    return span.ms + (span.parts > 0);
}

/* The same span in parts of another limit, rounded up. */
static struct span
span_convert(struct span span, uint64_t from_limit, uint64_t limit)
{
    uint64_t parts = (span.parts * limit + from_limit - 1) / from_limit;

    return (struct span){span.ms + parts / limit, parts % limit};
}

/* Requests */

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
    return ask->period_ms >= 1 && ask->period_ms <= EPB_THROTTLE_PERIOD_MAX_MS &&
           ask->burst >= 1 && ask->burst <= EPB_THROTTLE_UNITS_MAX;
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
                                 sizeof *throttle + key.size_bytes, &block);
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
                          sizeof *throttle + throttle->key_bytes);
        return status;
    }
    epb_heap_insert(&throttles->heap, &throttle->due, UINT64_MAX);
    *out = throttle;
    return EPB_OK;
}

static void
throttle_free(struct epb_throttles *throttles, struct throttle *throttle)
{
    epb_heap_remove(&throttles->heap, &throttle->due);
    epb_map_remove(throttles->map, throttle);
    epb_quota_release(throttles->quota, throttles->arena, throttle,
                      sizeof *throttle + throttle->key_bytes);
}

/* Moves the TAT to `ahead` of now. */
static enum epb_status
throttle_move(struct epb_throttles *throttles, struct throttle *throttle,
              struct epb_bytes key, const struct ask *ask, struct span ahead,
              const struct epb_time *now)
{
    enum epb_status status = EPB_OK;

    if (throttle == NULL) {
        status = throttle_new(throttles, key, &throttle);
    }
    if (status != EPB_OK) {
        return status;
    }
    throttle->limit = (uint32_t)ask->limit;
    throttle->tat = (struct span){now->mono_ms + ahead.ms, ahead.parts};
    epb_heap_change(&throttles->heap, &throttle->due, span_ceil_ms(throttle->tat));
    return EPB_OK;
}

enum epb_status
epb_throttle_take(struct epb_throttles *throttles, const struct epb_request *request,
                  const struct epb_time *now, struct epb_throttle_answer *answer)
{
    struct throttle *throttle = epb_map_find(throttles->map, request->key);
    struct ask ask;
    enum epb_status status = EPB_OK;

    if (!ask_read(request, &ask)) {
        return EPB_INVALID_REQUEST;
    }
    struct span ahead = ahead_of(throttle, &ask, now);
    struct span burst = span_of(ask.burst * ask.period_ms, ask.limit);
    struct epb_throttle_answer made = {.allowed = ask.cost <= ask.burst};

    if (!made.allowed) {
        made.retry_after_ms = UINT64_MAX;
    } else {
        struct span after =
            span_add(ahead, span_of(ask.cost * ask.period_ms, ask.limit), ask.limit);

        made.allowed = !span_less(burst, after);
        if (!made.allowed) {
            made.retry_after_ms = span_ceil_ms(span_subtract(after, burst, ask.limit));
        } else if (ask.cost > 0) {
            status = throttle_move(throttles, throttle, request->key, &ask, after, now);
            ahead = after;
        }
    }
    if (status != EPB_OK) {
        return status;
    }
    answer_fill(&ask, ahead, burst, &made);
    *answer = made;
    return EPB_OK;
}

/* All of them */

struct epb_throttles *
epb_throttles_new(struct epb_arena *arena, struct epb_quota *quota)
{
    struct epb_throttles *throttles = epb_mem_table_alloc(sizeof *throttles);

    if (throttles == NULL) {
        return NULL;
    }
    throttles->arena = arena;
    throttles->quota = quota;
    throttles->map = epb_map_new(key_of);
    if (throttles->map == NULL) {
        epb_mem_table_free(throttles);
        return NULL;
    }
    epb_heap_init(&throttles->heap);
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
        throttle_free(throttles, throttle_of(first));
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

uint64_t
epb_throttles_count(const struct epb_throttles *throttles)
{
    return epb_map_count(throttles->map);
}

size_t
epb_throttles_table_bytes(const struct epb_throttles *throttles)
{
    return sizeof *throttles + epb_map_bytes(throttles->map) +
           epb_heap_bytes(&throttles->heap);
}
