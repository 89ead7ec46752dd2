/*
 * The plan of what is sent again and again: frames that are due every interval, each on
 * behalf of a user (a client's connection). Pure: time is a parameter; renewer.c has the
 * thread.
 *
 * A keep is due, then in a batch that is on its way to the socket, then planned anew one
 * interval after the time it was due; if that has passed, too (the process had been
 * stopped), one interval from now: what was missed is sent once, not many times. All of a
 * user's keeps that are due go into one batch; there is no second batch before the first
 * has left, so a socket that takes nothing holds one beat of each keep at most. A user
 * whose socket took less than all is tried again every EPB_RENEWAL_PLAN_AGAIN_MS.
 *
 * Invariants:
 * - every keep, and every user with keeps or with a turn to come, is in the heap; what is
 *   not to be woken for stands there at EPB_RENEWAL_PLAN_NEVER_MS;
 * - a keep is planned (in no list), or in its user's `due` or `leaving`;
 * - a user with something due is in `ready`, or will be tried again (`again`), or its
 *   batch is being sent, or it is dead.
 *
 * The frames of a keep have an id by which their answers tell of it: when it was answered
 * first, and that it is to end, since what it keeps has.
 *
 * Everything is O(log n) in the number of keeps, for each keep concerned.
 */
#ifndef EPB_CLIENT_RENEWAL_PLAN_H
#define EPB_CLIENT_RENEWAL_PLAN_H

#include "../base/buf.h"
#include "../base/heap.h"
#include "../base/list.h"
#include "../base/map.h"

#define EPB_RENEWAL_PLAN_NEVER_MS UINT64_MAX
#define EPB_RENEWAL_PLAN_AGAIN_MS 50U
#define EPB_RENEWAL_PLAN_BATCH_BYTES (16U * 1024U * 1024U)

struct epb_renewal_plan {
    struct epb_heap heap;
    struct epb_map *by_id;
    struct epb_list ready; /* users with something to send now, oldest first */
    uint64_t last_id;
};

struct epb_renewal_plan_user {
    struct epb_list keeps;
    struct epb_list due;
    struct epb_list leaving;
    struct epb_list ready; /* in the plan's */
    struct epb_heap_node again;
    bool dead; /* nothing can be sent any more */
};

/* What became of a batch. */
enum epb_renewal_plan_sent {
    EPB_RENEWAL_PLAN_LEFT,    /* the socket has all of it */
    EPB_RENEWAL_PLAN_WAITS,   /* some of it waits for the socket */
    EPB_RENEWAL_PLAN_REFUSED, /* nothing was taken; later, perhaps */
    EPB_RENEWAL_PLAN_DEAD     /* and nothing will be taken any more */
};

/* EPB_INTERNAL: memory is out. */
EPB_MUST_USE enum epb_status
epb_renewal_plan_init(struct epb_renewal_plan *plan);
/* All users have been forgotten. */
void
epb_renewal_plan_fini(struct epb_renewal_plan *plan);
void
epb_renewal_plan_user_init(struct epb_renewal_plan_user *user);

/* Copies the frame, or several; it is first due in `interval_ms` (1 or more) from now.
 * *id: above 0, never used again. EPB_INTERNAL: memory is out, nothing has changed. */
EPB_MUST_USE enum epb_status
epb_renewal_plan_add(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                     struct epb_bytes frame, uint64_t interval_ms, uint64_t now_ms,
                     uint64_t *id);
/* It is due now, and an interval after that. Unknown ids are no fault, here and below. */
void
epb_renewal_plan_hasten(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id, uint64_t now_ms);
/* An answer to one of its frames has come. */
void
epb_renewal_plan_answered(struct epb_renewal_plan *plan, uint32_t frame_id);
/* What it keeps has ended: the keep goes, whoever's it is. */
void
epb_renewal_plan_end(struct epb_renewal_plan *plan, uint32_t frame_id);
/* Whether an answer is still to come. */
bool
epb_renewal_plan_unanswered(const struct epb_renewal_plan *plan,
                            const struct epb_renewal_plan_user *user, uint64_t id);
/* Whether the user had such a keep. */
bool
epb_renewal_plan_remove(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id);
/* All of a user's keeps go, and it is as new. */
void
epb_renewal_plan_forget(struct epb_renewal_plan *plan,
                        struct epb_renewal_plan_user *user);
/* How long ago the socket was given the keep's frame, or it was added. False: the user
 * has no such keep. */
bool
epb_renewal_plan_ago(const struct epb_renewal_plan *plan,
                     const struct epb_renewal_plan_user *user, uint64_t id,
                     uint64_t now_ms, uint64_t *ago_ms);

/* When epb_renewal_plan_next has to be called. */
uint64_t
epb_renewal_plan_due(const struct epb_renewal_plan *plan);
/* A user with something to do now; NULL when there is none. The caller owes it a turn:
 * epb_renewal_plan_take, an attempt to send, epb_renewal_plan_settle. */
struct epb_renewal_plan_user *
epb_renewal_plan_next(struct epb_renewal_plan *plan, uint64_t now_ms);
/* The frames of the next batch, into an empty buffer; none while the last one waits for
 * the socket, which then is to be flushed, or when memory is out. */
void
epb_renewal_plan_take(struct epb_renewal_plan_user *user, struct epb_buf *batch);
void
epb_renewal_plan_settle(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        enum epb_renewal_plan_sent sent, uint64_t now_ms);

#endif
