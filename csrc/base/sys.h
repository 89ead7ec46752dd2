/*
 * What the core needs from the operating system: clocks, randomness, locked pages and
 * facts about the process. sys_posix.c and sys_win.c implement it; nothing else in the
 * project asks the system for these. Starting a command is in proc.h.
 */
#ifndef EPB_BASE_SYS_H
#define EPB_BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* One reading of the clocks, in ms. The core never reads a clock: it is handed this. */
struct epb_time {
    uint64_t boot_ms; /* runs on during suspend: values expire by it */
    uint64_t mono_ms; /* stands still during suspend: leases expire by it */
    uint64_t wall_ms; /* since 1970, jumps: shown to people, decides nothing */
};

void
epb_sys_now(struct epb_time *now);
/* Monotonic, nanoseconds: for measuring spans only. */
uint64_t
epb_sys_ticks_ns(void);

/* Fills memory from the system's random generator; EPB_INTERNAL when it can't. */
EPB_MUST_USE enum epb_status
epb_sys_random(void *out, size_t size_bytes);

/* Gives up the processor to whoever waits for it. */
void
epb_sys_yield(void);
#if defined(__linux__)
/* How many processors this thread may run on; 1 where that is not known. */
unsigned
epb_sys_processors(void);
/* How long, in nanoseconds, this thread would run before it is another's turn. A shorter
 * one is chosen sooner and more often, at the same share of the processor: EEVDF (Stoica
 * and Abdel-Wahab, 1995), Linux from 6.12 on. 0: the system has no such thing. */
uint64_t
epb_sys_slice_ns(void);
/* Asks for that; whether the system has granted it. */
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

/* Every mapping begins at a multiple of this (it is what Windows gives out, too). */
#define EPB_SYS_MAP_ALIGN_BYTES ((size_t)64 * 1024)

/* Zero-filled anonymous memory aligned to EPB_SYS_MAP_ALIGN_BYTES, left out of core dumps
 * and wiped in a forked child where the system can do that, between guard pages. *locked
 * tells whether it is locked into memory; a failed lock is no error. NULL when memory is
 * out. */
void *
epb_sys_pages_map(size_t size_bytes, bool want_lock, bool *locked);
/* `size_bytes` is what the mapping was made with. The caller has wiped it. */
void
epb_sys_pages_unmap(void *pages, size_t size_bytes);
size_t
epb_sys_page_bytes(void);
/* How much this process may lock; SIZE_MAX when nothing bounds it. */
size_t
epb_sys_lock_limit_bytes(void);

/* The one mutex of the process-wide arena; mem.c alone takes it. Not recursive. */
void
epb_sys_shared_lock(void);
void
epb_sys_shared_unlock(void);

/* The process this runs in, after a fork, too. Without a system call. */
uint32_t
epb_sys_pid(void);
/* Overwrites the processor's vector registers, where copying leaves the last bytes that
 * were copied: a core dump has the registers of all threads. For a thread that is about
 * to sleep. */
void
epb_sys_wipe_registers(void);
/* Forbids core dumps of this process, and tracing it by others of the same user. */
EPB_MUST_USE enum epb_status
epb_sys_harden_process(void);

/* Gives a command back the core limit that epb_sys_harden_process took: in a forked
 * child, before exec. Async-signal-safe. POSIX only. */
void
epb_sys_restore_core_limit(void);

#endif
