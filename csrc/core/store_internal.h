/*
 * The items: private to store*.c.
 *
 * An item's block contains, in this order: the extra part, if the options need it; the
 * header; the key; the value. All pointers point to the header. The header is packed (24
 * bytes for every key and value), since most items are small.
 */
#ifndef EPB_CORE_STORE_INTERNAL_H
#define EPB_CORE_STORE_INTERNAL_H

#include "../base/arena.h"
#include "../base/heap.h"
#include "../base/map.h"
#include "gone.h"
#include "store.h"

#define EPB_ITEM_KEY_BITS 10U
#define EPB_ITEM_KEY_MASK ((1U << EPB_ITEM_KEY_BITS) - 1)
#define EPB_ITEM_VALUE_BITS 30U
#define EPB_ITEM_VALUE_MASK ((1U << EPB_ITEM_VALUE_BITS) - 1)
#define EPB_ITEM_VALUE_MAX_BYTES ((size_t)EPB_ITEM_VALUE_MASK)

/* The heap's number of an item: its deadline in ms, and below it, in EPB_ITEM_TTL_BITS,
 * the TTL it was written with, which gone.h reports later. The TTL is coded as a decimal
 * mantissa with the exponent above. This is exact for TTLs that people write, and for all
 * TTLs up to 131 s. */
#define EPB_ITEM_TTL_BITS 21U
#define EPB_ITEM_MANTISSA_BITS 17U
#define EPB_ITEM_MANTISSA_MASK ((UINT64_C(1) << EPB_ITEM_MANTISSA_BITS) - 1)
#define EPB_ITEM_TTL_MASK ((UINT64_C(1) << EPB_ITEM_TTL_BITS) - 1)
#define EPB_ITEM_TTL_FOREVER EPB_ITEM_TTL_MASK

struct epb_item {
    struct epb_heap_node node; /* its tag: value bytes, and the value's flags above
                                  EPB_ITEM_VALUE_BITS */
    uint64_t version_key;      /* key bytes, and the version above EPB_ITEM_KEY_BITS */
    uint8_t bytes[];           /* key, value */
};
_Static_assert(sizeof(struct epb_item) == 24, "the header of an item is packed");
_Static_assert(EPB_KEY_MAX_BYTES <= EPB_ITEM_KEY_MASK, "a key's size fits its bits");

/* Before the header, when eviction or refreshing by reads is on. */
struct epb_item_extra {
    struct epb_item *earlier; /* used before this one */
    struct epb_item *later;
    uint64_t ttl_ms;
};
_Static_assert(sizeof(struct epb_item_extra) % _Alignof(struct epb_item) == 0,
               "the header stays aligned");

struct epb_store {
    const struct epb_options *options;
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_store_hooks hooks;
    struct epb_map *map;
    struct epb_heap heap;
    size_t extra_bytes;
    struct epb_item *least_recent;
    struct epb_item *most_recent;
    uint64_t version; /* the latest one given */
    struct epb_list walks;
    struct epb_gone *gone;
    struct epb_store_stats stats;
};

/* What a write adds to the store, or another module to the quota. */
struct epb_growth {
    size_t items;
    size_t new_bytes; /* of the new block */
    size_t old_bytes; /* of the block it replaces */
};

/* Items */

static inline struct epb_item *
epb_item_of(struct epb_heap_node *node)
{
    return (struct epb_item *)node; /* node is its first member */
}

static inline size_t
epb_item_key_bytes(const struct epb_item *item)
{
    return (size_t)(item->version_key & EPB_ITEM_KEY_MASK);
}

static inline size_t
epb_item_value_bytes(const struct epb_item *item)
{
    return item->node.tag & EPB_ITEM_VALUE_MASK;
}

static inline struct epb_bytes
epb_item_key(const void *context)
{
    const struct epb_item *item = context;

    return (struct epb_bytes){item->bytes, epb_item_key_bytes(item)};
}

static inline struct epb_bytes
epb_item_value(const struct epb_item *item)
{
    return (struct epb_bytes){item->bytes + epb_item_key_bytes(item),
                              epb_item_value_bytes(item)};
}

static inline uint64_t
epb_item_version(const struct epb_item *item)
{
    return item->version_key >> EPB_ITEM_KEY_BITS;
}

static inline uint32_t
epb_item_value_flags(const struct epb_item *item)
{
    uint32_t bits = item->node.tag >> EPB_ITEM_VALUE_BITS;

    return ((bits & 1U) != 0 ? EPB_F_BINARY : 0) | ((bits & 2U) != 0 ? EPB_F_GZIP : 0);
}

/* The size of the item's block, as requested from the arena. */
static inline size_t
epb_store_asked_bytes(const struct epb_store *store, size_t key_size_bytes,
                      size_t value_size_bytes)
{
    return store->extra_bytes + sizeof(struct epb_item) + key_size_bytes +
           value_size_bytes;
}

static inline size_t
epb_item_asked_bytes(const struct epb_store *store, const struct epb_item *item)
{
    return epb_store_asked_bytes(store, epb_item_key_bytes(item),
                                 epb_item_value_bytes(item));
}

static inline struct epb_item_extra *
epb_item_extra(const struct epb_item *item)
{
    return (struct epb_item_extra *)((uintptr_t)item - sizeof(struct epb_item_extra));
}

/* The heap's number of an item that is written now. */
static inline uint64_t
epb_item_deadline(const struct epb_time *now, uint64_t ttl_ms)
{
    uint64_t mantissa = ttl_ms;
    uint64_t exponent = 0;

    if (ttl_ms >= EPB_TTL_FOREVER_MS) {
        return (now->boot_ms + EPB_TTL_FOREVER_MS) << EPB_ITEM_TTL_BITS |
               EPB_ITEM_TTL_FOREVER;
    }
    while (mantissa > EPB_ITEM_MANTISSA_MASK) {
        mantissa /= 10;
        exponent++;
    }
    return (now->boot_ms + ttl_ms) << EPB_ITEM_TTL_BITS |
           exponent << EPB_ITEM_MANTISSA_BITS | mantissa;
}

static inline uint64_t
epb_item_due_ms(const struct epb_item *item)
{
    return item->node.due_ms >> EPB_ITEM_TTL_BITS;
}

/* The TTL that it was written with; EPB_NUMBER_MAX: the broker's lifetime. */
static inline uint64_t
epb_item_ttl_ms(const struct epb_item *item)
{
    uint64_t code = item->node.due_ms & EPB_ITEM_TTL_MASK;
    uint64_t ttl_ms = code & EPB_ITEM_MANTISSA_MASK;

    if (code == EPB_ITEM_TTL_FOREVER) {
        return EPB_NUMBER_MAX;
    }
    for (uint64_t i = code >> EPB_ITEM_MANTISSA_BITS; i > 0; i--) {
        ttl_ms *= 10;
    }
    return ttl_ms;
}

static inline bool
epb_item_is_due(const struct epb_item *item, const struct epb_time *now)
{
    return epb_item_due_ms(item) <= now->boot_ms;
}

static inline void
epb_item_get_view(const struct epb_item *item, const struct epb_time *now,
                  struct epb_item_view *view)
{
    view->key = epb_item_key(item);
    view->value = epb_item_value(item);
    view->value_flags = epb_item_value_flags(item);
    view->version = epb_item_version(item);
    view->ttl_ms = (item->node.due_ms & EPB_ITEM_TTL_MASK) == EPB_ITEM_TTL_FOREVER
                       ? EPB_NUMBER_MAX
                       : epb_item_due_ms(item) - now->boot_ms;
}

/* Calls the hook for a change. */
static inline void
epb_store_notify(const struct epb_store *store, enum epb_event_kind kind,
                 const struct epb_item *item)
{
    if (store->hooks.on_change != NULL) {
        store->hooks.on_change(store->hooks.context, kind, epb_item_key(item),
                               epb_item_version(item));
    }
}

/* Charges the new block and uncharges the old one. */
static inline void
epb_store_charge(struct epb_store *store, size_t new_bytes, size_t old_bytes)
{
    store->stats.stored_bytes += new_bytes - old_bytes;
    store->quota->used_bytes += new_bytes - old_bytes;
}

/* store_walk.c: walks */

/* The item is about to be removed or overwritten: the walks visit it first. */
void
epb_walks_see(const struct epb_store *store, const struct epb_item *item);

static inline void
epb_item_goes(const struct epb_store *store, const struct epb_item *item)
{
    if (!epb_list_empty(&store->walks)) {
        epb_walks_see(store, item);
    }
}

/* store_quota.c: removal and limits */

/* Makes the item the most recently used; links it into the list of use; unlinks it. They
 * do nothing without eviction. */
void
epb_item_use(struct epb_store *store, struct epb_item *item);
void
epb_item_use_link(struct epb_store *store, struct epb_item *item);
void
epb_item_use_unlink(struct epb_store *store, struct epb_item *item);
/* Frees the block of an item without references. */
void
epb_item_release(struct epb_store *store, struct epb_item *item);
/* Removes the item from all structures and frees it. */
void
epb_item_remove(struct epb_store *store, struct epb_item *item);
/* Removes the item with the earliest deadline, if that has come. */
bool
epb_store_remove_due(struct epb_store *store, const struct epb_time *now);
/* The live item with this key; NULL: none. An item whose deadline has come is removed. */
struct epb_item *
epb_store_find_live(struct epb_store *store, struct epb_bytes key,
                    const struct epb_time *now);
/* Whether the write fits when items that are due and, with eviction, others are gone.
 * Removes items that are due, but evicts nothing yet. `keep` is about to be replaced;
 * NULL: nothing. EPB_MAX_ITEMS, EPB_MAX_MEMORY. */
EPB_MUST_USE enum epb_status
epb_store_quota_allow(struct epb_store *store, const struct epb_growth *growth,
                      const struct epb_item *keep, const struct epb_time *now);
/* Evicts other items until the write fits. epb_store_quota_allow must have succeeded. */
void
epb_store_quota_evict(struct epb_store *store, const struct epb_growth *growth,
                      const struct epb_item *keep, const struct epb_time *now);

#endif
