/*
 * Descriptors that a peer passes with its bytes (SCM_RIGHTS, unix(7)).
 *
 * To close one may take long: a socket waits for its unsent bytes (SO_LINGER), a file for
 * its file system. A peer can pass such a one and close its own, so that the last close
 * is ours; that must hold up neither the engine's thread nor a client's.
 *
 * Where the system can refuse them (SO_PASSRIGHTS, Linux 6.16 and later), all our sockets
 * do: the sender gets EPERM, and nothing comes. Elsewhere, and while a client expects the
 * ends of pipes, a socket is guarded: it is read from by epb_rights_read or
 * epb_rights_receive alone, which let the system drop nothing on the reading thread, and
 * what comes is closed by another thread. Plain read and recv would have the
 * descriptors closed on the spot.
 *
 * POSIX. Windows passes no handles this way.
 */
#ifndef EPB_OS_RIGHTS_H
#define EPB_OS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"

/* No message brings more (Linux: SCM_MAX_FD). */
#define EPB_RIGHTS_MAX 253U

/* Of a socket not yet connected or listening: what connects to a listening one inherits
 * it. Later: of what is sent from then on. False: the system can't, and takes them. */
bool
epb_rights_refuse(int socket);
/* Takes them again. */
void
epb_rights_admit(int socket);
/* Whether some may come: the socket has to be guarded. */
bool
epb_rights_may_come(int socket);

struct epb_rights {
    int fds[EPB_RIGHTS_MAX];
    size_t count;
    bool whole; /* the system has left none out */
};

/* Like recv, and takes what comes with the bytes; close-on-exec. The number of bytes, 0
 * at the end of the stream, or libuv's code. */
EPB_MUST_USE int
epb_rights_receive(int socket, void *memory, size_t size_bytes,
                   struct epb_rights *rights);
/* The same without waiting, for who expects none: UV_EPROTO when some came, which are
 * closed elsewhere. */
EPB_MUST_USE int
epb_rights_read(int socket, void *memory, size_t size_bytes);
/* Closes them on another thread, and returns at once. */
void
epb_rights_close(struct epb_rights *rights);
/* Of a guarded socket that is about to be closed: takes out what was not read, so that
 * the system doesn't drop it on this thread. */
void
epb_rights_drain(int socket);

#endif
