/* Handlers of the commands that define pools and semaphores. A job fills a pool, since
 * the list may be long. */
#include "../base/arena.h"
#include "command.h"
#include "engine_internal.h"

/* Memory for a job in addition to its elements: copies of its key, and structures. */
#define ROOM_BYTES ((size_t)4 * 1024)

/* What the request wants if there is a definition; false: two things at once. */
static bool
defining(const struct epb_request *request, enum epb_defining *how)
{
    bool if_absent = (request->flags & EPB_F_IF_ABSENT) != 0;
    bool anew = (request->flags & EPB_F_FORCE) != 0;

    *how = anew ? EPB_DEFINE_ANEW : if_absent ? EPB_DEFINE_IF_ABSENT : EPB_DEFINE_ONCE;
    if (request->action == EPB_ACTION_POOL_ADD) {
        *how = EPB_DEFINE_MORE;
    }
    return !if_absent || !anew;
}

/* Filling */

struct pool_job {
    struct epb_job job;
    struct epb_lease_filling filling;
    void *elements; /* the request's, in the arena */
};

static struct pool_job *
pool_of(struct epb_job *job)
{
    return (struct pool_job *)job; /* its first member */
}

static enum epb_status
pool_accept(struct epb_job *job, const struct epb_request *request)
{
    const struct epb_engine *engine = job->engine;
    struct pool_job *pool = pool_of(job);
    struct epb_lease_filling *filling = &pool->filling;

    if (!defining(request, &filling->how)) {
        return EPB_INVALID_REQUEST;
    }
    pool->elements = epb_arena_alloc(engine->arena, request->value.size_bytes);
    if (pool->elements == NULL) {
        return EPB_INTERNAL;
    }
    memcpy(pool->elements, request->value.data, request->value.size_bytes);
    filling->key = epb_job_prefix(job);
    filling->elements = (struct epb_bytes){pool->elements, request->value.size_bytes};
    filling->element_max_bytes = engine->options.max_value_bytes;
    return EPB_OK;
}

static void
pool_begin(struct epb_job *job)
{
    epb_lease_fill_begin(&pool_of(job)->filling);
}

static enum epb_status
pool_work(struct epb_job *job, const struct epb_slice *slice, bool *done)
{
    struct epb_engine *engine = job->engine;
    const struct epb_time *now = slice->now;
    struct epb_lease_filling *filling = &pool_of(job)->filling;
    struct epb_item_view view;
    bool has_value = epb_store_peek(engine->store, filling->key, now, &view) == EPB_OK;
    enum epb_status status =
        epb_lease_fill(engine->leases, filling, has_value, now, slice->budget, done);

    if (filling->wants_room) {
        filling->room_made = true;
        (void)epb_store_make_room(engine->store,
                                  ROOM_BYTES + 8 * filling->elements.size_bytes, now);
        /* The next slice runs at once. */
        return epb_lease_fill(engine->leases, filling, has_value, now, slice->budget,
                              done);
    }
    return status;
}

static void
pool_reply(const struct epb_job *job, struct epb_reply *reply)
{
    const struct epb_lease_filling *filling = &((const struct pool_job *)job)->filling;

    reply->flags = EPB_F_COUNT;
    reply->count =
        filling->how == EPB_DEFINE_MORE ? (int64_t)filling->size : filling->changed;
}

static void
pool_refuse(const struct epb_job *job, struct epb_reply *reply)
{
    const struct epb_lease_filling *filling = &((const struct pool_job *)job)->filling;

    if (reply->status == EPB_TOO_LARGE) {
        epb_reply_too_large(reply, filling->too_large_bytes, filling->element_max_bytes,
                            "maxValueSize");
    }
}

/* The next filling finishes this one, if `drop` hasn't. */
static bool
pool_drop(struct epb_job *job, struct epb_budget *budget)
{
    struct pool_job *pool = pool_of(job);

    if (!epb_lease_fill_drop(job->engine->leases, &pool->filling, budget)) {
        return false;
    }
    epb_arena_release(job->engine->arena, pool->elements,
                      pool->filling.elements.size_bytes);
    return true;
}

static size_t
pool_held(const struct epb_job *job)
{
    return ((const struct pool_job *)job)->filling.elements.size_bytes;
}

void
epb_cmd_pool(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    static const struct epb_job_kind kind = {
        .size_bytes = sizeof(struct pool_job),
        .accept = pool_accept,
        .begin = pool_begin,
        .work = pool_work,
        .reply = pool_reply,
        .refuse = pool_refuse,
        .drop = pool_drop,
        .held = pool_held,
    };

    epb_job_run(ctx, &kind, reply);
}

/* Short commands */

void
epb_cmd_limit(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    struct epb_item_view view;
    bool has_value =
        epb_store_peek(ctx->engine->store, ctx->request->key, ctx->now, &view) == EPB_OK;
    enum epb_defining how;
    bool changed = false;

    reply->status =
        defining(ctx->request, &how)
            ? epb_lease_limit(ctx->engine->leases, ctx->request->key, ctx->request->count,
                              how, has_value, ctx->now, &changed)
            : EPB_INVALID_REQUEST;
    if (reply->status == EPB_OK) {
        reply->flags = EPB_F_COUNT;
        reply->count = changed;
    }
}

void
epb_cmd_discard(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    reply->status =
        epb_lease_discard(ctx->engine->leases, ctx->request->key, ctx->request->value,
                          ctx->request->flags & EPB_F_BINARY, ctx->now);
}
