/*
 * Spare buffers shared by the sessions of one broker. A session has a buffer only while
 * it holds data: idle connections hold no memory, and a busy connection does not call the
 * allocator for each request. Buffers are wiped as they are consumed, so a spare holds
 * nothing of its last user.
 *
 * Not thread-safe. A zeroed struct is an empty pool.
 */
#ifndef EPB_BASE_BUF_POOL_H
#define EPB_BASE_BUF_POOL_H

#include "buf.h"

#define EPB_BUF_POOL_SPARES 64U
/* The limit for all spares together. */
#define EPB_BUF_POOL_MAX_BYTES (1024U * 1024U)

struct epb_buf_pool {
    struct epb_buf spares[EPB_BUF_POOL_SPARES];
    unsigned count;
    size_t held_bytes;
};

void
epb_buf_pool_fini(struct epb_buf_pool *pool);
/* Gives a spare's memory, if there is one, to a buffer without memory. The buffer keeps
 * its limit. */
void
epb_buf_pool_take(struct epb_buf_pool *pool, struct epb_buf *buf);
/* Takes the memory of an empty buffer, and keeps or frees it. */
void
epb_buf_pool_give(struct epb_buf_pool *pool, struct epb_buf *buf);

#endif
