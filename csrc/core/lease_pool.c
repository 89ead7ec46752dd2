/* Definitions of pools and semaphores, and their deletion. lease_fill.c fills pools. */
#include "../base/arena.h"
#include "lease_internal.h"

/* Definitions */

static enum epb_status
limit_on(struct epb_leases *leases, struct epb_resource *resource, uint64_t n,
         enum epb_defining how, bool has_value, const struct epb_time *now, bool *changed)
{
    enum epb_status status;

    if (!epb_resource_can_be(resource, EPB_KIND_SEMAPHORE, has_value)) {
        return EPB_KIND_MISMATCH;
    }
    if (resource->defined && (resource->limit == n || how == EPB_DEFINE_IF_ABSENT)) {
        return EPB_OK;
    }
    if (resource->defined && how != EPB_DEFINE_ANEW) {
        return EPB_CONFLICT;
    }
    status = epb_slots_reserve(&resource->slots, leases->arena, leases->quota, n);
    if (status != EPB_OK) {
        return status;
    }
    *changed = true;
    resource->limit = n;
    if (!resource->defined) {
        epb_resource_define(leases, resource, EPB_KIND_SEMAPHORE);
    }
    epb_pool_resized(leases, resource);
    epb_queue_refuse(leases, resource);
    epb_resource_go_on(leases, resource, now);
    return EPB_OK;
}

enum epb_status
epb_lease_limit(struct epb_leases *leases, struct epb_bytes key, int64_t n,
                enum epb_defining how, bool has_value, const struct epb_time *now,
                bool *changed)
{
    struct epb_resource *resource;
    enum epb_status status;

    *changed = false;
    if (n < 1 || n > EPB_PERMITS_MAX) {
        return EPB_INVALID_REQUEST;
    }
    epb_leases_settle(leases, now);
    status = epb_resource_get(leases, EPB_SPACE_KEY, key, &resource);
    if (status != EPB_OK) {
        return status;
    }
    status = limit_on(leases, resource, (uint64_t)n, how, has_value, now, changed);
    epb_pools_refuse_stuck(leases, now);
    epb_resource_free_unused(leases, resource);
    return status;
}

enum epb_status
epb_lease_discard(struct epb_leases *leases, struct epb_bytes key, struct epb_bytes value,
                  uint32_t value_flags, const struct epb_time *now)
{
    struct epb_resource *pool;
    struct epb_element *element;
    enum epb_status status;

    epb_leases_settle(leases, now);
    pool = epb_resource_find(leases, EPB_SPACE_KEY, key);
    if (pool == NULL || !pool->defined || pool->kind != EPB_KIND_POOL) {
        return EPB_NOT_FOUND;
    }
    status = epb_element_find(leases, pool, (value_flags & EPB_F_BINARY) != 0, value,
                              &element);
    if (status != EPB_OK) {
        return status;
    }
    if (element == NULL || element->discarded ||
        epb_filling_stages(leases->filling, element)) {
        return EPB_NOT_FOUND;
    }
    epb_element_discard(leases, pool, element);
    epb_queue_refuse(leases, pool);
    epb_resource_go_on(leases, pool, now);
    epb_pools_refuse_stuck(leases, now);
    return EPB_OK;
}

void
epb_resource_undefine(struct epb_leases *leases, struct epb_resource *resource)
{
    leases->stats.elements -= resource->free_count;
    epb_list_append_all(&resource->free_elements, &leases->debris);
    resource->free_count = 0;
    resource->elements = (struct epb_elements_mark){0, 0};
    epb_slots_fini(&resource->slots, leases->arena, leases->quota);
    epb_tree_remove(&leases->defined, &resource->of_defined);
    epb_list_remove(&resource->of_resized);
    resource->defined = false;
    resource->definition = (struct epb_elements_mark){0, 0};
    if (resource->counted) {
        resource->counted = false;
        leases->stats.resources--;
    }
    epb_resource_free_unused(leases, resource);
}

bool
epb_leases_tidy(struct epb_leases *leases, struct epb_budget *budget)
{
    while (!epb_list_empty(&leases->debris) && !epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, epb_element_units(leases));
        epb_element_remove(
            leases, EPB_LIST_ITEM(leases->debris.next, struct epb_element, of_free));
    }
    return epb_list_empty(&leases->debris);
}

static bool
is_in_use(const struct epb_resource *resource)
{
    return !epb_list_empty(&resource->grants) || resource->queue.count > 0 ||
           resource->pins > 0;
}

enum epb_status
epb_lease_undefine(struct epb_leases *leases, struct epb_bytes key,
                   const struct epb_time *now)
{
    struct epb_budget budget = epb_budget_slice();
    struct epb_resource *resource;

    epb_leases_settle(leases, now);
    resource = epb_resource_find(leases, EPB_SPACE_KEY, key);
    if (resource == NULL || !resource->defined) {
        return EPB_NOT_FOUND;
    }
    epb_resource_go_on(leases, resource, now);
    if (is_in_use(resource)) {
        return EPB_LEASE_HELD;
    }
    epb_resource_undefine(leases, resource);
    (void)epb_leases_tidy(leases, &budget);
    return EPB_OK;
}

bool
epb_lease_allows_value(struct epb_leases *leases, struct epb_bytes key,
                       const struct epb_time *now)
{
    const struct epb_resource *resource;

    epb_leases_settle(leases, now);
    resource = epb_resource_find(leases, EPB_SPACE_KEY, key);
    return resource == NULL || !epb_resource_exists(resource) ||
           resource->kind == EPB_KIND_VALUE;
}

bool
epb_lease_is_defined(const struct epb_leases *leases, struct epb_bytes key)
{
    const struct epb_resource *resource = epb_resource_find(leases, EPB_SPACE_KEY, key);

    return resource != NULL && resource->defined;
}

bool
epb_lease_holds_value(const struct epb_leases *leases, struct epb_bytes key)
{
    const struct epb_resource *resource = epb_resource_find(leases, EPB_SPACE_KEY, key);

    return resource != NULL && resource->kind == EPB_KIND_VALUE &&
           !epb_list_empty(&resource->grants);
}

static uint64_t
free_of(const struct epb_resource *resource)
{
    switch (resource->kind) {
    case EPB_KIND_POOL:
        return resource->free_count;
    case EPB_KIND_SEMAPHORE:
        return resource->slots.used < resource->limit
                   ? resource->limit - resource->slots.used
                   : 0;
    case EPB_KIND_NUMBERS:
        return UINT64_MAX;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
    return epb_list_empty(&resource->grants);
}

void
epb_lease_describe(struct epb_leases *leases, struct epb_bytes key, bool has_value,
                   const struct epb_time *now, struct epb_lease_description *description)
{
    struct epb_resource *resource;

    *description = (struct epb_lease_description){.exists = has_value};
    epb_leases_settle(leases, now);
    resource = epb_resource_find(leases, EPB_SPACE_KEY, key);
    if (resource != NULL && resource->defined) {
        epb_resource_go_on(leases, resource, now);
    }
    if (resource == NULL || !epb_resource_exists(resource)) {
        description->kind = EPB_KIND_VALUE;
        description->size = has_value;
        description->free = has_value;
        return;
    }
    description->exists = true;
    description->kind = resource->kind;
    description->size = epb_resource_size(resource);
    description->free = free_of(resource);
    description->waiting = resource->queue.count;
}

/* Clearing */

void
epb_lease_clear_begin(const struct epb_leases *leases,
                      struct epb_lease_clearing *clearing)
{
    clearing->at = 0;
    clearing->last = leases->last_definition;
}

/* Deletes the definition, if nothing is held or waited for. */
static void
clear_one(struct epb_leases *leases, struct epb_resource *resource,
          const struct epb_time *now, struct epb_lease_clearing *clearing)
{
    epb_resource_go_on(leases, resource, now);
    if (is_in_use(resource)) {
        clearing->held++;
        return;
    }
    clearing->cleared++;
    epb_resource_undefine(leases, resource);
}

/* The first definition that was not visited yet; NULL: none is left. */
static struct epb_resource *
next_to_clear(const struct epb_leases *leases, const struct epb_lease_clearing *clearing)
{
    const struct epb_tree_node place = {.major = clearing->at, .minor = UINT64_MAX};
    struct epb_tree_node *node = epb_tree_next(&leases->defined, &place);

    return node != NULL && node->major <= clearing->last
               ? EPB_TREE_ITEM(node, struct epb_resource, of_defined)
               : NULL;
}

bool
epb_lease_clear(struct epb_leases *leases, struct epb_bytes prefix,
                const struct epb_time *now, struct epb_budget *budget,
                struct epb_lease_clearing *clearing)
{
    epb_leases_settle(leases, now);
    if (!epb_filling_settle(leases, now, budget)) {
        return false;
    }
    while (epb_leases_tidy(leases, budget) && !epb_budget_is_spent(budget)) {
        struct epb_resource *resource = next_to_clear(leases, clearing);

        if (resource == NULL) {
            return true;
        }
        clearing->at = resource->of_defined.major;
        epb_budget_spend(budget, EPB_UNITS_VISIT);
        if (resource->key_bytes >= prefix.size_bytes &&
            (prefix.size_bytes == 0 ||
             memcmp(resource->key, prefix.data, prefix.size_bytes) == 0)) {
            clear_one(leases, resource, now, clearing);
        }
    }
    return false;
}
