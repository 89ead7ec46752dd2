/* What leases take, give back, and do without. */
#include "base/mem_testing.h"
#include "lease_help.h"

Test(lease_memory, ten_thousand_that_wait_and_die_leave_nothing)
{
    static struct epb_peer *peers[10000];
    struct office office;
    struct epb_peer *a;
    struct epb_lease_stats stats;

    office_open(&office);
    a = enter(&office);
    (void)gets(&office, a, "door", "w", lock);
    uint64_t used_bytes = office.quota.used_bytes;

    for (unsigned i = 0; i < 10000; i++) {
        char worker[16];

        snprintf(worker, sizeof(worker), "worker-%u", i);
        peers[i] = enter(&office);
        (void)waits(&office, peers[i], "door", worker, lock);
    }
    epb_leases_stats(office.leases, &stats);
    cr_assert_gt(stats.table_bytes, 200000);
    for (unsigned i = 0; i < 10000; i++) {
        leave(&office, peers[i]);
    }
    epb_leases_stats(office.leases, &stats);
    cr_assert_leq(stats.table_bytes, 40000);
    cr_assert_eq(office.quota.used_bytes, used_bytes);
    cr_assert_eq(epb_waits_count(office.waits), 0);
    leave(&office, a);
    office_close(&office);
}

Test(lease_memory, a_request_that_waits_needs_no_memory_to_be_granted)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    cr_assert_eq(limit(&office, "s", 65), EPB_OK);
    for (unsigned i = 0; i < 64; i++) {
        (void)gets(&office, a, "s", "w", fresh);
    }
    token = gets(&office, a, "s", "w", fresh).token;
    (void)waits(&office, a, "s", "w", fresh);
    office.quota.limit_bytes = 1;
    epb_mem_fail_after(1);
    gives_back(&office, a, token);
    epb_mem_fail_after(0);
    cr_assert(is_live(&office, takes(&office, a)));
    leave(&office, a);
    office_close(&office);
}

Test(lease_memory, nothing_secret_stays_in_memory)
{
    struct office office;
    struct epb_peer *a;
    uint64_t token;

    office_open(&office);
    a = enter(&office);
    define_pool(&office, "vault-key-name", "\"pass-word-1\"");
    token = gets(&office, a, "vault-key-name", "worker-name-1", at_once).token;
    cr_assert_eq(times_in_memory(office.arena, "pass-word-1", 11), 1);
    cr_assert_eq(epb_lease_discard(office.leases, bytes_of("vault-key-name"),
                                   bytes_of("\"pass-word-2\""), 0, &office.now),
                 EPB_NOT_FOUND);
    cr_assert_eq(times_in_memory(office.arena, "pass-word-2", 11), 0);
    gives_back(&office, a, token);
    cr_assert_eq(times_in_memory(office.arena, "worker-name-1", 13), 0);
    cr_assert_eq(
        epb_lease_undefine(office.leases, bytes_of("vault-key-name"), &office.now),
        EPB_OK);
    cr_assert_eq(times_in_memory(office.arena, "pass-word-1", 11), 0);
    cr_assert_eq(times_in_memory(office.arena, "vault-key-name", 14), 0);
    leave(&office, a);
    office_close(&office);
}

/* What a failed call must leave as it was. */
struct snapshot {
    struct listing listing;
    struct epb_lease_stats stats;
    uint64_t used_bytes;
    uint64_t waits;
    bool has_finished;
};

static struct snapshot
snapshot_of(const struct office *office, const struct epb_peer *peer)
{
    struct snapshot snapshot;

    memset(&snapshot, 0, sizeof(snapshot));
    snapshot.listing.left = 100;
    walk_leases(office->leases, bytes_of(""), &office->now, list, &snapshot.listing);
    epb_leases_stats(office->leases, &snapshot.stats);
    snapshot.stats.table_bytes = 0;
    snapshot.used_bytes = office->quota.used_bytes;
    snapshot.waits = epb_waits_count(office->waits);
    snapshot.has_finished = has_finished(peer);
    return snapshot;
}

static bool
snapshots_equal(const struct snapshot *left, const struct snapshot *right)
{
    return strcmp(left->listing.text, right->listing.text) == 0 &&
           memcmp(&left->stats, &right->stats, sizeof(left->stats)) == 0 &&
           left->used_bytes == right->used_bytes && left->waits == right->waits &&
           left->has_finished == right->has_finished;
}

typedef enum epb_status (*call_fn)(struct office *office, struct epb_peer *peer);

static enum epb_status
call_numbers(struct office *office, struct epb_peer *peer)
{
    return ask_status(office, peer, "new", "new", at_once);
}

static enum epb_status
call_pool_lease(struct office *office, struct epb_peer *peer)
{
    return ask_status(office, peer, "acc", "new", detached);
}

static enum epb_status
call_wait(struct office *office, struct epb_peer *peer)
{
    return ask_status(office, peer, "door", "new",
                      (struct terms){.space = EPB_SPACE_LOCK, .wait_ms = 10});
}

static enum epb_status
call_pool(struct office *office, struct epb_peer *peer)
{
    uint64_t size;

    (void)peer;
    return pool(office, "pool", "1 2 3", false, &size);
}

static enum epb_status
call_pool_add(struct office *office, struct epb_peer *peer)
{
    uint64_t size;

    (void)peer;
    return pool(office, "acc", "7 1 8", true, &size);
}

static enum epb_status
call_limit(struct office *office, struct epb_peer *peer)
{
    (void)peer;
    return limit(office, "sem", 1000);
}

static enum epb_status
call_discard(struct office *office, struct epb_peer *peer)
{
    (void)peer;
    return discard(office, "3");
}

static enum epb_status
call_fail(struct office *office, struct epb_peer *peer)
{
    /* The first that was granted. */
    return epb_lease_fail(office->leases, peer, UINT64_C(1700000000000) << 10, false,
                          bytes_of("reason"), &office->now);
}

/* A peer with a bit of everything; 1 of the pool is held and discarded. */
static struct epb_peer *
enter_with_much(struct office *office)
{
    struct epb_peer *peer = enter(office);

    (void)gets(office, peer, "login", "w", compute);
    (void)waits(office, peer, "login", "w2", compute);
    (void)gets(office, peer, "door", "w", lock);
    define_pool(office, "acc", "1 2 3");
    (void)gets(office, peer, "acc", "w", at_once);
    cr_assert_eq(discard(office, "1"), EPB_OK);
    return peer;
}

/* Lets each allocation of the call fail in turn, until it succeeds. */
static void
fail_each(call_fn call, unsigned least)
{
    enum epb_status status = EPB_INTERNAL;
    unsigned failed = 0;
    struct office office;
    struct epb_peer *peer;

    office_open(&office);
    peer = enter_with_much(&office);
    while (status == EPB_INTERNAL) {
        struct snapshot before = snapshot_of(&office, peer);
        struct snapshot after;

        epb_mem_fail_after(failed + 1);
        status = call(&office, peer);
        epb_mem_fail_after(0);
        after = snapshot_of(&office, peer);
        if (status == EPB_INTERNAL) {
            failed++;
            cr_assert(snapshots_equal(&before, &after));
        }
    }
    cr_assert_eq(status, EPB_OK);
    cr_assert_geq(failed, least);
    leave(&office, peer);
    office_close(&office);
}

Test(lease_memory, without_memory_nothing_changes)
{
    struct office office;
    unsigned failed = 0;

    fail_each(call_numbers, 6);
    fail_each(call_pool_lease, 4);
    fail_each(call_wait, 5);
    fail_each(call_pool, 4);
    fail_each(call_pool_add, 3);
    fail_each(call_limit, 2);
    fail_each(call_discard, 1);
    fail_each(call_fail, 1);
    office_open(&office);
    for (struct epb_leases *leases = NULL; leases == NULL; failed++) {
        epb_mem_fail_after(failed + 1);
        leases =
            epb_leases_new(office.arena, &office.quota, office.waits, false, &office.now);
        epb_mem_fail_after(0);
        epb_leases_free(leases);
    }
    cr_assert_geq(failed, 8);
    office_close(&office);
}

Test(lease_memory, beyond_max_memory_nothing_changes)
{
    static const call_fn calls[] = {call_numbers,  call_pool_lease, call_wait, call_pool,
                                    call_pool_add, call_limit,      call_fail};

    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        enum epb_status status = EPB_MAX_MEMORY;
        struct office office;
        struct epb_peer *peer;
        struct snapshot before;

        office_open(&office);
        peer = enter_with_much(&office);
        before = snapshot_of(&office, peer);
        for (uint64_t more = 0; status == EPB_MAX_MEMORY; more += 16) {
            struct snapshot after;

            office.quota.limit_bytes = before.used_bytes + more;
            status = calls[i](&office, peer);
            after = snapshot_of(&office, peer);
            cr_assert(status == EPB_OK || snapshots_equal(&before, &after));
        }
        cr_assert_eq(status, EPB_OK);
        leave(&office, peer);
        office_close(&office);
    }
}
