/*
 * Jobs: requests whose work depends on how much is stored. They run in slices (budget.h),
 * and other requests are served in between.
 *
 * The first slice runs with the request, so a small job is answered at once. A larger job
 * is deferred: its peer has something to take (epb_engine_has_next), and every
 * epb_engine_next of that peer runs a slice until the reply is complete.
 *
 *   working -> replying: the caller takes the reply's body in pieces -> ending: memory is
 *   freed, in slices as well
 *
 * Invariants:
 * - a peer has at most one job; meanwhile the session holds back its later requests
 *   (epb_engine_is_occupied), so they see the effects of the job and the job doesn't see
 *   theirs;
 * - one job of the engine works at a time, the oldest; the others hold almost no memory,
 *   and on_ready is called for their peers when their turn comes;
 * - a job whose peer leaves stops, and ends in the slices of epb_engine_sweep.
 *
 * A new kind of job is a struct that begins with a struct epb_job, and a struct
 * epb_job_kind.
 */
#ifndef EPB_CORE_JOB_H
#define EPB_CORE_JOB_H

#include "../base/buf.h"
#include "../base/list.h"
#include "budget.h"
#include "wait.h"

struct epb_ctx;
struct epb_engine;
struct epb_job;

/* A slice of a job's work. */
struct epb_slice {
    const struct epb_time *now;
    struct epb_budget *budget;
};

struct epb_job_kind {
    size_t size_bytes; /* of the struct, which is zeroed */
    /* Copies what it needs from the request, except the key. An error is the reply;
     * nothing is kept then. NULL: it needs nothing. */
    enum epb_status (*accept)(struct epb_job *job, const struct epb_request *request);
    /* The first slice is about to begin. The job shows the state as of now (`began`). */
    void (*begin)(struct epb_job *job);
    /* Continues until the job is done or the budget is spent. EPB_OK with *done: `reply`
     * is called next. An error is the reply. */
    enum epb_status (*work)(struct epb_job *job, const struct epb_slice *slice,
                            bool *done);
    /* Fills in the reply without its body. NULL: nothing. */
    void (*reply)(const struct epb_job *job, struct epb_reply *reply);
    /* The size of the reply's body. NULL: there is never a body. */
    size_t (*body_bytes)(const struct epb_job *job);
    /* Adds details to a reply that is an error. NULL: there are none. */
    void (*refuse)(const struct epb_job *job, struct epb_reply *reply);
    /* Appends the next piece of the body, in whole entries. */
    enum epb_status (*take)(struct epb_job *job, struct epb_buf *out);
    /* The job has begun and stops working: withdraw it from other modules. NULL: `drop`
     * does so. */
    void (*stop)(struct epb_job *job);
    /* Frees memory within the budget. True: all. NULL: it has none. */
    bool (*drop)(struct epb_job *job, struct epb_budget *budget);
    /* The memory it holds. NULL: almost none. */
    size_t (*held)(const struct epb_job *job);
};

struct epb_job {
    struct epb_list of_jobs; /* in `working` or `ending` */
    const struct epb_job_kind *kind;
    struct epb_engine *engine;
    struct epb_peer *peer; /* NULL: the peer has left, or has its reply */
    struct epb_time began;
    uint32_t id;
    bool working;
    bool begun;
    size_t rest_bytes; /* of the body, while its pieces are taken */
    size_t prefix_bytes;
    uint8_t prefix[EPB_KEY_MAX_BYTES]; /* the request's key */
};

struct epb_jobs {
    struct epb_list working; /* oldest first */
    struct epb_list ending;
};

void
epb_jobs_init(struct epb_jobs *jobs);
/* Every peer must have left. */
void
epb_jobs_fini(struct epb_jobs *jobs);

/* For handlers: creates a job for the request, runs its first slice if no job is before
 * it, and fills in the reply. The reply's status may be EPB_CONFLICT (the peer has a job,
 * or a wait or watcher has the id) or EPB_INTERNAL. A request with id 0 runs, too,
 * without a reply. */
void
epb_job_run(const struct epb_ctx *ctx, const struct epb_job_kind *kind,
            struct epb_reply *reply);
static inline struct epb_bytes
epb_job_prefix(const struct epb_job *job)
{
    return (struct epb_bytes){job->prefix, job->prefix_bytes};
}

/* For the engine. */

/* Whether a slice of the peer's job can run now. */
bool
epb_job_is_next(const struct epb_jobs *jobs, const struct epb_peer *peer);
/* Runs a slice of the peer's job, if it is next. True: the reply is complete. */
bool
epb_job_next(struct epb_engine *engine, struct epb_peer *peer, const struct epb_time *now,
             struct epb_reply *reply);
/* Puts the next piece of the body into engine->list. EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_job_piece(struct epb_engine *engine, struct epb_peer *peer);
/* The peer leaves. */
void
epb_job_leave(struct epb_engine *engine, struct epb_peer *peer);
/* Frees jobs that have ended, within the budget. True: all of them. */
bool
epb_jobs_sweep(struct epb_jobs *jobs, struct epb_budget *budget);
/* The memory that the peer's job holds. */
size_t
epb_job_held_bytes(const struct epb_peer *peer);

#endif
