/* Base64 (RFC 4648, section 4): bytes in JSON lines. */
#ifndef EPB_WIRE_BASE64_H
#define EPB_WIRE_BASE64_H

#include "../base/buf.h"

/* Decodes in place, to the front of the same memory. False when the text is not the
 * canonical encoding of its bytes: wrong characters, white space, missing padding, stray
 * bits. */
bool
epb_base64_decode(uint8_t *text, size_t text_bytes, size_t *size_bytes);
/* Appends the text. */
EPB_MUST_USE enum epb_status
epb_base64_encode(struct epb_buf *out, struct epb_bytes bytes);

#endif
