/* Owners of processes and pipes on Windows. */
#ifndef EPB_OS_SECURITY_WIN_H
#define EPB_OS_SECURITY_WIN_H

#include <stdbool.h>
#include <windows.h>

/* The user of this process; the result contains the SID. NULL when unknown. Free it with
 * free(). */
TOKEN_USER *
epb_security_user(void);
/* Whether a pipe belongs to this user, the administrators, the system, or the owner that
 * new objects of this process get. */
bool
epb_security_owner_trusted(HANDLE pipe);
/* Opens the pipe to this user and the system, and closes it to everyone else and to the
 * network. */
bool
epb_security_restrict(HANDLE pipe);

#endif
