/*
 * What the session of a thread holds at a broker beyond the life of its connections: a
 * plain `lease` is the worker's, and test runners load the library, and with it the
 * connection, anew for each test file. So there is one of these for each thread, broker
 * and secret, and it holds by the connection that renews (renewal.h), which takes the
 * leases, too (PROTOCOL.md).
 *
 * A hold is a lease, by its token. It lasts until all that claimed it have dropped it,
 * the lease has ended, as the broker tells, or the thread ends. A client that goes
 * without dropping what it claimed leaves it to the thread.
 *
 * Thread safety: all is for one thread. In a forked child all does nothing.
 */
#ifndef EPB_CLIENT_HOLDS_H
#define EPB_CLIENT_HOLDS_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

struct epb_holds;

/* Of this thread and this session (session_key.h), made if need be: to be left in the
 * end. Copies all. NULL when memory is out. */
struct epb_holds *
epb_holds_enter(const char *path, struct epb_bytes secret, const uint8_t *key);
/* NULL is allowed. What is held stays. */
void
epb_holds_leave(struct epb_holds *holds);

/* One more claims the lease. With `is_renewed` it is renewed every `interval_ms` (1 or
 * more), else that is how often it is looked at; of two that differ the last one counts.
 * EPB_INTERNAL: memory is out, or there can be no thread. */
EPB_MUST_USE enum epb_status
epb_holds_add(struct epb_holds *holds, uint64_t token, uint64_t interval_ms,
              bool is_renewed);
/* One fewer does. Whether it was the last: then nothing here holds the lease, but at the
 * broker it has been taken. */
bool
epb_holds_drop(struct epb_holds *holds, uint64_t token);
bool
epb_holds_has(const struct epb_holds *holds, uint64_t token);
/* Waits for the broker to have heard of all that was added, a little. */
void
epb_holds_await(struct epb_holds *holds);

/* The thread ends: what its sessions hold is let go of. */
void
epb_holds_end_thread(void);

#endif
