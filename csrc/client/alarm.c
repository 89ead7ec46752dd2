/* See alarm.h. */
#include "alarm.h"

#include <uv.h>

#include "../base/sys.h"
#include "../os/thread.h"

/* Longest wait, so that the system's clock arithmetic cannot overflow. */
#define SLEEP_MAX_MS (60U * 60U * 1000U)
#define NEVER_MS UINT64_MAX

static uv_once_t once = UV_ONCE_INIT;
static uint32_t owner_pid; /* written once */
static bool usable;        /* written once */
static uv_mutex_t lock;
/* All of these are guarded by the lock. */
static struct epb_heap alarms;
static bool running;
static uint64_t wake_ms; /* when the thread's sleep ends; 0 while it is awake */
static uv_cond_t wake;   /* an alarm is due before wake_ms */

static uint64_t
now_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
}

static void
init_once(void)
{
    owner_pid = epb_sys_pid();
    epb_heap_init(&alarms);
    if (uv_mutex_init(&lock) != 0) {
        return;
    }
    usable = uv_cond_init(&wake) == 0;
    if (!usable) {
        uv_mutex_destroy(&lock);
    }
}

/* False in a forked child, or if initialization failed. */
static bool
present(void)
{
    uv_once(&once, init_once);
    return usable && owner_pid == epb_sys_pid();
}

static struct epb_alarm *
alarm_of(struct epb_heap_node *node)
{
    return (struct epb_alarm *)(void *)((char *)node - offsetof(struct epb_alarm, node));
}

static void
sleep_until(uint64_t due_ms)
{
    uint64_t now = now_ms();

    if (due_ms <= now) {
        return;
    }
    wake_ms = due_ms;
    if (due_ms == NEVER_MS) {
        uv_cond_wait(&wake, &lock);
    } else {
        uint64_t wait_ms = due_ms - now < SLEEP_MAX_MS ? due_ms - now : SLEEP_MAX_MS;
        (void)uv_cond_timedwait(&wake, &lock, wait_ms * 1000000U);
    }
    wake_ms = 0;
}

static void
run_alarms(void *context)
{
    (void)context;
    uv_mutex_lock(&lock);
    /* Runs until the process ends. */
    for (;;) {
        struct epb_heap_node *first = epb_heap_first(&alarms);
        if (first != NULL && first->due_ms <= now_ms()) {
            struct epb_alarm *alarm = alarm_of(first);
            epb_heap_remove(&alarms, first);
            alarm->on_due(alarm->context);
        } else {
            sleep_until(first == NULL ? NEVER_MS : first->due_ms);
        }
    }
}

static enum epb_status
start(void)
{
    uv_thread_t thread;

    if (running) {
        return EPB_OK;
    }
    if (epb_thread_start(&thread, run_alarms, NULL) != 0) {
        return EPB_INTERNAL;
    }
    epb_thread_detach(&thread);
    running = true;
    return EPB_OK;
}

static enum epb_status
set_locked(struct epb_alarm *alarm, uint64_t due_ms)
{
    enum epb_status status = start();

    if (status != EPB_OK) {
        return status;
    }
    if (alarm->node.index != EPB_HEAP_NOWHERE) {
        epb_heap_change(&alarms, &alarm->node, due_ms);
    } else {
        status = epb_heap_reserve(&alarms);
        if (status != EPB_OK) {
            return status;
        }
        epb_heap_insert(&alarms, &alarm->node, due_ms);
    }
    if (due_ms < wake_ms) {
        uv_cond_signal(&wake);
    }
    return EPB_OK;
}

void
epb_alarm_init(struct epb_alarm *alarm, epb_alarm_fn on_due, void *context)
{
    *alarm = (struct epb_alarm){.on_due = on_due, .context = context};
    alarm->node.index = EPB_HEAP_NOWHERE;
}

enum epb_status
epb_alarm_set(struct epb_alarm *alarm, uint64_t in_ms)
{
    if (!present()) {
        return EPB_INTERNAL;
    }
    uint64_t now = now_ms();
    uint64_t due_ms = in_ms < NEVER_MS - now ? now + in_ms : NEVER_MS - 1U;
    uv_mutex_lock(&lock);
    enum epb_status status = set_locked(alarm, due_ms);
    uv_mutex_unlock(&lock);
    return status;
}

void
epb_alarm_clear(struct epb_alarm *alarm)
{
    if (!present()) {
        return;
    }
    uv_mutex_lock(&lock);
    if (alarm->node.index != EPB_HEAP_NOWHERE) {
        epb_heap_remove(&alarms, &alarm->node);
    }
    uv_mutex_unlock(&lock);
}
