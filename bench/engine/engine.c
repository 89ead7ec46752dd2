/*
 * The cost of a request for the broker without I/O: bytes pass through a session and the
 * engine, in batches as from a socket.
 *
 *   engine [get|set|incr] [plain|sealed] [value bytes] [requests a batch] [batches]
 *
 * prints nanoseconds a request (the fastest tenth of the batches). broker_side() contains
 * all of the broker's part and nothing of the client's. For exact and repeatable counts
 * of instructions, `make count` runs this program under callgrind and counts only this
 * part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "server/conn.h"
#include "wire/channel.h"
#include "wire/frame.h"
#include "wire/session.h"

#define KEY "bench:item"
#define TTL_MS UINT64_C(600000)
#define VALUE_MOST_BYTES (200U * 1024U)
#define BATCH_MOST_BYTES (64U * 1024U * 1024U)

struct bench {
    struct epb_session_config config;
    struct epb_session *session;
    struct epb_channel *channel;
    struct epb_time now;
    struct epb_buf batch; /* frames of the client */
    unsigned action;
    size_t value_bytes;
    unsigned requests;
    unsigned batches;
};

static void
must(bool holds, const char *what)
{
    if (holds) {
        return;
    }
    (void)fprintf(stderr, "engine: %s\n", what);
    exit(1);
}

static void
on_wake(void *context, void *owner)
{
    (void)context;
    (void)owner;
}

static void
add_request(struct bench *bench, unsigned action)
{
    static uint8_t value[VALUE_MOST_BYTES];
    struct epb_request request = {
        .action = (uint8_t)action,
        .id = 1,
        .key = {(const uint8_t *)KEY, sizeof(KEY) - 1},
    };

    if (action == EPB_ACTION_SET) {
        memset(value, 'v', bench->value_bytes);
        request.flags = EPB_F_TTL;
        request.ttl_ms = TTL_MS;
        request.value = (struct epb_bytes){value, bench->value_bytes};
    } else if (action == EPB_ACTION_INCR) {
        request.flags = EPB_F_TTL;
        request.ttl_ms = TTL_MS;
    }
    must(epb_frame_encode_request(&bench->batch, &request) == EPB_OK, "a frame");
}

/* Reads all input of the client, executes it in time slices, and writes the replies. */
static __attribute__((noinline)) void
broker_side(struct bench *bench)
{
    struct epb_bytes said = epb_channel_output(bench->channel);
    bool more = true;

    while (said.size_bytes > 0 || more) {
        uint8_t *memory;
        size_t room_bytes;
        epb_session_input(bench->session, &memory, &room_bytes);
        if (room_bytes > said.size_bytes) {
            room_bytes = said.size_bytes;
        }
        if (room_bytes > 0) {
            memcpy(memory, said.data, room_bytes);
            said.data += room_bytes;
            said.size_bytes -= room_bytes;
            epb_session_received(bench->session, room_bytes);
        }
        more = epb_session_turn(bench->session, &bench->now, EPB_CONN_TURN_FRAMES,
                                EPB_CONN_TURN_BYTES);
    }
}

static void
client_side(struct bench *bench)
{
    struct epb_bytes said = epb_session_output(bench->session);

    epb_channel_sent(bench->channel, epb_channel_output(bench->channel).size_bytes);
    while (said.size_bytes > 0) {
        uint8_t *memory;
        size_t room_bytes;
        must(epb_channel_input(bench->channel, &memory, &room_bytes) == EPB_OK, "input");
        if (room_bytes > said.size_bytes) {
            room_bytes = said.size_bytes;
        }
        memcpy(memory, said.data, room_bytes);
        said.data += room_bytes;
        said.size_bytes -= room_bytes;
        must(epb_channel_received(bench->channel, room_bytes) == EPB_OK, "a reply");
        epb_channel_consume(bench->channel,
                            epb_channel_stream(bench->channel).size_bytes);
    }
}

/* The broker frees its output, which it wipes: part of its work. */
static __attribute__((noinline)) void
broker_sent(struct bench *bench)
{
    epb_session_sent(bench->session, epb_session_output(bench->session).size_bytes);
}

static uint64_t
exchange(struct bench *bench)
{
    uint64_t began_ns = epb_sys_ticks_ns();

    broker_side(bench);
    uint64_t took_ns = epb_sys_ticks_ns() - began_ns;
    client_side(bench);
    began_ns = epb_sys_ticks_ns();
    broker_sent(bench);
    return took_ns + epb_sys_ticks_ns() - began_ns;
}

static int
compare(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;

    return (*a > *b) - (*a < *b);
}

static void
open_session(struct bench *bench, bool sealed)
{
    static const uint8_t secret[32] = "a secret of the benchmark alone";
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 2 * VALUE_MOST_BYTES;
    bench->now = (struct epb_time){.mono_ms = 1000, .boot_ms = 1000, .wall_ms = 1000};
    bench->config.engine = epb_engine_new(&options, &bench->now, epb_session_wake, NULL);
    bench->config.on_wake = on_wake;
    if (sealed) {
        bench->config.secret = (struct epb_bytes){secret, sizeof(secret)};
    }
    must(bench->config.engine != NULL, "memory for the engine");
    bench->session = epb_session_new(&bench->config, NULL, &bench->now);
    bench->channel = epb_channel_new(bench->config.secret);
    must(bench->session != NULL && bench->channel != NULL, "memory for a session");
    epb_buf_init(&bench->batch, BATCH_MOST_BYTES);
    add_request(bench, EPB_ACTION_SET);
    struct epb_bytes first = {epb_buf_data(&bench->batch), epb_buf_size(&bench->batch)};
    must(epb_channel_send(bench->channel, first) == EPB_OK, "the first request");
    epb_buf_consume(&bench->batch, first.size_bytes);
    while (epb_channel_output(bench->channel).size_bytes > 0) {
        (void)exchange(bench);
    }
    must(!epb_session_is_closing(bench->session), "a session");
}

static void
close_session(struct bench *bench)
{
    epb_channel_free(bench->channel);
    epb_session_free(bench->session, &bench->now);
    epb_buf_pool_fini(&bench->config.pool);
    epb_engine_free(bench->config.engine);
    epb_buf_fini(&bench->batch);
}

static void
measure(struct bench *bench)
{
    uint64_t *times_ns = calloc(bench->batches, sizeof(*times_ns));

    must(times_ns != NULL, "memory");
    for (unsigned i = 0; i < bench->requests; i++) {
        add_request(bench, bench->action);
    }
    struct epb_bytes all = {epb_buf_data(&bench->batch), epb_buf_size(&bench->batch)};
    for (unsigned i = 0; i < bench->batches; i++) {
        must(epb_channel_send(bench->channel, all) == EPB_OK, "a batch");
        times_ns[i] = exchange(bench);
    }
    qsort(times_ns, bench->batches, sizeof(*times_ns), compare);
    printf("%.1f\n", (double)times_ns[bench->batches / 10] / bench->requests);
    free(times_ns);
}

static const char *
argument(int count, char **texts, int at, const char *otherwise)
{
    return at < count ? texts[at] : otherwise;
}

static unsigned
number(int count, char **texts, int at, const char *otherwise)
{
    return (unsigned)strtoul(argument(count, texts, at, otherwise), NULL, 10);
}

static unsigned
action_named(const char *name)
{
    if (strcmp(name, "get") == 0) {
        return EPB_ACTION_GET;
    }
    if (strcmp(name, "incr") == 0) {
        return EPB_ACTION_INCR;
    }
    must(strcmp(name, "set") == 0, "get, set or incr");
    return EPB_ACTION_SET;
}

int
main(int count, char **texts)
{
    struct bench bench = {
        .action = action_named(argument(count, texts, 1, "get")),
        .value_bytes = number(count, texts, 3, "100"),
        .requests = number(count, texts, 4, "1000"),
        .batches = number(count, texts, 5, "1000"),
    };

    must(bench.value_bytes <= VALUE_MOST_BYTES && bench.batches > 0 && bench.requests > 0,
         "at most 200 KiB, at least one batch");
    open_session(&bench, strcmp(argument(count, texts, 2, "plain"), "sealed") == 0);
    measure(&bench);
    close_session(&bench);
    return 0;
}
