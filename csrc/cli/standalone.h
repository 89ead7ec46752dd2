/* `start` without a command. */
#ifndef EPB_CLI_STANDALONE_H
#define EPB_CLI_STANDALONE_H

#include "broker_service.h"

/* Serves until TERM or HUP, or INT or QUIT from a person who means this process. Prints
 * the variables as lines of a shell. `secret` ends with a NUL; NULL: none. Returns the
 * exit status. */
EPB_MUST_USE int
epb_standalone_run(const struct epb_cli *cli, struct epb_broker_service *broker,
                   char *secret);

/* Appends "export NAME='value'\n" for a POSIX shell. */
EPB_MUST_USE enum epb_status
epb_standalone_export(struct epb_buf *out, const char *name, struct epb_bytes value);

#endif
