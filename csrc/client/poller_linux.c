/* See poller.h. EPOLLONESHOT disarms a descriptor with its event. */
#include "poller.h"

#include <errno.h>
#include <sys/epoll.h>

#define EVENTS_MAX 64

int
epb_poller_open(void)
{
    int poller = epoll_create1(EPOLL_CLOEXEC);

    return poller >= 0 ? poller : -errno;
}

static int
control(int poller, int operation, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data = {.u64 = tag}};

    return epoll_ctl(poller, operation, fd, &event) == 0 ? 0 : -errno;
}

int
epb_poller_add(int poller, int fd, uint64_t tag)
{
    return control(poller, EPOLL_CTL_ADD, fd, 0, tag);
}

int
epb_poller_arm(int poller, int fd, uint64_t tag, unsigned what)
{
    uint32_t events = 0;

    if ((what & EPB_POLLER_READ) != 0) {
        events |= (uint32_t)EPOLLIN;
    }
    if ((what & EPB_POLLER_WRITE) != 0) {
        events |= (uint32_t)EPOLLOUT;
    }
    return control(poller, EPOLL_CTL_MOD, fd, events, tag);
}

void
epb_poller_remove(int poller, int fd)
{
    (void)control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

int
epb_poller_wait(int poller, uint64_t *tags, int room)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(poller, events, room < EVENTS_MAX ? room : EVENTS_MAX, -1);

    for (int i = 0; i < count; i++) {
        tags[i] = events[i].data.u64;
    }
    return count > 0 ? count : 0;
}
