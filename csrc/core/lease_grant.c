/* The life of grants: resources, queues, beginnings and ends. */
#include "lease_internal.h"

/* Resources */

struct epb_bytes
epb_resource_key(const void *item)
{
    const struct epb_resource *resource = item;

    return (struct epb_bytes){resource->key, resource->key_bytes};
}

struct epb_resource *
epb_resource_find(const struct epb_leases *leases, enum epb_lease_space space,
                  struct epb_bytes key)
{
    return epb_map_count(leases->resources[space]) == 0
               ? NULL
               : epb_map_find(leases->resources[space], key);
}

static void
resource_release(struct epb_leases *leases, struct epb_resource *resource)
{
    epb_slots_fini(&resource->slots, leases->arena, leases->quota);
    epb_quota_release(leases->quota, leases->arena, resource,
                      sizeof(*resource) + resource->key_bytes);
}

enum epb_status
epb_resource_get(struct epb_leases *leases, enum epb_lease_space space,
                 struct epb_bytes key, struct epb_resource **out)
{
    struct epb_resource *resource = epb_resource_find(leases, space, key);
    void *block;
    enum epb_status status;

    if (resource != NULL) {
        *out = resource;
        return EPB_OK;
    }
    EPB_ASSERT(key.size_bytes > 0 && key.size_bytes <= EPB_KEY_MAX_BYTES);
    status = epb_quota_alloc(leases->quota, leases->arena,
                             sizeof(*resource) + key.size_bytes, &block);
    if (status != EPB_OK) {
        return status;
    }
    resource = block;
    epb_list_init(&resource->of_resized);
    epb_list_init(&resource->of_unsettled);
    epb_list_init(&resource->grants);
    epb_list_init(&resource->free_elements);
    epb_list_init(&resource->named);
    epb_tree_init(&resource->queue, leases->seed ^ (uint64_t)(uintptr_t)resource);
    epb_slots_init(&resource->slots);
    resource->space = space;
    resource->key_bytes = (uint16_t)key.size_bytes;
    memcpy(resource->key, key.data, key.size_bytes);
    status = epb_map_insert(leases->resources[space], resource);
    if (status != EPB_OK) {
        resource_release(leases, resource);
        return status;
    }
    epb_mark_set(&resource->mark, EPB_MARK_RESOURCE);
    *out = resource;
    return EPB_OK;
}

void
epb_resource_free_unused(struct epb_leases *leases, struct epb_resource *resource)
{
    EPB_MARK_CHECK(resource, EPB_MARK_RESOURCE);
    if (!resource->defined && resource->holdings == 0 && resource->pins == 0) {
        EPB_ASSERT(!resource->counted && epb_list_empty(&resource->grants) &&
                   epb_list_empty(&resource->free_elements) &&
                   resource->queue.count == 0);
        epb_mark_clear(&resource->mark, EPB_MARK_RESOURCE);
        epb_map_remove(leases->resources[resource->space], resource);
        resource_release(leases, resource);
    }
}

bool
epb_resource_exists(const struct epb_resource *resource)
{
    return resource->defined || !epb_list_empty(&resource->grants) ||
           resource->queue.count > 0;
}

static void
resource_count(struct epb_leases *leases, struct epb_resource *resource)
{
    bool exists = epb_resource_exists(resource);

    if (exists && !resource->counted) {
        leases->stats.resources++;
    } else if (!exists && resource->counted) {
        leases->stats.resources--;
    }
    resource->counted = exists;
}

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

/* The wait is finished and has been given the grant. */
static void
answer(struct epb_leases *leases, struct epb_wait *wait, struct epb_grant *grant)
{
    epb_take_add_spare(leases, grant, wait->detail);
    epb_wait_finish(leases->waits, wait, EPB_OK);
    wait->grant = grant;
    epb_list_append(&grant->answers, &wait->of_queue);
}

/* What the first in the queue gets now; false: it waits on. */
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
    resource_count(leases, resource);
}

/* Grants */

static size_t
grant_bytes(uint32_t count)
{
    return sizeof(struct epb_grant) + count * sizeof(union epb_thing);
}

enum epb_status
epb_grant_new(struct epb_leases *leases, struct epb_holding *holding,
              struct epb_peer *peer, uint32_t count, struct epb_grant **out)
{
    struct epb_grant *grant;
    struct epb_take *spare;
    void *block;
    enum epb_status status = epb_take_new(leases, holding, peer, &spare);

    if (status == EPB_OK) {
        status =
            epb_quota_alloc(leases->quota, leases->arena, grant_bytes(count), &block);
    }
    if (status != EPB_OK) {
        epb_take_free(leases, spare);
        return status;
    }
    grant = block;
    grant->count = count;
    grant->spare = spare;
    epb_list_init(&grant->takes);
    epb_list_init(&grant->of_resource);
    epb_list_init(&grant->of_holding);
    epb_list_init(&grant->of_holder);
    epb_list_init(&grant->answers);
    epb_list_init(&grant->named_by);
    epb_list_init(&grant->of_named);
    epb_mark_set(&grant->mark, EPB_MARK_GRANT);
    grant->holding = holding;
    holding->members++;
    *out = grant;
    return EPB_OK;
}

void
epb_grant_free_unused(struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_holding *holding = grant->holding;

    EPB_MARK_CHECK(grant, EPB_MARK_GRANT);
    if (grant->live || grant->lost || grant->wait != NULL) {
        return;
    }
    EPB_ASSERT(!grant->queued && epb_list_empty(&grant->takes));
    EPB_ASSERT(epb_list_empty(&grant->of_resource) &&
               epb_list_empty(&grant->of_holding) && epb_list_empty(&grant->of_holder) &&
               epb_list_empty(&grant->answers));
    epb_mark_clear(&grant->mark, EPB_MARK_GRANT);
    epb_take_free(leases, grant->spare);
    epb_flow_drop(leases, grant);
    epb_quota_release(leases->quota, leases->arena, grant, grant_bytes(grant->count));
    holding->members--;
    epb_holding_free_unused(leases, holding);
}

uint64_t
epb_resource_size(const struct epb_resource *resource)
{
    switch (resource->kind) {
    case EPB_KIND_NUMBERS:
        return UINT64_MAX;
    case EPB_KIND_SEMAPHORE:
        return resource->limit;
    case EPB_KIND_POOL:
        return resource->elements.count;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
    return 1;
}

bool
epb_grant_fits(const struct epb_resource *resource, bool shared, uint32_t count)
{
    const struct epb_list *grants = &resource->grants;

    switch (resource->kind) {
    case EPB_KIND_NUMBERS:
        return true;
    case EPB_KIND_SEMAPHORE:
        return resource->slots.used + count <= resource->limit;
    case EPB_KIND_POOL:
        return resource->free_count >= count;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
    /* Those that stand are all shared, or one that isn't. */
    return epb_list_empty(grants) ||
           (shared && EPB_LIST_ITEM(grants->next, struct epb_grant, of_resource)->shared);
}

struct epb_grant *
epb_grant_standing(const struct epb_holding *holding, bool shared,
                   const struct epb_time *now)
{
    const struct epb_list *at = holding->grants.next;

    for (; at != &holding->grants; at = at->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(at, struct epb_grant, of_holding);

        if (grant->by_due.major > now->mono_ms) {
            return grant->shared == shared ? grant : NULL;
        }
    }
    return NULL;
}

bool
epb_grant_is_barred(const struct epb_leases *leases, const struct epb_holding *holding)
{
    return leases->single_lease && holding->resource->space == EPB_SPACE_KEY &&
           holding->holder->live[EPB_SPACE_KEY] > holding->grant_count;
}

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
    /* A semaphore keeps room for all its permits: those who wait for one count on it. */
    if (resource->kind == EPB_KIND_NUMBERS) {
        epb_slots_shrink(&resource->slots, leases->arena, leases->quota);
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
    resource_count(leases, holding->resource);
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

/* Takes a live grant out of everything that knows it. */
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
    /* Nobody knows of one that was not taken; its request may ask again. */
    if (is_loss && grant->taken && grant->wait == NULL) {
        epb_loss_add(leases, grant);
    } else {
        epb_takes_drop(leases, grant);
    }
    epb_resource_go_on(leases, grant->holding->resource, now);
    epb_grant_free_unused(leases, grant);
}

void
epb_leases_settle(struct epb_leases *leases, const struct epb_time *now)
{
    uint64_t next_ms;

    do {
        next_ms = epb_leases_sweep(leases, now, UINT32_MAX);
    } while (next_ms <= now->mono_ms);
}
