/* help, version, binary, completion: what the program says about itself. */
#include <string.h>

#include "../os/oserror.h"
#include "commands.h"
#include "completion.h"
#include "gzip.h"
#include "help.h"
#include "output.h"
#include "system.h"
#include "table.h"

#define TEXT_MAX_BYTES (256U * 1024U)
#define PATH_ROOM_BYTES 4096U

static int
finish(struct epb_cli *cli, struct epb_buf *text, enum epb_status status)
{
    int result = EPB_EXIT_DONE;

    if (status != EPB_OK) {
        result = epb_cli_no_memory(cli);
    } else if (!epb_out_buf(text)) {
        epb_cli_complain("standard output can't be written");
        result = EPB_EXIT_REFUSED;
    }
    epb_buf_fini(text);
    return result;
}

/* Help of the command that --help stands with; of `help` alone or with a topic. */
int
epb_cmd_help(struct epb_cli *cli)
{
    struct epb_help_style style = epb_help_style();
    const struct epb_cli_command *topic = cli->command;
    struct epb_buf text;

    if (topic->run == epb_cmd_help && cli->args.word_count > 0) {
        topic = epb_cli_find(cli, cli->args.words[0]);
        if (topic == NULL) {
            return epb_cli_unknown(cli, cli->args.words[0]);
        }
    }
    epb_buf_init(&text, TEXT_MAX_BYTES);
    if (topic->run == epb_cmd_help && epb_cli_flag(cli, EPB_OPTION_FLAG_TABLES)) {
        return finish(cli, &text, epb_table_write(&text, cli));
    }
    if (topic->run == epb_cmd_help) {
        return finish(cli, &text, epb_help_overview(&text, cli, style));
    }
    return finish(cli, &text, epb_help_command(&text, topic, style));
}

int
epb_cmd_version(struct epb_cli *cli)
{
    struct epb_buf text;

    epb_buf_init(&text, TEXT_MAX_BYTES);
    return finish(cli, &text,
                  epb_buf_printf(&text,
                                 EPB_CLI_PROGRAM " " EPB_VERSION "\n"
                                                 "  mbedtls " EPB_MBEDTLS_VERSION "\n"
                                                 "  libsodium " EPB_LIBSODIUM_VERSION "\n"
                                                 "  cjson " EPB_CJSON_VERSION "\n"
                                                 "  libuv %s\n"
                                                 "  zlib %s\n",
                                 epb_os_libuv_version(), epb_gzip_version()));
}

int
epb_cmd_binary(struct epb_cli *cli)
{
    char path[PATH_ROOM_BYTES];
    struct epb_buf text;

    if (epb_system_program(path, sizeof(path)) != EPB_OK) {
        epb_cli_complain("the path of this program is unknown");
        return EPB_EXIT_REFUSED;
    }
    epb_buf_init(&text, TEXT_MAX_BYTES);
    return finish(cli, &text, epb_buf_printf(&text, "%s\n", path));
}

int
epb_cmd_completion(struct epb_cli *cli)
{
    struct epb_buf text;

    for (unsigned shell = 0; shell < EPB_SHELL_COUNT; shell++) {
        if (strcmp(cli->args.words[0], epb_shell_name((enum epb_shell)shell)) == 0) {
            epb_buf_init(&text, TEXT_MAX_BYTES);
            return finish(cli, &text,
                          epb_completion_write(&text, cli, (enum epb_shell)shell));
        }
    }
    return epb_cli_wrong_use(cli, "the shell is one of bash, zsh, fish");
}
