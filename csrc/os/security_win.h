/* Whose a process or a pipe is, on Windows. */
#ifndef EPB_OS_SECURITY_WIN_H
#define EPB_OS_SECURITY_WIN_H

#include <stdbool.h>
#include <windows.h>

/* The user of this process; the SID lies inside. NULL when the system does not tell.
 * Freed with free(). */
TOKEN_USER *
epb_security_user(void);
/* Whether a pipe belongs to this user, to the administrators or to the system. */
bool
epb_security_owner_trusted(HANDLE pipe);
/* From now on the pipe is open to this user and the system, and closed to the network. */
bool
epb_security_restrict(HANDLE pipe);

#endif
