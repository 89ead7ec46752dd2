/*
 * Whether a second look is worth it.
 *
 * Waking a sleeping peer costs more than serving its request, so both ends look again for
 * a few microseconds after work before they sleep. That pays only when the other end
 * answers at once; on a loaded machine, or with a peer that thinks for long, it burns a
 * processor that others need. So each end keeps count: after EPB_LOOK_PATIENCE looks in a
 * row that found nothing it leaves out ever more of them, trying again now and then, and
 * one that finds something restores all.
 */
#ifndef EPB_IO_LOOK_H
#define EPB_IO_LOOK_H

#include <stdbool.h>

/* How long a look may last; measured: longer gains nothing, on one side alone little. */
#define EPB_LOOK_US 25U
#define EPB_LOOK_PATIENCE 16U
#define EPB_LOOK_MAX_SKIPS 32U

struct epb_look {
    unsigned misses; /* in a row */
    unsigned skips;  /* looks to leave out before the next */
};

/* Whether to look this time. After a yes, say with epb_look_done how it went. */
static inline bool
epb_look_worth(struct epb_look *look)
{
    if (look->skips == 0)
        return true;
    look->skips--;
    return false;
}

static inline void
epb_look_done(struct epb_look *look, bool found)
{
    if (found) {
        look->misses = 0;
        return;
    }
    look->misses++;
    if (look->misses < EPB_LOOK_PATIENCE)
        return;
    unsigned skips = look->misses - EPB_LOOK_PATIENCE + 1;
    look->skips = skips < EPB_LOOK_MAX_SKIPS ? skips : EPB_LOOK_MAX_SKIPS;
}

#endif
