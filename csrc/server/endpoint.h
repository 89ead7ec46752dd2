/*
 * The address where a broker listens.
 *
 * POSIX: a Unix-domain socket. Only its user may open it from the moment it exists, under
 * any umask, and its name appears only once it listens:
 *
 * - Linux: socket, fchmod(fd, 0700), bind(temporary name), listen, link(final name),
 *   unlink(temporary name)
 * - elsewhere: a private directory (0700), bind in it, listen, rename
 *
 * So a visible name always listens, and "connection refused" means that its broker is
 * dead, for the kernel in which the broker runs (endpoint_stale.h). The random name is
 * broker-<32 hex>.sock in the first of $TMPDIR, /tmp and $XDG_RUNTIME_DIR that can hold
 * it: it exists, the path is short enough, and other users can't remove names there; or
 * else one where they can. Opening an endpoint also removes the sockets of the same user
 * whose brokers are dead, in all three. A lock file, held for the broker's lifetime,
 * guards a fixed name; it records the kernel boot to which the broker belongs. Only our
 * own socket and our own lock (by device and inode) are ever removed.
 *
 * Windows: a named pipe, first instance only, open to its owner and SYSTEM, closed to the
 * network.
 *
 * A forked child of a broker's process never removes the broker's names. At exit() the
 * names of endpoints that are still open are removed.
 *
 * Errors are libuv's codes: negative, 0 for success.
 */
#ifndef EPB_SERVER_ENDPOINT_H
#define EPB_SERVER_ENDPOINT_H

#include <stdbool.h>

#include <uv.h>

#include "../base/bytes.h"
#include "../base/status.h"

struct epb_endpoint;

struct epb_endpoint_spec {
    const char *path;    /* the whole path; NULL: choose one */
    const char *pipe_id; /* [A-Za-z0-9_-]{1,64}, for a fixed name; NULL: random */
};

enum epb_accept {
    EPB_ACCEPT_ONE,
    EPB_ACCEPT_NONE,      /* it has disconnected already */
    EPB_ACCEPT_STRANGER,  /* of another user: closed */
    EPB_ACCEPT_EXHAUSTED, /* out of descriptors: pause */
};

/* Called on the loop's thread when a connection may be there to accept. */
typedef void (*epb_endpoint_fn)(void *context);

/* UV_EADDRINUSE: another broker has this name. UV_EINVAL: the pipe_id is not valid. */
EPB_MUST_USE int
epb_endpoint_open(const struct epb_endpoint_spec *spec, struct epb_endpoint **out);
/* Valid as long as the endpoint. */
const char *
epb_endpoint_path(const struct epb_endpoint *endpoint);
#define EPB_ENDPOINT_PLACES 3U
/* A directory that came before the chosen one, and the libuv code of why it was not
 * taken; NULL: the place was not skipped. `index` is below EPB_ENDPOINT_PLACES. */
const char *
epb_endpoint_skipped(const struct epb_endpoint *endpoint, unsigned index, int *why);
/* The number of removed sockets of dead brokers. */
unsigned
epb_endpoint_stale_removed(const struct epb_endpoint *endpoint);
EPB_MUST_USE int
epb_endpoint_listen(struct epb_endpoint *endpoint, uv_loop_t *loop,
                    epb_endpoint_fn on_connection, void *context);
/* Accepts into a handle that was initialised for the same loop. The handle is open only
 * after EPB_ACCEPT_ONE. */
EPB_MUST_USE enum epb_accept
epb_endpoint_accept(struct epb_endpoint *endpoint, uv_pipe_t *into);
/* The process id of the peer of an accepted connection; 0 when the system doesn't provide
 * it. */
uint32_t
epb_endpoint_peer_pid(const uv_pipe_t *pipe);
/* Reads available bytes from an accepted connection, without the loop. 0: nothing is
 * there, or the end or an error, which the loop will report. */
size_t
epb_endpoint_read(const uv_pipe_t *pipe, void *memory, size_t size_bytes);
/* Whether an accepted connection may receive descriptors (rights.h). Then neither libuv
 * nor epb_endpoint_read may read from it. */
bool
epb_endpoint_guarded(const uv_pipe_t *pipe);
/* Reads from a guarded connection instead. Returns the number of bytes, 0 when nothing is
 * there now, UV_EOF, or UV_EPROTO when the peer has passed descriptors. */
EPB_MUST_USE int
epb_endpoint_read_guarded(const uv_pipe_t *pipe, void *memory, size_t size_bytes);
/* Writes a few bytes to a connection on which nothing else is written. For Windows, where
 * libuv never writes at once; does nothing elsewhere. */
void
epb_endpoint_write_last(const uv_pipe_t *pipe, struct epb_bytes bytes);
/* Call before a guarded connection is closed. */
void
epb_endpoint_drain(const uv_pipe_t *pipe);
/* For an accepted connection at the end of its input: whether the peer has closed both
 * directions and takes no more output. */
bool
epb_endpoint_peer_gone(const uv_pipe_t *pipe);
/* Stops accepting. New connections wait in the system's queue. */
void
epb_endpoint_pause(struct epb_endpoint *endpoint);
/* Accepts again. False: the system is out of resources now; try later. */
EPB_MUST_USE bool
epb_endpoint_resume(struct epb_endpoint *endpoint);
/* Removes the name, closes, and frees (once the loop's callback has run, if it listened).
 * NULL is allowed. */
void
epb_endpoint_close(struct epb_endpoint *endpoint);

#endif
