/*
 * One accepted connection: a libuv pipe on one side, a session on the other.
 *
 * libuv's callbacks only move bytes, note what happened, and ask for a turn by `ready`.
 * All decisions are made in epb_conn_turn: it processes the input, writes the output, and
 * returns whether there is more to do or whether the connection is done.
 *
 * A turn is short, so a flood delays other connections only briefly. But polling all
 * sockets, plus a system call for every few replies, costs a lone pipelining client more
 * than its requests do. So while no other connection waits for a turn, a connection takes
 * several turns in a row and writes once. The number of turns starts at one and doubles
 * each time. The first replies leave at once, and the peer is busy with them while the
 * next are made.
 *
 * Output goes to the socket at once (uv_try_write). The bytes that don't fit are moved to
 * `unsent`, and libuv writes them. When more than EPB_CONN_UNSENT_BYTES wait for the
 * peer, its requests are neither read nor served until it has read replies.
 *
 * A peer may ask for a pipe pair (os/pipe_pair.h). If fewer than EPB_CONN_PIPED_MAX
 * connections have one and nothing else waits to be written, the broker makes a pair and
 * passes the peer's ends with the reply. If it can't, the reply comes without them. A
 * peer that received its ends sends a request to change to the pipes. The reply to that
 * request is the last frame on the socket in either direction; all that follows goes
 * through the pipes. From then on the socket is only watched for its end, which means
 * that the peer's process has ended: bytes left in the pipe are processed first. In the
 * same way a peer changes back to the socket, and to the pipes again.
 *
 * A peer may end its input and still wait for a reply (`nc` with a line of JSON). Such a
 * peer is checked before it is given anything: if it has left meanwhile, another client
 * must get what it waited for.
 *
 * A peer that passes descriptors (rights.h) has broken the protocol.
 *
 * When the broker closes a connection, it shuts down its sending side and keeps reading
 * for a moment: closing with unread input would destroy the last reply on its way to the
 * peer.
 */
#ifndef EPB_SERVER_CONN_H
#define EPB_SERVER_CONN_H

#include <stdbool.h>

#include <uv.h>

#include "../base/buf.h"
#include "../base/list.h"
#include "../os/pipe_pair.h"
#include "../wire/session.h"

#define EPB_CONN_UNSENT_BYTES (1024U * 1024U)
#define EPB_CONN_TURN_FRAMES 32U
#define EPB_CONN_TURN_BYTES (64U * 1024U)
/* Bounds of the turns in a row: their number, their time, and the bytes of replies
 * (EPB_CONN_TURN_BYTES). A connection that arrives meanwhile waits no longer than this
 * and one turn. */
#define EPB_CONN_ALONE_TURNS 8U
#define EPB_CONN_ALONE_US 50U
#define EPB_CONN_LINGER_MS 1000U
#define EPB_CONN_DISCARD_BYTES 16384U
/* Each uses two more descriptors, and 256 KiB of the 64 MiB that Linux allows for all
 * pipes of a user (pipe(7)). */
#define EPB_CONN_PIPED_MAX 64U

enum epb_conn_next {
    EPB_CONN_WAIT, /* wait until it asks for a turn */
    EPB_CONN_MORE, /* another turn, after the others had theirs */
    EPB_CONN_DONE  /* close it */
};

struct epb_conn;

struct epb_conn_owner {
    void *context;
    struct epb_session_config sessions;
    /* The connection needs a turn. May be called twice, and never after
     * epb_conn_close. */
    void (*ready)(void *context, struct epb_conn *conn);
    /* Whether all connections together may hold more input; the next turn enforces the
     * limit. */
    bool (*may_take)(const void *context);
    /* The session's memory for input has changed outside of a turn. */
    void (*input_held)(void *context, struct epb_conn *conn);
    /* Whether no other connection waits for a turn. */
    bool (*alone)(const void *context);
    /* The clocks, read at most once per poll of the sockets. */
    const struct epb_time *(*now)(void *context);
    uint64_t bytes_in;
    uint64_t bytes_out;
    unsigned piped_count; /* connections that have pipes */
    /* Input of a refused peer is read to here and wiped. */
    uint8_t discarded[EPB_CONN_DISCARD_BYTES];
};

struct epb_conn {
    /* The owner's lists and counts. */
    struct epb_list all;
    struct epb_list queued;
    struct epb_list unproven;
    struct epb_list timed;
    struct epb_list surplus; /* in its process, when beyond the limit */
    struct epb_process *process;
    bool is_proven; /* within the limit, and counted by its process */
    bool is_surplus;
    bool renews;          /* surplus: has begun to renew */
    uint64_t deadline_ms; /* mono_ms; UINT64_MAX: none */
    uint64_t since_ms;    /* mono_ms of its start */
    size_t held_input;
    size_t held_output;

    struct epb_conn_owner *owner;
    struct epb_session *session;
    struct epb_buf unsent; /* what libuv is writing */
    size_t discarded;      /* bytes discarded while lingering */
    unsigned turns_in_row; /* how many turns the next row may have */
    uint64_t linger_ms;
    bool reading;
    bool writing;
    bool broken;               /* the socket failed, or both sides are done */
    bool ended;                /* the peer will send no more */
    bool end_told;             /* the session was informed */
    bool half_open;            /* it continues after the end of its input */
    bool lingering;            /* all is sent; waiting for the peer to close */
    bool closed;               /* closed by its owner, which gets no more calls */
    bool guarded;              /* descriptors may come through the socket (rights.h) */
    bool changing;             /* to or from the pipes once all is written */
    bool gone;                 /* on pipes: the socket has ended */
    struct epb_pipe_ends ends; /* our ends of the passed pipes, until opened */
    struct epb_conn_pipe_pair *pipes; /* once a pair is passed; counted by the owner */
    uv_pipe_t *in;                    /* read from: the socket, or a pipe */
    uv_pipe_t *out;                   /* written to */
    unsigned handles;                 /* open handles */
    ssize_t guarded_read;             /* result of the guarded read, for on_read */
    uv_pipe_t socket;
    uv_write_t write;
    uv_shutdown_t shutdown;
};

/* A handle on the loop, not connected yet. NULL when memory is out. */
struct epb_conn *
epb_conn_new(uv_loop_t *loop, struct epb_conn_owner *owner);
/* Begins the session after the socket was accepted. EPB_INTERNAL: close the
 * connection. */
EPB_MUST_USE enum epb_status
epb_conn_begin(struct epb_conn *conn);
/* Reads from the peer without the loop, if there is anything. False: it can't be read
 * now. */
bool
epb_conn_poll(struct epb_conn *conn);
enum epb_conn_next
epb_conn_turn(struct epb_conn *conn, const struct epb_time *now);
/* Whether all requests are answered and all replies are handed to the system. */
bool
epb_conn_is_quiet(const struct epb_conn *conn);
/* Writes a refusal before closing, as far as it fits. */
void
epb_conn_write_refusal(struct epb_conn *conn, struct epb_bytes bytes);
/* Wipes, closes, and frees once the loop's callback has run. The connection must be in no
 * list. */
void
epb_conn_close(struct epb_conn *conn);

#endif
