/*
 * Renewal from native code: frames that leave again and again, whatever the thread that
 * asked for them is doing (renewal.h is how).
 *
 * One thread for the whole process serves all clients by one plan (renewal_plan.h). It
 * starts with the first keep, and sleeps until the next one is due; without any it sleeps
 * for good. Each turn hands the due frames of one client to its `send`, on the keeper's
 * thread, with no lock of the keeper held: a client that is busy delays the others, but
 * blocks nobody's calls.
 *
 * Removal is synchronous: once epb_renewer_remove or epb_renewer_forget has returned, the
 * frames concerned are handed out no more, and after a forget the client is not touched
 * any more. A caller must therefore not hold what `send` waits for.
 *
 * The thread lives as long as the process, and uses nothing that ends before it. In a
 * forked child, which has no such thread, nothing can be kept, and all else does nothing.
 *
 * Thread safety: the functions may be called from any thread; those of one user from one
 * thread at a time.
 */
#ifndef EPB_CLIENT_RENEWER_H
#define EPB_CLIENT_RENEWER_H

#include "renewal_plan.h"

/* Hands over frames, none when only what waits is to be moved on, and tells what became
 * of them and of those before. Must call nothing of the keeper but epb_renewer_answered.
 */
typedef enum epb_renewal_plan_sent (*epb_renewer_send_fn)(void *context,
                                                          struct epb_bytes frames);

/* Embedded in who has keeps. */
struct epb_renewer_user {
    struct epb_renewal_plan_user plan;
    epb_renewer_send_fn send;
    void *context;
    bool known; /* its own thread's: it has asked for a keep since it was forgotten */
    bool busy;  /* under the keeper's lock: `send` is being called */
};

void
epb_renewer_user_init(struct epb_renewer_user *user, epb_renewer_send_fn send,
                      void *context);
/* EPB_INTERNAL: memory is out, there can be no thread, or this is a forked child. */
EPB_MUST_USE enum epb_status
epb_renewer_add(struct epb_renewer_user *user, struct epb_bytes frame,
                uint64_t interval_ms, uint64_t *id);
/* The same, but it is first due at once. */
EPB_MUST_USE enum epb_status
epb_renewer_add_now(struct epb_renewer_user *user, struct epb_bytes frame,
                    uint64_t interval_ms, uint64_t *id);
/* An answer has come to a frame with this id. `ended`: what it keeps has ended, and so
 * has the keep. */
void
epb_renewer_answered(uint32_t frame_id, bool ended);
/* Waits until an answer to the keep has come, or the keep has ended, or for `timeout_ms`.
 */
void
epb_renewer_await(struct epb_renewer_user *user, uint64_t id, uint64_t timeout_ms);
/* Nothing that was kept can be sent any more: the broker has ended. */
bool
epb_renewer_is_dead(struct epb_renewer_user *user);
/* An id that the user does not have is no fault. Whether it has others; if not, it is
 * forgotten. */
bool
epb_renewer_remove(struct epb_renewer_user *user, uint64_t id);
/* All of the user's. */
void
epb_renewer_forget(struct epb_renewer_user *user);
/* See epb_renewal_plan_ago. */
bool
epb_renewer_ago(struct epb_renewer_user *user, uint64_t id, uint64_t *ago_ms);

#endif
