/*
 * Arenas: the memory of keys, values and key material.
 *
 * An arena takes memory from the system in chunks. Chunks are locked (mlock) and left out
 * of core dumps as far as the platform allows, or secret memory (sys.h). They are divided
 * into size classes, and a freed block is wiped before it is reused. Small blocks and key
 * material are locked first. When the lock limit is reached, the arena hands out unlocked
 * memory and the statistics show it.
 *
 * Invariants: a block is zero-filled when handed out; no byte of a freed block keeps its
 * content; `used_bytes` is the sum of the requested sizes.
 *
 * Thread safety: none; an arena belongs to one thread at a time.
 */
#ifndef EPB_BASE_ARENA_H
#define EPB_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct epb_arena;

struct epb_mem_stats {
    size_t used_bytes;     /* requested and not yet freed */
    size_t reserved_bytes; /* taken from the system, including the arena's own records */
    size_t locked_bytes;   /* the part of reserved_bytes that is locked into memory */
    size_t secret_bytes;   /* the part of locked_bytes that is secret memory */
    bool lock_failed;      /* at least one chunk is not locked */
};

/* NULL when memory is out. With `require_lock`, also NULL when locking fails, and later
 * allocations fail rather than return unlocked memory. */
struct epb_arena *
epb_arena_new(bool require_lock);
/* Wipes all memory and returns it to the system; NULL is allowed. */
void
epb_arena_free(struct epb_arena *arena);

/* Zero-filled, aligned to 16. NULL when memory is out or a test's fault plan makes the
 * allocation fail. */
void *
epb_arena_alloc(struct epb_arena *arena, size_t size_bytes);
/* Wipes the block. `size_bytes` is the requested size; NULL is allowed. */
void
epb_arena_release(struct epb_arena *arena, void *block, size_t size_bytes);
/* Records a new requested size for a block. epb_arena_block_bytes must be the same for
 * both sizes. The caller has wiped the bytes that the new size leaves out. */
void
epb_arena_retag(struct epb_arena *arena, void *block, size_t old_bytes, size_t new_bytes);
/* The bytes that a block of this size takes from a chunk. */
size_t
epb_arena_block_bytes(size_t size_bytes);
void
epb_arena_stats(const struct epb_arena *arena, struct epb_mem_stats *stats);

#endif
