/*
 * What the drivers share: a time to go on for, a seed that is printed, and brokers in a
 * directory of their own.
 *
 * A driver is a program that does what no well-meaning peer would, at random, with whole
 * brokers or clients on the other side, for as long as it is told:
 *
 *   DRIVER SECONDS [SEED]
 *
 * It runs under a sanitizer (scripts/drive). The status is 0 when nothing broke; what
 * hangs is ended by a signal. Threads make no two runs alike: a seed gives the same
 * deeds, not the same order of them.
 */
#ifndef EPB_DRIVERS_DRIVE_H
#define EPB_DRIVERS_DRIVE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../c/helpers.h"
#include "base/buf.h"
#include "core/options.h"
#include "server/server.h"
#include "wire/auth.h"
#include "wire/frame.h"

/* What a driver may take beyond its time, before it counts as hanging. */
#define DRIVE_PATIENCE_S 120U

#define DRIVE_REQUIRE(condition, ...)                                       \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

static struct {
    uint64_t until_ns;
    uint64_t seed;
    char directory[64];
} drive;

static inline void
drive_begin(int argc, char **argv)
{
    DRIVE_REQUIRE(argc > 1, "usage: %s SECONDS [SEED]", argv[0]);
    unsigned seconds = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2) {
        drive.seed = strtoull(argv[2], NULL, 10);
    } else {
        DRIVE_REQUIRE(epb_sys_random(&drive.seed, sizeof(drive.seed)) == EPB_OK, "seed");
    }
    printf("seed %llu\n", (unsigned long long)drive.seed);
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN);
    (void)alarm(seconds + DRIVE_PATIENCE_S);
    drive.until_ns = epb_sys_ticks_ns() + seconds * UINT64_C(1000000000);
    (void)snprintf(drive.directory, sizeof(drive.directory), "/tmp/epb-drive-XXXXXX");
    DRIVE_REQUIRE(mkdtemp(drive.directory) != NULL, "directory");
    DRIVE_REQUIRE(setenv("TMPDIR", drive.directory, 1) == 0, "TMPDIR");
}

static inline void
drive_end(void)
{
    DRIVE_REQUIRE(rmdir(drive.directory) == 0, "something is left in %s",
                  drive.directory);
}

static inline bool
drive_over(void)
{
    return epb_sys_ticks_ns() >= drive.until_ns;
}

/* For one thread of many. */
static inline struct random
drive_random(unsigned thread)
{
    struct random random = {.state = drive.seed + thread};

    return (struct random){.state = random_next(&random)};
}

static inline void
drive_pause_us(unsigned us)
{
    struct timespec span = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

    (void)nanosleep(&span, NULL);
}

/* Brokers */

static inline void
drive_on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    (void)context;
    (void)event;
    (void)json;
}

static inline struct epb_server_options
drive_options(void)
{
    struct epb_server_options options = {.on_event = drive_on_event, .sandbox = true};

    epb_options_default(&options.engine);
    options.engine.require_ttl = false;
    options.engine.default_ttl_ms = 60000;
    return options;
}

static inline struct epb_server *
drive_start(const struct epb_server_options *options)
{
    struct epb_server *server = NULL;
    int os_error = 0;

    enum epb_status status = epb_server_start(options, &server, &os_error);

    DRIVE_REQUIRE(status == EPB_OK, "%s %d", epb_status_name(status), os_error);
    return server;
}

/* Peers */

/* Connected, or -1. */
static inline int
drive_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static inline void
drive_add(struct epb_buf *out, const struct epb_request *request)
{
    DRIVE_REQUIRE(epb_frame_encode_request(out, request) == EPB_OK, "memory");
}

static inline void
drive_threads(pthread_t *threads, unsigned count, void *(*run)(void *))
{
    for (uintptr_t i = 0; i < count; i++) {
        /* The number of the thread, from 1. */
        DRIVE_REQUIRE(pthread_create(&threads[i], NULL, run, (void *)(i + 1)) == 0,
                      "thread");
    }
}

static inline void
drive_join(const pthread_t *threads, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        DRIVE_REQUIRE(pthread_join(threads[i], NULL) == 0, "join");
    }
}

#endif
