/*
 * Peers, sessions and waiting requests.
 *
 * A peer is one connection to the engine. Its requests wait in its name and are withdrawn
 * when it leaves. Its session holds its grants. A session is a group of peers: a peer
 * begins as the only one of its session, and may join the session of a key. All peers
 * that present the same key share a session (a process and thread of our client, however
 * many copies of its module it loads). A session ends with its last peer; lease.h says
 * which grants end with a single peer. A peer of JSON lines has no session
 * (`sessionless`): the worker id alone holds its grants, which outlive the peer. Its
 * waiting requests don't.
 *
 * A wait is a request without a reply yet. Its owner (lease.h, watch.h, barrier.h,
 * throttle.h) keeps it in a queue. epb_wait_finish moves it from the queue to the peer's
 * finished waits, from where epb_engine_next takes it.
 *
 * Invariants:
 * - a wait is in its peer's `waiting` and in a queue of its owner, or in the peer's
 *   `finished` and in no queue, or it was popped and is in neither;
 * - a wait has a deadline as long as it waits;
 * - serial numbers grow in the order of the requests;
 * - a peer with a session is in the list of exactly one group; a group has at least one
 *   peer, and if it has a key, it is found by that key;
 * - a peer changes its session only while it has taken nothing and waits for nothing;
 * - no two waits of a peer have the same id, from their request until they are freed;
 * - on_ready is called whenever a peer that had nothing to take gets something; it is
 *   never called for a peer with nothing to take, or for one that leaves;
 * - at most `max_waits` requests wait (0: no limit); watchers count as waits. A popped
 *   wait that waits again is never refused.
 *
 * Every operation is O(log n) for each wait that it withdraws.
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

/* WAIT of a request that waits without a limit. */
#define EPB_WAIT_FOREVER_MS ((uint64_t)EPB_NUMBER_MAX)

struct epb_waits;
struct epb_wait;
struct epb_grant;
struct epb_job;

/* A session. */
struct epb_group {
    uint64_t session; /* unique, greater than 0 */
    uint64_t pid;     /* process id that its first peer gave; 0: unknown */
    struct epb_list peers;
    struct epb_list holders; /* lease.c's: the holders of this session */
    bool keyed;
    uint8_t key[EPB_SESSION_KEY_BYTES];
};

struct epb_peer {
    struct epb_group *group; /* NULL: sessionless */
    struct epb_list of_group;
    void *user; /* the caller's, passed to on_ready */
    struct epb_list waiting;
    struct epb_list finished; /* to be taken, oldest first */
    struct epb_list events;   /* watch.c's: watchers with events to be taken */
    struct epb_list watchers; /* watch.c's */
    uint32_t watcher_count;   /* of `watchers` */
    uint32_t mark;
    struct epb_list takes;  /* lease.c's: grants that it took */
    struct epb_list losses; /* lease.c's: lost grants that it has not been notified of */
    struct epb_tree ids;    /* its waits by id, until they are freed */
    struct epb_job *job;    /* job.h's; NULL: none */
    struct epb_list of_leaving; /* engine.c's: it has left, and is freed in slices */
    bool told;                  /* on_ready was called since the peer last had nothing */
    bool leaving;               /* it gets nothing more */
};

/* The callbacks of a wait's owner. */
struct epb_wait_owner {
    /* The wait is about to leave its queue unfulfilled: its deadline has come, it was
     * cancelled, its peer leaves, or the broker drains. The wait is still in its queue.
     * The owner removes it, and continues the queue if that unblocks the waits behind
     * it. */
    void (*withdraw)(void *owner, struct epb_wait *wait, const struct epb_time *now);
    /* A finished wait won't be taken, because its peer leaves: undo what it was given.
     * May be NULL. */
    void (*undo)(void *owner, struct epb_wait *wait, const struct epb_time *now);
    /* The wait is about to be freed: release what `detail` refers to. May be NULL. */
    void (*drop)(void *owner, struct epb_wait *wait);
};

struct epb_reason; /* why a computation failed; shared by waits, see lease.h */

struct epb_wait {
    struct epb_list of_peer;     /* in `waiting` or `finished` */
    struct epb_list of_queue;    /* the owner's */
    struct epb_tree_node by_id;  /* among the peer's waits */
    struct epb_tree_node by_due; /* mono_ms, then serial number; UINT64_MAX: never */
    struct epb_peer *peer;
    const struct epb_wait_owner *calls;
    void *owner;
    uint64_t serial;
    uint64_t since_mono_ms;
    uint64_t due_mono_ms;
    uint32_t mark;
    uint32_t id;            /* of the request */
    uint8_t action;         /* of the request; determines the form of the reply */
    bool waiting;           /* neither finished nor popped */
    enum epb_status status; /* once finished */
    int64_t count; /* barrier: the number in the reply; lease: its place in the queue when
                      it was withdrawn; with EPB_CONFLICT, the size of the resource */
    struct epb_grant *grant; /* lease: what was granted; NULL: nothing, or the grant has
                                ended */
    struct epb_reason *reason;
    void *detail; /* the owner's: what it waits for */
};

/* `on_ready` must not call the core. Borrows all arguments. NULL: out of memory. */
struct epb_waits *
epb_waits_new(struct epb_arena *arena, struct epb_quota *quota, uint64_t max_waits,
              void (*on_ready)(void *context, void *user), void *context);
/* All peers must have been freed. NULL is allowed. */
void
epb_waits_free(struct epb_waits *waits);

/* Returns NULL when out of memory. */
struct epb_peer *
epb_peer_new(struct epb_waits *waits, void *user, bool sessionless);
/* The peer is about to leave. It is granted nothing from now on. Its waits are withdrawn,
 * or undone if they have finished, and freed, within the budget. True: all of them. */
bool
epb_peer_withdraw(struct epb_waits *waits, struct epb_peer *peer,
                  const struct epb_time *now, struct epb_budget *budget);
/* Call after epb_peer_withdraw, when the peer's takes, losses and watchers have ended. If
 * the peer is the last of its session, the session ends, too. */
void
epb_peer_free(struct epb_waits *waits, struct epb_peer *peer);
/* The number of its session; 0: sessionless. */
static inline uint64_t
epb_peer_session(const struct epb_peer *peer)
{
    return peer->group == NULL ? 0 : peer->group->session;
}
/* Whether no other peer belongs to its session. */
static inline bool
epb_peer_is_last(const struct epb_peer *peer)
{
    return peer->group != NULL && peer->group->peers.next == &peer->of_group &&
           peer->of_group.next == &peer->group->peers;
}
/* Whether the peer could change to another session: it has one, has taken no grant, has
 * no loss to be notified of, and waits for nothing. */
bool
epb_peer_may_join(const struct epb_peer *peer);
/* Finds or creates the session of this key. The caller must pass it to epb_peer_join.
 * EPB_INTERNAL: out of memory. */
EPB_MUST_USE enum epb_status
epb_group_get(struct epb_waits *waits, const uint8_t key[EPB_SESSION_KEY_BYTES],
              uint64_t pid, struct epb_group **out);
/* Moves the peer to the group. If the peer was the last of its old session, that session
 * ends; it must have no holders then. */
void
epb_peer_join(struct epb_waits *waits, struct epb_peer *peer, struct epb_group *group);

/* Creates a wait for the request, not yet in a queue. EPB_MAX_WAITERS, EPB_MAX_MEMORY,
 * EPB_CONFLICT (a request of the peer with this id waits already, or the id is 0),
 * EPB_INTERNAL (out of memory). An error changes nothing. */
EPB_MUST_USE enum epb_status
epb_wait_new(struct epb_waits *waits, struct epb_peer *peer,
             const struct epb_request *request, const struct epb_wait_owner *calls,
             void *owner, const struct epb_time *now, struct epb_wait **out);
/* Moves the wait from waiting to finished, and removes it from its owner's queue
 * (`of_queue`) and from the deadlines. */
void
epb_wait_finish(struct epb_waits *waits, struct epb_wait *wait, enum epb_status status);
/* A popped wait waits again, for the rest of its time, because what it was woken for is
 * gone. The owner queues it again. */
void
epb_wait_again(struct epb_waits *waits, struct epb_wait *wait);
/* Takes the peer's oldest finished wait; NULL: there is none. The caller owns it, and
 * passes it to epb_wait_again or epb_wait_free. */
struct epb_wait *
epb_wait_pop(struct epb_peer *peer);
/* Frees a wait that was popped, or that waits and is in no queue. */
void
epb_wait_free(struct epb_waits *waits, struct epb_wait *wait);
/* Whether its deadline has come. It gets only EPB_WAIT_TIMEOUT then. */
static inline bool
epb_wait_is_due(const struct epb_wait *wait, const struct epb_time *now)
{
    return wait->due_mono_ms <= now->mono_ms;
}
/* Whether it is about to be withdrawn, in this call or in a later slice. */
bool
epb_wait_is_leaving(const struct epb_waits *waits, const struct epb_wait *wait);

/* Whether the peer has a request of this id that waits, or whose reply has not been taken
 * and freed. */
bool
epb_wait_has(const struct epb_peer *peer, uint32_t id);
/* Withdraws the request of this id and finishes it with EPB_WAIT_TIMEOUT. Returns whether
 * it waited. */
bool
epb_wait_cancel(struct epb_waits *waits, struct epb_peer *peer, uint32_t id,
                const struct epb_time *now);
/* Does the same with all waits and this status, when the broker drains. */
void
epb_waits_finish_all(struct epb_waits *waits, enum epb_status status,
                     const struct epb_time *now);
/* Withdraws at most `limit` waits that are due, with EPB_WAIT_TIMEOUT. Returns the
 * mono_ms of the next (<= now: there are more at once), UINT64_MAX when there is none. */
uint64_t
epb_waits_sweep(struct epb_waits *waits, const struct epb_time *now, unsigned limit);
/* Whether on_ready is running: the core must not be called meanwhile. */
bool
epb_waits_are_calling(const struct epb_waits *waits);
/* Call after something was taken or removed. If nothing is left to take, on_ready is
 * called again for what comes next. */
void
epb_peer_recheck(struct epb_peer *peer);
/* The peer has something to take: calls on_ready, once. */
void
epb_peer_ready(struct epb_waits *waits, struct epb_peer *peer);
/* Counts a watcher in or out, as a wait. EPB_MAX_WAITERS. */
EPB_MUST_USE enum epb_status
epb_waits_count_in(struct epb_waits *waits);
void
epb_waits_count_out(struct epb_waits *waits);
/* The latest serial number given. */
uint64_t
epb_waits_last_serial(const struct epb_waits *waits);
/* The number of waiting requests and watchers. */
uint64_t
epb_waits_count(const struct epb_waits *waits);

#endif
