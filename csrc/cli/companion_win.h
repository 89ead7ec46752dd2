/* The companion on Windows is a part of the process that starts the command, which waits
 * for the command (program_win.c). */
#ifndef EPB_CLI_COMPANION_WIN_H
#define EPB_CLI_COMPANION_WIN_H

#include <windows.h>

/* Is set when the service is lost, and the command must not go on. NULL: no service was
 * begun. */
HANDLE
epb_companion_lost(void);
/* Ends the service, if one was begun. */
void
epb_companion_end(void);

#endif
