/*
 * When the items of a broker are swept next: soon enough for what has expired to be gone
 * within 100 ms, and not for each item alone when many expire one after the other.
 *
 * No clock, no timer: time is a parameter, in boot_ms.
 */
#ifndef EPB_SERVER_SWEEPER_H
#define EPB_SERVER_SWEEPER_H

#include <stdint.h>

/* How long after a sweep that was due the next one is, at least. With what timers and
 * clocks are late by, it stays below 100 ms. */
#define EPB_SWEEP_REST_MS 90U

struct epb_sweeper {
    uint64_t swept_ms; /* the last sweep that was due */
    uint64_t due_ms;   /* of the first item, as the last sweep knew it */
};

void
epb_sweeper_init(struct epb_sweeper *sweeper);
/* After each sweep, with what it returned: the next item is due at `due_ms`, UINT64_MAX:
 * none. Returns when to sweep again, at most EPB_SWEEP_REST_MS after that; not later than
 * now: at once; UINT64_MAX: never. */
uint64_t
epb_sweeper_next(struct epb_sweeper *sweeper, uint64_t due_ms, uint64_t now_ms);

#endif
