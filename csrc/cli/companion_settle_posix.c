/* The surroundings of the companion's process. See companion.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../base/sys.h"
#include "../os/fd.h"
#include "companion_internal.h"

#if defined(NSIG)
#define SIGNAL_END NSIG
#else
#define SIGNAL_END 65
#endif

static const int not_for_us[] = {SIGHUP, SIGINT, SIGQUIT};
static const int meaningless[] = {SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
#define COUNT(numbers) (sizeof(numbers) / sizeof((numbers)[0]))

/* For the handler. */
static const struct epb_companion *the_companion;

static void
on_term(int number)
{
    (void)number;
    epb_companion_report(the_companion, (enum epb_companion_news)'T');
}

static void
set_all(const int *numbers, size_t count, void (*handler)(int))
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < count; i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
}

static void
unblock_all(void)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* The caller's handlers, ignored signals and mask are the command's. */
static void
set_signals(const struct epb_companion *companion)
{
    the_companion = companion;
    for (int number = 1; number < SIGNAL_END; number++) {
        set_all(&number, 1, SIG_DFL);
    }
    set_all(not_for_us, COUNT(not_for_us), SIG_IGN);
    set_all(meaningless, COUNT(meaningless), SIG_IGN);
    set_all((const int[]){SIGTERM}, 1, on_term);
    unblock_all();
}

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Standard error stays, for warnings and the log. A closed one becomes /dev/null too: the
 * number must not become that of a socket. */
static int
set_streams(bool keeps_error)
{
    int nothing = epb_fd_open_nothing();
    int error = 0;

    if (nothing < 0) {
        return errno;
    }
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO && error == 0; stream++) {
        bool keep = stream == STDERR_FILENO && keeps_error && is_open(stream);
        if (!keep && stream != nothing && dup2(nothing, stream) < 0) {
            error = errno;
        }
    }
    if (nothing > STDERR_FILENO) {
        epb_fd_close(nothing);
    }
    return error;
}

static void
sort(int *numbers, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t at = i; at > 0 && numbers[at - 1] > numbers[at]; at--) {
            int greater = numbers[at - 1];
            numbers[at - 1] = numbers[at];
            numbers[at] = greater;
        }
    }
}

static void
close_others(const struct epb_companion *companion)
{
    int keep[1 + 2 * EPB_PROCESS_WATCHES_MAX] = {companion->ready};
    size_t count = 1;

    for (size_t i = 0; i < companion->watch_count; i++) {
        const struct epb_process_watch *watch = &companion->watches[i];
        if (watch->fd >= 0) {
            keep[count++] = watch->fd;
        }
        if (watch->stat_fd >= 0) {
            keep[count++] = watch->stat_fd;
        }
    }
    sort(keep, count);
    epb_fd_close_others(STDERR_FILENO + 1, keep, count);
}

/* A connection is a descriptor, and the soft limit is often 1024. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Whether the caller still waits for the report: then the watch, which macOS makes by
 * number, means the caller. */
static bool
caller_waits(const struct epb_companion *companion)
{
    struct pollfd report = {.fd = companion->ready, .events = POLLOUT};

    return poll(&report, 1, 0) >= 0 && (report.revents & POLLERR) == 0;
}

static bool
inherit_watches(struct epb_companion *companion)
{
    for (size_t i = 0; i < companion->watch_count; i++) {
        if (epb_process_watch_inherit(&companion->watches[i]) != EPB_OK) {
            return false;
        }
    }
    return companion->watch_count == 0 || caller_waits(companion);
}

void
epb_companion_leave_caller(struct epb_companion *companion)
{
    if (companion->spec->tied_to != 0) {
        epb_process_watch_close(&companion->watches[--companion->watch_count]);
        /* /dev/null is open there already. */
        (void)dup2(STDOUT_FILENO, STDERR_FILENO);
    }
}

int
epb_companion_settle(struct epb_companion *companion)
{
    int error = set_streams(!companion->spec->detached || companion->spec->tied_to != 0);

    if (error != 0) {
        return error;
    }
    close_others(companion);
    error = epb_companion_open_wake(companion);
    if (error != 0) {
        return error;
    }
    set_signals(companion);
    if (!inherit_watches(companion)) {
        return ESRCH;
    }
    raise_descriptor_limit();
    if (chdir("/") != 0) {
        return errno;
    }
    return epb_sys_harden_process() == EPB_OK ? 0 : EPERM;
}

int
epb_companion_settle_here(struct epb_companion *companion, bool typed)
{
    int error = epb_companion_open_wake(companion);

    if (error != 0) {
        return error;
    }
    the_companion = companion;
    set_all((const int[]){SIGTERM, SIGHUP}, 2, on_term);
    set_all((const int[]){SIGINT, SIGQUIT}, 2, typed ? on_term : SIG_IGN);
    set_all(meaningless, COUNT(meaningless), SIG_IGN);
    unblock_all();
    raise_descriptor_limit();
    return epb_sys_harden_process() == EPB_OK ? 0 : EPERM;
}
