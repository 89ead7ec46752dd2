#include <criterion/criterion.h>

#include "base/quote.h"
#include "helpers.h"

static void
assert_quoted(const char *text, size_t max_bytes, const char *expected)
{
    struct epb_buf out;

    epb_buf_init(&out, 1024);
    cr_assert_eq(epb_quote(&out, bytes_of(text), max_bytes), EPB_OK);
    const struct epb_bytes held = {epb_buf_data(&out), epb_buf_size(&out)};
    cr_assert(bytes_equal(held, bytes_of(expected)), "%.*s", (int)held.size_bytes,
              (const char *)held.data);
    epb_buf_fini(&out);
}

Test(quote, escapes_what_a_terminal_would_obey)
{
    assert_quoted("", 80, "\"\"");
    assert_quoted("plain", 80, "\"plain\"");
    assert_quoted("a\"b\\c", 80, "\"a\\\"b\\\\c\"");
    assert_quoted("a\n\r\tb", 80, "\"a\\n\\r\\tb\"");
    assert_quoted("\x1B[2J\x7F", 80, "\"\\u001b[2J\\u007f\"");
    assert_quoted("\xC2\x9B", 80, "\"\\u009b\"");
}

Test(quote, keeps_text_and_replaces_what_is_none)
{
    assert_quoted("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 80,
                  "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    assert_quoted("a\xFF\xE2\x82", 80, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

Test(quote, cuts_between_characters)
{
    assert_quoted("abcdef", 3, "\"abc\"");
    assert_quoted("ab\xC3\xA9", 3, "\"ab\"");
}
