/* See log.h. An append that fails empties the line's buffer for good: its limit becomes
 * 0, and the end tells. */
#include "log.h"

#include <inttypes.h>
#include <string.h>

#include "../base/utf8.h"

static void
check(struct epb_buf *line, enum epb_status status)
{
    if (status == EPB_OK)
        return;
    epb_buf_truncate(line, epb_buf_size(line));
    line->limit_bytes = 0;
}

static void
append(struct epb_buf *line, const void *data, size_t size_bytes)
{
    check(line, epb_buf_append(line, data, size_bytes));
}

/* What JSON wants escaped, and control characters that would disturb a terminal. */
static void
append_escaped(struct epb_buf *line, struct epb_bytes text)
{
    size_t plain = 0; /* start of the run that needs nothing */

    for (size_t i = 0; i < text.size_bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f)
            continue;
        append(line, text.data + plain, i - plain);
        check(line, epb_buf_printf(line, "\\u%04x", (unsigned)byte));
        plain = i + 1;
    }
    append(line, text.data + plain, text.size_bytes - plain);
}

void
epb_log_begin(struct epb_buf *line, const char *level, const char *event,
              uint64_t wall_ms)
{
    check(line,
          epb_buf_printf(line, "{\"level\":\"%s\",\"event\":\"%s\",\"time\":%" PRIu64,
                         level, event, wall_ms));
}

void
epb_log_text(struct epb_buf *line, const char *name, struct epb_bytes text)
{
    check(line, epb_buf_printf(line, ",\"%s\":\"", name));
    if (text.size_bytes != 0) {
        if (epb_utf8_valid(text)) {
            append_escaped(line, text);
        } else {
            append(line, "(not UTF-8)", strlen("(not UTF-8)"));
        }
    }
    append(line, "\"", 1);
}

void
epb_log_string(struct epb_buf *line, const char *name, const char *text)
{
    epb_log_text(line, name, (struct epb_bytes){(const uint8_t *)text, strlen(text)});
}

void
epb_log_number(struct epb_buf *line, const char *name, uint64_t number)
{
    check(line, epb_buf_printf(line, ",\"%s\":%" PRIu64, name, number));
}

enum epb_status
epb_log_end(struct epb_buf *line)
{
    append(line, "}", 1);
    return epb_buf_size(line) == 0 ? EPB_INTERNAL : EPB_OK;
}
