/*
 * A growing byte buffer with a bound, for input and output that may hold secrets. Bytes
 * are appended at the end and consumed from the front. Memory that growing, consuming or
 * freeing leaves behind is wiped. The buffer lives in the process-wide arena.
 *
 * Invariant: start <= end <= capacity <= the limit given at init.
 */
#ifndef EPB_BASE_BUF_H
#define EPB_BASE_BUF_H

#include "bytes.h"
#include "status.h"

struct epb_buf {
    uint8_t *memory;
    size_t capacity_bytes;
    size_t start; /* first byte not yet consumed */
    size_t end;   /* one past the last byte */
    size_t limit_bytes;
};

/* Allocates nothing. */
void
epb_buf_init(struct epb_buf *buf, size_t limit_bytes);
void
epb_buf_fini(struct epb_buf *buf);

static inline size_t
epb_buf_size(const struct epb_buf *buf)
{
    return buf->end - buf->start;
}

static inline const uint8_t *
epb_buf_data(const struct epb_buf *buf)
{
    return buf->memory == NULL ? NULL : buf->memory + buf->start;
}

/* Makes room for `size_bytes` more. *out is where they go, valid until the next call on
 * this buffer other than epb_buf_commit. EPB_TOO_LARGE beyond the limit, EPB_INTERNAL
 * when memory is out; the buffer is then unchanged. */
EPB_MUST_USE enum epb_status
epb_buf_reserve(struct epb_buf *buf, size_t size_bytes, uint8_t **out);
/* Appends the first `size_bytes` of the reserved bytes. */
void
epb_buf_commit(struct epb_buf *buf, size_t size_bytes);
EPB_MUST_USE enum epb_status
epb_buf_append(struct epb_buf *buf, const void *data, size_t size_bytes);
/* Appends formatted text, as printf; same errors as reserve. */
EPB_MUST_USE enum epb_status
epb_buf_printf(struct epb_buf *buf, const char *format, ...) EPB_PRINTF(2, 3);
/* Removes bytes from the front and wipes them. */
void
epb_buf_consume(struct epb_buf *buf, size_t size_bytes);
/* Removes bytes from the end and wipes them: undoes an append. */
void
epb_buf_truncate(struct epb_buf *buf, size_t size_bytes);
/* Frees the memory when the buffer is empty and its capacity exceeds `keep_bytes`. */
void
epb_buf_trim(struct epb_buf *buf, size_t keep_bytes);

#endif
