/*
 * Which items are removed: those that are due, and with eviction the least recently used.
 * A write that can't fit even with eviction evicts nothing.
 */
#include "../base/arena.h"
#include "store_internal.h"

/* The list of use */

void
epb_item_use_unlink(struct epb_store *store, struct epb_item *item)
{
    struct epb_item_extra *extra;

    if (!store->options->evict_lru) {
        return;
    }
    extra = epb_item_extra(item);
    if (extra->earlier != NULL) {
        epb_item_extra(extra->earlier)->later = extra->later;
    } else {
        store->least_recent = extra->later;
    }
    if (extra->later != NULL) {
        epb_item_extra(extra->later)->earlier = extra->earlier;
    } else {
        store->most_recent = extra->earlier;
    }
}

void
epb_item_use_link(struct epb_store *store, struct epb_item *item)
{
    struct epb_item_extra *extra;

    if (!store->options->evict_lru) {
        return;
    }
    extra = epb_item_extra(item);
    extra->earlier = store->most_recent;
    extra->later = NULL;
    if (store->most_recent != NULL) {
        epb_item_extra(store->most_recent)->later = item;
    } else {
        store->least_recent = item;
    }
    store->most_recent = item;
}

void
epb_item_use(struct epb_store *store, struct epb_item *item)
{
    if (store->most_recent != item) {
        epb_item_use_unlink(store, item);
        epb_item_use_link(store, item);
    }
}

static bool
may_evict(const struct epb_store *store, const struct epb_item *item)
{
    return store->hooks.may_evict == NULL ||
           store->hooks.may_evict(store->hooks.context, epb_item_key(item));
}

/* Removal */

void
epb_item_release(struct epb_store *store, struct epb_item *item)
{
    size_t size_bytes = epb_item_asked_bytes(store, item);

    epb_arena_release(store->arena, (uint8_t *)item - store->extra_bytes, size_bytes);
}

void
epb_item_remove(struct epb_store *store, struct epb_item *item)
{
    epb_item_goes(store, item);
    epb_map_remove(store->map, item);
    epb_heap_remove(&store->heap, &item->node);
    epb_item_use_unlink(store, item);
    epb_store_charge(store, 0, epb_arena_block_bytes(epb_item_asked_bytes(store, item)));
    epb_item_release(store, item);
}

/* Removes an item at its deadline. */
static void
item_expire(struct epb_store *store, struct epb_item *item)
{
    epb_store_notify(store, EPB_EVENT_EXPIRE, item);
    epb_gone_put(store->gone, epb_item_key(item), EPB_EVENT_EXPIRE, epb_item_due_ms(item),
                 epb_item_ttl_ms(item));
    epb_item_remove(store, item);
    store->stats.expired++;
}

bool
epb_store_remove_due(struct epb_store *store, const struct epb_time *now)
{
    struct epb_heap_node *first = epb_heap_first(&store->heap);

    if (first == NULL || !epb_item_is_due(epb_item_of(first), now)) {
        return false;
    }
    item_expire(store, epb_item_of(first));
    return true;
}

struct epb_item *
epb_store_find_live(struct epb_store *store, struct epb_bytes key,
                    const struct epb_time *now)
{
    struct epb_item *item = epb_map_find(store->map, key);

    if (item != NULL && epb_item_is_due(item, now)) {
        item_expire(store, item);
        return NULL;
    }
    return item;
}

/* Quotas */

/* Whether the growth fits after this many items and bytes were evicted. */
static enum epb_status
quota_check(const struct epb_store *store, const struct epb_growth *growth,
            size_t gone_items, uint64_t gone_bytes)
{
    uint64_t max_items = store->options->max_items;
    uint64_t max_bytes = store->quota->limit_bytes;

    if (max_items != 0 &&
        epb_map_count(store->map) + growth->items - gone_items > max_items) {
        return EPB_MAX_ITEMS;
    }
    if (max_bytes != 0 && growth->new_bytes > growth->old_bytes &&
        store->quota->used_bytes - growth->old_bytes + growth->new_bytes - gone_bytes >
            max_bytes) {
        return EPB_MAX_MEMORY;
    }
    return EPB_OK;
}

/* Whether the growth would fit if other items were evicted. Moves items that must not be
 * evicted to the recent end of the list of use, so that not every write visits them. */
static enum epb_status
quota_plan(struct epb_store *store, const struct epb_growth *growth,
           const struct epb_item *keep)
{
    struct epb_item *last = store->most_recent;
    struct epb_item *item = store->least_recent;
    enum epb_status status = quota_check(store, growth, 0, 0);
    size_t gone_items = 0;
    uint64_t gone_bytes = 0;

    while (status != EPB_OK && item != NULL) {
        struct epb_item *next = item == last ? NULL : epb_item_extra(item)->later;

        if (item != keep && may_evict(store, item)) {
            gone_items++;
            gone_bytes += epb_arena_block_bytes(epb_item_asked_bytes(store, item));
            status = quota_check(store, growth, gone_items, gone_bytes);
        } else if (item != keep) {
            epb_item_use(store, item);
        }
        item = next;
    }
    return status;
}

enum epb_status
epb_store_quota_allow(struct epb_store *store, const struct epb_growth *growth,
                      const struct epb_item *keep, const struct epb_time *now)
{
    enum epb_status status = quota_check(store, growth, 0, 0);

    while (status != EPB_OK && epb_store_remove_due(store, now)) {
        status = quota_check(store, growth, 0, 0);
    }
    if (status == EPB_OK || !store->options->evict_lru) {
        return status;
    }
    return quota_plan(store, growth, keep);
}

/* quota_plan has moved the items that must not be evicted out of the way. But
 * notifications of evictions may take memory, too, so more items may go than planned. */
void
epb_store_quota_evict(struct epb_store *store, const struct epb_growth *growth,
                      const struct epb_item *keep, const struct epb_time *now)
{
    struct epb_item *next = store->least_recent;

    while (next != NULL && quota_check(store, growth, 0, 0) != EPB_OK) {
        struct epb_item *item = next;

        next = epb_item_extra(item)->later;
        if (item != keep && may_evict(store, item)) {
            epb_store_notify(store, EPB_EVENT_EVICT, item);
            epb_gone_put(store->gone, epb_item_key(item), EPB_EVENT_EVICT, now->boot_ms,
                         epb_item_ttl_ms(item));
            epb_item_remove(store, item);
            store->stats.evicted++;
        }
    }
}

bool
epb_store_make_room(struct epb_store *store, size_t size_bytes,
                    const struct epb_time *now)
{
    const struct epb_growth growth = {0, size_bytes, 0};

    if (epb_store_quota_allow(store, &growth, NULL, now) != EPB_OK) {
        return false;
    }
    epb_store_quota_evict(store, &growth, NULL, now);
    return true;
}
