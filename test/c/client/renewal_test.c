/*
 * Renewal whatever the client's thread is busy with: at every number of exchanges while
 * the client goes over to pipes and back, with a request that is half sent, and with
 * replies that nobody reads. A lease that is renewed has more time left than it would
 * have had, by its age; another client sees that, so that nothing here depends on how
 * fast this machine is.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "client_help.h"
#include "core/command.h"

#define TTL_MS 3600000U
/* How much later it ends than it would have: some renewals. */
#define GAIN_MS 3U
/* Over to the pipes and back, twice; some more. */
#define SMALL_IN_ROW (EPB_PATH_SMALL_IN_ROW + 8)
#define LARGE_IN_ROW (EPB_PATH_LARGE_IN_ROW + 4)
#define ROUNDS 2

static struct epb_client *client;
static struct epb_client *watcher;
static struct ring ring;
static uint64_t last_end_ms; /* of the lease, after its grant */

static struct epb_client *
sharing_client(const char *secret)
{
    char path[256];
    int os_error = 0;

    (void)snprintf(path, sizeof(path), "%s/broker-client.sock", own_directory());
    struct epb_client *made = epb_client_new(path, bytes_of(secret), on_ready, &ring);
    cr_assert_not_null(made);
    cr_assert_eq(epb_client_share(made, 0), EPB_OK);
    cr_assert_eq(epb_client_connect(made, &os_error), EPB_OK);
    return made;
}

/* When the lease ends, from its grant on. */
static uint64_t
end_ms(void)
{
    struct epb_request leases = request_of(EPB_ACTION_LEASES, 7, "kept");
    struct epb_reply reply;

    cr_assert_eq(ask(watcher, &leases, &reply), EPB_OK);
    cr_assert_gt(reply.body.size_bytes, EPB_LEASES_ENTRY_HEADER_BYTES, "it was lost");
    return epb_get_u64(reply.body.data + 19) + epb_get_u64(reply.body.data + 27);
}

static void
expect_renewals(void)
{
    uint64_t until_ms = last_end_ms + GAIN_MS;

    while (last_end_ms < until_ms) {
        last_end_ms = end_ms();
    }
}

static void
take_lease(const char *secret, uint64_t interval_ms)
{
    struct epb_request lease = request_of(EPB_ACTION_LEASE, 1, "kept");
    struct epb_request renew = {.action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE};
    struct epb_reply reply;
    struct epb_buf frame;
    uint64_t id = 0;

    ring_init(&ring);
    client = sharing_client(secret);
    watcher = sharing_client(secret);
    lease.worker = bytes_of("w");
    lease.flags = EPB_F_TTL;
    lease.ttl_ms = TTL_MS;
    cr_assert_eq(ask(client, &lease, &reply), EPB_OK);
    cr_assert_eq(reply.status, EPB_OK);
    renew.fence = reply.fence;
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &renew), EPB_OK);
    struct epb_bytes kept = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(epb_client_start_renewal(client, kept, interval_ms, &id), EPB_OK);
    epb_buf_fini(&frame);
    last_end_ms = TTL_MS;
}

/* The clients of a test are as many as it takes. */
static void
begin_full(const char *secret)
{
    broker_init(&broker);
    broker.options.pipe_id = "client";
    broker.options.secret = bytes_of(secret);
    broker.options.engine.max_connections = 2;
    broker_start(&broker);
}

static void
leave(void)
{
    epb_client_free(client);
    epb_client_free(watcher);
}

/* Sends, and does not look at what comes of it. */
static void
begin_request(const struct epb_request *request, unsigned times)
{
    struct epb_buf frames;

    epb_buf_init(&frames, 8U << 20);
    for (unsigned i = 0; i < times; i++) {
        cr_assert_eq(epb_frame_encode_request(&frames, request), EPB_OK);
    }
    struct epb_exchange exchange = {
        .out = {epb_buf_data(&frames), epb_buf_size(&frames)}};
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    epb_buf_fini(&frames);
}

/* Takes the replies. */
static void
end_requests(unsigned times)
{
    size_t received = 0;

    while (times > 0) {
        cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
        for (size_t at = 0, size = 0; at < received; at += size) {
            struct epb_bytes rest = {room + at, received - at};
            cr_assert_eq(epb_frame_scan(rest, sizeof(room), &size), EPB_FRAME_COMPLETE);
            times--;
        }
        if (received == 0) {
            cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
        }
    }
}

static struct epb_request
set_of(size_t size_bytes)
{
    static uint8_t value[1U << 20];
    struct epb_request set = request_of(EPB_ACTION_SET, 5, "value");

    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = TTL_MS;
    set.value = (struct epb_bytes){value, size_bytes};
    return set;
}

/* At every number of exchanges, before each and in the middle of it. */
static void
check_ways(const char *secret)
{
    struct epb_request small = request_of(EPB_ACTION_PING, 2, NULL);
    struct epb_request large = set_of(2 * EPB_PATH_LARGE_BYTES);

    take_lease(secret, 1);
    for (unsigned i = 0; i < ROUNDS * (SMALL_IN_ROW + LARGE_IN_ROW); i++) {
        bool is_small = i % (SMALL_IN_ROW + LARGE_IN_ROW) < SMALL_IN_ROW;
        expect_renewals();
        begin_request(is_small ? &small : &large, 1);
        expect_renewals();
        end_requests(1);
    }
    leave();
}

/* The same with the rest of a request that its socket, or pipe, has not taken. */
static void
check_unsent(const char *secret, unsigned small_before)
{
    struct epb_request large = set_of(250000);

    take_lease(secret, 1);
    for (unsigned i = 0; i < small_before; i++) {
        expect_ping(client);
    }
    begin_request(&large, 20);
    cr_assert_gt(epb_client_unsent(client), 0);
    expect_renewals();
    cr_assert_gt(epb_client_unsent(client), 0);
    end_requests(20);
    leave();
}

/* And with more replies than the broker lets wait. */
static void
check_unread(const char *secret, unsigned small_before)
{
    struct epb_request set = set_of(200000);
    struct epb_request get = request_of(EPB_ACTION_GET, 3, "value");

    take_lease(secret, 1);
    begin_request(&set, 1);
    end_requests(1);
    for (unsigned i = 0; i < small_before; i++) {
        expect_ping(client);
    }
    begin_request(&get, 40);
    expect_renewals();
    end_requests(40);
    leave();
}

/* Another listener takes the pipe's path: the connection that renews reaches it, the
 * client's own connection stays at the broker. */
static int
replace_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/broker-client.sock",
                   own_directory());
    cr_assert_geq(listener, 0);
    cr_assert_eq(unlink(address.sun_path), 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 8), 0);
    return listener;
}

static void
start_renewal(void)
{
    struct epb_request renew = {
        .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = 1};
    struct epb_buf frame;
    uint64_t id = 0;

    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &renew), EPB_OK);
    struct epb_bytes kept = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(epb_client_start_renewal(client, kept, 1, &id), EPB_OK);
    epb_buf_fini(&frame);
}

/* Without a connection for its renewals: that of a client is made when one is due. */
static void
begin_unrenewed(void)
{
    begin_plain();
    ring_init(&ring);
    client = sharing_client("");
    expect_ping(client);
    cr_assert_eq(epb_client_renewal_error(client), 0);
}

static void
await_error(int error)
{
    while (epb_client_renewal_error(client) != error) {
        expect_ping(client);
    }
}

static void
end_unrenewed(void)
{
    char path[256];

    epb_client_free(client);
    /* The broker leaves the pipe of another listener. */
    (void)snprintf(path, sizeof(path), "%s/broker-client.sock", own_directory());
    (void)unlink(path);
    end();
}

Test(renewal, has_no_error_as_long_as_the_broker_replies, .init = begin_plain,
     .fini = end)
{
    take_lease("", 1);
    expect_renewals();
    await_error(0);
    leave();
}

Test(renewal, tells_that_the_pipe_is_gone, .init = begin_unrenewed, .fini = end_unrenewed)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/broker-client.sock", own_directory());
    cr_assert_eq(unlink(path), 0);
    start_renewal();
    await_error(UV_ENOENT);
}

Test(renewal, tells_that_nothing_listens, .init = begin_unrenewed, .fini = end_unrenewed)
{
    (void)close(replace_listener());
    start_renewal();
    await_error(UV_ECONNREFUSED);
}

Test(renewal, tells_that_the_broker_does_not_reply, .init = begin_unrenewed,
     .fini = end_unrenewed)
{
    int listener = replace_listener();

    start_renewal();
    await_error(UV_ETIMEDOUT);
    (void)close(listener);
}

Test(renewal, tells_that_the_connection_was_closed, .init = begin_unrenewed,
     .fini = end_unrenewed)
{
    int listener = replace_listener();

    start_renewal();
    (void)close(accept(listener, NULL, NULL));
    await_error(UV_ECONNRESET);
    (void)close(listener);
}

Test(renewal, goes_on_at_every_step_to_the_pipes_and_back, .init = begin_plain,
     .fini = end)
{
    check_ways("");
}

Test(renewal, goes_on_at_every_step_to_the_pipes_and_back_with_a_secret,
     .init = begin_secret, .fini = end)
{
    check_ways(secret_text);
}

Test(renewal, goes_on_while_a_request_is_half_sent, .init = begin_plain, .fini = end)
{
    check_unsent("", 0);
    check_unsent("", SMALL_IN_ROW);
}

Test(renewal, goes_on_while_a_request_is_half_sent_with_a_secret, .init = begin_secret,
     .fini = end)
{
    check_unsent(secret_text, 0);
    check_unsent(secret_text, SMALL_IN_ROW);
}

Test(renewal, goes_on_while_replies_are_not_read, .init = begin_plain, .fini = end)
{
    check_unread("", 0);
    check_unread("", SMALL_IN_ROW);
}

Test(renewal, goes_on_while_replies_are_not_read_with_a_secret, .init = begin_secret,
     .fini = end)
{
    check_unread(secret_text, 0);
    check_unread(secret_text, SMALL_IN_ROW);
}

Test(renewal, goes_on_at_a_broker_that_is_full, .fini = end)
{
    begin_full("");
    take_lease("", 1);
    expect_renewals();
    leave();
}

Test(renewal, goes_on_at_a_broker_that_is_full_with_a_secret, .fini = end)
{
    begin_full(secret_text);
    take_lease(secret_text, 1);
    expect_renewals();
    leave();
}
