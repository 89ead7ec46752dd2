/*
 * Standard input of `epb pipe`, read by a thread of its own, and the bell that wakes the
 * main thread: for input, and for replies. Such a thread works on every system; no call
 * waits for a pipe, a file, a terminal and a broker's connection everywhere.
 *
 * The thread pauses while EPB_PIPE_INPUT_AHEAD_BYTES wait to be taken.
 *
 * There is one for the whole process. Its thread may still sit in a read when the program
 * ends, so that it is never freed.
 */
#ifndef EPB_CLI_PIPE_INPUT_H
#define EPB_CLI_PIPE_INPUT_H

#include <stdbool.h>

#include "../base/buf.h"

#define EPB_PIPE_INPUT_AHEAD_BYTES ((size_t)256 * 1024)

/* EPB_INTERNAL: the system has no thread left. */
EPB_MUST_USE enum epb_status
epb_pipe_input_start(void);
/* Rings the bell. For epb_client_fn. */
void
epb_pipe_input_ring(void *context);
/* Blocks until the bell rings. */
void
epb_pipe_input_wait(void);
/* Appends what has come. *ended: all has been taken, and no more will come. Same errors
 * as epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_pipe_input_take(struct epb_buf *out, bool *ended);

#endif
