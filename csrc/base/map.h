/*
 * A hash map of items by key, with open addressing and linear probing. It stores pointers
 * to nodes that the user owns and embeds; the key's bytes stay in the user's item.
 * Hashing is keyed with a random seed a map, so that keys chosen by an attacker can't
 * make long probe runs (SipHash-1-3, Aumasson and Bernstein 2012).
 *
 * Growth moves a bounded number of slots an operation (incremental rehash), so that no
 * insertion pauses other clients. Where an item would come to lie too far from its place,
 * the table grows early: an insertion fails for want of memory alone.
 *
 * Not thread-safe.
 */
#ifndef EPB_BASE_MAP_H
#define EPB_BASE_MAP_H

#include <stdbool.h>

#include "bytes.h"
#include "status.h"

struct epb_map;

/* Tells the map the key of an item; the bytes must not change while the item is in the
 * map. */
typedef struct epb_bytes (*epb_map_key_fn)(const void *item);

/* NULL when memory is out. */
struct epb_map *
epb_map_new(epb_map_key_fn key_of);
/* The items stay with their owner. NULL is allowed. */
void
epb_map_free(struct epb_map *map);
size_t
epb_map_count(const struct epb_map *map);
/* Bytes the table itself takes. */
size_t
epb_map_bytes(const struct epb_map *map);

/* The keyed hash of bytes by which this map finds items; another map has another. */
uint64_t
epb_map_hash(const struct epb_map *map, struct epb_bytes key);
/* NULL when the key is not there. */
void *
epb_map_find(const struct epb_map *map, struct epb_bytes key);
/* The key must not be in the map. EPB_INTERNAL when memory is out: nothing changed. */
EPB_MUST_USE enum epb_status
epb_map_insert(struct epb_map *map, void *item);
/* Whether insertions and removals take a part of another table along: each then takes
 * some microseconds. */
bool
epb_map_is_moving(const struct epb_map *map);
/* Replaces the item that has the same key. It must be there. */
void
epb_map_replace(struct epb_map *map, void *old_item, void *item);
/* Takes the item out. It must be there. */
void
epb_map_remove(struct epb_map *map, void *item);
/* Calls visit for every item, in no order; stops when it returns false. The map must not
 * change meanwhile. */
void
epb_map_each(const struct epb_map *map, bool (*visit)(void *context, void *item),
             void *context);
/* A part of a walk between whose parts the map may change (as Redis's SCAN): begins with
 * *cursor 0, and ends when it returns false. Items that are there during the whole walk
 * are visited at least once, others at most as long as they are there; some may be
 * visited again after the table has grown or shrunk. The map must not change during the
 * call. */
bool
epb_map_scan(const struct epb_map *map, uint64_t *cursor,
             void (*visit)(void *context, void *item), void *context);

#endif
