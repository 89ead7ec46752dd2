/*
 * Linux and macOS.
 *
 * Only async-signal-safe calls are allowed between fork and exec, since other threads may
 * have held any lock at the fork. So the arguments and the list of paths to try are made
 * before the fork. All signals are blocked across the fork, so that no handler of this
 * process runs in the child. The child reports an error through a pipe that a successful
 * exec closes.
 *
 * A command that has ended keeps its process id until it is reaped. Reaping and
 * signalling exclude each other, and a signal is sent only to a child that is not reaped:
 * it can't reach another process.
 */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif

#include "locks.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
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

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <sys/event.h>
#endif

#if defined(NSIG)
#define SIGNAL_END NSIG
#else
#define SIGNAL_END 65
#endif
#define SHELL "/bin/sh"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* The data that the child needs, made before the fork. */
struct plan {
    const struct epb_spawn *spec;
    char *paths;       /* candidates, each ended by a NUL; an empty one ends the list */
    const char **argv; /* for the shell: { SHELL, path, argv[1], ..., NULL } */
    pid_t parent;
};

/* exec does not change its strings; its signature predates const. */
static char *const *
exec_vector(const char *const *strings)
{
    union {
        const char *const *in;
        char *const *out;
    } vector = {.in = strings};

    return vector.out;
}

static const char *
path_of(const char *const *envp)
{
    for (size_t i = 0; envp[i] != NULL; i++) {
        if (strncmp(envp[i], "PATH=", 5) == 0) {
            return envp[i] + 5;
        }
    }
    return DEFAULT_PATH;
}

static bool
plan_paths(struct plan *plan)
{
    const char *file = plan->spec->file;
    const char *path = path_of(plan->spec->envp);
    size_t file_bytes = strlen(file) + 1;
    size_t folders = 1;

    for (const char *at = path; *at != '\0'; at++) {
        folders += *at == ':';
    }
    plan->paths = calloc(1, strlen(path) + folders * (file_bytes + 2) + 1);
    if (plan->paths == NULL) {
        return false;
    }
    if (strchr(file, '/') != NULL || *file == '\0') {
        memcpy(plan->paths, file, file_bytes);
        return true;
    }
    char *out = plan->paths;

    for (;;) {
        size_t folder_bytes = strcspn(path, ":");

        /* An empty entry means the current folder. */
        memcpy(out, folder_bytes == 0 ? "." : path, folder_bytes == 0 ? 1 : folder_bytes);
        out += folder_bytes == 0 ? 1 : folder_bytes;
        *out++ = '/';
        memcpy(out, file, file_bytes);
        out += file_bytes;
        if (path[folder_bytes] == '\0') {
            return true;
        }
        path += folder_bytes + 1;
    }
}

static bool
plan_make(struct plan *plan, const struct epb_spawn *spec)
{
    size_t count = 0;

    *plan = (struct plan){.spec = spec, .parent = getpid()};
    while (spec->argv[count] != NULL) {
        count++;
    }
    plan->argv = calloc(count + 3, sizeof(*plan->argv));
    if (plan->argv == NULL || !plan_paths(plan)) {
        free(plan->argv);
        return false;
    }
    plan->argv[0] = SHELL;
    for (size_t i = 1; i < count; i++) {
        plan->argv[i + 1] = spec->argv[i];
    }
    return true;
}

static void
plan_free(struct plan *plan)
{
    free(plan->paths);
    free(plan->argv);
}

/* In the child from here on */

static void
child_signals(void)
{
    struct sigaction standard;
    sigset_t none;

    memset(&standard, 0, sizeof(standard));
    standard.sa_handler = SIG_DFL;
    for (int number = 1; number < SIGNAL_END; number++) {
        (void)sigaction(number, &standard, NULL);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The command inherits the standard streams, although Node marks them close-on-exec. */
static void
child_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        (void)fcntl(stream, F_SETFD, 0);
    }
}

/* Binds the child's life to its parent. If the parent ended before the request, no
 * process waits for the child: it exits. */
static void
child_bind(pid_t parent)
{
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
#endif
    if (getppid() != parent) {
        _exit(127);
    }
}

/* Tries the paths in order; runs a file without a `#!` line as a shell script. Returns
 * the most informative errno. */
static int
child_exec(const struct plan *plan)
{
    int error = ENOENT;

    for (const char *path = plan->paths; *path != '\0'; path += strlen(path) + 1) {
        execve(path, exec_vector(plan->spec->argv), exec_vector(plan->spec->envp));
        if (errno == ENOEXEC) {
            plan->argv[1] = path;
            execve(SHELL, exec_vector(plan->argv), exec_vector(plan->spec->envp));
        }
        if (errno == EACCES) {
            error = EACCES;
        } else if (errno != ENOENT && errno != ENOTDIR) {
            return errno;
        }
    }
    return error;
}

static void
child_run(const struct plan *plan, int report)
{
    int error = 0;
    ssize_t ignored;

    if (plan->spec->new_group) {
        (void)setpgid(0, 0);
    }
    child_signals();
    child_streams();
    epb_sys_restore_core_limit();
    child_bind(plan->parent);
    if (plan->spec->cwd != NULL && chdir(plan->spec->cwd) != 0) {
        error = errno;
    } else {
        error = child_exec(plan);
    }
    ignored = write(report, &error, sizeof(error));
    (void)ignored;
    _exit(127);
}

/* In the parent */

static bool
pipe_open(int ends[2])
{
#if defined(__linux__)
    return pipe2(ends, O_CLOEXEC) == 0;
#else
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
#endif
}

/* The child inherits the standard streams. If one of ours is closed, the pipe must not
 * take its number. Returns 0 or an errno. */
static int
pipe_make(int ends[2])
{
    int error = 0;

    if (!pipe_open(ends)) {
        return errno;
    }
    for (unsigned i = 0; i < 2 && error == 0; i++) {
        if (ends[i] <= STDERR_FILENO) {
            int above = fcntl(ends[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

            if (above < 0) {
                error = errno;
            } else {
                close(ends[i]);
                ends[i] = above;
            }
        }
    }
    if (error != 0) {
        close(ends[0]);
        close(ends[1]);
    }
    return error;
}

static pid_t
fork_with_signals_blocked(const struct plan *plan, int report)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();

    if (child == 0) {
        child_run(plan, report);
    }
    int error = errno;

    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return child;
}

static pid_t
wait_pid(pid_t child, int *state)
{
    pid_t found;

    do {
        found = waitpid(child, state, 0);
    } while (found < 0 && errno == EINTR);
    return found;
}

/* 0 once the command runs, else the child's errno. */
static int
report_read(int report)
{
    int error = 0;
    ssize_t got;

    do {
        got = read(report, &error, sizeof(error));
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(error) ? error : 0;
}

static int
spawn_planned(const struct plan *plan, uint32_t *pid)
{
    int ends[2];
    int state;
    int error = pipe_make(ends);

    if (error != 0) {
        return error;
    }
    pid_t child = fork_with_signals_blocked(plan, ends[1]);

    error = child < 0 ? errno : 0;
    close(ends[1]);
    if (child > 0) {
        if (plan->spec->new_group) {
            /* The child makes the same call; the first one wins. */
            (void)setpgid(child, child);
        }
        error = report_read(ends[0]);
        if (error != 0) {
            (void)wait_pid(child, &state);
        }
        *pid = (uint32_t)child;
    }
    close(ends[0]);
    return error;
}

enum epb_status
epb_proc_spawn(const struct epb_spawn *spec, uint32_t *pid, int *os_error)
{
    struct plan plan;

    if (!plan_make(&plan, spec)) {
        *os_error = ENOMEM;
        return EPB_INTERNAL;
    }
    *os_error = spawn_planned(&plan, pid);
    plan_free(&plan);
    if (*os_error == 0) {
        return EPB_OK;
    }
    return *os_error == ENOENT ? EPB_NOT_FOUND : EPB_INTERNAL;
}

enum epb_status
epb_proc_wait(uint32_t pid, int *exit_status, int *term_signal)
{
    siginfo_t info;
    int state = 0;
    int failed;

    *exit_status = -1;
    *term_signal = -1;
    do {
        failed = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        return EPB_NOT_FOUND;
    }
    epb_lock(EPB_LOCK_REAPING);
    pid_t found = wait_pid((pid_t)pid, &state);

    epb_unlock(EPB_LOCK_REAPING);
    if (found < 0) {
        return EPB_NOT_FOUND;
    }
    if (WIFSIGNALED(state)) {
        *term_signal = WTERMSIG(state);
    } else {
        *exit_status = WEXITSTATUS(state);
    }
    return EPB_OK;
}

enum epb_status
epb_proc_kill(uint32_t pid, bool group, int signal_number)
{
    enum epb_status status = EPB_NOT_FOUND;
    siginfo_t info;

    epb_lock(EPB_LOCK_REAPING);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0) {
        status = EPB_OK;
        if (kill(group ? -(pid_t)pid : (pid_t)pid, signal_number) != 0) {
            status = errno == ESRCH ? EPB_NOT_FOUND : EPB_INTERNAL;
        }
    }
    epb_unlock(EPB_LOCK_REAPING);
    return status;
}

/* Describing */

#if defined(__linux__)

/* Reads a file of /proc/PID; 0: there is none. */
static size_t
read_about(uint32_t pid, const char *name, char *out, size_t room)
{
    char path[64];
    size_t size = 0;
    ssize_t got = 0;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    do {
        got = read(fd, out + size, room - size);
        if (got > 0) {
            size += (size_t)got;
        }
    } while (size < room && (got > 0 || (got < 0 && errno == EINTR)));
    (void)close(fd);
    return size;
}

bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length)
{
    char stat[512];

    size_t size = read_about(pid, "stat", stat, sizeof(stat) - 1);

    stat[size] = '\0';
    /* The name in parentheses may contain anything, so parse after the last one: ") S
     * ppid". */
    const char *name_end = strrchr(stat, ')');
    if (name_end == NULL || strlen(name_end) < 5) {
        return false;
    }
    *parent = (uint32_t)strtoul(name_end + 4, NULL, 10);
    *length = read_about(pid, "cmdline", arguments, room);
    return true;
}

#else

bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length)
{
    (void)pid, (void)parent, (void)arguments, (void)room, (void)length;
    return false;
}

#endif

/* Watching */

#if defined(__linux__) && defined(SYS_pidfd_open)

static enum epb_proc_event
watch_poll(struct pollfd *polls, const uint32_t *pids, size_t count, uint32_t *died)
{
    for (;;) {
        if (poll(polls, (nfds_t)count + 1, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return EPB_PROC_UNSUPPORTED;
        }
        for (size_t i = 0; i < count; i++) {
            if (polls[i].revents != 0) {
                *died = pids[i];
                return EPB_PROC_DIED;
            }
        }
        return EPB_PROC_WOKEN;
    }
}

enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died)
{
    struct pollfd polls[EPB_PROC_WATCH_MAX + 1];
    enum epb_proc_event event;
    size_t opened = 0;

    EPB_ASSERT(count <= EPB_PROC_WATCH_MAX);
    while (opened < count) {
        /* pidfd_open sets close-on-exec. */
        int process = (int)syscall(SYS_pidfd_open, (pid_t)pids[opened], 0U);

        if (process < 0) {
            break;
        }
        polls[opened] = (struct pollfd){.fd = process, .events = POLLIN};
        opened++;
    }
    if (opened == count) {
        polls[count] = (struct pollfd){.fd = (int)wake, .events = POLLIN};
        event = watch_poll(polls, pids, count, died);
    } else if (errno == ESRCH) {
        *died = pids[opened];
        event = EPB_PROC_DIED;
    } else {
        event = EPB_PROC_UNSUPPORTED;
    }
    while (opened > 0) {
        opened--;
        close(polls[opened].fd);
    }
    return event;
}

#elif defined(__APPLE__)

static enum epb_proc_event
watch_queue(int queue, const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died)
{
    struct kevent event;
    int got;

    for (size_t i = 0; i < count; i++) {
        EV_SET(&event, pids[i], EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0, NULL);
        if (kevent(queue, &event, 1, NULL, 0, NULL) != 0) {
            *died = pids[i];
            return errno == ESRCH ? EPB_PROC_DIED : EPB_PROC_UNSUPPORTED;
        }
    }
    EV_SET(&event, (uintptr_t)wake, EVFILT_READ, EV_ADD, 0, 0, NULL);
    if (kevent(queue, &event, 1, NULL, 0, NULL) != 0) {
        return EPB_PROC_UNSUPPORTED;
    }
    do {
        got = kevent(queue, NULL, 0, &event, 1, NULL);
    } while (got < 0 && errno == EINTR);
    if (got < 1) {
        return EPB_PROC_UNSUPPORTED;
    }
    if (event.filter == EVFILT_READ) {
        return EPB_PROC_WOKEN;
    }
    *died = (uint32_t)event.ident;
    return EPB_PROC_DIED;
}

enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died)
{
    enum epb_proc_event event;
    int queue;

    EPB_ASSERT(count <= EPB_PROC_WATCH_MAX);
    queue = kqueue();
    if (queue < 0) {
        return EPB_PROC_UNSUPPORTED;
    }
    (void)fcntl(queue, F_SETFD, FD_CLOEXEC);
    event = watch_queue(queue, pids, count, wake, died);
    close(queue);
    return event;
}

#else

enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died)
{
    (void)pids;
    (void)count;
    (void)wake;
    (void)died;
    return EPB_PROC_UNSUPPORTED;
}

#endif
