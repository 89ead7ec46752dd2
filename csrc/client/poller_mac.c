/* See poller.h. EV_ONESHOT deletes a filter with its event; each direction has a separate
 * filter. */
#include "poller.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <unistd.h>

#define EVENTS_MAX 64

int
epb_poller_open(void)
{
    int poller = kqueue();

    if (poller < 0) {
        return -errno;
    }
    (void)fcntl(poller, F_SETFD, FD_CLOEXEC);
    return poller;
}

int
epb_poller_add(int poller, int fd, uint64_t tag)
{
    (void)poller;
    (void)fd;
    (void)tag;
    return 0;
}

int
epb_poller_arm(int poller, int fd, uint64_t tag, unsigned what)
{
    struct kevent changes[2];
    int count = 0;
    /* The event's pointer-sized field holds the tag, since slot and generation fit. */
    void *data = (void *)(uintptr_t)tag;

    if ((what & EPB_POLLER_READ) != 0) {
        EV_SET(&changes[count++], fd, EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, data);
    }
    if ((what & EPB_POLLER_WRITE) != 0) {
        EV_SET(&changes[count++], fd, EVFILT_WRITE, EV_ADD | EV_ONESHOT, 0, 0, data);
    }
    return kevent(poller, changes, count, NULL, 0, NULL) == 0 ? 0 : -errno;
}

void
epb_poller_remove(int poller, int fd)
{
    struct kevent change;

    EV_SET(&change, fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    (void)kevent(poller, &change, 1, NULL, 0, NULL);
    EV_SET(&change, fd, EVFILT_WRITE, EV_DELETE, 0, 0, NULL);
    (void)kevent(poller, &change, 1, NULL, 0, NULL);
}

int
epb_poller_wait(int poller, uint64_t *tags, int room)
{
    struct kevent events[EVENTS_MAX];
    int count =
        kevent(poller, NULL, 0, events, room < EVENTS_MAX ? room : EVENTS_MAX, NULL);

    for (int i = 0; i < count; i++) {
        tags[i] = (uint64_t)(uintptr_t)events[i].udata;
    }
    return count > 0 ? count : 0;
}
