/* Shared by the parts of a session: session.c (life, turns, input and output),
 * session_base.c (what every stage does), session_open.c (until it is open),
 * session_frames.c and session_lines.c (the two encodings). No other file includes
 * this. */
#ifndef EPB_WIRE_SESSION_INTERNAL_H
#define EPB_WIRE_SESSION_INTERNAL_H

#include "hash.h"
#include "pending_lines.h"
#include "session.h"

/* The most that the output may take: a single reply may exceed the usual bound. */
#define EPB_SESSION_OUTPUT_LIMIT_BYTES (64U * 1024U * 1024U)
#define EPB_SESSION_NEVER UINT64_MAX

enum epb_session_stage {
    EPB_STAGE_SNIFF,
    EPB_STAGE_HELLO,
    EPB_STAGE_PROOF,
    EPB_STAGE_FRAMES,
    EPB_STAGE_LINES,
    EPB_STAGE_CLOSING
};

/* The result of looking for a request at the front of the input. */
enum epb_session_found {
    EPB_FOUND_NOTHING, /* no complete request, or it may not be served yet */
    EPB_FOUND_REQUEST,
    EPB_FOUND_END /* the connection is closing */
};

struct epb_session {
    struct epb_session_config *config;
    void *owner;
    struct epb_peer *peer; /* set once the session may reach the engine */
    enum epb_session_stage stage;
    bool in_turn;
    bool input_ended;   /* the peer sends no more */
    bool has_more;      /* input that no turn has found incomplete */
    bool proven;        /* lines: a signature was valid */
    bool has_pipe_pair; /* frames: has been passed to the peer */
    bool on_pipe_pair;  /* frames: in use; toggled when a change begins */
    bool is_surplus;    /* may only renew */
    bool renews;        /* surplus: has begun to renew */
    enum epb_session_asks asks;
    uint64_t handshake_due_ms;
    uint64_t partial_due_ms; /* NEVER when nothing incomplete waits */
    size_t request_limit_bytes;
    size_t read_bytes;    /* size of the next read */
    unsigned small_reads; /* reads in a row that got far less than asked for */
    size_t offered_bytes; /* size from the last epb_session_input */
    size_t scanned_bytes; /* lines: known to contain no newline */
    size_t skip_bytes;    /* frames: still to be discarded */
    size_t rest_bytes;    /* of the body of a reply that leaves in pieces */
    struct epb_buf in;
    struct epb_buf out;
    struct epb_handshake *handshake;
    struct epb_record *receiving;
    struct epb_record *sending;
    struct epb_hmac line_hmac;         /* lines with a secret */
    struct epb_pending_lines *calls;   /* lines: NULL before the first that waits or
                                        * watches */
    struct epb_call *holding;          /* lines: the waiting call without an id */
    const struct epb_command *telling; /* lines: the command whose reply leaves in
                                        * pieces */
    uint64_t telling_wall_ms;          /* lines: the time as of which it is */
};

/* session.c */

bool
epb_session_has_secret(const struct epb_session *session);
/* Joins the engine as a peer. False when memory is out. */
EPB_MUST_USE bool
epb_session_join(struct epb_session *session);
/* Emits an event for the owner's log. The request may be NULL. */
void
epb_session_emit(const struct epb_session *session, const char *name,
                 const struct epb_request *request, enum epb_status status);
/* Closes without a reason to the peer: none can be sent, or none is useful. Output
 * already queued is still sent. */
void
epb_session_abandon(struct epb_session *session);
/* Sends the reason in the encoding of the connection, then closes. */
void
epb_session_refuse(struct epb_session *session, uint32_t id, enum epb_status status);
/* The same for a refused request, which the engine counts. */
void
epb_session_refuse_request(struct epb_session *session, uint32_t id,
                           enum epb_status status);
/* Runs a request if the output has room for a reply; otherwise EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_session_run(struct epb_session *session, const struct epb_request *request,
                const struct epb_time *now, struct epb_reply *reply);
/* Logs a request if the log includes requests. */
void
epb_session_log(const struct epb_session *session, const struct epb_request *request,
                const struct epb_reply *reply);

/* session_open.c */

/* Advances through the stages before FRAMES and LINES as far as the input allows. */
void
epb_session_advance(struct epb_session *session);

/* session_frames.c, session_lines.c */

/* Serves the request at the front of the input; *size_bytes is its size. */
enum epb_session_found
epb_session_serve_frame(struct epb_session *session, const struct epb_time *now,
                        size_t *size_bytes);
enum epb_session_found
epb_session_serve_line(struct epb_session *session, const struct epb_time *now,
                       size_t *size_bytes);
/* Encodes a reply to a request that waited, or an event. */
void
epb_session_put_frame(struct epb_session *session, const struct epb_reply *reply);
void
epb_session_put_line(struct epb_session *session, const struct epb_reply *reply);
/* Encodes the next piece of a body. rest_bytes is the size of what remains after it. */
enum epb_status
epb_session_put_frame_piece(struct epb_session *session, struct epb_bytes piece);
enum epb_status
epb_session_put_line_piece(struct epb_session *session, struct epb_bytes piece);

/* Whether the output has room for one more reply without a body. */
bool
epb_session_has_reply_room(struct epb_session *session);

#endif
