/* See gzip.h. */
#include "gzip.h"

/* Without zlib's own use of the heap: a value may be a secret. */
#define Z_SOLO
#define ZLIB_CONST
#include <zlib/zlib.h>

#include <stdbool.h>

#include "../base/shared_mem.h"

#define TRAILER_BYTES 4U
/* Adds "a gzip header" to the window size that zlib expects. */
#define GZIP_WINDOW_BITS (16 + 15)

static voidpf
allocate(voidpf context, uInt count, uInt size_bytes)
{
    (void)context;
    return epb_mem_alloc((size_t)count * size_bytes);
}

static void
release(voidpf context, voidpf memory)
{
    (void)context;
    epb_mem_free(memory);
}

/* Inflates into `room_bytes`, which the content must fill. */
static enum epb_status
inflate_into(uint8_t *room, uint32_t room_bytes, struct epb_bytes zipped)
{
    z_stream stream = {.next_in = zipped.data,
                       .avail_in = (uInt)zipped.size_bytes,
                       .next_out = room,
                       .avail_out = room_bytes,
                       .zalloc = allocate,
                       .zfree = release};

    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) {
        return EPB_INTERNAL;
    }
    int result = inflate(&stream, Z_FINISH);
    bool is_whole = result == Z_STREAM_END && stream.avail_out == 0;
    (void)inflateEnd(&stream);
    if (result == Z_MEM_ERROR) {
        return EPB_INTERNAL;
    }
    return is_whole ? EPB_OK : EPB_INVALID_VALUE;
}

enum epb_status
epb_gzip_inflate(struct epb_buf *out, struct epb_bytes zipped)
{
    uint8_t *room = NULL;

    if (zipped.size_bytes < TRAILER_BYTES || zipped.size_bytes > EPB_GZIP_MAX_BYTES) {
        return EPB_INVALID_VALUE;
    }
    uint32_t size_bytes = epb_get_u32(zipped.data + zipped.size_bytes - TRAILER_BYTES);
    if (size_bytes > EPB_GZIP_MAX_BYTES) {
        return EPB_INVALID_VALUE;
    }
    enum epb_status status = epb_buf_reserve(out, size_bytes, &room);
    if (status == EPB_OK) {
        status = inflate_into(room, size_bytes, zipped);
    }
    if (status == EPB_OK) {
        epb_buf_commit(out, size_bytes);
    }
    return status;
}

const char *
epb_gzip_version(void)
{
    return ZLIB_VERSION;
}
