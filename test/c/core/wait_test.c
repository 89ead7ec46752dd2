#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/mem_testing.h"
#include "core/wait.h"
#include "helpers.h"

/* A keeper that notes what it is called for. */
struct fixture {
    struct epb_arena *arena;
    struct epb_quota quota;
    struct epb_waits *waits;
    struct epb_list queue;
    unsigned ready;
    unsigned withdrawn;
    unsigned undone;
    unsigned dropped;
    struct epb_wait *let_go; /* finished when another is withdrawn */
};

static void
on_ready(void *context, void *user)
{
    struct fixture *fixture = context;

    cr_assert_eq(user, fixture);
    fixture->ready++;
}

static void
withdraw(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct fixture *fixture = owner;
    struct epb_wait *let_go = fixture->let_go;

    (void)now;
    cr_assert_not(epb_list_empty(&wait->of_queue), "it is still in its queue");
    epb_list_remove(&wait->of_queue);
    fixture->withdrawn++;
    if (let_go != NULL && let_go != wait) {
        fixture->let_go = NULL;
        epb_wait_finish(fixture->waits, let_go, EPB_OK);
    }
}

static void
undo(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct fixture *fixture = owner;

    (void)wait;
    (void)now;
    fixture->undone++;
}

static void
drop(void *owner, struct epb_wait *wait)
{
    struct fixture *fixture = owner;

    (void)wait;
    fixture->dropped++;
}

static const struct epb_wait_owner calls = {withdraw, undo, drop};

static void
start(struct fixture *fixture, uint64_t max_waits)
{
    *fixture = (struct fixture){.arena = epb_arena_new(false)};
    epb_list_init(&fixture->queue);
    fixture->waits =
        epb_waits_new(fixture->arena, &fixture->quota, max_waits, on_ready, fixture);
}

static void
stop(struct fixture *fixture)
{
    struct epb_mem_stats stats;

    epb_waits_free(fixture->waits);
    epb_arena_stats(fixture->arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_eq(fixture->quota.used_bytes, 0);
    epb_arena_free(fixture->arena);
}

static struct epb_peer *
join(struct fixture *fixture)
{
    return epb_peer_new(fixture->waits, fixture, false);
}

static void
leave(struct fixture *fixture, struct epb_peer *peer)
{
    const struct epb_time now = time_at(2000);

    (void)epb_peer_withdraw(fixture->waits, peer, &now, &(struct epb_budget){SIZE_MAX});
    epb_peer_free(fixture->waits, peer);
}

static enum epb_status
try_wait(struct fixture *fixture, struct epb_peer *peer, uint32_t id, uint64_t wait_ms,
         struct epb_wait **wait)
{
    const struct epb_time now = time_at(2000);
    const struct epb_request request = {
        .action = EPB_ACTION_WAIT_FOR, .id = id, .wait_ms = wait_ms};
    enum epb_status status =
        epb_wait_new(fixture->waits, peer, &request, &calls, fixture, &now, wait);

    if (status == EPB_OK) {
        epb_list_append(&fixture->queue, &(*wait)->of_queue);
    }
    return status;
}

static struct epb_wait *
wait_for(struct fixture *fixture, struct epb_peer *peer, uint32_t id, uint64_t wait_ms)
{
    struct epb_wait *wait = NULL;

    cr_assert_eq(try_wait(fixture, peer, id, wait_ms, &wait), EPB_OK);
    return wait;
}

/* mono_ms is 1000 at the start. */
static struct epb_time
after(uint64_t ms)
{
    return time_at(2000 + 2 * ms);
}

Test(wait, a_finished_one_is_taken_in_its_turn)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_wait *first;
    struct epb_wait *second;

    start(&fixture, 0);
    peer = join(&fixture);
    first = wait_for(&fixture, peer, 1, 100);
    second = wait_for(&fixture, peer, 2, 100);
    cr_assert_eq(epb_waits_count(fixture.waits), 2);
    cr_assert_null(epb_wait_pop(peer));
    epb_wait_finish(fixture.waits, second, EPB_NOT_FOUND);
    epb_wait_finish(fixture.waits, first, EPB_OK);
    cr_assert(epb_list_empty(&fixture.queue));
    cr_assert_eq(fixture.ready, 1, "told once, until it is taken");
    cr_assert_eq(epb_wait_pop(peer), second);
    cr_assert_eq(second->status, EPB_NOT_FOUND);
    cr_assert_eq(second->id, 2);
    cr_assert_eq(second->action, EPB_ACTION_WAIT_FOR);
    epb_wait_free(fixture.waits, second);
    cr_assert_eq(fixture.dropped, 1);
    cr_assert_eq(epb_wait_pop(peer), first);
    epb_wait_free(fixture.waits, first);
    leave(&fixture, peer);
    stop(&fixture);
}

Test(wait, ends_at_its_deadline_in_order)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_time now = after(29);

    start(&fixture, 0);
    peer = join(&fixture);
    (void)wait_for(&fixture, peer, 1, EPB_WAIT_FOREVER_MS);
    (void)wait_for(&fixture, peer, 2, 30);
    (void)wait_for(&fixture, peer, 3, 40);
    (void)wait_for(&fixture, peer, 4, 30);
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 10), 1030);
    cr_assert_eq(fixture.withdrawn, 0);
    now = after(30);
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 1), 1030, "more is due at once");
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 10), 1040);
    now = after(1000000);
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 10), UINT64_MAX);
    cr_assert_eq(epb_waits_count(fixture.waits), 1);
    for (uint32_t i = 0; i < 3; i++) {
        static const uint32_t ids[] = {2, 4, 3};
        struct epb_wait *wait = epb_wait_pop(peer);

        cr_assert_eq(wait->id, ids[i]);
        cr_assert_eq(wait->status, EPB_WAIT_TIMEOUT);
        epb_wait_free(fixture.waits, wait);
    }
    leave(&fixture, peer);
    stop(&fixture);
}

Test(wait, an_id_is_taken_until_the_reply_is)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_peer *other;
    struct epb_wait *wait;
    struct epb_wait *none;

    start(&fixture, 0);
    peer = join(&fixture);
    other = join(&fixture);
    cr_assert_neq(epb_peer_session(peer), epb_peer_session(other));
    cr_assert_eq(try_wait(&fixture, peer, 0, 10, &none), EPB_CONFLICT);
    wait = wait_for(&fixture, peer, 7, 10);
    (void)wait_for(&fixture, other, 7, 10);
    cr_assert_eq(try_wait(&fixture, peer, 7, 10, &none), EPB_CONFLICT);
    epb_wait_finish(fixture.waits, wait, EPB_OK);
    cr_assert(epb_wait_has(peer, 7));
    cr_assert_eq(try_wait(&fixture, peer, 7, 10, &none), EPB_CONFLICT);
    epb_wait_free(fixture.waits, epb_wait_pop(peer));
    cr_assert_not(epb_wait_has(peer, 7));
    (void)wait_for(&fixture, peer, 7, 10);
    leave(&fixture, peer);
    leave(&fixture, other);
    stop(&fixture);
}

Test(wait, can_be_cancelled_while_it_waits)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_time now = after(1);
    struct epb_wait *wait;

    start(&fixture, 0);
    peer = join(&fixture);
    wait = wait_for(&fixture, peer, 5, 10);
    cr_assert_not(epb_wait_cancel(fixture.waits, peer, 6, &now));
    cr_assert(epb_wait_cancel(fixture.waits, peer, 5, &now));
    cr_assert_eq(wait->status, EPB_WAIT_TIMEOUT);
    cr_assert_not(epb_wait_cancel(fixture.waits, peer, 5, &now), "it has ended");
    leave(&fixture, peer);
    cr_assert_eq(fixture.undone, 1);
    stop(&fixture);
}

Test(wait, no_more_than_allowed_and_watchers_count)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_wait *wait;
    struct epb_wait *none;

    start(&fixture, 2);
    peer = join(&fixture);
    cr_assert_eq(epb_waits_count_in(fixture.waits), EPB_OK);
    wait = wait_for(&fixture, peer, 1, 10);
    cr_assert_eq(try_wait(&fixture, peer, 2, 10, &none), EPB_MAX_WAITERS);
    cr_assert_eq(epb_waits_count_in(fixture.waits), EPB_MAX_WAITERS);
    epb_wait_finish(fixture.waits, wait, EPB_OK);
    (void)wait_for(&fixture, peer, 2, 10);
    cr_assert_eq(epb_wait_pop(peer), wait);
    epb_wait_again(fixture.waits, wait);
    cr_assert_eq(epb_waits_count(fixture.waits), 3, "who waited before is not refused");
    epb_list_append(&fixture.queue, &wait->of_queue);
    epb_waits_count_out(fixture.waits);
    leave(&fixture, peer);
    stop(&fixture);
}

Test(wait, waits_again_with_the_rest_of_its_time)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_time now = after(60);
    struct epb_wait *wait;

    start(&fixture, 0);
    peer = join(&fixture);
    wait = wait_for(&fixture, peer, 1, 50);
    epb_wait_finish(fixture.waits, wait, EPB_OK);
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 9), UINT64_MAX);
    cr_assert_eq(epb_wait_pop(peer), wait);
    epb_wait_again(fixture.waits, wait);
    epb_list_append(&fixture.queue, &wait->of_queue);
    cr_assert(epb_wait_is_due(wait, &now));
    cr_assert_eq(epb_waits_sweep(fixture.waits, &now, 9), UINT64_MAX);
    cr_assert_eq(wait->status, EPB_WAIT_TIMEOUT);
    leave(&fixture, peer);
    stop(&fixture);
}

Test(wait, who_leaves_waits_for_nothing_and_is_told_nothing)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_wait *finished;

    start(&fixture, 0);
    peer = join(&fixture);
    finished = wait_for(&fixture, peer, 1, 10);
    epb_wait_finish(fixture.waits, finished, EPB_OK);
    (void)wait_for(&fixture, peer, 2, 10);
    fixture.let_go = wait_for(&fixture, peer, 3, 10);
    peer->told = false;
    fixture.ready = 0;
    leave(&fixture, peer);
    cr_assert_eq(fixture.withdrawn, 1, "the other was finished by that");
    cr_assert_eq(fixture.undone, 2);
    cr_assert_eq(fixture.dropped, 3);
    cr_assert_eq(fixture.ready, 0);
    stop(&fixture);
}

Test(wait, all_end_when_the_broker_drains)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_time now = after(1);
    struct epb_wait *wait;

    start(&fixture, 0);
    peer = join(&fixture);
    wait = wait_for(&fixture, peer, 1, EPB_WAIT_FOREVER_MS);
    (void)wait_for(&fixture, peer, 2, 10);
    cr_assert_not(epb_wait_is_leaving(fixture.waits, wait));
    epb_waits_finish_all(fixture.waits, EPB_DRAINING, &now);
    cr_assert_eq(epb_waits_count(fixture.waits), 0);
    cr_assert_eq(wait->status, EPB_DRAINING);
    leave(&fixture, peer);
    stop(&fixture);
}

Test(wait, without_memory_nothing_changes)
{
    struct fixture fixture;
    struct epb_peer *peer;
    struct epb_wait *none;

    start(&fixture, 0);
    epb_mem_fail_after(1);
    cr_assert_null(epb_waits_new(fixture.arena, &fixture.quota, 0, on_ready, NULL));
    epb_mem_fail_after(1);
    cr_assert_null(join(&fixture));
    peer = join(&fixture);
    epb_mem_fail_after(1);
    cr_assert_eq(try_wait(&fixture, peer, 1, 10, &none), EPB_INTERNAL);
    fixture.quota.limit_bytes = 10;
    cr_assert_eq(try_wait(&fixture, peer, 1, 10, &none), EPB_MAX_MEMORY);
    fixture.quota.limit_bytes = 0;
    cr_assert_eq(epb_waits_count(fixture.waits), 0);
    (void)wait_for(&fixture, peer, 1, 10);
    leave(&fixture, peer);
    stop(&fixture);
}
