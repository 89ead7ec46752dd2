/* How times, sizes, names and tables look, and the variable of flows. */
#include "cli/show.h"

#include <criterion/criterion.h>

#include "cli/flow.h"
#include "core/msg.h"
#include "helpers.h"

static char shown[512];

static const char *
finish(struct epb_buf *out, enum epb_status status)
{
    cr_assert_eq(status, EPB_OK);
    cr_assert_lt(epb_buf_size(out), sizeof(shown));
    if (epb_buf_size(out) > 0) {
        memcpy(shown, epb_buf_data(out), epb_buf_size(out));
    }
    shown[epb_buf_size(out)] = '\0';
    epb_buf_fini(out);
    return shown;
}

static const char *
number_by(void (*show)(struct epb_text *text, uint64_t number), uint64_t number)
{
    struct epb_buf out;

    epb_buf_init(&out, sizeof(shown));
    struct epb_text text = epb_text_begin(&out);
    show(&text, number);
    return finish(&out, epb_text_end(&text));
}

Test(show, durations_have_their_two_largest_units)
{
    cr_assert_str_eq(number_by(epb_show_duration, 0), "0 ms");
    cr_assert_str_eq(number_by(epb_show_duration, 999), "999 ms");
    cr_assert_str_eq(number_by(epb_show_duration, 59999), "59.9 s");
    cr_assert_str_eq(number_by(epb_show_duration, 250000), "4m 10s");
    cr_assert_str_eq(number_by(epb_show_duration, 5400000), "1h 30m");
    cr_assert_str_eq(number_by(epb_show_duration, 97200000), "1d 3h");
    cr_assert_str_eq(number_by(epb_show_duration, EPB_NUMBER_MAX), "forever");
}

Test(show, times_in_prose_are_rounded)
{
    cr_assert_str_eq(number_by(epb_show_ms, 40), "40 ms");
    cr_assert_str_eq(number_by(epb_show_ms, 1500), "1.5 s");
    cr_assert_str_eq(number_by(epb_show_ms, 60000), "60 s");
    cr_assert_str_eq(number_by(epb_show_ms, 300000), "5 min");
    cr_assert_str_eq(number_by(epb_show_ms, 7200000), "2 h");
}

Test(show, sizes_and_numbers)
{
    cr_assert_str_eq(number_by(epb_show_size, 1023), "1023 B");
    cr_assert_str_eq(number_by(epb_show_size, 2048), "2.0 KiB");
    cr_assert_str_eq(number_by(epb_show_size, 1572864), "1.5 MiB");
    cr_assert_str_eq(number_by(epb_show_grouped, 7), "7");
    cr_assert_str_eq(number_by(epb_show_grouped, 1234567), "1,234,567");
}

static const char *
name_of(const char *name)
{
    struct epb_buf out;

    epb_buf_init(&out, sizeof(shown));
    struct epb_text text = epb_text_begin(&out);
    epb_show_name(&text, bytes_of(name));
    return finish(&out, epb_text_end(&text));
}

Test(show, names_cannot_write_to_the_terminal)
{
    cr_assert_str_eq(name_of("plain \"name\" \xC3\xA4"), "plain \"name\" \xC3\xA4");
    cr_assert_str_eq(name_of("red\x1B[31m"), "\"red\\u001b[31m\"");
    cr_assert_str_eq(name_of("a\xE2\x80\xAE"), "\"a\\u202e\"");
    cr_assert_str_eq(name_of("a\xC2\x9B"), "\"a\\u009b\"");
}

Test(show, columns_are_as_wide_as_their_widest_cell)
{
    static const char cells[] = "KEY\0SIZE\0\xC3\xA4\0001";
    struct epb_buf in;
    struct epb_buf out;

    epb_buf_init(&in, sizeof(shown));
    epb_buf_init(&out, sizeof(shown));
    cr_assert_eq(epb_buf_append(&in, cells, sizeof(cells)), EPB_OK);
    struct epb_grid grid = {&in, 2, 2};
    enum epb_status status = epb_grid_write(&out, &grid);
    cr_assert_str_eq(finish(&out, status), "KEY  SIZE\n\xC3\xA4       1\n");
    epb_buf_fini(&in);
}

static size_t
tokens_of(const char *variable, const char *pipe, uint64_t *first)
{
    struct epb_buf out;

    epb_buf_init(&out, 1024);
    cr_assert_eq(epb_flow_tokens(&out, variable, pipe), EPB_OK);
    size_t count = epb_buf_size(&out) / sizeof(uint64_t);
    *first = count == 0 ? 0 : epb_get_u64(epb_buf_data(&out));
    epb_buf_fini(&out);
    return count;
}

Test(flow, tokens_count_for_their_broker_alone)
{
    uint64_t first = 0;

    cr_assert_eq(tokens_of(NULL, "/p", &first), 0);
    cr_assert_eq(tokens_of("7,8@/p", "/p", &first), 2);
    cr_assert_eq(first, 7);
    cr_assert_eq(tokens_of("7,8@/other", "/p", &first), 0);
    cr_assert_eq(tokens_of("x,8@/p", "/p", &first), 0);
    cr_assert_eq(tokens_of("0,8@/p", "/p", &first), 1);
    cr_assert_eq(first, 8);
}

static const char *
flow_of(uint64_t token, const char *variable, const char *pipe)
{
    struct epb_buf out;

    epb_buf_init(&out, sizeof(shown));
    return finish(&out, epb_flow_text(&out, token, variable, pipe));
}

Test(flow, a_command_holds_what_is_held_around_it)
{
    cr_assert_str_eq(flow_of(9, NULL, "/p"), "9@/p");
    cr_assert_str_eq(flow_of(9, "7,8@/p", "/p"), "9,7,8@/p");
    cr_assert_str_eq(flow_of(9, "7@/other", "/p"), "9@/p");
}
