/*
 * See companion.h. There is no fork: the service runs in this process, and this process
 * stays until the command has ended. If it is killed, the system ends the command
 * (program_win.c).
 */
#include "companion_win.h"

#include "companion.h"

struct epb_companion {
    const struct epb_companion_service *service;
    HANDLE lost;
    HANDLE ended; /* the service has, or a person asks for it */
};

static struct epb_companion companion;

static bool
fail(struct epb_buf *answer)
{
    (void)!epb_buf_printf(answer, "The system is out of handles or memory.");
    return false;
}

/* Only on failure does the answer replace what the service said. */
static bool
begin(const struct epb_companion_spec *spec, struct epb_buf *answer)
{
    companion.lost = CreateEventW(NULL, TRUE, FALSE, NULL);
    companion.ended = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (companion.lost == NULL || companion.ended == NULL) {
        return fail(answer);
    }
    if (!spec->service->begin(spec->service->context, &companion, answer)) {
        return false;
    }
    companion.service = spec->service;
    return true;
}

bool
epb_companion_start(const struct epb_companion_spec *spec, struct epb_buf *answer,
                    uint32_t *pid)
{
    *pid = GetCurrentProcessId();
    return begin(spec, answer);
}

void
epb_companion_report(const struct epb_companion *reporter, enum epb_companion_news news)
{
    (void)SetEvent(news == EPB_COMPANION_SERVICE_LOST ? reporter->lost : reporter->ended);
}

HANDLE
epb_companion_lost(void)
{
    return companion.service == NULL ? NULL : companion.lost;
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

bool
epb_companion_be(const struct epb_companion_spec *spec, bool typed,
                 struct epb_buf *answer,
                 void (*ready)(void *context, const struct epb_buf *answer),
                 void *context)
{
    (void)typed;
    if (!begin(spec, answer)) {
        return false;
    }
    (void)SetConsoleCtrlHandler(on_console, TRUE);
    ready(context, answer);
    (void)WaitForSingleObject(companion.ended, INFINITE);
    epb_companion_end();
    return true;
}
