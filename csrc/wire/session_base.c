/* What every stage of a session uses: emitting events, refusing, and running requests. */
#include "session_internal.h"

#include "../base/utf8.h"
#include "../core/command.h"
#include "frame.h"
#include "jsonl.h"

/* Enough for a reply without a body and its tag, or for a line's id and sentence. */
#define REPLY_ROOM_BYTES 1024U

bool
epb_session_has_secret(const struct epb_session *session)
{
    return session->config->secret.size_bytes > 0;
}

bool
epb_session_join(struct epb_session *session)
{
    session->peer = epb_engine_join(session->config->engine, session,
                                    session->stage == EPB_STAGE_LINES);
    return session->peer != NULL;
}

void
epb_session_emit(const struct epb_session *session, const char *name,
                 const struct epb_request *request, enum epb_status status)
{
    const struct epb_session_config *config = session->config;

    if (config->on_event == NULL) {
        return;
    }
    struct epb_session_event event = {
        .name = name,
        .status = status,
        .lines = session->stage == EPB_STAGE_LINES,
    };
    if (request != NULL) {
        const struct epb_command *command = epb_command_find(request->action);
        event.action = command == NULL ? NULL : command->name;
        if (request->key.size_bytes <= EPB_KEY_MAX_BYTES &&
            epb_utf8_valid(request->key)) {
            event.key = request->key;
        }
    }
    config->on_event(config->event_context, &event);
}

void
epb_session_log(const struct epb_session *session, const struct epb_request *request,
                const struct epb_reply *reply)
{
    if (!session->config->log_requests) {
        return;
    }
    epb_session_emit(session, reply->deferred ? "waiting" : "request", request,
                     reply->status);
}

void
epb_session_abandon(struct epb_session *session)
{
    session->stage = EPB_STAGE_CLOSING;
    session->has_more = false;
    session->partial_due_ms = EPB_SESSION_NEVER;
}

void
epb_session_refuse(struct epb_session *session, uint32_t id, enum epb_status status)
{
    enum epb_status encoded;

    if (session->stage == EPB_STAGE_LINES) {
        encoded =
            epb_jsonl_encode_error(&session->out, (struct epb_bytes){NULL, 0}, status);
    } else {
        struct epb_reply reply = {.status = status, .id = id};
        encoded = epb_frame_encode_reply(&session->out, &reply);
    }
    (void)encoded; /* without memory for a reply, closing must suffice */
    if (status == EPB_AUTH_FAILED) {
        epb_engine_traffic(session->config->engine)->auth_failures++;
    }
    epb_session_emit(session, "refused", NULL, status);
    epb_session_abandon(session);
}

void
epb_session_refuse_request(struct epb_session *session, uint32_t id,
                           enum epb_status status)
{
    epb_engine_count_refusal(session->config->engine, status);
    epb_session_refuse(session, id, status);
}

/* Reserved before a request may change anything. */
bool
epb_session_has_reply_room(struct epb_session *session)
{
    uint8_t *room;

    return epb_buf_reserve(&session->out, REPLY_ROOM_BYTES, &room) == EPB_OK;
}

enum epb_status
epb_session_run(struct epb_session *session, const struct epb_request *request,
                const struct epb_time *now, struct epb_reply *reply)
{
    if (!epb_session_has_reply_room(session)) {
        epb_engine_count_refusal(session->config->engine, EPB_INTERNAL);
        return EPB_INTERNAL;
    }
    epb_engine_run(session->config->engine, session->peer, request, now, reply);
    return EPB_OK;
}
