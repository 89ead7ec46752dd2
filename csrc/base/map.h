/*
 * A hash map of items by key, with open addressing and linear probing. It stores pointers
 * to nodes that the user owns and embeds; the key's bytes stay in the user's item. Each
 * map hashes with a random seed, so that keys chosen by an attacker can't make long probe
 * runs (SipHash-1-3, Aumasson and Bernstein 2012).
 *
 * Growth moves a bounded number of slots an operation (incremental rehash), so that no
 * insertion pauses other clients. The table grows early when an item would lie too far
 * from its home: an insertion fails only when memory is out.
 *
 * Not thread-safe.
 */
#ifndef EPB_BASE_MAP_H
#define EPB_BASE_MAP_H

#include <stdbool.h>

#include "bytes.h"
#include "status.h"

struct epb_map;

/* Returns the key of an item. The bytes must not change while the item is in the map. */
typedef struct epb_bytes (*epb_map_key_fn)(const void *item);

/* NULL when memory is out. */
struct epb_map *
epb_map_new(epb_map_key_fn key_of);
/* The items stay with their owner. NULL is allowed. */
void
epb_map_free(struct epb_map *map);
size_t
epb_map_count(const struct epb_map *map);
/* The size of the table itself, in bytes. */
size_t
epb_map_bytes(const struct epb_map *map);

/* This map's keyed hash of a key; other maps have other seeds. */
uint64_t
epb_map_hash(const struct epb_map *map, struct epb_bytes key);
/* NULL when the map does not contain the key. */
void *
epb_map_find(const struct epb_map *map, struct epb_bytes key);
/* The map must not contain the key. EPB_INTERNAL when memory is out; nothing has
 * changed. */
EPB_MUST_USE enum epb_status
epb_map_insert(struct epb_map *map, void *item);
/* Whether a rehash is under way: each insertion and removal then also moves part of the
 * old table, which takes some microseconds. */
bool
epb_map_is_moving(const struct epb_map *map);
/* Replaces the item that has the same key, which must be in the map. */
void
epb_map_replace(struct epb_map *map, void *old_item, void *item);
/* Removes the item, which must be in the map. */
void
epb_map_remove(struct epb_map *map, void *item);
/* Calls visit for every item, in no order; stops when visit returns false. The map must
 * not change during the walk. */
void
epb_map_each(const struct epb_map *map, bool (*visit)(void *context, void *item),
             void *context);
/* One step of a walk that allows changes between its steps (as Redis's SCAN). The walk
 * begins with *cursor 0 and ends when the function returns false. An item that is in the
 * map during the whole walk is visited at least once; other items are visited only while
 * they are in the map. Some items may be visited again after the table has grown or
 * shrunk. The map must not change during the call. */
bool
epb_map_scan(const struct epb_map *map, uint64_t *cursor,
             void (*visit)(void *context, void *item), void *context);

#endif
