/*
 * Other processes of this user: the variables that lead to a broker from another
 * terminal, and the brokers that run. Nothing is written to a file for it: the system
 * shows a process's environment to its own user.
 */
#ifndef EPB_CLI_OTHER_H
#define EPB_CLI_OTHER_H

#include <stdbool.h>

#include "../base/buf.h"

/* Appends the environment of a process, "NAME=value" and a NUL each. EPB_NOT_FOUND: there
 * is no such process; EPB_AUTH_REQUIRED: the system does not show it to this user;
 * EPB_UNKNOWN_ACTION: this system shows none. */
EPB_MUST_USE enum epb_status
epb_other_environment(uint32_t pid, struct epb_buf *out);
/* Appends the arguments of a process, with spaces between them. False: unknown. */
bool
epb_other_arguments(uint32_t pid, struct epb_buf *out);
/* How long a process has run. False: unknown. */
bool
epb_other_age_ms(uint32_t pid, uint64_t *age_ms);

/* Calls `visit` for each pipe at which a broker of this user listens, with the broker's
 * process id; 0: unknown. `path` is valid during the call. */
typedef void (*epb_other_broker_fn)(void *context, const char *path, uint32_t pid);
void
epb_other_brokers(epb_other_broker_fn visit, void *context);

#endif
