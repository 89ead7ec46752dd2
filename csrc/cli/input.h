/* Standard input. */
#ifndef EPB_CLI_INPUT_H
#define EPB_CLI_INPUT_H

#include <stdbool.h>

#include "../base/buf.h"

/* Appends all that comes until the end, whether standard input blocks or not. Same errors
 * as epb_buf_append; EPB_BROKER_GONE: it cannot be read. */
EPB_MUST_USE enum epb_status
epb_in_read_all(struct epb_buf *out);
/* Appends what has come, at least one byte. *at_end: the end instead. Blocks until then.
 * Same errors. */
EPB_MUST_USE enum epb_status
epb_in_read_some(struct epb_buf *out, bool *at_end);

#endif
