/* Unix-domain sockets by path: what both ends need. Errors are libuv's codes: negative, 0
 * for success. All descriptors are close-on-exec and non-blocking, and refuse descriptors
 * where the system can do that (rights.h). */
#ifndef EPB_OS_SOCKET_H
#define EPB_OS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Room for the longest path a socket address holds anywhere, and its NUL. */
#define EPB_SOCKET_PATH_BYTES 108U

/* The longest path a socket may have on this system, without its NUL. */
size_t
epb_socket_path_max(void);
int
epb_socket_new(int *fd);
/* UV_ENAMETOOLONG, UV_EINVAL (empty), or what bind says. */
int
epb_socket_bind(int fd, const char *path);
/* UV_EAGAIN: the broker lives, but its queue is full. UV_ECONNREFUSED: nobody listens any
 * more. UV_ENOTSOCK: the path names something else. *fd is connected on success only. */
int
epb_socket_connect(const char *path, int *fd);
/* Whether that is this process's user. In a user namespace all users that have no number
 * in it share one (user_namespaces(7), overflowuid): that is no user's own. */
bool
epb_socket_own_uid(uid_t uid);
/* Whether whoever is at the other end runs as this process's user or as root. */
bool
epb_socket_peer_trusted(int fd);
/* The process that made the connection; 0: the system doesn't tell. */
uint32_t
epb_socket_peer_pid(int fd);

#endif
