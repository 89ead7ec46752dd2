/* Real processes. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/sys.h"
#include "helpers.h"

/* A process that has become this program, and has stopped itself. */
static pid_t
start_stopped(const char *const *argv)
{
    int status = 0;
    union {
        const char *const *in;
        char *const *out;
    } vector = {.in = argv};
    pid_t child = fork();

    if (child == 0) {
        (void)execv(argv[0], vector.out);
        _exit(1);
    }
    cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
    cr_assert(WIFSTOPPED(status));
    return child;
}

Test(proc, describing_tells_the_parent_and_the_arguments)
{
    static const char *const argv[] = {"/bin/sh", "-c", "kill -STOP $$",
                                       "a) b",    "",   NULL};
    static const char shown[] = "/bin/sh\0-c\0kill -STOP $$\0a) b\0";
    char arguments[64];
    uint32_t parent = 0;
    size_t length = 0;
    pid_t child = start_stopped(argv);
    uint32_t pid = (uint32_t)child;

    cr_assert(epb_proc_describe(pid, &parent, arguments, sizeof(arguments), &length));
    cr_assert_eq(parent, (uint32_t)getpid());
    cr_assert_eq(length, sizeof(shown));
    cr_assert_arr_eq(arguments, shown, sizeof(shown));
    cr_assert(epb_proc_describe(pid, &parent, arguments, 9, &length));
    cr_assert_eq(length, 9, "cut");
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
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
