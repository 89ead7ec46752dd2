/*
 * What several connections have to do with each other, seen from the engine: replies that
 * come later, events, and what becomes of all of it when one of them ends.
 */
#include "engine_help.h"

#include "core/watch.h"

static void
teardown(void)
{
    table_close();
}

TestSuite(coordination, .init = table_setup, .fini = teardown);

/* waitFor */

Test(coordination, who_waits_for_a_key_gets_its_value)
{
    cr_assert_eq(wait_for(&table.a, "k", 0), EPB_WAIT_TIMEOUT);
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    cr_assert_eq(wait_for(&table.b, "k", EPB_NUMBER_MAX), DEFERRED);
    cr_assert_eq(wait_for(&table.line, "k", 100), DEFERRED);
    cr_assert_eq(table_stats().waiting, 3);
    cr_assert_eq(pass(50), table.now.mono_ms + 50);
    cr_assert_eq(set(&table.c, "k", "1"), EPB_OK);
    assert_value(answer(&table.a), "1");
    assert_value(answer(&table.line), "1");
    cr_assert_eq(table.b.ready, 1);
    /* Not taken yet, and gone again. */
    cr_assert_eq(ask(&table.c, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert_eq(answer(&table.b), DEFERRED);
    cr_assert_not(epb_engine_has_next(table.engine, table.b.peer));
    cr_assert_eq(ask(&table.c, counting(to(EPB_ACTION_INCR, "k"), 5)), EPB_OK);
    cr_assert_eq(table.b.ready, 2);
    assert_value(answer(&table.b), "5");
    assert_value(wait_for(&table.a, "k", 100), "5");
    cr_assert_not(epb_engine_is_engaged(table.engine));
}

Test(coordination, a_wait_ends_at_its_deadline_or_when_it_is_cancelled)
{
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    cr_assert_eq(wait_for(&table.a, "k", EPB_NUMBER_MAX), DEFERRED);
    cr_assert_eq(pass(0), table.now.mono_ms + 100);
    (void)pass(100);
    cr_assert_eq(answer(&table.a), EPB_WAIT_TIMEOUT);
    cr_assert_eq(table.reply.id, 1);
    cr_assert_eq(ask(&table.b, counting(to(EPB_ACTION_CANCEL, ""), 2)), EPB_OK);
    cr_assert_eq(table.reply.count, 0, "another's");
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), 2)), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(answer(&table.a), EPB_WAIT_TIMEOUT);
    cr_assert_eq(table.reply.id, 2);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), 2)), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), 0)), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), INT64_MIN)), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_CANCEL, "")), EPB_INVALID_REQUEST);
}

Test(coordination, a_request_without_an_id_does_not_wait)
{
    struct epb_request request = waiting(to(EPB_ACTION_WAIT_FOR, "k"), 100);

    epb_engine_run(table.engine, table.a.peer, &request, &table.now, &table.reply);
    cr_assert_eq(table.reply.status, EPB_CONFLICT);
    request = to(EPB_ACTION_WATCH, "");
    epb_engine_run(table.engine, table.a.peer, &request, &table.now, &table.reply);
    cr_assert_eq(table.reply.status, EPB_CONFLICT);
}

Test(coordination, an_id_means_one_thing_at_a_time)
{
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "")), EPB_OK);
    table.a.id = 0;
    cr_assert_eq(wait_for(&table.a, "k", 100), EPB_CONFLICT);
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    table.a.id = 1;
    cr_assert_eq(wait_for(&table.a, "k", 100), EPB_CONFLICT);
    table.a.id = 1;
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "k")), EPB_CONFLICT);
    table.a.id = 1;
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_GET, "k")), EPB_NOT_FOUND,
                 "what does not wait may use any");
}

/* watch */

/* The next events of a watcher as text. */
static const char *
events(struct peer *peer)
{
    static const char *const names[] = {"", "set", "del", "expire", "evict", "overflow"};
    static char text[4096];
    size_t length = 0;

    if (answer(peer) == DEFERRED) {
        return "";
    }
    cr_assert_eq(table.reply.id, 0);
    cr_assert_eq(table.reply.status, EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    length = (size_t)snprintf(text, sizeof(text), "%d:", (int)table.reply.count);
    for (size_t at = 0; at < table.reply.body.size_bytes;) {
        const uint8_t *event = table.reply.body.data + at;
        unsigned key_bytes = epb_get_u16(event + 9);

        length += (size_t)snprintf(text + length, sizeof(text) - length, " %s %.*s/%d",
                                   names[event[0]], (int)key_bytes,
                                   (const char *)event + EPB_EVENT_HEADER_BYTES,
                                   (int)epb_get_u64(event + 1));
        at += EPB_EVENT_HEADER_BYTES + key_bytes;
    }
    return text;
}

Test(coordination, a_watcher_sees_every_change_after_its_reply)
{
    cr_assert_eq(set(&table.b, "a", "1"), EPB_OK);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "")), EPB_OK);
    cr_assert_eq(table.reply.flags, 0);
    cr_assert(epb_engine_is_engaged(table.engine));
    cr_assert_eq(table_stats().watchers, 1);
    cr_assert_eq(ask(&table.b, lasting(saying(to(EPB_ACTION_SET, "b"), "1"), 10)),
                 EPB_OK);
    cr_assert_eq(set(&table.a, "a", "2"), EPB_OK);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_DEL, "a")), EPB_OK);
    cr_assert_eq(table.a.ready, 1);
    (void)pass(10);
    cr_assert_str_eq(events(&table.a), "1: set b/2 set a/3 del a/3 expire b/2");
    cr_assert_str_eq(events(&table.a), "");
    cr_assert_eq(set(&table.b, "c", "2"), EPB_OK);
    cr_assert_eq(table.a.ready, 2);
    /* Its events go with it, and nothing is left to be taken. */
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), 1)), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_not(epb_engine_has_next(table.engine, table.a.peer));
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "d")), EPB_OK);
    cr_assert_eq(set(&table.b, "d", "2"), EPB_OK);
    cr_assert_eq(table.a.ready, 3);
    cr_assert_str_eq(events(&table.a), "4: set d/5");
}

Test(coordination, replies_and_losses_are_not_held_up_by_events)
{
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "")), EPB_OK);
    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_LEASE, "n")), 10)),
                 EPB_OK);
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    cr_assert_eq(set(&table.b, "k", "1"), EPB_OK);
    (void)pass(10);
    cr_assert_eq(answer(&table.a), EPB_LEASE_LOST);
    assert_value(answer(&table.a), "1");
    cr_assert_str_eq(events(&table.a), "1: set k/1");
    cr_assert_eq(table.a.ready, 1, "told once");
}

Test(coordination, a_slow_watcher_costs_no_more_than_its_queue)
{
    char key[16];
    uint64_t before;

    table_close();
    table.options.max_items = 0;
    table_open();
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_WATCH, "k")), EPB_OK);
    cr_assert_eq(set(&table.b, "k", "1"), EPB_OK);
    before = table_stats().used_bytes - table_stats().store.stored_bytes;
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        cr_assert_eq(set(&table.b, key, "1"), EPB_OK);
    }
    cr_assert_leq(table_stats().used_bytes - table_stats().store.stored_bytes,
                  before + EPB_WATCH_BYTES);
    cr_assert_str_eq(events(&table.a), "1: overflow /0");
    cr_assert_eq(answer(&table.a), DEFERRED, "nothing more is kept until that is taken");
    cr_assert_eq(set(&table.b, "k", "2"), EPB_OK);
    cr_assert_eq(answer(&table.a), EPB_OK, "and it goes on");
}

/* barrier, throttle */

Test(coordination, a_barrier_lets_all_go_on_together)
{
    cr_assert_eq(ask(&table.a, barrier_of(3)), DEFERRED);
    cr_assert_eq(ask(&table.b, barrier_of(3)), DEFERRED);
    peer_leave(&table.a);
    cr_assert_eq(ask(&table.line, barrier_of(3)), DEFERRED);
    cr_assert_eq(ask(&table.c, barrier_of(2)), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.c, barrier_of(3)), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 2);
    cr_assert_eq(answer(&table.b), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(answer(&table.line), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    peer_join(&table.a, "wa");
    cr_assert_eq(ask(&table.b, barrier_of(2)), DEFERRED);
    (void)pass(1000);
    cr_assert_eq(answer(&table.b), EPB_WAIT_TIMEOUT);
    cr_assert_eq(ask(&table.b, barrier_of(0)), EPB_INVALID_REQUEST);
}

Test(coordination, a_throttle_says_how_long_to_wait)
{
    struct epb_request request = counting(to(EPB_ACTION_THROTTLE, "api"), 2);

    request.flags |= EPB_F_PERIOD;
    request.period_ms = 100;
    cr_assert_eq(ask(&table.a, request), EPB_OK);
    cr_assert_eq(table.reply.flags,
                 EPB_F_COUNT | EPB_F_BURST | EPB_F_PERIOD | EPB_F_WAIT);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(table.reply.burst, 1);
    cr_assert_eq(table.reply.period_ms, 50);
    cr_assert_eq(table.reply.wait_ms, 0);
    cr_assert_eq(ask(&table.b, request), EPB_OK);
    cr_assert_eq(ask(&table.line, request), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(table.reply.wait_ms, 50);
    cr_assert_eq(table_stats().throttles, 1);
    request.flags |= EPB_F_COST;
    request.cost = 3;
    cr_assert_eq(ask(&table.a, request), EPB_INVALID_REQUEST, "never");
    (void)pass(5000);
    cr_assert_eq(table_stats().throttles, 0);
}

/* Kinds, fences, limits */

Test(coordination, a_key_is_of_one_kind)
{
    static const char *const accounts[] = {"1"};
    const struct epb_request pool = pool_of(EPB_ACTION_POOL, "k", accounts, 1);
    const struct epb_request limit = counting(to(EPB_ACTION_LIMIT, "k"), 3);

    cr_assert_eq(set(&table.a, "k", "1"), EPB_OK);
    cr_assert_eq(ask(&table.a, pool), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.a, limit), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert_eq(ask(&table.a, pool), EPB_OK);
    cr_assert_eq(set(&table.a, "k", "1"), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_INCR, "k"), 1)), EPB_KIND_MISMATCH);
    cr_assert_eq(compute(&table.a, "k"), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.a, limit), EPB_KIND_MISMATCH);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_DEL, "k")), EPB_LEASE_HELD);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, ""))), EPB_OK);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(ask(&table.a, limit), EPB_OK);
    cr_assert_eq(set(&table.a, "k", "1"), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.a, pool), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_DEL, "k")), EPB_OK);
    /* Numbers stand in the way while they are in use. */
    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_LEASE, "k")), 50)),
                 EPB_OK);
    cr_assert_eq(set(&table.b, "k", "1"), EPB_KIND_MISMATCH);
    cr_assert_eq(ask(&table.b, pool), EPB_KIND_MISMATCH);
    table.now.mono_ms += 50;
    cr_assert_eq(set(&table.b, "k", "1"), EPB_OK, "from the moment it is over");
}

Test(coordination, a_fenced_write_needs_a_live_grant_of_any_kind)
{
    uint64_t token;

    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_LOCK, "l")), 50)),
                 EPB_OK);
    token = table.reply.fence;
    cr_assert_eq(set_fenced(&table.b, "k", "1", token), EPB_OK);
    cr_assert_eq(set_fenced(&table.a, "k", "2", token), EPB_OK);
    cr_assert_eq(set_fenced(&table.a, "k", "3", token + 1), EPB_FENCED);
    table.now.mono_ms += 50;
    cr_assert_eq(set_fenced(&table.a, "k", "3", token), EPB_FENCED,
                 "before any sweep has been");
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_GET, "k")), EPB_OK);
    cr_assert(body_is("2"));
}

Test(coordination, a_full_broker_evicts_to_make_room_for_leases_and_waits)
{
    static char value[1001];
    char key[16];

    table_close();
    table.options.evict_lru = true;
    table.options.max_memory_bytes = 100000;
    table_open();
    memset(value, '1', 1000);
    cr_assert_eq(set(&table.a, "kept", value), EPB_OK);
    cr_assert_eq(lease(&table.a, "kept"), EPB_OK);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        cr_assert_eq(set(&table.a, key, value), EPB_OK);
    }
    for (unsigned i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "lease%u", i);
        cr_assert_eq(lease(&table.b, key), EPB_OK);
        cr_assert_eq(wait_for(&table.b, "nothing", 100), DEFERRED);
    }
    cr_assert_leq(table_stats().used_bytes, 100000);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_HAS, "kept")), EPB_OK);
    cr_assert_eq(table.reply.count, 1, "a leased value is not evicted");
    /* Without eviction it is full. */
    table_close();
    table.options.evict_lru = false;
    table_open();
    while (set(&table.a, "k", value) == EPB_OK && set(&table.a, key, "1") == EPB_OK) {
        snprintf(key, sizeof(key), "k%u", table.a.id);
        value[0] = '1';
        (void)set(&table.a, key, value);
        if (table.reply.status != EPB_OK) {
            break;
        }
    }
    for (unsigned i = 0; lease(&table.b, key) != EPB_MAX_MEMORY; i++) {
        cr_assert_lt(i, 1000);
        snprintf(key, sizeof(key), "lease%u", i);
    }
}

Test(coordination, only_so_many_wait)
{
    table_close();
    table.options.max_waiters = 2;
    table_open();
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_WATCH, "")), EPB_OK);
    cr_assert_eq(wait_for(&table.a, "k", 100), EPB_MAX_WAITERS);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_WATCH, "")), EPB_MAX_WAITERS);
    cr_assert_eq(ask(&table.b, barrier_of(2)), EPB_MAX_WAITERS);
    cr_assert_eq(compute(&table.b, "k"), EPB_OK);
    cr_assert_eq(compute(&table.c, "k"), EPB_MAX_WAITERS);
    cr_assert_eq(lease(&table.c, "n"), EPB_OK, "what does not wait is not refused");
    (void)pass(100);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
}

/* The end of things */

Test(coordination, who_leaves_leaves_nothing_behind)
{
    uint64_t before;

    cr_assert_eq(set(&table.line, "x", "1"), EPB_OK);
    before = table_stats().used_bytes;
    entangle(&table.a);
    entangle(&table.b);
    entangle(&table.c);
    /* Finished waits and losses that nobody has taken. */
    cr_assert_eq(set(&table.line, "set later", "1"), EPB_OK);
    (void)pass(10);
    cr_assert_eq(ask(&table.line, to(EPB_ACTION_DEL, "set later")), EPB_OK);
    peer_leave(&table.a);
    cr_assert(epb_engine_has_next(table.engine, table.b.peer));
    peer_leave(&table.b);
    peer_leave(&table.c);
    struct epb_stats stats = table_stats();

    cr_assert_eq(stats.leases.grants, 0);
    cr_assert_eq(stats.waiting, 0);
    cr_assert_eq(stats.watchers, 0);
    cr_assert_eq(ask(&table.line, to(EPB_ACTION_DEL, "pool")), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(ask(&table.line, to(EPB_ACTION_DEL, "one")), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(table_stats().leases.resources, 0);
    cr_assert_eq(table_stats().used_bytes, before);
    cr_assert_not(epb_engine_is_engaged(table.engine));
    peer_join(&table.a, "wa");
    peer_join(&table.b, "wb");
    peer_join(&table.c, "wc");
}

Test(coordination, what_was_granted_to_one_that_leaves_goes_to_the_next)
{
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_LIMIT, "one"), 1)), EPB_OK);
    cr_assert_eq(lease(&table.a, "one"), EPB_OK);
    cr_assert_eq(lease_waiting(&table.b, "one"), DEFERRED);
    cr_assert_eq(lease_waiting(&table.b, "one"), DEFERRED);
    cr_assert_eq(lease_waiting(&table.c, "one"), DEFERRED);
    cr_assert_eq(compute(&table.a, "k"), EPB_OK);
    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    peer_leave(&table.a);
    cr_assert_eq(table.b.ready, 1);
    cr_assert_eq(table.c.ready, 0);
    peer_leave(&table.b);
    cr_assert_eq(table.c.ready, 1);
    cr_assert_eq(answer(&table.c), EPB_OK);
    cr_assert_eq(answer(&table.c), EPB_OK);
    cr_assert_eq(answer(&table.c), DEFERRED);
    peer_join(&table.a, "wa");
    peer_join(&table.b, "wb");
}

Test(coordination, leases_without_a_session_outlive_their_connection)
{
    cr_assert_eq(lease(&table.line, "n"), EPB_OK);
    cr_assert_eq(compute(&table.line, "k"), EPB_OK);
    uint64_t token = table.reply.fence;

    peer_leave(&table.line);
    cr_assert_eq(table_stats().leases.grants, 2);
    peer_join(&table.line, "wl");
    cr_assert_eq(ask(&table.line, by(&table.line, to(EPB_ACTION_RELEASE, "n"))), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(set_fenced(&table.line, "k", "1", token), EPB_OK);
    cr_assert_eq(table_stats().leases.grants, 0);
}

Test(coordination, draining_ends_all_waiting_but_takes_releases)
{
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_LIMIT, "one"), 1)), EPB_OK);
    cr_assert_eq(lease(&table.a, "one"), EPB_OK);
    cr_assert_eq(lease_waiting(&table.b, "one"), DEFERRED);
    cr_assert_eq(compute(&table.a, "k"), EPB_OK);
    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(wait_for(&table.b, "k", 100), DEFERRED);
    cr_assert_eq(ask(&table.b, barrier_of(2)), DEFERRED);
    epb_engine_drain(table.engine, &table.now);
    uint32_t ids = 0;

    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(answer(&table.b), EPB_DRAINING);
        ids |= 1U << table.reply.id;
    }
    cr_assert_eq(ids, 0x1E, "1 to 4");
    cr_assert_eq(answer(&table.b), DEFERRED);
    cr_assert_eq(lease(&table.c, "n"), EPB_DRAINING);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, "one"))), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_CANCEL, ""), 1)), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
}

Test(coordination, deferred_replies_are_counted_once)
{
    cr_assert_eq(wait_for(&table.a, "k", 100), DEFERRED);
    struct epb_stats stats = table_stats();

    cr_assert_eq(stats.by_action[EPB_ACTION_WAIT_FOR], 1);
    cr_assert_eq(stats.by_status[EPB_OK], 0);
    (void)pass(100);
    cr_assert_eq(answer(&table.a), EPB_WAIT_TIMEOUT);
    stats = table_stats();
    cr_assert_eq(stats.requests, 1);
    cr_assert_eq(stats.by_status[EPB_WAIT_TIMEOUT], 1);
}

/* Parties that leave much, and grants that are due in great number, take many calls. */

static struct epb_request
lock_of(struct peer *peer, const char *key)
{
    return by(peer, to(EPB_ACTION_LOCK, key));
}

Test(coordination, ten_thousand_waits_of_one_that_leaves_end_in_slices)
{
    const unsigned count = 10000;
    unsigned sweeps = 0;
    struct epb_due due;

    cr_assert_eq(ask(&table.a, lock_of(&table.a, "l")), EPB_OK);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(ask(&table.b, waiting(lock_of(&table.b, "l"), 60000)), DEFERRED);
    }
    peer_leave(&table.b);
    cr_assert_gt(table_stats().waiting, count / 2, "one call ends a part of them");
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, ""))), EPB_OK);
    cr_assert_eq(ask(&table.c, lock_of(&table.c, "l")), EPB_OK,
                 "nothing is given to those that are left");
    do {
        epb_engine_sweep(table.engine, &table.now, &due);
        sweeps++;
    } while (due.lease_mono_ms <= table.now.mono_ms);
    cr_assert_gt(sweeps, 5);
    cr_assert_eq(table_stats().waiting, 0);
    peer_join(&table.b, "wb");
}

Test(coordination, a_barrier_does_not_count_those_that_leave)
{
    const struct epb_request request =
        waiting(counting(to(EPB_ACTION_BARRIER, "b"), 5000), 60000);

    cr_assert_eq(ask(&table.a, request), DEFERRED);
    for (int i = 1; i < 4999; i++) {
        cr_assert_eq(ask(&table.b, request), DEFERRED);
    }
    peer_leave(&table.b);
    cr_assert_gt(table_stats().waiting, 1000, "not all are withdrawn yet");
    cr_assert_eq(ask(&table.c, request), DEFERRED);
    (void)pass(1);
    cr_assert_eq(table_stats().waiting, 2);
    cr_assert_eq(answer(&table.a), DEFERRED);
    peer_join(&table.b, "wb");
}

Test(coordination, ten_thousand_grants_that_are_due_end_in_slices)
{
    uint64_t left = 10000;
    unsigned calls = 0;
    uint64_t token;
    char key[16];

    for (unsigned i = 0; i < left; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        cr_assert_eq(ask(&table.a, lasting(lock_of(&table.a, key), 100)), EPB_OK);
    }
    table.now.mono_ms += 150;
    while (left > 0) {
        /* All that is done with a grant is done at one time: its last millisecond. */
        token = token_of(ask(&table.a, lasting(lock_of(&table.a, "k9999"), 1)));
        cr_assert_eq(ask(&table.a, fenced(to(EPB_ACTION_RELEASE, ""), token)), EPB_OK);
        cr_assert_geq(table_stats().leases.grants + 2000, left,
                      "a call ends a part of them");
        left = table_stats().leases.grants;
        cr_assert_lt(calls++, 10000);
    }
    cr_assert_gt(calls, 5);
}

Test(coordination, others_are_served_while_many_keys_are_cleared)
{
    char key[16];
    unsigned slices = 1;

    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        cr_assert_eq(set(&table.a, key, "1"), EPB_OK);
    }
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_CLEAR, "k")), DEFERRED);
    cr_assert_gt(table_stats().store.items, 5000);
    cr_assert_eq(set(&table.a, "k1", "2"), EPB_OK);
    while (answer(&table.b) == DEFERRED) {
        slices++;
    }
    cr_assert_eq(table.reply.id, table.b.id);
    cr_assert_eq(table.reply.status, EPB_OK);
    cr_assert_gt(slices, 5);
    cr_assert_eq(table_stats().store.items, 1, "what was set meanwhile stays");
}
