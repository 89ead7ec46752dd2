/* The command behind "--" of `start`, `lock` and `lease`. */
#ifndef EPB_CLI_RUN_H
#define EPB_CLI_RUN_H

#include "cli.h"
#include "companion.h"

/* The variables that lead a command to its broker. */
#define EPB_ENV_PIPE "EPHEMERAL_PIPE"
#define EPB_ENV_SECRET "EPHEMERAL_SECRET"
#define EPB_ENV_BROKER_PID "EPHEMERAL_BROKER_PID"

/* The time in which a companion must be ready. */
#define EPB_READY_MS 10000U

/* Complains that there is no such program, before anything is made for it. Returns 0 or a
 * status. */
EPB_MUST_USE int
epb_run_check(char *const *command);
/* Becomes the command. Returns a status after a complaint. */
EPB_MUST_USE int
epb_run_become(char *const *command);

#endif
