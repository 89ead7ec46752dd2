/* A user's text in a message: in quotes, on one line, harmless on a terminal. */
#ifndef EPB_BASE_QUOTE_H
#define EPB_BASE_QUOTE_H

#include <stdbool.h>

#include "buf.h"

/* Writes the text as a JSON string. Characters beyond `max_bytes` are left out. Bytes
 * that are no UTF-8 become U+FFFD each. Control characters, and those that change the
 * direction of text, are escaped. Same errors as epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_quote(struct epb_buf *out, struct epb_bytes text, size_t max_bytes);
/* Writes the escape of a character below U+10000: the short form if JSON has one. */
EPB_MUST_USE enum epb_status
epb_quote_escape(struct epb_buf *out, unsigned character);
/* Whether the text contains a character that epb_quote escapes for the terminal's sake:
 * unlike quotes and backslashes, such a character could rewrite what a user sees. */
bool
epb_quote_is_needed(struct epb_bytes text);

#endif
