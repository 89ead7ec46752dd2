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
miss(struct epb_engine *engine, const struct epb_request *request,
     const struct epb_time *now, struct epb_reply *reply)
{
    if ((request->flags & EPB_F_IF_ABSENT) != 0) {
        return;
    }
    if (epb_lease_is_defined(engine->leases, request->key)) {
        reply->status = EPB_KIND_MISMATCH;
    } else {
        epb_state_not_found(engine, &engine->near_often, request->key, now, reply);
    }
}

void
epb_cmd_get(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_item_view view;

    (void)peer;
    reply->status = epb_store_get(engine->store, request->key, now, &view);
    if (reply->status == EPB_OK) {
        reply->flags = view.value_flags;
        reply->body = view.value;
    } else {
        miss(engine, request, now, reply);
    }
}

void
epb_cmd_get_entry(struct epb_engine *engine, struct epb_peer *peer,
                  const struct epb_request *request, const struct epb_time *now,
                  struct epb_reply *reply)
{
    struct epb_item_view view;

    (void)peer;
    reply->status = epb_store_get(engine->store, request->key, now, &view);
    if (reply->status == EPB_OK) {
        epb_state_entry_reply(&view, reply);
    } else {
        miss(engine, request, now, reply);
    }
}

void
epb_cmd_has(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_item_view view;

    (void)peer;
    reply->flags = EPB_F_COUNT;
    reply->count = epb_store_peek(engine->store, request->key, now, &view) == EPB_OK;
}

void
epb_cmd_ttl(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_item_view view;

    (void)peer;
    reply->status = epb_store_peek(engine->store, request->key, now, &view);
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_TTL;
        reply->ttl_ms = view.ttl_ms;
    } else {
        miss(engine, request, now, reply);
    }
}

void
epb_cmd_del(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    enum epb_status status = EPB_OK;
    bool deleted = epb_store_del(engine->store, request->key, now);

    (void)peer;
    if (!deleted) {
        status = epb_lease_undefine(engine->leases, request->key, now);
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
fence_check(const struct epb_engine *engine, const struct epb_request *request,
            const struct epb_time *now)
{
    if ((request->flags & EPB_F_FENCE) != 0 &&
        epb_lease_find(engine->leases, request->fence, now) == NULL) {
        return EPB_FENCED;
    }
    return EPB_OK;
}

/* A computation ends when its token writes its own key. */
static void
end_computation(struct epb_engine *engine, const struct epb_request *request,
                const struct epb_time *now)
{
    struct epb_grant_view view;
    struct epb_grant *grant;

    if ((request->flags & EPB_F_FENCE) == 0) {
        return;
    }
    grant = epb_lease_find(engine->leases, request->fence, now);
    if (grant != NULL && epb_grant_get_view(grant, now, &view) &&
        view.kind == EPB_KIND_COMPUTE && epb_bytes_compare(view.key, request->key) == 0) {
        epb_lease_end(engine->leases, grant, now);
    }
}

void
epb_cmd_set(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            struct epb_reply *reply)
{
    struct epb_write write = {
        .key = request->key,
        .value = request->value,
        .value_flags = request->flags & EPB_VALUE_FLAGS,
        .if_absent = (request->flags & EPB_F_IF_ABSENT) != 0,
        .check_version = (request->flags & EPB_F_VERSION) != 0,
        .version = request->version,
    };

    (void)peer;
    if (write.if_absent && write.check_version) {
        reply->status = EPB_INVALID_REQUEST;
        return;
    }
    reply->status = ttl_choose(&engine->options, request, &write.ttl_ms);
    if (reply->status == EPB_OK) {
        reply->status = value_check(&engine->options, request);
    }
    if (reply->status == EPB_OK) {
        reply->status = fence_check(engine, request, now);
    }
    if (reply->status == EPB_OK) {
        reply->status = epb_store_set(engine->store, &write, now, &reply->version);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_VERSION;
        end_computation(engine, request, now);
    } else if (reply->status == EPB_TOO_LARGE) {
        epb_reply_too_large(reply, unpacked_bytes(request),
                            engine->options.max_value_bytes, "maxValueSize");
    }
}

void
epb_cmd_incr(struct epb_engine *engine, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_time *now,
             struct epb_reply *reply)
{
    int64_t by = (request->flags & EPB_F_COUNT) != 0 ? request->count : 1;
    struct epb_item_view view;
    uint64_t ttl_ms = 0;

    (void)peer;
    reply->status = ttl_choose(&engine->options, request, &ttl_ms);
    /* Only a counter that must be created needs a TTL. */
    if (reply->status == EPB_OK ||
        epb_store_peek(engine->store, request->key, now, &view) == EPB_OK) {
        reply->status =
            epb_store_incr(engine->store, request->key, by, ttl_ms, now, &reply->count);
    }
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
    }
}
