/* See timed_thread.h. */
#include "timed_thread.h"

#include "../base/sys.h"
#include "../os/thread.h"

/* Longest wait, so that the system's clock arithmetic cannot overflow. */
#define SLEEP_MAX_MS (60U * 60U * 1000U)

bool
epb_timed_thread_init(struct epb_timed_thread *thread, epb_timed_thread_fn turn)
{
    thread->turn = turn;
    if (uv_mutex_init(&thread->lock) != 0) {
        return false;
    }
    if (uv_cond_init(&thread->wake) != 0) {
        uv_mutex_destroy(&thread->lock);
        return false;
    }
    thread->owner_pid = epb_sys_pid();
    return true;
}

bool
epb_timed_thread_is_here(const struct epb_timed_thread *thread)
{
    return thread->owner_pid == epb_sys_pid();
}

static void
sleep_until(struct epb_timed_thread *thread, uint64_t due_ms)
{
    struct epb_time now;

    epb_sys_now(&now);
    if (due_ms <= now.mono_ms) {
        return;
    }
    thread->wake_ms = due_ms;
    if (due_ms == EPB_TIMED_THREAD_NEVER_MS) {
        uv_cond_wait(&thread->wake, &thread->lock);
    } else {
        uint64_t wait_ms = due_ms - now.mono_ms;
        wait_ms = wait_ms < SLEEP_MAX_MS ? wait_ms : SLEEP_MAX_MS;
        (void)uv_cond_timedwait(&thread->wake, &thread->lock, wait_ms * 1000000U);
    }
    thread->wake_ms = 0;
}

static void
run(void *context)
{
    struct epb_timed_thread *thread = context;

    uv_mutex_lock(&thread->lock);
    /* Runs until the process ends. */
    for (;;) {
        sleep_until(thread, thread->turn());
    }
}

enum epb_status
epb_timed_thread_start(struct epb_timed_thread *thread)
{
    uv_thread_t id;

    if (thread->is_running) {
        return EPB_OK;
    }
    if (epb_thread_start(&id, run, thread) != 0) {
        return EPB_INTERNAL;
    }
    epb_thread_detach(&id);
    thread->is_running = true;
    return EPB_OK;
}

void
epb_timed_thread_wake(struct epb_timed_thread *thread, uint64_t due_ms)
{
    if (due_ms < thread->wake_ms) {
        uv_cond_signal(&thread->wake);
    }
}
