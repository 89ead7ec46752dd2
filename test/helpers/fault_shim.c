/*
 * Faults for the addon of a running Node, as a library to be preloaded (LD_PRELOAD;
 * Linux). It stands between the addon and libc; calls from elsewhere (Node itself) pass
 * untouched.
 *
 * The test tells it what to do with fs.accessSync, on names that are no files:
 *
 * - /epb-fault/memory/<n>: the addon's n-th allocation from now fails, once, be it of a
 *   block or of pages; 0: none
 * - /epb-fault/fired: exists when that has happened since it was set
 * - /epb-fault/calls/<per mille>: so many of the addon's reads, writes, accepts, connects
 *   and waits are cut short, interrupted, or put off; each of them in each way at least
 *   once, as soon as it can be. 0: none
 * - /epb-fault/disturbed: exists when more than 100 of them have been
 * - /epb-fault/disturbed/<call>/<way>: exists when that call has been in that way; see
 *   call_names and way_names
 * - /epb-fault/seed/<n>: of the random numbers for that; they differ by thread
 * - /epb-fault/wrote: exists when anybody in the process has opened a regular file to
 * write
 * - /epb-fault/wall/<ms>, /epb-fault/boot/<ms>: what the wall clock and the clock that
 *   counts suspended time are ahead, for the addon; its timer by the latter goes off as
 *   after a suspend
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define ADDON "epb_native.node"
#define PREFIX "/epb-fault/"

static atomic_uintptr_t addon_from;
static atomic_uintptr_t addon_to;
static atomic_llong memory_countdown;
static atomic_bool memory_fired;
static atomic_llong calls_per_mille;
static atomic_llong calls_disturbed;
static atomic_uint ways_seen[9]; /* by enum call: a bit for each way */
static atomic_ullong seed = 1;
static atomic_ullong thread_count;
static atomic_bool file_opened;
static atomic_llong wall_ahead_ms;
static atomic_llong boot_ahead_ms;
static atomic_int boot_timer = -1; /* the addon's last */
static atomic_llong boot_timer_ms; /* when it wants it to go off */
static _Thread_local uint64_t random_state __attribute__((tls_model("initial-exec")));

extern void *
__libc_malloc(size_t size);
extern void *
__libc_calloc(size_t count, size_t size);
extern void *
__libc_realloc(void *block, size_t size);

enum call {
    CALL_READ,
    CALL_WRITE,
    CALL_SEND,
    CALL_RECVMSG,
    CALL_SENDMSG,
    CALL_ACCEPT,
    CALL_CONNECT,
    CALL_POLL,
    CALL_EPOLL,
};

static const char *const call_names[] = {
    "read", "write", "send", "recvmsg", "sendmsg", "accept", "connect", "poll", "epoll"};

enum way {
    WAY_EINTR,    /* nothing has been done */
    WAY_EAGAIN,   /* nor here */
    WAY_BYTE,     /* one only */
    WAY_SHORT,    /* some of them */
    WAY_GOES_ON,  /* EINTR, but POSIX connects all the same, meanwhile */
    WAY_EALREADY, /* said of a connection that is being made so */
    WAY_COUNT,
};

static const char *const way_names[] = {"EINTR", "EAGAIN",  "byte",
                                        "short", "goes on", "EALREADY"};

#define WAY(way) (1U << (way))

#define REAL(type, name, ...)         \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL)                 \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);

/* Who calls */

static int
look_at_object(struct dl_phdr_info *object, size_t size, void *context)
{
    const char *name = strrchr(object->dlpi_name, '/');

    (void)size;
    (void)context;
    if (name == NULL || strcmp(name + 1, ADDON) != 0) {
        return 0;
    }
    uintptr_t to = 0;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t end = object->dlpi_addr + part->p_vaddr + part->p_memsz;
        if (part->p_type == PT_LOAD && end > to) {
            to = end;
        }
    }
    atomic_store(&addon_to, to);
    atomic_store(&addon_from, object->dlpi_addr);
    return 1;
}

static bool
is_addon(const void *caller)
{
    uintptr_t from = atomic_load_explicit(&addon_from, memory_order_relaxed);

    return from != 0 && (uintptr_t)caller >= from &&
           (uintptr_t)caller < atomic_load_explicit(&addon_to, memory_order_relaxed);
}

#define FROM_ADDON is_addon(__builtin_return_address(0))

/* What is asked for */

static bool
starts_with(const char *text, const char *start, const char **rest)
{
    size_t size = strlen(start);

    *rest = text + size;
    return strncmp(text, start, size) == 0;
}

/* <call>/<way> */
static bool
has_been(const char *question)
{
    const char *name = NULL;

    for (size_t call = 0; call < sizeof(call_names) / sizeof(call_names[0]); call++) {
        if (!starts_with(question, call_names[call], &name) || *name != '/') {
            continue;
        }
        for (unsigned way = 0; way < WAY_COUNT; way++) {
            if (strcmp(name + 1, way_names[way]) == 0) {
                return (atomic_load(&ways_seen[call]) & WAY(way)) != 0;
            }
        }
    }
    return false;
}

static bool
is_so(const char *question)
{
    const char *rest = NULL;

    if (strcmp(question, "fired") == 0) {
        return atomic_load(&memory_fired);
    }
    if (strcmp(question, "disturbed") == 0) {
        return atomic_load(&calls_disturbed) > 100;
    }
    if (starts_with(question, "disturbed/", &rest)) {
        return has_been(rest);
    }
    return strcmp(question, "wrote") == 0 && atomic_load(&file_opened);
}

/* Arms the timer by the clock as the addon sees it. */
static int
arm_boot_timer(int fd, long long due_ms)
{
    static int (*real)(int, int, const struct itimerspec *, struct itimerspec *);
    long long ms = due_ms - atomic_load(&boot_ahead_ms);
    struct itimerspec when = {.it_value = {.tv_nsec = 1}};

    if (ms > 0) {
        when.it_value =
            (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    }
    if (real == NULL) {
        real = (int (*)(int, int, const struct itimerspec *, struct itimerspec *))dlsym(
            RTLD_NEXT, "timerfd_settime");
    }
    return real(fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void
advance_boot(long long ms)
{
    atomic_store(&boot_ahead_ms, ms);
    if (atomic_load(&boot_timer) >= 0) {
        (void)arm_boot_timer(atomic_load(&boot_timer), atomic_load(&boot_timer_ms));
    }
}

static int
obey(const char *order)
{
    const char *rest = NULL;

    (void)dl_iterate_phdr(look_at_object, NULL);
    if (starts_with(order, "memory/", &rest)) {
        atomic_store(&memory_fired, false);
        atomic_store(&memory_countdown, atoll(rest));
    } else if (starts_with(order, "calls/", &rest)) {
        atomic_store(&calls_per_mille, atoll(rest));
    } else if (starts_with(order, "seed/", &rest)) {
        atomic_store(&seed, (unsigned long long)atoll(rest));
    } else if (starts_with(order, "wall/", &rest)) {
        atomic_store(&wall_ahead_ms, atoll(rest));
    } else if (starts_with(order, "boot/", &rest)) {
        advance_boot(atoll(rest));
    } else if (!is_so(order)) {
        errno = ENOENT;
        return -1;
    }
    return 0;
}

int
access(const char *path, int mode)
{
    static int (*real)(const char *, int);
    const char *order = NULL;

    if (starts_with(path, PREFIX, &order)) {
        return obey(order);
    }
    if (real == NULL) {
        real = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");
    }
    return real(path, mode);
}

/* Memory */

static bool
memory_fails(const void *caller)
{
    if (atomic_load_explicit(&memory_countdown, memory_order_relaxed) == 0 ||
        !is_addon(caller)) {
        return false;
    }
    long long left = atomic_load(&memory_countdown);
    while (left > 0 &&
           !atomic_compare_exchange_weak(&memory_countdown, &left, left - 1)) {
        continue;
    }
    if (left != 1) {
        return false;
    }
    atomic_store(&memory_fired, true);
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t size)
{
    return memory_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    return memory_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
    return memory_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

void *
mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    REAL(void *, mmap64, void *, size_t, int, int, int, off64_t)
    if ((flags & MAP_ANONYMOUS) != 0 && memory_fails(__builtin_return_address(0))) {
        return MAP_FAILED;
    }
    return real(at, size, protection, flags, fd, offset);
}

/* Calls */

/* xorshift64*; each thread has numbers of its own. */
static uint64_t
next_random(void)
{
    if (random_state == 0) {
        random_state =
            (atomic_load(&seed) + 1) * UINT64_C(0x9E3779B97F4A7C15) +
            (atomic_fetch_add(&thread_count, 1) + 1) * UINT64_C(0xBF58476D1CE4E5B9);
    }
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717) >> 11;
}

/* In which of the possible ways to disturb this call; WAY_COUNT: not at all. */
static enum way
choose_way(enum call call, unsigned possible, bool from_addon)
{
    long long per_mille = atomic_load_explicit(&calls_per_mille, memory_order_relaxed);

    if (per_mille == 0 || !from_addon) {
        return WAY_COUNT;
    }
    unsigned unseen = possible & ~atomic_load(&ways_seen[call]);
    if (unseen == 0 && (long long)(next_random() % 1000) >= per_mille) {
        return WAY_COUNT;
    }
    unsigned among = unseen != 0 ? unseen : possible;
    unsigned nth = (unsigned)(next_random() % (unsigned)__builtin_popcount(among));
    while (nth-- > 0) {
        among &= among - 1;
    }
    enum way way = (enum way)__builtin_ctz(among);
    atomic_fetch_or(&ways_seen[call], WAY(way));
    atomic_fetch_add(&calls_disturbed, 1);
    return way;
}

/* A socket, or a pipe that stands for one. */
static bool
is_socket(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 &&
           (S_ISSOCK(status.st_mode) ||
            (S_ISFIFO(status.st_mode) && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0));
}

/* Fails the call, or shortens it: only as a socket may do it itself. */
static bool
disturb(enum call call, int fd, size_t *size, bool from_addon)
{
    unsigned possible = WAY(WAY_EINTR);

    if (is_socket(fd)) {
        possible |= WAY(WAY_EAGAIN) | (*size > 1 ? WAY(WAY_BYTE) : 0) |
                    (*size > 2 ? WAY(WAY_SHORT) : 0);
    }
    switch (choose_way(call, possible, from_addon)) {
    case WAY_EINTR:
        errno = EINTR;
        return true;
    case WAY_EAGAIN:
        errno = EAGAIN;
        return true;
    case WAY_BYTE:
        *size = 1;
        return false;
    case WAY_SHORT:
        *size = 2 + next_random() % (*size - 2);
        return false;
    default:
        return false;
    }
}

ssize_t
read(int fd, void *memory, size_t size)
{
    REAL(ssize_t, read, int, void *, size_t)
    return disturb(CALL_READ, fd, &size, FROM_ADDON) ? -1 : real(fd, memory, size);
}

ssize_t
__read_chk(int fd, void *memory, size_t size, size_t room)
{
    REAL(ssize_t, read, int, void *, size_t)
    (void)room;
    return disturb(CALL_READ, fd, &size, FROM_ADDON) ? -1 : real(fd, memory, size);
}

ssize_t
write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t)
    return disturb(CALL_WRITE, fd, &size, FROM_ADDON) ? -1 : real(fd, data, size);
}

/* With one buffer, as ours are. */
ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(ssize_t, recvmsg, int, struct msghdr *, int)
    size_t size = message->msg_iov[0].iov_len;
    bool fails = disturb(CALL_RECVMSG, fd, &size, FROM_ADDON);

    message->msg_iov[0].iov_len = size;
    return fails ? -1 : real(fd, message, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int)
    size_t size = message->msg_iov[0].iov_len;
    bool fails = disturb(CALL_SENDMSG, fd, &size, FROM_ADDON);

    message->msg_iov[0].iov_len = size;
    return fails ? -1 : real(fd, message, flags);
}

ssize_t
send(int fd, const void *data, size_t size, int flags)
{
    REAL(ssize_t, send, int, const void *, size_t, int)
    return disturb(CALL_SEND, fd, &size, FROM_ADDON) ? -1 : real(fd, data, size, flags);
}

int
accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    REAL(int, accept4, int, struct sockaddr *, socklen_t *, int)
    size_t unused = 1;
    return disturb(CALL_ACCEPT, fd, &unused, FROM_ADDON) ? -1
                                                         : real(fd, address, size, flags);
}

int
connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(int, connect, int, const struct sockaddr *, socklen_t)
    unsigned possible = WAY(WAY_EINTR) | WAY(WAY_EAGAIN) | WAY(WAY_GOES_ON);
    bool from_addon = FROM_ADDON;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);

    /* There already: it was interrupted, and went on. */
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0) {
        possible = WAY(WAY_EALREADY);
    }
    switch (choose_way(CALL_CONNECT, possible, from_addon)) {
    case WAY_GOES_ON:
        if (real(fd, address, size) != 0) {
            /* Nobody there: it can not be seen here. */
            atomic_fetch_and(&ways_seen[CALL_CONNECT], ~WAY(WAY_GOES_ON));
            return -1;
        }
        errno = EINTR;
        return -1;
    case WAY_EINTR:
        errno = EINTR;
        return -1;
    case WAY_EAGAIN:
        errno = EAGAIN;
        return -1;
    case WAY_EALREADY:
        errno = EALREADY;
        return -1;
    default:
        return real(fd, address, size);
    }
}

static bool
interrupted(enum call call, bool from_addon)
{
    if (choose_way(call, WAY(WAY_EINTR), from_addon) == WAY_COUNT) {
        return false;
    }
    errno = EINTR;
    return true;
}

int
poll(struct pollfd *fds, nfds_t count, int timeout)
{
    REAL(int, poll, struct pollfd *, nfds_t, int)
    return interrupted(CALL_POLL, FROM_ADDON) ? -1 : real(fds, count, timeout);
}

int
__poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
    REAL(int, poll, struct pollfd *, nfds_t, int)
    (void)room;
    return interrupted(CALL_POLL, FROM_ADDON) ? -1 : real(fds, count, timeout);
}

int
epoll_wait(int fd, struct epoll_event *events, int room, int timeout)
{
    REAL(int, epoll_wait, int, struct epoll_event *, int, int)
    return interrupted(CALL_EPOLL, FROM_ADDON) ? -1 : real(fd, events, room, timeout);
}

int
epoll_pwait(int fd, struct epoll_event *events, int room, int timeout,
            const sigset_t *mask)
{
    REAL(int, epoll_pwait, int, struct epoll_event *, int, int, const sigset_t *)
    return interrupted(CALL_EPOLL, FROM_ADDON) ? -1
                                               : real(fd, events, room, timeout, mask);
}

/* Files */

static int
note_file(int fd, int flags)
{
    struct stat status;
    int error = errno;

    if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(fd, &status) == 0 &&
        S_ISREG(status.st_mode)) {
        atomic_store(&file_opened, true);
    }
    errno = error;
    return fd;
}

int
open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...)
    va_list rest;
    va_start(rest, flags);
    int fd = real(path, flags, va_arg(rest, mode_t));
    va_end(rest);
    return note_file(fd, flags);
}

int
open64(const char *path, int flags, ...)
{
    REAL(int, open64, const char *, int, ...)
    va_list rest;
    va_start(rest, flags);
    int fd = real(path, flags, va_arg(rest, mode_t));
    va_end(rest);
    return note_file(fd, flags);
}

int
openat(int directory, const char *path, int flags, ...)
{
    REAL(int, openat, int, const char *, int, ...)
    va_list rest;
    va_start(rest, flags);
    int fd = real(directory, path, flags, va_arg(rest, mode_t));
    va_end(rest);
    return note_file(fd, flags);
}

/* Clocks */

int
clock_gettime(clockid_t clock, struct timespec *time)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *)
    int result = real(clock, time);
    if (result != 0 || !FROM_ADDON) {
        return result;
    }
    long long ahead_ms = clock == CLOCK_REALTIME   ? atomic_load(&wall_ahead_ms)
                         : clock == CLOCK_BOOTTIME ? atomic_load(&boot_ahead_ms)
                                                   : 0;
    time->tv_sec += ahead_ms / 1000;
    time->tv_nsec += ahead_ms % 1000 * 1000000;
    if (time->tv_nsec >= 1000000000) {
        time->tv_sec++;
        time->tv_nsec -= 1000000000;
    } else if (time->tv_nsec < 0) {
        time->tv_sec--;
        time->tv_nsec += 1000000000;
    }
    return result;
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *when,
                struct itimerspec *before)
{
    REAL(int, timerfd_settime, int, int, const struct itimerspec *, struct itimerspec *)
    if (!FROM_ADDON || (flags & TFD_TIMER_ABSTIME) == 0) {
        return real(fd, flags, when, before);
    }
    long long due_ms = when->it_value.tv_sec * 1000LL + when->it_value.tv_nsec / 1000000;
    atomic_store(&boot_timer, fd);
    atomic_store(&boot_timer_ms, due_ms);
    return arm_boot_timer(fd, due_ms);
}
