/* Facts about this process and its terminal. */
#ifndef EPB_CLI_SYSTEM_H
#define EPB_CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "../base/status.h"

/* The path of the running program, with a final NUL. EPB_TOO_LARGE: it does not fit,
 * EPB_NOT_FOUND: the system does not say. */
EPB_MUST_USE enum epb_status
epb_system_program(char *path, size_t room_bytes);
/* The columns of the terminal on standard output; 0: it is no terminal. */
unsigned
epb_system_columns(void);
/* The date and time of day of a time in seconds since 1970. */
bool
epb_system_utc(time_t seconds, struct tm *parts);

/* The arguments of this process, given those of main. Windows: as WTF-8, which main does
 * not get. NULL: memory is out. They stay as long as the process. */
char **
epb_system_arguments(char **argv);
/* An environment variable; NULL: not set. On Windows a value that was read before stays
 * the same when the variable changes, and `name` must live as long as the process. */
const char *
epb_system_env(const char *name);
/* For the commands that this process becomes or starts. NULL removes the variable. */
bool
epb_system_set_env(const char *name, const char *value);
/* The id of the parent process; 0: unknown. */
uint32_t
epb_system_parent(void);
/* Whether this process has a terminal whose keys may be meant for it. */
bool
epb_system_has_terminal(void);

#endif
