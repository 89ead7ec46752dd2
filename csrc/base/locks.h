/*
 * The process-wide locks (POSIX), one for each process-wide resource.
 *
 * They are in one place because another thread may fork. A fork takes all of them first
 * and releases them in parent and child, so that a child finds no lock held by a thread
 * that it does not have, and the guarded data is consistent. A thread that holds a lock
 * may take only locks listed after it.
 */
#ifndef EPB_BASE_LOCKS_H
#define EPB_BASE_LOCKS_H

enum epb_lock {
    EPB_LOCK_EXIT_HOOK, /* watched signals (server/exit_hook) */
    EPB_LOCK_WAITER,    /* polled descriptors (client/waiter) */
    EPB_LOCK_RIGHTS,    /* descriptors to close (os/rights) */
    EPB_LOCK_LOOPS,     /* making a loop (os/uv_reserve) */
    EPB_LOCK_ARRAY,     /* a new loop's first array (os/uv_reserve) */
    EPB_LOCK_SHARED,    /* the process-wide arena (shared_mem) */
    EPB_LOCK_COUNT
};

void
epb_lock(enum epb_lock lock);
void
epb_unlock(enum epb_lock lock);

#endif
