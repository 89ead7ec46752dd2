/*
 * How leases are kept: private to lease*.c.
 *
 * - A resource is found by its space and key. It contains the live grants, by token, and
 *   a queue of pending grants, by the serial numbers of their waits.
 * - A worker is a worker id. A holder is a worker in the name of a session, or of none. A
 *   holder has its grants, by token.
 * - A holding is the grants of one holder at one resource. It is found by the two.
 * - A take records that a peer took a grant of its session. A live grant that is held in
 *   the name of a session has a take of every peer that was given it and has not left: at
 *   least one. A lost grant has a take of every peer that has not been notified by an
 *   event. Grants in the name of no session have no takes.
 * - A grant has these states, in this order: pending, in the queue of its resource while
 *   its wait waits; live, found by its token and among the deadlines; ended, and lost if
 *   its holder must be notified. A grant is created with its request, so it needs no
 *   memory when its turn comes (a pending grant has a spare take for that). A lost grant
 *   is its own record.
 *
 * References: a grant, in any state, is a member of its holding; a holder and a resource
 * count their holdings; a holder is in its worker's list. Each is freed when its last
 * reference goes, except that a defined resource stays.
 */
#ifndef EPB_CORE_LEASE_INTERNAL_H
#define EPB_CORE_LEASE_INTERNAL_H

#include "../base/arena.h"
#include "../base/map.h"
#include "../base/mark.h"
#include "lease.h"
#include "slots.h"

#define EPB_SPACE_COUNT 3U

/* The part of a resource that a search for deadlocks uses. */
struct epb_search_place {
    uint64_t round;                  /* the search that the other fields belong to */
    uint64_t last_serial;            /* of the waits reached in the queue */
    uint64_t stuck;                  /* how many of its things stuck grants keep */
    struct epb_tree_node *next;      /* the first wait that is not reduced yet */
    const struct epb_flow_link *via; /* the link by which a cycle reaches this resource */
    struct epb_list of_found;
    struct epb_list of_work;
};

/* A cycle of grants: the flow that holds each waits for the next, the last for the
 * first. */
struct epb_cycle {
    size_t count; /* of all; at most EPB_CYCLE_SHOWN of them are in `grants` */
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
    struct epb_tree tokens;    /* of live grants */
    struct epb_tree deadlines; /* of live grants, by due time and token */
    struct epb_tree pendings;  /* pending grants in all queues, by their waits' serial
                                  numbers */
    struct epb_list walks;
    struct epb_tree defined; /* resources that stay, by a growing number */
    uint64_t last_definition;
    struct epb_list resized; /* pools whose size changed in this call */
    struct epb_list losses;  /* grants, oldest first */
    struct epb_grant *shown; /* the loss that epb_lease_next_loss returned last */
    uint64_t loss_count;
    uint64_t next_token;
    uint64_t last_batch; /* of elements that are added, or discarded, together */
    uint64_t last_pool;  /* the number of the latest pool */
    struct epb_lease_filling *filling; /* the one that has staged elements; NULL: none */
    struct epb_list unsettled; /* pools whose filling was dropped before its last step */
    struct epb_list debris;    /* elements of deleted pools */
    uint64_t search_round;
    struct epb_cycle cycle; /* of the last refusal, until the next call */
    struct epb_lease_stats stats;
};

struct epb_resource {
    struct epb_tree_node of_defined;
    struct epb_list of_resized;
    struct epb_list of_unsettled;
    struct epb_list grants;        /* live, by token */
    struct epb_list free_elements; /* pool: the one given back longest ago comes first */
    struct epb_tree queue;         /* pending grants, by their waits' serial numbers */
    struct epb_list named;         /* live grants that waits name */
    struct epb_search_place search;
    struct epb_slots slots;              /* numbers, semaphore */
    uint64_t limit;                      /* semaphore: permits */
    struct epb_elements_mark elements;   /* pool: without discarded ones */
    struct epb_elements_mark definition; /* pool: the list that defined it */
    uint64_t free_count;                 /* pool: of free_elements */
    uint64_t number;                     /* pool: unique, never reused */
    uint64_t wide;                       /* pending grants for more than one thing */
    uint64_t holdings;
    uint64_t pins; /* its fillings */
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
    uint64_t holdings;      /* including pins */
    uint32_t mark;
    uint64_t live[EPB_SPACE_COUNT]; /* number of grants, by space */
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

/* An element's name in the map: its pool's number, its kind, and its bytes. */
#define EPB_ELEMENT_NAME_BYTES (sizeof(uint64_t) + 1)

struct epb_element {
    struct epb_list of_free; /* in its pool's list, while it is free; or in a filling's */
    struct epb_grant *grant; /* its grant; NULL: free */
    uint64_t batch;          /* the latest list that contained it */
    uint64_t chosen;         /* the latest release that named it */
    uint32_t value_bytes;
    bool fresh;     /* new in its batch */
    bool discarded; /* leaves when its grant ends */
    uint8_t name[]; /* ends with the value */
};

/* A peer has taken a grant, or will take a pending one. */
struct epb_take {
    struct epb_list of_grant; /* its takes, in the order of taking */
    struct epb_list of_peer;  /* live: in its peer's takes; lost: in its peer's losses, to
                                 be notified by an event */
    struct epb_grant *grant;
    struct epb_peer *peer;
};

/* A wait names a grant that its flow holds. */
struct epb_flow_link {
    struct epb_list of_grant; /* in no list when the grant has ended */
    struct epb_grant *grant;
    struct epb_grant *pending;
};

struct epb_flow {
    size_t room;
    size_t count;
    struct epb_flow_link links[];
};

/* A held thing: an element, or a number. Other kinds have no particular thing. */
union epb_thing {
    struct epb_element *element;
    uint64_t number;
};

struct epb_grant {
    struct epb_tree_node by_token; /* pending: its place in the queue */
    struct epb_tree_node by_due;   /* pending: its place among those of all queues */
    struct epb_list of_resource;   /* lost: in the losses of all holders */
    struct epb_list of_holding;
    struct epb_list of_holder; /* lost: in its holder's losses, for a renewal */
    struct epb_list answers;   /* finished waits that were given this grant (of_queue) */
    struct epb_list takes;     /* lost: of the peers to be notified by an event */
    struct epb_take *spare;    /* pending: for the grant it will get */
    struct epb_holding *holding;
    struct epb_wait *wait;    /* the wait that it was created for, until that is freed */
    struct epb_flow *flow;    /* pending: what it names; NULL: nothing */
    struct epb_list named_by; /* live: links that name it */
    struct epb_list of_named; /* live: in its resource's `named`, while links name it */
    uint64_t stuck; /* in a search: number of links to waits that are not reduced yet */
    uint64_t token;
    uint64_t ttl_ms;
    uint64_t since_mono_ms;
    uint32_t mark;
    uint32_t count; /* of things */
    bool several;   /* requested with a count, even if it is 1 */
    bool shared;
    bool fresh;
    bool queued;
    bool live;
    bool lost;
    bool taken; /* a reply has reported it */
    union epb_thing things[];
};

/* For a grant that is not over; EPB_NUMBER_MAX: the broker's lifetime. */
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

/* Resources, grants and queues */

struct epb_resource *
epb_resource_find(const struct epb_leases *leases, enum epb_lease_space space,
                  struct epb_bytes key);
/* Creates the resource if it doesn't exist. The caller must use it, or pass it to
 * epb_resource_free_unused. */
EPB_MUST_USE enum epb_status
epb_resource_get(struct epb_leases *leases, enum epb_lease_space space,
                 struct epb_bytes key, struct epb_resource **out);
void
epb_resource_free_unused(struct epb_leases *leases, struct epb_resource *resource);
struct epb_bytes
epb_resource_key(const void *item);
/* Whether it is defined, held or waited for, and so has a kind. */
bool
epb_resource_exists(const struct epb_resource *resource);
/* Call when something was given back, or a pending grant left the queue: grants what can
 * be granted, and counts the resource in or out. The caller must hold a reference. */
void
epb_resource_go_on(struct epb_leases *leases, struct epb_resource *resource,
                   const struct epb_time *now);
/* Ends all grants that are due. */
void
epb_leases_settle(struct epb_leases *leases, const struct epb_time *now);
/* Creates a pending grant of this peer, not in a queue yet. */
EPB_MUST_USE enum epb_status
epb_grant_new(struct epb_leases *leases, struct epb_holding *holding,
              struct epb_peer *peer, uint32_t count, struct epb_grant **out);
/* Whether this many could be granted now if no request waited. */
bool
epb_grant_fits(const struct epb_resource *resource, bool shared, uint32_t count);
/* The most things that a grant of it may have, whatever is held now. */
uint64_t
epb_resource_size(const struct epb_resource *resource);
/* The holding's oldest grant that is not over, if it is of this kind; else NULL. */
struct epb_grant *
epb_grant_standing(const struct epb_holding *holding, bool shared,
                   const struct epb_time *now);
/* Makes a pending grant live. It must fit; numbers must have been reserved. */
void
epb_grant_start(struct epb_leases *leases, struct epb_grant *grant,
                const struct epb_time *now);
/* With single_lease: whether the holder has a grant of another key. */
bool
epb_grant_is_barred(const struct epb_leases *leases, const struct epb_holding *holding);
struct epb_grant *
epb_queue_first(const struct epb_resource *resource);
void
epb_queue_add(struct epb_leases *leases, struct epb_grant *grant);
/* The resource has become smaller: pending grants for more than it has end with
 * EPB_CONFLICT. epb_resource_go_on continues with those behind them. Linear in the queue,
 * if one of them wants several things. */
void
epb_queue_refuse(struct epb_leases *leases, struct epb_resource *resource);
/* May be called when it is in no queue. */
void
epb_queue_remove(struct epb_leases *leases, struct epb_grant *grant);
void
epb_grant_renew(struct epb_leases *leases, struct epb_grant *grant, uint64_t ttl_ms,
                const struct epb_time *now);
void
epb_grant_end(struct epb_leases *leases, struct epb_grant *grant, enum epb_end_reason why,
              const struct epb_time *now);
/* Frees the grant, unless it is live, waited for, or a loss. */
void
epb_grant_free_unused(struct epb_leases *leases, struct epb_grant *grant);

/* lease_table.c: workers, holders, holdings */

/* The session of a holder's name; 0: none. */
uint64_t
epb_who_session(const struct epb_who *who);
/* NULL: there is none. No worker has an empty id. */
struct epb_worker *
epb_worker_find(const struct epb_leases *leases, struct epb_bytes id);
struct epb_holder *
epb_holder_of(const struct epb_leases *leases, const struct epb_worker *worker,
              uint64_t session);
struct epb_holder *
epb_holder_find(const struct epb_leases *leases, const struct epb_who *who);
/* Keeps the holder while its grants end. */
void
epb_holder_pin(struct epb_holder *holder);
void
epb_holder_unpin(struct epb_leases *leases, struct epb_holder *holder);
/* The number of grants that a worker id refers to: keys and locks, not computations. */
uint64_t
epb_holder_named_grants(const struct epb_holder *holder);
/* The holder's holding in the resource of this name; NULL: it has none. */
struct epb_holding *
epb_holding_find(const struct epb_leases *leases, const struct epb_holder *holder,
                 enum epb_lease_space space, struct epb_bytes key);
/* Creates what is missing. The caller must use the holding, or pass it to
 * epb_holding_free_unused. */
EPB_MUST_USE enum epb_status
epb_holding_get(struct epb_leases *leases, const struct epb_who *who,
                struct epb_resource *resource, struct epb_holding **out);
/* Frees the holding, if unused, and what only it refers to, including the resource. */
void
epb_holding_free_unused(struct epb_leases *leases, struct epb_holding *holding);
struct epb_bytes
epb_worker_key(const void *item);
struct epb_bytes
epb_holder_key(const void *item);
struct epb_bytes
epb_holding_key(const void *item);

/* lease_take.c: which peers took a grant */

/* Without a session *out is NULL. */
EPB_MUST_USE enum epb_status
epb_take_new(struct epb_leases *leases, const struct epb_holding *holding,
             struct epb_peer *peer, struct epb_take **out);
/* Removes the take from its lists, too. NULL is allowed. */
void
epb_take_free(struct epb_leases *leases, struct epb_take *take);
/* The take's peer has been given this live grant. Frees the take if the peer has taken
 * the grant before. NULL (no session) is allowed. Linear in the peers that took the
 * grant. */
void
epb_take_add(struct epb_leases *leases, struct epb_grant *grant,
             struct epb_take *take_take);
/* The same for the pending grant's peer, with its spare take. */
void
epb_take_add_spare(struct epb_leases *leases, struct epb_grant *grant,
                   struct epb_grant *pending);
/* The grant has ended: frees its takes. If its request may be granted again, keeps the
 * take of that request's peer as the spare one. */
void
epb_takes_drop(struct epb_leases *leases, struct epb_grant *grant);

/* Rights to a grant (lease_release.c), and losses (lease_loss.c) */

/* Whether the peer may renew or release the grant by its token: it is held in the name of
 * the peer's session, or of no session. */
bool
epb_grant_is_for(const struct epb_grant *grant, const struct epb_peer *peer);

/* Records the loss of a grant that has just ended, if its holder must be notified. */
void
epb_loss_add(struct epb_leases *leases, struct epb_grant *grant);
/* Forgets the loss: no more notifications. */
void
epb_loss_forget(struct epb_leases *leases, struct epb_grant *grant);

/* lease_list.c: walks and places */

/* Walks visit a live grant before it ends, and a pending one before it leaves its
 * queue. */
void
epb_walks_see_grant(const struct epb_leases *leases, const struct epb_grant *grant);
void
epb_walks_see_pending(const struct epb_leases *leases, const struct epb_grant *pending);

/* The place in its queue, from 1; 0: beyond EPB_OBSTACLE_MAX. */
uint64_t
epb_queue_place(const struct epb_grant *pending);

/* lease_flow.c and lease_deadlock.c: flows, and the search for cycles */

/* Checks tokens, u64 each: EPB_INVALID_VALUE, EPB_TOO_LARGE (more than EPB_FLOW_MAX). */
EPB_MUST_USE enum epb_status
epb_flow_check(struct epb_bytes tokens);
/* Records the grants that the pending grant's flow holds, from checked tokens. Skips
 * tokens without a live grant. */
EPB_MUST_USE enum epb_status
epb_flow_set(struct epb_leases *leases, struct epb_grant *pending,
             struct epb_bytes tokens, const struct epb_time *now);
void
epb_flow_drop(struct epb_leases *leases, struct epb_grant *pending);
/* The grant has ended: removes all links to it. */
void
epb_flow_forget(struct epb_grant *grant);
/* Whether a pending grant in its queue closes a cycle; leases->cycle is the cycle
 * then. */
bool
epb_pending_is_stuck(struct epb_leases *leases, const struct epb_grant *pending,
                     const struct epb_time *now);
/* Finishes its wait with EPB_DEADLOCK and leases->cycle. */
void
epb_pending_refuse(struct epb_leases *leases, struct epb_grant *pending,
                   const struct epb_time *now);
/* The number of the pool's elements has changed. */
void
epb_pool_resized(struct epb_leases *leases, struct epb_resource *pool);
/* At the end of a call: refuses waits that are stuck since pools changed their size. */
void
epb_pools_refuse_stuck(struct epb_leases *leases, const struct epb_time *now);

/* lease_reason.c: reasons */

/* Makes leases->cycle, packed, the wait's reason; without memory there is no reason. */
void
epb_reason_set_cycle(struct epb_leases *leases, struct epb_wait *wait,
                     const struct epb_time *now);

/* One of the waits that share the reason is freed. */
void
epb_reason_let_go(struct epb_leases *leases, struct epb_reason *reason);

/* lease_element.c and lease_table.c: elements and definitions */

struct epb_bytes
epb_element_key(const void *item);
struct epb_bytes
epb_element_value(const struct epb_element *element);
uint32_t
epb_element_value_flags(const struct epb_element *element);
/* The keyed hash of a value of this kind, independent of the pool. */
uint64_t
epb_element_hash_of(const struct epb_leases *leases, bool is_binary,
                    struct epb_bytes value);
uint64_t
epb_element_hash(const struct epb_leases *leases, const struct epb_element *element);
/* Makes an element of a block of EPB_ELEMENT_NAME_BYTES more than the value. */
void
epb_element_fill(struct epb_element *element, const struct epb_resource *pool,
                 bool is_binary, struct epb_bytes value);
/* Frees an element without references. */
void
epb_element_release(struct epb_leases *leases, struct epb_element *element);
/* Units of work to insert an element into the map of all, or to remove it. */
size_t
epb_element_units(const struct epb_leases *leases);
/* Removes the element from all structures and frees it. */
void
epb_element_remove(struct epb_leases *leases, struct epb_element *element);
/* Gives the first free element to a grant; there must be one. */
struct epb_element *
epb_element_take(const struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_grant *grant);
/* Gives the element back, or frees it if it was discarded. */
void
epb_element_give(struct epb_leases *leases, struct epb_resource *pool,
                 struct epb_element *element);
/* The element leaves the pool, now or when it is given back. The pool shrinks at once. */
void
epb_element_discard(struct epb_leases *leases, struct epb_resource *pool,
                    struct epb_element *element);
/* Marks the grant's elements that are in this packed list with a new number, *chosen.
 * EPB_INVALID_VALUE (malformed), EPB_NOT_FOUND (an element is not in the grant),
 * EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_elements_choose(struct epb_leases *leases, const struct epb_grant *grant,
                    struct epb_bytes elements, uint64_t *chosen);
/* Whether the key is or can be defined as this kind. */
bool
epb_resource_can_be(const struct epb_resource *resource, enum epb_lease_kind kind,
                    bool has_value);
/* The resource must not be defined yet. */
void
epb_resource_define(struct epb_leases *leases, struct epb_resource *resource,
                    enum epb_lease_kind kind);
/* Deletes the definition of a resource that is not held, waited for or pinned. Its
 * elements become debris. */
void
epb_resource_undefine(struct epb_leases *leases, struct epb_resource *resource);

/* Lists of elements (lease_element.c), and fillings (lease_element.c, lease_fill.c) */

struct epb_unpack
epb_unpack_of(struct epb_bytes elements);
/* False: the end, or malformed data (then left_bytes isn't 0). */
bool
epb_unpack_next(struct epb_unpack *unpack);
bool
epb_elements_are_well_formed(struct epb_bytes elements);

/* In all of these the filling may be NULL. Whether the filling will add the element to
 * its pool, and hasn't yet. */
bool
epb_filling_stages(const struct epb_lease_filling *filling,
                   const struct epb_element *element);
/* A discarded element was given back. Whether the filling keeps it, to add it again. */
bool
epb_filling_keeps(struct epb_lease_filling *filling, struct epb_element *element);
/* Whether an element that has just been given back must be removed. */
bool
epb_filling_prunes(const struct epb_lease_filling *filling,
                   const struct epb_resource *pool, const struct epb_element *element);
/* The node, of a free element or of a live grant, is about to leave its list. */
void
epb_filling_passes(struct epb_lease_filling *filling, const struct epb_list *node);
/* Ends a filling that was dropped, within the budget. True: all of it. No other filling
 * may be active. */
bool
epb_filling_settle(struct epb_leases *leases, const struct epb_time *now,
                   struct epb_budget *budget);

/* Why waits were refused. Waits share it; it is freed with the last. */
struct epb_reason {
    uint64_t waits; /* number of waits that share it */
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
/* Frees the reason if no wait has it. */
void
epb_reason_free_unused(struct epb_leases *leases, struct epb_reason *reason);
void
epb_resource_count(struct epb_leases *leases, struct epb_resource *resource);
/* One notification of the loss is done, or is not needed. */
void
epb_loss_told(struct epb_leases *leases, struct epb_grant *grant);

#endif
