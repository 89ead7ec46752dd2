/*
 * One connection to a broker's endpoint. The thread that needs the reply reads and writes
 * it; another thread watches it only while there is nothing to read.
 *
 * On systems with pipe pairs (pipe_pair.h), it can switch to one once the broker has
 * passed the descriptors, and back. The socket stays open as a sign of life for the
 * broker.
 *
 * Errors are libuv's negative codes.
 *
 * Thread safety: a transport belongs to one thread at a time, except epb_transport_write:
 * another thread may write while the owner does anything but write or close. `on_ready`
 * is called on the watching thread, and never after epb_transport_close has returned.
 */
#ifndef EPB_CLIENT_TRANSPORT_H
#define EPB_CLIENT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

struct epb_transport;

/* Must not block, and must not call back. */
typedef void (*epb_transport_fn)(void *context);

/* `proves`: the broker will prove that it knows the secret. Then root may use the broker
 * of another user; other users, and root without a secret, may not.
 * UV_EPERM: the broker belongs to another user. UV_EAGAIN: its queue is full; retry. */
EPB_MUST_USE int
epb_transport_open(const char *path, bool proves, epb_transport_fn on_ready,
                   void *context, struct epb_transport **out);
/* Number of bytes moved; 0: it would block; UV_EOF: the broker has closed; other codes:
 * the connection failed. */
EPB_MUST_USE int
epb_transport_read(struct epb_transport *transport, void *memory, size_t size_bytes);
EPB_MUST_USE int
epb_transport_write(struct epb_transport *transport, const void *data, size_t size_bytes);
/* Blocks until the transport is readable (or writable, with `or_write`), at most for
 * `timeout_ms`. 1: ready, 0: timeout. */
EPB_MUST_USE int
epb_transport_wait(struct epb_transport *transport, bool or_write, uint64_t timeout_ms);
/* Calls on_ready once, when the transport is readable (or writable, with `or_write`) or
 * has closed; with a pipe pair, once for each pipe. Another call before that replaces the
 * first. */
EPB_MUST_USE int
epb_transport_arm(struct epb_transport *transport, bool or_write);
/* Accepts the descriptors of a pipe pair in what is read from now on. False: this system
 * has no pipe pairs. */
EPB_MUST_USE bool
epb_transport_expect_pipe_pair(struct epb_transport *transport);
/* Stops accepting descriptors. Whether a pipe pair has arrived; unless `wanted`, it is
 * closed. */
bool
epb_transport_settle_pipe_pair(struct epb_transport *transport, bool wanted);
/* Switches to the pipe pair, or back to the socket. Calls on_ready if the transport was
 * ever armed, since it must be armed again. */
void
epb_transport_use_pipe_pair(struct epb_transport *transport, bool use);
/* The process at the other end; 0: unknown. */
uint32_t
epb_transport_peer_pid(const struct epb_transport *transport);
/* NULL is allowed. */
void
epb_transport_close(struct epb_transport *transport);

#endif
