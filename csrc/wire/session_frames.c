/* See session.h: requests and replies as frames, in records. */
#include "frame.h"
#include "report.h"
#include "session_internal.h"

/* A frame that exceeds the request limit gets a reply and its bytes are discarded as they
 * arrive, so that one bad request does not affect the connection's other requests. For a
 * frame larger than this, the connection closes. */
#define SKIP_LIMIT_BYTES (64U * 1024U * 1024U)

/* Discards the rest of a frame that was too large. EPB_FOUND_REQUEST when done. */
static enum epb_session_found
skip(struct epb_session *session)
{
    while (session->skip_bytes > 0) {
        struct epb_bytes stream = epb_record_stream(session->receiving, &session->in);
        if (stream.size_bytes == 0) {
            enum epb_status status =
                epb_record_unseal(session->receiving, &session->in, 1);
            if (status != EPB_OK) {
                epb_session_refuse(session, 0, status);
                return EPB_FOUND_END;
            }
            stream = epb_record_stream(session->receiving, &session->in);
            if (stream.size_bytes == 0) {
                return EPB_FOUND_NOTHING;
            }
        }
        size_t dropped_bytes = stream.size_bytes;
        if (dropped_bytes > session->skip_bytes) {
            dropped_bytes = session->skip_bytes;
        }
        epb_record_consume(session->receiving, &session->in, dropped_bytes);
        session->skip_bytes -= dropped_bytes;
    }
    return EPB_FOUND_REQUEST;
}

/* Opens records until the front of the stream is a complete frame, or the start of a
 * frame that is too large, up to its id. */
static enum epb_session_found
find_frame(struct epb_session *session, struct epb_bytes *frame, bool *too_large)
{
    enum epb_session_found found = skip(session);

    if (found != EPB_FOUND_REQUEST) {
        return found;
    }
    for (;;) {
        size_t needed_bytes;
        struct epb_bytes stream = epb_record_stream(session->receiving, &session->in);
        enum epb_frame_state state =
            epb_frame_scan(stream, session->request_limit_bytes, &needed_bytes);
        *too_large = state == EPB_FRAME_TOO_LARGE;
        if (*too_large) {
            needed_bytes = EPB_FRAME_ID_END_BYTES;
        }
        if (state != EPB_FRAME_PARTIAL && stream.size_bytes >= needed_bytes) {
            *frame = (struct epb_bytes){stream.data, needed_bytes};
            return EPB_FOUND_REQUEST;
        }
        enum epb_status status =
            epb_record_unseal(session->receiving, &session->in, needed_bytes);
        if (status != EPB_OK) {
            epb_session_refuse(session, 0, status);
            return EPB_FOUND_END;
        }
        size_t opened_bytes =
            epb_record_stream(session->receiving, &session->in).size_bytes;
        if (opened_bytes == stream.size_bytes) {
            return EPB_FOUND_NOTHING;
        }
    }
}

/* Encodes a report as text. Other bodies are bytes already. */
static enum epb_status
encode_report(struct epb_session *session, enum epb_shape shape, struct epb_reply *reply)
{
    struct epb_buf text;

    epb_buf_init(&text, EPB_SESSION_OUTPUT_LIMIT_BYTES);
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
put_failure(struct epb_session *session, uint32_t id, enum epb_status status)
{
    struct epb_reply reply = {.status = status, .id = id};

    if (epb_frame_encode_reply(&session->out, &reply) != EPB_OK) {
        epb_session_abandon(session);
    }
}

static void
reply_frame(struct epb_session *session, const struct epb_request *request,
            struct epb_reply *reply)
{
    enum epb_status status;

    if (reply->rest_bytes > 0) {
        epb_session_put_frame(session, reply);
        return;
    }
    if (reply->status == EPB_OK && reply->stats != NULL) {
        status = encode_report(session, epb_command_find(request->action)->shape, reply);
    } else {
        status = epb_frame_encode_reply(&session->out, reply);
    }
    if (status != EPB_OK) {
        put_failure(session, request->id, status);
    }
}

void
epb_session_put_frame(struct epb_session *session, const struct epb_reply *reply)
{
    enum epb_status status = epb_frame_encode_reply(&session->out, reply);

    if (status == EPB_OK) {
        session->rest_bytes = reply->rest_bytes;
    } else if (reply->id != 0 && reply->rest_bytes == 0) {
        put_failure(session, reply->id, status);
    } else {
        epb_session_abandon(session); /* a lost event must not go unnoticed */
    }
}

enum epb_status
epb_session_put_frame_piece(struct epb_session *session, struct epb_bytes piece)
{
    return epb_buf_append(&session->out, piece.data, piece.size_bytes);
}

/* Whether the frame's id asks for a reply. A frame too short to have an id gets a
 * reply. */
static bool
wants_reply(struct epb_bytes frame)
{
    return frame.size_bytes < EPB_FRAME_ID_END_BYTES || epb_frame_id(frame) != 0;
}

/* Pipe pair */

/* Whether the frame asks for a pipe pair, or asks for a change that is possible now. */
static bool
is_valid_for_pipe_pair(const struct epb_session *session,
                       const struct epb_request *request)
{
    if (request->key.size_bytes + request->worker.size_bytes + request->value.size_bytes >
        0) {
        return false;
    }
    if (request->flags != EPB_F_COUNT) {
        return request->flags == 0;
    }
    return session->has_pipe_pair && request->count == (session->on_pipe_pair ? 0 : 1);
}

/* A frame for the session itself: the engine does not see it. Without an id it has no
 * reply, and so no effect. */
static void
serve_pipe_pair(struct epb_session *session, const struct epb_request *request)
{
    struct epb_reply reply = {.status = EPB_OK, .id = request->id};

    if (epb_engine_is_draining(session->config->engine)) {
        reply.status = EPB_DRAINING;
    } else if (!is_valid_for_pipe_pair(session, request)) {
        reply.status = EPB_INVALID_REQUEST;
    } else if (!epb_session_has_reply_room(session)) {
        reply.status = EPB_INTERNAL;
    }
    if (reply.status != EPB_OK) {
        epb_engine_count_refusal(session->config->engine, reply.status);
    }
    if (request->id == 0) {
        return;
    }
    reply_frame(session, request, &reply);
    if (reply.status != EPB_OK) {
        return;
    }
    if (request->flags == EPB_F_COUNT) {
        session->on_pipe_pair = !session->on_pipe_pair;
        session->asks = EPB_SESSION_CHANGES_PATH;
    } else {
        session->asks = EPB_SESSION_ASKS_FOR_PIPE_PAIR;
    }
}

/* Requests */

/* What a session in surplus may request. */
static bool
is_renewal(const struct epb_session *session, const struct epb_request *request,
           bool has_reply)
{
    if (request->action == EPB_ACTION_JOIN) {
        return !has_reply;
    }
    /* Without a token, the reply may be long. */
    if (request->action == EPB_ACTION_RENEW && has_reply &&
        (request->flags & EPB_F_FENCE) == 0) {
        return false;
    }
    return session->renews &&
           (request->action == EPB_ACTION_RENEW || request->action == EPB_ACTION_TAKE ||
            request->action == EPB_ACTION_PING);
}

static void
serve(struct epb_session *session, struct epb_bytes frame, const struct epb_time *now)
{
    struct epb_request request;
    struct epb_reply reply;
    enum epb_status status = epb_frame_decode_request(frame, &request);

    if (status == EPB_VERSION_MISMATCH) {
        epb_session_refuse_request(session, request.id, status);
        return;
    }
    if (session->is_surplus && status == EPB_OK &&
        !is_renewal(session, &request, wants_reply(frame))) {
        epb_session_refuse_request(session, request.id, EPB_MAX_CONNECTIONS);
        return;
    }
    if (status == EPB_OK && request.action == EPB_FRAME_PIPE_PAIR) {
        serve_pipe_pair(session, &request);
        return;
    }
    if (status == EPB_OK) {
        status = epb_session_run(session, &request, now, &reply);
    } else {
        epb_engine_count_refusal(session->config->engine, status);
    }
    if (status != EPB_OK) {
        reply = (struct epb_reply){.status = status, .id = request.id};
    }
    epb_session_log(session, &request, &reply);
    if (!reply.deferred && wants_reply(frame)) {
        reply_frame(session, &request, &reply);
    }
    if (session->is_surplus && reply.status == EPB_OK) {
        session->renews = true;
    }
}

/* `front` is the start of the frame, up to its id. */
static void
refuse_frame(struct epb_session *session, struct epb_bytes front)
{
    size_t frame_bytes = EPB_FRAME_LENGTH_BYTES + (size_t)epb_get_u32(front.data);
    uint32_t id = epb_frame_id(front);

    if (frame_bytes > SKIP_LIMIT_BYTES) {
        epb_session_refuse_request(session, id, EPB_TOO_LARGE);
        return;
    }
    epb_engine_count_refusal(session->config->engine, EPB_TOO_LARGE);
    epb_session_emit(session, "refused", NULL, EPB_TOO_LARGE);
    if (id != 0) {
        struct epb_reply reply = {.id = id};
        epb_reply_too_large(&reply, frame_bytes - EPB_FRAME_LENGTH_BYTES,
                            session->request_limit_bytes, "maxRequestSize");
        epb_session_put_frame(session, &reply);
    }
    session->skip_bytes = frame_bytes;
}

enum epb_session_found
epb_session_serve_frame(struct epb_session *session, const struct epb_time *now,
                        size_t *size_bytes)
{
    struct epb_bytes frame = {NULL, 0};
    bool too_large;
    enum epb_session_found found = find_frame(session, &frame, &too_large);

    if (found != EPB_FOUND_REQUEST) {
        return found;
    }
    *size_bytes = frame.size_bytes;
    if (too_large) {
        refuse_frame(session, frame);
    } else {
        serve(session, frame, now);
        epb_record_consume(session->receiving, &session->in, *size_bytes);
    }
    return session->stage == EPB_STAGE_CLOSING ? EPB_FOUND_END : EPB_FOUND_REQUEST;
}
