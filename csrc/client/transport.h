/*
 * The client's descriptor: one connection to a broker's endpoint, read and written by the
 * thread that wants the answer, and watched by another only when there is nothing to
 * read.
 *
 * Where there are pipes (pipe_pair.h), it can go over to them, once the broker has passed
 * their ends, and back; the socket stays open, as a sign of life for the broker.
 *
 * Errors are libuv's codes: negative. Thread safety: a transport belongs to one thread at
 * a time, but for epb_transport_write: one thread at a time may write, whatever the owner
 * does meanwhile (but writing and closing). `on_ready` comes from the thread that
 * watches, and never after epb_transport_close has returned.
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

/* UV_EPERM: the broker belongs to another user. UV_EAGAIN: its queue is full: try again.
 */
EPB_MUST_USE int
epb_transport_open(const char *path, epb_transport_fn on_ready, void *context,
                   struct epb_transport **out);
/* Bytes moved, 0 when it would block; UV_EOF when the broker has closed; other codes when
 * the connection failed. */
EPB_MUST_USE int
epb_transport_read(struct epb_transport *transport, void *memory, size_t size_bytes);
EPB_MUST_USE int
epb_transport_write(struct epb_transport *transport, const void *data, size_t size_bytes);
/* Blocks until it can be read (or written, if asked), or for `timeout_ms`. 0 on
 * timeout, 1. */
EPB_MUST_USE int
epb_transport_wait(struct epb_transport *transport, bool or_write, uint64_t timeout_ms);
/* on_ready is called once, when it can be read (or written, if asked) or has closed; of
 * pipes once for either. Calling it again before that changes what is waited for. */
EPB_MUST_USE int
epb_transport_arm(struct epb_transport *transport, bool or_write);
/* From now on what is read may bring the ends of pipes. False: there are none here. */
EPB_MUST_USE bool
epb_transport_expect_pipe_pair(struct epb_transport *transport);
/* No more are expected. Whether they have come; when not `wanted`, those are closed. */
bool
epb_transport_settle_pipe_pair(struct epb_transport *transport, bool wanted);
/* Goes over to the pipes that have come, or back to the socket. on_ready is called, if it
 * was ever to be: what is armed has to be armed again. */
void
epb_transport_use_pipe_pair(struct epb_transport *transport, bool use);
/* NULL is allowed. */
void
epb_transport_close(struct epb_transport *transport);

#endif
