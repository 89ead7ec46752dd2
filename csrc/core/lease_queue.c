/*
 * Queues, and how grants begin and end.
 *
 * A waiting request is a pending grant in the queue of its resource. The grant begins
 * when all before it have begun or left, and when what it wants is free.
 */
#include "../base/arena.h"
#include "lease_internal.h"

/* Queues */

struct epb_grant *
epb_queue_first(const struct epb_resource *resource)
{
    return resource->queue.first == NULL
               ? NULL
               : EPB_TREE_ITEM(resource->queue.first, struct epb_grant, by_token);
}

void
epb_queue_add(struct epb_leases *leases, struct epb_grant *grant)
{
    uint64_t serial = grant->wait->serial;

    epb_tree_insert(&grant->holding->resource->queue, &grant->by_token, serial, 0);
    epb_tree_insert(&leases->pendings, &grant->by_due, serial, 0);
    grant->holding->resource->wide += grant->count > 1;
    grant->queued = true;
}

void
epb_queue_remove(struct epb_leases *leases, struct epb_grant *grant)
{
    if (grant->queued) {
        epb_walks_see_pending(leases, grant);
        epb_tree_remove(&grant->holding->resource->queue, &grant->by_token);
        epb_tree_remove(&leases->pendings, &grant->by_due);
        grant->holding->resource->wide -= grant->count > 1;
        grant->queued = false;
    }
}

void
epb_queue_refuse(struct epb_leases *leases, struct epb_resource *resource)
{
    uint64_t size = epb_resource_size(resource);
    struct epb_tree_node *node = resource->queue.first;

    while (node != NULL && resource->wide > 0) {
        struct epb_grant *pending = EPB_TREE_ITEM(node, struct epb_grant, by_token);

        node = epb_tree_next(&resource->queue, node);
        if (pending->count > 1 && pending->count > size) {
            epb_queue_remove(leases, pending);
            pending->wait->count = (int64_t)size;
            epb_wait_finish(leases->waits, pending->wait, EPB_CONFLICT);
        }
    }
}

/* Beginning */

static bool
is_numbered(const struct epb_resource *resource)
{
    return resource->kind == EPB_KIND_NUMBERS || resource->kind == EPB_KIND_SEMAPHORE;
}

static void
take_things(const struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_resource *resource = grant->holding->resource;

    for (uint32_t i = 0; i < grant->count; i++) {
        if (resource->kind == EPB_KIND_POOL) {
            grant->things[i].element = epb_element_take(leases, resource, grant);
        } else if (is_numbered(resource)) {
            grant->things[i].number = epb_slots_take(&resource->slots);
        }
    }
}

void
epb_grant_start(struct epb_leases *leases, struct epb_grant *grant,
                const struct epb_time *now)
{
    struct epb_holding *holding = grant->holding;

    take_things(leases, grant);
    grant->live = true;
    grant->token = leases->next_token++;
    grant->since_mono_ms = now->mono_ms;
    epb_tree_insert(&leases->tokens, &grant->by_token, grant->token, 0);
    epb_tree_insert(&leases->deadlines, &grant->by_due, now->mono_ms + grant->ttl_ms,
                    grant->token);
    epb_list_append(&holding->resource->grants, &grant->of_resource);
    epb_list_append(&holding->grants, &grant->of_holding);
    epb_list_append(&holding->holder->grants, &grant->of_holder);
    holding->grant_count++;
    holding->holder->live[holding->resource->space]++;
    leases->stats.granted_total++;
    epb_resource_count(leases, holding->resource);
}

void
epb_grant_renew(struct epb_leases *leases, struct epb_grant *grant, uint64_t ttl_ms,
                const struct epb_time *now)
{
    grant->ttl_ms = ttl_ms;
    epb_tree_remove(&leases->deadlines, &grant->by_due);
    epb_tree_insert(&leases->deadlines, &grant->by_due, now->mono_ms + ttl_ms,
                    grant->token);
}

/* Finishes the wait with the grant. */
static void
answer(struct epb_leases *leases, struct epb_wait *wait, struct epb_grant *grant)
{
    epb_take_add_spare(leases, grant, wait->detail);
    epb_wait_finish(leases->waits, wait, EPB_OK);
    wait->grant = grant;
    epb_list_append(&grant->answers, &wait->of_queue);
}

/* Serves the first in the queue; false: it continues to wait. */
static bool
serve(struct epb_leases *leases, struct epb_grant *pending, const struct epb_time *now)
{
    struct epb_holding *holding = pending->holding;
    struct epb_wait *wait = pending->wait;
    struct epb_grant *standing =
        pending->fresh ? NULL : epb_grant_standing(holding, pending->shared, now);

    if (epb_wait_is_leaving(leases->waits, wait)) {
        epb_queue_remove(leases, pending);
    } else if (epb_wait_is_due(wait, now)) {
        wait->count = 1;
        epb_queue_remove(leases, pending);
        epb_wait_finish(leases->waits, wait, EPB_WAIT_TIMEOUT);
    } else if (standing != NULL) {
        epb_queue_remove(leases, pending);
        epb_grant_renew(leases, standing, pending->ttl_ms, now);
        answer(leases, wait, standing);
    } else if (!epb_grant_fits(holding->resource, pending->shared, pending->count)) {
        return false;
    } else if (epb_grant_is_barred(leases, holding)) {
        epb_queue_remove(leases, pending);
        epb_wait_finish(leases->waits, wait, EPB_WORKER_ALREADY_HAS_LEASE);
    } else {
        epb_queue_remove(leases, pending);
        epb_grant_start(leases, pending, now);
        answer(leases, wait, pending);
    }
    return true;
}

void
epb_resource_go_on(struct epb_leases *leases, struct epb_resource *resource,
                   const struct epb_time *now)
{
    struct epb_grant *pending = epb_queue_first(resource);

    EPB_MARK_CHECK(resource, EPB_MARK_RESOURCE);
    while (pending != NULL && serve(leases, pending, now)) {
        pending = epb_queue_first(resource);
    }
    epb_resource_count(leases, resource);
}

/* Ending */

static void
give_things(struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_resource *resource = grant->holding->resource;

    for (uint32_t i = 0; i < grant->count; i++) {
        if (resource->kind == EPB_KIND_POOL) {
            epb_element_give(leases, resource, grant->things[i].element);
            grant->things[i].element = NULL;
        } else if (is_numbered(resource)) {
            epb_slots_give(&resource->slots, grant->things[i].number);
        }
    }
    /* A semaphore keeps room for all its permits, since waiting requests rely on it. */
    if (resource->kind == EPB_KIND_NUMBERS) {
        epb_slots_shrink(&resource->slots, leases->arena, leases->quota);
    }
}

/* Removes a live grant from all structures. */
static void
stop(struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_holding *holding = grant->holding;

    epb_walks_see_grant(leases, grant);
    epb_tree_remove(&leases->tokens, &grant->by_token);
    epb_tree_remove(&leases->deadlines, &grant->by_due);
    epb_filling_passes(leases->filling, &grant->of_resource);
    epb_list_remove(&grant->of_resource);
    epb_list_remove(&grant->of_holding);
    epb_list_remove(&grant->of_holder);
    holding->grant_count--;
    holding->holder->live[holding->resource->space]--;
    epb_flow_forget(grant);
    give_things(leases, grant);
    grant->live = false;
    while (!epb_list_empty(&grant->answers)) {
        struct epb_wait *wait =
            EPB_LIST_ITEM(grant->answers.next, struct epb_wait, of_queue);

        epb_list_remove(&wait->of_queue);
        wait->grant = NULL;
    }
}

void
epb_grant_end(struct epb_leases *leases, struct epb_grant *grant, enum epb_end_reason why,
              const struct epb_time *now)
{
    bool is_loss = why == EPB_END_EXPIRY || why == EPB_END_FORCE;

    EPB_MARK_CHECK(grant, EPB_MARK_GRANT);
    EPB_ASSERT(grant->live);
    stop(leases, grant);
    if (why == EPB_END_EXPIRY) {
        leases->stats.expired_total++;
    } else if (why != EPB_END_RELEASE) {
        leases->stats.lost_total++;
    }
    /* If its reply was not taken, the holder doesn't know the grant; its request may ask
     * again. */
    if (is_loss && grant->taken && grant->wait == NULL) {
        epb_loss_add(leases, grant);
    } else {
        epb_takes_drop(leases, grant);
    }
    epb_resource_go_on(leases, grant->holding->resource, now);
    epb_grant_free_unused(leases, grant);
}

struct epb_grant *
epb_leases_first_due(const struct epb_leases *leases)
{
    return leases->deadlines.first == NULL
               ? NULL
               : EPB_TREE_ITEM(leases->deadlines.first, struct epb_grant, by_due);
}

uint64_t
epb_leases_sweep(struct epb_leases *leases, const struct epb_time *now, unsigned limit)
{
    struct epb_grant *grant = epb_leases_first_due(leases);

    while (grant != NULL && grant->by_due.major <= now->mono_ms && limit > 0) {
        epb_grant_end(leases, grant, EPB_END_EXPIRY, now);
        grant = epb_leases_first_due(leases);
        limit--;
    }
    return grant == NULL ? UINT64_MAX : grant->by_due.major;
}

void
epb_leases_settle(struct epb_leases *leases, const struct epb_time *now)
{
    uint64_t next_ms;

    do {
        next_ms = epb_leases_sweep(leases, now, UINT32_MAX);
    } while (next_ms <= now->mono_ms);
}
