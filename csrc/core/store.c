/*
 * An item's block is, from its start: the extra part, when the options need it; the
 * header; the key; the value. Everything else points at the header. Its numbers are
 * packed (24 bytes, whatever the key and the value are), since most items are small.
 *
 * A write does all that can fail first: it checks the limits, takes the block, and makes
 * room in map and heap. Only then are items evicted and the new one shown. A value that
 * needs a block of the same size as before is written in place.
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>

#include "../base/heap.h"
#include "../base/map.h"

#define KEY_BITS 10U
#define KEY_MASK ((1U << KEY_BITS) - 1)
#define VALUE_BITS 30U
#define VALUE_MASK ((1U << VALUE_BITS) - 1)
#define VALUE_MAX_BYTES ((size_t)VALUE_MASK)

struct item {
    struct epb_heap_node node; /* its tag: value bytes, and the value's flags above
                                  VALUE_BITS */
    uint64_t version_key;      /* key bytes, and the version above KEY_BITS */
    uint8_t bytes[];           /* key, value */
};
_Static_assert(sizeof(struct item) == 24, "the header of an item is packed");
_Static_assert(EPB_KEY_MAX_BYTES <= KEY_MASK, "a key's size fits its bits");

/* In front of the header, when eviction or refreshing by reads is on. */
struct extra {
    struct item *earlier; /* used before this one */
    struct item *later;
    uint64_t ttl_ms;
};
_Static_assert(sizeof(struct extra) % _Alignof(struct item) == 0,
               "the header stays aligned");

struct epb_store {
    const struct epb_options *options;
    struct epb_arena *arena;
    struct epb_map *map;
    struct epb_heap heap;
    size_t extra_bytes;
    struct item *least_recent;
    struct item *most_recent;
    uint64_t version; /* the last one given */
    struct epb_store_stats stats;
};

/* Items */

static struct item *
item_of(struct epb_heap_node *node)
{
    return (struct item *)node; /* its first member */
}

static size_t
key_bytes(const struct item *item)
{
    return (size_t)(item->version_key & KEY_MASK);
}

static size_t
value_bytes(const struct item *item)
{
    return item->node.tag & VALUE_MASK;
}

static struct epb_bytes
key_of(const void *context)
{
    const struct item *item = context;

    return (struct epb_bytes){item->bytes, key_bytes(item)};
}

static struct epb_bytes
value_of(const struct item *item)
{
    return (struct epb_bytes){item->bytes + key_bytes(item), value_bytes(item)};
}

static uint64_t
version_of(const struct item *item)
{
    return item->version_key >> KEY_BITS;
}

static uint32_t
tag_of(size_t size_bytes, uint32_t value_flags)
{
    uint32_t tag = (uint32_t)size_bytes;

    if ((value_flags & EPB_F_BINARY) != 0) {
        tag |= 1U << VALUE_BITS;
    }
    if ((value_flags & EPB_F_GZIP) != 0) {
        tag |= 2U << VALUE_BITS;
    }
    return tag;
}

static uint32_t
value_flags_of(const struct item *item)
{
    uint32_t bits = item->node.tag >> VALUE_BITS;

    return ((bits & 1U) != 0 ? EPB_F_BINARY : 0) | ((bits & 2U) != 0 ? EPB_F_GZIP : 0);
}

/* What the item asks of the arena. */
static size_t
asked_bytes(const struct epb_store *store, size_t key_size_bytes, size_t value_size_bytes)
{
    return store->extra_bytes + sizeof(struct item) + key_size_bytes + value_size_bytes;
}

static size_t
item_asked_bytes(const struct epb_store *store, const struct item *item)
{
    return asked_bytes(store, key_bytes(item), value_bytes(item));
}

static struct extra *
extra_of(const struct item *item)
{
    return (struct extra *)((uintptr_t)item - sizeof(struct extra));
}

static bool
is_due(const struct item *item, const struct epb_time *now)
{
    return item->node.due_ms <= now->boot_ms;
}

static void
item_view(const struct item *item, const struct epb_time *now, struct epb_item_view *view)
{
    view->key = key_of(item);
    view->value = value_of(item);
    view->value_flags = value_flags_of(item);
    view->version = version_of(item);
    view->ttl_ms = item->node.due_ms - now->boot_ms;
}

/* The list of use */

static void
use_unlink(struct epb_store *store, struct item *item)
{
    struct extra *extra;

    if (!store->options->evict_lru) {
        return;
    }
    extra = extra_of(item);
    if (extra->earlier != NULL) {
        extra_of(extra->earlier)->later = extra->later;
    } else {
        store->least_recent = extra->later;
    }
    if (extra->later != NULL) {
        extra_of(extra->later)->earlier = extra->earlier;
    } else {
        store->most_recent = extra->earlier;
    }
}

static void
use_link(struct epb_store *store, struct item *item)
{
    struct extra *extra;

    if (!store->options->evict_lru) {
        return;
    }
    extra = extra_of(item);
    extra->earlier = store->most_recent;
    extra->later = NULL;
    if (store->most_recent != NULL) {
        extra_of(store->most_recent)->later = item;
    } else {
        store->least_recent = item;
    }
    store->most_recent = item;
}

static void
use(struct epb_store *store, struct item *item)
{
    if (store->most_recent != item) {
        use_unlink(store, item);
        use_link(store, item);
    }
}

/* Removal */

static void
block_release(struct epb_store *store, struct item *item)
{
    size_t size_bytes = item_asked_bytes(store, item);

    epb_arena_release(store->arena, (uint8_t *)item - store->extra_bytes, size_bytes);
}

static void
item_remove(struct epb_store *store, struct item *item)
{
    epb_map_remove(store->map, item);
    epb_heap_remove(&store->heap, &item->node);
    use_unlink(store, item);
    store->stats.stored_bytes -= epb_arena_block_bytes(item_asked_bytes(store, item));
    block_release(store, item);
}

/* Removes the item whose deadline came first, if it has come. */
static bool
remove_due(struct epb_store *store, const struct epb_time *now)
{
    struct epb_heap_node *first = epb_heap_first(&store->heap);

    if (first == NULL || !is_due(item_of(first), now)) {
        return false;
    }
    item_remove(store, item_of(first));
    store->stats.expired++;
    return true;
}

/* The live item with this key, or NULL; one whose deadline has come is removed. */
static struct item *
find_live(struct epb_store *store, struct epb_bytes key, const struct epb_time *now)
{
    struct item *item = epb_map_find(store->map, key);

    if (item != NULL && is_due(item, now)) {
        item_remove(store, item);
        store->stats.expired++;
        return NULL;
    }
    return item;
}

/* Quotas */

/* What a write adds to the store. */
struct growth {
    size_t items;
    size_t new_bytes; /* of its block */
    size_t old_bytes; /* of the block it replaces */
};

static enum epb_status
quota_check(const struct epb_store *store, const struct growth *growth)
{
    const struct epb_options *options = store->options;

    if (options->max_items != 0 &&
        epb_map_count(store->map) + growth->items > options->max_items) {
        return EPB_MAX_ITEMS;
    }
    if (options->max_memory_bytes != 0 &&
        store->stats.stored_bytes - growth->old_bytes + growth->new_bytes >
            options->max_memory_bytes) {
        return EPB_MAX_MEMORY;
    }
    return EPB_OK;
}

/* Whether the write fits, once what is due and, with eviction, others are gone. Removes
 * what is due, but evicts nothing yet. */
static enum epb_status
quota_allow(struct epb_store *store, const struct growth *growth,
            const struct epb_time *now)
{
    uint64_t max_bytes = store->options->max_memory_bytes;
    enum epb_status status = quota_check(store, growth);

    while (status != EPB_OK && remove_due(store, now)) {
        status = quota_check(store, growth);
    }
    if (status == EPB_OK || !store->options->evict_lru) {
        return status;
    }
    return max_bytes == 0 || growth->new_bytes <= max_bytes ? EPB_OK : EPB_MAX_MEMORY;
}

/* Evicts others until the write fits. `keep` is about to be replaced, or NULL. */
static void
quota_evict(struct epb_store *store, const struct growth *growth, const struct item *keep)
{
    struct item *next = store->least_recent;

    while (next != NULL && quota_check(store, growth) != EPB_OK) {
        struct item *item = next;

        next = extra_of(item)->later;
        if (item != keep) {
            item_remove(store, item);
            store->stats.evicted++;
        }
    }
}

/* Writing */

static void
item_fill(struct epb_store *store, struct item *item, const struct epb_write *write)
{
    store->version++;
    item->version_key = store->version << KEY_BITS | write->key.size_bytes;
    item->node.tag = tag_of(write->value.size_bytes, write->value_flags);
    if (write->value.size_bytes > 0) {
        memcpy(item->bytes + write->key.size_bytes, write->value.data,
               write->value.size_bytes);
    }
}

static void
ttl_set(struct epb_store *store, struct item *item, uint64_t ttl_ms)
{
    if (store->extra_bytes > 0) {
        extra_of(item)->ttl_ms = ttl_ms;
    }
}

static struct item *
item_new(struct epb_store *store, const struct epb_write *write)
{
    uint8_t *block = epb_arena_alloc(
        store->arena, asked_bytes(store, write->key.size_bytes, write->value.size_bytes));

    if (block == NULL) {
        return NULL;
    }
    struct item *item = (struct item *)(block + store->extra_bytes);

    item->node.index = EPB_HEAP_NOWHERE;
    item->node.tag = tag_of(write->value.size_bytes, write->value_flags);
    item->version_key = write->key.size_bytes;
    memcpy(item->bytes, write->key.data, write->key.size_bytes);
    return item;
}

/* NULL when memory is out. */
static struct item *
write_new(struct epb_store *store, const struct epb_write *write,
          const struct growth *growth, const struct epb_time *now)
{
    /* Once it is in the map, the new item counts by itself. */
    struct growth bytes_only = {0, growth->new_bytes, 0};
    struct item *item;

    if (epb_heap_reserve(&store->heap) != EPB_OK) {
        return NULL;
    }
    item = item_new(store, write);
    if (item == NULL) {
        return NULL;
    }
    if (epb_map_insert(store->map, item) != EPB_OK) {
        block_release(store, item);
        return NULL;
    }
    epb_heap_insert(&store->heap, &item->node, now->boot_ms + write->ttl_ms);
    quota_evict(store, &bytes_only, NULL);
    item_fill(store, item, write);
    ttl_set(store, item, write->ttl_ms);
    use_link(store, item);
    store->stats.stored_bytes += growth->new_bytes;
    return item;
}

/* The old value and the new one need blocks of the same size. */
static void
write_in_place(struct epb_store *store, struct item *item, const struct epb_write *write)
{
    size_t old_bytes = item_asked_bytes(store, item);
    size_t new_bytes = asked_bytes(store, write->key.size_bytes, write->value.size_bytes);

    if (new_bytes < old_bytes) {
        epb_mem_wipe(item->bytes + write->key.size_bytes + write->value.size_bytes,
                     old_bytes - new_bytes);
    }
    epb_arena_retag(store->arena, (uint8_t *)item - store->extra_bytes, old_bytes,
                    new_bytes);
    item_fill(store, item, write);
}

/* The item with its new value and its old deadline; NULL when memory is out. */
static struct item *
write_over(struct epb_store *store, struct item *old, const struct epb_write *write,
           const struct growth *growth)
{
    struct item *item;

    if (growth->new_bytes == growth->old_bytes) {
        write_in_place(store, old, write);
        use(store, old);
        return old;
    }
    item = item_new(store, write);
    if (item == NULL) {
        return NULL;
    }
    quota_evict(store, growth, old);
    item_fill(store, item, write);
    epb_map_replace(store->map, old, item);
    epb_heap_replace(&store->heap, &old->node, &item->node);
    if (store->extra_bytes > 0) {
        extra_of(item)->ttl_ms = extra_of(old)->ttl_ms;
    }
    use_unlink(store, old);
    use_link(store, item);
    store->stats.stored_bytes += growth->new_bytes - growth->old_bytes;
    block_release(store, old);
    return item;
}

/* Writes over `*item`, or makes a new one when it is NULL; gives back the item as it is
 * now. */
static enum epb_status
put(struct epb_store *store, const struct epb_write *write, const struct epb_time *now,
    struct item **item)
{
    uint64_t max_bytes = store->options->max_value_bytes;
    struct growth growth = {1, 0, 0};
    struct item *written;
    enum epb_status status;

    if (write->value.size_bytes > VALUE_MAX_BYTES ||
        (max_bytes != 0 && write->value.size_bytes > max_bytes)) {
        return EPB_TOO_LARGE;
    }
    growth.new_bytes = epb_arena_block_bytes(
        asked_bytes(store, write->key.size_bytes, write->value.size_bytes));
    if (*item != NULL) {
        growth.items = 0;
        growth.old_bytes = epb_arena_block_bytes(item_asked_bytes(store, *item));
    }
    status = quota_allow(store, &growth, now);
    if (status != EPB_OK) {
        return status;
    }
    written = *item == NULL ? write_new(store, write, &growth, now)
                            : write_over(store, *item, write, &growth);
    if (written == NULL) {
        return EPB_INTERNAL;
    }
    *item = written;
    return EPB_OK;
}

/* The store */

struct epb_store *
epb_store_new(const struct epb_options *options, struct epb_arena *arena)
{
    struct epb_store *store = epb_mem_table_alloc(sizeof *store);

    if (store == NULL) {
        return NULL;
    }
    store->map = epb_map_new(key_of);
    if (store->map == NULL) {
        epb_mem_table_free(store);
        return NULL;
    }
    epb_heap_init(&store->heap);
    store->options = options;
    store->arena = arena;
    if (options->evict_lru || options->refresh_ttl_on_get) {
        store->extra_bytes = sizeof(struct extra);
    }
    return store;
}

void
epb_store_free(struct epb_store *store)
{
    if (store == NULL) {
        return;
    }
    while (store->heap.count > 0) {
        item_remove(store, item_of(store->heap.nodes[store->heap.count - 1]));
    }
    epb_heap_fini(&store->heap);
    epb_map_free(store->map);
    epb_mem_table_free(store);
}

enum epb_status
epb_store_get(struct epb_store *store, struct epb_bytes key, const struct epb_time *now,
              struct epb_item_view *view)
{
    struct item *item = find_live(store, key, now);

    if (item == NULL) {
        store->stats.misses++;
        return EPB_NOT_FOUND;
    }
    store->stats.hits++;
    use(store, item);
    if (store->options->refresh_ttl_on_get) {
        epb_heap_change(&store->heap, &item->node, now->boot_ms + extra_of(item)->ttl_ms);
    }
    item_view(item, now, view);
    return EPB_OK;
}

enum epb_status
epb_store_peek(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_item_view *view)
{
    const struct item *item = epb_map_find(store->map, key);

    if (item == NULL || is_due(item, now)) {
        return EPB_NOT_FOUND;
    }
    item_view(item, now, view);
    return EPB_OK;
}

enum epb_status
epb_store_set(struct epb_store *store, const struct epb_write *write,
              const struct epb_time *now, uint64_t *version)
{
    struct item *item = find_live(store, write->key, now);
    enum epb_status status;

    if (write->if_absent && item != NULL) {
        return EPB_CONFLICT;
    }
    if (write->check_version && (item == NULL || version_of(item) != write->version)) {
        return EPB_CONFLICT;
    }
    status = put(store, write, now, &item);
    if (status != EPB_OK) {
        return status;
    }
    ttl_set(store, item, write->ttl_ms);
    epb_heap_change(&store->heap, &item->node, now->boot_ms + write->ttl_ms);
    *version = version_of(item);
    return EPB_OK;
}

bool
epb_store_del(struct epb_store *store, struct epb_bytes key, const struct epb_time *now)
{
    struct item *item = find_live(store, key, now);

    if (item == NULL) {
        return false;
    }
    item_remove(store, item);
    return true;
}

/* Counters */

#define NUMBER_TEXT_BYTES 17U /* "-9007199254740991" */

/* The integer that a JSON text is, if it is written as one. */
static bool
number_parse(struct epb_bytes text, int64_t *number)
{
    bool negative = text.size_bytes > 0 && text.data[0] == '-';
    size_t first = negative ? 1 : 0;
    int64_t sum = 0;

    if (text.size_bytes > NUMBER_TEXT_BYTES || text.size_bytes == first ||
        (text.size_bytes > first + 1 && text.data[first] == '0')) {
        return false;
    }
    for (size_t i = first; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        sum = sum * 10 + (text.data[i] - '0');
    }
    *number = negative ? -sum : sum;
    return sum <= EPB_NUMBER_MAX;
}

static bool
number_add(int64_t number, int64_t by, int64_t *sum)
{
    if (by > EPB_NUMBER_MAX || by < -EPB_NUMBER_MAX) {
        return false;
    }
    *sum = number + by;
    return *sum <= EPB_NUMBER_MAX && *sum >= -EPB_NUMBER_MAX;
}

enum epb_status
epb_store_incr(struct epb_store *store, struct epb_bytes key, int64_t by, uint64_t ttl_ms,
               const struct epb_time *now, int64_t *result)
{
    struct item *item = find_live(store, key, now);
    char text[NUMBER_TEXT_BYTES + 1];
    int64_t number = 0;
    enum epb_status status;

    if (item != NULL &&
        (value_flags_of(item) != 0 || !number_parse(value_of(item), &number))) {
        return EPB_NOT_A_NUMBER;
    }
    if (!number_add(number, by, &number)) {
        return EPB_NOT_A_NUMBER;
    }
    int length = snprintf(text, sizeof text, "%" PRId64, number);

    EPB_ASSERT(length > 0 && (size_t)length < sizeof text);
    const struct epb_write write = {
        .key = key,
        .value = {(const uint8_t *)text, (size_t)length},
        .ttl_ms = ttl_ms,
    };

    status = put(store, &write, now, &item);
    epb_mem_wipe(text, sizeof text);
    if (status == EPB_OK) {
        *result = number;
    }
    return status;
}

/* All items */

struct walk {
    struct epb_bytes prefix;
    const struct epb_time *now;
    bool (*visit)(void *context, const struct epb_item_view *view);
    void *context;
};

static bool
walk_item(void *context, void *found)
{
    const struct walk *walk = context;
    const struct item *item = found;
    struct epb_item_view view;

    if (is_due(item, walk->now) || key_bytes(item) < walk->prefix.size_bytes) {
        return true;
    }
    if (walk->prefix.size_bytes > 0 &&
        memcmp(item->bytes, walk->prefix.data, walk->prefix.size_bytes) != 0) {
        return true;
    }
    item_view(item, walk->now, &view);
    return walk->visit(walk->context, &view);
}

void
epb_store_each(const struct epb_store *store, struct epb_bytes prefix,
               const struct epb_time *now,
               bool (*visit)(void *context, const struct epb_item_view *view),
               void *context)
{
    struct walk walk = {prefix, now, visit, context};

    epb_map_each(store->map, walk_item, &walk);
}

/* Giving memory back to the system costs more than removing items: a sweep also ends when
 * it has given back this much. */
#define SWEEP_RETURN_BYTES ((size_t)1024 * 1024)

uint64_t
epb_store_sweep(struct epb_store *store, const struct epb_time *now, unsigned limit)
{
    const struct epb_heap_node *first;
    struct epb_mem_stats before;
    struct epb_mem_stats after;
    unsigned removed = 0;

    epb_arena_stats(store->arena, &before);
    after = before;
    while (removed < limit &&
           before.reserved_bytes - after.reserved_bytes < SWEEP_RETURN_BYTES &&
           remove_due(store, now)) {
        removed++;
        epb_arena_stats(store->arena, &after);
    }
    first = epb_heap_first(&store->heap);
    return first == NULL ? UINT64_MAX : first->due_ms;
}

void
epb_store_stats(const struct epb_store *store, struct epb_store_stats *stats)
{
    *stats = store->stats;
    stats->items = epb_map_count(store->map);
    stats->table_bytes = epb_map_bytes(store->map) + epb_heap_bytes(&store->heap);
}
