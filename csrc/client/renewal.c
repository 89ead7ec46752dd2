/* See renewal.h. */
#include "renewal.h"

#include <stdatomic.h>
#include <string.h>

#include <uv.h>

#include "../base/list.h"
#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "../wire/channel.h"
#include "../wire/frame.h"
#include "own_frame.h"
#include "renewer.h"
#include "transport.h"

/* Longest wait for a new connection's handshake, and for the replies to a batch. Later
 * replies are read with the next batch. */
#define ANSWER_WAIT_MS 20U
/* The longest reply that is accepted. */
#define ANSWER_MAX_BYTES 4096U
/* Pause between attempts to connect: doubled each time, up to the maximum. */
#define RETRY_MIN_MS 25U
#define RETRY_MAX_MS 1000U

struct epb_renewal_link {
    struct epb_list of_all; /* this and `users` are guarded by the lock */
    unsigned users;         /* number of users with kept frames */
    char *path;
    uint8_t *secret; /* followed by the session's key */
    size_t secret_bytes;
    _Atomic int error; /* see epb_renewal_error; written by the renewer thread */

    /* Used by the renewer thread while it sends for one of the users. */
    struct epb_channel *channel;     /* NULL: not connected */
    struct epb_transport *transport; /* NULL: not connected */
    uint64_t connection;             /* number of connections so far */
    bool is_open;
    bool is_gone;        /* the last attempt showed that the broker has ended */
    uint64_t sent_bytes; /* over this connection, as are the next two */
    uint64_t asked;      /* frames sent that get a reply */
    uint64_t answered;   /* replies received */
    uint64_t retry_ms;   /* no attempt before; 0: at once */
    uint64_t delay_ms;   /* the last pause */
};

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static bool usable; /* written once */
static struct epb_list links;

static void
init_once(void)
{
    epb_list_init(&links);
    usable = uv_mutex_init(&lock) == 0;
}

static uint64_t
now_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
}

/* The links of the process */

static void
hang_up(struct epb_renewal_link *link)
{
    epb_transport_close(link->transport);
    epb_channel_free(link->channel);
    link->transport = NULL;
    link->channel = NULL;
    link->is_open = false;
}

static void
link_free(struct epb_renewal_link *link)
{
    hang_up(link);
    epb_mem_free(link->secret);
    epb_mem_table_free(link->path);
    epb_mem_table_free(link);
}

static struct epb_renewal_link *
link_new(const struct epb_renewal *renewal)
{
    struct epb_renewal_link *link = epb_mem_table_alloc(sizeof(*link));

    if (link == NULL) {
        return NULL;
    }
    epb_list_init(&link->of_all);
    link->secret_bytes = renewal->secret.size_bytes;
    link->path = epb_mem_table_text(renewal->path);
    link->secret = epb_mem_alloc(link->secret_bytes + EPB_SESSION_KEY_BYTES);
    if (link->path == NULL || link->secret == NULL) {
        link_free(link);
        return NULL;
    }
    if (link->secret_bytes != 0) {
        memcpy(link->secret, renewal->secret.data, link->secret_bytes);
    }
    memcpy(link->secret + link->secret_bytes, renewal->key, EPB_SESSION_KEY_BYTES);
    return link;
}

static bool
leads_to(const struct epb_renewal_link *link, const struct epb_renewal *renewal)
{
    return strcmp(link->path, renewal->path) == 0 &&
           link->secret_bytes == renewal->secret.size_bytes &&
           (link->secret_bytes == 0 ||
            epb_mem_equal(link->secret, renewal->secret.data, link->secret_bytes)) &&
           epb_mem_equal(link->secret + link->secret_bytes, renewal->key,
                         EPB_SESSION_KEY_BYTES);
}

/* With the lock held. */
static struct epb_renewal_link *
find_link(const struct epb_renewal *renewal)
{
    for (struct epb_list *node = links.next; node != &links; node = node->next) {
        struct epb_renewal_link *link =
            EPB_LIST_ITEM(node, struct epb_renewal_link, of_all);
        if (leads_to(link, renewal)) {
            return link;
        }
    }
    return NULL;
}

enum epb_status
epb_renewal_hold(struct epb_renewal *renewal)
{
    if (renewal->link != NULL) {
        return EPB_OK;
    }
    uv_once(&once, init_once);
    if (!usable) {
        return EPB_INTERNAL;
    }
    uv_mutex_lock(&lock);
    struct epb_renewal_link *link = find_link(renewal);
    if (link == NULL) {
        link = link_new(renewal);
        if (link != NULL) {
            epb_list_append(&links, &link->of_all);
        }
    }
    if (link != NULL) {
        link->users++;
    }
    uv_mutex_unlock(&lock);
    renewal->link = link;
    return link == NULL ? EPB_INTERNAL : EPB_OK;
}

void
epb_renewal_let_go(struct epb_renewal *renewal)
{
    struct epb_renewal_link *link = renewal->link;

    if (link == NULL) {
        return;
    }
    renewal->link = NULL;
    renewal->connection = 0;
    renewal->mark = 0;
    uv_mutex_lock(&lock);
    link->users--;
    bool is_last = link->users == 0;
    if (is_last) {
        epb_list_remove(&link->of_all);
    }
    uv_mutex_unlock(&lock);
    if (is_last) {
        link_free(link);
    }
}

/* One connection */

static void
ignore_ready(void *context)
{
    (void)context;
}

static void
give_up(struct epb_renewal_link *link, int error)
{
    hang_up(link);
    atomic_store(&link->error, error);
    link->delay_ms = link->delay_ms == 0 ? RETRY_MIN_MS : 2 * link->delay_ms;
    if (link->delay_ms > RETRY_MAX_MS) {
        link->delay_ms = RETRY_MAX_MS;
    }
    link->retry_ms = now_ms() + link->delay_ms;
}

/* Writes as much as possible; false: the connection has ended. */
static bool
flush(struct epb_renewal_link *link)
{
    for (;;) {
        struct epb_bytes output = epb_channel_output(link->channel);
        if (output.size_bytes == 0) {
            return true;
        }
        int written =
            epb_transport_write(link->transport, output.data, output.size_bytes);
        if (written <= 0) {
            return written == 0;
        }
        epb_channel_sent(link->channel, (size_t)written);
        link->sent_bytes += (size_t)written;
    }
}

/* Any reply to the first request opens the connection. The others report on a lease. */
static void
take_answer(struct epb_renewal_link *link, struct epb_bytes frame)
{
    struct epb_reply reply;

    if (epb_frame_id(frame) == EPB_OWN_ID) {
        link->is_open = true;
    } else if (epb_frame_decode_reply(frame, &reply) == EPB_OK && reply.id != 0) {
        link->answered++;
        epb_renewer_answered(reply.id, reply.status == EPB_LEASE_LOST ||
                                           reply.status == EPB_LEASE_HELD);
    }
}

/* Reads all available replies. False: the connection has ended. */
static bool
hear(struct epb_renewal_link *link)
{
    for (;;) {
        uint8_t *memory;
        size_t room;
        if (epb_channel_input(link->channel, &memory, &room) != EPB_OK) {
            return false;
        }
        int size = epb_transport_read(link->transport, memory, room);
        if (size == 0) {
            return true;
        }
        if (size < 0 || epb_channel_received(link->channel, (size_t)size) != EPB_OK) {
            return false;
        }
        struct epb_bytes stream = epb_channel_stream(link->channel);
        size_t frame_bytes = 0;
        while (epb_frame_scan(stream, ANSWER_MAX_BYTES, &frame_bytes) ==
               EPB_FRAME_COMPLETE) {
            take_answer(link, (struct epb_bytes){stream.data, frame_bytes});
            epb_channel_consume(link->channel, frame_bytes);
            stream = epb_channel_stream(link->channel);
        }
    }
}

static bool
send_own(struct epb_renewal_link *link, const struct epb_request *request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, EPB_OWN_FRAME_MAX_BYTES);
    bool sent = epb_frame_encode_request(&frame, request) == EPB_OK &&
                epb_channel_send(link->channel,
                                 (struct epb_bytes){epb_buf_data(&frame),
                                                    epb_buf_size(&frame)}) == EPB_OK;
    epb_buf_fini(&frame);
    return sent;
}

/* Connects; returns a libuv error code or 0. The first frame is a join without a reply,
 * so that a full broker recognizes a renewal connection. The ping is sent with the
 * handshake and answered after it. */
static int
dial(struct epb_renewal_link *link)
{
    const struct epb_request join =
        epb_own_join(link->secret + link->secret_bytes, epb_sys_pid());
    const struct epb_request ping = {.action = EPB_ACTION_PING, .id = EPB_OWN_ID};

    link->channel = epb_channel_new((struct epb_bytes){link->secret, link->secret_bytes});
    if (link->channel == NULL) {
        return UV_ENOMEM;
    }
    link->connection++;
    link->sent_bytes = 0;
    link->asked = 0;
    link->answered = 0;
    int error = epb_transport_open(link->path, link->secret_bytes != 0, ignore_ready,
                                   NULL, &link->transport);
    link->is_gone = error == UV_ENOENT || error == UV_ECONNREFUSED;
    if (error != 0) {
        return error;
    }
    if (!send_own(link, &join) || !send_own(link, &ping)) {
        return UV_ENOMEM;
    }
    return flush(link) ? 0 : UV_ECONNRESET;
}

/* Waits for a short time until the connection is open and all replies have arrived.
 * False: the connection has ended. */
static bool
await_answers(struct epb_renewal_link *link)
{
    uint64_t until_ms = now_ms() + ANSWER_WAIT_MS;

    while (!link->is_open || link->answered < link->asked) {
        uint64_t now = now_ms();
        if (now >= until_ms) {
            return true;
        }
        int ready = epb_transport_wait(link->transport, false, until_ms - now);
        if (ready != 0 && (!hear(link) || !flush(link))) {
            return false;
        }
    }
    return true;
}

/* Ensures an open connection; false: there is none now. */
static bool
advance(struct epb_renewal_link *link)
{
    bool was_open = link->is_open;

    if (link->transport != NULL) {
        if (hear(link) && flush(link)) {
            return link->is_open;
        }
        if (was_open) {
            hang_up(link);
        } else {
            give_up(link, UV_ECONNRESET);
        }
    }
    if (now_ms() < link->retry_ms) {
        return false;
    }
    int error = dial(link);
    if (error == 0 && !await_answers(link)) {
        error = UV_ECONNRESET;
    }
    if (error != 0) {
        give_up(link, error);
    } else if (!link->is_open) {
        atomic_store(&link->error, UV_ETIMEDOUT);
    }
    return link->is_open;
}

/* Sending */

static void
count_asked(struct epb_renewal_link *link, struct epb_bytes frames)
{
    size_t frame_bytes = 0;

    while (epb_frame_scan(frames, frames.size_bytes, &frame_bytes) ==
           EPB_FRAME_COMPLETE) {
        struct epb_bytes frame = {frames.data, frame_bytes};
        link->asked += epb_frame_id(frame) != 0;
        frames.data += frame_bytes;
        frames.size_bytes -= frame_bytes;
    }
}

/* Flushes over an open connection, and waits for the replies. */
static enum epb_renewal_plan_sent
deliver(struct epb_renewal_link *link, uint64_t mark)
{
    int error = 0;
    enum epb_renewal_plan_sent sent = EPB_RENEWAL_PLAN_LEFT;

    if (!flush(link) || (link->sent_bytes >= mark && !await_answers(link))) {
        error = UV_ECONNRESET;
    } else if (link->sent_bytes < mark) {
        error = UV_ETIMEDOUT;
        sent = EPB_RENEWAL_PLAN_WAITS;
    } else if (link->answered < link->asked) {
        error = UV_ETIMEDOUT;
    }
    atomic_store(&link->error, error);
    if (error == UV_ECONNRESET) {
        hang_up(link);
        sent = EPB_RENEWAL_PLAN_REFUSED;
    }
    return sent;
}

enum epb_renewal_plan_sent
epb_renewal_send(struct epb_renewal *renewal, struct epb_bytes frames)
{
    struct epb_renewal_link *link = renewal->link;

    if (!advance(link)) {
        return link->is_gone ? EPB_RENEWAL_PLAN_DEAD : EPB_RENEWAL_PLAN_REFUSED;
    }
    link->retry_ms = 0;
    link->delay_ms = 0;
    if (frames.size_bytes != 0) {
        if (epb_channel_send(link->channel, frames) != EPB_OK) {
            atomic_store(&link->error, UV_ENOMEM);
            return EPB_RENEWAL_PLAN_REFUSED;
        }
        count_asked(link, frames);
        renewal->connection = link->connection;
        renewal->mark = link->sent_bytes + epb_channel_output(link->channel).size_bytes;
    } else if (renewal->connection != link->connection) {
        /* Frames that had not left the previous connection were lost with it. */
        return EPB_RENEWAL_PLAN_REFUSED;
    }
    return deliver(link, renewal->mark);
}

int
epb_renewal_error(const struct epb_renewal *renewal)
{
    return renewal->link == NULL ? 0 : atomic_load(&renewal->link->error);
}
