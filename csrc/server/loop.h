/*
 * The engine thread: a libuv loop, an inbox, and spinning (os/spin.h).
 *
 * The thread repeats two steps: poll the sockets (libuv, whose callbacks only note what
 * arrived), then let the user work (`turn`). After work it may spin for EPB_SPIN_US. When
 * neither a turn nor spinning has found anything to do, it calls `rest` and sleeps in the
 * system, so an idle loop uses no CPU time. Most polls while spinning read one socket
 * only (`poll_one`), which takes one system call instead of two.
 *
 * All libuv handles belong to this thread. Other threads reach it by epb_loop_post only.
 */
#ifndef EPB_SERVER_LOOP_H
#define EPB_SERVER_LOOP_H

#include <stdbool.h>

#include <uv.h>

#include "../base/status.h"
#include "../os/spin.h"

enum epb_loop_next {
    EPB_LOOP_IDLE,   /* nothing was to be done */
    EPB_LOOP_WORKED, /* all work is done */
    EPB_LOOP_MORE    /* more work is ready */
};

struct epb_loop_user {
    void *context;
    /* The thread begins: before it polls anything. */
    void (*begin)(void *context);
    enum epb_loop_next (*turn)(void *context);
    /* About to sleep: arm timers here. False: don't sleep, more work is ready. */
    bool (*rest)(void *context);
    /* Reads the one socket whose peer is likely to send next, and notes what arrived as
     * the callbacks do. False: there is no such socket. */
    bool (*poll_one)(void *context);
};

/* A message in the sender's memory. The sender must not touch it until it has run. */
struct epb_task {
    struct epb_task *next;
    void (*run)(void *context);
    void *context;
};

struct epb_loop {
    uv_loop_t uv;
    struct epb_loop_user user;
    struct epb_spin spin;
    uint64_t polled_ns; /* when all sockets were last polled */
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
/* From any thread. A message to a loop that has ended is dropped. */
void
epb_loop_post(struct epb_loop *loop, struct epb_task *task);
/* On the loop's thread: ends the loop after this turn. The user has closed its handles
 * (uv_close); their callbacks still run. */
void
epb_loop_end(struct epb_loop *loop);
/* From the thread that owns the loop: waits until a started loop has ended, and frees its
 * resources. A loop that was never started runs its last callbacks here. */
void
epb_loop_fini(struct epb_loop *loop);

#endif
