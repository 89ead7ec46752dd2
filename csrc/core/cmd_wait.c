/* Handlers of the commands that coordinate: getOrSet, waitFor, watch, cancel, barrier,
 * throttle. */
#include "command.h"
#include "engine.h"
#include "engine_internal.h"

/* getOrSet */

/* Always asks for a fresh grant, so that a second call of the same worker waits instead
 * of getting the first call's grant again. */
static enum epb_status
compute_ask(const struct epb_ctx *ctx, bool may_wait, struct epb_grant **grant)
{
    struct epb_request fresh = *ctx->request;
    const struct epb_lease_ask terms = {.space = EPB_SPACE_COMPUTE, .request = &fresh};

    fresh.flags |= EPB_F_FRESH;
    if (!may_wait) {
        fresh.flags &= ~EPB_F_WAIT;
        fresh.wait_ms = 0;
    }
    return epb_lease_ask(ctx->engine->leases, ctx->peer, &terms, ctx->now, grant);
}

/* The value exists. If it expires soon, the first request refreshes it; all others get
 * the value. */
static void
refresh_ahead(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_grant_view view;
    struct epb_grant *grant = NULL;

    /* The value is valid even if the refresh is refused. */
    if (compute_ask(ctx, false, &grant) == EPB_OK &&
        epb_grant_get_view(grant, ctx->now, &view)) {
        reply->flags |= EPB_F_FENCE;
        reply->fence = view.token;
    }
}

void
epb_cmd_get_or_set(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view item;
    struct epb_grant_view view;
    struct epb_grant *grant = NULL;

    if (epb_store_get(ctx->engine->store, ctx->request->key, ctx->now, &item) == EPB_OK) {
        epb_state_entry_reply(&item, reply);
        if ((ctx->request->flags & EPB_F_PERIOD) != 0 &&
            item.ttl_ms <= ctx->request->period_ms) {
            refresh_ahead(ctx, reply);
        }
        return;
    }
    if (!epb_lease_allows_value(ctx->engine->leases, ctx->request->key, ctx->now)) {
        reply->status = EPB_KIND_MISMATCH;
        return;
    }
    reply->status = compute_ask(ctx, true, &grant);
    if (reply->status == EPB_LEASE_HELD || reply->status == EPB_DEADLOCK) {
        epb_state_obstacle_reply(ctx, EPB_SPACE_COMPUTE, reply);
    }
    if (reply->status != EPB_OK) {
        return;
    }
    if (!epb_state_grant_reply(grant, ctx->now, reply, &view)) {
        reply->deferred = true;
    }
}

/* A request that waited for a computation gets the value, or the right to compute it. */
static bool
computed_reply(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    struct epb_wait *wait = ctx->wait;
    struct epb_item_view item;
    struct epb_grant_view view;

    if (epb_store_get(engine->store, epb_lease_wait_key(wait), ctx->now, &item) ==
        EPB_OK) {
        if (wait->grant != NULL) {
            epb_lease_end(engine->leases, wait->grant, ctx->now);
        }
        epb_state_entry_reply(&item, reply);
        return true;
    }
    if (wait->grant == NULL && !epb_lease_ask_again(engine->leases, wait, ctx->now)) {
        return false;
    }
    if (!epb_state_grant_reply(wait->grant, ctx->now, reply, &view)) {
        reply->status = EPB_LEASE_LOST;
    }
    return true;
}

bool
epb_finish_get_or_set(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    if (reply->status == EPB_OK) {
        return computed_reply(ctx, reply);
    }
    if (reply->status == EPB_COMPUTE_FAILED && ctx->wait->reason != NULL) {
        reply->body = epb_reason_text(ctx->wait->reason);
    } else {
        epb_state_wait_obstacle_reply(ctx, reply);
    }
    return true;
}

/* waitFor */

void
epb_cmd_wait_for(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    if (epb_store_get(ctx->engine->store, ctx->request->key, ctx->now, &view) == EPB_OK) {
        epb_state_entry_reply(&view, reply);
    } else if (ctx->request->wait_ms == 0) {
        reply->status = EPB_WAIT_TIMEOUT;
    } else {
        reply->status =
            epb_watch_wait_for(ctx->engine->watches, ctx->peer, ctx->request, ctx->now);
        reply->deferred = reply->status == EPB_OK;
    }
}

bool
epb_finish_wait_for(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    if (reply->status != EPB_OK) {
        return true;
    }
    if (epb_store_get(ctx->engine->store, epb_watch_wait_key(ctx->wait), ctx->now,
                      &view) != EPB_OK) {
        epb_watch_wait_again(ctx->engine->watches, ctx->wait);
        return false;
    }
    epb_state_entry_reply(&view, reply);
    return true;
}

/* watch, cancel */

void
epb_cmd_watch(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    reply->status = epb_watch_add(ctx->engine->watches, ctx->peer, ctx->request);
}

void
epb_cmd_cancel(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    reply->flags = EPB_F_COUNT;
    if (ctx->request->count < 1 || ctx->request->count > UINT32_MAX) {
        return;
    }
    uint32_t id = (uint32_t)ctx->request->count;

    reply->count = epb_wait_cancel(ctx->engine->waits, ctx->peer, id, ctx->now) ||
                   epb_watch_cancel(ctx->engine->watches, ctx->peer, id);
    /* The watcher's events are gone, so there may be nothing left to take. */
    ctx->peer->told = epb_engine_has_next(ctx->engine, ctx->peer);
}

/* barrier */

void
epb_cmd_barrier(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    bool done = false;
    int64_t number = 0;

    reply->status = epb_barrier_arrive(ctx->engine->barriers, ctx->peer, ctx->request,
                                       ctx->now, &done, &number);
    if (reply->status != EPB_OK) {
        return;
    }
    reply->deferred = !done;
    if (done) {
        reply->flags = EPB_F_COUNT;
        reply->count = number;
    }
}

bool
epb_finish_barrier(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
        reply->count = ctx->wait->count;
    }
    return true;
}

/* throttle */

static void
throttle_reply(const struct epb_throttle_answer *answer, struct epb_reply *reply)
{
    reply->flags = EPB_F_COUNT | EPB_F_BURST | EPB_F_PERIOD | EPB_F_WAIT;
    reply->count = answer->allowed;
    reply->burst = answer->remaining;
    reply->period_ms = answer->reset_after_ms;
    reply->wait_ms = answer->retry_after_ms < EPB_WAIT_FOREVER_MS ? answer->retry_after_ms
                                                                  : EPB_WAIT_FOREVER_MS;
}

void
epb_cmd_throttle(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_throttle_answer answer;

    reply->status = epb_throttle_take(ctx->engine->throttles, ctx->peer, ctx->request,
                                      ctx->now, &answer);
    if (reply->status == EPB_OK && answer.waits) {
        reply->deferred = true;
    } else if (reply->status == EPB_OK) {
        throttle_reply(&answer, reply);
    }
}

bool
epb_finish_throttle(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    if (reply->status == EPB_OK) {
        throttle_reply(epb_throttle_granted(ctx->wait), reply);
    }
    return true;
}
