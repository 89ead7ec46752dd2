/* Unix-domain sockets by path, for both ends. Errors are libuv's codes: negative, 0 for
 * success. All descriptors are close-on-exec and non-blocking, and refuse passed
 * descriptors where the system supports it (rights.h). */
#ifndef EPB_OS_SOCKET_H
#define EPB_OS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The longest path of a socket address on any system, including its NUL. */
#define EPB_SOCKET_PATH_BYTES 108U

/* The longest path of a socket on this system, without its NUL. */
size_t
epb_socket_path_max(void);
int
epb_socket_new(int *fd);
/* UV_ENAMETOOLONG, UV_EINVAL (empty), or bind's error. */
int
epb_socket_bind(int fd, const char *path);
/* UV_EAGAIN: the broker is alive, but its backlog is full. UV_ECONNREFUSED: no process
 * listens any more. UV_ENOTSOCK: the path names something else. *fd is set on success
 * only, and connected. */
int
epb_socket_connect(const char *path, int *fd);
/* Whether `uid` is this process's user. In a user namespace, all users without a number
 * in the namespace share one number (user_namespaces(7), overflowuid); that number is not
 * accepted. */
bool
epb_socket_own_uid(uid_t uid);
/* Remembers this process's user, before a sandbox that hides it. The process can't change
 * it any more. */
void
epb_socket_keep_own_uid(void);
/* Whether the peer runs as this process's user or as root. */
bool
epb_socket_peer_trusted(int fd);
/* Whether this process is root's, which may use what is another user's. */
bool
epb_socket_is_root(void);
/* The process that made the connection; 0: unknown. */
uint32_t
epb_socket_peer_pid(int fd);

#endif
