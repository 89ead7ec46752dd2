/*
 * Pools and their elements, and the other definitions.
 *
 * Elements are equal when their kind (bytes, or JSON text) and their bytes are. All pools
 * share one map of elements; an element stays in it until it has left its pool for good,
 * so that one which is still held can't be added a second time.
 *
 * Whether a list is that of a pool's definition, or of the elements it has now, follows
 * from the number of elements and the sum of their hashes: what was discarded is not kept
 * for that, and the order doesn't matter. A hash has 64 bits, and a secret
 * key.
 */
#include "lease_state.h"

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

static void
element_fill(struct epb_element *element, const struct epb_resource *pool, bool is_binary,
             struct epb_bytes value)
{
    uintptr_t address = (uintptr_t)pool;

    epb_list_init(&element->of_free);
    element->value_bytes = (uint32_t)value.size_bytes;
    memcpy(element->name, &address, sizeof address);
    element->name[EPB_ELEMENT_NAME_BYTES - 1] = is_binary ? 1 : 0;
    if (value.size_bytes > 0) {
        memcpy(element->name + EPB_ELEMENT_NAME_BYTES, value.data, value.size_bytes);
    }
}
_Static_assert(EPB_ELEMENT_NAME_BYTES == sizeof(uintptr_t) + 1, "an address and a kind");

static uint64_t
hash_of(const struct epb_leases *leases, bool is_binary, struct epb_bytes value)
{
    uint64_t hash = epb_map_hash(leases->elements, value);

    /* Not of one text and its bytes together what it is of another and its. */
    return is_binary ? (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15) : hash;
}

static uint64_t
element_hash(const struct epb_leases *leases, const struct epb_element *element)
{
    return hash_of(leases, epb_element_value_flags(element) != 0,
                   epb_element_value(element));
}

static void
element_release(struct epb_leases *leases, struct epb_element *element)
{
    epb_quota_release(leases->quota, leases->arena, element,
                      sizeof *element + name_bytes(element));
}

static void
element_remove(struct epb_leases *leases, struct epb_element *element)
{
    epb_list_remove(&element->of_free);
    epb_map_remove(leases->elements, element);
    element_release(leases, element);
}

struct epb_element *
epb_element_take(struct epb_resource *pool, struct epb_grant *grant)
{
    struct epb_element *element =
        EPB_LIST_ITEM(pool->free_elements.next, struct epb_element, of_free);

    EPB_ASSERT(!epb_list_empty(&pool->free_elements));
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
        element_remove(leases, element);
    } else {
        epb_list_append(&pool->free_elements, &element->of_free);
        pool->free_count++;
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
    pool->elements.sum -= element_hash(leases, element);
    epb_pool_resized(leases, pool);
    leases->stats.elements--;
    if (element->grant != NULL) {
        element->discarded = true;
    } else {
        pool->free_count--;
        element_remove(leases, element);
    }
}

/* A list of elements, as a request packs it */

struct unpack {
    const uint8_t *at;
    size_t left_bytes;
    bool is_binary;
    struct epb_bytes value;
};

/* False at the end, and where it is malformed (left_bytes isn't 0 then). */
static bool
unpack_next(struct unpack *unpack)
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

static struct unpack
unpack_of(struct epb_bytes elements)
{
    return (struct unpack){.at = elements.data, .left_bytes = elements.size_bytes};
}

static bool
is_well_formed(struct epb_bytes elements)
{
    struct unpack unpack = unpack_of(elements);

    while (unpack_next(&unpack)) {
    }
    return unpack.left_bytes == 0 && elements.size_bytes > 0;
}

static struct epb_elements_mark
mark_of(const struct epb_leases *leases, struct epb_bytes elements)
{
    struct unpack unpack = unpack_of(elements);
    struct epb_elements_mark mark = {0, 0};

    while (unpack_next(&unpack)) {
        mark.count++;
        mark.sum += hash_of(leases, unpack.is_binary, unpack.value);
    }
    return mark;
}

static bool
is_same(const struct epb_elements_mark *left, const struct epb_elements_mark *right)
{
    return left->count == right->count && left->sum == right->sum;
}

/* The pool's element with this value, discarded or not; *out NULL: none. EPB_INTERNAL. */
static enum epb_status
element_find(const struct epb_leases *leases, const struct epb_resource *pool,
             bool is_binary, struct epb_bytes value, struct epb_element **out)
{
    struct epb_element *wanted;
    size_t size_bytes = sizeof *wanted + EPB_ELEMENT_NAME_BYTES + value.size_bytes;

    wanted = epb_arena_alloc(leases->arena, size_bytes);
    if (wanted == NULL) {
        return EPB_INTERNAL;
    }
    element_fill(wanted, pool, is_binary, value);
    *out = epb_map_find(leases->elements, epb_element_key(wanted));
    epb_arena_release(leases->arena, wanted, size_bytes);
    return EPB_OK;
}

enum epb_status
epb_elements_choose(struct epb_leases *leases, const struct epb_grant *grant,
                    struct epb_bytes elements, uint64_t *batch)
{
    struct unpack unpack = unpack_of(elements);

    if (!is_well_formed(elements)) {
        return EPB_INVALID_VALUE;
    }
    *batch = ++leases->last_batch;
    while (unpack_next(&unpack)) {
        struct epb_element *element;
        enum epb_status status = element_find(leases, grant->stake->resource,
                                              unpack.is_binary, unpack.value, &element);

        if (status != EPB_OK) {
            return status;
        }
        if (element == NULL || element->grant != grant) {
            return EPB_NOT_FOUND;
        }
        element->batch = *batch;
    }
    return EPB_OK;
}

/* Adding */

/* Elements that come into a pool together, or not at all. */
struct batch {
    struct epb_resource *pool;
    uint64_t number;
    bool replaces;                  /* those that are there already are in it, too */
    struct epb_elements_mark grown; /* those that were not */
    struct epb_list added;
    struct epb_list kept; /* discarded ones that are still held, and stay after all */
};

static void
batch_count(const struct epb_leases *leases, struct batch *batch,
            const struct epb_element *element)
{
    batch->grown.count++;
    batch->grown.sum += element_hash(leases, element);
}

static enum epb_status
batch_add_new(struct epb_leases *leases, struct batch *batch, struct epb_element *element)
{
    struct epb_element *known = epb_map_find(leases->elements, epb_element_key(element));
    enum epb_status status;

    if (known == NULL) {
        status = epb_map_insert(leases->elements, element);
        if (status == EPB_OK) {
            element->batch = batch->number;
            epb_list_append(&batch->added, &element->of_free);
            batch_count(leases, batch, element);
        } else {
            element_release(leases, element);
        }
        return status;
    }
    element_release(leases, element);
    if (known->batch == batch->number) {
        return EPB_INVALID_VALUE;
    }
    if (!known->discarded && !batch->replaces) {
        return EPB_CONFLICT;
    }
    known->batch = batch->number;
    if (!known->discarded) {
        return EPB_OK;
    }
    known->discarded = false;
    epb_list_append(&batch->kept, &known->of_free);
    batch_count(leases, batch, known);
    return EPB_OK;
}

static enum epb_status
batch_add(struct epb_leases *leases, struct batch *batch, const struct unpack *unpack)
{
    struct epb_element *element;
    void *block;
    enum epb_status status = epb_quota_alloc(
        leases->quota, leases->arena,
        sizeof *element + EPB_ELEMENT_NAME_BYTES + unpack->value.size_bytes, &block);

    if (status != EPB_OK) {
        return status;
    }
    element = block;
    element_fill(element, batch->pool, unpack->is_binary, unpack->value);
    return batch_add_new(leases, batch, element);
}

static struct epb_element *
first_of(const struct epb_list *list)
{
    return epb_list_empty(list) ? NULL
                                : EPB_LIST_ITEM(list->next, struct epb_element, of_free);
}

static void
batch_undo(struct epb_leases *leases, struct batch *batch)
{
    struct epb_element *element;

    while ((element = first_of(&batch->added)) != NULL) {
        element_remove(leases, element);
    }
    while ((element = first_of(&batch->kept)) != NULL) {
        epb_list_remove(&element->of_free);
        element->discarded = true;
        element->batch = 0;
    }
}

static void
batch_commit(struct epb_leases *leases, struct batch *batch)
{
    struct epb_element *element;

    while ((element = first_of(&batch->added)) != NULL) {
        epb_list_remove(&element->of_free);
        epb_list_append(&batch->pool->free_elements, &element->of_free);
        batch->pool->free_count++;
    }
    while ((element = first_of(&batch->kept)) != NULL) {
        epb_list_remove(&element->of_free);
    }
    batch->pool->elements.count += batch->grown.count;
    batch->pool->elements.sum += batch->grown.sum;
    epb_pool_resized(leases, batch->pool);
    leases->stats.elements += batch->grown.count;
}

/* What is not in the batch leaves the pool. */
static void
discard_others(struct epb_leases *leases, const struct batch *batch)
{
    struct epb_resource *pool = batch->pool;
    struct epb_list *next;

    for (struct epb_list *at = pool->free_elements.next; at != &pool->free_elements;
         at = next) {
        struct epb_element *element = EPB_LIST_ITEM(at, struct epb_element, of_free);

        next = at->next;
        if (element->batch != batch->number) {
            epb_element_discard(leases, pool, element);
        }
    }
    for (struct epb_list *at = pool->grants.next; at != &pool->grants; at = at->next) {
        const struct epb_grant *grant =
            EPB_LIST_ITEM(at, const struct epb_grant, of_resource);

        for (uint32_t i = 0; i < grant->count; i++) {
            if (grant->things[i].element->batch != batch->number) {
                epb_element_discard(leases, pool, grant->things[i].element);
            }
        }
    }
    epb_queue_refuse(leases, pool);
}

static enum epb_status
add_all(struct epb_leases *leases, struct epb_resource *pool, struct epb_bytes elements,
        bool replaces)
{
    struct batch batch = {
        .pool = pool, .number = ++leases->last_batch, .replaces = replaces};
    struct unpack unpack = unpack_of(elements);
    enum epb_status status = EPB_OK;

    epb_list_init(&batch.added);
    epb_list_init(&batch.kept);
    while (status == EPB_OK && unpack_next(&unpack)) {
        status = batch_add(leases, &batch, &unpack);
    }
    if (status == EPB_OK) {
        batch_commit(leases, &batch);
        if (replaces) {
            discard_others(leases, &batch);
        }
    } else {
        batch_undo(leases, &batch);
    }
    return status;
}

/* Definitions */

static void
define(struct epb_leases *leases, struct epb_resource *resource, enum epb_lease_kind kind)
{
    resource->kind = kind;
    resource->defined = true;
    epb_tree_insert(&leases->defined, &resource->of_defined, ++leases->last_definition,
                    0);
}

/* Whether the key can be defined as this kind, or is. */
static bool
can_be(const struct epb_resource *resource, enum epb_lease_kind kind, bool has_value)
{
    return !has_value && (!epb_resource_exists(resource) || resource->kind == kind);
}

/* What a second definition is to a pool: *done when nothing is left to do. */
static enum epb_status
redefine(const struct epb_leases *leases, struct epb_resource *pool,
         struct epb_bytes elements, enum epb_defining how, bool *done)
{
    const struct epb_elements_mark mark = mark_of(leases, elements);
    bool is_now = is_same(&mark, &pool->elements);

    *done = how == EPB_DEFINE_IF_ABSENT || is_now;
    switch (how) {
    case EPB_DEFINE_ONCE:
        *done = true;
        return is_now || is_same(&mark, &pool->definition) ? EPB_OK : EPB_CONFLICT;
    case EPB_DEFINE_ANEW:
        if (is_now) {
            pool->definition = mark;
        }
        return EPB_OK;
    case EPB_DEFINE_MORE:
        *done = false;
        return EPB_OK;
    case EPB_DEFINE_IF_ABSENT:
        break;
    }
    return EPB_OK;
}

static enum epb_status
pool_on(struct epb_leases *leases, struct epb_resource *pool, struct epb_bytes elements,
        enum epb_defining how, bool has_value, const struct epb_time *now, bool *changed)
{
    enum epb_status status = EPB_OK;
    bool done = false;

    if (!can_be(pool, EPB_KIND_POOL, has_value)) {
        return EPB_KIND_MISMATCH;
    }
    if (pool->defined) {
        status = redefine(leases, pool, elements, how, &done);
    }
    if (status != EPB_OK || done) {
        return status;
    }
    status = add_all(leases, pool, elements, how == EPB_DEFINE_ANEW);
    if (status != EPB_OK) {
        return status;
    }
    *changed = !pool->defined || how == EPB_DEFINE_ANEW;
    if (*changed) {
        pool->definition = mark_of(leases, elements);
    }
    if (!pool->defined) {
        define(leases, pool, EPB_KIND_POOL);
    }
    epb_resource_go_on(leases, pool, now);
    return EPB_OK;
}

enum epb_status
epb_lease_pool(struct epb_leases *leases, struct epb_bytes key, struct epb_bytes elements,
               enum epb_defining how, bool has_value, const struct epb_time *now,
               bool *changed, uint64_t *size)
{
    struct epb_resource *pool;
    enum epb_status status;

    *changed = false;
    if (!is_well_formed(elements)) {
        return EPB_INVALID_VALUE;
    }
    epb_leases_settle(leases, now);
    status = epb_resource_get(leases, EPB_SPACE_KEY, key, &pool);
    if (status != EPB_OK) {
        return status;
    }
    status = pool_on(leases, pool, elements, how, has_value, now, changed);
    epb_pools_refuse_stuck(leases, now);
    *size = pool->elements.count;
    epb_resource_free_unused(leases, pool);
    return status;
}

static enum epb_status
limit_on(struct epb_leases *leases, struct epb_resource *resource, uint64_t n,
         enum epb_defining how, bool has_value, const struct epb_time *now, bool *changed)
{
    enum epb_status status;

    if (!can_be(resource, EPB_KIND_SEMAPHORE, has_value)) {
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
        define(leases, resource, EPB_KIND_SEMAPHORE);
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
    if (element == NULL || element->discarded) {
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
    struct epb_element *element;

    while ((element = first_of(&resource->free_elements)) != NULL) {
        epb_element_discard(leases, resource, element);
    }
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

enum epb_status
epb_lease_undefine(struct epb_leases *leases, struct epb_bytes key,
                   const struct epb_time *now)
{
    struct epb_resource *resource;

    epb_leases_settle(leases, now);
    resource = epb_resource_find(leases, EPB_SPACE_KEY, key);
    if (resource == NULL || !resource->defined) {
        return EPB_NOT_FOUND;
    }
    epb_resource_go_on(leases, resource, now);
    if (!epb_list_empty(&resource->grants) || resource->queue.count > 0) {
        return EPB_LEASE_HELD;
    }
    epb_resource_undefine(leases, resource);
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
          const struct epb_time *now, struct epb_budget *budget,
          struct epb_lease_clearing *clearing)
{
    epb_resource_go_on(leases, resource, now);
    if (!epb_list_empty(&resource->grants) || resource->queue.count > 0) {
        clearing->held++;
        return;
    }
    epb_budget_spend(budget, EPB_UNITS_VISIT * (size_t)resource->elements.count);
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
    while (!epb_budget_spent(budget)) {
        struct epb_resource *resource = next_to_clear(leases, clearing);

        if (resource == NULL) {
            return true;
        }
        clearing->at = resource->of_defined.major;
        epb_budget_spend(budget, EPB_UNITS_VISIT);
        if (resource->key_bytes >= prefix.size_bytes &&
            (prefix.size_bytes == 0 ||
             memcmp(resource->key, prefix.data, prefix.size_bytes) == 0)) {
            clear_one(leases, resource, now, budget, clearing);
        }
    }
    return false;
}
