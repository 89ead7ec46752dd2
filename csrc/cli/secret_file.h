/* The first line of a file or of standard input, as a secret. Not a byte more of standard
 * input is read: a command or a value may follow. Both return 0, or an exit status after
 * a complaint. */
#ifndef EPB_CLI_SECRET_FILE_H
#define EPB_CLI_SECRET_FILE_H

#include "cli.h"

/* `source` is the name for messages. */
EPB_MUST_USE int
epb_secret_read_stdin(const struct epb_cli *cli, const char *source,
                      struct epb_buf *secret);
/* Warns of a file that other users may read. */
EPB_MUST_USE int
epb_secret_read_file(const struct epb_cli *cli, const char *path, struct epb_buf *secret);

#endif
