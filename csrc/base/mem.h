/*
 * Services for all allocators: tables, copying, wiping and the tests' fault plan
 * (mem_testing.h). Memory that may hold a secret is in arena.h and shared_mem.h.
 */
#ifndef EPB_BASE_MEM_H
#define EPB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Ordinary memory for tables of pointers and the like, which contain no byte of a key or
 * value: not locked and not wiped, but subject to the fault plan. Zero-filled, except for
 * the bytes that a resize adds. */
void *
epb_mem_table_alloc(size_t size_bytes);
void *
epb_mem_table_resize(void *table, size_t size_bytes);
void
epb_mem_table_free(void *table);
/* A copy of a text; free it with epb_mem_table_free. */
char *
epb_mem_table_text(const char *text);

/* memcpy for data that may be large: see mem.c. Neither pointer may be NULL unless
 * size_bytes is 0. */
void
epb_mem_copy(void *to, const void *from, size_t size_bytes);

/* Overwrites memory in a way that the compiler may not omit. */
void
epb_mem_wipe(void *memory, size_t size_bytes);
/* Compares in time that depends on the size alone. */
bool
epb_mem_equal(const void *left, const void *right, size_t size_bytes);

/* For allocators: counts one allocation, and returns whether it must fail. */
bool
epb_mem_fault_due(void);

#endif
