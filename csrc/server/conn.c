/* See conn.h. */
#include "conn.h"

#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/uv_reserve.h"
#include "conn_internal.h"
#include "endpoint.h"

/* Never reached: a session bounds its output well below. */
#define UNSENT_LIMIT_BYTES (256U * 1024U * 1024U)
#define DISCARD_MAX_BYTES (4U * 1024U * 1024U)

struct epb_conn *
epb_conn_new(uv_loop_t *loop, struct epb_conn_owner *owner)
{
    struct epb_conn *conn = epb_mem_table_alloc(sizeof(*conn));

    if (conn == NULL) {
        return NULL;
    }
    if (uv_pipe_init(loop, &conn->socket, 0) != 0) {
        epb_mem_table_free(conn);
        return NULL;
    }
    conn->owner = owner;
    conn->socket.data = conn;
    conn->in = &conn->socket;
    conn->out = &conn->socket;
    conn->handles = 1;
    conn->ends = EPB_PIPE_NO_ENDS;
    conn->deadline_ms = UINT64_MAX;
    conn->turns_in_row = 1;
    epb_list_init(&conn->all);
    epb_list_init(&conn->queued);
    epb_list_init(&conn->unproven);
    epb_list_init(&conn->timed);
    epb_list_init(&conn->surplus);
    epb_buf_init(&conn->unsent, UNSENT_LIMIT_BYTES);
    return conn;
}

/* Reading */

/* Returns how much may be read now, and sets the memory to read into. */
static size_t
offer_room(struct epb_conn *conn, uint8_t **memory)
{
    size_t size_bytes = 0;

    if (!conn->owner->may_take(conn->owner->context)) {
        return 0;
    }
    epb_session_input(conn->session, memory, &size_bytes);
    conn->owner->input_held(conn->owner->context, conn);
    return size_bytes;
}

static void
on_alloc(uv_handle_t *pipe, size_t suggested, uv_buf_t *out)
{
    struct epb_conn *conn = pipe->data;
    uint8_t *memory = conn->owner->discarded;
    size_t size_bytes = sizeof(conn->owner->discarded);

    (void)suggested;
    EPB_ASSERT(!conn->closed);
    if (!conn->lingering) {
        size_bytes = offer_room(conn, &memory);
    }
    *out = epb_conn_offer_place(conn, pipe, memory, size_bytes);
}

static void
take_input(struct epb_conn *conn, size_t size_bytes)
{
    conn->owner->bytes_in += size_bytes;
    if (conn->lingering) {
        epb_mem_wipe(conn->owner->discarded, size_bytes);
        conn->discarded += size_bytes;
        if (conn->discarded <= DISCARD_MAX_BYTES) {
            return;
        }
        conn->broken = true;
        epb_conn_stop_reading(conn);
    } else {
        epb_session_received(conn->session, size_bytes);
    }
    epb_conn_ask_for_turn(conn);
}

static void
on_read(uv_stream_t *pipe, ssize_t size, const uv_buf_t *buffer)
{
    struct epb_conn *conn = pipe->data;

    (void)buffer;
    EPB_ASSERT(!conn->closed);
    if (size == UV_ENOBUFS) {
        size = conn->guarded_read;
    }
    if (size == 0) {
        return;
    }
    if (size > 0) {
        take_input(conn, (size_t)size);
        return;
    }
    epb_conn_stop_reading(conn);
    /* No room now: the next turn makes room and resumes reading. */
    if (size == UV_ENOBUFS) {
        epb_conn_ask_for_turn(conn);
        return;
    }
    /* The session is informed in a turn: releasing what it held may take long. */
    if (size == UV_EOF && !conn->lingering) {
        conn->ended = true;
    } else {
        conn->broken = true;
    }
    epb_conn_ask_for_turn(conn);
}

/* Returns how many bytes arrived. The loop reports an end or an error. */
static size_t
read_now(struct epb_conn *conn, uint8_t *memory, size_t room_bytes)
{
    if (!epb_conn_is_guarded(conn, conn->in)) {
        return epb_endpoint_read(conn->in, memory, room_bytes);
    }
    int got = epb_endpoint_read_guarded(conn->in, memory, room_bytes);
    if (got < 0 && got != UV_EOF) {
        conn->broken = true;
        epb_conn_ask_for_turn(conn);
    }
    return got > 0 ? (size_t)got : 0;
}

bool
epb_conn_poll(struct epb_conn *conn)
{
    uint8_t *memory = NULL;

    if (!conn->reading || conn->lingering) {
        return false;
    }
    size_t room_bytes = offer_room(conn, &memory);
    if (room_bytes == 0) {
        if (epb_session_is_closing(conn->session)) {
            epb_conn_ask_for_turn(conn);
        }
        return false;
    }
    size_t size_bytes = read_now(conn, memory, room_bytes);
    if (size_bytes != 0) {
        take_input(conn, size_bytes);
        return true;
    }
    epb_session_received(conn->session, 0);
    conn->owner->input_held(conn->owner->context, conn);
    return true;
}

static void
resume_reading(struct epb_conn *conn)
{
    if (conn->reading || conn->ended ||
        epb_conn_unsent_bytes(conn) >= EPB_CONN_UNSENT_BYTES) {
        return;
    }
    /* A closing session takes no input. Once all is written, lingering reads on. */
    if (!conn->lingering && epb_session_is_closing(conn->session)) {
        return;
    }
    if (epb_uv_reserve_pipe(conn->in) == 0 &&
        uv_read_start((uv_stream_t *)conn->in, on_alloc, on_read) == 0) {
        conn->reading = true;
    } else {
        conn->broken = true;
    }
}

/* Writing */

/* libuv reports an immediate write or failure in its next iteration. By then the
 * connection may be closed and about to be freed. */
static void
on_written(uv_write_t *write, int error)
{
    struct epb_conn *conn = write->data;

    if (conn->closed) {
        return;
    }
    conn->writing = false;
    if (error != 0) {
        conn->broken = true;
    }
    epb_buf_consume(&conn->unsent, epb_buf_size(&conn->unsent));
    epb_buf_trim(&conn->unsent, 0);
    epb_conn_ask_for_turn(conn);
}

/* Writes the rest through libuv, from memory that stays in place meanwhile. */
static bool
write_later(struct epb_conn *conn, struct epb_bytes rest)
{
    if (epb_uv_reserve_pipe(conn->out) != 0) {
        return false;
    }
    if (epb_buf_append(&conn->unsent, rest.data, rest.size_bytes) != EPB_OK) {
        return false;
    }
    epb_session_sent(conn->session, rest.size_bytes);
    union {
        const uint8_t *in;
        char *out;
    } data = {.in = epb_buf_data(&conn->unsent)};
    uv_buf_t buffer = uv_buf_init(data.out, (unsigned)rest.size_bytes);
    conn->write.data = conn;
    conn->writing = true;
    return uv_write(&conn->write, (uv_stream_t *)conn->out, &buffer, 1, on_written) == 0;
}

/* Returns how many bytes the socket took; negative when it failed. libuv does not change
 * the bytes, but its type lacks const. */
static int
try_write(struct epb_conn *conn, struct epb_bytes bytes)
{
    union {
        const uint8_t *in;
        char *out;
    } data = {.in = bytes.data};
    size_t size_bytes = bytes.size_bytes < INT32_MAX ? bytes.size_bytes : INT32_MAX;
    uv_buf_t buffer = uv_buf_init(data.out, (unsigned)size_bytes);
    int written = uv_try_write((uv_stream_t *)conn->out, &buffer, 1);

    return written == UV_EAGAIN ? 0 : written;
}

static bool
flush(struct epb_conn *conn)
{
    if (conn->writing) {
        return true;
    }
    struct epb_bytes output = epb_session_output(conn->session);
    if (output.size_bytes == 0) {
        return true;
    }
    int written = try_write(conn, output);
    if (written < 0) {
        return false;
    }
    conn->owner->bytes_out += output.size_bytes;
    epb_session_sent(conn->session, (size_t)written);
    output = epb_session_output(conn->session);
    return output.size_bytes == 0 || write_later(conn, output);
}

void
epb_conn_write_refusal(struct epb_conn *conn, struct epb_bytes bytes)
{
    if (try_write(conn, bytes) == 0) {
        epb_endpoint_write_last(&conn->socket, bytes);
    }
}

/* Life */

enum epb_status
epb_conn_begin(struct epb_conn *conn)
{
    conn->guarded = epb_endpoint_guarded(&conn->socket);
    conn->session = epb_session_new(&conn->owner->sessions, conn,
                                    conn->owner->now(conn->owner->context));
    if (conn->session == NULL) {
        return EPB_INTERNAL;
    }
    resume_reading(conn);
    return conn->broken ? EPB_INTERNAL : EPB_OK;
}

static void
on_shutdown(uv_shutdown_t *request, int error)
{
    struct epb_conn *conn = request->data;

    if (error == 0 || conn->closed) {
        return;
    }
    conn->broken = true;
    epb_conn_ask_for_turn(conn);
}

/* All output is sent. There is no need to linger for a peer that will send no more. */
static enum epb_conn_next
finish(struct epb_conn *conn, const struct epb_time *now)
{
    /* Bytes in a pipe stay there until they are read. */
    if (conn->ended || epb_conn_is_on_pipe_pair(conn)) {
        return EPB_CONN_DONE;
    }
    conn->lingering = true;
    conn->linger_ms = now->mono_ms + EPB_CONN_LINGER_MS;
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->socket, on_shutdown) != 0) {
        return EPB_CONN_DONE;
    }
    resume_reading(conn);
    return conn->broken ? EPB_CONN_DONE : EPB_CONN_WAIT;
}

/* Takes turns in a row while no other connection waits. Returns whether more could be
 * done at once. */
static bool
take_turns(struct epb_conn *conn, const struct epb_time *now)
{
    size_t before_bytes = epb_conn_unsent_bytes(conn);
    unsigned left = conn->turns_in_row;
    uint64_t until_ns = 0;
    bool more;

    if (left > 1) {
        until_ns = epb_sys_ticks_ns() + EPB_CONN_ALONE_US * UINT64_C(1000);
    }
    do {
        more = epb_session_turn(conn->session, now, EPB_CONN_TURN_FRAMES,
                                EPB_CONN_TURN_BYTES);
    } while (more && --left > 0 &&
             epb_conn_unsent_bytes(conn) - before_bytes < EPB_CONN_TURN_BYTES &&
             conn->owner->alone(conn->owner->context) && epb_sys_ticks_ns() < until_ns);
    if (!more) {
        conn->turns_in_row = 1;
    } else if (conn->turns_in_row < EPB_CONN_ALONE_TURNS) {
        conn->turns_in_row *= 2;
    }
    return more;
}

/* Lets the session work. Returns whether more could be done at once. */
static bool
work(struct epb_conn *conn, const struct epb_time *now)
{
    if (conn->ended && !conn->end_told) {
        conn->end_told = true;
        epb_session_end_of_input(conn->session, now);
    }
    bool more = take_turns(conn, now);
    epb_conn_serve_pipe_pair(conn);
    /* The session stops at its own bound of output and continues once the output has
     * moved here. */
    return more || epb_conn_unsent_bytes(conn) >= EPB_CONN_UNSENT_BYTES;
}

enum epb_conn_next
epb_conn_turn(struct epb_conn *conn, const struct epb_time *now)
{
    /* With too much unsent output the session gets no turn: its work remains. */
    bool more = true;

    if (conn->broken) {
        return EPB_CONN_DONE;
    }
    if (conn->lingering) {
        return EPB_CONN_WAIT;
    }
    if (conn->half_open && epb_endpoint_peer_gone(&conn->socket)) {
        return EPB_CONN_DONE;
    }
    if (!conn->changing && epb_conn_unsent_bytes(conn) < EPB_CONN_UNSENT_BYTES) {
        more = work(conn, now);
    }
    if (!flush(conn)) {
        return EPB_CONN_DONE;
    }
    if (conn->changing) {
        return epb_conn_change_path(conn);
    }
    if (epb_session_is_closing(conn->session) && epb_conn_unsent_bytes(conn) == 0) {
        return finish(conn, now);
    }
    if (conn->end_told && !more && !conn->half_open) {
        conn->half_open = true;
        if (epb_endpoint_peer_gone(&conn->socket)) {
            return EPB_CONN_DONE;
        }
    }
    /* Without a peer the waiting output is never read. */
    if (conn->gone && epb_conn_unsent_bytes(conn) >= EPB_CONN_UNSENT_BYTES) {
        return EPB_CONN_DONE;
    }
    if (!more && epb_conn_has_left(conn)) {
        conn->ended = true;
        return EPB_CONN_MORE;
    }
    resume_reading(conn);
    if (conn->broken) {
        return EPB_CONN_DONE;
    }
    /* With too much unsent output, the next turn comes once it is written. */
    return more && epb_conn_unsent_bytes(conn) < EPB_CONN_UNSENT_BYTES ? EPB_CONN_MORE
                                                                       : EPB_CONN_WAIT;
}

bool
epb_conn_is_quiet(const struct epb_conn *conn)
{
    return !conn->writing && epb_list_empty(&conn->queued) &&
           epb_conn_unsent_bytes(conn) == 0 && !epb_session_is_occupied(conn->session);
}

static bool
in_no_list(const struct epb_conn *conn)
{
    return epb_list_empty(&conn->all) && epb_list_empty(&conn->queued) &&
           epb_list_empty(&conn->unproven) && epb_list_empty(&conn->timed) &&
           epb_list_empty(&conn->surplus);
}

static void
on_closed(uv_handle_t *handle)
{
    struct epb_conn *conn = handle->data;

    EPB_ASSERT(conn->closed && conn->handles != 0);
    if (--conn->handles != 0) {
        return;
    }
    EPB_ASSERT(in_no_list(conn));
    epb_buf_fini(&conn->unsent);
    epb_mem_table_free(conn->pipes);
    epb_mem_table_free(conn);
}

void
epb_conn_close(struct epb_conn *conn)
{
    EPB_ASSERT(!conn->closed && in_no_list(conn));
    conn->closed = true;
    epb_session_free(conn->session, conn->owner->now(conn->owner->context));
    conn->session = NULL;
    if (conn->pipes != NULL) {
        conn->owner->piped_count--;
    }
    epb_pipe_pair_close(&conn->ends);
    if (conn->handles != 1) {
        uv_close((uv_handle_t *)&conn->pipes->in, on_closed);
        uv_close((uv_handle_t *)&conn->pipes->out, on_closed);
    }
    if (conn->guarded) {
        epb_endpoint_drain(&conn->socket);
    }
    uv_close((uv_handle_t *)&conn->socket, on_closed);
}
