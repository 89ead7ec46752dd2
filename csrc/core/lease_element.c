/*
 * Elements of pools, as a request packs them and as a pool stores them.
 *
 * Elements are equal if their kinds (bytes, or JSON text) and their bytes are equal. All
 * pools share one map of elements. An element stays in the map until it has left its pool
 * for good, so an element that is still held can't be added again. The unique number of
 * its pool is part of an element's name: elements of a deleted pool are freed in parts,
 * and belong to no pool meanwhile.
 */
#include "../base/arena.h"
#include "lease_internal.h"

/* The units to insert an element into the map of all, or to remove it, while the map is
 * being resized: each time the map moves some others as well. */
#define UNITS_MOVING 32U

_Static_assert(EPB_ELEMENT_NAME_BYTES == sizeof(uint64_t) + 1, "a number and a kind");

/* Lists, as a request packs them */

bool
epb_unpack_next(struct epb_unpack *unpack)
{
    uint32_t size_bytes;

    if (unpack->left_bytes < EPB_ELEMENT_HEADER_BYTES || unpack->at[4] > 1) {
        return false;
    }
    size_bytes = epb_get_u32(unpack->at);
    if (size_bytes > unpack->left_bytes - EPB_ELEMENT_HEADER_BYTES ||
        (size_bytes == 0 && unpack->at[4] == 0)) {
        return false;
    }
    unpack->is_binary = unpack->at[4] == 1;
    unpack->value = (struct epb_bytes){unpack->at + EPB_ELEMENT_HEADER_BYTES, size_bytes};
    unpack->at += EPB_ELEMENT_HEADER_BYTES + size_bytes;
    unpack->left_bytes -= EPB_ELEMENT_HEADER_BYTES + size_bytes;
    return true;
}

struct epb_unpack
epb_unpack_of(struct epb_bytes elements)
{
    return (struct epb_unpack){.at = elements.data, .left_bytes = elements.size_bytes};
}

bool
epb_elements_are_well_formed(struct epb_bytes elements)
{
    struct epb_unpack unpack = epb_unpack_of(elements);

    while (epb_unpack_next(&unpack)) {
    }
    return unpack.left_bytes == 0 && elements.size_bytes > 0;
}

/* Names */

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

uint64_t
epb_element_hash_of(const struct epb_leases *leases, bool is_binary,
                    struct epb_bytes value)
{
    uint64_t hash = epb_map_hash(leases->elements, value);

    /* Not ~hash or the like: the sum of a text and its bytes must differ from text to
     * text. */
    return is_binary ? (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15) : hash;
}

uint64_t
epb_element_hash(const struct epb_leases *leases, const struct epb_element *element)
{
    return epb_element_hash_of(leases, epb_element_value_flags(element) != 0,
                               epb_element_value(element));
}

size_t
epb_element_units(const struct epb_leases *leases)
{
    return epb_map_is_moving(leases->elements) ? UNITS_MOVING : EPB_UNITS_VISIT;
}

/* During a filling (lease_fill.c) */

bool
epb_filling_stages(const struct epb_lease_filling *filling,
                   const struct epb_element *element)
{
    return filling != NULL && !filling->committed && element->fresh &&
           element->batch == filling->number;
}

bool
epb_filling_keeps(struct epb_lease_filling *filling, struct epb_element *element)
{
    if (epb_list_empty(&element->of_free)) {
        return false;
    }
    EPB_ASSERT(filling != NULL && !filling->committed);
    epb_list_remove(&element->of_free);
    element->discarded = false;
    element->fresh = true;
    element->batch = filling->number;
    epb_list_append(&filling->added, &element->of_free);
    filling->added_count++;
    return true;
}

bool
epb_filling_prunes(const struct epb_lease_filling *filling,
                   const struct epb_resource *pool, const struct epb_element *element)
{
    return filling != NULL && filling->committed && filling->pool == pool &&
           filling->how == EPB_DEFINE_ANEW && element->batch != filling->number;
}

void
epb_filling_passes(struct epb_lease_filling *filling, const struct epb_list *node)
{
    if (filling != NULL && filling->free_at == node) {
        filling->free_at = node->next;
    }
    if (filling != NULL && filling->grant_at == node) {
        filling->grant_at = node->next;
    }
}

/* In a pool */

void
epb_element_release(struct epb_leases *leases, struct epb_element *element)
{
    epb_quota_release(leases->quota, leases->arena, element,
                      sizeof(*element) + name_bytes(element));
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

enum epb_status
epb_element_find(const struct epb_leases *leases, const struct epb_resource *pool,
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
        enum epb_status status = epb_element_find(
            leases, grant->holding->resource, unpack.is_binary, unpack.value, &element);

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
