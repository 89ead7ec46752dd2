/* Facts about this process and its terminal. */
#ifndef EPB_CLI_SYSTEM_H
#define EPB_CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"

/* The path of the running program, with a final NUL. EPB_TOO_LARGE: it does not fit,
 * EPB_NOT_FOUND: the system does not say. */
EPB_MUST_USE enum epb_status
epb_system_program(char *path, size_t room_bytes);
/* The columns of the terminal on standard output; 0: it is no terminal. */
unsigned
epb_system_columns(void);

#endif
