/* See buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "mem.h"
#include "shared_mem.h"

#define SMALLEST_BYTES ((size_t)256)

void
epb_buf_init(struct epb_buf *buf, size_t limit_bytes)
{
    *buf = (struct epb_buf){.limit_bytes = limit_bytes};
}

void
epb_buf_fini(struct epb_buf *buf)
{
    epb_mem_free(buf->memory);
    epb_buf_init(buf, buf->limit_bytes);
}

/* Moves the content to the front. */
static void
compact(struct epb_buf *buf)
{
    size_t size_bytes = epb_buf_size(buf);
    size_t old_end = buf->end;

    memmove(buf->memory, buf->memory + buf->start, size_bytes);
    buf->start = 0;
    buf->end = size_bytes;
    epb_mem_wipe(buf->memory + size_bytes, old_end - size_bytes);
}

static enum epb_status
grow(struct epb_buf *buf, size_t need_bytes)
{
    size_t size_bytes = epb_buf_size(buf);
    size_t capacity_bytes =
        buf->capacity_bytes < SMALLEST_BYTES ? SMALLEST_BYTES : buf->capacity_bytes;

    while (capacity_bytes < need_bytes && capacity_bytes <= buf->limit_bytes / 2) {
        capacity_bytes *= 2;
    }
    if (capacity_bytes < need_bytes || capacity_bytes > buf->limit_bytes) {
        capacity_bytes = buf->limit_bytes;
    }
    uint8_t *memory = epb_mem_alloc(capacity_bytes);

    if (memory == NULL) {
        return EPB_INTERNAL;
    }
    if (size_bytes > 0) {
        epb_mem_copy(memory, buf->memory + buf->start, size_bytes);
    }
    epb_mem_free(buf->memory);
    buf->memory = memory;
    buf->capacity_bytes = capacity_bytes;
    buf->start = 0;
    buf->end = size_bytes;
    return EPB_OK;
}

enum epb_status
epb_buf_reserve(struct epb_buf *buf, size_t size_bytes, uint8_t **out)
{
    size_t held_bytes = epb_buf_size(buf);

    if (size_bytes > buf->limit_bytes - held_bytes) {
        return EPB_TOO_LARGE;
    }
    if (size_bytes > buf->capacity_bytes - buf->end) {
        size_t need_bytes = held_bytes + size_bytes;
        enum epb_status status = EPB_OK;

        /* Moving pays when it moves no more bytes than were consumed since the last
         * move. */
        if (need_bytes <= buf->capacity_bytes &&
            (held_bytes <= buf->start || buf->capacity_bytes == buf->limit_bytes)) {
            compact(buf);
        } else if (need_bytes <= buf->capacity_bytes) {
            status = grow(buf, buf->capacity_bytes + 1);
        } else {
            status = grow(buf, need_bytes);
        }
        if (status != EPB_OK) {
            return status;
        }
    }
    *out = buf->memory == NULL ? NULL : buf->memory + buf->end;
    return EPB_OK;
}

void
epb_buf_commit(struct epb_buf *buf, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= buf->capacity_bytes - buf->end);
    buf->end += size_bytes;
}

enum epb_status
epb_buf_append(struct epb_buf *buf, const void *data, size_t size_bytes)
{
    uint8_t *out;
    enum epb_status status;

    if (size_bytes == 0) {
        return EPB_OK;
    }
    status = epb_buf_reserve(buf, size_bytes, &out);
    if (status != EPB_OK) {
        return status;
    }
    EPB_ASSERT(out != NULL);
    epb_mem_copy(out, data, size_bytes);
    epb_buf_commit(buf, size_bytes);
    return EPB_OK;
}

enum epb_status
epb_buf_printf(struct epb_buf *buf, const char *format, ...)
{
    va_list arguments;
    uint8_t *out;
    enum epb_status status;

    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return EPB_INTERNAL;
    }
    status = epb_buf_reserve(buf, (size_t)length + 1, &out);
    if (status != EPB_OK) {
        return status;
    }
    va_start(arguments, format);
    int written = vsnprintf((char *)out, (size_t)length + 1, format, arguments);
    va_end(arguments);
    EPB_ASSERT(written == length);
    epb_buf_commit(buf, (size_t)length);
    return EPB_OK;
}

void
epb_buf_consume(struct epb_buf *buf, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= epb_buf_size(buf));
    if (size_bytes > 0) {
        epb_mem_wipe(buf->memory + buf->start, size_bytes);
    }
    buf->start += size_bytes;
    if (buf->start == buf->end) {
        buf->start = 0;
        buf->end = 0;
    }
}

void
epb_buf_truncate(struct epb_buf *buf, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= epb_buf_size(buf));
    if (size_bytes > 0) {
        epb_mem_wipe(buf->memory + buf->end - size_bytes, size_bytes);
    }
    buf->end -= size_bytes;
    if (buf->start == buf->end) {
        buf->start = 0;
        buf->end = 0;
    }
}

void
epb_buf_trim(struct epb_buf *buf, size_t keep_bytes)
{
    if (epb_buf_size(buf) == 0 && buf->capacity_bytes > keep_bytes) {
        epb_buf_fini(buf);
    }
}
