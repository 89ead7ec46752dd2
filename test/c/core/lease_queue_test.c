/* Who is next, and when: queues, deadlines, computations. */
#include "lease_help.h"

/* Queues */

Test(lease_queue, the_queue_is_strict)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    uint64_t first;
    uint64_t second;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
    define_pool(&office, "acc", "1");
    first = gets(&office, a, "acc", "w", at_once).token;
    (void)waits(&office, b, "acc", "w", at_once);
    (void)waits(&office, c, "acc", "w", at_once);
    cr_assert_eq(office.ready, 0);
    gives_back(&office, a, first);
    cr_assert_eq(office.ready, 1);
    cr_assert_not(has_finished(c));
    cr_assert_eq(ask_status(&office, a, "acc", "w", at_once), EPB_LEASE_HELD);
    second = takes(&office, b);
    cr_assert_gt(second, first);
    (void)waits(&office, a, "acc", "w", at_once);
    gives_back(&office, b, second);
    cr_assert_eq(ask_status(&office, b, "acc", "w", at_once), EPB_LEASE_HELD);
    (void)takes(&office, c);
    leave(&office, c);
    (void)takes(&office, a);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_queue, a_longer_pool_serves_those_who_wait)
{
    struct office office;
    struct epb_peer *a;
    uint64_t size;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1");
    (void)gets(&office, a, "acc", "w1", at_once);
    (void)waits(&office, a, "acc", "w2", at_once);
    (void)waits(&office, a, "acc", "w3", at_once);
    cr_assert_eq(pool(&office, "acc", "2 3", true, &size), EPB_OK);
    cr_assert_eq(size, 3);
    (void)takes(&office, a);
    (void)takes(&office, a);
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, when_an_exclusive_request_gives_up_the_shared_ones_behind_it_go_on)
{
    struct office office;
    struct epb_peer *a;
    uint32_t exclusive;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "reader", shared);
    exclusive = waits(&office, a, "door", "writer", lock);
    (void)waits(&office, a, "door", "reader-2", shared);
    (void)waits(&office, a, "door", "reader-3", shared);
    (void)waits(&office, a, "door", "writer-2", lock);
    cr_assert(epb_wait_cancel(office.waits, a, exclusive, &office.now));
    (void)takes(&office, a);
    (void)takes(&office, a);
    hears(&office, a, EPB_WAIT_TIMEOUT);
    cr_assert_not(has_finished(a), "the other writer waits on");
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, an_overdue_request_is_not_in_the_way)
{
    struct office office;
    struct epb_peer *a;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "reader", shared);
    (void)waits(&office, a, "door", "writer",
                (struct terms){.space = EPB_SPACE_LOCK, .wait_ms = 50});
    cr_assert_eq(ask_status(&office, a, "door", "reader-2", shared), EPB_LEASE_HELD);
    pass(&office, 50);
    (void)gets(&office, a, "door", "reader-2", shared);
    hears(&office, a, EPB_WAIT_TIMEOUT);
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, the_deadline_wins_over_a_grant_at_the_same_time)
{
    struct office office;
    struct epb_peer *a;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "w1",
               (struct terms){.space = EPB_SPACE_LOCK, .ttl_ms = 50});
    (void)waits(&office, a, "door", "w2",
                (struct terms){.space = EPB_SPACE_LOCK, .wait_ms = 50});
    (void)waits(&office, a, "door", "w3",
                (struct terms){.space = EPB_SPACE_LOCK, .wait_ms = 51});
    pass(&office, 50);
    cr_assert_eq(epb_leases_sweep(office.leases, &office.now, 1), 1050);
    hears(&office, a, EPB_WAIT_TIMEOUT);
    (void)takes(&office, a);
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, who_waits_gets_what_its_holder_has_got_meanwhile)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t token;
    uint64_t first;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, b, "door", "w", lock).token;
    (void)waits(&office, a, "door", "w", lock);
    (void)waits(&office, a, "door", "w", lock);
    (void)waits(&office, a, "door", "w",
                (struct terms){.space = EPB_SPACE_LOCK, .flags = EPB_F_FRESH});
    gives_back(&office, b, token);
    first = takes(&office, a);
    cr_assert_eq(takes(&office, a), first);
    cr_assert_not(has_finished(a), "the third wants one of its own");
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

/* Time */

Test(lease_queue, is_over_at_its_deadline_in_every_call)
{
    struct office office;
    struct epb_peer *a;
    struct epb_grant *grant;
    struct epb_grant_view view;
    uint64_t token;
    uint64_t count;
    bool released;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(try_ask(&office, a, "k", "w", value, &grant), EPB_OK);
    token = look(&office, grant).token;
    pass(&office, 999);
    cr_assert_eq(look(&office, grant).ttl_ms, 1);
    pass(&office, 1);
    cr_assert_not(epb_grant_get_view(grant, &office.now, &view));
    cr_assert_null(epb_lease_find(office.leases, token, &office.now));
    cr_assert_eq(epb_lease_renew_token(office.leases, a, token, 5000, &office.now),
                 EPB_LEASE_LOST);
    cr_assert_eq(release_token(&office, a, token, true, false, no_elements, &released),
                 EPB_OK);
    cr_assert_not(released);
    cr_assert_eq(release(&office, a, "w", "", 0, &count), EPB_OK);
    cr_assert_eq(count, 0);
    cr_assert_neq(gets(&office, a, "k", "w", value).token, token);
    cr_assert_eq(epb_lease_renew_token(office.leases, a, token, 5000, &office.now),
                 EPB_LEASE_LOST, "it never comes back");
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, an_overdue_holder_makes_room_first_for_the_queue)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    (void)gets(&office, a, "door", "w1", lock);
    (void)waits(&office, b, "door", "w2", lock);
    pass(&office, 1000);
    cr_assert_eq(ask_status(&office, a, "door", "w3", lock), EPB_LEASE_HELD);
    (void)takes(&office, b);
    pass(&office, 1000);
    (void)gets(&office, a, "door", "w3", lock);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_queue, a_sweep_ends_a_few_at_a_time)
{
    struct office office;
    struct epb_peer *a;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "1", "w", (struct terms){.ttl_ms = 10});
    (void)gets(&office, a, "2", "w", (struct terms){.ttl_ms = 20});
    (void)gets(&office, a, "3", "w", (struct terms){.ttl_ms = 90});
    cr_assert_eq(epb_leases_sweep(office.leases, &office.now, 9), 10);
    pass(&office, 20);
    cr_assert_eq(epb_leases_sweep(office.leases, &office.now, 1), 20);
    cr_assert_eq(epb_leases_sweep(office.leases, &office.now, 1), 90);
    leave(&office, a);
    cr_assert_eq(epb_leases_sweep(office.leases, &office.now, 1), UINT64_MAX);
    office_close(&office);
}

/* Computations */

Test(lease_queue, one_computes_and_the_next_takes_over)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, a, "login", "w", compute).token;
    (void)waits(&office, b, "login", "w", compute);
    (void)waits(&office, a, "login", "w", compute);
    (void)gets(&office, b, "login", "w", at_once);
    leave(&office, a);
    cr_assert_not(is_live(&office, token), "a late write is fenced");
    token = takes(&office, b);
    cr_assert_eq(
        epb_lease_fail(office.leases, b, token + 1, false, bytes_of("x"), &office.now),
        EPB_LEASE_LOST);
    leave(&office, b);
    office_close(&office);
}

Test(lease_queue, when_the_value_is_there_all_go_on)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    epb_lease_computed(office.leases, bytes_of("login"));
    token = gets(&office, a, "login", "w", compute).token;
    (void)waits(&office, a, "login", "w2", compute);
    (void)waits(&office, a, "login", "w3", compute);
    epb_lease_computed(office.leases, bytes_of("other"));
    cr_assert_not(has_finished(a));
    epb_lease_computed(office.leases, bytes_of("login"));
    hears(&office, a, EPB_OK);
    hears(&office, a, EPB_OK);
    cr_assert(is_live(&office, token));
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, who_asks_again_keeps_its_place)
{
    struct office office;
    struct epb_peer *a;
    struct epb_wait *first;
    struct epb_wait *second;
    struct epb_wait *third;
    struct epb_grant_view grant;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    token = gets(&office, a, "login", "w", compute).token;
    for (unsigned i = 0; i < 3; i++) {
        (void)waits(&office, a, "login", "waiter", compute);
    }
    epb_lease_computed(office.leases, bytes_of("login"));
    gives_back(&office, a, token);
    (void)waits(&office, a, "login", "waiter",
                (gets(&office, a, "login", "late", compute), compute));
    first = epb_wait_pop(a);
    second = epb_wait_pop(a);
    third = epb_wait_pop(a);
    cr_assert(bytes_equal(epb_lease_wait_key(third), bytes_of("login")));
    cr_assert_not(epb_lease_ask_again(office.leases, third, &office.now));
    cr_assert_not(epb_lease_ask_again(office.leases, first, &office.now));
    cr_assert_not(epb_lease_ask_again(office.leases, second, &office.now));
    gives_back(&office, a, token + 1);
    cr_assert_eq(epb_wait_pop(a), first);
    grant = look(&office, first->grant);
    epb_wait_free(office.waits, first);
    gives_back(&office, a, grant.token);
    cr_assert_eq(epb_wait_pop(a), second);
    grant = look(&office, second->grant);
    epb_wait_free(office.waits, second);
    gives_back(&office, a, grant.token);
    cr_assert_eq(epb_wait_pop(a), third);
    epb_wait_free(office.waits, third);
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, who_asks_again_computes_when_nobody_does_or_is_too_late)
{
    struct office office;
    struct epb_peer *a;
    struct epb_wait *wait;
    struct terms patient = compute;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    patient.wait_ms = 100;
    token = gets(&office, a, "login", "w", compute).token;
    (void)waits(&office, a, "login", "w2", patient);
    (void)waits(&office, a, "login", "w3", patient);
    epb_lease_computed(office.leases, bytes_of("login"));
    gives_back(&office, a, token);
    wait = epb_wait_pop(a);
    cr_assert(epb_lease_ask_again(office.leases, wait, &office.now));
    token = look(&office, wait->grant).token;
    epb_wait_free(office.waits, wait);
    gives_back(&office, a, token);
    wait = epb_wait_pop(a);
    pass(&office, 100);
    cr_assert_not(epb_lease_ask_again(office.leases, wait, &office.now));
    hears(&office, a, EPB_WAIT_TIMEOUT);
    leave(&office, a);
    office_close(&office);
}

Test(lease_queue, a_failure_goes_to_those_who_wait_now)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_wait *wait;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, a, "login", "w", compute).token;
    (void)waits(&office, a, "login", "w2", compute);
    (void)waits(&office, b, "login", "w3", compute);
    cr_assert_eq(
        epb_lease_fail(office.leases, b, token, false, bytes_of("mine"), &office.now),
        EPB_LEASE_HELD, "another session's");
    cr_assert(is_live(&office, token));
    cr_assert_eq(epb_lease_fail(office.leases, a, token, false, bytes_of("no account"),
                                &office.now),
                 EPB_OK);
    cr_assert_eq(
        epb_lease_fail(office.leases, a, token, false, bytes_of("again"), &office.now),
        EPB_LEASE_LOST);
    wait = epb_wait_pop(a);
    cr_assert_eq(wait->status, EPB_COMPUTE_FAILED);
    cr_assert(bytes_equal(epb_reason_text(wait->reason), bytes_of("no account")));
    epb_wait_free(office.waits, wait);
    (void)gets(&office, a, "login", "w4", compute);
    leave(&office, a);
    hears(&office, b, EPB_COMPUTE_FAILED);
    token = gets(&office, b, "door", "w", lock).token;
    cr_assert_eq(
        epb_lease_fail(office.leases, b, token, false, bytes_of("x"), &office.now),
        EPB_LEASE_LOST, "that is no computation");
    leave(&office, b);
    office_close(&office);
}
