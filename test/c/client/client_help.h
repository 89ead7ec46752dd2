/* What the tests of a client share: one of a broker by the name of "client", a ring for
 * when it is ready, and requests that wait for their replies. */
#ifndef EPB_TEST_CLIENT_HELP_H
#define EPB_TEST_CLIENT_HELP_H

#include "client/client.h"
#include "client/path_plan.h"
#include "io_help.h"
#include "os/spin.h"

/* The broker */

static struct broker broker;
static const char secret_text[] = "a secret of some length";

static inline void
begin(const char *secret)
{
    broker_init(&broker);
    broker.options.pipe_id = "client";
    broker.options.secret = bytes_of(secret);
    broker_start(&broker);
}

static inline void
begin_plain(void)
{
    begin("");
}

static inline void
begin_secret(void)
{
    begin(secret_text);
}

static inline void
end(void)
{
    broker_stop(&broker);
}

/* The client */

/* Rings when the client is ready. */
struct ring {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    unsigned count;
};

static inline void
ring_init(struct ring *ring)
{
    memset(ring, 0, sizeof(*ring));
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->rung, NULL);
}

static inline void
on_ready(void *context)
{
    struct ring *ring = context;

    pthread_mutex_lock(&ring->lock);
    ring->count++;
    pthread_cond_signal(&ring->rung);
    pthread_mutex_unlock(&ring->lock);
}

static inline void
await_ring(struct ring *ring, unsigned count)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&ring->lock);
    while (ring->count < count) {
        cr_assert_eq(pthread_cond_timedwait(&ring->rung, &ring->lock, &until), 0,
                     "it never rang");
    }
    pthread_mutex_unlock(&ring->lock);
}

static uint8_t room[1 << 20];

/* One step; the frames are in `room`. */
static inline enum epb_status
step(struct epb_client *client, struct epb_bytes out, size_t *received)
{
    struct epb_exchange exchange = {
        .out = out, .into = room, .into_bytes = sizeof(room), .spin_us = EPB_SPIN_US};

    enum epb_status status = epb_client_exchange(client, &exchange);

    *received = exchange.received_bytes;
    return status;
}

static inline struct epb_client *
client_of(const char *secret, struct ring *ring)
{
    char path[256];
    struct epb_client *client = NULL;
    int os_error = 0;

    (void)snprintf(path, sizeof(path), "%s/broker-client.sock", own_directory());
    client = epb_client_new(path, bytes_of(secret), on_ready, ring);
    cr_assert_not_null(client);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_OK, "%s",
                 epb_os_error_name(os_error));
    return client;
}

/* Sends, and waits for one reply or the end. */
static inline enum epb_status
ask(struct epb_client *client, const struct epb_request *request, struct epb_reply *reply)
{
    struct epb_buf frame;
    size_t received = 0;

    epb_buf_init(&frame, 8U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    struct epb_bytes out = {epb_buf_data(&frame), epb_buf_size(&frame)};
    enum epb_status status = step(client, out, &received);
    while (status == EPB_OK && received == 0) {
        cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
        status = step(client, (struct epb_bytes){NULL, 0}, &received);
    }
    epb_buf_fini(&frame);
    if (status == EPB_OK) {
        struct epb_bytes bytes = {room, received};
        cr_assert_eq(epb_frame_decode_reply(bytes, reply), EPB_OK);
    }
    return status;
}

static inline void
expect_ping(struct epb_client *client)
{
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_reply reply;

    cr_assert_eq(ask(client, &ping, &reply), EPB_OK);
    cr_assert_eq(reply.status, EPB_OK);
}

static inline enum epb_status
set_value(struct epb_client *client, const char *key, size_t size_bytes)
{
    struct epb_request set = request_of(EPB_ACTION_SET, 1, key);
    struct epb_reply reply = {.status = EPB_INTERNAL};
    uint8_t *value = malloc(size_bytes);

    cr_assert_not_null(value);
    memset(value, 'v', size_bytes);
    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = 60000;
    set.value = (struct epb_bytes){value, size_bytes};
    cr_assert_eq(ask(client, &set, &reply), EPB_OK);
    free(value);
    return reply.status;
}

#endif
