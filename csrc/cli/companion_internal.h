/* The companion's process, once it has been forked. See companion.h. */
#ifndef EPB_CLI_COMPANION_INTERNAL_H
#define EPB_CLI_COMPANION_INTERNAL_H

#include "../os/process_watch.h"
#include "ancestors.h"
#include "companion.h"

struct epb_companion {
    const struct epb_companion_spec *spec;
    /* The command, then the package managers above it. Or the process that this one is
     * tied to, then the caller. */
    struct epb_process_watch watches[EPB_PROCESS_WATCHES_MAX];
    size_t watch_count;
    uint32_t parent;            /* of the command */
    struct epb_ancestors above; /* the package managers, before the fork */
    int ready;                  /* the report goes here */
    int wake[2];                /* one byte a signal or a report of the service */
    uint64_t serve_until_ms;
    uint64_t kill_at_ms;
    bool draining;
    bool ended;
};

/* Opens `wake`. Returns 0 or an errno. */
EPB_MUST_USE int
epb_companion_open_wake(struct epb_companion *companion);
/* The surroundings of the process: session, signals, streams,
 * descriptors, limits. Returns 0 or an errno. */
EPB_MUST_USE int
epb_companion_settle(struct epb_companion *companion);
/* The same for a process that keeps its session, streams and descriptors. `typed`: INT
 * and QUIT count as TERM, as HUP does. */
EPB_MUST_USE int
epb_companion_settle_here(struct epb_companion *companion, bool typed);
/* A companion that is tied to a process: the caller may end, and has its standard error
 * back. Does nothing for others. */
void
epb_companion_leave_caller(struct epb_companion *companion);
/* Notes the parent of this process and the package managers above it. */
void
epb_companion_find_managers(struct epb_companion *companion);
/* Watches these package managers. Returns false when one has died meanwhile. */
bool
epb_companion_watch_managers(struct epb_companion *companion);
/* Calls the service's `confine`. */
void
epb_companion_confine(const struct epb_companion *companion);
/* Serves until the command, or the service, has ended. */
void
epb_companion_serve(struct epb_companion *companion,
                    const struct epb_process_clock *clock);

#endif
