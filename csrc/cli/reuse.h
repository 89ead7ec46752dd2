/* `start --reuse`: the command joins the broker of the `start` around it. */
#ifndef EPB_CLI_REUSE_H
#define EPB_CLI_REUSE_H

#include "cli.h"

/* Becomes the command once that broker has answered. Returns a status after a complaint.
 */
EPB_MUST_USE int
epb_reuse_run(struct epb_cli *cli, char *const *command);

#endif
