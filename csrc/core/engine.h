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

/* Copies the options. NULL when memory is out, or can't be locked though required. */
struct epb_engine *
epb_engine_new(const struct epb_options *options, const struct epb_time *now);
/* Wipes everything. NULL is allowed. */
void
epb_engine_free(struct epb_engine *engine);

/* Always fills the reply, with the request's id. */
void
epb_engine_run(struct epb_engine *engine, const struct epb_request *request,
               const struct epb_time *now, struct epb_reply *reply);
/* Counts a request that the wire refused before it could run: malformed ones, say. */
void
epb_engine_count_refusal(struct epb_engine *engine, enum epb_status status);
/* Removes what is due, a bounded number at a time (a pause of well under a millisecond);
 * returns the boot_ms of the next deadline (<= now: more is due at once), UINT64_MAX when
 * there is none. */
uint64_t
epb_engine_sweep(struct epb_engine *engine, const struct epb_time *now);
/* From now on everything but ping, stats, health and metrics is refused with
 * EPB_DRAINING. */
void
epb_engine_drain(struct epb_engine *engine);

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
