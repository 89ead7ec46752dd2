/*
 * Watching another process until it ends, and signalling it. POSIX.
 *
 * A watch means one process, never a later process with the same number. It is opened
 * while that process is known to live: by the process itself before it forks a watcher,
 * or by a watcher that checks afterwards that the process is still its relative.
 *
 * A process has ended when it runs no more, whether or not its parent has reaped it.
 *
 * - Linux: a pidfd. Where the system has none or refuses it (before 5.3, seccomp,
 * gVisor), an open descriptor of /proc/PID/stat, which stays tied to its process and is
 * read every EPB_PROCESS_POLL_MS. Without /proc, kill(pid, 0) says whether the number
 * exists.
 * - macOS: a kqueue with NOTE_EXIT. A fork does not inherit it: see _inherit.
 *
 * Descriptors are closed on exec. Not thread-safe for one watch.
 */
#ifndef EPB_OS_PROCESS_WATCH_H
#define EPB_OS_PROCESS_WATCH_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

/* How often a process is examined when the system doesn't report its end. */
#define EPB_PROCESS_POLL_MS 100U
#define EPB_PROCESS_WATCHES_MAX 17U

struct epb_process_watch {
    uint32_t pid;
    int fd;      /* becomes readable at the end of the process; -1: it is examined */
    int stat_fd; /* Linux: /proc/PID/stat, to examine it; -1: none */
};

/* EPB_NOT_FOUND: there is no such process, or it has ended. */
EPB_MUST_USE enum epb_status
epb_process_watch_open(struct epb_process_watch *watch, uint32_t pid);
/* In a forked child: makes a watch usable that the parent opened. Afterwards the child
 * must check that the process still existed (macOS opens a new watch by the number). */
EPB_MUST_USE enum epb_status
epb_process_watch_inherit(struct epb_process_watch *watch);
/* A watch that is closed already is allowed. */
void
epb_process_watch_close(struct epb_process_watch *watch);
EPB_MUST_USE bool
epb_process_watch_ended(const struct epb_process_watch *watch);
/* EPB_NOT_FOUND: the process has ended. EPB_INTERNAL: the system refuses. */
EPB_MUST_USE enum epb_status
epb_process_watch_signal(const struct epb_process_watch *watch, int signal_number);

enum epb_process_event {
    EPB_PROCESS_ENDED, /* one of the processes */
    EPB_PROCESS_WOKEN, /* `wake` is readable */
    EPB_PROCESS_LATE   /* `until_ms` is over */
};

/* The clock and the sleep of a wait. Tests have their own. */
struct epb_process_clock {
    uint64_t (*now_ms)(void *context);
    int (*poll)(void *context, struct pollfd *polls, size_t count, int timeout_ms);
    void *context;
};

/* The system's monotonic clock and poll(2). */
extern const struct epb_process_clock epb_process_clock_system;

/* Waits until one of the processes has ended (*which), `wake` is readable (-1: never) or
 * the clock shows `until_ms` (UINT64_MAX: never). `count` is at most
 * EPB_PROCESS_WATCHES_MAX. */
EPB_MUST_USE enum epb_process_event
epb_process_watch_wait(const struct epb_process_watch *watches, size_t count, int wake,
                       uint64_t until_ms, const struct epb_process_clock *clock,
                       size_t *which);

#endif
