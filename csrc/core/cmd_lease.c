/* Handlers of the commands on leases, and the replies to requests that waited. */
#include "../base/mem.h"
#include "../base/utf8.h"
#include "command.h"
#include "engine_internal.h"

/* Requesting grants */

/* Adds the value of a key that is leased for its value. */
static void
value_reply(struct epb_engine *engine, struct epb_bytes key, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_item_view item;
    enum epb_status status = epb_store_get(engine->store, key, now, &item);

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
several_reply(struct epb_engine *engine, const struct epb_grant *grant,
              struct epb_grant_view *view, const struct epb_time *now,
              struct epb_reply *reply)
{
    enum epb_status status;

    if (view->kind == EPB_KIND_VALUE) {
        value_reply(engine, view->key, now, reply);
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
grant_reply(struct epb_engine *engine, const struct epb_grant *grant,
            const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_grant_view view;

    if (!epb_state_grant_reply(grant, now, reply, &view)) {
        reply->status = EPB_LEASE_LOST;
        return;
    }
    if (view.several) {
        several_reply(engine, grant, &view, now, reply);
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
        value_reply(engine, view.key, now, reply);
        break;
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
}

/* Adds the obstacle, if there is memory for it. */
void
epb_state_obstacle_reply(struct epb_engine *engine, enum epb_lease_space space,
                         struct epb_bytes key, const struct epb_time *now,
                         struct epb_reply *reply)
{
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
epb_state_wait_obstacle_reply(struct epb_engine *engine, const struct epb_wait *wait,
                              const struct epb_time *now, struct epb_reply *reply)
{
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
end_untold(struct epb_engine *engine, struct epb_grant *grant, const struct epb_time *now,
           const struct epb_reply *reply)
{
    if (reply->status != EPB_OK && reply->status != EPB_LEASE_LOST) {
        epb_lease_end(engine->leases, grant, now);
    }
}

static void
ask(struct epb_engine *engine, struct epb_peer *peer, const struct epb_lease_ask *terms,
    const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_grant *grant = NULL;

    reply->status = epb_lease_ask(engine->leases, peer, terms, now, &grant);
    if (reply->status == EPB_OK && grant == NULL) {
        reply->deferred = true;
    } else if (reply->status == EPB_OK) {
        /* If the value is gone when its holder asks again, the lease stays. */
        grant_reply(engine, grant, now, reply);
        if ((terms->request->flags & EPB_F_FRESH) != 0) {
            end_untold(engine, grant, now, reply);
        }
    } else if (reply->status == EPB_LEASE_HELD || reply->status == EPB_DEADLOCK) {
        epb_state_obstacle_reply(engine, terms->space, terms->request->key, now, reply);
    }
}

static void
ask_key(struct epb_engine *engine, struct epb_peer *peer, enum epb_lease_rule rule,
        const struct epb_request *request, const struct epb_time *now,
        struct epb_reply *reply)
{
    struct epb_item_view view;
    const struct epb_lease_ask terms = {
        .space = EPB_SPACE_KEY,
        .rule = rule,
        .request = request,
        .has_value = epb_store_peek(engine->store, request->key, now, &view) == EPB_OK,
    };

    ask(engine, peer, &terms, now, reply);
}

void
epb_cmd_lease(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    ask_key(engine, peer, EPB_RULE_ANY, request, now, reply);
}

static bool
count_fits(const struct epb_request *request)
{
    return (request->flags & EPB_F_COUNT) == 0 ||
           (request->count >= 1 && request->count <= EPB_COUNT_MAX);
}

static void
describe(struct epb_engine *engine, struct epb_bytes key, const struct epb_time *now,
         struct epb_lease_description *description)
{
    struct epb_item_view view;
    bool has_value = epb_store_peek(engine->store, key, now, &view) == EPB_OK;

    epb_lease_describe(engine->leases, key, has_value, now, description);
}

/* The request asks for more than the resource has: adds how many it has. Otherwise its id
 * is in use. */
static void
conflict_reply(struct epb_engine *engine, const struct epb_request *request,
               const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_lease_description description;

    describe(engine, request->key, now, &description);
    if ((request->flags & EPB_F_COUNT) != 0 &&
        (uint64_t)request->count > description.size) {
        reply->flags = EPB_F_COUNT;
        reply->count = (int64_t)description.size;
    }
}

void
epb_cmd_acquire(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_request *request, const struct epb_time *now,
                struct epb_reply *reply)
{
    struct epb_request fresh = *request;

    fresh.flags |= EPB_F_FRESH;
    if (!count_fits(request)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    ask_key(engine, peer, EPB_RULE_DEFINED, &fresh, now, reply);
    if (reply->status == EPB_NOT_FOUND) {
        epb_state_not_found(engine, &engine->near_seldom, request->key, now, reply);
    } else if (reply->status == EPB_CONFLICT) {
        conflict_reply(engine, request, now, reply);
    }
}

void
epb_cmd_number(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply)
{
    struct epb_request fresh = *request;

    fresh.flags |= EPB_F_FRESH;
    if (!count_fits(request)) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    ask_key(engine, peer, EPB_RULE_NUMBER, &fresh, now, reply);
}

void
epb_cmd_lock(struct epb_engine *engine, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    const struct epb_lease_ask terms = {.space = EPB_SPACE_LOCK, .request = request};

    ask(engine, peer, &terms, now, reply);
}

void
epb_cmd_describe(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_request *request, const struct epb_time *now,
                 struct epb_reply *reply)
{
    struct epb_lease_description description;
    uint8_t *out;

    (void)peer;
    describe(engine, request->key, now, &description);
    if (!description.exists) {
        return;
    }
    reply->status = epb_buf_reserve(&engine->list, EPB_DESCRIPTION_BYTES, &out);
    if (reply->status != EPB_OK) {
        return;
    }
    out[0] = (uint8_t)description.kind;
    epb_put_u64(out + 1, description.size);
    epb_put_u64(out + 9, description.free);
    epb_put_u64(out + 17, description.waiting);
    epb_buf_commit(&engine->list, EPB_DESCRIPTION_BYTES);
    epb_state_list_reply(engine, reply);
}

bool
epb_finish_lease(struct epb_engine *engine, struct epb_wait *wait,
                 const struct epb_time *now, struct epb_reply *reply)
{
    if (reply->status == EPB_CONFLICT) {
        reply->flags = EPB_F_COUNT;
        reply->count = wait->count;
    }
    if (reply->status != EPB_OK) {
        epb_state_wait_obstacle_reply(engine, wait, now, reply);
        return true;
    }
    grant_reply(engine, wait->grant, now, reply);
    end_untold(engine, wait->grant, now, reply);
    if (reply->status == EPB_NOT_FOUND) {
        reply->flags = EPB_F_WAIT;
        reply->wait_ms = now->mono_ms - wait->since_mono_ms;
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
renew_token(struct epb_engine *engine, const struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_grant_view view;

    reply->status =
        epb_lease_renew_token(engine->leases, peer, request->fence, request->ttl_ms, now);
    if (reply->status != EPB_OK) {
        return;
    }
    const struct epb_grant *grant = epb_lease_find(engine->leases, request->fence, now);
    bool live = grant != NULL && epb_grant_get_view(grant, now, &view);

    EPB_ASSERT(live);
    reply->flags = EPB_F_COUNT | EPB_F_TTL;
    reply->count = 1;
    reply->ttl_ms = view.ttl_ms;
}

void
epb_cmd_renew(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    if ((request->flags & EPB_F_FENCE) != 0) {
        renew_token(engine, peer, request, now, reply);
        return;
    }
    if (request->worker.size_bytes == 0) {
        reply->status = EPB_WORKER_REQUIRED;
        return;
    }
    reply->count = (int64_t)epb_lease_renew_worker(
        engine->leases, peer, request->worker, (request->flags & EPB_F_DETACHED) != 0,
        request->key, request->ttl_ms, now, pack_loss, &engine->list);
    reply->flags = EPB_F_COUNT;
    epb_state_list_reply(engine, reply);
}

void
epb_cmd_take(struct epb_engine *engine, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    reply->status = epb_lease_take(engine->leases, peer, request->fence, now);
}

/* Releasing */

/* A release with the reason why its computation failed. */
static void
release_failed(struct epb_engine *engine, const struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply)
{
    const struct epb_grant *grant = epb_lease_find(engine->leases, request->fence, now);
    struct epb_grant_view view;

    if ((request->flags & EPB_F_FENCE) == 0) {
        reply->status = EPB_INVALID_REQUEST;
    } else if (request->value.size_bytes > EPB_REASON_MAX_BYTES) {
        reply->status = EPB_TOO_LARGE;
    } else if (!epb_utf8_valid(request->value)) {
        reply->status = EPB_INVALID_VALUE;
    } else if (grant != NULL && epb_grant_get_view(grant, now, &view)) {
        reply->status =
            view.kind == EPB_KIND_COMPUTE
                ? epb_lease_fail(engine->leases, peer, request->fence,
                                 (request->flags & EPB_F_FORCE) != 0, request->value, now)
                : EPB_INVALID_REQUEST;
        reply->count = 1;
    }
}

static void
release_token(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_request *request, const struct epb_time *now,
              struct epb_reply *reply)
{
    bool released = false;

    reply->status = epb_lease_release_token(
        engine->leases, peer, request->fence, (request->flags & EPB_F_FORCE) != 0,
        (request->flags & EPB_F_DISCARD) != 0, request->value, now, &released);
    reply->count = released;
}

static void
release_worker(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply)
{
    bool force = (request->flags & EPB_F_FORCE) != 0;
    uint64_t released = 0;

    if (request->worker.size_bytes == 0 && !(force && request->key.size_bytes > 0)) {
        reply->status = EPB_WORKER_REQUIRED;
        return;
    }
    reply->status = epb_lease_release_worker(
        engine->leases, peer, request->worker, (request->flags & EPB_F_DETACHED) != 0,
        request->key, force, (request->flags & EPB_F_DISCARD) != 0, now, &released);
    reply->count = (int64_t)released;
}

void
epb_cmd_release(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_request *request, const struct epb_time *now,
                struct epb_reply *reply)
{
    bool has_elements =
        request->value.size_bytes > 0 && (request->flags & EPB_F_DISCARD) != 0;

    if (has_elements && (request->flags & EPB_F_FENCE) == 0) {
        reply->status = EPB_INVALID_REQUEST;
    } else if (request->value.size_bytes > 0 && !has_elements) {
        release_failed(engine, peer, request, now, reply);
    } else if ((request->flags & EPB_F_FENCE) != 0) {
        release_token(engine, peer, request, now, reply);
    } else {
        release_worker(engine, peer, request, now, reply);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
    } else {
        reply->count = 0;
    }
}
