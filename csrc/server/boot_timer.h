/*
 * Wakes a loop by the clock that keeps running while the machine is suspended (boot_ms).
 * libuv's timers stop during a suspend and would then be late by their remaining time.
 *
 * Linux only. On other systems opening does nothing and the timer never fires.
 */
#ifndef EPB_SERVER_BOOT_TIMER_H
#define EPB_SERVER_BOOT_TIMER_H

#include <stdint.h>

#include <uv.h>

#include "../base/status.h"

struct epb_boot_timer {
    uv_poll_t poll;
    int fd; /* -1: no timer */
    uint64_t armed_ms;
};

void
epb_boot_timer_init(struct epb_boot_timer *timer);
/* UV_EMFILE and similar errors. A system without such a timer is no error. Close the
 * timer whether or not this succeeds. */
EPB_MUST_USE int
epb_boot_timer_open(struct epb_boot_timer *timer, uv_loop_t *loop);
/* The loop wakes when the clock reaches `due_ms`, or earlier: an earlier time that was
 * armed before stays armed, so that postponing a deadline does not cost a system call
 * each time. */
void
epb_boot_timer_arm(struct epb_boot_timer *timer, uint64_t due_ms);
/* Closes the handle like the loop's other handles: its memory must stay until the loop
 * has run. */
void
epb_boot_timer_close(struct epb_boot_timer *timer);

#endif
