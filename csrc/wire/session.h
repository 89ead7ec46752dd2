/*
 * The broker's end of one connection, without I/O: bytes go in and bytes come out, so a
 * test or a fuzzer can drive it as well as a socket. The first byte selects the encoding:
 * 'E' for frames, '{' for JSON lines. Any other byte closes the session.
 *
 *   SNIFF -> HELLO -> PROOF -> FRAMES             with a secret
 *   SNIFF -> FRAMES                               without
 *   SNIFF -> LINES                                JSON lines
 *   any   -> CLOSING: flush the output, then close; nothing more is read
 *
 * Invariants: before a required proof, the input is at most EPB_HELLO_MAX_BYTES and
 * nothing reaches the engine. A refusal before the proof is one plain reply frame with id
 * 0 (a hint that proves nothing to the client) or one JSON line. Input and output are
 * bounded.
 *
 * A session that may reach the engine is a peer of the engine (core/wait.h) from then on
 * until CLOSING. In its own turns the session takes replies to requests that waited, and
 * events, from the engine: one between any two requests, and only while the output has
 * room for them. The engine calls epb_session_wake when there is something to take.
 *
 * A peer of frames that sends no more has left: the session answers the complete requests
 * and closes, even if requests wait. A peer of lines may have sent all its requests: the
 * session waits until all their replies are sent (and continues its watches). A waiting
 * line without an id holds back the lines behind it, because only its position identifies
 * its reply.
 *
 * A request whose work depends on how much is stored (list, leases) is done in slices,
 * one a turn, and its reply leaves in pieces, so no turn takes much more than a
 * millisecond. In both encodings the requests behind it wait until it has been answered.
 *
 * A peer of frames may ask for a pipe pair, and later change to the pipe pair or back to
 * the socket (server/conn.h). The frames for this (EPB_FRAME_PIPE_PAIR) are the session's
 * own: they are no commands of the engine. The session answers and informs its owner,
 * which holds the pipes.
 *
 * A session may exceed the limit of connections: see epb_session_restrict.
 *
 * The session counts failed proofs in the engine's traffic. Its owner counts connections
 * and bytes.
 */
#ifndef EPB_WIRE_SESSION_H
#define EPB_WIRE_SESSION_H

#include "../base/buf_pool.h"
#include "../core/engine.h"
#include "record.h"

struct epb_session;

/* An event for the owner's log. It never contains values or secrets. */
struct epb_session_event {
    const char *name;     /* "request", "waiting" (a request without a reply yet),
                             "answered" (its reply), "refused", "authenticated" */
    const char *action;   /* of a request; NULL otherwise, or when unknown */
    struct epb_bytes key; /* of a request, when well-formed; valid during the call */
    enum epb_status status;
    bool lines; /* the peer speaks JSON lines */
};
typedef void (*epb_session_event_fn)(void *context,
                                     const struct epb_session_event *event);

/* Shared by all sessions of a broker; must outlive them. Members that are not set must be
 * zero. When all sessions are freed, the owner calls epb_buf_pool_fini on the pool. */
struct epb_session_config {
    struct epb_engine *engine;
    struct epb_bytes secret; /* empty: no secret */
    bool legacy_hmac;        /* JSON lines signed as the reference implementation does */
    bool log_requests;
    epb_session_event_fn on_event; /* may be NULL */
    void *event_context;
    /* The session with this owner needs a turn. */
    void (*on_wake)(void *context, void *owner);
    void *wake_context;
    struct epb_buf_pool pool; /* the sessions' buffers */
};

/* `owner` is passed to on_wake. NULL when memory is out. */
struct epb_session *
epb_session_new(struct epb_session_config *config, void *owner,
                const struct epb_time *now);
/* Releases what the session holds in the engine, and withdraws its waiting requests.
 * Wipes. NULL is allowed. */
void
epb_session_free(struct epb_session *session, const struct epb_time *now);

/* Call right after epb_session_new when the broker has reached its limit of connections:
 * the session is in surplus. It may only renew what its process holds. Its first request
 * must be a `join` without a reply, and must come soon. After the `join` it may send
 * `renew` by token or without a reply, `take`, `ping`, and `join` without a reply. Any
 * other request is refused with EPB_MAX_CONNECTIONS and ends the session. */
void
epb_session_restrict(struct epb_session *session, const struct epb_time *now);
/* Whether a session in surplus has joined in order to renew. */
bool
epb_session_renews(const struct epb_session *session);
/* A session in surplus has not joined by its deadline: sends the refusal and closes. */
void
epb_session_turn_away(struct epb_session *session);

/* For the engine (epb_engine_ready_fn): the engine has something for `session`. Calls
 * on_wake, unless the session is in a turn; then the turn's result reports it. */
void
epb_session_wake(void *context, void *session);

/* Returns memory for the next bytes from the socket. *size_bytes is how many fit; 0 means
 * don't read now, because output or unprocessed input has reached its bound. Valid until
 * the next call on this session. */
void
epb_session_input(struct epb_session *session, uint8_t **memory, size_t *size_bytes);
/* Reports how many bytes were written there; 0 when the memory is not needed. */
void
epb_session_received(struct epb_session *session, size_t size_bytes);

/* Works on received input and takes replies from the engine: at most `max_frames`
 * requests and replies, or `max_bytes` of requests or of replies. Returns whether more
 * could be done at once (let other sessions take their turns first). The replies of one
 * turn are sealed together. While a megabyte of output waits, a turn does nothing and
 * returns false; a turn is due again after epb_session_sent has taken the output below
 * that bound. A turn without work is cheap and harmless. */
bool
epb_session_turn(struct epb_session *session, const struct epb_time *now,
                 unsigned max_frames, size_t max_bytes);

/* What the peer has asked for in the turns since the last call. */
enum epb_session_asks {
    EPB_SESSION_ASKS_NOTHING,
    EPB_SESSION_ASKS_FOR_PIPE_PAIR, /* pass it with the output, which is not empty */
    EPB_SESSION_CHANGES_PATH        /* once the output, which no turn adds to, is sent */
};
enum epb_session_asks
epb_session_asks(struct epb_session *session);
/* The pipe pair has been passed: from now on the peer may change to it. */
void
epb_session_pipe_pair_passed(struct epb_session *session);

/* The bytes to write; consume them with epb_session_sent. */
struct epb_bytes
epb_session_output(const struct epb_session *session);
void
epb_session_sent(struct epb_session *session, size_t size_bytes);

/* The peer will send no more. The following turns still answer complete requests; then
 * the session closes. A session of lines closes once nothing waits. */
void
epb_session_end_of_input(struct epb_session *session, const struct epb_time *now);
/* Whether a request is still being worked on, or its reply leaves in pieces. */
bool
epb_session_is_occupied(const struct epb_session *session);
/* Whether the session is CLOSING: flush the output, then close. */
bool
epb_session_is_closing(const struct epb_session *session);
/* True until the session may reach the engine. Such sessions are few and short-lived. */
bool
epb_session_is_unproven(const struct epb_session *session);
/* The mono_ms by which a handshake or a partial frame must be complete; UINT64_MAX when
 * there is none. When it passes, the owner frees the session, unless epb_session_prolong
 * moves it. Otherwise it changes in turns only. */
uint64_t
epb_session_deadline(const struct epb_session *session);
/* The deadline has passed. Returns true after setting a later deadline, because the peer
 * holds grants: its thread may be blocked with the rest of a frame unsent while another
 * connection renews them. The grants' own TTLs and the memory limits bound this. */
EPB_MUST_USE bool
epb_session_prolong(struct epb_session *session, const struct epb_time *now);
/* Bytes of memory held for input, and for output that was not taken yet, including what
 * the engine holds for a reply that leaves in pieces. */
size_t
epb_session_held_input(const struct epb_session *session);
size_t
epb_session_held_output(const struct epb_session *session);

#endif
