/*
 * The one allocator of the core.
 *
 * Everything that may hold a key, a value or key material lives here: memory comes in
 * chunks that are locked (mlock) and left out of core dumps as far as the platform
 * allows, is divided into size classes, and is wiped before it can be used again. Small
 * blocks and key material are locked first; when the lock limit is reached, memory is
 * handed out unlocked and the statistics say so.
 *
 * Invariants: a block is zero-filled when handed out; no byte of a freed block keeps its
 * content; `used_bytes` is the sum of the sizes asked for.
 *
 * Thread safety: an arena belongs to one thread at a time, without locks. The
 * process-wide arena (epb_mem_*) is guarded by a mutex, and serves those without an
 * arena of their own: session keys in clients, cJSON. In a forked child it has nothing to
 * give, and takes nothing back.
 */
#ifndef EPB_BASE_MEM_H
#define EPB_BASE_MEM_H

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
/* Tests: shows every byte the arena has from the system. */
void
epb_arena_each_chunk(const struct epb_arena *arena,
                     void (*visit)(void *context, const uint8_t *bytes,
                                   size_t size_bytes),
                     void *context);

/* Size-remembering allocation from the process-wide arena; wiped when freed. */
void *
epb_mem_alloc(size_t size_bytes);
/* The same for so many elements; NULL also when the product is too large. */
void *
epb_mem_calloc(size_t count, size_t element_bytes);
void
epb_mem_free(void *block);
/* Statistics of the process-wide arena, and (tests) its bytes. */
void
epb_mem_shared_stats(struct epb_mem_stats *stats);
void
epb_mem_each_chunk(void (*visit)(void *context, const uint8_t *bytes, size_t size_bytes),
                   void *context);

/* Ordinary memory for tables of pointers and the like, which hold no byte of a key or
 * value: not locked, not wiped, but under the fault plan. Zero-filled; what a resize adds
 * is not. */
void *
epb_mem_table_alloc(size_t size_bytes);
void *
epb_mem_table_resize(void *table, size_t size_bytes);
void
epb_mem_table_free(void *table);
/* A copy of a text, to be freed as a table. */
char *
epb_mem_table_text(const char *text);

/* memcpy for what may be large: see mem.c. Neither may be NULL, unless nothing is copied.
 */
void
epb_mem_copy(void *to, const void *from, size_t size_bytes);

/* Overwrites memory in a way the compiler may not leave out. */
void
epb_mem_wipe(void *memory, size_t size_bytes);
/* Equality in time that depends on the size alone. */
bool
epb_mem_equal(const void *left, const void *right, size_t size_bytes);

/* Tests: let the allocation number `countdown` from now fail (1 = the next one), once; 0
 * turns it off. Counts arena, shared and table allocations of this process. Returns what
 * was left of the countdown before: 0 when that one has failed. */
uint64_t
epb_mem_fail_after(uint64_t countdown);

/* For allocators: counts one allocation, and tells whether it is the one to fail. */
bool
epb_mem_fault_due(void);

#endif
