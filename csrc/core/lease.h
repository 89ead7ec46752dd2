/*
 * Leases: holders, grants and queues.
 *
 * A resource is what can be held under a name. There are three spaces of names: keys
 * (shared with the store), locks, and computations (getOrSet). The kind of a resource
 * determines what a grant of it is:
 *
 *   pool       one of its elements, or several; never two grants of one element
 *   semaphore  one of n permits, numbered from 0; the lowest that is free, or several
 *   numbers    the same without a bound
 *   value      the stored value of the key, exclusively
 *   lock       exclusive, or shared with others
 *   compute    the right to compute the key's value, exclusively
 *
 * Pools and semaphores are defined and stay. Resources of the other kinds exist while
 * they have grants or waiting requests. A grant belongs to a holder: a worker id in the
 * name of a session, or a worker id alone. A session may have several peers (wait.h).
 * Each peer that is given a grant, for the first time or again, has taken it.
 *
 * A grant ends when it is released, when its TTL is over, or when the last peer that took
 * it leaves. The same call then continues the queue of its resource. Time is a parameter:
 * a grant whose deadline has come (now.mono_ms >= due) is over in every call, even before
 * a sweep. The call first ends the grants that are due, in the order of deadlines and
 * tokens. A request whose wait is over gets nothing more, even if what it waits for
 * becomes free in that very ms.
 *
 * A waiting request has already allocated all memory for its grant, so granting never
 * fails when its turn comes. If no peer has taken that grant by the time the request's
 * peer leaves, the grant ends.
 *
 * A loss is a grant that ended by its TTL, or by force from outside its session. Its
 * holder is notified twice: by an event to each peer that took it, and in the reply to
 * the worker's next renewal, from any peer of the session. The last EPB_LOSSES_MAX losses
 * of all holders are kept.
 *
 * Invariants:
 * - an element has one holder; a semaphore has at most n grants; a value, an exclusive
 *   lock and a computation have one; a resource never has shared and exclusive grants
 *   together;
 * - FIFO: a request is granted only when no other waits before it on the same resource,
 *   no matter how much they want; no request that could be granted waits when a call
 *   returns (no lost wake-up);
 * - a request for several things gets all of them in one grant, or waits; none waits for
 *   more than one thing and for more than the resource has;
 * - tokens only grow, over all resources, and from one broker to the next as long as the
 *   wall clock grows: the first is wall_ms << 10, which stays below 2^53 until 2248;
 * - a grant that has ended never comes back: its token is not live again;
 * - a peer that has left holds nothing and waits for nothing; a session whose peers have
 *   all left holds nothing and gets no event;
 * - no request waits for itself through the grants that flows hold;
 * - a call that fails has changed nothing;
 * - with single_lease, all grants of a holder in the space of keys are of one key.
 *
 * A waiting request may name grants that its flow holds. A request that would wait for
 * itself, through other waiting requests, is refused: see lease_deadlock.c.
 *
 * Every operation is O(log n) in grants, waiting requests and elements, for each grant
 * that it ends or makes and for each thing in that grant. A request that names grants and
 * waits is O(n) in the waits that it depends on.
 *
 * Not thread-safe. The leases don't know the store: the caller passes in whether a key
 * has a value.
 */
#ifndef EPB_CORE_LEASE_H
#define EPB_CORE_LEASE_H

#include "../base/arena.h"
#include "budget.h"
#include "wait.h"

enum epb_lease_space {
    EPB_SPACE_KEY,
    EPB_SPACE_LOCK,
    EPB_SPACE_COMPUTE
};

enum epb_lease_kind {
    EPB_KIND_NUMBERS = 1,
    EPB_KIND_SEMAPHORE = 2,
    EPB_KIND_POOL = 3,
    EPB_KIND_VALUE = 4,
    EPB_KIND_LOCK = 5,
    EPB_KIND_COMPUTE = 6
};

#define EPB_PERMITS_MAX 1000000
/* Most things in one grant: as many as one turn can hand out. */
#define EPB_COUNT_MAX 10000
#define EPB_LOSSES_MAX EPB_LIMIT(10000U, 3U)

struct epb_leases;

/* Which kinds a request accepts, whether or not the key is defined or has a value. */
enum epb_lease_rule {
    EPB_RULE_ANY,     /* any; a number if the key has no definition or value */
    EPB_RULE_DEFINED, /* a pool, a semaphore or a value; otherwise EPB_NOT_FOUND */
    EPB_RULE_NUMBER   /* a number; if the key is something else, EPB_KIND_MISMATCH */
};

/* Most grants that a request may name as held by its flow. */
#define EPB_FLOW_MAX 64U
/* Most grants that are shown of a cycle. */
#define EPB_CYCLE_SHOWN 8U
/* Most holders that are shown of an obstacle; and the highest count of holders, and the
 * highest place in a queue. */
#define EPB_OBSTACLE_SHOWN 8U
#define EPB_OBSTACLE_MAX 100U

/* A request for a grant. */
struct epb_lease_ask {
    enum epb_lease_space space;
    enum epb_lease_rule rule;          /* of keys only */
    const struct epb_request *request; /* key, worker, ttl_ms (0: the default), wait_ms
                                          (with its flag), count (with its flag: how many,
                                          1 to EPB_COUNT_MAX), id, and FRESH, SHARED,
                                          DETACHED; value: tokens of the grants that its
                                          flow holds, u64 each */
    bool has_value; /* keys: the store has a value, so the kind is value unless the key is
                       defined */
};

/* A grant as callers see it; borrowed, valid until the next call. */
struct epb_grant_view {
    uint64_t token;
    uint64_t ttl_ms; /* remaining, 1 or more */
    enum epb_lease_kind kind;
    uint64_t count;  /* of things; the first one is below */
    bool several;    /* it was requested with a count */
    uint64_t number; /* numbers, semaphore */
    struct epb_bytes key;
    struct epb_bytes worker;
    struct epb_bytes value; /* pool: the element */
    uint32_t value_flags;   /* pool: EPB_F_BINARY or 0 */
};

/* A grant or a waiting request, as a walk shows it. */
struct epb_lease_line {
    bool held; /* otherwise waiting */
    bool shared;
    enum epb_lease_kind kind;
    uint64_t session;
    uint64_t token;   /* 0: waiting */
    uint64_t order;   /* among grants, or among waiting requests: older ones first */
    uint64_t count;   /* things held, or waited for */
    uint64_t left_ms; /* until it expires, or until the wait ends */
    uint64_t age_ms;
    uint64_t pid; /* of its session's process; 0: unknown */
    struct epb_bytes key;
    struct epb_bytes worker;
};

struct epb_lease_stats {
    uint64_t grants;    /* live now, including computations */
    uint64_t resources; /* existing now */
    uint64_t elements;  /* of pools, without discarded ones */
    uint64_t table_bytes;
    uint64_t granted_total;
    uint64_t expired_total; /* by TTL */
    uint64_t lost_total;    /* because their session ended, or by force */
};

/* Borrows its arguments while the leases exist. Returns NULL when out of memory. */
struct epb_leases *
epb_leases_new(struct epb_arena *arena, struct epb_quota *quota, struct epb_waits *waits,
               bool single_lease, const struct epb_time *now);
/* All peers must have been freed. NULL is allowed. */
void
epb_leases_free(struct epb_leases *leases);

/* Requests a grant. Without FRESH, a holder that has such a grant of this resource gets
 * it again, renewed. *grant is set if the request was granted at once. NULL: the request
 * waits (only if it has a WAIT greater than 0).
 *
 * EPB_LEASE_HELD, EPB_NOT_FOUND, EPB_KIND_MISMATCH, EPB_WORKER_ALREADY_HAS_LEASE,
 * EPB_MAX_WAITERS, EPB_MAX_MEMORY, EPB_CONFLICT (the resource is smaller than the count,
 * see epb_lease_describe; or as in epb_wait_new), EPB_DEADLOCK (it would wait for its own
 * flow: epb_lease_cycle_pack), EPB_INVALID_VALUE, EPB_TOO_LARGE (the tokens),
 * EPB_INTERNAL. A waiting request ends with EPB_CONFLICT, and the size in its `count`,
 * when the resource becomes too small for it. */
EPB_MUST_USE enum epb_status
epb_lease_ask(struct epb_leases *leases, struct epb_peer *peer,
              const struct epb_lease_ask *ask, const struct epb_time *now,
              struct epb_grant **grant);
/* Fills in the view; false: the grant is over. */
bool
epb_grant_get_view(const struct epb_grant *grant, const struct epb_time *now,
                   struct epb_grant_view *view);
/* Puts another of its things (0 to count - 1) into a view of the same grant. */
void
epb_grant_get_view_at(const struct epb_grant *grant, uint64_t index,
                      struct epb_grant_view *view);

/* The live grant of a token; NULL: there is none. */
struct epb_grant *
epb_lease_find(const struct epb_leases *leases, uint64_t token,
               const struct epb_time *now);
/* Renews one grant, by token. `ttl_ms` 0: its own TTL. EPB_LEASE_LOST; EPB_LEASE_HELD:
 * the grant is another session's. */
EPB_MUST_USE enum epb_status
epb_lease_renew_token(struct epb_leases *leases, const struct epb_peer *peer,
                      uint64_t token, uint64_t ttl_ms, const struct epb_time *now);
/* The peer takes this grant of its session, too. The grant is not renewed. Errors as
 * above, EPB_MAX_MEMORY, EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_lease_take(struct epb_leases *leases, struct epb_peer *peer, uint64_t token,
               const struct epb_time *now);
/* A holder: a worker in the name of a peer's session, or of none. */
struct epb_who {
    struct epb_peer *peer;
    struct epb_bytes worker;
    bool detached;
};

struct epb_lease_renewal {
    struct epb_bytes key; /* empty: all of the holder's */
    uint64_t ttl_ms;      /* 0: each for its own TTL */
    bool (*lost)(void *context, uint64_t token, struct epb_bytes key);
    void *context;
};

/* Renews all grants of the holder in the spaces of keys and locks, or those of one key.
 * Returns the number renewed.
 *
 * Calls `lost` with each loss of the holder in these spaces that was not reported by an
 * earlier renewal, oldest first, and forgets it. If `lost` returns false, this loss and
 * those after it are kept for the next renewal. */
uint64_t
epb_lease_renew_worker(struct epb_leases *leases, const struct epb_who *who,
                       const struct epb_lease_renewal *renewal,
                       const struct epb_time *now);

struct epb_lease_release {
    struct epb_bytes key;      /* of a worker: empty: all of its grants */
    uint64_t token;            /* by token */
    struct epb_bytes elements; /* by token, with `discard`: packed as in msg.h, those of
                                  the grant to discard; empty: all */
    bool force;
    bool discard;      /* the elements of a pool leave the pool; other things can't */
    uint64_t released; /* out: the number of grants */
};

/* Ends one grant, if its token is live. EPB_LEASE_HELD: the grant is another session's,
 * and `force` is not set. EPB_INVALID_VALUE (malformed elements), EPB_NOT_FOUND (an
 * element is not in the grant), EPB_INTERNAL; an error changes nothing. */
EPB_MUST_USE enum epb_status
epb_lease_release_token(struct epb_leases *leases, const struct epb_who *who,
                        struct epb_lease_release *release, const struct epb_time *now);
/* Ends all grants of the holder (keys and locks, not computations), or those of one key.
 * By force: those of every holder with this worker id, or, if the worker is empty, every
 * grant of the key. EPB_LEASE_HELD: the holder has nothing to release, but another holder
 * with the same worker id (in another session, or in none) does. By force and to find
 * EPB_LEASE_HELD, the call visits every holder with this worker id. */
EPB_MUST_USE enum epb_status
epb_lease_release_worker(struct epb_leases *leases, const struct epb_who *who,
                         struct epb_lease_release *release, const struct epb_time *now);
/* The computation of this token failed: every request that waits for it gets
 * EPB_COMPUTE_FAILED and the reason. EPB_LEASE_LOST: the token is not live, or not of a
 * computation. EPB_LEASE_HELD: the computation is another session's, and `force` is not
 * set. EPB_MAX_MEMORY, EPB_INTERNAL. An error changes nothing. */
EPB_MUST_USE enum epb_status
epb_lease_fail(struct epb_leases *leases, const struct epb_peer *peer, uint64_t token,
               bool force, struct epb_bytes reason, const struct epb_time *now);
/* The key has a value now: every request that waits for its computation is finished with
 * EPB_OK and no grant. The live computation stays. O(1) when nothing is computed. */
void
epb_lease_computed(struct epb_leases *leases, struct epb_bytes key);
/* For a wait for a computation that was popped without a grant, and whose key has no
 * value again: requests a grant again, at the wait's old place in the queue. True: it is
 * granted at once (wait->grant), and the caller still owns the wait. False: it waits
 * again, or, if its deadline has come, it is finished again with EPB_WAIT_TIMEOUT. */
bool
epb_lease_ask_again(struct epb_leases *leases, struct epb_wait *wait,
                    const struct epb_time *now);
/* Ends a grant on behalf of its holder (a finished computation, or a grant that could not
 * be delivered). Continues the queue. */
void
epb_lease_end(struct epb_leases *leases, struct epb_grant *grant,
              const struct epb_time *now);

/* What a definition does if there is one already. */
enum epb_defining {
    EPB_DEFINE_ONCE,     /* the same is no change, another is EPB_CONFLICT */
    EPB_DEFINE_MORE,     /* pools: adds elements */
    EPB_DEFINE_ANEW,     /* replaces it; what is held leaves when its grant ends */
    EPB_DEFINE_IF_ABSENT /* leaves it as it is */
};

/* A set of elements without order: their number, and the sum of their keyed hashes. */
struct epb_elements_mark {
    uint64_t count;
    uint64_t sum;
};

/* A position in a packed list of elements. */
struct epb_unpack {
    const uint8_t *at;
    size_t left_bytes;
    bool is_binary;
    struct epb_bytes value;
};

/* Defines or changes a pool, in parts. */
struct epb_lease_filling {
    struct epb_bytes key;      /* borrowed until done or dropped */
    struct epb_bytes elements; /* borrowed likewise; packed as in msg.h */
    enum epb_defining how;
    uint64_t element_max_bytes; /* 0: no limit */
    bool room_made;             /* set by the caller after `wants_room` */
    /* Results. */
    bool wants_room; /* the quota is used up: the caller may evict before the next part */
    bool changed;    /* the pool was defined or replaced */
    uint64_t size;   /* number of elements now */
    uint64_t too_large_bytes; /* of EPB_TOO_LARGE: the element's size */
    /* The leases' fields. */
    int step;
    enum epb_status status;
    bool committed;
    struct epb_unpack unpack;
    struct epb_elements_mark mark;  /* of the list */
    struct epb_elements_mark grown; /* of the elements that the pool doesn't have yet */
    struct epb_resource *pool;      /* as soon as elements are staged */
    uint64_t number;
    struct epb_list added;
    uint64_t added_count;
    struct epb_list kept;
    struct epb_list *free_at;  /* the element that pruning visits next */
    struct epb_list *grant_at; /* the grant that pruning visits next */
};
/* The caller has set the first fields; the rest is zero. */
void
epb_lease_fill_begin(struct epb_lease_filling *filling);
/* Continues until it is done or the budget is spent. A list counts as the same if it has
 * the elements of the list that defined the pool, or those that the pool has now, in any
 * order.
 *
 * EPB_KIND_MISMATCH, EPB_INVALID_VALUE (malformed, no element, or equal elements; an
 * element of text is UTF-8 and not empty), EPB_TOO_LARGE, EPB_CONFLICT (another list; or
 * an element to be added is in the pool), EPB_MAX_MEMORY, EPB_INTERNAL. An error changes
 * nothing.
 *
 * Before it is done, the pool can't be deleted; a discarded element leaves, whether or
 * not the list has it; and the elements that a replacement removes leave after the new
 * ones have come. There is one filling at a time: it first finishes what a dropped one
 * has left. */
EPB_MUST_USE enum epb_status
epb_lease_fill(struct epb_leases *leases, struct epb_lease_filling *filling,
               bool has_value, const struct epb_time *now, struct epb_budget *budget,
               bool *done);
/* Gives the filling up, unless it is done: frees the staged elements, or, once they are
 * committed, goes on with the rest, within the budget. True: nothing is left to do here;
 * the caller then calls epb_leases_settle_pools. */
bool
epb_lease_fill_drop(struct epb_leases *leases, struct epb_lease_filling *filling,
                    struct epb_budget *budget);
/* Continues the queues of pools whose filling was dropped. */
void
epb_leases_settle_pools(struct epb_leases *leases, const struct epb_time *now);
/* Frees elements of deleted pools, within the budget. True: all of them. */
bool
epb_leases_tidy(struct epb_leases *leases, struct epb_budget *budget);
/* Defines a semaphore: n from 1 to EPB_PERMITS_MAX, otherwise EPB_INVALID_REQUEST. The
 * rest is as with a pool, but in one call. If a smaller semaphore replaces a larger one,
 * it grants nothing until fewer permits are held. */
EPB_MUST_USE enum epb_status
epb_lease_limit(struct epb_leases *leases, struct epb_bytes key, int64_t n,
                enum epb_defining how, bool has_value, const struct epb_time *now,
                bool *changed);
/* A key as described to callers. */
struct epb_lease_description {
    bool exists;
    enum epb_lease_kind kind;
    uint64_t size;    /* elements or permits; 1 of a value; UINT64_MAX of numbers */
    uint64_t free;    /* of these */
    uint64_t waiting; /* requests */
};
void
epb_lease_describe(struct epb_leases *leases, struct epb_bytes key, bool has_value,
                   const struct epb_time *now, struct epb_lease_description *description);
/* Removes the element from its pool. If it is held, it leaves when its grant ends, unless
 * it is added again before. EPB_NOT_FOUND (no such pool or element, or already
 * discarded), EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_lease_discard(struct epb_leases *leases, struct epb_bytes key, struct epb_bytes value,
                  uint32_t value_flags, const struct epb_time *now);
/* Deletes the definition of a pool or semaphore. EPB_NOT_FOUND: there is none.
 * EPB_LEASE_HELD: it has grants or waiting requests, or is being filled. If it has many
 * elements, epb_leases_tidy frees the rest. */
EPB_MUST_USE enum epb_status
epb_lease_undefine(struct epb_leases *leases, struct epb_bytes key,
                   const struct epb_time *now);
/* Deletes the definitions whose key has the prefix, in parts: call epb_lease_clear_begin,
 * then epb_lease_clear until it returns true. Definitions with grants or waiting requests
 * stay, and so do those that are made meanwhile. */
struct epb_lease_clearing {
    uint64_t cleared;
    uint64_t held; /* definitions that stay because they are in use */
    /* The leases' fields. */
    uint64_t at; /* the number of the definition visited last */
    uint64_t last;
};
void
epb_lease_clear_begin(const struct epb_leases *leases,
                      struct epb_lease_clearing *clearing);
bool
epb_lease_clear(struct epb_leases *leases, struct epb_bytes prefix,
                const struct epb_time *now, struct epb_budget *budget,
                struct epb_lease_clearing *clearing);
/* Whether a value may be stored under the key: false for pools, semaphores, and numbers
 * with grants or waiting requests. O(1) when there are no leases at all. */
bool
epb_lease_allows_value(struct epb_leases *leases, struct epb_bytes key,
                       const struct epb_time *now);
/* Whether the key is a pool or a semaphore. */
bool
epb_lease_is_defined(const struct epb_leases *leases, struct epb_bytes key);
/* Whether the key's stored value is leased; it must not be evicted then. */
bool
epb_lease_holds_value(const struct epb_leases *leases, struct epb_bytes key);

/* The peer leaves its session. Ends the grants that only this peer took, and continues
 * their queues. If the peer is the last of its session, forgets the losses of the
 * session's holders. The peer's waits must have been withdrawn. Works within the budget.
 * True: done. */
bool
epb_lease_leave(struct epb_leases *leases, struct epb_peer *peer,
                const struct epb_time *now, struct epb_budget *budget);
/* Takes the oldest loss that the peer has not been notified of by an event (only losses
 * of sessions, including computations). False: there is none. `key` is valid until the
 * next call. */
bool
epb_lease_next_loss(struct epb_leases *leases, struct epb_peer *peer, uint64_t *token,
                    struct epb_bytes *key);

/*
 * A walk over the grants and waiting requests that existed when it began, in all three
 * spaces, in no order, in any number of calls, while others end. `visit` gets each one
 * once, as it was then except for renewals. One that is about to end is visited before
 * that, so any call may call `visit`. `visit` must not call the leases.
 */
struct epb_leases_walk {
    struct epb_bytes prefix; /* of keys; borrowed */
    void (*visit)(void *context, const struct epb_lease_line *line);
    void *context;
    /* The leases' fields. */
    struct epb_list of_leases;
    struct epb_time began;
    uint64_t last_token; /* given before the walk began */
    uint64_t last_serial;
    bool in_queues; /* at first; after the queues come the grants */
    uint64_t at;    /* serial number or token of the last one visited in order */
};
/* The caller has set `prefix`, `visit` and `context`. */
void
epb_leases_walk_begin(struct epb_leases *leases, struct epb_leases_walk *walk,
                      const struct epb_time *now);
/* Continues the walk. True: everything has been visited. */
bool
epb_leases_walk_on(const struct epb_leases *leases, struct epb_leases_walk *walk,
                   struct epb_budget *budget);
/* Ends the walk: it visits nothing from now on. Calling it twice is harmless. */
void
epb_leases_walk_end(struct epb_leases_walk *walk);
/* Visits `key` itself, if it has grants of numbers, and then the definitions: pools and
 * semaphores. Stops when `visit` returns false. */
void
epb_leases_each_named(const struct epb_leases *leases, struct epb_bytes key,
                      bool (*visit)(void *context, struct epb_bytes key,
                                    enum epb_lease_kind kind),
                      void *context);
/* Packs a line as an entry of a leases reply. */
size_t
epb_lease_line_bytes(const struct epb_lease_line *line);
void
epb_lease_line_pack(const struct epb_lease_line *line, uint8_t *out);
/* Packs the obstacle of a request as described in msg.h, into `out` unless it is NULL.
 * Returns the bytes it takes. Here: the cycle of the last request that was refused for
 * one. */
size_t
epb_lease_cycle_pack(const struct epb_leases *leases, const struct epb_time *now,
                     uint8_t *out);
/* The obstacle at a key; 0: there is none. */
size_t
epb_lease_obstacle_pack(const struct epb_leases *leases, enum epb_lease_space space,
                        struct epb_bytes key, const struct epb_time *now, uint8_t *out);
/* The obstacle of a wait of epb_lease_ask, until the wait is freed. */
size_t
epb_lease_wait_obstacle_pack(const struct epb_wait *wait, const struct epb_time *now,
                             uint8_t *out);
/* Ends at most `limit` grants that are due. Returns as epb_waits_sweep does. */
uint64_t
epb_leases_sweep(struct epb_leases *leases, const struct epb_time *now, unsigned limit);
void
epb_leases_stats(const struct epb_leases *leases, struct epb_lease_stats *stats);

/* The key of a wait of epb_lease_ask; valid until the wait is freed. */
struct epb_bytes
epb_lease_wait_key(const struct epb_wait *wait);
/* The reason of a finished wait; valid until the wait is freed. */
struct epb_bytes
epb_reason_text(const struct epb_reason *reason);

#endif
