/* Names in the directory of sockets. */
#ifndef EPB_IO_STALE_H
#define EPB_IO_STALE_H

#include <stdbool.h>

#define EPB_SOCKET_NAME_HEX 32U
/* What a socket is called while it is made: a prefix, and this many hexadecimal digits;
 * or the prefix and characters of mkdtemp, of a directory with the socket in it. */
#define EPB_TEMPORARY_PREFIX ".epb-"
#define EPB_TEMPORARY_HEX 8U
#define EPB_TEMPORARY_RANDOM 6U
#define EPB_TEMPORARY_SOCKET "s"

/* Removes from a directory the sockets named broker-<32 hex>.sock that belong to this
 * user and whose broker is dead, and what a broker left that was killed while it made
 * one, once that is a second old. Returns how many. Looks at a bounded number of entries.
 */
unsigned
epb_stale_collect(const char *directory);
/* Removes one path if it is a socket of this user and nobody listens. */
bool
epb_stale_remove(const char *path);

#endif
