/*
 * Rate limits by the generic cell rate algorithm (GCRA; ITU-T I.371, as a "virtual
 * scheduling" algorithm): `limit` units in `period`, with bursts of `burst` units. A key
 * has one number, its theoretical arrival time (TAT). With interval = period / limit, a
 * request of `cost` units is allowed when
 *
 *   max(TAT, now) + cost * interval <= now + burst * interval
 *
 * and sets the TAT to the left side. A refused request changes nothing.
 *
 * Times are whole multiples of 1/limit ms, so nothing is rounded: limits are exact over
 * all processes. The TAT is stored together with the limit it was computed with; a
 * request with another limit converts it, rounding up. A key whose TAT has passed is
 * forgotten. Throttles have their own space of keys. Time is mono_ms.
 *
 * A request may wait in the key's queue. A later request queues behind it, or is refused.
 * The first request in the queue is granted in the ms in which it is allowed, then the
 * next one. Each grant moves the TAT by a known interval, so the latest time at which a
 * request is granted is known from the start (it becomes earlier when others leave). A
 * request whose time would come after its WAIT is refused at once.
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
    uint64_t reset_after_ms; /* until the full burst is available again */
    bool waits;              /* the answer comes later */
};

/* Borrows all arguments while the throttles exist. Returns NULL when out of memory. */
struct epb_throttles *
epb_throttles_new(struct epb_arena *arena, struct epb_quota *quota,
                  struct epb_waits *waits);
/* No request may be waiting. NULL is allowed. */
void
epb_throttles_free(struct epb_throttles *throttles);
/* `limit` (the request's COUNT), `period_ms`, `burst` (default: the limit), `cost`
 * (default: 1; 0 only reports). EPB_INVALID_REQUEST beyond the bounds above (limit,
 * period and burst are at least 1) and when the cost exceeds the burst, EPB_MAX_MEMORY,
 * EPB_INTERNAL. With `wait_ms`, a request that is not allowed yet waits
 * (`answer->waits`). EPB_WAIT_TIMEOUT, with the answer: it could not be granted in time.
 * EPB_MAX_WAITERS, EPB_CONFLICT as in epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_throttle_take(struct epb_throttles *throttles, struct epb_peer *peer,
                  const struct epb_request *request, const struct epb_time *now,
                  struct epb_throttle_answer *answer);
/* The answer of a wait that has finished with EPB_OK. */
const struct epb_throttle_answer *
epb_throttle_granted(const struct epb_wait *wait);
/* Grants at most `limit` requests whose time has come. Returns the mono_ms of the next
 * one, UINT64_MAX when nothing waits. */
uint64_t
epb_throttles_wake(struct epb_throttles *throttles, const struct epb_time *now,
                   unsigned limit);
/* Forgets keys that are due, as epb_waits_sweep does. Deadlines are coalesced, so that
 * many keys don't keep the broker awake (about ten times a second at most). */
uint64_t
epb_throttles_sweep(struct epb_throttles *throttles, const struct epb_time *now,
                    unsigned limit);
/* Forgets the keys with this prefix for which no request waits. *cursor is 0 in the first
 * call. True: all of them. *cleared grows by the number forgotten. */
bool
epb_throttles_clear(struct epb_throttles *throttles, struct epb_bytes prefix,
                    uint64_t *cursor, struct epb_budget *budget, uint64_t *cleared);
uint64_t
epb_throttles_count(const struct epb_throttles *throttles);
size_t
epb_throttles_table_bytes(const struct epb_throttles *throttles);

#endif
