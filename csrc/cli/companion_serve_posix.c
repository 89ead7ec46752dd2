/* What the companion does until the end. See companion.h. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "ancestors.h"
#include "companion_internal.h"

#define TERM_NEWS 'T'

static uint64_t
add_ms(uint64_t now_ms, uint64_t span_ms)
{
    return span_ms >= UINT64_MAX - now_ms ? UINT64_MAX : now_ms + span_ms;
}

static bool
has_command(const struct epb_companion *companion)
{
    return !companion->spec->detached;
}

/* The command must not go on. */
static void
end_command(struct epb_companion *companion, uint64_t now_ms)
{
    if (companion->kill_at_ms == UINT64_MAX) {
        (void)!epb_process_watch_signal(&companion->watches[0], SIGTERM);
        companion->kill_at_ms = add_ms(now_ms, companion->spec->grace_ms);
    }
}

static void
drain(struct epb_companion *companion)
{
    const struct epb_companion_service *service = companion->spec->service;

    if (service->drain == NULL || companion->draining) {
        companion->ended = true;
    } else {
        service->drain(service->context);
    }
    companion->draining = true;
    companion->serve_until_ms = UINT64_MAX;
}

static void
on_term(struct epb_companion *companion, uint64_t now_ms)
{
    if (has_command(companion) && companion->serve_until_ms == UINT64_MAX &&
        !companion->draining) {
        companion->serve_until_ms = add_ms(now_ms, companion->spec->grace_ms);
    } else {
        drain(companion);
    }
}

static void
on_wake(struct epb_companion *companion, uint64_t now_ms)
{
    const struct epb_companion_service *service = companion->spec->service;
    char news;

    while (read(companion->wake[0], &news, 1) == 1) {
        if (news == TERM_NEWS) {
            on_term(companion, now_ms);
        } else if (news == EPB_COMPANION_SERVICE_LOST && has_command(companion)) {
            end_command(companion, now_ms);
        } else if (news == EPB_COMPANION_SERVICE_ENDED ||
                   news == EPB_COMPANION_SERVICE_LOST) {
            companion->ended = true;
        } else if (news == EPB_COMPANION_SERVICE_READY) {
            service->work(service->context);
        }
    }
}

static void
on_ended(struct epb_companion *companion, size_t which, uint64_t now_ms)
{
    if (has_command(companion) && which == 0) {
        companion->ended = true;
        return;
    }
    epb_process_watch_close(&companion->watches[which]);
    companion->watches[which] = companion->watches[--companion->watch_count];
    if (has_command(companion)) {
        end_command(companion, now_ms);
    } else {
        drain(companion);
    }
}

static void
on_late(struct epb_companion *companion, uint64_t now_ms)
{
    if (now_ms >= companion->kill_at_ms) {
        (void)!epb_process_watch_signal(&companion->watches[0], SIGKILL);
        companion->kill_at_ms = UINT64_MAX - 1;
    }
    if (now_ms >= companion->serve_until_ms) {
        drain(companion);
    }
}

/* Without a pidfd, a process is examined and signalled by its number, which takes rights
 * that are given up. */
void
epb_companion_confine(const struct epb_companion *companion)
{
    const struct epb_companion_service *service = companion->spec->service;
    size_t signalled = has_command(companion) ? 1 : 0;

    if (service->confine == NULL) {
        return;
    }
    for (size_t i = 0; i < companion->watch_count; i++) {
        if (companion->watches[i].fd < 0) {
            return;
        }
    }
    service->confine(service->context, &companion->watches[0].fd, signalled);
}

void
epb_companion_serve(struct epb_companion *companion,
                    const struct epb_process_clock *clock)
{
    companion->serve_until_ms = UINT64_MAX;
    companion->kill_at_ms = UINT64_MAX;
    while (!companion->ended) {
        size_t which = 0;
        uint64_t until_ms = companion->kill_at_ms < companion->serve_until_ms
                                ? companion->kill_at_ms
                                : companion->serve_until_ms;
        enum epb_process_event event =
            epb_process_watch_wait(companion->watches, companion->watch_count,
                                   companion->wake[0], until_ms, clock, &which);
        uint64_t now_ms = clock->now_ms(clock->context);

        if (event == EPB_PROCESS_ENDED) {
            on_ended(companion, which, now_ms);
        } else if (event == EPB_PROCESS_WOKEN) {
            on_wake(companion, now_ms);
        } else {
            on_late(companion, now_ms);
        }
    }
}

/* Whether a manager that was found has lived until it was watched: the chain above the
 * command is still the same. */
static bool
is_unchanged(const struct epb_companion *companion)
{
    struct epb_ancestors now;

    epb_ancestors_find(&now, companion->parent);
    return now.count == companion->above.count;
}

void
epb_companion_find_managers(struct epb_companion *companion)
{
    companion->parent = (uint32_t)getppid();
    epb_ancestors_find(&companion->above, companion->parent);
}

bool
epb_companion_watch_managers(struct epb_companion *companion)
{
    const struct epb_ancestors *above = &companion->above;

    for (size_t i = 0; i < above->count; i++) {
        struct epb_process_watch *watch = &companion->watches[companion->watch_count];
        if (epb_process_watch_open(watch, above->managers[i]) != EPB_OK) {
            return false;
        }
        companion->watch_count++;
    }
    return above->count == 0 || is_unchanged(companion);
}
