/* Grants of several things of one key; definitions that come a second time. */
#include "lease_help.h"

static struct terms
several(int64_t count)
{
    return (struct terms){.rule = EPB_RULE_DEFINED, .flags = EPB_F_FRESH, .count = count};
}

/* The things of a grant, as text: "1 22", or numbers. */
struct things {
    char text[64];
};

static struct things
things_of(const struct office *office, uint64_t token)
{
    const struct epb_grant *grant = epb_lease_find(office->leases, token, &office->now);
    struct epb_grant_view view = look(office, grant);
    struct things things = {""};

    for (uint64_t i = 0; i < view.count; i++) {
        size_t used = strlen(things.text);
        char *at = things.text + used;

        epb_grant_get_view_at(grant, i, &view);
        if (view.kind == EPB_KIND_POOL) {
            snprintf(at, sizeof(things.text) - used, "%s%.*s", i == 0 ? "" : " ",
                     (int)view.value.size_bytes, (const char *)view.value.data);
        } else {
            snprintf(at, sizeof(things.text) - used, "%s%u", i == 0 ? "" : " ",
                     (unsigned)view.number);
        }
    }
    return things;
}

static void
describes(struct office *office, const char *key, uint64_t size, uint64_t free,
          uint64_t waiting)
{
    struct epb_lease_description description;

    epb_lease_describe(office->leases, bytes_of(key), false, &office->now, &description);
    cr_assert(description.exists);
    cr_assert_eq(description.size, size);
    cr_assert_eq(description.free, free);
    cr_assert_eq(description.waiting, waiting);
}

static enum epb_status
limit_anew(struct office *office, const char *key, int64_t n)
{
    bool changed;

    return epb_lease_limit(office->leases, bytes_of(key), n, EPB_DEFINE_ANEW, false,
                           &office->now, &changed);
}

Test(lease_several, all_come_in_one_grant_or_none)
{
    struct office office;
    struct epb_peer *a;
    uint64_t first;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2 3");
    first = gets(&office, a, "acc", "w1", several(2)).token;
    cr_assert_str_eq(things_of(&office, first).text, "1 2");
    cr_assert_eq(ask_status(&office, a, "acc", "w2", several(2)), EPB_LEASE_HELD);
    describes(&office, "acc", 3, 1, 0);
    gives_back(&office, a, first);
    describes(&office, "acc", 3, 3, 0);
    cr_assert_str_eq(
        things_of(&office, gets(&office, a, "acc", "w1", several(3)).token).text, "3 1 2",
        "given back longest ago comes first");
    cr_assert_eq(limit(&office, "s", 3), EPB_OK);
    (void)gets(&office, a, "s", "w1", several(1));
    first = gets(&office, a, "s", "w1", several(2)).token;
    cr_assert_str_eq(things_of(&office, first).text, "1 2");
    leave(&office, a);
    office_close(&office);
}

Test(lease_several, one_that_waits_for_many_is_not_overtaken)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    uint64_t held[3];

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
    define_pool(&office, "acc", "1 2 3");
    for (unsigned i = 0; i < 3; i++) {
        held[i] = gets(&office, a, "acc", "w1", several(1)).token;
    }
    (void)waits(&office, b, "acc", "w2", several(3));
    (void)waits(&office, c, "acc", "w3", several(1));
    gives_back(&office, a, held[0]);
    gives_back(&office, a, held[1]);
    cr_assert_not(has_finished(b) || has_finished(c),
                  "two are free, and wait for a third");
    cr_assert_eq(ask_status(&office, a, "acc", "w1", several(1)), EPB_LEASE_HELD);
    gives_back(&office, a, held[2]);
    gives_back(&office, b, takes(&office, b));
    (void)takes(&office, c);
    leave(&office, a);
    leave(&office, b);
    leave(&office, c);
    office_close(&office);
}

Test(lease_several, whoever_is_behind_one_that_gives_up_goes_on)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint32_t id;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    cr_assert_eq(limit(&office, "s", 3), EPB_OK);
    (void)gets(&office, a, "s", "w1", several(2));
    id = waits(&office, a, "s", "w1", several(3));
    (void)waits(&office, b, "s", "w2", several(1));
    cr_assert_not(has_finished(b));
    cr_assert(epb_wait_cancel(office.waits, a, id, &office.now));
    (void)takes(&office, b);
    hears(&office, a, EPB_WAIT_TIMEOUT);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_several, more_than_there_is_is_a_conflict)
{
    struct office office;
    struct epb_peer *a;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2");
    cr_assert_eq(limit(&office, "s", 2), EPB_OK);
    cr_assert_eq(ask_status(&office, a, "acc", "w1", several(3)), EPB_CONFLICT);
    cr_assert_eq(ask_status(&office, a, "s", "w1", several(3)), EPB_CONFLICT);
    cr_assert_eq(
        ask_status(&office, a, "v", "w1", (struct terms){.has_value = true, .count = 2}),
        EPB_CONFLICT, "a value is one");
    cr_assert_eq(gets(&office, a, "n", "w1", (struct terms){.count = 9}).count, 9,
                 "numbers have no end");
    leave(&office, a);
    office_close(&office);
}

Test(lease_several, a_pool_that_shrinks_refuses_those_who_wait_for_more)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    struct epb_peer *c;
    uint64_t token;
    struct epb_wait *wait;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
    define_pool(&office, "acc", "1 2 3");
    token = gets(&office, a, "acc", "w1", several(2)).token;
    (void)waits(&office, b, "acc", "w2", several(3));
    (void)waits(&office, c, "acc", "w3", several(1));
    cr_assert_eq(discard(&office, "1"), EPB_OK, "it is held");
    wait = epb_wait_pop(b);
    cr_assert_not_null(wait);
    cr_assert_eq(wait->status, EPB_CONFLICT);
    cr_assert_eq(wait->count, 2, "so many there are");
    epb_wait_free(office.waits, wait);
    cr_assert_str_eq(things_of(&office, takes(&office, c)).text, "3",
                     "who was behind goes on in the same call");
    gives_back(&office, a, token);
    describes(&office, "acc", 2, 1, 0);
    leave(&office, a);
    leave(&office, b);
    leave(&office, c);
    office_close(&office);
}

Test(lease_several, single_elements_are_discarded)
{
    struct office office;
    struct epb_peer *a;
    struct packed chosen = packed_of("2");
    struct packed strange = packed_of("2 4");
    uint64_t token;
    bool released;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2 3 4");
    token = gets(&office, a, "acc", "w1", several(3)).token;
    cr_assert_eq(release_token(&office, a, token, false, true,
                               (struct epb_bytes){strange.bytes, strange.size_bytes},
                               &released),
                 EPB_NOT_FOUND);
    cr_assert(is_live(&office, token), "nothing has changed");
    cr_assert_eq(release_token(&office, a, token, false, true,
                               (struct epb_bytes){chosen.bytes, chosen.size_bytes},
                               &released),
                 EPB_OK);
    cr_assert(released);
    token = gets(&office, a, "acc", "w1", several(3)).token;
    cr_assert_str_eq(things_of(&office, token).text, "4 1 3");
    leave(&office, a);
    office_close(&office);
}

Test(lease_several, whatever_ends_a_grant_gives_back_all)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t count;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    define_pool(&office, "acc", "1 2 3");
    (void)gets(&office, a, "acc", "w1", several(3));
    pass(&office, 1000);
    describes(&office, "acc", 3, 3, 0);
    (void)gets(&office, a, "acc", "w1", several(3));
    cr_assert_eq(release(&office, b, "w1", "", EPB_F_FORCE, &count), EPB_OK);
    cr_assert_eq(count, 1, "it is one grant");
    describes(&office, "acc", 3, 3, 0);
    (void)gets(&office, a, "acc", "w1", several(3));
    cr_assert_eq(release(&office, a, "w1", "acc", EPB_F_DISCARD, &count), EPB_OK);
    describes(&office, "acc", 0, 0, 0);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

/* Definitions */

Test(lease_several, another_list_is_a_conflict_and_the_same_is_none)
{
    struct office office;
    struct epb_peer *a;
    bool changed;
    uint64_t size;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(define(&office, "acc", "1 2 3", EPB_DEFINE_ONCE, &changed, &size),
                 EPB_OK);
    cr_assert(changed);
    cr_assert_eq(define(&office, "acc", "3 1 2", EPB_DEFINE_ONCE, &changed, &size),
                 EPB_OK);
    cr_assert_not(changed, "in whatever order");
    cr_assert_eq(define(&office, "acc", "1 2", EPB_DEFINE_ONCE, &changed, &size),
                 EPB_CONFLICT);
    cr_assert_eq(define(&office, "acc", "1 2 4", EPB_DEFINE_ONCE, &changed, &size),
                 EPB_CONFLICT);
    cr_assert_eq(define(&office, "acc", "1 2 4", EPB_DEFINE_IF_ABSENT, &changed, &size),
                 EPB_OK);
    cr_assert_not(changed);
    describes(&office, "acc", 3, 3, 0);
    /* A worker that starts late still has the list that it was defined by. */
    cr_assert_eq(discard(&office, "2"), EPB_OK);
    cr_assert_eq(define(&office, "acc", "1 2 3", EPB_DEFINE_ONCE, &changed, &size),
                 EPB_OK);
    cr_assert_eq(define(&office, "acc", "1 3", EPB_DEFINE_ONCE, &changed, &size), EPB_OK);
    describes(&office, "acc", 2, 2, 0);
    leave(&office, a);
    office_close(&office);
}

Test(lease_several, a_pool_is_replaced_at_once_but_for_what_is_held)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    bool changed;
    uint64_t size;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    define_pool(&office, "acc", "1 2 3");
    token = gets(&office, a, "acc", "w1", several(2)).token;
    cr_assert_eq(define(&office, "acc", "2 5 5", EPB_DEFINE_ANEW, &changed, &size),
                 EPB_INVALID_VALUE);
    describes(&office, "acc", 3, 1, 0);
    cr_assert_eq(define(&office, "acc", "2 5", EPB_DEFINE_ANEW, &changed, &size), EPB_OK);
    cr_assert(changed);
    cr_assert_eq(size, 2);
    describes(&office, "acc", 2, 1, 0);
    (void)waits(&office, b, "acc", "w2", several(2));
    gives_back(&office, a, token);
    cr_assert_str_eq(things_of(&office, takes(&office, b)).text, "5 2", "1 has left");
    cr_assert_eq(define(&office, "acc", "5 2", EPB_DEFINE_ANEW, &changed, &size), EPB_OK);
    cr_assert_not(changed, "it is what it is");
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

Test(lease_several, a_semaphore_that_is_replaced_grants_when_fewer_are_held)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t tokens[3];

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    cr_assert_eq(limit(&office, "s", 3), EPB_OK);
    cr_assert_eq(limit(&office, "s", 3), EPB_OK, "the same");
    cr_assert_eq(limit(&office, "s", 2), EPB_CONFLICT);
    for (unsigned i = 0; i < 3; i++) {
        tokens[i] = gets(&office, a, "s", "w1", several(1)).token;
    }
    (void)waits(&office, b, "s", "w2", several(3));
    (void)waits(&office, b, "s", "w2", several(1));
    cr_assert_eq(limit_anew(&office, "s", 2), EPB_OK);
    hears(&office, b, EPB_CONFLICT);
    describes(&office, "s", 2, 0, 1);
    gives_back(&office, a, tokens[0]);
    cr_assert_not(has_finished(b), "two are held, as many as there are");
    gives_back(&office, a, tokens[1]);
    cr_assert_str_eq(things_of(&office, takes(&office, b)).text, "0");
    cr_assert_eq(limit_anew(&office, "s", 200), EPB_OK);
    cr_assert_eq(gets(&office, a, "s", "w1", several(100)).count, 100);
    leave(&office, a);
    leave(&office, b);
    office_close(&office);
}

/* Clearing */

static bool
clear_part(struct office *office, const char *prefix, struct epb_lease_clearing *clearing)
{
    struct epb_budget budget = {1};

    return epb_lease_clear(office->leases, bytes_of(prefix), &office->now, &budget,
                           clearing);
}

Test(lease_several, two_that_clear_at_a_time_miss_nothing)
{
    struct office office;
    struct epb_lease_clearing left = {0};
    struct epb_lease_clearing right = {0};
    bool left_done = false;
    bool right_done = false;
    char key[8];

    office_open(&office);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "%c%u", i % 2 == 0 ? 'l' : 'r', i);
        cr_assert_eq(limit(&office, key, 2), EPB_OK);
    }
    epb_lease_clear_begin(office.leases, &left);
    for (unsigned i = 0; i < 7; i++) {
        cr_assert_not(clear_part(&office, "l", &left));
    }
    epb_lease_clear_begin(office.leases, &right);
    cr_assert_eq(limit(&office, "l-later", 2), EPB_OK);
    while (!left_done || !right_done) {
        right_done = right_done || clear_part(&office, "r", &right);
        left_done = left_done || clear_part(&office, "l", &left);
    }
    cr_assert_eq(left.cleared, 10);
    cr_assert_eq(right.cleared, 10);
    describes(&office, "l-later", 2, 2, 0);
    office_close(&office);
}

Test(lease_several, what_is_held_or_waited_for_is_not_cleared_and_is_counted)
{
    struct office office;
    struct epb_peer *a;
    struct epb_lease_clearing clearing = {0};
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2");
    define_pool(&office, "free", "1 2");
    cr_assert_eq(limit(&office, "s", 1), EPB_OK);
    token = gets(&office, a, "acc", "w1", several(1)).token;
    epb_lease_clear_begin(office.leases, &clearing);
    while (!clear_part(&office, "", &clearing)) {
    }
    cr_assert_eq(clearing.cleared, 2);
    cr_assert_eq(clearing.held, 1);
    describes(&office, "acc", 2, 1, 0);
    gives_back(&office, a, token);
    (void)gets(&office, a, "acc", "w1", several(1));
    pass(&office, 1000);
    epb_lease_clear_begin(office.leases, &clearing);
    while (!clear_part(&office, "", &clearing)) {
    }
    cr_assert_eq(clearing.cleared, 3, "a grant that is over holds nothing");
    leave(&office, a);
    office_close(&office);
}

Test(lease_several, what_stays_is_counted_once_whatever_is_deleted_meanwhile)
{
    struct office office;
    struct epb_peer *a;
    struct epb_lease_clearing clearing = {0};

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(limit(&office, "a", 1), EPB_OK);
    cr_assert_eq(limit(&office, "b", 1), EPB_OK);
    cr_assert_eq(limit(&office, "c", 1), EPB_OK);
    (void)gets(&office, a, "a", "w1", several(1));
    epb_lease_clear_begin(office.leases, &clearing);
    cr_assert_not(clear_part(&office, "", &clearing));
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("c"), &office.now), EPB_OK);
    while (!clear_part(&office, "", &clearing)) {
    }
    cr_assert_eq(clearing.held, 1);
    cr_assert_eq(clearing.cleared, 1);
    leave(&office, a);
    office_close(&office);
}
