/* Turns and life. See server.h and server_internal.h. */
#include <string.h>

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "server_internal.h"

/* How often timers are checked during continuous work. */
#define DUE_REST_MS 10U
/* How long a turn may work on connections whose peers have left. */
#define ENDING_TURN_US 1000U
/* A connection that had this many turns alone in a row is likely to have the next one
 * too. */
#define HOT_TURNS 4U

/* Turns */

static void
close_timers(struct epb_server *server)
{
    if (server->timer_open) {
        uv_close((uv_handle_t *)&server->timer, NULL);
    }
    server->timer_open = false;
    epb_boot_timer_close(&server->boot_timer);
}

/* Ends the server: when this returns, all stored data and the name are gone. */
static void
end(struct epb_server *server)
{
    if (server->ended) {
        return;
    }
    server->ended = true;
    epb_endpoint_close(server->endpoint);
    server->endpoint = NULL;
    while (!epb_list_empty(&server->all)) {
        epb_server_drop(server, EPB_LIST_ITEM(server->all.next, struct epb_conn, all));
    }
    close_timers(server);
    epb_buf_pool_fini(&server->conns.sessions.pool);
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
        if (!epb_conn_is_quiet(EPB_LIST_ITEM(node, struct epb_conn, all))) {
            return false;
        }
    }
    return true;
}

/* Draining ends when two polls in a row have found nothing, so that all requests that had
 * arrived are answered and all replies are taken; or when the time is up. */
static enum epb_loop_next
check_drained(struct epb_server *server, enum epb_loop_next next)
{
    if (server->drain_until_ms == UINT64_MAX) {
        return next;
    }
    bool late = epb_server_now(server)->mono_ms >= server->drain_until_ms;
    bool quiet = next == EPB_LOOP_IDLE && all_quiet(server);
    if (late || (quiet && server->drain_quiet)) {
        end(server);
        epb_server_log(server, EPB_SERVER_STOPPED, (struct epb_bytes){NULL, 0});
        return EPB_LOOP_IDLE;
    }
    server->drain_quiet = quiet;
    return quiet || next == EPB_LOOP_WORKED ? EPB_LOOP_MORE : next;
}

static bool
has_queued(const struct epb_server *server)
{
    return !epb_list_empty(&server->queued) || !epb_list_empty(&server->ending);
}

static bool
on_alone(const void *context)
{
    const struct epb_server *server = context;

    return !has_queued(server) && epb_list_empty(&server->serving);
}

static void
serve(struct epb_server *server, struct epb_conn *conn)
{
    epb_list_remove(&conn->queued);
    enum epb_conn_next next = epb_conn_turn(conn, epb_server_now(server));
    if (next == EPB_CONN_DONE) {
        epb_server_drop(server, conn);
        return;
    }
    epb_server_account(server, conn);
    if (next == EPB_CONN_MORE) {
        epb_server_on_ready(server, conn);
    }
    epb_server_enforce_totals(server);
}

/* Serves connections whose peers have left. Many may leave at once, and each of them
 * costs time for every lease and every waiting request that ends with it. So the time is
 * bounded, and the other connections are served in between. */
static void
serve_ending(struct epb_server *server)
{
    if (epb_list_empty(&server->ending)) {
        return;
    }
    uint64_t until_ns = epb_sys_ticks_ns() + ENDING_TURN_US * UINT64_C(1000);
    while (!epb_list_empty(&server->ending)) {
        serve(server, EPB_LIST_ITEM(server->ending.next, struct epb_conn, queued));
        if (epb_sys_ticks_ns() >= until_ns) {
            return;
        }
    }
}

/* Counts how many turns in a row one connection has had alone. */
static void
note_hot_conn(struct epb_server *server)
{
    struct epb_list *first = server->queued.next;
    struct epb_conn *only = NULL;

    if (first != &server->queued && first->next == &server->queued) {
        only = EPB_LIST_ITEM(first, struct epb_conn, queued);
    }
    server->hot_turns = only == server->hot_conn ? server->hot_turns + 1 : 0;
    server->hot_conn = only;
}

/* The connection whose peer is likely to send next; NULL when no connection stands
 * out. */
static struct epb_conn *
likely_next(const struct epb_server *server)
{
    return server->hot_turns >= HOT_TURNS ? server->hot_conn : NULL;
}

static bool
on_poll_one(void *context)
{
    struct epb_conn *conn = likely_next(context);

    return conn != NULL && epb_conn_poll(conn);
}

static void
take_shorter_slice(struct epb_server *server)
{
    uint64_t slice_ns = epb_sys_slice_ns();

    if (slice_ns != 0 && server->may_shorten_slice &&
        epb_sys_set_slice(slice_ns / EPB_CONTENTION_SHARE)) {
        server->slice_ns = slice_ns;
    }
}

static void
take_own_slice(struct epb_server *server)
{
    (void)epb_sys_set_slice(server->slice_ns);
    server->slice_ns = 0;
}

/* Call when contention has begun or ended. */
static void
adjust_slice(struct epb_server *server)
{
    if (server->contention.there) {
        take_shorter_slice(server);
    } else if (server->slice_ns != 0) {
        take_own_slice(server);
    }
    server->loop.spin.has_short_slice = server->slice_ns != 0;
}

static enum epb_loop_next
serve_queued(struct epb_server *server)
{
    unsigned served = 0;

    server->active_ms = epb_server_now(server)->mono_ms;
    note_hot_conn(server);
    epb_list_take_all(&server->queued, &server->serving);
    while (!epb_list_empty(&server->serving)) {
        serve(server, EPB_LIST_ITEM(server->serving.next, struct epb_conn, queued));
        served++;
    }
    if (epb_contention_note(&server->contention, served)) {
        adjust_slice(server);
    }
    serve_ending(server);
    server->traffic->bytes_in = server->conns.bytes_in;
    server->traffic->bytes_out = server->conns.bytes_out;
    return EPB_LOOP_WORKED;
}

/* Checks timers now and then during continuous work. */
static void
check_timers_meanwhile(struct epb_server *server)
{
    uint64_t now_ms = epb_server_now(server)->mono_ms;

    if (now_ms >= server->timers_checked_ms + DUE_REST_MS ||
        now_ms >= server->lease_due_ms) {
        (void)epb_server_check_timers(server);
    }
}

static void
on_begin(void *context)
{
    struct epb_server *server = context;

    if (!server->sandbox) {
        return;
    }
    if (uv_pipe_init(&server->loop.uv, &server->first_pipe, 0) == 0) {
        uv_close((uv_handle_t *)&server->first_pipe, NULL);
    }
    struct epb_sandbox_parts parts =
        epb_sandbox_enter(&(struct epb_sandbox){.socket_path = server->path});
    epb_server_log_sandbox(server, &parts);
}

static enum epb_loop_next
on_turn(void *context)
{
    struct epb_server *server = context;
    enum epb_loop_next next = EPB_LOOP_IDLE;

    if (server->ended) {
        return next;
    }
    if (has_queued(server)) {
        next = serve_queued(server);
        check_timers_meanwhile(server);
    }
    if (server->accept_again_ms == 0) {
        (void)epb_server_check_accepting(server, 0);
    }
    if (has_queued(server)) {
        next = EPB_LOOP_MORE;
    }
    next = check_drained(server, next);
    /* The next poll of the sockets may take long. */
    server->now_known = false;
    return next;
}

static bool
on_rest(void *context)
{
    struct epb_server *server = context;

    if (server->ended) {
        return false;
    }
    /* Due timers may have queued connections. */
    bool rest = epb_server_check_timers(server) && !has_queued(server);
    server->now_known = false;
    return rest;
}

/* Life */

static const struct epb_time *
on_now(void *context)
{
    return epb_server_now(context);
}

static void
run_stop(void *context)
{
    end(context);
}

static void
run_drain(void *context)
{
    struct epb_server *server = context;

    if (server->ended) {
        return;
    }
    epb_engine_drain(server->engine, epb_server_now(server));
    epb_endpoint_pause(server->endpoint);
    server->accept_again_ms = UINT64_MAX;
    server->drain_until_ms = epb_server_now(server)->mono_ms + server->drain_ms;
}

static void
copy_options(struct epb_server *server, const struct epb_server_options *options)
{
    server->debug = options->debug;
    server->sandbox = options->sandbox;
    server->idle_timeout_ms = options->idle_timeout_ms;
    server->heartbeat_ms = options->heartbeat_ms;
    server->sweeper_interval_ms = options->engine.sweeper_interval_ms;
    server->max_connections = options->engine.max_connections;
    server->on_event = options->on_event;
    server->event_context = options->event_context;
    server->conns.context = server;
    server->conns.ready = epb_server_on_ready;
    server->conns.may_take = epb_server_may_take;
    server->conns.input_held = epb_server_on_input_held;
    server->conns.alone = on_alone;
    server->conns.now = on_now;
    server->conns.sessions = (struct epb_session_config){
        .secret = {server->secret, server->secret_bytes},
        .legacy_hmac = options->legacy_hmac,
        .log_requests = options->debug,
        .on_event = epb_server_on_session_event,
        .event_context = server,
        .on_wake = epb_server_on_wake,
        .wake_context = server,
    };
}

static struct epb_server *
new_server(const struct epb_server_options *options)
{
    struct epb_server *server = epb_mem_table_alloc(sizeof(*server));

    if (server == NULL) {
        return NULL;
    }
    server->pid = epb_sys_pid();
    /* A shorter slice gains nothing when the thread shares a single processor with all
     * clients. A sandboxed thread can't ask for their number. */
    server->may_shorten_slice = epb_sys_processors() > 1;
    epb_list_init(&server->all);
    epb_list_init(&server->queued);
    epb_list_init(&server->serving);
    epb_list_init(&server->ending);
    epb_list_init(&server->unproven);
    epb_list_init(&server->timed);
    epb_processes_init(&server->processes);
    server->armed_ms = UINT64_MAX;
    server->accept_again_ms = UINT64_MAX;
    server->drain_until_ms = UINT64_MAX;
    epb_sweeper_init(&server->sweeper);
    epb_boot_timer_init(&server->boot_timer);
    server->lease_due_ms = UINT64_MAX;
    server->stop_task = (struct epb_task){.run = run_stop, .context = server};
    server->drain_task = (struct epb_task){.run = run_drain, .context = server};
    if (options->secret.size_bytes != 0) {
        server->secret = epb_mem_alloc(options->secret.size_bytes);
        if (server->secret == NULL) {
            epb_mem_table_free(server);
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
    EPB_ASSERT(epb_list_empty(&server->all) && !has_queued(server) &&
               epb_list_empty(&server->serving) && epb_list_empty(&server->unproven) &&
               epb_list_empty(&server->timed));
    epb_mem_free(server->secret);
    epb_mem_table_free(server->path);
    epb_mem_table_free(server);
}

static enum epb_status
make_engine(struct epb_server *server, const struct epb_options *options)
{
    const struct epb_time *now = epb_server_now(server);

    server->active_ms = now->mono_ms;
    server->heartbeat_at_ms = now->mono_ms + server->heartbeat_ms;
    server->engine = epb_engine_new(options, now, epb_session_wake, NULL);
    if (server->engine == NULL) {
        return EPB_INTERNAL;
    }
    server->traffic = epb_engine_traffic(server->engine);
    server->conns.sessions.engine = server->engine;
    return EPB_OK;
}

/* The loop exists. end() closes all that is made on it, whether or not this succeeds. */
static int
begin_listening(struct epb_server *server, const struct epb_server_options *options)
{
    int error = uv_timer_init(&server->loop.uv, &server->timer);

    if (error != 0) {
        return error;
    }
    server->timer_open = true;
    server->timer.data = server;
    error = epb_boot_timer_open(&server->boot_timer, &server->loop.uv);
    if (error != 0) {
        return error;
    }
    struct epb_endpoint_spec spec = {.path = options->path, .pipe_id = options->pipe_id};
    error = epb_endpoint_open(&spec, &server->endpoint);
    if (error != 0) {
        return error;
    }
    server->path = epb_mem_table_text(epb_endpoint_path(server->endpoint));
    if (server->path == NULL) {
        return UV_ENOMEM;
    }
    error = epb_endpoint_listen(server->endpoint, &server->loop.uv,
                                epb_server_on_connection, server);
    if (error != 0) {
        return error;
    }
    epb_server_log_started(server);
    return epb_loop_start(&server->loop);
}

enum epb_status
epb_server_start(const struct epb_server_options *options, struct epb_server **out,
                 int *os_error)
{
    *os_error = 0;
    struct epb_server *server = new_server(options);
    if (server == NULL) {
        return EPB_INTERNAL;
    }
    enum epb_status status = make_engine(server, &options->engine);
    if (status != EPB_OK) {
        goto failed;
    }
    struct epb_loop_user user = {.context = server,
                                 .begin = on_begin,
                                 .turn = on_turn,
                                 .rest = on_rest,
                                 .poll_one = on_poll_one};
    *os_error = epb_loop_init(&server->loop, &user);
    status = *os_error == 0 ? EPB_OK : EPB_BROKER_GONE;
    if (status != EPB_OK) {
        goto failed;
    }
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
    if (server->pid != epb_sys_pid() || server->draining_asked) {
        return;
    }
    server->draining_asked = true;
    server->drain_ms = drain_ms;
    epb_loop_post(&server->loop, &server->drain_task);
}

void
epb_server_stop(struct epb_server *server)
{
    if (server == NULL || server->pid != epb_sys_pid()) {
        return;
    }
    epb_loop_post(&server->loop, &server->stop_task);
    epb_loop_fini(&server->loop);
    free_server(server);
}
