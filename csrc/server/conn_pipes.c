/* The pipe pair of a connection: passing it to the peer, and the change between it and
 * the socket (conn.h). */
#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/uv_reserve.h"
#include "conn_internal.h"
#include "endpoint.h"

/* Passes the peer's ends of a new pipe pair with the queued output. On failure the peer
 * gets its reply without them. */
static void
pass_pipe_pair(struct epb_conn *conn)
{
    struct epb_pipe_ends peers = EPB_PIPE_NO_ENDS;
    int sent = 0;

    if (conn->pipes != NULL || conn->writing ||
        conn->owner->piped_count == EPB_CONN_PIPED_MAX ||
        epb_pipe_pair_make(&conn->ends, &peers) != 0) {
        return;
    }
    uv_loop_t *loop = conn->socket.loop;
    conn->pipes = epb_mem_table_alloc(sizeof(*conn->pipes));
    if (conn->pipes != NULL && epb_uv_reserve_fd(loop, conn->ends.in) == 0 &&
        epb_uv_reserve_fd(loop, conn->ends.out) == 0) {
        sent =
            epb_pipe_pair_pass(&conn->socket, epb_session_output(conn->session), &peers);
    }
    epb_pipe_pair_close(&peers);
    if (sent <= 0) {
        epb_pipe_pair_close(&conn->ends);
        epb_mem_table_free(conn->pipes);
        conn->pipes = NULL;
        return;
    }
    conn->owner->piped_count++;
    conn->owner->bytes_out += (size_t)sent;
    epb_session_sent(conn->session, (size_t)sent);
    epb_session_pipe_pair_passed(conn->session);
}

static void
on_socket_alloc(uv_handle_t *socket, size_t suggested, uv_buf_t *out)
{
    struct epb_conn *conn = socket->data;

    (void)suggested;
    *out = epb_conn_offer_place(conn, socket, conn->owner->discarded, 1);
}

/* A peer on pipes that sends bytes through the socket has broken the protocol. */
static void
on_socket_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    struct epb_conn *conn = socket->data;

    (void)buffer;
    EPB_ASSERT(!conn->closed);
    if (size == UV_ENOBUFS) {
        size = conn->guarded_read;
    }
    if (size == 0) {
        return;
    }
    (void)uv_read_stop(socket);
    epb_mem_wipe(conn->owner->discarded, 1);
    if (size == UV_EOF) {
        conn->gone = true;
    } else {
        conn->broken = true;
    }
    epb_conn_ask_for_turn(conn);
}

/* On success the handle owns the end. */
static bool
open_end(struct epb_conn *conn, uv_pipe_t *pipe, int *end)
{
    EPB_ASSERT(uv_pipe_init(conn->socket.loop, pipe, 0) == 0);
    pipe->data = conn;
    conn->handles++;
    if (uv_pipe_open(pipe, *end) != 0) {
        return false;
    }
    *end = -1;
    return true;
}

/* Opens the ends for the first change to the pipes. */
static bool
open_ends(struct epb_conn *conn)
{
    bool in = open_end(conn, &conn->pipes->in, &conn->ends.in);
    bool out = open_end(conn, &conn->pipes->out, &conn->ends.out);

    return in && out;
}

/* Changes to the pipes. The socket may have ended before: then the peer is known to be
 * gone. */
static bool
go_over(struct epb_conn *conn)
{
    if (conn->handles == 1 && !open_ends(conn)) {
        return false;
    }
    conn->in = &conn->pipes->in;
    conn->out = &conn->pipes->out;
    conn->gone = conn->ended;
    conn->ended = false;
    return conn->gone || (epb_uv_reserve_pipe(&conn->socket) == 0 &&
                          uv_read_start((uv_stream_t *)&conn->socket, on_socket_alloc,
                                        on_socket_read) == 0);
}

/* Changes back to the socket. The pipes stay open for the next change. */
static void
go_back(struct epb_conn *conn)
{
    conn->in = &conn->socket;
    conn->out = &conn->socket;
    conn->ended = conn->ended || conn->gone;
    conn->gone = false;
}

enum epb_conn_next
epb_conn_change_path(struct epb_conn *conn)
{
    bool changed = true;

    EPB_ASSERT(conn->pipes != NULL);
    if (epb_conn_unsent_bytes(conn) != 0) {
        return EPB_CONN_WAIT;
    }
    conn->changing = false;
    if (conn->reading) {
        epb_conn_stop_reading(conn);
    }
    if (epb_conn_is_on_pipe_pair(conn)) {
        go_back(conn);
    } else {
        changed = go_over(conn);
    }
    return changed ? EPB_CONN_MORE : EPB_CONN_DONE;
}

/* Begins a change. The peer may get its reply and continue on the other way before we
 * know that its reply was written. Bytes that it sends there are no fault and can
 * wait. */
static void
begin_change(struct epb_conn *conn)
{
    conn->changing = true;
    if (epb_conn_is_on_pipe_pair(conn)) {
        (void)uv_read_stop((uv_stream_t *)&conn->socket);
    }
}

void
epb_conn_serve_pipe_pair(struct epb_conn *conn)
{
    switch (epb_session_asks(conn->session)) {
    case EPB_SESSION_ASKS_FOR_PIPE_PAIR:
        pass_pipe_pair(conn);
        break;
    case EPB_SESSION_CHANGES_PATH:
        begin_change(conn);
        break;
    case EPB_SESSION_ASKS_NOTHING:
        break;
    }
}

bool
epb_conn_has_left(const struct epb_conn *conn)
{
    return conn->gone && !conn->ended && epb_pipe_pair_is_drained(conn->in);
}
