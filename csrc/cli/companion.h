/*
 * A companion: a process next to the command, which serves for as long as the command
 * runs. The caller becomes the command (exec), so nothing of ours stands between the
 * command and its parent, its terminal or its signals.
 *
 *     caller   fork ──► first child  fork ──► companion: begins the service, reports
 *       │               exits, reaped                      that it is ready, watches
 *       └─ reads the report, execs the command
 *
 * - The companion is no child of the command, and has a session of its own. It has the
 *   standard error of the caller, standard input and output are /dev/null, its working
 *   directory is "/", and all other descriptors are closed.
 * - It ends when the caller's process ends, whatever that has become meanwhile.
 * - TERM: it serves on until the command ends, at most for `grace_ms`. A second TERM
 *   drains the service at once, a third ends it. HUP, INT, QUIT, USR1 and USR2 are
 * ignored.
 * - npm, npx, pnpm and yarn above the caller are watched: when one of them dies, the
 *   command gets TERM, and KILL after `grace_ms`.
 *
 * The caller has one thread. Only the fork of a process with one thread is safe, so no
 * service may be begun before.
 *
 * Windows has no fork: the service runs in the process that starts the command and waits
 * for it (program.h). TERM and grace_ms mean nothing there, and no manager is watched.
 */
#ifndef EPB_CLI_COMPANION_H
#define EPB_CLI_COMPANION_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/buf.h"
#include "../base/status.h"

/* A report of the service to its companion. */
enum epb_companion_news {
    EPB_COMPANION_SERVICE_READY = 'R', /* it has something to do */
    EPB_COMPANION_SERVICE_ENDED = 'E', /* nothing is left to serve */
    EPB_COMPANION_SERVICE_LOST = 'L'   /* the command must not go on: TERM, then KILL */
};

struct epb_companion;

/* All functions are called in the companion's process, on its first thread. */
struct epb_companion_service {
    void *context;
    /* Begins, and writes what the caller needs. Returns 0, or the exit status for the
     * caller; `answer` is then a sentence that says why not, or empty after a complaint.
     * With `waits` the process ends at once when the command's ends meanwhile. */
    int (*begin)(void *context, struct epb_companion *companion, struct epb_buf *answer);
    bool waits;
    /* Gives up what the service doesn't need, on this thread. Called once the caller has
     * its report. `pidfds` are of the processes that the companion may have to signal.
     * NULL: keeps everything. Not called where a process is watched by its number. */
    void (*confine)(void *context, const int *pidfds, size_t pidfd_count);
    /* After EPB_COMPANION_SERVICE_READY; may be NULL. */
    void (*work)(void *context);
    /* Lets requests in progress finish, then reports EPB_COMPANION_SERVICE_ENDED. NULL:
     * there is nothing to wait for. */
    void (*drain)(void *context);
    /* Ends now. Nothing remains: no secret in memory, no name. */
    void (*end)(void *context);
};

/* Whether a companion has a memory of its own. */
#ifdef _WIN32
#define EPB_COMPANION_IS_PROCESS false
#else
#define EPB_COMPANION_IS_PROCESS true
#endif

struct epb_companion_spec {
    const struct epb_companion_service *service;
    uint64_t grace_ms;
    uint64_t ready_ms; /* the time in which it must be ready; UINT64_MAX: any */
    bool detached; /* there is no command: it serves until TERM, and holds no stream */
    /* Detached: the process that it ends with; 0: none. Until the report it ends with the
     * caller, too, and has its standard error. */
    uint32_t tied_to;
};

#define EPB_COMPANION_ANSWER_MAX_BYTES (2U * 1024U * 1024U)

/* `answer` has room for EPB_COMPANION_ANSWER_MAX_BYTES. Returns in the caller only. 0:
 * the service is ready, `answer` is what it wrote, and *pid is the companion. Else an
 * exit status; `answer` is then a sentence, or empty. */
EPB_MUST_USE int
epb_companion_start(const struct epb_companion_spec *spec, struct epb_buf *answer,
                    uint32_t *pid);

/* Without a command this process can be the companion itself: begins the service, and
 * serves until TERM or HUP, INT or QUIT (unless `typed` is false: then these are
 * ignored), or the death of a package manager above. `ready` is called in between, with
 * the answer. Returns 0 or a status as epb_companion_start. */
EPB_MUST_USE int
epb_companion_be(const struct epb_companion_spec *spec, bool typed,
                 struct epb_buf *answer,
                 int (*ready)(void *context, const struct epb_buf *answer),
                 void *context);

/* From any thread of the companion, or a signal handler. */
void
epb_companion_report(const struct epb_companion *companion, enum epb_companion_news news);

#endif
