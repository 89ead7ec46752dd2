/*
 * Decides when a broker's items are swept next: soon enough that expired items are
 * removed within 100 ms, and not once per item when many expire one after the other.
 *
 * No clock, no timer: time is a parameter, in boot_ms.
 */
#ifndef EPB_SERVER_SWEEPER_H
#define EPB_SERVER_SWEEPER_H

#include <stdint.h>

/* The least time between a sweep that was due and the next. With the delays of timers and
 * clocks added, the sum stays below 100 ms. */
#define EPB_SWEEP_REST_MS 90U

struct epb_sweeper {
    uint64_t swept_ms; /* the last sweep that was due */
    uint64_t due_ms;   /* of the first item, from the last sweep */
};

void
epb_sweeper_init(struct epb_sweeper *sweeper);
/* Call after each sweep with its result: the next item is due at `due_ms`; UINT64_MAX: no
 * item. Returns when to sweep again, at most EPB_SWEEP_REST_MS after `due_ms`. A result
 * not later than now means at once; UINT64_MAX means never. */
uint64_t
epb_sweeper_next(struct epb_sweeper *sweeper, uint64_t due_ms, uint64_t now_ms);

#endif
