/* How times, sizes, names and tables look on standard output and in messages. */
#ifndef EPB_CLI_SHOW_H
#define EPB_CLI_SHOW_H

#include <stdbool.h>

#include "../wire/text.h"

/* The two largest units that matter: "850 ms", "59.2 s", "4m 10s", "1d 3h"; "forever"
 * from EPB_NUMBER_MAX on. */
void
epb_show_duration(struct epb_text *text, uint64_t ms);
/* The same in prose: "40 ms", "1.5 s", "60 s", "5 min", "2 h". */
void
epb_show_ms(struct epb_text *text, uint64_t ms);
/* "12 B", "2.0 KiB", "1.5 MiB". */
void
epb_show_size(struct epb_text *text, uint64_t size_bytes);
/* With a comma before each three digits: "1,000,000". */
void
epb_show_grouped(struct epb_text *text, uint64_t number);
/* A name as it is, or quoted and escaped when it contains characters that could rewrite
 * the terminal (control characters, and those that change the direction of text). */
void
epb_show_name(struct epb_text *text, struct epb_bytes name);
/* A key for a message: quoted, and cut when it is long. */
void
epb_show_key(struct epb_text *text, struct epb_bytes key);

/* A table of cells that were written one after the other into a buffer. */

#define EPB_GRID_COLUMNS_MAX 8U

struct epb_grid {
    struct epb_buf *cells; /* each ends with a NUL */
    unsigned columns;
    unsigned right; /* bit per column: aligned to the right */
};

/* Ends the current cell. */
void
epb_grid_next(struct epb_text *text);
/* Writes the rows: columns padded to their widest cell, no spaces at the end of a line.
 * Same errors as epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_grid_write(struct epb_buf *out, const struct epb_grid *grid);

#endif
