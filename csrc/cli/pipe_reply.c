/* See pipe_reply.h. */
#include "pipe_reply.h"

#include "../base/utf8.h"
#include "../client/packed.h"
#include "../wire/jsonl.h"
#include "../wire/text.h"
#include "gzip.h"
#include "values.h"

/* Reports arrive as text: the JSON of stats and health, and Prometheus' format. */
static bool
is_report(const struct epb_command *command)
{
    return command->shape == EPB_SHAPE_STATS || command->shape == EPB_SHAPE_HEALTH ||
           command->shape == EPB_SHAPE_METRICS;
}

/* Writes the members of a JSON object, each behind a comma. */
static void
put_members(struct epb_text *text, struct epb_bytes object)
{
    struct epb_json_scan scan = epb_json_scan(object);
    struct epb_json_span value;
    struct epb_bytes name;

    if (!epb_members_begin(&scan)) {
        epb_text_note(text, EPB_VERSION_MISMATCH);
        return;
    }
    while (epb_members_next(&scan, &name, &value)) {
        epb_text_put(text, ",\"");
        epb_text_put_bytes(text, name);
        epb_text_put(text, "\":");
        epb_text_put_bytes(text, value.text);
    }
}

static enum epb_status
put_report(struct epb_buf *out, const struct epb_command *command, struct epb_bytes id,
           struct epb_bytes body)
{
    struct epb_text text = epb_text_begin(out);

    epb_text_put(&text, "{\"ok\":true");
    if (id.size_bytes > 0) {
        epb_text_put(&text, ",\"id\":");
        epb_text_put_bytes(&text, id);
    }
    if (command->shape == EPB_SHAPE_METRICS) {
        epb_text_put(&text, ",\"metrics\":");
        epb_text_put_json_string(&text, body);
        epb_text_put(&text, ",\"format\":\"prometheus\"");
    } else if (command->shape == EPB_SHAPE_STATS) {
        epb_text_put(&text, ",\"stats\":");
        epb_text_put_bytes(&text, body);
    } else {
        put_members(&text, body);
    }
    epb_text_put(&text, "}\n");
    return epb_text_end(&text);
}

static enum epb_status
put_inflated(struct epb_buf *out, const struct epb_command *command, struct epb_bytes id,
             const struct epb_reply *reply)
{
    struct epb_reply plain = *reply;
    struct epb_buf value;

    epb_buf_init(&value, EPB_GZIP_MAX_BYTES);
    enum epb_status status = epb_gzip_inflate(&value, reply->body);
    if (status == EPB_OK) {
        plain.flags &= ~(uint32_t)EPB_F_GZIP;
        plain.body = (struct epb_bytes){epb_buf_data(&value), epb_buf_size(&value)};
        status = epb_jsonl_encode(out, command, id, &plain);
    }
    epb_buf_fini(&value);
    return status;
}

enum epb_status
epb_pipe_reply(struct epb_buf *out, const struct epb_command *command,
               struct epb_bytes id, const struct epb_reply *reply)
{
    struct epb_reply dated = *reply;
    struct epb_time now;

    if (!epb_packed_fits(command->action, reply)) {
        return EPB_VERSION_MISMATCH;
    }
    if (reply->status == EPB_OK && is_report(command)) {
        return put_report(out, command, id, reply->body);
    }
    epb_sys_now(&now);
    dated.as_of_wall_ms = now.wall_ms;
    return (reply->flags & EPB_F_GZIP) != 0 ? put_inflated(out, command, id, &dated)
                                            : epb_jsonl_encode(out, command, id, &dated);
}

enum epb_status
epb_pipe_lost(struct epb_buf *out, const struct epb_reply *event)
{
    struct epb_text text = epb_text_begin(out);

    if (!epb_utf8_valid(event->body)) {
        return EPB_VERSION_MISMATCH;
    }
    epb_text_put(&text, "{\"event\":\"lease_lost\",\"token\":");
    epb_text_put_number(&text, event->fence);
    epb_text_put(&text, ",\"key\":");
    epb_text_put_json_string(&text, event->body);
    epb_text_put(&text, "}\n");
    return epb_text_end(&text);
}
