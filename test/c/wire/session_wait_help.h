/* What the tests of requests that wait share: two connections of one broker, as `broker`
 * and `peer`, each driven with bytes. */
#ifndef EPB_TEST_SESSION_WAIT_HELP_H
#define EPB_TEST_SESSION_WAIT_HELP_H

#include "wire/auth.h"
#include "wire_help.h"

#define FOREVER ((uint64_t)EPB_NUMBER_MAX)

/* What the owner of a session does when it is told that there is something. */
static inline void
follow_wake(struct broker *broker, unsigned wakes)
{
    cr_assert_eq(broker->wakes, wakes);
    broker->wakes = 0;
    broker_work(broker);
}

static inline struct epb_stats
stats_of(const struct broker *broker)
{
    struct epb_stats stats;

    epb_engine_stats(broker->engine, &broker->now, &stats);
    return stats;
}

static inline void
pass_time(struct broker *broker, struct broker *peer, uint64_t ms)
{
    struct epb_due due;

    broker->now.mono_ms += ms;
    broker->now.boot_ms += ms;
    broker->now.wall_ms += ms;
    peer->now = broker->now;
    epb_engine_sweep(broker->engine, &broker->now, &due);
}

static struct broker broker;
static struct broker peer;

static inline void
start_two(void)
{
    broker_start(&broker, NULL, NULL);
    peer_start(&peer, &broker);
}

static inline void
stop_two(void)
{
    peer_stop(&peer);
    broker_stop(&broker);
}

#endif
