/*
 * Moments at which a thread of ours calls back: the timers of clients, which no
 * program that fakes those of JavaScript can reach.
 *
 * One thread for the whole process serves all alarms from one heap. It starts with the
 * first that is set, and sleeps until the next one is due; without any it sleeps for
 * good. Callbacks run under the lock: once epb_alarm_clear has returned, the alarm's runs
 * no more.
 *
 * In a forked child, which has no such thread, nothing can be set, and clearing does
 * nothing.
 *
 * Thread safety: the functions may be called from any thread; those of one alarm from one
 * thread at a time.
 */
#ifndef EPB_CLIENT_ALARM_H
#define EPB_CLIENT_ALARM_H

#include "../base/heap.h"
#include "../base/status.h"

/* Must not block, and must not call an alarm. */
typedef void (*epb_alarm_fn)(void *context);

/* Embedded in what is to be called. */
struct epb_alarm {
    struct epb_heap_node node;
    epb_alarm_fn on_due;
    void *context;
};

void
epb_alarm_init(struct epb_alarm *alarm, epb_alarm_fn on_due, void *context);
/* One call of on_due in `in_ms`, instead of one that was to come. EPB_INTERNAL: memory is
 * out, there can be no thread, or this is a forked child. */
EPB_MUST_USE enum epb_status
epb_alarm_set(struct epb_alarm *alarm, uint64_t in_ms);
/* One that is not set is no fault. */
void
epb_alarm_clear(struct epb_alarm *alarm);

#endif
