/* What the parts of a session share: session.c (its life, turns, input and output),
 * session_open.c (until it is open), session_frames.c and session_lines.c (the two
 * encodings). Nobody else includes this. */
#ifndef EPB_WIRE_SESSION_INTERNAL_H
#define EPB_WIRE_SESSION_INTERNAL_H

#include "hash.h"
#include "pending_lines.h"
#include "session.h"

/* A single reply may pass the bound of the output; this is the most it may take. */
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

/* What a look at the front of the input finds. */
enum epb_session_found {
    EPB_FOUND_NOTHING, /* no complete request is there, or it may not be served yet */
    EPB_FOUND_REQUEST,
    EPB_FOUND_END /* the connection is closing */
};

struct epb_session {
    struct epb_session_config *config;
    void *owner;
    struct epb_peer *peer; /* once it may reach the engine */
    enum epb_session_stage stage;
    bool in_turn;
    bool input_ended;   /* the peer sends no more */
    bool has_more;      /* input that no turn has found to be incomplete */
    bool proven;        /* lines: a signature held */
    bool has_pipe_pair; /* frames: they have been passed */
    bool on_pipe_pair;  /* or about to be, or to be no more */
    bool is_surplus;    /* may only renew */
    bool renews;        /* and has begun to */
    enum epb_session_asks asks;
    uint64_t handshake_due_ms;
    uint64_t partial_due_ms; /* NEVER when nothing incomplete waits */
    size_t request_limit_bytes;
    size_t read_bytes;    /* how much the next read asks for */
    unsigned small_reads; /* in a row, far less than asked for */
    size_t offered_bytes; /* what the last epb_session_input gave */
    size_t scanned_bytes; /* lines: known to hold no newline */
    size_t skip_bytes;    /* frames: still to be thrown away */
    size_t rest_bytes;    /* of the body of a reply that is being said in pieces */
    struct epb_buf in;
    struct epb_buf out;
    struct epb_handshake *handshake;
    struct epb_record *receiving;
    struct epb_record *sending;
    struct epb_hmac line_hmac;         /* lines with a secret */
    struct epb_pending_lines *calls;   /* lines: from the first that waits or watches */
    struct epb_call *holding;          /* lines: the one that waits and has no id */
    const struct epb_command *telling; /* lines: whose reply leaves in pieces */
    uint64_t telling_wall_ms;          /* and as of when it is */
};

/* session.c */

bool
epb_session_has_secret(const struct epb_session *session);
/* Becomes a peer of the engine; false when memory is out. */
EPB_MUST_USE bool
epb_session_join(struct epb_session *session);
/* To the owner, for its log. The request may be NULL. */
void
epb_session_emit(const struct epb_session *session, const char *name,
                 const struct epb_request *request, enum epb_status status);
/* Nothing more can be said, or is worth saying. What is in the output still goes. */
void
epb_session_abandon(struct epb_session *session);
/* Says why in the encoding of the connection, then closes. */
void
epb_session_refuse(struct epb_session *session, uint32_t id, enum epb_status status);
/* The same because of a request, which is counted with the others. */
void
epb_session_refuse_request(struct epb_session *session, uint32_t id,
                           enum epb_status status);
/* Runs a request, when there is room to say what came of it; else EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_session_run(struct epb_session *session, const struct epb_request *request,
                const struct epb_time *now, struct epb_reply *reply);
/* For the log, when that has requests. */
void
epb_session_log(const struct epb_session *session, const struct epb_request *request,
                const struct epb_reply *reply);

/* session_open.c */

/* Goes through the stages before FRAMES and LINES as far as the input allows. */
void
epb_session_advance(struct epb_session *session);

/* session_frames.c, session_lines.c */

/* Serves the request at the front of the input; *size_bytes is what it took. */
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
/* Encodes a further piece of its body; rest_bytes is what is left after it. */
enum epb_status
epb_session_put_frame_piece(struct epb_session *session, struct epb_bytes piece);
enum epb_status
epb_session_put_line_piece(struct epb_session *session, struct epb_bytes piece);

/* Whether the output takes one more reply without a body. */
bool
epb_session_has_reply_room(struct epb_session *session);

#endif
