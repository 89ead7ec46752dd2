/* kqueue. See process_watch.h. */
#include "process_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/event.h>
#include <sys/types.h>

#include "fd.h"

/* A kqueue that is readable from the end of the process on. Returns 0 or an errno. */
static int
open_queue(uint32_t pid, int *queue)
{
    struct kevent event;

    *queue = kqueue();
    if (*queue < 0) {
        return errno;
    }
    (void)fcntl(*queue, F_SETFD, FD_CLOEXEC);
    EV_SET(&event, pid, EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, NULL);
    if (kevent(*queue, &event, 1, NULL, 0, NULL) == 0) {
        return 0;
    }
    int error = errno;
    epb_fd_close(*queue);
    *queue = -1;
    return error;
}

enum epb_status
epb_process_watch_open(struct epb_process_watch *watch, uint32_t pid)
{
    *watch = (struct epb_process_watch){.pid = pid, .fd = -1, .stat_fd = -1};
    /* Other errors: its number is examined. */
    return open_queue(pid, &watch->fd) == ESRCH ? EPB_NOT_FOUND : EPB_OK;
}

enum epb_status
epb_process_watch_inherit(struct epb_process_watch *watch)
{
    /* The number of the parent's kqueue is not open here. */
    return epb_process_watch_open(watch, watch->pid);
}

void
epb_process_watch_close(struct epb_process_watch *watch)
{
    if (watch->fd >= 0) {
        epb_fd_close(watch->fd);
    }
    watch->fd = -1;
}

bool
epb_process_watch_ended(const struct epb_process_watch *watch)
{
    struct pollfd at_end = {.fd = watch->fd, .events = POLLIN};

    if (watch->fd < 0) {
        return kill((pid_t)watch->pid, 0) != 0 && errno == ESRCH;
    }
    return poll(&at_end, 1, 0) == 1 && at_end.revents != 0;
}

enum epb_status
epb_process_watch_signal(const struct epb_process_watch *watch, int signal_number)
{
    if (epb_process_watch_ended(watch)) {
        return EPB_NOT_FOUND;
    }
    if (kill((pid_t)watch->pid, signal_number) == 0) {
        return EPB_OK;
    }
    return errno == ESRCH ? EPB_NOT_FOUND : EPB_INTERNAL;
}
