/*
 * See session.h: requests and replies as JSON lines.
 *
 * A line that may wait or watch becomes a call (pending_lines.h) before it runs, so
 * nothing can fail once the engine has it. If it then neither waits nor watches, the call
 * is removed.
 */
#include "jsonl.h"
#include "session_internal.h"

static uint8_t *
input_front(struct epb_session *session)
{
    return session->in.memory + session->in.start;
}

/* With a secret, the signature is checked before anything else in the line is read. */
static bool
line_is_proven(struct epb_session *session, uint8_t *line, size_t *line_bytes)
{
    if (!epb_session_has_secret(session)) {
        return true;
    }
    enum epb_status status = epb_jsonl_verify(&session->line_hmac, line, line_bytes);
    if (status != EPB_OK) {
        epb_session_refuse(session, 0, status);
        return false;
    }
    if (session->proven) {
        return true;
    }
    if (!epb_session_join(session)) {
        epb_session_refuse(session, 0, EPB_INTERNAL);
        return false;
    }
    epb_session_emit(session, "authenticated", NULL, EPB_OK);
    session->proven = true;
    return true;
}

/* Encodes a reply line, or an error when it can't be encoded. */
static void
say(struct epb_session *session, const struct epb_command *command, struct epb_bytes id,
    const struct epb_reply *reply)
{
    enum epb_status status = epb_jsonl_encode(&session->out, command, id, reply);

    if (status == EPB_OK) {
        session->rest_bytes = reply->rest_bytes;
        session->telling = command;
        session->telling_wall_ms = reply->as_of_wall_ms;
    } else if (reply->rest_bytes > 0 ||
               epb_jsonl_encode_error(&session->out, id, status) != EPB_OK) {
        epb_session_abandon(session);
    }
}

/* `come_bytes` of the line have arrived; it may have no end. */
static void
refuse_long(struct epb_session *session, size_t come_bytes)
{
    static const struct epb_bytes no_id = {NULL, 0};
    struct epb_reply reply = {.id = 0};

    epb_engine_count_refusal(session->config->engine, EPB_TOO_LARGE);
    epb_session_emit(session, "refused", NULL, EPB_TOO_LARGE);
    epb_reply_too_large(&reply, come_bytes, session->request_limit_bytes,
                        "maxRequestSize");
    say(session, NULL, no_id, &reply);
    epb_session_abandon(session);
}

/* Examines each byte once, however the line arrives. */
static enum epb_session_found
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
        refuse_long(session, *line_bytes);
        return EPB_FOUND_END;
    }
    return newline == NULL ? EPB_FOUND_NOTHING : EPB_FOUND_REQUEST;
}

enum epb_status
epb_session_put_line_piece(struct epb_session *session, struct epb_bytes piece)
{
    return epb_jsonl_encode_piece(&session->out, session->telling, piece,
                                  session->telling_wall_ms, session->rest_bytes == 0);
}

/* Whether the engine may send more about the request after its first answer. */
static bool
may_stay(const struct epb_jsonl_request *line)
{
    const struct epb_request *request = &line->request;

    return line->command->shape == EPB_SHAPE_WATCH ||
           (line->command->flags & EPB_LONG) != 0 ||
           ((request->flags & EPB_F_WAIT) != 0 && request->wait_ms > 0);
}

/* Sets the request's number to that of a new call. If a call with the same id exists, its
 * number is used: the engine then refuses to let the request wait. */
static enum epb_status
add_call(struct epb_session *session, struct epb_jsonl_request *line,
         struct epb_call **added)
{
    struct epb_call *call = epb_pending_lines_named(session->calls, line->id);

    if (call == NULL) {
        /* The events of a watch are identified by its id. */
        if (line->command->shape == EPB_SHAPE_WATCH && line->id.size_bytes == 0) {
            return EPB_INVALID_REQUEST;
        }
        if (session->calls == NULL) {
            session->calls = epb_pending_lines_new();
        }
        if (session->calls == NULL) {
            return EPB_INTERNAL;
        }
        call = epb_pending_lines_add(session->calls, line->command, line->id);
        if (call == NULL) {
            return EPB_INTERNAL;
        }
        *added = call;
    }
    line->request.id = call->number;
    return EPB_OK;
}

/* Keeps the call if its request waits or watches; otherwise removes it. */
static void
settle_call(struct epb_session *session, struct epb_call *added,
            const struct epb_reply *reply)
{
    if (added == NULL) {
        EPB_ASSERT(!reply->deferred);
    } else if (reply->deferred) {
        if (added->id_bytes == 0) {
            session->holding = added;
        }
    } else if (added->command->shape != EPB_SHAPE_WATCH || reply->status != EPB_OK) {
        epb_pending_lines_remove(session->calls, added);
    }
}

static enum epb_status
run_line(struct epb_session *session, struct epb_jsonl_request *line,
         const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_call *added = NULL;
    struct epb_call *target = epb_pending_lines_named(session->calls, line->target);

    if (target != NULL) {
        line->request.count = target->number;
    }
    if (may_stay(line)) {
        enum epb_status status = add_call(session, line, &added);
        if (status != EPB_OK) {
            epb_engine_count_refusal(session->config->engine, status);
            return status;
        }
    }
    enum epb_status status = epb_session_run(session, &line->request, now, reply);
    if (status != EPB_OK) {
        *reply = (struct epb_reply){.status = status};
    }
    settle_call(session, added, reply);
    /* A cancelled request that waited still gets its reply. */
    if (target != NULL && reply->status == EPB_OK && reply->count != 0 &&
        target->command->shape == EPB_SHAPE_WATCH) {
        epb_pending_lines_remove(session->calls, target);
    }
    return status;
}

static void
serve(struct epb_session *session, size_t line_bytes, const struct epb_time *now)
{
    uint8_t *text = input_front(session);

    if (line_bytes > 0 && text[line_bytes - 1] == '\r') {
        line_bytes--;
    }
    if (!line_is_proven(session, text, &line_bytes)) {
        return;
    }
    struct epb_buf scratch;
    struct epb_jsonl_request line;
    struct epb_reply reply;
    epb_buf_init(&scratch, EPB_JSONL_SCRATCH_BYTES(line_bytes));
    enum epb_status status = epb_jsonl_decode(text, line_bytes, &scratch, &line);
    if (status == EPB_OK) {
        status = run_line(session, &line, now, &reply);
    } else {
        epb_engine_count_refusal(session->config->engine, status);
    }
    if (status != EPB_OK) {
        reply = (struct epb_reply){.status = status};
    }
    epb_session_log(session, &line.request, &reply);
    if (!reply.deferred) {
        say(session, line.command, line.id, &reply);
    }
    epb_buf_fini(&scratch);
}

enum epb_session_found
epb_session_serve_line(struct epb_session *session, const struct epb_time *now,
                       size_t *size_bytes)
{
    if (session->holding != NULL) {
        return EPB_FOUND_NOTHING;
    }
    enum epb_session_found found = find_line(session, size_bytes);
    if (found != EPB_FOUND_REQUEST) {
        return found;
    }
    serve(session, *size_bytes, now);
    *size_bytes += 1;
    epb_buf_consume(&session->in, *size_bytes);
    session->scanned_bytes = 0;
    return session->stage == EPB_STAGE_CLOSING ? EPB_FOUND_END : EPB_FOUND_REQUEST;
}

static void
put_events(struct epb_session *session, const struct epb_reply *reply)
{
    struct epb_call *call =
        epb_pending_lines_numbered(session->calls, (uint32_t)reply->count);

    EPB_ASSERT(call != NULL);
    /* A lost event must not go unnoticed. */
    if (epb_jsonl_encode_events(&session->out, epb_call_id(call), reply->body) !=
        EPB_OK) {
        epb_session_abandon(session);
    }
}

void
epb_session_put_line(struct epb_session *session, const struct epb_reply *reply)
{
    if (reply->id == 0) {
        put_events(session, reply);
        return;
    }
    struct epb_call *call = epb_pending_lines_numbered(session->calls, reply->id);
    EPB_ASSERT(call != NULL);
    say(session, call->command, epb_call_id(call), reply);
    if (session->holding == call) {
        session->holding = NULL;
    }
    epb_pending_lines_remove(session->calls, call);
}
