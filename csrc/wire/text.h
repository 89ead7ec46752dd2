/* A writer of text into a buffer that remembers its first error, so that a long text is
 * written without a check a line and judged once, at the end. */
#ifndef EPB_WIRE_TEXT_H
#define EPB_WIRE_TEXT_H

#include "../base/buf.h"

struct epb_text {
    struct epb_buf *out;
    size_t start_bytes;     /* size of the buffer when the writer began */
    enum epb_status status; /* once it is no EPB_OK, nothing more is written */
};

struct epb_text
epb_text_begin(struct epb_buf *out);
void
epb_text_put(struct epb_text *text, const char *string);
void
epb_text_put_bytes(struct epb_text *text, struct epb_bytes bytes);
void
epb_text_put_number(struct epb_text *text, uint64_t number);
void
epb_text_put_signed(struct epb_text *text, int64_t number);
/* As a JSON string, quotes included. The bytes are UTF-8. */
void
epb_text_put_json_string(struct epb_text *text, struct epb_bytes bytes);
/* Notes a failure of something that writes to the same buffer. */
void
epb_text_note(struct epb_text *text, enum epb_status status);
/* The verdict; after an error everything written since epb_text_begin is taken back. */
EPB_MUST_USE enum epb_status
epb_text_end(struct epb_text *text);

#endif
