/* See commands.h. */
#include "commands.h"

const struct epb_cli_command EPB_CLI_COMMANDS[] = {
#if !defined(_WIN32)
    {
        .name = "start",
        .usage = "start [FLAGS] [-- COMMAND]",
        .summary = "Run a command with a broker next to it, or a broker alone.",
        .group = EPB_GROUP_RUN,
        .runs_command = true,
        .command_optional = true,
        .kinds = 1U << EPB_KIND_BROKER | 1U << EPB_KIND_START | 1U << EPB_KIND_SECRET,
        .failure_status = EPB_EXIT_START_FAILED,
        .run = epb_cmd_start,
    },
#endif
    {
        .name = "help",
        .usage = "help [COMMAND]",
        .summary = "Print what a command does, and its flags.",
        .group = EPB_GROUP_MORE,
        .words_max = 1,
        .flags = {EPB_OPTION_FLAG_TABLES},
        .run = epb_cmd_help,
    },
    {
        .name = "version",
        .usage = "version",
        .summary = "Print the versions of the program and of everything inside.",
        .group = EPB_GROUP_MORE,
        .run = epb_cmd_version,
    },
    {
        .name = "binary",
        .usage = "binary",
        .summary = "Print the path of the native program, for scripts that want no Node.",
        .group = EPB_GROUP_MORE,
        .run = epb_cmd_binary,
    },
};
const size_t EPB_CLI_COMMAND_COUNT =
    sizeof(EPB_CLI_COMMANDS) / sizeof(EPB_CLI_COMMANDS[0]);
