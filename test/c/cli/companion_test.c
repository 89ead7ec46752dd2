/* Real processes: the test is the caller, and adopts companions, so that it can wait for
 * their ends. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/ancestors.h"
#include "cli/companion_internal.h"
#include "helpers.h"
#include "os/fd.h"

#define GRACE_MS 60000U

/* A service that exists as a file. */
static char trace[] = "/tmp/epb-companion-XXXXXX";
static int (*begin_hook)(struct epb_companion *companion, struct epb_buf *answer);

static int
begin_service(void *context, struct epb_companion *companion, struct epb_buf *answer)
{
    if (begin_hook != NULL) {
        return begin_hook(companion, answer);
    }
    return epb_buf_append(answer, context, strlen(context)) == EPB_OK ? 0 : 1;
}

static void
end_service(void *context)
{
    (void)context;
    unlink(trace);
}

static struct epb_companion *draining;

static void
drain_service(void *context)
{
    (void)context;
    epb_companion_report(draining, EPB_COMPANION_SERVICE_ENDED);
}

static struct epb_companion_service service = {
    .context = "hello", .begin = begin_service, .end = end_service};
static struct epb_companion_spec spec = {
    .service = &service, .grace_ms = GRACE_MS, .ready_ms = GRACE_MS};

static void
setup(void)
{
    int fd = mkstemp(trace);

    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
}

static void
teardown(void)
{
    unlink(trace);
}

TestSuite(companion, .init = setup, .fini = teardown, .timeout = 60);

static bool
trace_exists(void)
{
    return access(trace, F_OK) == 0;
}

/* A caller that starts a companion and becomes a command: it waits for a byte. Its words
 * come through `from`: the companion's process id, 0 for a refusal, then the answer. */
struct caller {
    pid_t pid;
    pid_t companion;
    char answer[256];
    int go;
    int status; /* that is expected */
};

static void
run_caller(int to, int go)
{
    struct epb_buf before;
    struct epb_buf answer;
    uint32_t pid = 0;
    char byte;

    /* Memory of secrets that the caller made before, and that the companion can't use. */
    epb_buf_init(&before, 16);
    (void)!epb_buf_append(&before, "before", 6);
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    int status = epb_companion_start(&spec, &answer, &pid);
    (void)!write(to, &pid, sizeof(pid));
    (void)!write(to, epb_buf_data(&answer), epb_buf_size(&answer));
    close(to);
    (void)!read(go, &byte, 1);
    _exit(status);
}

static struct caller
start_caller(void (*prepare)(void))
{
    int words[2];
    int go[2];
    uint32_t pid = 0;
    struct caller caller = {0};

    cr_assert_eq(epb_fd_pipe(words), 0);
    cr_assert_eq(epb_fd_pipe(go), 0);
    caller.pid = fork();
    if (caller.pid == 0) {
        close(go[1]);
        if (prepare != NULL) {
            prepare();
        }
        run_caller(words[1], go[0]);
    }
    close(words[1]);
    close(go[0]);
    cr_assert_eq(read(words[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
    size_t size = 0;
    ssize_t got;
    while ((got = read(words[0], caller.answer + size,
                       sizeof(caller.answer) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    close(words[0]);
    caller.companion = (pid_t)pid;
    caller.go = go[1];
    return caller;
}

static int
await_end(pid_t pid)
{
    int state = 0;

    cr_assert_eq(waitpid(pid, &state, 0), pid, "%s", strerror(errno));
    return state;
}

static void
end_caller(struct caller *caller)
{
    close(caller->go);
    int state = await_end(caller->pid);
    cr_assert(WIFEXITED(state));
    cr_assert_eq(WEXITSTATUS(state), caller->status);
}

Test(companion, serves_until_the_command_ends)
{
    struct caller caller = start_caller(NULL);

    cr_assert_str_eq(caller.answer, "hello");
    cr_assert_gt(caller.companion, 0);
    cr_assert(trace_exists());
    cr_assert_eq(waitpid(caller.companion, NULL, WNOHANG), 0, "it lives");
    end_caller(&caller);
    cr_assert_eq(await_end(caller.companion), 0);
    cr_assert_not(trace_exists());
}

Test(companion, ends_when_the_command_is_killed_and_nobody_reaps_it)
{
    struct caller caller = start_caller(NULL);

    cr_assert_eq(kill(caller.pid, SIGKILL), 0);
    cr_assert_eq(await_end(caller.companion), 0);
    cr_assert_not(trace_exists());
    cr_assert(WIFSIGNALED(await_end(caller.pid)));
}

static void
ignore_children(void)
{
    signal(SIGCHLD, SIG_IGN);
}

static void
on_child(int number)
{
    (void)number;
    _exit(9);
}

static void
end_at_children(void)
{
    signal(SIGCHLD, on_child);
}

Test(companion, the_caller_has_no_child_and_hears_of_none)
{
    static void (*const ways[])(void) = {ignore_children, end_at_children};

    for (unsigned i = 0; i < 2; i++) {
        char path[64];
        struct caller caller = start_caller(ways[i]);
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", caller.pid,
                       caller.pid);
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file);
        cr_assert_eq(fgetc(file), EOF, "it has children");
        fclose(file);
        end_caller(&caller);
        cr_assert_eq(await_end(caller.companion), 0);
    }
}

static void
close_streams(void)
{
    close(0);
    close(1);
    close(2);
}

static void
expect_link(pid_t pid, const char *name, const char *target)
{
    char path[64];
    char found[256] = "";

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    cr_assert_geq(readlink(path, found, sizeof(found) - 1), 0);
    cr_assert_str_eq(found, target, "%s: %s", path, found);
}

/* The descriptors of a process; -1: closed ones between are no matter. */
static unsigned
count_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *entries = opendir(path);
    cr_assert_not_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL;
         entry = readdir(entries)) {
        count += entry->d_name[0] != '.';
    }
    closedir(entries);
    return count;
}

/* The streams, both ends of the wake pipe, and the watches over the command and over the
 * package managers above. */
static unsigned
expected_descriptors(void)
{
    struct epb_ancestors above;

    epb_ancestors_find(&above, (uint32_t)getppid());
    return 6 + (unsigned)above.count;
}

static void
open_more(void)
{
    for (unsigned i = 0; i < 20; i++) {
        (void)!dup(1);
    }
}

Test(companion, has_surroundings_of_its_own)
{
    struct caller caller = start_caller(open_more);

    cr_assert_neq(getsid(caller.companion), getsid(0));
    cr_assert_neq(getpgid(caller.companion), getpgid(0));
    expect_link(caller.companion, "fd/0", "/dev/null");
    expect_link(caller.companion, "fd/1", "/dev/null");
    expect_link(caller.companion, "cwd", "/");
    cr_assert_eq(count_descriptors(caller.companion), expected_descriptors());
    end_caller(&caller);
    cr_assert_eq(await_end(caller.companion), 0);
}

Test(companion, starts_from_a_caller_without_streams)
{
    struct caller caller = start_caller(close_streams);

    cr_assert_str_eq(caller.answer, "hello");
    expect_link(caller.companion, "fd/2", "/dev/null");
    cr_assert_eq(count_descriptors(caller.companion), expected_descriptors());
    /* The caller's streams are still closed: the pipe is all that it has. */
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/0", caller.pid);
    cr_assert_neq(access(path, F_OK), 0);
    end_caller(&caller);
    cr_assert_eq(await_end(caller.companion), 0);
}

static int
refuse_to_begin(struct epb_companion *companion, struct epb_buf *answer)
{
    (void)companion;
    unlink(trace);
    (void)!epb_buf_append(answer, "there is no place", 17);
    return 42;
}

Test(companion, says_why_the_service_does_not_begin)
{
    begin_hook = refuse_to_begin;
    struct caller caller = start_caller(NULL);

    cr_assert_eq(caller.companion, 0);
    cr_assert_str_eq(caller.answer, "there is no place");
    caller.status = 42;
    end_caller(&caller);
    cr_assert_neq(wait(NULL), -1, "the companion has ended");
    cr_assert_eq(wait(NULL), -1);
}

static int
crash(struct epb_companion *companion, struct epb_buf *answer)
{
    (void)companion;
    (void)answer;
    _exit(3);
}

Test(companion, says_that_it_ended_before_it_was_ready)
{
    begin_hook = crash;
    struct caller caller = start_caller(NULL);

    cr_assert_eq(caller.companion, 0);
    cr_assert_not_null(strstr(caller.answer, "ended before it was ready"));
    caller.status = 125;
    end_caller(&caller);
}

static int
wait_for_ever(struct epb_companion *companion, struct epb_buf *answer)
{
    (void)companion;
    (void)answer;
    for (;;) {
        (void)pause();
    }
    return 1;
}

Test(companion, is_ready_in_time_or_not_at_all)
{
    begin_hook = wait_for_ever;
    service.waits = true;
    spec.ready_ms = 1;
    struct caller caller = start_caller(NULL);

    cr_assert_eq(caller.companion, 0);
    cr_assert_not_null(strstr(caller.answer, "not ready in time"));
    caller.status = 125;
    end_caller(&caller);
    cr_assert_neq(wait(NULL), -1, "it ended with the caller although it waited");
    cr_assert_eq(wait(NULL), -1);
}

Test(companion, ignores_signals_that_are_meant_for_the_command)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM};
    struct caller caller = start_caller(NULL);

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_eq(kill(caller.companion, numbers[i]), 0);
    }
    cr_assert_eq(waitpid(caller.companion, NULL, WNOHANG), 0);
    end_caller(&caller);
    cr_assert_eq(await_end(caller.companion), 0);
    cr_assert_not(trace_exists());
}

static int
note_companion(struct epb_companion *companion, struct epb_buf *answer)
{
    draining = companion;
    return epb_buf_append(answer, "", 0) == EPB_OK ? 0 : 1;
}

Test(companion, a_second_term_drains)
{
    begin_hook = note_companion;
    service.drain = drain_service;
    struct caller caller = start_caller(NULL);

    cr_assert_eq(kill(caller.companion, SIGTERM), 0);
    while (waitpid(caller.companion, NULL, WNOHANG) == 0) {
        /* Signals that are pending together are one. */
        (void)kill(caller.companion, SIGTERM);
    }
    cr_assert_not(trace_exists());
    cr_assert_eq(waitpid(caller.pid, NULL, WNOHANG), 0, "the command goes on");
    end_caller(&caller);
}

Test(companion, a_detached_one_outlives_the_caller)
{
    spec.detached = true;
    struct caller caller = start_caller(NULL);

    end_caller(&caller);
    expect_link(caller.companion, "fd/2", "/dev/null");
    cr_assert_eq(waitpid(caller.companion, NULL, WNOHANG), 0);
    cr_assert_eq(kill(caller.companion, SIGTERM), 0);
    cr_assert_eq(await_end(caller.companion), 0);
    cr_assert_not(trace_exists());
}

/* The watch, on a clock of the test */

struct clock {
    uint64_t now_ms;
    uint64_t slept_ms;
    unsigned sleeps;
    struct epb_companion *companion;
    /* Called at each sleep, with its number from 1. */
    void (*at_sleep)(struct clock *clock);
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

    clock->sleeps++;
    if (clock->at_sleep != NULL) {
        clock->at_sleep(clock);
    }
    int found = poll(polls, (nfds_t)count, 0);
    if (found == 0) {
        cr_assert_geq(timeout_ms, 0, "it would sleep for ever");
        clock->now_ms += (uint64_t)timeout_ms;
    }
    return found;
}

static pid_t
fork_command(int ignored)
{
    int ready[2];
    char byte;

    cr_assert_eq(epb_fd_pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (ignored != 0) {
            signal(ignored, SIG_IGN);
        }
        close(ready[0]);
        close(ready[1]);
        for (;;) {
            (void)pause();
        }
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    return pid;
}

static void
serve(struct epb_companion *companion, struct clock *clock, pid_t command)
{
    struct epb_process_clock of_test = {clock_now, clock_poll, clock};

    *companion = (struct epb_companion){.spec = &spec, .watch_count = 1};
    cr_assert_eq(epb_process_watch_open(&companion->watches[0], (uint32_t)command),
                 EPB_OK);
    cr_assert_eq(epb_fd_pipe(companion->wake), 0);
    cr_assert_eq(fcntl(companion->wake[0], F_SETFL, O_NONBLOCK), 0);
    clock->companion = companion;
    clock->now_ms = 1000;
    epb_companion_serve(companion, &of_test);
}

static void
lose_at_first(struct clock *clock)
{
    siginfo_t info;

    if (clock->sleeps == 1) {
        epb_companion_report(clock->companion, EPB_COMPANION_SERVICE_LOST);
    } else if (clock->now_ms >= 1000 + GRACE_MS) {
        /* Killed at the end of the grace period. */
        cr_assert_eq(waitid(P_PID, (id_t)clock->companion->watches[0].pid, &info,
                            WEXITED | WNOWAIT),
                     0);
    }
}

Test(companion, a_lost_service_ends_the_command_by_kill_after_the_grace_period)
{
    struct epb_companion companion;
    struct clock clock = {.at_sleep = lose_at_first};
    pid_t command = fork_command(SIGTERM);

    serve(&companion, &clock, command);
    cr_assert_eq(clock.now_ms, 1000 + GRACE_MS);
    int state = await_end(command);
    cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL);
}

static void
lose_and_await(struct clock *clock)
{
    siginfo_t info;

    if (clock->sleeps == 1) {
        epb_companion_report(clock->companion, EPB_COMPANION_SERVICE_LOST);
    } else {
        cr_assert_eq(waitid(P_PID, (id_t)clock->companion->watches[0].pid, &info,
                            WEXITED | WNOWAIT),
                     0);
    }
}

Test(companion, a_lost_service_ends_the_command_by_term)
{
    struct epb_companion companion;
    struct clock clock = {.at_sleep = lose_and_await};
    pid_t command = fork_command(0);

    serve(&companion, &clock, command);
    cr_assert_eq(clock.now_ms, 1000, "at once");
    int state = await_end(command);
    cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGTERM);
}

static void
term_at_first(struct clock *clock)
{
    if (clock->sleeps == 1) {
        epb_companion_report(clock->companion, (enum epb_companion_news)'T');
    }
}

Test(companion, after_term_it_serves_on_for_the_grace_period)
{
    struct epb_companion companion;
    struct clock clock = {.at_sleep = term_at_first};
    pid_t command = fork_command(0);

    serve(&companion, &clock, command);
    cr_assert_eq(clock.now_ms, 1000 + GRACE_MS);
    cr_assert_eq(waitpid(command, NULL, WNOHANG), 0, "the command goes on");
    cr_assert_eq(kill(command, SIGKILL), 0);
    (void)await_end(command);
}

static void
kill_manager_at_first(struct clock *clock)
{
    siginfo_t info;

    if (clock->sleeps == 1) {
        pid_t manager = fork_command(0);
        cr_assert_eq(
            epb_process_watch_open(&clock->companion->watches[1], (uint32_t)manager),
            EPB_OK);
        clock->companion->watch_count = 2;
        cr_assert_eq(kill(manager, SIGKILL), 0);
        cr_assert_eq(waitid(P_PID, (id_t)manager, &info, WEXITED), 0);
        /* Look again. */
        epb_companion_report(clock->companion, (enum epb_companion_news)'T');
        return;
    }
    cr_assert_eq(
        waitid(P_PID, (id_t)clock->companion->watches[0].pid, &info, WEXITED | WNOWAIT),
        0);
}

Test(companion, the_death_of_a_package_manager_ends_the_command)
{
    struct epb_companion companion;
    struct clock clock = {.at_sleep = kill_manager_at_first};
    pid_t command = fork_command(0);

    serve(&companion, &clock, command);
    int state = await_end(command);
    cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGTERM);
}
