/* The commands on leases, from the engine: what their replies carry, and when. */
#include "base/mem.h"
#include "base/mem_testing.h"
#include "engine_help.h"

static void
teardown(void)
{
    table_close();
}

TestSuite(lease_commands, .init = table_setup, .fini = teardown);

Test(lease_commands, without_a_session_a_lease_lasts_for_thirty_minutes)
{
    struct epb_request detached = by(&table.a, to(EPB_ACTION_LEASE, "number"));

    detached.flags |= EPB_F_DETACHED;
    cr_assert_eq(ask(&table.a, detached), EPB_OK);
    cr_assert_eq(table.reply.ttl_ms, EPB_LEASE_TTL_DETACHED_MS);
    pass(EPB_LEASE_TTL_DETACHED_MS - 1);
    cr_assert_eq(ask(&table.a, detached), EPB_OK);
    cr_assert_eq(table.reply.ttl_ms, EPB_LEASE_TTL_DETACHED_MS,
                 "it was there, and is renewed");
}

Test(lease_commands, what_a_lease_gives_depends_on_the_key)
{
    static const char *const accounts[] = {"\"anna\"", "{\"n\":2}"};

    cr_assert_eq(lease(&table.a, "number"), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL | EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(table.reply.ttl_ms, EPB_LEASE_TTL_DEFAULT_MS);
    uint64_t token = table.reply.fence;

    cr_assert_eq(lease(&table.b, "number"), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_gt(table.reply.fence, token);
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL, "pool", accounts, 2)), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(ask(&table.b, pool_of(EPB_ACTION_POOL, "pool", accounts, 2)), EPB_OK);
    cr_assert_eq(table.reply.count, 0, "it is one already");
    cr_assert_eq(ask(&table.b, pool_of(EPB_ACTION_POOL, "pool", accounts, 1)),
                 EPB_CONFLICT);
    cr_assert_eq(lease(&table.a, "pool"), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL);
    cr_assert(body_is("\"anna\""));
    cr_assert_eq(lease(&table.b, "pool"), EPB_OK);
    cr_assert(body_is("{\"n\":2}"));
    cr_assert_eq(lease(&table.c, "pool"), EPB_LEASE_HELD);
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_LIMIT, "two"), 2)), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(lease(&table.a, "two"), EPB_OK);
    cr_assert_eq(lease(&table.b, "two"), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(lease(&table.c, "two"), EPB_LEASE_HELD);
    cr_assert_eq(set(&table.a, "value", "[1]"), EPB_OK);
    cr_assert_eq(ask(&table.b, lasting(by(&table.b, to(EPB_ACTION_LEASE, "value")), 70)),
                 EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL);
    cr_assert_eq(table.reply.ttl_ms, 70);
    cr_assert(body_is("[1]"));
    cr_assert_eq(lease(&table.a, "value"), EPB_LEASE_HELD);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_LOCK, "value"))), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL, "locks are apart");
}

Test(lease_commands, the_queue_goes_on_when_something_is_released)
{
    cr_assert_eq(set(&table.a, "k", "1"), EPB_OK);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert_eq(lease_waiting(&table.b, "k"), DEFERRED);
    cr_assert_eq(lease_waiting(&table.c, "k"), DEFERRED);
    cr_assert_eq(answer(&table.b), DEFERRED);
    cr_assert(epb_engine_is_engaged(table.engine));
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, "k"))), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(table.b.ready, 1);
    cr_assert_eq(table.c.ready, 0);
    cr_assert(epb_engine_has_next(table.engine, table.b.peer));
    cr_assert_eq(answer(&table.b), EPB_OK);
    cr_assert_eq(table.reply.id, table.b.id);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE | EPB_F_TTL);
    cr_assert(body_is("1"));
    cr_assert_not(epb_engine_has_next(table.engine, table.b.peer));
    peer_leave(&table.b);
    cr_assert_eq(answer(&table.c), EPB_OK);
    peer_join(&table.b, "wb");
}

Test(lease_commands, a_value_that_is_gone_when_its_turn_comes_is_not_found)
{
    cr_assert_eq(set(&table.a, "k", "1"), EPB_OK);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert_eq(lease_waiting(&table.b, "k"), DEFERRED);
    cr_assert_eq(lease_waiting(&table.c, "k"), DEFERRED);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, "k"))), EPB_OK);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(answer(&table.b), EPB_NOT_FOUND);
    cr_assert_eq(table.reply.flags, EPB_F_WAIT, "there was one when it began to wait");
    cr_assert_eq(table.reply.id, table.b.id);
    cr_assert_eq(answer(&table.c), EPB_NOT_FOUND);
    cr_assert_eq(table_stats().leases.grants, 0);
}

Test(lease_commands, a_holder_whose_value_has_gone_keeps_its_lease)
{
    cr_assert_eq(set(&table.a, "k", "1"), EPB_OK);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert_eq(lease(&table.a, "k"), EPB_NOT_FOUND);
    cr_assert_eq(lease(&table.b, "k"), EPB_LEASE_HELD);
    cr_assert_eq(set(&table.b, "k", "2"), EPB_OK, "it is a value's key still");
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert(body_is("2"));
}

Test(lease_commands, a_grant_that_is_over_before_it_is_taken_is_lost)
{
    cr_assert_eq(ask(&table.a, counting(to(EPB_ACTION_LIMIT, "k"), 1)), EPB_OK);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    cr_assert_eq(
        ask(&table.b,
            lasting(waiting(by(&table.b, to(EPB_ACTION_LEASE, "k")), 9000), 100)),
        DEFERRED);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RELEASE, "k"))), EPB_OK);
    table.now.mono_ms += 100;
    cr_assert_eq(answer(&table.b), EPB_LEASE_LOST);
    cr_assert_eq(table.reply.id, table.b.id);
    cr_assert_eq(table.reply.flags, 0);
    cr_assert_eq(lease(&table.c, "k"), EPB_OK);
}

Test(lease_commands, renewing_tells_what_was_lost)
{
    uint64_t token;

    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_LEASE, "short")), 100)),
                 EPB_OK);
    token = table.reply.fence;
    cr_assert_eq(lease(&table.a, "long"), EPB_OK);
    uint64_t lasting_token = table.reply.fence;

    cr_assert_eq(pass(50), table.now.mono_ms + 50);
    (void)pass(50);
    cr_assert_eq(table.a.ready, 1);
    cr_assert_eq(answer(&table.a), EPB_LEASE_LOST);
    cr_assert_eq(table.reply.id, 0);
    cr_assert_eq(table.reply.flags, EPB_F_FENCE);
    cr_assert_eq(table.reply.fence, token);
    cr_assert(body_is("short"));
    cr_assert_eq(answer(&table.a), DEFERRED);
    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_RENEW, "")), 7000)),
                 EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(table.reply.body.size_bytes, EPB_LOSS_HEADER_BYTES + strlen("short"));
    cr_assert_eq(epb_get_u64(table.reply.body.data), token);
    cr_assert_eq(epb_get_u16(table.reply.body.data + 8), strlen("short"));
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_eq(table.reply.body.size_bytes, 0, "told once");
    cr_assert_eq(ask(&table.a, fenced(to(EPB_ACTION_RENEW, ""), token)), EPB_LEASE_LOST);
    cr_assert_eq(
        ask(&table.a, lasting(fenced(to(EPB_ACTION_RENEW, ""), lasting_token), 1234)),
        EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT | EPB_F_TTL);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(table.reply.ttl_ms, 1234);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_RENEW, "")), EPB_WORKER_REQUIRED);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_RENEW, "long")), EPB_WORKER_REQUIRED);
}

Test(lease_commands, a_loss_that_cannot_be_packed_is_told_by_the_next_renewal)
{
    cr_assert_eq(ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_LEASE, "k")), 100)),
                 EPB_OK);
    (void)pass(100);
    epb_mem_fail_after(1);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_not(epb_mem_fault_due());
    cr_assert_eq(table.reply.body.size_bytes, 0);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_eq(table.reply.body.size_bytes, EPB_LOSS_HEADER_BYTES + 1);
}

Test(lease_commands, who_may_release)
{
    struct epb_request by_force = by(&table.a, to(EPB_ACTION_RELEASE, "k"));
    uint64_t token;

    by_force.flags |= EPB_F_FORCE;
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    token = table.reply.fence;
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_RELEASE, "")), EPB_WORKER_REQUIRED);
    cr_assert_eq(ask(&table.b, to(EPB_ACTION_RELEASE, "k")), EPB_WORKER_REQUIRED);
    cr_assert_eq(ask(&table.b, by(&table.a, to(EPB_ACTION_RELEASE, "k"))),
                 EPB_LEASE_HELD);
    cr_assert_eq(ask(&table.b, fenced(to(EPB_ACTION_RELEASE, ""), token)),
                 EPB_LEASE_HELD);
    cr_assert_eq(ask(&table.b, by(&table.b, to(EPB_ACTION_RELEASE, "k"))), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
    cr_assert_eq(ask(&table.b, by_force), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(answer(&table.a), EPB_LEASE_LOST);
    cr_assert_eq(ask(&table.a, fenced(to(EPB_ACTION_RELEASE, ""), token)), EPB_OK);
    cr_assert_eq(table.reply.count, 0, "a dead token");
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    token = table.reply.fence;
    cr_assert_eq(ask(&table.a, fenced(to(EPB_ACTION_RELEASE, ""), token)), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(lease(&table.a, "k"), EPB_OK);
    by_force.worker = bytes_of("");
    cr_assert_eq(ask(&table.b, by_force), EPB_OK);
    cr_assert_eq(table.reply.count, 1, "everybody's, of the key");
    by_force.key = bytes_of("");
    cr_assert_eq(ask(&table.b, by_force), EPB_WORKER_REQUIRED);
}

Test(lease_commands, what_is_discarded_is_never_given_again)
{
    static const char *const accounts[] = {"1", "2"};
    static const char *const more[] = {"3"};
    struct epb_request release = by(&table.a, to(EPB_ACTION_RELEASE, "pool"));

    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL_ADD, "pool", accounts, 2)),
                 EPB_OK);
    cr_assert_eq(table.reply.count, 2);
    cr_assert_eq(lease(&table.a, "pool"), EPB_OK);
    cr_assert(body_is("1"));
    release.flags |= EPB_F_DISCARD;
    cr_assert_eq(ask(&table.a, release), EPB_OK);
    cr_assert_eq(ask(&table.a, saying(to(EPB_ACTION_DISCARD, "pool"), "1")),
                 EPB_NOT_FOUND);
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL_ADD, "pool", accounts, 2)),
                 EPB_CONFLICT);
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL_ADD, "pool", more, 1)), EPB_OK);
    cr_assert_eq(table.reply.count, 2);
    cr_assert_eq(ask(&table.a, saying(to(EPB_ACTION_DISCARD, "pool"), "2")), EPB_OK);
    cr_assert_eq(table.reply.flags, 0);
    cr_assert_eq(lease(&table.b, "pool"), EPB_OK);
    cr_assert(body_is("3"));
}

Test(lease_commands, elements_are_values)
{
    static const char *const broken[] = {"\"\xED\xA0\x80\""};
    static const char *const equal[] = {"1", "1"};
    static const char *const large[] = {"12345"};
    struct epb_request request = pool_of(EPB_ACTION_POOL, "pool", equal, 2);

    cr_assert_eq(ask(&table.a, request), EPB_INVALID_VALUE);
    request.value.size_bytes--;
    cr_assert_eq(ask(&table.a, request), EPB_INVALID_VALUE);
    request.value.size_bytes = EPB_ELEMENT_HEADER_BYTES - 1;
    cr_assert_eq(ask(&table.a, request), EPB_INVALID_VALUE);
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL, "pool", broken, 1)),
                 EPB_INVALID_VALUE);
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL, "pool", NULL, 0)),
                 EPB_INVALID_VALUE);
    table_close();
    table.options.max_value_bytes = 4;
    table_open();
    cr_assert_eq(ask(&table.a, pool_of(EPB_ACTION_POOL, "pool", large, 1)),
                 EPB_TOO_LARGE);
    cr_assert_eq(table.reply.flags, EPB_F_COUNT | EPB_F_BURST);
    cr_assert_eq(table.reply.count, 5);
    cr_assert_eq(table.reply.burst, 4);
    cr_assert_eq(epb_bytes_compare(table.reply.body, bytes_of("maxValueSize")), 0);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, "pool")), EPB_OK);
    cr_assert_eq(table.reply.count, 0);
}

/* One line of a leases reply as text. */
static size_t
line_text(const uint8_t *at, char *text, size_t size_bytes)
{
    unsigned key_bytes = epb_get_u16(at + 39);
    unsigned worker_bytes = epb_get_u16(at + 41);
    const char *key = (const char *)at + EPB_LEASES_ENTRY_HEADER_BYTES;

    snprintf(text, size_bytes, "%s %u%s %s %.*s %.*s left %llu age %llu",
             at[0] == 1 ? "held" : "waits", at[1], at[2] != 0 ? " shared" : "",
             epb_get_u64(at + 3) == 0 ? "-" : "session", (int)key_bytes, key,
             (int)worker_bytes, key + key_bytes, (unsigned long long)epb_get_u64(at + 19),
             (unsigned long long)epb_get_u64(at + 27));
    cr_assert_eq(epb_get_u64(at + 11) != 0, at[0] == 1, "those that wait have no token");
    return EPB_LEASES_ENTRY_HEADER_BYTES + key_bytes + worker_bytes;
}

static void
assert_leases(const char *prefix, const char *const *lines, unsigned count)
{
    char text[200];
    size_t at = 0;

    cr_assert_eq(ask(&table.a, to(EPB_ACTION_LEASES, prefix)), EPB_OK);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_lt(at, table.reply.body.size_bytes, "%s", lines[i]);
        at += line_text(table.reply.body.data + at, text, sizeof(text));
        cr_assert_str_eq(text, lines[i]);
    }
    cr_assert_eq(at, table.reply.body.size_bytes);
}

Test(lease_commands, who_holds_and_who_waits_is_listed_in_order)
{
    static const char *const all[] = {
        "held 1 session a wb left 60000 age 5",
        "held 6 session aa wc left 60000 age 5",
        "held 1 session b wa left 60000 age 5",
        "held 5 shared - b wl left 59995 age 5",
        "waits 5 session b wc left 100 age 0",
        "waits 5 shared session b wa left 9007199254740991 age 0",
    };
    struct epb_request shared = by(&table.line, to(EPB_ACTION_LOCK, "b"));

    assert_leases("", NULL, 0);
    shared.flags |= EPB_F_SHARED;
    cr_assert_eq(ask(&table.line, lasting(shared, 60000)), EPB_OK);
    cr_assert_eq(lease(&table.a, "b"), EPB_OK);
    cr_assert_eq(lease(&table.b, "a"), EPB_OK);
    cr_assert_eq(compute(&table.c, "aa"), EPB_OK);
    (void)pass(5);
    cr_assert_eq(ask(&table.a, by(&table.a, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_eq(ask(&table.b, by(&table.b, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_eq(ask(&table.c, by(&table.c, to(EPB_ACTION_RENEW, ""))), EPB_OK);
    cr_assert_eq(table.reply.count, 0, "computations are renewed by their token only");
    cr_assert_eq(ask(&table.c, waiting(by(&table.c, to(EPB_ACTION_LOCK, "b")), 100)),
                 DEFERRED);
    shared = by(&table.a, shared);
    cr_assert_eq(ask(&table.a, waiting(shared, EPB_NUMBER_MAX)), DEFERRED);
    const char *lines[6];

    memcpy(lines, all, sizeof(lines));
    lines[1] = "held 6 session aa wc left 59995 age 5";
    assert_leases("", lines, 6);
    assert_leases("b", lines + 2, 4);
    assert_leases("c", NULL, 0);
}
