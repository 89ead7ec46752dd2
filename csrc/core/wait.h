/*
 * Parties, sessions and waiting requests.
 *
 * A peer is one connection that may reach the engine. Requests wait in its name, and
 * when it leaves, they are withdrawn. Grants are held in the name of its session, a
 * group of peers: a peer begins as a session alone, and may join that of a key, which
 * all peers have that present the same key (a process and thread of our client, however
 * many copies of its module are loaded there). A session ends with its last peer; what a
 * single peer takes with it is in lease.h. A peer of JSON lines has no session
 * (`sessionless`): grants that it asks for are held by the worker id alone and outlive
 * it; its waiting requests don't.
 *
 * A wait is a request that has no reply yet. Whoever lets it wait (lease.h, watch.h,
 * barrier.h: its keeper) holds it in a queue of its own; epb_wait_finish takes it out of
 * there, and puts it among the peer's finished ones, from where epb_engine_next takes
 * it.
 *
 * Invariants:
 * - a wait is in its peer's `waiting` and in the queue of its keeper, or in the peer's
 *   `finished` and in no queue, or it was popped and is in neither;
 * - a wait is among the deadlines as long as it waits;
 * - serial numbers grow in the order of the requests;
 * - a peer with a session is in the list of exactly one group; a group has a peer, and
 *   it is found by its key when it has one;
 * - a peer changes its session only while it has taken nothing and waits for nothing;
 * - no two waits of a peer have the same id, from their request until they are freed;
 * - the peer's owner is told (on_ready) whenever a peer that had nothing to take gets
 *   something, and never by a peer without anything, or one that leaves;
 * - no more than `max_waits` wait (0: no limit); watchers count, too. One that was popped
 *   and waits again is never refused.
 *
 * Every operation is O(log n), for each wait it withdraws.
 */
#ifndef EPB_CORE_WAIT_H
#define EPB_CORE_WAIT_H

#include "../base/arena.h"
#include "../base/list.h"
#include "../base/map.h"
#include "../base/mark.h"
#include "../base/sys.h"
#include "../base/tree.h"
#include "budget.h"
#include "msg.h"
#include "quota.h"

/* WAIT of a request that waits as long as it takes. */
#define EPB_WAIT_FOREVER_MS ((uint64_t)EPB_NUMBER_MAX)

struct epb_waits;
struct epb_wait;
struct epb_grant;
struct epb_job;

/* A session. */
struct epb_group {
    uint64_t session; /* unique, above 0 */
    uint64_t pid;     /* of the process, as its first peer told; 0: unknown */
    struct epb_list peers;
    struct epb_list holders; /* lease.c's: who holds something in its name */
    bool keyed;
    uint8_t key[EPB_SESSION_KEY_BYTES];
};

struct epb_peer {
    struct epb_group *group; /* NULL: sessionless */
    struct epb_list of_group;
    void *user; /* the owner's, handed to on_ready */
    struct epb_list waiting;
    struct epb_list finished; /* to be taken, oldest first */
    struct epb_list events;   /* watch.c's: watchers that have events to be taken */
    struct epb_list watchers; /* watch.c's */
    uint32_t watcher_count;   /* of them */
    uint32_t mark;
    struct epb_list takes;      /* lease.c's: grants that it took */
    struct epb_list losses;     /* lease.c's: lost grants it is to be told of */
    struct epb_tree ids;        /* its waits by id, until they are freed */
    struct epb_job *job;        /* job.h's; NULL: none */
    struct epb_list of_leaving; /* engine.c's: it has left, and ends in slices */
    bool told;                  /* on_ready has been called since it was last empty */
    bool leaving;               /* nothing is given to it any more */
};

/* Who lets requests wait. */
struct epb_wait_owner {
    /* The wait is about to leave its queue unfulfilled: its deadline has come, it was
     * cancelled, its peer leaves, or the broker drains. The wait is still in its queue;
     * the keeper takes it out, and lets those behind it go on when that lets them. */
    void (*withdraw)(void *owner, struct epb_wait *wait, const struct epb_time *now);
    /* A finished wait that is not going to be taken (its peer leaves): undo what was
     * given to it. May be NULL. */
    void (*undo)(void *owner, struct epb_wait *wait, const struct epb_time *now);
    /* The wait is about to be freed: let go of what `detail` refers to. May be NULL. */
    void (*drop)(void *owner, struct epb_wait *wait);
};

struct epb_reason; /* why a computation failed; shared by its waits, see lease.h */

struct epb_wait {
    struct epb_list of_peer;     /* in waiting or finished */
    struct epb_list of_queue;    /* the keeper's */
    struct epb_tree_node by_id;  /* among its peer's */
    struct epb_tree_node by_due; /* mono_ms, and the serial number; UINT64_MAX: for ever
                                  */
    struct epb_peer *peer;
    const struct epb_wait_owner *calls;
    void *owner;
    uint64_t serial;
    uint64_t since_mono_ms;
    uint64_t due_mono_ms;
    uint32_t mark;
    uint32_t id;             /* of the request */
    uint8_t action;          /* of the request: how its reply is made */
    bool waiting;            /* not finished, and not popped */
    enum epb_status status;  /* once it is finished */
    int64_t count;           /* barrier: the reply's number; lease: its place in the queue
                                when it was withdrawn; with EPB_CONFLICT, how many there are */
    struct epb_grant *grant; /* lease: what was granted; NULL: nothing, or it has ended */
    struct epb_reason *reason;
    void *detail; /* the keeper's: what it waits for */
};

/* `on_ready` must not call back into the core. All borrow; NULL: memory is out. */
struct epb_waits *
epb_waits_new(struct epb_arena *arena, struct epb_quota *quota, uint64_t max_waits,
              void (*on_ready)(void *context, void *user), void *context);
/* All peers have been freed. NULL is allowed. */
void
epb_waits_free(struct epb_waits *waits);

/* NULL when memory is out. */
struct epb_peer *
epb_peer_new(struct epb_waits *waits, void *user, bool sessionless);
/* The peer is about to leave: nothing is granted to it from now on, and all its waits
 * are withdrawn, or undone, and freed, as far as the budget goes; true: all of them. */
bool
epb_peer_withdraw(struct epb_waits *waits, struct epb_peer *peer,
                  const struct epb_time *now, struct epb_budget *budget);
/* After epb_peer_withdraw; takes, losses and watchers have been seen to. Its session
 * ends with it when it is the last of it. */
void
epb_peer_free(struct epb_waits *waits, struct epb_peer *peer);
/* Its session's number; 0: sessionless. */
static inline uint64_t
epb_peer_session(const struct epb_peer *peer)
{
    return peer->group == NULL ? 0 : peer->group->session;
}
/* Whether no other peer is of its session. */
static inline bool
epb_peer_is_last(const struct epb_peer *peer)
{
    return peer->group != NULL && peer->group->peers.next == &peer->of_group &&
           peer->of_group.next == &peer->group->peers;
}
/* Whether it could go over to another session: it has one, and has taken nothing, is to
 * be told of nothing, and waits for nothing. */
bool
epb_peer_may_join(const struct epb_peer *peer);
/* The session of this key, made when there is none: it must be given to epb_peer_join.
 * EPB_INTERNAL: memory is out. */
EPB_MUST_USE enum epb_status
epb_group_get(struct epb_waits *waits, const uint8_t key[EPB_SESSION_KEY_BYTES],
              uint64_t pid, struct epb_group **out);
/* Goes over to it; the session that it leaves ends when it was the last of it, and has no
 * holders then. */
void
epb_peer_join(struct epb_waits *waits, struct epb_peer *peer, struct epb_group *group);

/* A new wait of the request, not yet in a queue. EPB_MAX_WAITERS, EPB_MAX_MEMORY,
 * EPB_CONFLICT (a request of the peer with this id waits already, or the id is 0),
 * EPB_INTERNAL (memory is out); nothing has changed then. */
EPB_MUST_USE enum epb_status
epb_wait_new(struct epb_waits *waits, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_wait_owner *calls,
             void *owner, const struct epb_time *now, struct epb_wait **out);
/* From waiting to finished; takes it out of its keeper's list (`of_queue`), and from
 * among the deadlines. */
void
epb_wait_finish(struct epb_waits *waits, struct epb_wait *wait, enum epb_status status);
/* One that has been popped waits again, with what is left of its time: what it was woken
 * for is gone. The keeper queues it again. */
void
epb_wait_again(struct epb_waits *waits, struct epb_wait *wait);
/* Takes the peer's oldest finished wait, NULL when there is none. It belongs to the
 * caller, who gives it to epb_wait_again or epb_wait_free. */
struct epb_wait *
epb_wait_pop(struct epb_waits *waits, struct epb_peer *peer);
/* A popped one, or one that waits and is in no queue. */
void
epb_wait_free(struct epb_waits *waits, struct epb_wait *wait);
/* Whether its deadline has come: it is to be given nothing more, but EPB_WAIT_TIMEOUT. */
static inline bool
epb_wait_is_due(const struct epb_wait *wait, const struct epb_time *now)
{
    return wait->due_mono_ms <= now->mono_ms;
}
/* Whether it is about to be withdrawn, in this call or in a later slice. */
bool
epb_wait_is_leaving(const struct epb_waits *waits, const struct epb_wait *wait);

/* Whether the peer has a request of this id that waits, or whose reply has not been
 * taken and freed. */
bool
epb_wait_has(const struct epb_waits *waits, const struct epb_peer *peer, uint32_t id);
/* Withdraws the request of this id and finishes it with EPB_WAIT_TIMEOUT. Whether it
 * waited. */
bool
epb_wait_cancel(struct epb_waits *waits, struct epb_peer *peer, uint32_t id,
                const struct epb_time *now);
/* The same for all of them, with this status: the broker drains. */
void
epb_waits_finish_all(struct epb_waits *waits, enum epb_status status,
                     const struct epb_time *now);
/* Withdraws what is due, at most `limit`, with EPB_WAIT_TIMEOUT; returns the mono_ms of
 * the next (<= now: more is due at once), UINT64_MAX when there is none. */
uint64_t
epb_waits_sweep(struct epb_waits *waits, const struct epb_time *now, unsigned limit);
/* Whether on_ready is being called: nothing may be asked of the core meanwhile. */
bool
epb_waits_calling(const struct epb_waits *waits);
/* Something that could be taken is gone: when it was all, the owner hears again of what
 * comes next. */
void
epb_peer_recheck(struct epb_peer *peer);
/* Something of this peer can be taken: tells its owner, once. */
void
epb_peer_ready(struct epb_waits *waits, struct epb_peer *peer);
/* One more (or less) of what counts as a wait without being one: a watcher.
 * EPB_MAX_WAITERS. */
EPB_MUST_USE enum epb_status
epb_waits_count_in(struct epb_waits *waits);
void
epb_waits_count_out(struct epb_waits *waits);
/* The serial number that was given last. */
uint64_t
epb_waits_last_serial(const struct epb_waits *waits);
/* Those that wait, watchers included. */
uint64_t
epb_waits_count(const struct epb_waits *waits);

#endif
