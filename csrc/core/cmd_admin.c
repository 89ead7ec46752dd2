/* Handlers of the commands on the broker itself. */
#include "command.h"
#include "engine_internal.h"

void
epb_cmd_ping(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)ctx->now->wall_ms;
}

void
epb_cmd_stats(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    epb_state_stats(ctx->engine, ctx->now, &ctx->engine->report);
    reply->stats = &ctx->engine->report;
}

/* A connection of our client joins a session. If that fails, the connection keeps its
 * session: its own, or that of another key. */
void
epb_cmd_join(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_budget whole = {SIZE_MAX};
    struct epb_group *group;

    if (ctx->request->count < 0 || !epb_peer_may_join(ctx->peer)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    if (ctx->request->value.size_bytes != EPB_SESSION_KEY_BYTES) {
        reply->status = EPB_INVALID_VALUE;
        return;
    }
    reply->status = epb_group_get(ctx->engine->waits, ctx->request->value.data,
                                  (uint64_t)ctx->request->count, &group);
    if (reply->status != EPB_OK) {
        return;
    }
    if (group != ctx->peer->group) {
        (void)epb_lease_leave(ctx->engine->leases, ctx->peer, ctx->now, &whole);
        epb_peer_join(ctx->engine->waits, ctx->peer, group);
    }
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)group->session;
}
