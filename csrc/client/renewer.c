/* See renewer.h. */
#include "renewer.h"

#include "../base/sys.h"
#include "timed_thread.h"

static uv_once_t once = UV_ONCE_INIT;
static bool usable; /* written once */
static struct epb_timed_thread thread;
/* These are guarded by the thread's lock. */
static struct epb_renewal_plan plan;
static uv_cond_t done; /* a `send` has returned, or a reply has arrived */

static uint64_t
now_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.mono_ms;
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
    uv_mutex_unlock(&thread.lock);
    struct epb_bytes frames = {epb_buf_data(&batch), epb_buf_size(&batch)};
    enum epb_renewal_plan_sent sent = user->send(user->context, frames);
    epb_buf_fini(&batch);
    uv_mutex_lock(&thread.lock);
    user->busy = false;
    epb_renewal_plan_settle(&plan, &user->plan, sent, now_ms());
    uv_cond_broadcast(&done);
}

static uint64_t
serve_next(void)
{
    struct epb_renewal_plan_user *user = epb_renewal_plan_next(&plan, now_ms());

    if (user != NULL) {
        serve(EPB_LIST_ITEM(user, struct epb_renewer_user, plan));
    }
    return epb_renewal_plan_due(&plan);
}

static void
init_once(void)
{
    if (uv_cond_init(&done) != 0) {
        return;
    }
    if (epb_renewal_plan_init(&plan) != EPB_OK) {
        uv_cond_destroy(&done);
        return;
    }
    usable = epb_timed_thread_init(&thread, serve_next);
    if (!usable) {
        epb_renewal_plan_fini(&plan);
        uv_cond_destroy(&done);
    }
}

/* False in a forked child, or if initialization failed. */
static bool
is_here(void)
{
    uv_once(&once, init_once);
    return usable && epb_timed_thread_is_here(&thread);
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
add(struct epb_renewer_user *user, struct epb_bytes frame, uint64_t interval_ms,
    bool at_once, uint64_t *id)
{
    if (!is_here()) {
        return EPB_INTERNAL;
    }
    uv_mutex_lock(&thread.lock);
    enum epb_status status = epb_timed_thread_start(&thread);
    if (status == EPB_OK) {
        status =
            epb_renewal_plan_add(&plan, &user->plan, frame, interval_ms, now_ms(), id);
    }
    if (status == EPB_OK && at_once) {
        epb_renewal_plan_hasten(&plan, &user->plan, *id, now_ms());
    }
    epb_timed_thread_wake(&thread, epb_renewal_plan_due(&plan));
    uv_mutex_unlock(&thread.lock);
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
    uv_mutex_lock(&thread.lock);
    if (ended) {
        epb_renewal_plan_end(&plan, frame_id);
    } else {
        epb_renewal_plan_answered(&plan, frame_id);
    }
    uv_cond_broadcast(&done);
    uv_mutex_unlock(&thread.lock);
}

void
epb_renewer_await(struct epb_renewer_user *user, uint64_t id, uint64_t timeout_ms)
{
    if (!user->known || !is_here()) {
        return;
    }
    uint64_t until_ms = now_ms() + timeout_ms;
    uv_mutex_lock(&thread.lock);
    uint64_t now = now_ms();
    while (now < until_ms && epb_renewal_plan_unanswered(&plan, &user->plan, id)) {
        (void)uv_cond_timedwait(&done, &thread.lock, (until_ms - now) * 1000000U);
        now = now_ms();
    }
    uv_mutex_unlock(&thread.lock);
}

bool
epb_renewer_is_dead(struct epb_renewer_user *user)
{
    if (!user->known || !is_here()) {
        return false;
    }
    uv_mutex_lock(&thread.lock);
    bool dead = user->plan.dead;
    uv_mutex_unlock(&thread.lock);
    return dead;
}

/* Takes the lock while the user's `send` is not running. */
static void
lock_idle(struct epb_renewer_user *user)
{
    uv_mutex_lock(&thread.lock);
    while (user->busy) {
        uv_cond_wait(&done, &thread.lock);
    }
}

bool
epb_renewer_remove(struct epb_renewer_user *user, uint64_t id)
{
    if (!user->known || !is_here()) {
        return false;
    }
    lock_idle(user);
    (void)epb_renewal_plan_remove(&plan, &user->plan, id);
    user->known = !epb_list_empty(&user->plan.keeps);
    /* Without keeps, cancel its pending turn. */
    if (!user->known) {
        epb_renewal_plan_forget(&plan, &user->plan);
    }
    uv_mutex_unlock(&thread.lock);
    return user->known;
}

void
epb_renewer_forget(struct epb_renewer_user *user)
{
    if (!user->known || !is_here()) {
        return;
    }
    lock_idle(user);
    epb_renewal_plan_forget(&plan, &user->plan);
    uv_mutex_unlock(&thread.lock);
    user->known = false;
}

bool
epb_renewer_ago(struct epb_renewer_user *user, uint64_t id, uint64_t *ago_ms)
{
    if (!user->known || !is_here()) {
        return false;
    }
    uv_mutex_lock(&thread.lock);
    bool found = epb_renewal_plan_ago(&plan, &user->plan, id, now_ms(), ago_ms);
    uv_mutex_unlock(&thread.lock);
    return found;
}
