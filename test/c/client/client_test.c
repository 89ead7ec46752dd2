/* A client against a real broker: exchange, waiting, arming, and the end of either. */
#include "client_help.h"

static void
converse(const char *secret)
{
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of(secret, &ring);
    struct epb_request get = request_of(EPB_ACTION_GET, 7, "key");
    struct epb_reply reply;

    expect_ping(client);
    cr_assert(epb_client_is_open(client));
    for (size_t size_bytes = 1; size_bytes <= 262144; size_bytes *= 8) {
        cr_assert_eq(set_value(client, "key", size_bytes), EPB_OK);
        cr_assert_eq(ask(client, &get, &reply), EPB_OK);
        cr_assert_eq(reply.id, 7);
        cr_assert_eq(reply.body.size_bytes, size_bytes);
        cr_assert_eq(reply.body.data[0], 'v');
        cr_assert_eq(reply.body.data[size_bytes - 1], 'v');
    }
    cr_assert_eq(ring.count, 0, "it rang without having been armed");
    epb_client_free(client);
}

Test(client, talks_without_a_secret, .init = begin_plain, .fini = end)
{
    converse("");
}

Test(client, talks_with_a_secret, .init = begin_secret, .fini = end)
{
    converse(secret_text);
}

static void
pipeline(const char *secret)
{
    enum {
        COUNT = 20000
    };
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of(secret, &ring);
    struct epb_buf frames;
    uint32_t answered = 0;
    size_t received = 0;

    cr_assert_eq(set_value(client, "key", 1000), EPB_OK);
    epb_buf_init(&frames, 8U << 20);
    for (uint32_t id = 1; id <= COUNT; id++) {
        struct epb_request get = request_of(EPB_ACTION_GET, id, "key");
        cr_assert_eq(epb_frame_encode_request(&frames, &get), EPB_OK);
    }
    struct epb_bytes out = {epb_buf_data(&frames), epb_buf_size(&frames)};
    cr_assert_eq(step(client, out, &received), EPB_OK);
    for (;;) {
        struct epb_bytes rest = {room, received};
        size_t size_bytes = 0;
        while (epb_frame_scan(rest, sizeof(room), &size_bytes) == EPB_FRAME_COMPLETE) {
            struct epb_reply reply;
            struct epb_bytes frame = {rest.data, size_bytes};
            cr_assert_eq(epb_frame_decode_reply(frame, &reply), EPB_OK);
            answered++;
            cr_assert_eq(reply.id, answered);
            cr_assert_eq(reply.body.size_bytes, 1000);
            rest.data += size_bytes;
            rest.size_bytes -= size_bytes;
        }
        cr_assert_eq(rest.size_bytes, 0, "a part of a frame was delivered");
        if (answered == COUNT) {
            break;
        }
        if (received == 0) {
            cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
        }
        cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
    }
    cr_assert_eq(epb_client_unsent(client), 0);
    epb_buf_fini(&frames);
    epb_client_free(client);
}

Test(client, pipelines_thousands_without_a_secret, .init = begin_plain, .fini = end)
{
    pipeline("");
}

Test(client, pipelines_thousands_with_a_secret, .init = begin_secret, .fini = end)
{
    pipeline(secret_text);
}

Test(client, says_how_much_room_a_reply_needs, .init = begin_plain, .fini = end)
{
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of("", &ring);
    struct epb_request get = request_of(EPB_ACTION_GET, 7, "key");
    struct epb_buf frame;
    uint8_t small[64];

    cr_assert_eq(set_value(client, "key", 1000), EPB_OK);
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &get), EPB_OK);
    struct epb_exchange exchange = {
        .out = {epb_buf_data(&frame), epb_buf_size(&frame)},
        .into = small,
        .into_bytes = sizeof(small),
    };
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    exchange.out.size_bytes = 0;
    while (exchange.needed_bytes == 0) {
        cr_assert_eq(exchange.received_bytes, 0);
        cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    }
    cr_assert_eq(exchange.needed_bytes,
                 EPB_FRAME_LENGTH_BYTES + EPB_REPLY_HEADER_BYTES - 4 + 1000);
    exchange.into = room;
    exchange.into_bytes = exchange.needed_bytes;
    size_t needed = exchange.needed_bytes;
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    cr_assert_eq(exchange.received_bytes, needed);
    cr_assert_eq(exchange.needed_bytes, 0);
    epb_buf_fini(&frame);
    epb_client_free(client);
}

/* Refusals */

static enum epb_status
refusal_of(const char *secret)
{
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of(secret, &ring);
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_reply reply;

    enum epb_status status = ask(client, &ping, &reply);
    cr_expect(!epb_client_connected(client), "a dead connection is closed");
    epb_client_free(client);
    return status;
}

Test(client, without_the_secret_it_is_refused, .init = begin_secret, .fini = end)
{
    cr_assert_eq(refusal_of("another secret"), EPB_AUTH_FAILED);
    cr_assert_eq(refusal_of(""), EPB_AUTH_REQUIRED);
}

Test(client, a_broker_without_the_secret_is_refused, .init = begin_plain, .fini = end)
{
    cr_assert_eq(refusal_of(secret_text), EPB_AUTH_FAILED);
}

Test(client, nobody_there_is_said_clearly)
{
    int os_error = 0;
    struct epb_client *client =
        epb_client_new("/nonexistent/broker", bytes_of(""), on_ready, NULL);

    cr_assert_eq(epb_client_connect(client, &os_error), EPB_BROKER_GONE);
    cr_assert_str_eq(epb_os_error_name(os_error), "ENOENT");
    cr_assert_eq(epb_client_arm(client), EPB_BROKER_GONE);
    cr_assert(epb_client_wait(client, 0), "there is nothing to wait for");
    epb_client_free(client);
}

Test(client, another_users_broker_is_refused)
{
    int listener = -1;
    int os_error = 0;
    char path[256];

    if (geteuid() != 0) {
        cr_skip("only root can become another user");
    }
    /* Who listens is who called listen(). */
    (void)snprintf(path, sizeof(path), "%s/s", own_directory());
    cr_assert_eq(epb_socket_new(&listener), 0);
    cr_assert_eq(epb_socket_bind(listener, path), 0);
    cr_assert_eq(seteuid(65534), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(seteuid(0), 0);
    struct epb_client *client = epb_client_new(path, bytes_of(""), on_ready, NULL);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_BROKER_GONE);
    cr_assert_str_eq(epb_os_error_name(os_error), "EPERM");
    epb_client_free(client);
    close(listener);
    cr_assert_eq(unlink(path), 0);
    remove_own_directory();
}

/* Waiting */

Test(client, waiting_ends_with_its_time, .init = begin_plain, .fini = end)
{
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of("", &ring);

    expect_ping(client);
    cr_assert(!epb_client_wait(client, 0));
    cr_assert(!epb_client_wait(client, 10));
    epb_client_free(client);
}

Test(client, an_armed_client_rings_once_for_an_answer, .init = begin_plain, .fini = end)
{
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of("", &ring);
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_buf frame;
    size_t received = 0;

    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &ping), EPB_OK);
    unsigned rung = 0;

    /* Going over to pipes would ring once more. */
    for (unsigned i = 1; i < EPB_PATH_SMALL_IN_ROW; i++) {
        struct epb_exchange exchange = {
            .out = {epb_buf_data(&frame), epb_buf_size(&frame)},
            .into = room,
            .into_bytes = sizeof(room),
        };
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
        received = exchange.received_bytes;
        /* Armed with everything sent, it can only ring for the answer. */
        if (received == 0) {
            cr_assert_eq(epb_client_unsent(client), 0);
            cr_assert_eq(epb_client_arm(client), EPB_OK);
            await_ring(&ring, ++rung);
            cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
        }
        cr_assert_gt(received, 0);
        cr_assert_eq(ring.count, rung);
    }
    epb_buf_fini(&frame);
    epb_client_free(client);
}

Test(client, an_armed_client_rings_when_the_broker_ends)
{
    struct ring ring;
    size_t received = 0;
    int os_error = 0;

    begin_plain();
    ring_init(&ring);
    struct epb_client *client = client_of("", &ring);
    expect_ping(client);
    cr_assert_eq(epb_client_arm(client), EPB_OK);
    end();
    await_ring(&ring, 1);
    cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_BROKER_GONE);
    cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_BROKER_GONE);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_BROKER_GONE);
    cr_assert_str_eq(epb_os_error_name(os_error), "ENOENT");
    epb_client_free(client);
}

Test(client, connects_again_to_the_next_broker)
{
    struct ring ring;
    int os_error = 0;
    size_t received = 0;

    begin_secret();
    ring_init(&ring);
    struct epb_client *client = client_of(secret_text, &ring);
    expect_ping(client);
    epb_server_stop(broker.server);
    broker_start(&broker);
    cr_assert_eq(step(client, (struct epb_bytes){NULL, 0}, &received), EPB_BROKER_GONE);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_OK);
    expect_ping(client);
    epb_client_free(client);
    end();
}

Test(client, a_closed_client_does_not_ring, .init = begin_plain, .fini = end)
{
    for (unsigned i = 0; i < 300; i++) {
        struct ring ring;
        ring_init(&ring);
        struct epb_client *client = client_of("", &ring);
        struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
        struct epb_buf frame;
        epb_buf_init(&frame, 1000);
        cr_assert_eq(epb_frame_encode_request(&frame, &ping), EPB_OK);
        struct epb_exchange exchange = {
            .out = {epb_buf_data(&frame), epb_buf_size(&frame)},
            .into = room,
            .into_bytes = sizeof(room),
        };
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
        cr_assert_eq(epb_client_arm(client), EPB_OK);
        /* The answer is on its way: it comes before or after, but never into this ring
         * once it is wiped, which the sanitizer watches. */
        epb_client_free(client);
        unsigned before = ring.count;
        epb_buf_fini(&frame);
        cr_assert_eq(ring.count, before);
        memset(&ring, 0xA5, sizeof(ring));
    }
}

Test(client, what_the_socket_does_not_take_waits, .init = begin_plain, .fini = end)
{
    enum {
        COUNT = 40,
        SIZE = 200000
    };
    struct ring ring;

    ring_init(&ring);
    struct epb_client *client = client_of("", &ring);
    struct epb_buf frames;
    uint8_t *value = calloc(1, SIZE);
    uint32_t answered = 0;

    epb_buf_init(&frames, 16U << 20);
    for (uint32_t id = 1; id <= COUNT; id++) {
        struct epb_request set = request_of(EPB_ACTION_SET, id, "key");
        set.flags = EPB_F_TTL | EPB_F_BINARY;
        set.ttl_ms = 60000;
        set.value = (struct epb_bytes){value, SIZE};
        cr_assert_eq(epb_frame_encode_request(&frames, &set), EPB_OK);
    }
    struct epb_exchange exchange = {
        .out = {epb_buf_data(&frames), epb_buf_size(&frames)},
        .into = room,
        .into_bytes = sizeof(room),
    };
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    cr_assert_gt(epb_client_unsent(client), 0);
    exchange.out.size_bytes = 0;
    for (;;) {
        struct epb_bytes rest = {room, exchange.received_bytes};
        size_t size_bytes = 0;
        while (epb_frame_scan(rest, sizeof(room), &size_bytes) == EPB_FRAME_COMPLETE) {
            answered++;
            rest.data += size_bytes;
            rest.size_bytes -= size_bytes;
        }
        if (answered == COUNT) {
            break;
        }
        unsigned rings = ring.count;
        cr_assert_eq(epb_client_arm(client), EPB_OK);
        await_ring(&ring, rings + 1);
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    }
    cr_assert_eq(epb_client_unsent(client), 0);
    free(value);
    epb_buf_fini(&frames);
    epb_client_free(client);
}

/* Threads */

static void *
run_clients(void *context)
{
    struct ring ring;
    static __thread uint8_t into[4096];

    (void)context;
    ring_init(&ring);
    for (unsigned i = 0; i < 100; i++) {
        struct epb_client *client = client_of(secret_text, &ring);
        struct epb_request ping = request_of(EPB_ACTION_PING, i + 1, NULL);
        struct epb_buf frame;
        epb_buf_init(&frame, 1000);
        cr_assert_eq(epb_frame_encode_request(&frame, &ping), EPB_OK);
        struct epb_exchange exchange = {
            .out = {epb_buf_data(&frame), epb_buf_size(&frame)},
            .into = into,
            .into_bytes = sizeof(into),
        };
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
        exchange.out.size_bytes = 0;
        /* Every third one is closed while it waits. */
        while (exchange.received_bytes == 0) {
            pthread_mutex_lock(&ring.lock);
            unsigned rings = ring.count;
            pthread_mutex_unlock(&ring.lock);
            cr_assert_eq(epb_client_arm(client), EPB_OK);
            if (i % 3 == 0) {
                break;
            }
            await_ring(&ring, rings + 1);
            cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
        }
        epb_buf_fini(&frame);
        epb_client_free(client);
    }
    return NULL;
}

Test(client, many_threads_share_the_thread_that_waits, .init = begin_secret, .fini = end)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, run_clients, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
}

/* The second look */

Test(client, looks_that_find_nothing_become_rare_and_one_that_does_restores_them)
{
    struct epb_spin spin = {0};
    unsigned looks = 0;

    for (unsigned i = 0; i < 10000; i++) {
        if (epb_spin_is_worth(&spin)) {
            looks++;
            epb_spin_note(&spin, false);
        }
    }
    cr_assert_lt(looks, 1000);
    cr_assert_gt(looks, 100, "it must go on trying");
    while (!epb_spin_is_worth(&spin)) {
    }
    epb_spin_note(&spin, true);
    for (unsigned i = 0; i < EPB_SPIN_PATIENCE - 1; i++) {
        cr_assert(epb_spin_is_worth(&spin));
        epb_spin_note(&spin, false);
    }
}
