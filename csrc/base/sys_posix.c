/*
 * Linux and macOS.
 *
 * A mapping consists of a guard page, a body at a multiple of EPB_SYS_MAP_ALIGN_BYTES,
 * and a guard page. More memory than needed is reserved without access; the excess is
 * unmapped, and only the body is made accessible.
 */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif

#include "locks.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <mach/vm_inherit.h>
#include <sys/random.h>
/* Some macOS headers lack <sys/ptrace.h>. */
int
ptrace(int request, pid_t pid, char *address, int data);
#define PT_DENY_ATTACH 31
#endif

#if defined(__APPLE__)
/* macOS: CLOCK_MONOTONIC counts sleep, CLOCK_UPTIME_RAW does not. */
#define BOOT_CLOCK CLOCK_MONOTONIC
#define AWAKE_CLOCK CLOCK_UPTIME_RAW
#else
#define BOOT_CLOCK CLOCK_BOOTTIME
#define AWAKE_CLOCK CLOCK_MONOTONIC
#endif

/* getentropy's bound; signals do not interrupt a request of this size either. */
#define RANDOM_PIECE_BYTES ((size_t)256)

static uint64_t
clock_ms(clockid_t clock)
{
    struct timespec span;
    int failed = clock_gettime(clock, &span);

    EPB_ASSERT(!failed);
    return (uint64_t)span.tv_sec * 1000U + (uint64_t)span.tv_nsec / 1000000U;
}

void
epb_sys_now(struct epb_time *now)
{
    now->boot_ms = clock_ms(BOOT_CLOCK);
    now->mono_ms = clock_ms(AWAKE_CLOCK);
    now->wall_ms = clock_ms(CLOCK_REALTIME);
}

uint64_t
epb_sys_ticks_ns(void)
{
    struct timespec span;
    int failed = clock_gettime(AWAKE_CLOCK, &span);

    EPB_ASSERT(!failed);
    return (uint64_t)span.tv_sec * 1000000000U + (uint64_t)span.tv_nsec;
}

/* For kernels without the system call, and sandboxes that forbid it. */
static enum epb_status
random_from_device(uint8_t *out, size_t size_bytes)
{
    int device;

    do {
        device = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    } while (device < 0 && errno == EINTR);
    if (device < 0) {
        return EPB_INTERNAL;
    }
    while (size_bytes > 0) {
        ssize_t got = read(device, out, size_bytes);

        if (got > 0) {
            out += got;
            size_bytes -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    close(device);
    return size_bytes == 0 ? EPB_OK : EPB_INTERNAL;
}

static bool
random_piece(uint8_t *out, size_t size_bytes)
{
#if defined(__linux__)
    ssize_t got;

    do {
        got = getrandom(out, size_bytes, 0);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)size_bytes;
#else
    return getentropy(out, size_bytes) == 0;
#endif
}

enum epb_status
epb_sys_random(void *out, size_t size_bytes)
{
    uint8_t *at = out;

    while (size_bytes > 0) {
        size_t piece_bytes =
            size_bytes < RANDOM_PIECE_BYTES ? size_bytes : RANDOM_PIECE_BYTES;

        if (!random_piece(at, piece_bytes)) {
            return random_from_device(at, size_bytes);
        }
        at += piece_bytes;
        size_bytes -= piece_bytes;
    }
    return EPB_OK;
}

void
epb_sys_yield(void)
{
    sched_yield();
}

#if defined(__linux__)

/* The first version of the kernel's struct sched_attr, which C libraries lack. */
struct scheduling {
    uint32_t size_bytes;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* the slice, for SCHED_OTHER and SCHED_BATCH */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static bool
read_scheduling(struct scheduling *scheduling)
{
    /* Valgrind assumes that the kernel reads the size. */
    *scheduling = (struct scheduling){.size_bytes = sizeof(*scheduling)};
    return syscall(SYS_sched_getattr, 0, scheduling, sizeof(*scheduling), 0) == 0 &&
           (scheduling->policy == SCHED_OTHER || scheduling->policy == SCHED_BATCH);
}

uint64_t
epb_sys_slice_ns(void)
{
    struct scheduling scheduling;

    return read_scheduling(&scheduling) ? scheduling.runtime_ns : 0;
}

bool
epb_sys_set_slice(uint64_t slice_ns)
{
    struct scheduling scheduling;

    if (!read_scheduling(&scheduling)) {
        return false;
    }
    scheduling.runtime_ns = slice_ns;
    return syscall(SYS_sched_setattr, 0, &scheduling, 0) == 0;
}

unsigned
epb_sys_processors(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return errno == EINVAL ? CPU_SETSIZE : 1; /* more CPUs than a set holds */
    }
    return (unsigned)CPU_COUNT(&allowed);
}

#endif

size_t
epb_sys_page_bytes(void)
{
    long page_bytes = sysconf(_SC_PAGESIZE);

    return page_bytes < 1 ? 4096U : (size_t)page_bytes;
}

static size_t
whole_pages(size_t size_bytes, size_t page_bytes)
{
    return (size_bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/* Best effort: an older kernel supports only some of these. */
static void
keep_private(void *pages, size_t size_bytes)
{
#if defined(MADV_DONTDUMP)
    (void)madvise(pages, size_bytes, MADV_DONTDUMP);
#endif
#if defined(MADV_WIPEONFORK)
    (void)madvise(pages, size_bytes, MADV_WIPEONFORK);
#endif
#if defined(__APPLE__)
    (void)minherit(pages, size_bytes, VM_INHERIT_NONE);
#endif
    (void)pages;
    (void)size_bytes;
}

static bool
lock_pages(void *pages, size_t size_bytes)
{
#if defined(__linux__)
    /* Not mlock(): sanitizers replace it by a function that does nothing. */
    return syscall(SYS_mlock, pages, size_bytes) == 0;
#else
    return mlock(pages, size_bytes) == 0;
#endif
}

#if defined(__linux__)

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static bool uses_secret_memory;

/* A descriptor, which need not stay open; -1: the system has no secret memory, or is out
 * of descriptors. */
static int
open_secret(void)
{
    return (int)syscall(SYS_memfd_secret, (unsigned long)O_CLOEXEC);
}

bool
epb_sys_use_secret_memory(void)
{
    int fd = open_secret();

    uses_secret_memory = fd >= 0;
    if (fd >= 0) {
        close(fd);
    }
    return uses_secret_memory;
}

bool
epb_sys_has_secret_memory(void)
{
    return uses_secret_memory;
}

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Whether the limit of locked memory leaves room. Many kernels unmap what lies at a fixed
 * place before they refuse. */
static bool
has_room_for_secret(int fd, size_t size_bytes)
{
    void *trial = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return trial != MAP_FAILED && munmap(trial, size_bytes) == 0;
}

/* Fills the hole that a refused mapping may have left. */
static void
reserve_again(void *pages, size_t size_bytes)
{
    (void)mmap(pages, size_bytes, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* Replaces reserved pages by secret memory. Each mapping has a file of its own, which
 * ends with it: pages of such a file can't be freed one by one. The mapping is shared, so
 * a forked child must not have it. False: the pages are as before. */
static bool
map_secret(void *pages, size_t size_bytes)
{
    if (!uses_secret_memory) {
        return false;
    }
    int fd = open_secret();
    if (fd < 0) {
        return false;
    }
    bool has_room =
        ftruncate(fd, (off_t)size_bytes) == 0 && has_room_for_secret(fd, size_bytes);
    bool mapped = has_room && mmap(pages, size_bytes, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    close(fd);
    if (mapped) {
        (void)madvise(pages, size_bytes, MADV_DONTFORK);
    } else if (has_room) {
        reserve_again(pages, size_bytes);
    }
    return mapped;
}

#else

static bool
map_secret(void *pages, size_t size_bytes)
{
    (void)pages;
    (void)size_bytes;
    return false;
}

#endif

/* Makes reserved pages accessible. False: memory is out. */
static bool
open_pages(void *pages, size_t size_bytes, bool want_lock, enum epb_sys_pages *kind)
{
    if (want_lock && map_secret(pages, size_bytes)) {
        *kind = EPB_PAGES_SECRET;
        return true;
    }
    if (mprotect(pages, size_bytes, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    keep_private(pages, size_bytes);
    bool locked = want_lock && lock_pages(pages, size_bytes);
    *kind = locked ? EPB_PAGES_LOCKED : EPB_PAGES_PLAIN;
    return true;
}

void *
epb_sys_pages_map(size_t size_bytes, bool want_lock, enum epb_sys_pages *kind)
{
    size_t guard_bytes = epb_sys_page_bytes();
    size_t body_bytes = whole_pages(size_bytes, guard_bytes);
    size_t span_bytes = body_bytes + 2 * guard_bytes + EPB_SYS_MAP_ALIGN_BYTES;

    *kind = EPB_PAGES_PLAIN;
    if (size_bytes == 0 || span_bytes < size_bytes) {
        return NULL;
    }
    uint8_t *span = mmap(NULL, span_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (span == MAP_FAILED) {
        return NULL;
    }
    size_t past = ((uintptr_t)span + guard_bytes) % EPB_SYS_MAP_ALIGN_BYTES;
    size_t lead_bytes = past == 0 ? 0 : EPB_SYS_MAP_ALIGN_BYTES - past;
    uint8_t *body = span + lead_bytes + guard_bytes;
    size_t trail_bytes = EPB_SYS_MAP_ALIGN_BYTES - lead_bytes;

    if (lead_bytes > 0) {
        munmap(span, lead_bytes);
    }
    munmap(body + body_bytes + guard_bytes, trail_bytes);
    if (!open_pages(body, body_bytes, want_lock, kind)) {
        munmap(body - guard_bytes, body_bytes + 2 * guard_bytes);
        return NULL;
    }
    return body;
}

void
epb_sys_pages_unmap(void *pages, size_t size_bytes)
{
    size_t guard_bytes = epb_sys_page_bytes();
    size_t body_bytes = whole_pages(size_bytes, guard_bytes);

    munmap((uint8_t *)pages - guard_bytes, body_bytes + 2 * guard_bytes);
}

size_t
epb_sys_lock_limit_bytes(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return SIZE_MAX;
    }
    return (size_t)limit.rlim_cur;
}

void
epb_sys_shared_lock(void)
{
    epb_lock(EPB_LOCK_SHARED);
}

void
epb_sys_shared_unlock(void)
{
    epb_unlock(EPB_LOCK_SHARED);
}

/* 0: unknown. getpid() of the C libraries makes a system call each time. */
static _Atomic uint32_t known_pid;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static bool forks_are_seen;

static void
forget_pid(void)
{
    atomic_store_explicit(&known_pid, 0, memory_order_relaxed);
}

static void
see_forks(void)
{
    forks_are_seen = pthread_atfork(NULL, NULL, forget_pid) == 0;
}

uint32_t
epb_sys_pid(void)
{
    uint32_t pid = atomic_load_explicit(&known_pid, memory_order_relaxed);

    if (pid != 0) {
        return pid;
    }
    (void)pthread_once(&fork_once, see_forks);
    pid = (uint32_t)getpid();
    if (forks_are_seen) {
        atomic_store_explicit(&known_pid, pid, memory_order_relaxed);
    }
    return pid;
}

#if defined(__x86_64__)

void
epb_sys_wipe_registers(void)
{
    /* Only libc uses the upper sixteen: this code is compiled without them. */
    if (__builtin_cpu_supports("avx512f")) {
        __asm__ __volatile__("vpxord %zmm16, %zmm16, %zmm16\n\t"
                             "vpxord %zmm17, %zmm17, %zmm17\n\t"
                             "vpxord %zmm18, %zmm18, %zmm18\n\t"
                             "vpxord %zmm19, %zmm19, %zmm19\n\t"
                             "vpxord %zmm20, %zmm20, %zmm20\n\t"
                             "vpxord %zmm21, %zmm21, %zmm21\n\t"
                             "vpxord %zmm22, %zmm22, %zmm22\n\t"
                             "vpxord %zmm23, %zmm23, %zmm23\n\t"
                             "vpxord %zmm24, %zmm24, %zmm24\n\t"
                             "vpxord %zmm25, %zmm25, %zmm25\n\t"
                             "vpxord %zmm26, %zmm26, %zmm26\n\t"
                             "vpxord %zmm27, %zmm27, %zmm27\n\t"
                             "vpxord %zmm28, %zmm28, %zmm28\n\t"
                             "vpxord %zmm29, %zmm29, %zmm29\n\t"
                             "vpxord %zmm30, %zmm30, %zmm30\n\t"
                             "vpxord %zmm31, %zmm31, %zmm31");
    }
    if (__builtin_cpu_supports("avx")) {
        __asm__ __volatile__("vzeroall" ::
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                                   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
                                   "xmm13", "xmm14", "xmm15");
        return;
    }
    __asm__ __volatile__("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
                         "pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
                         "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
                         "pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
                         "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\t"
                         "pxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
                         "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\t"
                         "pxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15" ::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                               "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                               "xmm14", "xmm15");
}

#elif defined(__aarch64__)

void
epb_sys_wipe_registers(void)
{
    __asm__ __volatile__(
        "movi v0.2d, #0\n\tmovi v1.2d, #0\n\tmovi v2.2d, #0\n\tmovi v3.2d, #0\n\t"
        "movi v4.2d, #0\n\tmovi v5.2d, #0\n\tmovi v6.2d, #0\n\tmovi v7.2d, #0\n\t"
        "movi v16.2d, #0\n\tmovi v17.2d, #0\n\tmovi v18.2d, #0\n\tmovi v19.2d, #0\n\t"
        "movi v20.2d, #0\n\tmovi v21.2d, #0\n\tmovi v22.2d, #0\n\tmovi v23.2d, #0\n\t"
        "movi v24.2d, #0\n\tmovi v25.2d, #0\n\tmovi v26.2d, #0\n\tmovi v27.2d, #0\n\t"
        "movi v28.2d, #0\n\tmovi v29.2d, #0\n\tmovi v30.2d, #0\n\tmovi v31.2d, #0" ::
            : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19",
              "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
              "v31");
}

#else

void
epb_sys_wipe_registers(void)
{
}

#endif

/* Lowers only the soft limit: the programs that this process starts can raise it. */
static enum epb_status
take_core_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CORE, &limit) != 0) {
        return EPB_INTERNAL;
    }
    limit.rlim_cur = 0;
    return setrlimit(RLIMIT_CORE, &limit) == 0 ? EPB_OK : EPB_INTERNAL;
}

enum epb_status
epb_sys_harden_process(void)
{
    if (take_core_limit() != EPB_OK) {
        return EPB_INTERNAL;
    }
#if defined(__linux__)
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return EPB_INTERNAL;
    }
#elif defined(__APPLE__)
    if (ptrace(PT_DENY_ATTACH, 0, NULL, 0) != 0) {
        return EPB_INTERNAL;
    }
#endif
    return EPB_OK;
}
