/* Handlers of the commands on the broker itself. */
#include "command.h"
#include "engine_internal.h"

void
epb_cmd_ping(struct epb_engine *engine, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    (void)engine;
    (void)peer;
    (void)request;
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)now->wall_ms;
}

void
epb_cmd_stats(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    (void)peer;
    (void)request;
    epb_state_stats(engine, now, &engine->report);
    reply->stats = &engine->report;
}

/* A connection of our client joins a session. If that fails, the connection keeps its
 * session: its own, or that of another key. */
void
epb_cmd_join(struct epb_engine *engine, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    struct epb_budget whole = {SIZE_MAX};
    struct epb_group *group;

    if (request->count < 0 || !epb_peer_may_join(peer)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    if (request->value.size_bytes != EPB_SESSION_KEY_BYTES) {
        reply->status = EPB_INVALID_VALUE;
        return;
    }
    reply->status = epb_group_get(engine->waits, request->value.data,
                                  (uint64_t)request->count, &group);
    if (reply->status != EPB_OK) {
        return;
    }
    if (group != peer->group) {
        (void)epb_lease_leave(engine->leases, peer, now, &whole);
        epb_peer_join(engine->waits, peer, group);
    }
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)group->session;
}

/* The session and its owner choose the transport (wire/session.h). */
void
epb_cmd_pipes(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    (void)engine;
    (void)peer;
    (void)request;
    (void)now;
    (void)reply;
}
