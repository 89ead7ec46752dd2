/* Real processes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/sys.h"
#include "helpers.h"

static const char *const environment[] = {"PATH=/usr/bin:/bin", "MARK=here", NULL};

static enum epb_status
spawn(const char *const *argv, uint32_t *pid, int *os_error)
{
    const struct epb_spawn spec = {.file = argv[0], .argv = argv, .envp = environment};

    return epb_proc_spawn(&spec, pid, os_error);
}

static uint32_t
start(const struct epb_spawn *spec)
{
    uint32_t pid = 0;
    int os_error = 0;

    cr_assert_eq(epb_proc_spawn(spec, &pid, &os_error), EPB_OK, "%s", strerror(os_error));
    cr_assert_gt(pid, 0);
    return pid;
}

static uint32_t
start_shell(const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};

    return start(&(struct epb_spawn){.file = "sh", .argv = argv, .envp = environment});
}

static void
assert_exit(uint32_t pid, int status)
{
    int exit_status;
    int term_signal;

    cr_assert_eq(epb_proc_wait(pid, &exit_status, &term_signal), EPB_OK);
    cr_assert_eq(exit_status, status);
    cr_assert_eq(term_signal, -1);
}

static void
assert_signal(uint32_t pid, int number)
{
    int exit_status;
    int term_signal;

    cr_assert_eq(epb_proc_wait(pid, &exit_status, &term_signal), EPB_OK);
    cr_assert_eq(term_signal, number);
    cr_assert_eq(exit_status, -1);
}

Test(proc, the_exit_status_comes_through)
{
    assert_exit(start_shell("exit 0"), 0);
    assert_exit(start_shell("exit 3"), 3);
    assert_exit(start_shell("exit 255"), 255);
}

Test(proc, the_signal_comes_through)
{
    assert_signal(start_shell("kill -TERM $$"), SIGTERM);
    assert_signal(start_shell("kill -KILL $$"), SIGKILL);
}

Test(proc, a_command_that_is_not_there)
{
    const char *const name[] = {"epb-no-such-command", NULL};
    const char *const path[] = {"/no/such/command", NULL};
    const char *const empty[] = {"", NULL};
    uint32_t pid;
    int os_error = 0;

    cr_assert_eq(spawn(name, &pid, &os_error), EPB_NOT_FOUND);
    cr_assert_eq(os_error, ENOENT);
    cr_assert_eq(spawn(path, &pid, &os_error), EPB_NOT_FOUND);
    cr_assert_eq(spawn(empty, &pid, &os_error), EPB_NOT_FOUND);
    cr_assert_eq(os_error, ENOENT);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_assert_eq(errno, ECHILD, "no failed child is left");
}

/* A folder of its own, with one file in it. */
static void
make_file(char *folder, char *path, size_t path_bytes, const char *text, mode_t mode)
{
    FILE *file;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, path_bytes, "%s/tool", folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    cr_assert_eq(chmod(path, mode), 0);
}

static void
remove_file(const char *folder, const char *path)
{
    unlink(path);
    rmdir(folder);
}

Test(proc, a_file_that_may_not_be_run)
{
    char folder[] = "/tmp/epb-proc-XXXXXX";
    char path[64];
    uint32_t pid;
    int os_error = 0;

    make_file(folder, path, sizeof(path), "exit 0\n", 0600);
    const char *const argv[] = {path, NULL};
    const char *const directory[] = {"/tmp", NULL};

    cr_assert_eq(spawn(argv, &pid, &os_error), EPB_INTERNAL);
    cr_assert_eq(os_error, EACCES);
    cr_assert_eq(spawn(directory, &pid, &os_error), EPB_INTERNAL);
    cr_assert_eq(os_error, EACCES);
    remove_file(folder, path);
}

Test(proc, looks_in_the_path_of_the_commands_environment)
{
    char folder[] = "/tmp/epb-proc-XXXXXX";
    char path[64];
    char variable[128];
    const char *const argv[] = {"tool", "9", NULL};
    const char *const with[] = {variable, NULL};
    uint32_t pid;
    int os_error;

    /* Without a `#!` line: a shell runs it, as a shell would. */
    make_file(folder, path, sizeof(path), "exit $1\n", 0700);
    snprintf(variable, sizeof(variable), "PATH=/no/such/folder::%s:/bin", folder);
    const struct epb_spawn spec = {.file = "tool", .argv = argv, .envp = with};

    assert_exit(start(&spec), 9);
    cr_assert_eq(spawn(argv, &pid, &os_error), EPB_NOT_FOUND);
    remove_file(folder, path);
}

Test(proc, gets_its_own_environment_arguments_and_folder)
{
    const char *const argv[] = {"sh",
                                "-c",
                                "[ \"$MARK\" = here ] && [ \"$1\" = 'a b' ] && "
                                "[ -z \"$HOME\" ] && [ \"$(pwd)\" = / ] && exit 7",
                                "sh",
                                "a b",
                                NULL};
    const struct epb_spawn spec = {
        .file = "sh", .argv = argv, .envp = environment, .cwd = "/"};

    setenv("HOME", "/root", 1);
    assert_exit(start(&spec), 7);
}

Test(proc, gets_default_signals_and_none_blocked)
{
    sigset_t all;
    sigset_t none;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    assert_signal(start_shell("kill -PIPE $$"), SIGPIPE);
    assert_signal(start_shell("kill -TERM $$"), SIGTERM);
    sigset_t after;

    pthread_sigmask(SIG_SETMASK, &none, &after);
    cr_assert(sigismember(&after, SIGUSR1), "the caller's mask is as it was");
}

Test(proc, standard_streams_are_passed_on_and_nothing_else)
{
    int ends[2];
    char text[64] = "";

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(fcntl(ends[0], F_SETFD, FD_CLOEXEC), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    /* As Node leaves them. */
    cr_assert_eq(fcntl(STDOUT_FILENO, F_SETFD, FD_CLOEXEC), 0);
    assert_exit(start_shell("echo out; ls /proc/self/fd | wc -l"), 0);
    ssize_t got = read(ends[0], text, sizeof(text) - 1);

    cr_assert_gt(got, 0);
    cr_assert_eq(strncmp(text, "out\n", 4), 0, "%s", text);
}

Test(proc, works_with_the_standard_streams_closed)
{
    close(STDIN_FILENO);
    assert_exit(start_shell("exit 5"), 5);
}

Test(proc, a_command_can_be_signalled_until_it_was_waited_for)
{
    uint32_t pid = start_shell("exec sleep 1000");

    cr_assert_eq(epb_proc_kill(pid, false, 0), EPB_OK);
    cr_assert_eq(epb_proc_kill(pid, false, SIGTERM), EPB_OK);
    assert_signal(pid, SIGTERM);
    cr_assert_eq(epb_proc_kill(pid, false, SIGTERM), EPB_NOT_FOUND);
    cr_assert_eq(epb_proc_kill(epb_sys_pid(), false, SIGKILL), EPB_NOT_FOUND,
                 "only children of this process");
}

Test(proc, a_forked_process_knows_its_own_number)
{
    cr_assert_eq(epb_sys_pid(), (uint32_t)getpid());
    for (unsigned i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            pid_t grandchild = fork();
            if (grandchild == 0) {
                _exit(epb_sys_pid() == (uint32_t)getpid() ? 7 : 1);
            }
            int status = 0;
            _exit(waitpid(grandchild, &status, 0) == grandchild && WIFEXITED(status) &&
                          WEXITSTATUS(status) == 7 && epb_sys_pid() == (uint32_t)getpid()
                      ? 7
                      : 1);
        }
        int status = 0;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        cr_assert_eq(epb_sys_pid(), (uint32_t)getpid());
    }
}

Test(proc, a_group_is_signalled_whole)
{
    const char *const argv[] = {"sh", "-c", "sleep 1000 & echo $!; wait", NULL};
    const struct epb_spawn spec = {
        .file = "sh", .argv = argv, .envp = environment, .new_group = true};
    int ends[2];
    char text[32] = "";

    /* The write end closes when all who have it are gone. */
    cr_assert_eq(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    uint32_t pid = start(&spec);

    close(STDOUT_FILENO);
    cr_assert_eq(getpgid((pid_t)pid), (pid_t)pid);
    cr_assert_gt(read(ends[0], text, sizeof(text) - 1), 0);
    cr_assert_eq(epb_proc_kill(pid, true, SIGTERM), EPB_OK);
    assert_signal(pid, SIGTERM);
    cr_assert_eq(read(ends[0], text, sizeof(text)), 0, "the sleeper ended, too");
}

Test(proc, waiting_for_a_stranger_fails)
{
    int exit_status;
    int term_signal;

    cr_assert_eq(epb_proc_wait(1, &exit_status, &term_signal), EPB_NOT_FOUND);
}

Test(proc, a_command_gets_its_core_limit_back)
{
    struct rlimit limit = {4096, 8192};
    char script[64];

    cr_assert_eq(setrlimit(RLIMIT_CORE, &limit), 0);
    cr_assert_eq(epb_sys_harden_process(), EPB_OK);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    cr_assert_eq(limit.rlim_cur, 0);
    snprintf(script, sizeof(script), "[ $(ulimit -c) = %u ] && exit 4", 4096U / 512U);
    assert_exit(start_shell(script), 4);
}

#if defined(__linux__)

/* The middle one starts a command and dies; the command must follow. */
Test(proc, the_command_ends_with_the_process_that_started_it)
{
    int ends[2];
    char byte;

    cr_assert_eq(pipe(ends), 0);
    pid_t middle = fork();

    if (middle == 0) {
        close(ends[0]);
        (void)start_shell("exec sleep 1000");
        kill(getpid(), SIGKILL);
    }
    close(ends[1]);
    waitpid(middle, NULL, 0);
    cr_assert_eq(read(ends[0], &byte, 1), 0, "nobody holds the pipe any more");
}

static uint32_t
sleeper(void)
{
    return start_shell("exec sleep 1000");
}

Test(proc, describing_tells_the_parent_and_the_arguments)
{
    static const char *const argv[] = {"/bin/sh", "-c", "kill -STOP $$",
                                       "a) b",    "",   NULL};
    static const char shown[] = "/bin/sh\0-c\0kill -STOP $$\0a) b\0";
    const struct epb_spawn spec = {.file = argv[0], .argv = argv, .envp = environment};
    char arguments[64];
    uint32_t parent = 0;
    size_t length = 0;

    uint32_t pid = start(&spec);

    cr_assert(epb_proc_describe(pid, &parent, arguments, sizeof(arguments), &length));
    cr_assert_eq(parent, (uint32_t)getpid());
    cr_assert_eq(length, sizeof(shown));
    cr_assert_arr_eq(arguments, shown, sizeof(shown));
    cr_assert(epb_proc_describe(pid, &parent, arguments, 9, &length));
    cr_assert_eq(length, 9, "cut");
    cr_assert_eq(epb_proc_kill(pid, false, SIGKILL), EPB_OK);
    assert_signal(pid, SIGKILL);
    cr_assert_not(epb_proc_describe(pid, &parent, arguments, sizeof(arguments), &length));
}

Test(proc, a_name_that_looks_like_more_does_not_hide_the_parent)
{
    char arguments[1];
    uint32_t parent = 0;
    size_t length = 0;

    cr_assert_eq(prctl(PR_SET_NAME, "x) S 1 (", 0, 0, 0), 0);
    cr_assert(epb_proc_describe(epb_sys_pid(), &parent, arguments, 1, &length));
    cr_assert_eq(parent, (uint32_t)getppid());
}

Test(proc, watching_tells_who_ended)
{
    int wake[2];
    uint32_t pids[3] = {sleeper(), sleeper(), sleeper()};
    uint32_t died = 0;

    cr_assert_eq(pipe(wake), 0);
    cr_assert_eq(epb_proc_kill(pids[1], false, SIGKILL), EPB_OK);
    cr_assert_eq(epb_proc_watch(pids, 3, wake[0], &died), EPB_PROC_DIED);
    cr_assert_eq(died, pids[1]);
    assert_signal(pids[1], SIGKILL);
    /* Not there any more. */
    cr_assert_eq(epb_proc_watch(pids, 3, wake[0], &died), EPB_PROC_DIED);
    cr_assert_eq(died, pids[1]);
    pids[1] = pids[2];
    cr_assert_eq(write(wake[1], "x", 1), 1);
    cr_assert_eq(epb_proc_watch(pids, 2, wake[0], &died), EPB_PROC_WOKEN);
    cr_assert_eq(epb_proc_watch(pids, 0, wake[0], &died), EPB_PROC_WOKEN);
    for (unsigned i = 0; i < 3; i += 2) {
        cr_assert_eq(epb_proc_kill(pids[i], false, SIGKILL), EPB_OK);
        assert_signal(pids[i], SIGKILL);
    }
}

#endif
