/* Access to memory for tests only. */
#ifndef EPB_BASE_MEM_TESTING_H
#define EPB_BASE_MEM_TESTING_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"

/* Makes allocation number `countdown` from now fail (1 = the next one), once; 0 turns
 * this off. Counts arena, shared and table allocations of this process. Returns the rest
 * of the previous countdown: 0 when its allocation has failed. */
uint64_t
epb_mem_fail_after(uint64_t countdown);

/* Visits every byte that the arena has from the system. */
void
epb_arena_each_chunk(const struct epb_arena *arena,
                     void (*visit)(void *context, const uint8_t *bytes,
                                   size_t size_bytes),
                     void *context);

/* The same for the process-wide arena. */
void
epb_mem_each_chunk(void (*visit)(void *context, const uint8_t *bytes, size_t size_bytes),
                   void *context);

#endif
