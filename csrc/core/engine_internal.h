/*
 * The state of a broker, for those who work on it: engine.c, which owns it, and the
 * handlers in cmd_*.c. Nobody outside core/ includes this.
 */
#ifndef EPB_CORE_ENGINE_INTERNAL_H
#define EPB_CORE_ENGINE_INTERNAL_H

#include "../base/arena.h"
#include "../base/buf.h"
#include "barrier.h"
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
    struct epb_wait *answered; /* what the last reply borrows from, until the next call */
    bool shows_events;         /* the last reply borrows from a watcher's queue */
    struct epb_traffic traffic;
    struct epb_stats report; /* what a stats reply shows, until the next call */
    uint64_t start_mono_ms;
    uint64_t requests;
    uint64_t by_action[EPB_ACTION_SLOTS];
    uint64_t by_status[EPB_STATUS_SLOTS];
    struct epb_near_budget near_often;  /* searches of get and the like */
    struct epb_near_budget near_seldom; /* of acquire */
    struct epb_time standing;           /* of a call while grants are left that are due */
    bool draining;
};

/* Everything that is reported, as of now. */
void
epb_state_stats(const struct epb_engine *engine, const struct epb_time *now,
                struct epb_stats *stats);
/* What the parts have to do with each other: for epb_store_new. */
struct epb_store_hooks
epb_state_hooks(struct epb_engine *engine);

/* Makes the reply to a request that waited; its status is filled in. False: it waits
 * again, after all. */
typedef bool (*epb_finish_fn)(struct epb_engine *engine, struct epb_wait *wait,
                              const struct epb_time *now, struct epb_reply *reply);
bool
epb_finish_lease(struct epb_engine *engine, struct epb_wait *wait,
                 const struct epb_time *now, struct epb_reply *reply);
bool
epb_finish_get_or_set(struct epb_engine *engine, struct epb_wait *wait,
                      const struct epb_time *now, struct epb_reply *reply);
bool
epb_finish_wait_for(struct epb_engine *engine, struct epb_wait *wait,
                    const struct epb_time *now, struct epb_reply *reply);
bool
epb_finish_barrier(struct epb_engine *engine, struct epb_wait *wait,
                   const struct epb_time *now, struct epb_reply *reply);
bool
epb_finish_throttle(struct epb_engine *engine, struct epb_wait *wait,
                    const struct epb_time *now, struct epb_reply *reply);

/* A reply with a grant's token and remaining TTL; false when the grant is over. */
bool
epb_state_grant_reply(const struct epb_grant *grant, const struct epb_time *now,
                      struct epb_reply *reply, struct epb_grant_view *view);
/* A reply with an item's value, TTL and version. */
void
epb_state_entry_reply(const struct epb_item_view *view, struct epb_reply *reply);
/* EPB_NOT_FOUND, out of one of the two budgets: with how the key lost its value (COUNT:
 * EPB_EVENT_EXPIRE or EPB_EVENT_EVICT; PERIOD: ms since; TTL: what it had), or with
 * names near the key in the body, packed: values, pools, semaphores, and the key itself
 * when its numbers are in use. */
void
epb_state_not_found(struct epb_engine *engine, struct epb_near_budget *budget,
                    struct epb_bytes key, const struct epb_time *now,
                    struct epb_reply *reply);
/* The body of a refusal that something stood in the way of: at once, or after a wait. */
void
epb_state_obstacle_reply(struct epb_engine *engine, enum epb_lease_space space,
                         struct epb_bytes key, const struct epb_time *now,
                         struct epb_reply *reply);
void
epb_state_wait_obstacle_reply(struct epb_engine *engine, const struct epb_wait *wait,
                              const struct epb_time *now, struct epb_reply *reply);
/* The packed body that the handler has put into engine->list. */
void
epb_state_list_reply(const struct epb_engine *engine, struct epb_reply *reply);

/* A finished wait, an event or a loss: not the reply of a job. */
bool
epb_peer_has_something(const struct epb_peer *peer);

#endif
