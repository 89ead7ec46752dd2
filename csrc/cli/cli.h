/*
 * One run of the program: its command, the parsed command line, the resolved options, and
 * what it says on standard error.
 *
 * A command is a row of the table in commands.c. main.c finds the row, parses its flags,
 * resolves its options, and calls `run`, which returns the exit status. Standard output
 * carries the answer of a command and nothing else.
 *
 * Exit statuses: 0 done, 1 the broker refused, 2 wrong use, 3 no broker; 125 for all
 * failures of `start`.
 */
#ifndef EPB_CLI_CLI_H
#define EPB_CLI_CLI_H

#include "args.h"

#define EPB_CLI_PROGRAM "ephemeral-pipe-broker"

enum epb_cli_exit {
    EPB_EXIT_DONE = 0,
    EPB_EXIT_REFUSED = 1,
    EPB_EXIT_WRONG_USE = 2,
    EPB_EXIT_NO_BROKER = 3,
    EPB_EXIT_START_FAILED = 125
};

enum epb_cli_group {
    EPB_GROUP_RUN,    /* starts a command or a broker */
    EPB_GROUP_VALUES, /* values */
    EPB_GROUP_LEASES, /* accounts, numbers and turns */
    EPB_GROUP_BROKER, /* about the broker */
    EPB_GROUP_MORE    /* help, version, completions */
};

struct epb_cli;

#define EPB_CLI_FLAGS_MAX 12U
#define EPB_CLI_MANY ((unsigned)-1)

struct epb_cli_command {
    const char *name;
    const char *usage;    /* after the program's name: "get KEY" */
    const char *summary;  /* one line */
    const char *note;     /* more paragraphs for its help; NULL: none */
    const char *examples; /* one a line; NULL: none */
    enum epb_cli_group group;
    unsigned words_min;
    unsigned words_max;
    bool runs_command;     /* what follows "--" is a command, not words */
    bool command_optional; /* and may be missing */
    unsigned kinds;        /* sets of options that it takes: 1U << EPB_KIND_CLIENT ... */
    int failure_status;    /* of wrong use; 0: EPB_EXIT_WRONG_USE */
    /* Own options of the kind FLAG; ends with 0. */
    enum epb_option_id flags[EPB_CLI_FLAGS_MAX];
    int (*run)(struct epb_cli *cli);
};

enum epb_cli_source {
    EPB_SOURCE_DEFAULT,
    EPB_SOURCE_ENVIRONMENT,
    EPB_SOURCE_FLAG
};

struct epb_cli_option {
    struct epb_option_value value;
    enum epb_cli_source source;
};

struct epb_cli {
    const struct epb_cli_command *commands; /* the whole table */
    size_t command_count;
    const struct epb_cli_command *command; /* the row of this run */
    char **argv;                           /* of the program */
    struct epb_args args;
    struct epb_cli_option options[EPB_OPTION_COUNT];
};

/* The row of a name; NULL: none. */
const struct epb_cli_command *
epb_cli_find(const struct epb_cli *cli, const char *name);
/* The options of a command with a flag, in the order of help: its own, then those of its
 * kinds. Returns their number; `out` has room for EPB_OPTION_COUNT. */
size_t
epb_cli_known(const struct epb_cli_command *command, enum epb_option_id *out);

/* Parses `argv`, the words after the command's name, and resolves the options of its
 * kinds. Returns 0, or the exit status after a complaint. */
EPB_MUST_USE int
epb_cli_parse(struct epb_cli *cli, char **argv);
void
epb_cli_fini(struct epb_cli *cli);

/* Options of the command: from the flag, else the environment, else the default. */
bool
epb_cli_is_given(const struct epb_cli *cli, enum epb_option_id id);
bool
epb_cli_flag(const struct epb_cli *cli, enum epb_option_id id);
uint64_t
epb_cli_number(const struct epb_cli *cli, enum epb_option_id id);
const char * /* NULL: not given */
epb_cli_text(const struct epb_cli *cli, enum epb_option_id id);

/* An environment variable; NULL: not set. Borrowed from the environment. */
const char *
epb_cli_env(const char *name);

/* Prints "ephemeral-pipe-broker: ..." as one line on standard error. Line breaks become
 * spaces, and control characters are left out. Long lines are cut. */
void
epb_cli_complain(const char *format, ...) EPB_PRINTF(1, 2);
/* The same for a text in a buffer, which may be long. */
void
epb_cli_complain_buf(const struct epb_buf *text);
/* Complains, with the name and usage of the command, and returns its status for wrong
 * use. */
int
epb_cli_wrong_use(const struct epb_cli *cli, const char *format, ...) EPB_PRINTF(2, 3);
/* Complains about a name that is no command, and returns a status. */
int
epb_cli_unknown(const struct epb_cli *cli, const char *name);
/* Complains that memory is out, and returns a status. */
int
epb_cli_no_memory(const struct epb_cli *cli);

#endif
