/* See loop.h. */
#include "loop.h"

#include "../base/sys.h"
#include "../os/thread.h"
#include "../os/uv_reserve.h"

static void
run_inbox(uv_async_t *wake)
{
    struct epb_loop *loop = wake->data;

    uv_mutex_lock(&loop->lock);
    struct epb_task *task = loop->first;
    loop->first = NULL;
    loop->last = NULL;
    uv_mutex_unlock(&loop->lock);
    while (task != NULL) {
        /* Running a task may free it. */
        struct epb_task *next = task->next;
        task->run(task->context);
        task = next;
    }
}

int
epb_loop_init(struct epb_loop *loop, const struct epb_loop_user *user)
{
    *loop = (struct epb_loop){.user = *user};
    int error = epb_uv_reserve_loop_init(&loop->uv);
    if (error != 0) {
        return error;
    }
    error = uv_mutex_init(&loop->lock);
    if (error != 0) {
        goto no_lock;
    }
    error = uv_async_init(&loop->uv, &loop->wake, run_inbox);
    if (error != 0) {
        goto no_wake;
    }
    loop->wake.data = loop;
    return 0;

no_wake:
    uv_mutex_destroy(&loop->lock);
no_lock:
    EPB_ASSERT(uv_loop_close(&loop->uv) == 0);
    return error;
}

/* While one socket can be read alone, all sockets are polled only once in this time. */
#define POLL_ONE_NS (EPB_SPIN_US * UINT64_C(1000))

static void
spin(struct epb_loop *loop, uint64_t now_ns)
{
    if (now_ns - loop->polled_ns < POLL_ONE_NS &&
        loop->user.poll_one(loop->user.context)) {
        return;
    }
    loop->polled_ns = now_ns;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

/* Spins for as long as it may pay, yielding in each round. */
static enum epb_loop_next
spin_again(struct epb_loop *loop)
{
    enum epb_loop_next next = EPB_LOOP_IDLE;
    uint64_t now_ns = epb_sys_ticks_ns();
    uint64_t until_ns = now_ns + EPB_SPIN_US * 1000U;
    uint64_t wall_ns = now_ns + EPB_SPIN_WALL_US * 1000U;

    while (now_ns < until_ns && now_ns < wall_ns) {
        until_ns += epb_spin_yield(&loop->spin, &now_ns);
        spin(loop, now_ns);
        next = loop->user.turn(loop->user.context);
        if (next != EPB_LOOP_IDLE || loop->ending) {
            break;
        }
        now_ns = epb_sys_ticks_ns();
    }
    epb_spin_note(&loop->spin, next != EPB_LOOP_IDLE);
    return next;
}

/* Lets the callbacks of closed handles run, and closes the loop. */
static void
close_loop(struct epb_loop *loop)
{
    uv_mutex_lock(&loop->lock);
    loop->deaf = true;
    uv_mutex_unlock(&loop->lock);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    EPB_ASSERT(uv_loop_close(&loop->uv) == 0);
}

static void
run_loop(void *context)
{
    struct epb_loop *loop = context;
    enum epb_loop_next next = EPB_LOOP_IDLE;

    loop->user.begin(loop->user.context);
    while (!loop->ending) {
        if (next == EPB_LOOP_WORKED && epb_spin_is_worth(&loop->spin)) {
            next = spin_again(loop);
            continue;
        }
        bool sleep = next != EPB_LOOP_MORE && loop->user.rest(loop->user.context);
        if (sleep) {
            epb_sys_wipe_registers();
        }
        uv_run(&loop->uv, sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        next = loop->user.turn(loop->user.context);
    }
    close_loop(loop);
}

int
epb_loop_start(struct epb_loop *loop)
{
    int error = epb_thread_start(&loop->thread, run_loop, loop);

    loop->started = error == 0;
    return error;
}

void
epb_loop_post(struct epb_loop *loop, struct epb_task *task)
{
    task->next = NULL;
    uv_mutex_lock(&loop->lock);
    if (!loop->deaf) {
        if (loop->last == NULL) {
            loop->first = task;
        } else {
            loop->last->next = task;
        }
        loop->last = task;
        /* Under the lock, so that the handle can't be closed meanwhile. */
        (void)uv_async_send(&loop->wake);
    }
    uv_mutex_unlock(&loop->lock);
}

void
epb_loop_end(struct epb_loop *loop)
{
    loop->ending = true;
}

void
epb_loop_fini(struct epb_loop *loop)
{
    if (loop->started) {
        EPB_ASSERT(uv_thread_join(&loop->thread) == 0);
    } else {
        close_loop(loop);
    }
    uv_mutex_destroy(&loop->lock);
}
