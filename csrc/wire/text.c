/* See text.h. */
#include "text.h"

#include <inttypes.h>

#include "../base/quote.h"

struct epb_text
epb_text_begin(struct epb_buf *out)
{
    return (struct epb_text){.out = out, .start_bytes = epb_buf_size(out)};
}

void
epb_text_note(struct epb_text *text, enum epb_status status)
{
    if (text->status == EPB_OK) {
        text->status = status;
    }
}

void
epb_text_put_bytes(struct epb_text *text, struct epb_bytes bytes)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_append(text->out, bytes.data, bytes.size_bytes);
}

void
epb_text_put(struct epb_text *text, const char *string)
{
    epb_text_put_bytes(text, (struct epb_bytes){(const uint8_t *)string, strlen(string)});
}

void
epb_text_put_number(struct epb_text *text, uint64_t number)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out, "%" PRIu64, number);
}

void
epb_text_put_signed(struct epb_text *text, int64_t number)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out, "%" PRId64, number);
}

void
epb_text_put_json_string(struct epb_text *text, struct epb_bytes bytes)
{
    epb_text_put(text, "\"");
    size_t run_start = 0;
    for (size_t i = 0; i <= bytes.size_bytes; i++) {
        bool end = i == bytes.size_bytes;
        if (!end && bytes.data[i] >= 0x20 && bytes.data[i] != '"' &&
            bytes.data[i] != '\\') {
            continue;
        }
        if (i > run_start) {
            epb_text_put_bytes(text,
                               (struct epb_bytes){bytes.data + run_start, i - run_start});
        }
        if (!end && text->status == EPB_OK) {
            text->status = epb_quote_escape(text->out, bytes.data[i]);
        }
        run_start = i + 1;
    }
    epb_text_put(text, "\"");
}

enum epb_status
epb_text_end(struct epb_text *text)
{
    if (text->status != EPB_OK) {
        epb_buf_truncate(text->out, epb_buf_size(text->out) - text->start_bytes);
    }
    return text->status;
}
