/*
 * A client's connection: a channel (wire/channel.h) over a transport.
 *
 * One call, epb_client_exchange, sends what there is to send and takes what has come; it
 * never blocks. A reply that has not come yet is looked for again for a few microseconds
 * (spin.h), giving way to others, before the caller has to wait. To wait, a caller blocks
 * (epb_client_wait) or arms the client, which costs no thread of its own.
 *
 * The stream in both directions is whole frames; what is in them is the caller's.
 *
 * Small exchanges are faster through pipes (os/pipe_pair.h), large ones through a socket,
 * whose memory isn't a page at a time. After EPB_CLIENT_SMALL_IN_ROW of the former in a
 * row a client asks for pipes, and goes over to them when they have come; after
 * EPB_CLIENT_LARGE_IN_ROW of the latter it goes back, and so on. It does that by requests
 * of its own, whose replies nobody sees. What is to be sent while it changes its way
 * waits for the reply, the last that comes by the old one.
 *
 * All clients of a thread that have the same broker are one session there, when they were
 * told to be (epb_client_share): the first thing that a connection sends, with the first
 * request, is the key of the session. Its reply is not passed on, either.
 *
 * A kept frame is sent again every interval by the keeper's thread (renewer.h), by a
 * connection that has nothing to do with this one but the session (renewal.h): this is
 * how leases are renewed, whatever the client's own thread is busy with. The client's
 * caller hears nothing of the replies. It ends with the client's connection, and where
 * the reply is that the lease has ended (`lease_lost`, `lease_held`).
 *
 * What a client holds is the session's, and outlives the client (holds.h).
 *
 * Thread safety: a client belongs to one thread; `on_ready` comes from another. In a
 * forked child only epb_client_free may be called.
 */
#ifndef EPB_CLIENT_CLIENT_H
#define EPB_CLIENT_CLIENT_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

/* No reply is longer; the longest that a broker makes is a list of 16 MiB. */
#define EPB_CLIENT_FRAME_MAX_BYTES (64U * 1024U * 1024U)
/* The longest frame that can be kept. */
#define EPB_CLIENT_KEPT_MAX_BYTES (64U * 1024U)

/* An exchange is large when what it sends, and what comes until the next, is more. */
#define EPB_CLIENT_LARGE_BYTES 16384U
#define EPB_CLIENT_SMALL_IN_ROW 64U
#define EPB_CLIENT_LARGE_IN_ROW 8U

struct epb_client;

/* Must not block, and must not call the client. */
typedef void (*epb_client_fn)(void *context);

struct epb_exchange {
    struct epb_bytes out; /* whole frames; may be empty */
    uint8_t *into;        /* NULL: nothing is read, there is more to send first */
    size_t into_bytes;
    uint64_t spin_us; /* of this thread's own time (spin.h); 0: no second look */

    size_t received_bytes; /* out: whole frames put into `into` */
    size_t needed_bytes;   /* out: not 0 when the next frame has come but is longer than
                              `into` */
};

/* Copies path and secret (empty: none). NULL when memory is out. */
struct epb_client *
epb_client_new(const char *path, struct epb_bytes secret, epb_client_fn on_ready,
               void *context);
/* It is of the session of this thread from its next connection on. EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_client_share(struct epb_client *client);
/* The session's number at the broker, from when that has told it; 0: unknown, as to a
 * broker that knows of no shared ones. */
uint64_t
epb_client_session(const struct epb_client *client);
/* How many others of this thread share that session and are connected; each is visited
 * with the context that it was made with. `visit` may be NULL, and must not call a
 * client. */
unsigned
epb_client_siblings(const struct epb_client *client, epb_client_fn visit);
/* Closes. NULL is allowed. No on_ready comes after it has returned. */
void
epb_client_free(struct epb_client *client);

/* Connects, or connects again after a close; nothing is sent yet. EPB_BROKER_GONE:
 * *os_error says why (oserror.h): UV_EAGAIN when the broker's queue is full, UV_EPERM
 * when it belongs to another user. */
EPB_MUST_USE enum epb_status
epb_client_connect(struct epb_client *client, int *os_error);
/* An error means that the connection is closed, and that frames which came before it have
 * been delivered: EPB_BROKER_GONE, the statuses of a channel that dies, EPB_INTERNAL (out
 * of memory). */
EPB_MUST_USE enum epb_status
epb_client_exchange(struct epb_client *client, struct epb_exchange *exchange);
/* Blocks, sending what waits to be sent, until something has come or the connection has
 * closed, or for `timeout_ms`. Whether it did before the timeout. */
bool
epb_client_wait(struct epb_client *client, uint64_t timeout_ms);
/* on_ready will be called once, when epb_client_exchange has something to do. */
EPB_MUST_USE enum epb_status
epb_client_arm(struct epb_client *client);
/* Bytes that the system has not taken yet. */
size_t
epb_client_unsent(struct epb_client *client);
/* The broker has proved itself; without a secret there is nothing to prove. */
bool
epb_client_is_open(struct epb_client *client);
bool
epb_client_connected(const struct epb_client *client);
void
epb_client_close(struct epb_client *client);

/* Sends the frame every `interval_ms` (1 or more), first in so many ms, as long as the
 * connection lives. *id is above 0, and no other keep of this process ever has it.
 * EPB_BROKER_GONE: not connected; EPB_INVALID_REQUEST: it is not one whole frame, too
 * long, the interval is 0, or the client shares no session; EPB_INTERNAL: out of memory,
 * or there can be no thread. */
EPB_MUST_USE enum epb_status
epb_client_start_renewal(struct epb_client *client, struct epb_bytes frame,
                         uint64_t interval_ms, uint64_t *id);
/* Once it has returned the frame is not sent any more. Unknown ids are no fault: a keep
 * may have ended with its connection. */
void
epb_client_stop_renewal(struct epb_client *client, uint64_t id);
/* How long ago the system took the frame, or it was kept. False: there is no such keep.
 */
bool
epb_client_ms_since_renewal(struct epb_client *client, uint64_t id, uint64_t *ago_ms);

/* The thread's session holds a lease that this client was granted: see epb_holds_add.
 * EPB_BROKER_GONE and EPB_INVALID_REQUEST as above. */
EPB_MUST_USE enum epb_status
epb_client_hold(struct epb_client *client, uint64_t token, uint64_t interval_ms,
                bool is_renewed);
/* Whether it does. */
bool
epb_client_holds(const struct epb_client *client, uint64_t token);
/* See epb_holds_drop. */
bool
epb_client_drop(struct epb_client *client, uint64_t token);

#endif
