/*
 * Withdrawing a wait lets its owner finish others. So no loop here keeps a position: each
 * looks for the first wait again.
 */
#include "wait.h"
#include "../base/arena.h"
#include "../base/mem.h"

struct epb_waits {
    struct epb_arena *arena;
    struct epb_quota *quota;
    uint64_t max_waits;
    void (*on_ready)(void *context, void *user);
    void *context;
    struct epb_tree deadlines;
    struct epb_map *keyed; /* groups by key */
    uint64_t seed;
    uint64_t last_session;
    uint64_t last_serial;
    uint64_t watchers;
    bool ending; /* all waits are being withdrawn */
    bool calling;
};

static struct epb_bytes
key_of_group(const void *item)
{
    const struct epb_group *group = item;

    return (struct epb_bytes){group->key, sizeof(group->key)};
}

struct epb_waits *
epb_waits_new(struct epb_arena *arena, struct epb_quota *quota, uint64_t max_waits,
              void (*on_ready)(void *context, void *user), void *context)
{
    struct epb_waits *waits = epb_mem_table_alloc(sizeof(*waits));

    if (waits == NULL) {
        return NULL;
    }
    waits->keyed = epb_map_new(key_of_group);
    if (waits->keyed == NULL ||
        epb_sys_random(&waits->seed, sizeof(waits->seed)) != EPB_OK) {
        epb_map_free(waits->keyed);
        epb_mem_table_free(waits);
        return NULL;
    }
    waits->arena = arena;
    waits->quota = quota;
    waits->max_waits = max_waits;
    waits->on_ready = on_ready;
    waits->context = context;
    epb_tree_init(&waits->deadlines, waits->seed);
    return waits;
}

void
epb_waits_free(struct epb_waits *waits)
{
    if (waits == NULL) {
        return;
    }
    EPB_ASSERT(waits->deadlines.count == 0 && epb_map_count(waits->keyed) == 0);
    epb_map_free(waits->keyed);
    epb_mem_table_free(waits);
}

/* Sessions */

static struct epb_group *
group_new(struct epb_waits *waits)
{
    struct epb_group *group = epb_arena_alloc(waits->arena, sizeof(*group));

    if (group != NULL) {
        group->session = ++waits->last_session;
        epb_list_init(&group->peers);
        epb_list_init(&group->holders);
    }
    return group;
}

static void
group_free_unused(struct epb_waits *waits, struct epb_group *group)
{
    if (!epb_list_empty(&group->peers)) {
        return;
    }
    EPB_ASSERT(epb_list_empty(&group->holders));
    if (group->keyed) {
        epb_map_remove(waits->keyed, group);
    }
    epb_arena_release(waits->arena, group, sizeof(*group));
}

enum epb_status
epb_group_get(struct epb_waits *waits, const uint8_t key[EPB_SESSION_KEY_BYTES],
              uint64_t pid, struct epb_group **out)
{
    struct epb_group *group =
        epb_map_find(waits->keyed, (struct epb_bytes){key, EPB_SESSION_KEY_BYTES});
    enum epb_status status;

    *out = group;
    if (group != NULL) {
        return EPB_OK;
    }
    group = group_new(waits);
    if (group == NULL) {
        return EPB_INTERNAL;
    }
    group->pid = pid;
    memcpy(group->key, key, sizeof(group->key));
    status = epb_map_insert(waits->keyed, group);
    group->keyed = status == EPB_OK;
    if (status != EPB_OK) {
        waits->last_session--;
        group_free_unused(waits, group);
        return status;
    }
    *out = group;
    return EPB_OK;
}

bool
epb_peer_may_join(const struct epb_peer *peer)
{
    return peer->group != NULL && epb_list_empty(&peer->takes) &&
           epb_list_empty(&peer->losses) && peer->ids.count == 0;
}

void
epb_peer_join(struct epb_waits *waits, struct epb_peer *peer, struct epb_group *group)
{
    struct epb_group *left = peer->group;

    EPB_ASSERT(epb_peer_may_join(peer));
    epb_list_remove(&peer->of_group);
    epb_list_append(&group->peers, &peer->of_group);
    peer->group = group;
    group_free_unused(waits, left);
}

/* Peers */

struct epb_peer *
epb_peer_new(struct epb_waits *waits, void *user, bool sessionless)
{
    struct epb_peer *peer = epb_mem_table_alloc(sizeof(*peer));

    if (peer == NULL) {
        return NULL;
    }
    epb_mark_set(&peer->mark, EPB_MARK_PEER);
    peer->user = user;
    epb_list_init(&peer->of_group);
    if (!sessionless) {
        peer->group = group_new(waits);
        if (peer->group == NULL) {
            epb_mem_table_free(peer);
            return NULL;
        }
        epb_list_append(&peer->group->peers, &peer->of_group);
    }
    epb_list_init(&peer->waiting);
    epb_list_init(&peer->finished);
    epb_list_init(&peer->events);
    epb_list_init(&peer->watchers);
    epb_list_init(&peer->takes);
    epb_list_init(&peer->losses);
    epb_list_init(&peer->of_leaving);
    epb_tree_init(&peer->ids, waits->seed ^ (uint64_t)(uintptr_t)peer);
    return peer;
}

static struct epb_wait *
first_of(const struct epb_list *list)
{
    return epb_list_empty(list) ? NULL
                                : EPB_LIST_ITEM(list->next, struct epb_wait, of_peer);
}

static void
undo(struct epb_waits *waits, struct epb_wait *wait, const struct epb_time *now)
{
    epb_list_remove(&wait->of_peer);
    if (wait->calls->undo != NULL) {
        wait->calls->undo(wait->owner, wait, now);
    }
    epb_wait_free(waits, wait);
}

bool
epb_peer_withdraw(struct epb_waits *waits, struct epb_peer *peer,
                  const struct epb_time *now, struct epb_budget *budget)
{
    struct epb_wait *wait;

    peer->leaving = true;
    while ((wait = first_of(&peer->waiting)) != NULL && !epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, 4 * EPB_UNITS_VISIT);
        wait->calls->withdraw(wait->owner, wait, now);
        epb_wait_free(waits, wait);
    }
    while ((wait = first_of(&peer->finished)) != NULL && !epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, 3 * EPB_UNITS_VISIT);
        undo(waits, wait, now);
    }
    return epb_list_empty(&peer->waiting) && epb_list_empty(&peer->finished);
}

void
epb_peer_free(struct epb_waits *waits, struct epb_peer *peer)
{
    EPB_ASSERT(peer->ids.count == 0 && epb_list_empty(&peer->events) &&
               epb_list_empty(&peer->watchers) && epb_list_empty(&peer->takes) &&
               epb_list_empty(&peer->losses) && epb_list_empty(&peer->waiting) &&
               epb_list_empty(&peer->finished) && epb_list_empty(&peer->of_leaving) &&
               peer->watcher_count == 0 && peer->job == NULL);
    epb_mark_clear(&peer->mark, EPB_MARK_PEER);
    if (peer->group != NULL) {
        epb_list_remove(&peer->of_group);
        group_free_unused(waits, peer->group);
    }
    epb_mem_table_free(peer);
}

void
epb_peer_ready(struct epb_waits *waits, struct epb_peer *peer)
{
    EPB_MARK_CHECK(peer, EPB_MARK_PEER);
    if (!peer->told && !peer->leaving) {
        peer->told = true;
        waits->calling = true;
        waits->on_ready(waits->context, peer->user);
        waits->calling = false;
    }
}

void
epb_peer_recheck(struct epb_peer *peer)
{
    peer->told = peer->told &&
                 (!epb_list_empty(&peer->finished) || !epb_list_empty(&peer->events) ||
                  !epb_list_empty(&peer->losses) || peer->job != NULL);
}

bool
epb_waits_are_calling(const struct epb_waits *waits)
{
    return waits->calling;
}

/* Waits */

static uint64_t
due_of(const struct epb_request *request, const struct epb_time *now)
{
    return request->wait_ms >= EPB_WAIT_FOREVER_MS ? UINT64_MAX
                                                   : now->mono_ms + request->wait_ms;
}

static void
start(struct epb_waits *waits, struct epb_wait *wait)
{
    wait->waiting = true;
    wait->status = EPB_OK;
    epb_list_append(&wait->peer->waiting, &wait->of_peer);
    epb_tree_insert(&waits->deadlines, &wait->by_due, wait->due_mono_ms, wait->serial);
}

static void
stop(struct epb_waits *waits, struct epb_wait *wait)
{
    wait->waiting = false;
    epb_list_remove(&wait->of_peer);
    epb_list_remove(&wait->of_queue);
    epb_tree_remove(&waits->deadlines, &wait->by_due);
}

static bool
is_full(const struct epb_waits *waits)
{
    return waits->max_waits != 0 && epb_waits_count(waits) >= waits->max_waits;
}

enum epb_status
epb_wait_new(struct epb_waits *waits, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_wait_owner *calls,
             void *owner, const struct epb_time *now, struct epb_wait **out)
{
    struct epb_wait *wait;
    void *block;
    enum epb_status status;

    if (request->id == 0 || epb_wait_has(peer, request->id)) {
        return EPB_CONFLICT;
    }
    if (is_full(waits)) {
        return EPB_MAX_WAITERS;
    }
    status = epb_quota_alloc(waits->quota, waits->arena, sizeof(*wait), &block);
    if (status != EPB_OK) {
        return status;
    }
    wait = block;
    epb_mark_set(&wait->mark, EPB_MARK_WAIT);
    wait->peer = peer;
    wait->calls = calls;
    wait->owner = owner;
    wait->serial = ++waits->last_serial;
    wait->since_mono_ms = now->mono_ms;
    wait->due_mono_ms = due_of(request, now);
    wait->id = request->id;
    wait->action = request->action;
    epb_list_init(&wait->of_queue);
    epb_tree_insert(&peer->ids, &wait->by_id, wait->id, 0);
    start(waits, wait);
    *out = wait;
    return EPB_OK;
}

void
epb_wait_finish(struct epb_waits *waits, struct epb_wait *wait, enum epb_status status)
{
    EPB_MARK_CHECK(wait, EPB_MARK_WAIT);
    EPB_ASSERT(wait->waiting);
    stop(waits, wait);
    wait->status = status;
    epb_list_append(&wait->peer->finished, &wait->of_peer);
    epb_peer_ready(waits, wait->peer);
}

void
epb_wait_again(struct epb_waits *waits, struct epb_wait *wait)
{
    EPB_ASSERT(!wait->waiting && epb_list_empty(&wait->of_peer));
    start(waits, wait);
}

struct epb_wait *
epb_wait_pop(struct epb_peer *peer)
{
    struct epb_wait *wait = first_of(&peer->finished);

    if (wait != NULL) {
        epb_list_remove(&wait->of_peer);
    }
    return wait;
}

void
epb_wait_free(struct epb_waits *waits, struct epb_wait *wait)
{
    EPB_MARK_CHECK(wait, EPB_MARK_WAIT);
    if (wait->calls->drop != NULL) {
        wait->calls->drop(wait->owner, wait);
    }
    if (wait->waiting) {
        stop(waits, wait);
    }
    EPB_ASSERT(epb_list_empty(&wait->of_peer) && epb_list_empty(&wait->of_queue));
    epb_mark_clear(&wait->mark, EPB_MARK_WAIT);
    epb_tree_remove(&wait->peer->ids, &wait->by_id);
    epb_quota_release(waits->quota, waits->arena, wait, sizeof(*wait));
}

bool
epb_wait_is_leaving(const struct epb_waits *waits, const struct epb_wait *wait)
{
    return waits->ending || wait->peer->leaving;
}

static struct epb_wait *
find(const struct epb_peer *peer, uint32_t id)
{
    struct epb_tree_node *node = epb_tree_find(&peer->ids, id, 0);

    return node == NULL ? NULL : EPB_TREE_ITEM(node, struct epb_wait, by_id);
}

bool
epb_wait_has(const struct epb_peer *peer, uint32_t id)
{
    return find(peer, id) != NULL;
}

/* Withdrawal */

static void
end(struct epb_waits *waits, struct epb_wait *wait, enum epb_status status,
    const struct epb_time *now)
{
    wait->calls->withdraw(wait->owner, wait, now);
    epb_wait_finish(waits, wait, status);
}

bool
epb_wait_cancel(struct epb_waits *waits, struct epb_peer *peer, uint32_t id,
                const struct epb_time *now)
{
    struct epb_wait *wait = find(peer, id);

    if (wait == NULL || !wait->waiting) {
        return false;
    }
    end(waits, wait, EPB_WAIT_TIMEOUT, now);
    return true;
}

static struct epb_wait *
first_due(const struct epb_waits *waits)
{
    return waits->deadlines.first == NULL
               ? NULL
               : EPB_TREE_ITEM(waits->deadlines.first, struct epb_wait, by_due);
}

void
epb_waits_finish_all(struct epb_waits *waits, enum epb_status status,
                     const struct epb_time *now)
{
    struct epb_wait *wait;

    waits->ending = true;
    while ((wait = first_due(waits)) != NULL) {
        end(waits, wait, status, now);
    }
    waits->ending = false;
}

uint64_t
epb_waits_sweep(struct epb_waits *waits, const struct epb_time *now, unsigned limit)
{
    struct epb_wait *wait = first_due(waits);

    while (wait != NULL && epb_wait_is_due(wait, now) && limit > 0) {
        end(waits, wait, EPB_WAIT_TIMEOUT, now);
        wait = first_due(waits);
        limit--;
    }
    return wait == NULL ? UINT64_MAX : wait->due_mono_ms;
}

/* Counting */

enum epb_status
epb_waits_count_in(struct epb_waits *waits)
{
    if (is_full(waits)) {
        return EPB_MAX_WAITERS;
    }
    waits->watchers++;
    return EPB_OK;
}

void
epb_waits_count_out(struct epb_waits *waits)
{
    waits->watchers--;
}

uint64_t
epb_waits_count(const struct epb_waits *waits)
{
    return waits->deadlines.count + waits->watchers;
}

uint64_t
epb_waits_last_serial(const struct epb_waits *waits)
{
    return waits->last_serial;
}
