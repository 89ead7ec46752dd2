/* Many that want one name: processes that open it at the same moment, let it go, or are
 * killed with it. */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "attack_help.h"

enum {
    TWELVE = 12,
    STARTS = 60 /* each of them tries so often */
};

struct race {
    atomic_uint holders; /* how many have the name */
    atomic_uint started; /* how often somebody got it */
    atomic_uint ready;
    atomic_bool go;
};

/* Gets the name as often as it can and lets it go again, or dies with it. */
static _Noreturn void
contend(struct race *race, bool die)
{
    atomic_fetch_add(&race->ready, 1);
    while (!atomic_load(&race->go)) {
    }
    for (unsigned i = 0; i < STARTS; i++) {
        struct epb_endpoint *endpoint = NULL;
        int error = open_endpoint("attacked", &endpoint);
        if (error != 0 && error != UV_EADDRINUSE) {
            _exit(10);
        }
        if (error != 0) {
            continue;
        }
        if (atomic_fetch_add(&race->holders, 1) != 0) {
            _exit(11);
        }
        atomic_fetch_add(&race->started, 1);
        if (connect_error(epb_endpoint_path(endpoint)) != 0) {
            _exit(12);
        }
        if (die) {
            /* Holds it until it is killed. */
            for (;;) {
                pause();
            }
        }
        atomic_fetch_sub(&race->holders, 1);
        epb_endpoint_close(endpoint);
    }
    _exit(0);
}

static void
start_twelve(struct race *race, pid_t children[TWELVE], bool die)
{
    memset(race, 0, sizeof(*race));
    for (unsigned i = 0; i < TWELVE; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            contend(race, die);
        }
    }
    while (atomic_load(&race->ready) < TWELVE) {
        (void)usleep(100);
    }
    atomic_store(&race->go, true);
}

static struct race *
new_race(void)
{
    struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(race, MAP_FAILED);
    own_directory();
    return race;
}

/* The winner of a round is killed, so that the next one finds its socket and its lock. */
Test(attack_race, twelve_starts_at_once_give_one_broker)
{
    struct race *race = new_race();
    pid_t children[TWELVE];

    for (unsigned round = 0; round < 10; round++) {
        unsigned lost = 0;
        int status = 0;
        start_twelve(race, children, true);
        /* All but one give up. */
        for (; lost < TWELVE - 1; lost++) {
            cr_assert_gt(wait(&status), 0);
            cr_assert_eq(status, 0, "one ended with %x", (unsigned)status);
        }
        cr_assert_eq(atomic_load(&race->started), 1);
        cr_assert_eq(connect_error(in_directory(NAME)), 0);
        for (unsigned i = 0; i < TWELVE; i++) {
            (void)kill(children[i], SIGKILL);
        }
        cr_assert_gt(wait(&status), 0);
        cr_assert(WIFSIGNALED(status));
        cr_assert_eq(connect_error(in_directory(NAME)), UV_ECONNREFUSED);
    }
    cr_assert_eq(munmap(race, sizeof(*race)), 0);
    clean_directory();
}

/* While it is handed on as fast as it can be, two never have it together. */
Test(attack_race, two_never_have_one_name_however_often_it_changes_hands)
{
    struct race *race = new_race();
    pid_t children[TWELVE];

    start_twelve(race, children, false);
    for (unsigned i = 0; i < TWELVE; i++) {
        int status = -1;
        cr_assert_gt(wait(&status), 0);
        cr_assert_eq(status, 0, "one ended with %x", (unsigned)status);
    }
    cr_assert_geq(atomic_load(&race->started), 1);
    cr_assert_eq(munmap(race, sizeof(*race)), 0);
    remove_own_directory();
}
