/*
 * The system calls of a sandboxed thread: a seccomp filter (Linux, x86-64 and arm64).
 *
 * The filter allows at most EPB_SYSCALL_FILTER_CALLS_MAX system calls, some with certain
 * arguments only. Any other call fails with EPERM and does nothing. It does not end the
 * process: libraries probe for system calls, and a broker that ended there would take
 * everyone's data along. The one exception is a call in another ABI (32-bit, x32): no
 * part of the program makes any, so the process ends.
 *
 * Linux evaluates the filter once for each call without an argument check and remembers
 * the answer (5.11 and later). So only calls with argument checks run the program.
 */
#ifndef EPB_OS_SYSCALL_FILTER_H
#define EPB_OS_SYSCALL_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"

#define EPB_SYSCALL_FILTER_CALLS_MAX 40U
#define EPB_SYSCALL_FILTER_PIDFDS_MAX 8U

struct epb_syscall_filter {
    bool secret_memory; /* the process maps secret memory, and locks none (sys.h) */
    const int *pidfds;  /* processes that may be signalled */
    size_t pidfd_count; /* at most EPB_SYSCALL_FILTER_PIDFDS_MAX */
};

/* Whether this system has such filters. */
bool
epb_syscall_filter_supported(void);
/* Installs a filter on the calling thread and on all threads that it will start, for
 * good. The thread has set no_new_privs. False: the system refuses. */
EPB_MUST_USE bool
epb_syscall_filter_install(const struct epb_syscall_filter *filter);
/* The number of system calls that a filter allows at most. */
size_t
epb_syscall_filter_calls(void);

#endif
