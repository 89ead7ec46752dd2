/*
 * One thread for the whole process that waits for descriptors of clients to become ready:
 * all transports of all threads share it, and it starts with the first that has to wait.
 *
 * A descriptor is registered once and armed for each wait, which costs the arming thread
 * one system call and no hand-over. Registrations are slots in a table with a generation
 * number; the kernel is given both, so that news of a descriptor that was unregistered
 * meanwhile finds nobody. The callback runs under the table's lock: once
 * epb_waiter_remove has returned, it runs no more.
 *
 * In a forked child, which has no such thread, nothing can be armed.
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
/* One call of on_ready, when the descriptor is ready for one of these (enum
 * epb_poller_what), or has closed. */
EPB_MUST_USE int
epb_waiter_arm(uint64_t handle, unsigned what);
/* Before the descriptor is closed. */
void
epb_waiter_remove(uint64_t handle);

#endif
