/* See exit_hook.h. */
#include "exit_hook.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "../base/locks.h"
#include "../base/sys.h"

/* The signals that end a process by default, except SIGKILL, and except SIGPIPE, SIGALRM
 * and similar ones, which are always meant for a program that handles them. */
static const int fatal[] = {
    SIGHUP, SIGINT,  SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGABRT,
    SIGBUS, SIGSEGV, SIGFPE,  SIGILL,  SIGSYS,  SIGXCPU, SIGXFSZ,
};
#define FATAL_COUNT (sizeof(fatal) / sizeof(fatal[0]))

static void (*at_the_end)(void);
/* The previous action of each signal, which takes effect after ours. */
static struct sigaction actions[FATAL_COUNT];

static void
on_fatal(int number)
{
    int error = errno;

    for (size_t i = 0; i < FATAL_COUNT; i++) {
        if (fatal[i] == number) {
            (void)sigaction(number, &actions[i], NULL);
        }
    }
    at_the_end();
    /* Blocked until we return; then it ends the process. A sandboxed thread may signal
     * its process, but no single thread. */
    if (raise(number) != 0) {
        (void)kill((pid_t)epb_sys_pid(), number);
    }
    errno = error;
}

static bool
ends_process(const struct sigaction *action)
{
    if (action->sa_handler == SIG_DFL) {
        return true;
    }
    return action->sa_handler != SIG_IGN &&
           ((unsigned)action->sa_flags & (unsigned)SA_RESETHAND) != 0;
}

static void
watch(size_t index)
{
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = SA_ONSTACK};
    struct sigaction before;

    if (sigaction(fatal[index], NULL, &before) != 0 || !ends_process(&before)) {
        return;
    }
    actions[index] = before;
    (void)sigfillset(&action.sa_mask);
    (void)sigaction(fatal[index], &action, NULL);
}

void
epb_exit_hook_watch(void (*tidy)(void))
{
    epb_lock(EPB_LOCK_EXIT_HOOK);
    if (at_the_end == NULL) {
        at_the_end = tidy;
        (void)atexit(tidy);
    }
    for (size_t i = 0; i < FATAL_COUNT; i++) {
        watch(i);
    }
    epb_unlock(EPB_LOCK_EXIT_HOOK);
}
