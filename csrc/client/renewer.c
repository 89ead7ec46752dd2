/* See renewer.h. */
#include "renewer.h"

#include <uv.h>

#include "../base/sys.h"
#include "../os/thread.h"

/* Longest wait, so that the system's clock arithmetic cannot overflow. */
#define SLEEP_MAX_MS (60U * 60U * 1000U)

static uv_once_t once = UV_ONCE_INIT;
static uint32_t owner_pid; /* written once */
static bool usable;        /* written once */
static uv_mutex_t lock;
/* All of these are guarded by the lock. */
static struct epb_renewal_plan plan;
static bool running;
static uint64_t wake_ms; /* when the thread's sleep ends; 0 while it is awake */
static uv_cond_t wake;   /* a keep is due before wake_ms */
static uv_cond_t done;   /* a `send` has returned, or a reply has arrived */

static uint64_t
now_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
}

static void
init_once(void)
{
    owner_pid = epb_sys_pid();
    if (uv_mutex_init(&lock) != 0) {
        return;
    }
    if (uv_cond_init(&wake) != 0) {
        goto no_wake;
    }
    if (uv_cond_init(&done) != 0) {
        goto no_done;
    }
    usable = epb_renewal_plan_init(&plan) == EPB_OK;
    if (usable) {
        return;
    }
    uv_cond_destroy(&done);
no_done:
    uv_cond_destroy(&wake);
no_wake:
    uv_mutex_destroy(&lock);
}

/* False in a forked child, or if initialization failed. */
static bool
present(void)
{
    uv_once(&once, init_once);
    return usable && owner_pid == epb_sys_pid();
}

/* The thread */

/* Called with the lock held; releases it during `send`. */
static void
serve(struct epb_renewer_user *user)
{
    struct epb_buf batch;

    epb_buf_init(&batch, EPB_RENEWAL_PLAN_BATCH_BYTES);
    epb_renewal_plan_take(&user->plan, &batch);
    user->busy = true;
    uv_mutex_unlock(&lock);
    struct epb_bytes frames = {epb_buf_data(&batch), epb_buf_size(&batch)};
    enum epb_renewal_plan_sent sent = user->send(user->context, frames);
    epb_buf_fini(&batch);
    uv_mutex_lock(&lock);
    user->busy = false;
    epb_renewal_plan_settle(&plan, &user->plan, sent, now_ms());
    uv_cond_broadcast(&done);
}

static void
sleep_until(uint64_t due_ms)
{
    uint64_t now = now_ms();

    if (due_ms <= now) {
        return;
    }
    wake_ms = due_ms;
    if (due_ms == EPB_RENEWAL_PLAN_NEVER_MS) {
        uv_cond_wait(&wake, &lock);
    } else {
        uint64_t wait_ms = due_ms - now < SLEEP_MAX_MS ? due_ms - now : SLEEP_MAX_MS;
        (void)uv_cond_timedwait(&wake, &lock, wait_ms * 1000000U);
    }
    wake_ms = 0;
}

static void
run_renewer(void *context)
{
    (void)context;
    uv_mutex_lock(&lock);
    /* Runs until the process ends. */
    for (;;) {
        struct epb_renewal_plan_user *user = epb_renewal_plan_next(&plan, now_ms());
        if (user != NULL) {
            serve(EPB_LIST_ITEM(user, struct epb_renewer_user, plan));
        } else {
            sleep_until(epb_renewal_plan_due(&plan));
        }
    }
}

/* Users */

void
epb_renewer_user_init(struct epb_renewer_user *user, epb_renewer_send_fn send,
                      void *context)
{
    *user = (struct epb_renewer_user){.send = send, .context = context};
    epb_renewal_plan_user_init(&user->plan);
}

static enum epb_status
start(void)
{
    uv_thread_t thread;

    if (running) {
        return EPB_OK;
    }
    if (epb_thread_start(&thread, run_renewer, NULL) != 0) {
        return EPB_INTERNAL;
    }
    epb_thread_detach(&thread);
    running = true;
    return EPB_OK;
}

static enum epb_status
add(struct epb_renewer_user *user, struct epb_bytes frame, uint64_t interval_ms,
    bool at_once, uint64_t *id)
{
    if (!present()) {
        return EPB_INTERNAL;
    }
    uv_mutex_lock(&lock);
    enum epb_status status = start();
    if (status == EPB_OK) {
        status =
            epb_renewal_plan_add(&plan, &user->plan, frame, interval_ms, now_ms(), id);
    }
    if (status == EPB_OK && at_once) {
        epb_renewal_plan_hasten(&plan, &user->plan, *id, now_ms());
    }
    if (epb_renewal_plan_due(&plan) < wake_ms) {
        uv_cond_signal(&wake);
    }
    uv_mutex_unlock(&lock);
    user->known = user->known || status == EPB_OK;
    return status;
}

enum epb_status
epb_renewer_add(struct epb_renewer_user *user, struct epb_bytes frame,
                uint64_t interval_ms, uint64_t *id)
{
    return add(user, frame, interval_ms, false, id);
}

enum epb_status
epb_renewer_add_now(struct epb_renewer_user *user, struct epb_bytes frame,
                    uint64_t interval_ms, uint64_t *id)
{
    return add(user, frame, interval_ms, true, id);
}

void
epb_renewer_answered(uint32_t frame_id, bool ended)
{
    uv_mutex_lock(&lock);
    if (ended) {
        epb_renewal_plan_end(&plan, frame_id);
    } else {
        epb_renewal_plan_answered(&plan, frame_id);
    }
    uv_cond_broadcast(&done);
    uv_mutex_unlock(&lock);
}

void
epb_renewer_await(struct epb_renewer_user *user, uint64_t id, uint64_t timeout_ms)
{
    if (!user->known || !present()) {
        return;
    }
    uint64_t until_ms = now_ms() + timeout_ms;
    uv_mutex_lock(&lock);
    uint64_t now = now_ms();
    while (now < until_ms && epb_renewal_plan_unanswered(&plan, &user->plan, id)) {
        (void)uv_cond_timedwait(&done, &lock, (until_ms - now) * 1000000U);
        now = now_ms();
    }
    uv_mutex_unlock(&lock);
}

bool
epb_renewer_is_dead(struct epb_renewer_user *user)
{
    if (!user->known || !present()) {
        return false;
    }
    uv_mutex_lock(&lock);
    bool dead = user->plan.dead;
    uv_mutex_unlock(&lock);
    return dead;
}

/* Takes the lock while the user's `send` is not running. */
static void
lock_idle(struct epb_renewer_user *user)
{
    uv_mutex_lock(&lock);
    while (user->busy) {
        uv_cond_wait(&done, &lock);
    }
}

bool
epb_renewer_remove(struct epb_renewer_user *user, uint64_t id)
{
    if (!user->known || !present()) {
        return false;
    }
    lock_idle(user);
    (void)epb_renewal_plan_remove(&plan, &user->plan, id);
    user->known = !epb_list_empty(&user->plan.keeps);
    /* Without keeps, cancel its pending turn. */
    if (!user->known) {
        epb_renewal_plan_forget(&plan, &user->plan);
    }
    uv_mutex_unlock(&lock);
    return user->known;
}

void
epb_renewer_forget(struct epb_renewer_user *user)
{
    if (!user->known || !present()) {
        return;
    }
    lock_idle(user);
    epb_renewal_plan_forget(&plan, &user->plan);
    uv_mutex_unlock(&lock);
    user->known = false;
}

bool
epb_renewer_ago(struct epb_renewer_user *user, uint64_t id, uint64_t *ago_ms)
{
    if (!user->known || !present()) {
        return false;
    }
    uv_mutex_lock(&lock);
    bool found = epb_renewal_plan_ago(&plan, &user->plan, id, now_ms(), ago_ms);
    uv_mutex_unlock(&lock);
    return found;
}
