/* See mem.h and mem_testing.h. */
#include "mem.h"
#include "mem_testing.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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
    /* Makes the optimiser, also at link time, assume that these bytes are read. */
    __asm__ __volatile__("" : : "r"(memory) : "memory");
#else
    volatile uint8_t *at = memory;

    while (size_bytes-- > 0) {
        *at++ = 0;
    }
#endif
}

/* glibc copies large data with one instruction (rep movsb). Some processors run it twenty
 * times slower when the target lies up to a few bytes behind the source within its page:
 * 30 instead of 1.5 us for 64 KiB on AMD Zen 3. Addresses are arbitrary, and fixed for
 * the lifetime of a value. Copies of small pieces use vector instructions. */
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
