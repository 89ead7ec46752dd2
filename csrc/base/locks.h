/*
 * The locks of the whole process (POSIX): one for each thing that there is once.
 *
 * They are here together for the sake of a fork by another thread: it takes all of them
 * before, and gives them back on both sides, so that a child finds none held by a thread
 * that it doesn't have, and what they guard in one piece. A thread that holds one may
 * take those that stand behind it, and no others.
 */
#ifndef EPB_BASE_LOCKS_H
#define EPB_BASE_LOCKS_H

enum epb_lock {
    EPB_LOCK_EXIT_HOOK, /* the signals that are watched (server/exit_hook) */
    EPB_LOCK_REAPING,   /* children (proc) */
    EPB_LOCK_WAITER,    /* descriptors that are waited for (client/waiter) */
    EPB_LOCK_RIGHTS,    /* descriptors that are to be closed (os/rights) */
    EPB_LOCK_LOOPS,     /* a loop is made (os/uv_reserve) */
    EPB_LOCK_ARRAY,     /* what it is given first (os/uv_reserve) */
    EPB_LOCK_SHARED,    /* the process-wide arena (mem) */
    EPB_LOCK_COUNT
};

void
epb_lock(enum epb_lock lock);
void
epb_unlock(enum epb_lock lock);

#endif
