/* See log.h. A failed append empties the line's buffer and sets its limit to 0, so that
 * all further appends fail and epb_log_end reports it. */
#include "log.h"

#include <inttypes.h>
#include <string.h>

#include "../base/utf8.h"

static void
check(struct epb_buf *line, enum epb_status status)
{
    if (status == EPB_OK) {
        return;
    }
    epb_buf_truncate(line, epb_buf_size(line));
    line->limit_bytes = 0;
}

static void
append(struct epb_buf *line, const void *data, size_t size_bytes)
{
    check(line, epb_buf_append(line, data, size_bytes));
}

/* Decodes the first character of `text`, which is valid UTF-8, and its size in bytes.
 * Characters from U+10000 all become 0x10000. */
static uint32_t
character_at(const uint8_t *text, size_t *size_bytes)
{
    uint8_t first = text[0];

    *size_bytes = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    switch (*size_bytes) {
    case 1:
        return first;
    case 2:
        return (first & 0x1fU) << 6 | (text[1] & 0x3fU);
    case 3:
        return (first & 0x0fU) << 12 | (text[1] & 0x3fU) << 6 | (text[2] & 0x3fU);
    default:
        return 0x10000U;
    }
}

/* The characters that are escaped: those that JSON requires; control characters,
 * including C1 (U+0080 to U+009F), which terminals obey; and those that break a line or
 * change its direction. */
static bool
is_escaped(uint32_t character)
{
    return character < 0x20 || character == '"' || character == '\\' ||
           (character >= 0x7f && character <= 0x9f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

/* The text is valid UTF-8. */
static void
append_escaped(struct epb_buf *line, struct epb_bytes text)
{
    size_t plain = 0; /* start of the run that needs no escape */
    size_t size_bytes = 0;

    for (size_t i = 0; i < text.size_bytes; i += size_bytes) {
        uint32_t character = character_at(text.data + i, &size_bytes);
        if (!is_escaped(character)) {
            continue;
        }
        append(line, text.data + plain, i - plain);
        check(line, epb_buf_printf(line, "\\u%04x", (unsigned)character));
        plain = i + size_bytes;
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
