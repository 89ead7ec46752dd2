/* Log lines: one JSON object each, made of names that we choose and arbitrary text. They
 * never contain values or secrets. A line that doesn't fit in memory is omitted. */
#ifndef EPB_SERVER_LOG_H
#define EPB_SERVER_LOG_H

#include "../base/buf.h"

/* Begins a line in an empty buffer. */
void
epb_log_begin(struct epb_buf *line, const char *level, const char *event,
              uint64_t wall_ms);
void
epb_log_text(struct epb_buf *line, const char *name, struct epb_bytes text);
void
epb_log_string(struct epb_buf *line, const char *name, const char *text);
void
epb_log_number(struct epb_buf *line, const char *name, uint64_t number);
/* Whether the line is complete. */
EPB_MUST_USE enum epb_status
epb_log_end(struct epb_buf *line);

#endif
