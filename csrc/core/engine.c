#include "engine.h"

#include "command.h"
#include "state.h"

/* Items a sweep removes at most: some tenths of a millisecond. */
#define SWEEP_LIMIT 500U

#define EPB_COMMAND(number, NAME, wire, handler, needs, takes, shape) \
    _Static_assert((number) > 0 && (number) < EPB_ACTION_LIMIT, "counted by action");
#include "commands.def"
#undef EPB_COMMAND
#define EPB_STATUS(number, name, wire, message) \
    _Static_assert((number) < EPB_STATUS_LIMIT, "counted by status");
#include "../base/status.def"
#undef EPB_STATUS

struct epb_engine *
epb_engine_new(const struct epb_options *options, const struct epb_time *now)
{
    struct epb_engine *engine = epb_mem_table_alloc(sizeof *engine);

    if (engine == NULL) {
        return NULL;
    }
    engine->options = *options;
    engine->start_mono_ms = now->mono_ms;
    epb_buf_init(&engine->list, EPB_LIST_MAX_BYTES);
    engine->arena = epb_arena_new(options->require_mlock);
    if (engine->arena == NULL) {
        goto failed;
    }
    engine->store = epb_store_new(&engine->options, engine->arena);
    if (engine->store == NULL) {
        goto failed;
    }
    return engine;

failed:
    epb_engine_free(engine);
    return NULL;
}

void
epb_engine_free(struct epb_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    epb_store_free(engine->store);
    epb_arena_free(engine->arena);
    epb_buf_fini(&engine->list);
    epb_mem_table_free(engine);
}

static bool
served_while_draining(uint8_t action)
{
    return action == EPB_ACTION_PING || action == EPB_ACTION_STATS ||
           action == EPB_ACTION_HEALTH || action == EPB_ACTION_METRICS;
}

static void
dispatch(struct epb_engine *engine, const struct epb_request *request,
         const struct epb_time *now, struct epb_reply *reply)
{
    const struct epb_command *command = epb_command_find(request->action);

    if (command == NULL) {
        reply->status = EPB_UNKNOWN_ACTION;
        return;
    }
    engine->by_action[command->action]++;
    if (engine->draining && !served_while_draining(command->action)) {
        reply->status = EPB_DRAINING;
        return;
    }
    reply->status = epb_command_check(command, request);
    if (reply->status == EPB_OK) {
        command->run(engine, request, now, reply);
    }
}

/* What the last reply borrowed is no longer needed. */
static void
forget_list(struct epb_engine *engine)
{
    epb_buf_consume(&engine->list, epb_buf_size(&engine->list));
    epb_buf_trim(&engine->list, 0);
}

void
epb_engine_run(struct epb_engine *engine, const struct epb_request *request,
               const struct epb_time *now, struct epb_reply *reply)
{
    forget_list(engine);
    *reply = (struct epb_reply){.status = EPB_OK, .id = request->id};
    engine->requests++;
    dispatch(engine, request, now, reply);
    engine->by_status[reply->status]++;
}

void
epb_engine_count_refusal(struct epb_engine *engine, enum epb_status status)
{
    engine->requests++;
    engine->by_status[status]++;
}

uint64_t
epb_engine_sweep(struct epb_engine *engine, const struct epb_time *now)
{
    forget_list(engine);
    return epb_store_sweep(engine->store, now, SWEEP_LIMIT);
}

void
epb_engine_drain(struct epb_engine *engine)
{
    engine->draining = true;
}

struct epb_traffic *
epb_engine_traffic(struct epb_engine *engine)
{
    return &engine->traffic;
}

const struct epb_options *
epb_engine_options(const struct epb_engine *engine)
{
    return &engine->options;
}

void
epb_engine_stats(const struct epb_engine *engine, const struct epb_time *now,
                 struct epb_stats *stats)
{
    epb_state_stats(engine, now, stats);
}
