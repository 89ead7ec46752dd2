/*
 * The engine thread: a libuv loop of our own, an inbox, and the second look.
 *
 * The thread repeats: look at the sockets (libuv, whose callbacks only note what came),
 * let the user work (`turn`), look again. It sleeps in the system once a turn has found
 * nothing to do and a second look of EPB_SPIN_US has found nothing either; before that it
 * calls `rest`. An idle loop therefore uses no processor at all. During a second look
 * most looks are a glance at one socket (`glance`), which takes one system call instead
 * of two.
 *
 * All of libuv's handles belong to this thread. Others reach it by epb_loop_post alone.
 */
#ifndef EPB_SERVER_LOOP_H
#define EPB_SERVER_LOOP_H

#include <stdbool.h>

#include <uv.h>

#include "../base/status.h"
#include "../os/spin.h"

enum epb_loop_next {
    EPB_LOOP_IDLE,   /* there was nothing to do */
    EPB_LOOP_WORKED, /* all that there was is done */
    EPB_LOOP_MORE    /* there is more to do at once */
};

struct epb_loop_user {
    void *context;
    enum epb_loop_next (*turn)(void *context);
    /* About to sleep: arm timers here. False: don't sleep, there is more to do at once.
     */
    bool (*rest)(void *context);
    /* Looks at one socket alone, that of whoever is likely to say something next, and
     * notes what came, if anything, as the callbacks do. False: there is none to look at.
     */
    bool (*glance)(void *context);
};

/* A message: memory of the sender, untouched by him until it has run. */
struct epb_task {
    struct epb_task *next;
    void (*run)(void *context);
    void *context;
};

struct epb_loop {
    uv_loop_t uv;
    struct epb_loop_user user;
    struct epb_spin spin;
    uint64_t looked_ns; /* when it last looked at all sockets */
    bool started;
    bool ending;
    uv_thread_t thread;
    uv_async_t wake;
    uv_mutex_t lock; /* guards the three below */
    struct epb_task *first;
    struct epb_task *last;
    bool deaf; /* the inbox is closed */
};

/* Functions that return int return a libuv error code, 0 for success. */

/* Handles may be made on loop->uv between init and start. */
EPB_MUST_USE int
epb_loop_init(struct epb_loop *loop, const struct epb_loop_user *user);
EPB_MUST_USE int
epb_loop_start(struct epb_loop *loop);
/* From any thread. A message to a loop that has ended is forgotten. */
void
epb_loop_post(struct epb_loop *loop, struct epb_task *task);
/* On the loop's own thread: it ends after this turn. The user has closed its handles
 * (uv_close); their callbacks still run. */
void
epb_loop_end(struct epb_loop *loop);
/* From the thread that owns the loop: waits for the end of a started loop, and gives
 * everything back. A loop that was never started runs its last callbacks here. */
void
epb_loop_fini(struct epb_loop *loop);

#endif
