/*
 * Something that is done once in a process, by whichever thread comes first; the others
 * wait until it is done.
 */
#ifndef EPB_BASE_ONCE_H
#define EPB_BASE_ONCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sys.h"

struct epb_once {
    atomic_flag busy;
    atomic_bool done;
};
#define EPB_ONCE_INIT           \
    {                           \
        ATOMIC_FLAG_INIT, false \
    }

/* `work` is short, and asks for no other epb_once. */
static inline void
epb_once(struct epb_once *once, void (*work)(void))
{
    if (atomic_load_explicit(&once->done, memory_order_acquire))
        return;
    while (atomic_flag_test_and_set_explicit(&once->busy, memory_order_acquire))
        epb_sys_yield();
    if (!atomic_load_explicit(&once->done, memory_order_relaxed)) {
        work();
        atomic_store_explicit(&once->done, true, memory_order_release);
    }
    atomic_flag_clear_explicit(&once->busy, memory_order_release);
}

#endif
