/*
 * Pools and their elements, and the other definitions.
 *
 * Elements are equal when their kind (bytes, or JSON text) and their bytes are. All pools
 * share one map of elements; an element stays in it until it has left its pool for good,
 * so that one which is still held can't be added a second time. A pool has a number that
 * no other has had, and it is a part of its elements' names: those of a pool that was
 * deleted are freed in parts, and no pool has them meanwhile.
 */
#include "../base/arena.h"
#include "lease_internal.h"

/* To put one into the map of all, or to take it out, while that is resized: each time,
 * the map takes some others along. */
#define UNITS_MOVING 32U

/* Elements */

static size_t
name_bytes(const struct epb_element *element)
{
    return EPB_ELEMENT_NAME_BYTES + element->value_bytes;
}

struct epb_bytes
epb_element_key(const void *item)
{
    const struct epb_element *element = item;

    return (struct epb_bytes){element->name, name_bytes(element)};
}

struct epb_bytes
epb_element_value(const struct epb_element *element)
{
    return (struct epb_bytes){element->name + EPB_ELEMENT_NAME_BYTES,
                              element->value_bytes};
}

uint32_t
epb_element_value_flags(const struct epb_element *element)
{
    return element->name[EPB_ELEMENT_NAME_BYTES - 1] == 1 ? EPB_F_BINARY : 0;
}

void
epb_element_fill(struct epb_element *element, const struct epb_resource *pool,
                 bool is_binary, struct epb_bytes value)
{
    epb_list_init(&element->of_free);
    element->value_bytes = (uint32_t)value.size_bytes;
    memcpy(element->name, &pool->number, sizeof(pool->number));
    element->name[EPB_ELEMENT_NAME_BYTES - 1] = is_binary ? 1 : 0;
    if (value.size_bytes > 0) {
        memcpy(element->name + EPB_ELEMENT_NAME_BYTES, value.data, value.size_bytes);
    }
}
_Static_assert(EPB_ELEMENT_NAME_BYTES == sizeof(uint64_t) + 1, "a number and a kind");

uint64_t
epb_element_hash_of(const struct epb_leases *leases, bool is_binary,
                    struct epb_bytes value)
{
    uint64_t hash = epb_map_hash(leases->elements, value);

    /* Not of one text and its bytes together what it is of another and its. */
    return is_binary ? (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15) : hash;
}

uint64_t
epb_element_hash(const struct epb_leases *leases, const struct epb_element *element)
{
    return epb_element_hash_of(leases, epb_element_value_flags(element) != 0,
                               epb_element_value(element));
}

void
epb_element_release(struct epb_leases *leases, struct epb_element *element)
{
    epb_quota_release(leases->quota, leases->arena, element,
                      sizeof(*element) + name_bytes(element));
}

size_t
epb_element_units(const struct epb_leases *leases)
{
    return epb_map_is_moving(leases->elements) ? UNITS_MOVING : EPB_UNITS_VISIT;
}

void
epb_element_remove(struct epb_leases *leases, struct epb_element *element)
{
    epb_filling_passes(leases->filling, &element->of_free);
    epb_list_remove(&element->of_free);
    epb_map_remove(leases->elements, element);
    epb_element_release(leases, element);
}

struct epb_element *
epb_element_take(const struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_grant *grant)
{
    struct epb_element *element =
        EPB_LIST_ITEM(pool->free_elements.next, struct epb_element, of_free);

    EPB_ASSERT(!epb_list_empty(&pool->free_elements));
    epb_filling_passes(leases->filling, &element->of_free);
    epb_list_remove(&element->of_free);
    pool->free_count--;
    element->grant = grant;
    return element;
}

void
epb_element_give(struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_element *element)
{
    element->grant = NULL;
    if (element->discarded) {
        if (!epb_filling_keeps(leases->filling, element)) {
            epb_element_remove(leases, element);
        }
        return;
    }
    epb_list_append(&pool->free_elements, &element->of_free);
    pool->free_count++;
    if (epb_filling_prunes(leases->filling, pool, element)) {
        epb_element_discard(leases, pool, element);
    }
}

void
epb_element_discard(struct epb_leases *leases, struct epb_resource *pool,
                    struct epb_element *element)
{
    if (element->discarded) {
        return;
    }
    pool->elements.count--;
    pool->elements.sum -= epb_element_hash(leases, element);
    epb_pool_resized(leases, pool);
    leases->stats.elements--;
    if (element->grant != NULL) {
        element->discarded = true;
    } else {
        pool->free_count--;
        epb_element_remove(leases, element);
    }
}

/* The pool's element with this value, discarded or not; *out NULL: none. EPB_INTERNAL. */
static enum epb_status
element_find(const struct epb_leases *leases, const struct epb_resource *pool,
             bool is_binary, struct epb_bytes value, struct epb_element **out)
{
    struct epb_element *wanted;
    size_t size_bytes = sizeof(*wanted) + EPB_ELEMENT_NAME_BYTES + value.size_bytes;

    wanted = epb_arena_alloc(leases->arena, size_bytes);
    if (wanted == NULL) {
        return EPB_INTERNAL;
    }
    epb_element_fill(wanted, pool, is_binary, value);
    *out = epb_map_find(leases->elements, epb_element_key(wanted));
    epb_arena_release(leases->arena, wanted, size_bytes);
    return EPB_OK;
}

enum epb_status
epb_elements_choose(struct epb_leases *leases, const struct epb_grant *grant,
                    struct epb_bytes elements, uint64_t *chosen)
{
    struct epb_unpack unpack = epb_unpack_of(elements);

    if (!epb_elements_are_well_formed(elements)) {
        return EPB_INVALID_VALUE;
    }
    *chosen = ++leases->last_batch;
    while (epb_unpack_next(&unpack)) {
        struct epb_element *element;
        enum epb_status status = element_find(leases, grant->holding->resource,
                                              unpack.is_binary, unpack.value, &element);

        if (status != EPB_OK) {
            return status;
        }
        if (element == NULL || element->grant != grant) {
            return EPB_NOT_FOUND;
        }
        element->chosen = *chosen;
    }
    return EPB_OK;
}

/* Definitions */

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
    status =
        element_find(leases, pool, (value_flags & EPB_F_BINARY) != 0, value, &element);
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
    while (!epb_list_empty(&leases->debris) && !epb_budget_spent(budget)) {
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

/* Undefines it, if nothing is held or waited for. */
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

/* The first definition that it has not looked at; NULL: none is left. */
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
    while (epb_leases_tidy(leases, budget) && !epb_budget_spent(budget)) {
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
