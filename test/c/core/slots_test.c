#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem_testing.h"
#include "core/slots.h"
#include "helpers.h"

struct fixture {
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_slots slots;
};

static struct fixture
fixture_new(void)
{
    struct fixture fixture = {.arena = epb_arena_new(false)};

    epb_slots_init(&fixture.slots);
    return fixture;
}

static void
fixture_free(struct fixture *fixture)
{
    struct epb_mem_stats stats;

    epb_slots_fini(&fixture->slots, fixture->arena, &fixture->quota);
    epb_arena_stats(fixture->arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_eq(fixture->quota.used_bytes, 0);
    epb_arena_free(fixture->arena);
}

static uint64_t
take(struct fixture *fixture)
{
    cr_assert_eq(epb_slots_reserve(&fixture->slots, fixture->arena, &fixture->quota,
                                   fixture->slots.used + 1),
                 EPB_OK);
    return epb_slots_take(&fixture->slots);
}

static void
give(struct fixture *fixture, uint64_t number)
{
    epb_slots_give(&fixture->slots, number);
    epb_slots_shrink(&fixture->slots, fixture->arena, &fixture->quota);
}

Test(slots, gives_the_lowest_that_is_free)
{
    struct fixture fixture = fixture_new();

    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(take(&fixture), i);
    }
    give(&fixture, 3);
    give(&fixture, 1);
    cr_assert_eq(take(&fixture), 1);
    cr_assert_eq(take(&fixture), 3);
    cr_assert_eq(take(&fixture), 5);
    fixture_free(&fixture);
}

Test(slots, works_at_every_size)
{
    struct fixture fixture = fixture_new();

    /* Past 64 * 64 there is a third level, and its last word is not whole. */
    for (uint64_t i = 0; i < 70000; i++) {
        cr_assert_eq(take(&fixture), i);
    }
    for (uint64_t i = 0; i < 70000; i += 4099) {
        epb_slots_give(&fixture.slots, i);
    }
    for (uint64_t i = 0; i < 70000; i += 4099) {
        cr_assert_eq(take(&fixture), i);
    }
    cr_assert_eq(take(&fixture), 70000);
    fixture_free(&fixture);
}

Test(slots, a_million_can_be_had_at_once)
{
    struct fixture fixture = fixture_new();

    cr_assert_eq(
        epb_slots_reserve(&fixture.slots, fixture.arena, &fixture.quota, 1000000),
        EPB_OK);
    cr_assert_leq(fixture.quota.used_bytes, 130000);
    for (uint64_t i = 0; i < 1000000; i++) {
        cr_assert_eq(epb_slots_take(&fixture.slots), i);
    }
    epb_slots_give(&fixture.slots, 999999);
    cr_assert_eq(epb_slots_take(&fixture.slots), 999999);
    fixture_free(&fixture);
}

Test(slots, memory_follows_what_is_taken)
{
    struct fixture fixture = fixture_new();

    for (uint64_t i = 0; i < 100000; i++) {
        (void)take(&fixture);
    }
    cr_assert_leq(fixture.quota.used_bytes, 40000);
    for (uint64_t i = 100000; i-- > 100;) {
        give(&fixture, i);
    }
    cr_assert_leq(fixture.quota.used_bytes, 600);
    for (uint64_t i = 0; i < 100; i++) {
        give(&fixture, i);
    }
    cr_assert_eq(fixture.quota.used_bytes, 0);
    fixture_free(&fixture);
}

Test(slots, a_high_number_keeps_its_place)
{
    struct fixture fixture = fixture_new();

    for (uint64_t i = 0; i < 10000; i++) {
        (void)take(&fixture);
    }
    for (uint64_t i = 0; i < 9999; i++) {
        give(&fixture, i);
    }
    cr_assert_eq(fixture.slots.used, 1);
    cr_assert_eq(take(&fixture), 0);
    give(&fixture, 9999);
    cr_assert_eq(take(&fixture), 1);
    fixture_free(&fixture);
}

Test(slots, without_memory_nothing_changes)
{
    struct fixture fixture = fixture_new();

    epb_mem_fail_after(1);
    cr_assert_eq(epb_slots_reserve(&fixture.slots, fixture.arena, &fixture.quota, 1),
                 EPB_INTERNAL);
    cr_assert_eq(fixture.quota.used_bytes, 0);
    for (uint64_t i = 0; i < 64; i++) {
        (void)take(&fixture);
    }
    fixture.quota.limit_bytes = fixture.quota.used_bytes;
    cr_assert_eq(epb_slots_reserve(&fixture.slots, fixture.arena, &fixture.quota, 65),
                 EPB_MAX_MEMORY);
    give(&fixture, 17);
    cr_assert_eq(take(&fixture), 17);
    fixture_free(&fixture);
}

Test(slots, agrees_with_a_plain_array)
{
    const unsigned count = 9000;
    bool *taken = calloc(count + 1, sizeof(*taken));
    struct random random = {random_seed("slots")};
    struct fixture fixture = fixture_new();

    for (unsigned step = 0; step < 60000; step++) {
        /* By turns mostly in, mostly out. */
        bool in = random_below(&random, 100) < (step / 6000 % 2 == 0 ? 85U : 20U);
        unsigned at = random_below(&random, count);

        if (in && fixture.slots.used < count) {
            unsigned lowest = 0;

            while (taken[lowest]) {
                lowest++;
            }
            cr_assert_eq(take(&fixture), lowest);
            taken[lowest] = true;
        } else if (taken[at]) {
            give(&fixture, at);
            taken[at] = false;
        }
    }
    free(taken);
    fixture_free(&fixture);
}
