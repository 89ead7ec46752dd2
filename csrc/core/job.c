/* See job.h. */
#include "job.h"

#include "../base/shared_mem.h"
#include "engine_internal.h"

void
epb_jobs_init(struct epb_jobs *jobs)
{
    epb_list_init(&jobs->working);
    epb_list_init(&jobs->ending);
}

static struct epb_job *
first_of(const struct epb_list *list)
{
    return epb_list_empty(list) ? NULL
                                : EPB_LIST_ITEM(list->next, struct epb_job, of_jobs);
}

/* Endings */

static bool
job_drop(struct epb_job *job, struct epb_budget *budget)
{
    if (job->kind->drop != NULL && !job->kind->drop(job, budget)) {
        return false;
    }
    epb_list_remove(&job->of_jobs);
    epb_mem_free(job);
    return true;
}

bool
epb_jobs_sweep(struct epb_jobs *jobs, struct epb_budget *budget)
{
    struct epb_job *job = first_of(&jobs->ending);

    while (job != NULL && job_drop(job, budget)) {
        job = first_of(&jobs->ending);
    }
    return job == NULL;
}

void
epb_jobs_fini(struct epb_jobs *jobs)
{
    struct epb_budget budget = {SIZE_MAX};

    EPB_ASSERT(epb_list_empty(&jobs->working));
    if (!epb_list_empty(&jobs->ending)) {
        bool all = epb_jobs_sweep(jobs, &budget);

        EPB_ASSERT(all);
    }
}

/* The job stops working: the next one in line may work. */
static void
job_stop(struct epb_engine *engine, struct epb_job *job)
{
    struct epb_job *next;

    if (!job->working) {
        return;
    }
    job->working = false;
    epb_list_remove(&job->of_jobs);
    if (job->begun && job->kind->stop != NULL) {
        job->kind->stop(job);
    }
    next = first_of(&engine->jobs.working);
    if (next != NULL && next->peer != NULL) {
        epb_peer_ready(engine->waits, next->peer);
    }
}

/* Nothing more is taken from the job. A small job is freed at once. */
static void
job_end(struct epb_engine *engine, struct epb_job *job, struct epb_budget *budget)
{
    job_stop(engine, job);
    if (job->peer != NULL) {
        job->peer->job = NULL;
        job->peer = NULL;
    }
    epb_list_append(&engine->jobs.ending, &job->of_jobs);
    (void)epb_jobs_sweep(&engine->jobs, budget);
}

void
epb_job_leave(struct epb_engine *engine, struct epb_peer *peer)
{
    struct epb_budget budget = epb_budget_slice();

    if (peer->job != NULL) {
        job_end(engine, peer->job, &budget);
    }
}

/* Replies */

static enum epb_status
take_piece(struct epb_engine *engine, struct epb_job *job)
{
    size_t before_bytes = epb_buf_size(&engine->list);
    enum epb_status status = job->kind->take(job, &engine->list);

    if (status == EPB_OK) {
        job->rest_bytes -= epb_buf_size(&engine->list) - before_bytes;
    }
    return status;
}

/* The job is done: fills in its reply, with the first piece of its body. */
static void
answer(struct epb_engine *engine, struct epb_job *job, enum epb_status status,
       struct epb_budget *budget, struct epb_reply *reply)
{
    *reply = (struct epb_reply){
        .status = status, .id = job->id, .as_of_wall_ms = job->began.wall_ms};
    if (status == EPB_OK && job->kind->reply != NULL) {
        job->kind->reply(job, reply);
    }
    if (status == EPB_OK && job->kind->body_bytes != NULL) {
        job->rest_bytes = job->kind->body_bytes(job);
    }
    if (status == EPB_OK && job->rest_bytes > 0) {
        reply->status = take_piece(engine, job);
        epb_state_list_reply(engine, reply);
    }
    if (reply->status != EPB_OK) {
        *reply = (struct epb_reply){.status = reply->status, .id = job->id};
        job->rest_bytes = 0;
        if (status != EPB_OK && job->kind->refuse != NULL) {
            job->kind->refuse(job, reply);
        }
    }
    reply->rest_bytes = job->rest_bytes;
    job_stop(engine, job);
    if (job->rest_bytes == 0) {
        job_end(engine, job, budget);
    }
}

enum epb_status
epb_job_piece(struct epb_engine *engine, struct epb_peer *peer)
{
    struct epb_budget budget = epb_budget_slice();
    enum epb_status status;

    EPB_ASSERT(peer->job != NULL && peer->job->rest_bytes > 0);
    status = take_piece(engine, peer->job);
    if (status != EPB_OK || peer->job->rest_bytes == 0) {
        job_end(engine, peer->job, &budget);
    }
    return status;
}

/* Work */

size_t
epb_job_held_bytes(const struct epb_peer *peer)
{
    const struct epb_job *job = peer->job;

    return job == NULL || job->kind->held == NULL ? 0 : job->kind->held(job);
}

bool
epb_job_is_next(const struct epb_jobs *jobs, const struct epb_peer *peer)
{
    return peer->job != NULL && peer->job->working &&
           first_of(&jobs->working) == peer->job;
}

bool
epb_job_next(struct epb_engine *engine, struct epb_peer *peer, const struct epb_time *now,
             struct epb_reply *reply)
{
    struct epb_job *job = peer->job;
    struct epb_budget budget = epb_budget_slice();
    const struct epb_slice slice = {now, &budget};
    enum epb_status status;
    bool done = false;

    if (!epb_job_is_next(&engine->jobs, peer)) {
        return false;
    }
    if (!job->begun) {
        job->begun = true;
        job->began = *now;
        job->kind->begin(job);
    }
    status = job->kind->work(job, &slice, &done);
    if (status == EPB_OK && !done) {
        return false;
    }
    answer(engine, job, status, &budget, reply);
    return true;
}

static enum epb_status
job_new(const struct epb_ctx *ctx, const struct epb_job_kind *kind)
{
    struct epb_engine *engine = ctx->engine;
    struct epb_peer *peer = ctx->peer;
    const struct epb_request *request = ctx->request;
    struct epb_job *job;

    if (peer->job != NULL ||
        (request->id != 0 && (epb_wait_has(peer, request->id) ||
                              epb_watch_has(engine->watches, peer, request->id)))) {
        return EPB_CONFLICT;
    }
    job = epb_mem_alloc(kind->size_bytes);
    if (job == NULL) {
        return EPB_INTERNAL;
    }
    job->kind = kind;
    job->engine = engine;
    job->peer = peer;
    job->id = request->id;
    job->working = true;
    job->prefix_bytes = request->key.size_bytes;
    if (job->prefix_bytes > 0) {
        memcpy(job->prefix, request->key.data, job->prefix_bytes);
    }
    if (kind->accept != NULL) {
        enum epb_status status = kind->accept(job, request);

        if (status != EPB_OK) {
            epb_mem_free(job);
            return status;
        }
    }
    epb_list_init(&job->of_jobs);
    epb_list_append(&engine->jobs.working, &job->of_jobs);
    peer->job = job;
    return EPB_OK;
}

void
epb_job_run(const struct epb_ctx *ctx, const struct epb_job_kind *kind,
            struct epb_reply *reply)
{
    struct epb_engine *engine = ctx->engine;
    struct epb_peer *peer = ctx->peer;

    reply->status = job_new(ctx, kind);
    if (reply->status != EPB_OK) {
        return;
    }
    reply->deferred = !epb_job_next(engine, peer, ctx->now, reply);
    if (!reply->deferred && ctx->request->id == 0) {
        /* A request with id 0 has no reply: the rest of the body is not taken. */
        epb_job_leave(engine, peer);
        reply->rest_bytes = 0;
    } else if (reply->deferred && epb_job_is_next(&engine->jobs, peer)) {
        epb_peer_ready(engine->waits, peer);
    }
}

bool
epb_engine_has_next(const struct epb_engine *engine, const struct epb_peer *peer)
{
    return epb_peer_has_something(peer) ||
           (peer->job != NULL && epb_job_is_next(&engine->jobs, peer));
}
