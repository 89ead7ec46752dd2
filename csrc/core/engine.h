/*
 * The engine owns all state of a broker and is the only way to it. A call passes in a
 * request and the time, and returns a reply. The engine has no I/O, clock, threads or
 * JSON.
 *
 * epb_engine_run checks the request against the command table (known action, required
 * fields, no others, well-formed key and worker id, TTL in range) and calls the handler.
 * The engine counts every request by action and every refusal by status.
 */
#ifndef EPB_CORE_ENGINE_H
#define EPB_CORE_ENGINE_H

#include "../base/sys.h"
#include "msg.h"
#include "options.h"
#include "stats.h"

struct epb_engine;
struct epb_peer;

/* Called when epb_engine_next has something for a peer that had nothing before. The call
 * may come in the middle of any function below, and must not call the engine. */
typedef void (*epb_engine_ready_fn)(void *context, void *user);

/* Copies the options. Returns NULL when out of memory, and when memory must be locked but
 * can't be. */
struct epb_engine *
epb_engine_new(const struct epb_options *options, const struct epb_time *now,
               epb_engine_ready_fn on_ready, void *context);
/* Wipes everything. Every peer must have left. NULL is allowed. */
void
epb_engine_free(struct epb_engine *engine);

/* Adds a connection that may send requests from now on. Its session holds its grants. The
 * command `join` lets several peers share a session; a sessionless peer has none (see
 * wait.h). `user` is passed to on_ready. Returns NULL when out of memory. */
struct epb_peer *
epb_engine_join(struct epb_engine *engine, void *user, bool sessionless);
/* Whether the peer took grants that have not ended. */
bool
epb_engine_holds(const struct epb_peer *peer);
/* The connection has ended: withdraws its waiting requests, releases the grants that only
 * this peer took, and frees the peer. If that is much work, epb_engine_sweep does the
 * rest in slices. NULL is allowed. */
void
epb_engine_leave(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_time *now);

/* Always fills in the reply, with the request's id. If `deferred` is set, the request
 * waits, and epb_engine_next returns its reply later. Every request gets exactly one
 * reply. Requests with id 0 can't wait; the caller doesn't send their replies. */
void
epb_engine_run(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply);
/* Takes the peer's next reply to a request that waited, or its next event (id 0). Returns
 * false when there is none. Memory that the reply borrows stays valid as long as that of
 * epb_engine_run. */
bool
epb_engine_next(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_time *now, struct epb_reply *reply);
/* Whether epb_engine_next may have something to return or to work on. A request that
 * takes long (list, leases, clear, pool, poolAdd) is deferred. Every epb_engine_next does
 * a slice of its work (job.h), well below a millisecond, even when it returns false. */
bool
epb_engine_has_next(const struct epb_engine *engine, const struct epb_peer *peer);
/* Whether the peer has such a request. The caller must hold back the peer's later
 * requests until the reply has been taken, which keeps the requests of one connection in
 * order. */
bool
epb_engine_is_occupied(const struct epb_peer *peer);
/* Neither has_next nor occupied, which is the usual case. */
bool
epb_engine_is_idle(const struct epb_peer *peer);
/* The next part of the body of a reply with rest_bytes: whole entries, valid until the
 * next call on the engine. The caller must take the whole body before anything else of
 * this peer. EPB_INTERNAL: out of memory; the rest is lost. */
EPB_MUST_USE enum epb_status
epb_engine_piece(struct epb_engine *engine, struct epb_peer *peer,
                 struct epb_bytes *piece);
/* The memory that such a reply holds until it has been taken. */
size_t
epb_engine_held_bytes(const struct epb_peer *peer);
/* Counts a request that the wire refused before it could run, for example a malformed
 * one. */
void
epb_engine_count_refusal(struct epb_engine *engine, enum epb_status status);
/* When the next deadline comes; UINT64_MAX: none. */
struct epb_due {
    uint64_t item_boot_ms;  /* an item expires; only its memory waits for the sweep */
    uint64_t lease_mono_ms; /* a lease or a wait ends; a request may wait for this */
};
/* Removes what is due, a bounded number at a time (a pause well below a millisecond). A
 * deadline <= now in `due`: there is more to do at once. */
void
epb_engine_sweep(struct epb_engine *engine, const struct epb_time *now,
                 struct epb_due *due);
/* From now on the engine refuses all requests with EPB_DRAINING, except ping, stats,
 * health, metrics, release and cancel. It refuses all waiting requests, too. */
void
epb_engine_drain(struct epb_engine *engine, const struct epb_time *now);
bool
epb_engine_is_draining(const struct epb_engine *engine);
/* Whether there are grants or waiting requests: the broker is not idle. */
bool
epb_engine_is_engaged(const struct epb_engine *engine);

/* Valid as long as the engine; the I/O side writes to it. */
struct epb_traffic *
epb_engine_traffic(struct epb_engine *engine);
const struct epb_options *
epb_engine_options(const struct epb_engine *engine);
/* A snapshot; `stats->options` is borrowed from the engine. */
void
epb_engine_stats(const struct epb_engine *engine, const struct epb_time *now,
                 struct epb_stats *stats);

#endif
