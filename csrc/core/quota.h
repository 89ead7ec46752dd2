/*
 * The memory that everything stored shares: items, pools, grants, waiting requests and
 * other data that a client can make the broker keep. `maxMemory` bounds it. Tables that
 * grow with the number of these (maps, heaps) are not in the quota; their owners report
 * them in the statistics.
 */
#ifndef EPB_CORE_QUOTA_H
#define EPB_CORE_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"

struct epb_quota {
    uint64_t limit_bytes; /* 0: none */
    uint64_t used_bytes;
};

/* Whether this much more may be allocated. */
static inline bool
epb_quota_has(const struct epb_quota *quota, size_t more_bytes)
{
    return quota->limit_bytes == 0 ||
           (quota->used_bytes <= quota->limit_bytes &&
            more_bytes <= quota->limit_bytes - quota->used_bytes);
}

/* Allocates a block of the arena and charges it. EPB_MAX_MEMORY, EPB_INTERNAL (out of
 * memory). */
EPB_MUST_USE static inline enum epb_status
epb_quota_alloc(struct epb_quota *quota, struct epb_arena *arena, size_t size_bytes,
                void **out)
{
    size_t block_bytes = epb_arena_block_bytes(size_bytes);

    if (!epb_quota_has(quota, block_bytes)) {
        return EPB_MAX_MEMORY;
    }
    void *block = epb_arena_alloc(arena, size_bytes);

    if (block == NULL) {
        return EPB_INTERNAL;
    }
    quota->used_bytes += block_bytes;
    *out = block;
    return EPB_OK;
}

/* Frees the block and its charge. `size_bytes` is the size that was requested. */
static inline void
epb_quota_release(struct epb_quota *quota, struct epb_arena *arena, void *block,
                  size_t size_bytes)
{
    quota->used_bytes -= epb_arena_block_bytes(size_bytes);
    epb_arena_release(arena, block, size_bytes);
}

#endif
