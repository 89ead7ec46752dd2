/*
 * The process-wide arena, and what all allocators share: wiping and the fault plan.
 * Arenas are in arena.c.
 */
#include "mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* In front of what epb_mem_alloc returns. */
struct header {
    size_t size_bytes;
};
#define HEADER_BYTES ((size_t)16)
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "the header keeps the alignment");

/* Made by the first allocation, kept to the end. Under the shared lock. */
static struct epb_arena *shared;
/* Which process has made it; 0: none. The memory of a forked child's is wiped (sys.h):
 * there is nothing to be had there, and nothing to be given back. */
static _Atomic uint32_t shared_owner;
static atomic_uint_fast64_t fault_countdown;

/* Bytes */

void
epb_mem_wipe(void *memory, size_t size_bytes)
{
    if (size_bytes == 0) {
        return;
    }
#if defined(__GNUC__) || defined(__clang__)
    memset(memory, 0, size_bytes);
    /* Tells the optimiser, at link time too, that somebody reads these bytes. */
    __asm__ __volatile__("" : : "r"(memory) : "memory");
#else
    volatile uint8_t *at = memory;

    while (size_bytes-- > 0) {
        *at++ = 0;
    }
#endif
}

/* glibc copies what is large with one instruction (rep movsb), which some processors
 * carry out twenty times slower when the target lies up to a few bytes behind the source
 * within its page: 30 instead of 1.5 us for 64 KiB on AMD Zen 3. Where things lie is
 * chance, and stays for the life of a value. Copies of small pieces use vectors. */
#define PAGE_BYTES 4096U
#define BAD_DISTANCE_BYTES 32U
#define PIECE_BYTES ((size_t)1024)

void
epb_mem_copy(void *to, const void *from, size_t size_bytes)
{
    size_t distance_bytes = ((uintptr_t)to - (uintptr_t)from) % PAGE_BYTES;
    uint8_t *out = to;
    const uint8_t *in = from;

    if (distance_bytes > 0 && distance_bytes < BAD_DISTANCE_BYTES) {
        for (; size_bytes > PIECE_BYTES; size_bytes -= PIECE_BYTES) {
            memcpy(out, in, PIECE_BYTES);
            out += PIECE_BYTES;
            in += PIECE_BYTES;
        }
    }
    if (size_bytes > 0) {
        memcpy(out, in, size_bytes);
    }
}

bool
epb_mem_equal(const void *left, const void *right, size_t size_bytes)
{
    const volatile uint8_t *a = left;
    const volatile uint8_t *b = right;
    unsigned difference = 0;

    for (size_t i = 0; i < size_bytes; i++) {
        difference |= (unsigned)(a[i] ^ b[i]);
    }
    return difference == 0;
}

/* The fault plan */

uint64_t
epb_mem_fail_after(uint64_t countdown)
{
    return atomic_exchange(&fault_countdown, countdown);
}

bool
epb_mem_fault_due(void)
{
    uint_fast64_t left = atomic_load_explicit(&fault_countdown, memory_order_relaxed);

    while (left != 0) {
        if (atomic_compare_exchange_weak(&fault_countdown, &left, left - 1)) {
            return left == 1;
        }
    }
    return false;
}

/* The process-wide arena */

static struct header *
header_of(const void *block)
{
    return (struct header *)((uintptr_t)block - HEADER_BYTES);
}

/* Without a lock. */
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

/* Tables */

void *
epb_mem_table_alloc(size_t size_bytes)
{
    return epb_mem_fault_due() ? NULL : calloc(1, size_bytes);
}

void *
epb_mem_table_resize(void *table, size_t size_bytes)
{
    return epb_mem_fault_due() ? NULL : realloc(table, size_bytes);
}

void
epb_mem_table_free(void *table)
{
    free(table);
}

char *
epb_mem_table_text(const char *text)
{
    size_t size_bytes = strlen(text) + 1;
    char *copy = epb_mem_table_alloc(size_bytes);

    if (copy != NULL) {
        memcpy(copy, text, size_bytes);
    }
    return copy;
}
