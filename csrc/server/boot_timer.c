/* See boot_timer.h. */
#include "boot_timer.h"

#ifdef __linux__
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../os/uv_reserve.h"

#define MS_A_S 1000U
#define NS_A_MS 1000000U
#endif

void
epb_boot_timer_init(struct epb_boot_timer *timer)
{
    timer->fd = -1;
    timer->armed_ms = UINT64_MAX;
}

#ifdef __linux__

/* The timer only wakes the loop, which checks what is due before it sleeps again. */
static void
on_due(uv_poll_t *poll, int status, int events)
{
    struct epb_boot_timer *timer = poll->data;
    uint64_t times;

    (void)status;
    (void)events;
    EPB_ASSERT(timer->fd >= 0);
    /* When the read fails, the loop reports the event again. */
    if (read(timer->fd, &times, sizeof(times)) == (ssize_t)sizeof(times)) {
        timer->armed_ms = UINT64_MAX;
    }
}

int
epb_boot_timer_open(struct epb_boot_timer *timer, uv_loop_t *loop)
{
    int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0) {
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
    }
    int error = uv_poll_init(loop, &timer->poll, fd);
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    timer->fd = fd;
    timer->poll.data = timer;
    error = epb_uv_reserve_fd(loop, fd);
    if (error == 0) {
        error = uv_poll_start(&timer->poll, UV_READABLE, on_due);
    }
    /* uv_poll_start removes the descriptor from the kernel's queue again. */
    return error == 0 ? epb_uv_reserve_fd(loop, fd) : error;
}

void
epb_boot_timer_arm(struct epb_boot_timer *timer, uint64_t due_ms)
{
    if (timer->fd < 0 || due_ms >= timer->armed_ms) {
        return;
    }
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ms / MS_A_S),
                                           .tv_nsec = (long)(due_ms % MS_A_S * NS_A_MS)}};
    if (timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0) {
        timer->armed_ms = due_ms;
    }
}

void
epb_boot_timer_close(struct epb_boot_timer *timer)
{
    if (timer->fd < 0) {
        return;
    }
    uv_close((uv_handle_t *)&timer->poll, NULL);
    (void)close(timer->fd);
    timer->fd = -1;
}

#else

int
epb_boot_timer_open(struct epb_boot_timer *timer, uv_loop_t *loop)
{
    (void)timer;
    (void)loop;
    return 0;
}

void
epb_boot_timer_arm(struct epb_boot_timer *timer, uint64_t due_ms)
{
    (void)timer;
    (void)due_ms;
}

void
epb_boot_timer_close(struct epb_boot_timer *timer)
{
    (void)timer;
}

#endif
