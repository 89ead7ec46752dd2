/*
 * What all connections hold together: not judged by who is let go, but counted on the
 * engine's thread, from the sessions themselves, after every step of an attack.
 */
#include "io_help.h"
#include "server/server_internal.h"

/* What one connection may hold: a buffer grows by doubling, from less than the largest
 * frame of these tests, or than the bound of what waits to be sent and one reply more;
 * of output one such buffer is being filled while another is written. */
#define FRAME_BYTES 1000000U
#define VALUE_BYTES 250000U
#define CROWD_VALUE_BYTES 3000000U
#define ONE_INPUT_BYTES (2U * FRAME_BYTES)
#define ONE_OUTPUT_BYTES (2U * 2U * (EPB_CONN_UNSENT_BYTES + VALUE_BYTES))

struct held {
    size_t input;  /* what the sessions say */
    size_t output; /* with what waits to be sent */
    size_t counted_input;
    size_t counted_output;
};

static struct broker broker;

static struct held
count_held(const struct epb_server *server)
{
    struct held held = {.counted_input = server->held_input,
                        .counted_output = server->held_output};

    for (const struct epb_list *node = server->all.next; node != &server->all;
         node = node->next) {
        const struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, all);
        held.input += epb_session_held_input(conn->session);
        held.output +=
            epb_session_held_output(conn->session) + epb_buf_size(&conn->unsent);
    }
    return held;
}

struct look {
    struct epb_task task;
    pthread_mutex_t lock;
    pthread_cond_t looked;
    bool done;
    struct held held;
};

static void
run_look(void *context)
{
    struct look *look = context;

    pthread_mutex_lock(&look->lock);
    look->held = count_held(broker.server);
    look->done = true;
    pthread_cond_signal(&look->looked);
    pthread_mutex_unlock(&look->lock);
}

/* Between two turns of the broker. */
static struct held
look_at_held(void)
{
    struct look look = {.task = {.run = run_look, .context = &look},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .looked = PTHREAD_COND_INITIALIZER};
    struct timespec until = patience_end();

    epb_loop_post(&broker.server->loop, &look.task);
    pthread_mutex_lock(&look.lock);
    while (!look.done) {
        cr_assert_eq(pthread_cond_timedwait(&look.looked, &look.lock, &until), 0);
    }
    pthread_mutex_unlock(&look.lock);
    return look.held;
}

static void
check_held(struct held *most)
{
    struct held held = look_at_held();

    cr_assert_eq(held.counted_input, held.input, "%zu, %zu", held.counted_input,
                 held.input);
    cr_assert_leq(held.counted_output, EPB_HELD_OUTPUT_BYTES);
    cr_assert_leq(held.input, EPB_HELD_INPUT_BYTES + ONE_INPUT_BYTES, "%zu", held.input);
    cr_assert_leq(held.output, EPB_HELD_OUTPUT_BYTES + ONE_OUTPUT_BYTES, "%zu",
                  held.output);
    most->input = held.input > most->input ? held.input : most->input;
    most->output = held.output > most->output ? held.output : most->output;
}

/* False when the broker has let it go. */
static bool
send_part(int fd, const uint8_t *bytes, size_t size_bytes)
{
    while (size_bytes != 0) {
        ssize_t sent = send(fd, bytes, size_bytes, MSG_NOSIGNAL);
        if (sent < 0) {
            return false;
        }
        bytes += sent;
        size_bytes -= (size_t)sent;
    }
    return true;
}

Test(attack_totals, half_requests_never_hold_more_than_they_may)
{
    enum {
        COUNT = 45,
        PARTS = 10
    };
    static uint8_t frame[FRAME_BYTES];
    struct held most = {0};
    int fds[COUNT];

    broker_init(&broker);
    broker_start(&broker);
    epb_put_u32(frame, FRAME_BYTES - EPB_FRAME_LENGTH_BYTES);
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = peer_open(&broker);
        peer_ping(fds[i]);
        bool kept = true;
        for (size_t part = 0; part < PARTS && kept; part++) {
            size_t size_bytes = FRAME_BYTES / PARTS - (part == PARTS - 1);
            kept = send_part(fds[i], frame + part * (FRAME_BYTES / PARTS), size_bytes);
            check_held(&most);
        }
    }
    /* It was as much as there may be, or the test has shown nothing. */
    broker_await_log(&broker, "input_limit");
    cr_assert_geq(most.input, EPB_HELD_INPUT_BYTES - ONE_INPUT_BYTES, "%zu", most.input);
    check_held(&most);
    for (unsigned i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    broker_stop(&broker);
}

Test(attack_totals, unread_replies_never_hold_more_than_they_may)
{
    enum {
        COUNT = 75,
        REQUESTS = 8
    };
    struct held most = {0};
    int fds[COUNT];
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    struct epb_buf frames;

    broker_init(&broker);
    broker_start(&broker);
    int other = peer_open(&broker);
    peer_set(other, "key", 'v', VALUE_BYTES, 600000);
    epb_buf_init(&frames, 4096);
    for (unsigned i = 0; i < REQUESTS; i++) {
        cr_assert_eq(epb_frame_encode_request(&frames, &get), EPB_OK);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = peer_open(&broker);
        (void)send_part(fds[i], epb_buf_data(&frames), epb_buf_size(&frames));
        check_held(&most);
        check_held(&most);
    }
    broker_await_log(&broker, "output_limit");
    cr_assert_geq(most.output, EPB_HELD_OUTPUT_BYTES - ONE_OUTPUT_BYTES, "%zu",
                  most.output);
    check_held(&most);
    for (unsigned i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    epb_buf_fini(&frames);
    close(other);
    broker_stop(&broker);
}

/* A crowd whose bytes are all there before the broker looks */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;      /* requests are held here */
    bool held;        /* one is */
    struct held most; /* of what was held at any request, in the middle of a turn */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void
on_request(void *context, enum epb_server_event event, struct epb_bytes json)
{
    static const char name[] = "\"request\"";

    broker_on_event(context, event, json);
    if (event != EPB_SERVER_LOG ||
        memmem(json.data, json.size_bytes, name, sizeof(name) - 1) == NULL) {
        return;
    }
    pthread_mutex_lock(&gate.lock);
    gate.held = true;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    struct held held = count_held(broker.server);
    gate.most.input = held.input > gate.most.input ? held.input : gate.most.input;
    gate.most.output = held.output > gate.most.output ? held.output : gate.most.output;
    pthread_mutex_unlock(&gate.lock);
}

static void
set_gate(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    gate.held = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* `count` connections send a small request and as much of `rest` as the socket takes,
 * while the broker is held. Then all of them are served. */
static void
send_at_once(unsigned count, const struct epb_request *request, struct epb_bytes rest)
{
    int fds[400];
    struct timespec until = patience_end();

    for (unsigned i = 0; i < count; i++) {
        fds[i] = peer_open(&broker);
        peer_ping(fds[i]);
    }
    int first = peer_open(&broker);
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    peer_ping(first);
    set_gate(true);
    peer_request(first, &ping);
    pthread_mutex_lock(&gate.lock);
    while (!gate.held) {
        cr_assert_eq(pthread_cond_timedwait(&gate.changed, &gate.lock, &until), 0);
    }
    pthread_mutex_unlock(&gate.lock);
    for (unsigned i = 0; i < count; i++) {
        peer_request(fds[i], request);
        (void)send(fds[i], rest.data, rest.size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    set_gate(false);
    struct answer answer = {0};
    cr_assert(peer_answer(first, &answer));
    /* What is said now is said behind all of that. */
    peer_ping(first);
    struct held most = {0};
    check_held(&most);
    for (unsigned i = 0; i < count; i++) {
        close(fds[i]);
    }
    close(first);
}

static void
begin_crowd(void)
{
    broker_init(&broker);
    broker.options.debug = true;
    broker.options.on_event = on_request;
    broker.options.engine.max_request_bytes = 4 * CROWD_VALUE_BYTES;
    broker.options.engine.max_value_bytes = 2 * CROWD_VALUE_BYTES;
    broker_start(&broker);
}

Test(attack_totals, half_requests_of_a_crowd_never_hold_more_either)
{
    static uint8_t half[FRAME_BYTES / 2];
    struct epb_request has = request_of(EPB_ACTION_HAS, 1, "x");

    begin_crowd();
    epb_put_u32(half, FRAME_BYTES - EPB_FRAME_LENGTH_BYTES);
    send_at_once(400, &has, (struct epb_bytes){half, sizeof(half)});
    cr_assert_leq(gate.most.input, EPB_HELD_INPUT_BYTES + ONE_INPUT_BYTES, "%zu",
                  gate.most.input);
    cr_assert_geq(gate.most.input, EPB_HELD_INPUT_BYTES - ONE_INPUT_BYTES, "%zu",
                  gate.most.input);
    broker_stop(&broker);
}

Test(attack_totals, unread_replies_of_a_crowd_never_hold_more_either)
{
    struct epb_request get = request_of(EPB_ACTION_GET, 1, "key");
    const size_t one_bytes = 2U * 2U * CROWD_VALUE_BYTES;

    begin_crowd();
    int other = peer_open(&broker);
    peer_set(other, "key", 'v', CROWD_VALUE_BYTES, 600000);
    gate.most = (struct held){0};
    send_at_once(40, &get, (struct epb_bytes){NULL, 0});
    cr_assert_leq(gate.most.output, EPB_HELD_OUTPUT_BYTES + one_bytes, "%zu",
                  gate.most.output);
    cr_assert_geq(gate.most.output, EPB_HELD_OUTPUT_BYTES - one_bytes, "%zu",
                  gate.most.output);
    close(other);
    broker_stop(&broker);
}
