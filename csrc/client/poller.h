/* Waits for many descriptors at once, one event per arming: epoll on Linux, kqueue on
 * macOS. An event contains the `tag` of its descriptor. Errors are libuv's codes. */
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
/* Blocks until there are events. Returns the number of tags written, at most `room`. */
int
epb_poller_wait(int poller, uint64_t *tags, int room);

#endif
