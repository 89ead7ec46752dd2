/* A client that goes over to pipes: with a real broker, and with one that is played here
 * and does what a broker may do, or may not. */
#include "client/own_frame.h"
#include "client_help.h"
#include "os/pipe_pair.h"

/* With a real broker */

static struct epb_client *
client_on_pipes(const char *secret, struct ring *ring)
{
    unsigned before = count_pipes();

    ring_init(ring);
    struct epb_client *client = client_of(secret, ring);
    for (unsigned i = 0; i < EPB_PATH_SMALL_IN_ROW - 1; i++) {
        expect_ping(client);
    }
    cr_assert_eq(count_pipes(), before, "not before it pays");
    /* It asks, goes, and is there. */
    for (unsigned i = 0; i < 3; i++) {
        expect_ping(client);
    }
    cr_assert_eq(count_pipes(), before + 4, "two ends each");
    return client;
}

static void
converse(const char *secret)
{
    struct ring ring;
    struct epb_client *client = client_on_pipes(secret, &ring);
    struct epb_request get = request_of(EPB_ACTION_GET, 7, "key");
    struct epb_reply reply;

    for (size_t size_bytes = 1; size_bytes <= 262144; size_bytes *= 8) {
        cr_assert_eq(set_value(client, "key", size_bytes), EPB_OK);
        cr_assert_eq(ask(client, &get, &reply), EPB_OK);
        cr_assert_eq(reply.id, 7);
        cr_assert_eq(reply.body.size_bytes, size_bytes);
        cr_assert_eq(reply.body.data[0], 'v');
        cr_assert_eq(reply.body.data[size_bytes - 1], 'v');
    }
    epb_client_free(client);
}

Test(client_pipes, talks_without_a_secret, .init = begin_plain, .fini = end)
{
    converse("");
}

Test(client_pipes, talks_with_a_secret, .init = begin_secret, .fini = end)
{
    converse(secret_text);
}

Test(client_pipes, rings_for_answers_and_for_the_end)
{
    struct ring ring;
    struct epb_exchange exchange = {.into = room, .into_bytes = sizeof(room)};
    struct epb_request lock = request_of(EPB_ACTION_LOCK, 1, "lock");
    struct epb_buf frame;
    struct epb_reply reply;

    begin_secret();
    struct epb_client *client = client_on_pipes(secret_text, &ring);
    struct epb_client *other = client_of(secret_text, &ring);
    lock.worker = bytes_of("other");
    cr_assert_eq(ask(other, &lock, &reply), EPB_OK);
    lock.worker = bytes_of("worker");
    lock.flags = EPB_F_WAIT;
    lock.wait_ms = PATIENCE_S * 1000;
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &lock), EPB_OK);
    exchange.out = (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    exchange.out.size_bytes = 0;
    cr_assert_eq(exchange.received_bytes, 0);
    cr_assert_eq(epb_client_arm(client), EPB_OK);
    epb_client_free(other);
    await_ring(&ring, 1);
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    cr_assert_gt(exchange.received_bytes, 0);
    cr_assert_eq(epb_client_arm(client), EPB_OK);
    end();
    await_ring(&ring, 2);
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_BROKER_GONE);
    epb_buf_fini(&frame);
    epb_client_free(client);
}

/* With one that is played */

struct stage {
    int listener;
    int socket; /* the played broker's end */
    struct epb_pipe_ends own;
    struct epb_pipe_ends peers;
    struct ring ring;
    struct epb_client *client;
    unsigned pipes; /* before it began */
};

static void
stage_open(struct stage *stage)
{
    char path[256];
    char magic[EPB_MAGIC_BYTES];
    int os_error = 0;

    signal(SIGPIPE, SIG_DFL);
    stage->pipes = count_pipes();
    ring_init(&stage->ring);
    (void)snprintf(path, sizeof(path), "%s/played", own_directory());
    cr_assert_eq(epb_socket_new(&stage->listener), 0);
    cr_assert_eq(epb_socket_bind(stage->listener, path), 0);
    cr_assert_eq(listen(stage->listener, 1), 0);
    stage->client = epb_client_new(path, bytes_of(""), on_ready, &stage->ring);
    cr_assert_eq(epb_client_connect(stage->client, &os_error), EPB_OK);
    stage->socket = accept(stage->listener, NULL, NULL);
    cr_assert_geq(stage->socket, 0);
    make_blocking(stage->socket);
    cr_assert_eq(epb_pipe_pair_make(&stage->own, &stage->peers), 0);
    cr_assert_eq(fcntl(stage->own.in, F_SETFL, 0), 0);
    cr_assert_eq(unlink(path), 0);
    struct epb_exchange nothing = {.into = room, .into_bytes = sizeof(room)};
    cr_assert_eq(epb_client_exchange(stage->client, &nothing), EPB_OK);
    cr_assert(peer_receive(stage->socket, magic, sizeof(magic)));
}

static void
stage_close(struct stage *stage)
{
    epb_client_free(stage->client);
    close(stage->socket);
    close(stage->listener);
    epb_pipe_pair_close(&stage->own);
    epb_pipe_pair_close(&stage->peers);
    cr_assert_eq(count_pipes(), stage->pipes, "some of its ends were left open");
    remove_own_directory();
}

/* The next request, as it comes from the socket or from the pipe. */
static struct epb_request
hear(int fd)
{
    static uint8_t frame[1 << 20];
    struct epb_request request;
    size_t size_bytes = EPB_FRAME_LENGTH_BYTES;

    for (size_t got = 0; got != size_bytes;) {
        ssize_t part = read(fd, frame + got, size_bytes - got);
        cr_assert_gt(part, 0, "%s", strerror(errno));
        got += (size_t)part;
        if (got == EPB_FRAME_LENGTH_BYTES) {
            size_bytes += epb_get_u32(frame);
        }
    }
    cr_assert_eq(
        epb_frame_decode_request((struct epb_bytes){frame, size_bytes}, &request),
        EPB_OK);
    return request;
}

static struct epb_bytes
reply_to(struct epb_request request, enum epb_status status)
{
    static struct epb_buf frame;
    struct epb_reply reply = {.status = status, .id = request.id};

    epb_buf_fini(&frame);
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_reply(&frame, &reply), EPB_OK);
    return (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)};
}

static void
answer(int fd, struct epb_request request)
{
    struct epb_bytes reply = reply_to(request, EPB_OK);

    cr_assert_eq(write(fd, reply.data, reply.size_bytes), (ssize_t)reply.size_bytes);
}

/* Answers, and passes these ends. */
static void
answer_with(struct stage *stage, struct epb_request request, enum epb_status status,
            const struct epb_pipe_ends *ends)
{
    pass_descriptors(stage->socket, reply_to(request, status),
                     (int[]){ends->in, ends->out}, 2);
}

/* Sends a request; what has come so far is in `room`. */
static size_t
say(struct stage *stage, enum epb_action action, uint32_t id, size_t value_bytes)
{
    static uint8_t value[1 << 19];
    struct epb_request request = request_of(action, id, value_bytes != 0 ? "key" : NULL);
    struct epb_buf frame;
    size_t received = 0;

    request.value = (struct epb_bytes){value, value_bytes};
    epb_buf_init(&frame, 1U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, &request), EPB_OK);
    struct epb_bytes out = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(step(stage->client, out, &received), EPB_OK);
    epb_buf_fini(&frame);
    return received;
}

static void
expect_reply(struct stage *stage, uint32_t id)
{
    struct epb_reply reply;
    size_t received = 0;

    for (;;) {
        cr_assert_eq(step(stage->client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
        if (received != 0) {
            break;
        }
        cr_assert(epb_client_wait(stage->client, PATIENCE_S * 1000));
    }
    cr_assert_eq(epb_frame_decode_reply((struct epb_bytes){room, received}, &reply),
                 EPB_OK);
    cr_assert_eq(reply.id, id, "a reply that nobody had asked for: %u", reply.id);
}

/* Sends, hears and answers one request over the socket. */
static void
ping(struct stage *stage, uint32_t id)
{
    cr_assert_eq(say(stage, EPB_ACTION_PING, id, 0), 0);
    struct epb_request request = hear(stage->socket);
    cr_assert_eq(request.action, EPB_ACTION_PING);
    answer(stage->socket, request);
    expect_reply(stage, id);
}

static struct epb_request
await_request(struct stage *stage)
{
    for (uint32_t i = 1; i < EPB_PATH_SMALL_IN_ROW; i++) {
        ping(stage, i);
    }
    ping(stage, EPB_PATH_SMALL_IN_ROW);
    struct epb_request request = hear(stage->socket);
    cr_assert_eq(request.action, EPB_FRAME_PIPE_PAIR);
    cr_assert_eq(request.id, EPB_OWN_ID);
    cr_assert_eq(request.flags, 0);
    return request;
}

/* Takes what has come; nothing is for the caller. */
static void
take_nothing(struct stage *stage)
{
    size_t received = 0;

    cr_assert(epb_client_wait(stage->client, PATIENCE_S * 1000));
    cr_assert_eq(step(stage->client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
    cr_assert_eq(received, 0);
}

static struct epb_request
await_going(struct stage *stage)
{
    answer_with(stage, await_request(stage), EPB_OK, &stage->peers);
    take_nothing(stage);
    struct epb_request going = hear(stage->socket);
    cr_assert_eq(going.action, EPB_FRAME_PIPE_PAIR);
    cr_assert_eq(going.id, EPB_OWN_ID);
    cr_assert_eq(going.flags, EPB_F_COUNT);
    cr_assert_eq(going.count, 1);
    return going;
}

static void
go_over(struct stage *stage)
{
    answer(stage->socket, await_going(stage));
    take_nothing(stage);
    /* From now on the other ends are the client's alone. */
    epb_pipe_pair_close(&stage->peers);
}

static void
expect_silence(int socket)
{
    char byte;

    cr_assert_eq(recv(socket, &byte, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(errno, EAGAIN);
}

Test(client_pipes, what_is_said_while_it_goes_over_is_in_the_pipe)
{
    struct stage stage;

    stage_open(&stage);
    struct epb_request going = await_going(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1002, 0), 0);
    expect_silence(stage.socket);
    cr_assert_gt(epb_client_unsent(stage.client), 0);
    cr_assert_not(epb_client_wait(stage.client, 0), "it waits for nothing but the reply");
    answer(stage.socket, going);
    take_nothing(&stage);
    cr_assert_eq(epb_client_unsent(stage.client), 0);
    for (uint32_t id = 1001; id <= 1002; id++) {
        struct epb_request request = hear(stage.own.in);
        cr_assert_eq(request.id, id);
        answer(stage.own.out, request);
        expect_reply(&stage, id);
    }
    expect_silence(stage.socket);
    stage_close(&stage);
}

Test(client_pipes, what_is_asked_for_before_is_answered_on_the_socket)
{
    struct stage stage;

    stage_open(&stage);
    struct epb_request request = await_request(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    struct epb_request before = hear(stage.socket);
    answer_with(&stage, request, EPB_OK, &stage.peers);
    take_nothing(&stage);
    struct epb_request going = hear(stage.socket);
    answer(stage.socket, before);
    expect_reply(&stage, 1001);
    answer(stage.socket, going);
    take_nothing(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1002, 0), 0);
    cr_assert_eq(hear(stage.own.in).id, 1002);
    stage_close(&stage);
}

static void
exchange_large(struct stage *stage, uint32_t id, size_t request_bytes, size_t reply_bytes)
{
    static uint8_t body[1 << 16];
    struct epb_buf frame;

    cr_assert_eq(say(stage, EPB_ACTION_SET, id, request_bytes), 0);
    struct epb_request request = hear(stage->socket);
    struct epb_reply reply = {.id = request.id, .body = {body, reply_bytes}};
    cr_assert_eq(request.action, EPB_ACTION_SET);
    epb_buf_init(&frame, 1U << 20);
    cr_assert_eq(epb_frame_encode_reply(&frame, &reply), EPB_OK);
    peer_send(stage->socket, epb_buf_data(&frame), epb_buf_size(&frame));
    epb_buf_fini(&frame);
    expect_reply(stage, id);
}

Test(client_pipes, large_ones_stay_on_the_socket)
{
    struct stage stage;

    stage_open(&stage);
    for (uint32_t i = 1; i < 3 * EPB_PATH_SMALL_IN_ROW; i++) {
        exchange_large(&stage, i, EPB_PATH_LARGE_BYTES, 1);
    }
    for (uint32_t i = 1; i < 3 * EPB_PATH_SMALL_IN_ROW; i++) {
        exchange_large(&stage, i, 1, EPB_PATH_LARGE_BYTES);
    }
    expect_silence(stage.socket);
    ping(&stage, 1);
    /* Small ones in a row. */
    (void)await_request(&stage);
    stage_close(&stage);
}

/* One exchange through the pipe. */
static void
ping_in_pipe(struct stage *stage, uint32_t id, size_t value_bytes)
{
    enum epb_action action = value_bytes != 0 ? EPB_ACTION_SET : EPB_ACTION_PING;

    cr_assert_eq(say(stage, action, id, value_bytes), 0);
    struct epb_request request = hear(stage->own.in);
    cr_assert_eq(request.action, action);
    answer(stage->own.out, request);
    expect_reply(stage, id);
}

/* The client says that it goes by that way from now on. */
static struct epb_request
await_change(int fd, int64_t way)
{
    struct epb_request request = hear(fd);

    cr_assert_eq(request.action, EPB_FRAME_PIPE_PAIR);
    cr_assert_eq(request.id, EPB_OWN_ID);
    cr_assert_eq(request.flags, EPB_F_COUNT);
    cr_assert_eq(request.count, way);
    return request;
}

Test(client_pipes, large_ones_go_back_and_small_ones_over_again)
{
    struct stage stage;

    stage_open(&stage);
    go_over(&stage);
    for (unsigned round = 0; round < 3; round++) {
        /* A single small one among them, and they are none in a row. */
        for (uint32_t i = 1; i < 3 * EPB_PATH_LARGE_IN_ROW; i++) {
            bool large = i % EPB_PATH_LARGE_IN_ROW != 0;
            ping_in_pipe(&stage, i, large ? EPB_PATH_LARGE_BYTES : 0);
        }
        for (uint32_t i = 0; i < 2; i++) {
            ping_in_pipe(&stage, 1000 + i, EPB_PATH_LARGE_BYTES);
        }
        struct epb_request back = await_change(stage.own.in, 0);
        cr_assert_eq(say(&stage, EPB_ACTION_PING, 2000, 0), 0);
        answer(stage.own.out, back);
        take_nothing(&stage);
        struct epb_request held = hear(stage.socket);
        cr_assert_eq(held.id, 2000);
        answer(stage.socket, held);
        expect_reply(&stage, 2000);
        for (uint32_t i = 0; i < EPB_PATH_SMALL_IN_ROW; i++) {
            ping(&stage, 3000 + i);
        }
        struct epb_request over = await_change(stage.socket, 1);
        answer(stage.socket, over);
        take_nothing(&stage);
        expect_silence(stage.socket);
    }
    stage_close(&stage);
}

/* Ends that are not taken are closed on another thread. */
static void
await_pipes(unsigned count)
{
    uint64_t until_ns = epb_sys_ticks_ns() + PATIENCE_S * UINT64_C(1000000000);

    while (count_pipes() != count) {
        cr_assert(epb_sys_ticks_ns() < until_ns, "%u ends of pipes", count_pipes());
    }
}

/* It has had its answer, and goes on as before without asking again. */
static void
expect_socket_for_good(struct stage *stage)
{
    for (uint32_t i = 1; i <= 3 * EPB_PATH_SMALL_IN_ROW; i++) {
        ping(stage, i);
    }
    expect_silence(stage->socket);
    await_pipes(stage->pipes + 4);
}

Test(client_pipes, without_ends_it_stays_on_the_socket)
{
    struct stage stage;

    stage_open(&stage);
    answer(stage.socket, await_request(&stage));
    take_nothing(&stage);
    expect_socket_for_good(&stage);
    stage_close(&stage);
}

Test(client_pipes, with_bad_ends_it_stays_on_the_socket)
{
    struct stage stage;

    stage_open(&stage);
    struct epb_request request = await_request(&stage);
    struct epb_pipe_ends bad = {.in = stage.peers.out, .out = stage.peers.in};
    answer_with(&stage, request, EPB_OK, &bad);
    take_nothing(&stage);
    expect_socket_for_good(&stage);
    stage_close(&stage);
}

Test(client_pipes, refused_it_stays_on_the_socket)
{
    struct stage stage;

    stage_open(&stage);
    answer_with(&stage, await_request(&stage), EPB_INVALID_REQUEST, &stage.peers);
    take_nothing(&stage);
    expect_socket_for_good(&stage);
    stage_close(&stage);
}

Test(client_pipes, refused_in_the_end_it_stays_on_the_socket_and_loses_nothing)
{
    struct stage stage;

    stage_open(&stage);
    struct epb_request going = await_going(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    struct epb_bytes refusal = reply_to(going, EPB_DRAINING);
    peer_send(stage.socket, refusal.data, refusal.size_bytes);
    take_nothing(&stage);
    struct epb_request held = hear(stage.socket);
    cr_assert_eq(held.id, 1001);
    answer(stage.socket, held);
    expect_reply(&stage, 1001);
    expect_socket_for_good(&stage);
    stage_close(&stage);
}

static void
expect_gone(struct stage *stage)
{
    size_t received = 0;

    cr_assert(epb_client_wait(stage->client, PATIENCE_S * 1000));
    cr_assert_eq(step(stage->client, (struct epb_bytes){NULL, 0}, &received),
                 EPB_BROKER_GONE);
    cr_assert_not(epb_client_connected(stage->client));
}

/* The system refuses ends that nobody has asked for; where it can't, whoever passes them
 * has broken the protocol. */
Test(client_pipes, ends_that_it_did_not_ask_for_are_not_taken)
{
    struct stage stage;

    stage_open(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1, 0), 0);
    struct epb_request asked = hear(stage.socket);
    int ends[] = {stage.peers.in, stage.peers.out};
    if (try_to_pass(stage.socket, reply_to(asked, EPB_OK), ends, 2) < 0) {
        cr_assert_eq(errno, EPERM);
        answer(stage.socket, asked);
        expect_reply(&stage, 1);
        ping(&stage, 2);
    } else {
        expect_gone(&stage);
    }
    await_pipes(stage.pipes + 4);
    stage_close(&stage);
}

Test(client_pipes, the_end_of_a_broker_that_was_asked_is_noticed)
{
    struct stage stage;

    stage_open(&stage);
    (void)await_request(&stage);
    cr_assert_eq(shutdown(stage.socket, SHUT_RDWR), 0);
    expect_gone(&stage);
    stage_close(&stage);
}

Test(client_pipes, the_end_of_a_broker_on_the_way_is_noticed)
{
    struct stage stage;

    stage_open(&stage);
    (void)await_going(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    cr_assert_eq(shutdown(stage.socket, SHUT_RDWR), 0);
    expect_gone(&stage);
    stage_close(&stage);
}

Test(client_pipes, the_end_of_the_pipe_is_noticed_and_raises_no_signal)
{
    struct stage stage;

    stage_open(&stage);
    go_over(&stage);
    epb_pipe_pair_close(&stage.own);
    size_t received = 0;
    struct epb_request request = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_buf frame;
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &request), EPB_OK);
    struct epb_bytes out = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(step(stage.client, out, &received), EPB_BROKER_GONE);
    epb_buf_fini(&frame);
    stage_close(&stage);
}

Test(client_pipes, what_was_said_before_the_end_of_the_pipe_is_heard)
{
    struct stage stage;

    stage_open(&stage);
    go_over(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    answer(stage.own.out, hear(stage.own.in));
    epb_pipe_pair_close(&stage.own);
    expect_reply(&stage, 1001);
    expect_gone(&stage);
    stage_close(&stage);
}

Test(client_pipes, one_that_was_armed_on_the_socket_is_told_to_arm_again)
{
    struct stage stage;

    stage_open(&stage);
    struct epb_request going = await_going(&stage);
    cr_assert_eq(epb_client_arm(stage.client), EPB_OK);
    answer(stage.socket, going);
    await_ring(&stage.ring, 1);
    cr_assert_eq(epb_client_arm(stage.client), EPB_OK);
    await_ring(&stage.ring, 2);
    take_nothing(&stage);
    await_ring(&stage.ring, 3);
    cr_assert_eq(say(&stage, EPB_ACTION_PING, 1001, 0), 0);
    cr_assert_eq(epb_client_arm(stage.client), EPB_OK);
    answer(stage.own.out, hear(stage.own.in));
    await_ring(&stage.ring, 4);
    expect_reply(&stage, 1001);
    stage_close(&stage);
}

Test(client_pipes, a_full_pipe_is_waited_for)
{
    struct stage stage;

    stage_open(&stage);
    go_over(&stage);
    cr_assert_eq(say(&stage, EPB_ACTION_SET, 1001, 400000), 0);
    cr_assert_gt(epb_client_unsent(stage.client), 0);
    cr_assert_not(epb_client_wait(stage.client, 0));
    cr_assert_eq(epb_client_arm(stage.client), EPB_OK);
    /* Each read makes room, which rings, and lets more be written. */
    static uint8_t some[1 << 16];
    size_t got = 0;
    for (unsigned rings = 1; epb_client_unsent(stage.client) != 0; rings++) {
        ssize_t part = read(stage.own.in, some, sizeof(some));
        size_t received = 0;
        cr_assert_gt(part, 0);
        got += (size_t)part;
        await_ring(&stage.ring, rings);
        cr_assert_eq(step(stage.client, (struct epb_bytes){NULL, 0}, &received), EPB_OK);
        if (epb_client_unsent(stage.client) != 0) {
            cr_assert_eq(epb_client_arm(stage.client), EPB_OK);
        }
    }
    while (got < 400000) {
        ssize_t part = read(stage.own.in, some, sizeof(some));
        cr_assert_gt(part, 0);
        got += (size_t)part;
    }
    stage_close(&stage);
}
