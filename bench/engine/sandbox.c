/*
 * What the sandbox and secret memory cost: `get`s and `set`s by a blocking client, over
 * pipes, from two brokers of this process in turn. One engine's thread is confined, the
 * other is not. With `secret` all arenas are secret memory.
 *
 *   sandbox [plain|secret] [value bytes] [pairs] [requests]
 *
 * The medians of the pairs' times and of their differences; and of entering the sandbox,
 * on a thread of its own.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sys.h"
#include "client/caller.h"
#include "core/options.h"
#include "os/sandbox.h"
#include "server/server.h"

#define WARM_REQUESTS 2000U

struct side {
    struct epb_server *server;
    struct epb_caller *caller;
};

static void
must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static void
ignore(void *context, enum epb_server_event event, struct epb_bytes json)
{
    (void)context;
    (void)event;
    (void)json;
}

static struct side
start(bool sandbox)
{
    struct epb_server_options options = {.on_event = ignore, .sandbox = sandbox};
    struct side side = {NULL, NULL};
    int os_error = 0;

    epb_options_default(&options.engine);
    must(epb_server_start(&options, &side.server, &os_error) == EPB_OK, "the broker");
    const struct epb_caller_options client = {.path = epb_server_path(side.server),
                                              .timeout_ms = 60000,
                                              .connect_timeout_ms = 60000};
    must(epb_caller_new(&client, &side.caller) == EPB_OK, "the client");
    return side;
}

static void
ask(const struct side *side, const struct epb_request *request)
{
    struct epb_reply reply;

    must(epb_caller_ask(side->caller, request, &reply) == EPB_OK &&
             reply.status == EPB_OK,
         "a request");
}

static double
time_us(const struct side *side, const struct epb_request *request, unsigned count)
{
    uint64_t begin_ns = epb_sys_ticks_ns();

    for (unsigned i = 0; i < count; i++) {
        ask(side, request);
    }
    return (double)(epb_sys_ticks_ns() - begin_ns) / 1000.0 / count;
}

static int
compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

static double
median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

static void
compare_sides(const char *name, const struct side sides[2],
              const struct epb_request *request, unsigned pairs, unsigned requests)
{
    double *times[3];

    for (int i = 0; i < 3; i++) {
        times[i] = calloc(pairs, sizeof(double));
        must(times[i] != NULL, "memory");
    }
    for (unsigned i = 0; i < pairs; i++) {
        unsigned first = i % 2;
        times[first][i] = time_us(&sides[first], request, requests);
        times[1 - first][i] = time_us(&sides[1 - first], request, requests);
        times[2][i] = (times[1][i] / times[0][i] - 1) * 100;
    }
    double ratio = median(times[2], pairs);
    printf("%s: %.3f us, confined %.3f us, median of the differences %+.2f %%\n", name,
           median(times[0], pairs), median(times[1], pairs), ratio);
    for (int i = 0; i < 3; i++) {
        free(times[i]);
    }
}

static double
cpu_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void *
enter(void *spent)
{
    double begin_us = cpu_us();

    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = "/tmp/socket"});
    *(double *)spent = cpu_us() - begin_us;
    return NULL;
}

static void
time_entering(unsigned count)
{
    double times[200];

    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, enter, &times[i]) == 0 &&
                 pthread_join(thread, NULL) == 0,
             "a thread");
    }
    printf("entering: %.1f us of processor time\n", median(times, count));
}

int
main(int argc, char **argv)
{
    bool secret = argc > 1 && strcmp(argv[1], "secret") == 0;
    size_t value_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
    unsigned pairs = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 101;
    unsigned requests = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2000;
    uint8_t *value = calloc(1, value_bytes + 1);

    must(value != NULL && pairs != 0 && requests != 0, "the arguments");
    if (secret) {
        must(epb_sys_use_secret_memory(), "secret memory");
    }
    time_entering(200);
    const struct side sides[2] = {start(false), start(true)};
    struct epb_request set = {.action = EPB_ACTION_SET,
                              .flags = EPB_F_BINARY | EPB_F_TTL,
                              .ttl_ms = 600000,
                              .key = {(const uint8_t *)"key", 3},
                              .value = {value, value_bytes}};
    struct epb_request get = {.action = EPB_ACTION_GET, .key = set.key};
    for (int i = 0; i < 2; i++) {
        ask(&sides[i], &set);
        (void)time_us(&sides[i], &get, WARM_REQUESTS);
    }
    compare_sides("get", sides, &get, pairs, requests);
    compare_sides("set", sides, &set, pairs, requests);
    for (int i = 0; i < 2; i++) {
        epb_caller_free(sides[i].caller);
        epb_server_stop(sides[i].server);
    }
    free(value);
    return 0;
}
