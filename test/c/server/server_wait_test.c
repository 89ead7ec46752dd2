/* A whole broker whose peers hold things and wait for each other: who comes next, however
 * the one before goes. */
#include "io_help.h"

#define HOUR_MS (UINT64_C(60) * 60 * 1000)

static struct broker broker;

static void
begin(void)
{
    broker_init(&broker);
    broker_start(&broker);
}

static void
end(void)
{
    broker_stop(&broker);
}

/* A lock of its own for every worker; it waits as long as it takes. */
static struct epb_request
lock_of(uint32_t id, const char *worker, uint64_t ttl_ms)
{
    struct epb_request lock = request_of(EPB_ACTION_LOCK, id, "lock");

    lock.worker = bytes_of(worker);
    lock.flags = EPB_F_TTL | EPB_F_WAIT;
    lock.ttl_ms = ttl_ms;
    lock.wait_ms = EPB_NUMBER_MAX;
    return lock;
}

static void
expect_answer(int fd, uint32_t id, enum epb_status status)
{
    struct answer answer = {0};

    cr_assert(peer_answer(fd, &answer), "the broker closed");
    cr_assert_eq(answer.id, id);
    cr_assert_eq(answer.status, status, "%s", epb_status_name(answer.status));
}

/* So brief that it may be over before the answer is written, which then says so. */
static void
expect_brief_lock(int fd)
{
    struct answer answer = {0};

    cr_assert(peer_answer(fd, &answer), "the broker closed");
    cr_assert_eq(answer.id, 1);
    cr_assert(answer.status == EPB_OK || answer.status == EPB_LEASE_LOST, "%s",
              epb_status_name(answer.status));
}

/* Holds the lock on a connection of its own. */
static int
open_holder(const char *worker, uint64_t ttl_ms)
{
    int fd = peer_open(&broker);
    struct epb_request lock = lock_of(1, worker, ttl_ms);

    cr_assert_eq(peer_ask(fd, &lock).status, EPB_OK);
    return fd;
}

/* Waits for it; the ping shows that the broker has seen that, and that waiting blocks
 * nothing. */
static int
open_waiter(const char *worker)
{
    int fd = peer_open(&broker);
    struct epb_request lock = lock_of(1, worker, HOUR_MS);

    peer_request(fd, &lock);
    peer_ping(fd);
    return fd;
}

static void
release(int fd, const char *worker)
{
    struct epb_request request = request_of(EPB_ACTION_RELEASE, 2, NULL);

    request.worker = bytes_of(worker);
    cr_assert_eq(peer_ask(fd, &request).count, 1);
}

Test(server_wait, what_one_releases_another_gets, .init = begin, .fini = end)
{
    int holder = open_holder("a", HOUR_MS);
    int waiter = open_waiter("b");

    release(holder, "a");
    expect_answer(waiter, 1, EPB_OK);
    close(holder);
    close(waiter);
}

Test(server_wait, who_dies_holds_nothing_and_waits_for_nothing, .init = begin,
     .fini = end)
{
    int holder = open_holder("a", HOUR_MS);
    int first = open_waiter("b");
    int second = open_waiter("c");
    int third = open_waiter("d");

    close(first);
    close(holder);
    expect_answer(second, 1, EPB_OK);
    close(second);
    expect_answer(third, 1, EPB_OK);
    close(third);
}

Test(server_wait, the_end_of_a_ttl_wakes_the_next_and_tells_the_loser, .init = begin,
     .fini = end)
{
    int holder = open_holder("a", 40);
    int waiter = open_waiter("b");

    expect_answer(waiter, 1, EPB_OK);
    expect_answer(holder, 0, EPB_LEASE_LOST);
    close(holder);
    close(waiter);
}

Test(server_wait, a_wait_ends_by_itself, .init = begin, .fini = end)
{
    int holder = open_holder("a", HOUR_MS);
    int waiter = peer_open(&broker);
    struct epb_request lock = lock_of(9, "b", HOUR_MS);

    lock.wait_ms = 30;
    peer_request(waiter, &lock);
    expect_answer(waiter, 9, EPB_WAIT_TIMEOUT);
    close(holder);
    close(waiter);
}

/* Each hands on to the next as fast as it can, with expiries in between. */
Test(server_wait, a_queue_of_hundreds_is_served_in_order, .init = begin, .fini = end)
{
    enum {
        COUNT = 400
    };
    int fds[COUNT];
    char worker[16];
    int holder = open_holder("first", HOUR_MS);

    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(worker, sizeof(worker), "%u", i);
        fds[i] = peer_open(&broker);
        struct epb_request lock = lock_of(1, worker, i % 10 == 9 ? 3 : HOUR_MS);
        peer_request(fds[i], &lock);
        peer_ping(fds[i]);
    }
    close(holder);
    for (unsigned i = 0; i < COUNT; i++) {
        struct pollfd next = {.fd = i + 1 < COUNT ? fds[i + 1] : -1, .events = POLLIN};
        if (i % 10 == 9) {
            expect_brief_lock(fds[i]);
            continue;
        }
        expect_answer(fds[i], 1, EPB_OK);
        cr_assert_eq(poll(&next, 1, 0), 0, "%u has it, too", i + 1);
        (void)snprintf(worker, sizeof(worker), "%u", i);
        if (i % 2 == 0) {
            release(fds[i], worker);
        } else {
            close(fds[i]);
            fds[i] = -1;
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

Test(server_wait, a_crowd_that_dies_waiting_leaves_nothing, .init = begin, .fini = end)
{
    enum {
        COUNT = 200,
        WAITS = 20
    };
    int fds[COUNT];
    int holder = open_holder("a", HOUR_MS);

    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = peer_open(&broker);
        for (uint32_t id = 1; id <= WAITS; id++) {
            struct epb_request lock = lock_of(id, "b", HOUR_MS);
            lock.flags |= EPB_F_FRESH;
            peer_request(fds[i], &lock);
        }
        peer_ping(fds[i]);
    }
    peer_await_stat(holder, "waiting", "4000");
    for (unsigned i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    peer_await_stat(holder, "waiting", "0");
    peer_await_stat(holder, "connections", "1");
    release(holder, "a");
    close(holder);
}

Test(server_wait, draining_answers_those_who_wait)
{
    begin();
    int holder = open_holder("a", HOUR_MS);
    int waiter = open_waiter("b");
    epb_server_drain(broker.server, 60000);
    expect_answer(waiter, 1, EPB_DRAINING);
    broker_await_event(&broker, EPB_SERVER_STOPPED, 1);
    peer_expect_end(waiter);
    close(holder);
    close(waiter);
    end();
}

Test(server_wait, is_not_idle_while_something_is_held)
{
    broker_init(&broker);
    broker.options.idle_timeout_ms = 30;
    broker.options.heartbeat_ms = 20;
    broker_start(&broker);
    int holder = open_holder("a", HOUR_MS);
    broker_await_event(&broker, EPB_SERVER_HEARTBEAT, 8);
    cr_assert_eq(broker.counts[EPB_SERVER_IDLE], 0);
    release(holder, "a");
    broker_await_event(&broker, EPB_SERVER_IDLE, 1);
    close(holder);
    end();
}

/* Peers of lines that have said all they will */

/* A line that waits for the lock; the peer will send no more, as `nc` does. */
static int
open_half(const char *worker)
{
    char line[128];
    int fd = peer_connect(&broker);

    int size = snprintf(line, sizeof(line),
                        "{\"action\":\"lock\",\"key\":\"lock\",\"workerId\":\"%s\","
                        "\"waitMs\":3600000}\n",
                        worker);

    peer_send(fd, line, (size_t)size);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    return fd;
}

Test(server_wait, a_half_closed_line_gets_its_deferred_reply, .init = begin, .fini = end)
{
    char reply[12] = {0};
    int holder = open_holder("a", HOUR_MS);
    int half = open_half("b");

    peer_await_stat(holder, "waiting", "1");
    release(holder, "a");
    cr_assert(peer_receive(half, reply, 11));
    cr_assert_str_eq(reply, "{\"ok\":true,");
    while (peer_receive(half, reply, 1)) {
    }
    close(half);
    close(holder);
}

Test(server_wait, what_a_dead_line_waited_for_goes_to_the_next, .init = begin,
     .fini = end)
{
    int holder = open_holder("a", HOUR_MS);
    int half = open_half("b");

    peer_await_stat(holder, "waiting", "1");
    int waiter = open_waiter("c");
    /* The broker has come to the end of its input already, and can't be told. */
    close(half);
    release(holder, "a");
    expect_answer(waiter, 1, EPB_OK);
    close(waiter);
    close(holder);
}

Test(server_wait, a_line_whose_peer_closes_altogether_waits_no_more, .init = begin,
     .fini = end)
{
    static const char set[] =
        "{\"action\":\"set\",\"key\":\"key\",\"value\":1,\"ttl\":60000}\n";
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    int holder = open_holder("a", HOUR_MS);

    /* What has come whole is done all the same. */
    int gone = peer_connect(&broker);

    peer_send(gone, set, sizeof(set) - 1);
    close(gone);
    peer_await_stat(holder, "connections", "1");
    cr_assert_eq(peer_ask(holder, &get).status, EPB_OK);
    gone = peer_connect(&broker);
    static const char wait[] =
        "{\"action\":\"waitFor\",\"key\":\"no\",\"waitMs\":3600000}\n";
    peer_send(gone, wait, sizeof(wait) - 1);
    peer_await_stat(holder, "waiting", "1");
    close(gone);
    peer_await_stat(holder, "waiting", "0");
    peer_await_stat(holder, "connections", "1");
    close(holder);
}
