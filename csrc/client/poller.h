/* The system's way to wait for many descriptors at once, one news per arming: epoll on
 * Linux, kqueue on macOS. `tag` comes back with the news. Errors are libuv's codes. */
#ifndef EPB_CLIENT_POLLER_H
#define EPB_CLIENT_POLLER_H

#include <stdint.h>

#include "../base/status.h"

enum epb_poller_what {
    EPB_POLLER_READ = 1,
    EPB_POLLER_WRITE = 2
};

/* The poller's own descriptor, or an error. */
EPB_MUST_USE int
epb_poller_open(void);
EPB_MUST_USE int
epb_poller_add(int poller, int fd, uint64_t tag);
EPB_MUST_USE int
epb_poller_arm(int poller, int fd, uint64_t tag, unsigned what);
void
epb_poller_remove(int poller, int fd);
/* Blocks for the next news: how many tags, at most `room`. */
int
epb_poller_wait(int poller, uint64_t *tags, int room);

#endif
