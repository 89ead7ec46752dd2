/*
 * Whether a second look is worth it.
 *
 * Waking a sleeping peer costs more than serving its request, so both ends look again for
 * a few microseconds after work before they sleep. That pays only when the other end
 * answers at once; on a loaded machine, or with a peer that thinks for long, it burns a
 * processor that others need. So each end keeps count: after EPB_SPIN_PATIENCE looks in a
 * row that found nothing it leaves out ever more of them, trying again now and then, and
 * one that finds something restores all.
 *
 * Each round of a look gives way, without which the other end could not answer on the
 * same processor. Where a round has shown that nobody waits for this one, the next few
 * don't.
 */
#ifndef EPB_OS_SPIN_H
#define EPB_OS_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/sys.h"

/* What a look may take of the processor; measured: more gains nothing, on one side alone
 * little. What others have of it while the look gives way is theirs, and the answer comes
 * by it: that is not counted, up to a limit by the clock. */
#define EPB_SPIN_US 25U
#define EPB_SPIN_WALL_US 200U
#define EPB_SPIN_PATIENCE 16U
#define EPB_SPIN_MAX_SKIPS 32U
/* Giving way takes less only when nobody else ran meanwhile: there and back is two
 * switches and what the other did. */
#define EPB_SPIN_ALONE_NS 1500U
#define EPB_SPIN_ALONE_ROUNDS 3U

struct epb_spin {
    unsigned misses;      /* in a row */
    unsigned skips;       /* looks to leave out before the next */
    unsigned alone;       /* rounds that need not give way */
    bool has_short_slice; /* chosen before others who wait (contention.h): never known to
                             be alone */
};

/* Gives way, where that is not left out. `*now_ns` is the time (epb_sys_ticks_ns) before
 * and after. Returns how long others had the processor, in nanoseconds; 0: nobody wanted
 * it. */
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

/* Whether to look this time. After a yes, say with epb_spin_note how it went. */
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
