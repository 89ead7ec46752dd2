/* See log.h. */
#include "log.h"

#include <string.h>

#include "../base/quote.h"
#include "../base/utf8.h"

static void
put_name(struct epb_log_line *line, const char *name)
{
    epb_text_put(&line->text, ",\"");
    epb_text_put(&line->text, name);
    epb_text_put(&line->text, "\":");
}

void
epb_log_begin(struct epb_log_line *line, const char *level, const char *event,
              uint64_t wall_ms)
{
    epb_buf_init(&line->buf, EPB_LOG_LINE_MAX_BYTES);
    line->text = epb_text_begin(&line->buf);
    epb_text_put(&line->text, "{\"level\":\"");
    epb_text_put(&line->text, level);
    epb_text_put(&line->text, "\"");
    epb_log_string(line, "event", event);
    epb_log_number(line, "time", wall_ms);
}

void
epb_log_text(struct epb_log_line *line, const char *name, struct epb_bytes text)
{
    static const char other[] = "(not UTF-8)";

    if (!epb_utf8_valid(text)) {
        text = (struct epb_bytes){(const uint8_t *)other, sizeof(other) - 1};
    }
    put_name(line, name);
    if (line->text.status == EPB_OK) {
        line->text.status = epb_quote(&line->buf, text, SIZE_MAX);
    }
}

void
epb_log_string(struct epb_log_line *line, const char *name, const char *text)
{
    epb_log_text(line, name, (struct epb_bytes){(const uint8_t *)text, strlen(text)});
}

void
epb_log_number(struct epb_log_line *line, const char *name, uint64_t number)
{
    put_name(line, name);
    epb_text_put_number(&line->text, number);
}

enum epb_status
epb_log_end(struct epb_log_line *line, struct epb_bytes *json)
{
    epb_text_put(&line->text, "}");
    enum epb_status status = epb_text_end(&line->text);

    *json = (struct epb_bytes){epb_buf_data(&line->buf), epb_buf_size(&line->buf)};
    return status;
}

void
epb_log_fini(struct epb_log_line *line)
{
    epb_buf_fini(&line->buf);
}
