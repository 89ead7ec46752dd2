/*
 * What all allocators share: tables, copying, wiping and the fault plan of the tests
 * (mem_testing.h). Memory that may hold a secret is in arena.h and shared_mem.h.
 */
#ifndef EPB_BASE_MEM_H
#define EPB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

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

/* For allocators: counts one allocation, and tells whether it is the one to fail. */
bool
epb_mem_fault_due(void);

#endif
