/*
 * Floods against a running broker, counted and not timed: who is served how much before
 * whom, how much is done for a peer that does not read, and who goes when there is too
 * much of something.
 *
 * To know what has arrived before the broker looks, a test holds the engine's thread in
 * its own event callback while it fills the sockets.
 */
#include "io/conn.h"
#include "io_help.h"

/* --- Holding the broker --- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wanted;     /* hold at the next request for the key "gate" */
    bool held;       /* it holds */
    unsigned floods; /* requests for the key "flood" since it let go */
    unsigned before; /* the same, when the last one for "polite" was served */
};

static struct gate gate;

static void
on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    char line[512];

    (void)context;
    if (event != EPB_SERVER_LOG || json.size_bytes >= sizeof(line))
        return;
    memcpy(line, json.data, json.size_bytes);
    line[json.size_bytes] = '\0';
    pthread_mutex_lock(&gate.lock);
    if (strstr(line, "\"key\":\"flood\"") != NULL)
        gate.floods++;
    if (strstr(line, "\"key\":\"polite\"") != NULL)
        gate.before = gate.floods;
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
hold(int fd)
{
    struct epb_request request = request_of(EPB_ACTION_HAS, 1, "gate");
    struct timespec until = patience_end();

    pthread_mutex_lock(&gate.lock);
    gate.wanted = true;
    pthread_mutex_unlock(&gate.lock);
    peer_request(fd, &request);
    pthread_mutex_lock(&gate.lock);
    while (!gate.held) {
        cr_assert_eq(pthread_cond_timedwait(&gate.changed, &gate.lock, &until), 0);
    }
    gate.floods = 0;
    pthread_mutex_unlock(&gate.lock);
}

static void
let_go(int fd)
{
    struct answer answer = {0};

    pthread_mutex_lock(&gate.lock);
    gate.held = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    cr_assert(peer_answer(fd, &answer));
}

/* --- Four floods and a polite client --- */

enum {
    FLOODS = 4,
    ROUNDS = 5
};

struct flood {
    int fd;
    size_t sent; /* of the frame that is under way */
};

/* As many whole frames as the socket takes; the rest of the last one comes next time. */
static unsigned
fill(struct flood *flood, struct epb_bytes frame)
{
    unsigned frames = 0;

    for (;;) {
        ssize_t part = send(flood->fd, frame.data + flood->sent,
                            frame.size_bytes - flood->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (part < 0) {
            cr_assert(errno == EAGAIN || errno == EWOULDBLOCK, "%s", strerror(errno));
            return frames;
        }
        flood->sent += (size_t)part;
        if (flood->sent == frame.size_bytes) {
            flood->sent = 0;
            frames++;
        }
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

/* The key "flood" has a value of so many bytes; `turn_frames` is what one turn of a flood
 * may serve of its frames, `waiting_frames` how many of them have to be there for that to
 * mean anything. */
static void
flood_with(const struct epb_request *request, size_t value_bytes, unsigned turn_frames,
           unsigned waiting_frames)
{
    struct broker broker;
    struct flood floods[FLOODS] = {0};
    struct epb_buf frame;
    struct epb_request polite_request = request_of(EPB_ACTION_HAS, 2, "polite");

    gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER};
    broker_init(&broker);
    broker.options.debug = true;
    broker.options.on_event = on_event;
    broker_start(&broker);
    epb_buf_init(&frame, 1U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    for (unsigned i = 0; i < FLOODS; i++) {
        floods[i].fd = peer_open(&broker);
        peer_ping(floods[i].fd);
    }
    /* The last in every queue. */
    int polite = peer_open(&broker);
    int keeper = peer_open(&broker);
    peer_set(polite, "flood", 'v', value_bytes, 600000);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned waiting = 0;
        hold(keeper);
        for (unsigned i = 0; i < FLOODS; i++) {
            drain_answers(floods[i].fd);
            waiting += fill(&floods[i], bytes);
        }
        peer_request(polite, &polite_request);
        let_go(keeper);
        struct answer answer = {0};
        cr_assert(peer_answer(polite, &answer));
        cr_assert_eq(answer.id, 2);
        if (round == 0)
            cr_assert_geq(waiting, waiting_frames);
        pthread_mutex_lock(&gate.lock);
        unsigned before = gate.before;
        pthread_mutex_unlock(&gate.lock);
        /* It may come at the end of one look at the sockets and of the next. */
        cr_assert_leq(before, 2 * FLOODS * turn_frames,
                      "%u requests of the floods came first", before);
    }
    for (unsigned i = 0; i < FLOODS; i++) {
        close(floods[i].fd);
    }
    close(polite);
    close(keeper);
    epb_buf_fini(&frame);
    broker_stop(&broker);
}

Test(attack_server, floods_of_small_requests_get_a_turn_each_and_no_more)
{
    struct epb_request request = request_of(EPB_ACTION_HAS, 9, "flood");

    flood_with(&request, 1, EPB_CONN_TURN_FRAMES, 8 * FLOODS * EPB_CONN_TURN_FRAMES);
}

Test(attack_server, floods_of_large_requests_get_a_turn_each_and_no_more)
{
    static uint8_t value[16000];
    struct epb_request request = request_of(EPB_ACTION_SET, 9, "flood");

    request.flags = EPB_F_TTL | EPB_F_BINARY;
    request.ttl_ms = 60000;
    request.value = (struct epb_bytes){value, sizeof(value)};
    flood_with(&request, 1, EPB_CONN_TURN_BYTES / sizeof(value) + 1, 8 * FLOODS);
}

Test(attack_server, floods_of_requests_for_large_values_get_a_turn_each_and_no_more)
{
    enum {
        VALUE = 16000
    };
    struct epb_request request = request_of(EPB_ACTION_GET, 9, "flood");

    flood_with(&request, VALUE, EPB_CONN_TURN_BYTES / VALUE + 1,
               8 * FLOODS * EPB_CONN_TURN_FRAMES);
}

/* --- Replies that nobody reads --- */

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

/* --- Requests that never end --- */

/* Sends all but the last byte of a request; false when it was dropped meanwhile. */
static bool
send_half(int fd, struct epb_bytes frame)
{
    size_t sent = 0;

    while (sent < frame.size_bytes - 1) {
        ssize_t part =
            send(fd, frame.data + sent, frame.size_bytes - 1 - sent, MSG_NOSIGNAL);
        if (part < 0)
            return false;
        sent += (size_t)part;
    }
    return true;
}

Test(attack_server, of_too_many_half_requests_the_largest_goes_and_the_small_stay)
{
    enum {
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
    for (unsigned i = 0; i < SMALL; i++) {
        small[i] = peer_open(&broker);
        cr_assert(send_half(small[i], whole));
    }
    for (unsigned i = 0; i < LARGE; i++) {
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
