/* Completions for shells, written from the tables of commands and options. */
#ifndef EPB_CLI_COMPLETION_H
#define EPB_CLI_COMPLETION_H

#include "cli.h"

enum epb_shell {
    EPB_SHELL_BASH,
    EPB_SHELL_ZSH,
    EPB_SHELL_FISH,
    EPB_SHELL_COUNT
};

/* "bash", "zsh", "fish". */
const char *
epb_shell_name(enum epb_shell shell);
/* Writes a script to source: `eval "$(epb completion bash)"`. Same errors as
 * epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_completion_write(struct epb_buf *out, const struct epb_cli *cli,
                     enum epb_shell shell);

#endif
