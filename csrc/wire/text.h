/* A writer of text into a buffer. It remembers its first error, so that a long text needs
 * one check at its end instead of one after each line. */
#ifndef EPB_WIRE_TEXT_H
#define EPB_WIRE_TEXT_H

#include "../base/buf.h"

struct epb_text {
    struct epb_buf *out;
    size_t start_bytes;     /* size of the buffer when the writer began */
    enum epb_status status; /* after an error nothing more is written */
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
/* Writes a JSON string, quotes included. The bytes are UTF-8. */
void
epb_text_put_json_string(struct epb_text *text, struct epb_bytes bytes);
/* Records the failure of other code that writes to the same buffer. */
void
epb_text_note(struct epb_text *text, enum epb_status status);
/* Returns the first error. After an error, takes back all bytes written since
 * epb_text_begin. */
EPB_MUST_USE enum epb_status
epb_text_end(struct epb_text *text);

#endif
