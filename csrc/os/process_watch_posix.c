/* Waiting for several watches. See process_watch.h. */
#include "process_watch.h"

#include <errno.h>
#include <limits.h>

#include "../base/sys.h"

static uint64_t
system_now_ms(void *context)
{
    struct epb_time now;

    (void)context;
    epb_sys_now(&now);
    return now.mono_ms;
}

static int
system_poll(void *context, struct pollfd *polls, size_t count, int timeout_ms)
{
    (void)context;
    return poll(polls, (nfds_t)count, timeout_ms);
}

const struct epb_process_clock epb_process_clock_system = {.now_ms = system_now_ms,
                                                           .poll = system_poll};

static bool
find_ended(const struct epb_process_watch *watches, size_t count, size_t *which)
{
    for (size_t i = 0; i < count; i++) {
        if (epb_process_watch_ended(&watches[i])) {
            *which = i;
            return true;
        }
    }
    return false;
}

/* -1: without end. Rounds up, so that a wait never ends just before its time. */
static int
pause_ms(uint64_t now_ms, uint64_t until_ms, bool examined)
{
    uint64_t rest_ms = until_ms - now_ms;

    if (examined && rest_ms > EPB_PROCESS_POLL_MS) {
        return (int)EPB_PROCESS_POLL_MS;
    }
    if (until_ms == UINT64_MAX) {
        return -1;
    }
    return rest_ms > INT_MAX ? INT_MAX : (int)rest_ms;
}

enum epb_process_event
epb_process_watch_wait(const struct epb_process_watch *watches, size_t count, int wake,
                       uint64_t until_ms, const struct epb_process_clock *clock,
                       size_t *which)
{
    struct pollfd polls[EPB_PROCESS_WATCHES_MAX + 1];
    bool examined = false;

    EPB_ASSERT(count <= EPB_PROCESS_WATCHES_MAX);
    for (size_t i = 0; i < count; i++) {
        /* poll ignores a negative descriptor. */
        polls[i] = (struct pollfd){.fd = watches[i].fd, .events = POLLIN};
        examined = examined || watches[i].fd < 0;
    }
    polls[count] = (struct pollfd){.fd = wake, .events = POLLIN};
    for (;;) {
        if (find_ended(watches, count, which)) {
            return EPB_PROCESS_ENDED;
        }
        if (polls[count].revents != 0) {
            return EPB_PROCESS_WOKEN;
        }
        uint64_t now_ms = clock->now_ms(clock->context);
        if (now_ms >= until_ms) {
            return EPB_PROCESS_LATE;
        }
        if (clock->poll(clock->context, polls, count + 1,
                        pause_ms(now_ms, until_ms, examined)) < 0) {
            /* Interrupted: poll has not set this. */
            polls[count].revents = 0;
        }
    }
}
