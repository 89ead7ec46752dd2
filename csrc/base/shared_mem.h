/*
 * The process-wide arena: memory of secrets for callers that have no arena (session keys
 * in clients, cJSON).
 *
 * Thread safety: guarded by a mutex. In a forked child, allocations fail and frees do
 * nothing, until epb_mem_shared_renew.
 */
#ifndef EPB_BASE_SHARED_MEM_H
#define EPB_BASE_SHARED_MEM_H

#include <stddef.h>

#include "arena.h"

/* Allocates from the process-wide arena and remembers the size. The free wipes the
 * block. */
void *
epb_mem_alloc(size_t size_bytes);
/* The same for `count` elements; NULL also when the product is too large. */
void *
epb_mem_calloc(size_t count, size_t element_bytes);
void
epb_mem_free(void *block);

/* In a forked child that uses no block of its parent: from now on allocations work here
 * too, in an arena of the child. Call it while the child has one thread. */
void
epb_mem_shared_renew(void);

void
epb_mem_shared_stats(struct epb_mem_stats *stats);

#endif
