/* Who holds: release, sessions, losses. */
#include "lease_help.h"

/* Holders */

Test(lease_holder, only_its_session_may_release_it)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct losses losses = {.most = 8};
    uint64_t token;
    uint64_t count;
    bool released;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, a, "door", "w", lock).token;
    cr_assert_eq(release(&office, b, "w", "", 0, &count), EPB_LEASE_HELD);
    cr_assert_eq(release(&office, b, "w", "door", 0, &count), EPB_LEASE_HELD);
    cr_assert_eq(release(&office, b, "w", "window", 0, &count), EPB_OK);
    cr_assert_eq(release(&office, b, "w", "", EPB_F_DETACHED, &count), EPB_LEASE_HELD);
    cr_assert_eq(release(&office, b, "other", "door", 0, &count), EPB_OK);
    cr_assert_eq(release_token(&office, b, token, false, false, no_elements, &released),
                 EPB_LEASE_HELD);
    cr_assert(is_live(&office, token));
    cr_assert_eq(release(&office, b, "w", "door", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 1);
    (void)renew(&office, a, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 1, "taken by force: it is told");
    (void)gets(&office, a, "door", "w", lock);
    cr_assert_eq(release(&office, a, "w", "", EPB_F_FORCE, &count), EPB_OK);
    (void)renew(&office, a, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 1, "its own doing is no loss");
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_holder, force_frees_a_worker_everywhere_or_a_key_from_everybody)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t count;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    (void)gets(&office, a, "1", "w", at_once);
    (void)gets(&office, b, "2", "w", at_once);
    (void)gets(&office, b, "2", "w", detached);
    (void)gets(&office, b, "2", "other", at_once);
    (void)gets(&office, b, "2", "w", (struct terms){.space = EPB_SPACE_COMPUTE});
    cr_assert_eq(release(&office, a, "w", "2", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 2);
    cr_assert_eq(release(&office, a, "w", "", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 1);
    (void)gets(&office, a, "2", "w", at_once);
    (void)gets(&office, a, "2", "w", lock);
    cr_assert_eq(release(&office, a, "", "2", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 3, "all of the key and the lock, and no computation");
    cr_assert_eq(release(&office, a, "", "", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 0);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_holder, what_a_release_lets_the_same_worker_have_is_not_released)
{
    struct office office;
    struct epb_peer *a;
    uint64_t count;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "w", lock);
    (void)waits(&office, a, "door", "w",
                (struct terms){.space = EPB_SPACE_LOCK, .flags = EPB_F_FRESH});
    cr_assert_eq(release(&office, a, "w", "", 0, &count), EPB_OK);
    cr_assert_eq(count, 1);
    cr_assert(is_live(&office, takes(&office, a)));
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, a_detached_one_outlives_its_connection)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *lines;
    uint64_t token;
    uint64_t count;

    office_open(&office);
    a = enter(&office);
    token = gets(&office, a, "port", "w", detached).token;
    leave(&office, a);
    cr_assert(is_live(&office, token));
    lines = epb_peer_new(office.waits, NULL, true);
    cr_assert_eq(gets(&office, lines, "port", "w", at_once).token, token);
    leave(&office, lines);
    a = enter(&office);
    cr_assert_eq(release(&office, a, "w", "port", 0, &count), EPB_LEASE_HELD);
    cr_assert_eq(release(&office, a, "w", "port", EPB_F_DETACHED, &count), EPB_OK);
    cr_assert_eq(count, 1);
    (void)gets(&office, a, "port", "w", detached);
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, when_a_session_ends_the_next_in_line_has_it)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_lease_stats stats;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, a, "door", "w", lock).token;
    (void)gets(&office, a, "window", "w2", lock);
    (void)waits(&office, a, "door", "w2", lock);
    (void)waits(&office, b, "door", "w", lock);
    (void)waits(&office, b, "window", "w", lock);
    leave(&office, a);
    cr_assert_not(is_live(&office, token));
    cr_assert_eq(takes(&office, b), token + 2, "its own request got nothing");
    (void)takes(&office, b);
    epb_leases_stats(office.leases, &stats);
    cr_assert_eq(stats.lost_total, 2);
    cr_assert_eq(stats.granted_total, 4);
    cr_assert_eq(stats.grants, 2);
    leave(&office, b);
    office_close(&office);
}

Test(lease_holder, what_nobody_took_goes_on_to_the_next)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;

    office_open(&office);
    a = enter(&office);
    b = epb_peer_new(office.waits, NULL, true);
    c = enter(&office);
    gives_back(&office, a,
               (gets(&office, a, "door", "w", lock), waits(&office, b, "door", "w", lock),
                waits(&office, c, "door", "w", lock),
                gets(&office, a, "door", "w", lock).token));
    cr_assert(has_finished(b));
    leave(&office, b);
    (void)takes(&office, c);
    leave(&office, a);
    leave(&office, c);
    office_close(&office);
}

Test(lease_holder, what_another_request_was_given_too_stays)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
    token = gets(&office, a, "door", "w", lock).token;
    for (unsigned i = 0; i < 2; i++) {
        (void)waits(&office, i == 0 ? b : c, "door", "one",
                    (struct terms){.space = EPB_SPACE_LOCK, .flags = EPB_F_DETACHED});
    }
    gives_back(&office, a, token);
    leave(&office, b);
    cr_assert(has_finished(c));
    cr_assert(is_live(&office, token + 1));
    leave(&office, c);
    cr_assert_not(is_live(&office, token + 1), "nobody ever knew of it");
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, one_that_ends_before_it_is_taken_is_not_handed_out)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct losses losses = {.most = 8};
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    token = gets(&office, a, "door", "w", lock).token;
    (void)waits(&office, b, "door", "w",
                (struct terms){.space = EPB_SPACE_LOCK, .ttl_ms = 10});
    gives_back(&office, a, token);
    pass(&office, 10);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    hears(&office, b, EPB_OK);
    (void)renew(&office, b, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 0, "it never had it");
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_holder, tokens_only_grow_from_one_broker_to_the_next)
{
    struct office office;
    struct epb_peer *a;
    uint64_t first;

    office_open(&office);
    a = enter(&office);
    first = gets(&office, a, "1", "w", at_once).token;
    cr_assert_eq(first, UINT64_C(1700000000000) << 10);
    cr_assert_eq(gets(&office, a, "2", "w", lock).token, first + 1);
    cr_assert_eq(
        gets(&office, a, "3", "w", (struct terms){.space = EPB_SPACE_COMPUTE}).token,
        first + 2);
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, single_lease_is_one_key_a_holder)
{
    struct office office;
    struct epb_peer *a;
    uint64_t first;

    office_open_as(&office, true);
    a = enter(&office);
    first = gets(&office, a, "1", "w", at_once).token;
    cr_assert_eq(ask_status(&office, a, "2", "w", at_once), EPB_WORKER_ALREADY_HAS_LEASE);
    cr_assert_eq(gets(&office, a, "1", "w", at_once).token, first);
    (void)gets(&office, a, "2", "w", lock);
    (void)gets(&office, a, "2", "w", (struct terms){.space = EPB_SPACE_COMPUTE});
    (void)gets(&office, a, "2", "other", value);
    gives_back(&office, a, first);
    (void)waits(&office, a, "2", "w", value);
    first = gets(&office, a, "1", "w", at_once).token;
    cr_assert_not(has_finished(a), "it is refused at its turn");
    cr_assert_eq(ask_status(&office, a, "3", "other", at_once),
                 EPB_WORKER_ALREADY_HAS_LEASE);
    (void)waits(&office, a, "2", "third", value);
    pass(&office, 999);
    cr_assert_eq(epb_lease_renew_token(office.leases, a, first, 0, &office.now), EPB_OK);
    pass(&office, 1);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    hears(&office, a, EPB_WORKER_ALREADY_HAS_LEASE);
    (void)takes(&office, a);
    leave(&office, a);
    office_close(&office);
}

/* Renewal and losses */

Test(lease_holder, renewal_extends_and_tells_what_was_lost)
{
    struct office office;
    struct epb_peer *a;
    struct losses losses = {.most = 8};
    uint64_t lost;
    uint64_t kept;

    office_open(&office);
    a = enter(&office);
    lost = gets(&office, a, "k1", "w", (struct terms){.ttl_ms = 10}).token;
    kept = gets(&office, a, "k2", "w", (struct terms){.ttl_ms = 20}).token;
    (void)gets(&office, a, "k2", "w",
               (struct terms){.space = EPB_SPACE_LOCK, .ttl_ms = 30});
    (void)gets(&office, a, "k2", "w",
               (struct terms){.space = EPB_SPACE_COMPUTE, .ttl_ms = 15});
    pass(&office, 10);
    cr_assert_eq(renew(&office, a, "w", "", 0, &losses), 2, "not the computation");
    cr_assert_eq(losses.count, 1);
    cr_assert_eq(losses.tokens[0], lost);
    pass(&office, 19);
    cr_assert(is_live(&office, kept), "its own TTL again");
    cr_assert_eq(renew(&office, a, "w", "k2", 500, &losses), 2);
    cr_assert_eq(losses.count, 1, "told once");
    cr_assert_eq(renew(&office, a, "w", "k1", 500, &losses), 0);
    cr_assert_eq(renew(&office, a, "nobody", "", 500, &losses), 0);
    pass(&office, 499);
    cr_assert(is_live(&office, kept));
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, a_loss_is_told_by_an_event_too)
{
    struct office office;
    struct epb_peer *a;
    struct losses losses = {.most = 0};
    struct epb_bytes key;
    uint64_t tokens[2];
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    tokens[0] = gets(&office, a, "k1", "w", (struct terms){.ttl_ms = 10}).token;
    tokens[1] = gets(&office, a, "k2", "w",
                     (struct terms){.space = EPB_SPACE_COMPUTE, .ttl_ms = 20})
                    .token;
    cr_assert_not(epb_lease_next_loss(office.leases, a, &token, &key));
    pass(&office, 20);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    cr_assert_eq(office.ready, 1);
    (void)renew(&office, a, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 0, "there was no room for it");
    cr_assert(epb_lease_next_loss(office.leases, a, &token, &key));
    cr_assert_eq(token, tokens[0]);
    cr_assert(bytes_equal(key, bytes_of("k1")));
    cr_assert(epb_lease_next_loss(office.leases, a, &token, &key));
    cr_assert_eq(token, tokens[1]);
    cr_assert_not(epb_lease_next_loss(office.leases, a, &token, &key));
    losses.most = 8;
    (void)renew(&office, a, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 1, "so it was kept for this time");
    leave(&office, a);
    office_close(&office);
}

Test(lease_holder, only_so_many_losses_are_kept)
{
    struct office office;
    struct epb_peer *a;
    struct epb_bytes key;
    uint64_t token;
    uint64_t first = 0;
    unsigned told = 0;

    office_open(&office);
    a = enter(&office);
    for (unsigned i = 0; i < EPB_LOSSES_MAX + 5; i++) {
        struct epb_grant_view grant =
            gets(&office, a, "port", "w", (struct terms){.flags = EPB_F_FRESH});

        first = i == 0 ? grant.token : first;
    }
    pass(&office, 1000);
    (void)epb_leases_sweep(office.leases, &office.now, UINT32_MAX);
    while (epb_lease_next_loss(office.leases, a, &token, &key)) {
        cr_assert_eq(token, first + 5 + told);
        told++;
    }
    cr_assert_eq(told, EPB_LOSSES_MAX);
    leave(&office, a);
    office_close(&office);
}

/* Some worker's lease that is lost, told to its session and kept for its renewal. */
static void
lose(struct office *office, struct epb_peer *peer, const char *key, const char *worker)
{
    struct epb_bytes lost;
    uint64_t token;

    (void)gets(office, peer, key, worker, (struct terms){.ttl_ms = 1});
    pass(office, 1);
    (void)epb_leases_sweep(office->leases, &office->now, UINT32_MAX);
    while (epb_lease_next_loss(office->leases, peer, &token, &lost)) {
    }
}

/* The list of losses is full, and the oldest one is all that keeps the second holder of
 * the worker id: it is freed while the first one's lease is taken by force. */
Test(lease_holder, what_force_takes_may_forget_all_that_the_next_holder_has)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    uint64_t count;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
    (void)gets(&office, a, "first", "w", (struct terms){.ttl_ms = 100000000});
    lose(&office, b, "second", "w");
    for (unsigned i = 1; i < EPB_LOSSES_MAX; i++) {
        lose(&office, c, "other", "x");
    }
    cr_assert_eq(release(&office, c, "w", "", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 1);
    leave(&office, a);
    leave(&office, b);
    leave(&office, c);
    office_close(&office);
}

/* A session was told that there is a loss to take, which was then forgotten: it is told
 * of the next one again. */
Test(lease_holder, a_loss_that_is_forgotten_leaves_its_owner_to_be_told)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    unsigned ready;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    (void)gets(&office, a, "first", "w", (struct terms){.ttl_ms = 1});
    pass(&office, 1);
    (void)epb_leases_sweep(office.leases, &office.now, UINT32_MAX);
    cr_assert_eq(office.ready, 1);
    for (unsigned i = 0; i < EPB_LOSSES_MAX; i++) {
        lose(&office, b, "other", "x");
    }
    cr_assert(epb_list_empty(&a->losses), "it was the oldest");
    ready = office.ready;
    (void)gets(&office, a, "first", "w", (struct terms){.ttl_ms = 1});
    pass(&office, 1);
    (void)epb_leases_sweep(office.leases, &office.now, UINT32_MAX);
    cr_assert_eq(office.ready, ready + 1);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}
