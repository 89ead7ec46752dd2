/* Shared by the parts of a connection: conn.c (life, turns, reading, writing), and below
 * it conn_pipes.c (the pipe pair). No other file includes this. */
#ifndef EPB_SERVER_CONN_INTERNAL_H
#define EPB_SERVER_CONN_INTERNAL_H

#include "../base/sys.h"
#include "conn.h"
#include "endpoint.h"

struct epb_conn_pipe_pair {
    uv_pipe_t in;
    uv_pipe_t out;
};

static inline size_t
epb_conn_unsent_bytes(const struct epb_conn *conn)
{
    return epb_buf_size(&conn->unsent) + epb_session_output(conn->session).size_bytes;
}

static inline void
epb_conn_ask_for_turn(struct epb_conn *conn)
{
    EPB_ASSERT(!conn->closed);
    conn->owner->ready(conn->owner->context, conn);
}

static inline void
epb_conn_stop_reading(struct epb_conn *conn)
{
    conn->reading = false;
    (void)uv_read_stop((uv_stream_t *)conn->in);
}

/* Whether descriptors may come through this handle, which must then be read here. */
static inline bool
epb_conn_is_guarded(const struct epb_conn *conn, const void *handle)
{
    return conn->guarded && handle == &conn->socket;
}

/* libuv would close passed descriptors on this thread, which may take long. So this
 * function reads a guarded socket itself when libuv asks for memory, and gives libuv
 * none. libuv then calls on_read with UV_ENOBUFS, and on_read uses the result stored
 * here. */
static inline uv_buf_t
epb_conn_offer_place(struct epb_conn *conn, const void *handle, void *memory,
                     size_t size_bytes)
{
    if (size_bytes > UINT32_MAX / 2) {
        size_bytes = UINT32_MAX / 2;
    }
    if (!epb_conn_is_guarded(conn, handle) || size_bytes == 0) {
        conn->guarded_read = UV_ENOBUFS;
        return uv_buf_init(memory, (unsigned)size_bytes);
    }
    conn->guarded_read = epb_endpoint_read_guarded(&conn->socket, memory, size_bytes);
    return uv_buf_init(NULL, 0);
}

static inline bool
epb_conn_is_on_pipe_pair(const struct epb_conn *conn)
{
    return conn->in != &conn->socket;
}

/* conn_pipes.c */

/* Does what the peer has asked for in a turn. */
void
epb_conn_serve_pipe_pair(struct epb_conn *conn);
/* Completes a change once all output of the old path is written. Until then there are no
 * turns; the next turn uses the new path. */
enum epb_conn_next
epb_conn_change_path(struct epb_conn *conn);
/* Whether the peer's process has ended, and the bytes that it left in the pipe have been
 * read. */
bool
epb_conn_has_left(const struct epb_conn *conn);

#endif
