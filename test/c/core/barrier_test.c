#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/mem_testing.h"
#include "core/barrier.h"
#include "helpers.h"

static struct epb_arena *arena;
static struct epb_quota quota;
static struct epb_waits *waits;
static struct epb_barriers *barriers;
static struct epb_peer *peer;
static struct epb_time now;

static void
on_ready(void *context, void *user)
{
    (void)context;
    (void)user;
}

static void
setup(void)
{
    now = time_at(5000);
    arena = epb_arena_new(false);
    quota = (struct epb_quota){0, 0};
    waits = epb_waits_new(arena, &quota, 0, on_ready, NULL);
    barriers = epb_barriers_new(arena, &quota, waits);
    cr_assert_not_null(barriers);
    peer = epb_peer_new(waits, NULL, false);
}

static void
teardown(void)
{
    struct epb_mem_stats stats;

    (void)epb_peer_withdraw(waits, peer, &now, &(struct epb_budget){SIZE_MAX});
    epb_peer_free(waits, peer);
    cr_assert_eq(quota.used_bytes, 0);
    epb_barriers_free(barriers);
    epb_waits_free(waits);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    epb_arena_free(arena);
}

TestSuite(barrier, .init = setup, .fini = teardown);

static int64_t number;

/* EPB_OK: it waits; EPB_NOT_FOUND stands for "the last one". */
static enum epb_status
arrive_at(const char *name, uint32_t id, int64_t parties, uint64_t wait_ms)
{
    const struct epb_request request = {.action = EPB_ACTION_BARRIER,
                                        .flags = EPB_F_WAIT | EPB_F_COUNT,
                                        .id = id,
                                        .wait_ms = wait_ms,
                                        .count = parties,
                                        .key = bytes_of(name)};
    bool done = false;
    enum epb_status status =
        epb_barrier_arrive(barriers, peer, &request, &now, &done, &number);

    return status == EPB_OK && done ? EPB_NOT_FOUND : status;
}

static enum epb_status
arrive(uint32_t id, int64_t parties)
{
    return arrive_at("b", id, parties, 1000);
}

static void
assert_finished(uint32_t id, enum epb_status status, int64_t expected)
{
    struct epb_wait *wait = epb_wait_pop(peer);

    cr_assert_not_null(wait);
    cr_assert_eq(wait->id, id);
    cr_assert_eq(wait->status, status);
    if (status == EPB_OK) {
        cr_assert_eq(wait->count, expected);
    }
    epb_wait_free(waits, wait);
}

Test(barrier, opens_when_the_last_one_arrives)
{
    cr_assert_eq(arrive(1, 3), EPB_OK);
    cr_assert_eq(arrive_at("other", 2, 2, 1000), EPB_OK);
    cr_assert_eq(arrive(3, 3), EPB_OK);
    cr_assert_null(epb_wait_pop(peer));
    cr_assert_eq(arrive(4, 3), EPB_NOT_FOUND);
    cr_assert_eq(number, 2);
    assert_finished(1, EPB_OK, 0);
    assert_finished(3, EPB_OK, 1);
    cr_assert_null(epb_wait_pop(peer));
    cr_assert_eq(arrive(5, 1), EPB_NOT_FOUND, "alone");
    cr_assert_eq(number, 0);
    /* The next round may have another number. */
    cr_assert_eq(arrive(6, 2), EPB_OK);
    cr_assert_eq(arrive(7, 2), EPB_NOT_FOUND);
    assert_finished(6, EPB_OK, 0);
}

Test(barrier, who_gives_up_has_not_arrived)
{
    cr_assert_eq(arrive(1, 3), EPB_OK);
    cr_assert_eq(arrive_at("b", 2, 3, 10), EPB_OK);
    cr_assert(epb_wait_cancel(waits, peer, 1, &now));
    assert_finished(1, EPB_WAIT_TIMEOUT, 0);
    cr_assert_eq(arrive(3, 3), EPB_OK);
    now.mono_ms += 10;
    (void)epb_waits_sweep(waits, &now, 10);
    assert_finished(2, EPB_WAIT_TIMEOUT, 0);
    cr_assert_eq(arrive(4, 3), EPB_OK);
    cr_assert_eq(arrive(5, 3), EPB_NOT_FOUND);
    cr_assert_eq(number, 2);
    assert_finished(3, EPB_OK, 0);
    assert_finished(4, EPB_OK, 1);
    /* Nobody is left of that round: any number may begin the next. */
    cr_assert_eq(arrive(6, 3), EPB_OK);
    cr_assert(epb_wait_cancel(waits, peer, 6, &now));
    assert_finished(6, EPB_WAIT_TIMEOUT, 0);
    cr_assert_eq(arrive(7, 2), EPB_OK);
}

Test(barrier, refuses_what_makes_no_sense)
{
    cr_assert_eq(arrive(1, 0), EPB_INVALID_REQUEST);
    cr_assert_eq(arrive(1, -1), EPB_INVALID_REQUEST);
    cr_assert_eq(arrive(1, EPB_BARRIER_MAX + 1), EPB_INVALID_REQUEST);
    cr_assert_eq(arrive_at("b", 1, 2, 0), EPB_WAIT_TIMEOUT);
    cr_assert_eq(arrive(1, EPB_BARRIER_MAX), EPB_OK);
    cr_assert_eq(arrive(2, 2), EPB_KIND_MISMATCH);
    cr_assert_eq(arrive(2, 1), EPB_KIND_MISMATCH);
    cr_assert_eq(arrive(1, EPB_BARRIER_MAX), EPB_CONFLICT, "the id waits already");
    cr_assert_eq(epb_waits_count(waits), 1);
}

Test(barrier, without_memory_nobody_has_arrived)
{
    uint64_t countdown = 1;

    for (;; countdown++) {
        epb_mem_fail_after(countdown);
        if (arrive(1, 2) == EPB_OK) {
            break;
        }
        cr_assert_eq(quota.used_bytes, 0);
    }
    epb_mem_fail_after(0);
    cr_assert_geq(countdown, 4);
    quota.limit_bytes = quota.used_bytes;
    cr_assert_eq(arrive_at("other", 2, 2, 10), EPB_MAX_MEMORY);
    quota.limit_bytes += 150;
    cr_assert_eq(arrive_at("other", 2, 2, 10), EPB_MAX_MEMORY, "the wait is too much");
    cr_assert_eq(quota.used_bytes, quota.limit_bytes - 150);
    cr_assert_eq(arrive(2, 2), EPB_NOT_FOUND, "the last one needs no memory");
}
