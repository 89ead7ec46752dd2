#include <criterion/criterion.h>

#include "base/utf8.h"
#include "helpers.h"

/* Decodes by the bits alone and then asks whether that was the only way to write the
 * character: another way than the code's table of ranges. */
static bool
plainly_valid(const uint8_t *text, size_t size_bytes)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    size_t at = 0;

    while (at < size_bytes) {
        uint8_t lead = text[at];
        unsigned tail = lead < 0x80           ? 0
                        : (lead >> 5) == 0x06 ? 1
                        : (lead >> 4) == 0x0E ? 2
                        : (lead >> 3) == 0x1E ? 3
                                              : 9;
        uint32_t point = tail == 0 ? lead : lead & (0x3FU >> tail);

        if (tail == 9 || at + tail >= size_bytes) {
            return false;
        }
        for (unsigned i = 1; i <= tail; i++) {
            if ((text[at + i] >> 6) != 2) {
                return false;
            }
            point = point << 6 | (text[at + i] & 0x3FU);
        }
        if (point < smallest[tail] || point > 0x10FFFF || (point >> 11) == 0x1B) {
            return false;
        }
        at += tail + 1;
    }
    return true;
}

static bool
valid(const char *text)
{
    return epb_utf8_valid(bytes_of(text));
}

Test(utf8, accepts_text)
{
    cr_assert(epb_utf8_valid((struct epb_bytes){NULL, 0}));
    cr_assert(valid("plain"));
    cr_assert(valid("gr\xC3\xBC\xC3\x9F"));
    cr_assert(valid("\xE2\x82\xAC \xF0\x9F\x94\x91 \xF4\x8F\xBF\xBF"));
    cr_assert(epb_utf8_valid((struct epb_bytes){(const uint8_t *)"a\0b", 3}));
}

Test(utf8, refuses_what_is_no_character)
{
    cr_assert_not(valid("\xC0\x80"), "overlong");
    cr_assert_not(valid("\xE0\x9F\xBF"), "overlong");
    cr_assert_not(valid("\xF0\x8F\xBF\xBF"), "overlong");
    cr_assert_not(valid("\xED\xA0\x80"), "a lone surrogate");
    cr_assert_not(valid("\xED\xA0\x80\xED\xB0\x80"), "a surrogate pair");
    cr_assert_not(valid("\xF4\x90\x80\x80"), "past U+10FFFF");
    cr_assert_not(valid("\x80"), "a tail without a head");
    cr_assert_not(valid("12345678\xE2\x82"), "cut off");
    cr_assert_not(valid("\xFF"));
}

Test(utf8, agrees_with_plain_decoding_on_all_of_three_bytes)
{
    uint8_t text[3];

    for (uint32_t all = 0; all < 0x1000000; all++) {
        text[0] = (uint8_t)(all >> 16);
        text[1] = (uint8_t)(all >> 8);
        text[2] = (uint8_t)all;
        /* The last byte of most is dull. */
        if (text[0] < 0xC0 && text[2] != 0x41 && text[2] != 0x80) {
            continue;
        }
        cr_assert_eq(epb_utf8_valid((struct epb_bytes){text, 3}), plainly_valid(text, 3),
                     "%02x %02x %02x", text[0], text[1], text[2]);
    }
}

Test(utf8, agrees_with_plain_decoding_at_every_place)
{
    static const char *const pieces[] = {
        "",         "a",        "0123456",          "\xC3\xBC",         "\xE2\x82\xAC",
        "\xC3",     "\xE2\x82", "\xF0\x9F\x94\x91", "\xF4\x90\x80\x80", "\xED\x9F\xBF",
        "\x80",     "\xC1\xBF", "\xF0\x90\x80\x80", "\xEE\x80\x80",     "\xF1\x80\x80",
        "01234567",
    };
    struct random random = {7};

    for (unsigned round = 0; round < 200000; round++) {
        uint8_t text[64];
        size_t size_bytes = 0;

        for (unsigned i = 0; i < 6; i++) {
            const char *piece =
                pieces[random_below(&random, sizeof(pieces) / sizeof(pieces[0]))];

            memcpy(text + size_bytes, piece, strlen(piece));
            size_bytes += strlen(piece);
        }
        cr_assert_eq(epb_utf8_valid((struct epb_bytes){text, size_bytes}),
                     plainly_valid(text, size_bytes), "round %u", round);
    }
}

Test(utf8, plain_is_what_json_writes_as_it_is)
{
    uint8_t text[700];

    for (size_t size_bytes = 0; size_bytes <= sizeof(text); size_bytes++) {
        memset(text, 'x', sizeof(text));
        cr_assert(epb_utf8_is_plain((struct epb_bytes){text, size_bytes}));
        /* What lies behind it says nothing. */
        if (size_bytes < sizeof(text)) {
            text[size_bytes] = '"';
        }
        cr_assert(epb_utf8_is_plain((struct epb_bytes){text, size_bytes}));
    }
    for (size_t at = 0; at < sizeof(text); at++) {
        memset(text, 'x', sizeof(text));
        for (unsigned unit = 0; unit < 256; unit++) {
            text[at] = (uint8_t)unit;
            bool plain = unit >= 0x20 && unit < 0x80 && unit != '"' && unit != '\\';
            cr_assert_eq(epb_utf8_is_plain((struct epb_bytes){text, sizeof(text)}), plain,
                         "%02x at %zu", unit, at);
        }
    }
}
