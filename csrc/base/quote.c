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

/* The code of a character that ends a line or changes the direction of text (U+2028 to
 * U+202E, U+2066 to U+2069); 0: another character. */
static unsigned
turn_code(struct epb_bytes character)
{
    const uint8_t *at = character.data;

    if (character.size_bytes != 3 || at[0] != 0xE2) {
        return 0;
    }
    bool turns = (at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE) ||
                 (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9);
    return turns ? 0x2000U | (at[1] & 0x3FU) << 6 | (at[2] & 0x3FU) : 0;
}

enum epb_status
epb_quote_escape(struct epb_buf *out, unsigned character)
{
    /* Pairs of a character and the letter that stands for it. */
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof(SHORT); i += 2) {
        if ((unsigned char)SHORT[i] == character) {
            return epb_buf_printf(out, "\\%c", SHORT[i + 1]);
        }
    }
    return epb_buf_printf(out, "\\u%04x", character);
}

static enum epb_status
put_character(struct epb_buf *out, struct epb_bytes character)
{
    uint8_t first = character.data[0];

    if (first == '"' || first == '\\' || first < 0x20 || first == 0x7F) {
        return epb_quote_escape(out, first);
    }
    if (is_high_control(character)) {
        return epb_quote_escape(out, character.data[1]);
    }
    if (turn_code(character) != 0) {
        return epb_quote_escape(out, turn_code(character));
    }
    return epb_buf_append(out, character.data, character.size_bytes);
}

bool
epb_quote_is_needed(struct epb_bytes text)
{
    while (text.size_bytes > 0) {
        size_t size = character_bytes(text);
        struct epb_bytes character = {text.data, size == 0 ? 1 : size};
        if (text.data[0] < 0x20 || text.data[0] == 0x7F || is_high_control(character) ||
            turn_code(character) != 0) {
            return true;
        }
        text = epb_bytes_after(text, character.size_bytes);
    }
    return false;
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
