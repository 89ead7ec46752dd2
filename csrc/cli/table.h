/* The tables of commands and options as JSON, for what is generated from them outside C:
 * documents, the man page, lib/option_rows.js. */
#ifndef EPB_CLI_TABLE_H
#define EPB_CLI_TABLE_H

#include "cli.h"

/* {"commands": [...], "options": [...]}, on one line. Same errors as epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_table_write(struct epb_buf *out, const struct epb_cli *cli);

#endif
