/*
 * Runs a command and keeps what it writes to standard output. Standard input and error
 * are inherited, and so is the process group. Meanwhile INT and QUIT are ignored, since a
 * terminal sends them to the command as well; TERM and HUP are passed on. POSIX.
 */
#ifndef EPB_CLI_CAPTURE_H
#define EPB_CLI_CAPTURE_H

#include <stdbool.h>

#include "../base/buf.h"

struct epb_capture {
    struct epb_buf *out; /* what the command wrote; more than its limit is dropped */
    bool overflowed;
    int status; /* its exit status, or 128 and the number of the signal that ended it */
};

/* Called once the command runs. Threads may be started from then on. */
typedef void (*epb_capture_started_fn)(void *context);

/* Returns 0 when the command has run, else a status after a complaint: 127, 126, 125. The
 * process has no other thread when it is called. */
EPB_MUST_USE int
epb_capture_run(char *const *command, epb_capture_started_fn on_started, void *context,
                struct epb_capture *capture);

#endif
