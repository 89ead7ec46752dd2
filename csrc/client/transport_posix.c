/* See transport.h. */
#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/fd.h"
#include "../os/pipe_pair.h"
#include "../os/rights.h"
#include "../os/socket.h"
#include "poller.h"
#include "waiter.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* such systems have SO_NOSIGPIPE, set on the socket */
#endif

/* A descriptor and its registration with the waiter. */
struct side {
    int fd;
    bool registered;
    uint64_t handle; /* the waiter's, when registered */
};

struct epb_transport {
    int socket;
    uint32_t pid;    /* a forked child shares the socket */
    struct side in;  /* the socket, or the pipe to read */
    struct side out; /* the socket, or the pipe to write */
    epb_transport_fn on_ready;
    void *context;
    bool guarded; /* descriptors may arrive through the socket (rights.h) */
    bool expects_pipe_pair;
    struct epb_pipe_ends pipes; /* the pipe pair that has arrived */
};

static bool
on_pipe_pair(const struct epb_transport *transport)
{
    return transport->in.fd != transport->socket;
}

int
epb_transport_open(const char *path, bool proves, epb_transport_fn on_ready,
                   void *context, struct epb_transport **out)
{
    int fd = -1;
    int error = epb_socket_connect(path, &fd);

    if (error != 0) {
        return error;
    }
    struct epb_transport *transport = NULL;
    if (!epb_socket_peer_trusted(fd) && !(proves && epb_socket_is_root())) {
        error = UV_EPERM;
    } else {
        transport = epb_mem_table_alloc(sizeof(*transport));
        if (transport == NULL) {
            error = UV_ENOMEM;
        }
    }
    if (error != 0) {
        epb_fd_close(fd);
        return error;
    }
    transport->socket = fd;
    transport->pid = epb_sys_pid();
    transport->guarded = epb_rights_may_come(fd);
    transport->in.fd = fd;
    transport->out.fd = fd;
    transport->pipes = EPB_PIPE_NO_ENDS;
    transport->on_ready = on_ready;
    transport->context = context;
    *out = transport;
    return 0;
}

static int
result_of(ssize_t moved)
{
    if (moved >= 0) {
        return (int)moved;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

static int
read_guarded(struct epb_transport *transport, void *memory, size_t size_bytes)
{
    int got = epb_rights_read(transport->socket, memory, size_bytes);

    if (got == UV_EAGAIN) {
        return 0;
    }
    return got == 0 ? UV_EOF : got;
}

static int
read_expecting(struct epb_transport *transport, void *memory, size_t size_bytes)
{
    int got =
        epb_pipe_pair_receive(transport->socket, memory, size_bytes, &transport->pipes);

    if (got == UV_EAGAIN) {
        return 0;
    }
    return got == 0 ? UV_EOF : got;
}

int
epb_transport_read(struct epb_transport *transport, void *memory, size_t size_bytes)
{
    ssize_t moved = 0;

    if (size_bytes > INT32_MAX) {
        size_bytes = INT32_MAX;
    }
    if (transport->expects_pipe_pair) {
        return read_expecting(transport, memory, size_bytes);
    }
    if (transport->guarded && !on_pipe_pair(transport)) {
        return read_guarded(transport, memory, size_bytes);
    }
    do {
        moved = read(transport->in.fd, memory, size_bytes);
    } while (moved < 0 && errno == EINTR);
    return moved == 0 ? UV_EOF : result_of(moved);
}

int
epb_transport_write(struct epb_transport *transport, const void *data, size_t size_bytes)
{
    ssize_t moved = 0;

    if (size_bytes > INT32_MAX) {
        size_bytes = INT32_MAX;
    }
    do {
        moved = on_pipe_pair(transport)
                    ? write(transport->out.fd, data, size_bytes)
                    : send(transport->socket, data, size_bytes, MSG_NOSIGNAL);
    } while (moved < 0 && errno == EINTR);
    return result_of(moved);
}

int
epb_transport_wait(struct epb_transport *transport, bool or_write, uint64_t timeout_ms)
{
    struct pollfd descriptors[] = {{.fd = transport->in.fd, .events = POLLIN},
                                   {.fd = transport->out.fd, .events = POLLOUT}};
    uint64_t until_ns = epb_sys_ticks_ns() + timeout_ms * 1000000U;

    for (;;) {
        int wait_ms = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
        int count = poll(descriptors, or_write ? 2 : 1, wait_ms);
        if (count >= 0) {
            return count != 0;
        }
        if (errno != EINTR) {
            return -errno;
        }
        uint64_t now_ns = epb_sys_ticks_ns();
        timeout_ms = now_ns < until_ns ? (until_ns - now_ns + 999999U) / 1000000U : 0;
    }
}

static int
arm_side(struct epb_transport *transport, struct side *side, unsigned what)
{
    if (!side->registered) {
        int error = epb_waiter_add(side->fd, transport->on_ready, transport->context,
                                   &side->handle);
        if (error != 0) {
            return error;
        }
        side->registered = true;
    }
    return epb_waiter_arm(side->handle, what);
}

int
epb_transport_arm(struct epb_transport *transport, bool or_write)
{
    unsigned what = EPB_POLLER_READ;

    if (or_write && !on_pipe_pair(transport)) {
        what |= EPB_POLLER_WRITE;
    }
    int error = arm_side(transport, &transport->in, what);
    if (error == 0 && or_write && on_pipe_pair(transport)) {
        error = arm_side(transport, &transport->out, EPB_POLLER_WRITE);
    }
    return error;
}

static void
unregister(struct side *side)
{
    if (side->registered) {
        epb_waiter_remove(side->handle);
    }
    side->registered = false;
}

bool
epb_transport_expect_pipe_pair(struct epb_transport *transport)
{
    transport->expects_pipe_pair = EPB_HAS_PIPE_PAIR;
    if (transport->expects_pipe_pair) {
        epb_rights_admit(transport->socket);
        /* More descriptors may arrive than are accepted. */
        transport->guarded = true;
    }
    return transport->expects_pipe_pair;
}

bool
epb_transport_settle_pipe_pair(struct epb_transport *transport, bool wanted)
{
    transport->expects_pipe_pair = false;
    (void)epb_rights_refuse(transport->socket);
    if (!wanted) {
        epb_pipe_pair_close(&transport->pipes);
    }
    return epb_pipe_pair_is_open(&transport->pipes);
}

void
epb_transport_use_pipe_pair(struct epb_transport *transport, bool use)
{
    bool watched = transport->in.registered;

    unregister(&transport->in);
    unregister(&transport->out);
    transport->in.fd = use ? transport->pipes.in : transport->socket;
    transport->out.fd = use ? transport->pipes.out : transport->socket;
    if (watched) {
        transport->on_ready(transport->context);
    }
}

uint32_t
epb_transport_peer_pid(const struct epb_transport *transport)
{
    return epb_socket_peer_pid(transport->socket);
}

void
epb_transport_close(struct epb_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    unregister(&transport->in);
    unregister(&transport->out);
    epb_pipe_pair_close(&transport->pipes);
    if (transport->guarded && transport->pid == epb_sys_pid()) {
        epb_rights_drain(transport->socket);
    }
    epb_fd_close(transport->socket);
    epb_mem_table_free(transport);
}
