/*
 * The state of a server, for its parts: server.c (life and turns), server_conns.c
 * (connections and their limits), server_timers.c (timed work), server_log.c (clocks,
 * events and logs). Other files include server.h.
 */
#ifndef EPB_SERVER_SERVER_INTERNAL_H
#define EPB_SERVER_SERVER_INTERNAL_H

#include "../os/sandbox.h"
#include "boot_timer.h"
#include "conn.h"
#include "contention.h"
#include "endpoint.h"
#include "loop.h"
#include "processes.h"
#include "server.h"
#include "sweeper.h"

/* Warnings that a peer can cause; their rate is limited. */
enum epb_server_limited {
    EPB_LIMITED_REFUSED,
    EPB_LIMITED_AUTH,
    EPB_LIMITED_DROPPED,
    EPB_LIMITED_ACCEPT,
    EPB_LIMITED_COUNT
};

struct epb_server {
    struct epb_loop loop;
    struct epb_engine *engine;
    struct epb_endpoint *endpoint;
    struct epb_conn_owner conns;
    struct epb_traffic *traffic; /* the engine's */
    uint8_t *secret;
    size_t secret_bytes;
    char *path;
    uint32_t pid;
    bool draining_asked; /* used by the owner's thread */

    /* From here on: the loop's thread only. */
    struct epb_list all;
    struct epb_list queued;
    struct epb_list serving;   /* served before the sockets are polled again */
    struct epb_list ending;    /* queued, and the peer has left */
    struct epb_conn *hot_conn; /* had the last turns alone; NULL: no connection */
    unsigned hot_turns;        /* how many turns in a row */
    struct epb_contention contention;
    uint64_t slice_ns;        /* the usual time slice, while it is shortened; else 0 */
    struct epb_list unproven; /* oldest first */
    struct epb_list timed;    /* connections with a deadline */
    unsigned unproven_count;
    struct epb_processes processes;
    uint64_t surplus_count; /* connections beyond the limit, which renew */
    size_t held_input;
    size_t held_output;

    struct epb_time now;
    bool now_known;       /* since the sockets were last polled */
    uv_pipe_t first_pipe; /* closed at once: libuv opens a descriptor for the first one */
    uv_timer_t timer;
    bool timer_open;
    struct epb_boot_timer boot_timer; /* in addition: for items, after a suspend */
    uint64_t armed_ms;          /* mono_ms when the timer fires; UINT64_MAX: never */
    uint64_t timers_checked_ms; /* mono_ms */
    struct epb_sweeper sweeper;
    uint64_t lease_due_ms;    /* mono_ms, from the last sweep */
    uint64_t active_ms;       /* mono_ms of the last sign of use */
    uint64_t heartbeat_at_ms; /* mono_ms */
    uint64_t accept_again_ms; /* mono_ms; UINT64_MAX: accepting */
    uint64_t drain_until_ms;  /* mono_ms; UINT64_MAX: not draining */
    bool drain_quiet;         /* the last poll found nothing */
    bool ended;
    bool idle_said;
    bool lock_warned;
    uint64_t lock_check_ms; /* mono_ms of the next check */

    bool debug;
    bool sandbox;
    bool may_shorten_slice; /* the thread needn't share one processor with all clients */
    uint64_t idle_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t sweeper_interval_ms;
    uint64_t max_connections;
    epb_server_event_fn on_event;
    void *event_context;
    uint64_t limited_until_ms[EPB_LIMITED_COUNT];
    uint64_t suppressed[EPB_LIMITED_COUNT];
    struct epb_task stop_task;
    struct epb_task drain_task;
    uint64_t drain_ms;
};

/* server_log.c */

/* The clocks, read at most once per poll of the sockets. */
const struct epb_time *
epb_server_now(struct epb_server *server);
void
epb_server_log(struct epb_server *server, enum epb_server_event event,
               struct epb_bytes json);
void
epb_server_log_started(struct epb_server *server);
void
epb_server_log_sandbox(struct epb_server *server, const struct epb_sandbox_parts *parts);
/* A warning that a peer can cause at any rate: limits the rate. */
void
epb_server_warn(struct epb_server *server, enum epb_server_limited kind,
                const char *event, const char *reason);
/* Logs once that memory could not be locked. */
void
epb_server_check_lock(struct epb_server *server, uint64_t now_ms);
void
epb_server_on_session_event(void *context, const struct epb_session_event *event);

/* server_conns.c */

/* A connection asks for a turn. */
void
epb_server_on_ready(void *context, struct epb_conn *conn);
/* The connection's session has something for its peer (epb_session_config). */
void
epb_server_on_wake(void *context, void *owner);
/* A connection may be there to accept. */
void
epb_server_on_connection(void *context);
/* For the connections (epb_conn_owner). When many peers send at once, all their
 * connections read before the first has its turn, so input is counted as it is read. */
bool
epb_server_may_take(const void *context);
void
epb_server_on_input_held(void *context, struct epb_conn *conn);
/* Updates the totals and lists for what a connection holds. */
void
epb_server_account(struct epb_server *server, struct epb_conn *conn);
/* Closes a connection. Releasing what it held may wake others. */
void
epb_server_drop(struct epb_server *server, struct epb_conn *conn);
/* Call after each turn of a connection. May close connections, including that one. */
void
epb_server_enforce_totals(struct epb_server *server);
/* Closes connections whose requests or handshakes took too long. Returns when the next
 * one is due. */
uint64_t
epb_server_expire_conns(struct epb_server *server, uint64_t now_ms);
/* Resumes accepting when it is time to; returns when that will be. */
uint64_t
epb_server_check_accepting(struct epb_server *server, uint64_t now_ms);

/* server_timers.c */

/* Does what is due and arms the timer for the rest. May queue connections. False: more is
 * due at once. */
bool
epb_server_check_timers(struct epb_server *server);

#endif
