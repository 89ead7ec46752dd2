/* A user's text in a message: in quotes, on one line, harmless on a terminal. */
#ifndef EPB_BASE_QUOTE_H
#define EPB_BASE_QUOTE_H

#include "buf.h"

/* Writes the text as a JSON string. Characters beyond `max_bytes` are left out. Bytes
 * that are no UTF-8 become U+FFFD each; control characters are escaped. Same errors as
 * epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_quote(struct epb_buf *out, struct epb_bytes text, size_t max_bytes);

#endif
