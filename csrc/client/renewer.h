/*
 * The renewer thread: sends frames again every interval, even while the thread that asked
 * for them is busy (renewal.h has the connections).
 *
 * One thread per process serves all clients by one plan (renewal_plan.h). The first keep
 * starts it, and it sleeps until the next keep is due, or forever without one. Each turn
 * passes the due frames of one client to its `send`, on the renewer thread, without the
 * renewer's lock. So a slow client delays the others' renewals, but blocks no call.
 *
 * Removal is synchronous: once epb_renewer_remove or epb_renewer_forget has returned, the
 * frames are not sent any more, and after a forget the user is not accessed any more. A
 * caller must therefore not hold a lock that `send` waits for.
 *
 * The thread lives as long as the process, and uses nothing with a shorter life. A forked
 * child has no such thread: adding a keep fails, and all other functions do nothing.
 *
 * Thread safety: the functions may be called from any thread, but those of one user only
 * from one thread at a time.
 */
#ifndef EPB_CLIENT_RENEWER_H
#define EPB_CLIENT_RENEWER_H

#include "renewal_plan.h"

/* Sends frames; none: only flushes frames that wait. Returns the result for these frames
 * and those before. Of the renewer's functions, it may call only epb_renewer_answered. */
typedef enum epb_renewal_plan_sent (*epb_renewer_send_fn)(void *context,
                                                          struct epb_bytes frames);

/* Embedded in the owner of keeps. */
struct epb_renewer_user {
    struct epb_renewal_plan_user plan;
    epb_renewer_send_fn send;
    void *context;
    bool known; /* for its own thread: a keep was added since it was last forgotten */
    bool busy;  /* guarded by the renewer's lock: `send` is being called */
};

void
epb_renewer_user_init(struct epb_renewer_user *user, epb_renewer_send_fn send,
                      void *context);
/* See epb_renewal_plan_add. EPB_INTERNAL: out of memory, the thread cannot be started, or
 * this is a forked child. */
EPB_MUST_USE enum epb_status
epb_renewer_add(struct epb_renewer_user *user, struct epb_bytes frame,
                uint64_t interval_ms, uint64_t *id);
/* The same, but the keep is first due at once. */
EPB_MUST_USE enum epb_status
epb_renewer_add_now(struct epb_renewer_user *user, struct epb_bytes frame,
                    uint64_t interval_ms, uint64_t *id);
/* A reply to a frame with this id has arrived. `ended`: the lease has ended, so the keep
 * is removed. */
void
epb_renewer_answered(uint32_t frame_id, bool ended);
/* Waits until a reply to the keep has arrived or the keep has ended, at most
 * `timeout_ms`.
 */
void
epb_renewer_await(struct epb_renewer_user *user, uint64_t id, uint64_t timeout_ms);
/* Whether the broker has ended, so that no keep of the user can be sent any more. */
bool
epb_renewer_is_dead(struct epb_renewer_user *user);
/* Unknown ids are allowed. Whether the user has other keeps; if not, it is forgotten. */
bool
epb_renewer_remove(struct epb_renewer_user *user, uint64_t id);
/* Removes all keeps of the user. */
void
epb_renewer_forget(struct epb_renewer_user *user);
/* See epb_renewal_plan_ago. */
bool
epb_renewer_ago(struct epb_renewer_user *user, uint64_t id, uint64_t *ago_ms);

#endif
