/* The thread that sleeps until something is due: it sleeps no longer, wakes for what is
 * due earlier, and is not there in a forked child. */
#include <sys/wait.h>

#include "base/sys.h"
#include "client/timed_thread.h"
#include "io_help.h"

#define FAR_MS 3600000U

static struct epb_timed_thread thread;
/* Guarded by its lock. */
static uint64_t due_ms;
static unsigned turns; /* how often it has looked */
static unsigned served;
static uv_cond_t changed;

static uint64_t
mono_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
}

static uint64_t
turn(void)
{
    turns++;
    if (due_ms <= mono_ms()) {
        due_ms = EPB_TIMED_THREAD_NEVER_MS;
        served++;
    }
    uv_cond_broadcast(&changed);
    return due_ms;
}

static void
begin_thread(void)
{
    due_ms = EPB_TIMED_THREAD_NEVER_MS;
    turns = 0;
    served = 0;
    cr_assert_not(epb_timed_thread_is_here(&thread));
    cr_assert_eq(uv_cond_init(&changed), 0);
    cr_assert(epb_timed_thread_init(&thread, turn));
    cr_assert(epb_timed_thread_is_here(&thread));
}

/* With the lock held. */
static void
await(const unsigned *count, unsigned at_least)
{
    while (*count < at_least) {
        cr_assert_eq(
            uv_cond_timedwait(&changed, &thread.lock, PATIENCE_S * UINT64_C(1000000000)),
            0, "the thread did nothing");
    }
}

/* With the lock held. */
static void
plan(uint64_t at_ms)
{
    due_ms = at_ms;
    cr_assert_eq(epb_timed_thread_start(&thread), EPB_OK);
    epb_timed_thread_wake(&thread, at_ms);
}

Test(timed_thread, serves_at_the_time, .init = begin_thread)
{
    uv_mutex_lock(&thread.lock);
    uint64_t at_ms = mono_ms() + 20;
    plan(at_ms);
    await(&served, 1);
    cr_assert_geq(mono_ms(), at_ms);
    uv_mutex_unlock(&thread.lock);
}

Test(timed_thread, wakes_for_what_is_due_earlier, .init = begin_thread)
{
    uv_mutex_lock(&thread.lock);
    plan(mono_ms() + FAR_MS);
    await(&turns, 1);
    plan(mono_ms());
    await(&served, 1);
    /* From a sleep without an end, too. */
    plan(mono_ms());
    await(&served, 2);
    uv_mutex_unlock(&thread.lock);
}

Test(timed_thread, sleeps_on_for_what_is_due_later, .init = begin_thread)
{
    uv_mutex_lock(&thread.lock);
    uint64_t at_ms = mono_ms() + FAR_MS;
    plan(at_ms);
    await(&turns, 1);
    unsigned before = turns;
    epb_timed_thread_wake(&thread, at_ms + 1);
    cr_assert_eq(uv_cond_timedwait(&changed, &thread.lock, 20000000U), UV_ETIMEDOUT);
    cr_assert_eq(turns, before);
    uv_mutex_unlock(&thread.lock);
}

Test(timed_thread, is_not_there_in_a_forked_child, .init = begin_thread)
{
    int status = 0;
    pid_t child = fork();

    cr_assert_geq(child, 0);
    if (child == 0) {
        _exit(epb_timed_thread_is_here(&thread) ? 1 : 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}
