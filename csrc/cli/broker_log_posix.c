/* See broker_log.h. */
#include "broker_log.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/sandbox.h"
#include "cli.h"
#include "output.h"

#define QUEUE_BYTES ((size_t)256 * 1024)
#define CHUNK_BYTES ((size_t)4096)
#define LINE_BYTES ((size_t)9216)
#define TIME_BYTES 32U
#define STACK_BYTES ((size_t)64 * 1024)

struct epb_broker_log {
    bool records;
    bool sandbox;
    bool has_writer;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t filled;
    pthread_cond_t emptied;
    char *queue; /* a ring */
    size_t first;
    size_t size;
    bool writing;
    uint64_t left_out;
};

/* Lines */

/* "2026-01-31T12:34:56.789Z" */
static void
print_time(char out[TIME_BYTES], uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(out, TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        out[0] = '\0';
    }
    size_t size = strlen(out);
    (void)snprintf(out + size, TIME_BYTES - size, ".%03uZ", (unsigned)(wall_ms % 1000));
}

static void
print_now(char out[TIME_BYTES])
{
    struct epb_time now;

    epb_sys_now(&now);
    print_time(out, now.wall_ms);
}

/* The text of a string member that needs no unescaping; size 0: there is none. A
 * quotation mark in other texts is escaped, so this finds members only. */
static struct epb_bytes
find_text(struct epb_bytes json, const char *name)
{
    char member[64];
    int size = snprintf(member, sizeof(member), "\"%s\":\"", name);
    const uint8_t *at =
        memmem(json.data, json.size_bytes, member, size > 0 ? (size_t)size : 0);
    struct epb_bytes text = {NULL, 0};

    if (at == NULL) {
        return text;
    }
    text.data = at + size;
    const uint8_t *end =
        memchr(text.data, '"', json.size_bytes - (size_t)(text.data - json.data));
    text.size_bytes = end == NULL ? 0 : (size_t)(end - text.data);
    return text;
}

static bool
has_level(struct epb_bytes json, const char *level)
{
    struct epb_bytes found = find_text(json, "level");

    return found.size_bytes == strlen(level) &&
           memcmp(found.data, level, found.size_bytes) == 0;
}

/* Queue */

/* All of it or nothing. The lock is held. */
static void
enqueue(struct epb_broker_log *log, const char *line, size_t size)
{
    if (size > QUEUE_BYTES - log->size) {
        log->left_out++;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        log->queue[(log->first + log->size + i) % QUEUE_BYTES] = line[i];
    }
    log->size += size;
    (void)pthread_cond_signal(&log->filled);
}

static void
enqueue_left_out(struct epb_broker_log *log)
{
    char line[160];
    char time[TIME_BYTES];

    print_now(time);
    int size = snprintf(line, sizeof(line),
                        "{\"time\":\"%s\",\"level\":\"warn\",\"event\":"
                        "\"log_lines_left_out\",\"count\":%" PRIu64 "}\n",
                        time, log->left_out);
    if ((size_t)size <= QUEUE_BYTES - log->size) {
        log->left_out = 0;
        enqueue(log, line, (size_t)size);
    }
}

static void
put_line(struct epb_broker_log *log, const char *line, size_t size)
{
    (void)pthread_mutex_lock(&log->lock);
    if (log->left_out > 0) {
        enqueue_left_out(log);
    }
    enqueue(log, line, size);
    (void)pthread_mutex_unlock(&log->lock);
}

/* Takes up to a chunk off the queue. The lock is held. */
static size_t
dequeue(struct epb_broker_log *log, char *chunk)
{
    size_t size = log->size < CHUNK_BYTES ? log->size : CHUNK_BYTES;

    for (size_t i = 0; i < size; i++) {
        chunk[i] = log->queue[(log->first + i) % QUEUE_BYTES];
    }
    log->first = (log->first + size) % QUEUE_BYTES;
    log->size -= size;
    return size;
}

static void *
write_queue(void *context)
{
    struct epb_broker_log *log = context;
    char chunk[CHUNK_BYTES];

    if (log->sandbox) {
        (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    }
    (void)pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->size == 0) {
            (void)pthread_cond_broadcast(&log->emptied);
            (void)pthread_cond_wait(&log->filled, &log->lock);
        }
        size_t size = dequeue(log, chunk);
        log->writing = true;
        (void)pthread_mutex_unlock(&log->lock);
        /* Without a reader the log is lost, and the broker goes on. */
        (void)epb_out_write(STDERR_FILENO, chunk, size);
        (void)pthread_mutex_lock(&log->lock);
        log->writing = false;
    }
    return NULL;
}

static bool
start_writer(struct epb_broker_log *log)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;

    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, write_queue, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return error == 0;
}

enum epb_status
epb_broker_log_open(bool records, bool heartbeats, bool sandbox,
                    struct epb_broker_log **out)
{
    struct epb_broker_log *log = epb_mem_table_alloc(sizeof(*log));

    if (log == NULL) {
        return EPB_INTERNAL;
    }
    log->records = records;
    log->sandbox = sandbox;
    log->has_writer = records || heartbeats;
    if (log->has_writer) {
        log->queue = epb_mem_table_alloc(QUEUE_BYTES);
        if (log->queue == NULL || pthread_mutex_init(&log->lock, NULL) != 0 ||
            pthread_cond_init(&log->filled, NULL) != 0 ||
            pthread_cond_init(&log->emptied, NULL) != 0 || !start_writer(log)) {
            epb_mem_table_free(log->queue);
            epb_mem_table_free(log);
            return EPB_INTERNAL;
        }
    }
    *out = log;
    return EPB_OK;
}

/* Warnings */

static bool
takes_a_line(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};

    return poll(&wanted, 1, 0) == 1 && (wanted.revents & POLLOUT) != 0;
}

static void
warn(struct epb_bytes json)
{
    struct epb_bytes message = find_text(json, "message");
    struct epb_bytes event = find_text(json, "event");
    struct epb_bytes reason = find_text(json, "reason");

    if (!takes_a_line(STDERR_FILENO)) {
        return;
    }
    if (message.size_bytes > 0) {
        epb_cli_complain("%.*s", (int)message.size_bytes, (const char *)message.data);
    } else if (reason.size_bytes > 0) {
        epb_cli_complain("The broker has reason to warn: %.*s (%.*s).",
                         (int)event.size_bytes, (const char *)event.data,
                         (int)reason.size_bytes, (const char *)reason.data);
    } else {
        epb_cli_complain("The broker has reason to warn: %.*s.", (int)event.size_bytes,
                         (const char *)event.data);
    }
}

/* Records */

/* Takes the member `time`, in milliseconds, out of a record, and begins it with the time
 * in the form that people read. */
static void
put_record(struct epb_broker_log *log, struct epb_bytes json)
{
    static const char member[] = ",\"time\":";
    char line[LINE_BYTES];
    char time[TIME_BYTES];
    const char *text = (const char *)json.data;
    const char *found = memmem(text, json.size_bytes, member, sizeof(member) - 1);
    const char *rest = text + json.size_bytes;
    size_t before = json.size_bytes;

    print_now(time);
    if (found != NULL) {
        char *end;
        print_time(time, strtoull(found + sizeof(member) - 1, &end, 10));
        before = (size_t)(found - text);
        rest = end;
    }
    int size =
        snprintf(line, sizeof(line), "{\"time\":\"%s\",%.*s%.*s\n", time, (int)before - 1,
                 text + 1, (int)(json.size_bytes - (size_t)(rest - text)), rest);
    if (size > 0 && (size_t)size < sizeof(line)) {
        put_line(log, line, (size_t)size);
    }
}

void
epb_broker_log_put(struct epb_broker_log *log, struct epb_bytes json)
{
    if (log->records) {
        put_record(log, json);
    } else if (has_level(json, "warn") || has_level(json, "error")) {
        warn(json);
    }
}

void
epb_broker_log_heartbeat(struct epb_broker_log *log, struct epb_bytes json)
{
    char line[LINE_BYTES];
    char time[TIME_BYTES];

    print_now(time);
    int size = snprintf(line, sizeof(line),
                        "{\"time\":\"%s\",\"level\":\"info\",\"event\":\"heartbeat\","
                        "\"stats\":%.*s}\n",
                        time, (int)json.size_bytes, (const char *)json.data);
    if (size > 0 && (size_t)size < sizeof(line)) {
        put_line(log, line, (size_t)size);
    }
}

void
epb_broker_log_event(struct epb_broker_log *log, const char *event, const char *member)
{
    char json[4096];

    int size = snprintf(json, sizeof(json), "{\"level\":\"debug\",\"event\":\"%s\"%s%s}",
                        event, member == NULL ? "" : ",", member == NULL ? "" : member);
    if (size > 0 && (size_t)size < sizeof(json)) {
        epb_broker_log_put(log, (struct epb_bytes){(const uint8_t *)json, (size_t)size});
    }
}

void
epb_broker_log_finish(struct epb_broker_log *log, unsigned limit_ms)
{
    struct timespec until;

    if (!log->has_writer || clock_gettime(CLOCK_REALTIME, &until) != 0) {
        return;
    }
    until.tv_nsec += (long)limit_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&log->lock);
    while (log->size > 0 || log->writing) {
        if (pthread_cond_timedwait(&log->emptied, &log->lock, &until) != 0) {
            break;
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
}
