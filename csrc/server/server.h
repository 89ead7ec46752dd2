/*
 * A broker: one engine, one endpoint, their connections, and the thread that serves them.
 *
 * Work is done in turns (loop.h). A turn takes the connections that have something to do,
 * one after the other, at most EPB_CONN_TURN_FRAMES requests or EPB_CONN_TURN_BYTES each;
 * who has more queues again behind the rest. Those whose peers have ended queue apart,
 * and a turn gives them a bounded time: however many end at once, with whatever they held
 * and waited for, the others are served in between. The clocks are read once a turn.
 *
 * Somebody's release, death or expiry may be what others wait for: their connections are
 * queued at once, and the thread never sleeps while one is.
 *
 * One timer wakes the thread for what is due next: the end of a lease or of a wait, to
 * the millisecond; expired items (not sooner than EPB_SWEEP_REST_MS after the last sweep,
 * at the latest after the sweeper's interval), handshakes and partial requests that took
 * too long, the heartbeat, the end of an idle broker. When nothing is due, nothing wakes
 * it. That timer stands still while the machine is suspended: on Linux another one
 * (boot_timer.h) has what expired meanwhile swept at once when the machine is resumed;
 * elsewhere that comes with the next wake-up, after the sweeper's interval at the latest.
 *
 * Limits, whatever peers do: connections (the option; those beyond get one refusal),
 * EPB_UNPROVEN_MAX sessions that have not shown the secret yet (the oldest goes
 * once it has had its time; newcomers wait until then),
 * EPB_HELD_INPUT_BYTES of incomplete requests and EPB_HELD_OUTPUT_BYTES of unread replies
 * over all connections (the largest goes). That is looked at after each turn of one, and
 * while there is too much input nobody is read from: together they never hold more than
 * that and what one of them takes at once. Without descriptors to accept with, the others
 * are served and accepting is tried again.
 *
 * Thread safety: a server belongs to the thread that started it; events come from its own
 * thread. In a forked child every function returns at once, having done nothing.
 */
#ifndef EPB_SERVER_SERVER_H
#define EPB_SERVER_SERVER_H

#include "../base/bytes.h"
#include "../base/status.h"
#include "../core/options.h"

#define EPB_UNPROVEN_MAX 64U
/* How long each of them has at least, however many come. */
#define EPB_UNPROVEN_REST_MS 1000U
#define EPB_HELD_INPUT_BYTES (32U * 1024U * 1024U)
#define EPB_HELD_OUTPUT_BYTES (64U * 1024U * 1024U)
/* How often accepting is tried again without descriptors. */
#define EPB_ACCEPT_REST_MS 100U

enum epb_server_event {
    EPB_SERVER_LOG,       /* a JSON object for a person */
    EPB_SERVER_HEARTBEAT, /* the statistics, as JSON */
    EPB_SERVER_IDLE,      /* no request for idle_timeout_ms, nothing held, nobody waits;
                             once */
    EPB_SERVER_STOPPED    /* after epb_server_drain: it has ended; the last event */
};

/* `json` is not NUL-terminated, and valid during the call only. */
typedef void (*epb_server_event_fn)(void *context, enum epb_server_event event,
                                    struct epb_bytes json);

struct epb_server_options {
    struct epb_options engine;
    struct epb_bytes secret; /* empty: none; copied to locked memory */
    const char *path;        /* NULL: see endpoint.h */
    const char *pipe_id;     /* NULL: random */
    bool legacy_hmac;
    bool debug;               /* log every request */
    uint64_t idle_timeout_ms; /* 0: never idle */
    uint64_t heartbeat_ms;    /* 0: none */
    epb_server_event_fn on_event;
    void *event_context;
};

struct epb_server;

/* Listens when it returns EPB_OK. EPB_BROKER_GONE: the system refused, *os_error says why
 * (a libuv code, see oserror.h); EPB_INTERNAL: out of memory, or memory can't be locked
 * though required.
 */
EPB_MUST_USE enum epb_status
epb_server_start(const struct epb_server_options *options, struct epb_server **out,
                 int *os_error);
/* Lives as long as the server. */
const char *
epb_server_path(const struct epb_server *server);
/* Accepts nobody new, refuses new work and those who wait, answers what has arrived, for
 * at most `drain_ms`; then wipes, removes the socket, ends its thread and says
 * EPB_SERVER_STOPPED. epb_server_stop still has to be called. */
void
epb_server_drain(struct epb_server *server, uint64_t drain_ms);
/* Wipes, removes the socket, ends the thread at once, and frees. NULL is allowed. */
void
epb_server_stop(struct epb_server *server);

#endif
