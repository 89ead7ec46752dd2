/*
 * See companion.h. There is no fork: the service runs in this process, and this process
 * stays until the command has ended. If it is killed, the system ends the command
 * (program_win.c).
 */
#include "companion_win.h"

#include "cli.h"
#include "companion.h"

struct epb_companion {
    const struct epb_companion_service *service;
    HANDLE ready; /* resets itself */
    HANDLE lost;
    HANDLE ended; /* the service has, or a person asks for it */
};

static struct epb_companion companion;

static HANDLE
new_event(bool resets_itself)
{
    return CreateEventW(NULL, !resets_itself, FALSE, NULL);
}

static int
begin(const struct epb_companion_spec *spec, struct epb_buf *answer)
{
    companion.ready = new_event(true);
    companion.lost = new_event(false);
    companion.ended = new_event(false);
    if (companion.ready == NULL || companion.lost == NULL || companion.ended == NULL) {
        (void)!epb_buf_printf(answer, "The system is out of handles or memory.");
        return EPB_EXIT_START_FAILED;
    }
    int status = spec->service->begin(spec->service->context, &companion, answer);
    companion.service = status == 0 ? spec->service : NULL;
    return status;
}

int
epb_companion_start(const struct epb_companion_spec *spec, struct epb_buf *answer,
                    uint32_t *pid)
{
    *pid = GetCurrentProcessId();
    return begin(spec, answer);
}

void
epb_companion_report(const struct epb_companion *reporter, enum epb_companion_news news)
{
    switch (news) {
    case EPB_COMPANION_SERVICE_READY:
        (void)SetEvent(reporter->ready);
        break;
    case EPB_COMPANION_SERVICE_LOST:
        (void)SetEvent(reporter->lost);
        break;
    case EPB_COMPANION_SERVICE_ENDED:
        (void)SetEvent(reporter->ended);
        break;
    }
}

bool
epb_companion_serve_until(HANDLE end)
{
    const HANDLE handles[] = {end, companion.lost, companion.ready};
    const struct epb_companion_service *service = companion.service;

    for (;;) {
        DWORD got =
            WaitForMultipleObjects(service == NULL ? 1 : 3, handles, FALSE, INFINITE);
        if (got != WAIT_OBJECT_0 + 2) {
            return got != WAIT_OBJECT_0 + 1;
        }
        if (service->work != NULL) {
            service->work(service->context);
        }
    }
}

void
epb_companion_end(void)
{
    const struct epb_companion_service *service = companion.service;

    companion.service = NULL;
    if (service != NULL) {
        service->end(service->context);
    }
}

/* Without a command */

/* The system ends the process when this returns for a closed window or a log-off: the
 * main thread ends it before. */
static BOOL WINAPI
on_console(DWORD event)
{
    (void)SetEvent(companion.ended);
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        Sleep(INFINITE);
    }
    return TRUE;
}

int
epb_companion_be(const struct epb_companion_spec *spec, bool typed,
                 struct epb_buf *answer,
                 int (*ready)(void *context, const struct epb_buf *answer), void *context)
{
    (void)typed;
    int status = begin(spec, answer);
    if (status != 0) {
        return status;
    }
    (void)SetConsoleCtrlHandler(on_console, TRUE);
    status = ready(context, answer);
    if (status == 0) {
        (void)epb_companion_serve_until(companion.ended);
    }
    epb_companion_end();
    return status;
}
