/*
 * The state of a broker, for those who work on it: engine.c, which owns it, and the
 * handlers in cmd_*.c. Nobody outside core/ includes this.
 */
#ifndef EPB_CORE_STATE_H
#define EPB_CORE_STATE_H

#include "../base/buf.h"
#include "../base/mem.h"
#include "msg.h"
#include "options.h"
#include "stats.h"
#include "store.h"

/* A list reply is at most this large. */
#define EPB_LIST_MAX_BYTES ((size_t)16 * 1024 * 1024)

struct epb_engine {
    struct epb_options options;
    struct epb_arena *arena;
    struct epb_store *store;
    struct epb_buf list; /* the body of a list reply, until the next call */
    struct epb_traffic traffic;
    struct epb_stats report; /* what a stats reply shows, until the next call */
    uint64_t start_mono_ms;
    uint64_t requests;
    uint64_t by_action[EPB_ACTION_LIMIT];
    uint64_t by_status[EPB_STATUS_LIMIT];
    bool draining;
};

/* Everything that is reported, as of now. */
void
epb_state_stats(const struct epb_engine *engine, const struct epb_time *now,
                struct epb_stats *stats);

#endif
