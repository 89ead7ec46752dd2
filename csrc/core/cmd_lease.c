/* Handlers of the commands on leases, and the replies to requests that waited. */
#include "../base/mem.h"
#include "../base/utf8.h"
#include "command.h"
#include "engine_internal.h"

/* Requesting grants */

/* Adds the value of a key that is leased for its value. */
static void
value_reply(const struct epb_ctx *ctx, struct epb_bytes key, struct epb_reply *reply)
{
    struct epb_item_view item;
    enum epb_status status = epb_store_get(ctx->engine->store, key, ctx->now, &item);

    if (status != EPB_OK) {
        *reply = (struct epb_reply){.status = status, .id = reply->id};
        return;
    }
    reply->flags |= item.value_flags;
    reply->body = item.value;
}

/* Several things in one body */

static uint32_t
element_bits(uint32_t value_flags)
{
    return ((value_flags & EPB_F_BINARY) != 0 ? EPB_ELEMENT_BYTES : 0) |
           ((value_flags & EPB_F_GZIP) != 0 ? EPB_ELEMENT_GZIP : 0);
}

static enum epb_status
pack_element(struct epb_buf *list, struct epb_bytes value, uint32_t value_flags)
{
    uint8_t *out;
    enum epb_status status =
        epb_buf_reserve(list, EPB_ELEMENT_HEADER_BYTES + value.size_bytes, &out);

    if (status == EPB_OK) {
        epb_put_u32(out, (uint32_t)value.size_bytes);
        out[4] = (uint8_t)element_bits(value_flags);
        epb_mem_copy(out + EPB_ELEMENT_HEADER_BYTES, value.data, value.size_bytes);
        epb_buf_commit(list, EPB_ELEMENT_HEADER_BYTES + value.size_bytes);
    }
    return status;
}

static enum epb_status
pack_number(struct epb_buf *list, uint64_t number)
{
    uint8_t *out;
    enum epb_status status = epb_buf_reserve(list, sizeof(number), &out);

    if (status == EPB_OK) {
        epb_put_u64(out, number);
        epb_buf_commit(list, sizeof(number));
    }
    return status;
}

/* `view` is the grant's. */
static enum epb_status
pack_things(struct epb_engine *engine, const struct epb_grant *grant,
            struct epb_grant_view *view)
{
    enum epb_status status = EPB_OK;

    for (uint64_t i = 0; i < view->count && status == EPB_OK; i++) {
        epb_grant_get_view_at(grant, i, view);
        status = view->kind == EPB_KIND_POOL
                     ? pack_element(&engine->list, view->value, view->value_flags)
                     : pack_number(&engine->list, view->number);
    }
    return status;
}

/* A grant requested with a count: its body is a list, even of one thing. */
static void
several_reply(const struct epb_ctx *ctx, const struct epb_grant *grant,
              struct epb_grant_view *view, struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    enum epb_status status;

    if (view->kind == EPB_KIND_VALUE) {
        value_reply(ctx, view->key, reply);
        status = reply->status != EPB_OK
                     ? EPB_OK
                     : pack_element(&engine->list, reply->body, reply->flags);
        reply->flags &= ~EPB_VALUE_FLAGS;
    } else {
        status = pack_things(engine, grant, view);
        if (view->kind != EPB_KIND_POOL) {
            epb_grant_get_view_at(grant, 0, view);
            reply->flags |= EPB_F_COUNT;
            reply->count = (int64_t)view->number;
        }
    }
    if (status != EPB_OK) {
        *reply = (struct epb_reply){.status = status, .id = reply->id};
    } else if (reply->status == EPB_OK) {
        reply->flags |= EPB_F_BURST;
        reply->burst = view->count;
        epb_state_list_reply(engine, reply);
    }
}

static void
grant_reply(const struct epb_ctx *ctx, const struct epb_grant *grant,
            struct epb_reply *reply)
{
    struct epb_grant_view view;

    if (!epb_state_grant_reply(grant, ctx->now, reply, &view)) {
        reply->status = EPB_LEASE_LOST;
        return;
    }
    if (view.several) {
        several_reply(ctx, grant, &view, reply);
        return;
    }
    switch (view.kind) {
    case EPB_KIND_NUMBERS:
    case EPB_KIND_SEMAPHORE:
        reply->flags |= EPB_F_COUNT;
        reply->count = (int64_t)view.number;
        break;
    case EPB_KIND_POOL:
        reply->flags |= view.value_flags;
        reply->body = view.value;
        break;
    case EPB_KIND_VALUE:
        value_reply(ctx, view.key, reply);
        break;
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
}

/* Adds the obstacle, if there is memory for it. */
void
epb_state_obstacle_reply(const struct epb_ctx *ctx, enum epb_lease_space space,
                         struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    const struct epb_bytes key = ctx->request->key;
    const struct epb_time *now = ctx->now;
    bool is_cycle = reply->status == EPB_DEADLOCK;
    size_t size_bytes =
        is_cycle ? epb_lease_cycle_pack(engine->leases, now, NULL)
                 : epb_lease_obstacle_pack(engine->leases, space, key, now, NULL);
    uint8_t *out;

    reply->as_of_wall_ms = now->wall_ms;
    if (epb_buf_reserve(&engine->list, size_bytes, &out) != EPB_OK) {
        return;
    }
    if (is_cycle) {
        (void)epb_lease_cycle_pack(engine->leases, now, out);
    } else {
        (void)epb_lease_obstacle_pack(engine->leases, space, key, now, out);
    }
    epb_buf_commit(&engine->list, size_bytes);
    epb_state_list_reply(engine, reply);
}

void
epb_state_wait_obstacle_reply(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    const struct epb_wait *wait = ctx->wait;
    const struct epb_time *now = ctx->now;
    size_t size_bytes = epb_lease_wait_obstacle_pack(wait, now, NULL);
    uint8_t *out;

    reply->as_of_wall_ms = now->wall_ms;
    if (reply->status == EPB_DEADLOCK && wait->reason != NULL) {
        reply->body = epb_reason_text(wait->reason);
    } else if (reply->status == EPB_WAIT_TIMEOUT &&
               epb_buf_reserve(&engine->list, size_bytes, &out) == EPB_OK) {
        (void)epb_lease_wait_obstacle_pack(wait, now, out);
        epb_buf_commit(&engine->list, size_bytes);
        epb_state_list_reply(engine, reply);
    }
}

/* Ends a grant that can't be delivered: its value was removed while the request waited,
 * or there is no memory for the reply. */
static void
end_untold(const struct epb_ctx *ctx, struct epb_grant *grant,
           const struct epb_reply *reply)
{
    if (reply->status != EPB_OK && reply->status != EPB_LEASE_LOST) {
        epb_lease_end(ctx->engine->leases, grant, ctx->now);
    }
}

static void
ask(const struct epb_ctx *ctx, const struct epb_lease_ask *terms, struct epb_reply *reply)
{
    struct epb_grant *grant = NULL;

    reply->status =
        epb_lease_ask(ctx->engine->leases, ctx->peer, terms, ctx->now, &grant);
    if (reply->status == EPB_OK && grant == NULL) {
        reply->deferred = true;
    } else if (reply->status == EPB_OK) {
        /* If the value is gone when its holder asks again, the lease stays. */
        grant_reply(ctx, grant, reply);
        if ((terms->request->flags & EPB_F_FRESH) != 0) {
            end_untold(ctx, grant, reply);
        }
    } else if (reply->status == EPB_LEASE_HELD || reply->status == EPB_DEADLOCK) {
        epb_state_obstacle_reply(ctx, terms->space, reply);
    }
}

static void
ask_key(const struct epb_ctx *ctx, enum epb_lease_rule rule,
        const struct epb_request *request, struct epb_reply *reply)
{
    struct epb_item_view view;
    const struct epb_lease_ask terms = {
        .space = EPB_SPACE_KEY,
        .rule = rule,
        .request = request,
        .has_value =
            epb_store_peek(ctx->engine->store, request->key, ctx->now, &view) == EPB_OK,
    };

    ask(ctx, &terms, reply);
}

void
epb_cmd_lease(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    ask_key(ctx, EPB_RULE_ANY, ctx->request, reply);
}

static bool
count_fits(const struct epb_request *request)
{
    return (request->flags & EPB_F_COUNT) == 0 ||
           (request->count >= 1 && request->count <= EPB_COUNT_MAX);
}

static void
describe(const struct epb_ctx *ctx, struct epb_lease_description *description)
{
    const struct epb_bytes key = ctx->request->key;
    struct epb_item_view view;
    bool has_value = epb_store_peek(ctx->engine->store, key, ctx->now, &view) == EPB_OK;

    epb_lease_describe(ctx->engine->leases, key, has_value, ctx->now, description);
}

/* The request asks for more than the resource has: adds how many it has. Otherwise its id
 * is in use. */
static void
conflict_reply(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_lease_description description;

    describe(ctx, &description);
    if ((ctx->request->flags & EPB_F_COUNT) != 0 &&
        (uint64_t)ctx->request->count > description.size) {
        reply->flags = EPB_F_COUNT;
        reply->count = (int64_t)description.size;
    }
}

void
epb_cmd_acquire(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_request fresh = *ctx->request;

    fresh.flags |= EPB_F_FRESH;
    if (!count_fits(ctx->request)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    ask_key(ctx, EPB_RULE_DEFINED, &fresh, reply);
    if (reply->status == EPB_NOT_FOUND) {
        epb_state_not_found(ctx, &ctx->engine->near_seldom, reply);
    } else if (reply->status == EPB_CONFLICT) {
        conflict_reply(ctx, reply);
    }
}

void
epb_cmd_number(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_request fresh = *ctx->request;

    fresh.flags |= EPB_F_FRESH;
    if (!count_fits(ctx->request)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    ask_key(ctx, EPB_RULE_NUMBER, &fresh, reply);
}

void
epb_cmd_lock(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_lease_ask terms = {.space = EPB_SPACE_LOCK, .request = ctx->request};

    ask(ctx, &terms, reply);
}

void
epb_cmd_describe(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_lease_description description;
    uint8_t *out;

    describe(ctx, &description);
    if (!description.exists) {
        return;
    }
    reply->status = epb_buf_reserve(&ctx->engine->list, EPB_DESCRIPTION_BYTES, &out);
    if (reply->status != EPB_OK) {
        return;
    }
    out[0] = (uint8_t)description.kind;
    epb_put_u64(out + 1, description.size);
    epb_put_u64(out + 9, description.free);
    epb_put_u64(out + 17, description.waiting);
    epb_buf_commit(&ctx->engine->list, EPB_DESCRIPTION_BYTES);
    epb_state_list_reply(ctx->engine, reply);
}

bool
epb_finish_lease(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    if (reply->status == EPB_CONFLICT) {
        reply->flags = EPB_F_COUNT;
        reply->count = ctx->wait->count;
    }
    if (reply->status != EPB_OK) {
        epb_state_wait_obstacle_reply(ctx, reply);
        return true;
    }
    grant_reply(ctx, ctx->wait->grant, reply);
    end_untold(ctx, ctx->wait->grant, reply);
    if (reply->status == EPB_NOT_FOUND) {
        reply->flags = EPB_F_WAIT;
        reply->wait_ms = ctx->now->mono_ms - ctx->wait->since_mono_ms;
    }
    return true;
}

/* Renewing */

static bool
pack_loss(void *context, uint64_t token, struct epb_bytes key)
{
    struct epb_buf *list = context;
    size_t size_bytes = EPB_LOSS_HEADER_BYTES + key.size_bytes;
    uint8_t *out;

    if (epb_buf_reserve(list, size_bytes, &out) != EPB_OK) {
        return false;
    }
    epb_put_u64(out, token);
    epb_put_u16(out + 8, (uint16_t)key.size_bytes);
    memcpy(out + EPB_LOSS_HEADER_BYTES, key.data, key.size_bytes);
    epb_buf_commit(list, size_bytes);
    return true;
}

static void
renew_token(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    struct epb_leases *leases = ctx->engine->leases;
    struct epb_grant_view view;

    reply->status = epb_lease_renew_token(leases, ctx->peer, request->fence,
                                          request->ttl_ms, ctx->now);
    if (reply->status != EPB_OK) {
        return;
    }
    const struct epb_grant *grant = epb_lease_find(leases, request->fence, ctx->now);
    bool live = grant != NULL && epb_grant_get_view(grant, ctx->now, &view);

    EPB_ASSERT(live);
    reply->flags = EPB_F_COUNT | EPB_F_TTL;
    reply->count = 1;
    reply->ttl_ms = view.ttl_ms;
}

static struct epb_who
who_asks(const struct epb_ctx *ctx)
{
    return (struct epb_who){ctx->peer, ctx->request->worker,
                            (ctx->request->flags & EPB_F_DETACHED) != 0};
}

void
epb_cmd_renew(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_who who = who_asks(ctx);
    const struct epb_lease_renewal renewal = {
        .key = ctx->request->key,
        .ttl_ms = ctx->request->ttl_ms,
        .lost = pack_loss,
        .context = &ctx->engine->list,
    };

    if ((ctx->request->flags & EPB_F_FENCE) != 0) {
        renew_token(ctx, reply);
        return;
    }
    if (who.worker.size_bytes == 0) {
        reply->status = EPB_WORKER_REQUIRED;
        return;
    }
    reply->count =
        (int64_t)epb_lease_renew_worker(ctx->engine->leases, &who, &renewal, ctx->now);
    reply->flags = EPB_F_COUNT;
    epb_state_list_reply(ctx->engine, reply);
}

void
epb_cmd_take(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    reply->status =
        epb_lease_take(ctx->engine->leases, ctx->peer, ctx->request->fence, ctx->now);
}

/* Releasing */

static bool
is_forced(const struct epb_ctx *ctx)
{
    return (ctx->request->flags & EPB_F_FORCE) != 0;
}

/* A release with the reason why its computation failed. */
static void
release_failed(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    struct epb_leases *leases = ctx->engine->leases;
    const struct epb_grant *grant = epb_lease_find(leases, request->fence, ctx->now);
    struct epb_grant_view view;

    if ((request->flags & EPB_F_FENCE) == 0) {
        reply->status = EPB_INVALID_REQUEST;
    } else if (request->value.size_bytes > EPB_REASON_MAX_BYTES) {
        reply->status = EPB_TOO_LARGE;
    } else if (!epb_utf8_valid(request->value)) {
        reply->status = EPB_INVALID_VALUE;
    } else if (grant != NULL && epb_grant_get_view(grant, ctx->now, &view)) {
        reply->status = view.kind == EPB_KIND_COMPUTE
                            ? epb_lease_fail(leases, ctx->peer, request->fence,
                                             is_forced(ctx), request->value, ctx->now)
                            : EPB_INVALID_REQUEST;
        reply->count = 1;
    }
}

static void
release_some(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    const struct epb_who who = who_asks(ctx);
    struct epb_lease_release release = {
        .key = request->key,
        .token = request->fence,
        .elements = request->value,
        .force = is_forced(ctx),
        .discard = (request->flags & EPB_F_DISCARD) != 0,
    };

    if ((request->flags & EPB_F_FENCE) != 0) {
        reply->status =
            epb_lease_release_token(ctx->engine->leases, &who, &release, ctx->now);
    } else if (who.worker.size_bytes == 0 &&
               !(release.force && release.key.size_bytes > 0)) {
        reply->status = EPB_WORKER_REQUIRED;
    } else {
        reply->status =
            epb_lease_release_worker(ctx->engine->leases, &who, &release, ctx->now);
    }
    reply->count = (int64_t)release.released;
}

void
epb_cmd_release(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    bool has_value = request->value.size_bytes > 0;
    bool discards = (request->flags & EPB_F_DISCARD) != 0;

    if (has_value && !discards) {
        release_failed(ctx, reply);
    } else if (has_value && (request->flags & EPB_F_FENCE) == 0) {
        reply->status = EPB_INVALID_REQUEST;
    } else {
        release_some(ctx, reply);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
    } else {
        reply->count = 0;
    }
}
