#include <criterion/criterion.h>

#include <string.h>

#include "base/hex.h"

static void
assert_digits(const char *text, size_t digits)
{
    for (size_t i = 0; i < digits; i++) {
        cr_assert(strchr("0123456789abcdef", text[i]) != NULL && text[i] != '\0');
    }
}

Test(hex, writes_just_the_digits_that_are_asked_for)
{
    for (size_t digits = 0; digits <= EPB_HEX_SECRET_DIGITS; digits += 2) {
        char text[EPB_HEX_SECRET_DIGITS + 1];
        memset(text, '!', sizeof(text));
        cr_assert_eq(epb_hex_random(text, digits), EPB_OK);
        assert_digits(text, digits);
        cr_assert_eq(text[digits], '!');
    }
}

/* Each digit takes all 16 values at each place: the chance of a miss in 2,000 texts is
 * below 64 * 16 * (15/16)^2000, less than 1e-50. */
Test(hex, each_place_has_each_digit)
{
    bool seen[EPB_HEX_SECRET_DIGITS][16] = {{false}};

    for (int round = 0; round < 2000; round++) {
        char text[EPB_HEX_SECRET_DIGITS];
        cr_assert_eq(epb_hex_random(text, sizeof(text)), EPB_OK);
        for (size_t i = 0; i < sizeof(text); i++) {
            const char *digit = memchr("0123456789abcdef", text[i], 16);
            cr_assert_not_null(digit);
            seen[i][text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10] = true;
        }
    }
    for (size_t i = 0; i < EPB_HEX_SECRET_DIGITS; i++) {
        for (size_t value = 0; value < 16; value++) {
            cr_assert(seen[i][value], "place %zu never has %zu", i, value);
        }
    }
}
