/*
 * Attacks on the place where a broker listens, by other users, by whoever may write to
 * its directory, and by others that want its name.
 *
 * Where an instant matters, nothing is left to chance: a child opens an endpoint and is
 * stopped at the beginning and at the end of each of its system calls (ptrace), so that
 * every state that another process could ever see is looked at.
 */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "attack_help.h"
#include "server/endpoint_stale.h"

#define NOBODY 65534
#define LOCK "broker-attacked.lock"

/* A child, system call by system call */

struct stepped {
    mode_t mask;
    const char *pipe_id;
    bool kill; /* at the stop that at_stop says */
    /* At every stop; true: it has done what it wanted to. */
    bool (*at_stop)(void *context, unsigned stop);
    void *context;
};

static _Noreturn void
be_stepped(const struct stepped *stepped)
{
    struct epb_endpoint *endpoint = NULL;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(77);
    }
    (void)raise(SIGSTOP);
    (void)umask(stepped->mask);
    if (open_endpoint(stepped->pipe_id, &endpoint) == 0) {
        epb_endpoint_close(endpoint);
    }
    _exit(0);
}

/* Runs the child to its end, or to where it is killed; returns how often it stopped. */
static unsigned
step_through(const struct stepped *stepped)
{
    int status = 0;
    unsigned stops = 0;

    own_directory();
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        be_stepped(stepped);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        cr_assert_eq(WEXITSTATUS(status), 77);
        cr_skip("tracing is not allowed here");
    }
    cr_assert_eq(
        ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
        0);
    while (WIFSTOPPED(status)) {
        bool done = stepped->at_stop(stepped->context, stops++);
        if (done && stepped->kill) {
            cr_assert_eq(kill(child, SIGKILL), 0);
        }
        if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0) {
            cr_assert_eq(errno, ESRCH);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
    }
    cr_assert(stepped->kill || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
              "the child ended with %x", (unsigned)status);
    return stops;
}

/* Never open to others */

struct seen {
    unsigned sockets;
    unsigned visible;
    mode_t mask;
};

static void
look_at_rights(void *context, const char *name)
{
    struct seen *seen = context;
    struct stat status;
    const char *path = in_directory(name);

    cr_assert_eq(lstat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0077, 0, "%s has mode %o under umask %o", name,
                 (unsigned)status.st_mode & 07777, (unsigned)seen->mask);
    seen->sockets += S_ISSOCK(status.st_mode);
    if (!S_ISSOCK(status.st_mode) || strncmp(name, "broker-", 7) != 0) {
        return;
    }
    seen->visible++;
    cr_assert_eq(status.st_mode & 07777, 0700);
    cr_assert_eq(connect_error(path), 0, "a name that does not listen");
}

static bool
look_at_all_rights(void *context, unsigned stop)
{
    (void)stop;
    each_name(look_at_rights, context);
    return false;
}

Test(attack_endpoint, at_no_instant_do_others_have_rights_under_any_umask)
{
    static const mode_t masks[] = {0, 0002, 0022, 0077, 0700, 0777};
    static const char *const ids[] = {NULL, "attacked"};

    for (size_t i = 0; i < 2 * sizeof(masks) / sizeof(masks[0]); i++) {
        struct seen seen = {.mask = masks[i / 2]};
        struct stepped stepped = {.mask = masks[i / 2],
                                  .pipe_id = ids[i % 2],
                                  .at_stop = look_at_all_rights,
                                  .context = &seen};
        (void)step_through(&stepped);
        /* It has been there to be seen, before and after it got its name. */
        cr_assert_gt(seen.visible, 0);
        cr_assert_gt(seen.sockets, seen.visible);
    }
    remove_own_directory();
}

/* Another user who tries every name as fast as it can. */
static _Noreturn void
hammer(atomic_uint *tries, atomic_bool *stop)
{
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
        _exit(2);
    }
    while (!atomic_load(stop)) {
        DIR *entries = opendir(own_directory());
        if (entries == NULL) {
            _exit(3);
        }
        for (struct dirent *entry = readdir(entries); entry != NULL;
             entry = readdir(entries)) {
            if (strstr(entry->d_name, "broker-") == NULL &&
                strstr(entry->d_name, ".epb-") == NULL) {
                continue;
            }
            if (connect_error(in_directory(entry->d_name)) == 0) {
                _exit(1);
            }
            atomic_fetch_add(tries, 1);
        }
        closedir(entries);
    }
    _exit(0);
}

Test(attack_endpoint, another_user_never_gets_through_while_brokers_start)
{
    struct shared {
        atomic_uint tries;
        atomic_bool stop;
    };
    int status = -1;

    if (geteuid() != 0) {
        cr_skip("only root can become another user");
    }
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    cr_assert_eq(chmod(own_directory(), 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        hammer(&shared->tries, &shared->stop);
    }
    mode_t before = umask(0);
    unsigned rounds = 0;
    /* As many starts as it takes until it has tried often, and some more. */
    while (rounds < 300 || atomic_load(&shared->tries) < 300) {
        struct epb_endpoint *endpoint = NULL;
        cr_assert_eq(open_endpoint(rounds % 2 ? "attacked" : NULL, &endpoint), 0);
        epb_endpoint_close(endpoint);
        rounds++;
        cr_assert_eq(waitpid(child, &status, WNOHANG), 0, "it got through: %x",
                     (unsigned)status);
    }
    umask(before);
    atomic_store(&shared->stop, true);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(munmap(shared, sizeof(*shared)), 0);
    remove_own_directory();
}

/* But for those that tell the boot. */
Test(attack_endpoint, every_bit_of_a_random_name_is_random)
{
    unsigned ones[128] = {0};
    enum {
        NAMES = 64
    };

    own_directory();
    for (unsigned i = 0; i < NAMES; i++) {
        struct epb_endpoint *endpoint = NULL;
        cr_assert_eq(open_endpoint(NULL, &endpoint), 0);
        const char *hex = strrchr(epb_endpoint_path(endpoint), '-') + 1;
        cr_assert_eq(strspn(hex, "0123456789abcdef"), 32);
        for (unsigned bit = 0; bit < 128; bit++) {
            const char digit[] = {hex[bit / 4], '\0'};
            ones[bit] += strtoul(digit, NULL, 16) >> bit % 4 & 1U;
        }
        epb_endpoint_close(endpoint);
    }
    /* One in 2^56 runs fails by chance. */
    for (unsigned bit = 4 * EPB_SOCKET_BOOT_HEX; bit < 128; bit++) {
        cr_assert_gt(ones[bit], 0, "bit %u is always 0", bit);
        cr_assert_lt(ones[bit], NAMES, "bit %u is always 1", bit);
    }
    remove_own_directory();
}

/* Other things under the names */

/* What somebody put in the directory, and how it looked then. */
struct decoy {
    char path[300];
    struct stat status;
};

static void
note(struct decoy *decoy, const char *name)
{
    (void)snprintf(decoy->path, sizeof(decoy->path), "%s", in_directory(name));
    cr_assert_eq(lstat(decoy->path, &decoy->status), 0, "%s", strerror(errno));
}

static void
assert_untouched(const struct decoy *decoy)
{
    struct stat now;

    cr_assert_eq(lstat(decoy->path, &now), 0, "%s is gone", decoy->path);
    cr_assert_eq(now.st_ino, decoy->status.st_ino);
    cr_assert_eq(now.st_mode, decoy->status.st_mode, "%s has mode %o", decoy->path,
                 (unsigned)now.st_mode);
    cr_assert_eq(now.st_uid, decoy->status.st_uid);
    cr_assert_eq(now.st_size, decoy->status.st_size);
    cr_assert_eq(now.st_nlink, decoy->status.st_nlink);
}

static void
make_file(const char *name)
{
    int fd = open(in_directory(name), O_CREAT | O_WRONLY | O_EXCL, 0644);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "mine", 4), 4);
    close(fd);
}

/* Every kind of thing that may be there under a broker's name; false: not this one. */
static bool
put_decoy(unsigned kind, const char *name)
{
    const char *path = in_directory(name);

    switch (kind) {
    case 0:
        make_file(name);
        return true;
    case 1:
        cr_assert_eq(mkdir(path, 0755), 0);
        return true;
    case 2:
        cr_assert_eq(mkfifo(path, 0644), 0);
        return true;
    case 3: /* to a file */
        cr_assert_eq(symlink(in_directory("target"), path), 0);
        return true;
    case 4: /* to nothing */
        cr_assert_eq(symlink(in_directory("nothing"), path), 0);
        return true;
    case 5: /* to a dead socket of ours, which has no broker's name */
        cr_assert_eq(symlink(in_directory("target-socket"), path), 0);
        return true;
    case 6: /* another user's dead socket */
        if (geteuid() != 0) {
            return false;
        }
        leave_dead_socket(path);
        cr_assert_eq(chown(path, NOBODY, NOBODY), 0);
        return true;
    default:
        return false;
    }
}

enum {
    DECOYS = 7
};

static void
each_decoy(const char *name, void (*attack)(const char *name))
{
    for (unsigned kind = 0; kind < DECOYS; kind++) {
        struct decoy targets[2];
        struct decoy decoy;
        own_directory();
        make_file("target");
        leave_dead_socket(in_directory("target-socket"));
        note(&targets[0], "target");
        note(&targets[1], "target-socket");
        if (put_decoy(kind, name)) {
            note(&decoy, name);
            attack(name);
            assert_untouched(&decoy);
            assert_untouched(&targets[0]);
            assert_untouched(&targets[1]);
            cr_assert_neq(access(in_directory("nothing"), F_OK), 0,
                          "a link was followed");
        }
        clean_directory();
    }
}

static void
open_on_decoy(const char *name)
{
    struct epb_endpoint *endpoint = NULL;

    cr_assert_neq(open_endpoint("attacked", &endpoint), 0, "it took over %s", name);
}

static void
collect_decoy(const char *name)
{
    struct epb_endpoint *endpoint = NULL;

    cr_assert_eq(epb_endpoint_stale_collect(own_directory()), 0, "%s was collected",
                 name);
    cr_assert_eq(open_endpoint(NULL, &endpoint), 0);
    cr_assert_eq(epb_endpoint_stale_removed(endpoint), 0);
    epb_endpoint_close(endpoint);
}

Test(attack_endpoint, nothing_else_under_a_fixed_name_is_touched)
{
    each_decoy(NAME, open_on_decoy);
}

Test(attack_endpoint, nothing_else_under_a_lock_name_is_touched)
{
    each_decoy(LOCK, open_on_decoy);
}

Test(attack_endpoint, nothing_but_dead_sockets_of_ours_is_collected)
{
    each_decoy(dead_name(), collect_decoy);
}

Test(attack_endpoint, another_users_lock_file_is_left_alone)
{
    struct epb_endpoint *endpoint = NULL;
    struct decoy decoy;

    if (geteuid() != 0) {
        cr_skip("only root can make another user's file");
    }
    own_directory();
    make_file(LOCK);
    cr_assert_eq(chown(in_directory(LOCK), NOBODY, NOBODY), 0);
    note(&decoy, LOCK);
    cr_assert_eq(open_endpoint("attacked", &endpoint), UV_EPERM);
    assert_untouched(&decoy);
    clean_directory();
}

/* Somebody who may rename in the directory */

struct swapper {
    unsigned after; /* how many stops show the name before it is exchanged */
    unsigned shown;
    const char *prefix; /* of the name that is exchanged */
    const char *target;
    bool done;
};

static void
swap_name(void *context, const char *name)
{
    struct swapper *swapper = context;

    if (swapper->done || strncmp(name, swapper->prefix, strlen(swapper->prefix)) != 0) {
        return;
    }
    if (swapper->shown++ < swapper->after) {
        return;
    }
    swapper->done = true;
    cr_assert_eq(unlink(in_directory(name)), 0);
    cr_assert_eq(symlink(in_directory(swapper->target), in_directory(name)), 0);
}

static bool
swap_names(void *context, unsigned stop)
{
    (void)stop;
    each_name(swap_name, context);
    return false;
}

/* A link in place of the socket, at each instant in turn: what it points to keeps its
 * rights and its content, whatever the umask makes the broker repair. */
static void
swap_at_every_instant(const char *prefix, const char *target)
{
    bool reached = true;

    for (unsigned after = 0; reached; after++) {
        struct swapper swapper = {.after = after, .prefix = prefix, .target = target};
        struct stepped stepped = {.mask = 0777,
                                  .pipe_id = "attacked",
                                  .at_stop = swap_names,
                                  .context = &swapper};
        struct decoy decoys[2];
        own_directory();
        make_file("target");
        leave_dead_socket(in_directory("target-socket"));
        cr_assert_eq(chmod(in_directory("target-socket"), 0666), 0);
        note(&decoys[0], "target");
        note(&decoys[1], "target-socket");
        (void)step_through(&stepped);
        assert_untouched(&decoys[0]);
        assert_untouched(&decoys[1]);
        clean_directory();
        reached = swapper.done;
        cr_assert(after > 0 || reached, "%s* was never there", prefix);
    }
}

Test(attack_endpoint, links_put_in_its_way_lead_it_nowhere)
{
    static const char *const prefixes[] = {".epb-", "broker-attacked.s",
                                           "broker-attacked.l"};

    for (size_t i = 0; i < 3; i++) {
        swap_at_every_instant(prefixes[i], "target");
        swap_at_every_instant(prefixes[i], "target-socket");
    }
}

/* Killed at every instant */

static bool
is_stop(void *context, unsigned stop)
{
    return stop == *(unsigned *)context;
}

Test(attack_endpoint, whenever_it_is_killed_the_next_of_its_name_starts)
{
    unsigned stops = UINT32_MAX;

    for (unsigned at = 0; at < stops; at++) {
        struct stepped stepped = {
            .pipe_id = "attacked", .kill = true, .at_stop = is_stop, .context = &at};
        struct epb_endpoint *endpoint = NULL;
        unsigned stopped = step_through(&stepped);
        if (stopped <= at) {
            stops = at;
        }
        cr_assert_eq(open_endpoint("attacked", &endpoint), 0, "killed at stop %u", at);
        cr_assert_eq(connect_error(in_directory(NAME)), 0);
        epb_endpoint_close(endpoint);
        cr_assert_neq(access(in_directory(NAME), F_OK), 0);
        cr_assert_neq(access(in_directory(LOCK), F_OK), 0);
    }
    cr_assert_gt(stops, 10);
    clean_directory();
}

/* A rival at every instant */

struct rival {
    unsigned at;
    bool tried;
    int error;
    struct epb_endpoint *endpoint;
};

static bool
open_rival(void *context, unsigned stop)
{
    struct rival *rival = context;

    if (stop == rival->at) {
        rival->tried = true;
        rival->error = open_endpoint("attacked", &rival->endpoint);
    }
    return false;
}

/* Both find the socket of a dead broker, and one of them is stopped in the middle of
 * removing it: the other one's must not go in its place. */
Test(attack_endpoint, whenever_a_rival_starts_it_is_refused_or_keeps_the_name)
{
    unsigned refused = 0;
    unsigned kept = 0;

    for (unsigned at = 0;; at++) {
        struct rival rival = {.at = at};
        struct stepped stepped = {
            .pipe_id = "attacked", .at_stop = open_rival, .context = &rival};
        own_directory();
        leave_dead_socket(in_directory(NAME));
        leave_lock(in_directory(LOCK));
        (void)step_through(&stepped);
        if (rival.tried && rival.error == 0) {
            kept++;
            cr_assert_eq(connect_error(in_directory(NAME)), 0, "stop %u took it", at);
            epb_endpoint_close(rival.endpoint);
        } else if (rival.tried) {
            refused++;
            cr_assert_eq(rival.error, UV_EADDRINUSE);
        }
        clean_directory();
        if (!rival.tried) {
            break;
        }
    }
    cr_assert(refused > 0 && kept > 0);
}

/* The lock */

/* A umask that takes the owner's rights makes no lock that outlasts its broker. */
Test(attack_endpoint, a_lock_made_under_any_umask_can_be_taken_again)
{
    int status = -1;

    if (geteuid() != 0) {
        cr_skip("as whoever runs the tests; root ignores rights");
    }
    cr_assert_eq(chmod(own_directory(), 01777), 0);
    pid_t child = fork();
    if (child == 0) {
        struct epb_endpoint *endpoint = NULL;
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
            _exit(2);
        }
        (void)umask(0777);
        if (open_endpoint("attacked", &endpoint) != 0) {
            _exit(3);
        }
        /* As after SIGKILL: another process finds the lock, the first while it is held.
         */
        struct epb_endpoint *second = NULL;
        if (open_endpoint("attacked", &second) != UV_EADDRINUSE) {
            _exit(4);
        }
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "%x", (unsigned)status);
    clean_directory();
}
