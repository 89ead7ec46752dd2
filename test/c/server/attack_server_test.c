/*
 * Floods against a running broker, counted and not timed: who is served how much before
 * whom, how much is done for a peer that does not read, and who goes when there is too
 * much of something.
 *
 * To know what has arrived before the broker looks, a test holds the engine's thread in
 * its own event callback while it fills the sockets.
 */
#include "io_help.h"
#include "server/conn.h"
#include "wire/channel.h"

/* Peers, with a secret or without */

static const char secret_text[] = "a secret of some length";

struct peer {
    int fd;
    struct epb_channel *channel; /* NULL: plain, and `fd` is all there is */
};

static void
send_output(struct peer *peer)
{
    struct epb_bytes output = epb_channel_output(peer->channel);

    peer_send(peer->fd, output.data, output.size_bytes);
    epb_channel_sent(peer->channel, output.size_bytes);
}

static void
take_input(struct peer *peer)
{
    uint8_t *memory;
    size_t size_bytes;

    cr_assert_eq(epb_channel_input(peer->channel, &memory, &size_bytes), EPB_OK);
    ssize_t got = recv(peer->fd, memory, size_bytes, 0);
    cr_assert_gt(got, 0, "the broker closed");
    cr_assert_eq(epb_channel_received(peer->channel, (size_t)got), EPB_OK);
}

static struct peer
begin_peer(const struct broker *broker)
{
    struct peer peer = {.fd = -1};

    if (broker->options.secret.size_bytes == 0) {
        peer.fd = peer_open(broker);
        peer_ping(peer.fd);
        return peer;
    }
    peer.fd = peer_connect(broker);
    peer.channel = epb_channel_new(broker->options.secret);
    cr_assert_not_null(peer.channel);
    send_output(&peer);
    while (!epb_channel_is_open(peer.channel)) {
        take_input(&peer);
    }
    send_output(&peer);
    return peer;
}

static void
end_peer(struct peer *peer)
{
    epb_channel_free(peer->channel);
    close(peer->fd);
}

static void
say(struct peer *peer, const struct epb_request *request)
{
    struct epb_buf frame;

    if (peer->channel == NULL) {
        peer_request(peer->fd, request);
        return;
    }
    epb_buf_init(&frame, 1U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(epb_channel_send(peer->channel, bytes), EPB_OK);
    epb_buf_fini(&frame);
    send_output(peer);
}

/* The id of the next reply. */
static uint32_t
hear(struct peer *peer)
{
    struct answer answer = {0};
    struct epb_reply reply;

    if (peer->channel == NULL) {
        cr_assert(peer_answer(peer->fd, &answer));
        return answer.id;
    }
    for (;;) {
        struct epb_bytes stream = epb_channel_stream(peer->channel);
        if (stream.size_bytes >= EPB_FRAME_LENGTH_BYTES &&
            stream.size_bytes >= EPB_FRAME_LENGTH_BYTES + epb_get_u32(stream.data)) {
            stream.size_bytes = EPB_FRAME_LENGTH_BYTES + epb_get_u32(stream.data);
            cr_assert_eq(epb_frame_decode_reply(stream, &reply), EPB_OK);
            uint32_t id = reply.id;
            epb_channel_consume(peer->channel, stream.size_bytes);
            return id;
        }
        take_input(peer);
    }
}

/* Holding the broker */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wanted;     /* hold at the next request for the key "gate" */
    bool held;       /* it holds */
    unsigned floods; /* requests for the key "flood" since it let go */
    unsigned before; /* the same, when the last one for "polite" was served */
    unsigned seen;   /* requests for the key "flood" at all */
};

static struct gate gate;

static void
on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    char line[512];

    (void)context;
    if (event != EPB_SERVER_LOG || json.size_bytes >= sizeof(line)) {
        return;
    }
    memcpy(line, json.data, json.size_bytes);
    line[json.size_bytes] = '\0';
    pthread_mutex_lock(&gate.lock);
    if (strstr(line, "\"key\":\"flood\"") != NULL) {
        gate.floods++;
        gate.seen++;
    }
    if (strstr(line, "\"key\":\"polite\"") != NULL) {
        gate.before = gate.floods;
    }
    if (gate.wanted && strstr(line, "\"key\":\"gate\"") != NULL) {
        gate.wanted = false;
        gate.held = true;
        pthread_cond_broadcast(&gate.changed);
        while (gate.held) {
            pthread_cond_wait(&gate.changed, &gate.lock);
        }
    }
    pthread_mutex_unlock(&gate.lock);
}

static void
hold(struct peer *renewer)
{
    struct epb_request request = request_of(EPB_ACTION_HAS, 1, "gate");
    struct timespec until = patience_end();

    pthread_mutex_lock(&gate.lock);
    gate.wanted = true;
    pthread_mutex_unlock(&gate.lock);
    say(renewer, &request);
    pthread_mutex_lock(&gate.lock);
    while (!gate.held) {
        cr_assert_eq(pthread_cond_timedwait(&gate.changed, &gate.lock, &until), 0);
    }
    gate.floods = 0;
    pthread_mutex_unlock(&gate.lock);
}

static void
let_go(struct peer *renewer)
{
    pthread_mutex_lock(&gate.lock);
    gate.held = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    cr_assert_eq(hear(renewer), 1);
}

/* Four floods and a polite client */

enum {
    FLOODS = 4,
    ROUNDS = 5
};

struct flood {
    struct peer peer;
    size_t sent; /* of what is under way */
};

/* What the flood sends now: a request, or the record that has it, which has to leave
 * whole before another one is made. */
static struct epb_bytes
next_piece(struct flood *flood, struct epb_bytes request)
{
    if (flood->peer.channel == NULL) {
        return request;
    }
    if (flood->sent == 0) {
        cr_assert_eq(epb_channel_send(flood->peer.channel, request), EPB_OK);
    }
    return epb_channel_output(flood->peer.channel);
}

/* As many whole requests as the socket takes; the rest of the last one comes next time.
 */
static unsigned
fill(struct flood *flood, struct epb_bytes request)
{
    unsigned requests = 0;

    for (;;) {
        struct epb_bytes piece = next_piece(flood, request);
        ssize_t part = send(flood->peer.fd, piece.data + flood->sent,
                            piece.size_bytes - flood->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (part < 0) {
            cr_assert(errno == EAGAIN || errno == EWOULDBLOCK, "%s", strerror(errno));
            return requests;
        }
        flood->sent += (size_t)part;
        if (flood->sent < piece.size_bytes) {
            continue;
        }
        if (flood->peer.channel != NULL) {
            epb_channel_sent(flood->peer.channel, piece.size_bytes);
        }
        flood->sent = 0;
        requests++;
    }
}

/* Replies make room for further ones; nobody looks at them. */
static void
drain_answers(int fd)
{
    static char scratch[65536];

    while (recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT) > 0) {
    }
}

static void
begin_flood(struct broker *broker, bool sealed)
{
    gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER};
    broker_init(broker);
    broker->options.debug = true;
    broker->options.on_event = on_event;
    if (sealed) {
        broker->options.secret = bytes_of(secret_text);
    }
    broker_start(broker);
}

/* One `request` of a flood after the other; `turn_requests` is what one turn of a flood
 * may serve of them, `waiting_requests` how many have to be there for that to mean
 * anything. */
static void
rounds(struct flood *floods, struct peer *polite, struct peer *renewer,
       struct epb_bytes request, unsigned turn_requests, unsigned waiting_requests)
{
    struct epb_request polite_request = request_of(EPB_ACTION_HAS, 2, "polite");

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned waiting = 0;
        hold(renewer);
        for (unsigned i = 0; i < FLOODS; i++) {
            drain_answers(floods[i].peer.fd);
            waiting += fill(&floods[i], request);
        }
        say(polite, &polite_request);
        let_go(renewer);
        cr_assert_eq(hear(polite), 2);
        if (round == 0) {
            cr_assert_geq(waiting, waiting_requests, "%u", waiting);
        }
        pthread_mutex_lock(&gate.lock);
        unsigned before = gate.before;
        pthread_mutex_unlock(&gate.lock);
        /* It may come at the end of one look at the sockets and of the next. */
        cr_assert_leq(before, 2 * FLOODS * turn_requests,
                      "%u requests of the floods came first", before);
    }
    pthread_mutex_lock(&gate.lock);
    cr_assert_gt(gate.seen, FLOODS * turn_requests, "%u", gate.seen);
    pthread_mutex_unlock(&gate.lock);
}

/* Frames, after the key "flood" has got a value of so many bytes. */
static void
flood_with(const struct epb_request *request, bool sealed, size_t value_bytes,
           unsigned turn_requests, unsigned waiting_requests)
{
    static uint8_t value[65536];
    struct broker broker;
    struct flood floods[FLOODS] = {0};
    struct epb_buf frame;
    struct epb_request set = request_of(EPB_ACTION_SET, 3, "flood");

    begin_flood(&broker, sealed);
    epb_buf_init(&frame, 1U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    for (unsigned i = 0; i < FLOODS; i++) {
        floods[i].peer = begin_peer(&broker);
    }
    /* The last in every queue. */
    struct peer polite = begin_peer(&broker);
    struct peer renewer = begin_peer(&broker);
    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = 600000;
    set.value = (struct epb_bytes){value, value_bytes};
    say(&polite, &set);
    cr_assert_eq(hear(&polite), 3);
    rounds(floods, &polite, &renewer, bytes, turn_requests, waiting_requests);
    for (unsigned i = 0; i < FLOODS; i++) {
        end_peer(&floods[i].peer);
    }
    end_peer(&polite);
    end_peer(&renewer);
    epb_buf_fini(&frame);
    broker_stop(&broker);
}

/* JSON lines. */
static void
flood_with_lines(const char *line, unsigned turn_requests, unsigned waiting_requests)
{
    struct broker broker;
    struct flood floods[FLOODS] = {0};
    char byte;

    begin_flood(&broker, false);
    for (unsigned i = 0; i < FLOODS; i++) {
        floods[i].peer.fd = peer_connect(&broker);
        peer_send(floods[i].peer.fd, line, strlen(line));
        cr_assert(peer_receive(floods[i].peer.fd, &byte, 1));
    }
    struct peer polite = begin_peer(&broker);
    struct peer renewer = begin_peer(&broker);
    rounds(floods, &polite, &renewer, bytes_of(line), turn_requests, waiting_requests);
    for (unsigned i = 0; i < FLOODS; i++) {
        end_peer(&floods[i].peer);
    }
    end_peer(&polite);
    end_peer(&renewer);
    broker_stop(&broker);
}

static void
flood_with_small(bool sealed)
{
    struct epb_request request = request_of(EPB_ACTION_HAS, 9, "flood");

    flood_with(&request, sealed, 1, EPB_CONN_TURN_FRAMES,
               8 * FLOODS * EPB_CONN_TURN_FRAMES);
}

Test(attack_server, floods_of_small_requests_get_a_turn_each_and_no_more)
{
    flood_with_small(false);
}

/* Each in a record of its own, which has to be opened first. */
Test(attack_server, floods_of_small_records_get_a_turn_each_and_no_more)
{
    flood_with_small(true);
}

static void
flood_with_large(bool sealed)
{
    static uint8_t value[16000];
    struct epb_request request = request_of(EPB_ACTION_SET, 9, "flood");

    request.flags = EPB_F_TTL | EPB_F_BINARY;
    request.ttl_ms = 60000;
    request.value = (struct epb_bytes){value, sizeof(value)};
    flood_with(&request, sealed, 1, EPB_CONN_TURN_BYTES / sizeof(value) + 1, 8 * FLOODS);
}

Test(attack_server, floods_of_large_requests_get_a_turn_each_and_no_more)
{
    flood_with_large(false);
}

Test(attack_server, floods_of_large_records_get_a_turn_each_and_no_more)
{
    flood_with_large(true);
}

static void
flood_for_large(bool sealed)
{
    enum {
        VALUE = 16000
    };
    struct epb_request request = request_of(EPB_ACTION_GET, 9, "flood");

    flood_with(&request, sealed, VALUE, EPB_CONN_TURN_BYTES / VALUE + 1,
               8 * FLOODS * EPB_CONN_TURN_FRAMES);
}

Test(attack_server, floods_of_requests_for_large_values_get_a_turn_each_and_no_more)
{
    flood_for_large(false);
}

Test(attack_server, floods_of_records_for_large_values_get_a_turn_each_and_no_more)
{
    flood_for_large(true);
}

Test(attack_server, floods_of_lines_get_a_turn_each_and_no_more)
{
    flood_with_lines("{\"action\":\"has\",\"key\":\"flood\"}\n", EPB_CONN_TURN_FRAMES,
                     8 * FLOODS * EPB_CONN_TURN_FRAMES);
}

Test(attack_server, floods_of_long_lines_get_a_turn_each_and_no_more)
{
    static char line[16000];
    int size = snprintf(
        line, sizeof(line),
        "{\"action\":\"set\",\"key\":\"flood\",\"ttl\":60000,\"value\":\"%015000d\"}\n",
        0);

    flood_with_lines(line, EPB_CONN_TURN_BYTES / (unsigned)size + 1, 8 * FLOODS);
}

/* Replies that nobody reads */

static uint64_t
stat_of(int fd, const char *name)
{
    struct epb_request request = request_of(EPB_ACTION_STATS, 5, NULL);
    uint8_t length[EPB_FRAME_LENGTH_BYTES];
    char body[4096];
    char wanted[64];

    peer_request(fd, &request);
    cr_assert(peer_receive(fd, length, sizeof(length)));
    cr_assert_lt(epb_get_u32(length), sizeof(body));
    cr_assert(peer_receive(fd, body, epb_get_u32(length)));
    body[epb_get_u32(length)] = '\0';
    (void)snprintf(wanted, sizeof(wanted), "\"%s\":", name);
    const char *found =
        strstr(body + EPB_REPLY_HEADER_BYTES - EPB_FRAME_LENGTH_BYTES, wanted);
    cr_assert_not_null(found, "no %s in the statistics", name);
    return strtoull(found + strlen(wanted), NULL, 10);
}

Test(attack_server, a_megabyte_unread_is_all_that_is_done_for_a_peer)
{
    enum {
        VALUE = 100000,
        ASKED = 1500,
        LOOKS = 200
    };
    struct broker broker;
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    int buffered = 0;
    socklen_t size = sizeof(buffered);

    broker_init(&broker);
    broker_start(&broker);
    int lazy = peer_open(&broker);
    int other = peer_open(&broker);
    peer_set(lazy, "key", 'v', VALUE, 600000);
    cr_assert_eq(getsockopt(lazy, SOL_SOCKET, SO_SNDBUF, &buffered, &size), 0);
    struct epb_buf frames;
    epb_buf_init(&frames, 1U << 20);
    for (unsigned i = 0; i < ASKED; i++) {
        cr_assert_eq(epb_frame_encode_request(&frames, &get), EPB_OK);
    }
    /* In one piece: the socket counts pieces more than bytes. */
    peer_send(lazy, epb_buf_data(&frames), epb_buf_size(&frames));
    epb_buf_fini(&frames);
    /* What may be ready for it: in the session, in the connection, in the socket. */
    uint64_t most =
        (2 * (EPB_CONN_UNSENT_BYTES + VALUE) + 2 * (uint64_t)buffered) / VALUE + 1;
    uint64_t own = 1;
    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t served = stat_of(other, "requests") - ++own;
        cr_assert_leq(served, most, "%llu of %llu replies", (unsigned long long)served,
                      (unsigned long long)most);
    }
    close(lazy);
    close(other);
    broker_stop(&broker);
}

Test(attack_server, of_too_much_unread_the_largest_goes_and_the_small_stay)
{
    enum {
        LARGE = 70,
        SMALL = 5,
        REQUESTS = 8,
        VALUE = 250000
    };
    struct broker broker;
    int large[LARGE];
    int small[SMALL];
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    struct epb_buf frames;

    broker_init(&broker);
    broker_start(&broker);
    int other = peer_open(&broker);
    peer_set(other, "key", 'v', VALUE, 600000);
    epb_buf_init(&frames, 4096);
    for (unsigned i = 0; i < REQUESTS; i++) {
        cr_assert_eq(epb_frame_encode_request(&frames, &get), EPB_OK);
    }
    /* The first and the last of all are small. */
    for (unsigned i = 0; i < LARGE + SMALL; i++) {
        int fd = peer_open(&broker);
        if (i < SMALL - 1 || i == LARGE + SMALL - 1) {
            small[i < SMALL - 1 ? i : SMALL - 1] = fd;
            peer_request(fd, &get);
        } else {
            large[i - (SMALL - 1)] = fd;
            (void)send(fd, epb_buf_data(&frames), epb_buf_size(&frames), MSG_NOSIGNAL);
        }
    }
    epb_buf_fini(&frames);
    broker_await_log(&broker, "output_limit");
    for (unsigned i = 0; i < SMALL; i++) {
        struct answer answer = {0};
        cr_assert(peer_answer(small[i], &answer), "a small one was dropped");
        cr_assert_eq(answer.body_bytes, VALUE);
        peer_ping(small[i]);
        close(small[i]);
    }
    for (unsigned i = 0; i < LARGE; i++) {
        close(large[i]);
    }
    peer_ping(other);
    close(other);
    broker_stop(&broker);
}

/* Requests that never end */

/* Sends all but the last byte of a request; false when it was dropped meanwhile. */
static bool
send_half(int fd, struct epb_bytes frame)
{
    size_t sent = 0;

    while (sent < frame.size_bytes - 1) {
        ssize_t part =
            send(fd, frame.data + sent, frame.size_bytes - 1 - sent, MSG_NOSIGNAL);
        if (part < 0) {
            return false;
        }
        sent += (size_t)part;
    }
    return true;
}

Test(attack_server, of_too_many_half_requests_the_largest_goes_and_the_small_stay)
{
    enum {
        BEFORE = 32, /* what they hold is just within the limit */
        LARGE = 40,
        SMALL = 5
    };
    static uint8_t part[1000000];
    struct broker broker;
    int large[LARGE];
    int small[SMALL];
    struct epb_request has = request_of(EPB_ACTION_HAS, 7, "a key");
    struct epb_buf frame;

    broker_init(&broker);
    broker_start(&broker);
    epb_buf_init(&frame, 4096);
    cr_assert_eq(epb_frame_encode_request(&frame, &has), EPB_OK);
    struct epb_bytes whole = {epb_buf_data(&frame), epb_buf_size(&frame)};
    epb_put_u32(part, sizeof(part) - EPB_FRAME_LENGTH_BYTES);
    /* The small ones begin late: a half request lives ten seconds by the clock, which may
     * be little for all the others on a busy machine. */
    for (unsigned i = 0; i < LARGE; i++) {
        for (unsigned at = 0; i == BEFORE && at < SMALL; at++) {
            small[at] = peer_open(&broker);
            cr_assert(send_half(small[at], whole));
        }
        large[i] = peer_open(&broker);
        (void)send_half(large[i], (struct epb_bytes){part, sizeof(part)});
    }
    broker_await_log(&broker, "input_limit");
    for (unsigned i = 0; i < SMALL; i++) {
        struct answer answer = {0};
        peer_send(small[i], whole.data + whole.size_bytes - 1, 1);
        cr_assert(peer_answer(small[i], &answer), "a small one was dropped");
        cr_assert_eq(answer.id, 7);
        close(small[i]);
    }
    for (unsigned i = 0; i < LARGE; i++) {
        close(large[i]);
    }
    epb_buf_fini(&frame);
    broker_stop(&broker);
}
