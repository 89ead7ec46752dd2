/* Real processes, on a clock of the test. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers.h"
#include "os/process_watch.h"

/* A child that lives until end_child, or until the test ends. */
struct child {
    uint32_t pid;
};

static struct child
start_child(void)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;) {
            (void)pause();
        }
    }
    return (struct child){(uint32_t)pid};
}

/* Ends it and leaves it unreaped. */
static void
end_child(const struct child *child)
{
    siginfo_t info;

    cr_assert_eq(kill((pid_t)child->pid, SIGKILL), 0);
    cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
}

static void
reap_child(const struct child *child)
{
    cr_assert_eq(waitpid((pid_t)child->pid, NULL, 0), (pid_t)child->pid);
}

static struct epb_process_watch
watch_of(uint32_t pid)
{
    struct epb_process_watch watch;

    cr_assert_eq(epb_process_watch_open(&watch, pid), EPB_OK);
    return watch;
}

/* Refuses two system calls with ENOSYS from now on. */
static void
refuse(unsigned first, unsigned second)
{
    struct sock_filter rows[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rows) / sizeof(rows[0]), rows};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void
refuse_pidfds(void)
{
    refuse(434, 424);
    cr_assert_eq(syscall(434, getpid(), 0), -1);
    cr_assert_eq(errno, ENOSYS);
}

/* A clock that a wait moves by what it would have slept. */
struct clock {
    uint64_t now_ms;
    unsigned sleeps;
    int longest_ms;
    /* Ends at this sleep, counted from 1. */
    const struct child *dying;
    unsigned dies_at;
};

static uint64_t
clock_now(void *context)
{
    return ((struct clock *)context)->now_ms;
}

static int
clock_poll(void *context, struct pollfd *polls, size_t count, int timeout_ms)
{
    struct clock *clock = context;
    int found = poll(polls, (nfds_t)count, 0);

    clock->sleeps++;
    cr_assert_lt(clock->sleeps, 1000);
    if (clock->sleeps == clock->dies_at) {
        end_child(clock->dying);
    }
    if (timeout_ms > clock->longest_ms) {
        clock->longest_ms = timeout_ms;
    }
    clock->now_ms += timeout_ms > 0 ? (uint64_t)timeout_ms : 0;
    return found;
}

static enum epb_process_event
wait_with(struct clock *clock, const struct epb_process_watch *watches, size_t count,
          int wake, uint64_t until_ms, size_t *which)
{
    struct epb_process_clock of_test = {clock_now, clock_poll, clock};

    return epb_process_watch_wait(watches, count, wake, until_ms, &of_test, which);
}

static void
check_sees_the_end_of_a_process_that_is_not_reaped(bool has_pidfd)
{
    struct child child = start_child();
    struct epb_process_watch watch = watch_of(child.pid);
    size_t which = 9;

    cr_assert_eq(watch.fd >= 0, has_pidfd);
    cr_assert_not(epb_process_watch_ended(&watch));
    end_child(&child);
    cr_assert(epb_process_watch_ended(&watch), "a zombie has ended");
    cr_assert_eq(epb_process_watch_wait(&watch, 1, -1, UINT64_MAX,
                                        &epb_process_clock_system, &which),
                 EPB_PROCESS_ENDED);
    cr_assert_eq(which, 0);
    cr_assert_eq(epb_process_watch_signal(&watch, SIGTERM), EPB_NOT_FOUND);
    reap_child(&child);
    cr_assert(epb_process_watch_ended(&watch));
    epb_process_watch_close(&watch);
    cr_assert_eq(epb_process_watch_open(&watch, child.pid), EPB_NOT_FOUND);
}

Test(process_watch, sees_the_end_of_a_process_that_is_not_reaped)
{
    check_sees_the_end_of_a_process_that_is_not_reaped(true);
}

Test(process_watch, sees_it_without_pidfds)
{
    refuse_pidfds();
    check_sees_the_end_of_a_process_that_is_not_reaped(false);
}

static void
check_no_watch_for_a_zombie(void)
{
    struct child child = start_child();
    struct epb_process_watch watch;

    end_child(&child);
    cr_assert_eq(epb_process_watch_open(&watch, child.pid), EPB_NOT_FOUND);
    reap_child(&child);
}

Test(process_watch, a_zombie_has_ended_before)
{
    check_no_watch_for_a_zombie();
    refuse_pidfds();
    check_no_watch_for_a_zombie();
}

Test(process_watch, examines_ten_times_a_second_without_pidfds)
{
    struct child child = start_child();
    struct clock clock = {.now_ms = 1000, .dying = &child, .dies_at = 30};
    size_t which = 9;

    refuse_pidfds();
    struct epb_process_watch watch = watch_of(child.pid);
    cr_assert_eq(wait_with(&clock, &watch, 1, -1, UINT64_MAX, &which), EPB_PROCESS_ENDED);
    cr_assert_eq(clock.sleeps, 30);
    cr_assert_eq(clock.now_ms, 1000 + 30 * EPB_PROCESS_POLL_MS);
    cr_assert_eq(clock.longest_ms, 100);
    reap_child(&child);
    epb_process_watch_close(&watch);
}

Test(process_watch, waits_without_examining_where_the_system_reports_the_end)
{
    struct child child = start_child();
    struct clock clock = {.now_ms = 5};
    struct epb_process_watch watch = watch_of(child.pid);
    size_t which;

    cr_assert_eq(wait_with(&clock, &watch, 1, -1, 7005, &which), EPB_PROCESS_LATE);
    cr_assert_eq(clock.sleeps, 1);
    cr_assert_eq(clock.longest_ms, 7000);
    end_child(&child);
    reap_child(&child);
    epb_process_watch_close(&watch);
}

Test(process_watch, is_late_to_the_millisecond_while_it_examines)
{
    struct child child = start_child();
    struct clock clock = {.now_ms = 0};
    size_t which;

    refuse_pidfds();
    struct epb_process_watch watch = watch_of(child.pid);
    cr_assert_eq(wait_with(&clock, &watch, 1, -1, 250, &which), EPB_PROCESS_LATE);
    cr_assert_eq(clock.now_ms, 250);
    cr_assert_eq(wait_with(&clock, &watch, 1, -1, 250, &which), EPB_PROCESS_LATE);
    end_child(&child);
    reap_child(&child);
    epb_process_watch_close(&watch);
}

Test(process_watch, is_woken)
{
    struct child child = start_child();
    struct clock clock = {.now_ms = 0};
    struct epb_process_watch watch = watch_of(child.pid);
    size_t which;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(wait_with(&clock, &watch, 1, ends[0], UINT64_MAX, &which),
                 EPB_PROCESS_WOKEN);
    cr_assert_eq(clock.now_ms, 0, "at once");
    end_child(&child);
    cr_assert_eq(wait_with(&clock, &watch, 1, ends[0], UINT64_MAX, &which),
                 EPB_PROCESS_ENDED, "the end comes first");
    reap_child(&child);
    epb_process_watch_close(&watch);
}

Test(process_watch, names_the_one_that_ended)
{
    struct child first = start_child();
    struct child second = start_child();
    struct epb_process_watch watches[] = {watch_of(first.pid), watch_of(second.pid)};
    struct clock clock = {.now_ms = 0};
    size_t which = 9;

    end_child(&second);
    cr_assert_eq(wait_with(&clock, watches, 2, -1, UINT64_MAX, &which),
                 EPB_PROCESS_ENDED);
    cr_assert_eq(which, 1);
    end_child(&first);
    reap_child(&first);
    reap_child(&second);
    epb_process_watch_close(&watches[0]);
    epb_process_watch_close(&watches[1]);
}

/* The number of an ended process belongs to another one now: here by putting the other
 * one's number into the watch, since the system gives numbers again after thousands. */
static void
check_means_one_process(void)
{
    struct child watched = start_child();
    struct child other = start_child();
    struct epb_process_watch watch = watch_of(watched.pid);

    end_child(&watched);
    reap_child(&watched);
    watch.pid = other.pid;
    cr_assert(epb_process_watch_ended(&watch));
    cr_assert_eq(epb_process_watch_signal(&watch, SIGKILL), EPB_NOT_FOUND);
    epb_process_watch_close(&watch);
    cr_assert_eq(waitpid((pid_t)other.pid, NULL, WNOHANG), 0, "the other one lives");
    end_child(&other);
    reap_child(&other);
}

Test(process_watch, means_one_process_and_not_its_number)
{
    check_means_one_process();
    refuse_pidfds();
    check_means_one_process();
}

Test(process_watch, signals_the_process)
{
    for (unsigned round = 0; round < 2; round++) {
        struct child child = start_child();
        struct epb_process_watch watch = watch_of(child.pid);
        int state;

        cr_assert_eq(epb_process_watch_signal(&watch, SIGTERM), EPB_OK);
        cr_assert_eq(waitpid((pid_t)child.pid, &state, 0), (pid_t)child.pid);
        cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGTERM);
        cr_assert_eq(epb_process_watch_signal(&watch, SIGTERM), EPB_NOT_FOUND);
        epb_process_watch_close(&watch);
        refuse_pidfds();
    }
}

static void *
live_on(void *context)
{
    char byte;

    _exit(read(*(int *)context, &byte, 1) == 0 ? 0 : 1);
}

/* A first thread that ends is a zombie while its process lives. */
static void
check_outlives_its_first_thread(void)
{
    int ends[2];
    pthread_t thread;
    siginfo_t info;
    struct clock clock = {.now_ms = 0};
    size_t which;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (pthread_create(&thread, NULL, live_on, &ends[0]) != 0) {
            _exit(1);
        }
        (void)syscall(SYS_exit, 0);
    }
    close(ends[0]);
    struct epb_process_watch watch = watch_of((uint32_t)pid);
    cr_assert_eq(wait_with(&clock, &watch, 1, -1, 1000, &which), EPB_PROCESS_LATE);
    /* Once its state is Z. */
    char path[64];
    char stat[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    while (strstr(stat, ") Z ") == NULL) {
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file);
        cr_assert_not_null(fgets(stat, sizeof(stat), file));
        fclose(file);
    }
    cr_assert_not(epb_process_watch_ended(&watch));
    close(ends[1]);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    cr_assert(epb_process_watch_ended(&watch));
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    epb_process_watch_close(&watch);
}

Test(process_watch, a_process_outlives_its_first_thread)
{
    check_outlives_its_first_thread();
    refuse_pidfds();
    check_outlives_its_first_thread();
}

/* What a watcher does: the watched process opens the watch, and forks the watcher. */
static void
check_inherited(void)
{
    int done[2];
    char byte = 0;
    struct epb_process_watch watch;

    cr_assert_eq(pipe2(done, O_CLOEXEC), 0);
    pid_t watched = fork();
    if (watched == 0) {
        bool opened = epb_process_watch_open(&watch, (uint32_t)getpid()) == EPB_OK;
        if (fork() == 0) {
            size_t which;
            bool ended = opened && epb_process_watch_inherit(&watch) == EPB_OK &&
                         epb_process_watch_wait(&watch, 1, -1, UINT64_MAX,
                                                &epb_process_clock_system,
                                                &which) == EPB_PROCESS_ENDED;
            _exit(write(done[1], ended ? "y" : "n", 1) == 1 ? 0 : 1);
        }
        _exit(0);
    }
    close(done[1]);
    cr_assert_eq(read(done[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    close(done[0]);
    reap_child(&(struct child){(uint32_t)watched});
}

Test(process_watch, is_inherited_by_the_watcher)
{
    check_inherited();
    refuse_pidfds();
    check_inherited();
}

Test(process_watch, without_proc_the_number_tells)
{
    struct child child = start_child();
    struct epb_process_watch watch = {.pid = child.pid, .fd = -1, .stat_fd = -1};

    cr_assert_not(epb_process_watch_ended(&watch));
    end_child(&child);
    reap_child(&child);
    cr_assert(epb_process_watch_ended(&watch));
    epb_process_watch_close(&watch);
}
