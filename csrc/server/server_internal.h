/*
 * The state of a server, for its own parts: server.c (life and turns), server_conns.c
 * (connections and their limits), server_timers.c (what time brings), server_log.c
 * (clocks, events and logs). Everybody else includes server.h.
 */
#ifndef EPB_SERVER_SERVER_INTERNAL_H
#define EPB_SERVER_SERVER_INTERNAL_H

#include "boot_timer.h"
#include "conn.h"
#include "contention.h"
#include "endpoint.h"
#include "loop.h"
#include "processes.h"
#include "server.h"
#include "sweeper.h"

/* Warnings that a peer can cause. */
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
    bool draining_asked; /* the owner's side */

    /* From here on: the loop's thread only. */
    struct epb_list all;
    struct epb_list queued;
    struct epb_list serving;  /* those whose turn comes before the next look */
    struct epb_list ending;   /* those queued whose peer has ended */
    struct epb_conn *regular; /* who alone had the last turns; NULL: nobody */
    unsigned regular_turns;   /* how many of them in a row */
    struct epb_contention contention;
    uint64_t slice_ns;        /* the thread's own, while it has a shorter one; else 0 */
    struct epb_list unproven; /* oldest first */
    struct epb_list timed;    /* those with a deadline */
    unsigned unproven_count;
    struct epb_processes processes;
    uint64_t surplus_count; /* connections beyond the limit, which renew */
    size_t held_input;
    size_t held_output;

    struct epb_time now;
    bool now_known; /* since the last look at the sockets */
    uv_timer_t timer;
    bool timer_open;
    struct epb_boot_timer boot_timer; /* beside it: for items, after a suspend */
    uint64_t armed_ms;          /* mono_ms the timer goes off; UINT64_MAX: it doesn't */
    uint64_t timers_checked_ms; /* mono_ms */
    struct epb_sweeper sweeper;
    uint64_t lease_due_ms;    /* mono_ms, as the last sweep knew it */
    uint64_t active_ms;       /* mono_ms of the last sign of use */
    uint64_t heartbeat_at_ms; /* mono_ms */
    uint64_t accept_again_ms; /* mono_ms; UINT64_MAX: accepting */
    uint64_t drain_until_ms;  /* mono_ms; UINT64_MAX: not draining */
    bool drain_quiet;         /* the last look found nothing */
    bool ended;
    bool idle_said;
    bool lock_warned;
    uint64_t lock_check_ms; /* mono_ms of the next look at it */

    bool debug;
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

/* The clocks, read at most once a look at the sockets. */
const struct epb_time *
epb_server_now(struct epb_server *server);
void
epb_server_log(struct epb_server *server, enum epb_server_event event,
               struct epb_bytes json);
void
epb_server_log_started(struct epb_server *server);
/* A warning that a peer can cause as often as it likes. */
void
epb_server_warn(struct epb_server *server, enum epb_server_limited kind,
                const char *event, const char *reason);
/* Says once that memory could not be locked. */
void
epb_server_check_lock(struct epb_server *server, uint64_t now_ms);
void
epb_server_on_session_event(void *context, const struct epb_session_event *event);

/* server_conns.c */

/* A connection asks for a turn. */
void
epb_server_on_ready(void *context, struct epb_conn *conn);
/* Its session has something to tell the peer (epb_session_config). */
void
epb_server_on_wake(void *context, void *owner);
/* Somebody may be there to accept. */
void
epb_server_on_connection(void *context);
/* For the connections (epb_conn_owner): of a crowd that all send at once each reads
 * before the first has its turn, and what they read is counted as they do. */
bool
epb_server_may_take(const void *context);
void
epb_server_on_input_held(void *context, struct epb_conn *conn);
/* Keeps the totals and the lists of a connection in step with what it holds. */
void
epb_server_account(struct epb_server *server, struct epb_conn *conn);
/* Closes. Others may be woken by what it held. */
void
epb_server_drop(struct epb_server *server, struct epb_conn *conn);
/* After each turn of a connection. Closes some, that one perhaps. */
void
epb_server_enforce_totals(struct epb_server *server);
/* Lets requests and handshakes that took too long go; returns when the next one is due.
 */
uint64_t
epb_server_expire_conns(struct epb_server *server, uint64_t now_ms);
/* Accepts again when it is time to; returns when it will be. */
uint64_t
epb_server_check_accepting(struct epb_server *server, uint64_t now_ms);

/* server_timers.c */

/* Does what is due and arms the timer for the rest. False: something is due again at
 * once. Connections may be queued by it. */
bool
epb_server_check_timers(struct epb_server *server);

#endif
