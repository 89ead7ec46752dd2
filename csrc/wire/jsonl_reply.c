/* See jsonl.h: replies. Packed parts are in jsonl_packed.c. */
#include "../base/utf8.h"
#include "base64.h"
#include "json.h"
#include "jsonl.h"
#include "jsonl_packed.h"
#include "report.h"

static void
put_start(struct epb_text *text, bool ok, struct epb_bytes id)
{
    epb_text_put(text, ok ? "{\"ok\":true" : "{\"ok\":false");
    if (id.size_bytes == 0) {
        return;
    }
    epb_text_put(text, ",\"id\":");
    epb_text_put_bytes(text, id);
}

static void
put_json_text(struct epb_text *text, struct epb_bytes body)
{
    struct epb_json_scan scan = epb_json_scan(body);
    struct epb_json_span span;

    if (!epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) || !epb_json_has_ended(&scan)) {
        epb_text_note(text, EPB_INVALID_VALUE);
        return;
    }
    epb_text_put_bytes(text, body);
    if (text->status != EPB_OK) {
        return;
    }
    /* In JSON text a line break is always white space; here it would end the line. */
    uint8_t *copy = text->out->memory + text->out->end - body.size_bytes;
    for (size_t i = 0; i < body.size_bytes; i++) {
        if (copy[i] == '\n' || copy[i] == '\r') {
            copy[i] = ' ';
        }
    }
}

/* Writes the stored value. A client that speaks frames may have stored any text, so the
 * text is checked before it becomes part of this line. */
static void
put_bare_value(struct epb_text *text, const struct epb_reply *reply)
{
    epb_text_put(text, "\"value\":");
    if ((reply->flags & EPB_VALUE_FLAGS) == 0) {
        put_json_text(text, reply->body);
        return;
    }
    epb_text_put(text, "\"");
    if (text->status == EPB_OK) {
        text->status = epb_base64_encode(text->out, reply->body);
    }
    epb_text_put(text, "\"");
    if ((reply->flags & EPB_F_BINARY) != 0) {
        epb_text_put(text, ",\"encoding\":\"base64\"");
    }
    if ((reply->flags & EPB_F_GZIP) != 0) {
        epb_text_put(text, ",\"compressed\":true");
    }
}

static void
put_value(struct epb_text *text, const struct epb_reply *reply)
{
    epb_text_put(text, ",");
    put_bare_value(text, reply);
}

/* Writes the members of the health object into the reply itself. */
static void
put_health(struct epb_text *text, const struct epb_stats *stats)
{
    size_t at = epb_buf_size(text->out);

    if (text->status == EPB_OK) {
        text->status = epb_report_health(text->out, stats);
    }
    if (text->status != EPB_OK) {
        return;
    }
    text->out->memory[text->out->start + at] = ','; /* instead of its opening brace */
    epb_buf_truncate(text->out, 1);                 /* its closing brace */
}

static void
put_metrics(struct epb_text *text, const struct epb_stats *stats)
{
    struct epb_buf metrics;

    epb_buf_init(&metrics, text->out->limit_bytes);
    epb_text_note(text, epb_report_metrics(&metrics, stats));
    epb_text_put(text, ",\"metrics\":");
    struct epb_bytes content = {epb_buf_data(&metrics), epb_buf_size(&metrics)};
    epb_text_put_json_string(text, content);
    epb_text_put(text, ",\"format\":\"prometheus\"");
    epb_buf_fini(&metrics);
}

static void
put_stats(struct epb_text *text, const struct epb_stats *stats)
{
    epb_text_put(text, ",\"stats\":");
    if (text->status == EPB_OK) {
        text->status = epb_report_stats(text->out, stats);
    }
}

static void
put_entry(struct epb_text *text, const struct epb_reply *reply)
{
    put_value(text, reply);
    epb_jsonl_put_number(text, ",\"version\":", reply->version);
    epb_jsonl_put_number(text, ",\"ttl\":", reply->ttl_ms);
}

/* Writes one of several things as an object with the members of a value. */
static void
put_thing(struct epb_text *text, struct epb_bytes *rest, bool numbered)
{
    if (numbered) {
        epb_jsonl_put_number(text, "{\"value\":", epb_get_u64(rest->data));
        *rest = epb_bytes_after(*rest, sizeof(uint64_t));
        epb_text_put(text, "}");
        return;
    }
    uint8_t bits = rest->data[4];
    struct epb_reply one = {
        .flags = ((bits & EPB_ELEMENT_BYTES) != 0 ? EPB_F_BINARY : 0) |
                 ((bits & EPB_ELEMENT_GZIP) != 0 ? EPB_F_GZIP : 0),
        .body = {rest->data + EPB_ELEMENT_HEADER_BYTES, epb_get_u32(rest->data)},
    };
    *rest = epb_bytes_after(*rest, EPB_ELEMENT_HEADER_BYTES + one.body.size_bytes);
    epb_text_put(text, "{");
    put_bare_value(text, &one);
    epb_text_put(text, "}");
}

/* The engine packs well-formed bodies. */
static void
put_things(struct epb_text *text, const struct epb_reply *reply)
{
    struct epb_bytes rest = reply->body;
    bool first = true;

    epb_text_put(text, ",\"values\":[");
    while (rest.size_bytes > 0 && text->status == EPB_OK) {
        if (!first) {
            epb_text_put(text, ",");
        }
        first = false;
        put_thing(text, &rest, (reply->flags & EPB_F_COUNT) != 0);
    }
    epb_text_put(text, "]");
}

static void
put_grant(struct epb_text *text, const struct epb_reply *reply)
{
    epb_jsonl_put_number(text, ",\"token\":", reply->fence);
    epb_jsonl_put_number(text, ",\"ttl\":", reply->ttl_ms);
}

/* Writes the leased things: several things, a number, or a value. */
static void
put_lease(struct epb_text *text, const struct epb_reply *reply)
{
    if ((reply->flags & EPB_F_BURST) != 0) {
        put_things(text, reply);
    } else if ((reply->flags & EPB_F_COUNT) != 0) {
        epb_text_put(text, ",\"value\":");
        epb_text_put_signed(text, reply->count);
    } else {
        put_value(text, reply);
    }
    put_grant(text, reply);
}

/* A version means that there is a value. Then the TTL is the value's. */
static void
put_compute(struct epb_text *text, const struct epb_reply *reply)
{
    bool has_value = (reply->flags & EPB_F_VERSION) != 0;

    if (has_value) {
        put_entry(text, reply);
    }
    if ((reply->flags & EPB_F_FENCE) == 0) {
        return;
    }
    epb_jsonl_put_number(text, ",\"compute\":true,\"token\":", reply->fence);
    if (!has_value) {
        epb_jsonl_put_number(text, ",\"computeTtl\":", reply->ttl_ms);
    }
}

static void
put_throttle(struct epb_text *text, const struct epb_reply *reply)
{
    epb_jsonl_put_truth(text, ",\"allowed\":", reply->count != 0);
    epb_jsonl_put_number(text, ",\"remaining\":", reply->burst);
    epb_text_put(text, ",\"retryAfterMs\":");
    if (reply->wait_ms >= EPB_NUMBER_MAX) {
        epb_text_put(text, "null");
    } else {
        epb_text_put_number(text, reply->wait_ms);
    }
    epb_jsonl_put_number(text, ",\"resetAfterMs\":", reply->period_ms);
}

/* The member's name is from the command table. */
static void
put_name(struct epb_text *text, const char *name)
{
    epb_text_put(text, ",\"");
    epb_text_put(text, name);
    epb_text_put(text, "\":");
}

static void
put_release(struct epb_text *text, int64_t count)
{
    epb_jsonl_put_truth(text, ",\"released\":", count != 0);
    epb_text_put(text, ",\"count\":");
    epb_text_put_signed(text, count);
}

static void
put_renewal(struct epb_text *text, const struct epb_reply *reply)
{
    epb_text_put(text, ",\"renewed\":");
    epb_text_put_signed(text, reply->count);
    epb_jsonl_put_losses(text, reply->body);
    if ((reply->flags & EPB_F_TTL) != 0) {
        epb_jsonl_put_number(text, ",\"ttl\":", reply->ttl_ms);
    }
}

/* A list, or the first piece of it. */
static void
put_list(struct epb_text *text, enum epb_shape shape, const struct epb_reply *reply)
{
    epb_jsonl_put_list_front(text, shape);
    epb_jsonl_put_entries(text, shape, reply->body, reply->as_of_wall_ms);
    if (reply->rest_bytes == 0) {
        epb_jsonl_put_list_back(text, shape);
    }
}

static void
put_members(struct epb_text *text, const struct epb_command *command,
            const struct epb_reply *reply)
{
    switch (command->shape) {
    case EPB_SHAPE_NOTHING:
        if ((reply->flags & EPB_F_VERSION) != 0) {
            epb_jsonl_put_number(text, ",\"version\":", reply->version);
        }
        break;
    case EPB_SHAPE_WATCH:
        break;
    case EPB_SHAPE_VALUE:
        put_value(text, reply);
        break;
    case EPB_SHAPE_ENTRY:
        put_entry(text, reply);
        break;
    case EPB_SHAPE_NUMBER:
        put_name(text, command->member);
        epb_text_put_signed(text, reply->count);
        break;
    case EPB_SHAPE_BOOLEAN:
        put_name(text, command->member);
        epb_text_put(text, reply->count != 0 ? "true" : "false");
        break;
    case EPB_SHAPE_TTL:
        epb_jsonl_put_number(text, ",\"ttl\":", reply->ttl_ms);
        break;
    case EPB_SHAPE_PONG:
        epb_text_put(text, ",\"pong\":");
        epb_text_put_signed(text, reply->count);
        break;
    case EPB_SHAPE_LIST:
    case EPB_SHAPE_LEASES:
        put_list(text, command->shape, reply);
        break;
    case EPB_SHAPE_STATS:
        put_stats(text, reply->stats);
        break;
    case EPB_SHAPE_HEALTH:
        put_health(text, reply->stats);
        break;
    case EPB_SHAPE_METRICS:
        put_metrics(text, reply->stats);
        break;
    case EPB_SHAPE_LEASE:
        put_lease(text, reply);
        break;
    case EPB_SHAPE_LOCK:
        epb_text_put(text, ",\"value\":null");
        put_grant(text, reply);
        break;
    case EPB_SHAPE_RELEASE:
        put_release(text, reply->count);
        break;
    case EPB_SHAPE_RENEWAL:
        put_renewal(text, reply);
        break;
    case EPB_SHAPE_CLEARED:
        epb_jsonl_put_number(text, ",\"cleared\":", (uint64_t)reply->count);
        epb_jsonl_put_number(text, ",\"held\":", reply->burst);
        break;
    case EPB_SHAPE_DESCRIPTION:
        epb_jsonl_put_description(text, reply->body);
        break;
    case EPB_SHAPE_COMPUTE:
        put_compute(text, reply);
        break;
    case EPB_SHAPE_THROTTLE:
        put_throttle(text, reply);
        break;
    }
}

static void
put_text(struct epb_text *text, const char *before, struct epb_bytes content)
{
    epb_text_put(text, before);
    epb_text_put_json_string(text, content);
}

static void
put_not_found(struct epb_text *text, const struct epb_reply *reply)
{
    if ((reply->flags & EPB_F_PERIOD) != 0) {
        bool expired = reply->count == EPB_EVENT_EXPIRE;
        epb_jsonl_put_number(text, expired ? ",\"expiredMsAgo\":" : ",\"evictedMsAgo\":",
                             reply->period_ms);
        epb_jsonl_put_number(text, ",\"ttl\":", reply->ttl_ms);
    }
    if (reply->body.size_bytes > 0) {
        epb_jsonl_put_near(text, reply->body);
    }
}

static bool
is_obstructed(enum epb_status status)
{
    return status == EPB_LEASE_HELD || status == EPB_WAIT_TIMEOUT ||
           status == EPB_DEADLOCK;
}

/* Writes the details of a refusal. The reason of a failed computation is another client's
 * text; it is left out when it is not valid text. */
static void
put_details(struct epb_text *text, const struct epb_reply *reply)
{
    if (reply->status == EPB_NOT_FOUND) {
        put_not_found(text, reply);
    } else if (reply->status == EPB_CONFLICT && (reply->flags & EPB_F_COUNT) != 0) {
        epb_jsonl_put_number(text, ",\"size\":", (uint64_t)reply->count);
    } else if (reply->status == EPB_TOO_LARGE && (reply->flags & EPB_F_BURST) != 0) {
        epb_jsonl_put_number(text, ",\"size\":", (uint64_t)reply->count);
        epb_jsonl_put_number(text, ",\"limit\":", reply->burst);
        put_text(text, ",\"option\":", reply->body);
    } else if (reply->body.size_bytes > 0 && is_obstructed(reply->status)) {
        epb_jsonl_put_obstacle(text, reply->body, reply->status == EPB_DEADLOCK,
                               reply->as_of_wall_ms);
    } else if (reply->body.size_bytes > 0 && epb_utf8_valid(reply->body)) {
        put_text(text, ",\"reason\":", reply->body);
    }
}

/* Lines get EPB_AUTH_REQUIRED only when the broker has a secret and does not accept
 * signed lines. */
static const char *
message_of(const struct epb_reply *reply)
{
    if (reply->status == EPB_AUTH_REQUIRED) {
        return "The broker has a secret: JSON lines need --no-auth or --legacy-hmac.";
    }
    if (reply->status == EPB_NOT_FOUND && (reply->flags & EPB_F_PERIOD) != 0) {
        return reply->count == EPB_EVENT_EXPIRE
                   ? "The key has expired."
                   : "The key was evicted, since the broker was full.";
    }
    return epb_status_message(reply->status);
}

static struct epb_text
begin_failure(struct epb_buf *out, struct epb_bytes id, const struct epb_reply *reply)
{
    struct epb_text text = epb_text_begin(out);

    put_start(&text, false, id);
    epb_text_put(&text, ",\"error\":\"");
    epb_text_put(&text, epb_status_name(reply->status));
    epb_text_put(&text, "\",\"message\":\"");
    epb_text_put(&text, message_of(reply));
    epb_text_put(&text, "\"");
    return text;
}

enum epb_status
epb_jsonl_encode(struct epb_buf *out, const struct epb_command *command,
                 struct epb_bytes id, const struct epb_reply *reply)
{
    struct epb_text text;

    if (reply->status == EPB_OK) {
        text = epb_text_begin(out);
        put_start(&text, true, id);
        put_members(&text, command, reply);
    } else {
        text = begin_failure(out, id, reply);
        put_details(&text, reply);
    }
    if (reply->rest_bytes == 0) {
        epb_text_put(&text, "}\n");
    }
    return epb_text_end(&text);
}

enum epb_status
epb_jsonl_encode_piece(struct epb_buf *out, const struct epb_command *command,
                       struct epb_bytes piece, uint64_t wall_ms, bool last)
{
    struct epb_text text = epb_text_begin(out);

    epb_text_put(&text, ",");
    epb_jsonl_put_entries(&text, command->shape, piece, wall_ms);
    if (last) {
        epb_jsonl_put_list_back(&text, command->shape);
        epb_text_put(&text, "}\n");
    }
    return epb_text_end(&text);
}

enum epb_status
epb_jsonl_encode_error(struct epb_buf *out, struct epb_bytes id, enum epb_status status)
{
    struct epb_reply reply = {.status = status};
    struct epb_text text = begin_failure(out, id, &reply);

    epb_text_put(&text, "}\n");
    return epb_text_end(&text);
}
