/*
 * Barriers: n requests wait for each other under a name. Barriers have their own space of
 * names. The n-th request finishes all of them, each with its number in the order of
 * arrival (0 to n - 1); then the next round can begin. A request that is cancelled, or
 * whose peer leaves, has not arrived: the requests behind it move up. The first request
 * of a round sets n; a different n in the same round is refused with EPB_KIND_MISMATCH.
 *
 * Invariant: a barrier exists while requests wait at it, and never has n waiting.
 */
#ifndef EPB_CORE_BARRIER_H
#define EPB_CORE_BARRIER_H

#include "../base/arena.h"
#include "wait.h"

#define EPB_BARRIER_MAX 100000

struct epb_barriers;

/* Borrows all arguments while the barriers exist. Returns NULL when out of memory. */
struct epb_barriers *
epb_barriers_new(struct epb_arena *arena, struct epb_quota *quota,
                 struct epb_waits *waits);
/* Every peer must have left. NULL is allowed. */
void
epb_barriers_free(struct epb_barriers *barriers);
/* *done: this was the last request (or n is 1). It does not wait, and its number is
 * *number. EPB_INVALID_REQUEST (n below 1 or above EPB_BARRIER_MAX), EPB_KIND_MISMATCH,
 * EPB_WAIT_TIMEOUT (not the last request, and its WAIT is 0), EPB_MAX_MEMORY,
 * EPB_INTERNAL, the errors of epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_barrier_arrive(struct epb_barriers *barriers, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now,
                   bool *done, int64_t *number);
size_t
epb_barriers_table_bytes(const struct epb_barriers *barriers);

#endif
