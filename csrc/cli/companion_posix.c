/* The caller's half, and what both halves pass to each other. See companion.h.
 *
 * The report is '+', the process id in decimal, a line break and the answer of the
 * service; or '-', an exit status, a line break and a sentence. It ends with the end of
 * the pipe. */
#include "companion.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "../os/fd.h"
#include "cli.h"
#include "companion_internal.h"
#include "output.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#define READ_BYTES ((size_t)4096)

static int
refuse(struct epb_buf *answer, const char *sentence)
{
    epb_buf_truncate(answer, epb_buf_size(answer));
    /* Without memory the sentence is empty. */
    (void)!epb_buf_append(answer, sentence, strlen(sentence));
    return EPB_EXIT_START_FAILED;
}

/* The companion */

static bool
report(int fd, int status, const struct epb_buf *answer)
{
    char head[32];
    int size = status == 0 ? snprintf(head, sizeof(head), "+%" PRIu32 "\n", epb_sys_pid())
                           : snprintf(head, sizeof(head), "-%d\n", status);

    return epb_out_write(fd, head, (size_t)size) &&
           epb_out_write(fd, epb_buf_data(answer), epb_buf_size(answer));
}

static void
report_refusal(int fd, const char *sentence)
{
    char line[256];
    int size = snprintf(line, sizeof(line), "-%d\n%s", EPB_EXIT_START_FAILED, sentence);

    (void)epb_out_write(fd, line, (size_t)size);
}

struct guard {
    struct epb_process_watch watches[EPB_PROCESS_WATCHES_MAX];
    size_t count;
    bool is_detached;
    int stop;
};

/* Ends this process with the command, which gets TERM when a package manager dies. */
static void *
guard_command(void *context)
{
    struct guard *guard = context;
    size_t which = 0;

    while (epb_process_watch_wait(guard->watches, guard->count, guard->stop, UINT64_MAX,
                                  &epb_process_clock_system,
                                  &which) == EPB_PROCESS_ENDED) {
        if (which == 0 || guard->is_detached) {
            _exit(0);
        }
        (void)!epb_process_watch_signal(&guard->watches[0], SIGTERM);
        guard->count = 1;
    }
    return NULL;
}

/* TERM and the like go to the first thread. */
static bool
start_guard(pthread_t *thread, struct guard *guard)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, guard_command, guard);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

/* Begins a service that may wait for long, while a thread watches the command. */
static int
begin_guarded(struct epb_companion *companion, struct epb_buf *answer)
{
    const struct epb_companion_service *service = companion->spec->service;
    struct guard guard = {.count = companion->watch_count,
                          .is_detached = companion->spec->detached};
    int status = EPB_EXIT_START_FAILED;
    int stop[2];
    pthread_t thread;

    if (epb_fd_pipe(stop) != 0) {
        return refuse(answer, "no descriptor can be made");
    }
    memcpy(guard.watches, companion->watches, sizeof(guard.watches));
    guard.stop = stop[0];
    if (start_guard(&thread, &guard)) {
        status = service->begin(service->context, companion, answer);
        epb_fd_close(stop[1]);
        EPB_ASSERT(pthread_join(thread, NULL) == 0);
    } else {
        epb_fd_close(stop[1]);
        (void)refuse(answer, "no thread can be started");
    }
    epb_fd_close(stop[0]);
    return status;
}

static int
begin(struct epb_companion *companion, struct epb_buf *answer)
{
    const struct epb_companion_service *service = companion->spec->service;

    if (service->waits && companion->watch_count > 0) {
        return begin_guarded(companion, answer);
    }
    return service->begin(service->context, companion, answer);
}

static _Noreturn void
run_companion(struct epb_companion *companion)
{
    const struct epb_companion_service *service = companion->spec->service;
    struct epb_buf answer;

    epb_mem_shared_renew();
    (void)epb_sys_use_secret_memory();
    int error = epb_companion_settle(companion);
    if (error != 0) {
        report_refusal(companion->ready, strerror(error));
        _exit(1);
    }
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    bool all_live = epb_companion_watch_managers(companion);
    if (!all_live) {
        (void)!epb_process_watch_signal(&companion->watches[0], SIGTERM);
    }
    int status = begin(companion, &answer);
    epb_companion_leave_caller(companion);
    bool heard = report(companion->ready, status, &answer);
    epb_buf_fini(&answer);
    epb_fd_close(companion->ready);
    if (status != 0) {
        _exit(1);
    }
    if (!all_live) {
        epb_companion_report(companion, EPB_COMPANION_SERVICE_LOST);
    }
    if (heard) {
        epb_companion_confine(companion);
        epb_companion_serve(companion, &epb_process_clock_system);
    }
    service->end(service->context);
    /* Nothing is left for functions of atexit(). */
    _exit(0);
}

/* The caller */

/* A child that sends no signal when it ends and that must be waited for by its number:
 * neither an ignored SIGCHLD nor a handler of the caller's notices it. */
static pid_t
fork_silently(void)
{
#if defined(__linux__)
    pid_t child = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);

    if (child >= 0 || (errno != EPERM && errno != ENOSYS && errno != EINVAL)) {
        return child;
    }
#endif
    return fork();
}

static void
reap(pid_t child)
{
#if defined(__linux__)
    int options = __WALL;
#else
    int options = 0;
#endif

    while (waitpid(child, NULL, options) < 0 && errno == EINTR) {
    }
}

/* In the first child: it leaves the caller's session, and its child is the companion. */
static _Noreturn void
run_first_child(struct epb_companion *companion)
{
    (void)setsid();
    pid_t child = fork();

    if (child == 0) {
        run_companion(companion);
    }
    if (child < 0) {
        report_refusal(companion->ready, strerror(errno));
    }
    _exit(0);
}

/* -1: the pipe has ended, 0: late, 1: something is there. */
static int
await(int fd, uint64_t until_ms)
{
    struct epb_time now;
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    for (;;) {
        int timeout_ms = -1;
        if (until_ms != UINT64_MAX) {
            epb_sys_now(&now);
            timeout_ms = now.mono_ms >= until_ms ? 0 : (int)(until_ms - now.mono_ms);
        }
        int found = poll(&polled, 1, timeout_ms);
        if (found >= 0 || errno != EINTR) {
            return found;
        }
    }
}

/* Reads to the end. False: late, or memory is out. */
static bool
read_report(int fd, uint64_t until_ms, struct epb_buf *report)
{
    for (;;) {
        uint8_t *room;
        if (await(fd, until_ms) <= 0 ||
            epb_buf_reserve(report, READ_BYTES, &room) != EPB_OK) {
            return false;
        }
        ssize_t got = read(fd, room, READ_BYTES);
        if (got == 0) {
            return true;
        }
        if (got < 0 && errno != EINTR) {
            return false;
        }
        epb_buf_commit(report, got > 0 ? (size_t)got : 0);
    }
}

/* Takes the head off a report. */
static int
take_report(struct epb_buf *report, uint32_t *pid)
{
    const uint8_t *data = epb_buf_data(report);
    size_t size = epb_buf_size(report);

    if (size == 0) {
        return refuse(report, "the process next to the command ended before it was "
                              "ready");
    }
    bool is_ready = data[0] == '+';
    const uint8_t *line_end = memchr(data, '\n', size);
    if (line_end == NULL) {
        return refuse(report, "the process next to the command ended while it reported");
    }
    unsigned long number = strtoul((const char *)data + 1, NULL, 10);
    epb_buf_consume(report, (size_t)(line_end - data) + 1);
    *pid = is_ready ? (uint32_t)number : 0;
    return is_ready ? 0 : (int)number;
}

static int
await_report(int fd, uint64_t ready_ms, struct epb_buf *answer, uint32_t *pid)
{
    struct epb_time now;
    uint64_t until_ms = UINT64_MAX;

    if (ready_ms != UINT64_MAX) {
        epb_sys_now(&now);
        until_ms = now.mono_ms + ready_ms;
    }
    if (!read_report(fd, until_ms, answer)) {
        return refuse(answer, "the process next to the command was not ready in time");
    }
    return take_report(answer, pid);
}

static int
fail_with(struct epb_buf *answer, const char *what, int error)
{
    (void)!epb_buf_printf(answer, "%s: %s", what, strerror(error));
    return EPB_EXIT_START_FAILED;
}

static int
open_watch(struct epb_companion *companion, uint32_t pid)
{
    struct epb_process_watch *watch = &companion->watches[companion->watch_count];

    if (epb_process_watch_open(watch, pid) != EPB_OK) {
        return ESRCH;
    }
    companion->watch_count++;
    return epb_fd_lift(&watch->fd) && epb_fd_lift(&watch->stat_fd) ? 0 : errno;
}

/* Watches the command, which this process becomes; or the process that a detached
 * companion is tied to, and this one. */
static int
open_watches(struct epb_companion *companion)
{
    int error = 0;

    if (companion->spec->detached && companion->spec->tied_to == 0) {
        return 0;
    }
    if (companion->spec->detached) {
        error = open_watch(companion, companion->spec->tied_to);
    }
    return error == 0 ? open_watch(companion, (uint32_t)getpid()) : error;
}

static void
close_watches(struct epb_companion *companion)
{
    while (companion->watch_count > 0) {
        epb_process_watch_close(&companion->watches[--companion->watch_count]);
    }
}

int
epb_companion_start(const struct epb_companion_spec *spec, struct epb_buf *answer,
                    uint32_t *pid)
{
    struct epb_companion companion = {.spec = spec};
    int ends[2];
    int error = open_watches(&companion);

    if (!spec->detached) {
        epb_companion_find_managers(&companion);
    }

    error = error == 0 ? epb_fd_pipe(ends) : error;
    if (error != 0) {
        close_watches(&companion);
        return error == ESRCH ? refuse(answer, "there is no such process")
                              : fail_with(answer, "no descriptor can be made", error);
    }
    companion.ready = ends[1];
    pid_t child = fork_silently();
    if (child == 0) {
        run_first_child(&companion);
    }
    error = errno;
    epb_fd_close(ends[1]);
    close_watches(&companion);
    int status = EPB_EXIT_START_FAILED;
    if (child > 0) {
        reap(child);
        status = await_report(ends[0], spec->ready_ms, answer, pid);
    } else {
        status = fail_with(answer, "no new process can be made", error);
    }
    epb_fd_close(ends[0]);
    return status;
}

int
epb_companion_be(const struct epb_companion_spec *spec, bool typed,
                 struct epb_buf *answer,
                 int (*ready)(void *context, const struct epb_buf *answer), void *context)
{
    const struct epb_companion_service *service = spec->service;
    /* Static: a signal handler and threads of the service know it. */
    static struct epb_companion companion;

    companion = (struct epb_companion){.spec = spec};
    epb_companion_find_managers(&companion);
    (void)epb_sys_use_secret_memory();
    int error = epb_companion_settle_here(&companion, typed);
    if (error != 0) {
        return fail_with(answer, "the broker can't be set up", error);
    }
    bool all_live = epb_companion_watch_managers(&companion);
    int status = service->begin(service->context, &companion, answer);
    if (status != 0) {
        return status;
    }
    status = ready(context, answer);
    if (all_live && status == 0) {
        epb_companion_confine(&companion);
        epb_companion_serve(&companion, &epb_process_clock_system);
    }
    service->end(service->context);
    return status;
}
