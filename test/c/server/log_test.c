/* Log lines: JSON, and nothing in them that a terminal obeys. */
#include <criterion/criterion.h>

#include "helpers.h"
#include "server/log.h"

static void
expect_text(const char *text, const char *logged)
{
    char wanted[300];
    struct epb_log_line line;
    struct epb_bytes got;

    epb_log_begin(&line, "warn", "event", 5);
    epb_log_string(&line, "key", text);
    cr_assert_eq(epb_log_end(&line, &got), EPB_OK);
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"level\":\"warn\",\"event\":\"event\",\"time\":5,\"key\":\"%s\"}",
                   logged);
    cr_expect(bytes_equal(got, bytes_of(wanted)), "%.*s is not %s", (int)got.size_bytes,
              (const char *)got.data, wanted);
    epb_log_fini(&line);
}

Test(log, text_is_as_it_is)
{
    expect_text("", "");
    expect_text("user:1 \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                "user:1 \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
}

Test(log, what_json_wants_is_escaped)
{
    expect_text("a\"b\\c", "a\\\"b\\\\c");
}

Test(log, control_characters_are_escaped)
{
    expect_text("\x1b]0;title\x07\n\x7f", "\\u001b]0;title\\u0007\\n\\u007f");
    /* C1: the control sequence introducer of one character, and its neighbours. */
    expect_text("\xc2\x80\xc2\x9b"
                "31m\xc2\x9f\xc2\xa0",
                "\\u0080\\u009b31m\\u009f\xc2\xa0");
}

Test(log, what_turns_or_breaks_a_line_is_escaped)
{
    expect_text("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf",
                "\xe2\x80\xa7\\u2028\\u202e\xe2\x80\xaf");
    expect_text("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa",
                "\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa");
}

Test(log, other_bytes_are_not_shown)
{
    expect_text("\x9b"
                "31m",
                "(not UTF-8)");
}

Test(log, a_line_without_room_is_none)
{
    struct epb_log_line line;
    struct epb_bytes json;

    epb_log_begin(&line, "warn", "event", 5);
    for (unsigned i = 0; i < EPB_LOG_LINE_MAX_BYTES / 50; i++) {
        epb_log_string(&line, "key", "\x01\x01\x01\x01\x01\x01\x01\x01");
    }
    epb_log_string(&line, "b", "c");
    cr_assert_eq(epb_log_end(&line, &json), EPB_TOO_LARGE);
    cr_assert_eq(json.size_bytes, 0);
    epb_log_fini(&line);
}
