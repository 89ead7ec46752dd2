/*
 * Work that is done once in a process, by the thread that comes first. Other threads wait
 * until it is done.
 */
#ifndef EPB_BASE_ONCE_H
#define EPB_BASE_ONCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sys.h"

struct epb_once {
    _Atomic uint32_t busy; /* the process whose thread does the work; 0: none */
    atomic_bool done;
};
#define EPB_ONCE_INIT \
    {                 \
        0, false      \
    }

/* Takes over from another process: a forked child does not have the thread that did the
 * work at the fork. */
static inline bool
epb_once_begin(struct epb_once *once, uint32_t pid)
{
    uint32_t busy = atomic_load_explicit(&once->busy, memory_order_relaxed);

    return busy != pid && atomic_compare_exchange_strong_explicit(&once->busy, &busy, pid,
                                                                  memory_order_acquire,
                                                                  memory_order_relaxed);
}

/* `work` is short and uses no other epb_once. */
static inline void
epb_once(struct epb_once *once, void (*work)(void))
{
    if (atomic_load_explicit(&once->done, memory_order_acquire)) {
        return;
    }
    while (!epb_once_begin(once, epb_sys_pid())) {
        epb_sys_yield();
    }
    if (!atomic_load_explicit(&once->done, memory_order_relaxed)) {
        work();
        atomic_store_explicit(&once->done, true, memory_order_release);
    }
    atomic_store_explicit(&once->busy, 0, memory_order_release);
}

#endif
