/*
 * Whether to spin before sleeping.
 *
 * Waking a sleeping peer costs more than serving its request, so both ends poll for a few
 * microseconds after work before they sleep. Spinning pays only when the peer answers at
 * once; on a loaded machine, or with a slow peer, it burns CPU time that other threads
 * need. So each end counts its misses. After EPB_SPIN_PATIENCE spins in a row that found
 * nothing, it skips more and more of them, with a retry now and then. A spin that finds
 * something resets the counts.
 *
 * Every poll iteration yields the CPU, otherwise a peer on the same CPU could never
 * answer. If a yield shows that no other thread is runnable, the next few iterations skip
 * it.
 */
#ifndef EPB_OS_SPIN_H
#define EPB_OS_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/sys.h"

/* CPU time of one spin. Measured: longer spins gain nothing, and spinning on one side
 * alone gains little. Time that other threads run during a yield is not counted, since
 * the peer's answer may come of it; EPB_SPIN_WALL_US bounds the wall time. */
#define EPB_SPIN_US 25U
#define EPB_SPIN_WALL_US 200U
#define EPB_SPIN_PATIENCE 16U
#define EPB_SPIN_MAX_SKIPS 32U
/* A shorter yield means that no other thread ran: otherwise it takes two context switches
 * and the other thread's run. */
#define EPB_SPIN_ALONE_NS 1500U
#define EPB_SPIN_ALONE_ROUNDS 3U

struct epb_spin {
    unsigned misses;      /* in a row */
    unsigned skips;       /* spins to skip before the next */
    unsigned alone;       /* iterations that need not yield */
    bool has_short_slice; /* scheduled before other runnable threads (contention.h), so a
                           * short yield does not show that it is alone */
};

/* Yields, unless this iteration skips it. `*now_ns` is the time (epb_sys_ticks_ns) before
 * the call and is updated. Returns how long other threads ran, in nanoseconds; 0: none
 * ran. */
static inline uint64_t
epb_spin_yield(struct epb_spin *spin, uint64_t *now_ns)
{
    if (spin->alone != 0) {
        spin->alone--;
        return 0;
    }
    uint64_t since_ns = *now_ns;
    epb_sys_yield();
    *now_ns = epb_sys_ticks_ns();
    if (*now_ns - since_ns >= EPB_SPIN_ALONE_NS) {
        return *now_ns - since_ns;
    }
    if (!spin->has_short_slice) {
        spin->alone = EPB_SPIN_ALONE_ROUNDS;
    }
    return 0;
}

/* Whether to spin this time. After true, report the outcome with epb_spin_note. */
static inline bool
epb_spin_is_worth(struct epb_spin *spin)
{
    if (spin->skips == 0) {
        return true;
    }
    spin->skips--;
    return false;
}

static inline void
epb_spin_note(struct epb_spin *spin, bool found)
{
    if (found) {
        spin->misses = 0;
        return;
    }
    spin->misses++;
    if (spin->misses < EPB_SPIN_PATIENCE) {
        return;
    }
    unsigned skips = spin->misses - EPB_SPIN_PATIENCE + 1;
    spin->skips = skips < EPB_SPIN_MAX_SKIPS ? skips : EPB_SPIN_MAX_SKIPS;
}

#endif
