/*
 * Wakes a loop by the clock that runs on while the machine is suspended (boot_ms):
 * libuv's timers stand still then, and would be late by the rest of their time.
 *
 * Linux only; elsewhere opening does nothing, and it never goes off.
 */
#ifndef EPB_SERVER_BOOT_TIMER_H
#define EPB_SERVER_BOOT_TIMER_H

#include <stdint.h>

#include <uv.h>

#include "../base/status.h"

struct epb_boot_timer {
    uv_poll_t poll;
    int fd; /* -1: there is none */
    uint64_t armed_ms;
};

void
epb_boot_timer_init(struct epb_boot_timer *timer);
/* UV_EMFILE and the like. A system that has no such timer is no error. To be closed
 * whether or not this succeeds. */
EPB_MUST_USE int
epb_boot_timer_open(struct epb_boot_timer *timer, uv_loop_t *loop);
/* The loop wakes when the clock says `due_ms`, or sooner: a time that is earlier and was
 * asked for before stays, so that a deadline that moves on costs no system call each
 * time. */
void
epb_boot_timer_arm(struct epb_boot_timer *timer, uint64_t due_ms);
/* The handle is closed as the loop's others are: its memory stays until the loop has run.
 */
void
epb_boot_timer_close(struct epb_boot_timer *timer);

#endif
