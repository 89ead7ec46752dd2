/*
 * The connections that send renewals. The renewer thread (renewer.h) has one connection
 * for each session at each broker for which this process keeps frames, apart from the
 * clients' own connections. So a renewal does not depend on a JavaScript thread: not on a
 * handshake, a switch to a pipe pair, a partly sent request, or unread replies.
 *
 * A connection is made when a frame is first due, and closed when its last user has
 * dropped its frames. It joins the session (PROTOCOL.md), which gives it the right to
 * renew. It takes over only leases that it was told to take (holds.h).
 *
 * A connection counts as open once the broker has replied to a first request, so that a
 * refusal cannot lose renewals. Its first frame is a join without a reply: a broker at
 * its connection limit recognizes it and accepts the connection all the same. The replies
 * to renewals report ended leases to the renewer (epb_renewer_answered).
 *
 * Nothing here blocks for longer than some milliseconds, once per connection and once per
 * batch. A broker that does not reply is checked again with each batch. A broker that
 * refuses (for example, it is out of descriptors) is retried after increasing pauses:
 * renewals are then late, and a lease that ends because of it is lost, which its client
 * learns. If the broker has ended, there is nothing to renew.
 *
 * Thread safety: epb_renewal_send is for the renewer thread. The other functions are for
 * the client's thread, and all but epb_renewal_error only while the renewer does not call
 * epb_renewal_send for that client.
 */
#ifndef EPB_CLIENT_RENEWAL_H
#define EPB_CLIENT_RENEWAL_H

#include "../base/bytes.h"
#include "renewal_plan.h"
#include "session_key.h"

struct epb_renewal_link;

/* A user of a renewal connection. Initially all zero except the borrowed members. */
struct epb_renewal {
    const char *path; /* these three are borrowed from the user */
    struct epb_bytes secret;
    const uint8_t *key;            /* EPB_SESSION_KEY_BYTES */
    struct epb_renewal_link *link; /* NULL: the user has no frames */
    uint64_t connection;           /* number of the connection that got the last frames */
    uint64_t mark; /* that connection's sent_bytes when all of them have left */
};

/* Gets a connection before the client's first kept frame. EPB_INTERNAL: out of memory. */
EPB_MUST_USE enum epb_status
epb_renewal_hold(struct epb_renewal *renewal);
/* See epb_renewer_send_fn. Requires epb_renewal_hold. */
enum epb_renewal_plan_sent
epb_renewal_send(struct epb_renewal *renewal, struct epb_bytes frames);
/* Why the last renewal failed, as a libuv error code: that of connecting, UV_ETIMEDOUT
 * (the broker does not reply), UV_ECONNRESET (it closed the connection) or UV_ENOMEM. 0:
 * it did not fail, there was none yet, or the user has no connection. */
int
epb_renewal_error(const struct epb_renewal *renewal);
/* The client has no kept frames any more. */
void
epb_renewal_let_go(struct epb_renewal *renewal);

#endif
