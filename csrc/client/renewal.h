/*
 * The connections that renew: the keeper's thread (renewer.h) has one for each
 * session at each broker in whose name this process keeps anything, whatever the clients
 * of that broker and their threads are doing. So a renewal depends on nothing that a
 * thread of JavaScript has to do: not on a handshake, a change to pipes, a request that
 * is half sent, or replies that are not read.
 *
 * A connection is made when something is first due, and closed when the last that keeps
 * something there lets go of it. It joins the session (PROTOCOL.md), which gives it the
 * right to renew. It has taken only what it was told to take (holds.h).
 *
 * A connection is open once the broker has answered a first request, so that what leaves
 * by it is not lost in a refusal. Its very first words are that it joins, and wants no
 * reply: by that a broker that has as many connections as it may knows it, and takes it
 * all the same. The answers to a beat tell the keeper what has ended
 * (epb_renewer_answered). Nothing here blocks for longer than some milliseconds, once a
 * connection and once a beat; a broker that does not answer is looked at again and again.
 * One that refuses (it has no descriptor left, say) is tried again after growing pauses:
 * what is due there is late, and a lease that ends for that is lost, as its client
 * learns. Where there is no broker any more, there is nothing to keep.
 *
 * Thread safety: epb_renewal_send is for the keeper's thread; the others are for the
 * client's, at a time when the keeper does not call for that client.
 */
#ifndef EPB_CLIENT_RENEWAL_H
#define EPB_CLIENT_RENEWAL_H

#include "../base/bytes.h"
#include "renewal_plan.h"
#include "session_key.h"

struct epb_renewal_link;

/* Of one that keeps something; all zero but for what is set: nothing has been sent. */
struct epb_renewal {
    const char *path; /* these three are borrowed from it */
    struct epb_bytes secret;
    const uint8_t *key;            /* of EPB_SESSION_KEY_BYTES */
    struct epb_renewal_link *link; /* NULL: it keeps nothing */
    uint64_t connection; /* of the link: the one that the last frames were given to */
    uint64_t mark;       /* how much that has sent when they have left */
};

/* This client is about to keep something. EPB_INTERNAL: memory is out. */
EPB_MUST_USE enum epb_status
epb_renewal_hold(struct epb_renewal *renewal);
/* See epb_renewer_send_fn; it is held. */
enum epb_renewal_plan_sent
epb_renewal_send(struct epb_renewal *renewal, struct epb_bytes frames);
/* Nothing of this client is kept any more. */
void
epb_renewal_let_go(struct epb_renewal *renewal);

#endif
