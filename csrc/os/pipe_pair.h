/*
 * Two anonymous pipes instead of a Unix-domain socket, one each way (Linux).
 *
 * Most of a small request's time is the socket's own price, and a pipe's is a fraction of
 * it. The broker makes the pipes, and passes the client's ends through the socket
 * (SCM_RIGHTS, unix(7)); conn.h and client.h tell when both go over to them, and back.
 *
 * Every end has a file description of its own, so that no peer can make the other's
 * block. The client's end for writing is open for reading as well: thus the pipe always
 * has a reader, and a write to a broker that has gone raises no SIGPIPE in somebody
 * else's process. That the broker has gone is told by the other pipe's end of file.
 *
 * Errors are libuv's codes: negative. Elsewhere there are no pipes: UV_ENOSYS.
 */
#ifndef EPB_OS_PIPE_PAIR_H
#define EPB_OS_PIPE_PAIR_H

#include <stdbool.h>

#include <uv.h>

#include "../base/bytes.h"
#include "../base/status.h"

struct epb_pipe_ends {
    int in;  /* to read from; -1: none */
    int out; /* to write to; -1: none */
};

/* What each holds, so that a value of 64 KiB goes at once. */
#define EPB_PIPE_BYTES (128U * 1024U)

#define EPB_PIPE_NO_ENDS ((struct epb_pipe_ends){-1, -1})

static inline bool
epb_pipe_pair_is_open(const struct epb_pipe_ends *ends)
{
    return ends->in >= 0;
}

#ifdef __linux__

#define EPB_HAS_PIPE_PAIR true

/* Close-on-exec, non-blocking, empty. UV_EMFILE also where more than half of the
 * descriptors that this process may have are in use: the others are for those who
 * connect. */
EPB_MUST_USE int
epb_pipe_pair_make(struct epb_pipe_ends *own, struct epb_pipe_ends *peers);
void
epb_pipe_pair_close(struct epb_pipe_ends *ends);
/* Nothing is there to be read from an open pipe. */
bool
epb_pipe_pair_is_drained(const uv_pipe_t *in);

/* Writes to a socket, and passes the ends with the first of the bytes, of which there
 * must be one. How many it took; 0: it would block, and nothing was passed. */
EPB_MUST_USE int
epb_pipe_pair_pass(const uv_pipe_t *socket, struct epb_bytes bytes,
                   const struct epb_pipe_ends *ends);
/* Reads from a socket, like recv, and takes the ends that come with the bytes, when they
 * are two ends of pipes as above and `ends` has none; any other descriptors are closed,
 * on another thread. The socket admits them (rights.h). */
EPB_MUST_USE int
epb_pipe_pair_receive(int socket, void *memory, size_t size_bytes,
                      struct epb_pipe_ends *ends);

#else

#define EPB_HAS_PIPE_PAIR false

static inline int
epb_pipe_pair_make(struct epb_pipe_ends *own, struct epb_pipe_ends *peers)
{
    (void)own;
    (void)peers;
    return UV_ENOSYS;
}

static inline void
epb_pipe_pair_close(struct epb_pipe_ends *ends)
{
    (void)ends;
}

static inline bool
epb_pipe_pair_is_drained(const uv_pipe_t *in)
{
    (void)in;
    return true;
}

static inline int
epb_pipe_pair_pass(const uv_pipe_t *socket, struct epb_bytes bytes,
                   const struct epb_pipe_ends *ends)
{
    (void)socket;
    (void)bytes;
    (void)ends;
    return UV_ENOSYS;
}

static inline int
epb_pipe_pair_receive(int socket, void *memory, size_t size_bytes,
                      struct epb_pipe_ends *ends)
{
    (void)socket;
    (void)memory;
    (void)size_bytes;
    (void)ends;
    return UV_ENOSYS;
}

#endif
#endif
