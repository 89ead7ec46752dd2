/* The connections of a server: accepting them, what they hold, and closing them. See
 * server_internal.h. */
#include "../wire/frame.h"
#include "server_internal.h"

/* Turns */

void
epb_server_on_ready(void *context, struct epb_conn *conn)
{
    struct epb_server *server = context;
    bool ending = conn->ended || conn->broken;

    EPB_ASSERT(!epb_list_empty(&conn->all));
    /* It may have been queued before its peer left. */
    if (ending) {
        epb_list_remove(&conn->queued);
    }
    if (epb_list_empty(&conn->queued)) {
        epb_list_append(ending ? &server->ending : &server->queued, &conn->queued);
    }
}

void
epb_server_on_wake(void *context, void *owner)
{
    epb_server_on_ready(context, owner);
}

/* What they hold */

/* Accepting may have waited for a descriptor or a place that is free now. */
static void
accept_now(struct epb_server *server)
{
    if (server->accept_again_ms != UINT64_MAX) {
        server->accept_again_ms = 0;
    }
}

bool
epb_server_may_take(const void *context)
{
    const struct epb_server *server = context;

    return server->held_input <= EPB_HELD_INPUT_BYTES;
}

static void
account_input(struct epb_server *server, struct epb_conn *conn)
{
    size_t input = epb_session_held_input(conn->session);

    server->held_input = server->held_input - conn->held_input + input;
    conn->held_input = input;
}

void
epb_server_on_input_held(void *context, struct epb_conn *conn)
{
    account_input(context, conn);
}

/* Notes that a peer has proved the secret, and that a session in surplus has joined to
 * renew. */
static void
note_progress(struct epb_server *server, struct epb_conn *conn)
{
    if (!epb_list_empty(&conn->unproven) && !epb_session_is_unproven(conn->session)) {
        epb_list_remove(&conn->unproven);
        server->unproven_count--;
        /* A refused peer has proven nothing. */
        conn->is_proven = !conn->is_surplus && !epb_session_is_closing(conn->session);
        conn->process->proven += conn->is_proven;
        accept_now(server);
    }
    if (conn->is_surplus && !conn->renews && epb_session_renews(conn->session)) {
        conn->renews = true;
        server->traffic->connections_total++;
    }
}

void
epb_server_account(struct epb_server *server, struct epb_conn *conn)
{
    size_t output = epb_session_held_output(conn->session) + epb_buf_size(&conn->unsent);

    account_input(server, conn);
    server->held_output = server->held_output - conn->held_output + output;
    conn->held_output = output;
    note_progress(server, conn);
    conn->deadline_ms =
        conn->lingering ? conn->linger_ms : epb_session_deadline(conn->session);
    if (conn->deadline_ms == UINT64_MAX) {
        epb_list_remove(&conn->timed);
    } else if (epb_list_empty(&conn->timed)) {
        epb_list_append(&server->timed, &conn->timed);
    }
}

static void
count_refusal(struct epb_server *server)
{
    server->traffic->connections_refused++;
    epb_server_warn(server, EPB_LIMITED_REFUSED, "connection_refused", "max_connections");
}

/* The process's last proven connection within the limit has closed: there is nothing left
 * to renew. */
static void
end_surplus(struct epb_server *server, struct epb_process *process)
{
    for (struct epb_list *node = process->surplus.next; node != &process->surplus;
         node = node->next) {
        struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, surplus);
        conn->broken = true;
        epb_server_on_ready(server, conn);
    }
}

/* Frees the connection's place in its process. */
static void
leave_process(struct epb_server *server, struct epb_conn *conn)
{
    struct epb_process *process = conn->process;

    if (conn->is_surplus) {
        epb_list_remove(&conn->surplus);
        process->surplus_count--;
        server->surplus_count--;
        if (!conn->renews) {
            count_refusal(server);
        }
    } else if (conn->is_proven && --process->proven == 0) {
        end_surplus(server, process);
    }
    conn->process = NULL;
    epb_process_leave(process);
}

void
epb_server_drop(struct epb_server *server, struct epb_conn *conn)
{
    EPB_ASSERT(!epb_list_empty(&conn->all));
    server->held_input -= conn->held_input;
    server->held_output -= conn->held_output;
    leave_process(server, conn);
    if (!epb_list_empty(&conn->unproven)) {
        server->unproven_count--;
    }
    if (server->hot_conn == conn) {
        server->hot_conn = NULL;
    }
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
    epb_server_warn(server, EPB_LIMITED_DROPPED, "connection_dropped", reason);
    epb_server_drop(server, conn);
}

/* The connection that holds most input, or most output. */
static struct epb_conn *
find_largest(struct epb_server *server, bool output)
{
    struct epb_conn *largest = NULL;
    size_t most = 0;

    for (struct epb_list *node = server->all.next; node != &server->all;
         node = node->next) {
        struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, all);
        size_t held = output ? conn->held_output : conn->held_input;
        if (held < most || held == 0) {
            continue;
        }
        most = held;
        largest = conn;
    }
    return largest;
}

void
epb_server_enforce_totals(struct epb_server *server)
{
    while (server->held_input > EPB_HELD_INPUT_BYTES) {
        drop_warned(server, find_largest(server, false), "input_limit");
    }
    while (server->held_output > EPB_HELD_OUTPUT_BYTES) {
        drop_warned(server, find_largest(server, true), "output_limit");
    }
}

/* Before the first byte the encoding is unknown. Our own clients expect frames. */
static void
refuse(struct epb_server *server, struct epb_conn *conn)
{
    struct epb_reply reply = {.status = EPB_MAX_CONNECTIONS};
    struct epb_buf frame;

    epb_buf_init(&frame, EPB_FRAME_LENGTH_BYTES + EPB_REPLY_HEADER_BYTES);
    if (epb_frame_encode_reply(&frame, &reply) == EPB_OK) {
        epb_conn_write_refusal(
            conn, (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)});
    }
    epb_buf_fini(&frame);
    count_refusal(server);
    epb_conn_close(conn);
}

static void
pause_accepting(struct epb_server *server, uint64_t until_ms)
{
    epb_endpoint_pause(server->endpoint);
    server->accept_again_ms = until_ms;
}

/* Out of descriptors or memory: existing connections are served meanwhile. */
static void
pause_exhausted(struct epb_server *server)
{
    epb_server_warn(server, EPB_LIMITED_ACCEPT, "accept_paused", "out_of_descriptors");
    pause_accepting(server, epb_server_now(server)->mono_ms + EPB_ACCEPT_REST_MS);
}

/* Whether one more unproven session may begin. The oldest one makes room once it has had
 * its time. Until then new connections wait in the system's queue: many clients that
 * start at once are no attack. */
static bool
has_unproven_place(struct epb_server *server)
{
    if (server->unproven_count < EPB_UNPROVEN_MAX) {
        return true;
    }
    struct epb_conn *oldest =
        EPB_LIST_ITEM(server->unproven.next, struct epb_conn, unproven);
    uint64_t until_ms = oldest->since_ms + EPB_UNPROVEN_REST_MS;
    if (epb_server_now(server)->mono_ms < until_ms) {
        pause_accepting(server, until_ms);
        return false;
    }
    drop_warned(server, oldest, "unproven_limit");
    return true;
}

static bool
is_full(const struct epb_server *server)
{
    return server->max_connections != 0 &&
           server->traffic->connections - server->surplus_count >=
               server->max_connections;
}

/* Begins a session within the limit or in surplus (processes.h). EPB_MAX_CONNECTIONS when
 * neither is allowed; EPB_INTERNAL. */
static enum epb_status
begin(struct epb_server *server, struct epb_conn *conn)
{
    struct epb_process *process =
        epb_process_enter(&server->processes, epb_endpoint_peer_pid(&conn->socket));
    bool is_surplus = is_full(server);
    enum epb_status status = EPB_OK;

    if (process == NULL) {
        return EPB_INTERNAL;
    }
    if (is_surplus && !epb_process_may_have_surplus(process)) {
        status = EPB_MAX_CONNECTIONS;
    }
    if (status == EPB_OK) {
        status = epb_conn_begin(conn);
    }
    if (status != EPB_OK) {
        epb_process_leave(process);
        return status;
    }
    conn->process = process;
    conn->is_surplus = is_surplus;
    if (is_surplus) {
        epb_session_restrict(conn->session, epb_server_now(server));
        epb_list_append(&process->surplus, &conn->surplus);
        process->surplus_count++;
        server->surplus_count++;
    } else {
        server->traffic->connections_total++;
    }
    return EPB_OK;
}

static void
admit(struct epb_server *server, struct epb_conn *conn)
{
    enum epb_status status = begin(server, conn);

    if (status == EPB_MAX_CONNECTIONS) {
        refuse(server, conn);
        return;
    }
    if (status != EPB_OK) {
        server->traffic->connections_refused++;
        epb_conn_close(conn);
        return;
    }
    server->traffic->connections++;
    conn->since_ms = epb_server_now(server)->mono_ms;
    server->active_ms = conn->since_ms;
    epb_list_append(&server->all, &conn->all);
    epb_list_append(&server->unproven, &conn->unproven);
    server->unproven_count++;
    epb_server_account(server, conn);
}

void
epb_server_on_connection(void *context)
{
    struct epb_server *server = context;

    EPB_ASSERT(!server->ended);
    if (!has_unproven_place(server)) {
        return;
    }
    struct epb_conn *conn = epb_conn_new(&server->loop.uv, &server->conns);
    if (conn == NULL) {
        pause_exhausted(server);
        return;
    }
    switch (epb_endpoint_accept(server->endpoint, &conn->socket)) {
    case EPB_ACCEPT_ONE:
        admit(server, conn);
        return;
    case EPB_ACCEPT_EXHAUSTED:
        pause_exhausted(server);
        break;
    case EPB_ACCEPT_STRANGER:
        server->traffic->connections_refused++;
        epb_server_warn(server, EPB_LIMITED_REFUSED, "connection_refused",
                        "another_user");
        break;
    case EPB_ACCEPT_NONE:
        break;
    }
    epb_conn_close(conn);
}

/* Time */

uint64_t
epb_server_expire_conns(struct epb_server *server, uint64_t now_ms)
{
    const struct epb_time *now = epb_server_now(server);
    uint64_t due_ms = UINT64_MAX;
    struct epb_list *next = NULL;

    for (struct epb_list *node = server->timed.next; node != &server->timed;
         node = next) {
        struct epb_conn *conn = EPB_LIST_ITEM(node, struct epb_conn, timed);
        next = node->next;
        if (conn->deadline_ms > now_ms) {
            due_ms = conn->deadline_ms < due_ms ? conn->deadline_ms : due_ms;
        } else if (conn->lingering) {
            epb_server_drop(server, conn);
        } else if (conn->is_surplus && !conn->renews) {
            epb_session_turn_away(conn->session);
            conn->deadline_ms = epb_session_deadline(conn->session);
            epb_server_on_ready(server, conn);
        } else if (epb_session_prolong(conn->session, now)) {
            conn->deadline_ms = epb_session_deadline(conn->session);
            due_ms = conn->deadline_ms < due_ms ? conn->deadline_ms : due_ms;
        } else {
            drop_warned(server, conn, "too_slow");
        }
    }
    return due_ms;
}

uint64_t
epb_server_check_accepting(struct epb_server *server, uint64_t now_ms)
{
    if (server->accept_again_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    if (now_ms < server->accept_again_ms) {
        return server->accept_again_ms;
    }
    server->accept_again_ms = UINT64_MAX;
    if (!epb_endpoint_resume(server->endpoint)) {
        pause_exhausted(server);
    }
    return server->accept_again_ms;
}
