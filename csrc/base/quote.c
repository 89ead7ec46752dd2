/* See quote.h. */
#include "quote.h"

#include <stdio.h>

#include "utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* The size of the character at the front; 0: the bytes there are no UTF-8. */
static size_t
character_bytes(struct epb_bytes text)
{
    for (size_t size = 1; size <= 4 && size <= text.size_bytes; size++) {
        if (epb_utf8_valid((struct epb_bytes){text.data, size})) {
            return size;
        }
    }
    return 0;
}

/* Whether a character of two bytes is a C1 control. */
static bool
is_high_control(struct epb_bytes character)
{
    return character.size_bytes == 2 && character.data[0] == 0xC2 &&
           character.data[1] < 0xA0;
}

static enum epb_status
put_character(struct epb_buf *out, struct epb_bytes character)
{
    uint8_t first = character.data[0];

    if (first == '"' || first == '\\') {
        return epb_buf_printf(out, "\\%c", first);
    }
    if (first == '\n' || first == '\r' || first == '\t') {
        return epb_buf_printf(out, "\\%c",
                              first == '\n'   ? 'n'
                              : first == '\r' ? 'r'
                                              : 't');
    }
    if (first < 0x20 || first == 0x7F) {
        return epb_buf_printf(out, "\\u%04x", first);
    }
    if (is_high_control(character)) {
        return epb_buf_printf(out, "\\u%04x", character.data[1]);
    }
    return epb_buf_append(out, character.data, character.size_bytes);
}

enum epb_status
epb_quote(struct epb_buf *out, struct epb_bytes text, size_t max_bytes)
{
    size_t left_bytes = text.size_bytes < max_bytes ? text.size_bytes : max_bytes;
    enum epb_status status = epb_buf_append(out, "\"", 1);

    while (status == EPB_OK && left_bytes > 0) {
        size_t size = character_bytes(text);
        if (size > left_bytes) {
            break;
        }
        if (size == 0) {
            size = 1;
            status = epb_buf_append(out, REPLACEMENT, sizeof(REPLACEMENT) - 1);
        } else {
            status = put_character(out, (struct epb_bytes){text.data, size});
        }
        text = epb_bytes_after(text, size);
        left_bytes -= size;
    }
    return status == EPB_OK ? epb_buf_append(out, "\"", 1) : status;
}
