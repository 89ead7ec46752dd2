/*
 * Names in the directory of sockets, and which of them may go.
 *
 * A socket without a listener is a sign of death in the kernel that made a socket alone.
 * Kernels may share a directory (NFS, the shared folder of a virtual machine): a living
 * broker of another one refuses connections just as a dead one does. So each name tells
 * which boot of which kernel made it: the first digits of a random one do, and the lock
 * file of a fixed one. What says nothing of it, or something else, stays.
 */
#ifndef EPB_SERVER_ENDPOINT_STALE_H
#define EPB_SERVER_ENDPOINT_STALE_H

#include <stdbool.h>

/* A random name: this many digits of the boot, and random ones. */
#define EPB_SOCKET_NAME_HEX 32U
#define EPB_SOCKET_BOOT_HEX 8U
/* A boot: no two of any kernels have the same. */
#define EPB_BOOT_HEX 32U
/* What a socket is called while it is made: a prefix, and this many hexadecimal digits;
 * or the prefix and characters of mkdtemp, of a directory with the socket in it. */
#define EPB_TEMPORARY_PREFIX ".epb-"
#define EPB_TEMPORARY_HEX 8U
#define EPB_TEMPORARY_RANDOM 6U
#define EPB_TEMPORARY_SOCKET "s"

/* The boot of this kernel, and a NUL. False: the system doesn't tell. */
bool
epb_endpoint_stale_boot(char out[EPB_BOOT_HEX + 1]);
/* Removes from a directory the sockets named broker-<32 hex>.sock that this boot has made
 * for this user and whose broker is dead, and what a broker left that was killed while it
 * made one, once that is a second old. Returns how many. Looks at a bounded number of
 * entries. */
unsigned
epb_endpoint_stale_collect(const char *directory);
/* Removes one path, made by this boot, if it is a socket of this user without a listener.
 */
bool
epb_endpoint_stale_remove(const char *path);

#endif
