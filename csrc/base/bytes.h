/* A borrowed run of bytes, its order, and little-endian integers. */
#ifndef EPB_BASE_BYTES_H
#define EPB_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct epb_bytes {
    const uint8_t *data; /* may be NULL when size_bytes is 0 */
    size_t size_bytes;
};

/* The bytes after the first `size_bytes`, which must exist. */
static inline struct epb_bytes
epb_bytes_after(struct epb_bytes bytes, size_t size_bytes)
{
    return (struct epb_bytes){bytes.data + size_bytes, bytes.size_bytes - size_bytes};
}

/* Bytewise, as memcmp; a proper prefix is less. */
static inline int
epb_bytes_compare(struct epb_bytes left, struct epb_bytes right)
{
    size_t common_bytes =
        left.size_bytes < right.size_bytes ? left.size_bytes : right.size_bytes;
    int order = common_bytes == 0 ? 0 : memcmp(left.data, right.data, common_bytes);

    return order != 0 ? order
                      : (left.size_bytes > right.size_bytes) -
                            (left.size_bytes < right.size_bytes);
}

/* Zero-fills a struct whose size is known at compile time, by plain stores. The string
 * instruction that compilers emit otherwise needs some ten nanoseconds to start. */
static inline void
epb_zero(void *memory, size_t size_bytes)
{
    uint8_t *at = (uint8_t *)memory;

    for (; size_bytes >= 32; size_bytes -= 32, at += 32) {
        memset(at, 0, 32);
    }
    for (; size_bytes > 0; size_bytes--, at++) {
        *at = 0;
    }
}

static inline void
epb_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void
epb_put_u32(uint8_t *out, uint32_t value)
{
    epb_put_u16(out, (uint16_t)value);
    epb_put_u16(out + 2, (uint16_t)(value >> 16));
}

static inline void
epb_put_u64(uint8_t *out, uint64_t value)
{
    epb_put_u32(out, (uint32_t)value);
    epb_put_u32(out + 4, (uint32_t)(value >> 32));
}

static inline uint16_t
epb_get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] | (uint16_t)(in[1] << 8));
}

static inline uint32_t
epb_get_u32(const uint8_t *in)
{
    return (uint32_t)epb_get_u16(in) | ((uint32_t)epb_get_u16(in + 2) << 16);
}

static inline uint64_t
epb_get_u64(const uint8_t *in)
{
    return (uint64_t)epb_get_u32(in) | ((uint64_t)epb_get_u32(in + 4) << 32);
}

#endif
