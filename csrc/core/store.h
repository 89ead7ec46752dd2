/*
 * The store: values by key, with versions, deadlines, quotas and eviction.
 *
 * An item is one block of the arena: header, key, value; the store never looks into
 * a value, but for counters. Three structures hold it: the map (by key), the
 * deadline heap, and, when eviction is on, the list of use (least recently used
 * first).
 *
 * Invariants:
 * - An item whose deadline has come (now.boot_ms >= due) is never returned, never
 *   stands in the way of a new one's quota, and goes before a live one is evicted,
 *   whether or not a sweep has removed it.
 * - Every write gives its key a version greater than any before, in the whole
 *   store.
 * - A failed write changes nothing; limits are checked before memory is taken.
 * - Items and bytes in the statistics are those of items in the map; the quota, which is
 *   shared with others, has been charged with the bytes.
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

/* What others have to do with keys. Called in the middle of a call on the store: they
 * must not call it. Any of them may be NULL. */
struct epb_store_hooks {
    /* The key has a new value, or has none any more. `key` is valid during the call. */
    void (*on_change)(void *context, enum epb_event_kind kind, struct epb_bytes key,
                      uint64_t version);
    /* Whether a key that has no value may get one. */
    bool (*may_store)(void *context, struct epb_bytes key, const struct epb_time *now);
    /* Whether the value may be evicted; if not, it counts as used. */
    bool (*may_evict)(void *context, struct epb_bytes key);
    void *context;
};

/* What a caller may know of an item. Key and value are valid until the next call on the
 * store. */
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
    uint64_t ttl_ms; /* checked by the caller: 1 to EPB_NUMBER_MAX */
    bool if_absent;
    bool check_version;
    uint64_t version; /* expected, when check_version */
};

struct epb_store_stats {
    uint64_t items;
    uint64_t stored_bytes; /* keys, values and headers; a part of the quota's */
    uint64_t table_bytes;  /* map and heap */
    uint64_t hits;
    uint64_t misses;
    uint64_t expired;
    uint64_t evicted;
};

/* Borrows arguments that must outlive the store, but for the hooks, which are copied.
 * NULL when memory is out. */
struct epb_store *
epb_store_new(const struct epb_options *options, struct epb_arena *arena,
              struct epb_quota *quota, const struct epb_store_hooks *hooks);
void
epb_store_free(struct epb_store *store);

/* EPB_NOT_FOUND. Counts a hit or a miss, makes the item the most recently used, and
 * restarts its TTL when the options say so. */
EPB_MUST_USE enum epb_status
epb_store_get(struct epb_store *store, struct epb_bytes key, const struct epb_time *now,
              struct epb_item_view *view);
/* The same without any effect on use, TTL or statistics. */
EPB_MUST_USE enum epb_status
epb_store_peek(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_item_view *view);
/* EPB_CONFLICT, EPB_TOO_LARGE, EPB_KIND_MISMATCH (a hook says that no value may be stored
 * here), EPB_MAX_ITEMS, EPB_MAX_MEMORY, EPB_INTERNAL (memory is out). *version is the new
 * one. The value may not lie in the store itself. */
EPB_MUST_USE enum epb_status
epb_store_set(struct epb_store *store, const struct epb_write *write,
              const struct epb_time *now, uint64_t *version);
/* Whether there was something to delete. epb_store_gone forgets the key either way. */
bool
epb_store_del(struct epb_store *store, struct epb_bytes key, const struct epb_time *now);
/* Adds to the integer that the value's JSON text is; a missing key counts as 0 and is
 * created with `ttl_ms`, an existing one keeps its deadline. EPB_NOT_A_NUMBER, and the
 * errors of a write. */
EPB_MUST_USE enum epb_status
epb_store_incr(struct epb_store *store, struct epb_bytes key, int64_t by, uint64_t ttl_ms,
               const struct epb_time *now, int64_t *result);
/* How a key that has no value lost the last one it had, if that is remembered: of some
 * hundred keys, the latest. */
bool
epb_store_gone(const struct epb_store *store, struct epb_bytes key,
               const struct epb_time *now, struct epb_gone_view *view);
/* Makes room in the quota for `size_bytes` of something else: removes what is due, and
 * evicts when that is on. Whether there is room now; nothing is evicted when there can't
 * be. */
bool
epb_store_make_room(struct epb_store *store, size_t size_bytes,
                    const struct epb_time *now);
/* Visits live items with this prefix, in no order; visit must not change the store, and
 * stops the walk by returning false: it is to do so soon, or a walk in parts is due. */
void
epb_store_each(const struct epb_store *store, struct epb_bytes prefix,
               const struct epb_time *now,
               bool (*visit)(void *context, const struct epb_item_view *view),
               void *context);

/*
 * A walk over what was stored when it began, however long it takes and whatever changes
 * meanwhile: all items with the prefix that were live then, as they were (but for a TTL
 * that a read restarts), in no order. Some are visited twice. An item that is about to be
 * removed or written over is visited before, so visit may be called in the middle of any
 * call on the store. It must not call the store.
 */
struct epb_store_walk {
    struct epb_bytes prefix; /* borrowed */
    void (*visit)(void *context, const struct epb_item_view *view);
    void *context;
    /* The store's. */
    struct epb_list of_store;
    struct epb_time began;
    uint64_t version; /* the last one given before */
    uint64_t cursor;
};
/* `prefix`, `visit` and `context` are set. */
void
epb_store_walk_begin(struct epb_store *store, struct epb_store_walk *walk,
                     const struct epb_time *now);
/* Goes on; true: all have been visited. */
bool
epb_store_walk_on(struct epb_store *store, struct epb_store_walk *walk,
                  struct epb_budget *budget);
/* It shows nothing from now on. Twice does no harm. */
void
epb_store_walk_end(struct epb_store_walk *walk);
/* Deletes the items with the prefix whose version is at most `version`, but for those
 * that must not be evicted; *cursor is 0 at first. True: all of them. *deleted grows by
 * those that were live. At the end forgets the keys with the prefix that epb_store_gone
 * knows. */
bool
epb_store_clear(struct epb_store *store, struct epb_bytes prefix, uint64_t version,
                const struct epb_time *now, uint64_t *cursor, struct epb_budget *budget,
                uint64_t *deleted);
/* The last version given: for epb_store_clear. */
uint64_t
epb_store_version(const struct epb_store *store);
/* Removes at most `limit` items that are due; returns the boot_ms at which the next is
 * due (<= now when there is more to do at once), or UINT64_MAX when none is. */
uint64_t
epb_store_sweep(struct epb_store *store, const struct epb_time *now, unsigned limit);
void
epb_store_stats(const struct epb_store *store, struct epb_store_stats *stats);

#endif
