/* See client.h. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../wire/channel.h"
#include "../wire/frame.h"
#include "look.h"
#include "transport.h"

struct epb_client {
    char *path;
    uint8_t *secret;
    size_t secret_bytes;
    epb_client_fn on_ready;
    void *context;
    struct epb_channel *channel;     /* NULL: not connected */
    struct epb_transport *transport; /* NULL: not connected */
    struct epb_look look;
    uint32_t pid;
    bool write_failed;      /* what has come can still be read */
    enum epb_status closed; /* EPB_OK while the connection lives; else why it ended */
};

struct epb_client *
epb_client_new(const char *path, struct epb_bytes secret, epb_client_fn on_ready,
               void *context)
{
    struct epb_client *client = calloc(1, sizeof(*client));

    if (client == NULL)
        return NULL;
    client->pid = epb_sys_pid();
    client->on_ready = on_ready;
    client->context = context;
    client->path = strdup(path);
    if (client->path == NULL)
        goto failed;
    if (secret.size_bytes != 0) {
        client->secret = epb_mem_alloc(secret.size_bytes);
        if (client->secret == NULL)
            goto failed;
        memcpy(client->secret, secret.data, secret.size_bytes);
        client->secret_bytes = secret.size_bytes;
    }
    return client;

failed:
    epb_client_free(client);
    return NULL;
}

void
epb_client_free(struct epb_client *client)
{
    if (client == NULL)
        return;
    epb_client_close(client);
    epb_mem_free(client->secret);
    free(client->path);
    free(client);
}

void
epb_client_close(struct epb_client *client)
{
    epb_transport_close(client->transport);
    epb_channel_free(client->channel);
    client->transport = NULL;
    client->channel = NULL;
}

bool
epb_client_connected(const struct epb_client *client)
{
    return client->transport != NULL;
}

bool
epb_client_open(const struct epb_client *client)
{
    return client->channel != NULL && epb_channel_open(client->channel);
}

enum epb_status
epb_client_connect(struct epb_client *client, int *os_error)
{
    *os_error = 0;
    /* A forked child has neither the keys nor the thread that waits. */
    if (client->pid != epb_sys_pid())
        return EPB_INTERNAL;
    epb_client_close(client);
    struct epb_bytes secret = {client->secret, client->secret_bytes};
    client->channel = epb_channel_new(secret);
    if (client->channel == NULL)
        return EPB_INTERNAL;
    *os_error = epb_transport_open(client->path, client->on_ready, client->context,
                                   &client->transport);
    if (*os_error != 0) {
        epb_client_close(client);
        return EPB_BROKER_GONE;
    }
    client->look = (struct epb_look){0};
    client->write_failed = false;
    client->closed = EPB_OK;
    return EPB_OK;
}

/* --- Sending --- */

/* A broker that refuses says why before it closes: failing to write is no reason not to
 * read. */
static void
flush(struct epb_client *client)
{
    while (!client->write_failed) {
        struct epb_bytes output = epb_channel_output(client->channel);
        if (output.size_bytes == 0)
            return;
        int written =
            epb_transport_write(client->transport, output.data, output.size_bytes);
        if (written < 0)
            client->write_failed = true;
        if (written <= 0)
            return;
        epb_channel_sent(client->channel, (size_t)written);
    }
}

static enum epb_status
send_frames(struct epb_client *client, struct epb_bytes frames)
{
    if (frames.size_bytes == 0 || client->write_failed)
        return EPB_OK;
    return epb_channel_send(client->channel, frames);
}

size_t
epb_client_unsent(const struct epb_client *client)
{
    if (client->channel == NULL || client->write_failed)
        return 0;
    return epb_channel_output(client->channel).size_bytes;
}

/* --- Receiving --- */

/* Reads what is there; tells whether that was anything. */
static bool
fill(struct epb_client *client)
{
    bool any = false;
    uint8_t *memory = NULL;
    size_t room = 0;

    while (client->closed == EPB_OK) {
        client->closed = epb_channel_input(client->channel, &memory, &room);
        if (client->closed != EPB_OK)
            break;
        int size = epb_transport_read(client->transport, memory, room);
        if (size == 0) {
            if (client->write_failed)
                client->closed = EPB_BROKER_GONE;
            break;
        }
        if (size < 0) {
            client->closed = epb_channel_closed(client->channel);
            break;
        }
        any = true;
        client->closed = epb_channel_received(client->channel, (size_t)size);
        /* Less than there was room for: it is empty now. */
        if ((size_t)size < room)
            break;
    }
    return any;
}

/* Moves the whole frames at the front of the stream, as many as fit. Whether that was
 * anything, or more room is needed. */
static bool
deliver(struct epb_client *client, struct epb_exchange *exchange)
{
    struct epb_bytes stream = epb_channel_stream(client->channel);
    size_t whole = 0;

    for (;;) {
        struct epb_bytes rest = {stream.data + whole, stream.size_bytes - whole};
        size_t size_bytes = 0;
        if (rest.size_bytes == 0)
            break;
        enum epb_frame_state state =
            epb_frame_scan(rest, EPB_CLIENT_FRAME_MAX_BYTES, &size_bytes);
        if (state == EPB_FRAME_TOO_LARGE)
            client->closed = EPB_TOO_LARGE;
        if (state != EPB_FRAME_COMPLETE)
            break;
        if (size_bytes > exchange->into_bytes - whole) {
            if (whole == 0)
                exchange->needed_bytes = size_bytes;
            break;
        }
        whole += size_bytes;
    }
    if (whole != 0) {
        memcpy(exchange->into, stream.data, whole);
        epb_channel_consume(client->channel, whole);
        exchange->received_bytes = whole;
    }
    return whole != 0 || exchange->needed_bytes != 0;
}

/* Looks again, giving way each time round, until there is something or the time is up. A
 * part of a frame makes the rest worth as much time again. */
static bool
look_again(struct epb_client *client, struct epb_exchange *exchange)
{
    bool found = false;
    uint64_t now_ns = epb_sys_ticks_ns();
    uint64_t since_ns = now_ns;

    do {
        epb_sys_yield();
        flush(client);
        bool any = fill(client);
        found = deliver(client, exchange);
        now_ns = epb_sys_ticks_ns();
        if (any)
            since_ns = now_ns;
    } while (!found && client->closed == EPB_OK &&
             now_ns - since_ns < exchange->look_us * 1000U);
    epb_look_done(&client->look, found);
    return found;
}

enum epb_status
epb_client_exchange(struct epb_client *client, struct epb_exchange *exchange)
{
    exchange->received_bytes = 0;
    exchange->needed_bytes = 0;
    if (client->transport == NULL)
        return EPB_BROKER_GONE;
    enum epb_status status = send_frames(client, exchange->out);
    if (status != EPB_OK) {
        epb_client_close(client);
        return status;
    }
    flush(client);
    if (deliver(client, exchange))
        return EPB_OK;
    /* The answer to what has just left can't be there yet: give way before looking. */
    bool found = false;
    bool look = exchange->look_us != 0;
    if (exchange->out.size_bytes == 0 || !look) {
        (void)fill(client);
        found = deliver(client, exchange);
        look = look && !found && client->closed == EPB_OK;
    }
    if (look && epb_look_worth(&client->look)) {
        found = look_again(client, exchange);
    } else if (look && exchange->out.size_bytes != 0) {
        (void)fill(client);
        found = deliver(client, exchange);
    }
    if (found || client->closed == EPB_OK)
        return EPB_OK;
    epb_client_close(client);
    return client->closed;
}

/* --- Waiting --- */

bool
epb_client_wait(struct epb_client *client, uint64_t timeout_ms)
{
    uint64_t until_ns = epb_sys_ticks_ns() + timeout_ms * 1000000U;

    while (client->transport != NULL) {
        (void)flush(client);
        bool or_write = epb_client_unsent(client) != 0;
        if (epb_transport_wait(client->transport, or_write, timeout_ms) <= 0)
            return false;
        /* It may have become writable only: then what could be written is, and we wait
         * on. */
        if (!or_write || epb_transport_wait(client->transport, false, 0) != 0)
            return true;
        uint64_t now_ns = epb_sys_ticks_ns();
        timeout_ms = now_ns < until_ns ? (until_ns - now_ns + 999999U) / 1000000U : 0;
    }
    return true;
}

enum epb_status
epb_client_arm(struct epb_client *client)
{
    if (client->transport == NULL)
        return EPB_BROKER_GONE;
    int error = epb_transport_arm(client->transport, epb_client_unsent(client) != 0);

    return error == 0 ? EPB_OK : EPB_INTERNAL;
}
