/*
 * Leases: who holds what, and who is next.
 *
 * A resource is what can be held under a name. There are three spaces of names: keys
 * (shared with the store), locks, and computations (getOrSet). A resource has a kind,
 * which says what a grant of it is:
 *
 *   pool       one of its elements, or several; never two grants of one element
 *   semaphore  one of n permits, numbered from 0; the lowest that is free, or several
 *   numbers    the same without a bound
 *   value      the stored value of the key, exclusively
 *   lock       exclusive, or shared with others
 *   compute    the right to compute the key's value, exclusively
 *
 * Pools and semaphores are defined and stay; resources of the other kinds exist while
 * something is granted or waited for. A grant belongs to a holder: a worker id in the
 * name of a session, or a worker id alone. A session may have several peers (wait.h).
 * Each that is given a grant, the first time or again, has taken it.
 *
 * A grant ends by release, by its TTL, or when the last peer that took it leaves; then
 * the queue of its resource goes on, in the same call. Time is a parameter: a grant whose
 * deadline has come (now.mono_ms >= due) is over in every call, whether or not a sweep
 * has been: the call ends what is due first, in the order of deadlines and tokens. So is
 * a request whose wait is over; it gets nothing more, even when what it waits for comes
 * free at that very time.
 *
 * A request that waits has all the memory that its grant will need, so that a grant never
 * fails when its turn comes. A grant that was made for a waiting request and that nobody
 * has taken by the time that the peer leaves, ends.
 *
 * A loss is a grant that ended by its TTL, or by force and not in its own session's name.
 * Its holder learns it twice: by an event to each peer that took it, and in the answer
 * to the worker's next renewal, by whichever peer of the session. The last
 * EPB_LOSSES_MAX losses of all holders are kept.
 *
 * Invariants:
 * - one holder per element; a semaphore has at most n grants; a value, an exclusive lock
 *   and a computation have one; shared grants and an exclusive one never stand together;
 * - FIFO: a request is granted only when no other waits before it on the same resource,
 *   however much or little they want; no request that could be granted waits when a call
 *   returns (no lost wake-up);
 * - a request for several things gets all of them in one grant, or waits; none waits for
 *   more than one thing and more than there is;
 * - tokens only grow, over all resources, and from one broker to the next as long as the
 *   wall clock does: the first is wall_ms << 10, and stays below 2^53 until 2248;
 * - a grant that has ended never comes back: its token is not live again;
 * - a peer that has left holds nothing and waits for nothing; a session whose peers
 *   have all left holds nothing and gets no event;
 * - no request waits for itself by way of what flows hold;
 * - a call that fails has changed nothing;
 * - with single_lease, the grants that a holder has in the space of keys are of one key.
 *
 * A request that waits may name grants that its flow holds. One that would wait for
 * itself, by way of others who wait, is refused: see lease_deadlock.c.
 *
 * Every operation is O(log n) in grants, waiting requests and elements, for each grant it
 * ends or makes, and for each thing of that; a request that names grants and waits, O(n)
 * in the waits that it depends on.
 *
 * Not thread-safe. Knows nothing of the store: the caller says whether a key has a value.
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
/* Things that one grant may have: what a turn can hand out. */
#define EPB_COUNT_MAX 10000
#define EPB_LOSSES_MAX EPB_LIMIT(10000U, 3U)

struct epb_leases;

/* What a key may give, where nothing is defined or stored under it, or something is. */
enum epb_lease_rule {
    EPB_RULE_ANY,     /* whatever it is: without a definition, a number */
    EPB_RULE_DEFINED, /* a pool, a semaphore or a value; else EPB_NOT_FOUND */
    EPB_RULE_NUMBER   /* a number; where it is something else, EPB_KIND_MISMATCH */
};

/* How many grants a request may say that its flow holds. */
#define EPB_FLOW_MAX 64U
/* How many grants of a cycle are shown. */
#define EPB_CYCLE_SHOWN 8U
/* How many holders are shown of what is in the way; how far they, and places in a queue,
 * are counted. */
#define EPB_OBSTACLE_SHOWN 8U
#define EPB_OBSTACLE_MAX 100U

/* A wish to hold something. */
struct epb_lease_ask {
    enum epb_lease_space space;
    enum epb_lease_rule rule;          /* of keys */
    const struct epb_request *request; /* key, worker, ttl_ms (0: the default), wait_ms
                                          (when its flag is set), count (when its flag
                                          is set: how many, 1 to EPB_COUNT_MAX),
                                          id, and FRESH, SHARED, DETACHED; value: the
                                          tokens of what its flow holds, u64 each */
    bool has_value; /* keys: the store has a value, so the kind is value unless the key is
                       defined otherwise */
};

/* What is known of a grant; borrowed, valid until the next call. */
struct epb_grant_view {
    uint64_t token;
    uint64_t ttl_ms; /* remaining, 1 or more */
    enum epb_lease_kind kind;
    uint64_t count;  /* of things; the first of them is below */
    bool several;    /* it was asked for by a count */
    uint64_t number; /* numbers, semaphore */
    struct epb_bytes key;
    struct epb_bytes worker;
    struct epb_bytes value; /* pool: the element */
    uint32_t value_flags;   /* pool: EPB_F_BINARY or 0 */
};

/* What a walk shows of a grant, or of a request that waits. */
struct epb_lease_line {
    bool held; /* else waiting */
    bool shared;
    enum epb_lease_kind kind;
    uint64_t session;
    uint64_t token;   /* 0: waiting */
    uint64_t order;   /* among grants, or among requests that wait: older ones first */
    uint64_t count;   /* things that are held, or waited for */
    uint64_t left_ms; /* to expiry, or to the end of the wait */
    uint64_t age_ms;
    uint64_t pid; /* of its session's process; 0: not known */
    struct epb_bytes key;
    struct epb_bytes worker;
};

struct epb_lease_stats {
    uint64_t grants;    /* live now, computations included */
    uint64_t resources; /* that exist now */
    uint64_t elements;  /* of pools, discarded ones not counted */
    uint64_t table_bytes;
    uint64_t granted_total;
    uint64_t expired_total; /* by their TTL */
    uint64_t lost_total;    /* by the end of their session, or by force */
};

/* All borrow, for the life of the leases. NULL when memory is out. */
struct epb_leases *
epb_leases_new(struct epb_arena *arena, struct epb_quota *quota, struct epb_waits *waits,
               bool single_lease, const struct epb_time *now);
/* All peers have been freed. NULL is allowed. */
void
epb_leases_free(struct epb_leases *leases);

/* Asks for a grant. Without FRESH, a holder that has such a grant of this resource gets
 * that one again, renewed. *grant is set when it was granted at once; NULL: the request
 * waits (only when its WAIT flag is set with more than 0). EPB_LEASE_HELD,
 * EPB_NOT_FOUND, EPB_KIND_MISMATCH, EPB_WORKER_ALREADY_HAS_LEASE, EPB_MAX_WAITERS,
 * EPB_MAX_MEMORY, EPB_CONFLICT (the resource is smaller than the count: see
 * epb_lease_describe; or see epb_wait_new), EPB_DEADLOCK (it would wait for its own flow:
 * epb_lease_cycle_pack), EPB_INVALID_VALUE, EPB_TOO_LARGE (the tokens), EPB_INTERNAL. A
 * request that waits ends with EPB_CONFLICT, and the size in its `count`, when the
 * resource becomes too small for it. */
EPB_MUST_USE enum epb_status
epb_lease_ask(struct epb_leases *leases, struct epb_peer *peer,
              const struct epb_lease_ask *ask, const struct epb_time *now,
              struct epb_grant **grant);
/* What a grant is; false when it is over by now. */
bool
epb_grant_get_view(const struct epb_grant *grant, const struct epb_time *now,
                   struct epb_grant_view *view);
/* Fills in another of its things (0 to count - 1) in a view of the same grant. */
void
epb_grant_get_view_at(const struct epb_grant *grant, uint64_t index,
                      struct epb_grant_view *view);

/* The live grant of a token; NULL: there is none (any more). */
struct epb_grant *
epb_lease_find(const struct epb_leases *leases, uint64_t token,
               const struct epb_time *now);
/* One grant, by token. `ttl_ms` 0: its own. EPB_LEASE_LOST; of another session's grant:
 * EPB_LEASE_HELD. */
EPB_MUST_USE enum epb_status
epb_lease_renew_token(struct epb_leases *leases, const struct epb_peer *peer,
                      uint64_t token, uint64_t ttl_ms, const struct epb_time *now);
/* The peer has taken this grant of its session, too; its TTL runs on. Statuses as
 * above, and those of memory. */
EPB_MUST_USE enum epb_status
epb_lease_take(struct epb_leases *leases, struct epb_peer *peer, uint64_t token,
               const struct epb_time *now);
/* All grants of the holder, or those of one key (key may be empty) of the spaces of keys
 * and locks; `ttl_ms` 0: each its own. What the holder lost in these spaces by TTL or
 * force since it was last told is visited, oldest first, and forgotten; when `lost`
 * returns false, this loss and those after it are kept for the next time. Returns how
 * many were renewed. */
uint64_t
epb_lease_renew_worker(struct epb_leases *leases, struct epb_peer *peer,
                       struct epb_bytes worker, bool detached, struct epb_bytes key,
                       uint64_t ttl_ms, const struct epb_time *now,
                       bool (*lost)(void *context, uint64_t token, struct epb_bytes key),
                       void *context);

/* Ends one grant. Of another session's grant: EPB_LEASE_HELD, unless by force. *released
 * is false when the token is not live. With `discard`, here and below, elements of a pool
 * leave their pool; nothing else is discarded. `elements`, packed as in msg.h, are those
 * of the grant that leave; empty: all. EPB_INVALID_VALUE (malformed), EPB_NOT_FOUND (one
 * of them is none of the grant's), EPB_INTERNAL; nothing has changed then. */
EPB_MUST_USE enum epb_status
epb_lease_release_token(struct epb_leases *leases, struct epb_peer *peer, uint64_t token,
                        bool force, bool discard, struct epb_bytes elements,
                        const struct epb_time *now, bool *released);
/* Ends all grants of the holder (keys and locks, not computations), or those of one key;
 * by force, those of every holder with this worker id, or of everybody who holds the key
 * when `worker` is empty. EPB_LEASE_HELD when the holder has nothing to release but the
 * same worker id holds such a thing as another holder does: in the name of another
 * session, or of none. These two look at every holder with this worker id. */
EPB_MUST_USE enum epb_status
epb_lease_release_worker(struct epb_leases *leases, struct epb_peer *peer,
                         struct epb_bytes worker, bool detached, struct epb_bytes key,
                         bool force, bool discard, const struct epb_time *now,
                         uint64_t *released);
/* The computation of this token failed: everybody who waits for it now gets
 * EPB_COMPUTE_FAILED and the reason. EPB_LEASE_LOST when it is not live (or no
 * computation); EPB_LEASE_HELD when it is another session's, unless by force;
 * EPB_MAX_MEMORY, EPB_INTERNAL; nothing has changed then. */
EPB_MUST_USE enum epb_status
epb_lease_fail(struct epb_leases *leases, const struct epb_peer *peer, uint64_t token,
               bool force, struct epb_bytes reason, const struct epb_time *now);
/* The key has a value now: everybody who waits for its computation is finished with
 * EPB_OK and no grant. The live computation stays as it is. O(1) when nothing is
 * computed. */
void
epb_lease_computed(struct epb_leases *leases, struct epb_bytes key);
/* A wait for a computation that was popped without a grant, and whose key has no value
 * again: asks again, at its old place in the queue. True: it is granted at once
 * (wait->grant) and still the caller's; false: it waits again, or, when its deadline has
 * come, is finished again with EPB_WAIT_TIMEOUT. */
bool
epb_lease_ask_again(struct epb_leases *leases, struct epb_wait *wait,
                    const struct epb_time *now);
/* Ends a grant on behalf of its holder (a computation that is written, a grant that
 * nobody could take). Wakes the next. */
void
epb_lease_end(struct epb_leases *leases, struct epb_grant *grant,
              const struct epb_time *now);

/* What becomes of a definition where there is one already. */
enum epb_defining {
    EPB_DEFINE_ONCE,     /* the same is no change, another is EPB_CONFLICT */
    EPB_DEFINE_MORE,     /* pools: elements are added */
    EPB_DEFINE_ANEW,     /* it is replaced; what is held leaves when its grant ends */
    EPB_DEFINE_IF_ABSENT /* it stays as it is */
};

/* A set of elements, in no order: how many, and the sum of their keyed hashes. */
struct epb_elements_mark {
    uint64_t count;
    uint64_t sum;
};

/* A place in a packed list of elements. */
struct epb_unpack {
    const uint8_t *at;
    size_t left_bytes;
    bool is_binary;
    struct epb_bytes value;
};

/* Defines a pool, or changes it, in parts. */
struct epb_lease_filling {
    struct epb_bytes key;      /* borrowed until it is done, or dropped */
    struct epb_bytes elements; /* the same; packed as in msg.h */
    enum epb_defining how;
    uint64_t element_max_bytes; /* 0: no limit */
    bool room_made;             /* after `wants_room` */
    /* What came of it. */
    bool wants_room; /* the quota is used up: something else may go before the next part
                      */
    bool changed;    /* the pool is defined, or has been replaced */
    uint64_t size;   /* elements it has now */
    uint64_t too_large_bytes; /* the element's, of EPB_TOO_LARGE */
    /* The leases'. */
    int step;
    enum epb_status status;
    bool committed;
    struct epb_unpack unpack;
    struct epb_elements_mark mark;  /* of the list */
    struct epb_elements_mark grown; /* of those that the pool doesn't have */
    struct epb_resource *pool;      /* once elements are staged */
    uint64_t number;
    struct epb_list added;
    uint64_t added_count;
    struct epb_list kept;
    struct epb_list *free_at;  /* the element that pruning looks at next */
    struct epb_list *grant_at; /* the same, of grants */
};
/* The rest is zero. */
void
epb_lease_fill_begin(struct epb_lease_filling *filling);
/* Goes on until it is done or the budget is spent. A list is the same when it has the
 * elements of the list that the pool was defined by, or those that it has now, in any
 * order. EPB_KIND_MISMATCH, EPB_INVALID_VALUE (malformed, no element, or equal elements;
 * an element has at least one byte unless it is of bytes, else it is UTF-8),
 * EPB_TOO_LARGE, EPB_CONFLICT (another list; or, of those to be added, one is in the
 * pool), EPB_MAX_MEMORY, EPB_INTERNAL. Nothing changes then. While it is at work, the
 * pool can't be deleted; what is discarded has left, whether the list has it or not; and
 * what a replacement takes away leaves after the new elements have come. One at a time;
 * what another one that was dropped has left is ended first. */
EPB_MUST_USE enum epb_status
epb_lease_fill(struct epb_leases *leases, struct epb_lease_filling *filling,
               bool has_value, const struct epb_time *now, struct epb_budget *budget,
               bool *done);
/* It is given up, unless it is done: what it has staged goes, or, once the elements have
 * come in, it goes on. True: nothing is left to do here; then epb_leases_settle_pools is
 * due. */
bool
epb_lease_fill_drop(struct epb_leases *leases, struct epb_lease_filling *filling,
                    struct epb_budget *budget);
/* The queues of pools whose filling was dropped go on. */
void
epb_leases_settle_pools(struct epb_leases *leases, const struct epb_time *now);
/* Frees the elements of pools that were deleted, as far as the budget goes; true: all. */
bool
epb_leases_tidy(struct epb_leases *leases, struct epb_budget *budget);
/* A semaphore: n from 1 to EPB_PERMITS_MAX, else EPB_INVALID_REQUEST. As with a pool,
 * otherwise, but at once. One that is replaced by a smaller one grants nothing until
 * fewer are held. */
EPB_MUST_USE enum epb_status
epb_lease_limit(struct epb_leases *leases, struct epb_bytes key, int64_t n,
                enum epb_defining how, bool has_value, const struct epb_time *now,
                bool *changed);
/* What is known of a key. */
struct epb_lease_description {
    bool exists;
    enum epb_lease_kind kind;
    uint64_t size;    /* elements, permits; 1 of a value; UINT64_MAX of numbers */
    uint64_t free;    /* of these */
    uint64_t waiting; /* requests */
};
void
epb_lease_describe(struct epb_leases *leases, struct epb_bytes key, bool has_value,
                   const struct epb_time *now, struct epb_lease_description *description);
/* The element leaves its pool; held, when its grant ends, unless it is added again
 * before. EPB_NOT_FOUND (no such pool or element, or discarded already), EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_lease_discard(struct epb_leases *leases, struct epb_bytes key, struct epb_bytes value,
                  uint32_t value_flags, const struct epb_time *now);
/* Deletes the definition of a pool or semaphore. EPB_NOT_FOUND: there is none;
 * EPB_LEASE_HELD: something of it is held or waited for, or it is being filled. The rest
 * of many elements is for epb_leases_tidy. */
EPB_MUST_USE enum epb_status
epb_lease_undefine(struct epb_leases *leases, struct epb_bytes key,
                   const struct epb_time *now);
/* Deletes the definitions whose key has the prefix, but for those of which something is
 * held or waited for, in parts: after epb_lease_clear_begin, until it returns true. What
 * is defined meanwhile stays. */
struct epb_lease_clearing {
    uint64_t cleared;
    uint64_t held; /* those that stay */
    /* The leases'. */
    uint64_t at; /* the number of the definition looked at last */
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
 * that are held or waited for. O(1) when there are no leases at all. */
bool
epb_lease_allows_value(struct epb_leases *leases, struct epb_bytes key,
                       const struct epb_time *now);
/* Whether the key is a pool or a semaphore. */
bool
epb_lease_is_defined(const struct epb_leases *leases, struct epb_bytes key);
/* Whether the key's stored value is leased: it is not to be evicted then. */
bool
epb_lease_holds_value(const struct epb_leases *leases, struct epb_bytes key);

/* The peer leaves its session: the grants that it alone took end (the queues go on), and
 * when it is the last, what the session's holders have lost is forgotten. Its waits have
 * been withdrawn by then. As far as the budget goes; true: all of it. */
bool
epb_lease_leave(struct epb_leases *leases, struct epb_peer *peer,
                const struct epb_time *now, struct epb_budget *budget);
/* Takes the oldest loss that the peer has not been told by an event (only sessions' are;
 * of computations, too): false when there is none. `key` is valid until the next call. */
bool
epb_lease_next_loss(struct epb_leases *leases, struct epb_peer *peer, uint64_t *token,
                    struct epb_bytes *key);

/*
 * A walk over what was held and waited for when it began, in all three spaces, however
 * long it takes and whatever ends meanwhile: each grant and each waiting request once, as
 * it was but for renewals, in no order. One that is about to end is visited before, so
 * visit may be called in the middle of any call; it must not call the leases.
 */
struct epb_leases_walk {
    struct epb_bytes prefix; /* of keys; borrowed */
    void (*visit)(void *context, const struct epb_lease_line *line);
    void *context;
    /* The leases'. */
    struct epb_list of_leases;
    struct epb_time began;
    uint64_t last_token; /* given before it began */
    uint64_t last_serial;
    bool in_queues; /* first; then it is among the grants */
    uint64_t at; /* the serial number, or the token, of the last one visited in order */
};
/* `prefix`, `visit` and `context` are set. */
void
epb_leases_walk_begin(struct epb_leases *leases, struct epb_leases_walk *walk,
                      const struct epb_time *now);
/* Goes on; true: all have been visited. */
bool
epb_leases_walk_on(const struct epb_leases *leases, struct epb_leases_walk *walk,
                   struct epb_budget *budget);
/* It shows nothing from now on. Twice does no harm. */
void
epb_leases_walk_end(struct epb_leases_walk *walk);
/* Visits the definitions: pools, semaphores, and `key` itself, first, when its numbers
 * are held. Stops when visit returns false. */
void
epb_leases_each_named(const struct epb_leases *leases, struct epb_bytes key,
                      bool (*visit)(void *context, struct epb_bytes key,
                                    enum epb_lease_kind kind),
                      void *context);
/* A line as an entry of a leases reply. */
size_t
epb_lease_line_bytes(const struct epb_lease_line *line);
void
epb_lease_line_pack(const struct epb_lease_line *line, uint8_t *out);
/* What was in the way of a request, packed as msg.h says, into `out` unless that is NULL;
 * the bytes it takes. A cycle: of the last request that was refused for one. */
size_t
epb_lease_cycle_pack(const struct epb_leases *leases, const struct epb_time *now,
                     uint8_t *out);
/* Of a key: 0 when nothing is. */
size_t
epb_lease_obstacle_pack(const struct epb_leases *leases, enum epb_lease_space space,
                        struct epb_bytes key, const struct epb_time *now, uint8_t *out);
/* Of a wait of epb_lease_ask, until it is freed. */
size_t
epb_lease_wait_obstacle_pack(const struct epb_wait *wait, const struct epb_time *now,
                             uint8_t *out);
/* Ends at most `limit` grants that are due; returns as epb_waits_sweep does. */
uint64_t
epb_leases_sweep(struct epb_leases *leases, const struct epb_time *now, unsigned limit);
void
epb_leases_stats(const struct epb_leases *leases, struct epb_lease_stats *stats);

/* The key that a wait of epb_lease_ask is for; valid until the wait is freed. */
struct epb_bytes
epb_lease_wait_key(const struct epb_wait *wait);
/* The reason of a finished wait; freed with it. */
struct epb_bytes
epb_reason_text(const struct epb_reason *reason);

#endif
