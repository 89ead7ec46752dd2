/* What others do in the pauses of a filling, with pauses wherever there can be one. */
#include "core/lease_internal.h"
#include "lease_help.h"

static struct office office;
static struct epb_peer *peer;

static void
open_office(void)
{
    office_open(&office);
    peer = enter(&office);
}

static void
close_office(void)
{
    leave(&office, peer);
    office_close(&office);
}

TestSuite(fill_pauses, .init = open_office, .fini = close_office);

static struct epb_lease_filling filling;

static void
begin_filling(const struct packed *packed, enum epb_defining how)
{
    filling = (struct epb_lease_filling){
        .key = bytes_of("p"),
        .elements = {packed->bytes, packed->size_bytes},
        .how = how,
    };
    epb_lease_fill_begin(&filling);
}

/* So many slices of a unit; whether it is done. */
static bool
goes_on(unsigned count)
{
    bool done = false;

    for (unsigned i = 0; i < count && !done; i++) {
        struct epb_budget budget = {1};

        cr_assert_eq(
            epb_lease_fill(office.leases, &filling, false, &office.now, &budget, &done),
            EPB_OK);
    }
    return done;
}

static uint64_t
holds(const char *worker, const char *element)
{
    struct epb_grant_view view = gets(&office, peer, "p", worker, fresh);

    cr_assert_eq(epb_bytes_compare(view.value, bytes_of(element)), 0, "%.*s",
                 (int)view.value.size_bytes, (const char *)view.value.data);
    return view.token;
}

static enum epb_status
discards(const char *element)
{
    return epb_lease_discard(office.leases, bytes_of("p"), bytes_of(element), 0,
                             &office.now);
}

static struct epb_lease_description
description(void)
{
    struct epb_lease_description found;

    epb_lease_describe(office.leases, bytes_of("p"), false, &office.now, &found);
    return found;
}

/* In each pause in turn, the holder of an element gives it back: once the list has it, it
 * stays, and otherwise it goes. */
static void
replace_while_one_is_given_back(const char *list, const char *element, uint64_t size)
{
    const struct packed packed = packed_of(list);
    bool done = false;

    for (unsigned pause = 0; !done; pause++) {
        uint64_t ignored;
        uint64_t token;

        cr_assert_eq(pool(&office, "p", "1 2 3", false, &ignored), EPB_OK);
        token = holds("w", "1");
        begin_filling(&packed, EPB_DEFINE_ANEW);
        done = goes_on(pause);
        gives_back(&office, peer, token);
        (void)goes_on(1000);
        cr_assert_eq(filling.status, EPB_OK);
        cr_assert_eq(description().size, size, "%s, %u", element, pause);
        cr_assert_eq(description().free, size);
        cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("p"), &office.now),
                     EPB_OK);
    }
}

Test(fill_pauses, an_element_is_given_back_while_the_list_is_replaced)
{
    replace_while_one_is_given_back("4 1 5", "1", 3);
    replace_while_one_is_given_back("4 5 2", "1", 3);
}

/* The same with one that was discarded, and that the list has again. */
Test(fill_pauses, a_discarded_element_comes_back_wherever_it_is)
{
    const struct packed packed = packed_of("4 1 5");
    bool done = false;

    for (unsigned pause = 0; !done; pause++) {
        uint64_t ignored;
        uint64_t token;

        cr_assert_eq(pool(&office, "p", "1 2", false, &ignored), EPB_OK);
        token = holds("w", "1");
        cr_assert_eq(discards("1"), EPB_OK);
        begin_filling(&packed, EPB_DEFINE_MORE);
        done = goes_on(pause);
        gives_back(&office, peer, token);
        (void)goes_on(1000);
        cr_assert_eq(filling.size, 4, "%u", pause);
        cr_assert_eq(description().size, 4);
        cr_assert_eq(description().free, 4);
        cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("p"), &office.now),
                     EPB_OK);
    }
}

Test(fill_pauses, nobody_gets_or_discards_what_is_not_in_yet)
{
    const struct packed packed = packed_of("1 2 3");

    begin_filling(&packed, EPB_DEFINE_ONCE);
    while (filling.added_count < 3) {
        cr_assert_not(goes_on(1));
    }
    cr_assert_eq(discards("1"), EPB_NOT_FOUND);
    cr_assert_not(description().exists);
    cr_assert(goes_on(1000));
    cr_assert_eq(description().free, 3);
    cr_assert_eq(discards("1"), EPB_OK);
}

/* The key was somebody else's in the end. */
Test(fill_pauses, a_key_that_has_become_something_else_stays_that)
{
    const struct packed packed = packed_of("1 2 3");
    enum epb_status status = EPB_OK;
    bool done = false;
    bool changed;

    begin_filling(&packed, EPB_DEFINE_ONCE);
    while (filling.added_count < 3) {
        cr_assert_not(goes_on(1));
    }
    cr_assert_eq(epb_lease_limit(office.leases, bytes_of("p"), 2, EPB_DEFINE_ONCE, false,
                                 &office.now, &changed),
                 EPB_OK);
    while (!done) {
        struct epb_budget budget = {1};

        status =
            epb_lease_fill(office.leases, &filling, false, &office.now, &budget, &done);
    }
    cr_assert_eq(status, EPB_KIND_MISMATCH);
    cr_assert_eq(description().kind, EPB_KIND_SEMAPHORE);
}

Test(fill_pauses, a_pool_that_is_being_filled_is_not_deleted)
{
    const struct packed packed = packed_of("3 4");
    uint64_t ignored;

    cr_assert_eq(pool(&office, "p", "1 2", false, &ignored), EPB_OK);
    begin_filling(&packed, EPB_DEFINE_MORE);
    while (filling.added_count < 1) {
        cr_assert_not(goes_on(1));
    }
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("p"), &office.now),
                 EPB_LEASE_HELD);
    cr_assert(goes_on(1000));
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("p"), &office.now), EPB_OK);
}

/* A map that is resized takes others along with each element that goes. */

#define MANY 20000U
#define UNITS 320U

static void
define_many(void)
{
    static uint8_t packed[MANY * (EPB_ELEMENT_HEADER_BYTES + 4)];
    uint64_t size;
    bool changed;

    for (uint32_t i = 0; i < MANY; i++) {
        uint8_t *at = packed + (size_t)i * (EPB_ELEMENT_HEADER_BYTES + 4);

        epb_put_u32(at, 4);
        at[4] = 1;
        epb_put_u32(at + EPB_ELEMENT_HEADER_BYTES, i);
    }
    cr_assert_eq(fill_whole(office.leases, bytes_of("p"),
                            (struct epb_bytes){packed, sizeof(packed)}, EPB_DEFINE_ONCE,
                            false, &office.now, &changed, &size),
                 EPB_OK);
    cr_assert_eq(size, MANY);
}

/* Slices of these elements' way out. Returns how many of them were all within a move. */
static unsigned
slices_within_moves(bool (*slice)(struct epb_budget *budget))
{
    const struct epb_map *map = office.leases->elements;
    unsigned within = 0;
    bool done = false;

    while (!done) {
        struct epb_budget budget = {UNITS};
        size_t before = epb_map_count(map);
        bool was_moving = epb_map_is_moving(map);

        done = slice(&budget);
        if (was_moving && epb_map_is_moving(map) && epb_map_count(map) < before) {
            cr_assert_leq(before - epb_map_count(map), UNITS / 32U);
            within++;
        }
    }
    return within;
}

static bool
replace_slice(struct epb_budget *budget)
{
    bool done;

    cr_assert_eq(
        epb_lease_fill(office.leases, &filling, false, &office.now, budget, &done),
        EPB_OK);
    return done;
}

static bool
tidy_slice(struct epb_budget *budget)
{
    return epb_leases_tidy(office.leases, budget);
}

Test(fill_pauses, fewer_are_replaced_in_a_slice_while_their_map_is_resized)
{
    const struct packed packed = packed_of("1");

    define_many();
    begin_filling(&packed, EPB_DEFINE_ANEW);
    cr_assert_gt(slices_within_moves(replace_slice), 10);
    cr_assert_eq(description().size, 1);
}

Test(fill_pauses, fewer_of_a_deleted_pool_go_in_a_slice_while_their_map_is_resized)
{
    define_many();
    cr_assert_eq(epb_lease_undefine(office.leases, bytes_of("p"), &office.now), EPB_OK);
    cr_assert_gt(slices_within_moves(tidy_slice), 10);
    cr_assert_eq(epb_map_count(office.leases->elements), 0);
}
