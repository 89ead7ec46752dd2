/* See base64.h. */
#include "base64.h"

#define GROUP_TEXT_BYTES 4U
#define GROUP_BYTES 3U
#define NO_DIGIT 64U

static unsigned
digit_value(uint8_t character)
{
    if (character >= 'A' && character <= 'Z') {
        return character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return character - 'a' + 26U;
    }
    if (character >= '0' && character <= '9') {
        return character - '0' + 52U;
    }
    if (character == '+') {
        return 62;
    }
    if (character == '/') {
        return 63;
    }
    return NO_DIGIT;
}

/* The number of digits among a group's four characters: the last group may end in one or
 * two "=". */
static size_t
padded_digits(const uint8_t *group, bool last)
{
    if (!last || group[3] != '=') {
        return GROUP_TEXT_BYTES;
    }
    return group[2] == '=' ? 2 : 3;
}

bool
epb_base64_decode(uint8_t *text, size_t text_bytes, size_t *size_bytes)
{
    if (text_bytes % GROUP_TEXT_BYTES != 0) {
        return false;
    }
    size_t written = 0;
    for (size_t at = 0; at < text_bytes; at += GROUP_TEXT_BYTES) {
        size_t digits = padded_digits(text + at, at + GROUP_TEXT_BYTES == text_bytes);
        uint32_t bits = 0;
        for (size_t i = 0; i < digits; i++) {
            unsigned value = digit_value(text[at + i]);
            if (value == NO_DIGIT) {
                return false;
            }
            bits |= value << (18U - 6U * i);
        }
        size_t bytes = digits - 1;
        if ((bits & (0xFFFFFFU >> (8U * bytes))) != 0) {
            return false;
        }
        for (size_t i = 0; i < bytes; i++) {
            text[written++] = (uint8_t)(bits >> (16U - 8U * i));
        }
    }
    *size_bytes = written;
    return true;
}

enum epb_status
epb_base64_encode(struct epb_buf *out, struct epb_bytes bytes)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (bytes.size_bytes > SIZE_MAX / 2) {
        return EPB_TOO_LARGE;
    }
    size_t text_bytes =
        (bytes.size_bytes + GROUP_BYTES - 1) / GROUP_BYTES * GROUP_TEXT_BYTES;
    uint8_t *text;
    enum epb_status status = epb_buf_reserve(out, text_bytes, &text);
    if (status != EPB_OK) {
        return status;
    }
    for (size_t at = 0; at < bytes.size_bytes; at += GROUP_BYTES) {
        size_t left = bytes.size_bytes - at;
        uint32_t bits = (uint32_t)bytes.data[at] << 16;
        if (left > 1) {
            bits |= (uint32_t)bytes.data[at + 1] << 8;
        }
        if (left > 2) {
            bits |= bytes.data[at + 2];
        }
        *text++ = (uint8_t)digits[bits >> 18];
        *text++ = (uint8_t)digits[(bits >> 12) & 63U];
        *text++ = left > 1 ? (uint8_t)digits[(bits >> 6) & 63U] : '=';
        *text++ = left > 2 ? (uint8_t)digits[bits & 63U] : '=';
    }
    epb_buf_commit(out, text_bytes);
    return EPB_OK;
}
