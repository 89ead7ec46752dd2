/* What a sandboxed thread tries in vain, each a system call as an attacker would make it.
 * An attempt that succeeds does no harm. */
#ifndef EPB_TEST_FORBIDDEN_H
#define EPB_TEST_FORBIDDEN_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Made before the sandbox is entered. */
struct forbidden {
    char file[128]; /* of this user, outside of the socket's folder */
    int socket;     /* not connected */
    int log;        /* open for writing */
    int pidfd;      /* of `victim`, and not among those that may be signalled */
    pid_t victim;   /* a process of this user */
    uint8_t *page;  /* of memory */
};

typedef long (*forbidden_fn)(const struct forbidden *with);

static inline long
try_open(const struct forbidden *with)
{
    return syscall(SYS_openat, AT_FDCWD, with->file, O_RDONLY, 0);
}

static inline long
try_create(const struct forbidden *with)
{
    char name[160];

    (void)snprintf(name, sizeof(name), "%s.new", with->file);
    return syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT, 0600);
}

static inline long
try_socket(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

static inline long
try_connect(const struct forbidden *with)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};

    return syscall(SYS_connect, with->socket, &to, sizeof(to));
}

static inline long
try_exec(const struct forbidden *with)
{
    char *const argv[] = {"true", NULL};

    (void)with;
    return syscall(SYS_execve, "/bin/true", argv, argv + 1);
}

static inline long
try_trace(const struct forbidden *with)
{
    return syscall(SYS_ptrace, PTRACE_SEIZE, with->victim, NULL, NULL);
}

static inline long
try_kill(const struct forbidden *with)
{
    return syscall(SYS_kill, with->victim, 0);
}

static inline long
try_pidfd_signal(const struct forbidden *with)
{
    return syscall(SYS_pidfd_send_signal, with->pidfd, 0, NULL, 0);
}

static inline long
try_pidfd_open(const struct forbidden *with)
{
    return syscall(SYS_pidfd_open, with->victim, 0);
}

/* The flags are those of fork, alone and in the structure of clone3. */
static inline long
try_fork(const struct forbidden *with)
{
    long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    (void)with;
    if (child == 0) {
        _exit(0);
    }
    return child;
}

static inline long
try_clone3(const struct forbidden *with)
{
    uint64_t arguments[11] = {[4] = SIGCHLD};
    long child = syscall(SYS_clone3, arguments, sizeof(arguments));

    (void)with;
    if (child == 0) {
        _exit(0);
    }
    return child;
}

static inline long
try_mount(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL);
}

static inline long
try_unshare(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_unshare, CLONE_NEWUSER);
}

static inline long
try_mprotect_exec(const struct forbidden *with)
{
    return syscall(SYS_mprotect, with->page, 4096, PROT_READ | PROT_EXEC);
}

static inline long
try_mmap_exec(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static inline long
try_read_process(const struct forbidden *with)
{
    return syscall(SYS_process_vm_readv, with->victim, NULL, 0, NULL, 0, 0);
}

static inline long
try_io_uring(const struct forbidden *with)
{
    uint8_t parameters[120] = {0};

    (void)with;
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static inline long
try_bpf(const struct forbidden *with)
{
    uint8_t attributes[64] = {0};

    (void)with;
    return syscall(SYS_bpf, 0, attributes, sizeof(attributes));
}

static inline long
try_keyctl(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_keyctl, 0, -3, 0);
}

static inline long
try_remove(const struct forbidden *with)
{
    return syscall(SYS_unlinkat, AT_FDCWD, with->file, 0);
}

static inline long
try_rename(const struct forbidden *with)
{
    return syscall(SYS_renameat2, AT_FDCWD, with->file, AT_FDCWD, with->file, 0);
}

static inline long
try_copy_descriptor(const struct forbidden *with)
{
    return syscall(SYS_fcntl, with->log, F_DUPFD, 0);
}

static inline long
try_owner_of_signals(const struct forbidden *with)
{
    return syscall(SYS_fcntl, with->log, F_SETOWN, with->victim);
}

static inline long
try_ioctl(const struct forbidden *with)
{
    return syscall(SYS_ioctl, with->log, TIOCSTI, "x");
}

static inline long
try_limit(const struct forbidden *with)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    (void)with;
    return syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL);
}

static inline long
try_dumpable(const struct forbidden *with)
{
    (void)with;
    return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static const struct {
    const char *name;
    forbidden_fn attempt;
} FORBIDDEN[] = {
    {"open", try_open},
    {"create", try_create},
    {"socket", try_socket},
    {"connect", try_connect},
    {"exec", try_exec},
    {"trace", try_trace},
    {"kill", try_kill},
    {"signal by a pidfd", try_pidfd_signal},
    {"open a pidfd", try_pidfd_open},
    {"fork", try_fork},
    {"clone3", try_clone3},
    {"mount", try_mount},
    {"unshare", try_unshare},
    {"mprotect to executable", try_mprotect_exec},
    {"mmap of executable memory", try_mmap_exec},
    {"read another process", try_read_process},
    {"io_uring", try_io_uring},
    {"bpf", try_bpf},
    {"keyctl", try_keyctl},
    {"remove a file", try_remove},
    {"rename a file", try_rename},
    {"copy a descriptor", try_copy_descriptor},
    {"own a descriptor's signals", try_owner_of_signals},
    {"ioctl", try_ioctl},
    {"raise a limit", try_limit},
    {"become dumpable", try_dumpable},
};

#define FORBIDDEN_COUNT (sizeof(FORBIDDEN) / sizeof(FORBIDDEN[0]))

/* EACCES is Landlock's refusal, ENOSYS that of clone3. */
static inline bool
is_refused(long result)
{
    return result == -1 && (errno == EPERM || errno == EACCES || errno == ENOSYS);
}

/* Tries everything. Returns the name of the first attempt that was not refused, or
 * NULL. */
static inline const char *
forbidden_first_success(const struct forbidden *with)
{
    for (size_t i = 0; i < FORBIDDEN_COUNT; i++) {
        if (!is_refused(FORBIDDEN[i].attempt(with))) {
            return FORBIDDEN[i].name;
        }
    }
    return NULL;
}

/* False: something could not be made. */
static inline bool
forbidden_begin(struct forbidden *with, const char *folder, pid_t victim)
{
    *with = (struct forbidden){.victim = victim};
    (void)snprintf(with->file, sizeof(with->file), "%s/kept", folder);
    with->log = open(with->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    with->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    with->pidfd = (int)syscall(SYS_pidfd_open, victim, 0);
    with->page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return with->log >= 0 && with->socket >= 0 && with->pidfd >= 0 &&
           with->page != MAP_FAILED;
}

static inline void
forbidden_end(struct forbidden *with)
{
    (void)unlink(with->file);
    close(with->log);
    close(with->socket);
    close(with->pidfd);
    (void)munmap(with->page, 4096);
}

#endif
