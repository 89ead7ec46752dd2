/* See client.h. */
#include "client.h"

#include <string.h>

#include "../base/list.h"
#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "../os/spin.h"
#include "../wire/channel.h"
#include "../wire/frame.h"
#include "holds.h"
#include "own_frame.h"
#include "path_plan.h"
#include "renewal.h"
#include "renewer.h"
#include "session_key.h"
#include "transport.h"

struct epb_client {
    struct epb_list of_thread; /* in `sharing` */
    char *path;
    uint8_t *secret;
    size_t secret_bytes;
    epb_client_fn on_ready;
    void *context;
    struct epb_spin spin;
    uint32_t pid;
    struct epb_renewer_user kept;
    struct epb_renewal renewal; /* used by the renewer thread while frames are kept */
    uint8_t *session_key;       /* NULL: it shares no session */
    uint32_t session_pid;       /* the process that the broker shows for it */
    struct epb_holds *holds;    /* of that session */
    bool has_held;              /* a lease was added to `holds` since it connected */

    struct epb_channel *channel;     /* NULL: not connected */
    struct epb_transport *transport; /* NULL: not connected */
    bool write_failed;               /* received bytes can still be read */
    enum epb_status closed; /* EPB_OK while the connection lives; else why it ended */
    uint64_t sent_bytes;    /* over this connection */
    bool is_joining;        /* the reply to the join is outstanding */
    bool has_joined;        /* the join was sent, or is not needed */
    uint64_t session;       /* its number; 0: unknown */
    struct epb_path_plan plan;
    uint64_t last_mark; /* SWITCHING: sent_bytes at the end of the request to switch */
};

/* The clients of this thread that share sessions. All zero: not initialized yet. */
static _Thread_local struct epb_list sharing;

/* Runs on the renewer thread. */
static enum epb_renewal_plan_sent
send_kept(void *context, struct epb_bytes frames)
{
    return epb_renewal_send(context, frames);
}

/* False in a forked child. It has a copy of the descriptor, and of a channel whose memory
 * was wiped: it must not use anything but the descriptor. */
static bool
is_ours(const struct epb_client *client)
{
    return client->pid == epb_sys_pid();
}

struct epb_client *
epb_client_new(const char *path, struct epb_bytes secret, epb_client_fn on_ready,
               void *context)
{
    struct epb_client *client = epb_mem_table_alloc(sizeof(*client));

    if (client == NULL) {
        return NULL;
    }
    epb_list_init(&client->of_thread);
    epb_renewer_user_init(&client->kept, send_kept, &client->renewal);
    client->pid = epb_sys_pid();
    client->on_ready = on_ready;
    client->context = context;
    client->path = epb_mem_table_text(path);
    if (client->path == NULL) {
        goto failed;
    }
    if (secret.size_bytes != 0) {
        client->secret = epb_mem_alloc(secret.size_bytes);
        if (client->secret == NULL) {
            goto failed;
        }
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
    if (client == NULL) {
        return;
    }
    epb_client_close(client);
    epb_list_remove(&client->of_thread);
    epb_holds_leave(client->holds);
    if (is_ours(client)) {
        epb_mem_free(client->secret);
        epb_mem_free(client->session_key);
    }
    epb_mem_table_free(client->path);
    epb_mem_table_free(client);
}

enum epb_status
epb_client_share(struct epb_client *client, uint32_t pid)
{
    const struct epb_bytes secret = {client->secret, client->secret_bytes};
    uint8_t *key = epb_mem_alloc(EPB_SESSION_KEY_BYTES);

    if (key == NULL) {
        return EPB_INTERNAL;
    }
    enum epb_status status = epb_session_key(client->path, secret, key);
    struct epb_holds *holds =
        status == EPB_OK ? epb_holds_enter(client->path, secret, key) : NULL;
    if (holds == NULL) {
        epb_mem_free(key);
        return EPB_INTERNAL;
    }
    epb_holds_leave(client->holds);
    client->holds = holds;
    epb_mem_free(client->session_key);
    client->session_key = key;
    client->session_pid = pid == 0 ? epb_sys_pid() : pid;
    if (sharing.next == NULL) {
        epb_list_init(&sharing);
    }
    epb_list_remove(&client->of_thread);
    epb_list_append(&sharing, &client->of_thread);
    client->renewal =
        (struct epb_renewal){.path = client->path, .secret = secret, .key = key};
    return EPB_OK;
}

uint64_t
epb_client_session(const struct epb_client *client)
{
    return client->session;
}

static bool
are_siblings(const struct epb_client *client, const struct epb_client *other)
{
    return other != client && other->transport != NULL &&
           epb_mem_equal(other->session_key, client->session_key, EPB_SESSION_KEY_BYTES);
}

unsigned
epb_client_siblings(const struct epb_client *client, epb_client_fn visit)
{
    unsigned count = 0;

    if (client->session_key == NULL) {
        return 0;
    }
    for (struct epb_list *node = sharing.next; node != &sharing; node = node->next) {
        const struct epb_client *other =
            EPB_LIST_ITEM(node, struct epb_client, of_thread);
        if (!are_siblings(client, other)) {
            continue;
        }
        count++;
        if (visit != NULL) {
            visit(other->context);
        }
    }
    return count;
}

void
epb_client_close(struct epb_client *client)
{
    /* The session must have taken over its leases before this connection ends. */
    if (client->has_held) {
        epb_holds_await(client->holds);
    }
    client->has_held = false;
    epb_renewer_forget(&client->kept);
    if (is_ours(client)) {
        epb_renewal_let_go(&client->renewal);
    }
    epb_transport_close(client->transport);
    if (is_ours(client)) {
        epb_channel_free(client->channel);
    }
    client->transport = NULL;
    client->channel = NULL;
}

bool
epb_client_connected(const struct epb_client *client)
{
    return client->transport != NULL;
}

bool
epb_client_is_open(struct epb_client *client)
{
    return client->channel != NULL && is_ours(client) &&
           epb_channel_is_open(client->channel);
}

uint32_t
epb_client_broker_pid(const struct epb_client *client)
{
    return client->transport == NULL ? 0 : epb_transport_peer_pid(client->transport);
}

enum epb_status
epb_client_connect(struct epb_client *client, int *os_error)
{
    *os_error = 0;
    if (!is_ours(client)) {
        return EPB_INTERNAL;
    }
    epb_client_close(client);
    struct epb_bytes secret = {client->secret, client->secret_bytes};
    client->channel = epb_channel_new(secret);
    if (client->channel == NULL) {
        return EPB_INTERNAL;
    }
    *os_error = epb_transport_open(client->path, client->secret_bytes != 0,
                                   client->on_ready, client->context, &client->transport);
    if (*os_error != 0) {
        epb_client_close(client);
        return EPB_BROKER_GONE;
    }
    client->spin = (struct epb_spin){0};
    client->write_failed = false;
    client->closed = EPB_OK;
    client->sent_bytes = 0;
    client->is_joining = false;
    client->has_joined = client->session_key == NULL;
    client->session = 0;
    client->plan = (struct epb_path_plan){0};
    return EPB_OK;
}

/* Sending */

/* Bytes that may be written now. After a failed write the client still reads, because a
 * broker that refuses sends the reason before it closes. */
static struct epb_bytes
sendable(const struct epb_client *client)
{
    if (client->write_failed) {
        return (struct epb_bytes){NULL, 0};
    }
    struct epb_bytes output = epb_channel_output(client->channel);
    uint64_t left_bytes = client->last_mark - client->sent_bytes;
    if (client->plan.state == EPB_PATH_SWITCHING && output.size_bytes > left_bytes) {
        output.size_bytes = (size_t)left_bytes;
    }
    return output;
}

static void
flush(struct epb_client *client)
{
    for (;;) {
        struct epb_bytes output = sendable(client);
        if (output.size_bytes == 0) {
            return;
        }
        int written =
            epb_transport_write(client->transport, output.data, output.size_bytes);
        if (written < 0) {
            client->write_failed = true;
        }
        if (written <= 0) {
            return;
        }
        epb_channel_sent(client->channel, (size_t)written);
        client->sent_bytes += (size_t)written;
    }
}

/* Sends an internal request; whether the channel accepted it. */
static bool
send_own(struct epb_client *client, const struct epb_request *request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, EPB_OWN_FRAME_MAX_BYTES);
    bool sent = epb_frame_encode_request(&frame, request) == EPB_OK &&
                epb_channel_send(client->channel,
                                 (struct epb_bytes){epb_buf_data(&frame),
                                                    epb_buf_size(&frame)}) == EPB_OK;
    epb_buf_fini(&frame);
    return sent;
}

static bool
join(struct epb_client *client)
{
    struct epb_request request = epb_own_join(client->session_key, client->session_pid);

    request.id = EPB_OWN_ID;
    client->is_joining = send_own(client, &request);
    client->has_joined = client->is_joining;
    return client->has_joined;
}

static enum epb_status
send_frames(struct epb_client *client, struct epb_bytes frames)
{
    if (frames.size_bytes == 0 || client->write_failed) {
        return EPB_OK;
    }
    if (!client->has_joined && !join(client)) {
        return EPB_INTERNAL;
    }
    return epb_channel_send(client->channel, frames);
}

size_t
epb_client_unsent(struct epb_client *client)
{
    if (!is_ours(client) || client->channel == NULL || client->write_failed) {
        return 0;
    }
    return epb_channel_output(client->channel).size_bytes;
}

/* The path: socket or pipe pair */

/* Sends a request for a pipe pair (no flags), or to switch to it or back (`count`). */
static bool
send_pipe_pair(struct epb_client *client, uint32_t flags, int64_t count)
{
    const struct epb_request request = {
        .action = EPB_FRAME_PIPE_PAIR, .id = EPB_OWN_ID, .flags = flags, .count = count};

    return send_own(client, &request);
}

static void
take_step(struct epb_client *client, enum epb_path_step step)
{
    bool is_sent;

    switch (step) {
    case EPB_PATH_STAY:
        break;
    case EPB_PATH_ASK:
        is_sent = epb_transport_expect_pipe_pair(client->transport) &&
                  send_pipe_pair(client, 0, 0);
        epb_path_asked(&client->plan, is_sent);
        break;
    case EPB_PATH_SWITCH:
        is_sent =
            send_pipe_pair(client, EPB_F_COUNT, client->plan.is_on_pipe_pair ? 0 : 1);
        epb_path_began(&client->plan, is_sent);
        client->last_mark =
            client->sent_bytes + epb_channel_output(client->channel).size_bytes;
        break;
    }
}

/* The reply to a request of take_step. */
static void
take_path_reply(struct epb_client *client, bool is_granted)
{
    struct epb_path_plan *plan = &client->plan;

    if (plan->state == EPB_PATH_ASKED) {
        bool has_pair = epb_transport_settle_pipe_pair(client->transport, is_granted);
        take_step(client, epb_path_paired(plan, has_pair));
        return;
    }
    epb_path_switched(plan, is_granted);
    if (is_granted) {
        epb_transport_use_pipe_pair(client->transport, plan->is_on_pipe_pair);
    } else if (!plan->is_on_pipe_pair) {
        (void)epb_transport_settle_pipe_pair(client->transport, false);
    }
}

/* The reply to the join. A broker that does not know the action, or is draining, leaves
 * the client a session alone. Any other error closes the connection: the broker would
 * treat the thread's leases as those of another process. */
static void
take_session(struct epb_client *client, const struct epb_reply *reply)
{
    client->is_joining = false;
    if (reply->status == EPB_OK) {
        client->session = (uint64_t)reply->count;
    } else if (reply->status != EPB_UNKNOWN_ACTION && reply->status != EPB_DRAINING) {
        client->closed = reply->status;
    }
}

/* The reply to an internal request has arrived. */
static void
take_own_reply(struct epb_client *client, struct epb_bytes frame)
{
    struct epb_reply reply;

    if (epb_frame_decode_reply(frame, &reply) != EPB_OK) {
        reply = (struct epb_reply){.status = EPB_INTERNAL};
    }
    if (client->is_joining) {
        take_session(client, &reply);
        return;
    }
    take_path_reply(client, reply.status == EPB_OK);
    flush(client);
}

static bool
is_own_reply(const struct epb_client *client, struct epb_bytes frame)
{
    return (client->is_joining || epb_path_awaits_reply(&client->plan)) &&
           epb_frame_id(frame) == EPB_OWN_ID;
}

/* Receiving */

/* Reads all available bytes; whether there were any. */
static bool
fill(struct epb_client *client)
{
    bool any = false;
    uint8_t *memory = NULL;
    size_t room = 0;

    while (client->closed == EPB_OK) {
        client->closed = epb_channel_input(client->channel, &memory, &room);
        if (client->closed != EPB_OK) {
            break;
        }
        int size = epb_transport_read(client->transport, memory, room);
        if (size == 0) {
            if (client->write_failed) {
                client->closed = EPB_BROKER_GONE;
            }
            break;
        }
        if (size < 0) {
            client->closed = epb_channel_close(client->channel);
            break;
        }
        any = true;
        client->closed = epb_channel_received(client->channel, (size_t)size);
        /* A short read: the socket is empty now. */
        if ((size_t)size < room) {
            break;
        }
    }
    return any;
}

/* Moves whole frames from the front of the stream to the caller, as many as fit. True if
 * there were any, or if the next one does not fit. */
static bool
deliver(struct epb_client *client, struct epb_exchange *exchange)
{
    struct epb_bytes stream = epb_channel_stream(client->channel);
    size_t whole = 0;

    for (;;) {
        struct epb_bytes rest = {stream.data + whole, stream.size_bytes - whole};
        size_t size_bytes = 0;
        if (rest.size_bytes == 0) {
            break;
        }
        enum epb_frame_state state =
            epb_frame_scan(rest, EPB_CLIENT_FRAME_MAX_BYTES, &size_bytes);
        if (state == EPB_FRAME_TOO_LARGE) {
            client->closed = EPB_TOO_LARGE;
        }
        if (state != EPB_FRAME_COMPLETE) {
            break;
        }
        rest.size_bytes = size_bytes;
        if (is_own_reply(client, rest)) {
            if (whole != 0) {
                break;
            }
            take_own_reply(client, rest);
            epb_channel_consume(client->channel, size_bytes);
            stream = epb_channel_stream(client->channel);
            continue;
        }
        if (size_bytes > exchange->into_bytes - whole) {
            if (whole == 0) {
                exchange->needed_bytes = size_bytes;
            }
            break;
        }
        whole += size_bytes;
    }
    if (whole != 0) {
        memcpy(exchange->into, stream.data, whole);
        epb_channel_consume(client->channel, whole);
        exchange->received_bytes = whole;
        epb_path_receive(&client->plan, whole);
    }
    return whole != 0 || exchange->needed_bytes != 0;
}

/* Spins, with a yield each time, until a frame has arrived or the time is over. A part of
 * a frame starts the time again. */
static bool
spin_again(struct epb_client *client, struct epb_exchange *exchange)
{
    bool found = false;
    uint64_t now_ns = epb_sys_ticks_ns();
    uint64_t since_ns = now_ns;
    uint64_t wall_ns = now_ns + EPB_SPIN_WALL_US * 1000U;

    for (;;) {
        since_ns += epb_spin_yield(&client->spin, &now_ns);
        flush(client);
        bool any = fill(client);
        found = deliver(client, exchange);
        if (found || client->closed != EPB_OK) {
            break;
        }
        now_ns = epb_sys_ticks_ns();
        if (any) {
            since_ns = now_ns;
            wall_ns = now_ns + EPB_SPIN_WALL_US * 1000U;
        }
        if (now_ns >= wall_ns || now_ns - since_ns >= exchange->spin_us * 1000U) {
            break;
        }
    }
    epb_spin_note(&client->spin, found);
    return found;
}

/* Sends and receives. An error means that the connection has ended. */
static enum epb_status
trade(struct epb_client *client, struct epb_exchange *exchange)
{
    enum epb_status status = send_frames(client, exchange->out);

    if (status != EPB_OK) {
        return status;
    }
    if (exchange->out.size_bytes != 0) {
        take_step(client, epb_path_send(&client->plan, exchange->out.size_bytes));
    }
    flush(client);
    if (exchange->into == NULL || deliver(client, exchange)) {
        return EPB_OK;
    }
    /* The reply to frames just sent cannot have arrived yet: yield before reading. */
    bool found = false;
    bool spin = exchange->spin_us != 0;
    if (exchange->out.size_bytes == 0 || !spin) {
        (void)fill(client);
        found = deliver(client, exchange);
        spin = spin && !found && client->closed == EPB_OK;
    }
    if (spin && epb_spin_is_worth(&client->spin)) {
        found = spin_again(client, exchange);
    } else if (spin && exchange->out.size_bytes != 0) {
        (void)fill(client);
        found = deliver(client, exchange);
    }
    return found ? EPB_OK : client->closed;
}

enum epb_status
epb_client_exchange(struct epb_client *client, struct epb_exchange *exchange)
{
    exchange->received_bytes = 0;
    exchange->needed_bytes = 0;
    if (client->transport == NULL || !is_ours(client)) {
        return EPB_BROKER_GONE;
    }
    enum epb_status status = trade(client, exchange);
    if (status != EPB_OK) {
        epb_client_close(client);
    }
    return status;
}

/* Waiting */

bool
epb_client_wait(struct epb_client *client, uint64_t timeout_ms)
{
    uint64_t until_ns = epb_sys_ticks_ns() + timeout_ms * 1000000U;

    while (client->transport != NULL && is_ours(client)) {
        flush(client);
        bool or_write = sendable(client).size_bytes != 0;
        if (epb_transport_wait(client->transport, or_write, timeout_ms) <= 0) {
            return false;
        }
        /* If the transport is only writable, write and go on waiting. */
        if (!or_write || epb_transport_wait(client->transport, false, 0) != 0) {
            return true;
        }
        uint64_t now_ns = epb_sys_ticks_ns();
        timeout_ms = now_ns < until_ns ? (until_ns - now_ns + 999999U) / 1000000U : 0;
    }
    return true;
}

enum epb_status
epb_client_arm(struct epb_client *client)
{
    if (client->transport == NULL || !is_ours(client)) {
        return EPB_BROKER_GONE;
    }
    bool or_write = sendable(client).size_bytes != 0;
    int error = epb_transport_arm(client->transport, or_write);

    return error == 0 ? EPB_OK : EPB_INTERNAL;
}

/* Kept frames */

enum epb_status
epb_client_start_renewal(struct epb_client *client, struct epb_bytes frame,
                         uint64_t interval_ms, uint64_t *id)
{
    size_t size_bytes = 0;

    if (client->transport == NULL || !is_ours(client)) {
        return EPB_BROKER_GONE;
    }
    if (interval_ms == 0 || frame.size_bytes == 0 || client->session_key == NULL ||
        epb_frame_scan(frame, EPB_CLIENT_KEPT_MAX_BYTES, &size_bytes) !=
            EPB_FRAME_COMPLETE ||
        size_bytes != frame.size_bytes) {
        return EPB_INVALID_REQUEST;
    }
    enum epb_status status = epb_renewal_hold(&client->renewal);
    if (status == EPB_OK) {
        status = epb_renewer_add(&client->kept, frame, interval_ms, id);
    }
    return status;
}

void
epb_client_stop_renewal(struct epb_client *client, uint64_t id)
{
    if (!epb_renewer_remove(&client->kept, id) && is_ours(client)) {
        epb_renewal_let_go(&client->renewal);
    }
}

bool
epb_client_ms_since_renewal(struct epb_client *client, uint64_t id, uint64_t *ago_ms)
{
    return epb_renewer_ago(&client->kept, id, ago_ms);
}

int
epb_client_renewal_error(const struct epb_client *client)
{
    return epb_renewal_error(&client->renewal);
}

/* Holds */

enum epb_status
epb_client_hold(struct epb_client *client, uint64_t token, uint64_t interval_ms,
                bool is_renewed)
{
    if (client->transport == NULL || !is_ours(client)) {
        return EPB_BROKER_GONE;
    }
    if (interval_ms == 0 || client->holds == NULL) {
        return EPB_INVALID_REQUEST;
    }
    enum epb_status status = epb_holds_add(client->holds, token, interval_ms, is_renewed);
    client->has_held = client->has_held || status == EPB_OK;
    return status;
}

bool
epb_client_holds(const struct epb_client *client, uint64_t token)
{
    return client->holds != NULL && epb_holds_has(client->holds, token);
}

bool
epb_client_drop(struct epb_client *client, uint64_t token)
{
    return client->holds == NULL || epb_holds_drop(client->holds, token);
}
