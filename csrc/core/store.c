/*
 * A write first does everything that can fail: it checks the limits, allocates the block,
 * and reserves room in the map and the heap. Only then does it evict items and show the
 * new one. If the new value needs a block of the same size, it is written in place.
 */
#include <inttypes.h>
#include <stdio.h>

#include "../base/arena.h"
#include "../base/mem.h"
#include "store_internal.h"

/* Writing */

static bool
may_store(const struct epb_store *store, struct epb_bytes key, const struct epb_time *now)
{
    return store->hooks.may_store == NULL ||
           store->hooks.may_store(store->hooks.context, key, now);
}

static uint32_t
tag_of(size_t size_bytes, uint32_t value_flags)
{
    uint32_t tag = (uint32_t)size_bytes;

    if ((value_flags & EPB_F_BINARY) != 0) {
        tag |= 1U << EPB_ITEM_VALUE_BITS;
    }
    if ((value_flags & EPB_F_GZIP) != 0) {
        tag |= 2U << EPB_ITEM_VALUE_BITS;
    }
    return tag;
}

static void
item_fill(struct epb_store *store, struct epb_item *item, const struct epb_write *write)
{
    store->version++;
    item->version_key = store->version << EPB_ITEM_KEY_BITS | write->key.size_bytes;
    item->node.tag = tag_of(write->value.size_bytes, write->value_flags);
    epb_mem_copy(item->bytes + write->key.size_bytes, write->value.data,
                 write->value.size_bytes);
}

static void
ttl_set(struct epb_store *store, struct epb_item *item, uint64_t ttl_ms)
{
    if (store->extra_bytes > 0) {
        epb_item_extra(item)->ttl_ms = ttl_ms;
    }
}

static struct epb_item *
item_new(struct epb_store *store, const struct epb_write *write)
{
    uint8_t *block =
        epb_arena_alloc(store->arena, epb_store_asked_bytes(store, write->key.size_bytes,
                                                            write->value.size_bytes));

    if (block == NULL) {
        return NULL;
    }
    struct epb_item *item = (struct epb_item *)(block + store->extra_bytes);

    item->node.index = EPB_HEAP_NOWHERE;
    item->node.tag = tag_of(write->value.size_bytes, write->value_flags);
    item->version_key = write->key.size_bytes;
    memcpy(item->bytes, write->key.data, write->key.size_bytes);
    return item;
}

/* Returns NULL when out of memory. */
static struct epb_item *
write_new(struct epb_store *store, const struct epb_write *write,
          const struct epb_growth *growth, const struct epb_time *now)
{
    /* Once the new item is in the map, the map's count includes it. */
    struct epb_growth bytes_only = {0, growth->new_bytes, 0};
    struct epb_item *item;

    if (epb_heap_reserve(&store->heap) != EPB_OK) {
        return NULL;
    }
    item = item_new(store, write);
    if (item == NULL) {
        return NULL;
    }
    if (epb_map_insert(store->map, item) != EPB_OK) {
        epb_item_release(store, item);
        return NULL;
    }
    epb_heap_insert(&store->heap, &item->node, epb_item_deadline(now, write->ttl_ms));
    epb_store_quota_evict(store, &bytes_only, NULL, now);
    item_fill(store, item, write);
    ttl_set(store, item, write->ttl_ms);
    epb_item_use_link(store, item);
    epb_store_charge(store, growth->new_bytes, 0);
    return item;
}

/* The old value and the new one need blocks of the same size. */
static void
write_in_place(struct epb_store *store, struct epb_item *item,
               const struct epb_write *write)
{
    size_t old_bytes = epb_item_asked_bytes(store, item);
    size_t new_bytes =
        epb_store_asked_bytes(store, write->key.size_bytes, write->value.size_bytes);

    if (new_bytes < old_bytes) {
        epb_mem_wipe(item->bytes + write->key.size_bytes + write->value.size_bytes,
                     old_bytes - new_bytes);
    }
    epb_arena_retag(store->arena, (uint8_t *)item - store->extra_bytes, old_bytes,
                    new_bytes);
    item_fill(store, item, write);
}

/* Returns the item with its new value and its old deadline; NULL: out of memory. */
static struct epb_item *
write_over(struct epb_store *store, struct epb_item *old, const struct epb_write *write,
           const struct epb_growth *growth, const struct epb_time *now)
{
    struct epb_item *item;

    epb_item_goes(store, old);
    if (growth->new_bytes == growth->old_bytes) {
        write_in_place(store, old, write);
        epb_item_use(store, old);
        return old;
    }
    item = item_new(store, write);
    if (item == NULL) {
        return NULL;
    }
    epb_store_quota_evict(store, growth, old, now);
    item_fill(store, item, write);
    epb_map_replace(store->map, old, item);
    epb_heap_replace(&store->heap, &old->node, &item->node);
    if (store->extra_bytes > 0) {
        epb_item_extra(item)->ttl_ms = epb_item_extra(old)->ttl_ms;
    }
    epb_item_use_unlink(store, old);
    epb_item_use_link(store, item);
    epb_store_charge(store, growth->new_bytes, growth->old_bytes);
    epb_item_release(store, old);
    return item;
}

/* Overwrites `*item`, or creates an item if it is NULL; `*item` is the result. */
static enum epb_status
put(struct epb_store *store, const struct epb_write *write, const struct epb_time *now,
    struct epb_item **item)
{
    uint64_t max_bytes = store->options->max_value_bytes;
    struct epb_growth growth = {1, 0, 0};
    struct epb_item *written;
    enum epb_status status;

    if (*item == NULL && !may_store(store, write->key, now)) {
        return EPB_KIND_MISMATCH;
    }
    if (write->value.size_bytes > EPB_ITEM_VALUE_MAX_BYTES ||
        (max_bytes != 0 && write->value.size_bytes > max_bytes)) {
        return EPB_TOO_LARGE;
    }
    growth.new_bytes = epb_arena_block_bytes(
        epb_store_asked_bytes(store, write->key.size_bytes, write->value.size_bytes));
    if (*item != NULL) {
        growth.items = 0;
        growth.old_bytes = epb_arena_block_bytes(epb_item_asked_bytes(store, *item));
    }
    status = epb_store_quota_allow(store, &growth, *item, now);
    if (status != EPB_OK) {
        return status;
    }
    written = *item == NULL ? write_new(store, write, &growth, now)
                            : write_over(store, *item, write, &growth, now);
    if (written == NULL) {
        return EPB_INTERNAL;
    }
    *item = written;
    return EPB_OK;
}

/* The store */

struct epb_store *
epb_store_new(const struct epb_options *options, struct epb_arena *arena,
              struct epb_quota *quota, const struct epb_store_hooks *hooks)
{
    struct epb_store *store = epb_mem_table_alloc(sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    epb_heap_init(&store->heap);
    epb_list_init(&store->walks);
    store->map = epb_map_new(epb_item_key);
    store->gone = epb_gone_new(arena);
    if (store->map == NULL || store->gone == NULL) {
        epb_store_free(store);
        return NULL;
    }
    store->options = options;
    store->arena = arena;
    store->quota = quota;
    store->hooks = *hooks;
    if (options->evict_lru || options->refresh_ttl_on_get) {
        store->extra_bytes = sizeof(struct epb_item_extra);
    }
    return store;
}

void
epb_store_free(struct epb_store *store)
{
    if (store == NULL) {
        return;
    }
    EPB_ASSERT(epb_list_empty(&store->walks));
    while (store->heap.count > 0) {
        epb_item_remove(store, epb_item_of(store->heap.nodes[store->heap.count - 1]));
    }
    epb_heap_fini(&store->heap);
    epb_map_free(store->map);
    epb_gone_free(store->gone);
    epb_mem_table_free(store);
}

enum epb_status
epb_store_get(struct epb_store *store, struct epb_bytes key, const struct epb_time *now,
              struct epb_item_view *view)
{
    struct epb_item *item = epb_store_find_live(store, key, now);

    if (item == NULL) {
        store->stats.misses++;
        return EPB_NOT_FOUND;
    }
    store->stats.hits++;
    epb_item_use(store, item);
    if (store->options->refresh_ttl_on_get) {
        epb_heap_change(&store->heap, &item->node,
                        epb_item_deadline(now, epb_item_extra(item)->ttl_ms));
    }
    epb_item_get_view(item, now, view);
    return EPB_OK;
}

enum epb_status
epb_store_peek(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_item_view *view)
{
    const struct epb_item *item = epb_map_find(store->map, key);

    if (item == NULL || epb_item_is_due(item, now)) {
        return EPB_NOT_FOUND;
    }
    epb_item_get_view(item, now, view);
    return EPB_OK;
}

enum epb_status
epb_store_set(struct epb_store *store, const struct epb_write *write,
              const struct epb_time *now, uint64_t *version)
{
    struct epb_item *item = epb_store_find_live(store, write->key, now);
    enum epb_status status;

    if (write->if_absent && item != NULL) {
        return EPB_CONFLICT;
    }
    if (write->check_version &&
        (item == NULL || epb_item_version(item) != write->version)) {
        return EPB_CONFLICT;
    }
    status = put(store, write, now, &item);
    if (status != EPB_OK) {
        return status;
    }
    ttl_set(store, item, write->ttl_ms);
    epb_heap_change(&store->heap, &item->node, epb_item_deadline(now, write->ttl_ms));
    epb_store_notify(store, EPB_EVENT_SET, item);
    *version = epb_item_version(item);
    return EPB_OK;
}

bool
epb_store_touch(struct epb_store *store, struct epb_bytes key, uint64_t ttl_ms,
                const struct epb_time *now)
{
    struct epb_item *item = epb_store_find_live(store, key, now);

    if (item == NULL) {
        return false;
    }
    ttl_set(store, item, ttl_ms);
    epb_item_use(store, item);
    epb_heap_change(&store->heap, &item->node, epb_item_deadline(now, ttl_ms));
    return true;
}

bool
epb_store_del(struct epb_store *store, struct epb_bytes key, const struct epb_time *now)
{
    struct epb_item *item = epb_store_find_live(store, key, now);

    epb_gone_forget(store->gone, key);
    if (item == NULL) {
        return false;
    }
    epb_store_notify(store, EPB_EVENT_DEL, item);
    epb_item_remove(store, item);
    return true;
}

/* Counters */

#define NUMBER_TEXT_BYTES 17U /* "-9007199254740991" */

/* Parses a JSON text that is written as an integer. */
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
    struct epb_item *item = epb_store_find_live(store, key, now);
    char text[NUMBER_TEXT_BYTES + 1];
    int64_t number = 0;
    enum epb_status status;

    if (item != NULL && (epb_item_value_flags(item) != 0 ||
                         !number_parse(epb_item_value(item), &number))) {
        return EPB_NOT_A_NUMBER;
    }
    if (!number_add(number, by, &number)) {
        return EPB_NOT_A_NUMBER;
    }
    int length = snprintf(text, sizeof(text), "%" PRId64, number);

    EPB_ASSERT(length > 0 && (size_t)length < sizeof(text));
    const struct epb_write write = {
        .key = key,
        .value = {(const uint8_t *)text, (size_t)length},
        .ttl_ms = ttl_ms,
    };

    status = put(store, &write, now, &item);
    epb_mem_wipe(text, sizeof(text));
    if (status == EPB_OK) {
        epb_store_notify(store, EPB_EVENT_SET, item);
        *result = number;
    }
    return status;
}

/* Returning memory to the system costs more than removing items: a sweep also ends after
 * it has returned this much. */
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
           epb_store_remove_due(store, now)) {
        removed++;
        epb_arena_stats(store->arena, &after);
    }
    first = epb_heap_first(&store->heap);
    return first == NULL ? UINT64_MAX : first->due_ms >> EPB_ITEM_TTL_BITS;
}

void
epb_store_stats(const struct epb_store *store, struct epb_store_stats *stats)
{
    *stats = store->stats;
    stats->items = epb_map_count(store->map);
    stats->table_bytes = epb_map_bytes(store->map) + epb_heap_bytes(&store->heap) +
                         epb_gone_bytes(store->gone);
}

bool
epb_store_gone(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_gone_view *view)
{
    return epb_gone_find(store->gone, key, now->boot_ms, view);
}
