/*
 * Barriers: n requests wait for each other under a name (a space of its own); the n-th
 * finishes all of them, each with its number in the order of arrival (0 to n - 1), and
 * the next round can begin. Who gives up or leaves has not arrived: those behind move up.
 * The first of a round says how many there are; another n in the same round:
 * EPB_KIND_MISMATCH.
 *
 * Invariant: a barrier exists while somebody waits at it, and never has n waiting.
 */
#ifndef EPB_CORE_BARRIER_H
#define EPB_CORE_BARRIER_H

#include "../base/arena.h"
#include "wait.h"

#define EPB_BARRIER_MAX 100000

struct epb_barriers;

/* All borrow, for the life of the barriers. NULL when memory is out. */
struct epb_barriers *
epb_barriers_new(struct epb_arena *arena, struct epb_quota *quota,
                 struct epb_waits *waits);
/* Every peer has left. NULL is allowed. */
void
epb_barriers_free(struct epb_barriers *barriers);
/* *done: this was the last one (or n is 1): its own number is *number, and it does not
 * wait. EPB_INVALID_REQUEST (n below 1 or above EPB_BARRIER_MAX), EPB_KIND_MISMATCH,
 * EPB_WAIT_TIMEOUT (not the last, and its WAIT is 0), EPB_MAX_MEMORY, EPB_INTERNAL, the
 * errors of epb_wait_new. */
EPB_MUST_USE enum epb_status
epb_barrier_arrive(struct epb_barriers *barriers, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now,
                   bool *done, int64_t *number);
size_t
epb_barriers_table_bytes(const struct epb_barriers *barriers);

#endif
