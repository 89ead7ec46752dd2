/*
 * The names in the directory of sockets, and which of them may be removed.
 *
 * A socket without a listener is dead only for the kernel that made it. Kernels may share
 * a directory (NFS, a shared folder of a virtual machine), and a living broker of another
 * kernel refuses connections just as a dead one does. So each name identifies the kernel
 * boot that made it: a random name by its first digits, a fixed name by its lock file. A
 * name without such a mark, or with another boot's, is kept.
 */
#ifndef EPB_SERVER_ENDPOINT_STALE_H
#define EPB_SERVER_ENDPOINT_STALE_H

#include <stdbool.h>

/* A random name: this many digits of the boot id, then random digits. */
#define EPB_SOCKET_NAME_HEX 32U
#define EPB_SOCKET_BOOT_HEX 8U
/* A boot id, unique among all boots of all kernels. */
#define EPB_BOOT_HEX 32U
/* The name of a socket while it is made: the prefix and this many hexadecimal digits; or
 * the prefix and mkdtemp's characters, for a directory that contains the socket. */
#define EPB_TEMPORARY_PREFIX ".epb-"
#define EPB_TEMPORARY_HEX 8U
#define EPB_TEMPORARY_RANDOM 6U
#define EPB_TEMPORARY_SOCKET "s"

/* The boot id of this kernel, with a NUL. False when the system doesn't provide it. */
bool
epb_endpoint_stale_boot(char out[EPB_BOOT_HEX + 1]);
/* Removes from a directory the sockets named broker-<32 hex>.sock that this boot has made
 * for this user and whose brokers are dead. Also removes what a broker left that was
 * killed while making its socket, once that is a second old. Returns the number of
 * removed names. Examines a bounded number of entries. */
unsigned
epb_endpoint_stale_collect(const char *directory);
/* Removes one path, made by this boot, if it is a socket of this user without a
 * listener. */
bool
epb_endpoint_stale_remove(const char *path);

#endif
