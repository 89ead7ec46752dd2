/*
 * The numbers from 0 that are taken, and the lowest that is free: a tree of bitmaps with
 * 64 branches. A bit of the lowest level is a number; a bit further up says that all 64
 * below it are taken. Finding, taking and giving back cost one step a level, of which
 * there are four for a million numbers.
 *
 * Memory follows the highest number that is taken: it doubles by epb_slots_reserve, and
 * shrinks when few numbers are left (an attempt that fails because a high one is still
 * taken is repeated when half as many are left, so that it costs O(1) on the average).
 */
#ifndef EPB_CORE_SLOTS_H
#define EPB_CORE_SLOTS_H

#include "../base/arena.h"
#include "quota.h"

struct epb_slots {
    uint64_t *words;   /* all levels, the lowest first */
    uint64_t capacity; /* numbers there is room for; a multiple of 64 */
    uint64_t used;
    uint64_t shrink_below; /* tries to when fewer are used */
};

/* All zero is an empty set, too. */
void
epb_slots_init(struct epb_slots *slots);
/* Gives back all memory. */
void
epb_slots_fini(struct epb_slots *slots, struct epb_arena *arena, struct epb_quota *quota);
/* Makes room for so many numbers from 0. EPB_MAX_MEMORY, EPB_INTERNAL: nothing has
 * changed. */
EPB_MUST_USE enum epb_status
epb_slots_reserve(struct epb_slots *slots, struct epb_arena *arena,
                  struct epb_quota *quota, uint64_t capacity);
/* Takes the lowest free number. There must be room for it: used < capacity. */
uint64_t
epb_slots_take(struct epb_slots *slots);
/* The number must be taken. */
void
epb_slots_give(struct epb_slots *slots, uint64_t number);
/* After giving back: gives memory back that isn't needed, if it is worth it. */
void
epb_slots_shrink(struct epb_slots *slots, struct epb_arena *arena,
                 struct epb_quota *quota);

#endif
