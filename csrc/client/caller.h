/*
 * A blocking client, for programs without an event loop: the commands of the shell, and
 * the process that holds a lock for a command.
 *
 * epb_caller_ask sends a request and waits for its reply. Several requests can also be in
 * flight: epb_caller_send, then epb_caller_next for each reply, in any order. Ids are
 * unique within a connection.
 *
 * A caller connects at most once. Before the broker has proved that it knows the secret,
 * failures that may pass are retried: a pipe that is missing or refuses for
 * EPB_CALLER_MISSING_MS, others for the whole time limit. No request leaves before that.
 * After that, a lost connection ends the caller: the broker has released its leases.
 *
 * Two kinds of failure: a status other than EPB_OK means that there was no conversation
 * (epb_caller_explain has the sentence); the status in a reply is the broker's answer.
 *
 * Thread safety: a caller belongs to one thread; on_ready is called on another. In a
 * forked child only epb_caller_free may be called.
 */
#ifndef EPB_CLIENT_CALLER_H
#define EPB_CLIENT_CALLER_H

#include <stdbool.h>

#include "../base/buf.h"
#include "../core/msg.h"
#include "client.h"

/* A broker that starts next to its client is there within this time. */
#define EPB_CALLER_MISSING_MS 20U
/* No time limit, for epb_caller_next. */
#define EPB_CALLER_FOREVER_MS UINT64_MAX

struct epb_caller;

/* A message that was not asked for: its id is 0 (msg.h). It is valid during the call,
 * which must not use the caller. */
typedef void (*epb_caller_event_fn)(void *context, const struct epb_reply *event);

struct epb_caller_options {
    const char *path;
    struct epb_bytes secret;     /* empty: none */
    uint64_t timeout_ms;         /* for a reply, in addition to the wait of the request */
    uint64_t connect_timeout_ms; /* until the broker has proved the secret */
    bool shares_session;         /* needed to renew leases (epb_client_start_renewal) */
    uint32_t session_pid;        /* the process that `leases` shows; 0: this one */
    epb_caller_event_fn on_event; /* NULL: events are dropped */
    epb_client_fn on_ready;       /* see epb_client_arm; may be NULL without it */
    void *context;
};

/* Copies the options. EPB_INTERNAL: out of memory. */
EPB_MUST_USE enum epb_status
epb_caller_new(const struct epb_caller_options *options, struct epb_caller **out);
/* Closes the connection, which ends its leases. NULL is allowed. */
void
epb_caller_free(struct epb_caller *caller);

/* Connects and waits until requests can be sent; does nothing if it has. Errors as for
 * epb_client_connect and epb_client_exchange, and EPB_BROKER_GONE after the time limit.
 */
EPB_MUST_USE enum epb_status
epb_caller_connect(struct epb_caller *caller);
/* Connects if necessary. Ignores the id of the request. *reply borrows from the caller
 * until its next call. Errors as for epb_caller_connect; EPB_TIMEOUT: the request may
 * still be carried out; EPB_TOO_LARGE: the request is too large for a frame. */
EPB_MUST_USE enum epb_status
epb_caller_ask(struct epb_caller *caller, const struct epb_request *request,
               struct epb_reply *reply);

/* Sends, connecting if necessary, and does not wait. *id is above 0. Errors as for ask.
 */
EPB_MUST_USE enum epb_status
epb_caller_send(struct epb_caller *caller, const struct epb_request *request,
                uint32_t *id);
/* Waits for the next reply, for at most `timeout_ms`. EPB_TIMEOUT: none has arrived.
 * Emits the events before it. With a timeout of 0 it never blocks. */
EPB_MUST_USE enum epb_status
epb_caller_next(struct epb_caller *caller, uint64_t timeout_ms, struct epb_reply *reply);
/* Calls on_ready once when epb_caller_next has something to do; false: now. */
EPB_MUST_USE enum epb_status
epb_caller_arm(struct epb_caller *caller, bool *armed);

/* For renewals and sessions. Not for its connection. */
struct epb_client *
epb_caller_client(struct epb_caller *caller);

/* Appends one sentence about a failed connect, ask, send or next, which says what to do
 * where that is known. EPB_INTERNAL, EPB_TOO_LARGE. */
EPB_MUST_USE enum epb_status
epb_caller_explain(const struct epb_caller *caller, enum epb_status failure,
                   struct epb_buf *out);

#endif
