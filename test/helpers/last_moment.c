/*
 * Stops a process in its last moment (SIGSTOP), so that what is left in its memory can be
 * looked at; it ends when it is continued. A library to be preloaded (LD_PRELOAD; Linux).
 *
 * That moment is the end of exit(), _exit() of a process that is no child of the first
 * one's, or just before the process sends a signal to itself.
 * The commands that it starts are left alone.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the process that was started. */
static pid_t first;

__attribute__((constructor)) static void
begin(void)
{
    (void)unsetenv("LD_PRELOAD");
    first = getpid();
}

__attribute__((destructor)) static void
end(void)
{
    (void)raise(SIGSTOP);
}

int
kill(pid_t pid, int signal_number)
{
    static int (*real)(pid_t, int);

    if (real == NULL) {
        real = (int (*)(pid_t, int))dlsym(RTLD_NEXT, "kill");
    }
    if (pid == getpid() && signal_number != 0) {
        (void)raise(SIGSTOP);
    }
    return real(pid, signal_number);
}

/* A companion ends by this; the child in between, which made it, is left alone. */
_Noreturn void
_exit(int status)
{
    if (getpid() != first && getppid() != first) {
        (void)raise(SIGSTOP);
    }
    for (;;) {
        (void)syscall(SYS_exit_group, status);
    }
}
