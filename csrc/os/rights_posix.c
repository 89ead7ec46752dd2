/*
 * See rights.h. The descriptors of one message form a batch. Batches wait in a list, and
 * threads take one after another; a thread ends when the list is empty. A thread that
 * hangs in a close does not hold up the others: up to CLOSERS_MAX work at a time. If all
 * of them hang, the remaining descriptors stay open, which costs descriptors but blocks
 * no thread.
 */
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "../base/locks.h"
#include "../base/mem.h"
#include "fd.h"
#include "socket.h"
#include "thread.h"

#define CLOSERS_MAX 8U
#define DRAIN_BYTES 4096U
/* Exceeds a socket's capacity, both in reads of DRAIN_BYTES and in messages, each of
 * which has a byte. */
#define DRAIN_READS_MAX 1024U

#if defined(__linux__) && !defined(SO_PASSRIGHTS) && !defined(__hppa__) && \
    !defined(__sparc__)
/* Its number except on these two platforms, for headers older than the kernel. */
#define SO_PASSRIGHTS 83
#endif

struct batch {
    struct batch *next;
    size_t count;
    int fds[];
};

/* Guarded by the lock. */
static struct batch *first;
static unsigned closers;

/* Refusing */

#ifdef SO_PASSRIGHTS

static bool
set(int socket, int on)
{
    return setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) == 0;
}

bool
epb_rights_refuse(int socket)
{
    return set(socket, 0);
}

void
epb_rights_admit(int socket)
{
    (void)set(socket, 1);
}

bool
epb_rights_may_come(int socket)
{
    int on = 1;
    socklen_t size = sizeof(on);

    return getsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &on, &size) != 0 || on != 0;
}

#else

bool
epb_rights_refuse(int socket)
{
    (void)socket;
    return false;
}

void
epb_rights_admit(int socket)
{
    (void)socket;
}

bool
epb_rights_may_come(int socket)
{
    (void)socket;
    return true;
}

#endif

/* Closing them */

static void
close_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        epb_fd_close(batch->fds[i]);
    }
    epb_mem_table_free(batch);
}

static void
run_closer(void *context)
{
    (void)context;
    epb_lock(EPB_LOCK_RIGHTS);
    while (first != NULL) {
        struct batch *batch = first;
        first = batch->next;
        epb_unlock(EPB_LOCK_RIGHTS);
        close_batch(batch);
        epb_lock(EPB_LOCK_RIGHTS);
    }
    closers--;
    epb_unlock(EPB_LOCK_RIGHTS);
}

/* Requires the lock. If no thread can start, batches wait for the next one that can. */
static void
start_closer(void)
{
    uv_thread_t thread;

    if (closers == CLOSERS_MAX || epb_thread_start(&thread, run_closer, NULL) != 0) {
        return;
    }
    epb_thread_detach(&thread);
    closers++;
}

void
epb_rights_close(struct epb_rights *rights)
{
    size_t size_bytes = rights->count * sizeof(rights->fds[0]);

    if (rights->count == 0) {
        return;
    }
    struct batch *batch = epb_mem_table_alloc(sizeof(*batch) + size_bytes);
    /* Without memory the descriptors stay open. */
    if (batch == NULL) {
        return;
    }
    batch->count = rights->count;
    memcpy(batch->fds, rights->fds, size_bytes);
    rights->count = 0;
    epb_lock(EPB_LOCK_RIGHTS);
    batch->next = first;
    first = batch;
    start_closer();
    epb_unlock(EPB_LOCK_RIGHTS);
}

/* Taking them */

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(EPB_RIGHTS_MAX * sizeof(int))];
};

static void
take(const struct cmsghdr *header, struct epb_rights *rights)
{
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    size_t room = EPB_RIGHTS_MAX - rights->count;

    count = count < room ? count : room;
    memcpy(rights->fds + rights->count, CMSG_DATA(header), count * sizeof(int));
    rights->count += count;
}

static void
take_all(struct msghdr *message, struct epb_rights *rights)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            take(header, rights);
        }
    }
    rights->whole = (message->msg_flags & MSG_CTRUNC) == 0;
#ifndef MSG_CMSG_CLOEXEC
    for (size_t i = 0; i < rights->count; i++) {
        (void)fcntl(rights->fds[i], F_SETFD, FD_CLOEXEC);
    }
#endif
}

static int
receive(int socket, void *memory, size_t size_bytes, int flags, struct epb_rights *rights)
{
    union control control;
    struct iovec vector = {.iov_base = memory, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got = 0;

#ifdef MSG_CMSG_CLOEXEC
    flags |= MSG_CMSG_CLOEXEC;
#endif
    rights->count = 0;
    rights->whole = true;
    do {
        got = recvmsg(socket, &message, flags);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EWOULDBLOCK ? UV_EAGAIN : -errno;
    }
    take_all(&message, rights);
    return (int)got;
}

int
epb_rights_receive(int socket, void *memory, size_t size_bytes, struct epb_rights *rights)
{
    return receive(socket, memory, size_bytes, 0, rights);
}

int
epb_rights_read(int socket, void *memory, size_t size_bytes)
{
    struct epb_rights rights;
    int got = receive(socket, memory, size_bytes, MSG_DONTWAIT, &rights);

    if (got < 0 || (rights.count == 0 && rights.whole)) {
        return got;
    }
    epb_rights_close(&rights);
    return UV_EPROTO;
}

void
epb_rights_drain(int socket)
{
    uint8_t place[DRAIN_BYTES];
    int got = 1;

#ifdef __linux__
    /* The peer can send no more; unread data stays. macOS would drop it. */
    (void)shutdown(socket, SHUT_RD);
#endif
    for (unsigned i = 0; i < DRAIN_READS_MAX && (got > 0 || got == UV_EPROTO); i++) {
        got = epb_rights_read(socket, place, sizeof(place));
    }
    epb_mem_wipe(place, sizeof(place));
}
