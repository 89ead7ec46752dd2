/*
 * Our clients (client/client.h) against our broker, changing their way again and again,
 * keeping frames, closing and connecting anew, while the keeper's and the waiter's
 * threads work. Every request is answered, and every wake-up comes. The threads of odd
 * number talk to a broker with a secret.
 */
#include "client/client.h"
#include "drive.h"

#define CLIENTS 3U
#define EXCHANGES 1200U
#define PHASE 100U
#define LARGE_BYTES 40000U
#define WAIT_MS ((uint64_t)DRIVE_PATIENCE_S * 1000U)

struct me {
    struct random random;
    struct epb_client *client;
    pthread_mutex_t lock;
    pthread_cond_t rung;
    unsigned rings;
    uint32_t id;
    uint64_t kept; /* 0: none */
    uint8_t *room;
};

#define ROOM_BYTES ((size_t)1 << 20)

static char paths[2][128];
static const char secret[] = "a secret of thirty-two characters";
static const uint8_t large[LARGE_BYTES];
static atomic_ulong exchanges;
static atomic_ulong connections;

static void
on_ready(void *context)
{
    struct me *me = context;

    pthread_mutex_lock(&me->lock);
    me->rings++;
    pthread_cond_signal(&me->rung);
    pthread_mutex_unlock(&me->lock);
}

static unsigned
count_rings(struct me *me)
{
    pthread_mutex_lock(&me->lock);
    unsigned rings = me->rings;
    pthread_mutex_unlock(&me->lock);
    return rings;
}

/* Until it rings once more than before. */
static void
await_ring(struct me *me, unsigned before)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRIVE_PATIENCE_S;
    pthread_mutex_lock(&me->lock);
    while (me->rings == before) {
        DRIVE_REQUIRE(pthread_cond_timedwait(&me->rung, &me->lock, &until) == 0,
                      "no wake-up");
    }
    pthread_mutex_unlock(&me->lock);
}

static bool
has_reply(const struct me *me, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes; at += 4 + (size_t)epb_get_u32(me->room + at)) {
        if (epb_get_u32(me->room + at + 8) == me->id) {
            return true;
        }
    }
    return false;
}

static void
await_something(struct me *me)
{
    if (random_below(&me->random, 2) == 0) {
        DRIVE_REQUIRE(epb_client_wait(me->client, WAIT_MS), "no answer");
        return;
    }
    unsigned before = count_rings(me);
    if (epb_client_arm(me->client) == EPB_OK) {
        await_ring(me, before);
    }
}

/* One request, and its reply. */
static enum epb_status
exchange(struct me *me, const struct epb_request *request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 2 * LARGE_BYTES);
    drive_add(&frame, request);
    struct epb_exchange step = {.out = {epb_buf_data(&frame), epb_buf_size(&frame)},
                                .into = me->room,
                                .into_bytes = ROOM_BYTES,
                                .spin_us = 20};
    enum epb_status status = epb_client_exchange(me->client, &step);
    epb_buf_fini(&frame);
    while (status == EPB_OK && !has_reply(me, step.received_bytes)) {
        await_something(me);
        step = (struct epb_exchange){.into = me->room, .into_bytes = ROOM_BYTES};
        status = epb_client_exchange(me->client, &step);
    }
    return status;
}

static void
keep_or_unkeep(struct me *me)
{
    struct epb_request ping = {.action = EPB_ACTION_PING};
    struct epb_buf frame;

    if (me->kept != 0) {
        epb_client_stop_renewal(me->client, me->kept);
        me->kept = 0;
        return;
    }
    epb_buf_init(&frame, 4096);
    drive_add(&frame, &ping);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    uint64_t interval_ms = 1 + random_below(&me->random, 3);
    if (epb_client_start_renewal(me->client, bytes, interval_ms, &me->kept) != EPB_OK) {
        me->kept = 0;
    }
    epb_buf_fini(&frame);
}

/* Small exchanges for a while, which go by pipes, then large ones, which don't. */
static void
converse(struct me *me)
{
    static const char *const keys[] = {"k0", "k1", "k2"};
    bool is_large = false;

    me->kept = 0;
    for (unsigned i = 0; i < EXCHANGES && !drive_over(); i++) {
        struct epb_request request = {.id = ++me->id, .action = EPB_ACTION_HAS};
        if (i % PHASE == 0) {
            is_large = random_below(&me->random, 3) == 0;
        }
        if (i % 200 == 10) {
            keep_or_unkeep(me);
        }
        request.key = bytes_of(keys[random_below(&me->random, 3)]);
        if (is_large) {
            request.action = EPB_ACTION_SET;
            request.flags = EPB_F_BINARY;
            request.value = (struct epb_bytes){large, sizeof(large)};
        }
        enum epb_status status = exchange(me, &request);
        DRIVE_REQUIRE(status == EPB_OK, "%s", epb_status_name(status));
        atomic_fetch_add(&exchanges, 1);
    }
}

static void *
run_client(void *argument)
{
    bool with_secret = (uintptr_t)argument % 2 != 0;
    struct epb_bytes shared =
        with_secret ? bytes_of(secret) : (struct epb_bytes){NULL, 0};
    struct me me = {.random = drive_random((unsigned)(uintptr_t)argument),
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .rung = PTHREAD_COND_INITIALIZER,
                    .room = malloc(ROOM_BYTES)};
    int os_error = 0;

    while (!drive_over()) {
        me.client = epb_client_new(paths[with_secret], shared, on_ready, &me);
        DRIVE_REQUIRE(me.client != NULL, "memory");
        for (unsigned i = 0; i < 3 && !drive_over(); i++) {
            DRIVE_REQUIRE(epb_client_connect(me.client, &os_error) == EPB_OK, "%d",
                          os_error);
            atomic_fetch_add(&connections, 1);
            me.id = 0;
            converse(&me);
            if (random_below(&me.random, 2) == 0) {
                epb_client_close(me.client);
            }
        }
        epb_client_free(me.client);
    }
    free(me.room);
    return NULL;
}

int
main(int argc, char **argv)
{
    pthread_t clients[CLIENTS];
    struct epb_server *servers[2];

    drive_begin(argc, argv);
    for (unsigned i = 0; i < 2; i++) {
        struct epb_server_options options = drive_options();
        if (i == 1) {
            options.secret = bytes_of(secret);
        }
        servers[i] = drive_start(&options);
        (void)snprintf(paths[i], sizeof(paths[i]), "%s", epb_server_path(servers[i]));
    }
    drive_threads(clients, CLIENTS, run_client);
    drive_join(clients, CLIENTS);
    epb_server_stop(servers[0]);
    epb_server_stop(servers[1]);
    drive_end();
    printf("%lu exchanges, %lu connections\n", (unsigned long)exchanges,
           (unsigned long)connections);
    DRIVE_REQUIRE(exchanges != 0, "nothing was tried");
    return 0;
}
