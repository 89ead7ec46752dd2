/* Standard output and standard error. */
#ifndef EPB_CLI_OUTPUT_H
#define EPB_CLI_OUTPUT_H

#include <stdbool.h>

#include "../base/buf.h"

/* Writes everything to a descriptor, non-blocking or not, before it returns. A standard
 * output without a reader ends the process by SIGPIPE. False: another error. */
bool
epb_out_write(int fd, const void *data, size_t size_bytes);
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
