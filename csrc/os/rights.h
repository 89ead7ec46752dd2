/*
 * Descriptors that a peer passes with its bytes (SCM_RIGHTS, unix(7)).
 *
 * Closing a descriptor may take long: a socket waits for its unsent bytes (SO_LINGER), a
 * file for its file system. A peer can pass such a descriptor and close its own copy, so
 * that the last close is ours. That close must block neither the engine's thread nor a
 * client's.
 *
 * Where the system can refuse descriptors (SO_PASSRIGHTS, Linux 6.16 and later), all our
 * sockets do: the sender gets EPERM, and nothing arrives. On other systems, and while a
 * client expects the ends of a pipe pair, a socket is guarded. A guarded socket is read
 * only with epb_rights_read or epb_rights_receive. These keep the system from dropping
 * descriptors on the reading thread; another thread closes the received ones. A plain
 * read or recv would close them on the reading thread.
 *
 * POSIX. Windows passes no handles this way.
 */
#ifndef EPB_OS_RIGHTS_H
#define EPB_OS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"

/* The most descriptors in one message (Linux: SCM_MAX_FD). */
#define EPB_RIGHTS_MAX 253U

/* Refuses descriptors on a socket. Connections to a listening socket inherit the setting,
 * so call this before the socket connects or listens. A later call affects only later
 * messages. False: the system can't refuse descriptors, and the socket accepts them. */
bool
epb_rights_refuse(int socket);
/* Accepts descriptors again. */
void
epb_rights_admit(int socket);
/* Whether descriptors may arrive: the socket must then be guarded. */
bool
epb_rights_may_come(int socket);

struct epb_rights {
    int fds[EPB_RIGHTS_MAX];
    size_t count;
    bool whole; /* the system has dropped none */
};

/* Like recv, and also takes the descriptors that arrive with the bytes; close-on-exec.
 * Returns the number of bytes, 0 at the end of the stream, or libuv's code. */
EPB_MUST_USE int
epb_rights_receive(int socket, void *memory, size_t size_bytes,
                   struct epb_rights *rights);
/* The same without waiting, for a caller that expects no descriptors. UV_EPROTO when some
 * arrived; another thread closes them. */
EPB_MUST_USE int
epb_rights_read(int socket, void *memory, size_t size_bytes);
/* Closes the descriptors on another thread; returns at once. */
void
epb_rights_close(struct epb_rights *rights);
/* Removes all unread descriptors from a guarded socket that is about to be closed, so
 * that the system doesn't drop them on this thread. */
void
epb_rights_drain(int socket);

#endif
