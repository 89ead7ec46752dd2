/* See server.h. */
#include "server.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../wire/frame.h"
#include "../wire/report.h"
#include "conn.h"
#include "endpoint.h"
#include "log.h"
#include "loop.h"

#define LOG_LINE_MAX_BYTES 8192U
#define HEARTBEAT_MAX_BYTES 65536U
/* While there is work without end, what is due is looked at this often. */
#define DUE_REST_MS 10U
/* Peers decide how often these happen: at most one line of each kind in this time. */
#define LOG_REST_MS 1000U
/* Whether memory could be locked is looked at this often, when awake. */
#define LOCK_LOOK_MS 1000U

/* Warnings that a peer can cause. */
enum limited {
    LIMITED_REFUSED,
    LIMITED_AUTH,
    LIMITED_DROPPED,
    LIMITED_ACCEPT,
    LIMITED_COUNT
};

struct epb_server {
    struct epb_loop loop;
    struct epb_engine *engine;
    struct epb_endpoint *endpoint;
    struct epb_conn_owner conns;
    struct epb_traffic *traffic; /* the engine's */
    uint8_t *secret;
    size_t secret_bytes;
    char *path;
    uint32_t pid;
    bool draining_asked; /* the owner's side */

    /* From here on: the loop's thread only. */
    struct epb_list all;
    struct epb_list queued;
    struct epb_list unproven; /* oldest first */
    struct epb_list timed;    /* those with a deadline */
    unsigned unproven_count;
    size_t held_input;
    size_t held_output;

    struct epb_time now;
    bool now_known; /* since the last look at the sockets */
    uv_timer_t timer;
    bool timer_open;
    uint64_t armed_ms;        /* mono_ms the timer goes off; UINT64_MAX: it doesn't */
    uint64_t due_looked_ms;   /* mono_ms */
    uint64_t swept_ms;        /* boot_ms of the last sweep */
    uint64_t item_due_ms;     /* boot_ms */
    uint64_t active_ms;       /* mono_ms of the last sign of use */
    uint64_t heartbeat_at_ms; /* mono_ms */
    uint64_t accept_again_ms; /* mono_ms; UINT64_MAX: accepting */
    uint64_t drain_until_ms;  /* mono_ms; UINT64_MAX: not draining */
    bool drain_quiet;         /* the last look found nothing */
    bool ended;
    bool idle_said;
    bool lock_warned;
    uint64_t lock_look_ms; /* mono_ms of the next look at it */

    bool debug;
    uint64_t idle_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t sweeper_interval_ms;
    uint64_t max_connections;
    epb_server_event_fn on_event;
    void *event_context;
    uint64_t limited_until_ms[LIMITED_COUNT];
    uint64_t suppressed[LIMITED_COUNT];
    struct epb_task stop_task;
    struct epb_task drain_task;
    uint64_t drain_ms;
};

/* --- Time and events --- */

static const struct epb_time *
now_of(struct epb_server *server)
{
    if (!server->now_known) {
        epb_sys_now(&server->now);
        server->now_known = true;
    }
    return &server->now;
}

static void
say(struct epb_server *server, enum epb_server_event event, struct epb_bytes json)
{
    server->on_event(server->event_context, event, json);
}

static void
begin_line(struct epb_server *server, struct epb_buf *line, const char *level,
           const char *event)
{
    epb_buf_init(line, LOG_LINE_MAX_BYTES);
    epb_log_begin(line, level, event, now_of(server)->wall_ms);
}

static void
end_line(struct epb_server *server, struct epb_buf *line)
{
    if (epb_log_end(line) == EPB_OK) {
        say(server, EPB_SERVER_LOG,
            (struct epb_bytes){epb_buf_data(line), epb_buf_size(line)});
    }
    epb_buf_fini(line);
}

/* A warning that a peer can cause as often as it likes. */
static void
warn_limited(struct epb_server *server, enum limited kind, const char *event,
             const char *reason)
{
    uint64_t now_ms = now_of(server)->mono_ms;
    struct epb_buf line;

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

static void
on_session_event(void *context, const struct epb_session_event *event)
{
    struct epb_server *server = context;
    struct epb_buf line;

    if (event->status == EPB_AUTH_FAILED || event->status == EPB_AUTH_REQUIRED) {
        warn_limited(server, LIMITED_AUTH, "auth_refused",
                     epb_status_name(event->status));
    }
    if (!server->debug)
        return;
    begin_line(server, &line, "debug", event->name);
    if (event->action != NULL)
        epb_log_string(&line, "action", event->action);
    if (event->key.size_bytes != 0)
        epb_log_text(&line, "key", event->key);
    epb_log_string(&line, "status", epb_status_name(event->status));
    end_line(server, &line);
}

static void
say_started(struct epb_server *server)
{
    struct epb_buf line;
    unsigned stale = epb_endpoint_stale(server->endpoint);

    if (stale != 0) {
        begin_line(server, &line, "info", "stale_sockets_removed");
        epb_log_number(&line, "count", stale);
        end_line(server, &line);
    }
    if (!server->debug)
        return;
    begin_line(server, &line, "info", "listening");
    epb_log_string(&line, "path", server->path);
    epb_log_number(&line, "pid", server->pid);
    end_line(server, &line);
}

/* Says once that memory could not be locked. */
static void
check_lock(struct epb_server *server, uint64_t now_ms)
{
    struct epb_mem_stats shared;
    struct epb_stats stats;

    if (server->lock_warned || now_ms < server->lock_look_ms)
        return;
    server->lock_look_ms = now_ms + LOCK_LOOK_MS;
    epb_mem_shared_stats(&shared);
    epb_engine_stats(server->engine, now_of(server), &stats);
    if (!shared.lock_failed && !stats.memory.lock_failed)
        return;
    server->lock_warned = true;
    struct epb_buf line;
    begin_line(server, &line, "warn", "mlock_failed");
    epb_log_string(
        &line, "message",
        "Some memory can't be locked and may reach swap: raise the limit (ulimit -l).");
    epb_log_number(&line, "lockedMemory", stats.memory.locked_bytes);
    end_line(server, &line);
}

/* --- Connections --- */

static void
on_ready(void *context, struct epb_conn *conn)
{
    struct epb_server *server = context;

    if (epb_list_empty(&conn->queued))
        epb_list_append(&server->queued, &conn->queued);
}

static const struct epb_time *
on_now(void *context)
{
    return now_of(context);
}

/* What accepting waited for may be there: a descriptor, a place. */
static void
accept_now(struct epb_server *server)
{
    if (server->accept_again_ms != UINT64_MAX)
        server->accept_again_ms = 0;
}

/* Keeps the totals and the lists of a connection in step with what it holds. */
static void
account(struct epb_server *server, struct epb_conn *conn)
{
    size_t input = epb_session_held_input(conn->session);
    size_t output = epb_session_held_output(conn->session) + epb_buf_size(&conn->unsent);

    server->held_input = server->held_input - conn->held_input + input;
    server->held_output = server->held_output - conn->held_output + output;
    conn->held_input = input;
    conn->held_output = output;
    if (!epb_list_empty(&conn->unproven) && !epb_session_unproven(conn->session)) {
        epb_list_remove(&conn->unproven);
        server->unproven_count--;
        accept_now(server);
    }
    conn->deadline_ms =
        conn->lingering ? conn->linger_ms : epb_session_deadline(conn->session);
    if (conn->deadline_ms == UINT64_MAX) {
        epb_list_remove(&conn->timed);
    } else if (epb_list_empty(&conn->timed)) {
        epb_list_append(&server->timed, &conn->timed);
    }
}

static void
drop(struct epb_server *server, struct epb_conn *conn)
{
    server->held_input -= conn->held_input;
    server->held_output -= conn->held_output;
    if (!epb_list_empty(&conn->unproven))
        server->unproven_count--;
    epb_list_remove(&conn->all);
    epb_list_remove(&conn->queued);
    epb_list_remove(&conn->unproven);
    epb_list_remove(&conn->timed);
    server->traffic->connections--;
    epb_conn_close(conn);
    accept_now(server);
}

static void
drop_warned(struct epb_server *server, struct epb_conn *conn, const char *reason)
{
    warn_limited(server, LIMITED_DROPPED, "connection_dropped", reason);
    drop(server, conn);
}

/* The connection that holds most of what there is too much of. */
static struct epb_conn *
find_largest(struct epb_server *server, bool output)
{
    struct epb_conn *largest = NULL;
    size_t most = 0;

    for (struct epb_list *node = server->all.next; node != &server->all;
         node = node->next) {
        struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, all);
        size_t held = output ? conn->held_output : conn->held_input;
        if (held < most || held == 0)
            continue;
        most = held;
        largest = conn;
    }
    return largest;
}

static void
enforce_totals(struct epb_server *server)
{
    while (server->held_input > EPB_HELD_INPUT_BYTES) {
        drop_warned(server, find_largest(server, false), "input_limit");
    }
    while (server->held_output > EPB_HELD_OUTPUT_BYTES) {
        drop_warned(server, find_largest(server, true), "output_limit");
    }
}

/* Before the first byte nobody knows the encoding; frames are what our own clients
 * expect. */
static void
refuse(struct epb_server *server, struct epb_conn *conn)
{
    struct epb_reply reply = {.status = EPB_MAX_CONNECTIONS};
    struct epb_buf frame;

    epb_buf_init(&frame, EPB_FRAME_LENGTH_BYTES + EPB_REPLY_HEADER_BYTES);
    if (epb_frame_encode_reply(&frame, &reply) == EPB_OK) {
        epb_conn_say(conn,
                     (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)});
    }
    epb_buf_fini(&frame);
    server->traffic->connections_refused++;
    warn_limited(server, LIMITED_REFUSED, "connection_refused", "max_connections");
    epb_conn_close(conn);
}

static void
pause_accepting(struct epb_server *server, uint64_t until_ms)
{
    epb_endpoint_pause(server->endpoint, true);
    server->accept_again_ms = until_ms;
}

/* Out of descriptors or memory: those connected are served meanwhile. */
static void
pause_exhausted(struct epb_server *server)
{
    warn_limited(server, LIMITED_ACCEPT, "accept_paused", "out_of_descriptors");
    pause_accepting(server, now_of(server)->mono_ms + EPB_ACCEPT_REST_MS);
}

/* Whether one more session without a proof may begin. The oldest makes room, once it has
 * had its time; until then newcomers wait in the system's queue: a crowd that starts at
 * once is no attack. */
static bool
has_unproven_place(struct epb_server *server)
{
    if (server->unproven_count < EPB_UNPROVEN_MAX)
        return true;
    struct epb_conn *oldest =
        EPB_LIST_ITEM(server->unproven.next, struct epb_conn, unproven);
    uint64_t until_ms = oldest->since_ms + EPB_UNPROVEN_REST_MS;
    if (now_of(server)->mono_ms < until_ms) {
        pause_accepting(server, until_ms);
        return false;
    }
    drop_warned(server, oldest, "unproven_limit");
    return true;
}

static void
admit(struct epb_server *server, struct epb_conn *conn)
{
    if (server->max_connections != 0 &&
        server->traffic->connections >= server->max_connections) {
        refuse(server, conn);
        return;
    }
    if (epb_conn_begin(conn) != EPB_OK) {
        server->traffic->connections_refused++;
        epb_conn_close(conn);
        return;
    }
    server->traffic->connections++;
    server->traffic->connections_total++;
    conn->since_ms = now_of(server)->mono_ms;
    server->active_ms = conn->since_ms;
    epb_list_append(&server->all, &conn->all);
    epb_list_append(&server->unproven, &conn->unproven);
    server->unproven_count++;
    account(server, conn);
}

static void
on_connection(void *context)
{
    struct epb_server *server = context;

    if (!has_unproven_place(server))
        return;
    struct epb_conn *conn = epb_conn_new(&server->loop.uv, &server->conns);
    if (conn == NULL) {
        pause_exhausted(server);
        return;
    }
    switch (epb_endpoint_accept(server->endpoint, &conn->pipe)) {
    case EPB_ACCEPT_ONE:
        admit(server, conn);
        return;
    case EPB_ACCEPT_EXHAUSTED:
        pause_exhausted(server);
        break;
    case EPB_ACCEPT_STRANGER:
        server->traffic->connections_refused++;
        warn_limited(server, LIMITED_REFUSED, "connection_refused", "another_user");
        break;
    case EPB_ACCEPT_NONE:
        break;
    }
    epb_conn_close(conn);
}

/* --- What is due --- */

static void
on_timer(uv_timer_t *timer)
{
    struct epb_server *server = timer->data;

    server->armed_ms = UINT64_MAX;
}

static uint64_t
earlier(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* Lets requests and handshakes that took too long go; returns when the next one is due.
 */
static uint64_t
expire_conns(struct epb_server *server, uint64_t now_ms)
{
    uint64_t due_ms = UINT64_MAX;
    struct epb_list *next = NULL;

    for (struct epb_list *node = server->timed.next; node != &server->timed;
         node = next) {
        struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, timed);
        next = node->next;
        if (conn->deadline_ms > now_ms) {
            due_ms = earlier(due_ms, conn->deadline_ms);
        } else if (conn->lingering) {
            drop(server, conn);
        } else {
            drop_warned(server, conn, "too_slow");
        }
    }
    return due_ms;
}

/* Returns how long until the sweeper has to be called again. */
static uint64_t
sweep(struct epb_server *server)
{
    const struct epb_time *now = now_of(server);
    uint64_t item_due_ms = epb_engine_sweep(server->engine, now);

    if (server->item_due_ms <= now->boot_ms)
        server->swept_ms = now->boot_ms;
    server->item_due_ms = item_due_ms;
    if (item_due_ms == UINT64_MAX)
        return UINT64_MAX;
    if (item_due_ms <= now->boot_ms)
        return 0;
    uint64_t due_ms = item_due_ms;
    if (due_ms < server->swept_ms + EPB_SWEEP_REST_MS) {
        due_ms = server->swept_ms + EPB_SWEEP_REST_MS;
    }
    uint64_t wait_ms = due_ms > now->boot_ms ? due_ms - now->boot_ms : 1;
    return earlier(wait_ms, server->sweeper_interval_ms);
}

static void
beat(struct epb_server *server)
{
    struct epb_stats stats;
    struct epb_buf text;

    epb_engine_stats(server->engine, now_of(server), &stats);
    epb_buf_init(&text, HEARTBEAT_MAX_BYTES);
    if (epb_report_stats(&text, &stats) == EPB_OK) {
        say(server, EPB_SERVER_HEARTBEAT,
            (struct epb_bytes){epb_buf_data(&text), epb_buf_size(&text)});
    }
    epb_buf_fini(&text);
}

static uint64_t
check_heartbeat(struct epb_server *server, uint64_t now_ms)
{
    if (server->heartbeat_ms == 0)
        return UINT64_MAX;
    if (now_ms >= server->heartbeat_at_ms) {
        beat(server);
        server->heartbeat_at_ms = now_ms + server->heartbeat_ms;
    }
    return server->heartbeat_at_ms;
}

static uint64_t
check_idle(struct epb_server *server, uint64_t now_ms)
{
    if (server->idle_timeout_ms == 0 || server->idle_said)
        return UINT64_MAX;
    uint64_t due_ms = server->active_ms + server->idle_timeout_ms;
    if (now_ms < due_ms)
        return due_ms;
    server->idle_said = true;
    say(server, EPB_SERVER_IDLE, (struct epb_bytes){(const uint8_t *)"{}", 2});
    return UINT64_MAX;
}

static uint64_t
check_accepting(struct epb_server *server, uint64_t now_ms)
{
    if (server->accept_again_ms == UINT64_MAX)
        return UINT64_MAX;
    if (now_ms < server->accept_again_ms)
        return server->accept_again_ms;
    server->accept_again_ms = UINT64_MAX;
    epb_endpoint_pause(server->endpoint, false);
    return UINT64_MAX;
}

static void
arm_timer(struct epb_server *server, uint64_t due_ms, uint64_t now_ms)
{
    if (due_ms == server->armed_ms)
        return;
    server->armed_ms = due_ms;
    if (due_ms == UINT64_MAX) {
        (void)uv_timer_stop(&server->timer);
        return;
    }
    uv_update_time(&server->loop.uv);
    /* One more: libuv's clock may be a fraction of a millisecond behind ours. */
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms + 1 : 1;
    EPB_ASSERT(uv_timer_start(&server->timer, on_timer, wait_ms, 0) == 0);
}

/* Does what is due and arms the timer for the rest. False: something is due again at
 * once. */
static bool
look_at_due(struct epb_server *server)
{
    uint64_t now_ms = now_of(server)->mono_ms;

    server->due_looked_ms = now_ms;
    check_lock(server, now_ms);
    uint64_t due_ms = expire_conns(server, now_ms);
    due_ms = earlier(due_ms, check_heartbeat(server, now_ms));
    due_ms = earlier(due_ms, check_idle(server, now_ms));
    due_ms = earlier(due_ms, check_accepting(server, now_ms));
    due_ms = earlier(due_ms, server->drain_until_ms);
    uint64_t sweep_wait_ms = sweep(server);
    if (sweep_wait_ms == 0)
        return false;
    if (sweep_wait_ms != UINT64_MAX)
        due_ms = earlier(due_ms, now_ms + sweep_wait_ms);
    arm_timer(server, due_ms, now_ms);
    return true;
}

/* --- Turns --- */

static void
close_timer(struct epb_server *server)
{
    if (server->timer_open)
        uv_close((uv_handle_t *)&server->timer, NULL);
    server->timer_open = false;
}

/* The end: nothing of what was stored, and no name, is left when it returns. */
static void
end(struct epb_server *server)
{
    if (server->ended)
        return;
    server->ended = true;
    epb_endpoint_close(server->endpoint);
    server->endpoint = NULL;
    while (!epb_list_empty(&server->all)) {
        drop(server, EPB_LIST_ITEM(server->all.next, struct epb_conn, all));
    }
    close_timer(server);
    epb_pool_fini(&server->conns.sessions.pool);
    epb_engine_free(server->engine);
    server->engine = NULL;
    server->traffic = NULL;
    epb_loop_end(&server->loop);
}

static bool
all_quiet(const struct epb_server *server)
{
    for (struct epb_list *node = server->all.next; node != &server->all;
         node = node->next) {
        if (!epb_conn_quiet(EPB_LIST_ITEM(node, struct epb_conn, all)))
            return false;
    }
    return true;
}

/* Draining ends when two looks in a row have found nothing, so that what had arrived is
 * answered, and all answers are taken; or when the time is up. */
static enum epb_loop_next
check_drained(struct epb_server *server, enum epb_loop_next next)
{
    if (server->drain_until_ms == UINT64_MAX)
        return next;
    bool late = now_of(server)->mono_ms >= server->drain_until_ms;
    bool quiet = next == EPB_LOOP_IDLE && all_quiet(server);
    if (late || (quiet && server->drain_quiet)) {
        end(server);
        say(server, EPB_SERVER_STOPPED, (struct epb_bytes){NULL, 0});
        return EPB_LOOP_IDLE;
    }
    server->drain_quiet = quiet;
    return quiet || next == EPB_LOOP_WORKED ? EPB_LOOP_MORE : next;
}

static enum epb_loop_next
serve_queued(struct epb_server *server)
{
    struct epb_list turn;
    const struct epb_time *now = now_of(server);

    server->active_ms = now->mono_ms;
    epb_list_take_all(&server->queued, &turn);
    while (!epb_list_empty(&turn)) {
        struct epb_conn *conn = EPB_LIST_ITEM(turn.next, struct epb_conn, queued);
        epb_list_remove(&conn->queued);
        enum epb_conn_next next = epb_conn_turn(conn, now);
        if (next == EPB_CONN_DONE) {
            drop(server, conn);
            continue;
        }
        account(server, conn);
        if (next == EPB_CONN_MORE)
            on_ready(server, conn);
    }
    server->traffic->bytes_in = server->conns.bytes_in;
    server->traffic->bytes_out = server->conns.bytes_out;
    enforce_totals(server);
    return epb_list_empty(&server->queued) ? EPB_LOOP_WORKED : EPB_LOOP_MORE;
}

static enum epb_loop_next
on_turn(void *context)
{
    struct epb_server *server = context;
    enum epb_loop_next next = EPB_LOOP_IDLE;

    if (server->ended)
        return next;
    if (!epb_list_empty(&server->queued)) {
        next = serve_queued(server);
        if (server->now.mono_ms - server->due_looked_ms >= DUE_REST_MS) {
            (void)look_at_due(server);
        }
    }
    if (server->accept_again_ms == 0)
        (void)check_accepting(server, 0);
    next = check_drained(server, next);
    /* The next look at the sockets may take long. */
    server->now_known = false;
    return next;
}

static bool
on_rest(void *context)
{
    struct epb_server *server = context;

    if (server->ended)
        return false;
    bool rest = look_at_due(server);
    server->now_known = false;
    return rest;
}

/* --- Life --- */

static void
run_stop(void *context)
{
    end(context);
}

static void
run_drain(void *context)
{
    struct epb_server *server = context;

    if (server->ended)
        return;
    epb_engine_drain(server->engine);
    epb_endpoint_pause(server->endpoint, true);
    server->accept_again_ms = UINT64_MAX;
    server->drain_until_ms = now_of(server)->mono_ms + server->drain_ms;
}

static void
copy_options(struct epb_server *server, const struct epb_server_options *options)
{
    server->debug = options->debug;
    server->idle_timeout_ms = options->idle_timeout_ms;
    server->heartbeat_ms = options->heartbeat_ms;
    server->sweeper_interval_ms = options->engine.sweeper_interval_ms;
    server->max_connections = options->engine.max_connections;
    server->on_event = options->on_event;
    server->event_context = options->event_context;
    server->conns.context = server;
    server->conns.ready = on_ready;
    server->conns.now = on_now;
    server->conns.sessions = (struct epb_session_config){
        .secret = {server->secret, server->secret_bytes},
        .legacy_hmac = options->legacy_hmac,
        .log_requests = options->debug,
        .on_event = on_session_event,
        .event_context = server,
    };
}

static struct epb_server *
new_server(const struct epb_server_options *options)
{
    struct epb_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        return NULL;
    server->pid = epb_sys_pid();
    epb_list_init(&server->all);
    epb_list_init(&server->queued);
    epb_list_init(&server->unproven);
    epb_list_init(&server->timed);
    server->armed_ms = UINT64_MAX;
    server->accept_again_ms = UINT64_MAX;
    server->drain_until_ms = UINT64_MAX;
    server->item_due_ms = UINT64_MAX;
    server->stop_task = (struct epb_task){.run = run_stop, .context = server};
    server->drain_task = (struct epb_task){.run = run_drain, .context = server};
    if (options->secret.size_bytes != 0) {
        server->secret = epb_mem_alloc(options->secret.size_bytes);
        if (server->secret == NULL) {
            free(server);
            return NULL;
        }
        server->secret_bytes = options->secret.size_bytes;
        memcpy(server->secret, options->secret.data, options->secret.size_bytes);
    }
    copy_options(server, options);
    return server;
}

static void
free_server(struct epb_server *server)
{
    epb_mem_free(server->secret);
    free(server->path);
    free(server);
}

static enum epb_status
make_engine(struct epb_server *server, const struct epb_options *options)
{
    const struct epb_time *now = now_of(server);

    server->active_ms = now->mono_ms;
    server->heartbeat_at_ms = now->mono_ms + server->heartbeat_ms;
    server->engine = epb_engine_new(options, now);
    if (server->engine == NULL)
        return EPB_INTERNAL;
    server->traffic = epb_engine_traffic(server->engine);
    server->conns.sessions.engine = server->engine;
    return EPB_OK;
}

/* The loop exists; everything made on it is closed by end() whether or not this succeeds.
 */
static int
begin_listening(struct epb_server *server, const struct epb_server_options *options)
{
    int error = uv_timer_init(&server->loop.uv, &server->timer);

    if (error != 0)
        return error;
    server->timer_open = true;
    server->timer.data = server;
    struct epb_endpoint_spec spec = {.path = options->path, .pipe_id = options->pipe_id};
    error = epb_endpoint_open(&spec, &server->endpoint);
    if (error != 0)
        return error;
    server->path = strdup(epb_endpoint_path(server->endpoint));
    if (server->path == NULL)
        return UV_ENOMEM;
    error =
        epb_endpoint_listen(server->endpoint, &server->loop.uv, on_connection, server);
    if (error != 0)
        return error;
    say_started(server);
    return epb_loop_start(&server->loop);
}

enum epb_status
epb_server_start(const struct epb_server_options *options, struct epb_server **out,
                 int *os_error)
{
    *os_error = 0;
    struct epb_server *server = new_server(options);
    if (server == NULL)
        return EPB_INTERNAL;
    enum epb_status status = make_engine(server, &options->engine);
    if (status != EPB_OK)
        goto failed;
    struct epb_loop_user user = {.context = server, .turn = on_turn, .rest = on_rest};
    *os_error = epb_loop_init(&server->loop, &user);
    status = *os_error == 0 ? EPB_OK : EPB_BROKER_GONE;
    if (status != EPB_OK)
        goto failed;
    *os_error = begin_listening(server, options);
    if (*os_error == 0) {
        *out = server;
        return EPB_OK;
    }
    end(server);
    epb_loop_fini(&server->loop);
    free_server(server);
    return EPB_BROKER_GONE;

failed:
    epb_engine_free(server->engine);
    free_server(server);
    return status;
}

const char *
epb_server_path(const struct epb_server *server)
{
    return server->path;
}

void
epb_server_drain(struct epb_server *server, uint64_t drain_ms)
{
    if (server->pid != epb_sys_pid() || server->draining_asked)
        return;
    server->draining_asked = true;
    server->drain_ms = drain_ms;
    epb_loop_post(&server->loop, &server->drain_task);
}

void
epb_server_stop(struct epb_server *server)
{
    if (server == NULL || server->pid != epb_sys_pid())
        return;
    epb_loop_post(&server->loop, &server->stop_task);
    epb_loop_fini(&server->loop);
    free_server(server);
}
