#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "core/watch.h"
#include "helpers.h"

static struct epb_arena *arena;
static struct epb_quota quota;
static struct epb_waits *waits;
static struct epb_watches *watches;
static struct epb_peer *peer;
static struct epb_peer *other;
static struct epb_time now;
static unsigned ready; /* how often a peer was said to have something */

static void
on_ready(void *context, void *user)
{
    cr_assert_eq(context, &now);
    cr_assert_eq(user, &ready);
    ready++;
}

static void
open_watches(uint64_t max_waits)
{
    arena = epb_arena_new(false);
    quota = (struct epb_quota){0, 0};
    waits = epb_waits_new(arena, &quota, max_waits, on_ready, &now);
    watches = epb_watches_new(arena, &quota, waits);
    cr_assert_not_null(watches);
    peer = epb_peer_new(waits, &ready, false);
    other = epb_peer_new(waits, &ready, true);
}

static void
setup(void)
{
    now = time_at(5000);
    ready = 0;
    open_watches(0);
}

static void
leave(struct epb_peer *leaving)
{
    struct epb_budget budget = {SIZE_MAX};

    cr_assert(epb_watch_leave(watches, leaving, &budget));
    (void)epb_peer_withdraw(waits, leaving, &now, &(struct epb_budget){SIZE_MAX});
    epb_peer_free(waits, leaving);
}

static void
teardown(void)
{
    struct epb_mem_stats stats;

    leave(peer);
    leave(other);
    cr_assert_eq(epb_watches_count(watches), 0);
    cr_assert_eq(epb_waits_count(waits), 0);
    cr_assert_eq(quota.used_bytes, 0);
    epb_watches_free(watches);
    epb_waits_free(waits);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    epb_arena_free(arena);
    epb_mem_shared_stats(&stats);
    cr_assert_eq(stats.used_bytes, 0);
}

TestSuite(watch, .init = setup, .fini = teardown);

static enum epb_status
watch(struct epb_peer *whose, uint32_t id, const char *prefix)
{
    const struct epb_request request = {
        .action = EPB_ACTION_WATCH, .id = id, .key = bytes_of(prefix)};

    return epb_watch_add(watches, whose, &request);
}

static void
change(enum epb_event_kind kind, const char *key, uint64_t version)
{
    epb_watch_change(watches, kind, bytes_of(key), version);
}

/* The next events as text: "7: set k 1, del k 1"; "" when there are none. */
static const char *
next_of(struct epb_peer *whose, size_t max_bytes)
{
    static const char *const names[] = {"", "set", "del", "expire", "evict", "overflow"};
    static char text[200000];
    struct epb_bytes packed;
    uint32_t id;
    size_t length;

    text[0] = '\0';
    if (!epb_watch_next(watches, whose, max_bytes, &id, &packed)) {
        return text;
    }
    length = (size_t)snprintf(text, sizeof(text), "%u:", id);
    for (size_t at = 0; at < packed.size_bytes;) {
        const uint8_t *event = packed.data + at;
        unsigned key_bytes = epb_get_u16(event + 9);

        length += (size_t)snprintf(
            text + length, sizeof(text) - length, "%s %s %.*s %llu", at == 0 ? "" : ",",
            names[event[0]], (int)key_bytes, (const char *)event + EPB_EVENT_HEADER_BYTES,
            (unsigned long long)epb_get_u64(event + 1));
        at += EPB_EVENT_HEADER_BYTES + key_bytes;
    }
    return text;
}

static const char *
next(void)
{
    return next_of(peer, 1000);
}

Test(watch, tells_of_keys_with_its_prefix_in_order)
{
    cr_assert_eq(watch(peer, 1, "user:"), EPB_OK);
    cr_assert_eq(watch(peer, 2, ""), EPB_OK);
    cr_assert_eq(watch(other, 1, "user:7"), EPB_OK);
    cr_assert_eq(epb_watches_count(watches), 3);
    cr_assert_str_eq(next(), "");
    change(EPB_EVENT_SET, "user:7", 1);
    change(EPB_EVENT_SET, "user", 2);
    change(EPB_EVENT_DEL, "user:8", 1);
    change(EPB_EVENT_EXPIRE, "user:7", 1);
    change(EPB_EVENT_EVICT, "x", 5);
    cr_assert_str_eq(next(), "1: set user:7 1, del user:8 1, expire user:7 1");
    cr_assert_str_eq(
        next(), "2: set user:7 1, set user 2, del user:8 1, expire user:7 1, evict x 5");
    cr_assert_str_eq(next(), "");
    cr_assert_str_eq(next_of(other, 1000), "1: set user:7 1, expire user:7 1");
    cr_assert_str_eq(next_of(other, 1000), "");
}

Test(watch, the_owner_is_told_once_until_all_is_taken)
{
    cr_assert_eq(watch(peer, 1, ""), EPB_OK);
    cr_assert_eq(watch(peer, 2, ""), EPB_OK);
    change(EPB_EVENT_SET, "a", 1);
    change(EPB_EVENT_SET, "b", 2);
    cr_assert_eq(ready, 1);
    (void)next();
    (void)next();
    peer->told = false;
    change(EPB_EVENT_SET, "c", 3);
    cr_assert_eq(ready, 2);
}

Test(watch, watchers_of_a_party_take_turns)
{
    /* Room for two of these events. */
    const size_t two = 2 * (EPB_EVENT_HEADER_BYTES + 1);

    cr_assert_eq(watch(peer, 1, ""), EPB_OK);
    cr_assert_eq(watch(peer, 2, "a"), EPB_OK);
    for (unsigned i = 1; i <= 3; i++) {
        change(EPB_EVENT_SET, "a", i);
    }
    cr_assert_str_eq(next_of(peer, two + 1), "1: set a 1, set a 2");
    cr_assert_str_eq(next_of(peer, two), "2: set a 1, set a 2");
    cr_assert_str_eq(next_of(peer, two - 1), "1: set a 3");
    change(EPB_EVENT_SET, "a", 4);
    cr_assert_str_eq(next_of(peer, 1), "2: set a 3", "one at least");
    cr_assert_str_eq(next_of(peer, 1), "1: set a 4");
    cr_assert_str_eq(next_of(peer, 1), "2: set a 4");
    cr_assert_str_eq(next_of(peer, 1), "");
}

Test(watch, ids_are_its_own_party_s)
{
    const struct epb_request wait = {.action = EPB_ACTION_WAIT_FOR,
                                     .flags = EPB_F_WAIT,
                                     .id = 3,
                                     .wait_ms = 100,
                                     .key = bytes_of("k")};

    cr_assert_eq(watch(peer, 0, ""), EPB_CONFLICT);
    cr_assert_eq(watch(peer, 1, "a"), EPB_OK);
    cr_assert_eq(watch(peer, 1, "b"), EPB_CONFLICT);
    cr_assert_eq(watch(other, 1, "b"), EPB_OK);
    cr_assert_eq(epb_watch_wait_for(watches, peer, &wait, &now), EPB_OK);
    cr_assert_eq(watch(peer, 3, "b"), EPB_CONFLICT);
    cr_assert(epb_watch_has(watches, peer, 1));
    cr_assert_not(epb_watch_has(watches, peer, 3));
    cr_assert_not(epb_watch_cancel(watches, peer, 3));
    change(EPB_EVENT_SET, "a", 1);
    cr_assert(epb_watch_cancel(watches, peer, 1));
    cr_assert_not(epb_watch_cancel(watches, peer, 1));
    cr_assert_str_eq(next(), "", "its events went with it");
    cr_assert_eq(watch(peer, 1, "b"), EPB_OK);
}

Test(watch, a_slow_watcher_is_told_that_it_missed_events)
{
    cr_assert_eq(watch(peer, 1, ""), EPB_OK);
    cr_assert_eq(watch(other, 1, ""), EPB_OK);
    uint64_t before = quota.used_bytes;

    for (unsigned i = 1; i <= EPB_WATCH_EVENTS; i++) {
        change(EPB_EVENT_SET, "a", i);
    }
    while (next_of(other, 100000)[0] != '\0') {
    }
    change(EPB_EVENT_SET, "b", 5000);
    change(EPB_EVENT_SET, "c", 5001);
    cr_assert_leq(quota.used_bytes - before, 2 * EPB_WATCH_BYTES);
    cr_assert_str_eq(next_of(peer, 100000), "1: overflow  0");
    cr_assert_str_eq(next_of(peer, 100000), "", "nothing more before that was taken");
    change(EPB_EVENT_SET, "d", 5002);
    cr_assert_str_eq(next_of(peer, 100000), "1: set d 5002");
    cr_assert_str_eq(next_of(peer, 100000), "");
    cr_assert_str_eq(next_of(other, 100000), "1: set b 5000, set c 5001, set d 5002",
                     "another one missed nothing");
}

Test(watch, a_queue_is_bounded_in_bytes_too)
{
    static char key[EPB_KEY_MAX_BYTES + 1];
    const unsigned fit = EPB_WATCH_BYTES / (EPB_KEY_MAX_BYTES + EPB_EVENT_HEADER_BYTES);
    unsigned overflows = 0;
    unsigned events = 0;
    const char *text;

    cr_assert_eq(watch(peer, 1, "k"), EPB_OK);
    memset(key, 'k', EPB_KEY_MAX_BYTES);
    for (unsigned i = 0; i < 10 * fit; i++) {
        change(EPB_EVENT_SET, key, i);
        cr_assert_leq(quota.used_bytes, EPB_WATCH_BYTES + 2048);
    }
    while ((text = next_of(peer, 1))[0] != '\0') {
        overflows += strstr(text, "overflow") != NULL;
        events += strstr(text, "set") != NULL;
        cr_assert(events == 0 || overflows == 1, "the overflow comes first");
    }
    cr_assert_eq(overflows, 1);
    cr_assert_eq(events, 0);
    change(EPB_EVENT_SET, key, 1);
    cr_assert_neq(next_of(peer, 1)[0], '\0', "and it goes on");
}

/* Silent ones of a length among others: each of them is told, and none twice. */
Test(watch, who_falls_silent_takes_nothing_from_others)
{
    static const char *const prefixes[] = {"", "a", "ab", "abc"};

    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(watch(peer, 1 + i, prefixes[i]), EPB_OK);
        cr_assert_eq(watch(other, 1 + i, prefixes[i]), EPB_OK);
    }
    for (unsigned i = 1; i <= EPB_WATCH_EVENTS + 3; i++) {
        unsigned told = 0;

        change(EPB_EVENT_SET, "abcd", i);
        while (next_of(other, 100000)[0] != '\0') {
            told++;
        }
        cr_assert_eq(told, 4, "change %u", i);
    }
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_not_null(strstr(next(), "overflow"));
    }
    cr_assert_str_eq(next(), "");
    change(EPB_EVENT_DEL, "ab", 9000);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not_null(strstr(next(), "del ab 9000"));
    }
    cr_assert_str_eq(next(), "");
}

Test(watch, a_party_has_so_many_at_most)
{
    for (uint32_t i = 1; i <= EPB_WATCHES_MAX; i++) {
        cr_assert_eq(watch(peer, i, "k"), EPB_OK);
    }
    cr_assert_eq(watch(peer, EPB_WATCHES_MAX + 1, "k"), EPB_MAX_WAITERS);
    cr_assert_eq(watch(other, 1, "k"), EPB_OK, "another peer has its own");
    cr_assert(epb_watch_cancel(watches, peer, 1));
    cr_assert_eq(watch(peer, EPB_WATCHES_MAX + 1, "k"), EPB_OK);
}

Test(watch, without_memory_an_event_becomes_an_overflow)
{
    cr_assert_eq(watch(peer, 1, ""), EPB_OK);
    epb_mem_fail_after(1);
    change(EPB_EVENT_SET, "a", 1);
    cr_assert_not(epb_mem_fault_due());
    cr_assert_str_eq(next(), "1: overflow  0");
    change(EPB_EVENT_SET, "b", 2);
    cr_assert_str_eq(next(), "1: set b 2");
    cr_assert_eq(watch(other, 1, ""), EPB_OK);
    quota.limit_bytes = quota.used_bytes;
    change(EPB_EVENT_SET, "c", 3);
    cr_assert_str_eq(next_of(other, 1000), "1: overflow  0", "maxMemory");
}

Test(watch, events_are_wiped_once_they_are_taken)
{
    static const char secret[] = "a-key-that-tells-a-lot";

    cr_assert_eq(watch(peer, 1, ""), EPB_OK);
    change(EPB_EVENT_SET, secret, 1);
    cr_assert_str_eq(next(), "1: set a-key-that-tells-a-lot 1");
    epb_watch_forget(watches);
    cr_assert_eq(times_in_memory(NULL, secret, sizeof(secret) - 1), 0);
}

Test(watch, watchers_count_as_waiting)
{
    teardown();
    open_watches(2);
    cr_assert_eq(watch(peer, 1, "a"), EPB_OK);
    cr_assert_eq(watch(peer, 2, "b"), EPB_OK);
    cr_assert_eq(watch(other, 1, "c"), EPB_MAX_WAITERS);
    cr_assert(epb_watch_cancel(watches, peer, 1));
    cr_assert_eq(watch(other, 1, "c"), EPB_OK);
}

Test(watch, without_memory_nothing_changes)
{
    const struct epb_request wait = {.action = EPB_ACTION_WAIT_FOR,
                                     .flags = EPB_F_WAIT,
                                     .id = 3,
                                     .wait_ms = 100,
                                     .key = bytes_of("k")};
    uint64_t before = quota.used_bytes;
    uint64_t countdown = 1;

    for (;; countdown++) {
        epb_mem_fail_after(countdown);
        if (watch(peer, 1, "prefix") == EPB_OK) {
            break;
        }
        cr_assert_eq(quota.used_bytes, before);
        cr_assert_eq(epb_watches_count(watches), 0);
        cr_assert_eq(epb_waits_count(waits), 0);
    }
    cr_assert_geq(countdown, 4);
    before = quota.used_bytes;
    for (countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        if (epb_watch_wait_for(watches, peer, &wait, &now) == EPB_OK) {
            break;
        }
        cr_assert_eq(quota.used_bytes, before);
        cr_assert_eq(epb_waits_count(waits), 1);
    }
    cr_assert_geq(countdown, 3);
    epb_mem_fail_after(0);
    quota.limit_bytes = quota.used_bytes + 10;
    cr_assert_eq(watch(peer, 2, "new"), EPB_MAX_MEMORY);
    cr_assert_eq(watch(peer, 2, "prefix"), EPB_MAX_MEMORY);
    cr_assert_eq(epb_watch_wait_for(watches, other, &wait, &now), EPB_MAX_MEMORY);
    cr_assert_eq(quota.used_bytes, quota.limit_bytes - 10);
}

Test(watch, who_waits_for_a_key_is_woken_and_may_wait_again)
{
    const struct epb_request wait = {.action = EPB_ACTION_WAIT_FOR,
                                     .flags = EPB_F_WAIT,
                                     .id = 3,
                                     .wait_ms = 100,
                                     .key = bytes_of("k")};
    struct epb_wait *woken;

    cr_assert_eq(epb_watch_wait_for(watches, peer, &wait, &now), EPB_OK);
    cr_assert_eq(epb_watch_wait_for(watches, other, &wait, &now), EPB_OK);
    change(EPB_EVENT_DEL, "k", 1);
    change(EPB_EVENT_SET, "kk", 2);
    cr_assert_eq(ready, 0);
    change(EPB_EVENT_SET, "k", 3);
    cr_assert_eq(ready, 2);
    woken = epb_wait_pop(peer);
    cr_assert_eq(woken->status, EPB_OK);
    cr_assert(bytes_equal(epb_watch_wait_key(woken), bytes_of("k")));
    /* Even when memory is out. */
    epb_mem_fail_after(1);
    epb_watch_wait_again(watches, woken);
    cr_assert(epb_mem_fault_due());
    (void)epb_peer_withdraw(waits, other, &now, &(struct epb_budget){SIZE_MAX});
    peer->told = false;
    change(EPB_EVENT_SET, "k", 4);
    cr_assert_eq(ready, 3);
    woken = epb_wait_pop(peer);
    epb_wait_free(waits, woken);
    cr_assert_eq(epb_waits_count(waits), 0);
    cr_assert_eq(quota.used_bytes, 0);
}

Test(watch, prefixes_of_all_lengths_come_and_go)
{
    struct random random = {random_seed("watch")};
    static char prefixes[40][EPB_KEY_MAX_BYTES + 1];
    bool live[40] = {false};
    char key[64];

    for (unsigned i = 0; i < 40; i++) {
        memset(prefixes[i], 'a', i % 20);
        prefixes[i][i % 20] = (char)(i < 20 ? 'a' : 'b');
    }
    for (unsigned step = 0; step < 5000; step++) {
        unsigned i = random_below(&random, 40);
        unsigned told = 0;

        if (random_below(&random, 2) == 0) {
            cr_assert_eq(watch(peer, i + 1, prefixes[i]) == EPB_OK, !live[i]);
            live[i] = true;
        } else {
            cr_assert_eq(epb_watch_cancel(watches, peer, i + 1), live[i]);
            live[i] = false;
        }
        memset(key, 'a', sizeof(key));
        key[random_below(&random, 25)] = 'b';
        key[25] = '\0';
        change(EPB_EVENT_SET, key, step);
        for (unsigned k = 0; k < 40; k++) {
            told += live[k] && strncmp(key, prefixes[k], strlen(prefixes[k])) == 0;
        }
        while (next()[0] != '\0') {
            told--;
        }
        cr_assert_eq(told, 0, "step %u", step);
    }
}
