/*
 * Starting a command, waiting for it, signalling it, and watching other processes end.
 * Implemented by proc_posix.c and proc_win.c.
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
    const char *file;        /* contains a slash: a path; else found by PATH of `envp` */
    const char *const *argv; /* includes argv[0], ends with NULL */
    const char *const *envp; /* "NAME=value", ends with NULL */
    const char *cwd;         /* NULL: the caller's */
    bool new_group;          /* make a new process group */
};

/*
 * Starts a command with this process's stdin, stdout and stderr, an empty signal mask and
 * default signal handling. *os_error is 0 or the system's error number (ENOENT: no such
 * file, EACCES: not executable). With an error number, the status is EPB_NOT_FOUND when
 * there is no such file, else EPB_INTERNAL.
 *
 * Linux: the command gets SIGTERM when the calling *thread* ends. Call this on a thread
 * that lives as long as the command. Windows: the command ends with this process.
 */
EPB_MUST_USE enum epb_status
epb_proc_spawn(const struct epb_spawn *spec, uint32_t *pid, int *os_error);

/* Waits until the command has ended, and releases its process id, which may afterwards
 * belong to another process. Sets exactly one of *exit_status (0 or more) and
 * *term_signal (1 or more); the other is -1. Call once a command. */
EPB_MUST_USE enum epb_status
epb_proc_wait(uint32_t pid, int *exit_status, int *term_signal);

/* Signals the command or, with `group`, the whole group that new_group made.
 * EPB_NOT_FOUND after epb_proc_wait: a signal never reaches another process that has the
 * same id. Windows: any signal ends the command. */
EPB_MUST_USE enum epb_status
epb_proc_kill(uint32_t pid, bool group, int signal_number);

/* The parent of a process, and the process's arguments as one text, each ended by a NUL.
 * Writes *length bytes, at most `room`. False when there is no such process, and on
 * systems other than Linux. */
EPB_MUST_USE bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length);

#define EPB_PROC_WATCH_MAX 16U

enum epb_proc_event {
    EPB_PROC_DIED,       /* one of the processes has ended */
    EPB_PROC_WOKEN,      /* the wake handle became ready */
    EPB_PROC_UNSUPPORTED /* not possible (Linux before 5.3), or refused */
};

/* Blocks until one of the processes has ended, one did not exist at the call, or `wake`
 * is readable (a descriptor; Windows: an event). The processes need not be children.
 * `count` is at most EPB_PROC_WATCH_MAX. */
enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died);

#endif
