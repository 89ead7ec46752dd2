/* Log lines: one JSON object each, made of names that we choose and arbitrary text. They
 * never contain values or secrets. A line that doesn't fit in memory is omitted. */
#ifndef EPB_SERVER_LOG_H
#define EPB_SERVER_LOG_H

#include "../wire/text.h"

#define EPB_LOG_LINE_MAX_BYTES 8192U

struct epb_log_line {
    struct epb_buf buf;
    struct epb_text text;
};

/* Call epb_log_fini for each line that was begun. */
void
epb_log_begin(struct epb_log_line *line, const char *level, const char *event,
              uint64_t wall_ms);
/* Nothing in the text reaches a terminal that would obey it (base/quote.h). */
void
epb_log_text(struct epb_log_line *line, const char *name, struct epb_bytes text);
void
epb_log_string(struct epb_log_line *line, const char *name, const char *text);
void
epb_log_number(struct epb_log_line *line, const char *name, uint64_t number);
/* The whole line, borrowed. EPB_TOO_LARGE, EPB_INTERNAL: it is incomplete. */
EPB_MUST_USE enum epb_status
epb_log_end(struct epb_log_line *line, struct epb_bytes *json);
void
epb_log_fini(struct epb_log_line *line);

#endif
