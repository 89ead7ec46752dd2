/* The companion on Windows is a part of the process that starts the command, which waits
 * for the command (program_win.c). */
#ifndef EPB_CLI_COMPANION_WIN_H
#define EPB_CLI_COMPANION_WIN_H

#include <stdbool.h>
#include <windows.h>

/* Waits until `end` is signalled, and lets the service work meanwhile, if one was begun.
 * False: the service is lost, and the command must not go on. */
bool
epb_companion_serve_until(HANDLE end);
/* Ends the service, if one was begun. */
void
epb_companion_end(void);

#endif
