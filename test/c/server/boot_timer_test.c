/* The timer that counts suspended time, by the real clock. */
#include "server/boot_timer.h"

#include "io_help.h"
#include "os/uv_reserve.h"

#define HOUR_MS (UINT64_C(60) * 60 * 1000)

static uv_loop_t loop;
static struct epb_boot_timer timer;
static uv_timer_t patience;

static uint64_t
boot_ms(void)
{
    struct epb_time now;

    epb_sys_now(&now);
    return now.boot_ms;
}

static void
on_patience(uv_timer_t *unused)
{
    (void)unused;
    cr_assert_fail("it never went off");
}

static void
begin(void)
{
    cr_assert_eq(epb_uv_reserve_loop_init(&loop), 0);
    epb_boot_timer_init(&timer);
    cr_assert_eq(epb_boot_timer_open(&timer, &loop), 0);
    cr_assert_eq(uv_timer_init(&loop, &patience), 0);
    cr_assert_eq(uv_timer_start(&patience, on_patience, PATIENCE_S * 1000, 0), 0);
    if (timer.fd < 0) {
        cr_skip("the system has no such timer");
    }
}

static void
end(void)
{
    epb_boot_timer_close(&timer);
    epb_boot_timer_close(&timer);
    uv_close((uv_handle_t *)&patience, NULL);
    cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

TestSuite(boot_timer, .init = begin, .fini = end);

/* Sleeps until the loop is woken. */
static void
expect_woken_at(uint64_t due_ms)
{
    cr_assert_neq(uv_run(&loop, UV_RUN_ONCE), 0);
    cr_assert_geq(boot_ms(), due_ms, "woken too early");
}

Test(boot_timer, wakes_the_loop_each_time_it_was_armed)
{
    for (unsigned i = 0; i < 5; i++) {
        uint64_t due_ms = boot_ms() + 2 * i;
        epb_boot_timer_arm(&timer, due_ms);
        expect_woken_at(due_ms);
    }
}

Test(boot_timer, the_earliest_of_what_was_asked_for_counts)
{
    epb_boot_timer_arm(&timer, UINT64_MAX - 1);
    epb_boot_timer_arm(&timer, boot_ms() + HOUR_MS);
    uint64_t due_ms = boot_ms() + 20;
    epb_boot_timer_arm(&timer, due_ms);
    epb_boot_timer_arm(&timer, due_ms + HOUR_MS);
    epb_boot_timer_arm(&timer, UINT64_MAX);
    expect_woken_at(due_ms);
    epb_boot_timer_arm(&timer, due_ms);
    expect_woken_at(due_ms);
}

Test(boot_timer, goes_off_once)
{
    epb_boot_timer_arm(&timer, boot_ms());
    expect_woken_at(0);
    cr_assert_eq(uv_backend_timeout(&loop) > 0, true);
    struct pollfd loop_fd = {.fd = uv_backend_fd(&loop), .events = POLLIN};
    cr_assert_eq(poll(&loop_fd, 1, 0), 0, "it goes on and on");
}
