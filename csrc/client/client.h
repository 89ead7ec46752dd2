/*
 * A client's connection: a channel (wire/channel.h) over a transport.
 *
 * epb_client_exchange sends frames and receives frames; it never blocks. If no reply has
 * arrived, it spins for a few microseconds (spin.h) and yields the CPU each time. After
 * that, the caller waits: it blocks (epb_client_wait), or it arms the client, which needs
 * no thread per client.
 *
 * The stream consists of whole frames in both directions; the caller defines their
 * content.
 *
 * Small exchanges go through a pipe pair (os/pipe_pair.h), large ones through the socket,
 * whose buffers are not limited to a page each. path_plan.h decides when to switch. The
 * client uses internal requests, whose replies are not passed to the caller. Frames sent
 * during a switch wait for the reply, which is the last frame through the old path.
 *
 * All clients of a thread that called epb_client_share for the same broker are one
 * session there. A connection sends the session's key before its first request. The reply
 * to it is not passed to the caller, either.
 *
 * The renewer thread (renewer.h) sends a kept frame again every interval, through a
 * separate connection of the same session (renewal.h). So leases are renewed even while
 * the client's thread is busy. The replies are not passed to the caller. A kept frame
 * ends with the client's connection, or when a reply says that the lease has ended
 * (`lease_lost`, `lease_held`).
 *
 * Leases from epb_client_hold belong to the session and outlive the client (holds.h).
 *
 * Thread safety: a client belongs to one thread; `on_ready` is called from another
 * thread. In a forked child only epb_client_free may be called.
 */
#ifndef EPB_CLIENT_CLIENT_H
#define EPB_CLIENT_CLIENT_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

/* The longest reply that is accepted; the longest that a broker sends is a list of 16
 * MiB. */
#define EPB_CLIENT_FRAME_MAX_BYTES (64U * 1024U * 1024U)
/* The longest frame that can be kept. */
#define EPB_CLIENT_KEPT_MAX_BYTES (64U * 1024U)

struct epb_client;

/* Must not block, and must not call the client. */
typedef void (*epb_client_fn)(void *context);

struct epb_exchange {
    struct epb_bytes out; /* whole frames; may be empty */
    uint8_t *into;        /* NULL: send only, since the caller has more to send first */
    size_t into_bytes;
    uint64_t spin_us; /* CPU time of this thread to spin for (spin.h); 0: no spin */

    size_t received_bytes; /* out: whole frames put into `into` */
    size_t needed_bytes;   /* out: not 0 when the next frame has come but is longer than
                              `into` */
};

/* Copies path and secret (empty: none). NULL: out of memory. */
struct epb_client *
epb_client_new(const char *path, struct epb_bytes secret, epb_client_fn on_ready,
               void *context);
/* Makes the client join the session of this thread, from its next connection on. The
 * broker shows the session as that of the process `pid`; 0: this one. EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_client_share(struct epb_client *client, uint32_t pid);
/* The session's number, once the broker has sent it; 0: unknown, or the broker does not
 * support shared sessions. */
uint64_t
epb_client_session(const struct epb_client *client);
/* Number of other connected clients of this thread in the same session. Calls `visit`
 * with the context of each. `visit` may be NULL, and must not call a client. */
unsigned
epb_client_siblings(const struct epb_client *client, epb_client_fn visit);
/* Closes and frees. NULL is allowed. on_ready is not called after it has returned. */
void
epb_client_free(struct epb_client *client);

/* Connects, or reconnects after a close; sends nothing yet. EPB_BROKER_GONE: *os_error is
 * the reason (oserror.h): UV_EAGAIN when the broker's queue is full, UV_EPERM when the
 * broker belongs to another user. */
EPB_MUST_USE enum epb_status
epb_client_connect(struct epb_client *client, int *os_error);
/* An error means that the connection is closed, and that all frames received before were
 * delivered: EPB_BROKER_GONE, the statuses of a channel that dies, EPB_INTERNAL (out of
 * memory). */
EPB_MUST_USE enum epb_status
epb_client_exchange(struct epb_client *client, struct epb_exchange *exchange);
/* Sends unsent bytes, and blocks until something has arrived or the connection has
 * closed, at most for `timeout_ms`. False: timeout. */
bool
epb_client_wait(struct epb_client *client, uint64_t timeout_ms);
/* Calls on_ready once, when epb_client_exchange has something to do. */
EPB_MUST_USE enum epb_status
epb_client_arm(struct epb_client *client);
/* Bytes that the system has not accepted yet. */
size_t
epb_client_unsent(struct epb_client *client);
/* Whether the broker has proved that it knows the secret; true without a secret. */
bool
epb_client_is_open(struct epb_client *client);
/* The process that listens at the pipe, from the system; 0: unknown, or not connected. */
uint32_t
epb_client_broker_pid(const struct epb_client *client);
bool
epb_client_connected(const struct epb_client *client);
void
epb_client_close(struct epb_client *client);

/* Sends the frame every `interval_ms` (1 or more), first after `interval_ms`, as long as
 * the connection lives. *id is above 0 and never used again in this process.
 * EPB_BROKER_GONE: not connected; EPB_INVALID_REQUEST: not exactly one frame, too long,
 * the interval is 0, or the client shares no session; EPB_INTERNAL: out of memory, or the
 * thread cannot be started. */
EPB_MUST_USE enum epb_status
epb_client_start_renewal(struct epb_client *client, struct epb_bytes frame,
                         uint64_t interval_ms, uint64_t *id);
/* The frame is not sent any more once this has returned. Unknown ids are allowed: the
 * kept frame may have ended with its connection. */
void
epb_client_stop_renewal(struct epb_client *client, uint64_t id);
/* Time since the system last accepted the frame, or since the start of its renewal.
 * False: unknown id. */
bool
epb_client_ms_since_renewal(struct epb_client *client, uint64_t id, uint64_t *ago_ms);
/* Why the client's last renewal failed (see epb_renewal_error); 0 if it did not, and when
 * the client renews nothing. */
int
epb_client_renewal_error(const struct epb_client *client);

/* Lets the thread's session hold a lease that was granted to this client: see
 * epb_holds_add. EPB_BROKER_GONE and EPB_INVALID_REQUEST as above. */
EPB_MUST_USE enum epb_status
epb_client_hold(struct epb_client *client, uint64_t token, uint64_t interval_ms,
                bool is_renewed);
/* Whether the thread's session holds the lease. */
bool
epb_client_holds(const struct epb_client *client, uint64_t token);
/* See epb_holds_drop. */
bool
epb_client_drop(struct epb_client *client, uint64_t token);

#endif
