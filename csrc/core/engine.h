/*
 * The engine owns all state of a broker, and is the only way to it: a request goes in
 * with the time, a reply comes out. No I/O, no clock, no threads, no JSON.
 *
 * A run checks the request against the command table (known action, needed fields, no
 * others, key and worker id well formed, TTL in range) and calls the handler. Every
 * request is counted by action and every refusal by status.
 */
#ifndef EPB_CORE_ENGINE_H
#define EPB_CORE_ENGINE_H

#include "../base/sys.h"
#include "msg.h"
#include "options.h"
#include "stats.h"

struct epb_engine;
struct epb_peer;

/* Called when a peer that had nothing to take gets something (epb_engine_next), in the
 * middle of any call below; must not call the engine. */
typedef void (*epb_engine_ready_fn)(void *context, void *user);

/* Copies the options. NULL when memory is out, or can't be locked though required. */
struct epb_engine *
epb_engine_new(const struct epb_options *options, const struct epb_time *now,
               epb_engine_ready_fn on_ready, void *context);
/* Wipes everything. Every peer has left. NULL is allowed. */
void
epb_engine_free(struct epb_engine *engine);

/* A connection that may send requests from now on. Grants are held in the name of its
 * session, which it may share with others by the command `join`, unless it has none (see
 * wait.h). `user` is for on_ready. NULL when memory is
 * out. */
struct epb_peer *
epb_engine_join(struct epb_engine *engine, void *user, bool sessionless);
/* Whether it took grants that have not ended. */
bool
epb_engine_holds(const struct epb_peer *peer);
/* It has ended: what waits for it is withdrawn, what it alone took is released, and it is
 * freed; of much of that, the rest in the slices of epb_engine_sweep. NULL is allowed. */
void
epb_engine_leave(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_time *now);

/* Always fills the reply, with the request's id; with `deferred` set, the request waits
 * and epb_engine_next will have its reply. Every request gets exactly one of them; the
 * caller leaves out those to requests with id 0 (which can't wait). */
void
epb_engine_run(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply);
/* Takes the next reply to a request that waited, or the next event (id 0), of this peer;
 * false when there is none. Same lifetime of what the reply borrows. */
bool
epb_engine_next(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_time *now, struct epb_reply *reply);
/* Whether there may be something to take, or to work on. A request that takes long (list,
 * leases, clear, pool, poolAdd) is deferred, and every epb_engine_next does a slice of
 * its work (job.h), well below a millisecond, also when it returns false. */
bool
epb_engine_has_next(const struct epb_engine *engine, const struct epb_peer *peer);
/* Whether the peer has such a request. Its later requests are to be kept back until its
 * reply has been taken: so requests of one connection keep their order. */
bool
epb_engine_occupied(const struct epb_engine *engine, const struct epb_peer *peer);
/* Neither: what most requests find. */
bool
epb_engine_idle(const struct epb_engine *engine, const struct epb_peer *peer);
/* The next part of the body of a reply with rest_bytes: whole entries, valid until the
 * next call on the engine. Nothing else is taken from the peer before the rest is.
 * EPB_INTERNAL: memory is out, and there is no rest any more. */
EPB_MUST_USE enum epb_status
epb_engine_piece(struct epb_engine *engine, struct epb_peer *peer,
                 struct epb_bytes *piece);
/* The memory that such a reply takes until it has been taken. */
size_t
epb_engine_held_bytes(const struct epb_engine *engine, const struct epb_peer *peer);
/* Counts a request that the wire refused before it could run: malformed ones, say. */
void
epb_engine_count_refusal(struct epb_engine *engine, enum epb_status status);
/* When something is due next; UINT64_MAX: nothing. */
struct epb_due {
    uint64_t item_boot_ms;  /* an item expires: its memory, not its end, waits for this */
    uint64_t lease_mono_ms; /* a lease or a wait ends: somebody may wait for this */
};
/* Removes what is due, a bounded number at a time (a pause of well under a millisecond).
 * A deadline <= now: more is due at once. */
void
epb_engine_sweep(struct epb_engine *engine, const struct epb_time *now,
                 struct epb_due *due);
/* From now on everything but ping, stats, health, metrics, release and cancel is refused
 * with EPB_DRAINING, and so is everything that waits. */
void
epb_engine_drain(struct epb_engine *engine, const struct epb_time *now);
/* Somebody holds something or waits: the broker is not idle. */
bool
epb_engine_engaged(const struct epb_engine *engine);

/* Borrowed for the engine's life; the I/O side writes into it. */
struct epb_traffic *
epb_engine_traffic(struct epb_engine *engine);
const struct epb_options *
epb_engine_options(const struct epb_engine *engine);
/* A snapshot; `stats->options` is borrowed from the engine. */
void
epb_engine_stats(const struct epb_engine *engine, const struct epb_time *now,
                 struct epb_stats *stats);

#endif
