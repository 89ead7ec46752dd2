/*
 * See syscall_filter.h. The program is a list of blocks, one for each call:
 *
 *     if (number == N) { check an argument; return }
 *
 * A block never jumps out, so that no jump is long. The calls that serve a request come
 * first. The kernel's structures and constants are defined here, because the headers of
 * some C libraries lack them.
 */
#include "syscall_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/status.h"
#include "../base/sys.h"

#if defined(__x86_64__)
#define THIS_ABI 0xc000003eU
#define OTHER_ABI_BIT 0x40000000U /* x32 */
#elif defined(__aarch64__)
#define THIS_ABI 0xc00000b7U
#endif

#if defined(THIS_ABI)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#endif

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_rseq
#if defined(__x86_64__)
#define SYS_rseq 334
#else
#define SYS_rseq 293
#endif
#endif

/* A step of a program of the classic Berkeley packet filter. */
struct step {
    uint16_t code;
    uint8_t if_true; /* steps to skip */
    uint8_t if_false;
    uint32_t value;
};

/* struct sock_fprog, which the kernel reads. */
struct program {
    uint16_t length;
    struct step *steps;
};

#define STEPS_MAX 256U
struct draft {
    size_t length;
    struct step steps[STEPS_MAX];
};

#define LOAD_WORD 0x20U  /* BPF_LD | BPF_W | BPF_ABS */
#define AND 0x54U        /* BPF_ALU | BPF_AND | BPF_K */
#define JUMP_EQUAL 0x15U /* BPF_JMP | BPF_JEQ | BPF_K */
#define JUMP_BITS 0x45U  /* BPF_JMP | BPF_JSET | BPF_K */
#define RETURN 0x06U     /* BPF_RET | BPF_K */

/* Offsets in struct seccomp_data. Both platforms are little-endian. */
#define AT_NUMBER 0U
#define AT_ABI 4U
#define AT_ARGUMENT(index) (16U + 8U * (uint32_t)(index))
#define AT_UPPER_HALF(index) (AT_ARGUMENT(index) + 4U)

#define ALLOW 0x7fff0000U
#define REFUSE (0x00050000U | EPERM)
#define UNKNOWN_CALL (0x00050000U | ENOSYS)
#define END_PROCESS 0x80000000U

#define SET_MODE_FILTER 1U
#define GET_ACTION_AVAILABLE 2U
/* Keeps the processor's speculation as it is, which otherwise slows down old kernels. */
#define FLAG_SPECULATE 4U

enum check {
    CHECK_NOTHING,
    CHECK_ONE_OF,  /* the argument is one of the values */
    CHECK_NO_BITS, /* the argument has no bit of the first value */
    CHECK_MASKED,  /* the argument without the bits of the second value is the first */
    CHECK_NULL     /* the argument is a null pointer */
};

#define VALUES_MAX 8U
_Static_assert(VALUES_MAX >= EPB_SYSCALL_FILTER_PIDFDS_MAX, "room for the descriptors");

struct rule {
    uint32_t call;
    enum check check;
    uint8_t argument;
    uint8_t count; /* of values, for CHECK_ONE_OF */
    uint32_t values[VALUES_MAX];
};

#define CALL(name)         \
    {                      \
        .call = SYS_##name \
    }

/* The flags of a new thread: those of glibc and, with the obsolete CLONE_DETACHED, those
 * of musl. */
#define THREAD_FLAGS                                                                    \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define DETACHED 0x00400000U

static const struct rule rules[] = {
    /* A request and its reply. */
    CALL(epoll_pwait),
    CALL(read),
    CALL(write),
    CALL(sched_yield),
    CALL(recvmsg),
    CALL(sendmsg),
    CALL(futex),
    CALL(clock_gettime),
    CALL(epoll_ctl),
    CALL(timerfd_settime),
#ifdef SYS_poll
    CALL(poll),
#else
    CALL(ppoll),
#endif
    /* Connections. */
    CALL(accept4),
    CALL(getsockopt),
    CALL(shutdown),
    CALL(close),
    CALL(pipe2),
    {.call = SYS_fcntl,
     .check = CHECK_ONE_OF,
     .argument = 1,
     .count = 5,
     .values = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_SETPIPE_SZ}},
    {.call = SYS_ioctl,
     .check = CHECK_ONE_OF,
     .argument = 1,
     .count = 2,
     .values = {FIONREAD, FIONBIO}},
    /* Memory and limits. */
    {.call = SYS_mmap,
     .check = CHECK_NO_BITS,
     .argument = 2,
     .values = {(uint32_t)PROT_EXEC}},
    CALL(munmap),
    {.call = SYS_mprotect,
     .check = CHECK_NO_BITS,
     .argument = 2,
     .values = {(uint32_t)PROT_EXEC}},
    CALL(madvise),
    CALL(getrandom),
    {.call = SYS_prlimit64, .check = CHECK_NULL, .argument = 2},
    /* The scheduler, for the calling thread. */
    {.call = SYS_sched_getattr, .check = CHECK_ONE_OF, .argument = 0, .count = 1},
    {.call = SYS_sched_setattr, .check = CHECK_ONE_OF, .argument = 0, .count = 1},
    /* Threads. */
    {.call = SYS_clone,
     .check = CHECK_MASKED,
     .argument = 0,
     .values = {(uint32_t)THREAD_FLAGS, DETACHED}},
    CALL(rt_sigprocmask),
    CALL(exit),
#ifdef __GLIBC__
    CALL(rseq),
#endif
    /* The end: the names are removed. */
    CALL(newfstatat),
#if !defined(__GLIBC__) && defined(SYS_lstat)
    CALL(lstat),
#endif
    CALL(unlinkat),
    CALL(rt_sigaction),
    CALL(rt_sigreturn),
    CALL(restart_syscall),
    CALL(exit_group),
};

static const struct rule secret_memory[] = {CALL(memfd_secret), CALL(ftruncate)};
static const struct rule locked_memory[] = {CALL(mlock)};

#ifdef WITH_SANITIZER
/* The sanitizers' own, when a thread begins or ends. */
static const struct rule of_sanitizers[] = {CALL(sigaltstack), CALL(sched_getaffinity),
                                            CALL(gettid), CALL(getpid),
                                            CALL(set_robust_list)};
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* With the two for signals. */
#define CALL_COUNT (COUNT_OF(rules) + COUNT_OF(secret_memory) + 2U)
_Static_assert(COUNT_OF(secret_memory) >= COUNT_OF(locked_memory), "the larger set");
_Static_assert(CALL_COUNT <= EPB_SYSCALL_FILTER_CALLS_MAX, "as few calls as promised");

static void
add(struct draft *draft, uint32_t code, uint32_t value, size_t if_true, size_t if_false)
{
    EPB_ASSERT(draft->length < STEPS_MAX && if_true <= UINT8_MAX &&
               if_false <= UINT8_MAX);
    draft->steps[draft->length++] = (struct step){.code = (uint16_t)code,
                                                  .if_true = (uint8_t)if_true,
                                                  .if_false = (uint8_t)if_false,
                                                  .value = value};
}

/* Skips the refusal that follows when the loaded word is one of the values. */
static void
add_one_of(struct draft *draft, const struct rule *rule)
{
    for (size_t i = 0; i < rule->count; i++) {
        add(draft, JUMP_EQUAL, rule->values[i], rule->count - i, 0);
    }
}

/* Each check ends before a refusal and a permission: it falls through or skips one. */
static void
add_check(struct draft *draft, const struct rule *rule)
{
    add(draft, LOAD_WORD, AT_ARGUMENT(rule->argument), 0, 0);
    switch (rule->check) {
    case CHECK_ONE_OF:
        add_one_of(draft, rule);
        break;
    case CHECK_NO_BITS:
        add(draft, JUMP_BITS, rule->values[0], 0, 1);
        break;
    case CHECK_MASKED:
        add(draft, AND, ~rule->values[1], 0, 0);
        add(draft, JUMP_EQUAL, rule->values[0], 1, 0);
        break;
    case CHECK_NULL:
        add(draft, JUMP_EQUAL, 0, 0, 2);
        add(draft, LOAD_WORD, AT_UPPER_HALF(rule->argument), 0, 0);
        add(draft, JUMP_EQUAL, 0, 1, 0);
        break;
    case CHECK_NOTHING:
        break;
    }
    add(draft, RETURN, REFUSE, 0, 0);
}

static void
add_rule(struct draft *draft, const struct rule *rule)
{
    size_t start = draft->length;

    add(draft, JUMP_EQUAL, rule->call, 0, 0);
    if (rule->check != CHECK_NOTHING) {
        add_check(draft, rule);
    }
    add(draft, RETURN, ALLOW, 0, 0);
    draft->steps[start].if_false = (uint8_t)(draft->length - start - 1);
}

static void
add_beginning(struct draft *draft)
{
    add(draft, LOAD_WORD, AT_ABI, 0, 0);
    add(draft, JUMP_EQUAL, THIS_ABI, 1, 0);
    add(draft, RETURN, END_PROCESS, 0, 0);
    add(draft, LOAD_WORD, AT_NUMBER, 0, 0);
#ifdef OTHER_ABI_BIT
    add(draft, JUMP_BITS, OTHER_ABI_BIT, 0, 1);
    add(draft, RETURN, END_PROCESS, 0, 0);
#endif
}

/* Signals go to this process and to the given processes only. */
static void
add_signals(struct draft *draft, const int *pidfds, size_t pidfd_count)
{
    struct rule own = {.call = SYS_kill,
                       .check = CHECK_ONE_OF,
                       .argument = 0,
                       .count = 1,
                       .values = {epb_sys_pid()}}; /* known from now on */
    struct rule others = {.call = SYS_pidfd_send_signal,
                          .check = CHECK_ONE_OF,
                          .argument = 0,
                          .count = (uint8_t)pidfd_count};

    add_rule(draft, &own);
    for (size_t i = 0; i < pidfd_count; i++) {
        others.values[i] = (uint32_t)pidfds[i];
    }
    if (pidfd_count != 0) {
        add_rule(draft, &others);
    }
}

/* The flags of clone3 lie in memory, which a filter can't read. A C library that finds no
 * such call uses clone. */
static void
add_end(struct draft *draft)
{
    add(draft, JUMP_EQUAL, SYS_clone3, 0, 1);
    add(draft, RETURN, UNKNOWN_CALL, 0, 0);
    add(draft, RETURN, REFUSE, 0, 0);
}

bool
epb_syscall_filter_supported(void)
{
    uint32_t action = END_PROCESS;

    return syscall(SYS_seccomp, GET_ACTION_AVAILABLE, 0, &action) == 0;
}

static void
add_rules(struct draft *draft, const struct rule *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_rule(draft, &list[i]);
    }
}

static void
add_all(struct draft *draft, const struct epb_syscall_filter *filter)
{
    add_beginning(draft);
    add_rules(draft, rules, COUNT_OF(rules));
    if (filter->secret_memory) {
        add_rules(draft, secret_memory, COUNT_OF(secret_memory));
    } else {
        add_rules(draft, locked_memory, COUNT_OF(locked_memory));
    }
#ifdef WITH_SANITIZER
    add_rules(draft, of_sanitizers, COUNT_OF(of_sanitizers));
#endif
    add_signals(draft, filter->pidfds, filter->pidfd_count);
    add_end(draft);
}

bool
epb_syscall_filter_install(const struct epb_syscall_filter *filter)
{
    struct draft draft = {.length = 0};

    EPB_ASSERT(filter->pidfd_count <= EPB_SYSCALL_FILTER_PIDFDS_MAX);
    add_all(&draft, filter);
    struct program program = {.length = (uint16_t)draft.length, .steps = draft.steps};
    return syscall(SYS_seccomp, SET_MODE_FILTER, FLAG_SPECULATE, &program) == 0;
}

size_t
epb_syscall_filter_calls(void)
{
    return CALL_COUNT;
}

#else

bool
epb_syscall_filter_supported(void)
{
    return false;
}

bool
epb_syscall_filter_install(const struct epb_syscall_filter *filter)
{
    (void)filter;
    return false;
}

size_t
epb_syscall_filter_calls(void)
{
    return 0;
}

#endif
