/* See capture.h. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/mem.h"
#include "../os/fd.h"
#include "../os/oserror.h"
#include "run.h"

#define PIECE_BYTES ((size_t)64 * 1024)
#define SIGNAL_BASE 128

enum {
    READ_END,
    WRITE_END
};

static const int SIGNALS[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
#define SIGNAL_COUNT (sizeof(SIGNALS) / sizeof(SIGNALS[0]))

struct run {
    int output[2];
    int failure[2]; /* the errno of a failed exec; closed by a good one */
    struct sigaction before[SIGNAL_COUNT];
    sigset_t mask; /* before the fork */
    pid_t pid;
};

static volatile sig_atomic_t command_pid;

static void
pass_on(int number)
{
    int saved = errno;

    (void)kill((pid_t)command_pid, number);
    errno = saved;
}

/* Signals that were ignored stay so, for the command too. */
static void
guard_signals(struct run *run)
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        bool is_typed = SIGNALS[i] == SIGINT || SIGNALS[i] == SIGQUIT;
        struct sigaction action = {.sa_handler = is_typed ? SIG_IGN : pass_on,
                                   .sa_flags = SA_RESTART};
        (void)sigaction(SIGNALS[i], NULL, &run->before[i]);
        if (run->before[i].sa_handler != SIG_IGN) {
            (void)sigaction(SIGNALS[i], &action, NULL);
        }
    }
}

static void
restore_signals(const struct run *run)
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        (void)sigaction(SIGNALS[i], &run->before[i], NULL);
    }
    (void)sigprocmask(SIG_SETMASK, &run->mask, NULL);
}

/* In the child. The arena was wiped by the fork: nothing here uses it. */
_Noreturn static void
become(const struct run *run, char *const *command)
{
    int error = 0;

    restore_signals(run);
    if (dup2(run->output[WRITE_END], STDOUT_FILENO) >= 0) {
        (void)execvp(command[0], command);
    }
    error = errno;
    (void)!write(run->failure[WRITE_END], &error, sizeof(error));
    _exit(EPB_EXIT_START_FAILED);
}

static bool
open_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fcntl(ends[READ_END], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[WRITE_END], F_SETFD, FD_CLOEXEC);
    return true;
}

static int
no_room(int error)
{
    epb_cli_complain("no new process can be made (%s)",
                     epb_os_error_name(epb_os_error_from(error)));
    return EPB_EXIT_START_FAILED;
}

/* Signals wait until the child's id is known. */
static int
start(struct run *run, char *const *command)
{
    sigset_t all;

    if (!open_pipe(run->output)) {
        return no_room(errno);
    }
    if (!open_pipe(run->failure)) {
        int error = errno;
        epb_fd_close(run->output[READ_END]);
        epb_fd_close(run->output[WRITE_END]);
        return no_room(error);
    }
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &run->mask);
    guard_signals(run);
    run->pid = fork();
    int error = errno;
    if (run->pid == 0) {
        become(run, command);
    }
    command_pid = (sig_atomic_t)run->pid;
    (void)sigprocmask(SIG_SETMASK, &run->mask, NULL);
    epb_fd_close(run->output[WRITE_END]);
    epb_fd_close(run->failure[WRITE_END]);
    return run->pid < 0 ? no_room(error) : 0;
}

static ssize_t
read_some(int fd, void *memory, size_t size_bytes)
{
    ssize_t count;

    do {
        count = read(fd, memory, size_bytes);
    } while (count < 0 && errno == EINTR);
    return count;
}

/* Whether the command has begun; else complains. */
static int
await_exec(const struct run *run, const char *file)
{
    int error = 0;

    if (read_some(run->failure[READ_END], &error, sizeof(error)) != sizeof(error)) {
        return 0;
    }
    epb_cli_complain("%s: it can't be executed (%s)", file,
                     epb_os_error_name(epb_os_error_from(error)));
    return error == ENOENT ? 127 : 126;
}

/* Reads to the end. What does not fit is dropped, so that the command never waits. */
static void
collect(const struct run *run, struct epb_capture *capture)
{
    static uint8_t piece[PIECE_BYTES];
    ssize_t count;

    while ((count = read_some(run->output[READ_END], piece, sizeof(piece))) > 0) {
        if (epb_buf_append(capture->out, piece, (size_t)count) != EPB_OK) {
            capture->overflowed = true;
        }
    }
    epb_mem_wipe(piece, sizeof(piece));
}

static int
reap(const struct run *run)
{
    int ended = 0;
    pid_t pid;

    do {
        pid = waitpid(run->pid, &ended, 0);
    } while (pid < 0 && errno == EINTR);
    if (pid < 0) {
        return EPB_EXIT_START_FAILED;
    }
    return WIFSIGNALED(ended) ? SIGNAL_BASE + WTERMSIG(ended) : WEXITSTATUS(ended);
}

int
epb_capture_run(char *const *command, epb_capture_started_fn on_started, void *context,
                struct epb_capture *capture)
{
    struct run run;
    int status = start(&run, command);

    if (status != 0) {
        return status;
    }
    status = await_exec(&run, command[0]);
    if (status == 0) {
        on_started(context);
        collect(&run, capture);
    }
    capture->status = reap(&run);
    restore_signals(&run);
    epb_fd_close(run.output[READ_END]);
    epb_fd_close(run.failure[READ_END]);
    return status;
}
