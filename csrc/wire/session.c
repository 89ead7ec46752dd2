/*
 * See session.h.
 *
 * Input is worked on where it was read: frames and lines are decoded in the input buffer,
 * records opened in it, and the engine copies a value from there into the store. Replies
 * are encoded into the output buffer; those of one turn become one record, sealed where
 * they lie.
 *
 * Both buffers come from the broker's pool and go back when they are empty.
 *
 * Whatever ends a connection early goes through `refuse` (says why, then closes) or
 * `abandon` (nothing more can be said).
 */
#include "session.h"

#include "../base/mem.h"
#include "../base/utf8.h"
#include "../core/command.h"
#include "frame.h"
#include "jsonl.h"
#include "report.h"

#define PATIENCE_MS 10000U /* for a handshake, and for a frame that has begun */
#define OUTPUT_BOUND_BYTES (1024U * 1024U)
/* A single reply may pass the bound; this is the most it may take. */
#define OUTPUT_LIMIT_BYTES (64U * 1024U * 1024U)
/* How much is read at once grows and shrinks between these, with what arrives. */
#define READ_LEAST_BYTES 4096U
#define READ_MOST_BYTES (256U * 1024U)
/* No more is read while this much awaits its turn. */
#define BACKLOG_BYTES (64U * 1024U)
/* A reply without a body, its tag, and a line's id and sentence fit in this. */
#define REPLY_ROOM_BYTES 1024U
/* A frame beyond the limit is answered and its bytes are thrown away as they come, so
 * that one bad request costs the others of its connection nothing. Beyond this the
 * connection closes. */
#define SKIP_LIMIT_BYTES (64U * 1024U * 1024U)
#define NEVER UINT64_MAX

enum stage {
    STAGE_SNIFF,
    STAGE_HELLO,
    STAGE_PROOF,
    STAGE_FRAMES,
    STAGE_LINES,
    STAGE_CLOSING
};

/* What a look at the front of the input finds. */
enum found {
    FOUND_NOTHING, /* a complete request is not there */
    FOUND_REQUEST,
    FOUND_END /* the connection is closing */
};

struct epb_session {
    struct epb_session_config *config;
    enum stage stage;
    bool input_ended; /* the peer sends no more */
    bool has_more;    /* input that no turn has found to be incomplete */
    bool proven;      /* lines: a signature held */
    uint64_t handshake_due_ms;
    uint64_t partial_due_ms; /* NEVER when nothing incomplete waits */
    size_t request_limit_bytes;
    size_t read_bytes;    /* how much the next read asks for */
    size_t offered_bytes; /* what the last epb_session_input gave */
    size_t scanned_bytes; /* lines: known to hold no newline */
    size_t skip_bytes;    /* frames: still to be thrown away */
    struct epb_buf in;
    struct epb_buf out;
    struct epb_handshake *handshake;
    struct epb_record *receiving;
    struct epb_record *sending;
    struct epb_hmac line_hmac; /* lines with a secret */
};

static size_t
clamp(size_t value, size_t least, size_t most)
{
    if (value < least)
        return least;
    return value > most ? most : value;
}

static bool
add_records(struct epb_session *session, enum epb_record_mode mode,
            const struct epb_session_keys *keys)
{
    const uint8_t *in_key = keys == NULL ? NULL : keys->client_to_server;
    const uint8_t *out_key = keys == NULL ? NULL : keys->server_to_client;
    session->receiving = epb_record_new(mode, in_key);
    session->sending = epb_record_new(mode, out_key);
    return session->receiving != NULL && session->sending != NULL;
}

struct epb_session *
epb_session_new(struct epb_session_config *config, const struct epb_time *now)
{
    struct epb_session *session = epb_mem_alloc(sizeof *session);
    if (session == NULL)
        return NULL;
    uint64_t limit = epb_engine_options(config->engine)->max_request_bytes;
    session->config = config;
    session->handshake_due_ms = now->mono_ms + PATIENCE_MS;
    session->partial_due_ms = NEVER;
    session->read_bytes = READ_LEAST_BYTES;
    session->request_limit_bytes =
        limit < UINT32_MAX / 4U ? (size_t)limit : UINT32_MAX / 4U;
    /* A request, the record behind it, dead bytes between records, and a read. */
    epb_buf_init(&session->in, 2 * session->request_limit_bytes +
                                   2 * EPB_RECORD_MAX_BYTES + READ_MOST_BYTES +
                                   BACKLOG_BYTES);
    epb_buf_init(&session->out, OUTPUT_LIMIT_BYTES + 2 * session->request_limit_bytes);
    return session;
}

void
epb_session_free(struct epb_session *session)
{
    if (session == NULL)
        return;
    epb_buf_fini(&session->in);
    epb_buf_fini(&session->out);
    epb_handshake_free(session->handshake);
    epb_record_free(session->receiving);
    epb_record_free(session->sending);
    epb_hmac_fini(&session->line_hmac);
    epb_mem_free(session);
}

static void
tell(const struct epb_session *session, const char *name,
     const struct epb_request *request, enum epb_status status)
{
    const struct epb_session_config *config = session->config;
    if (config->on_event == NULL)
        return;
    struct epb_session_event event = {.name = name, .status = status};
    if (request != NULL) {
        const struct epb_command *command = epb_command_find(request->action);
        event.action = command == NULL ? NULL : command->name;
        if (request->key.size_bytes <= EPB_KEY_MAX_BYTES && epb_utf8_valid(request->key))
            event.key = request->key;
    }
    config->on_event(config->event_context, &event);
}

/* Nothing more can be said, or is worth saying. What is in the output still goes. */
static void
abandon(struct epb_session *session)
{
    session->stage = STAGE_CLOSING;
    session->has_more = false;
    session->partial_due_ms = NEVER;
}

/* Says why in the encoding of the connection, then closes. */
static void
refuse(struct epb_session *session, uint32_t id, enum epb_status status)
{
    enum epb_status encoded;
    if (session->stage == STAGE_LINES) {
        encoded =
            epb_jsonl_encode_error(&session->out, (struct epb_bytes){NULL, 0}, status);
    } else {
        struct epb_reply reply = {.status = status, .id = id};
        encoded = epb_frame_encode_reply(&session->out, &reply);
    }
    (void)encoded; /* without memory for a word of it, closing says it */
    if (status == EPB_AUTH_FAILED)
        epb_engine_traffic(session->config->engine)->auth_failures++;
    tell(session, "refused", NULL, status);
    abandon(session);
}

/* The same because of a request, which is counted with the others. */
static void
refuse_request(struct epb_session *session, uint32_t id, enum epb_status status)
{
    epb_engine_count_refusal(session->config->engine, status);
    refuse(session, id, status);
}

/* --- Until the session is open --- */

static bool
has_secret(const struct epb_session *session)
{
    return session->config->secret.size_bytes > 0;
}

/* Opens a connection of lines, or refuses it. */
static void
begin_lines(struct epb_session *session)
{
    session->stage = STAGE_LINES;
    if (!has_secret(session))
        return;
    enum epb_status status = EPB_AUTH_REQUIRED;
    if (session->config->legacy_hmac)
        status = epb_hmac_init(&session->line_hmac, session->config->secret);
    if (status != EPB_OK)
        refuse(session, 0, status);
}

static void
begin_frames(struct epb_session *session, enum epb_record_mode mode)
{
    if (mode == EPB_RECORD_PLAIN && has_secret(session)) {
        refuse(session, 0, EPB_AUTH_REQUIRED);
    } else if (mode != EPB_RECORD_PLAIN && !has_secret(session)) {
        refuse(session, 0, EPB_AUTH_FAILED);
    } else if (mode != EPB_RECORD_PLAIN) {
        session->stage = STAGE_HELLO;
    } else if (add_records(session, mode, NULL)) {
        epb_buf_consume(&session->in, EPB_MAGIC_BYTES);
        session->stage = STAGE_FRAMES;
    } else {
        refuse(session, 0, EPB_INTERNAL);
    }
}

static void
sniff(struct epb_session *session)
{
    const uint8_t *data = epb_buf_data(&session->in);
    size_t size_bytes = epb_buf_size(&session->in);
    enum epb_record_mode mode;
    if (size_bytes == 0)
        return;
    if (data[0] == '{') {
        begin_lines(session);
    } else if (memcmp(data, EPB_MAGIC_PLAIN, clamp(size_bytes, 1, 3)) != 0) {
        abandon(session);
    } else if (size_bytes >= EPB_MAGIC_BYTES) {
        if (epb_auth_mode(data, &mode)) {
            begin_frames(session, mode);
        } else {
            refuse(session, 0, EPB_VERSION_MISMATCH);
        }
    }
}

static void
answer_hello(struct epb_session *session)
{
    if (epb_buf_size(&session->in) < EPB_CLIENT_HELLO_BYTES)
        return;
    enum epb_status status = EPB_INTERNAL;
    uint8_t *answer;
    session->handshake = epb_handshake_new(session->config->secret);
    if (session->handshake != NULL) {
        status = epb_buf_reserve(&session->out, EPB_SERVER_HELLO_BYTES, &answer);
    }
    if (status == EPB_OK) {
        status = epb_handshake_server_hello(session->handshake,
                                            epb_buf_data(&session->in), answer);
    }
    if (status != EPB_OK) {
        refuse(session, 0, status);
        return;
    }
    epb_buf_commit(&session->out, EPB_SERVER_HELLO_BYTES);
    epb_buf_consume(&session->in, EPB_CLIENT_HELLO_BYTES);
    session->stage = STAGE_PROOF;
}

static void
check_proof(struct epb_session *session)
{
    if (epb_buf_size(&session->in) < EPB_PROOF_BYTES)
        return;
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    enum epb_status status = epb_handshake_server_finish(
        session->handshake, epb_buf_data(&session->in), &keys, &mode);
    if (status == EPB_OK && !add_records(session, mode, &keys))
        status = EPB_INTERNAL;
    epb_mem_wipe(&keys, sizeof keys);
    epb_handshake_free(session->handshake);
    session->handshake = NULL;
    if (status != EPB_OK) {
        refuse(session, 0, status);
        return;
    }
    epb_buf_consume(&session->in, EPB_PROOF_BYTES);
    session->stage = STAGE_FRAMES;
    tell(session, "authenticated", NULL, EPB_OK);
}

static void
advance(struct epb_session *session)
{
    if (session->stage == STAGE_SNIFF)
        sniff(session);
    if (session->stage == STAGE_HELLO)
        answer_hello(session);
    if (session->stage == STAGE_PROOF)
        check_proof(session);
}

/* Before a request may change anything, the room to say so is made sure of. */
static enum epb_status
run(struct epb_session *session, const struct epb_request *request,
    const struct epb_time *now, struct epb_reply *reply)
{
    uint8_t *room;
    enum epb_status status = epb_buf_reserve(&session->out, REPLY_ROOM_BYTES, &room);
    if (status != EPB_OK) {
        epb_engine_count_refusal(session->config->engine, EPB_INTERNAL);
        return EPB_INTERNAL;
    }
    epb_engine_run(session->config->engine, request, now, reply);
    return EPB_OK;
}

/* --- Frames --- */

/* Throws away what is left of a frame that was too large. FOUND_REQUEST: that is done. */
static enum found
skip(struct epb_session *session)
{
    while (session->skip_bytes > 0) {
        struct epb_bytes stream = epb_record_stream(session->receiving, &session->in);
        if (stream.size_bytes == 0) {
            enum epb_status status = epb_record_open(session->receiving, &session->in, 1);
            if (status != EPB_OK) {
                refuse(session, 0, status);
                return FOUND_END;
            }
            stream = epb_record_stream(session->receiving, &session->in);
            if (stream.size_bytes == 0)
                return FOUND_NOTHING;
        }
        size_t dropped_bytes = clamp(stream.size_bytes, 0, session->skip_bytes);
        epb_record_consume(session->receiving, &session->in, dropped_bytes);
        session->skip_bytes -= dropped_bytes;
    }
    return FOUND_REQUEST;
}

/* Opens records until the front of the stream is a complete frame, or one that is larger
 * than allowed and has its id there to be named. */
static enum found
find_frame(struct epb_session *session, struct epb_bytes *frame, bool *too_large)
{
    enum found found = skip(session);
    if (found != FOUND_REQUEST)
        return found;
    for (;;) {
        size_t needed_bytes;
        struct epb_bytes stream = epb_record_stream(session->receiving, &session->in);
        enum epb_frame_state state =
            epb_frame_scan(stream, session->request_limit_bytes, &needed_bytes);
        *too_large = state == EPB_FRAME_TOO_LARGE;
        if (*too_large)
            needed_bytes = EPB_FRAME_ID_END_BYTES;
        if (state != EPB_FRAME_PARTIAL && stream.size_bytes >= needed_bytes) {
            *frame = (struct epb_bytes){stream.data, needed_bytes};
            return FOUND_REQUEST;
        }
        enum epb_status status =
            epb_record_open(session->receiving, &session->in, needed_bytes);
        if (status != EPB_OK) {
            refuse(session, 0, status);
            return FOUND_END;
        }
        size_t opened_bytes =
            epb_record_stream(session->receiving, &session->in).size_bytes;
        if (opened_bytes == stream.size_bytes)
            return FOUND_NOTHING;
    }
}

/* Reports become text here; everything else is bytes already. */
static enum epb_status
encode_report(struct epb_session *session, enum epb_shape shape, struct epb_reply *reply)
{
    struct epb_buf text;
    epb_buf_init(&text, OUTPUT_LIMIT_BYTES);
    enum epb_status status = EPB_OK;
    switch (shape) {
    case EPB_SHAPE_STATS:
        status = epb_report_stats(&text, reply->stats);
        break;
    case EPB_SHAPE_HEALTH:
        status = epb_report_health(&text, reply->stats);
        break;
    default:
        status = epb_report_metrics(&text, reply->stats);
        break;
    }
    if (status == EPB_OK) {
        reply->body = (struct epb_bytes){epb_buf_data(&text), epb_buf_size(&text)};
        status = epb_frame_encode_reply(&session->out, reply);
    }
    epb_buf_fini(&text);
    return status;
}

static void
reply_frame(struct epb_session *session, const struct epb_request *request,
            struct epb_reply *reply)
{
    enum epb_status status;
    if (reply->status == EPB_OK && reply->stats != NULL) {
        status = encode_report(session, epb_command_find(request->action)->shape, reply);
    } else {
        status = epb_frame_encode_reply(&session->out, reply);
    }
    if (status == EPB_OK)
        return;
    struct epb_reply failure = {.status = status, .id = request->id};
    if (epb_frame_encode_reply(&session->out, &failure) != EPB_OK)
        abandon(session);
}

static void
serve_frame(struct epb_session *session, struct epb_bytes frame,
            const struct epb_time *now)
{
    struct epb_request request;
    struct epb_reply reply;
    enum epb_status status = epb_frame_decode_request(frame, &request);
    if (status == EPB_VERSION_MISMATCH) {
        refuse_request(session, request.id, status);
        return;
    }
    if (status == EPB_OK) {
        status = run(session, &request, now, &reply);
    } else {
        epb_engine_count_refusal(session->config->engine, status);
    }
    if (status != EPB_OK)
        reply = (struct epb_reply){.status = status, .id = request.id};
    if (session->config->log_requests)
        tell(session, "request", &request, reply.status);
    reply_frame(session, &request, &reply);
}

/* `front` is as much of the frame as names it. */
static void
refuse_frame(struct epb_session *session, struct epb_bytes front)
{
    size_t frame_bytes = EPB_FRAME_LENGTH_BYTES + (size_t)epb_get_u32(front.data);
    uint32_t id = epb_frame_id(front);
    if (frame_bytes > SKIP_LIMIT_BYTES) {
        refuse_request(session, id, EPB_TOO_LARGE);
        return;
    }
    epb_engine_count_refusal(session->config->engine, EPB_TOO_LARGE);
    tell(session, "refused", NULL, EPB_TOO_LARGE);
    struct epb_reply reply = {.status = EPB_TOO_LARGE, .id = id};
    if (epb_frame_encode_reply(&session->out, &reply) != EPB_OK)
        abandon(session);
    session->skip_bytes = frame_bytes;
}

/* --- Lines --- */

static uint8_t *
input_front(struct epb_session *session)
{
    return session->in.memory + session->in.start;
}

/* Looks at each byte once, however the line arrives. */
static enum found
find_line(struct epb_session *session, size_t *line_bytes)
{
    size_t size_bytes = epb_buf_size(&session->in);
    const uint8_t *newline = NULL;
    if (size_bytes > session->scanned_bytes) {
        newline = memchr(input_front(session) + session->scanned_bytes, '\n',
                         size_bytes - session->scanned_bytes);
    }
    session->scanned_bytes = size_bytes;
    *line_bytes = newline == NULL ? size_bytes : (size_t)(newline - input_front(session));
    if (*line_bytes > session->request_limit_bytes) {
        refuse_request(session, 0, EPB_TOO_LARGE);
        return FOUND_END;
    }
    return newline == NULL ? FOUND_NOTHING : FOUND_REQUEST;
}

static void
reply_line(struct epb_session *session, const struct epb_jsonl_request *request,
           const struct epb_reply *reply, const struct epb_time *now)
{
    enum epb_status status = epb_jsonl_encode(&session->out, request, reply, now);
    if (status == EPB_OK)
        return;
    if (epb_jsonl_encode_error(&session->out, request->id, status) != EPB_OK)
        abandon(session);
}

/* With a secret, nothing of a line is looked at before its signature holds. */
static bool
line_is_proven(struct epb_session *session, uint8_t *line, size_t *line_bytes)
{
    if (!has_secret(session))
        return true;
    enum epb_status status = epb_jsonl_verify(&session->line_hmac, line, line_bytes);
    if (status != EPB_OK) {
        refuse(session, 0, status);
        return false;
    }
    if (!session->proven)
        tell(session, "authenticated", NULL, EPB_OK);
    session->proven = true;
    return true;
}

static void
serve_line(struct epb_session *session, size_t line_bytes, const struct epb_time *now)
{
    uint8_t *line = input_front(session);
    if (line_bytes > 0 && line[line_bytes - 1] == '\r')
        line_bytes--;
    if (!line_is_proven(session, line, &line_bytes))
        return;
    struct epb_jsonl_request request;
    struct epb_reply reply;
    enum epb_status status = epb_jsonl_decode(line, line_bytes, &request);
    if (status == EPB_OK) {
        status = run(session, &request.request, now, &reply);
    } else {
        epb_engine_count_refusal(session->config->engine, status);
    }
    if (status != EPB_OK)
        reply = (struct epb_reply){.status = status};
    if (session->config->log_requests)
        tell(session, "request", &request.request, reply.status);
    reply_line(session, &request, &reply, now);
}

/* --- Turns --- */

static bool
output_is_full(const struct epb_session *session)
{
    return epb_buf_size(&session->out) >= OUTPUT_BOUND_BYTES;
}

/* Serves one request; *size_bytes is what it took of the input. */
static enum found
serve_next(struct epb_session *session, const struct epb_time *now, size_t *size_bytes)
{
    struct epb_bytes frame = {NULL, 0};
    enum found found;
    if (session->stage == STAGE_LINES) {
        found = find_line(session, size_bytes);
        if (found != FOUND_REQUEST)
            return found;
        serve_line(session, *size_bytes, now);
        *size_bytes += 1;
        epb_buf_consume(&session->in, *size_bytes);
        session->scanned_bytes = 0;
    } else {
        bool too_large;
        found = find_frame(session, &frame, &too_large);
        if (found != FOUND_REQUEST)
            return found;
        *size_bytes = frame.size_bytes;
        if (too_large) {
            refuse_frame(session, frame);
        } else {
            serve_frame(session, frame, now);
            epb_record_consume(session->receiving, &session->in, *size_bytes);
        }
    }
    return session->stage == STAGE_CLOSING ? FOUND_END : FOUND_REQUEST;
}

/* Returns how many requests were served. */
static unsigned
serve(struct epb_session *session, const struct epb_time *now, unsigned max_frames,
      size_t max_bytes)
{
    unsigned served = 0;
    size_t done_bytes = 0;
    session->has_more = true;
    while (served < max_frames && done_bytes < max_bytes && !output_is_full(session)) {
        size_t size_bytes;
        enum found found = serve_next(session, now, &size_bytes);
        if (found != FOUND_REQUEST) {
            session->has_more = false;
            break;
        }
        served++;
        done_bytes += size_bytes;
    }
    if (epb_buf_size(&session->in) == 0)
        session->has_more = false;
    return served;
}

/* The same with its replies in one record. */
static unsigned
serve_frames(struct epb_session *session, const struct epb_time *now, unsigned max_frames,
             size_t max_bytes)
{
    if (epb_record_begin(session->sending, &session->out) != EPB_OK) {
        abandon(session);
        return 0;
    }
    unsigned served = serve(session, now, max_frames, max_bytes);
    if (epb_record_end(session->sending, &session->out) != EPB_OK)
        abandon(session);
    return served;
}

/* Sets the clock of a request that has begun and is not complete. While the output is
 * full nothing is read, and so nothing can be late. */
static void
watch_partial(struct epb_session *session, const struct epb_time *now, unsigned served)
{
    bool begun = epb_buf_size(&session->in) > 0 || session->skip_bytes > 0;
    bool partial = begun && !session->has_more && !output_is_full(session);
    if (!partial) {
        session->partial_due_ms = NEVER;
    } else if (served > 0 || session->partial_due_ms == NEVER) {
        session->partial_due_ms = now->mono_ms + PATIENCE_MS;
    }
}

bool
epb_session_turn(struct epb_session *session, const struct epb_time *now,
                 unsigned max_frames, size_t max_bytes)
{
    advance(session);
    if (session->stage != STAGE_FRAMES && session->stage != STAGE_LINES) {
        if (session->input_ended)
            abandon(session);
        return false;
    }
    if (output_is_full(session)) {
        session->partial_due_ms = NEVER;
        return false;
    }
    epb_pool_take(&session->config->pool, &session->out);
    unsigned served = session->stage == STAGE_FRAMES
                          ? serve_frames(session, now, max_frames, max_bytes)
                          : serve(session, now, max_frames, max_bytes);
    if (session->stage == STAGE_CLOSING)
        return false;
    watch_partial(session, now, served);
    if (epb_buf_size(&session->in) == 0)
        epb_pool_give(&session->config->pool, &session->in);
    if (epb_buf_size(&session->out) == 0)
        epb_pool_give(&session->config->pool, &session->out);
    if (session->input_ended && !session->has_more)
        abandon(session);
    return session->has_more && !output_is_full(session);
}

/* --- Input and output --- */

/* How much may be read now. */
static size_t
room_for_input(const struct epb_session *session)
{
    size_t held_bytes = epb_buf_size(&session->in);
    size_t wanted_bytes = 0;
    switch (session->stage) {
    case STAGE_CLOSING:
        return 0;
    case STAGE_SNIFF:
    case STAGE_HELLO:
        if (!has_secret(session))
            break;
        wanted_bytes = EPB_CLIENT_HELLO_BYTES;
        return wanted_bytes > held_bytes ? wanted_bytes - held_bytes : 0;
    case STAGE_PROOF:
        wanted_bytes = EPB_PROOF_BYTES;
        return wanted_bytes > held_bytes ? wanted_bytes - held_bytes : 0;
    default:
        break;
    }
    if (session->input_ended || output_is_full(session))
        return 0;
    if (session->has_more && held_bytes >= BACKLOG_BYTES)
        return 0;
    return session->read_bytes;
}

void
epb_session_input(struct epb_session *session, uint8_t **memory, size_t *size_bytes)
{
    *memory = NULL;
    *size_bytes = room_for_input(session);
    if (*size_bytes >= READ_LEAST_BYTES)
        epb_pool_take(&session->config->pool, &session->in);
    if (*size_bytes > 0 && epb_buf_reserve(&session->in, *size_bytes, memory) != EPB_OK) {
        *size_bytes = 0;
        /* Outside a turn there is no record to say it in. */
        tell(session, "refused", NULL, EPB_INTERNAL);
        abandon(session);
    }
    session->offered_bytes = *size_bytes;
}

void
epb_session_received(struct epb_session *session, size_t size_bytes,
                     const struct epb_time *now)
{
    (void)now;
    EPB_ASSERT(size_bytes <= session->offered_bytes);
    epb_buf_commit(&session->in, size_bytes);
    if (size_bytes > 0)
        session->has_more = true;
    if (session->offered_bytes == session->read_bytes) {
        size_t next_bytes = session->read_bytes;
        if (size_bytes == session->offered_bytes)
            next_bytes *= 2;
        if (size_bytes < session->offered_bytes / 4)
            next_bytes /= 2;
        session->read_bytes = clamp(next_bytes, READ_LEAST_BYTES, READ_MOST_BYTES);
    }
    session->offered_bytes = 0;
}

struct epb_bytes
epb_session_output(const struct epb_session *session)
{
    return (struct epb_bytes){epb_buf_data(&session->out), epb_buf_size(&session->out)};
}

void
epb_session_sent(struct epb_session *session, size_t size_bytes)
{
    epb_buf_consume(&session->out, size_bytes);
    if (epb_buf_size(&session->out) == 0)
        epb_pool_give(&session->config->pool, &session->out);
}

void
epb_session_end_of_input(struct epb_session *session)
{
    session->input_ended = true;
    if (epb_buf_size(&session->in) == 0)
        abandon(session);
}

bool
epb_session_closing(const struct epb_session *session)
{
    return session->stage == STAGE_CLOSING;
}

bool
epb_session_unproven(const struct epb_session *session)
{
    if (session->stage == STAGE_LINES)
        return has_secret(session) && !session->proven;
    return session->stage < STAGE_FRAMES;
}

uint64_t
epb_session_deadline(const struct epb_session *session)
{
    if (epb_session_unproven(session))
        return session->handshake_due_ms;
    return session->partial_due_ms;
}

size_t
epb_session_held_input(const struct epb_session *session)
{
    return session->in.capacity_bytes;
}

size_t
epb_session_held_output(const struct epb_session *session)
{
    return session->out.capacity_bytes;
}
