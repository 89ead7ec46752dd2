/*
 * The waiter: one thread per process waits until descriptors of clients become ready. All
 * transports of all threads share it; the first transport that waits starts it.
 *
 * A descriptor is registered once and armed for each wait, which costs the arming thread
 * one system call and no hand-over. A registration is a slot in a table, with a
 * generation number. The kernel's events contain both, so an event of a descriptor that
 * was unregistered meanwhile is ignored. Callbacks run under the table's lock: once
 * epb_waiter_remove has returned, the callback does not run any more.
 *
 * A forked child has no such thread, and epb_waiter_arm fails.
 */
#ifndef EPB_CLIENT_WAITER_H
#define EPB_CLIENT_WAITER_H

#include <stdint.h>

#include "../base/status.h"

/* Must not block, and must not call the waiter. */
typedef void (*epb_waiter_fn)(void *context);

/* Return libuv's error codes, 0 for success. */

EPB_MUST_USE int
epb_waiter_add(int fd, epb_waiter_fn on_ready, void *context, uint64_t *handle);
/* Calls on_ready once, when the descriptor is ready for one of `what` (enum
 * epb_poller_what), or has closed. */
EPB_MUST_USE int
epb_waiter_arm(uint64_t handle, unsigned what);
/* Must be called before the descriptor is closed. */
void
epb_waiter_remove(uint64_t handle);

#endif
