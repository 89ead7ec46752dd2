/*
 * The store: values by key, with versions, deadlines, quotas and eviction.
 *
 * An item is one block of the arena: header, key, value. The store never interprets a
 * value, except a counter. Three structures contain the item: the map (by key), the
 * deadline heap, and, with eviction, the list of use (least recently used first).
 *
 * Invariants:
 * - An item whose deadline has come (now.boot_ms >= due) is never returned, never blocks
 *   a new item's quota, and is removed before a live item is evicted, even if no sweep
 *   has removed it yet.
 * - Every write gives its key a version greater than any before in the whole store.
 * - A failed write changes nothing; limits are checked before memory is allocated.
 * - The statistics count the items in the map and their bytes. These bytes are charged to
 *   the quota, which others share.
 * - on_change is called once for every write and every end of an item, in their order.
 * - Removed and replaced bytes are wiped before the call returns.
 *
 * Not thread-safe; time is a parameter.
 */
#ifndef EPB_CORE_STORE_H
#define EPB_CORE_STORE_H

#include <stdbool.h>

#include "../base/arena.h"
#include "../base/list.h"
#include "../base/sys.h"
#include "budget.h"
#include "gone.h"
#include "msg.h"
#include "options.h"
#include "quota.h"

struct epb_store;

/* Calls to other modules. The store calls the hooks in the middle of its own calls,
 * so a hook must not call the store. Each may be NULL. */
struct epb_store_hooks {
    /* The key has a new value, or no value any more. `key` is valid during the call. */
    void (*on_change)(void *context, enum epb_event_kind kind, struct epb_bytes key,
                      uint64_t version);
    /* Whether a key without a value may get one. */
    bool (*may_store)(void *context, struct epb_bytes key, const struct epb_time *now);
    /* Whether the value may be evicted. If not, it counts as used. */
    bool (*may_evict)(void *context, struct epb_bytes key);
    void *context;
};

/* An item as callers see it. Key and value are valid until the next call on the store. */
struct epb_item_view {
    struct epb_bytes key;
    struct epb_bytes value;
    uint32_t value_flags; /* EPB_VALUE_FLAGS */
    uint64_t version;
    uint64_t ttl_ms; /* remaining, 1 or more */
};

struct epb_write {
    struct epb_bytes key;
    struct epb_bytes value;
    uint32_t value_flags;
    uint64_t ttl_ms; /* 1 to EPB_NUMBER_MAX, checked by the caller */
    bool if_absent;
    bool check_version;
    uint64_t version; /* expected, when check_version */
};

struct epb_store_stats {
    uint64_t items;
    uint64_t stored_bytes; /* keys, values and headers; part of the quota's bytes */
    uint64_t table_bytes;  /* map and heap */
    uint64_t hits;
    uint64_t misses;
    uint64_t expired;
    uint64_t evicted;
};

/* Borrows its arguments, which must outlive the store, and copies the hooks. Returns NULL
 * when out of memory. */
struct epb_store *
epb_store_new(const struct epb_options *options, struct epb_arena *arena,
              struct epb_quota *quota, const struct epb_store_hooks *hooks);
void
epb_store_free(struct epb_store *store);

/* EPB_NOT_FOUND. Counts a hit or a miss, makes the item the most recently used, and
 * restarts its TTL if the options ask for that. */
EPB_MUST_USE enum epb_status
epb_store_get(struct epb_store *store, struct epb_bytes key, const struct epb_time *now,
              struct epb_item_view *view);
/* The same without an effect on use, TTL or statistics. */
EPB_MUST_USE enum epb_status
epb_store_peek(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_item_view *view);
/* EPB_CONFLICT, EPB_TOO_LARGE, EPB_KIND_MISMATCH (a hook forbids a value under this key),
 * EPB_MAX_ITEMS, EPB_MAX_MEMORY, EPB_INTERNAL (out of memory). *version is the new
 * version. The value must not point into the store. */
EPB_MUST_USE enum epb_status
epb_store_set(struct epb_store *store, const struct epb_write *write,
              const struct epb_time *now, uint64_t *version);
/* Gives the item another TTL, from now on, and makes it the most recently used. Its
 * version stays, and no hook is called. False: there is no item. Allocates nothing. */
bool
epb_store_touch(struct epb_store *store, struct epb_bytes key, uint64_t ttl_ms,
                const struct epb_time *now);
/* Whether there was an item to delete. In both cases epb_store_gone forgets the key. */
bool
epb_store_del(struct epb_store *store, struct epb_bytes key, const struct epb_time *now);
/* Adds to the integer in the value's JSON text. A missing key counts as 0 and is created
 * with `ttl_ms`; an existing one keeps its deadline. EPB_NOT_A_NUMBER, and the errors of
 * a write. */
EPB_MUST_USE enum epb_status
epb_store_incr(struct epb_store *store, struct epb_bytes key, int64_t by, uint64_t ttl_ms,
               const struct epb_time *now, int64_t *result);
/* How a key without a value lost its last value, if the store remembers it: it keeps the
 * latest EPB_GONE_MAX keys. */
bool
epb_store_gone(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_gone_view *view);
/* Makes room in the quota for `size_bytes` outside the store: removes what is due and,
 * with eviction, evicts. Returns whether there is room now. Evicts nothing if eviction
 * can't make enough room. */
bool
epb_store_make_room(struct epb_store *store, size_t size_bytes,
                    const struct epb_time *now);
/* Visits live items with this prefix, in no order. `visit` must not change the store; it
 * stops the walk by returning false. It has to stop soon; use a walk in parts for many
 * items. */
void
epb_store_each(const struct epb_store *store, struct epb_bytes prefix,
               const struct epb_time *now,
               bool (*visit)(void *context, const struct epb_item_view *view),
               void *context);

/*
 * A walk over the items with the prefix that were live when it began, in no order, in any
 * number of calls, while the store changes. `visit` gets each item as it was then, except
 * for a TTL that a read has restarted or a touch has set. It gets some items twice. An
 * item that is about to be removed or overwritten is visited before that, so any call on
 * the store may call `visit`. `visit` must not call the store.
 */
struct epb_store_walk {
    struct epb_bytes prefix; /* borrowed */
    void (*visit)(void *context, const struct epb_item_view *view);
    void *context;
    /* The store's fields. */
    struct epb_list of_store;
    struct epb_time began;
    uint64_t version; /* the last one given before the walk */
    uint64_t cursor;
};
/* The caller has set `prefix`, `visit` and `context`. */
void
epb_store_walk_begin(struct epb_store *store, struct epb_store_walk *walk,
                     const struct epb_time *now);
/* Continues the walk. True: all items have been visited. */
bool
epb_store_walk_on(struct epb_store *store, struct epb_store_walk *walk,
                  struct epb_budget *budget);
/* Ends the walk: it visits nothing from now on. Calling it twice is harmless. */
void
epb_store_walk_end(struct epb_store_walk *walk);
/* Deletes the items with the prefix and a version of at most `version`, except for those
 * that must not be evicted. *cursor is 0 in the first call. True: finished. *deleted
 * grows by the number of live items deleted. The last call makes epb_store_gone forget
 * the keys with the prefix. */
bool
epb_store_clear(struct epb_store *store, struct epb_bytes prefix, uint64_t version,
                const struct epb_time *now, uint64_t *cursor, struct epb_budget *budget,
                uint64_t *deleted);
/* The latest version given, for epb_store_clear. */
uint64_t
epb_store_version(const struct epb_store *store);
/* Removes at most `limit` items that are due. Returns the boot_ms at which the next is
 * due (<= now: there is more to do at once), or UINT64_MAX when none is. */
uint64_t
epb_store_sweep(struct epb_store *store, const struct epb_time *now, unsigned limit);
void
epb_store_stats(const struct epb_store *store, struct epb_store_stats *stats);

#endif
