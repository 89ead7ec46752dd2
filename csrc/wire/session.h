/*
 * The broker's end of one connection, without I/O: bytes go in, bytes come out, and a
 * test or a fuzzer can drive it as well as a socket. The first byte decides the encoding:
 * 'E' frames, '{' JSON lines; any other closes.
 *
 *   SNIFF -> HELLO -> PROOF -> FRAMES             with a secret
 *   SNIFF -> FRAMES                               without
 *   SNIFF -> LINES                                JSON lines
 *   any   -> CLOSING: flush the output, then close; nothing more is read
 *
 * Invariants: before the proof of a peer that needs one, its input is EPB_HELLO_MAX_BYTES
 * at most and nothing reaches the engine; a refusal before that is one plain reply frame
 * with id 0 (a hint that proves nothing to the client) or one JSON line; input and output
 * are bounded.
 *
 * A session that may reach the engine is a peer of it (core/wait.h) from then on until
 * it is CLOSING. Replies to requests that waited, and events, are taken from the engine
 * in the session's own turns, one between any two requests, and only while there is room
 * for them in the output. The engine says when there is something (epb_session_wake).
 *
 * Of frames, a peer that sends no more has left: what is complete is answered, and the
 * session closes, whatever waits. A peer of lines may have sent all it wanted to: the
 * session waits for the replies (and goes on with its watches) until they are over. A
 * line that waits and has no id holds back the lines behind it, since its reply can be
 * told by its place alone.
 *
 * A request whose work depends on how much is stored (list, leases) is done in slices,
 * one a turn, and its reply leaves in pieces: no turn takes much more than a
 * millisecond. Requests behind it wait until it has been answered, in both encodings.
 *
 * A peer of frames may ask for pipes, and say that it goes over to them, or back to the
 * socket (server/conn.h): the session answers, and tells its owner, who has them.
 *
 * A session may be one too many: see epb_session_restrict.
 *
 * The session counts failed proofs in the engine's traffic itself; connections and bytes
 * are its owner's to count.
 */
#ifndef EPB_WIRE_SESSION_H
#define EPB_WIRE_SESSION_H

#include "../base/buf_pool.h"
#include "../core/engine.h"
#include "record.h"

struct epb_session;

/* What a session tells its owner: for logs; never values, never secrets. */
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

/* Shared by all sessions of a broker; must outlive them. Zeroed, but for what is set; its
 * owner calls epb_buf_pool_fini on the pool when all sessions are gone. */
struct epb_session_config {
    struct epb_engine *engine;
    struct epb_bytes secret; /* empty: none */
    bool legacy_hmac;        /* JSON lines signed as the reference implementation does */
    bool log_requests;
    epb_session_event_fn on_event; /* may be NULL */
    void *event_context;
    /* A turn of the session with this owner is due. */
    void (*on_wake)(void *context, void *owner);
    void *wake_context;
    struct epb_buf_pool pool; /* the sessions' buffers */
};

/* `owner` is for on_wake. NULL when memory is out. */
struct epb_session *
epb_session_new(struct epb_session_config *config, void *owner,
                const struct epb_time *now);
/* What it holds in the engine ends, what waits is withdrawn. Wipes. NULL is allowed. */
void
epb_session_free(struct epb_session *session, const struct epb_time *now);

/* Right after its begin: the broker has as many connections as it may, and this is one in
 * surplus. It may do nothing but renew what its process holds: its first request is a
 * `join` that wants no reply, which has to come soon, and after that there is `renew` by
 * token or without a reply, `take`, `ping`, and `join` without a reply. Anything else is
 * refused with EPB_MAX_CONNECTIONS, and ends it. */
void
epb_session_restrict(struct epb_session *session, const struct epb_time *now);
/* Of one in surplus: it has joined, in order to renew. */
bool
epb_session_renews(const struct epb_session *session);
/* One in surplus has not done so by its deadline: it is told, and closes. */
void
epb_session_turn_away(struct epb_session *session);

/* For the engine (epb_engine_ready_fn): `session` has something to take. Calls on_wake,
 * unless the session is in a turn, whose result says it then. */
void
epb_session_wake(void *context, void *session);

/* Where the next bytes from the socket go; *size_bytes is how many there may be (0: don't
 * read now, output or unprocessed input is at its bound). Valid until the next call on
 * this session. */
void
epb_session_input(struct epb_session *session, uint8_t **memory, size_t *size_bytes);
/* That many bytes were put there; 0: none, the place is not needed. */
void
epb_session_received(struct epb_session *session, size_t size_bytes);

/* Works on what was received, and takes what the engine has: at most `max_frames`
 * requests and replies, or `max_bytes` of requests or of replies. Returns whether more
 * could be done at once (the caller lets others have their turn first). Replies of one
 * turn are sealed together. While a megabyte of output waits, nothing is done and the
 * answer is no: a turn is due again after epb_session_sent took the output below that. A
 * turn with nothing to do is cheap and harmless. */
bool
epb_session_turn(struct epb_session *session, const struct epb_time *now,
                 unsigned max_frames, size_t max_bytes);

/* What the peer has asked for in the turns since this was called last. */
enum epb_session_asks {
    EPB_SESSION_ASKS_NOTHING,
    EPB_SESSION_ASKS_FOR_PIPE_PAIR, /* to be passed with the output, which is not empty */
    EPB_SESSION_CHANGES_WAY         /* once the output, which no turn adds to, has left */
};
enum epb_session_asks
epb_session_asks(struct epb_session *session);
/* Pipes have been passed: from now on the peer may change its way. */
void
epb_session_pipe_pair_passed(struct epb_session *session);

/* What is to be written; consume it with epb_session_sent. */
struct epb_bytes
epb_session_output(const struct epb_session *session);
void
epb_session_sent(struct epb_session *session, size_t size_bytes);

/* The other side will send no more: what is complete is still answered (in the turns that
 * follow), then it closes; of lines, once nothing waits. */
void
epb_session_end_of_input(struct epb_session *session, const struct epb_time *now);
/* A request of it is still worked on, or its reply leaves in pieces. */
bool
epb_session_occupied(const struct epb_session *session);
/* Flush, then close. */
bool
epb_session_closing(const struct epb_session *session);
/* True until the session may reach the engine: such sessions are few and short-lived. */
bool
epb_session_unproven(const struct epb_session *session);
/* mono_ms by which a handshake or a partial frame must have made it; UINT64_MAX when none
 * waits. When it passes, the owner frees the session, unless epb_session_prolong moves
 * it. Else it changes in turns only. */
uint64_t
epb_session_deadline(const struct epb_session *session);
/* The deadline has passed. True: there is a later one, since the peer holds grants. Its
 * thread may be blocked with the rest of a frame unsent, while another connection renews
 * them. The grants' own TTLs bound that, and the limits of memory do. */
EPB_MUST_USE bool
epb_session_prolong(struct epb_session *session, const struct epb_time *now);
/* Bytes of memory held for input, and for output not yet taken: with what the engine
 * holds for a reply that leaves in pieces. */
size_t
epb_session_held_input(const struct epb_session *session);
size_t
epb_session_held_output(const struct epb_session *session);

#endif
