/* Prints what is written into a buffer, and frees it. All return the exit status. */
#ifndef EPB_CLI_PRINT_H
#define EPB_CLI_PRINT_H

#include "../core/msg.h"
#include "cli.h"

/* The most that a command prints: the largest value, escaped. */
#define EPB_PRINT_MAX_BYTES ((size_t)512 * 1024 * 1024)

/* `status` is that of the writing. */
int
epb_print_finish(struct epb_cli *cli, struct epb_buf *text, enum epb_status status);
int
epb_print_truth(struct epb_cli *cli, bool truth);
int
epb_print_number(struct epb_cli *cli, int64_t number);
/* A stored value, with the flag --json. */
int
epb_print_value(struct epb_cli *cli, const struct epb_reply *reply);
/* Says on standard error that a list has nothing: "no values of keys that begin with
 * PREFIX". */
int
epb_print_none(struct epb_cli *cli, const char *what);

#endif
