/* pidfd, or /proc/PID/stat. See process_watch.h. */
#include "process_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "fd.h"

/* The kernel's numbers, the same on all its systems; older headers lack them. */
#define PIDFD_SEND_SIGNAL 424
#define PIDFD_OPEN 434

/* In /proc/PID/stat, counted from the state, which follows the name. */
#define FIELDS_TO_THREADS 17U

static int
open_pidfd(uint32_t pid)
{
    /* Sets close-on-exec. */
    return (int)syscall(PIDFD_OPEN, (pid_t)pid, 0U);
}

static int
open_stat(uint32_t pid)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The number of threads, in the text that follows the name of a process. */
static unsigned long
threads_of(const char *fields)
{
    for (unsigned i = 0; i < FIELDS_TO_THREADS; i++) {
        fields = strchr(fields, ' ');
        if (fields == NULL) {
            return 1;
        }
        fields++;
    }
    return strtoul(fields, NULL, 10);
}

/* A zombie has ended, unless it is a first thread that has left others behind. */
static bool
stat_says_ended(const char *stat)
{
    const char *name_end = strrchr(stat, ')');

    if (name_end == NULL || name_end[1] != ' ') {
        return false;
    }
    const char *fields = name_end + 2;
    if (*fields == 'X' || *fields == 'x') {
        return true;
    }
    return *fields == 'Z' && threads_of(fields) <= 1;
}

static bool
number_is_free(uint32_t pid)
{
    /* EPERM: it lives, and has taken another user's rights. */
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static bool
examine(const struct epb_process_watch *watch)
{
    char stat[1024];

    if (watch->stat_fd < 0) {
        return number_is_free(watch->pid);
    }
    ssize_t size = pread(watch->stat_fd, stat, sizeof(stat) - 1, 0);
    if (size < 0) {
        return errno == ESRCH;
    }
    stat[size] = '\0';
    return size == 0 || stat_says_ended(stat);
}

bool
epb_process_watch_ended(const struct epb_process_watch *watch)
{
    struct pollfd at_end = {.fd = watch->fd, .events = POLLIN};

    if (watch->fd < 0) {
        return examine(watch);
    }
    return poll(&at_end, 1, 0) == 1 && at_end.revents != 0;
}

enum epb_status
epb_process_watch_open(struct epb_process_watch *watch, uint32_t pid)
{
    *watch = (struct epb_process_watch){.pid = pid, .fd = open_pidfd(pid), .stat_fd = -1};
    if (watch->fd < 0) {
        if (errno == ESRCH) {
            return EPB_NOT_FOUND;
        }
        watch->stat_fd = open_stat(pid);
    }
    if (epb_process_watch_ended(watch)) {
        epb_process_watch_close(watch);
        return EPB_NOT_FOUND;
    }
    return EPB_OK;
}

enum epb_status
epb_process_watch_inherit(struct epb_process_watch *watch)
{
    (void)watch;
    return EPB_OK;
}

void
epb_process_watch_close(struct epb_process_watch *watch)
{
    if (watch->fd >= 0) {
        epb_fd_close(watch->fd);
    }
    if (watch->stat_fd >= 0) {
        epb_fd_close(watch->stat_fd);
    }
    watch->fd = -1;
    watch->stat_fd = -1;
}

enum epb_status
epb_process_watch_signal(const struct epb_process_watch *watch, int signal_number)
{
    long failed = -1;

    if (epb_process_watch_ended(watch)) {
        return EPB_NOT_FOUND;
    }
    if (watch->fd >= 0) {
        failed = syscall(PIDFD_SEND_SIGNAL, watch->fd, signal_number, NULL, 0U);
    }
    /* Examined just now: the number is its own. */
    if (watch->fd < 0 || (failed != 0 && errno == ENOSYS)) {
        failed = kill((pid_t)watch->pid, signal_number);
    }
    if (failed == 0) {
        return EPB_OK;
    }
    return errno == ESRCH ? EPB_NOT_FOUND : EPB_INTERNAL;
}
