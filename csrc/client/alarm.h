/*
 * The timers of clients, which call back on a native thread. A program that replaces the
 * timers of JavaScript does not affect them.
 *
 * One thread per process serves all alarms from one heap. The first alarm starts it, and
 * it sleeps until the next alarm is due, or forever without one. Callbacks run under the
 * lock: once epb_alarm_clear has returned, the alarm's callback does not run any more.
 *
 * A forked child has no such thread: epb_alarm_set fails, and epb_alarm_clear does
 * nothing.
 *
 * Thread safety: the functions may be called from any thread, but those of one alarm only
 * from one thread at a time.
 */
#ifndef EPB_CLIENT_ALARM_H
#define EPB_CLIENT_ALARM_H

#include "../base/heap.h"
#include "../base/status.h"

/* Must not block, and must not call an alarm. */
typedef void (*epb_alarm_fn)(void *context);

/* Embedded in the caller's object. */
struct epb_alarm {
    struct epb_heap_node node;
    epb_alarm_fn on_due;
    void *context;
};

void
epb_alarm_init(struct epb_alarm *alarm, epb_alarm_fn on_due, void *context);
/* Calls on_due once, in `in_ms`; replaces the alarm's previous time. EPB_INTERNAL: out of
 * memory, the thread cannot be started, or this is a forked child. */
EPB_MUST_USE enum epb_status
epb_alarm_set(struct epb_alarm *alarm, uint64_t in_ms);
/* An alarm that is not set is allowed. */
void
epb_alarm_clear(struct epb_alarm *alarm);

#endif
