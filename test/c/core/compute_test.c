/* getOrSet: one computes, the others get the value, or its place. */
#include "engine_help.h"

static void
teardown(void)
{
    table_close();
}

TestSuite(compute, .init = table_setup, .fini = teardown);

Test(compute, one_computes_and_all_get_the_value)
{
    uint64_t token = token_of(compute(&table.a, "k"));

    cr_assert_eq(table.reply.ttl_ms, EPB_LEASE_TTL_DEFAULT_MS);
    cr_assert_eq(compute(&table.a, "k"), DEFERRED, "the same worker, too");
    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    cr_assert_eq(ask(&table.line, by(&table.line, to(EPB_ACTION_GET_OR_SET, "k"))),
                 EPB_LEASE_HELD, "without waiting");
    cr_assert_eq(set_fenced(&table.a, "k", "42", token), EPB_OK);
    assert_value(answer(&table.a), "42");
    assert_value(answer(&table.b), "42");
    cr_assert_eq(table.reply.id, table.b.id);
    assert_value(answer(&table.c), "42");
    cr_assert_eq(table_stats().leases.grants, 0, "the computation is over");
    cr_assert_eq(set_fenced(&table.a, "k", "43", token), EPB_FENCED);
    assert_value(compute(&table.line, "k"), "42");
}

Test(compute, the_next_computes_when_the_first_leaves_and_its_write_is_late)
{
    uint64_t first = token_of(compute(&table.a, "k"));
    uint64_t second;

    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    peer_leave(&table.a);
    second = token_of(answer(&table.b));
    cr_assert_gt(second, first);
    cr_assert_eq(table.c.ready, 0);
    peer_join(&table.a, "wa");
    cr_assert_eq(set_fenced(&table.a, "k", "\"late\"", first), EPB_FENCED);
    cr_assert_eq(set_fenced(&table.b, "k", "\"good\"", second), EPB_OK);
    assert_value(answer(&table.c), "\"good\"");
}

Test(compute, the_next_computes_when_the_first_takes_too_long)
{
    uint64_t first = token_of(
        ask(&table.a, lasting(by(&table.a, to(EPB_ACTION_GET_OR_SET, "k")), 100)));

    cr_assert_eq(table.reply.ttl_ms, 100);
    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    (void)pass(99);
    cr_assert_eq(answer(&table.b), DEFERRED);
    (void)pass(1);
    uint64_t second = token_of(answer(&table.b));

    cr_assert_eq(table.reply.ttl_ms, EPB_LEASE_TTL_DEFAULT_MS);
    cr_assert_eq(set_fenced(&table.a, "k", "1", first), EPB_FENCED);
    cr_assert_eq(answer(&table.a), EPB_LEASE_LOST);
    cr_assert_eq(table.reply.fence, first);
    /* Given up without a reason: the next one, too. */
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    cr_assert_eq(ask(&table.b, fenced(to(EPB_ACTION_RELEASE, ""), second)), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    (void)token_of(answer(&table.c));
}

Test(compute, a_reason_is_for_those_who_waited_in_that_round)
{
    uint64_t first = token_of(compute(&table.a, "k"));
    static char long_reason[EPB_REASON_MAX_BYTES + 2];
    struct epb_request failed =
        saying(fenced(to(EPB_ACTION_RELEASE, ""), first), "login: 401");

    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    memset(long_reason, 'x', EPB_REASON_MAX_BYTES + 1);
    cr_assert_eq(ask(&table.a, saying(failed, long_reason)), EPB_TOO_LARGE);
    cr_assert_eq(ask(&table.a, saying(failed, "\xED\xA0\x80")), EPB_INVALID_VALUE);
    cr_assert_eq(ask(&table.a, saying(to(EPB_ACTION_RELEASE, ""), "no token")),
                 EPB_INVALID_REQUEST);
    cr_assert_eq(ask(&table.a, failed), EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    uint64_t second = token_of(compute(&table.a, "k"));

    cr_assert_eq(compute(&table.line, "k"), DEFERRED);
    cr_assert_eq(answer(&table.b), EPB_COMPUTE_FAILED);
    cr_assert_eq(table.reply.flags, 0);
    cr_assert(body_is("login: 401"));
    cr_assert_eq(answer(&table.c), EPB_COMPUTE_FAILED);
    cr_assert(body_is("login: 401"));
    cr_assert_eq(answer(&table.line), DEFERRED, "that is another round");
    cr_assert_eq(ask(&table.a, failed), EPB_OK);
    cr_assert_eq(table.reply.count, 0, "a dead token");
    cr_assert_eq(set_fenced(&table.a, "k", "1", second), EPB_OK);
    assert_value(answer(&table.line), "1");
    /* A reason is for computations only. */
    cr_assert_eq(lease(&table.a, "n"), EPB_OK);
    failed.fence = table.reply.fence;
    cr_assert_eq(ask(&table.a, failed), EPB_INVALID_REQUEST);
    cr_assert_eq(table_stats().leases.grants, 1);
}

Test(compute, one_refreshes_ahead_while_the_others_read)
{
    struct epb_request request = by(&table.a, to(EPB_ACTION_GET_OR_SET, "k"));

    request.flags |= EPB_F_PERIOD;
    request.period_ms = 30;
    cr_assert_eq(ask(&table.a, lasting(saying(to(EPB_ACTION_SET, "k"), "1"), 100)),
                 EPB_OK);
    (void)pass(69);
    assert_value(ask(&table.a, request), "1");
    (void)pass(1);
    cr_assert_eq(ask(&table.a, request), EPB_OK);
    cr_assert_eq(table.reply.flags, EPB_F_TTL | EPB_F_VERSION | EPB_F_FENCE);
    cr_assert_eq(table.reply.ttl_ms, 30, "the value's");
    cr_assert(body_is("1"));
    uint64_t token = table.reply.fence;

    assert_value(ask(&table.b, by(&table.b, request)), "1");
    assert_value(ask(&table.a, request), "1");
    (void)pass(30);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED, "it is being computed");
    cr_assert_eq(set_fenced(&table.a, "k", "2", token), EPB_OK);
    assert_value(answer(&table.c), "2");
    assert_value(ask(&table.b, by(&table.b, request)), "2");
}

Test(compute, a_value_that_is_gone_again_is_computed_by_who_asks_first)
{
    uint64_t token = token_of(compute(&table.a, "k"));

    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(compute(&table.c, "k"), DEFERRED);
    cr_assert_eq(set_fenced(&table.a, "k", "1", token), EPB_OK);
    cr_assert_eq(ask(&table.a, to(EPB_ACTION_DEL, "k")), EPB_OK);
    cr_assert(epb_engine_has_next(table.engine, table.c.peer));
    token = token_of(answer(&table.c));
    cr_assert_eq(answer(&table.b), DEFERRED, "waits again");
    cr_assert_eq(set_fenced(&table.c, "k", "2", token), EPB_OK);
    assert_value(answer(&table.b), "2");
}

Test(compute, a_value_that_comes_first_ends_a_takeover_that_was_not_taken)
{
    cr_assert_eq(compute(&table.a, "k"), EPB_OK);
    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    peer_leave(&table.a);
    cr_assert(epb_engine_has_next(table.engine, table.b.peer));
    cr_assert_eq(set(&table.c, "k", "7"), EPB_OK);
    assert_value(answer(&table.b), "7");
    cr_assert_eq(table_stats().leases.grants, 0);
    peer_join(&table.a, "wa");
}

Test(compute, a_takeover_that_is_over_before_it_is_taken_is_asked_again)
{
    cr_assert_eq(compute(&table.a, "k"), EPB_OK);
    cr_assert_eq(
        ask(&table.b,
            lasting(waiting(by(&table.b, to(EPB_ACTION_GET_OR_SET, "k")), EPB_NUMBER_MAX),
                    100)),
        DEFERRED);
    peer_leave(&table.a);
    (void)pass(100);
    (void)token_of(answer(&table.b));
    cr_assert_eq(table.reply.ttl_ms, 100);
    cr_assert_eq(answer(&table.b), DEFERRED, "nobody was told of what it lost");
    peer_join(&table.a, "wa");
}

Test(compute, other_writes_end_no_computation)
{
    uint64_t token = token_of(compute(&table.a, "k"));

    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    cr_assert_eq(set_fenced(&table.a, "other", "1", token), EPB_OK);
    cr_assert_eq(answer(&table.b), DEFERRED);
    cr_assert_eq(set(&table.c, "k", "9"), EPB_OK);
    assert_value(answer(&table.b), "9");
    cr_assert_eq(set_fenced(&table.a, "k", "10", token), EPB_OK, "its computation lives");
    cr_assert_eq(set_fenced(&table.a, "k", "11", token), EPB_FENCED);
}
