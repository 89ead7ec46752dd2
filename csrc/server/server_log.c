/* The clocks of a server, its events, and its log lines. See server_internal.h. */
#include "../base/arena.h"
#include "../base/shared_mem.h"
#include "../os/oserror.h"
#include "log.h"
#include "server_internal.h"

/* Peers control how often these happen: at most one line of each kind in this time. */
#define LOG_REST_MS 1000U
/* How often the server checks, while awake, whether memory could be locked. */
#define LOCK_CHECK_MS 1000U

const struct epb_time *
epb_server_now(struct epb_server *server)
{
    if (!server->now_known) {
        epb_sys_now(&server->now);
        server->now_known = true;
    }
    return &server->now;
}

void
epb_server_log(struct epb_server *server, enum epb_server_event event,
               struct epb_bytes json)
{
    server->on_event(server->event_context, event, json);
}

static void
begin_line(struct epb_server *server, struct epb_log_line *line, const char *level,
           const char *event)
{
    epb_log_begin(line, level, event, epb_server_now(server)->wall_ms);
}

static void
end_line(struct epb_server *server, struct epb_log_line *line)
{
    struct epb_bytes json;

    if (epb_log_end(line, &json) == EPB_OK) {
        epb_server_log(server, EPB_SERVER_LOG, json);
    }
    epb_log_fini(line);
}

void
epb_server_warn(struct epb_server *server, enum epb_server_limited kind,
                const char *event, const char *reason)
{
    uint64_t now_ms = epb_server_now(server)->mono_ms;
    struct epb_log_line line;

    if (now_ms < server->limited_until_ms[kind]) {
        server->suppressed[kind]++;
        return;
    }
    begin_line(server, &line, "warn", event);
    epb_log_string(&line, "reason", reason);
    epb_log_number(&line, "connections", server->traffic->connections);
    if (server->suppressed[kind] != 0) {
        epb_log_number(&line, "suppressed", server->suppressed[kind]);
    }
    end_line(server, &line);
    server->limited_until_ms[kind] = now_ms + LOG_REST_MS;
    server->suppressed[kind] = 0;
}

void
epb_server_on_session_event(void *context, const struct epb_session_event *event)
{
    struct epb_server *server = context;
    struct epb_log_line line;

    if (event->status == EPB_AUTH_FAILED || event->status == EPB_AUTH_REQUIRED) {
        bool unsigned_lines = event->lines && event->status == EPB_AUTH_REQUIRED;

        epb_server_warn(server, EPB_LIMITED_AUTH, "auth_refused",
                        unsigned_lines ? "JSON lines need --no-auth or --legacy-hmac"
                                       : epb_status_name(event->status));
    }
    if (!server->debug) {
        return;
    }
    begin_line(server, &line, "debug", event->name);
    if (event->action != NULL) {
        epb_log_string(&line, "action", event->action);
    }
    if (event->key.size_bytes != 0) {
        epb_log_text(&line, "key", event->key);
    }
    epb_log_string(&line, "status", epb_status_name(event->status));
    end_line(server, &line);
}

void
epb_server_log_started(struct epb_server *server)
{
    struct epb_log_line line;
    unsigned stale = epb_endpoint_stale_removed(server->endpoint);

    if (stale != 0) {
        begin_line(server, &line, "info", "stale_sockets_removed");
        epb_log_number(&line, "count", stale);
        end_line(server, &line);
    }
    if (!server->debug) {
        return;
    }
    for (unsigned i = 0; i < EPB_ENDPOINT_PLACES; i++) {
        int why = 0;
        const char *place = epb_endpoint_skipped(server->endpoint, i, &why);
        if (place != NULL) {
            begin_line(server, &line, "info", "directory_skipped");
            epb_log_string(&line, "directory", place);
            epb_log_string(&line, "reason", epb_os_error_name(why));
            end_line(server, &line);
        }
    }
    begin_line(server, &line, "info", "listening");
    epb_log_string(&line, "path", server->path);
    epb_log_number(&line, "pid", server->pid);
    end_line(server, &line);
}

void
epb_server_log_sandbox(struct epb_server *server, const struct epb_sandbox_parts *parts)
{
    struct epb_log_line line;

    if (!server->debug) {
        return;
    }
    begin_line(server, &line, "info", "sandboxed");
    epb_log_number(&line, "files", parts->files);
    epb_log_number(&line, "signals", parts->signals);
    epb_log_number(&line, "calls", parts->calls);
    end_line(server, &line);
}

void
epb_server_check_lock(struct epb_server *server, uint64_t now_ms)
{
    struct epb_mem_stats shared;
    struct epb_stats stats;

    if (server->lock_warned || now_ms < server->lock_check_ms) {
        return;
    }
    server->lock_check_ms = now_ms + LOCK_CHECK_MS;
    epb_mem_shared_stats(&shared);
    epb_engine_stats(server->engine, epb_server_now(server), &stats);
    if (!shared.lock_failed && !stats.memory.lock_failed) {
        return;
    }
    server->lock_warned = true;
    struct epb_log_line line;
    begin_line(server, &line, "warn", "mlock_failed");
    epb_log_string(
        &line, "message",
        "Some memory can't be locked and may reach swap: raise the limit (ulimit -l).");
    epb_log_number(&line, "lockedMemory", stats.memory.locked_bytes);
    end_line(server, &line);
}
