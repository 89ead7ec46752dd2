/*
 * Rate limits by the generic cell rate algorithm (GCRA; ITU-T I.371, as a "virtual
 * scheduling" algorithm): `limit` units in `period`, with bursts of `burst` units. A key
 * has one number, its theoretical arrival time (TAT); a request of `cost` units is
 * allowed when max(TAT, now) + cost * interval <= now + burst * interval, where interval
 * = period / limit, and moves TAT to the left side; a refused one changes nothing.
 *
 * Times are whole multiples of 1/limit ms, so that nothing is rounded: exact over all
 * processes. The TAT is kept as it was computed, with the limit of that time; a request
 * with another limit converts it, rounding up. A key whose TAT has passed is forgotten.
 * Keys are a space of their own. Time is mono_ms.
 *
 * A request may wait: then it stands in the key's queue, and a later one stands
 * behind it, or is refused. The first in the queue is granted in the ms in which it is
 * allowed, the next one from there. Since a grant moves the TAT by a known interval, it
 * is known at the beginning when a request comes at the latest (earlier, when others
 * leave); one that would come after its time is refused at once.
 */
#ifndef EPB_CORE_THROTTLE_H
#define EPB_CORE_THROTTLE_H

#include "../base/arena.h"
#include "../base/sys.h"
#include "budget.h"
#include "msg.h"
#include "quota.h"
#include "wait.h"

#define EPB_THROTTLE_UNITS_MAX 1000000U                  /* limit, burst */
#define EPB_THROTTLE_PERIOD_MAX_MS UINT64_C(31536000000) /* 365 days */

struct epb_throttles;

struct epb_throttle_answer {
    bool allowed;
    uint64_t remaining;      /* units that would be allowed now */
    uint64_t retry_after_ms; /* 0 when allowed */
    uint64_t reset_after_ms; /* until the full burst is there again */
    bool waits;              /* the answer comes later */
};

/* All borrow, for the life of the throttles. NULL when memory is out. */
struct epb_throttles *
epb_throttles_new(struct epb_arena *arena, struct epb_quota *quota,
                  struct epb_waits *waits);
/* Nothing waits any more. NULL is allowed. */
void
epb_throttles_free(struct epb_throttles *throttles);
/* `limit` (the request's COUNT), `period_ms`, `burst` (missing: the limit), `cost`
 * (missing: 1; 0 only looks). EPB_INVALID_REQUEST beyond the bounds above (limit, period
 * and burst are at least 1) and when the cost exceeds the burst, EPB_MAX_MEMORY,
 * EPB_INTERNAL. With `wait_ms`, a request that is not allowed yet waits
 * (`answer->waits`): EPB_WAIT_TIMEOUT, with the answer, when it could not come in time;
 * EPB_MAX_WAITERS, EPB_CONFLICT as epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_throttle_take(struct epb_throttles *throttles, struct epb_peer *peer,
                  const struct epb_request *request, const struct epb_time *now,
                  struct epb_throttle_answer *answer);
/* What a wait that has finished with EPB_OK got. */
const struct epb_throttle_answer *
epb_throttle_granted(const struct epb_wait *wait);
/* Grants what has waited for this moment, at most `limit`; returns the mono_ms of the
 * next, UINT64_MAX when nothing waits. */
uint64_t
epb_throttles_wake(struct epb_throttles *throttles, const struct epb_time *now,
                   unsigned limit);
/* Forgets what is due, as epb_waits_sweep does; deadlines are coalesced, so that many
 * limits don't keep the broker awake (some ten times a second at most). */
uint64_t
epb_throttles_sweep(struct epb_throttles *throttles, const struct epb_time *now,
                    unsigned limit);
/* Forgets those whose key has the prefix and that no request waits for; *cursor is 0 at
 * first. True: all of them. *cleared grows by how many. */
bool
epb_throttles_clear(struct epb_throttles *throttles, struct epb_bytes prefix,
                    uint64_t *cursor, struct epb_budget *budget, uint64_t *cleared);
uint64_t
epb_throttles_count(const struct epb_throttles *throttles);
size_t
epb_throttles_table_bytes(const struct epb_throttles *throttles);

#endif
