/* Waits for oneself: which are refused, and which are none. The model test has the rest.
 */
#include "lease_help.h"

static const struct terms fresh_lock = {.space = EPB_SPACE_LOCK, .flags = EPB_F_FRESH};
static const struct terms shared_again = {.space = EPB_SPACE_LOCK,
                                          .flags = EPB_F_SHARED | EPB_F_FRESH};

static struct office office;
static struct epb_peer *a;
static struct epb_peer *b;
static struct epb_peer *c;

static void
open_all(void)
{
    office_open(&office);
    a = enter(&office);
    b = enter(&office);
    c = enter(&office);
}

static void
close_all(void)
{
    leave(&office, a);
    leave(&office, b);
    leave(&office, c);
    office_close(&office);
}

TestSuite(deadlock, .init = open_all, .fini = close_all);

/* For ever, with these tokens. */
static struct terms
holding(struct terms terms, uint64_t first, uint64_t second)
{
    terms.wait_ms = EPB_WAIT_FOREVER_MS;
    terms.flow[0] = first;
    terms.flow[1] = second;
    return terms;
}

/* "key worker;" of each grant of the cycle that was refused last. */
static void
cycle_is(const char *expected)
{
    uint8_t packed[1000];
    char text[200] = "";
    size_t at = EPB_OBSTACLE_HEADER_BYTES;
    size_t size_bytes = epb_lease_cycle_pack(office.leases, &office.now, NULL);

    cr_assert_leq(size_bytes, sizeof(packed));
    (void)epb_lease_cycle_pack(office.leases, &office.now, packed);
    while (at < size_bytes) {
        unsigned key_bytes = epb_get_u16(packed + at + 39);
        unsigned worker_bytes = epb_get_u16(packed + at + 41);
        const char *key = (const char *)packed + at + EPB_LEASES_ENTRY_HEADER_BYTES;
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "%.*s %.*s;", (int)key_bytes, key,
                 (int)worker_bytes, key + key_bytes);
        at += EPB_LEASES_ENTRY_HEADER_BYTES + key_bytes + worker_bytes;
    }
    cr_assert_str_eq(text, expected);
}

Test(deadlock, two_pools_in_opposite_order)
{
    uint64_t first;
    uint64_t second;

    define_pool(&office, "acc", "1");
    define_pool(&office, "account", "1");
    first = gets(&office, a, "acc", "w1", at_once).token;
    second = gets(&office, b, "account", "w2", at_once).token;
    (void)waits(&office, a, "account", "w1", holding(at_once, first, 0));
    cr_assert_eq(ask_status(&office, b, "acc", "w2", holding(at_once, second, 0)),
                 EPB_DEADLOCK);
    cycle_is("account w2;acc w1;");
    gives_back(&office, b, second);
    (void)takes(&office, a);
}

Test(deadlock, a_thing_inside_itself)
{
    uint64_t token = gets(&office, a, "k", "w1", lock).token;
    uint64_t computation;

    cr_assert_eq(ask_status(&office, a, "k", "w2", holding(fresh_lock, token, 0)),
                 EPB_DEADLOCK);
    cycle_is("k w1;");
    computation = gets(&office, a, "k", "w1", compute).token;
    cr_assert_eq(ask_status(&office, a, "k", "w1", holding(compute, token, computation)),
                 EPB_DEADLOCK);
}

Test(deadlock, what_no_flow_names_is_no_edge)
{
    uint64_t first = gets(&office, a, "k", "w1", lock).token;

    (void)gets(&office, a, "l", "w1", lock);
    (void)waits(&office, a, "k", "w1", fresh_lock);
    (void)waits(&office, a, "l", "w1", holding(fresh_lock, first, 0));
    (void)waits(&office, a, "k", "w1", holding(fresh_lock, first + 100, 1));
}

Test(deadlock, one_holder_of_a_pool_that_runs_is_enough)
{
    uint64_t stuck;
    uint64_t running;

    define_pool(&office, "acc", "1 2");
    stuck = gets(&office, a, "acc", "w1", at_once).token;
    running = gets(&office, b, "acc", "w2", at_once).token;
    (void)gets(&office, c, "l", "w3", lock);
    (void)waits(&office, a, "acc", "w1", holding(fresh, stuck, 0));
    /* It stops running, but not for ever: c will let go. */
    (void)waits(&office, b, "l", "w2", holding(lock, running, 0));
    /* Now it would. */
    cr_assert_eq(ask_status(&office, b, "acc", "w2", holding(fresh, running, 0)),
                 EPB_DEADLOCK);
    cycle_is("acc w2;");
}

Test(deadlock, who_waits_before_one_counts)
{
    uint64_t token = gets(&office, a, "k", "w1", shared).token;

    (void)waits(&office, b, "k", "w2", lock);
    cr_assert_eq(ask_status(&office, a, "k", "w1", holding(shared_again, token, 0)),
                 EPB_DEADLOCK);
    cycle_is("k w1;");
}

Test(deadlock, a_cycle_of_three)
{
    uint64_t tokens[3] = {gets(&office, a, "k1", "w1", lock).token,
                          gets(&office, b, "k2", "w2", lock).token,
                          gets(&office, c, "k3", "w3", lock).token};

    (void)waits(&office, a, "k2", "w1", holding(lock, tokens[0], 0));
    (void)waits(&office, b, "k3", "w2", holding(lock, tokens[1], 0));
    cr_assert_eq(ask_status(&office, c, "k1", "w3", holding(lock, tokens[2], 0)),
                 EPB_DEADLOCK);
    cycle_is("k3 w3;k1 w1;k2 w2;");
}

Test(deadlock, what_is_over_is_no_edge)
{
    uint64_t first = gets(&office, a, "k", "w1", lock).token;
    uint64_t second = gets(&office, b, "l", "w2", lock).token;
    struct terms short_wait = holding(lock, first, 0);

    short_wait.wait_ms = 10;
    (void)waits(&office, a, "l", "w1", short_wait);
    pass(&office, 10);
    (void)waits(&office, b, "k", "w2", holding(lock, second, 0));
    gives_back(&office, a, first);
    (void)takes(&office, b);
    /* The lock has ended; the work that it started goes on. */
    (void)waits(&office, a, "l", "w1", holding(lock, first, 0));
}

Test(deadlock, who_asks_again_holds_what_it_held)
{
    uint64_t held = gets(&office, a, "k", "w1", lock).token;
    uint64_t computation = gets(&office, b, "c", "w2", compute).token;
    struct terms short_turn = holding(compute, held, 0);
    struct epb_wait *wait;

    short_turn.ttl_ms = 10;
    (void)waits(&office, a, "c", "w1", short_turn);
    /* Its turn comes, and is over before it hears of it. */
    gives_back(&office, b, computation);
    pass(&office, 10);
    computation = gets(&office, b, "c", "w2", compute).token;
    (void)waits(&office, b, "k", "w2", holding(lock, computation, 0));
    wait = epb_wait_pop(a);
    cr_assert_not(epb_lease_ask_again(office.leases, wait, &office.now));
    hears(&office, a, EPB_DEADLOCK);
    cycle_is("k w1;c w2;");
    gives_back(&office, a, held);
    (void)takes(&office, b);
}

Test(deadlock, a_pool_that_shrinks_refuses_who_waits)
{
    uint64_t token;
    uint64_t count;

    define_pool(&office, "acc", "1 2");
    token = gets(&office, a, "acc", "w1", at_once).token;
    (void)gets(&office, b, "acc", "w2", at_once);
    (void)waits(&office, a, "acc", "w1", holding(fresh, token, 0));
    (void)waits(&office, c, "acc", "w3", at_once);
    cr_assert_eq(release(&office, b, "w2", "acc", EPB_F_DISCARD, &count), EPB_OK);
    hears(&office, a, EPB_DEADLOCK);
    cr_assert_not(has_finished(c));
    gives_back(&office, a, token);
    (void)takes(&office, c);
}

Test(deadlock, the_tokens_are_checked)
{
    uint8_t tokens[(EPB_FLOW_MAX + 1) * 8] = {0};
    struct epb_request request = {
        .id = 1, .key = bytes_of("k"), .worker = bytes_of("w"), .value = {tokens, 7}};
    const struct epb_lease_ask terms = {.space = EPB_SPACE_LOCK, .request = &request};
    struct epb_grant *grant;

    cr_assert_eq(epb_lease_ask(office.leases, a, &terms, &office.now, &grant),
                 EPB_INVALID_VALUE);
    request.value.size_bytes = sizeof(tokens);
    cr_assert_eq(epb_lease_ask(office.leases, a, &terms, &office.now, &grant),
                 EPB_TOO_LARGE);
    request.value.size_bytes -= 8;
    cr_assert_eq(epb_lease_ask(office.leases, a, &terms, &office.now, &grant), EPB_OK);
}
