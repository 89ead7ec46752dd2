/*
 * Starting a command, waiting for it, signalling it, and watching other processes end.
 * proc_posix.c and proc_win.c implement it.
 *
 * Descriptors made here are closed on exec. All functions are thread-safe.
 */
#ifndef EPB_BASE_PROC_H
#define EPB_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct epb_spawn {
    const char *file; /* with a slash: a path; else looked up in the PATH of `envp` */
    const char *const *argv; /* argv[0] included, NULL at the end */
    const char *const *envp; /* "NAME=value", NULL at the end */
    const char *cwd;         /* NULL: the caller's */
    bool new_group;          /* a process group of its own */
};

/*
 * Starts a command with this process's stdin, stdout and stderr, an empty signal mask and
 * default signal handling. *os_error is 0, or the system's number (ENOENT: no such file,
 * EACCES: not executable); then the status is EPB_NOT_FOUND when there is no such file,
 * else EPB_INTERNAL.
 *
 * Linux: when the calling *thread* ends, the command gets SIGTERM. So call it on a thread
 * that lives as long as the command. Windows: the command ends with this process.
 */
EPB_MUST_USE enum epb_status
epb_proc_spawn(const struct epb_spawn *spec, uint32_t *pid, int *os_error);

/* Waits until the command has ended, and forgets it: its number may belong to another
 * process afterwards. Exactly one of the two is set: *exit_status to 0 or more,
 * *term_signal to 1 or more; the other is -1. Once a command. */
EPB_MUST_USE enum epb_status
epb_proc_wait(uint32_t pid, int *exit_status, int *term_signal);

/* Signals the command, or (`group`) all of the group that new_group made. EPB_NOT_FOUND
 * when it has been waited for: never reaches another process that got its number.
 * Windows: any signal ends it. */
EPB_MUST_USE enum epb_status
epb_proc_kill(uint32_t pid, bool group, int signal_number);

/* Who started a process, and its arguments as one text, each ended by a NUL: *length
 * bytes of it, at most `room`. Linux; elsewhere, and of a process that is not there,
 * false. */
EPB_MUST_USE bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length);

#define EPB_PROC_WATCH_MAX 16U

enum epb_proc_event {
    EPB_PROC_DIED,       /* one of them has ended */
    EPB_PROC_WOKEN,      /* the wake handle became ready */
    EPB_PROC_UNSUPPORTED /* the system can't tell (Linux before 5.3), or refused */
};

/* Blocks until one of the processes has ended, or one is not there to begin with, or
 * `wake` is readable (a descriptor; Windows: an event). They need not be children.
 * `count` is at most EPB_PROC_WATCH_MAX. */
enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died);

#endif
