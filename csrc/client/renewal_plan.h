/*
 * The schedule of renewals. A keep is one frame, or several, sent again every interval on
 * behalf of a user (a client's connection). Pure: time is a parameter; renewer.c has the
 * thread.
 *
 * A keep is first due, then in a batch on its way to the socket, then scheduled again one
 * interval after the time it was due. If that time has passed, too (the process was
 * suspended), it is scheduled one interval from now: missed renewals are sent once, not
 * many times. All due keeps of a user go into one batch. The next batch starts only after
 * the first has left, so a socket that accepts nothing holds each keep at most once. If
 * the socket accepted only a part, the user is retried every EPB_RENEWAL_PLAN_AGAIN_MS.
 *
 * Invariants:
 * - every keep, and every user with keeps or with a pending turn, is in the heap; those
 *   that need no wake-up are at EPB_RENEWAL_PLAN_NEVER_MS;
 * - a keep is scheduled (in no list), or in its user's `due` or `leaving`;
 * - a user with due keeps is in `ready`, or will be retried (`again`), or its batch is
 *   being sent, or it is dead.
 *
 * The frames of a keep have its id, so that replies can be matched to it: the first reply
 * marks it as answered, and a reply that its lease has ended removes it.
 *
 * All operations are O(log n) in the number of keeps, for each keep concerned.
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
    struct epb_list ready; /* in the plan's `ready` */
    struct epb_heap_node again;
    bool dead; /* the broker has ended: nothing can be sent any more */
};

/* The result of sending a batch. */
enum epb_renewal_plan_sent {
    EPB_RENEWAL_PLAN_LEFT,    /* the socket accepted all of it */
    EPB_RENEWAL_PLAN_WAITS,   /* a part waits for the socket */
    EPB_RENEWAL_PLAN_REFUSED, /* nothing was accepted; retry later */
    EPB_RENEWAL_PLAN_DEAD     /* nothing was accepted, and nothing ever will be */
};

/* EPB_INTERNAL: out of memory. */
EPB_MUST_USE enum epb_status
epb_renewal_plan_init(struct epb_renewal_plan *plan);
/* Requires that all users were forgotten. */
void
epb_renewal_plan_fini(struct epb_renewal_plan *plan);
void
epb_renewal_plan_user_init(struct epb_renewal_plan_user *user);

/* Copies one frame, or several; first due in `interval_ms` (1 or more). *id is above 0
 * and never reused. EPB_INTERNAL: out of memory, nothing has changed. */
EPB_MUST_USE enum epb_status
epb_renewal_plan_add(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                     struct epb_bytes frame, uint64_t interval_ms, uint64_t now_ms,
                     uint64_t *id);
/* Makes a keep due now, then every interval. Unknown ids are allowed, here and below. */
void
epb_renewal_plan_hasten(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id, uint64_t now_ms);
/* A reply to one of the keep's frames has arrived. */
void
epb_renewal_plan_answered(struct epb_renewal_plan *plan, uint32_t frame_id);
/* The keep's lease has ended: removes the keep, of any user. */
void
epb_renewal_plan_end(struct epb_renewal_plan *plan, uint32_t frame_id);
/* Whether the keep's first reply is outstanding. */
bool
epb_renewal_plan_unanswered(const struct epb_renewal_plan *plan,
                            const struct epb_renewal_plan_user *user, uint64_t id);
/* False: the user has no such keep. */
bool
epb_renewal_plan_remove(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id);
/* Removes all keeps of a user and resets it. */
void
epb_renewal_plan_forget(struct epb_renewal_plan *plan,
                        struct epb_renewal_plan_user *user);
/* Time since the socket last got the keep's frame, or since it was added. False: the user
 * has no such keep. */
bool
epb_renewal_plan_ago(const struct epb_renewal_plan *plan,
                     const struct epb_renewal_plan_user *user, uint64_t id,
                     uint64_t now_ms, uint64_t *ago_ms);

/* When epb_renewal_plan_next must be called next. */
uint64_t
epb_renewal_plan_due(const struct epb_renewal_plan *plan);
/* A user that is ready to send; NULL: none. The caller must then call
 * epb_renewal_plan_take, try to send, and call epb_renewal_plan_settle. */
struct epb_renewal_plan_user *
epb_renewal_plan_next(struct epb_renewal_plan *plan, uint64_t now_ms);
/* Puts the frames of the next batch into an empty buffer. It stays empty if memory is
 * out, or while the last batch waits for the socket, which must then be flushed. */
void
epb_renewal_plan_take(struct epb_renewal_plan_user *user, struct epb_buf *batch);
void
epb_renewal_plan_settle(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        enum epb_renewal_plan_sent sent, uint64_t now_ms);

#endif
