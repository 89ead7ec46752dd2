/*
 * Leases that the session of a thread holds at a broker beyond the life of its
 * connections. A plain `lease` belongs to the worker, but test runners load the library
 * again for each test file, with a new connection. So there is one epb_holds per thread,
 * broker and secret. It holds leases through the connection that renews (renewal.h),
 * which takes them over from the client's connection (PROTOCOL.md).
 *
 * A hold is a lease, identified by its token. It lasts until every client that claimed it
 * has dropped it, the broker reports the end of the lease, or the thread ends. A client
 * that is freed without dropping its claims leaves them to the thread.
 *
 * Thread safety: an epb_holds belongs to one thread. In a forked child the functions do
 * nothing.
 */
#ifndef EPB_CLIENT_HOLDS_H
#define EPB_CLIENT_HOLDS_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../base/status.h"

struct epb_holds;

/* The holds of this thread and this session (session_key.h), created on first use. The
 * caller must leave them. Copies all arguments. NULL: out of memory. */
struct epb_holds *
epb_holds_enter(const char *path, struct epb_bytes secret, const uint8_t *key);
/* NULL is allowed. Holds remain. */
void
epb_holds_leave(struct epb_holds *holds);

/* Adds a claim to the lease. With `is_renewed` the lease is renewed every `interval_ms`
 * (1 or more), else it is only checked that often. The last call decides. EPB_INTERNAL:
 * out of memory, or the thread cannot be started. */
EPB_MUST_USE enum epb_status
epb_holds_add(struct epb_holds *holds, uint64_t token, uint64_t interval_ms,
              bool is_renewed);
/* Removes a claim. True if it was the last one: then nothing here holds the lease any
 * more, but at the broker the session still has it. */
bool
epb_holds_drop(struct epb_holds *holds, uint64_t token);
bool
epb_holds_has(const struct epb_holds *holds, uint64_t token);
/* Waits for a short time until the broker has replied to the last epb_holds_add. */
void
epb_holds_await(struct epb_holds *holds);

/* The thread ends: drops all holds of its sessions. */
void
epb_holds_end_thread(void);

#endif
