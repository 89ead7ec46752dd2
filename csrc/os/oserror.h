/* Errors of the operating system as libuv's codes: negative, with the same meaning on
 * every system. */
#ifndef EPB_OS_OSERROR_H
#define EPB_OS_OSERROR_H

/* "EADDRINUSE" and so on; "UNKNOWN" for a code unknown to libuv. Static storage. */
const char *
epb_os_error_name(int os_error);
/* A sentence without a full stop: "address already in use". Static storage. */
const char *
epb_os_error_message(int os_error);
/* The libuv code of a system error number (errno, GetLastError()). */
int
epb_os_error_from(int system_error);
/* The version of the linked libuv, "1.2.3". Static storage. */
const char *
epb_os_libuv_version(void);

#endif
