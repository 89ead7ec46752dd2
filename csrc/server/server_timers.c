/* The timed work of a server: expired items, leases and waits, slow connections, the
 * heartbeat, idleness. See server_internal.h. */
#include "../wire/report.h"
#include "server_internal.h"

#define HEARTBEAT_MAX_BYTES 65536U

static void
on_timer(uv_timer_t *timer)
{
    struct epb_server *server = timer->data;

    EPB_ASSERT(server->timer_open);
    server->armed_ms = UINT64_MAX;
}

static uint64_t
earlier(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* Returns how long until the items have to be swept again, at the latest. */
static uint64_t
item_wait_ms(struct epb_server *server, uint64_t item_due_ms, const struct epb_time *now)
{
    uint64_t next_ms = epb_sweeper_next(&server->sweeper, item_due_ms, now->boot_ms);

    if (next_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    if (next_ms <= now->boot_ms) {
        return 0;
    }
    epb_boot_timer_arm(&server->boot_timer, next_ms);
    return earlier(next_ms - now->boot_ms, server->sweeper_interval_ms);
}

/* Returns how long until the engine has to be swept again. A client may wait for the end
 * of a lease, so a lease is swept the moment it is due. */
static uint64_t
sweep(struct epb_server *server)
{
    const struct epb_time *now = epb_server_now(server);
    struct epb_due due;

    epb_engine_sweep(server->engine, now, &due);
    server->lease_due_ms = due.lease_mono_ms;
    uint64_t wait_ms = item_wait_ms(server, due.item_boot_ms, now);
    if (due.lease_mono_ms == UINT64_MAX) {
        return wait_ms;
    }
    uint64_t lease_wait_ms =
        due.lease_mono_ms > now->mono_ms ? due.lease_mono_ms - now->mono_ms : 0;
    return earlier(wait_ms, lease_wait_ms);
}

static void
send_heartbeat(struct epb_server *server)
{
    struct epb_stats stats;
    struct epb_buf text;

    epb_engine_stats(server->engine, epb_server_now(server), &stats);
    epb_buf_init(&text, HEARTBEAT_MAX_BYTES);
    if (epb_report_stats(&text, &stats) == EPB_OK) {
        epb_server_log(server, EPB_SERVER_HEARTBEAT,
                       (struct epb_bytes){epb_buf_data(&text), epb_buf_size(&text)});
    }
    epb_buf_fini(&text);
}

static uint64_t
check_heartbeat(struct epb_server *server, uint64_t now_ms)
{
    if (server->heartbeat_ms == 0) {
        return UINT64_MAX;
    }
    if (now_ms >= server->heartbeat_at_ms) {
        send_heartbeat(server);
        server->heartbeat_at_ms = now_ms + server->heartbeat_ms;
    }
    return server->heartbeat_at_ms;
}

static uint64_t
check_idle(struct epb_server *server, uint64_t now_ms)
{
    if (server->idle_timeout_ms == 0 || server->idle_said) {
        return UINT64_MAX;
    }
    /* Holding a lease or waiting for one counts as use, even without requests. */
    if (epb_engine_is_engaged(server->engine)) {
        server->active_ms = now_ms;
    }
    uint64_t due_ms = server->active_ms + server->idle_timeout_ms;
    if (now_ms < due_ms) {
        return due_ms;
    }
    server->idle_said = true;
    epb_server_log(server, EPB_SERVER_IDLE, (struct epb_bytes){(const uint8_t *)"{}", 2});
    return UINT64_MAX;
}

static void
arm_timer(struct epb_server *server, uint64_t due_ms, uint64_t now_ms)
{
    if (due_ms == server->armed_ms) {
        return;
    }
    server->armed_ms = due_ms;
    if (due_ms == UINT64_MAX) {
        (void)uv_timer_stop(&server->timer);
        return;
    }
    uv_update_time(&server->loop.uv);
    /* One more millisecond: libuv's clock may be a fraction of a millisecond behind
     * ours. */
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms + 1 : 1;
    EPB_ASSERT(uv_timer_start(&server->timer, on_timer, wait_ms, 0) == 0);
}

bool
epb_server_check_timers(struct epb_server *server)
{
    uint64_t now_ms = epb_server_now(server)->mono_ms;

    server->timers_checked_ms = now_ms;
    epb_server_check_lock(server, now_ms);
    uint64_t due_ms = epb_server_expire_conns(server, now_ms);
    due_ms = earlier(due_ms, check_heartbeat(server, now_ms));
    due_ms = earlier(due_ms, check_idle(server, now_ms));
    due_ms = earlier(due_ms, epb_server_check_accepting(server, now_ms));
    due_ms = earlier(due_ms, server->drain_until_ms);
    uint64_t sweep_wait_ms = sweep(server);
    if (sweep_wait_ms == 0) {
        return false;
    }
    if (sweep_wait_ms != UINT64_MAX) {
        due_ms = earlier(due_ms, now_ms + sweep_wait_ms);
    }
    arm_timer(server, due_ms, now_ms);
    return true;
}
