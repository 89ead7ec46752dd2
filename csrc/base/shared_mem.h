/*
 * The process-wide arena: memory of secrets for callers without an arena of their own
 * (session keys in clients, cJSON).
 *
 * Thread safety: guarded by a mutex. In a forked child it has nothing to give, and takes
 * nothing back.
 */
#ifndef EPB_BASE_SHARED_MEM_H
#define EPB_BASE_SHARED_MEM_H

#include <stddef.h>

#include "arena.h"

/* Size-remembering allocation from the process-wide arena; wiped when freed. */
void *
epb_mem_alloc(size_t size_bytes);
/* The same for so many elements; NULL also when the product is too large. */
void *
epb_mem_calloc(size_t count, size_t element_bytes);
void
epb_mem_free(void *block);

void
epb_mem_shared_stats(struct epb_mem_stats *stats);

#endif
