/*
 * See transport.h. A named pipe does not report that it has become readable, so one read
 * is always pending, into the transport's own buffer; epb_transport_read returns its
 * result. Writes are copied likewise, one at a time. An armed transport waits for the
 * events of both in the system's thread pool.
 */
#include "transport.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <windows.h>

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../os/security_win.h"

#define BUFFER_BYTES 65536U
#define PIPE_PREFIX "\\\\.\\pipe\\"

/* One direction. */
struct stream {
    OVERLAPPED overlapped; /* its event is set while no operation is pending */
    uint8_t *buffer;
    DWORD size;  /* bytes in the buffer, after a completed read */
    DWORD taken; /* number of these already returned */
    bool busy;   /* an operation is pending */
    HANDLE wait; /* of the thread pool, while armed */
};

struct epb_transport {
    HANDLE pipe;
    struct stream in;
    struct stream out;
    epb_transport_fn on_ready;
    void *context;
    volatile LONG rung; /* on_ready was called since it was armed */
};

static bool
stream_init(struct stream *stream)
{
    stream->buffer = epb_mem_alloc(BUFFER_BYTES);
    stream->overlapped.hEvent = CreateEventW(NULL, TRUE, TRUE, NULL);
    return stream->buffer != NULL && stream->overlapped.hEvent != NULL;
}

static void
stream_fini(struct stream *stream)
{
    if (stream->overlapped.hEvent != NULL) {
        (void)CloseHandle(stream->overlapped.hEvent);
    }
    epb_mem_free(stream->buffer);
}

static int
translate(DWORD error)
{
    switch (error) {
    case ERROR_SUCCESS:
        return 0;
    case ERROR_BROKEN_PIPE:
    case ERROR_PIPE_NOT_CONNECTED:
    case ERROR_HANDLE_EOF:
        return UV_EOF;
    case ERROR_PIPE_BUSY:
        return UV_EAGAIN;
    default:
        return uv_translate_sys_error((int)error);
    }
}

/* Opens only local pipes: a path to another machine would reveal the user's identity to
 * it. */
static int
open_pipe(const char *path, HANDLE *out)
{
    if (strncmp(path, PIPE_PREFIX, strlen(PIPE_PREFIX)) != 0) {
        return UV_EINVAL;
    }
    HANDLE pipe = CreateFileA(
        path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
        FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (pipe == INVALID_HANDLE_VALUE) {
        return translate(GetLastError());
    }
    if (!epb_security_owner_trusted(pipe)) {
        (void)CloseHandle(pipe);
        return UV_EPERM;
    }
    *out = pipe;
    return 0;
}

int
epb_transport_open(const char *path, bool proves, epb_transport_fn on_ready,
                   void *context, struct epb_transport **out)
{
    (void)proves;
    struct epb_transport *transport = calloc(1, sizeof(*transport));

    if (transport == NULL) {
        return UV_ENOMEM;
    }
    transport->pipe = INVALID_HANDLE_VALUE;
    transport->on_ready = on_ready;
    transport->context = context;
    int error =
        stream_init(&transport->in) && stream_init(&transport->out) ? 0 : UV_ENOMEM;
    if (error == 0) {
        error = open_pipe(path, &transport->pipe);
    }
    if (error != 0) {
        epb_transport_close(transport);
        return error;
    }
    *out = transport;
    return 0;
}

/* Whether no operation is pending; *error is the result of the last one. */
static bool
settle(struct epb_transport *transport, struct stream *stream, int *error)
{
    DWORD moved = 0;

    *error = 0;
    if (!stream->busy) {
        return true;
    }
    if (!GetOverlappedResult(transport->pipe, &stream->overlapped, &moved, FALSE)) {
        if (GetLastError() == ERROR_IO_INCOMPLETE) {
            return false;
        }
        *error = translate(GetLastError());
    }
    stream->busy = false;
    stream->size = moved;
    stream->taken = 0;
    return true;
}

static int
start_read(struct epb_transport *transport)
{
    struct stream *in = &transport->in;

    in->size = 0;
    in->taken = 0;
    in->busy = true;
    if (ReadFile(transport->pipe, in->buffer, BUFFER_BYTES, NULL, &in->overlapped) ||
        GetLastError() == ERROR_IO_PENDING) {
        return 0;
    }
    in->busy = false;
    return translate(GetLastError());
}

int
epb_transport_read(struct epb_transport *transport, void *memory, size_t size_bytes)
{
    struct stream *in = &transport->in;
    int error = 0;

    if (!settle(transport, in, &error)) {
        return 0;
    }
    if (error != 0) {
        return error;
    }
    if (in->taken == in->size) {
        error = start_read(transport);
        if (error != 0 || !settle(transport, in, &error) || error != 0) {
            return error;
        }
    }
    DWORD rest = in->size - in->taken;
    DWORD part = size_bytes < rest ? (DWORD)size_bytes : rest;
    memcpy(memory, in->buffer + in->taken, part);
    epb_mem_wipe(in->buffer + in->taken, part);
    in->taken += part;
    return (int)part;
}

int
epb_transport_write(struct epb_transport *transport, const void *data, size_t size_bytes)
{
    struct stream *out = &transport->out;
    int error = 0;

    if (!settle(transport, out, &error)) {
        return 0;
    }
    if (error != 0) {
        return error == UV_EOF ? UV_EPIPE : error;
    }
    DWORD part = size_bytes < BUFFER_BYTES ? (DWORD)size_bytes : BUFFER_BYTES;
    memcpy(out->buffer, data, part);
    out->busy = true;
    if (WriteFile(transport->pipe, out->buffer, part, NULL, &out->overlapped) ||
        GetLastError() == ERROR_IO_PENDING) {
        return (int)part;
    }
    out->busy = false;
    return translate(GetLastError());
}

/* Ensures that a read is pending, so that its event reports arriving bytes. */
static int
watch_input(struct epb_transport *transport)
{
    struct stream *in = &transport->in;

    if (in->busy || in->taken != in->size) {
        return 0;
    }
    return start_read(transport);
}

int
epb_transport_wait(struct epb_transport *transport, bool or_write, uint64_t timeout_ms)
{
    HANDLE events[2] = {transport->in.overlapped.hEvent,
                        transport->out.overlapped.hEvent};
    DWORD wait_ms = timeout_ms < INFINITE ? (DWORD)timeout_ms : INFINITE - 1;

    /* The next read reports the error. */
    if (watch_input(transport) != 0) {
        return 1;
    }
    DWORD got = WaitForMultipleObjects(or_write ? 2 : 1, events, FALSE, wait_ms);
    return got == WAIT_TIMEOUT ? 0 : 1;
}

static void CALLBACK
on_event(void *context, BOOLEAN timed_out)
{
    struct epb_transport *transport = context;

    (void)timed_out;
    if (InterlockedExchange(&transport->rung, 1) == 0) {
        transport->on_ready(transport->context);
    }
}

/* Waits for a callback that is running. */
static void
disarm(struct stream *stream)
{
    if (stream->wait == NULL) {
        return;
    }
    (void)UnregisterWaitEx(stream->wait, INVALID_HANDLE_VALUE);
    stream->wait = NULL;
}

static bool
arm(struct epb_transport *transport, struct stream *stream)
{
    return RegisterWaitForSingleObject(&stream->wait, stream->overlapped.hEvent, on_event,
                                       transport, INFINITE, WT_EXECUTEONLYONCE) != 0;
}

int
epb_transport_arm(struct epb_transport *transport, bool or_write)
{
    disarm(&transport->in);
    disarm(&transport->out);
    (void)InterlockedExchange(&transport->rung, 0);
    if (watch_input(transport) != 0) {
        /* The next read reports the error. */
        on_event(transport, FALSE);
        return 0;
    }
    if (arm(transport, &transport->in) &&
        (!or_write || arm(transport, &transport->out))) {
        return 0;
    }
    return translate(GetLastError());
}

static void
cancel(struct epb_transport *transport, struct stream *stream)
{
    DWORD moved = 0;

    if (!stream->busy) {
        return;
    }
    (void)CancelIoEx(transport->pipe, &stream->overlapped);
    /* The system uses the buffer until this returns. */
    (void)GetOverlappedResult(transport->pipe, &stream->overlapped, &moved, TRUE);
}

bool
epb_transport_expect_pipe_pair(struct epb_transport *transport)
{
    (void)transport;
    return false;
}

bool
epb_transport_settle_pipe_pair(struct epb_transport *transport, bool wanted)
{
    (void)transport;
    (void)wanted;
    return false;
}

void
epb_transport_use_pipe_pair(struct epb_transport *transport, bool use)
{
    (void)transport;
    (void)use;
}

uint32_t
epb_transport_peer_pid(const struct epb_transport *transport)
{
    ULONG pid = 0;

    return GetNamedPipeServerProcessId(transport->pipe, &pid) ? (uint32_t)pid : 0;
}

void
epb_transport_close(struct epb_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    disarm(&transport->in);
    disarm(&transport->out);
    if (transport->pipe != INVALID_HANDLE_VALUE) {
        cancel(transport, &transport->in);
        cancel(transport, &transport->out);
        (void)CloseHandle(transport->pipe);
    }
    stream_fini(&transport->in);
    stream_fini(&transport->out);
    free(transport);
}
