/*
 * Jobs: requests whose work depends on how much is stored. They are carried out in slices
 * (budget.h), and others are served in between.
 *
 * The first slice comes with the request, so that what is small is answered at once. What
 * is not is deferred: its peer has something to take (epb_engine_has_next), and every
 * epb_engine_next of that peer does a slice, until the reply is there.
 *
 *   working -> telling: the reply's body is taken in pieces -> ending: memory is given
 *   back, in slices, too
 *
 * Invariants:
 * - a peer has one job at most; the session keeps its later requests back meanwhile
 *   (epb_engine_occupied), so that they see what the job has done, and it doesn't see
 *   them;
 * - one job of the engine works at a time, the oldest; the others hold next to nothing,
 *   and their peers are told when their turn comes;
 * - a job whose peer leaves stops, and ends in the slices of epb_engine_sweep.
 *
 * A new kind of job is a struct with a struct epb_job in front, and a struct
 * epb_job_kind.
 */
#ifndef EPB_CORE_JOB_H
#define EPB_CORE_JOB_H

#include "../base/buf.h"
#include "../base/list.h"
#include "budget.h"
#include "wait.h"

struct epb_engine;
struct epb_job;

struct epb_job_kind {
    size_t size_bytes; /* of the struct, which is zero-filled */
    /* Takes what it needs of the request, but for its key; an error is the reply, and
     * nothing is taken. NULL: it needs nothing. */
    enum epb_status (*accept)(struct epb_engine *engine, struct epb_job *job,
                              const struct epb_request *request);
    /* Its first slice is about to begin; what it shows is as of now (`began`). */
    void (*begin)(struct epb_engine *engine, struct epb_job *job);
    /* Goes on until the job is done or the budget is spent. *done with EPB_OK: `reply` is
     * called next; an error is the reply. `now` is that of the slice. */
    enum epb_status (*work)(struct epb_engine *engine, struct epb_job *job,
                            const struct epb_time *now, struct epb_budget *budget,
                            bool *done);
    /* Fills in the reply, but for its body; its body's size goes to *body_bytes. */
    void (*reply)(const struct epb_job *job, struct epb_reply *reply, size_t *body_bytes);
    /* Says more of an error that is the reply. NULL: there is nothing to be said. */
    void (*refuse)(const struct epb_job *job, struct epb_reply *reply);
    /* Appends the next piece of the body, whole entries. NULL: it never has one. */
    enum epb_status (*take)(struct epb_job *job, struct epb_buf *out);
    /* It has begun, and works no more: what others know of it is taken back. */
    void (*stop)(struct epb_engine *engine, struct epb_job *job);
    /* Gives memory back; true: all. NULL: it has none. */
    bool (*drop)(struct epb_job *job, struct epb_budget *budget);
    /* What it holds of memory. NULL: nothing to speak of. */
    size_t (*held)(const struct epb_job *job);
};

struct epb_job {
    struct epb_list of_jobs; /* those that work, or those that end */
    const struct epb_job_kind *kind;
    struct epb_peer *peer; /* NULL: it has left, or is answered */
    struct epb_time began;
    uint32_t id;
    bool working;
    bool begun;
    size_t rest_bytes; /* of the body, while its pieces leave */
    size_t prefix_bytes;
    uint8_t prefix[EPB_KEY_MAX_BYTES]; /* the request's key */
};

struct epb_jobs {
    struct epb_list working; /* oldest first */
    struct epb_list ending;
};

void
epb_jobs_init(struct epb_jobs *jobs);
/* Every peer has left. */
void
epb_jobs_fini(struct epb_jobs *jobs);

/* For a handler: a job of the request, with its first slice when none is before it, and
 * the reply. EPB_CONFLICT (the peer has a job, or the id is a wait's or a watcher's),
 * EPB_INTERNAL, as the status of the reply. A request with id 0 is carried out, too,
 * though it has no reply. */
void
epb_job_run(struct epb_engine *engine, struct epb_peer *peer,
            const struct epb_request *request, const struct epb_time *now,
            const struct epb_job_kind *kind, struct epb_reply *reply);
static inline struct epb_bytes
epb_job_prefix(const struct epb_job *job)
{
    return (struct epb_bytes){job->prefix, job->prefix_bytes};
}

/* For the engine. */

/* Whether a slice of the peer's job can be done now. */
bool
epb_job_is_next(const struct epb_jobs *jobs, const struct epb_peer *peer);
/* Does a slice of it, when it is next; true: the reply is there. */
bool
epb_job_next(struct epb_engine *engine, struct epb_peer *peer, const struct epb_time *now,
             struct epb_reply *reply);
/* The next piece of the body, in engine->list. EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_job_piece(struct epb_engine *engine, struct epb_peer *peer);
/* The peer leaves. */
void
epb_job_leave(struct epb_engine *engine, struct epb_peer *peer);
/* Frees what has ended, as far as the budget goes; true: all of it. */
bool
epb_jobs_sweep(struct epb_jobs *jobs, struct epb_budget *budget);
/* What the peer's job holds of memory. */
size_t
epb_job_held_bytes(const struct epb_peer *peer);

#endif
