/*
 * The set of taken numbers from 0, and the lowest free one: a tree of bitmaps with 64
 * branches. A bit of the lowest level is a number; a bit of a higher level is set when
 * all 64 bits below it are. Finding, taking and giving back cost one step a level; a
 * million numbers have four levels.
 *
 * Memory follows the highest number taken: it doubles by epb_slots_reserve, and shrinks
 * when few numbers are left. An attempt to shrink fails while a high number is taken; it
 * is repeated when half as many numbers are left, so it costs O(1) on average.
 */
#ifndef EPB_CORE_SLOTS_H
#define EPB_CORE_SLOTS_H

#include "../base/arena.h"
#include "quota.h"

struct epb_slots {
    uint64_t *words;   /* all levels, the lowest first */
    uint64_t capacity; /* numbers that fit; a multiple of 64 */
    uint64_t used;
    uint64_t shrink_below; /* tries to shrink when fewer are used */
};

/* All zero is an empty set, too. */
void
epb_slots_init(struct epb_slots *slots);
/* Frees all memory. */
void
epb_slots_fini(struct epb_slots *slots, struct epb_arena *arena, struct epb_quota *quota);
/* Makes room for this many numbers from 0. EPB_MAX_MEMORY, EPB_INTERNAL; an error changes
 * nothing. */
EPB_MUST_USE enum epb_status
epb_slots_reserve(struct epb_slots *slots, struct epb_arena *arena,
                  struct epb_quota *quota, uint64_t capacity);
/* Takes the lowest free number. There must be room for it: used < capacity. */
uint64_t
epb_slots_take(struct epb_slots *slots);
/* Gives back a number that is taken. */
void
epb_slots_give(struct epb_slots *slots, uint64_t number);
/* Call after giving back: frees memory that isn't needed, if that is worth it. */
void
epb_slots_shrink(struct epb_slots *slots, struct epb_arena *arena,
                 struct epb_quota *quota);

#endif
