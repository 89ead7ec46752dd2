#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/table.h"

static const struct epb_cli CLI = {.commands = EPB_CLI_COMMANDS};

static struct epb_cli
all_commands(void)
{
    struct epb_cli cli = CLI;

    cli.command_count = EPB_CLI_COMMAND_COUNT;
    return cli;
}

static size_t
longest_line(const struct epb_buf *text)
{
    const char *at = (const char *)epb_buf_data(text);
    const char *end = at + epb_buf_size(text);
    size_t longest = 0;

    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        cr_assert_not_null(line_end, "the last line ends");
        longest = (size_t)(line_end - at) > longest ? (size_t)(line_end - at) : longest;
        at = line_end + 1;
    }
    return longest;
}

static bool
contains(const struct epb_buf *text, const char *part)
{
    return memmem(epb_buf_data(text), epb_buf_size(text), part, strlen(part)) != NULL;
}

Test(help, every_page_fits_the_columns)
{
    const struct epb_cli cli = all_commands();

    for (unsigned columns = 80; columns <= 120; columns += 20) {
        const struct epb_help_style style = {columns, false};
        for (size_t i = 0; i < cli.command_count; i++) {
            struct epb_buf text;
            epb_buf_init(&text, 65536);
            cr_assert_eq(epb_help_command(&text, &cli.commands[i], style), EPB_OK);
            cr_assert_leq(longest_line(&text), columns, "%s", cli.commands[i].name);
            cr_assert(contains(&text, cli.commands[i].name));
            epb_buf_fini(&text);
        }
    }
}

Test(help, the_overview_names_every_command)
{
    const struct epb_cli cli = all_commands();
    const struct epb_help_style style = {80, false};
    struct epb_buf text;

    epb_buf_init(&text, 65536);
    cr_assert_eq(epb_help_overview(&text, &cli, style), EPB_OK);
    cr_assert_leq(longest_line(&text), 80);
    for (size_t i = 0; i < cli.command_count; i++) {
        char line[64];
        snprintf(line, sizeof(line), "\n  %s", cli.commands[i].name);
        cr_assert(contains(&text, line), "%s", cli.commands[i].name);
    }
    epb_buf_fini(&text);
}

Test(help, without_words_it_is_twelve_lines)
{
    const struct epb_cli cli = all_commands();
    const struct epb_help_style style = {80, false};
    struct epb_buf text;
    unsigned lines = 0;

    epb_buf_init(&text, 65536);
    cr_assert_eq(epb_help_short(&text, &cli, style), EPB_OK);
    cr_assert_leq(longest_line(&text), 80);
    for (size_t i = 0; i < epb_buf_size(&text); i++) {
        lines += epb_buf_data(&text)[i] == '\n';
    }
    cr_assert_eq(lines, 12);
    epb_buf_fini(&text);
}

Test(help, is_styled_on_a_terminal_only)
{
    struct epb_buf text;
    const struct epb_help_style bold = {80, true};
    const struct epb_help_style plain = {80, false};
    const struct epb_cli cli = all_commands();

    epb_buf_init(&text, 65536);
    cr_assert_eq(epb_help_overview(&text, &cli, plain), EPB_OK);
    cr_assert_not(contains(&text, "\x1B"));
    cr_assert_eq(epb_help_overview(&text, &cli, bold), EPB_OK);
    cr_assert(contains(&text, "\x1B[1m"));
    epb_buf_fini(&text);
}

Test(help, too_little_room_is_an_error)
{
    const struct epb_cli cli = all_commands();
    const struct epb_help_style style = {80, false};

    for (size_t room = 0; room < 500; room += 50) {
        struct epb_buf text;
        epb_buf_init(&text, room);
        cr_assert_eq(epb_help_overview(&text, &cli, style), EPB_TOO_LARGE);
        cr_assert_eq(epb_table_write(&text, &cli), EPB_TOO_LARGE);
        epb_buf_fini(&text);
    }
}
