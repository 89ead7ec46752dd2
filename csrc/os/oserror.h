/* Errors of the operating system, as libuv's codes: negative, the same meaning
 * everywhere. */
#ifndef EPB_OS_OSERROR_H
#define EPB_OS_OSERROR_H

/* "EADDRINUSE" and so on; "UNKNOWN" for a code that libuv does not know. Static storage.
 */
const char *
epb_os_error_name(int os_error);
/* A sentence without a full stop: "address already in use". Static storage. */
const char *
epb_os_error_message(int os_error);
/* The code of the system's own error number (errno, GetLastError()). */
int
epb_os_error_from(int system_error);
/* The version of the libuv inside, "1.2.3". Static storage. */
const char *
epb_os_libuv_version(void);

#endif
