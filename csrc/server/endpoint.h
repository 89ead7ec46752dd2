/*
 * The place where a broker listens.
 *
 * POSIX: a Unix-domain socket that only its user may open from the moment it exists,
 * under any umask, and whose name appears only once it listens:
 *
 * - Linux: socket, fchmod(fd, 0700), bind(temporary name), listen, link(final name),
 *   unlink(temporary name)
 * - elsewhere: a private directory (0700), bind in it, listen, rename
 *
 * A visible name therefore always listens, and "connection refused" means that its broker
 * is dead, for the kernel that it runs in (endpoint_stale.h). The random name is
 * broker-<32 hex>.sock in ${TMPDIR:-/tmp}. Opening an endpoint also removes such sockets
 * of our own user whose brokers are dead. A fixed name is guarded by a lock file held for
 * life, which tells which kernel's boot the broker belongs to. Only what is still our
 * socket or our lock (device, inode) is ever removed.
 *
 * Windows: a named pipe, first instance only, open to its owner and SYSTEM, closed to the
 * network.
 *
 * A child process that was forked from a broker's never removes its names. At exit() the
 * names of endpoints still open are removed.
 *
 * Errors are libuv's codes: negative, 0 for success.
 */
#ifndef EPB_SERVER_ENDPOINT_H
#define EPB_SERVER_ENDPOINT_H

#include <stdbool.h>

#include <uv.h>

#include "../base/status.h"

struct epb_endpoint;

struct epb_endpoint_spec {
    const char *path;    /* the whole path; NULL: make one */
    const char *pipe_id; /* [A-Za-z0-9_-]{1,64}, for a name that is known; NULL: random */
};

enum epb_accept {
    EPB_ACCEPT_ONE,
    EPB_ACCEPT_NONE,      /* it went away again */
    EPB_ACCEPT_STRANGER,  /* another user's: closed */
    EPB_ACCEPT_EXHAUSTED, /* out of descriptors: pause */
};

/* Called on the loop's thread when somebody may be there to accept. */
typedef void (*epb_endpoint_fn)(void *context);

/* UV_EADDRINUSE: another broker has this name. UV_EINVAL: no proper pipe_id. */
EPB_MUST_USE int
epb_endpoint_open(const struct epb_endpoint_spec *spec, struct epb_endpoint **out);
/* Lives as long as the endpoint. */
const char *
epb_endpoint_path(const struct epb_endpoint *endpoint);
/* How many sockets of dead brokers were removed. */
unsigned
epb_endpoint_stale_removed(const struct epb_endpoint *endpoint);
EPB_MUST_USE int
epb_endpoint_listen(struct epb_endpoint *endpoint, uv_loop_t *loop,
                    epb_endpoint_fn on_connection, void *context);
/* Into a handle that was initialised for the same loop. It is open after EPB_ACCEPT_ONE
 * only. */
EPB_MUST_USE enum epb_accept
epb_endpoint_accept(struct epb_endpoint *endpoint, uv_pipe_t *into);
/* The process at the other end of an accepted connection; 0: the system doesn't tell. */
uint32_t
epb_endpoint_peer_pid(const uv_pipe_t *pipe);
/* Reads from an accepted connection what is there now, without the loop; 0: nothing, or
 * an end or error, which the loop will find. */
size_t
epb_endpoint_read(const uv_pipe_t *pipe, void *memory, size_t size_bytes);
/* Whether descriptors may come through an accepted connection (rights.h): libuv and
 * epb_endpoint_read must not read from it then. */
bool
epb_endpoint_guarded(const uv_pipe_t *pipe);
/* Instead of them: bytes, 0 when there is nothing now, UV_EOF; UV_EPROTO when the peer
 * has passed descriptors. */
EPB_MUST_USE int
epb_endpoint_read_guarded(const uv_pipe_t *pipe, void *memory, size_t size_bytes);
/* Before a guarded one is closed. */
void
epb_endpoint_drain(const uv_pipe_t *pipe);
/* Of an accepted connection that has come to the end of its input: whether the peer has
 * closed it altogether, and takes nothing any more either. */
bool
epb_endpoint_peer_gone(const uv_pipe_t *pipe);
/* Stops asking for connections; who comes meanwhile waits in the system's queue. */
void
epb_endpoint_pause(struct epb_endpoint *endpoint);
/* Asks again. False: the system has no room for it now, try later. */
EPB_MUST_USE bool
epb_endpoint_resume(struct epb_endpoint *endpoint);
/* Removes the name, closes, and frees (once the loop's callback has run, if it listened).
 * NULL is allowed. */
void
epb_endpoint_close(struct epb_endpoint *endpoint);

#endif
