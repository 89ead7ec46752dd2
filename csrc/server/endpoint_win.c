/*
 * See endpoint.h. Named pipes have no files: there are no stale names, nothing to remove
 * at exit, and the first instance of a name is its lock. libuv makes the instances. The
 * rights of the first instance, set before anything is accepted, apply to all.
 */
#include "endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/sys.h"
#include "../os/security_win.h"

#define BACKLOG 64
#define PIPE_PREFIX "\\\\.\\pipe\\"
#define PATH_BYTES 256U
#define PIPE_ID_MAX 64U
#define RANDOM_BYTES 16U

struct epb_endpoint {
    uv_pipe_t listener;
    epb_endpoint_fn on_connection;
    void *context;
    unsigned waiting; /* connections that libuv holds and that are not accepted yet */
    bool listening;
    bool paused;
    char path[PATH_BYTES];
};

static bool
is_pipe_id(const char *id)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = strlen(id);

    return size >= 1 && size <= PIPE_ID_MAX && strspn(id, allowed) == size;
}

static int
choose_path(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec)
{
    char hex[2 * RANDOM_BYTES + 1];
    uint8_t bytes[RANDOM_BYTES];
    int size = 0;

    if (spec->path != NULL) {
        if (strncmp(spec->path, PIPE_PREFIX, strlen(PIPE_PREFIX)) != 0) {
            return UV_EINVAL;
        }
        size = snprintf(endpoint->path, PATH_BYTES, "%s", spec->path);
    } else if (spec->pipe_id != NULL) {
        if (!is_pipe_id(spec->pipe_id)) {
            return UV_EINVAL;
        }
        size =
            snprintf(endpoint->path, PATH_BYTES, PIPE_PREFIX "broker-%s", spec->pipe_id);
    } else {
        if (epb_sys_random(bytes, sizeof(bytes)) != EPB_OK) {
            return UV_EIO;
        }
        for (size_t i = 0; i < sizeof(bytes); i++) {
            (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        }
        size = snprintf(endpoint->path, PATH_BYTES, PIPE_PREFIX "broker-%s", hex);
    }
    return size > 0 && (unsigned)size < PATH_BYTES ? 0 : UV_ENAMETOOLONG;
}

int
epb_endpoint_open(const struct epb_endpoint_spec *spec, struct epb_endpoint **out)
{
    struct epb_endpoint *endpoint = calloc(1, sizeof(*endpoint));

    if (endpoint == NULL) {
        return UV_ENOMEM;
    }
    int error = choose_path(endpoint, spec);
    if (error != 0) {
        free(endpoint);
        return error;
    }
    *out = endpoint;
    return 0;
}

const char *
epb_endpoint_path(const struct epb_endpoint *endpoint)
{
    return endpoint->path;
}

const char *
epb_endpoint_skipped(const struct epb_endpoint *endpoint, unsigned index, int *why)
{
    (void)endpoint;
    (void)index;
    *why = 0;
    return NULL;
}

unsigned
epb_endpoint_stale_removed(const struct epb_endpoint *endpoint)
{
    (void)endpoint;
    return 0;
}

static void
on_pending(uv_stream_t *listener, int error)
{
    struct epb_endpoint *endpoint = listener->data;

    if (error != 0) {
        return;
    }
    endpoint->waiting++;
    if (!endpoint->paused) {
        endpoint->on_connection(endpoint->context);
    }
}

/* libuv asks the system to refuse a second first instance; Wine does not refuse it. */
static bool
is_first_instance(HANDLE pipe)
{
    DWORD instances = 0;

    return GetNamedPipeHandleStateW(pipe, NULL, &instances, NULL, NULL, NULL, 0) &&
           instances == 1;
}

int
epb_endpoint_listen(struct epb_endpoint *endpoint, uv_loop_t *loop,
                    epb_endpoint_fn on_connection, void *context)
{
    endpoint->on_connection = on_connection;
    endpoint->context = context;
    int error = uv_pipe_init(loop, &endpoint->listener, 0);
    if (error != 0) {
        return error;
    }
    endpoint->listening = true;
    endpoint->listener.data = endpoint;
    error = uv_pipe_bind(&endpoint->listener, endpoint->path);
    if (error != 0) {
        return error == UV_EACCES ? UV_EADDRINUSE : error;
    }
    HANDLE pipe = endpoint->listener.pipe.serv.accept_reqs[0].pipeHandle;
    if (!is_first_instance(pipe)) {
        return UV_EADDRINUSE;
    }
    if (!epb_security_restrict(pipe)) {
        return UV_EACCES;
    }
    return uv_listen((uv_stream_t *)&endpoint->listener, BACKLOG, on_pending);
}

enum epb_accept
epb_endpoint_accept(struct epb_endpoint *endpoint, uv_pipe_t *into)
{
    if (endpoint->waiting != 0) {
        endpoint->waiting--;
    }
    int error = uv_accept((uv_stream_t *)&endpoint->listener, (uv_stream_t *)into);

    return error == 0 ? EPB_ACCEPT_ONE : EPB_ACCEPT_NONE;
}

uint32_t
epb_endpoint_peer_pid(const uv_pipe_t *pipe)
{
    ULONG pid = 0;

    return GetNamedPipeClientProcessId(pipe->handle, &pid) ? (uint32_t)pid : 0;
}

size_t
epb_endpoint_read(const uv_pipe_t *pipe, void *memory, size_t size_bytes)
{
    /* libuv has a read in flight already. */
    (void)pipe;
    (void)memory;
    (void)size_bytes;
    return 0;
}

/* Windows pipes carry bytes only. */

bool
epb_endpoint_guarded(const uv_pipe_t *pipe)
{
    (void)pipe;
    return false;
}

int
epb_endpoint_read_guarded(const uv_pipe_t *pipe, void *memory, size_t size_bytes)
{
    (void)pipe;
    (void)memory;
    (void)size_bytes;
    return UV_ENOSYS;
}

/* The lowest bit of the event keeps the completion from libuv's port. */
void
epb_endpoint_write_last(const uv_pipe_t *pipe, struct epb_bytes bytes)
{
    OVERLAPPED overlapped = {0};
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    DWORD written = 0;

    if (event == NULL) {
        return;
    }
    overlapped.hEvent = (HANDLE)((uintptr_t)event | 1U);
    if (!WriteFile(pipe->handle, bytes.data, (DWORD)bytes.size_bytes, NULL,
                   &overlapped) &&
        GetLastError() == ERROR_IO_PENDING) {
        /* A new pipe has room for it. If this one has none, the peer gets nothing. */
        (void)CancelIoEx(pipe->handle, &overlapped);
        (void)GetOverlappedResult(pipe->handle, &overlapped, &written, TRUE);
    }
    (void)CloseHandle(event);
}

void
epb_endpoint_drain(const uv_pipe_t *pipe)
{
    (void)pipe;
}

bool
epb_endpoint_peer_gone(const uv_pipe_t *pipe)
{
    /* A named pipe can't be closed in one direction only. */
    (void)pipe;
    return true;
}

void
epb_endpoint_pause(struct epb_endpoint *endpoint)
{
    endpoint->paused = true;
}

bool
epb_endpoint_resume(struct epb_endpoint *endpoint)
{
    endpoint->paused = false;
    while (!endpoint->paused && endpoint->waiting != 0) {
        endpoint->on_connection(endpoint->context);
    }
    return true;
}

static void
on_closed(uv_handle_t *listener)
{
    free(listener->data);
}

void
epb_endpoint_close(struct epb_endpoint *endpoint)
{
    if (endpoint == NULL) {
        return;
    }
    if (endpoint->listening) {
        uv_close((uv_handle_t *)&endpoint->listener, on_closed);
    } else {
        free(endpoint);
    }
}
