/* The program: finds the command, parses its words, and runs it. */
#include <string.h>

#include "../os/fd.h"
#include "adopt.h"
#include "commands.h"
#include "help.h"
#include "output.h"
#include "system.h"

struct alias {
    const char *word;
    const char *name;
};

static const struct alias ALIASES[] = {
    {"--help", "help"}, {"-h", "help"},    {"--version", "version"},
    {"-V", "version"},  {"-v", "version"}, {"--binary", "binary"},
};

static const char *
name_of(const char *word)
{
    for (size_t i = 0; i < sizeof(ALIASES) / sizeof(ALIASES[0]); i++) {
        if (strcmp(word, ALIASES[i].word) == 0) {
            return ALIASES[i].name;
        }
    }
    return word;
}

static int
print_short_help(const struct epb_cli *cli)
{
    struct epb_buf text;

    epb_buf_init(&text, 4096);
    int status =
        epb_help_short(&text, cli, epb_help_style()) == EPB_OK && epb_out_buf(&text)
            ? EPB_EXIT_DONE
            : EPB_EXIT_REFUSED;
    epb_buf_fini(&text);
    return status;
}

static int
run(struct epb_cli *cli, char **words)
{
    int status = epb_cli_parse(cli, words);

    if (status == 0) {
        status = cli->args.wants_help ? epb_cmd_help(cli) : cli->command->run(cli);
    }
    epb_cli_fini(cli);
    return status;
}

int
main(int argc, char **argv)
{
    struct epb_cli cli = {
        .commands = EPB_CLI_COMMANDS,
        .command_count = EPB_CLI_COMMAND_COUNT,
        .argv = epb_system_arguments(argv),
    };

#if !defined(_WIN32)
    epb_fd_fill_streams();
#endif
    argv = cli.argv;
    if (argv == NULL) {
        epb_cli_complain("memory is out");
        return EPB_EXIT_REFUSED;
    }
    (void)argc;
#if !defined(_WIN32)
    if (argv[0] != NULL && argv[1] != NULL && strcmp(argv[1], "--pid") == 0) {
        int status = epb_adopt(argv[2]);
        if (status != 0) {
            return status;
        }
        argv += 2;
    }
#endif
    if (argv[0] == NULL || argv[1] == NULL) {
        return print_short_help(&cli);
    }
    cli.command = epb_cli_find(&cli, name_of(argv[1]));
    if (cli.command == NULL) {
        return epb_cli_unknown(&cli, argv[1]);
    }
    return run(&cli, argv + 2);
}
