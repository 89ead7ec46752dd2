/* A session of several peers: who holds, who is told, and what ends with whom. */
#include "lease_help.h"

/* What the engine does for `join`. */
static enum epb_status
join(struct office *office, struct epb_peer *peer, uint8_t key)
{
    const uint8_t bytes[EPB_SESSION_KEY_BYTES] = {key};
    struct epb_group *group;
    enum epb_status status = EPB_INVALID_REQUEST;

    if (epb_peer_may_join(peer)) {
        status = epb_group_get(office->waits, bytes, 4242, &group);
    }
    if (status == EPB_OK && group != peer->group) {
        struct epb_budget budget = {SIZE_MAX};

        cr_assert(epb_lease_leave(office->leases, peer, &office->now, &budget));
        epb_peer_join(office->waits, peer, group);
    }
    return status;
}

static struct epb_peer *
enter_as(struct office *office, uint8_t key)
{
    struct epb_peer *peer = enter(office);

    cr_assert_eq(join(office, peer, key), EPB_OK);
    return peer;
}

static bool
is_told(struct office *office, struct epb_peer *peer, uint64_t token)
{
    struct epb_bytes key;
    uint64_t told;

    return epb_lease_next_loss(office->leases, peer, &told, &key) && told == token;
}

Test(lease_session, a_worker_is_the_same_holder_through_each_of_its_connections)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_grant_view first;
    struct epb_grant_view again;
    struct losses losses = {.most = 8};
    uint64_t count;

    office_open(&office);
    define_pool(&office, "acc", "1");
    a = enter_as(&office, 1);
    b = enter_as(&office, 1);
    cr_assert_eq(epb_peer_session(a), epb_peer_session(b));
    first = gets(&office, a, "acc", "w", at_once);
    again = gets(&office, b, "acc", "w", at_once);
    cr_assert_eq(again.token, first.token);
    cr_assert(bytes_equal(again.value, bytes_of("1")));
    cr_assert_eq(ask_status(&office, b, "acc", "other", at_once), EPB_LEASE_HELD);
    cr_assert_eq(gets(&office, a, "port", "w", at_once).number, 0);
    cr_assert_eq(gets(&office, b, "port", "w", at_once).number, 0);
    cr_assert_eq(renew(&office, b, "w", "", 0, &losses), 2);
    cr_assert_eq(epb_lease_renew_token(office.leases, b, first.token, 0, &office.now),
                 EPB_OK);
    cr_assert_eq(release(&office, b, "w", "acc", 0, &count), EPB_OK);
    cr_assert_eq(count, 1);
    cr_assert_not(is_live(&office, first.token));
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_session, another_key_is_another_session)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t token;
    uint64_t count;

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 2);
    token = gets(&office, a, "k", "w", value).token;
    cr_assert_eq(ask_status(&office, b, "k", "w", value), EPB_LEASE_HELD);
    cr_assert_eq(release(&office, b, "w", "k", 0, &count), EPB_LEASE_HELD);
    pass(&office, 999);
    cr_assert_eq(epb_lease_renew_token(office.leases, b, token, 0, &office.now),
                 EPB_LEASE_HELD, "a stranger can't keep it");
    pass(&office, 1);
    cr_assert_not(is_live(&office, token));
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_session, what_a_connection_took_ends_with_it_unless_another_took_it_too)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *stranger;
    uint64_t shared_token;
    uint64_t own_token;

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 1);
    stranger = enter(&office);
    shared_token = gets(&office, a, "k", "w", value).token;
    cr_assert_eq(gets(&office, b, "k", "w", value).token, shared_token);
    own_token = gets(&office, a, "k2", "w", value).token;
    (void)waits(&office, stranger, "k2", "x", value);
    (void)waits(&office, stranger, "k", "x", value);
    leave(&office, a);
    cr_assert_not(is_live(&office, own_token), "handed over in the same call");
    (void)takes(&office, stranger);
    cr_assert(is_live(&office, shared_token));
    cr_assert_not(has_finished(stranger));
    leave(&office, b);
    cr_assert_not(is_live(&office, shared_token));
    (void)takes(&office, stranger);
    leave(&office, stranger);
    office_close(&office);
}

Test(lease_session, one_may_take_by_token_what_another_connection_was_granted)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *owner;
    struct epb_peer *stranger;
    uint64_t token;

    office_open(&office);
    a = enter_as(&office, 1);
    owner = enter_as(&office, 1);
    stranger = enter(&office);
    token = gets(&office, a, "k", "w", value).token;
    cr_assert_eq(epb_lease_take(office.leases, stranger, token, &office.now),
                 EPB_LEASE_HELD);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(epb_lease_take(office.leases, owner, token, &office.now), EPB_OK);
    }
    leave(&office, a);
    cr_assert(is_live(&office, token), "the other has it");
    pass(&office, 1000);
    cr_assert_eq(epb_lease_take(office.leases, owner, token, &office.now), EPB_LEASE_LOST,
                 "its TTL is what it was");
    leave(&office, owner);
    leave(&office, stranger);
    office_close(&office);
}

Test(lease_session, one_that_only_renews_takes_nothing)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *renewer;
    struct losses losses = {.most = 8};
    uint64_t token;

    office_open(&office);
    a = enter_as(&office, 1);
    renewer = enter_as(&office, 1);
    token = gets(&office, a, "k", "w", value).token;
    for (unsigned i = 0; i < 5; i++) {
        pass(&office, 999);
        cr_assert_eq(epb_lease_renew_token(office.leases, renewer, token, 0, &office.now),
                     EPB_OK);
    }
    cr_assert_eq(renew(&office, renewer, "w", "", 0, &losses), 1);
    leave(&office, a);
    cr_assert_not(is_live(&office, token), "it must not keep a dead thing alive");
    leave(&office, renewer);
    office_close(&office);
}

Test(lease_session, a_wait_of_one_gets_what_the_worker_has_by_another)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *stranger;
    uint64_t token;

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 1);
    stranger = enter(&office);
    (void)gets(&office, stranger, "k", "x", value);
    (void)waits(&office, a, "k", "w", value);
    (void)waits(&office, b, "k", "w", value);
    leave(&office, stranger);
    cr_assert(has_finished(a));
    cr_assert(has_finished(b));
    leave(&office, a);
    token = takes(&office, b);
    cr_assert(is_live(&office, token), "b was given it before a left");
    leave(&office, b);
    office_close(&office);
}

Test(lease_session, a_loss_is_told_to_all_that_took_it_and_once_in_a_renewal)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    struct losses losses = {.most = 8};
    uint64_t token;

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 1);
    c = enter_as(&office, 1);
    token = gets(&office, a, "k", "w", value).token;
    (void)gets(&office, b, "k", "w", value);
    pass(&office, 1000);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    cr_assert(is_told(&office, a, token));
    cr_assert_not(is_told(&office, a, token));
    cr_assert_not(is_told(&office, c, token), "it never had it");
    leave(&office, a);
    cr_assert(is_told(&office, b, token));
    leave(&office, b);
    (void)renew(&office, c, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 1, "a session's losses outlive its connections");
    cr_assert_eq(losses.tokens[0], token);
    (void)renew(&office, c, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 1);
    leave(&office, c);
    office_close(&office);
}

Test(lease_session, its_losses_end_with_its_last_connection)
{
    struct office office;
    struct epb_peer *a;
    struct losses losses = {.most = 8};

    office_open(&office);
    a = enter_as(&office, 1);
    (void)gets(&office, a, "k", "w", value);
    pass(&office, 1000);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    leave(&office, a);
    a = enter_as(&office, 1);
    (void)renew(&office, a, "w", "", 0, &losses);
    cr_assert_eq(losses.count, 0, "the same key, another session");
    leave(&office, a);
    office_close(&office);
}

Test(lease_session, a_connection_goes_over_only_with_nothing_to_lose)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *lines;
    uint64_t token;
    uint32_t id;

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 2);
    token = gets(&office, b, "k", "w", value).token;
    cr_assert_eq(join(&office, b, 1), EPB_INVALID_REQUEST, "it holds something");
    id = waits(&office, a, "k", "x", value);
    cr_assert_eq(join(&office, a, 2), EPB_INVALID_REQUEST, "it waits");
    cr_assert(epb_wait_cancel(office.waits, a, id, &office.now));
    cr_assert_eq(join(&office, a, 2), EPB_INVALID_REQUEST, "a reply is to come");
    hears(&office, a, EPB_WAIT_TIMEOUT);
    cr_assert_eq(join(&office, a, 2), EPB_OK);
    cr_assert_eq(epb_peer_session(a), epb_peer_session(b));
    pass(&office, 1000);
    (void)epb_leases_sweep(office.leases, &office.now, 9);
    cr_assert_eq(join(&office, b, 1), EPB_INVALID_REQUEST, "a loss is to be told");
    cr_assert(is_told(&office, b, token));
    cr_assert_eq(join(&office, b, 1), EPB_OK);
    cr_assert_neq(epb_peer_session(a), epb_peer_session(b));
    lines = epb_peer_new(office.waits, NULL, true);
    cr_assert_eq(join(&office, lines, 1), EPB_INVALID_REQUEST);
    leave(&office, lines);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_session, one_connection_can_speak_for_several_sessions_in_turn)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *renewer;
    uint64_t tokens[2];

    office_open(&office);
    a = enter_as(&office, 1);
    b = enter_as(&office, 2);
    renewer = enter(&office);
    tokens[0] = gets(&office, a, "k", "w", value).token;
    tokens[1] = gets(&office, b, "k2", "w", value).token;
    for (uint8_t i = 0; i < 6; i++) {
        pass(&office, 400);
        cr_assert_eq(join(&office, renewer, 1 + i % 2), EPB_OK);
        cr_assert_eq(
            epb_lease_renew_token(office.leases, renewer, tokens[i % 2], 0, &office.now),
            EPB_OK);
    }
    leave(&office, renewer);
    cr_assert(is_live(&office, tokens[0]));
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}
