/*
 * Hostile clients against a whole broker: random requests of all kinds, pipes asked for,
 * gone over to and back at any time, half-closes and closes in the middle of replies,
 * descriptors passed, rubbish in socket and pipe; while brokers come and go.
 */
#include <errno.h>
#include <fcntl.h>

#include "drive.h"

#define PEERS 6U
#define VALUE_MAX_BYTES (300U * 1024U)
#define ROUND_US 1500000U

struct peer {
    struct random random;
    int socket;
    int in; /* the ends of pipes; -1: none */
    int out;
    bool on_pipe_pair;
    uint32_t id;
};

static char path[128];
static uint8_t value[VALUE_MAX_BYTES];
static atomic_bool stop;
static atomic_ulong connections;
static atomic_ulong ends_taken;
static atomic_ulong ways_changed;

static bool
one_in(struct peer *peer, unsigned count)
{
    return random_below(&peer->random, count) == 0;
}

static unsigned
below(struct peer *peer, unsigned limit)
{
    return random_below(&peer->random, limit);
}

/* What it hears */

static void
take_ends(struct peer *peer, struct msghdr *message)
{
    int ends[2];
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    if (header == NULL || header->cmsg_len != CMSG_LEN(sizeof(ends))) {
        return;
    }
    memcpy(ends, CMSG_DATA(header), sizeof(ends));
    if (peer->in >= 0 || peer->out >= 0) {
        close(ends[0]);
        close(ends[1]);
        return;
    }
    peer->in = ends[0];
    peer->out = ends[1];
    atomic_fetch_add(&ends_taken, 1);
}

static void
hear(struct peer *peer)
{
    static _Thread_local uint8_t place[65536];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec vector = {place, 1 + below(peer, sizeof(place) - 1)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    if (recvmsg(peer->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) >= 0) {
        take_ends(peer, &message);
    }
    if (peer->in >= 0) {
        (void)!read(peer->in, place, sizeof(place));
    }
}

/* What it says */

/* In parts, now and then by the wrong way; what isn't taken in a while is left out. */
static void
say(struct peer *peer, const uint8_t *data, size_t size_bytes)
{
    bool by_pipe =
        peer->out >= 0 && (peer->on_pipe_pair ? !one_in(peer, 20) : one_in(peer, 20));

    while (size_bytes != 0 && !atomic_load(&stop)) {
        size_t part =
            one_in(peer, 3) ? 1 + below(peer, (unsigned)size_bytes) : size_bytes;
        ssize_t sent = by_pipe
                           ? write(peer->out, data, part)
                           : send(peer->socket, data, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN || one_in(peer, 4)) {
                return;
            }
            hear(peer);
            drive_pause_us(20);
            continue;
        }
        data += sent;
        size_bytes -= (size_t)sent;
    }
}

static void
say_request(struct peer *peer, const struct epb_request *request)
{
    struct epb_buf out;

    epb_buf_init(&out, 1U << 20);
    drive_add(&out, request);
    say(peer, epb_buf_data(&out), epb_buf_size(&out));
    epb_buf_fini(&out);
}

static void
choose_names(struct peer *peer, struct epb_request *request)
{
    static const char *const keys[] = {"a", "b", "user:1", "user:2", "p", "q", "zz"};
    static const char *const workers[] = {"w", "v", "w2"};

    if (!one_in(peer, 4)) {
        request->key = bytes_of(keys[below(peer, 7)]);
    }
    bool named =
        request->action == EPB_ACTION_LEASE || request->action == EPB_ACTION_RENEW ||
        request->action == EPB_ACTION_RELEASE || request->action == EPB_ACTION_GET_OR_SET;
    if (named ? !one_in(peer, 8) : one_in(peer, 20)) {
        request->worker = bytes_of(workers[below(peer, 3)]);
    }
}

static void
choose_value(struct peer *peer, struct epb_request *request, uint8_t elements[64])
{
    if (request->action == EPB_ACTION_SET || one_in(peer, 30)) {
        size_t size_bytes = 1 + below(peer, one_in(peer, 4) ? VALUE_MAX_BYTES : 200);
        request->value = (struct epb_bytes){value, size_bytes};
        if (one_in(peer, 2)) {
            request->flags |= EPB_F_BINARY;
        }
    }
    if (request->action != EPB_ACTION_POOL && request->action != EPB_ACTION_POOL_ADD) {
        return;
    }
    size_t size_bytes = 0;
    for (unsigned i = 1 + below(peer, 4); i != 0; i--) {
        epb_put_u32(elements + size_bytes, 1);
        elements[size_bytes + 4] = 1;
        elements[size_bytes + 5] = (uint8_t)below(peer, 6);
        size_bytes += 6;
    }
    request->value = (struct epb_bytes){elements, size_bytes};
}

static void
choose_numbers(struct peer *peer, struct epb_request *request)
{
    if (one_in(peer, 2)) {
        request->flags |= EPB_F_TTL;
        request->ttl_ms = 1 + below(peer, 200);
    }
    if (one_in(peer, 3)) {
        request->flags |= EPB_F_WAIT;
        request->wait_ms = one_in(peer, 3) ? EPB_NUMBER_MAX : below(peer, 60);
    }
    if (one_in(peer, 3)) {
        request->flags |= EPB_F_COUNT;
        request->count = below(peer, 6);
        if (request->action == EPB_ACTION_CANCEL && peer->id > 6) {
            request->count = (int64_t)peer->id - request->count;
        }
    }
    if (one_in(peer, 10)) {
        request->flags |= EPB_F_PERIOD;
        request->period_ms = 1 + below(peer, 100);
    }
    if (one_in(peer, 8)) {
        request->flags |= 1U << (8 + below(peer, 8));
    }
}

static void
add_request(struct peer *peer, struct epb_buf *out)
{
    uint8_t elements[64];
    struct epb_request request = {.action = (uint8_t)(1 + below(peer, 40)),
                                  .id = one_in(peer, 20) ? below(peer, 6) : ++peer->id};

    if (request.action == EPB_FRAME_PIPE_PAIR) {
        request.flags = one_in(peer, 3) ? 0 : EPB_F_COUNT;
        request.count = below(peer, 2);
    } else {
        choose_names(peer, &request);
        choose_value(peer, &request, elements);
        choose_numbers(peer, &request);
    }
    drive_add(out, &request);
}

/* What it does */

static void
ask(struct peer *peer)
{
    struct epb_buf out;

    epb_buf_init(&out, 64U << 20);
    for (unsigned i = 1 + below(peer, one_in(peer, 5) ? 80 : 4); i != 0; i--) {
        add_request(peer, &out);
    }
    say(peer, epb_buf_data(&out), epb_buf_size(&out));
    epb_buf_fini(&out);
}

/* As a client would, but for patience: it may go on before the broker knows. */
static void
change_way(struct peer *peer)
{
    struct epb_request wish = {.action = EPB_FRAME_PIPE_PAIR, .id = ++peer->id};

    if (peer->in < 0) {
        say_request(peer, &wish);
    }
    for (unsigned i = 0; i < 200 && peer->in < 0 && !atomic_load(&stop); i++) {
        hear(peer);
        drive_pause_us(20);
    }
    if (peer->in < 0) {
        return;
    }
    wish = (struct epb_request){.action = EPB_FRAME_PIPE_PAIR,
                                .id = ++peer->id,
                                .flags = EPB_F_COUNT,
                                .count = peer->on_pipe_pair ? 0 : 1};
    say_request(peer, &wish);
    atomic_fetch_add(&ways_changed, 1);
    if (!one_in(peer, 3)) {
        drive_pause_us(100);
    }
    hear(peer);
    peer->on_pipe_pair = !peer->on_pipe_pair;
}

static void
pass_descriptors(struct peer *peer)
{
    int ends[2];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(ends))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(ends))}};
    struct iovec vector = {value, 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    memcpy(CMSG_DATA(&control.header), ends, sizeof(ends));
    (void)sendmsg(peer->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(ends[0]);
    close(ends[1]);
}

static void
say_rubbish(struct peer *peer)
{
    uint8_t rubbish[40];

    if (!one_in(peer, 6)) {
        return;
    }
    random_fill(&peer->random, rubbish, sizeof(rubbish));
    say(peer, rubbish, 1 + below(peer, sizeof(rubbish)));
}

static void
half_close(struct peer *peer)
{
    if (one_in(peer, 4)) {
        (void)shutdown(peer->socket, SHUT_WR);
    }
}

static void
close_end(int *end)
{
    if (*end >= 0) {
        close(*end);
    }
    *end = -1;
}

static void
lose_an_end(struct peer *peer)
{
    if (one_in(peer, 6)) {
        close_end(one_in(peer, 2) ? &peer->in : &peer->out);
    }
}

/* What it does to its ends is its own affair. */
static void
spoil_an_end(struct peer *peer)
{
    if (peer->out < 0) {
        return;
    }
    (void)fcntl(peer->out, F_SETPIPE_SZ, 4096);
    if (one_in(peer, 2)) {
        (void)fcntl(peer->out, F_SETFL, O_DIRECT | O_NONBLOCK);
    }
}

static void
wait_a_little(struct peer *peer)
{
    drive_pause_us(below(peer, 3000));
}

static void
do_something(struct peer *peer)
{
    static void (*const deeds[])(struct peer *) = {
        ask,           ask,         ask,  ask,          ask,
        ask,           hear,        hear, change_way,   say_rubbish,
        half_close,    lose_an_end, ask,  spoil_an_end, pass_descriptors,
        wait_a_little,
    };

    deeds[below(peer, sizeof(deeds) / sizeof(deeds[0]))](peer);
}

static void
speak_lines(struct peer *peer)
{
    static const char lines[] =
        "{\"action\":\"waitFor\",\"key\":\"a\",\"waitMs\":30,\"id\":1}\n"
        "{\"action\":\"lease\",\"key\":\"b\",\"workerId\":\"w\",\"ttl\":50,\"waitMs\":20}"
        "\n"
        "{\"action\":\"watch\",\"id\":\"z\"}\n{\"action\":\"cancel\",\"target\":1}\n"
        "{\"action\":\"list\"}\n";

    for (unsigned i = 0; i < 8; i++) {
        say(peer, (const uint8_t *)lines, sizeof(lines) - 1);
    }
    half_close(peer);
    for (unsigned i = 0; i < 5; i++) {
        hear(peer);
        drive_pause_us(1000);
    }
}

/* Frames without a secret; lines; the begin of another handshake, or of nothing. */
static void
live(struct peer *peer)
{
    static const char *const magics[] = {"EPB1", "EPB2", "EPB3", "EPBM", "EPB9"};
    unsigned kind = below(peer, 20);

    if (kind == 0) {
        say(peer, (const uint8_t *)magics[below(peer, 5)], 4);
        say(peer, value, 1 + below(peer, 2000));
        hear(peer);
    } else if (kind == 1) {
        speak_lines(peer);
    } else {
        say(peer, (const uint8_t *)EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
        for (unsigned i = 1 + below(peer, 60); i != 0 && !atomic_load(&stop); i--) {
            do_something(peer);
        }
    }
}

static void *
run_peer(void *argument)
{
    struct peer peer = {.random = drive_random((unsigned)(uintptr_t)argument +
                                               PEERS * (unsigned)connections)};

    while (!atomic_load(&stop)) {
        peer.socket = drive_connect(path);
        if (peer.socket < 0) {
            drive_pause_us(1000);
            continue;
        }
        atomic_fetch_add(&connections, 1);
        peer.in = peer.out = -1;
        peer.on_pipe_pair = false;
        peer.id = 0;
        live(&peer);
        bool socket_first = one_in(&peer, 3);
        if (socket_first) {
            close(peer.socket);
        }
        close_end(&peer.in);
        close_end(&peer.out);
        if (!socket_first) {
            close(peer.socket);
        }
    }
    return NULL;
}

/* Every limit is near, so that it is met. */
static struct epb_server_options
options_of(struct random *random)
{
    struct epb_server_options options = drive_options();

    options.debug = true;
    options.engine.default_ttl_ms = 500;
    options.engine.max_memory_bytes = 24U << 20;
    options.engine.max_items = 50;
    options.engine.evict_lru = random_below(random, 2) == 0;
    options.engine.max_waiters = 200;
    options.engine.max_connections = 40;
    return options;
}

/* The broker may end before its clients do, drained or not, and with them there. */
static void
play_round(struct random *random)
{
    struct epb_server_options options = options_of(random);
    struct epb_server *server = drive_start(&options);
    pthread_t peers[PEERS];

    (void)snprintf(path, sizeof(path), "%s", epb_server_path(server));
    atomic_store(&stop, false);
    drive_threads(peers, PEERS, run_peer);
    drive_pause_us(ROUND_US);
    if (random_below(random, 3) == 0) {
        epb_server_drain(server, random_below(random, 2) * 30);
        drive_pause_us(random_below(random, 60000));
    }
    if (random_below(random, 2) == 0) {
        epb_server_stop(server);
        server = NULL;
    }
    atomic_store(&stop, true);
    drive_join(peers, PEERS);
    epb_server_stop(server);
}

int
main(int argc, char **argv)
{
    unsigned rounds = 0;

    drive_begin(argc, argv);
    struct random random = drive_random(0);
    memset(value, 'y', sizeof(value));
    value[0] = '"';
    while (!drive_over()) {
        play_round(&random);
        rounds++;
    }
    drive_end();
    printf("%u brokers, %lu connections, %lu pairs of pipes, %lu changes of way\n",
           rounds, (unsigned long)connections, (unsigned long)ends_taken,
           (unsigned long)ways_changed);
    DRIVE_REQUIRE(connections != 0 && ends_taken != 0, "nothing was tried");
    return 0;
}
