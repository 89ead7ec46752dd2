/*
 * A hostile broker against our client (client/client.h): replies of any form and to
 * anybody, descriptors that are no pipes or come unasked, pipes that end, rubbish in
 * both. The client must not crash, hang, or keep a descriptor.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>

#include "client/client.h"
#include "client/own_frame.h"
#include "drive.h"

#define TURNS 400U
#define EXCHANGES 300U
#define CLIENTS 4U
#define MANY 253U
/* Numbers are given lowest first: what is still being closed is at most so much. */
#define SLACK 40U

static char path[128];
static int listener;
static atomic_bool stop;
static atomic_uint serving;
static atomic_ulong passed;
static atomic_ulong granted;
static atomic_ulong lives;

/* The broker */

struct played {
    struct random random;
    int socket;
    int to[2];   /* the client reads from to[0] */
    int from[2]; /* it writes to what `end` has */
    int end;
    uint32_t last_id;
    bool polite;
    uint8_t in[1 << 18];
    size_t in_bytes;
    uint8_t out[8192];
};

static unsigned
below(struct played *played, unsigned limit)
{
    return random_below(&played->random, limit);
}

static bool
one_in(struct played *played, unsigned count)
{
    return below(played, count) == 0;
}

static size_t
make_reply(struct played *played, uint8_t status, uint16_t flags, uint32_t id,
           size_t body_bytes)
{
    uint8_t *out = played->out;
    size_t size_bytes = 12;

    for (unsigned bit = 0; bit < 8; bit++) {
        if ((flags >> bit & 1U) == 0) {
            continue;
        }
        epb_put_u64(out + size_bytes, random_next(&played->random));
        size_bytes += 8;
    }
    random_fill(&played->random, out + size_bytes, body_bytes);
    size_bytes += body_bytes;
    epb_put_u32(out, (uint32_t)size_bytes - 4);
    out[4] = 1;
    out[5] = status;
    epb_put_u16(out + 6, flags);
    epb_put_u32(out + 8, id);
    return size_bytes;
}

static void
say(struct played *played, size_t size_bytes)
{
    (void)send(played->socket, played->out, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
say_by_pipe(struct played *played, size_t size_bytes)
{
    (void)!write(played->to[1], played->out, size_bytes);
}

static void
pass(struct played *played, size_t size_bytes, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MANY * sizeof(int))];
    } control;
    struct iovec vector = {played->out, size_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    memset(&control, 0, sizeof(control));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    if (sendmsg(played->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
        atomic_fetch_add(&passed, 1);
    }
}

static void
pass_many(struct played *played, size_t size_bytes)
{
    int fds[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = played->to[0];
    }
    pass(played, size_bytes, fds, MANY);
}

/* Ends that would have the client block. */
static void
pass_blocking(struct played *played, size_t size_bytes)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    pass(played, size_bytes, ends, 2);
    close(ends[0]);
    close(ends[1]);
}

static bool
make_pipes(struct played *played)
{
    char name[40];

    if (played->to[0] >= 0) {
        return true;
    }
    if (pipe2(played->to, O_CLOEXEC | O_NONBLOCK) != 0 ||
        pipe2(played->from, O_CLOEXEC | O_NONBLOCK) != 0) {
        return false;
    }
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", played->from[1]);
    played->end = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return played->end >= 0;
}

/* To the request for pipes: some, none, or what are none. */
static void
answer_request(struct played *played, uint32_t id)
{
    if (!make_pipes(played)) {
        return;
    }
    int good[2] = {played->to[0], played->end};
    size_t size_bytes = make_reply(played, one_in(played, 5) ? 7 : 0, 0, id, 0);
    switch (below(played, 14)) {
    case 0:
        pass(played, size_bytes, (int[]){played->end, played->to[0]}, 2);
        break;
    case 1:
        pass(played, size_bytes, (int[]){played->socket, played->socket}, 2);
        break;
    case 2:
        pass(played, size_bytes, (int[]){good[0], good[1], good[1]}, 3);
        break;
    case 3:
        pass(played, size_bytes, good, 1);
        break;
    case 4:
        pass_many(played, size_bytes);
        break;
    case 5:
        say(played, size_bytes);
        break;
    case 6:
        pass_blocking(played, size_bytes);
        break;
    default:
        pass(played, size_bytes, good, 2);
        break;
    }
}

static void
answer(struct played *played, uint8_t action, uint16_t flags, uint32_t id)
{
    bool proper = played->polite || !one_in(played, 8);

    played->last_id = id;
    if (action == EPB_FRAME_PIPE_PAIR && (flags & EPB_F_COUNT) == 0) {
        answer_request(played, id);
        return;
    }
    if (action == EPB_FRAME_PIPE_PAIR) {
        atomic_fetch_add(&granted, 1);
        say(played, make_reply(played, one_in(played, 4) ? 7 : 0, 0, id, 0));
        return;
    }
    uint8_t status =
        played->polite || !one_in(played, 4) ? 0 : (uint8_t)below(played, 40);
    uint16_t reply_flags = played->polite ? 0 : (uint16_t)below(played, 0x80);
    size_t size_bytes = make_reply(played, status, reply_flags,
                                   proper ? id : (uint32_t)random_next(&played->random),
                                   below(played, played->polite ? 20 : 3000));
    if (played->to[1] >= 0 && one_in(played, 2)) {
        say_by_pipe(played, size_bytes);
    } else {
        say(played, size_bytes);
    }
}

/* What it says unasked. */
static void
speak_up(struct played *played)
{
    switch (below(played, 40)) {
    case 0: {
        size_t size_bytes = make_reply(played, 0, (uint16_t)below(played, 0x80),
                                       EPB_OWN_ID, below(played, 5));
        if (played->to[0] >= 0 && one_in(played, 2)) {
            pass(played, size_bytes, (int[]){played->to[0], played->end}, 2);
        } else {
            say(played, size_bytes);
        }
        break;
    }
    case 1:
        random_fill(&played->random, played->out, 64);
        epb_put_u32(played->out, one_in(played, 3)   ? below(played, 12)
                                 : one_in(played, 2) ? UINT32_MAX
                                                     : 200000);
        say(played, 4 + below(played, 60));
        break;
    case 2:
        for (unsigned i = 0; i < 8 && played->to[1] >= 0; i++) {
            say_by_pipe(played,
                        1 + below(played, (unsigned)make_reply(played, 0, 0,
                                                               played->last_id, 5000)));
        }
        break;
    case 3:
        if (played->to[1] >= 0 && one_in(played, 3)) {
            close(played->to[1]);
            played->to[1] = -1;
        }
        break;
    default:
        break;
    }
}

/* False: the client has gone. */
static bool
listen_to(struct played *played)
{
    struct pollfd descriptor = {.fd = played->socket, .events = POLLIN};
    size_t room = sizeof(played->in) - played->in_bytes;

    (void)poll(&descriptor, 1, 2);
    ssize_t size =
        recv(played->socket, played->in + played->in_bytes, room, MSG_DONTWAIT);
    if (size == 0) {
        return false;
    }
    if (size > 0) {
        played->in_bytes += (size_t)size;
    }
    room = sizeof(played->in) - played->in_bytes;
    if (played->from[0] >= 0) {
        size = read(played->from[0], played->in + played->in_bytes, room);
    }
    if (played->from[0] >= 0 && size > 0) {
        played->in_bytes += (size_t)size;
    }
    return true;
}

static void
answer_all(struct played *played)
{
    size_t at = 0;

    while (at + 16 <= played->in_bytes) {
        const uint8_t *frame = played->in + at;
        size_t size_bytes = 4 + (size_t)epb_get_u32(frame);
        if (size_bytes > played->in_bytes - at) {
            break;
        }
        answer(played, frame[5], epb_get_u16(frame + 6), epb_get_u32(frame + 8));
        at += size_bytes;
    }
    memmove(played->in, played->in + at, played->in_bytes - at);
    played->in_bytes -= at;
}

static void
close_pair(int pair[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
        }
    }
}

static void
serve(struct played *played)
{
    uint8_t magic[EPB_MAGIC_BYTES];

    if (recv(played->socket, magic, sizeof(magic), MSG_WAITALL) != sizeof(magic)) {
        return;
    }
    for (unsigned i = 0; i < TURNS && !atomic_load(&stop) && listen_to(played); i++) {
        answer_all(played);
        /* A client asks for pipes after some while of peace. */
        if (played->polite && (played->to[0] < 0 || !one_in(played, 10))) {
            continue;
        }
        speak_up(played);
        if (one_in(played, 160)) {
            return;
        }
    }
}

static void *
run_played(void *argument)
{
    struct played *played = argument;

    serve(played);
    close(played->socket);
    close_pair(played->to);
    close_pair(played->from);
    if (played->end >= 0) {
        close(played->end);
    }
    free(played);
    atomic_fetch_sub(&serving, 1);
    return NULL;
}

static void *
run_broker(void *argument)
{
    struct pollfd descriptor = {.fd = listener, .events = POLLIN};
    pthread_t thread;
    unsigned count = 0;

    while (!atomic_load(&stop)) {
        if (poll(&descriptor, 1, 50) <= 0) {
            continue;
        }
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        struct played *played = calloc(1, sizeof(*played));
        DRIVE_REQUIRE(fd >= 0 && played != NULL, "accept");
        played->random = drive_random(++count);
        played->socket = fd;
        played->to[0] = played->to[1] = played->from[0] = played->from[1] = -1;
        played->end = -1;
        played->polite = !one_in(played, 3);
        atomic_fetch_add(&serving, 1);
        DRIVE_REQUIRE(pthread_create(&thread, NULL, run_played, played) == 0, "thread");
        DRIVE_REQUIRE(pthread_detach(thread) == 0, "detach");
    }
    return argument;
}

/* The client */

static _Thread_local uint8_t room[1 << 20];

static void
on_ready(void *context)
{
    atomic_fetch_add((atomic_uint *)context, 1);
}

static enum epb_status
ping(struct epb_client *client, struct random *random, uint32_t id)
{
    struct epb_request request = {.action = EPB_ACTION_PING, .id = id};
    struct epb_buf frame;
    uint64_t kept = 0;

    epb_buf_init(&frame, 4096);
    drive_add(&frame, &request);
    struct epb_bytes out = {epb_buf_data(&frame), epb_buf_size(&frame)};
    if (id == 4) {
        (void)!epb_client_start_renewal(client, out, 1, &kept);
    }
    size_t room_bytes =
        random_below(random, 4) == 0 ? 16 + random_below(random, 200) : sizeof(room);
    struct epb_exchange exchange = {.out = out,
                                    .into = room,
                                    .into_bytes = room_bytes,
                                    .spin_us = random_below(random, 2) * 10};
    enum epb_status status = epb_client_exchange(client, &exchange);
    epb_buf_fini(&frame);
    for (unsigned i = 0; i < 3 && status == EPB_OK && exchange.received_bytes == 0; i++) {
        if (random_below(random, 2) == 0) {
            (void)!epb_client_arm(client);
            drive_pause_us(100);
        } else {
            (void)epb_client_wait(client, random_below(random, 3));
        }
        bool more =
            exchange.needed_bytes > room_bytes && exchange.needed_bytes <= sizeof(room);
        exchange = (struct epb_exchange){
            .into = room, .into_bytes = more ? exchange.needed_bytes : room_bytes};
        status = epb_client_exchange(client, &exchange);
    }
    return status;
}

static bool
live(struct random *random)
{
    static atomic_uint ready;
    int os_error = 0;
    struct epb_client *client =
        epb_client_new(path, (struct epb_bytes){NULL, 0}, on_ready, &ready);

    DRIVE_REQUIRE(client != NULL, "memory");
    bool connected = epb_client_connect(client, &os_error) == EPB_OK;
    for (uint32_t id = 1; connected && id <= EXCHANGES; id++) {
        if (ping(client, random, id) != EPB_OK) {
            break;
        }
    }
    epb_client_free(client);
    return connected;
}

static void *
run_client(void *argument)
{
    struct random random = drive_random(1000000 + (unsigned)(uintptr_t)argument);

    while (!drive_over()) {
        if (live(&random)) {
            atomic_fetch_add(&lives, 1);
        }
    }
    return NULL;
}

static unsigned
count_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");

    DRIVE_REQUIRE(folder != NULL, "/proc");
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Once the broker's side has gone, too, and what wasn't taken is closed. */
static void
expect_no_leak(unsigned before)
{
    for (unsigned i = 0; i < DRIVE_PATIENCE_S * 50; i++) {
        if (atomic_load(&serving) == 0 && count_descriptors() <= before + SLACK) {
            return;
        }
        drive_pause_us(10000);
    }
    DRIVE_REQUIRE(false, "%u descriptors, and %u before", count_descriptors(), before);
}

int
main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t broker;
    pthread_t clients[CLIENTS];

    drive_begin(argc, argv);
    (void)snprintf(path, sizeof(path), "%s/played", drive.directory);
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DRIVE_REQUIRE(bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0,
                  "bind");
    DRIVE_REQUIRE(listen(listener, 64) == 0, "listen");
    unsigned before = count_descriptors();
    DRIVE_REQUIRE(pthread_create(&broker, NULL, run_broker, NULL) == 0, "thread");
    drive_threads(clients, CLIENTS, run_client);
    drive_join(clients, CLIENTS);
    atomic_store(&stop, true);
    DRIVE_REQUIRE(pthread_join(broker, NULL) == 0, "join");
    expect_no_leak(before);
    DRIVE_REQUIRE(unlink(path) == 0, "unlink");
    drive_end();
    printf("%lu lives, %lu times descriptors passed, %lu ways granted\n",
           (unsigned long)lives, (unsigned long)passed, (unsigned long)granted);
    DRIVE_REQUIRE(lives != 0 && passed != 0, "nothing was tried");
    return 0;
}
