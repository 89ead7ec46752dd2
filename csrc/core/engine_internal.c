/* See state.h. */
#include "engine_internal.h"
#include "../base/arena.h"
#include "../base/shared_mem.h"

/* Changes of the store */

static void
on_change(void *context, enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    struct epb_engine *engine = context;

    /* Usually nothing waits or watches. */
    if (epb_waits_count(engine->waits) == 0) {
        return;
    }
    if (kind == EPB_EVENT_SET) {
        epb_lease_computed(engine->leases, key);
    }
    epb_watch_change(engine->watches, kind, key, version);
}

static bool
may_store(void *context, struct epb_bytes key, const struct epb_time *now)
{
    const struct epb_engine *engine = context;

    return epb_lease_allows_value(engine->leases, key, now);
}

static bool
may_evict(void *context, struct epb_bytes key)
{
    const struct epb_engine *engine = context;

    return !epb_lease_holds_value(engine->leases, key);
}

struct epb_store_hooks
epb_state_hooks(struct epb_engine *engine)
{
    return (struct epb_store_hooks){on_change, may_store, may_evict, engine};
}

/* Shared parts of replies */

bool
epb_state_grant_reply(const struct epb_grant *grant, const struct epb_time *now,
                      struct epb_reply *reply, struct epb_grant_view *view)
{
    if (grant == NULL || !epb_grant_get_view(grant, now, view)) {
        return false;
    }
    reply->flags |= EPB_F_FENCE | EPB_F_TTL;
    reply->fence = view->token;
    reply->ttl_ms = view->ttl_ms;
    return true;
}

void
epb_state_entry_reply(const struct epb_item_view *view, struct epb_reply *reply)
{
    reply->flags = view->value_flags | EPB_F_TTL | EPB_F_VERSION;
    reply->ttl_ms = view->ttl_ms;
    reply->version = view->version;
    reply->body = view->value;
}

void
epb_state_list_reply(const struct epb_engine *engine, struct epb_reply *reply)
{
    reply->body =
        (struct epb_bytes){epb_buf_data(&engine->list), epb_buf_size(&engine->list)};
}

/* Names that were not found */

static bool
compare_item(void *context, const struct epb_item_view *view)
{
    return epb_near_compare(context, view->key, EPB_KIND_VALUE);
}

static bool
compare_definition(void *context, struct epb_bytes key, enum epb_lease_kind kind)
{
    return epb_near_compare(context, key, (uint8_t)kind);
}

static enum epb_status
pack_near(struct epb_buf *list, const struct epb_near_name *near)
{
    size_t size_bytes = EPB_NEAR_HEADER_BYTES + near->name.size_bytes;
    uint8_t *out;
    enum epb_status status = epb_buf_reserve(list, size_bytes, &out);

    if (status == EPB_OK) {
        out[0] = near->kind;
        epb_put_u16(out + 1, (uint16_t)near->name.size_bytes);
        memcpy(out + EPB_NEAR_HEADER_BYTES, near->name.data, near->name.size_bytes);
        epb_buf_commit(list, size_bytes);
    }
    return status;
}

static uint64_t
names_of(const struct epb_engine *engine)
{
    struct epb_lease_stats leases;
    struct epb_store_stats store;

    epb_leases_stats(engine->leases, &leases);
    epb_store_stats(engine->store, &store);
    return leases.resources + store.items;
}

/* Appends the names that were found. Skips a name when out of memory. */
static void
pack_found(struct epb_buf *list, const struct epb_near *near)
{
    for (unsigned i = 0; i < near->count; i++) {
        if (pack_near(list, &near->names[i]) != EPB_OK) {
            break;
        }
    }
}

void
epb_state_not_found(const struct epb_ctx *ctx, struct epb_near_budget *budget,
                    struct epb_reply *reply)
{
    static const struct epb_bytes no_prefix = {NULL, 0};
    struct epb_engine *engine = ctx->engine;
    const struct epb_bytes key = ctx->request->key;
    const struct epb_time *now = ctx->now;
    struct epb_near near;
    struct epb_gone_view gone;

    reply->status = EPB_NOT_FOUND;
    if (epb_store_gone(engine->store, key, now, &gone)) {
        reply->flags = EPB_F_COUNT | EPB_F_PERIOD | EPB_F_TTL;
        reply->count = gone.kind;
        reply->period_ms = gone.ago_ms;
        reply->ttl_ms = gone.ttl_ms;
    } else if (epb_near_begin(&near, budget, key, names_of(engine), now->mono_ms)) {
        epb_leases_each_named(engine->leases, key, compare_definition, &near);
        epb_store_each(engine->store, no_prefix, now, compare_item, &near);
        pack_found(&engine->list, &near);
        epb_state_list_reply(engine, reply);
    }
}

/* Reports */

void
epb_state_stats(const struct epb_engine *engine, const struct epb_time *now,
                struct epb_stats *stats)
{
    struct epb_mem_stats shared;

    *stats = (struct epb_stats){
        .options = &engine->options,
        .traffic = engine->traffic,
        .watchers = epb_watches_count(engine->watches),
        .throttles = epb_throttles_count(engine->throttles),
        .used_bytes = engine->quota.used_bytes,
        .uptime_ms = now->mono_ms - engine->start_mono_ms,
        .wall_ms = now->wall_ms,
        .requests = engine->requests,
        .draining = engine->draining,
    };
    memcpy(stats->by_action, engine->by_action, sizeof(stats->by_action));
    memcpy(stats->by_status, engine->by_status, sizeof(stats->by_status));
    stats->waiting = epb_waits_count(engine->waits) - stats->watchers;
    epb_store_stats(engine->store, &stats->store);
    epb_leases_stats(engine->leases, &stats->leases);
    stats->table_bytes = stats->store.table_bytes + stats->leases.table_bytes +
                         epb_watches_table_bytes(engine->watches) +
                         epb_barriers_table_bytes(engine->barriers) +
                         epb_throttles_table_bytes(engine->throttles);
    epb_arena_stats(engine->arena, &stats->memory);
    epb_mem_shared_stats(&shared);
    stats->memory.lock_failed = stats->memory.lock_failed || shared.lock_failed;
}

/* What a peer has to take */

bool
epb_peer_has_something(const struct epb_peer *peer)
{
    return !epb_list_empty(&peer->finished) || !epb_list_empty(&peer->events) ||
           !epb_list_empty(&peer->losses);
}
