/* See barrier.h. */
#include "barrier.h"

#include "../base/arena.h"
#include "../base/map.h"
#include "../base/mem.h"

struct barrier {
    struct epb_list arrived; /* waits, in the order of arrival */
    int64_t parties;         /* n */
    int64_t count;           /* of arrived requests */
    uint16_t key_bytes;
    uint8_t key[];
};

struct epb_barriers {
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_waits *waits;
    struct epb_map *map;
};

static struct epb_bytes
key_of(const void *item)
{
    const struct barrier *barrier = item;

    return (struct epb_bytes){barrier->key, barrier->key_bytes};
}

static size_t
barrier_bytes(const struct barrier *barrier)
{
    return sizeof(*barrier) + barrier->key_bytes;
}

static enum epb_status
barrier_new(struct epb_barriers *barriers, const struct epb_request *request,
            struct barrier **out)
{
    struct barrier *barrier;
    void *block;
    enum epb_status status =
        epb_quota_alloc(barriers->quota, barriers->arena,
                        sizeof(*barrier) + request->key.size_bytes, &block);

    if (status != EPB_OK) {
        return status;
    }
    barrier = block;
    epb_list_init(&barrier->arrived);
    barrier->parties = request->count;
    barrier->key_bytes = (uint16_t)request->key.size_bytes;
    memcpy(barrier->key, request->key.data, request->key.size_bytes);
    status = epb_map_insert(barriers->map, barrier);
    if (status != EPB_OK) {
        epb_quota_release(barriers->quota, barriers->arena, barrier,
                          barrier_bytes(barrier));
        return status;
    }
    *out = barrier;
    return EPB_OK;
}

static void
barrier_free_empty(struct epb_barriers *barriers, struct barrier *barrier)
{
    if (barrier->count == 0) {
        epb_map_remove(barriers->map, barrier);
        epb_quota_release(barriers->quota, barriers->arena, barrier,
                          barrier_bytes(barrier));
    }
}

/* Removes a wait; those behind it get smaller numbers. */
static void
forget(struct barrier *barrier, struct epb_wait *wait)
{
    epb_list_remove(&wait->of_queue);
    wait->detail = NULL;
    barrier->count--;
}

static void
wait_withdraw(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct barrier *barrier = wait->detail;

    (void)now;
    if (barrier != NULL) {
        forget(barrier, wait);
        barrier_free_empty(owner, barrier);
    }
}

static const struct epb_wait_owner owner_calls = {.withdraw = wait_withdraw};

/* Removes waits whose peer is leaving and that are not withdrawn yet: they have not
 * arrived. Returns the barrier; NULL: nothing is left of it. */
static struct barrier *
forget_leaving(struct epb_barriers *barriers, struct barrier *barrier)
{
    struct epb_list *node = barrier->arrived.next;
    bool is_left;

    while (node != &barrier->arrived) {
        struct epb_wait *wait = EPB_LIST_ITEM(node, struct epb_wait, of_queue);

        node = node->next;
        if (epb_wait_is_leaving(barriers->waits, wait)) {
            forget(barrier, wait);
        }
    }
    is_left = barrier->count > 0;
    barrier_free_empty(barriers, barrier);
    return is_left ? barrier : NULL;
}

/* All have arrived: finishes all waits. */
static void
barrier_open(struct epb_barriers *barriers, struct barrier *barrier)
{
    int64_t number = 0;

    while (!epb_list_empty(&barrier->arrived)) {
        struct epb_wait *wait =
            EPB_LIST_ITEM(barrier->arrived.next, struct epb_wait, of_queue);

        wait->count = number++;
        wait->detail = NULL;
        epb_wait_finish(barriers->waits, wait, EPB_OK);
    }
    barrier->count = 0;
    barrier_free_empty(barriers, barrier);
}

/* Queues a request that is not the last; `barrier` is NULL for the first. */
static enum epb_status
join(struct epb_barriers *barriers, struct barrier *barrier, struct epb_peer *peer,
     const struct epb_request *request, const struct epb_time *now)
{
    struct epb_wait *wait;
    enum epb_status status = EPB_OK;

    if (request->wait_ms == 0) {
        return EPB_WAIT_TIMEOUT;
    }
    if (barrier == NULL) {
        status = barrier_new(barriers, request, &barrier);
    }
    if (status != EPB_OK) {
        return status;
    }
    status =
        epb_wait_new(barriers->waits, peer, request, &owner_calls, barriers, now, &wait);
    if (status != EPB_OK) {
        barrier_free_empty(barriers, barrier);
        return status;
    }
    wait->detail = barrier;
    epb_list_append(&barrier->arrived, &wait->of_queue);
    barrier->count++;
    return EPB_OK;
}

enum epb_status
epb_barrier_arrive(struct epb_barriers *barriers, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now,
                   bool *done, int64_t *number)
{
    struct barrier *barrier = epb_map_find(barriers->map, request->key);
    int64_t before = barrier == NULL ? 0 : barrier->count;
    enum epb_status status;

    if (request->count < 1 || request->count > EPB_BARRIER_MAX) {
        return EPB_INVALID_REQUEST;
    }
    if (barrier != NULL && barrier->parties != request->count) {
        return EPB_KIND_MISMATCH;
    }
    if (barrier != NULL && before + 1 >= request->count) {
        barrier = forget_leaving(barriers, barrier);
        before = barrier == NULL ? 0 : barrier->count;
    }
    if (before + 1 < request->count) {
        status = join(barriers, barrier, peer, request, now);
        if (status == EPB_OK) {
            *done = false;
        }
        return status;
    }
    if (barrier != NULL) {
        barrier_open(barriers, barrier);
    }
    *done = true;
    *number = before;
    return EPB_OK;
}

struct epb_barriers *
epb_barriers_new(struct epb_arena *arena, struct epb_quota *quota,
                 struct epb_waits *waits)
{
    struct epb_barriers *barriers = epb_mem_table_alloc(sizeof(*barriers));

    if (barriers == NULL) {
        return NULL;
    }
    *barriers = (struct epb_barriers){arena, quota, waits, epb_map_new(key_of)};
    if (barriers->map == NULL) {
        epb_mem_table_free(barriers);
        return NULL;
    }
    return barriers;
}

void
epb_barriers_free(struct epb_barriers *barriers)
{
    if (barriers == NULL) {
        return;
    }
    epb_map_free(barriers->map);
    epb_mem_table_free(barriers);
}

size_t
epb_barriers_table_bytes(const struct epb_barriers *barriers)
{
    return sizeof(*barriers) + epb_map_bytes(barriers->map);
}
