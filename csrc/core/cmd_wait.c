/* Handlers of the commands that coordinate: getOrSet, waitFor, watch, cancel, barrier,
 * throttle. */
#include "command.h"
#include "engine.h"
#include "engine_internal.h"

/* getOrSet */

/* Always asks for a fresh grant, so that a second call of the same worker waits instead
 * of getting the first call's grant again. */
static enum epb_status
compute_ask(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, bool may_wait, const struct epb_time *now,
            struct epb_grant **grant)
{
    struct epb_request fresh = *request;
    const struct epb_lease_ask terms = {.space = EPB_SPACE_COMPUTE, .request = &fresh};

    fresh.flags |= EPB_F_FRESH;
    if (!may_wait) {
        fresh.flags &= ~EPB_F_WAIT;
        fresh.wait_ms = 0;
    }
    return epb_lease_ask(engine->leases, peer, &terms, now, grant);
}

/* The value exists. If it expires soon, the first request refreshes it; all others get
 * the value. */
static void
refresh_ahead(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    struct epb_grant_view view;
    struct epb_grant *grant = NULL;

    /* The value is valid even if the refresh is refused. */
    if (compute_ask(engine, peer, request, false, now, &grant) == EPB_OK &&
        epb_grant_get_view(grant, now, &view)) {
        reply->flags |= EPB_F_FENCE;
        reply->fence = view.token;
    }
}

void
epb_cmd_get_or_set(struct epb_engine *engine, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now,
                   struct epb_reply *reply)
{
    struct epb_item_view item;
    struct epb_grant_view view;
    struct epb_grant *grant = NULL;

    if (epb_store_get(engine->store, request->key, now, &item) == EPB_OK) {
        epb_state_entry_reply(&item, reply);
        if ((request->flags & EPB_F_PERIOD) != 0 && item.ttl_ms <= request->period_ms) {
            refresh_ahead(engine, peer, request, now, reply);
        }
        return;
    }
    if (!epb_lease_allows_value(engine->leases, request->key, now)) {
        reply->status = EPB_KIND_MISMATCH;
        return;
    }
    reply->status = compute_ask(engine, peer, request, true, now, &grant);
    if (reply->status == EPB_LEASE_HELD || reply->status == EPB_DEADLOCK) {
        epb_state_obstacle_reply(engine, EPB_SPACE_COMPUTE, request->key, now, reply);
    }
    if (reply->status != EPB_OK) {
        return;
    }
    if (!epb_state_grant_reply(grant, now, reply, &view)) {
        reply->deferred = true;
    }
}

/* A request that waited for a computation gets the value, or the right to compute it. */
static bool
computed_reply(struct epb_engine *engine, struct epb_wait *wait,
               const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_item_view item;
    struct epb_grant_view view;

    if (epb_store_get(engine->store, epb_lease_wait_key(wait), now, &item) == EPB_OK) {
        if (wait->grant != NULL) {
            epb_lease_end(engine->leases, wait->grant, now);
        }
        epb_state_entry_reply(&item, reply);
        return true;
    }
    if (wait->grant == NULL && !epb_lease_ask_again(engine->leases, wait, now)) {
        return false;
    }
    if (!epb_state_grant_reply(wait->grant, now, reply, &view)) {
        reply->status = EPB_LEASE_LOST;
    }
    return true;
}

bool
epb_finish_get_or_set(struct epb_engine *engine, struct epb_wait *wait,
                      const struct epb_time *now, struct epb_reply *reply)
{
    if (reply->status == EPB_OK) {
        return computed_reply(engine, wait, now, reply);
    }
    if (reply->status == EPB_COMPUTE_FAILED && wait->reason != NULL) {
        reply->body = epb_reason_text(wait->reason);
    } else {
        epb_state_wait_obstacle_reply(engine, wait, now, reply);
    }
    return true;
}

/* waitFor */

void
epb_cmd_wait_for(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_request *request, const struct epb_time *now,
                 struct epb_reply *reply)
{
    struct epb_item_view view;

    if (epb_store_get(engine->store, request->key, now, &view) == EPB_OK) {
        epb_state_entry_reply(&view, reply);
    } else if (request->wait_ms == 0) {
        reply->status = EPB_WAIT_TIMEOUT;
    } else {
        reply->status = epb_watch_wait_for(engine->watches, peer, request, now);
        reply->deferred = reply->status == EPB_OK;
    }
}

bool
epb_finish_wait_for(struct epb_engine *engine, struct epb_wait *wait,
                    const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_item_view view;

    if (reply->status != EPB_OK) {
        return true;
    }
    if (epb_store_get(engine->store, epb_watch_wait_key(wait), now, &view) != EPB_OK) {
        epb_watch_wait_again(engine->watches, wait);
        return false;
    }
    epb_state_entry_reply(&view, reply);
    return true;
}

/* watch, cancel */

void
epb_cmd_watch(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    (void)now;
    reply->status = epb_watch_add(engine->watches, peer, request);
}

void
epb_cmd_cancel(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply)
{
    reply->flags = EPB_F_COUNT;
    if (request->count < 1 || request->count > UINT32_MAX) {
        return;
    }
    uint32_t id = (uint32_t)request->count;

    reply->count = epb_wait_cancel(engine->waits, peer, id, now) ||
                   epb_watch_cancel(engine->watches, peer, id);
    /* The watcher's events are gone, so there may be nothing left to take. */
    peer->told = epb_engine_has_next(engine, peer);
}

/* barrier */

void
epb_cmd_barrier(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_request *request, const struct epb_time *now,
                struct epb_reply *reply)
{
    bool done = false;
    int64_t number = 0;

    reply->status =
        epb_barrier_arrive(engine->barriers, peer, request, now, &done, &number);
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
epb_finish_barrier(struct epb_engine *engine, struct epb_wait *wait,
                   const struct epb_time *now, struct epb_reply *reply)
{
    (void)engine;
    (void)now;
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
        reply->count = wait->count;
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
epb_cmd_throttle(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_request *request, const struct epb_time *now,
                 struct epb_reply *reply)
{
    struct epb_throttle_answer answer;

    reply->status = epb_throttle_take(engine->throttles, peer, request, now, &answer);
    if (reply->status == EPB_OK && answer.waits) {
        reply->deferred = true;
    } else if (reply->status == EPB_OK) {
        throttle_reply(&answer, reply);
    }
}

bool
epb_finish_throttle(struct epb_engine *engine, struct epb_wait *wait,
                    const struct epb_time *now, struct epb_reply *reply)
{
    (void)engine;
    (void)now;
    if (reply->status == EPB_OK) {
        throttle_reply(epb_throttle_granted(wait), reply);
    }
    return true;
}
