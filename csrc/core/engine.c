/* See engine.h. */
#include "engine.h"

#include "command.h"
#include "engine_internal.h"

/* The most items, leases and waits (each) that a sweep ends: some tenths of a
 * millisecond. */
#define SWEEP_LIMIT 500U
/* The approximate number of watchers that a sweep notifies of removed items. */
#define SWEEP_TELL_LIMIT 5000U
/* The most grants that end before a request because they are due. */
#define SETTLE_LIMIT EPB_LIMIT(500U, 3U)
/* The work done at once when a peer leaves; sweeps do the rest. */
#define LEAVE_UNITS EPB_LIMIT(EPB_SLICE_UNITS, 400U)
/* The most bytes of events in a reply. */
#define EVENTS_MAX_BYTES ((size_t)16 * 1024)
/* The most memory for a request other than a write, without its value: copies of its key
 * and worker id, and structures. */
#define REQUEST_ROOM_BYTES ((size_t)4 * 1024)

#define EPB_COMMAND(number, ...) \
    _Static_assert((number) > 0 && (number) < EPB_ACTION_SLOTS, "counted by action");
#include "commands.def"
#undef EPB_COMMAND
#define EPB_STATUS(number, name, wire, message) \
    _Static_assert((number) < EPB_STATUS_SLOTS, "counted by status");
#include "../base/arena.h"
#include "../base/mem.h"
#include "../base/status.def"
#undef EPB_STATUS

/* Creation */

static bool
make_parts(struct epb_engine *engine, const struct epb_time *now,
           epb_engine_ready_fn on_ready, void *context)
{
    const struct epb_store_hooks hooks = epb_state_hooks(engine);
    struct epb_arena *arena = epb_arena_new(engine->options.require_mlock);
    struct epb_quota *quota = &engine->quota;

    engine->arena = arena;
    if (arena == NULL) {
        return false;
    }
    engine->waits =
        epb_waits_new(arena, quota, engine->options.max_waiters, on_ready, context);
    if (engine->waits == NULL) {
        return false;
    }
    engine->leases =
        epb_leases_new(arena, quota, engine->waits, engine->options.single_lease, now);
    engine->watches = epb_watches_new(arena, quota, engine->waits);
    engine->barriers = epb_barriers_new(arena, quota, engine->waits);
    engine->throttles = epb_throttles_new(arena, quota, engine->waits);
    engine->store = epb_store_new(&engine->options, arena, quota, &hooks);
    return engine->leases != NULL && engine->watches != NULL &&
           engine->barriers != NULL && engine->throttles != NULL && engine->store != NULL;
}

struct epb_engine *
epb_engine_new(const struct epb_options *options, const struct epb_time *now,
               epb_engine_ready_fn on_ready, void *context)
{
    struct epb_engine *engine = epb_mem_table_alloc(sizeof(*engine));

    if (engine == NULL) {
        return NULL;
    }
    engine->options = *options;
    engine->quota.limit_bytes = options->max_memory_bytes;
    engine->start_mono_ms = now->mono_ms;
    engine->near_often.a_ms = EPB_NEAR_OFTEN;
    engine->near_seldom.a_ms = EPB_NEAR_SELDOM;
    epb_jobs_init(&engine->jobs);
    epb_list_init(&engine->leaving);
    epb_buf_init(&engine->list, EPB_LIST_MAX_BYTES);
    if (!make_parts(engine, now, on_ready, context)) {
        epb_engine_free(engine);
        return NULL;
    }
    return engine;
}

/* Releases what the last reply borrowed. Most replies borrow nothing. */
static void
forget_reply(struct epb_engine *engine)
{
    EPB_ASSERT(!epb_waits_are_calling(engine->waits));
    if (engine->list.memory != NULL) {
        epb_buf_consume(&engine->list, epb_buf_size(&engine->list));
        epb_buf_trim(&engine->list, 0);
    }
    if (engine->shows_events) {
        epb_watch_forget(engine->watches);
        engine->shows_events = false;
    }
    if (engine->answered != NULL) {
        epb_wait_free(engine->waits, engine->answered);
        engine->answered = NULL;
    }
}

/* Grants that are due end before anything else, up to a limit. If more are due, the time
 * of this call is set to just before the next deadline, so that the remaining grants are
 * live. The time never goes back from call to call. */
static const struct epb_time *
settle(struct epb_engine *engine, const struct epb_time *now)
{
    uint64_t next_ms = epb_leases_sweep(engine->leases, now, SETTLE_LIMIT);

    if (next_ms > now->mono_ms) {
        return now;
    }
    engine->standing = *now;
    engine->standing.mono_ms = next_ms - 1;
    return &engine->standing;
}

/* Peers */

struct epb_peer *
epb_engine_join(struct epb_engine *engine, void *user, bool sessionless)
{
    return epb_peer_new(engine->waits, user, sessionless);
}

/* Ends what peers that have left still hold, within the budget. True: all. */
static bool
go_on_leaving(struct epb_engine *engine, const struct epb_time *now,
              struct epb_budget *budget)
{
    while (!epb_list_empty(&engine->leaving)) {
        struct epb_peer *peer =
            EPB_LIST_ITEM(engine->leaving.next, struct epb_peer, of_leaving);

        if (!epb_peer_withdraw(engine->waits, peer, now, budget) ||
            !epb_watch_leave(engine->watches, peer, budget) ||
            !epb_lease_leave(engine->leases, peer, now, budget)) {
            return false;
        }
        epb_list_remove(&peer->of_leaving);
        epb_peer_free(engine->waits, peer);
    }
    return true;
}

bool
epb_engine_holds(const struct epb_peer *peer)
{
    return !epb_list_empty(&peer->takes);
}

void
epb_engine_leave(struct epb_engine *engine, struct epb_peer *peer,
                 const struct epb_time *now)
{
    struct epb_budget budget = {LEAVE_UNITS};

    if (peer == NULL) {
        return;
    }
    forget_reply(engine);
    now = settle(engine, now);
    epb_job_leave(engine, peer);
    peer->leaving = true;
    epb_list_append(&engine->leaving, &peer->of_leaving);
    (void)go_on_leaving(engine, now, &budget);
    epb_leases_settle_pools(engine->leases, now);
}

void
epb_engine_free(struct epb_engine *engine)
{
    const struct epb_time any = {0, 0, 0};
    struct epb_budget whole = {SIZE_MAX};

    if (engine == NULL) {
        return;
    }
    (void)go_on_leaving(engine, &any, &whole);
    epb_jobs_fini(&engine->jobs);
    epb_store_free(engine->store);
    epb_throttles_free(engine->throttles);
    epb_barriers_free(engine->barriers);
    epb_watches_free(engine->watches);
    epb_leases_free(engine->leases);
    epb_waits_free(engine->waits);
    epb_arena_free(engine->arena);
    epb_buf_fini(&engine->list);
    epb_mem_table_free(engine);
}

/* Requests */

/* Other requests than writes need room here, if the broker is full. */
static bool
make_room(struct epb_engine *engine, const struct epb_request *request,
          const struct epb_time *now)
{
    return epb_store_make_room(engine->store,
                               REQUEST_ROOM_BYTES + 8 * request->value.size_bytes, now);
}

static void
dispatch(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    const struct epb_request *request = ctx->request;
    const struct epb_command *command = epb_command_find(request->action);

    if (command == NULL) {
        reply->status = EPB_UNKNOWN_ACTION;
        return;
    }
    engine->by_action[command->action]++;
    if (engine->draining && (command->flags & EPB_WHILE_DRAINING) == 0) {
        reply->status = EPB_DRAINING;
        return;
    }
    reply->status = epb_command_check(command, request);
    if (reply->status != EPB_OK) {
        return;
    }
    if ((request->flags & EPB_F_WAIT) != 0 &&
        epb_watch_has(engine->watches, ctx->peer, request->id)) {
        /* A cancel with this id would be ambiguous. */
        reply->status = EPB_CONFLICT;
        return;
    }
    command->run(ctx, reply);
    if (reply->status == EPB_MAX_MEMORY && (command->flags & EPB_OWN_ROOM) == 0 &&
        make_room(engine, request, ctx->now)) {
        *reply = (struct epb_reply){.status = EPB_OK, .id = request->id};
        command->run(ctx, reply);
    }
}

void
epb_engine_run(struct epb_engine *engine, struct epb_peer *peer,
               const struct epb_request *request, const struct epb_time *now,
               struct epb_reply *reply)
{
    forget_reply(engine);
    epb_zero(reply, sizeof(*reply));
    reply->status = EPB_OK;
    reply->id = request->id;
    engine->requests++;
    const struct epb_ctx ctx = {engine, peer, settle(engine, now), request, NULL};

    dispatch(&ctx, reply);
    if (!reply->deferred) {
        engine->by_status[reply->status]++;
    }
}

void
epb_engine_count_refusal(struct epb_engine *engine, enum epb_status status)
{
    engine->requests++;
    engine->by_status[status]++;
}

/* Deferred replies and events */

static bool
next_loss(struct epb_engine *engine, struct epb_peer *peer, struct epb_reply *reply)
{
    *reply = (struct epb_reply){.status = EPB_LEASE_LOST, .flags = EPB_F_FENCE};
    return epb_lease_next_loss(engine->leases, peer, &reply->fence, &reply->body);
}

static bool
next_finished(struct epb_engine *engine, struct epb_peer *peer,
              const struct epb_time *now, struct epb_reply *reply)
{
    struct epb_ctx ctx = {engine, peer, now, NULL, NULL};

    while ((ctx.wait = epb_wait_pop(peer)) != NULL) {
        *reply = (struct epb_reply){.status = ctx.wait->status, .id = ctx.wait->id};
        if (epb_command_find(ctx.wait->action)->finish(&ctx, reply)) {
            engine->by_status[reply->status]++;
            engine->answered = ctx.wait;
            return true;
        }
    }
    return false;
}

static bool
next_events(struct epb_engine *engine, struct epb_peer *peer, struct epb_reply *reply)
{
    uint32_t id = 0;

    *reply = (struct epb_reply){.status = EPB_OK, .flags = EPB_F_COUNT};
    if (!epb_watch_next(engine->watches, peer, EVENTS_MAX_BYTES, &id, &reply->body)) {
        return false;
    }
    reply->count = id;
    engine->shows_events = true;
    return true;
}

static bool
next_job(struct epb_engine *engine, struct epb_peer *peer, const struct epb_time *now,
         struct epb_reply *reply)
{
    if (!epb_job_next(engine, peer, now, reply)) {
        return false;
    }
    if (reply->id == 0) {
        epb_job_leave(engine, peer);
        return false;
    }
    engine->by_status[reply->status]++;
    return true;
}

bool
epb_engine_next(struct epb_engine *engine, struct epb_peer *peer,
                const struct epb_time *now, struct epb_reply *reply)
{
    bool found;

    forget_reply(engine);
    now = settle(engine, now);
    found = next_loss(engine, peer, reply) || next_finished(engine, peer, now, reply) ||
            next_events(engine, peer, reply) || next_job(engine, peer, now, reply);
    peer->told = epb_engine_has_next(engine, peer);
    return found;
}

bool
epb_engine_is_idle(const struct epb_peer *peer)
{
    return peer->job == NULL && !epb_peer_has_something(peer);
}

bool
epb_engine_is_occupied(const struct epb_peer *peer)
{
    return peer->job != NULL;
}

enum epb_status
epb_engine_piece(struct epb_engine *engine, struct epb_peer *peer,
                 struct epb_bytes *piece)
{
    enum epb_status status;

    forget_reply(engine);
    status = epb_job_piece(engine, peer);
    *piece = (struct epb_bytes){epb_buf_data(&engine->list), epb_buf_size(&engine->list)};
    return status;
}

size_t
epb_engine_held_bytes(const struct epb_peer *peer)
{
    return epb_job_held_bytes(peer);
}

/* Time */

static uint64_t
earlier(uint64_t left_ms, uint64_t right_ms)
{
    return left_ms < right_ms ? left_ms : right_ms;
}

/* Every removed item may notify all watchers: with more watchers, a sweep removes
 * fewer. */
static unsigned
items_limit(const struct epb_engine *engine)
{
    uint64_t limit = 1 + SWEEP_TELL_LIMIT / (epb_watches_count(engine->watches) + 1);

    return limit < SWEEP_LIMIT ? (unsigned)limit : SWEEP_LIMIT;
}

void
epb_engine_sweep(struct epb_engine *engine, const struct epb_time *now,
                 struct epb_due *due)
{
    struct epb_budget budget = epb_budget_slice();
    const struct epb_time *then;

    forget_reply(engine);
    due->item_boot_ms = epb_store_sweep(engine->store, now, items_limit(engine));
    then = settle(engine, now);
    due->lease_mono_ms = epb_leases_sweep(engine->leases, now, 0);
    /* Before epb_waits_sweep: a request that is allowed in the ms of its deadline is
     * granted. */
    due->lease_mono_ms = earlier(
        due->lease_mono_ms, epb_throttles_wake(engine->throttles, then, SWEEP_LIMIT));
    due->lease_mono_ms =
        earlier(due->lease_mono_ms, epb_waits_sweep(engine->waits, then, SWEEP_LIMIT));
    due->lease_mono_ms = earlier(
        due->lease_mono_ms, epb_throttles_sweep(engine->throttles, then, SWEEP_LIMIT));
    if (!go_on_leaving(engine, then, &budget) ||
        !epb_jobs_sweep(&engine->jobs, &budget) ||
        !epb_leases_tidy(engine->leases, &budget)) {
        due->lease_mono_ms = earlier(due->lease_mono_ms, now->mono_ms);
    }
    epb_leases_settle_pools(engine->leases, then);
}

void
epb_engine_drain(struct epb_engine *engine, const struct epb_time *now)
{
    forget_reply(engine);
    engine->draining = true;
    epb_waits_finish_all(engine->waits, EPB_DRAINING, settle(engine, now));
}

/* Getters */

bool
epb_engine_is_draining(const struct epb_engine *engine)
{
    return engine->draining;
}

bool
epb_engine_is_engaged(const struct epb_engine *engine)
{
    struct epb_lease_stats leases;

    epb_leases_stats(engine->leases, &leases);
    return leases.grants > 0 || epb_waits_count(engine->waits) > 0;
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
