/*
 * A thread gives up, for good, what it doesn't need (Linux).
 *
 * A broker needs its open descriptors, memory and clocks. So once it listens:
 *
 * - no file can be opened, read, made, truncated or executed by its name, and no name can
 *   be removed except from the folder of the socket (Landlock, Linux 5.13 and later);
 * - no TCP port can be bound or connected to (Landlock ABI 4), no abstract socket can be
 *   connected to, and no process outside can be signalled (ABI 6);
 * - at most EPB_SYSCALL_FILTER_CALLS_MAX system calls remain (syscall_filter.h): none of
 *   them opens, connects, executes, traces, forks, or maps executable memory;
 * - no privileges can be gained (no_new_privs).
 *
 * A thread enters by itself. Landlock confines only the calling thread, and a filter for
 * all threads would need them to be equal. Threads that it starts later are confined as
 * well. The engine's thread enters before it serves its first connection (server.h); the
 * thread that started the server enters when it has said that the broker is ready.
 *
 * A kernel without one of the two parts gives the other. Without Landlock, a name can be
 * removed from any folder.
 *
 * A process that must start others cannot enter. A broker that has to start plugin hosts
 * again leaves that to a small process, forked before the broker makes its arena and
 * asked over a socket pair: it holds no key, no value and no secret.
 */
#ifndef EPB_OS_SANDBOX_H
#define EPB_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"
#include "syscall_filter.h"

/* What the thread keeps. */
struct epb_sandbox {
    const char *socket_path; /* names in its folder may be removed; NULL: none */
    const int *pidfds;       /* processes that may be signalled */
    size_t pidfd_count;      /* at most EPB_SYSCALL_FILTER_PIDFDS_MAX */
};

struct epb_sandbox_parts {
    bool files;   /* Landlock */
    bool signals; /* Landlock's scopes; never with pidfds, which lie outside */
    bool calls;   /* seccomp */
};

#ifdef __linux__

/* Confines the calling thread as far as the kernel allows. Returns the parts in force. */
struct epb_sandbox_parts
epb_sandbox_enter(const struct epb_sandbox *sandbox);
/* The parts that this kernel has. Changes nothing. */
struct epb_sandbox_parts
epb_sandbox_supported(void);

#else

static inline struct epb_sandbox_parts
epb_sandbox_enter(const struct epb_sandbox *sandbox)
{
    (void)sandbox;
    return (struct epb_sandbox_parts){false, false, false};
}

static inline struct epb_sandbox_parts
epb_sandbox_supported(void)
{
    return (struct epb_sandbox_parts){false, false, false};
}

#endif
#endif
