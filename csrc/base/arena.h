/*
 * Arenas: the memory of keys, values and key material.
 *
 * Memory comes in chunks that are locked (mlock) and left out of core dumps as far as the
 * platform allows, is divided into size classes, and is wiped before it can be used
 * again. Small blocks and key material are locked first. When the lock limit is reached,
 * memory is handed out unlocked and the statistics say so.
 *
 * Invariants: a block is zero-filled when handed out; no byte of a freed block keeps its
 * content; `used_bytes` is the sum of the sizes asked for.
 *
 * Thread safety: an arena belongs to one thread at a time, without locks.
 */
#ifndef EPB_BASE_ARENA_H
#define EPB_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct epb_arena;

struct epb_mem_stats {
    size_t used_bytes;     /* asked for and not yet freed */
    size_t reserved_bytes; /* taken from the system, the arena's own records included */
    size_t locked_bytes;   /* of those, locked into memory */
    bool lock_failed;      /* some chunk is not locked */
};

/* NULL when memory is out. With `require_lock`, also NULL when locking fails, and memory
 * that can't be locked later counts as memory that is out. */
struct epb_arena *
epb_arena_new(bool require_lock);
/* Wipes and returns everything; NULL is allowed. */
void
epb_arena_free(struct epb_arena *arena);

/* NULL when memory is out, or a test's fault plan says so. Zero-filled, aligned to 16. */
void *
epb_arena_alloc(struct epb_arena *arena, size_t size_bytes);
/* `size_bytes` is the size asked for. Wipes; NULL is allowed. */
void
epb_arena_release(struct epb_arena *arena, void *block, size_t size_bytes);
/* The block is used for another size from now on, for which epb_arena_block_bytes must
 * give the same; what the new size leaves out has been wiped by the caller. */
void
epb_arena_retag(struct epb_arena *arena, void *block, size_t old_bytes, size_t new_bytes);
/* What a block of this size really takes from a chunk. */
size_t
epb_arena_block_bytes(size_t size_bytes);
void
epb_arena_stats(const struct epb_arena *arena, struct epb_mem_stats *stats);

#endif
