/*
 * What leases are to do, as plainly as it can be said: arrays that are searched from the
 * beginning, no index, no memory of what can be counted. lease_model_test.c holds the
 * real ones to it.
 *
 * Names are small numbers: keys, workers, elements, peers, and places for sessions; the
 * last place is that of holders without one.
 */
#ifndef EPB_TEST_LEASE_MODEL_H
#define EPB_TEST_LEASE_MODEL_H

#include "core/lease.h"

#define MODEL_SPACES 3U
#define MODEL_KEYS 3U
#define MODEL_WORKERS 3U
#define MODEL_PARTIES 6U
#define MODEL_SESSION_KEYS 2U
#define MODEL_NOBODY MODEL_PARTIES /* the place of no session */
#define MODEL_ELEMENTS 6U
#define MODEL_COUNT 4U /* things of a grant */
#define MODEL_MAX 512U /* grants, waits, losses at a time */
#define MODEL_NAMES 4U /* tokens that a request names at most */

enum model_state {
    MODEL_QUEUED,
    MODEL_FINISHED,
    MODEL_POPPED
};

enum model_why {
    MODEL_RELEASED,
    MODEL_EXPIRED,
    MODEL_LEFT,
    MODEL_FORCED
};

struct model_element {
    bool there;
    bool held;
    bool discarded;
    uint64_t free_since; /* a place in the order of giving back */
};

struct model_resource {
    enum epb_lease_kind kind;
    bool defined;
    uint64_t defined_as; /* an order */
    unsigned limit;
    bool definition[MODEL_ELEMENTS]; /* the list a pool was defined by */
    struct model_element elements[MODEL_ELEMENTS];
};

struct model_grant {
    unsigned space, key, worker, place;
    bool shared, taken;
    uint64_t token, due, ttl, since;
    unsigned count;
    unsigned numbers[MODEL_COUNT], elements[MODEL_COUNT];
    uint64_t takes[MODEL_PARTIES]; /* when the peer took it first; 0: it hasn't */
};

struct model_loss {
    unsigned space, key, worker, place;
    uint64_t token;
    bool by_event[MODEL_PARTIES], by_renewal; /* still to be told */
};

struct model_wait {
    unsigned space, key, worker, place, peer;
    bool shared, fresh;
    enum model_state state;
    enum epb_status status;
    uint32_t id;
    uint64_t serial, started, finished; /* orders */
    uint64_t since, due, ttl;
    uint64_t own;            /* the token of the grant that was made for it; 0: none */
    uint64_t grant;          /* the token of what it was given, while that lives */
    unsigned reason;         /* 0: none */
    unsigned count, refused; /* things; what there was when that became too many */
    uint64_t names[MODEL_NAMES]; /* tokens of what its flow holds; 0: none */
};

struct model_party {
    bool there, leaving, sessionless;
    unsigned place; /* of its session */
    uint32_t last_id;
};

struct model_session {
    uint64_t number; /* 0: the place is free */
    unsigned key;    /* MODEL_SESSION_KEYS: none */
};

struct model {
    bool single_lease;
    unsigned max_waits;
    uint64_t now;
    uint64_t next_token, order, last_serial, last_session;
    bool ending;
    uint64_t resized[MODEL_KEYS]; /* when the pool's size changed, in this call; 0: not */
    uint64_t refused_asks;        /* for a deadlock: */
    uint64_t refused_again;
    uint64_t refused_resized;
    struct model_resource resources[MODEL_SPACES][MODEL_KEYS];
    struct model_party peers[MODEL_PARTIES];
    struct model_session sessions[MODEL_PARTIES];
    uint64_t holders[MODEL_WORKERS][MODEL_PARTIES + 1]; /* when they began */
    struct model_grant grants[MODEL_MAX];               /* by token */
    struct model_loss losses[MODEL_MAX];                /* oldest first */
    struct model_wait waits[MODEL_MAX];
    unsigned grant_count, loss_count, wait_count;
    uint64_t granted_total, expired_total, lost_total;
};

struct model_ask {
    unsigned peer, space, key, worker;
    uint64_t ttl, wait; /* wait 0: doesn't */
    unsigned count;     /* 0: none is said */
    enum epb_lease_rule rule;
    uint32_t id;
    bool fresh, shared, detached, has_value;
    uint64_t names[MODEL_NAMES];
};

struct model_release {
    unsigned peer, worker, key; /* MODEL_WORKERS, MODEL_KEYS: none */
    bool detached, force, discard;
    uint64_t last_token; /* the model's: what is granted meanwhile stays */
};

void
model_init(struct model *model, bool single_lease, unsigned max_waits, uint64_t now,
           uint64_t first_token);
void
model_join(struct model *model, unsigned peer, bool sessionless);
void
model_leave(struct model *model, unsigned peer);
/* To the session of this key; whether it may. */
bool
model_change_session(struct model *model, unsigned peer, unsigned key);
uint64_t
model_session_at(const struct model *model, unsigned place);
unsigned
model_place(const struct model *model, unsigned peer, bool detached);
void
model_settle(struct model *model);
uint64_t
model_sweep_leases(struct model *model, unsigned limit);
uint64_t
model_sweep_waits(struct model *model, unsigned limit);
void
model_drain(struct model *model);
/* *token: what was granted at once, else 0. */
enum epb_status
model_ask(struct model *model, const struct model_ask *ask, uint64_t *token);
/* NULL when it is over. */
struct model_grant *
model_find(struct model *model, uint64_t token);
enum epb_status
model_renew_token(struct model *model, unsigned peer, uint64_t token, uint64_t ttl);
enum epb_status
model_take_token(struct model *model, unsigned peer, uint64_t token);
unsigned
model_renew_worker(struct model *model, unsigned place, unsigned worker, unsigned key,
                   uint64_t ttl);
/* `chosen` are the elements to be discarded, `count` of them; 0: all. */
enum epb_status
model_release_token(struct model *model, unsigned peer, uint64_t token, bool force,
                    bool discard, const unsigned *chosen, unsigned count, bool *released);
enum epb_status
model_release_worker(struct model *model, struct model_release *release,
                     unsigned *released);
enum epb_status
model_fail(struct model *model, unsigned peer, uint64_t token, bool force,
           unsigned reason);
void
model_computed(struct model *model, unsigned key);
bool
model_ask_again(struct model *model, struct model_wait *wait);
/* The oldest finished one; NULL: none. */
struct model_wait *
model_pop(struct model *model, unsigned peer);
struct model_wait *
model_wait_of(struct model *model, unsigned peer, uint32_t id);
void
model_free(struct model *model, struct model_wait *wait);
bool
model_cancel(struct model *model, unsigned peer, uint32_t id);
/* `elements` are numbers of elements, in order. */
enum epb_status
model_pool(struct model *model, unsigned key, const unsigned *elements, unsigned count,
           enum epb_defining how, bool has_value, bool *changed, unsigned *size);
enum epb_status
model_limit(struct model *model, unsigned key, int64_t n, enum epb_defining how,
            bool has_value, bool *changed);
enum epb_status
model_discard(struct model *model, unsigned key, unsigned element);
enum epb_status
model_undefine(struct model *model, unsigned key);
struct model_clearing {
    bool keys[MODEL_KEYS]; /* those that are meant */
    unsigned cleared, held;
};
void
model_clear(struct model *model, struct model_clearing *clearing);
bool
model_allows_value(struct model *model, unsigned key);
bool
model_holds_value(const struct model *model, unsigned key);
bool
model_exists(const struct model *model, unsigned space, unsigned key);
/* The resource's first waiting request after one with this serial number; NULL: none. */
struct model_wait *
model_next_queued(struct model *model, unsigned space, unsigned key, uint64_t serial);
unsigned
model_waiting(const struct model *model);
unsigned
model_elements(const struct model *model, unsigned key);
void
model_forget_told(struct model *model);

/* lease_model_deadlock.c */

/* How many requests wait that can never be granted; after a call, none. */
unsigned
model_stuck(struct model *model);

/* What the files of the model share. */

/* Whether the request waits for itself. */
bool
model_closes_cycle(struct model *model, const struct model_wait *wait);
/* The end of a call that may have changed sizes of pools. */
void
model_refuse_stuck(struct model *model);

struct model_resource *
model_resource_of(struct model *model, unsigned space, unsigned key);
unsigned
model_grants_of(const struct model *model, unsigned space, unsigned key);
struct model_wait *
model_first_queued(struct model *model, unsigned space, unsigned key);
bool
model_holder_exists(const struct model *model, unsigned worker, unsigned place);
bool
model_fits(const struct model *model, const struct model_wait *terms);
/* Things that a grant of it may have at most. */
unsigned
model_size(const struct model *model, unsigned space, unsigned key);
/* Those in the queue that want more than that end. */
void
model_refuse(struct model *model, unsigned space, unsigned key);
uint64_t
model_grant_new(struct model *model, const struct model_wait *terms);
struct model_grant *
model_standing_of(struct model *model, const struct model_wait *terms);
bool
model_is_barred(const struct model *model, const struct model_wait *terms);
void
model_finish(struct model *model, struct model_wait *wait, enum epb_status status);
void
model_renew(struct model *model, struct model_grant *grant, uint64_t ttl);
void
model_take(struct model *model, uint64_t token, unsigned peer);
void
model_go_on(struct model *model, unsigned space, unsigned key);
void
model_end(struct model *model, uint64_t token, enum model_why why);
void
model_withdraw(struct model *model, struct model_wait *wait);
void
model_wait_remove(struct model *model, struct model_wait *wait);

#endif
