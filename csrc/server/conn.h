/*
 * One accepted connection: a libuv pipe on one side, a session on the other.
 *
 * libuv's callbacks only move bytes and note what happened; they ask for a turn by
 * `ready`. All decisions fall in epb_conn_turn, which works on what came, writes what is
 * to be said, and tells the owner whether there is more, or whether the connection is
 * done.
 *
 * A turn is short, so that a flood delays nobody by much; but a look at all sockets and a
 * system call for every few replies cost a lone pipelining client more than its requests.
 * So as long as no other connection waits for a turn, one takes several in a row and
 * writes once: one turn at first, then twice as many each time. The first replies leave
 * at once, and the peer is busy with them while the next are made.
 *
 * Output goes to the socket at once (uv_try_write); what does not fit is moved to
 * `unsent` and written by libuv. As soon as more than EPB_CONN_UNSENT_BYTES wait for the
 * peer, its requests are neither read nor worked on until it has read replies.
 *
 * A peer may ask for pipes (os/pipe_pair.h). They are made, and the peer's ends passed
 * with the reply, if there are few such connections (EPB_CONN_PIPED_MAX) and nothing else
 * waits to be written; if not, the reply comes without them. Whoever has got them says
 * that it goes over: the reply to that is the last of the socket, both ways, and what
 * follows is in the pipes. Of the socket it is then only watched whether it ends, which
 * means that the peer's process has: what that has left in the pipe is worked on before.
 * In the same manner a peer goes back to the socket, and over again.
 *
 * A peer may say that it will send no more and still wait for a reply (`nc` with a line
 * of JSON). One that waits so is looked at before it is given anything: what it waited
 * for is for somebody else when it has gone meanwhile.
 *
 * A peer that passes descriptors (rights.h) has broken the protocol.
 *
 * When the broker ends a conversation, it says so (shutdown) and goes on to read for a
 * moment: closing with unread input would destroy the last reply on its way to the peer.
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
/* Alone, it may have so many turns in a row, until so much time has passed, or so many
 * bytes of replies are there (EPB_CONN_TURN_BYTES): whoever comes meanwhile waits no
 * longer than this and a turn. */
#define EPB_CONN_ALONE_TURNS 8U
#define EPB_CONN_ALONE_US 50U
#define EPB_CONN_LINGER_MS 1000U
#define EPB_CONN_DISCARD_BYTES 16384U
/* Each has two descriptors more, and 256 KiB of the 64 MiB that Linux lets all pipes of a
 * user hold (pipe(7)). */
#define EPB_CONN_PIPED_MAX 64U

enum epb_conn_next {
    EPB_CONN_WAIT, /* until it asks for a turn */
    EPB_CONN_MORE, /* another turn, after the others had theirs */
    EPB_CONN_DONE  /* close it */
};

struct epb_conn;

struct epb_conn_owner {
    void *context;
    struct epb_session_config sessions;
    /* It has something to do; may be said twice, and never after epb_conn_close. */
    void (*ready)(void *context, struct epb_conn *conn);
    /* Whether all connections together may hold more input; the next turn sees to it. */
    bool (*may_take)(const void *context);
    /* What its session holds for input has changed, outside of a turn. */
    void (*input_held)(void *context, struct epb_conn *conn);
    /* Whether no connection waits for a turn, but for the one whose turn it is. */
    bool (*alone)(const void *context);
    /* The clocks, read at most once a look at the sockets. */
    const struct epb_time *(*now)(void *context);
    uint64_t bytes_in;
    uint64_t bytes_out;
    unsigned piped_count; /* connections that have pipes */
    /* Where what is read of a refused peer goes: it is wiped unseen. */
    uint8_t discarded[EPB_CONN_DISCARD_BYTES];
};

struct epb_conn {
    /* The owner's: lists and what it has counted. */
    struct epb_list all;
    struct epb_list queued;
    struct epb_list unproven;
    struct epb_list timed;
    struct epb_list surplus; /* of its process, when it is beyond the limit */
    struct epb_process *process;
    bool is_proven; /* within the limit, and counted by its process */
    bool is_surplus;
    bool renews;          /* and has said what it is there for */
    uint64_t deadline_ms; /* mono_ms; UINT64_MAX: none */
    uint64_t since_ms;    /* mono_ms of its begin */
    size_t held_input;
    size_t held_output;

    struct epb_conn_owner *owner;
    struct epb_session *session;
    struct epb_buf unsent; /* what libuv is writing */
    size_t discarded;      /* bytes thrown away while lingering */
    unsigned turns_in_row; /* how many the next may be */
    uint64_t linger_ms;
    bool reading;
    bool writing;
    bool broken;               /* the socket failed, or both sides are through */
    bool ended;                /* the peer will send no more */
    bool end_told;             /* the session knows */
    bool half_open;            /* it goes on all the same */
    bool lingering;            /* all is said; waiting for the peer to close */
    bool closed;               /* given up by its owner, who hears of it no more */
    bool guarded;              /* descriptors may come through the socket (rights.h) */
    bool changing;             /* over to the pipes, or back, when all is written */
    bool gone;                 /* on pipes: the socket has ended */
    struct epb_pipe_ends ends; /* ours of the pipes passed, until they are opened */
    struct epb_conn_pipe_pair *pipes; /* once it has passed some; counted by the owner */
    uv_pipe_t *in;                    /* what is read: the socket, or a pipe */
    uv_pipe_t *out;                   /* what is written to */
    unsigned handles;                 /* that are open */
    ssize_t guarded_read;             /* of the guarded socket: what on_read will find */
    uv_pipe_t socket;
    uv_write_t write;
    uv_shutdown_t shutdown;
};

/* A handle on the loop, not yet connected; NULL when memory is out. */
struct epb_conn *
epb_conn_new(uv_loop_t *loop, struct epb_conn_owner *owner);
/* The socket has been accepted into: begins the session. EPB_INTERNAL; close it then. */
EPB_MUST_USE enum epb_status
epb_conn_begin(struct epb_conn *conn);
/* Reads what its peer has sent, if anything, without asking the loop. False: it can't be
 * read now. */
bool
epb_conn_glance(struct epb_conn *conn);
enum epb_conn_next
epb_conn_turn(struct epb_conn *conn, const struct epb_time *now);
/* All that was received is answered, and all answers are in the peer's hands. */
bool
epb_conn_quiet(const struct epb_conn *conn);
/* Writes a few bytes, as far as they fit, before closing: a refusal. */
void
epb_conn_write_refusal(struct epb_conn *conn, struct epb_bytes bytes);
/* Wipes, closes, and frees once the loop's callback has run. It is in no list any more.
 */
void
epb_conn_close(struct epb_conn *conn);

#endif
