/* See output.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../os/fd.h"
#include "output.h"

/* Ends as a program ends that has not ignored SIGPIPE. */
static void
end_by_sigpipe(void)
{
    sigset_t pipes;

    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &pipes, NULL);
    raise(SIGPIPE);
}

static void
wait_writable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};

    (void)poll(&wanted, 1, -1);
}

bool
epb_out_try(int fd, const void *data, size_t size_bytes)
{
    const char *at = data;

    while (size_bytes > 0) {
        ssize_t written = write(fd, at, size_bytes);
        if (written >= 0) {
            at += written;
            size_bytes -= (size_t)written;
        } else if (errno == EAGAIN) {
            wait_writable(fd);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool
epb_out_is_closed(void)
{
    return errno == EPIPE || errno == EBADF;
}

bool
epb_out_write(int fd, const void *data, size_t size_bytes)
{
    bool written = epb_out_try(fd, data, size_bytes);

    if (!written && fd == STDOUT_FILENO && epb_out_is_closed()) {
        end_by_sigpipe();
    }
    return written;
}

bool
epb_out_text(const char *text)
{
    return epb_out_write(STDOUT_FILENO, text, strlen(text));
}

bool
epb_out_buf(const struct epb_buf *buf)
{
    return epb_out_write(STDOUT_FILENO, epb_buf_data(buf), epb_buf_size(buf));
}

bool
epb_out_is_ready(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};

    return poll(&wanted, 1, 0) == 1 && (wanted.revents & POLLOUT) != 0;
}

bool
epb_out_is_terminal(int fd)
{
    return isatty(fd) != 0;
}

void
epb_out_discard(int fd)
{
    int nothing = epb_fd_open_nothing();

    if (nothing >= 0) {
        (void)dup2(nothing, fd);
        epb_fd_close(nothing);
    }
}
