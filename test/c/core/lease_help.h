/* What the scenario tests of leases share: a broker's worth of leases, and short ways to
 * ask. Times are in ms of the monotonic clock, which begins at 0. */
#ifndef EPB_TEST_LEASE_HELP_H
#define EPB_TEST_LEASE_HELP_H

#include <criterion/criterion.h>

#include "base/arena.h"
#include "core/lease.h"
#include "fill_help.h"
#include "helpers.h"
#include "walk_help.h"

struct office {
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_waits *waits;
    struct epb_leases *leases;
    struct epb_time now;
    unsigned ready; /* calls of on_ready */
    uint32_t last_id;
};

static inline void
office_on_ready(void *context, void *user)
{
    (void)user;
    ((struct office *)context)->ready++;
}

static inline void
office_open_as(struct office *office, bool single_lease)
{
    *office =
        (struct office){.arena = epb_arena_new(false), .now = {.wall_ms = 1700000000000}};
    office->waits =
        epb_waits_new(office->arena, &office->quota, 0, office_on_ready, office);
    office->leases = epb_leases_new(office->arena, &office->quota, office->waits,
                                    single_lease, &office->now);
}

static inline void
office_open(struct office *office)
{
    office_open_as(office, false);
}

/* All peers have left; nothing of what was kept may be left. */
static inline void
office_close(struct office *office)
{
    struct epb_mem_stats stats;

    epb_leases_free(office->leases);
    epb_waits_free(office->waits);
    epb_arena_stats(office->arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_eq(office->quota.used_bytes, 0);
    epb_arena_free(office->arena);
}

static inline struct epb_peer *
enter(struct office *office)
{
    return epb_peer_new(office->waits, NULL, false);
}

static inline void
leave(struct office *office, struct epb_peer *peer)
{
    struct epb_budget budget = {SIZE_MAX};

    (void)epb_peer_withdraw(office->waits, peer, &office->now,
                            &(struct epb_budget){SIZE_MAX});
    cr_assert(epb_lease_leave(office->leases, peer, &office->now, &budget));
    epb_peer_free(office->waits, peer);
}

static inline void
pass(struct office *office, uint64_t ms)
{
    office->now.mono_ms += ms;
}

/* How to ask: zero is for a key, at once, for 1,000 ms. */
struct terms {
    enum epb_lease_space space;
    uint32_t flags;
    uint64_t ttl_ms;
    uint64_t wait_ms;
    bool has_value;
    enum epb_lease_rule rule;
    uint64_t flow[2]; /* tokens of what it holds; 0: none */
    int64_t count;    /* 0: none is said */
};

static const struct terms at_once = {0};
static const struct terms lock = {.space = EPB_SPACE_LOCK};
static const struct terms shared = {.space = EPB_SPACE_LOCK, .flags = EPB_F_SHARED};
static const struct terms fresh = {.flags = EPB_F_FRESH};
static const struct terms detached = {.flags = EPB_F_DETACHED};
static const struct terms value = {.has_value = true};
static const struct terms compute = {.space = EPB_SPACE_COMPUTE, .flags = EPB_F_FRESH};

static inline enum epb_status
try_ask(struct office *office, struct epb_peer *peer, const char *key, const char *worker,
        struct terms terms, struct epb_grant **grant)
{
    uint8_t flow[sizeof(terms.flow)];
    struct epb_request request = {
        .id = ++office->last_id,
        .flags = terms.flags | (terms.wait_ms > 0 ? EPB_F_WAIT : 0) |
                 (terms.count > 0 ? EPB_F_COUNT : 0),
        .key = bytes_of(key),
        .worker = bytes_of(worker),
        .ttl_ms = terms.ttl_ms == 0 ? 1000 : terms.ttl_ms,
        .wait_ms = terms.wait_ms,
        .count = terms.count,
    };
    const struct epb_lease_ask ask = {
        .space = terms.space,
        .rule = terms.rule,
        .request = &request,
        .has_value = terms.has_value,
    };

    request.value.data = flow;
    for (; request.value.size_bytes < sizeof(flow); request.value.size_bytes += 8) {
        epb_put_u64(flow + request.value.size_bytes,
                    terms.flow[request.value.size_bytes / 8]);
    }

    return epb_lease_ask(office->leases, peer, &ask, &office->now, grant);
}

static inline enum epb_status
ask_status(struct office *office, struct epb_peer *peer, const char *key,
           const char *worker, struct terms terms)
{
    struct epb_grant *grant;

    return try_ask(office, peer, key, worker, terms, &grant);
}

static inline struct epb_grant_view
look(const struct office *office, const struct epb_grant *grant)
{
    struct epb_grant_view view;

    cr_assert_not_null(grant);
    cr_assert(epb_grant_get_view(grant, &office->now, &view));
    return view;
}

/* Is granted at once. */
static inline struct epb_grant_view
gets(struct office *office, struct epb_peer *peer, const char *key, const char *worker,
     struct terms terms)
{
    struct epb_grant *grant = NULL;

    cr_assert_eq(try_ask(office, peer, key, worker, terms, &grant), EPB_OK);
    return look(office, grant);
}

/* Begins to wait; gives back the request's id. */
static inline uint32_t
waits(struct office *office, struct epb_peer *peer, const char *key, const char *worker,
      struct terms terms)
{
    struct epb_grant *grant = NULL;

    terms.wait_ms = terms.wait_ms == 0 ? EPB_WAIT_FOREVER_MS : terms.wait_ms;
    cr_assert_eq(try_ask(office, peer, key, worker, terms, &grant), EPB_OK);
    cr_assert_null(grant, "it waits");
    return office->last_id;
}

/* What the peer's oldest finished request got, as the engine takes it: the token of its
 * grant, or 0. EPB_DRAINING stands for no finished request. */
static inline uint64_t
take(struct office *office, struct epb_peer *peer, enum epb_status *status)
{
    struct epb_wait *wait = epb_wait_pop(peer);
    struct epb_grant_view view = {0};

    *status = wait == NULL ? EPB_DRAINING : wait->status;
    if (wait == NULL) {
        return 0;
    }
    if (wait->grant != NULL) {
        view = look(office, wait->grant);
    }
    epb_wait_free(office->waits, wait);
    return view.token;
}

/* A request of the peer has been granted. */
static inline uint64_t
takes(struct office *office, struct epb_peer *peer)
{
    enum epb_status status;
    uint64_t token = take(office, peer, &status);

    cr_assert_eq(status, EPB_OK);
    cr_assert_neq(token, 0);
    return token;
}

/* A request of the peer has ended like this, without a grant. */
static inline void
hears(struct office *office, struct epb_peer *peer, enum epb_status expected)
{
    enum epb_status status;

    cr_assert_eq(take(office, peer, &status), 0);
    cr_assert_eq(status, expected, "%s", epb_status_name(status));
}

static inline bool
has_finished(const struct epb_peer *peer)
{
    return !epb_list_empty(&peer->finished);
}

static inline bool
is_live(const struct office *office, uint64_t token)
{
    return epb_lease_find(office->leases, token, &office->now) != NULL;
}

static inline enum epb_status
release_token(struct office *office, struct epb_peer *peer, uint64_t token, bool force,
              bool discard, struct epb_bytes elements, bool *released)
{
    const struct epb_who who = {.peer = peer};
    struct epb_lease_release release = {
        .token = token, .elements = elements, .force = force, .discard = discard};
    enum epb_status status =
        epb_lease_release_token(office->leases, &who, &release, &office->now);

    *released = release.released == 1;
    return status;
}

static inline void
gives_back(struct office *office, struct epb_peer *peer, uint64_t token)
{
    bool released;

    cr_assert_eq(release_token(office, peer, token, false, false, no_elements, &released),
                 EPB_OK);
    cr_assert(released);
}

/* A packed list of elements of JSON text: "1 22 333". */
struct packed {
    uint8_t bytes[256];
    size_t size_bytes;
};

static inline struct packed
packed_of(const char *elements)
{
    struct packed packed = {.size_bytes = 0};

    while (*elements != '\0') {
        size_t size_bytes = strcspn(elements, " ");
        uint8_t *at = packed.bytes + packed.size_bytes;

        epb_put_u32(at, (uint32_t)size_bytes);
        at[4] = 0;
        memcpy(at + EPB_ELEMENT_HEADER_BYTES, elements, size_bytes);
        packed.size_bytes += EPB_ELEMENT_HEADER_BYTES + size_bytes;
        elements += size_bytes + (elements[size_bytes] == ' ');
    }
    return packed;
}

static inline enum epb_status
define(struct office *office, const char *key, const char *elements,
       enum epb_defining how, bool *changed, uint64_t *size)
{
    struct packed packed = packed_of(elements);

    return fill_whole(office->leases, bytes_of(key),
                      (struct epb_bytes){packed.bytes, packed.size_bytes}, how, false,
                      &office->now, changed, size);
}

static inline enum epb_status
pool(struct office *office, const char *key, const char *elements, bool add,
     uint64_t *size)
{
    bool changed;

    return define(office, key, elements, add ? EPB_DEFINE_MORE : EPB_DEFINE_ONCE,
                  &changed, size);
}

static inline void
define_pool(struct office *office, const char *key, const char *elements)
{
    uint64_t size;

    cr_assert_eq(pool(office, key, elements, false, &size), EPB_OK);
}

/* From the pool acc. */
static inline enum epb_status
discard(struct office *office, const char *element)
{
    return epb_lease_discard(office->leases, bytes_of("acc"), bytes_of(element), 0,
                             &office->now);
}

static inline enum epb_status
limit(struct office *office, const char *key, int64_t n)
{
    bool created;

    return epb_lease_limit(office->leases, bytes_of(key), n, EPB_DEFINE_ONCE, false,
                           &office->now, &created);
}

/* EPB_OK and how many, or the error. */
static inline enum epb_status
release(struct office *office, struct epb_peer *peer, const char *worker, const char *key,
        uint32_t flags, uint64_t *count)
{
    const struct epb_who who = {peer, bytes_of(worker), (flags & EPB_F_DETACHED) != 0};
    struct epb_lease_release release = {
        .key = bytes_of(key),
        .force = (flags & EPB_F_FORCE) != 0,
        .discard = (flags & EPB_F_DISCARD) != 0,
    };
    enum epb_status status =
        epb_lease_release_worker(office->leases, &who, &release, &office->now);

    *count = release.released;
    return status;
}

struct losses {
    uint64_t tokens[8];
    unsigned count;
    unsigned most; /* takes no more than this */
};

static inline bool
losses_add(void *context, uint64_t token, struct epb_bytes key)
{
    struct losses *losses = context;

    (void)key;
    if (losses->count == losses->most) {
        return false;
    }
    losses->tokens[losses->count++] = token;
    return true;
}

static inline uint64_t
renew(struct office *office, struct epb_peer *peer, const char *worker, const char *key,
      uint64_t ttl_ms, struct losses *losses)
{
    const struct epb_who who = {peer, bytes_of(worker), false};
    const struct epb_lease_renewal renewal = {bytes_of(key), ttl_ms, losses_add, losses};

    return epb_lease_renew_worker(office->leases, &who, &renewal, &office->now);
}

/* The lines of a walk as text, at most `left` of them. */
struct listing {
    char text[256];
    unsigned left;
};

static inline void
list(void *context, const struct epb_lease_line *line)
{
    struct listing *listing = context;
    size_t used = strlen(listing->text);

    if (listing->left == 0) {
        return;
    }
    listing->left--;
    snprintf(listing->text + used, sizeof(listing->text) - used, "%.*s %.*s %s%s %u %u;",
             (int)line->key.size_bytes, (const char *)line->key.data,
             (int)line->worker.size_bytes, (const char *)line->worker.data,
             line->held ? "held" : "waits", line->shared ? " shared" : "",
             (unsigned)line->left_ms, (unsigned)line->age_ms);
}

#endif
