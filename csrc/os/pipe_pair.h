/*
 * A pipe pair: two anonymous pipes, one each way, that replace a Unix-domain socket
 * (Linux).
 *
 * The socket itself costs most of a small request's time; a pipe costs a fraction of it.
 * The broker makes the pipes and passes the client's ends through the socket (SCM_RIGHTS,
 * unix(7)). conn.h and client.h define when both ends switch to the pipes and back.
 *
 * Each end has a separate file description, so that neither peer can make the other's end
 * block. The client opens its end for writing again, for reading as well. The pipe
 * therefore always has a reader, and a write to a broker that has ended raises no SIGPIPE
 * in the client's process. The client learns of the broker's end from the other pipe's
 * end of file. The broker opens nothing, so that it can run where opening is forbidden.
 *
 * Errors are libuv's codes: negative. Other systems have no pipe pairs: UV_ENOSYS.
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

/* The capacity of each pipe: a value of 64 KiB fits in one write. */
#define EPB_PIPE_BYTES (128U * 1024U)

#define EPB_PIPE_NO_ENDS ((struct epb_pipe_ends){-1, -1})

static inline bool
epb_pipe_pair_is_open(const struct epb_pipe_ends *ends)
{
    return ends->in >= 0;
}

#ifdef __linux__

#define EPB_HAS_PIPE_PAIR true

/* Makes an empty pair, close-on-exec and non-blocking. Returns UV_EMFILE also when more
 * than half of this process's descriptors are in use: the rest are kept for new
 * connections. */
EPB_MUST_USE int
epb_pipe_pair_make(struct epb_pipe_ends *own, struct epb_pipe_ends *peers);
void
epb_pipe_pair_close(struct epb_pipe_ends *ends);
/* Whether an open pipe holds no unread bytes. */
bool
epb_pipe_pair_is_drained(const uv_pipe_t *in);

/* Writes to a socket and passes the ends with the first byte; `bytes` must not be empty.
 * Returns the number of bytes written; 0: the write would block, and nothing was
 * passed. */
EPB_MUST_USE int
epb_pipe_pair_pass(const uv_pipe_t *socket, struct epb_bytes bytes,
                   const struct epb_pipe_ends *ends);
/* Reads from a socket, like recv, and accepts the ends passed with the bytes if they are
 * two pipe ends as above, the second can be opened again through /proc, and `ends` is
 * empty. Other descriptors are closed on another thread. The socket must admit
 * descriptors (rights.h). */
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
