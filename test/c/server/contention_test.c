/* A crowd is known by its turns, and served by a thread that asks for a shorter slice. */
#include "server/contention.h"

#include <dirent.h>
#include <sched.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "io_help.h"

static void
note(struct epb_contention *contention, unsigned served, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        cr_assert_not(epb_contention_note(contention, served), "after %u of them", i + 1);
    }
}

Test(contention, comes_with_many_turns_of_many_and_goes_with_as_many_of_few)
{
    struct epb_contention contention = {0};

    note(&contention, EPB_CONTENTION_MANY, EPB_CONTENTION_SIGNS - 1);
    cr_assert_not(contention.there);
    cr_assert(epb_contention_note(&contention, EPB_CONTENTION_MANY));
    cr_assert(contention.there);
    note(&contention, 100, 1000);
    note(&contention, EPB_CONTENTION_FEW, EPB_CONTENTION_SIGNS - 1);
    cr_assert(contention.there);
    cr_assert(epb_contention_note(&contention, EPB_CONTENTION_FEW));
    cr_assert_not(contention.there);
    note(&contention, 0, 1000);
}

Test(contention, neither_many_nor_few_change_nothing)
{
    struct epb_contention contention = {0};

    note(&contention, EPB_CONTENTION_FEW + 1, 1000);
    cr_assert_not(contention.there);
    note(&contention, EPB_CONTENTION_MANY, EPB_CONTENTION_SIGNS - 1);
    note(&contention, EPB_CONTENTION_FEW + 1, 1000);
    cr_assert(epb_contention_note(&contention, EPB_CONTENTION_MANY));
    note(&contention, EPB_CONTENTION_FEW + 1, 1000);
    cr_assert(contention.there);
}

/* Single requests beside some of several: no crowd, whatever the order. */
Test(contention, as_many_signs_of_the_one_as_of_the_other_are_none)
{
    struct random random = {2026};
    struct epb_contention contention = {0};

    for (unsigned i = 0; i < 10000; i++) {
        bool many_first = random_below(&random, 2) != 0;
        note(&contention, many_first ? EPB_CONTENTION_MANY : EPB_CONTENTION_FEW, 1);
        note(&contention, many_first ? EPB_CONTENTION_FEW : EPB_CONTENTION_MANY, 1);
        cr_assert_not(contention.there);
    }
}

#if defined(SYS_sched_getattr)

/* The shortest of this process's threads. */
static uint64_t
shortest_slice_ns(void)
{
    struct {
        uint32_t size_bytes;
        uint32_t words[5];
        uint64_t runtime_ns;
        uint64_t rest[2];
    } scheduling = {.size_bytes = sizeof(scheduling)};
    uint64_t shortest_ns = UINT64_MAX;
    DIR *tasks = opendir("/proc/self/task");

    cr_assert_not_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        long thread = strtol(entry->d_name, NULL, 10);
        if (thread != 0 &&
            syscall(SYS_sched_getattr, thread, &scheduling, sizeof(scheduling), 0) == 0 &&
            scheduling.runtime_ns < shortest_ns) {
            shortest_ns = scheduling.runtime_ns;
        }
    }
    closedir(tasks);
    return shortest_ns;
}

/* On every connection so many requests at once; all are answered. */
static void
flood(const int *fds, unsigned count, unsigned requests)
{
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_buf frames;
    struct answer answer;

    epb_buf_init(&frames, 1 << 20);
    for (unsigned i = 0; i < requests; i++) {
        cr_assert_eq(epb_frame_encode_request(&frames, &ping), EPB_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        peer_send(fds[i], epb_buf_data(&frames), epb_buf_size(&frames));
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < requests; k++) {
            cr_assert(peer_answer(fds[i], &answer));
        }
    }
    epb_buf_fini(&frames);
}

Test(contention, is_served_by_a_thread_with_a_shorter_slice_while_it_is_there)
{
    enum {
        CROWD = 8
    };
    uint64_t own_ns = epb_sys_slice_ns();
    struct broker broker;
    int fds[CROWD];

    if (own_ns == 0 || epb_sys_processors() < 2) {
        cr_skip("this system has no slices to ask for, or one processor");
    }
    broker_init(&broker);
    broker_start(&broker);
    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = peer_open(&broker);
    }
    cr_assert_eq(shortest_slice_ns(), own_ns);
    while (shortest_slice_ns() == own_ns) {
        flood(fds, CROWD, 2000);
    }
    cr_assert_eq(shortest_slice_ns(), own_ns / EPB_CONTENTION_SHARE);
    while (shortest_slice_ns() != own_ns) {
        peer_ping(fds[0]);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        close(fds[i]);
    }
    broker_stop(&broker);
}

#endif
