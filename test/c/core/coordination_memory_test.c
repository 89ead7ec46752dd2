/*
 * Without memory: every allocation of every command on leases and coordination fails in
 * turn, in a broker with waiting requests, and in an empty one. Nothing has changed then,
 * and the same request works afterwards.
 */
#include "engine_help.h"

#include "base/mem.h"
#include "base/mem_testing.h"
#include "core/command.h"

static void
teardown(void)
{
    table_close();
}

TestSuite(coordination_memory, .init = table_setup, .fini = teardown);

static uint64_t
fingerprint(void)
{
    struct epb_stats stats = table_stats();
    uint64_t sum = 1469598103934665603U;

    sum = (sum ^ stats.used_bytes) * 1099511628211U;
    sum = (sum ^ stats.memory.used_bytes) * 1099511628211U;
    sum = (sum ^ stats.leases.grants ^ stats.leases.resources << 20) * 1099511628211U;
    sum = (sum ^ stats.leases.elements ^ stats.waiting << 20) * 1099511628211U;
    sum = (sum ^ stats.watchers ^ stats.throttles << 20) * 1099511628211U;
    return sum;
}

static void
check_without_memory(struct peer *peer, struct epb_request request)
{
    uint64_t before = fingerprint();
    unsigned failures = 0;

    for (uint64_t countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        if (ask(peer, request) != EPB_INTERNAL) {
            break;
        }
        failures++;
        cr_assert_eq(fingerprint(), before, "%s, allocation %u",
                     epb_command_find(request.action)->name, (unsigned)countdown);
        cr_assert_lt(countdown, 40);
    }
    cr_assert(table.reply.status == EPB_OK, "%s: %s",
              epb_command_find(request.action)->name,
              epb_status_name(table.reply.status));
    unsigned pending = 0;

    for (unsigned i = 0; i < 60; i++) {
        pending += epb_mem_fault_due();
    }
    cr_assert_eq(pending, 1, "%s: an allocation failed and nobody noticed",
                 epb_command_find(request.action)->name);
    cr_log_info("%s: %u allocations", epb_command_find(request.action)->name, failures);
}

static void
check_all_without_memory(struct peer *peer)
{
    static const char *const accounts[] = {"1", "2", "3"};
    static const char *const more[] = {"4", "5"};
    struct epb_request throttle = counting(to(EPB_ACTION_THROTTLE, "t"), 5);
    struct epb_request shared = by(peer, to(EPB_ACTION_LOCK, "shared"));

    throttle.flags |= EPB_F_PERIOD;
    throttle.period_ms = 1000;
    shared.flags |= EPB_F_SHARED;
    check_without_memory(peer, pool_of(EPB_ACTION_POOL, "p", accounts, 3));
    check_without_memory(peer, pool_of(EPB_ACTION_POOL_ADD, "p", more, 2));
    check_without_memory(peer, pool_of(EPB_ACTION_POOL_ADD, "q", more, 2));
    check_without_memory(peer, counting(to(EPB_ACTION_LIMIT, "single"), 1));
    check_without_memory(peer, by(peer, to(EPB_ACTION_LEASE, "p")));
    check_without_memory(peer, by(peer, to(EPB_ACTION_LEASE, "n")));
    check_without_memory(peer, by(peer, to(EPB_ACTION_LEASE, "single")));
    check_without_memory(peer,
                         waiting(by(&table.line, to(EPB_ACTION_LEASE, "single")), 9));
    check_without_memory(peer, by(peer, to(EPB_ACTION_LOCK, "l")));
    check_without_memory(peer, shared);
    check_without_memory(peer, by(peer, to(EPB_ACTION_GET_OR_SET, "c")));
    check_without_memory(peer, waiting(by(peer, to(EPB_ACTION_GET_OR_SET, "c")), 9));
    check_without_memory(peer, waiting(to(EPB_ACTION_WAIT_FOR, "w"), 9));
    check_without_memory(peer, to(EPB_ACTION_WATCH, "prefix"));
    check_without_memory(peer, waiting(counting(to(EPB_ACTION_BARRIER, "round"), 5), 9));
    check_without_memory(peer, throttle);
    check_without_memory(peer, to(EPB_ACTION_LEASES, ""));
    check_without_memory(peer, by(peer, to(EPB_ACTION_RENEW, "")));
    check_without_memory(peer, saying(to(EPB_ACTION_DISCARD, "p"), "3"));
    check_without_memory(peer, by(peer, to(EPB_ACTION_RELEASE, "")));
    check_without_memory(peer, counting(to(EPB_ACTION_CANCEL, ""), 1));
    check_without_memory(peer, to(EPB_ACTION_DEL, "q"));
}

Test(coordination_memory, without_memory_a_request_changes_nothing)
{
    check_all_without_memory(&table.a);
}

Test(coordination_memory, without_memory_a_request_among_others_changes_nothing)
{
    entangle(&table.b);
    entangle(&table.c);
    check_all_without_memory(&table.a);
}

Test(coordination_memory, a_failure_reason_that_finds_no_memory_changes_nothing)
{
    uint64_t token = token_of(compute(&table.a, "k"));

    cr_assert_eq(compute(&table.b, "k"), DEFERRED);
    check_without_memory(&table.a,
                         saying(fenced(to(EPB_ACTION_RELEASE, ""), token), "why"));
    cr_assert_eq(answer(&table.b), EPB_COMPUTE_FAILED);
    cr_assert(body_is("why"));
}

Test(coordination_memory, a_party_is_made_whole_or_not_at_all)
{
    peer_leave(&table.a);
    epb_mem_fail_after(1);
    cr_assert_null(epb_engine_join(table.engine, &table.a, false));
    peer_join(&table.a, "wa");
    epb_engine_leave(table.engine, NULL, &table.now);
}
