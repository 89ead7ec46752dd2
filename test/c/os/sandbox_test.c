/* What a confined thread can't do any more, and what it still can. */
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "forbidden.h"
#include "io_help.h"
#include "os/sandbox.h"
#include "os/socket.h"

#ifdef __linux__

static char outside[64];
static struct forbidden forbidden;

static void
begin(void)
{
    (void)snprintf(outside, sizeof(outside), "/tmp/epb-outside-XXXXXX");
    cr_assert_not_null(mkdtemp(outside));
    cr_assert(forbidden_begin(&forbidden, outside, getppid()));
}

static void
end(void)
{
    forbidden_end(&forbidden);
    cr_assert_eq(rmdir(outside), 0, "something is left in %s", outside);
}

static void
skip_without_filter(void)
{
    if (!epb_sandbox_supported().calls || getenv("EPB_TEST_NO_SANDBOX") != NULL) {
        cr_skip("no filter for system calls here");
    }
}

/* The status of a child that runs `play`. */
static int
in_child(int (*play)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        _exit(play());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

/* The attempts do succeed, or fail for another reason, outside of a sandbox: else their
 * refusal would show nothing. */
Test(sandbox, attempts_are_not_refused_outside, .init = begin, .fini = end)
{
    static const forbidden_fn harmless[] = {try_open,     try_socket, try_kill,
                                            try_fork,     try_clone3, try_mprotect_exec,
                                            try_mmap_exec};

    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        cr_assert_geq(harmless[i](&forbidden), 0, "attempt %zu: %s", i, strerror(errno));
    }
}

static int
try_everything(void)
{
    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = "/run/nothing"});
    for (size_t i = 0; i < FORBIDDEN_COUNT; i++) {
        if (!is_refused(FORBIDDEN[i].attempt(&forbidden))) {
            return (int)i + 1;
        }
    }
    return 0;
}

Test(sandbox, everything_forbidden_is_refused, .init = begin, .fini = end)
{
    skip_without_filter();
    int status = in_child(try_everything);
    cr_assert(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    cr_assert_geq(FORBIDDEN_COUNT, 12);
    int number = WEXITSTATUS(status);
    cr_assert_eq(number, 0, "not refused: %s",
                 number == 0 ? "" : FORBIDDEN[number - 1].name);
}

#define ORDINARY_USER 12345U

static int
know_the_user(void)
{
    if (geteuid() == 0 && setuid(ORDINARY_USER) != 0) {
        return 77;
    }
    uid_t own = geteuid();
    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    return epb_socket_own_uid(own) && !epb_socket_own_uid(own + 1) ? 0 : 1;
}

/* As any user but root: root may use every broker. */
Test(sandbox, its_own_user_is_still_known)
{
    skip_without_filter();
    int status = in_child(know_the_user);
    cr_assert(WIFEXITED(status) &&
                  (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77),
              "%d", status);
}

static struct broker broker;
static const char *_Atomic succeeded;
static atomic_bool tried;

/* Runs on the engine's thread. */
static void
on_heartbeat(void *context, enum epb_server_event event, struct epb_bytes json)
{
    broker_on_event(context, event, json);
    if (event == EPB_SERVER_HEARTBEAT && !atomic_load(&tried)) {
        atomic_store(&succeeded, forbidden_first_success(&forbidden));
        atomic_store(&tried, true);
    }
}

Test(sandbox, the_engines_thread_is_refused_everything_and_serves_on, .init = begin,
     .fini = end)
{
    skip_without_filter();
    broker_init(&broker);
    broker.options.on_event = on_heartbeat;
    broker.options.heartbeat_ms = 1;
    broker_start(&broker);
    int fd = peer_open(&broker);
    while (!atomic_load(&tried)) {
        peer_ping(fd);
    }
    cr_assert_null(atomic_load(&succeeded), "not refused: %s", atomic_load(&succeeded));
    peer_ping(fd);
    peer_set(fd, "key", 'v', 200000, 60000);
    close(fd);
    broker_stop(&broker);
}

/* A file in the socket's folder can be removed, but neither read nor written. */
static int
remove_in_folder(void)
{
    char path[100];

    (void)snprintf(path, sizeof(path), "%s/socket", outside);
    struct epb_sandbox_parts parts =
        epb_sandbox_enter(&(struct epb_sandbox){.socket_path = path});
    if (!parts.files) {
        return 77;
    }
    if (open(forbidden.file, O_RDONLY) >= 0) {
        return 1;
    }
    /* Not the folder itself, nor a name elsewhere. */
    if (unlinkat(AT_FDCWD, outside, AT_REMOVEDIR) == 0 ||
        unlinkat(AT_FDCWD, "/tmp/epb-nothing", 0) == 0 || errno != EACCES) {
        return 2;
    }
    return unlinkat(AT_FDCWD, forbidden.file, 0) == 0 ? 0 : 3;
}

Test(sandbox, names_are_removed_from_the_sockets_folder_only, .init = begin, .fini = end)
{
    struct stat status;

    /* A name elsewhere, which a refusal must come before. */
    skip_without_filter();
    int file = open("/tmp/epb-nothing", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int ended = in_child(remove_in_folder);
    (void)unlink("/tmp/epb-nothing");
    close(file);
    if (WEXITSTATUS(ended) == 77) {
        cr_skip("no Landlock here");
    }
    cr_assert_eq(ended, 0, "step %d", WEXITSTATUS(ended));
    cr_assert_neq(stat(forbidden.file, &status), 0);
}

/* A file that was opened before can be written; a listed process can be signalled. */
static int
use_what_is_kept(void)
{
    const struct epb_sandbox sandbox = {.pidfds = &forbidden.pidfd, .pidfd_count = 1};
    struct epb_sandbox_parts parts = epb_sandbox_enter(&sandbox);

    if (parts.signals || write(forbidden.log, "line\n", 5) != 5) {
        return 1;
    }
    if (try_pidfd_signal(&forbidden) != 0 || is_refused(0)) {
        return 2;
    }
    return is_refused(try_kill(&forbidden)) ? 0 : 3;
}

Test(sandbox, open_files_and_held_processes_are_kept, .init = begin, .fini = end)
{
    skip_without_filter();
    int status = in_child(use_what_is_kept);
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}

static void *
add_one(void *number)
{
    (*(int *)number)++;
    return number;
}

static int
start_threads(void)
{
    int number = 0;
    pthread_t thread;

    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    for (int i = 0; i < 10; i++) {
        if (pthread_create(&thread, NULL, add_one, &number) != 0 ||
            pthread_join(thread, NULL) != 0) {
            return 1;
        }
    }
    return number == 10 ? 0 : 2;
}

Test(sandbox, threads_can_be_started)
{
    skip_without_filter();
    cr_assert_eq(in_child(start_threads), 0);
}

static int
end_by_signal(void)
{
    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    signal(SIGTERM, SIG_DFL);
    (void)kill((pid_t)epb_sys_pid(), SIGTERM);
    return 1;
}

Test(sandbox, the_process_can_end_itself)
{
    skip_without_filter();
    int status = in_child(end_by_signal);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "%x", status);
}

#ifdef __x86_64__

static int
call_of_32_bits(void)
{
    long number = 20; /* getpid */

    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    __asm__ __volatile__("int $0x80" : "+a"(number) : : "memory");
    return 0;
}

static int
call_of_x32(void)
{
    (void)epb_sandbox_enter(&(struct epb_sandbox){.socket_path = NULL});
    (void)syscall(0x40000000L | SYS_getpid);
    return 0;
}

Test(sandbox, a_call_of_another_abi_ends_the_process)
{
    skip_without_filter();
    int status = in_child(call_of_32_bits);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%x", status);
    status = in_child(call_of_x32);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%x", status);
}

#endif

Test(sandbox, at_most_forty_calls_are_allowed)
{
    cr_assert_leq(epb_syscall_filter_calls(), EPB_SYSCALL_FILTER_CALLS_MAX);
}

/* Both threads of a native broker are confined, and its names are removed. */
static int
confine_both(void)
{
    struct epb_server_options options = {.sandbox = true, .on_event = broker_on_event};
    struct epb_server *server = NULL;
    int os_error = 0;

    options.event_context = &broker;
    epb_options_default(&options.engine);
    if (epb_server_start(&options, &server, &os_error) != EPB_OK) {
        return 1;
    }
    (void)epb_sandbox_enter(
        &(struct epb_sandbox){.socket_path = epb_server_path(server)});
    epb_server_stop(server);
    return 0;
}

Test(sandbox, a_server_is_stopped_by_a_confined_thread)
{
    skip_without_filter();
    broker_init(&broker);
    cr_assert_eq(in_child(confine_both), 0);
    remove_own_directory();
}

#endif
