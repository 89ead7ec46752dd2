/*
 * A thread of the process that sleeps until something is due: the thread of the alarms
 * (alarm.h) and that of the renewals (renewer.h).
 *
 * The thread calls the user's `turn` under its lock, and sleeps until the time that
 * `turn` returns. The lock guards the user's state as well. If something is due earlier
 * after a change of this state, the user calls epb_timed_thread_wake.
 *
 * It starts with its first use, and lives as long as the process. A forked child has no
 * such thread: the user asks epb_timed_thread_is_here before it takes the lock, which a
 * thread of the parent may have held during the fork.
 */
#ifndef EPB_CLIENT_TIMED_THREAD_H
#define EPB_CLIENT_TIMED_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "../base/status.h"

#define EPB_TIMED_THREAD_NEVER_MS UINT64_MAX

/* Does what is due, and returns the time of the next (mono_ms of epb_sys_now): a time in
 * the past to be called again at once. Called with the lock held; may release it for a
 * time, and must do so to block. */
typedef uint64_t (*epb_timed_thread_fn)(void);

struct epb_timed_thread {
    uv_mutex_t lock;
    epb_timed_thread_fn turn; /* this and owner_pid are written once */
    uint32_t owner_pid;
    /* Guarded by the lock. */
    bool is_running;
    uint64_t wake_ms; /* when its sleep ends; 0 while it is awake */
    uv_cond_t wake;
};

/* Once per process (uv_once). False: the system has no resources for it. */
EPB_MUST_USE bool
epb_timed_thread_init(struct epb_timed_thread *thread, epb_timed_thread_fn turn);
/* False in a forked child of the process that initialized it. */
bool
epb_timed_thread_is_here(const struct epb_timed_thread *thread);
/* With the lock held, before each use. EPB_INTERNAL: the thread cannot be started. */
EPB_MUST_USE enum epb_status
epb_timed_thread_start(struct epb_timed_thread *thread);
/* With the lock held: something is due at this time. */
void
epb_timed_thread_wake(struct epb_timed_thread *thread, uint64_t due_ms);

#endif
