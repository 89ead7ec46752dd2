/* See pipe_pair.h. */
#include "pipe_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "rights.h"
#include "socket.h"

#define ENDS 2U
/* The size of "/proc/self/fd/" and a number. */
#define PROC_PATH_BYTES 32U

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(ENDS * sizeof(int))];
};

static void
close_end(int *end)
{
    if (*end >= 0) {
        epb_fd_close(*end);
    }
    *end = -1;
}

void
epb_pipe_pair_close(struct epb_pipe_ends *ends)
{
    close_end(&ends->in);
    close_end(&ends->out);
}

/* Making them */

/* The system assigns the lowest free number, so a number shows how many are in use. */
static bool
leaves_enough(int newest)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)newest < limit.rlim_cur / 2;
}

int
epb_pipe_pair_make(struct epb_pipe_ends *own, struct epb_pipe_ends *peers)
{
    int to_peer[2] = {-1, -1};
    int from_peer[2] = {-1, -1};
    int error = 0;

    if (pipe2(to_peer, O_CLOEXEC | O_NONBLOCK) != 0 ||
        pipe2(from_peer, O_CLOEXEC | O_NONBLOCK) != 0) {
        error = -errno;
    } else if (!leaves_enough(from_peer[1])) {
        error = UV_EMFILE;
    }
    *own = (struct epb_pipe_ends){.in = from_peer[0], .out = to_peer[1]};
    *peers = (struct epb_pipe_ends){.in = to_peer[0], .out = from_peer[1]};
    if (error != 0) {
        epb_pipe_pair_close(own);
        epb_pipe_pair_close(peers);
        return error;
    }
    /* A user with many pipes may not enlarge more; the default size works too. */
    (void)fcntl(own->in, F_SETPIPE_SZ, (int)EPB_PIPE_BYTES);
    (void)fcntl(own->out, F_SETPIPE_SZ, (int)EPB_PIPE_BYTES);
    return 0;
}

bool
epb_pipe_pair_is_drained(const uv_pipe_t *in)
{
    int fd = -1;
    int waiting_bytes = 0;

    return uv_fileno((const uv_handle_t *)in, &fd) != 0 ||
           ioctl(fd, FIONREAD, &waiting_bytes) != 0 || waiting_bytes == 0;
}

/* Passing them */

int
epb_pipe_pair_pass(const uv_pipe_t *socket, struct epb_bytes bytes,
                   const struct epb_pipe_ends *ends)
{
    int fd = -1;
    int error = uv_fileno((const uv_handle_t *)socket, &fd);
    union control control;
    union {
        const uint8_t *in;
        void *out;
    } data = {.in = bytes.data};
    struct iovec vector = {.iov_base = data.out, .iov_len = bytes.size_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    if (error != 0) {
        return error;
    }
    memset(&control, 0, sizeof(control));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(ENDS * sizeof(int));
    memcpy(CMSG_DATA(header), (int[ENDS]){ends->in, ends->out}, ENDS * sizeof(int));
    ssize_t sent = 0;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return (int)sent;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

/* Taking them */

/* Whether a descriptor is a non-blocking end of a pipe. Sets its access mode. */
static bool
is_end(int fd, int *access_mode)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);

    *access_mode = flags & O_ACCMODE;
    return flags >= 0 && (flags & O_NONBLOCK) != 0 && fstat(fd, &status) == 0 &&
           S_ISFIFO(status.st_mode);
}

static bool
are_ends(const struct epb_rights *rights)
{
    int in_mode = 0;
    int out_mode = 0;

    return rights->whole && rights->count == ENDS && is_end(rights->fds[0], &in_mode) &&
           is_end(rights->fds[1], &out_mode) && in_mode == O_RDONLY &&
           out_mode != O_RDONLY;
}

/* Opens a pipe again, for reading and writing; -1 when the system refuses. */
static int
open_both_ways(int end)
{
    char path[PROC_PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", end);
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Takes two ends. False: without a reader of its own, the pipe is of no use. */
static bool
take_ends(struct epb_rights *rights, struct epb_pipe_ends *ends)
{
    int both_ways = open_both_ways(rights->fds[1]);

    if (both_ways < 0) {
        return false;
    }
    epb_fd_close(rights->fds[1]);
    *ends = (struct epb_pipe_ends){.in = rights->fds[0], .out = both_ways};
    return true;
}

int
epb_pipe_pair_receive(int socket, void *memory, size_t size_bytes,
                      struct epb_pipe_ends *ends)
{
    struct epb_rights rights;
    int got = epb_rights_receive(socket, memory, size_bytes, &rights);

    if (got < 0) {
        return got;
    }
    if (epb_pipe_pair_is_open(ends) || !are_ends(&rights) || !take_ends(&rights, ends)) {
        epb_rights_close(&rights);
    }
    return got;
}
