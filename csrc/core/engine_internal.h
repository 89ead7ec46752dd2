/*
 * The state of a broker, for engine.c, which owns it, and the handlers in cmd_*.c. Only
 * files of core/ include this.
 */
#ifndef EPB_CORE_ENGINE_INTERNAL_H
#define EPB_CORE_ENGINE_INTERNAL_H

#include "../base/arena.h"
#include "../base/buf.h"
#include "barrier.h"
#include "command.h"
#include "job.h"
#include "lease.h"
#include "listing.h"
#include "msg.h"
#include "near.h"
#include "options.h"
#include "quota.h"
#include "stats.h"
#include "store.h"
#include "throttle.h"
#include "wait.h"
#include "watch.h"

struct epb_engine {
    struct epb_options options;
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_waits *waits;
    struct epb_leases *leases;
    struct epb_watches *watches;
    struct epb_barriers *barriers;
    struct epb_throttles *throttles;
    struct epb_store *store;
    struct epb_jobs jobs;
    struct epb_list leaving;   /* peers that have left and still hold something */
    struct epb_buf list;       /* a packed body, until the next call */
    struct epb_wait *answered; /* the wait that the last reply borrows from, until the
                                  next call */
    bool shows_events;         /* the last reply borrows from a watcher's queue */
    struct epb_traffic traffic;
    struct epb_stats report; /* what a stats reply borrows, until the next call */
    uint64_t start_mono_ms;
    uint64_t requests;
    uint64_t by_action[EPB_ACTION_SLOTS];
    uint64_t by_status[EPB_STATUS_SLOTS];
    struct epb_near_budget near_often;  /* for searches of get etc. */
    struct epb_near_budget near_seldom; /* for searches of acquire */
    struct epb_time standing; /* the time of a call while grants that are due are left */
    bool draining;
};

/* Fills in everything that is reported, as of now. */
void
epb_state_stats(const struct epb_engine *engine, const struct epb_time *now,
                struct epb_stats *stats);
/* The hooks for epb_store_new, which connect the store with the other parts. */
struct epb_store_hooks
epb_state_hooks(struct epb_engine *engine);

/* Fills in a grant's token and remaining TTL; false: the grant is over. */
bool
epb_state_grant_reply(const struct epb_grant *grant, const struct epb_time *now,
                      struct epb_reply *reply, struct epb_grant_view *view);
/* Fills in an item's value, TTL and version. */
void
epb_state_entry_reply(const struct epb_item_view *view, struct epb_reply *reply);
/* Fills in EPB_NOT_FOUND. Adds how the request's key lost its value (COUNT:
 * EPB_EVENT_EXPIRE or EPB_EVENT_EVICT; PERIOD: ms since then; TTL: what it had), or names
 * near the key, packed in the body: values, pools, semaphores, and the key itself if its
 * numbers are in use. The search for names is charged to `budget`. */
void
epb_state_not_found(const struct epb_ctx *ctx, struct epb_near_budget *budget,
                    struct epb_reply *reply);
/* Adds the obstacle to a refusal: at once, or after a wait. */
void
epb_state_obstacle_reply(const struct epb_ctx *ctx, enum epb_lease_space space,
                         struct epb_reply *reply);
void
epb_state_wait_obstacle_reply(const struct epb_ctx *ctx, struct epb_reply *reply);
/* Makes engine->list, which the handler has filled, the body. */
void
epb_state_list_reply(const struct epb_engine *engine, struct epb_reply *reply);

/* Whether the peer has a finished wait, an event or a loss (but not a job's reply). */
bool
epb_peer_has_something(const struct epb_peer *peer);

#endif
