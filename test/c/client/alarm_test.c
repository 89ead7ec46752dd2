/* Alarms: their thread, with something that counts its calls. */
#include <sys/wait.h>

#include "client/alarm.h"
#include "io_help.h"

struct counter {
    struct epb_alarm alarm;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned calls;
    bool over; /* nothing may come any more */
};

static void
count(void *context)
{
    struct counter *counter = context;

    pthread_mutex_lock(&counter->lock);
    cr_assert_not(counter->over, "it came after the alarm was cleared");
    counter->calls++;
    pthread_cond_broadcast(&counter->changed);
    pthread_mutex_unlock(&counter->lock);
}

static void
counter_init(struct counter *counter)
{
    memset(counter, 0, sizeof(*counter));
    pthread_mutex_init(&counter->lock, NULL);
    pthread_cond_init(&counter->changed, NULL);
    epb_alarm_init(&counter->alarm, count, counter);
}

static void
set(struct counter *counter, uint64_t in_ms)
{
    cr_assert_eq(epb_alarm_set(&counter->alarm, in_ms), EPB_OK);
}

static unsigned
await_calls(struct counter *counter, unsigned calls)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&counter->lock);
    while (counter->calls < calls) {
        cr_assert_eq(pthread_cond_timedwait(&counter->changed, &counter->lock, &until), 0,
                     "only %u calls came", counter->calls);
    }
    unsigned seen = counter->calls;
    pthread_mutex_unlock(&counter->lock);
    return seen;
}

Test(alarm, comes_once_at_its_time)
{
    struct counter counter;

    counter_init(&counter);
    uint64_t since_ns = epb_sys_ticks_ns();
    set(&counter, 20);
    cr_assert_eq(await_calls(&counter, 1), 1);
    /* The clock of alarms has whole milliseconds. */
    cr_assert_geq(epb_sys_ticks_ns() - since_ns, 19U * 1000000U);
    set(&counter, 1);
    cr_assert_eq(await_calls(&counter, 2), 2);
}

Test(alarm, a_sooner_one_wakes_the_thread)
{
    struct counter late;
    struct counter soon;

    counter_init(&late);
    counter_init(&soon);
    set(&late, 60 * 60 * 1000);
    set(&soon, 1);
    (void)await_calls(&soon, 1);
    set(&late, 1);
    cr_assert_eq(await_calls(&late, 1), 1);
}

Test(alarm, what_is_cleared_is_touched_no_more)
{
    for (unsigned i = 0; i < 500; i++) {
        /* The sanitizer watches its memory. */
        struct counter *counter = malloc(sizeof(*counter));
        cr_assert_not_null(counter);
        counter_init(counter);
        set(counter, i % 3);
        if (i % 2 == 0) {
            (void)await_calls(counter, 1);
        }
        epb_alarm_clear(&counter->alarm);
        counter->over = true;
        epb_alarm_clear(&counter->alarm);
        free(counter);
    }
}

Test(alarm, of_many_all_come)
{
    static struct counter counters[300];
    size_t total = sizeof(counters) / sizeof(counters[0]);

    for (size_t i = 0; i < total; i++) {
        counter_init(&counters[i]);
        set(&counters[i], 1 + (i * 7) % 20);
    }
    for (size_t i = 0; i < total; i++) {
        (void)await_calls(&counters[i], 1);
    }
}

Test(alarm, a_forked_child_has_none)
{
    struct counter counter;

    counter_init(&counter);
    set(&counter, 60 * 60 * 1000);
    pid_t child = fork();
    if (child == 0) {
        bool refused = epb_alarm_set(&counter.alarm, 1) == EPB_INTERNAL;
        epb_alarm_clear(&counter.alarm);
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    epb_alarm_clear(&counter.alarm);
}
