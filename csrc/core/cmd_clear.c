/*
 * clear: a job that deletes what a run has left: first the definitions, then the values,
 * then the rate limits. Finally it counts the values that stayed because they are leased.
 * Anything set or defined while it works stays.
 */
#include "command.h"
#include "engine_internal.h"

enum clear_step {
    CLEAR_DEFINITIONS,
    CLEAR_VALUES,
    CLEAR_THROTTLES,
    COUNT_LEASED,
    CLEARED
};

struct clear_job {
    struct epb_job job;
    enum clear_step step;
    uint64_t version; /* the store's, when the job began */
    uint64_t cursor;
    struct epb_lease_clearing definitions;
    struct epb_leases_walk leased;
    struct epb_time counted; /* when counting began */
    bool walking;
    uint64_t cleared; /* values and rate limits */
    uint64_t held;    /* values */
};

static struct clear_job *
clear_of(struct epb_job *job)
{
    return (struct clear_job *)job; /* its first member */
}

static void
clear_begin(struct epb_job *job)
{
    struct clear_job *clear = clear_of(job);

    clear->version = epb_store_version(job->engine->store);
    epb_lease_clear_begin(job->engine->leases, &clear->definitions);
}

/* Each leased value has one exclusive grant. */
static void
count_leased(void *context, const struct epb_lease_line *line)
{
    struct clear_job *clear = context;
    struct epb_item_view view;

    clear->held += line->held && line->kind == EPB_KIND_VALUE &&
                   epb_store_peek(clear->job.engine->store, line->key, &clear->counted,
                                  &view) == EPB_OK;
}

static bool
count_on(struct clear_job *clear, const struct epb_slice *slice)
{
    struct epb_leases *leases = clear->job.engine->leases;

    if (!clear->walking) {
        clear->leased = (struct epb_leases_walk){.prefix = epb_job_prefix(&clear->job),
                                                 .visit = count_leased,
                                                 .context = clear};
        clear->counted = *slice->now;
        epb_leases_walk_begin(leases, &clear->leased, slice->now);
        clear->walking = true;
    }
    if (!epb_leases_walk_on(leases, &clear->leased, slice->budget)) {
        return false;
    }
    epb_leases_walk_end(&clear->leased);
    return true;
}

/* Returns whether the step is done. */
static bool
step_on(struct clear_job *clear, const struct epb_slice *slice)
{
    const struct epb_time *now = slice->now;
    struct epb_budget *budget = slice->budget;
    struct epb_engine *engine = clear->job.engine;
    struct epb_bytes prefix = epb_job_prefix(&clear->job);

    switch (clear->step) {
    case CLEAR_DEFINITIONS:
        return epb_lease_clear(engine->leases, prefix, now, budget, &clear->definitions);
    case CLEAR_VALUES:
        return epb_store_clear(engine->store, prefix, clear->version, now, &clear->cursor,
                               budget, &clear->cleared);
    case CLEAR_THROTTLES:
        return epb_throttles_clear(engine->throttles, prefix, &clear->cursor, budget,
                                   &clear->cleared);
    case COUNT_LEASED:
        return count_on(clear, slice);
    case CLEARED:
        break;
    }
    return true;
}

static enum epb_status
clear_work(struct epb_job *job, const struct epb_slice *slice, bool *done)
{
    struct clear_job *clear = clear_of(job);

    while (clear->step != CLEARED && !epb_budget_is_spent(slice->budget)) {
        if (step_on(clear, slice)) {
            clear->step++;
            clear->cursor = 0;
        }
    }
    *done = clear->step == CLEARED;
    return EPB_OK;
}

static void
clear_reply(const struct epb_job *job, struct epb_reply *reply)
{
    const struct clear_job *clear = (const struct clear_job *)job;

    reply->flags = EPB_F_COUNT | EPB_F_BURST;
    reply->count = (int64_t)(clear->cleared + clear->definitions.cleared);
    reply->burst = clear->held + clear->definitions.held;
}

static void
clear_stop(struct epb_job *job)
{
    struct clear_job *clear = clear_of(job);

    if (clear->walking) {
        epb_leases_walk_end(&clear->leased);
    }
}

void
epb_cmd_clear(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    static const struct epb_job_kind kind = {
        .size_bytes = sizeof(struct clear_job),
        .begin = clear_begin,
        .work = clear_work,
        .reply = clear_reply,
        .stop = clear_stop,
    };

    epb_job_run(ctx, &kind, reply);
}
