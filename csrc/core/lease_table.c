/* The tables: workers, holders, holdings and resources. Each is created with its first
 * reference and freed with its last. */
#include "lease_internal.h"

struct epb_bytes
epb_worker_key(const void *item)
{
    const struct epb_worker *worker = item;

    return (struct epb_bytes){worker->id, worker->id_bytes};
}

struct epb_bytes
epb_holder_key(const void *item)
{
    const struct epb_holder *holder = item;

    return (struct epb_bytes){(const uint8_t *)&holder->name, sizeof(holder->name)};
}

struct epb_bytes
epb_holding_key(const void *item)
{
    const struct epb_holding *holding = item;

    return (struct epb_bytes){(const uint8_t *)&holding->name, sizeof(holding->name)};
}

_Static_assert(sizeof(struct epb_holder_name) == sizeof(void *) + sizeof(uint64_t) &&
                   sizeof(struct epb_holding_name) == 2 * sizeof(void *),
               "names have no padding: they are keys");

/* Workers */

static void
worker_release(struct epb_leases *leases, struct epb_worker *worker)
{
    epb_quota_release(leases->quota, leases->arena, worker,
                      sizeof(*worker) + worker->id_bytes);
}

static void
worker_free_unused(struct epb_leases *leases, struct epb_worker *worker)
{
    if (epb_list_empty(&worker->holders)) {
        epb_map_remove(leases->workers, worker);
        worker_release(leases, worker);
    }
}

static enum epb_status
worker_get(struct epb_leases *leases, struct epb_bytes id, struct epb_worker **out)
{
    struct epb_worker *worker = epb_map_find(leases->workers, id);
    void *block;
    enum epb_status status;

    if (worker != NULL) {
        *out = worker;
        return EPB_OK;
    }
    EPB_ASSERT(id.size_bytes > 0 && id.size_bytes <= EPB_WORKER_MAX_BYTES);
    status = epb_quota_alloc(leases->quota, leases->arena,
                             sizeof(*worker) + id.size_bytes, &block);
    if (status != EPB_OK) {
        return status;
    }
    worker = block;
    epb_list_init(&worker->holders);
    worker->id_bytes = (uint16_t)id.size_bytes;
    memcpy(worker->id, id.data, id.size_bytes);
    status = epb_map_insert(leases->workers, worker);
    if (status != EPB_OK) {
        worker_release(leases, worker);
        return status;
    }
    *out = worker;
    return EPB_OK;
}

/* Holders */

uint64_t
epb_who_session(const struct epb_who *who)
{
    return who->detached ? 0 : epb_peer_session(who->peer);
}

struct epb_holder *
epb_holder_of(const struct epb_leases *leases, const struct epb_worker *worker,
              uint64_t session)
{
    const struct epb_holder_name name = {worker, session};

    return epb_map_find(leases->holders,
                        (struct epb_bytes){(const uint8_t *)&name, sizeof(name)});
}

struct epb_worker *
epb_worker_find(const struct epb_leases *leases, struct epb_bytes id)
{
    return id.size_bytes == 0 ? NULL : epb_map_find(leases->workers, id);
}

struct epb_holder *
epb_holder_find(const struct epb_leases *leases, const struct epb_who *who)
{
    const struct epb_worker *worker = epb_worker_find(leases, who->worker);

    return worker == NULL ? NULL : epb_holder_of(leases, worker, epb_who_session(who));
}

static void
holder_free_unused(struct epb_leases *leases, struct epb_holder *holder)
{
    struct epb_worker *worker = holder->worker;

    EPB_MARK_CHECK(holder, EPB_MARK_HOLDER);
    if (holder->holdings == 0) {
        EPB_ASSERT(epb_list_empty(&holder->grants) && epb_list_empty(&holder->losses));
        epb_mark_clear(&holder->mark, EPB_MARK_HOLDER);
        epb_map_remove(leases->holders, holder);
        epb_list_remove(&holder->of_worker);
        epb_list_remove(&holder->of_group);
        epb_quota_release(leases->quota, leases->arena, holder, sizeof(*holder));
        worker_free_unused(leases, worker);
    }
}

static enum epb_status
holder_new(struct epb_leases *leases, struct epb_worker *worker,
           const struct epb_who *who, struct epb_holder **out)
{
    struct epb_holder *holder;
    void *block;
    enum epb_status status =
        epb_quota_alloc(leases->quota, leases->arena, sizeof(*holder), &block);

    if (status != EPB_OK) {
        return status;
    }
    holder = block;
    holder->name = (struct epb_holder_name){worker, epb_who_session(who)};
    holder->worker = worker;
    holder->group = holder->name.session == 0 ? NULL : who->peer->group;
    epb_list_init(&holder->of_group);
    epb_list_init(&holder->grants);
    epb_list_init(&holder->losses);
    status = epb_map_insert(leases->holders, holder);
    if (status != EPB_OK) {
        epb_quota_release(leases->quota, leases->arena, holder, sizeof(*holder));
        return status;
    }
    epb_mark_set(&holder->mark, EPB_MARK_HOLDER);
    epb_list_append(&worker->holders, &holder->of_worker);
    if (holder->group != NULL) {
        epb_list_append(&holder->group->holders, &holder->of_group);
    }
    *out = holder;
    return EPB_OK;
}

static enum epb_status
holder_get(struct epb_leases *leases, const struct epb_who *who, struct epb_holder **out)
{
    struct epb_worker *worker;
    enum epb_status status = worker_get(leases, who->worker, &worker);

    if (status != EPB_OK) {
        return status;
    }
    *out = epb_holder_of(leases, worker, epb_who_session(who));
    if (*out != NULL) {
        return EPB_OK;
    }
    status = holder_new(leases, worker, who, out);
    if (status != EPB_OK) {
        worker_free_unused(leases, worker);
    }
    return status;
}

void
epb_holder_pin(struct epb_holder *holder)
{
    EPB_MARK_CHECK(holder, EPB_MARK_HOLDER);
    holder->holdings++;
}

void
epb_holder_unpin(struct epb_leases *leases, struct epb_holder *holder)
{
    EPB_ASSERT(holder->holdings > 0);
    holder->holdings--;
    holder_free_unused(leases, holder);
}

uint64_t
epb_holder_named_grants(const struct epb_holder *holder)
{
    return holder->live[EPB_SPACE_KEY] + holder->live[EPB_SPACE_LOCK];
}

/* Holdings */

static struct epb_holding *
holding_of(const struct epb_leases *leases, const struct epb_holder *holder,
           const struct epb_resource *resource)
{
    const struct epb_holding_name name = {holder, resource};

    return epb_map_find(leases->holdings,
                        (struct epb_bytes){(const uint8_t *)&name, sizeof(name)});
}

struct epb_holding *
epb_holding_find(const struct epb_leases *leases, const struct epb_holder *holder,
                 enum epb_lease_space space, struct epb_bytes key)
{
    const struct epb_resource *resource = epb_resource_find(leases, space, key);

    return resource == NULL ? NULL : holding_of(leases, holder, resource);
}

void
epb_holding_free_unused(struct epb_leases *leases, struct epb_holding *holding)
{
    struct epb_holder *holder = holding->holder;
    struct epb_resource *resource = holding->resource;

    EPB_MARK_CHECK(holding, EPB_MARK_HOLDING);
    if (holding->members > 0) {
        return;
    }
    EPB_ASSERT(epb_list_empty(&holding->grants) && holding->grant_count == 0);
    epb_mark_clear(&holding->mark, EPB_MARK_HOLDING);
    epb_map_remove(leases->holdings, holding);
    epb_quota_release(leases->quota, leases->arena, holding, sizeof(*holding));
    holder->holdings--;
    holder_free_unused(leases, holder);
    resource->holdings--;
    epb_resource_free_unused(leases, resource);
}

static enum epb_status
holding_new(struct epb_leases *leases, struct epb_holder *holder,
            struct epb_resource *resource, struct epb_holding **out)
{
    struct epb_holding *holding;
    void *block;
    enum epb_status status =
        epb_quota_alloc(leases->quota, leases->arena, sizeof(*holding), &block);

    if (status != EPB_OK) {
        return status;
    }
    holding = block;
    holding->name = (struct epb_holding_name){holder, resource};
    holding->holder = holder;
    holding->resource = resource;
    epb_list_init(&holding->grants);
    status = epb_map_insert(leases->holdings, holding);
    if (status != EPB_OK) {
        epb_quota_release(leases->quota, leases->arena, holding, sizeof(*holding));
        return status;
    }
    epb_mark_set(&holding->mark, EPB_MARK_HOLDING);
    holder->holdings++;
    resource->holdings++;
    *out = holding;
    return EPB_OK;
}

enum epb_status
epb_holding_get(struct epb_leases *leases, const struct epb_who *who,
                struct epb_resource *resource, struct epb_holding **out)
{
    struct epb_holder *holder;
    enum epb_status status = holder_get(leases, who, &holder);

    if (status != EPB_OK) {
        return status;
    }
    *out = holding_of(leases, holder, resource);
    if (*out != NULL) {
        return EPB_OK;
    }
    status = holding_new(leases, holder, resource, out);
    if (status != EPB_OK) {
        holder_free_unused(leases, holder);
    }
    return status;
}

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

void
epb_resource_count(struct epb_leases *leases, struct epb_resource *resource)
{
    bool exists = epb_resource_exists(resource);

    if (exists && !resource->counted) {
        leases->stats.resources++;
    } else if (!exists && resource->counted) {
        leases->stats.resources--;
    }
    resource->counted = exists;
}

void
epb_resource_define(struct epb_leases *leases, struct epb_resource *resource,
                    enum epb_lease_kind kind)
{
    resource->kind = kind;
    resource->defined = true;
    epb_tree_insert(&leases->defined, &resource->of_defined, ++leases->last_definition,
                    0);
}

bool
epb_resource_can_be(const struct epb_resource *resource, enum epb_lease_kind kind,
                    bool has_value)
{
    return !has_value && (!epb_resource_exists(resource) || resource->kind == kind);
}

void
epb_pool_resized(struct epb_leases *leases, struct epb_resource *pool)
{
    if (epb_list_empty(&pool->of_resized)) {
        epb_list_append(&leases->resized, &pool->of_resized);
    }
}

/* Grants, by their tokens */

struct epb_grant *
epb_lease_find(const struct epb_leases *leases, uint64_t token,
               const struct epb_time *now)
{
    struct epb_tree_node *node = epb_tree_find(&leases->tokens, token, 0);
    struct epb_grant *grant =
        node == NULL ? NULL : EPB_TREE_ITEM(node, struct epb_grant, by_token);

    return grant != NULL && grant->by_due.major > now->mono_ms ? grant : NULL;
}
