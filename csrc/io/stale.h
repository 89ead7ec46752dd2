/* Names in the directory of sockets. */
#ifndef EPB_IO_STALE_H
#define EPB_IO_STALE_H

#include <stdbool.h>

#define EPB_SOCKET_NAME_HEX 32U

/* Removes from a directory the sockets named broker-<32 hex>.sock that belong to this
 * user and whose broker is dead. Returns how many. Looks at a bounded number of entries.
 */
unsigned
epb_stale_collect(const char *directory);
/* Removes one path if it is a socket of this user and nobody listens. */
bool
epb_stale_remove(const char *path);

#endif
