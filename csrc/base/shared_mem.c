/* See shared_mem.h. */
#include "shared_mem.h"

#include <stdatomic.h>

#include "arena.h"
#include "mem_testing.h"
#include "sys.h"

/* Precedes the block that epb_mem_alloc returns. */
struct header {
    size_t size_bytes;
};
#define HEADER_BYTES ((size_t)16)
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "the header keeps the alignment");

/* Made by the first allocation and never freed. Guarded by the shared lock. */
static struct epb_arena *shared;
/* The process that made the arena; 0: none. In a forked child its memory is wiped
 * (sys.h), so the child can neither allocate nor free there. */
static _Atomic uint32_t shared_owner;

static struct header *
header_of(const void *block)
{
    return (struct header *)((uintptr_t)block - HEADER_BYTES);
}

/* Takes no lock. */
static bool
is_forked(void)
{
    uint32_t owner = atomic_load_explicit(&shared_owner, memory_order_relaxed);

    return owner != 0 && owner != epb_sys_pid();
}

void *
epb_mem_alloc(size_t size_bytes)
{
    struct header *header = NULL;

    if (size_bytes > SIZE_MAX / 4 || is_forked()) {
        return NULL;
    }
    epb_sys_shared_lock();
    if (shared == NULL) {
        shared = epb_arena_new(false);
        atomic_store_explicit(&shared_owner, epb_sys_pid(), memory_order_relaxed);
    }
    if (shared != NULL) {
        header = epb_arena_alloc(shared, size_bytes + HEADER_BYTES);
    }
    epb_sys_shared_unlock();
    if (header == NULL) {
        return NULL;
    }
    header->size_bytes = size_bytes;
    return (uint8_t *)header + HEADER_BYTES;
}

void *
epb_mem_calloc(size_t count, size_t element_bytes)
{
    if (element_bytes != 0 && count > SIZE_MAX / element_bytes) {
        return NULL;
    }
    return epb_mem_alloc(count * element_bytes);
}

void
epb_mem_free(void *block)
{
    if (block == NULL || is_forked()) {
        return;
    }
    struct header *header = header_of(block);

    epb_sys_shared_lock();
    epb_arena_release(shared, header, header->size_bytes + HEADER_BYTES);
    epb_sys_shared_unlock();
}

void
epb_mem_shared_renew(void)
{
    if (is_forked()) {
        /* The parent's memory: wiped here, and not to be touched. */
        shared = NULL;
        atomic_store_explicit(&shared_owner, 0, memory_order_relaxed);
    }
}

void
epb_mem_shared_stats(struct epb_mem_stats *stats)
{
    *stats = (struct epb_mem_stats){0};
    if (is_forked()) {
        return;
    }
    epb_sys_shared_lock();
    if (shared != NULL) {
        epb_arena_stats(shared, stats);
    }
    epb_sys_shared_unlock();
}

void
epb_mem_each_chunk(void (*visit)(void *context, const uint8_t *bytes, size_t size_bytes),
                   void *context)
{
    epb_sys_shared_lock();
    if (shared != NULL) {
        epb_arena_each_chunk(shared, visit, context);
    }
    epb_sys_shared_unlock();
}
