/* See alarm.h. */
#include "alarm.h"

#include "../base/sys.h"
#include "timed_thread.h"

#define NEVER_MS EPB_TIMED_THREAD_NEVER_MS

static uv_once_t once = UV_ONCE_INIT;
static bool usable; /* written once */
static struct epb_timed_thread thread;
static struct epb_heap alarms; /* guarded by the thread's lock */

static uint64_t
now_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
}

static struct epb_alarm *
alarm_of(struct epb_heap_node *node)
{
    return (struct epb_alarm *)(void *)((char *)node - offsetof(struct epb_alarm, node));
}

static uint64_t
run_first(void)
{
    struct epb_heap_node *first = epb_heap_first(&alarms);

    if (first == NULL) {
        return NEVER_MS;
    }
    uint64_t due_ms = first->due_ms;
    if (due_ms <= now_ms()) {
        struct epb_alarm *alarm = alarm_of(first);
        epb_heap_remove(&alarms, first);
        alarm->on_due(alarm->context);
    }
    return due_ms;
}

static void
init_once(void)
{
    epb_heap_init(&alarms);
    usable = epb_timed_thread_init(&thread, run_first);
}

/* False in a forked child, or if initialization failed. */
static bool
is_here(void)
{
    uv_once(&once, init_once);
    return usable && epb_timed_thread_is_here(&thread);
}

static enum epb_status
set_locked(struct epb_alarm *alarm, uint64_t due_ms)
{
    enum epb_status status = epb_timed_thread_start(&thread);

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
    epb_timed_thread_wake(&thread, due_ms);
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
    if (!is_here()) {
        return EPB_INTERNAL;
    }
    uint64_t now = now_ms();
    uint64_t due_ms = in_ms < NEVER_MS - now ? now + in_ms : NEVER_MS - 1U;
    uv_mutex_lock(&thread.lock);
    enum epb_status status = set_locked(alarm, due_ms);
    uv_mutex_unlock(&thread.lock);
    return status;
}

void
epb_alarm_clear(struct epb_alarm *alarm)
{
    if (!is_here()) {
        return;
    }
    uv_mutex_lock(&thread.lock);
    if (alarm->node.index != EPB_HEAP_NOWHERE) {
        epb_heap_remove(&alarms, &alarm->node);
    }
    uv_mutex_unlock(&thread.lock);
}
