/* See jsonl.h: replies. */
#include "base64.h"
#include "json.h"
#include "jsonl.h"
#include "report.h"
#include "text.h"

static void
put_start(struct epb_text *text, bool ok, struct epb_bytes id)
{
    epb_text_put(text, ok ? "{\"ok\":true" : "{\"ok\":false");
    if (id.size_bytes == 0)
        return;
    epb_text_put(text, ",\"id\":");
    epb_text_put_bytes(text, id);
}

static void
put_number_member(struct epb_text *text, const char *before, uint64_t number)
{
    epb_text_put(text, before);
    epb_text_put_number(text, number);
}

static void
put_json_text(struct epb_text *text, struct epb_bytes body)
{
    struct epb_json_scan scan = epb_json_scan(body);
    struct epb_json_span span;
    if (!epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) || !epb_json_ended(&scan)) {
        epb_text_note(text, EPB_INVALID_VALUE);
        return;
    }
    epb_text_put_bytes(text, body);
    if (text->status != EPB_OK)
        return;
    /* In JSON text a line break can only be white space; here it would end the line. */
    uint8_t *copy = text->out->memory + text->out->end - body.size_bytes;
    for (size_t i = 0; i < body.size_bytes; i++) {
        if (copy[i] == '\n' || copy[i] == '\r')
            copy[i] = ' ';
    }
}

/* The value as the store has it may come from a client that speaks frames, which may have
 * stored any text: it is checked, since it becomes a part of this line. */
static void
put_value(struct epb_text *text, const struct epb_reply *reply)
{
    epb_text_put(text, ",\"value\":");
    if ((reply->flags & EPB_VALUE_FLAGS) == 0) {
        put_json_text(text, reply->body);
        return;
    }
    epb_text_put(text, "\"");
    if (text->status == EPB_OK)
        text->status = epb_base64_encode(text->out, reply->body);
    epb_text_put(text, "\"");
    if ((reply->flags & EPB_F_BINARY) != 0)
        epb_text_put(text, ",\"encoding\":\"base64\"");
    if ((reply->flags & EPB_F_GZIP) != 0)
        epb_text_put(text, ",\"compressed\":true");
}

/* One packed entry (core/msg.h); returns how many bytes it takes. */
static size_t
put_list_entry(struct epb_text *text, const uint8_t *entry, uint64_t wall_ms)
{
    uint64_t ttl_ms = epb_get_u64(entry);
    size_t key_bytes = epb_get_u16(entry + 20);
    epb_text_put_json_string(
        text, (struct epb_bytes){entry + EPB_LIST_ENTRY_HEADER_BYTES, key_bytes});
    put_number_member(text, ":{\"expires\":", wall_ms + ttl_ms);
    put_number_member(text, ",\"hasValue\":true,\"ttl\":", ttl_ms);
    put_number_member(text, ",\"version\":", epb_get_u64(entry + 8));
    put_number_member(text, ",\"size\":", epb_get_u32(entry + 16));
    epb_text_put(text, "}");
    return EPB_LIST_ENTRY_HEADER_BYTES + key_bytes;
}

static void
put_list(struct epb_text *text, struct epb_bytes body, uint64_t wall_ms)
{
    epb_text_put(text, ",\"items\":{");
    for (size_t at = 0; at < body.size_bytes && text->status == EPB_OK;) {
        if (at > 0)
            epb_text_put(text, ",");
        at += put_list_entry(text, body.data + at, wall_ms);
    }
    epb_text_put(text, "}");
}

/* The members of the health object stand in the reply itself. */
static void
put_health(struct epb_text *text, const struct epb_stats *stats)
{
    size_t at = epb_buf_size(text->out);
    if (text->status == EPB_OK)
        text->status = epb_report_health(text->out, stats);
    if (text->status != EPB_OK)
        return;
    text->out->memory[text->out->start + at] = ','; /* where its brace was */
    epb_buf_truncate(text->out, 1);                 /* its last one */
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
    if (text->status == EPB_OK)
        text->status = epb_report_stats(text->out, stats);
}

static void
put_members(struct epb_text *text, const struct epb_command *command,
            const struct epb_reply *reply, const struct epb_time *now)
{
    switch (command->shape) {
    case EPB_SHAPE_NOTHING:
        if ((reply->flags & EPB_F_VERSION) == 0)
            break;
        put_number_member(text, ",\"version\":", reply->version);
        break;
    case EPB_SHAPE_VALUE:
        put_value(text, reply);
        break;
    case EPB_SHAPE_ENTRY:
        put_value(text, reply);
        put_number_member(text, ",\"version\":", reply->version);
        put_number_member(text, ",\"ttl\":", reply->ttl_ms);
        break;
    case EPB_SHAPE_NUMBER:
        epb_text_put(text, ",\"value\":");
        epb_text_put_signed(text, reply->count);
        break;
    case EPB_SHAPE_BOOLEAN:
        epb_text_put(text, command->action == EPB_ACTION_DEL ? ",\"deleted\":"
                                                             : ",\"exists\":");
        epb_text_put(text, reply->count != 0 ? "true" : "false");
        break;
    case EPB_SHAPE_TTL:
        put_number_member(text, ",\"ttl\":", reply->ttl_ms);
        break;
    case EPB_SHAPE_PONG:
        epb_text_put(text, ",\"pong\":");
        epb_text_put_signed(text, reply->count);
        break;
    case EPB_SHAPE_LIST:
        put_list(text, reply->body, now->wall_ms);
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
    }
}

enum epb_status
epb_jsonl_encode(struct epb_buf *out, const struct epb_jsonl_request *request,
                 const struct epb_reply *reply, const struct epb_time *now)
{
    if (reply->status != EPB_OK)
        return epb_jsonl_encode_error(out, request->id, reply->status);
    struct epb_text text = epb_text_begin(out);
    put_start(&text, true, request->id);
    put_members(&text, request->command, reply, now);
    epb_text_put(&text, "}\n");
    return epb_text_end(&text);
}

enum epb_status
epb_jsonl_encode_error(struct epb_buf *out, struct epb_bytes id, enum epb_status status)
{
    struct epb_text text = epb_text_begin(out);
    put_start(&text, false, id);
    epb_text_put(&text, ",\"error\":\"");
    epb_text_put(&text, epb_status_name(status));
    epb_text_put(&text, "\",\"message\":\"");
    epb_text_put(&text, epb_status_message(status));
    epb_text_put(&text, "\"}\n");
    return epb_text_end(&text);
}
