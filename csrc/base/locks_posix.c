/* See locks.h. */
#include "locks.h"

#include <pthread.h>

#include "status.h"

static pthread_mutex_t locks[EPB_LOCK_COUNT] = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
take(unsigned lock)
{
    int failed = pthread_mutex_lock(&locks[lock]);

    EPB_ASSERT(!failed);
}

static void
give(unsigned lock)
{
    int failed = pthread_mutex_unlock(&locks[lock]);

    EPB_ASSERT(!failed);
}

static void
before_fork(void)
{
    for (unsigned i = 0; i < EPB_LOCK_COUNT; i++) {
        take(i);
    }
}

static void
after_fork(void)
{
    for (unsigned i = EPB_LOCK_COUNT; i != 0; i--) {
        give(i - 1);
    }
}

/* If this fails for lack of memory, a child may find a lock held. */
static void
watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

void
epb_lock(enum epb_lock lock)
{
    (void)pthread_once(&once, watch_forks);
    take(lock);
}

void
epb_unlock(enum epb_lock lock)
{
    give(lock);
}
