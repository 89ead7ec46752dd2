/* Handlers of the commands on values. */
#include "../base/utf8.h"
#include "command.h"
#include "engine_internal.h"

/* RFC 1952: ten bytes of header, at least eight of trailer. */
#define GZIP_MIN_BYTES 18U
#define GZIP_MAGIC 0x8B1FU

/* The key has no value. Most clients handle that themselves and set IF_ABSENT, which
 * saves the search. */
static EPB_NOINLINE void
miss(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    if ((ctx->request->flags & EPB_F_IF_ABSENT) != 0) {
        return;
    }
    if (epb_lease_is_defined(ctx->engine->leases, ctx->request->key)) {
        reply->status = EPB_KIND_MISMATCH;
    } else {
        epb_state_not_found(ctx, &ctx->engine->near_often, reply);
    }
}

void
epb_cmd_get(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    reply->status = epb_store_get(ctx->engine->store, ctx->request->key, ctx->now, &view);
    if (reply->status == EPB_OK) {
        reply->flags = view.value_flags;
        reply->body = view.value;
    } else {
        miss(ctx, reply);
    }
}

void
epb_cmd_get_entry(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    reply->status = epb_store_get(ctx->engine->store, ctx->request->key, ctx->now, &view);
    if (reply->status == EPB_OK) {
        epb_state_entry_reply(&view, reply);
    } else {
        miss(ctx, reply);
    }
}

void
epb_cmd_has(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    reply->flags = EPB_F_COUNT;
    reply->count =
        epb_store_peek(ctx->engine->store, ctx->request->key, ctx->now, &view) == EPB_OK;
}

void
epb_cmd_ttl(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;

    reply->status =
        epb_store_peek(ctx->engine->store, ctx->request->key, ctx->now, &view);
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_TTL;
        reply->ttl_ms = view.ttl_ms;
    } else {
        miss(ctx, reply);
    }
}

void
epb_cmd_del(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    enum epb_status status = EPB_OK;
    bool deleted = epb_store_del(ctx->engine->store, ctx->request->key, ctx->now);

    if (!deleted) {
        status = epb_lease_undefine(ctx->engine->leases, ctx->request->key, ctx->now);
        deleted = status == EPB_OK;
    }
    if (status != EPB_OK && status != EPB_NOT_FOUND) {
        reply->status = status;
        return;
    }
    reply->flags = EPB_F_COUNT;
    reply->count = deleted;
}

static bool
is_gzip(struct epb_bytes value)
{
    return value.size_bytes >= GZIP_MIN_BYTES && epb_get_u16(value.data) == GZIP_MAGIC;
}

/* Limits apply to the unpacked size, which the trailer of a compressed value contains. */
static uint64_t
unpacked_bytes(const struct epb_request *request)
{
    const struct epb_bytes value = request->value;
    uint64_t size_bytes = value.size_bytes;

    if ((request->flags & EPB_F_GZIP) != 0 && is_gzip(value)) {
        uint32_t told_bytes = epb_get_u32(value.data + value.size_bytes - 4);

        size_bytes = told_bytes > size_bytes ? told_bytes : size_bytes;
    }
    return size_bytes;
}

static enum epb_status
value_check(const struct epb_options *options, const struct epb_request *request)
{
    if (options->max_value_bytes != 0 &&
        unpacked_bytes(request) > options->max_value_bytes) {
        return EPB_TOO_LARGE;
    }
    if ((request->flags & EPB_F_GZIP) != 0) {
        return is_gzip(request->value) ? EPB_OK : EPB_INVALID_VALUE;
    }
    if ((request->flags & EPB_F_BINARY) == 0 && !epb_utf8_valid(request->value)) {
        return EPB_INVALID_VALUE;
    }
    return EPB_OK;
}

static enum epb_status
ttl_choose(const struct epb_options *options, const struct epb_request *request,
           uint64_t *ttl_ms)
{
    if ((request->flags & EPB_F_TTL) != 0) {
        *ttl_ms = request->ttl_ms;
    } else if (options->require_ttl) {
        return EPB_TTL_REQUIRED;
    } else {
        *ttl_ms = options->default_ttl_ms;
    }
    return EPB_OK;
}

/* A write with a fencing token is allowed while the token's grant lives, whatever the
 * grant is of. */
static enum epb_status
fence_check(const struct epb_ctx *ctx)
{
    if ((ctx->request->flags & EPB_F_FENCE) != 0 &&
        epb_lease_find(ctx->engine->leases, ctx->request->fence, ctx->now) == NULL) {
        return EPB_FENCED;
    }
    return EPB_OK;
}

/* A computation ends when its token writes its own key. */
static void
end_computation(const struct epb_ctx *ctx)
{
    const struct epb_request *request = ctx->request;
    struct epb_grant_view view;
    struct epb_grant *grant;

    if ((request->flags & EPB_F_FENCE) == 0) {
        return;
    }
    grant = epb_lease_find(ctx->engine->leases, request->fence, ctx->now);
    if (grant != NULL && epb_grant_get_view(grant, ctx->now, &view) &&
        view.kind == EPB_KIND_COMPUTE && epb_bytes_compare(view.key, request->key) == 0) {
        epb_lease_end(ctx->engine->leases, grant, ctx->now);
    }
}

void
epb_cmd_set(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    struct epb_write write = {
        .key = request->key,
        .value = request->value,
        .value_flags = request->flags & EPB_VALUE_FLAGS,
        .if_absent = (request->flags & EPB_F_IF_ABSENT) != 0,
        .check_version = (request->flags & EPB_F_VERSION) != 0,
        .version = request->version,
    };

    if (write.if_absent && write.check_version) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    reply->status = ttl_choose(&ctx->engine->options, request, &write.ttl_ms);
    if (reply->status == EPB_OK) {
        reply->status = value_check(&ctx->engine->options, request);
    }
    if (reply->status == EPB_OK) {
        reply->status = fence_check(ctx);
    }
    if (reply->status == EPB_OK) {
        reply->status =
            epb_store_set(ctx->engine->store, &write, ctx->now, &reply->version);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_VERSION;
        end_computation(ctx);
    } else if (reply->status == EPB_TOO_LARGE) {
        epb_reply_too_large(reply, unpacked_bytes(request),
                            ctx->engine->options.max_value_bytes, "maxValueSize");
    }
}

void
epb_cmd_touch(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    uint64_t ttl_ms = 0;

    reply->status = ttl_choose(&ctx->engine->options, request, &ttl_ms);
    if (reply->status != EPB_OK) {
        return;
    }
    reply->flags = EPB_F_COUNT;
    reply->count = epb_store_touch(ctx->engine->store, request->key, ttl_ms, ctx->now);
    if (reply->count == 0 && epb_lease_is_defined(ctx->engine->leases, request->key)) {
        *reply = (struct epb_reply){.status = EPB_KIND_MISMATCH, .id = request->id};
    }
}

void
epb_cmd_incr(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    const struct epb_request *request = ctx->request;
    int64_t by = (request->flags & EPB_F_COUNT) != 0 ? request->count : 1;
    struct epb_item_view view;
    uint64_t ttl_ms = 0;

    reply->status = ttl_choose(&ctx->engine->options, request, &ttl_ms);
    /* Only a counter that must be created needs a TTL. */
    if (reply->status == EPB_OK ||
        epb_store_peek(ctx->engine->store, request->key, ctx->now, &view) == EPB_OK) {
        reply->status = epb_store_incr(ctx->engine->store, request->key, by, ttl_ms,
                                       ctx->now, &reply->count);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
        if (epb_store_peek(ctx->engine->store, request->key, ctx->now, &view) == EPB_OK) {
            reply->flags |= EPB_F_TTL;
            reply->ttl_ms = view.ttl_ms;
        }
    }
}
