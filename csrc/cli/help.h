/* The texts of help, written from the tables of commands and options. */
#ifndef EPB_CLI_HELP_H
#define EPB_CLI_HELP_H

#include "cli.h"

struct epb_help_style {
    unsigned columns; /* the width of the text */
    bool ansi;        /* bold and dim */
};

/* The style for standard output: the width of the terminal, else 80. */
struct epb_help_style
epb_help_style(void);

/* Write what `epb` alone, `help`, and `help COMMAND` print. Same errors as
 * epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_help_short(struct epb_buf *out, const struct epb_cli *cli,
               struct epb_help_style style);
EPB_MUST_USE enum epb_status
epb_help_overview(struct epb_buf *out, const struct epb_cli *cli,
                  struct epb_help_style style);
EPB_MUST_USE enum epb_status
epb_help_command(struct epb_buf *out, const struct epb_cli_command *command,
                 struct epb_help_style style);

#endif
