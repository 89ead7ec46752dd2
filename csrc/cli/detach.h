/* `start --detach`: a broker that outlives the call, until `stop` or until it has been
 * idle. It holds no stream of the caller. Windows refuses it. */
#ifndef EPB_CLI_DETACH_H
#define EPB_CLI_DETACH_H

#include "broker_service.h"

/* Used when --idle-timeout is not given. */
#define EPB_DETACH_IDLE_MS (UINT64_C(60) * 60 * 1000)

/* Starts the broker and prints its variables as --env says. `secret` ends with a NUL;
 * NULL: none. Returns the exit status. */
EPB_MUST_USE int
epb_detach_run(struct epb_cli *cli, struct epb_broker_service *broker,
               const char *secret);

#endif
