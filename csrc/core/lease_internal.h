/*
 * How leases are kept: private to lease*.c.
 *
 * - A resource is found by its space and key. It has the grants that stand, by
 *   token, and a queue of wishes, by the serial numbers of their waits.
 * - A worker is a worker id; a holder is a worker in the name of a session, or of
 *   none. A holder has its grants, by token.
 * - A holding is what one holder has to do with one resource. It is found by the two.
 * - A take is that a peer took a grant of its session. A grant that is live and held in
 *   the name of a session has a take of every peer that was given it and has not left,
 *   of one at least; one that is lost has a take of those that have not been told by an
 *   event. In the name of no session there are none.
 * - A grant is, in this order: a wish, in the queue of its resource while its wait
 *   waits; live, found by its token and among the deadlines; ended, and lost if its
 *   holder is to be told. It is made when it is asked for, so that it needs no memory
 *   when its turn comes (for that, a wish has a take to spare), and it is its own record
 *   when it is lost.
 *
 * Who refers to whom: a grant, whatever its state, is a member of its holding; a holding
 * is counted by its holder and its resource; a holder is in its worker's list. Each is
 * freed with the last that refers to it, but a defined resource stays.
 */
#ifndef EPB_CORE_LEASE_INTERNAL_H
#define EPB_CORE_LEASE_INTERNAL_H

#include "../base/arena.h"
#include "../base/map.h"
#include "../base/mark.h"
#include "lease.h"
#include "slots.h"

#define EPB_SPACE_COUNT 3U

/* A place where a search for deadlocks has been. */
struct epb_search_place {
    uint64_t round;                  /* the search that the rest belongs to */
    uint64_t last_serial;            /* of the waits reached in the queue */
    uint64_t stuck;                  /* how much of it stuck grants keep */
    struct epb_tree_node *next;      /* the first wait that is not free yet */
    const struct epb_flow_link *via; /* how a cycle comes here */
    struct epb_list of_found;
    struct epb_list of_work;
};

/* Grants that wait for each other's flows: the first for the last. */
struct epb_cycle {
    size_t count; /* of all; no more than these are at hand */
    const struct epb_grant *grants[EPB_CYCLE_SHOWN];
};

struct epb_leases {
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_waits *waits;
    bool single_lease;
    uint64_t seed;
    struct epb_map *resources[EPB_SPACE_COUNT]; /* by key */
    struct epb_map *workers;                    /* by id */
    struct epb_map *holders;                    /* by name */
    struct epb_map *holdings;                   /* by name */
    struct epb_map *elements;  /* of all pools, by pool, kind and bytes */
    struct epb_tree tokens;    /* live grants */
    struct epb_tree deadlines; /* the same, by due time and token */
    struct epb_tree pendings;  /* those in queues, by their waits' serial numbers */
    struct epb_list walks;
    struct epb_tree defined; /* resources that stay, by a number that grows */
    uint64_t last_definition;
    struct epb_list resized; /* pools, in the middle of a call */
    struct epb_list losses;  /* grants, oldest first */
    struct epb_grant *shown; /* the loss that epb_lease_next_loss has shown last */
    uint64_t loss_count;
    uint64_t next_token;
    uint64_t last_batch;               /* of elements added, or discarded, together */
    uint64_t last_pool;                /* the number of the latest one */
    struct epb_lease_filling *filling; /* that has staged elements; NULL: none */
    struct epb_list unsettled;         /* pools whose filling was given up at its end */
    struct epb_list debris;            /* elements of pools that were deleted */
    uint64_t search_round;
    struct epb_cycle cycle; /* of the last refusal, until the next call */
    struct epb_lease_stats stats;
};

struct epb_resource {
    struct epb_tree_node of_defined;
    struct epb_list of_resized;
    struct epb_list of_unsettled;
    struct epb_list grants;        /* live, by token */
    struct epb_list free_elements; /* pool: given back longest ago first */
    struct epb_tree queue;         /* wishes, by their waits' serial numbers */
    struct epb_list named;         /* live grants that waits name */
    struct epb_search_place search;
    struct epb_slots slots;              /* numbers, semaphore */
    uint64_t limit;                      /* semaphore: permits */
    struct epb_elements_mark elements;   /* pool: those not discarded */
    struct epb_elements_mark definition; /* pool: the list it was defined by */
    uint64_t free_count;                 /* pool: of free_elements */
    uint64_t number;                     /* pool: that no other has had */
    uint64_t wide;                       /* wishes in the queue for more than one thing */
    uint64_t holdings;
    uint64_t pins; /* fillings of it */
    enum epb_lease_space space;
    enum epb_lease_kind kind; /* while it exists, see epb_resource_exists */
    uint32_t mark;
    bool defined; /* pool or semaphore */
    bool counted; /* in the statistics */
    uint16_t key_bytes;
    uint8_t key[];
};

struct epb_worker {
    struct epb_list holders;
    uint16_t id_bytes;
    uint8_t id[];
};

struct epb_holder_name {
    const struct epb_worker *worker;
    uint64_t session;
};

struct epb_holder {
    struct epb_holder_name name;
    struct epb_worker *worker;
    struct epb_group *group; /* NULL: in the name of no session */
    struct epb_list of_worker;
    struct epb_list of_group;
    struct epb_list grants; /* live, by token */
    struct epb_list losses; /* for the next renewal, oldest first */
    uint64_t holdings;      /* and pins */
    uint32_t mark;
    uint64_t live[EPB_SPACE_COUNT]; /* grants, by space */
};

struct epb_holding_name {
    const struct epb_holder *holder;
    const struct epb_resource *resource;
};

struct epb_holding {
    struct epb_holding_name name;
    struct epb_holder *holder;
    struct epb_resource *resource;
    struct epb_list grants; /* live, by token */
    uint64_t grant_count;
    uint64_t members; /* grants in any state, and pins */
    uint32_t mark;
};

/* An element's name in the map is its pool's number, its kind, and its bytes. */
#define EPB_ELEMENT_NAME_BYTES (sizeof(uint64_t) + 1)

struct epb_element {
    struct epb_list of_free; /* its pool's, while it is free; or a filling's */
    struct epb_grant *grant; /* that holds it; NULL: none */
    uint64_t batch;          /* the latest list that had it */
    uint64_t chosen;         /* by the latest release that named it */
    uint32_t value_bytes;
    bool fresh;     /* its batch brought it */
    bool discarded; /* leaves when its grant ends */
    uint8_t name[]; /* the value is the end of it */
};

/* That a peer took a grant, or, of a wish, is going to. */
struct epb_take {
    struct epb_list of_grant; /* its takes, in the order of taking */
    struct epb_list of_peer;  /* live: in its peer's takes; lost: in its losses, for an
                                  event */
    struct epb_grant *grant;
    struct epb_peer *peer;
};

/* A wait names a grant, which its flow holds. */
struct epb_flow_link {
    struct epb_list of_grant; /* in none when the grant has ended */
    struct epb_grant *grant;
    struct epb_grant *pending;
};

struct epb_flow {
    size_t room;
    size_t count;
    struct epb_flow_link links[];
};

/* What is held: an element, or a number; of other kinds nothing in particular. */
union epb_thing {
    struct epb_element *element;
    uint64_t number;
};

struct epb_grant {
    struct epb_tree_node by_token; /* a wish: its place in the queue */
    struct epb_tree_node by_due;   /* a wish: its place among those of all queues */
    struct epb_list of_resource;   /* lost: in the losses of all */
    struct epb_list of_holding;
    struct epb_list of_holder; /* lost: in its holder's losses, for a renewal */
    struct epb_list answers;   /* finished waits that it was given to (of_queue) */
    struct epb_list takes;     /* lost: those to be told by an event */
    struct epb_take *spare;    /* a wish's, for what it will be granted */
    struct epb_holding *holding;
    struct epb_wait *wait;    /* that it was made for, until that is freed */
    struct epb_flow *flow;    /* a wish: what it names; NULL: nothing */
    struct epb_list named_by; /* live: links */
    struct epb_list of_named; /* live: its resource's, while links name it */
    uint64_t stuck;           /* in a search: links to waits that are not free yet */
    uint64_t token;
    uint64_t ttl_ms;
    uint64_t since_mono_ms;
    uint32_t mark;
    uint32_t count; /* of things */
    bool several;   /* it was asked for by a count, be it one */
    bool shared;
    bool fresh;
    bool queued;
    bool live;
    bool lost;
    bool taken; /* somebody has been told of it */
    union epb_thing things[];
};

/* Of one whose time is not over; EPB_NUMBER_MAX: as long as the broker. */
static inline uint64_t
epb_grant_left_ms(const struct epb_grant *grant, const struct epb_time *now)
{
    return grant->ttl_ms >= EPB_TTL_FOREVER_MS ? EPB_NUMBER_MAX
                                               : grant->by_due.major - now->mono_ms;
}

/* Why a grant ends. */
enum epb_end_reason {
    EPB_END_RELEASE,
    EPB_END_EXPIRY,
    EPB_END_SESSION,
    EPB_END_FORCE
};

/* Whose: a worker in the name of a peer's session, or of none. */
struct epb_who {
    struct epb_peer *peer;
    struct epb_bytes worker;
    bool detached;
};

/* lease_grant.c: resources and grants */

struct epb_resource *
epb_resource_find(const struct epb_leases *leases, enum epb_lease_space space,
                  struct epb_bytes key);
/* Makes it when it isn't there; it must be used, or be given to epb_resource_free_unused.
 */
EPB_MUST_USE enum epb_status
epb_resource_get(struct epb_leases *leases, enum epb_lease_space space,
                 struct epb_bytes key, struct epb_resource **out);
void
epb_resource_free_unused(struct epb_leases *leases, struct epb_resource *resource);
struct epb_bytes
epb_resource_key(const void *item);
/* Defined, held, or waited for: it has a kind. */
bool
epb_resource_exists(const struct epb_resource *resource);
/* Something was given back, or has left the queue: grants what can be granted. Also
 * counts the resource in or out. The caller holds a reference. */
void
epb_resource_go_on(struct epb_leases *leases, struct epb_resource *resource,
                   const struct epb_time *now);
/* Ends all grants that are due. */
void
epb_leases_settle(struct epb_leases *leases, const struct epb_time *now);
/* A wish of this peer, not in a queue yet. */
EPB_MUST_USE enum epb_status
epb_grant_new(struct epb_leases *leases, struct epb_holding *holding,
              struct epb_peer *peer, uint32_t count, struct epb_grant **out);
/* Whether that many could be granted now if nothing waited. */
bool
epb_grant_fits(const struct epb_resource *resource, bool shared, uint32_t count);
/* How many a grant of it may have at most, whatever is held now. */
uint64_t
epb_resource_size(const struct epb_resource *resource);
/* The oldest grant of this kind of the holding that is not over; NULL: there is none. */
struct epb_grant *
epb_grant_standing(const struct epb_holding *holding, bool shared,
                   const struct epb_time *now);
/* A wish that fits becomes live. Numbers must have been reserved. */
void
epb_grant_start(struct epb_leases *leases, struct epb_grant *grant,
                const struct epb_time *now);
/* With single_lease: the holder has a grant of another key. */
bool
epb_grant_is_barred(const struct epb_leases *leases, const struct epb_holding *holding);
struct epb_grant *
epb_queue_first(const struct epb_resource *resource);
void
epb_queue_add(struct epb_leases *leases, struct epb_grant *grant);
/* The resource has become smaller: wishes for more than it has end with EPB_CONFLICT.
 * Those behind them go on by epb_resource_go_on. Linear in the queue, if one of
 * them wants several. */
void
epb_queue_refuse(struct epb_leases *leases, struct epb_resource *resource);
/* Also when it is in no queue. */
void
epb_queue_remove(struct epb_leases *leases, struct epb_grant *grant);
void
epb_grant_renew(struct epb_leases *leases, struct epb_grant *grant, uint64_t ttl_ms,
                const struct epb_time *now);
void
epb_grant_end(struct epb_leases *leases, struct epb_grant *grant, enum epb_end_reason why,
              const struct epb_time *now);
/* When it is not live, waited for, or a loss any more. */
void
epb_grant_free_unused(struct epb_leases *leases, struct epb_grant *grant);

/* lease_holder.c: workers, holders, holdings */

/* The session that a holder's name has; 0: none. */
uint64_t
epb_who_session(const struct epb_who *who);
/* NULL when there is none; an empty id is nobody's. */
struct epb_worker *
epb_worker_find(const struct epb_leases *leases, struct epb_bytes id);
struct epb_holder *
epb_holder_of(const struct epb_leases *leases, const struct epb_worker *worker,
              uint64_t session);
struct epb_holder *
epb_holder_find(const struct epb_leases *leases, const struct epb_who *who);
/* Keeps it while its grants end. */
void
epb_holder_pin(struct epb_holder *holder);
void
epb_holder_unpin(struct epb_leases *leases, struct epb_holder *holder);
/* How many grants a worker's id alone speaks of: keys and locks, not computations. */
uint64_t
epb_holder_named_grants(const struct epb_holder *holder);
/* The holder's holding in what has this name; NULL when it has none. */
struct epb_holding *
epb_holding_find(const struct epb_leases *leases, const struct epb_holder *holder,
                 enum epb_lease_space space, struct epb_bytes key);
/* Makes what isn't there; the holding must be used, or be given to
 * epb_holding_free_unused. */
EPB_MUST_USE enum epb_status
epb_holding_get(struct epb_leases *leases, const struct epb_who *who,
                struct epb_resource *resource, struct epb_holding **out);
/* Frees what it alone refers to, the resource included. */
void
epb_holding_free_unused(struct epb_leases *leases, struct epb_holding *holding);
struct epb_bytes
epb_worker_key(const void *item);
struct epb_bytes
epb_holder_key(const void *item);
struct epb_bytes
epb_holding_key(const void *item);

/* lease_take.c: who took what */

/* In the name of no session *out is NULL. */
EPB_MUST_USE enum epb_status
epb_take_new(struct epb_leases *leases, const struct epb_holding *holding,
             struct epb_peer *peer, struct epb_take **out);
/* NULL is allowed; it is in no list any more afterwards. */
void
epb_take_free(struct epb_leases *leases, struct epb_take *take);
/* The take's peer has been given this live grant; once more, if it was given it before.
 * NULL (in the name of no session) is allowed. Linear in the peers that took it. */
void
epb_take_add(struct epb_leases *leases, struct epb_grant *grant,
             struct epb_take *take_take);
/* The same for the wish's peer, by the take that it has to spare. */
void
epb_take_add_spare(struct epb_leases *leases, struct epb_grant *grant,
                   struct epb_grant *pending);
/* The grant has ended: its takes go, but for the one to spare of a wish that may be
 * granted again. */
void
epb_takes_drop(struct epb_leases *leases, struct epb_grant *grant);

/* lease_release.c: whose a grant is, and losses */

/* Whether the peer may renew or release it by its token: it is held in its session's
 * name, or in the name of none. */
bool
epb_grant_is_for(const struct epb_grant *grant, const struct epb_peer *peer);

/* A grant that has just ended, if there is somebody to tell. */
void
epb_loss_add(struct epb_leases *leases, struct epb_grant *grant);
/* Nobody is told of it any more. */
void
epb_loss_forget(struct epb_leases *leases, struct epb_grant *grant);

/* lease_list.c: walks */

/* A live grant is about to end, or a wish to leave its queue. */
void
epb_walks_see_grant(const struct epb_leases *leases, const struct epb_grant *grant);
void
epb_walks_see_pending(const struct epb_leases *leases, const struct epb_grant *pending);

/* The place in its queue, from 1; 0: farther back than is counted. */
uint64_t
epb_queue_place(const struct epb_grant *pending);

/* lease_deadlock.c: flows, and the search for cycles */

/* Tokens, u64 each: EPB_INVALID_VALUE, EPB_TOO_LARGE (more than EPB_FLOW_MAX). */
EPB_MUST_USE enum epb_status
epb_flow_check(struct epb_bytes tokens);
/* What the wish's flow holds, of checked tokens; those of no live grant are left out. */
EPB_MUST_USE enum epb_status
epb_flow_set(struct epb_leases *leases, struct epb_grant *pending,
             struct epb_bytes tokens, const struct epb_time *now);
void
epb_flow_drop(struct epb_leases *leases, struct epb_grant *pending);
/* The grant has ended: nothing names it any more. */
void
epb_flow_forget(struct epb_grant *grant);
/* Whether a wish in its queue closes a cycle, which is noted in leases->cycle then. */
bool
epb_pending_is_stuck(struct epb_leases *leases, const struct epb_grant *pending,
                     const struct epb_time *now);
/* Finishes its wait with EPB_DEADLOCK and the cycle that was noted. */
void
epb_pending_refuse(struct epb_leases *leases, struct epb_grant *pending,
                   const struct epb_time *now);
/* The number of its elements has changed. */
void
epb_pool_resized(struct epb_leases *leases, struct epb_resource *pool);
/* At the end of a call: refuses what waits for itself now that pools have other sizes. */
void
epb_pools_refuse_stuck(struct epb_leases *leases, const struct epb_time *now);

/* lease_compute.c: reasons */

/* The cycle that was noted, packed, as the reason; none when memory is out. */
void
epb_reason_set_cycle(struct epb_leases *leases, struct epb_wait *wait,
                     const struct epb_time *now);

/* One of the waits that have it is freed. */
void
epb_reason_let_go(struct epb_leases *leases, struct epb_reason *reason);

/* lease_pool.c: elements and definitions */

struct epb_bytes
epb_element_key(const void *item);
struct epb_bytes
epb_element_value(const struct epb_element *element);
uint32_t
epb_element_value_flags(const struct epb_element *element);
/* The keyed hash of a value of this kind, whatever pool it is in. */
uint64_t
epb_element_hash_of(const struct epb_leases *leases, bool is_binary,
                    struct epb_bytes value);
uint64_t
epb_element_hash(const struct epb_leases *leases, const struct epb_element *element);
/* A block of EPB_ELEMENT_NAME_BYTES more than the value becomes an element. */
void
epb_element_fill(struct epb_element *element, const struct epb_resource *pool,
                 bool is_binary, struct epb_bytes value);
/* Gives back the memory of one that nothing refers to. */
void
epb_element_release(struct epb_leases *leases, struct epb_element *element);
/* Of work, to put one into the map of all, or to take it out. */
size_t
epb_element_units(const struct epb_leases *leases);
/* Out of everything. */
void
epb_element_remove(struct epb_leases *leases, struct epb_element *element);
/* Takes the first free one for a grant; there must be one. */
struct epb_element *
epb_element_take(const struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_grant *grant);
/* Gives it back, or frees it when it was discarded. */
void
epb_element_give(struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_element *element);
/* Leaves the pool, now or when it is given back. The pool is smaller by that. */
void
epb_element_discard(struct epb_leases *leases, struct epb_resource *pool,
                    struct epb_element *element);
/* Marks those of the grant's elements that are in this packed list with a number of their
 * own. EPB_INVALID_VALUE (malformed), EPB_NOT_FOUND (one of them is none of the grant's),
 * EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_elements_choose(struct epb_leases *leases, const struct epb_grant *grant,
                    struct epb_bytes elements, uint64_t *chosen);
/* Whether the key can be defined as this kind, or is. */
bool
epb_resource_can_be(const struct epb_resource *resource, enum epb_lease_kind kind,
                    bool has_value);
/* It is none yet. */
void
epb_resource_define(struct epb_leases *leases, struct epb_resource *resource,
                    enum epb_lease_kind kind);
/* A defined resource of which nothing is held or waited for, and which is not pinned. Its
 * elements become debris. */
void
epb_resource_undefine(struct epb_leases *leases, struct epb_resource *resource);

/* lease_fill.c: lists of elements */

struct epb_unpack
epb_unpack_of(struct epb_bytes elements);
/* False at the end, and where it is malformed (left_bytes isn't 0 then). */
bool
epb_unpack_next(struct epb_unpack *unpack);
bool
epb_elements_are_well_formed(struct epb_bytes elements);

/* For all of these, the filling may be NULL. Whether the element is to come into its pool
 * by it, and hasn't yet. */
bool
epb_filling_stages(const struct epb_lease_filling *filling,
                   const struct epb_element *element);
/* A discarded element has been given back: whether it keeps it, to come in after all. */
bool
epb_filling_keeps(struct epb_lease_filling *filling, struct epb_element *element);
/* Whether an element that has just been given back is to go. */
bool
epb_filling_prunes(const struct epb_lease_filling *filling,
                   const struct epb_resource *pool, const struct epb_element *element);
/* The node, of a free element or of a live grant, is about to leave its list. */
void
epb_filling_passes(struct epb_lease_filling *filling, const struct epb_list *node);
/* Ends what a filling that was given up has left, as far as the budget goes; true: all
 * of it. No other may be at work. */
bool
epb_filling_settle(struct epb_leases *leases, const struct epb_time *now,
                   struct epb_budget *budget);

/* Why waits were refused: shared by them, freed with the last. */
struct epb_reason {
    uint64_t waits; /* that have it */
    size_t size_bytes;
    uint8_t text[];
};
/* The grant that is due first; NULL: none. */
struct epb_grant *
epb_leases_first_due(const struct epb_leases *leases);
/* The pool's element with this value, discarded or not; *out NULL: none. EPB_INTERNAL. */
enum epb_status
epb_element_find(const struct epb_leases *leases, const struct epb_resource *pool,
                 bool is_binary, struct epb_bytes value, struct epb_element **out);
enum epb_status
epb_reason_new(struct epb_leases *leases, struct epb_bytes text, struct epb_reason **out);
/* It has one wait less, or none from the start. */
void
epb_reason_free_unused(struct epb_leases *leases, struct epb_reason *reason);
void
epb_resource_count(struct epb_leases *leases, struct epb_resource *resource);
/* The holder has been told of the loss, or is not to be. */
void
epb_loss_told(struct epb_leases *leases, struct epb_grant *grant);

#endif
