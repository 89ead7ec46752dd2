/* What keys give, pools, and the list. Random histories: lease_model_test.c. */
#include "lease_help.h"

/* Kinds */

Test(lease, a_key_with_nothing_stored_gives_the_lowest_free_number)
{
    struct office office;
    struct epb_peer *a;
    struct epb_peer *b;
    uint64_t one;

    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    cr_assert_eq(gets(&office, a, "port", "w1", at_once).number, 0);
    one = gets(&office, a, "port", "w2", at_once).token;
    cr_assert_eq(gets(&office, a, "port", "w3", at_once).number, 2);
    cr_assert_eq(gets(&office, b, "port", "w1", at_once).number, 3, "another holder");
    gives_back(&office, a, one);
    cr_assert_eq(gets(&office, a, "port", "w4", at_once).number, 1);
    cr_assert_eq(gets(&office, a, "other", "w1", at_once).number, 0);
    leave(&office, a);
    cr_assert_eq(gets(&office, b, "port", "w9", at_once).number, 0);
    leave(&office, b);
    office_close(&office);
}

Test(lease, the_same_holder_gets_the_same_again_unless_it_wants_a_fresh_one)
{
    struct office office;
    struct epb_peer *a;
    struct epb_grant_view first;
    struct epb_grant_view again;

    office_open(&office);
    a = enter(&office);
    first = gets(&office, a, "port", "w", (struct terms){.ttl_ms = 100});
    pass(&office, 60);
    again = gets(&office, a, "port", "w", (struct terms){.ttl_ms = 70});
    cr_assert_eq(again.token, first.token);
    cr_assert_eq(again.number, 0);
    cr_assert_eq(again.ttl_ms, 70, "it is renewed");
    cr_assert_eq(gets(&office, a, "port", "w", fresh).number, 1);
    cr_assert_eq(gets(&office, a, "port", "w", at_once).token, first.token,
                 "the oldest of two");
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_pool_gives_what_came_back_longest_ago)
{
    struct office office;
    struct epb_peer *a;
    struct epb_grant_view grant;
    uint64_t tokens[3];
    static const char *const workers[] = {"w0", "w1", "w2"};

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "10 11 12");
    for (unsigned i = 0; i < 3; i++) {
        grant = gets(&office, a, "acc", workers[i], at_once);
        cr_assert_eq(grant.kind, EPB_KIND_POOL);
        cr_assert_eq(grant.value.data[1], '0' + i);
        tokens[i] = grant.token;
    }
    cr_assert_eq(ask_status(&office, a, "acc", "w3", at_once), EPB_LEASE_HELD);
    gives_back(&office, a, tokens[2]);
    gives_back(&office, a, tokens[0]);
    grant = gets(&office, a, "acc", "w3", at_once);
    cr_assert(bytes_equal(grant.value, bytes_of("12")));
    grant = gets(&office, a, "acc", "w4", at_once);
    cr_assert(bytes_equal(grant.value, bytes_of("10")));
    leave(&office, a);
    office_close(&office);
}

Test(lease, elements_are_equal_when_kind_and_bytes_are)
{
    struct office office;
    struct epb_peer *a;
    /* The text 1 and the byte 1, and bytes that are none. */
    static const uint8_t packed[] = {1, 0, 0,   0, 0, '1', 1, 0, 0,
                                     0, 1, '1', 0, 0, 0,   0, 1};
    struct epb_grant_view grant;
    uint64_t size;
    bool created;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(fill_whole(office.leases, bytes_of("p"),
                            (struct epb_bytes){packed, sizeof(packed)}, EPB_DEFINE_ONCE,
                            false, &office.now, &created, &size),
                 EPB_OK);
    cr_assert_eq(size, 3);
    grant = gets(&office, a, "p", "w1", at_once);
    cr_assert_eq(grant.value_flags, 0);
    grant = gets(&office, a, "p", "w2", at_once);
    cr_assert_eq(grant.value_flags, EPB_F_BINARY);
    cr_assert(bytes_equal(grant.value, bytes_of("1")));
    cr_assert_eq(gets(&office, a, "p", "w3", at_once).value.size_bytes, 0);
    cr_assert_eq(epb_lease_discard(office.leases, bytes_of("p"), bytes_of("1"),
                                   EPB_F_BINARY, &office.now),
                 EPB_OK);
    cr_assert_eq(epb_lease_discard(office.leases, bytes_of("p"), bytes_of("1"),
                                   EPB_F_BINARY, &office.now),
                 EPB_NOT_FOUND);
    cr_assert_eq(
        epb_lease_discard(office.leases, bytes_of("p"), bytes_of("1"), 0, &office.now),
        EPB_OK);
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_semaphore_has_so_many_permits)
{
    struct office office;
    struct epb_peer *a;
    bool created;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(limit(&office, "s", 2), EPB_OK);
    cr_assert_eq(epb_lease_limit(office.leases, bytes_of("s"), 5, EPB_DEFINE_ONCE, false,
                                 &office.now, &created),
                 EPB_CONFLICT);
    cr_assert_not(created, "the first definition stays");
    cr_assert_eq(gets(&office, a, "s", "w1", at_once).number, 0);
    cr_assert_eq(gets(&office, a, "s", "w2", at_once).number, 1);
    cr_assert_eq(ask_status(&office, a, "s", "w3", at_once), EPB_LEASE_HELD);
    cr_assert_eq(limit(&office, "t", 0), EPB_INVALID_REQUEST);
    cr_assert_eq(limit(&office, "t", EPB_PERMITS_MAX + 1), EPB_INVALID_REQUEST);
    cr_assert_eq(limit(&office, "t", EPB_PERMITS_MAX), EPB_OK);
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_stored_value_is_held_by_one)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    cr_assert_not(epb_lease_holds_value(office.leases, bytes_of("k")));
    token = gets(&office, a, "k", "w1", value).token;
    cr_assert_eq(look(&office, epb_lease_find(office.leases, token, &office.now)).kind,
                 EPB_KIND_VALUE);
    cr_assert_eq(ask_status(&office, a, "k", "w2", value), EPB_LEASE_HELD);
    cr_assert(epb_lease_holds_value(office.leases, bytes_of("k")));
    cr_assert(epb_lease_allows_value(office.leases, bytes_of("k"), &office.now),
              "it may be written");
    gives_back(&office, a, token);
    cr_assert_not(epb_lease_holds_value(office.leases, bytes_of("k")));
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_key_is_of_one_kind)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;
    uint64_t size;
    bool created;
    struct packed packed = packed_of("1");
    struct epb_bytes elements = {packed.bytes, packed.size_bytes};

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "pool", "1");
    cr_assert_eq(limit(&office, "sem", 1), EPB_OK);
    cr_assert_eq(limit(&office, "pool", 1), EPB_KIND_MISMATCH);
    cr_assert_eq(pool(&office, "sem", "1", false, &size), EPB_KIND_MISMATCH);
    cr_assert_eq(pool(&office, "sem", "1", true, &size), EPB_KIND_MISMATCH);
    cr_assert_eq(fill_whole(office.leases, bytes_of("stored"), elements, EPB_DEFINE_ONCE,
                            true, &office.now, &created, &size),
                 EPB_KIND_MISMATCH, "a value is stored there");
    cr_assert_eq(epb_lease_limit(office.leases, bytes_of("stored"), 1, EPB_DEFINE_ONCE,
                                 true, &office.now, &created),
                 EPB_KIND_MISMATCH);
    cr_assert_not(epb_lease_allows_value(office.leases, bytes_of("pool"), &office.now));
    cr_assert_not(epb_lease_allows_value(office.leases, bytes_of("sem"), &office.now));
    token = gets(&office, a, "num", "w", at_once).token;
    cr_assert_not(epb_lease_allows_value(office.leases, bytes_of("num"), &office.now));
    cr_assert_eq(limit(&office, "num", 1), EPB_KIND_MISMATCH);
    cr_assert_eq(ask_status(&office, a, "num", "w2", value), EPB_KIND_MISMATCH);
    (void)gets(&office, a, "pool", "w", lock);
    gives_back(&office, a, token);
    cr_assert(epb_lease_allows_value(office.leases, bytes_of("num"), &office.now));
    cr_assert_eq(limit(&office, "num", 1), EPB_OK, "nobody holds it any more");
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_lock_is_exclusive_or_shared)
{
    struct office office;
    struct epb_peer *a;
    uint64_t one;
    uint64_t two;

    office_open(&office);
    a = enter(&office);
    one = gets(&office, a, "door", "w1", shared).token;
    two = gets(&office, a, "door", "w2", shared).token;
    cr_assert_eq(ask_status(&office, a, "door", "w3", lock), EPB_LEASE_HELD);
    cr_assert_eq(ask_status(&office, a, "door", "w1", lock), EPB_LEASE_HELD,
                 "what it has is shared");
    cr_assert_eq(gets(&office, a, "door", "w1", shared).token, one);
    gives_back(&office, a, one);
    gives_back(&office, a, two);
    (void)gets(&office, a, "door", "w3", lock);
    cr_assert_eq(ask_status(&office, a, "door", "w1", shared), EPB_LEASE_HELD);
    leave(&office, a);
    office_close(&office);
}

/* Pools */

Test(lease, a_pool_has_no_equal_elements)
{
    struct office office;
    uint64_t size = 7;

    office_open(&office);
    cr_assert_eq(pool(&office, "acc", "1 2 1", false, &size), EPB_INVALID_VALUE);
    cr_assert_eq(pool(&office, "acc", "1 2", true, &size), EPB_OK, "add defines it");
    cr_assert_eq(pool(&office, "acc", "3 2 4", true, &size), EPB_CONFLICT);
    cr_assert_eq(pool(&office, "acc", "3 3", true, &size), EPB_INVALID_VALUE);
    cr_assert_eq(pool(&office, "acc", "9", false, &size), EPB_CONFLICT);
    cr_assert_eq(size, 2, "nothing of these was added");
    office_close(&office);
}

Test(lease, a_malformed_list_of_elements_is_refused)
{
    static const uint8_t texts[][8] = {
        {1, 0, 0, 0, 0},         /* the element is missing */
        {1, 0, 0, 0},            /* so is the rest of its header */
        {0, 0, 0, 0, 0},         /* a text without a byte */
        {1, 0, 0, 0, 2, '1'},    /* of no kind */
        {1, 0, 0, 0, 0, '1', 9}, /* something behind it */
        {255, 255, 255, 255, 1, '1'},
    };
    static const size_t sizes[] = {5, 4, 5, 6, 7, 6};
    struct office office;
    uint64_t size;
    bool created;

    office_open(&office);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(fill_whole(office.leases, bytes_of("p"),
                                (struct epb_bytes){texts[i], sizes[i]}, EPB_DEFINE_ONCE,
                                false, &office.now, &created, &size),
                     EPB_INVALID_VALUE, "%u", i);
    }
    cr_assert_eq(pool(&office, "p", "", false, &size), EPB_INVALID_VALUE);
    office_close(&office);
}

Test(lease, a_discarded_element_leaves_when_it_is_given_back)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;
    uint64_t size;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(discard(&office, "1"), EPB_NOT_FOUND, "there is no such pool");
    define_pool(&office, "acc", "1 2");
    token = gets(&office, a, "acc", "w", at_once).token;
    cr_assert_eq(discard(&office, "1"), EPB_OK);
    cr_assert_eq(discard(&office, "1"), EPB_NOT_FOUND);
    cr_assert_eq(discard(&office, "3"), EPB_NOT_FOUND);
    cr_assert(is_live(&office, token), "who holds it may go on");
    cr_assert_eq(gets(&office, a, "acc", "w", at_once).token, token);
    gives_back(&office, a, token);
    (void)gets(&office, a, "acc", "w", at_once);
    cr_assert_eq(ask_status(&office, a, "acc", "w2", at_once), EPB_LEASE_HELD);
    cr_assert_eq(pool(&office, "acc", "1", true, &size), EPB_OK);
    cr_assert_eq(size, 2);
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_discarded_element_that_is_added_again_stays)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;
    uint64_t size;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2");
    token = gets(&office, a, "acc", "w", at_once).token;
    cr_assert_eq(discard(&office, "1"), EPB_OK);
    cr_assert_eq(pool(&office, "acc", "1 2", true, &size), EPB_CONFLICT);
    cr_assert_eq(pool(&office, "acc", "1", true, &size), EPB_OK);
    cr_assert_eq(size, 2);
    cr_assert(bytes_equal(gets(&office, a, "acc", "w2", at_once).value, bytes_of("2")));
    cr_assert_eq(ask_status(&office, a, "acc", "w3", at_once), EPB_LEASE_HELD,
                 "one holder an element");
    gives_back(&office, a, token);
    cr_assert(bytes_equal(gets(&office, a, "acc", "w3", at_once).value, bytes_of("1")));
    leave(&office, a);
    office_close(&office);
}

Test(lease, release_can_discard)
{
    struct office office;
    struct epb_peer *a;
    uint64_t count;
    uint64_t token;
    bool released;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "acc", "1 2");
    (void)gets(&office, a, "acc", "w", at_once);
    token = gets(&office, a, "acc", "w2", at_once).token;
    cr_assert_eq(release(&office, a, "w", "acc", EPB_F_DISCARD, &count), EPB_OK);
    cr_assert_eq(discard(&office, "1"), EPB_NOT_FOUND);
    cr_assert_eq(release_token(&office, a, token, false, true, no_elements, &released),
                 EPB_OK);
    cr_assert_eq(ask_status(&office, a, "acc", "w", at_once), EPB_LEASE_HELD,
                 "an empty pool is one still");
    leave(&office, a);
    office_close(&office);
}

Test(lease, a_definition_can_go_when_nobody_needs_it)
{
    struct office office;
    struct epb_peer *a;
    uint32_t id;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("acc"), &office.now),
                 EPB_NOT_FOUND);
    define_pool(&office, "acc", "1");
    token = gets(&office, a, "acc", "w", at_once).token;
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("acc"), &office.now),
                 EPB_LEASE_HELD);
    gives_back(&office, a, token);
    cr_assert_eq(discard(&office, "1"), EPB_OK);
    id = waits(&office, a, "acc", "w", at_once);
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("acc"), &office.now),
                 EPB_LEASE_HELD);
    cr_assert(epb_wait_cancel(office.waits, a, id, &office.now));
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("acc"), &office.now), EPB_OK);
    cr_assert_eq(gets(&office, a, "acc", "w", at_once).kind, EPB_KIND_NUMBERS);
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("acc"), &office.now),
                 EPB_NOT_FOUND, "numbers are no definition");
    leave(&office, a);
    office_close(&office);
}

/* Listing */

static void
assert_list(const struct office *office, const char *prefix, unsigned left,
            const char *expected)
{
    struct listing listing = {.left = left};

    walk_leases(office->leases, bytes_of(prefix), &office->now, list, &listing);
    cr_assert_str_eq(listing.text, expected);
}

Test(lease, the_list_shows_who_holds_and_who_waits)
{
    struct office office;
    struct epb_peer *a;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "w1", shared);
    (void)gets(&office, a, "port", "w1", (struct terms){.ttl_ms = 5});
    pass(&office, 4);
    (void)gets(&office, a, "door", "w2", shared);
    (void)waits(&office, a, "door", "w3",
                (struct terms){.space = EPB_SPACE_LOCK, .wait_ms = 90});
    (void)waits(
        &office, a, "door", "w4",
        (struct terms){.space = EPB_SPACE_LOCK, .flags = EPB_F_SHARED, .wait_ms = 80});
    assert_list(&office, "p", 9, "port w1 held 1 4;");
    assert_list(
        &office, "do", 3,
        "door w3 waits 90 0;door w4 waits shared 80 0;door w1 held shared 996 4;");
    pass(&office, 1);
    assert_list(&office, "port", 9, "");
    assert_list(&office, "doors", 9, "");
    leave(&office, a);
    assert_list(&office, "", 9, "");
    office_close(&office);
}
