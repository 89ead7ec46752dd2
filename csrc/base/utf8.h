/* Checks whether bytes are text. */
#ifndef EPB_BASE_UTF8_H
#define EPB_BASE_UTF8_H

#include <stdbool.h>

#include "bytes.h"

/* Well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates. */
bool
epb_utf8_valid(struct epb_bytes text);
/* Whether the text is ASCII that JSON does not escape: no control character, quote or
 * backslash (RFC 8259, section 7). */
bool
epb_utf8_is_plain(struct epb_bytes text);

#endif
