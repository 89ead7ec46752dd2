/* See fd.h. */
#include "fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#define FD_FOLDER "/proc/self/fd"
/* The kernel's number, the same on all its systems; older headers lack it. */
#define CLOSE_RANGE 436
#else
#define FD_FOLDER "/dev/fd"
#endif

#define DESCRIPTORS_MAX 65536

void
epb_fd_close(int fd)
{
    /* Never retry after EINTR: the descriptor is closed or in an unknown state. */
    (void)close(fd);
}

/* Closes from `first` to `last`. False: the system has no such call. */
static bool
close_range_at_once(int first, int last)
{
#if defined(__linux__)
    return first > last || syscall(CLOSE_RANGE, (unsigned)first, (unsigned)last, 0U) == 0;
#else
    return first > last;
#endif
}

static bool
is_kept(int fd, const int *keep, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keep[i] == fd) {
            return true;
        }
    }
    return false;
}

static void
close_one_by_one(int first, const int *keep, size_t count)
{
    DIR *open_ones = opendir(FD_FOLDER);

    if (open_ones == NULL) {
        for (int fd = first; fd < DESCRIPTORS_MAX; fd++) {
            if (!is_kept(fd, keep, count)) {
                epb_fd_close(fd);
            }
        }
        return;
    }
    for (const struct dirent *entry = readdir(open_ones); entry != NULL;
         entry = readdir(open_ones)) {
        int fd = entry->d_name[0] == '.' ? -1 : (int)strtol(entry->d_name, NULL, 10);
        if (fd >= first && fd != dirfd(open_ones) && !is_kept(fd, keep, count)) {
            epb_fd_close(fd);
        }
    }
    (void)closedir(open_ones);
}

void
epb_fd_close_others(int first, const int *keep, size_t count)
{
    int from = first;

    for (size_t i = 0; i < count; i++) {
        if (!close_range_at_once(from, keep[i] - 1)) {
            close_one_by_one(first, keep, count);
            return;
        }
        from = keep[i] + 1;
    }
    if (!close_range_at_once(from, INT_MAX)) {
        close_one_by_one(first, keep, count);
    }
}

bool
epb_fd_lift(int *fd)
{
    if (*fd < 0 || *fd > STDERR_FILENO) {
        return true;
    }
    int above = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;

    epb_fd_close(*fd);
    *fd = above;
    errno = error;
    return above >= 0;
}

static bool
open_pipe(int ends[2])
{
#if defined(__linux__)
    return pipe2(ends, O_CLOEXEC) == 0;
#else
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
#endif
}

int
epb_fd_pipe(int ends[2])
{
    if (!open_pipe(ends)) {
        return errno;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!epb_fd_lift(&ends[i])) {
            int error = errno;
            epb_fd_close(ends[1 - i]);
            return error;
        }
    }
    return 0;
}

int
epb_fd_open_nothing(void)
{
    int ends[2];
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nothing >= 0 || errno == EMFILE || errno == ENFILE) {
        return nothing;
    }
    int error = epb_fd_pipe(ends);
    if (error != 0) {
        errno = error;
        return -1;
    }
    epb_fd_close(ends[1]);
    return ends[0];
}

#ifndef O_PATH
#define O_PATH O_RDONLY /* of a folder, which can't be read either */
#endif

void
epb_fd_fill_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        /* The lowest free number is this one. */
        if (fcntl(stream, F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) < 0) {
            return;
        }
    }
}
