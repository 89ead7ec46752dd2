/*
 * A broker: one engine, one endpoint, their connections, and the thread that serves them.
 *
 * The thread works in turns (loop.h). A turn serves the connections that have something
 * to do, one after the other, each for at most EPB_CONN_TURN_FRAMES requests or
 * EPB_CONN_TURN_BYTES. A connection with more work is queued again behind the others.
 * Connections whose peers have left are queued separately, and each turn spends a bounded
 * time on them: however many leave at once, with whatever they held or waited for, the
 * other connections are served in between. The clocks are read once a turn.
 *
 * A release, a death or an expiry may be what other clients wait for. Their connections
 * are queued at once, and the thread never sleeps while a connection is queued.
 *
 * One timer wakes the thread for the next due event: the end of a lease or a wait, to the
 * millisecond; expired items (no sooner than EPB_SWEEP_REST_MS after the last sweep, and
 * at the latest after the sweeper's interval); handshakes and partial requests that took
 * too long; the heartbeat; the end of an idle broker. When nothing is due, nothing wakes
 * the thread. That timer stops while the machine is suspended. On Linux a second timer
 * (boot_timer.h) causes a sweep as soon as the machine resumes. On other systems the
 * sweep comes with the next wake-up, after the sweeper's interval at the latest.
 *
 * Limits that hold whatever peers do:
 *
 * - connections: the option. A connection beyond it gets one refusal.
 * - EPB_UNPROVEN_MAX sessions that have not proved the secret yet. The oldest is closed
 *   once it has had EPB_UNPROVEN_REST_MS; new connections wait until then.
 * - EPB_HELD_INPUT_BYTES of incomplete requests and EPB_HELD_OUTPUT_BYTES of unread
 *   replies over all connections. Beyond that, the connection that holds most is closed.
 *   This is checked after each turn of a connection, and while there is too much input no
 *   connection is read, so the total never exceeds the limit by more than one connection
 *   takes at once.
 *
 * When descriptors run out, existing connections are served and accepting is retried.
 *
 * Thread safety: a server belongs to the thread that started it; events come from the
 * server's own thread. In a forked child every function returns at once without effect.
 */
#ifndef EPB_SERVER_SERVER_H
#define EPB_SERVER_SERVER_H

#include "../base/bytes.h"
#include "../base/status.h"
#include "../core/options.h"

#define EPB_UNPROVEN_MAX 64U
/* The time that each of them gets at least, however many arrive. */
#define EPB_UNPROVEN_REST_MS 1000U
#define EPB_HELD_INPUT_BYTES (32U * 1024U * 1024U)
#define EPB_HELD_OUTPUT_BYTES (64U * 1024U * 1024U)
/* The pause before accepting is retried when descriptors are out. */
#define EPB_ACCEPT_REST_MS 100U

enum epb_server_event {
    EPB_SERVER_LOG,       /* a JSON object for a person */
    EPB_SERVER_HEARTBEAT, /* the statistics, as JSON */
    EPB_SERVER_IDLE,      /* no request for idle_timeout_ms, nothing held or waiting;
                           * once */
    EPB_SERVER_STOPPED    /* after epb_server_drain: it has ended; the last event */
};

/* `json` is not NUL-terminated and valid only during the call. */
typedef void (*epb_server_event_fn)(void *context, enum epb_server_event event,
                                    struct epb_bytes json);

struct epb_server_options {
    struct epb_options engine;
    struct epb_bytes secret; /* empty: no secret; copied to locked memory */
    const char *path;        /* NULL: see endpoint.h */
    const char *pipe_id;     /* NULL: random */
    bool legacy_hmac;
    bool debug;               /* log every request */
    bool sandbox;             /* confine the engine's thread (os/sandbox.h) */
    uint64_t idle_timeout_ms; /* 0: never idle */
    uint64_t heartbeat_ms;    /* 0: none */
    epb_server_event_fn on_event;
    void *event_context;
};

struct epb_server;

/* On EPB_OK the broker listens. EPB_BROKER_GONE: the system refused; *os_error is the
 * reason (a libuv code, see oserror.h). EPB_INTERNAL: out of memory, or memory can't be
 * locked although locking is required. */
EPB_MUST_USE enum epb_status
epb_server_start(const struct epb_server_options *options, struct epb_server **out,
                 int *os_error);
/* Valid as long as the server. */
const char *
epb_server_path(const struct epb_server *server);
/* Stops accepting, refuses new work and waiting requests, and answers requests that have
 * arrived, for at most `drain_ms`. Then wipes, removes the socket, ends the thread and
 * emits EPB_SERVER_STOPPED. epb_server_stop still has to be called. */
void
epb_server_drain(struct epb_server *server, uint64_t drain_ms);
/* Wipes, removes the socket, ends the thread at once, and frees. NULL is allowed. */
void
epb_server_stop(struct epb_server *server);

#endif
