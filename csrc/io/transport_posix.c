/* See transport.h. */
#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <uv.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "socket.h"
#include "waiter.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where it is missing the socket itself has SO_NOSIGPIPE */
#endif

struct epb_transport {
    int fd;
    bool registered;
    uint64_t handle; /* the waiter's, when registered */
    epb_transport_fn on_ready;
    void *context;
};

int
epb_transport_open(const char *path, epb_transport_fn on_ready, void *context,
                   struct epb_transport **out)
{
    int fd = -1;
    int error = epb_socket_connect(path, &fd);

    if (error != 0)
        return error;
    struct epb_transport *transport = NULL;
    if (!epb_socket_peer_trusted(fd)) {
        error = UV_EPERM;
    } else {
        transport = epb_mem_table_alloc(sizeof(*transport));
        if (transport == NULL)
            error = UV_ENOMEM;
    }
    if (error != 0) {
        epb_socket_close(fd);
        return error;
    }
    transport->fd = fd;
    transport->on_ready = on_ready;
    transport->context = context;
    *out = transport;
    return 0;
}

static int
result_of(ssize_t moved)
{
    if (moved >= 0)
        return (int)moved;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

int
epb_transport_read(struct epb_transport *transport, void *memory, size_t size_bytes)
{
    ssize_t moved = 0;

    if (size_bytes > INT32_MAX)
        size_bytes = INT32_MAX;
    do {
        moved = recv(transport->fd, memory, size_bytes, 0);
    } while (moved < 0 && errno == EINTR);
    return moved == 0 ? UV_EOF : result_of(moved);
}

int
epb_transport_write(struct epb_transport *transport, const void *data, size_t size_bytes)
{
    ssize_t moved = 0;

    if (size_bytes > INT32_MAX)
        size_bytes = INT32_MAX;
    do {
        moved = send(transport->fd, data, size_bytes, MSG_NOSIGNAL);
    } while (moved < 0 && errno == EINTR);
    return result_of(moved);
}

int
epb_transport_wait(struct epb_transport *transport, bool or_write, uint64_t timeout_ms)
{
    struct pollfd descriptor = {.fd = transport->fd, .events = POLLIN};
    uint64_t until_ns = epb_sys_ticks_ns() + timeout_ms * 1000000U;

    if (or_write)
        descriptor.events |= POLLOUT;
    for (;;) {
        int wait_ms = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
        int count = poll(&descriptor, 1, wait_ms);
        if (count >= 0)
            return count;
        if (errno != EINTR)
            return -errno;
        uint64_t now_ns = epb_sys_ticks_ns();
        timeout_ms = now_ns < until_ns ? (until_ns - now_ns + 999999U) / 1000000U : 0;
    }
}

int
epb_transport_arm(struct epb_transport *transport, bool or_write)
{
    if (!transport->registered) {
        int error = epb_waiter_add(transport->fd, transport->on_ready, transport->context,
                                   &transport->handle);
        if (error != 0)
            return error;
        transport->registered = true;
    }
    return epb_waiter_arm(transport->handle, or_write);
}

void
epb_transport_close(struct epb_transport *transport)
{
    if (transport == NULL)
        return;
    if (transport->registered)
        epb_waiter_remove(transport->handle);
    epb_socket_close(transport->fd);
    epb_mem_table_free(transport);
}
