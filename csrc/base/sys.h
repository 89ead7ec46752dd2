/*
 * The services that the core needs from the operating system: clocks, randomness, locked
 * pages and facts about the process. Implemented by sys_posix.c and sys_win.c; nothing
 * else in the project asks the system for these.
 */
#ifndef EPB_BASE_SYS_H
#define EPB_BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* One reading of the clocks, in ms. The core never reads a clock: its callers pass
 * this. */
struct epb_time {
    uint64_t boot_ms; /* includes suspend; for expiry of values */
    uint64_t mono_ms; /* excludes suspend; for expiry of leases */
    uint64_t wall_ms; /* since 1970, may jump; for display only */
};

void
epb_sys_now(struct epb_time *now);
/* Monotonic, in nanoseconds; only for measuring durations. */
uint64_t
epb_sys_ticks_ns(void);

/* Fills memory from the system's random generator; EPB_INTERNAL on failure. */
EPB_MUST_USE enum epb_status
epb_sys_random(void *out, size_t size_bytes);

/* Yields the CPU to a runnable thread. */
void
epb_sys_yield(void);
#if defined(__linux__)
/* The number of CPUs this thread may run on; 1 when unknown. */
unsigned
epb_sys_processors(void);
/* This thread's time slice in nanoseconds. A thread with a shorter slice is scheduled
 * sooner and more often, at the same share of the CPU: EEVDF (Stoica and Abdel-Wahab,
 * 1995), Linux 6.12 and later. 0: the system has no such slice. */
uint64_t
epb_sys_slice_ns(void);
/* Requests a time slice; returns whether the system granted it. */
bool
epb_sys_set_slice(uint64_t slice_ns);
#else
static inline unsigned
epb_sys_processors(void)
{
    return 1;
}
static inline uint64_t
epb_sys_slice_ns(void)
{
    return 0;
}
static inline bool
epb_sys_set_slice(uint64_t slice_ns)
{
    (void)slice_ns;
    return false;
}
#endif

/* Every mapping begins at a multiple of this (also the granularity of Windows). */
#define EPB_SYS_MAP_ALIGN_BYTES ((size_t)64 * 1024)

/* How well the system keeps the pages of a mapping. */
enum epb_sys_pages {
    EPB_PAGES_PLAIN,  /* may reach swap */
    EPB_PAGES_LOCKED, /* never reach swap */
    EPB_PAGES_SECRET  /* nor can root, a debugger or the kernel's own map read them */
};

/* Zero-filled anonymous memory aligned to EPB_SYS_MAP_ALIGN_BYTES, between guard pages.
 * Where the system supports it, the memory is left out of core dumps and wiped in a
 * forked child. Sets *kind; a failed lock is no error. NULL when memory is out. */
void *
epb_sys_pages_map(size_t size_bytes, bool want_lock, enum epb_sys_pages *kind);
/* `size_bytes` is the size passed to epb_sys_pages_map. The caller has wiped the
 * memory. */
void
epb_sys_pages_unmap(void *pages, size_t size_bytes);
size_t
epb_sys_page_bytes(void);
#if defined(__linux__)
/* From now on, memory to be locked is secret memory (memfd_secret, Linux 5.14 and later),
 * where the system has it; it counts against the same limit. A forked child lacks such
 * memory, and an access there ends the child. So only a program that doesn't fork later
 * calls this, once, while it has one thread. Returns whether the system has it. */
bool
epb_sys_use_secret_memory(void);
/* Whether epb_sys_use_secret_memory succeeded. */
bool
epb_sys_has_secret_memory(void);
#else
static inline bool
epb_sys_use_secret_memory(void)
{
    return false;
}
static inline bool
epb_sys_has_secret_memory(void)
{
    return false;
}
#endif
/* The number of bytes that this process may lock; SIZE_MAX when unlimited. */
size_t
epb_sys_lock_limit_bytes(void);

/* The mutex of the process-wide arena; only shared_mem.c takes it. Not recursive. */
void
epb_sys_shared_lock(void);
void
epb_sys_shared_unlock(void);

/* The id of this process, correct after a fork too. Makes no system call. */
uint32_t
epb_sys_pid(void);
/* Overwrites the CPU's vector registers, which keep the last bytes copied: a core dump
 * contains the registers of all threads. Call it on a thread that is about to sleep. */
void
epb_sys_wipe_registers(void);
/* Forbids core dumps of this process, and tracing by other processes of the same user. */
EPB_MUST_USE enum epb_status
epb_sys_harden_process(void);

#endif
