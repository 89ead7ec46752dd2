/* Other processes. Implemented by proc_posix.c and proc_win.c. */
#ifndef EPB_BASE_PROC_H
#define EPB_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* The parent of a process, and the process's arguments as one text, each ended by a NUL.
 * Writes *length bytes, at most `room`. False when there is no such process, and on
 * systems other than Linux. */
EPB_MUST_USE bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length);

#endif
