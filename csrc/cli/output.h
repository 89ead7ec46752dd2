/* Standard output and standard error. */
#ifndef EPB_CLI_OUTPUT_H
#define EPB_CLI_OUTPUT_H

#include <stdbool.h>

#include "../base/buf.h"

/* Writes everything to a descriptor, non-blocking or not, before it returns. A standard
 * output that is closed, or has no reader, ends the process by SIGPIPE. False: another
 * error. */
bool
epb_out_write(int fd, const void *data, size_t size_bytes);
/* The same, and never ends the process. */
bool
epb_out_try(int fd, const void *data, size_t size_bytes);
/* After a failed epb_out_try: whether the output is closed, or has no reader. */
bool
epb_out_is_closed(void);
bool
epb_out_is_terminal(int fd);
/* What is written from now on is lost, and a pipe loses its writer. */
void
epb_out_discard(int fd);
/* Whether a descriptor takes a line at once. Windows does not say, and it is assumed. */
bool
epb_out_is_ready(int fd);
/* Writes to standard output. */
bool
epb_out_text(const char *text);
bool
epb_out_buf(const struct epb_buf *buf);

#endif
