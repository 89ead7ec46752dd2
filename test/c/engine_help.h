/* An engine with several peers, for tests of what they have to do with each other. */
#ifndef EPB_TEST_ENGINE_HELP_H
#define EPB_TEST_ENGINE_HELP_H

#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/shared_mem.h"
#include "core/engine.h"
#include "helpers.h"

/* What `ask` returns for a request that has no reply yet. */
#define DEFERRED ((enum epb_status)1000)

struct peer {
    struct epb_peer *peer;
    const char *worker;
    unsigned ready; /* how often on_ready was called */
    uint32_t id;    /* of its last request */
};

struct table {
    struct epb_options options;
    struct epb_engine *engine;
    struct epb_time now;
    struct epb_reply reply; /* the last one */
    struct peer a, b, c;
    struct peer line; /* without a session */
};

static struct table table;

static inline void
table_on_ready(void *context, void *user)
{
    cr_assert_eq(context, &table);
    ((struct peer *)user)->ready++;
}

static inline void
peer_join(struct peer *peer, const char *worker)
{
    *peer = (struct peer){.worker = worker};
    peer->peer = epb_engine_join(table.engine, peer, peer == &table.line);
    cr_assert_not_null(peer->peer);
}

static inline void
peer_leave(struct peer *peer)
{
    epb_engine_leave(table.engine, peer->peer, &table.now);
    peer->peer = NULL;
}

static inline void
table_open(void)
{
    table.engine = epb_engine_new(&table.options, &table.now, table_on_ready, &table);
    cr_assert_not_null(table.engine);
    peer_join(&table.a, "wa");
    peer_join(&table.b, "wb");
    peer_join(&table.c, "wc");
    peer_join(&table.line, "wl");
}

static inline void
table_close(void)
{
    struct epb_mem_stats shared;

    peer_leave(&table.a);
    peer_leave(&table.b);
    peer_leave(&table.c);
    peer_leave(&table.line);
    epb_engine_free(table.engine);
    epb_mem_shared_stats(&shared);
    cr_assert_eq(shared.used_bytes, 0, "nothing of it is left");
}

static inline void
table_setup(void)
{
    memset(&table, 0, sizeof(table));
    epb_options_default(&table.options);
    table.options.require_ttl = false;
    table.now =
        (struct epb_time){.boot_ms = 50000, .mono_ms = 20000, .wall_ms = 1700000000000};
    table_open();
}

static inline enum epb_status
ask(struct peer *peer, struct epb_request request)
{
    request.id = ++peer->id;
    memset(&table.reply, 0x55, sizeof(table.reply));
    epb_engine_run(table.engine, peer->peer, &request, &table.now, &table.reply);
    cr_assert_eq(table.reply.id, request.id);
    if (table.reply.status != EPB_OK || table.reply.deferred) {
        cr_assert(table.reply.flags == 0 || table.reply.status == EPB_TOO_LARGE);
        cr_assert(
            table.reply.body.size_bytes == 0 || table.reply.status == EPB_TOO_LARGE ||
            table.reply.status == EPB_LEASE_HELD || table.reply.status == EPB_DEADLOCK);
    }
    return table.reply.deferred ? DEFERRED : table.reply.status;
}

/* The next reply or event of a peer into table.reply; DEFERRED: there is none. */
static inline enum epb_status
answer(struct peer *peer)
{
    memset(&table.reply, 0x55, sizeof(table.reply));
    if (!epb_engine_next(table.engine, peer->peer, &table.now, &table.reply)) {
        return DEFERRED;
    }
    cr_assert_not(table.reply.deferred);
    return table.reply.status;
}

/* Time goes on, and what is due ends; returns the next deadline of leases and waits. */
static inline uint64_t
pass(uint64_t ms)
{
    struct epb_due due;

    table.now.boot_ms += ms;
    table.now.mono_ms += ms;
    table.now.wall_ms += ms;
    do {
        epb_engine_sweep(table.engine, &table.now, &due);
    } while (due.item_boot_ms <= table.now.boot_ms ||
             due.lease_mono_ms <= table.now.mono_ms);
    return due.lease_mono_ms;
}

static inline struct epb_stats
table_stats(void)
{
    struct epb_stats stats;

    epb_engine_stats(table.engine, &table.now, &stats);
    return stats;
}

static inline bool
body_is(const char *text)
{
    return bytes_equal(table.reply.body, bytes_of(text));
}

/* Requests */

static inline struct epb_request
to(enum epb_action action, const char *key)
{
    return (struct epb_request){.action = (uint8_t)action, .key = bytes_of(key)};
}

static inline struct epb_request
waiting(struct epb_request request, uint64_t wait_ms)
{
    request.flags |= EPB_F_WAIT;
    request.wait_ms = wait_ms;
    return request;
}

static inline struct epb_request
lasting(struct epb_request request, uint64_t ttl_ms)
{
    request.flags |= EPB_F_TTL;
    request.ttl_ms = ttl_ms;
    return request;
}

static inline struct epb_request
counting(struct epb_request request, int64_t count)
{
    request.flags |= EPB_F_COUNT;
    request.count = count;
    return request;
}

static inline struct epb_request
fenced(struct epb_request request, uint64_t fence)
{
    request.flags |= EPB_F_FENCE;
    request.fence = fence;
    return request;
}

static inline struct epb_request
by(struct peer *peer, struct epb_request request)
{
    request.worker = bytes_of(peer->worker);
    return request;
}

static inline struct epb_request
saying(struct epb_request request, const char *value)
{
    request.value = bytes_of(value);
    return request;
}

static inline enum epb_status
set(struct peer *peer, const char *key, const char *value)
{
    return ask(peer, saying(to(EPB_ACTION_SET, key), value));
}

static inline enum epb_status
lease(struct peer *peer, const char *key)
{
    return ask(peer, by(peer, to(EPB_ACTION_LEASE, key)));
}

static inline enum epb_status
lease_waiting(struct peer *peer, const char *key)
{
    return ask(peer, waiting(by(peer, to(EPB_ACTION_LEASE, key)), EPB_NUMBER_MAX));
}

static inline enum epb_status
compute(struct peer *peer, const char *key)
{
    return ask(peer, waiting(by(peer, to(EPB_ACTION_GET_OR_SET, key)), EPB_NUMBER_MAX));
}

static inline enum epb_status
wait_for(struct peer *peer, const char *key, uint64_t wait_ms)
{
    return ask(peer, waiting(to(EPB_ACTION_WAIT_FOR, key), wait_ms));
}

/* Packs elements of JSON text. */
static inline struct epb_request
pool_of(enum epb_action action, const char *key, const char *const *elements,
        unsigned count)
{
    static uint8_t packed[4096];
    size_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        size_t size_bytes = strlen(elements[i]);

        epb_put_u32(packed + at, (uint32_t)size_bytes);
        packed[at + 4] = 0;
        memcpy(packed + at + EPB_ELEMENT_HEADER_BYTES, elements[i], size_bytes);
        at += EPB_ELEMENT_HEADER_BYTES + size_bytes;
    }
    struct epb_request request = to(action, key);

    request.value = (struct epb_bytes){packed, at};
    return request;
}

/* Replies */

static inline uint64_t
token_of(enum epb_status status)
{
    cr_assert_eq(status, EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL);
    cr_assert_eq(table.reply.body.size_bytes, 0);
    return table.reply.fence;
}

static inline void
assert_value(enum epb_status status, const char *value)
{
    cr_assert_eq(status, EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_TTL | EPB_F_VERSION);
    cr_assert(body_is(value));
}

static inline enum epb_status
set_fenced(struct peer *peer, const char *key, const char *value, uint64_t token)
{
    return ask(peer, fenced(saying(to(EPB_ACTION_SET, key), value), token));
}

static inline struct epb_request
barrier_of(int64_t peers)
{
    return waiting(counting(to(EPB_ACTION_BARRIER, "b"), peers), 1000);
}

/* A peer in every state there is. */
static inline void
entangle(struct peer *peer)
{
    static const char *const accounts[] = {"1", "2", "3", "4", "5"};

    (void)ask(peer, pool_of(EPB_ACTION_POOL, "pool", accounts, 5));
    cr_assert_eq(lease(peer, "pool"), EPB_OK);
    cr_assert_eq(lease(peer, "n"), EPB_OK);
    (void)ask(peer, counting(to(EPB_ACTION_LIMIT, "one"), 1));
    (void)lease_waiting(peer, "one");
    (void)ask(peer, waiting(by(peer, to(EPB_ACTION_LOCK, "lock")), 5000));
    (void)compute(peer, "computed");
    (void)compute(peer, "computed");
    (void)compute(peer, "set later");
    cr_assert_eq(wait_for(peer, "never", 5000), DEFERRED);
    (void)wait_for(peer, "set later", 5000);
    cr_assert_eq(ask(peer, to(EPB_ACTION_WATCH, "")), EPB_OK);
    cr_assert_eq(ask(peer, to(EPB_ACTION_WATCH, "set")), EPB_OK);
    (void)ask(peer, barrier_of(100));
    (void)ask(peer, lasting(by(peer, to(EPB_ACTION_LEASE, "short")), 10));
}

#endif
