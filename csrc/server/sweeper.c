/* See sweeper.h. */
#include "sweeper.h"

void
epb_sweeper_init(struct epb_sweeper *sweeper)
{
    *sweeper = (struct epb_sweeper){.due_ms = UINT64_MAX};
}

uint64_t
epb_sweeper_next(struct epb_sweeper *sweeper, uint64_t due_ms, uint64_t now_ms)
{
    if (sweeper->due_ms <= now_ms) {
        sweeper->swept_ms = now_ms;
    }
    sweeper->due_ms = due_ms;
    /* More items were due than one sweep removes: the next sweep must not wait. */
    if (due_ms <= now_ms) {
        return due_ms;
    }
    uint64_t rested_ms = sweeper->swept_ms + EPB_SWEEP_REST_MS;
    return due_ms > rested_ms ? due_ms : rested_ms;
}
