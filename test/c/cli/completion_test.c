#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/table.h"
#include "wire/json.h"

#define ROOM_BYTES (1024U * 1024U)

static struct epb_cli
all_commands(void)
{
    return (struct epb_cli){.commands = EPB_CLI_COMMANDS,
                            .command_count = EPB_CLI_COMMAND_COUNT};
}

static bool
contains(const struct epb_buf *text, const char *part)
{
    return memmem(epb_buf_data(text), epb_buf_size(text), part, strlen(part)) != NULL;
}

Test(completion, every_shell_is_offered_every_command)
{
    static const char *const FORMATS[] = {
        [EPB_SHELL_BASH] = "\n    %s) flags=",
        [EPB_SHELL_ZSH] = "\n    %s)\n",
        [EPB_SHELL_FISH] = " -a %s -d ",
    };
    const struct epb_cli cli = all_commands();

    for (unsigned shell = 0; shell < EPB_SHELL_COUNT; shell++) {
        struct epb_buf text;
        epb_buf_init(&text, ROOM_BYTES);
        cr_assert_eq(epb_completion_write(&text, &cli, (enum epb_shell)shell), EPB_OK);
        for (size_t i = 0; i < cli.command_count; i++) {
            char part[64];
            snprintf(part, sizeof(part), FORMATS[shell], cli.commands[i].name);
            cr_assert(contains(&text, part), "%s in %s", part,
                      epb_shell_name((enum epb_shell)shell));
        }
        epb_buf_fini(&text);
    }
}

Test(completion, too_little_room_is_an_error)
{
    const struct epb_cli cli = all_commands();

    for (unsigned shell = 0; shell < EPB_SHELL_COUNT; shell++) {
        struct epb_buf text;
        epb_buf_init(&text, 1000);
        cr_assert_eq(epb_completion_write(&text, &cli, (enum epb_shell)shell),
                     EPB_TOO_LARGE);
        cr_assert_eq(epb_buf_size(&text), 0);
        epb_buf_fini(&text);
    }
}

Test(table, is_json_with_every_command_and_option)
{
    const struct epb_cli cli = all_commands();
    struct epb_json_span span;
    struct epb_buf text;

    epb_buf_init(&text, ROOM_BYTES);
    cr_assert_eq(epb_table_write(&text, &cli), EPB_OK);
    struct epb_json_scan scan =
        epb_json_scan((struct epb_bytes){epb_buf_data(&text), epb_buf_size(&text)});
    cr_assert(epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) &&
              epb_json_has_ended(&scan));
    for (size_t i = 0; i < cli.command_count; i++) {
        char part[64];
        snprintf(part, sizeof(part), "{\"name\":\"%s\",\"usage\":", cli.commands[i].name);
        cr_assert(contains(&text, part), "%s", part);
    }
    cr_assert(contains(&text, "\"flag\":\"--max-items\",\"zeroMeans\":\"no limit\""));
    epb_buf_fini(&text);
}
