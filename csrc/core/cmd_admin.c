/* Handlers of the commands that ask for the broker itself. */
#include "command.h"
#include "state.h"

void
epb_cmd_ping(struct epb_engine *engine, const struct epb_request *request,
             const struct epb_time *now, struct epb_reply *reply)
{
    (void)engine;
    (void)request;
    reply->flags = EPB_F_COUNT;
    reply->count = (int64_t)now->wall_ms;
}

void
epb_state_stats(const struct epb_engine *engine, const struct epb_time *now,
                struct epb_stats *stats)
{
    struct epb_mem_stats shared;

    *stats = (struct epb_stats){
        .options = &engine->options,
        .traffic = engine->traffic,
        .uptime_ms = now->mono_ms - engine->start_mono_ms,
        .wall_ms = now->wall_ms,
        .requests = engine->requests,
        .draining = engine->draining,
    };
    memcpy(stats->by_action, engine->by_action, sizeof stats->by_action);
    memcpy(stats->by_status, engine->by_status, sizeof stats->by_status);
    epb_store_stats(engine->store, &stats->store);
    epb_arena_stats(engine->arena, &stats->memory);
    epb_mem_shared_stats(&shared);
    stats->memory.lock_failed = stats->memory.lock_failed || shared.lock_failed;
}

void
epb_cmd_stats(struct epb_engine *engine, const struct epb_request *request,
              const struct epb_time *now, struct epb_reply *reply)
{
    (void)request;
    epb_state_stats(engine, now, &engine->report);
    reply->stats = &engine->report;
}
