/*
 * Runs of ASCII are skipped 64 or eight bytes at a time. For every other character, the
 * lead byte determines the number of continuation bytes and the range of the first one.
 * This range excludes overlong forms, surrogates and numbers past U+10FFFF (Unicode 15,
 * table 3-7).
 */
#include "utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)
#define BLOCK_WORDS 8U
#define BLOCK_BYTES (BLOCK_WORDS * sizeof(uint64_t))
/* Reducing a vector to one result takes as long as filling several, so it is done once
 * for this many bytes. */
#define LARGE_BLOCK_BYTES (8U * BLOCK_BYTES)

struct form {
    unsigned tail_bytes;
    uint8_t first_low;
    uint8_t first_high;
};

/* tail_bytes 0: no well-formed character begins with this byte. */
static struct form
form_of(uint8_t lead)
{
    struct form form = {0, 0x80, 0xBF};

    if (lead >= 0xC2 && lead <= 0xDF) {
        form.tail_bytes = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        form.tail_bytes = 2;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        form.tail_bytes = 3;
    }
    if (lead == 0xE0) {
        form.first_low = 0xA0;
    } else if (lead == 0xED) {
        form.first_high = 0x9F;
    } else if (lead == 0xF0) {
        form.first_low = 0x90;
    } else if (lead == 0xF4) {
        form.first_high = 0x8F;
    }
    return form;
}

/* The size of the multi-byte character at the start of `text`; 0 when it is malformed or
 * cut off. */
static size_t
character_bytes(const uint8_t *text, size_t size_bytes)
{
    struct form form = form_of(text[0]);

    if (form.tail_bytes == 0 || form.tail_bytes >= size_bytes) {
        return 0;
    }
    if (text[1] < form.first_low || text[1] > form.first_high) {
        return 0;
    }
    for (unsigned i = 2; i <= form.tail_bytes; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return 1U + form.tail_bytes;
}

/* Reads word by word: a copy of the block would stay on the stack, unwiped. */
static bool
block_is_ascii(const uint8_t *text)
{
    uint64_t all = 0;

    for (size_t i = 0; i < BLOCK_WORDS; i++) {
        uint64_t word;
        memcpy(&word, text + i * sizeof(word), sizeof(word));
        all |= word;
    }
    return (all & HIGH_BITS) == 0;
}

bool
epb_utf8_valid(struct epb_bytes text)
{
    size_t at = 0;

    while (text.size_bytes - at >= BLOCK_BYTES && block_is_ascii(text.data + at)) {
        at += BLOCK_BYTES;
    }

    while (at < text.size_bytes) {
        size_t size_bytes = 1;

        if (text.size_bytes - at >= sizeof(uint64_t)) {
            uint64_t word;

            memcpy(&word, text.data + at, sizeof(word));
            if ((word & HIGH_BITS) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        if (text.data[at] >= 0x80) {
            size_bytes = character_bytes(text.data + at, text.size_bytes - at);
            if (size_bytes == 0) {
                return false;
            }
        }
        at += size_bytes;
    }
    return true;
}

/* Works on bytes, so that a vector holds as many as possible. As signed numbers, bytes
 * beyond ASCII are less than all others: one comparison finds them and control
 * characters. */
static uint8_t
is_odd(uint8_t unit)
{
    return (uint8_t)(((int8_t)unit < 0x20) | (unit == '"') | (unit == '\\'));
}

/* Two loops of constant length without branches: compilers vectorize both. */
static bool
block_is_odd(const uint8_t *text)
{
    uint8_t odd = 0;

    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        odd |= is_odd(text[i]);
    }
    return odd != 0;
}

static bool
large_block_is_odd(const uint8_t *text)
{
    uint8_t odd = 0;

    for (size_t i = 0; i < LARGE_BLOCK_BYTES; i++) {
        odd |= is_odd(text[i]);
    }
    return odd != 0;
}

bool
epb_utf8_is_plain(struct epb_bytes text)
{
    size_t at = 0;

    for (; text.size_bytes - at >= LARGE_BLOCK_BYTES; at += LARGE_BLOCK_BYTES) {
        if (large_block_is_odd(text.data + at)) {
            return false;
        }
    }
    for (; text.size_bytes - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
        if (block_is_odd(text.data + at)) {
            return false;
        }
    }
    for (; at < text.size_bytes; at++) {
        if (is_odd(text.data[at]) != 0) {
            return false;
        }
    }
    return true;
}
