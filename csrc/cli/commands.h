/* The table of commands: the rows are in commands.c, each in a file cmd_*.c of its
 * family. */
#ifndef EPB_CLI_COMMANDS_H
#define EPB_CLI_COMMANDS_H

#include "cli.h"

extern const struct epb_cli_command EPB_CLI_COMMANDS[];
extern const size_t EPB_CLI_COMMAND_COUNT;

/* cmd_start_posix.c */
int
epb_cmd_start(struct epb_cli *cli);

/* cmd_help.c */
int
epb_cmd_help(struct epb_cli *cli);
int
epb_cmd_version(struct epb_cli *cli);
int
epb_cmd_binary(struct epb_cli *cli);

#endif
