/* Where a broker listens: names, rights, locks, what dead brokers left. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io_help.h"
#include "os/fd.h"
#include "server/endpoint.h"
#include "server/endpoint_stale.h"

static struct epb_endpoint *
open_or_fail(const char *pipe_id)
{
    struct epb_endpoint *endpoint = NULL;
    struct epb_endpoint_spec spec = {.pipe_id = pipe_id};

    own_directory();
    int error = epb_endpoint_open(&spec, &endpoint);
    cr_assert_eq(error, 0, "%s", epb_os_error_name(error));
    return endpoint;
}

static int
open_error(const char *path, const char *pipe_id)
{
    struct epb_endpoint *endpoint = NULL;
    struct epb_endpoint_spec spec = {.path = path, .pipe_id = pipe_id};

    own_directory();
    int error = epb_endpoint_open(&spec, &endpoint);
    if (error == 0) {
        epb_endpoint_close(endpoint);
    }
    return error;
}

static int
connect_error(const char *path)
{
    int fd = -1;
    int error = epb_socket_connect(path, &fd);

    if (error == 0) {
        epb_fd_close(fd);
    }
    return error;
}

static unsigned
entries_of(const char *path)
{
    unsigned count = 0;
    DIR *entries = opendir(path);

    cr_assert_not_null(entries);
    while (readdir(entries) != NULL) {
        count++;
    }
    closedir(entries);
    return count - 2; /* without . and .. */
}

static const char *
in_directory(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", own_directory(), name);
    return path;
}

/* A socket as a killed broker leaves it. */
static void
leave_dead_socket(const char *path)
{
    int fd = -1;

    cr_assert_eq(epb_socket_new(&fd), 0);
    cr_assert_eq(epb_socket_bind(fd, path), 0);
    epb_fd_close(fd);
    cr_assert_eq(connect_error(path), UV_ECONNREFUSED);
}

static void
make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
}

Test(endpoint, a_random_name_is_a_socket_for_its_owner_alone)
{
    struct epb_endpoint *endpoint = open_or_fail(NULL);
    const char *path = epb_endpoint_path(endpoint);
    struct stat status;

    size_t prefix = strlen(own_directory());

    cr_assert_eq(strncmp(path, own_directory(), prefix), 0);
    cr_assert_eq(strncmp(path + prefix, "/broker-", 8), 0);
    cr_assert_eq(strspn(path + prefix + 8, "0123456789abcdef"), 32);
    cr_assert_eq(strncmp(path + prefix + 1, dead_name(), 7 + 8), 0, "made by this boot");
    cr_assert_str_eq(path + prefix + 8 + 32, ".sock");
    cr_assert_eq(lstat(path, &status), 0);
    cr_assert(S_ISSOCK(status.st_mode));
    cr_assert_eq(status.st_mode & 07777, 0700);
    cr_assert_eq(entries_of(own_directory()), 1, "a temporary name is left");
    cr_assert_eq(connect_error(path), 0);
    epb_endpoint_close(endpoint);
    remove_own_directory();
}

Test(endpoint, the_mode_does_not_depend_on_the_umask)
{
    static const mode_t masks[] = {0, 0777, 0077, 0700};

    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        struct stat status;
        own_directory();
        mode_t before = umask(masks[i]);
        struct epb_endpoint *endpoint = open_or_fail(NULL);
        umask(before);
        cr_assert_eq(lstat(epb_endpoint_path(endpoint), &status), 0);
        cr_expect_eq(status.st_mode & 07777, 0700, "umask %o gives %o",
                     (unsigned)masks[i], (unsigned)status.st_mode);
        epb_endpoint_close(endpoint);
    }
    remove_own_directory();
}

Test(endpoint, two_random_names_differ)
{
    struct epb_endpoint *one = open_or_fail(NULL);
    struct epb_endpoint *other = open_or_fail(NULL);

    cr_assert_str_neq(epb_endpoint_path(one), epb_endpoint_path(other));
    epb_endpoint_close(one);
    cr_assert_eq(connect_error(epb_endpoint_path(other)), 0);
    epb_endpoint_close(other);
    remove_own_directory();
}

Test(endpoint, a_fixed_name_belongs_to_one_broker)
{
    struct epb_endpoint *endpoint = open_or_fail("my_pipe-1");

    cr_assert_str_eq(epb_endpoint_path(endpoint), in_directory("broker-my_pipe-1.sock"));
    cr_assert_eq(open_error(NULL, "my_pipe-1"), UV_EADDRINUSE);
    cr_assert_eq(connect_error(epb_endpoint_path(endpoint)), 0,
                 "the loser broke the winner");
    epb_endpoint_close(endpoint);
    cr_assert_eq(entries_of(own_directory()), 0, "the lock is left");
    epb_endpoint_close(open_or_fail("my_pipe-1"));
    remove_own_directory();
}

Test(endpoint, a_fixed_name_is_taken_over_from_a_dead_broker)
{
    own_directory();
    leave_dead_socket(in_directory("broker-x.sock"));
    leave_lock(in_directory("broker-x.lock"));
    struct epb_endpoint *endpoint = open_or_fail("x");
    cr_assert_eq(connect_error(epb_endpoint_path(endpoint)), 0);
    epb_endpoint_close(endpoint);
    remove_own_directory();
}

/* To us the socket of a living broker of another kernel looks like a dead one. */
Test(endpoint, a_fixed_name_is_not_taken_over_from_another_kernel)
{
    static const char *const records[] = {"epb 0123456789abcdef0123456789abcdef\n", ""};

    own_directory();
    for (size_t i = 0; i < 2; i++) {
        leave_dead_socket(in_directory("broker-x.sock"));
        write_file(in_directory("broker-x.lock"), records[i]);
        cr_assert_eq(open_error(NULL, "x"), UV_EADDRINUSE);
        cr_assert_eq(unlink(in_directory("broker-x.sock")), 0, "the socket is gone");
        cr_assert_eq(unlink(in_directory("broker-x.lock")), i == 0 ? 0 : -1);
    }
    /* Without a socket it is free, whoever had it. */
    write_file(in_directory("broker-x.lock"), records[0]);
    epb_endpoint_close(open_or_fail("x"));
    remove_own_directory();
}

Test(endpoint, a_lock_file_that_is_not_a_brokers_is_left_alone)
{
    own_directory();
    write_file(in_directory("broker-x.lock"), "{ \"somebody's\": 1 }");
    cr_assert_eq(open_error(NULL, "x"), UV_EPERM);
    cr_assert_eq(unlink(in_directory("broker-x.lock")), 0);
    /* A second name of a file. */
    write_file(in_directory("precious"), "");
    cr_assert_eq(link(in_directory("precious"), in_directory("broker-x.lock")), 0);
    cr_assert_eq(open_error(NULL, "x"), UV_EPERM);
    cr_assert_eq(unlink(in_directory("broker-x.lock")), 0);
    cr_assert_eq(unlink(in_directory("precious")), 0);
    remove_own_directory();
}

Test(endpoint, only_its_own_lock_file_is_removed)
{
    struct epb_endpoint *endpoint = open_or_fail("x");

    cr_assert_eq(unlink(in_directory("broker-x.lock")), 0);
    write_file(in_directory("broker-x.lock"), "another");
    epb_endpoint_close(endpoint);
    cr_assert_eq(unlink(in_directory("broker-x.lock")), 0, "it has removed another's");
    remove_own_directory();
}

Test(endpoint, a_fixed_name_is_not_taken_from_the_living)
{
    int fd = -1;

    /* Somebody who listens there and knows nothing of our lock. */
    own_directory();
    cr_assert_eq(epb_socket_new(&fd), 0);
    cr_assert_eq(epb_socket_bind(fd, in_directory("broker-x.sock")), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(open_error(NULL, "x"), UV_EADDRINUSE);
    cr_assert_eq(connect_error(in_directory("broker-x.sock")), 0);
    cr_assert_eq(unlink(in_directory("broker-x.sock")), 0);
    close(fd);
    make_file(in_directory("broker-x.sock"));
    cr_assert_eq(open_error(NULL, "x"), UV_EADDRINUSE, "a file that is no socket stays");
    cr_assert_eq(unlink(in_directory("broker-x.sock")), 0);
    remove_own_directory();
}

Test(endpoint, the_lock_follows_no_link)
{
    own_directory();
    make_file(in_directory("precious"));
    cr_assert_eq(symlink(in_directory("precious"), in_directory("broker-x.lock")), 0);
    cr_assert_eq(open_error(NULL, "x"), UV_ELOOP);
    cr_assert_eq(unlink(in_directory("broker-x.lock")), 0);
    cr_assert_eq(unlink(in_directory("precious")), 0);
    remove_own_directory();
}

Test(endpoint, only_proper_ids_are_names)
{
    static const char *const wrong[] = {
        "",
        "a/b",
        "..",
        "a.b",
        "a b",
        "\xc3\xa9",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(open_error(NULL, wrong[i]), UV_EINVAL, "%s", wrong[i]);
    }
    remove_own_directory();
}

Test(endpoint, a_whole_path_can_be_given)
{
    struct epb_endpoint *endpoint = NULL;
    struct epb_endpoint_spec spec = {.path = in_directory("mine")};
    char long_path[300];

    cr_assert_eq(epb_endpoint_open(&spec, &endpoint), 0);
    cr_assert_str_eq(epb_endpoint_path(endpoint), in_directory("mine"));
    cr_assert_eq(open_error(in_directory("mine"), NULL), UV_EADDRINUSE);
    epb_endpoint_close(endpoint);
    memset(long_path, 'x', sizeof(long_path));
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    cr_assert_eq(open_error(long_path, NULL), UV_ENAMETOOLONG);
    cr_assert_eq(open_error("", NULL), UV_EINVAL);
    cr_assert_eq(open_error(in_directory("missing/x"), NULL), UV_ENOENT);
    remove_own_directory();
}

Test(endpoint, the_directory_is_short_enough_and_absolute)
{
    static const char *const unfit[] = {"relative", "", "./x"};
    char deep[200];

    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        own_directory();
        cr_assert_eq(setenv("TMPDIR", unfit[i], 1), 0);
        struct epb_endpoint *endpoint = open_or_fail(NULL);
        cr_expect_eq(strncmp(epb_endpoint_path(endpoint), "/tmp/broker-", 12), 0);
        epb_endpoint_close(endpoint);
    }
    /* It exists, but a name in it fits no socket address. */
    memset(deep, 0, sizeof(deep));
    (void)snprintf(deep, sizeof(deep), "%s/%0*d", own_directory(), 80, 0);
    cr_assert_eq(mkdir(deep, 0700), 0);
    cr_assert_eq(setenv("TMPDIR", deep, 1), 0);
    struct epb_endpoint *endpoint = open_or_fail(NULL);
    cr_assert_eq(strncmp(epb_endpoint_path(endpoint), "/tmp/broker-", 12), 0);
    epb_endpoint_close(endpoint);
    cr_assert_eq(rmdir(deep), 0);
    remove_own_directory();
}

static void
expect_in(const char *expected)
{
    struct epb_endpoint *endpoint = open_or_fail(NULL);
    size_t size = strlen(expected);

    cr_expect_eq(strncmp(epb_endpoint_path(endpoint), expected, size), 0, "%s",
                 epb_endpoint_path(endpoint));
    cr_expect_eq(strncmp(epb_endpoint_path(endpoint) + size, "/broker-", 8), 0);
    epb_endpoint_close(endpoint);
}

Test(endpoint, a_place_that_holds_no_socket_is_skipped)
{
    struct epb_endpoint *endpoint;
    int why = 0;

    /* The helpers make it, and set TMPDIR. */
    (void)own_directory();
    /* Missing, and a file. */
    cr_assert_eq(setenv("TMPDIR", "/no/such/directory", 1), 0);
    expect_in("/tmp");
    cr_assert_eq(setenv("TMPDIR", "/etc/passwd", 1), 0);
    expect_in("/tmp");
    endpoint = open_or_fail(NULL);
    cr_assert_str_eq(epb_endpoint_skipped(endpoint, 0, &why), "/etc/passwd");
    cr_assert_eq(why, UV_ENOTDIR);
    cr_assert_null(epb_endpoint_skipped(endpoint, 1, &why));
    epb_endpoint_close(endpoint);
    remove_own_directory();
}

Test(endpoint, a_place_where_others_can_remove_names_comes_last)
{
    char shared[200];

    if (geteuid() != 0) {
        cr_skip("only root gives a directory away");
    }
    (void)snprintf(shared, sizeof(shared), "%s/shared", own_directory());
    cr_assert_eq(mkdir(shared, 0700), 0);
    cr_assert_eq(chown(shared, 12345, 12345), 0);
    cr_assert_eq(chmod(shared, 0777), 0);
    cr_assert_eq(setenv("TMPDIR", shared, 1), 0);
    expect_in("/tmp");
    /* With the sticky bit they can remove their own only. */
    cr_assert_eq(chmod(shared, 01777), 0);
    expect_in(shared);
    cr_assert_eq(rmdir(shared), 0);
    remove_own_directory();
}

Test(endpoint, dead_sockets_are_collected_and_nothing_else)
{
    /* Names that are nearly right, a live broker, and a file with the right name. */
    static const char *const keep[] = {
        "broker-0000000000000000000000000000000.sock",
        "broker-000000000000000000000000000000000.sock",
        "broker-0000000000000000000000000000000G.sock",
        "broker-00000000000000000000000000000001.sockx",
        "xbroker-0000000000000000000000000000000.sock",
        /* Of another kernel. */
        "broker-00000000000000000000000000000000.sock",
    };
    size_t kept = sizeof(keep) / sizeof(keep[0]);

    struct epb_endpoint *living = open_or_fail(NULL);

    for (size_t i = 0; i < kept; i++) {
        leave_dead_socket(in_directory(keep[i]));
    }
    make_file(in_directory("broker-ffffffffffffffffffffffffffffffff.sock"));
    leave_dead_socket(in_directory(dead_name()));
    struct epb_endpoint *endpoint = open_or_fail(NULL);
    cr_assert_eq(epb_endpoint_stale_removed(endpoint), 1);
    cr_assert_eq(connect_error(in_directory(dead_name())), UV_ENOENT);
    cr_assert_eq(connect_error(epb_endpoint_path(living)), 0);
    for (size_t i = 0; i < kept; i++) {
        cr_assert_eq(unlink(in_directory(keep[i])), 0, "%s is gone", keep[i]);
    }
    cr_assert_eq(unlink(in_directory("broker-ffffffffffffffffffffffffffffffff.sock")), 0);
    epb_endpoint_close(endpoint);
    epb_endpoint_close(living);
    remove_own_directory();
}

/* As a broker leaves it that was killed between bind and link, or before unlink. */
static void
set_time(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    cr_assert_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void
make_old(const char *path)
{
    set_time(path, 1000000000);
}

Test(endpoint, what_a_broker_left_while_it_made_its_socket_is_collected)
{
    own_directory();
    leave_dead_socket(in_directory(".epb-0123abcd"));
    make_old(in_directory(".epb-0123abcd"));
    cr_assert_eq(mkdir(in_directory(".epb-Ab3dE9"), 0700), 0);
    leave_dead_socket(in_directory(".epb-Ab3dE9/s"));
    make_old(in_directory(".epb-Ab3dE9"));
    cr_assert_eq(mkdir(in_directory(".epb-empty1"), 0700), 0);
    make_old(in_directory(".epb-empty1"));
    struct epb_endpoint *endpoint = open_or_fail(NULL);
    cr_assert_eq(epb_endpoint_stale_removed(endpoint), 3);
    epb_endpoint_close(endpoint);
    remove_own_directory();
}

Test(endpoint, what_is_being_made_or_is_not_ours_is_left_alone)
{
    static const char *const old[] = {".epb-0123abcG", ".epb-0123abcde",
                                      "x.epb-0123abcd"};

    own_directory();
    leave_dead_socket(in_directory(".epb-00000001"));
    set_time(in_directory(".epb-00000001"), time(NULL) + 3600);
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        leave_dead_socket(in_directory(old[i]));
        make_old(in_directory(old[i]));
    }
    make_file(in_directory(".epb-00000002"));
    make_old(in_directory(".epb-00000002"));
    make_file(in_directory(".epb-a-file"));
    make_old(in_directory(".epb-a-file"));
    cr_assert_eq(mkdir(in_directory(".epb-filled"), 0700), 0);
    make_file(in_directory(".epb-filled/s"));
    make_old(in_directory(".epb-filled"));
    cr_assert_eq(epb_endpoint_stale_collect(own_directory()), 0);
    cr_assert_eq(unlink(in_directory(".epb-00000001")), 0);
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        cr_assert_eq(unlink(in_directory(old[i])), 0);
    }
    cr_assert_eq(unlink(in_directory(".epb-00000002")), 0);
    cr_assert_eq(unlink(in_directory(".epb-a-file")), 0);
    cr_assert_eq(unlink(in_directory(".epb-filled/s")), 0);
    cr_assert_eq(rmdir(in_directory(".epb-filled")), 0);
    remove_own_directory();
}

static atomic_bool stealing;

/* Takes a quarter of the temporary names away, as early as it can. */
static void *
steal_temporary_names(void *unused)
{
    (void)unused;
    while (atomic_load(&stealing)) {
        DIR *entries = opendir(own_directory());
        const struct dirent *entry;

        while ((entry = readdir(entries)) != NULL) {
            if (strncmp(entry->d_name, ".epb-", 5) == 0 && entry->d_name[5] < '4') {
                (void)unlinkat(dirfd(entries), entry->d_name, 0);
            }
        }
        closedir(entries);
    }
    return NULL;
}

Test(endpoint, a_temporary_name_that_was_taken_away_is_made_anew)
{
    pthread_t thief;

    own_directory();
    atomic_store(&stealing, true);
    cr_assert_eq(pthread_create(&thief, NULL, steal_temporary_names, NULL), 0);
    for (unsigned i = 0; i < 200; i++) {
        struct epb_endpoint *endpoint = open_or_fail(NULL);

        cr_assert_eq(connect_error(epb_endpoint_path(endpoint)), 0);
        epb_endpoint_close(endpoint);
    }
    atomic_store(&stealing, false);
    cr_assert_eq(pthread_join(thief, NULL), 0);
    remove_own_directory();
}

Test(endpoint, another_users_socket_is_left_alone)
{
    if (geteuid() != 0) {
        cr_skip("only root can make another user's file");
    }
    own_directory();
    leave_dead_socket(in_directory(dead_name()));
    cr_assert_eq(chown(in_directory(dead_name()), 65534, 65534), 0);
    cr_assert_eq(epb_endpoint_stale_collect(own_directory()), 0);
    cr_assert_eq(unlink(in_directory(dead_name())), 0);
    remove_own_directory();
}

#ifdef __linux__

/* In a user namespace of its own, where no user has a number. */
static int
meet_without_a_number(void)
{
    int ends[2];
    struct stat status;
    char path[300];

    (void)snprintf(path, sizeof(path), "%s", in_directory(dead_name()));
    leave_dead_socket(path);
    if (unshare(CLONE_NEWUSER) != 0) {
        return 77;
    }
    if (stat(path, &status) != 0 || status.st_uid != geteuid()) {
        return 1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
        epb_socket_peer_trusted(ends[0])) {
        return 2;
    }
    return epb_endpoint_stale_remove(path) ? 3 : 0;
}

Test(endpoint, users_without_a_number_are_not_the_same)
{
    int status = 0;

    own_directory();
    pid_t child = fork();
    if (child == 0) {
        _exit(meet_without_a_number());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(unlink(in_directory(dead_name())), 0);
    remove_own_directory();
    if (WEXITSTATUS(status) == 77) {
        cr_skip("no user namespaces here");
    }
    cr_assert_eq(status, 0);
}

#endif

Test(endpoint, only_what_is_still_ours_is_removed)
{
    struct epb_endpoint *endpoint = open_or_fail("x");

    cr_assert_eq(unlink(in_directory("broker-x.sock")), 0);
    make_file(in_directory("broker-x.sock"));
    epb_endpoint_close(endpoint);
    cr_assert_eq(unlink(in_directory("broker-x.sock")), 0,
                 "somebody else's file is gone");
    remove_own_directory();
}

Test(endpoint, a_forked_child_removes_nothing)
{
    struct epb_endpoint *endpoint = open_or_fail("x");
    int status = -1;

    pid_t child = fork();

    if (child == 0) {
        epb_endpoint_close(endpoint);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(connect_error(epb_endpoint_path(endpoint)), 0);
    cr_assert_eq(open_error(NULL, "x"), UV_EADDRINUSE);
    epb_endpoint_close(endpoint);
    remove_own_directory();
}

static void
leave_at_once(void)
{
    _exit(0);
}

Test(endpoint, exit_removes_the_names)
{
    int status = -1;

    own_directory();
    pid_t child = fork();
    if (child == 0) {
        /* Runs after the endpoints' own handler, and spares us those of the test program.
         */
        (void)atexit(leave_at_once);
        (void)open_or_fail("x");
        (void)open_or_fail(NULL);
        exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(entries_of(own_directory()), 0);
    remove_own_directory();
}

/* Signals: what a process that has two endpoints does on one */

enum handling {
    DEFAULT,
    ONE_TIME,
    HANDLED,
    IGNORED
};

#define LIVED_ON 33
#define SAID_GOODBYE 'g'

static int goodbye_fd;

static void
say_goodbye(int number)
{
    (void)number;
    (void)write(goodbye_fd, &(char){SAID_GOODBYE}, 1);
}

static void
handle(int number, enum handling handling)
{
    struct sigaction action = {.sa_handler = say_goodbye};

    if (handling == DEFAULT) {
        action.sa_handler = SIG_DFL;
    }
    if (handling == IGNORED) {
        action.sa_handler = SIG_IGN;
    }
    if (handling == ONE_TIME) {
        action.sa_flags = (int)SA_RESETHAND;
    }
    cr_assert_eq(sigaction(number, &action, NULL), 0);
}

struct signalled {
    int status;   /* of waitpid */
    bool goodbye; /* its handler was called */
    size_t names; /* that it left */
};

/* The handler for one time ends nobody: a second signal does, as in Node. */
static struct signalled
signal_a_process(int number, enum handling handling)
{
    struct signalled result = {.status = -1};
    int ends[2];
    char said = 0;

    own_directory();
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        goodbye_fd = ends[1];
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        handle(number, handling);
        (void)open_or_fail("x");
        (void)open_or_fail(NULL);
        (void)raise(number);
        if (handling == ONE_TIME) {
            (void)raise(number);
        }
        _exit(LIVED_ON);
    }
    (void)close(ends[1]);
    cr_assert_eq(waitpid(child, &result.status, 0), child);
    result.goodbye = read(ends[0], &said, 1) == 1 && said == SAID_GOODBYE;
    (void)close(ends[0]);
    result.names = entries_of(own_directory());
    (void)unlink(in_directory("broker-x.sock"));
    (void)unlink(in_directory("broker-x.lock"));
    (void)epb_endpoint_stale_collect(own_directory());
    remove_own_directory();
    return result;
}

static const int endings[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                              SIGUSR2, SIGABRT, SIGXCPU, SIGXFSZ};
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

Test(endpoint, a_fatal_signal_removes_the_names_and_stays_fatal)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        struct signalled result = signal_a_process(endings[i], DEFAULT);
        cr_assert(WIFSIGNALED(result.status) && WTERMSIG(result.status) == endings[i],
                  "signal %d: status %d", endings[i], result.status);
        cr_assert_eq(result.names, 0, "signal %d", endings[i]);
    }
}

Test(endpoint, a_handler_for_one_time_is_called_after_the_names_are_gone)
{
    struct signalled result = signal_a_process(SIGTERM, ONE_TIME);

    cr_assert(result.goodbye);
    cr_assert(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGTERM);
    cr_assert_eq(result.names, 0);
}

Test(endpoint, a_signal_that_the_program_handles_is_its_own)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        struct signalled handled = signal_a_process(endings[i], HANDLED);
        struct signalled ignored = signal_a_process(endings[i], IGNORED);
        cr_assert(WIFEXITED(handled.status) && WEXITSTATUS(handled.status) == LIVED_ON);
        cr_assert(handled.goodbye && handled.names == 3, "signal %d", endings[i]);
        cr_assert(WIFEXITED(ignored.status) && WEXITSTATUS(ignored.status) == LIVED_ON);
        cr_assert(!ignored.goodbye && ignored.names == 3, "signal %d", endings[i]);
    }
}

Test(endpoint, connecting_says_clearly_what_is_wrong)
{
    char long_path[300];

    own_directory();
    memset(long_path, 'x', sizeof(long_path));
    long_path[sizeof(long_path) - 1] = '\0';
    cr_assert_eq(connect_error(in_directory("missing")), UV_ENOENT);
    cr_assert_eq(connect_error(long_path), UV_ENAMETOOLONG);
    cr_assert_eq(connect_error(""), UV_EINVAL);
    make_file(in_directory("file"));
    cr_assert_eq(connect_error(in_directory("file")), UV_ENOTSOCK);
    cr_assert_eq(connect_error(own_directory()), UV_ENOTSOCK);
    cr_assert_eq(unlink(in_directory("file")), 0);
    remove_own_directory();
}

Test(endpoint, a_full_queue_means_alive)
{
    int listener = -1;
    int fds[8];
    int error = 0;
    unsigned count = 0;

    own_directory();
    cr_assert_eq(epb_socket_new(&listener), 0);
    cr_assert_eq(epb_socket_bind(listener, in_directory("s")), 0);
    cr_assert_eq(listen(listener, 1), 0);
    while (count < 8 && error == 0) {
        error = epb_socket_connect(in_directory("s"), &fds[count]);
        count += error == 0;
    }
    cr_assert_eq(error, UV_EAGAIN);
    while (count > 0) {
        close(fds[--count]);
    }
    close(listener);
    cr_assert_eq(unlink(in_directory("s")), 0);
    remove_own_directory();
}

/* A visible name listens */

static atomic_bool scanning;

static void *
scan(void *context)
{
    unsigned *dead = context;

    while (scanning) {
        DIR *entries = opendir(own_directory());
        for (struct dirent *entry = readdir(entries); entry != NULL;
             entry = readdir(entries)) {
            if (strstr(entry->d_name, ".sock") == NULL) {
                continue;
            }
            char path[512];
            (void)snprintf(path, sizeof(path), "%s/%s", own_directory(), entry->d_name);
            *dead += connect_error(path) != 0;
        }
        closedir(entries);
    }
    return NULL;
}

Test(endpoint, a_visible_name_always_listens)
{
    struct epb_endpoint *endpoints[100];
    unsigned dead = 0;
    pthread_t scanner;

    own_directory();
    scanning = true;
    cr_assert_eq(pthread_create(&scanner, NULL, scan, &dead), 0);
    for (size_t i = 0; i < 100; i++) {
        endpoints[i] = open_or_fail(NULL);
    }
    scanning = false;
    pthread_join(scanner, NULL);
    cr_assert_eq(dead, 0, "%u names did not listen", dead);
    for (size_t i = 0; i < 100; i++) {
        epb_endpoint_close(endpoints[i]);
    }
    remove_own_directory();
}
