/* See broker_log.h. */
#include "broker_log.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/sandbox.h"
#include "../os/thread.h"
#include "cli.h"
#include "output.h"
#include "system.h"

#define QUEUE_BYTES ((size_t)256 * 1024)
#define CHUNK_BYTES ((size_t)4096)
#define LINE_BYTES ((size_t)9216)
#define TIME_BYTES 32U
#define STANDARD_ERROR 2

struct epb_broker_log {
    bool records;
    bool sandbox;
    bool has_writer;
    uv_mutex_t lock; /* guards everything below */
    uv_cond_t filled;
    uv_cond_t emptied;
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
    struct tm parts;

    if (!epb_system_utc((time_t)(wall_ms / 1000), &parts) ||
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

/* The first occurrence of a text that is not empty; NULL: none. */
static const uint8_t *
find(struct epb_bytes json, const char *text)
{
    size_t size = strlen(text);

    for (size_t at = 0; at + size <= json.size_bytes; at++) {
        if (memcmp(json.data + at, text, size) == 0) {
            return json.data + at;
        }
    }
    return NULL;
}

/* The text of a string member that needs no unescaping; size 0: there is none. A
 * quotation mark in other texts is escaped, so this finds members only. */
static struct epb_bytes
find_text(struct epb_bytes json, const char *name)
{
    char member[64];
    int size = snprintf(member, sizeof(member), "\"%s\":\"", name);
    const uint8_t *at = find(json, member);
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
    uv_cond_signal(&log->filled);
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
    uv_mutex_lock(&log->lock);
    if (log->left_out > 0) {
        enqueue_left_out(log);
    }
    enqueue(log, line, size);
    uv_mutex_unlock(&log->lock);
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

static void
write_queue(void *context)
{
    struct epb_broker_log *log = context;
    char chunk[CHUNK_BYTES];

    if (log->sandbox) {
        (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    }
    uv_mutex_lock(&log->lock);
    for (;;) {
        while (log->size == 0) {
            uv_cond_broadcast(&log->emptied);
            uv_cond_wait(&log->filled, &log->lock);
        }
        size_t size = dequeue(log, chunk);
        log->writing = true;
        uv_mutex_unlock(&log->lock);
        /* Without a reader the log is lost, and the broker goes on. */
        (void)epb_out_write(STANDARD_ERROR, chunk, size);
        uv_mutex_lock(&log->lock);
        log->writing = false;
    }
}

static bool
open_queue(struct epb_broker_log *log)
{
    uv_thread_t writer;

    log->queue = epb_mem_table_alloc(QUEUE_BYTES);
    if (log->queue == NULL || uv_mutex_init(&log->lock) != 0 ||
        uv_cond_init(&log->filled) != 0 || uv_cond_init(&log->emptied) != 0 ||
        epb_thread_start(&writer, write_queue, log) != 0) {
        epb_mem_table_free(log->queue);
        return false;
    }
    epb_thread_detach(&writer);
    return true;
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
    if (log->has_writer && !open_queue(log)) {
        epb_mem_table_free(log);
        return EPB_INTERNAL;
    }
    *out = log;
    return EPB_OK;
}

/* Warnings */

static void
warn(struct epb_bytes json)
{
    struct epb_bytes message = find_text(json, "message");
    struct epb_bytes event = find_text(json, "event");
    struct epb_bytes reason = find_text(json, "reason");

    if (!epb_out_is_ready(STANDARD_ERROR)) {
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
    const char *found = (const char *)find(json, member);
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
    uint64_t until_ns = uv_hrtime() + UINT64_C(1000000) * limit_ms;

    if (!log->has_writer) {
        return;
    }
    uv_mutex_lock(&log->lock);
    for (uint64_t now_ns = uv_hrtime();
         (log->size > 0 || log->writing) && now_ns < until_ns; now_ns = uv_hrtime()) {
        (void)uv_cond_timedwait(&log->emptied, &log->lock, until_ns - now_ns);
    }
    uv_mutex_unlock(&log->lock);
}
