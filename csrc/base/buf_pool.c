/* See buf_pool.h. */
#include "buf_pool.h"

void
epb_buf_pool_fini(struct epb_buf_pool *pool)
{
    while (pool->count > 0) {
        epb_buf_fini(&pool->spares[--pool->count]);
    }
    pool->held_bytes = 0;
}

void
epb_buf_pool_take(struct epb_buf_pool *pool, struct epb_buf *buf)
{
    if (buf->memory != NULL || pool->count == 0) {
        return;
    }
    size_t limit_bytes = buf->limit_bytes;
    if (pool->spares[pool->count - 1].capacity_bytes > limit_bytes) {
        return;
    }
    *buf = pool->spares[--pool->count];
    pool->held_bytes -= buf->capacity_bytes;
    buf->limit_bytes = limit_bytes;
}

void
epb_buf_pool_give(struct epb_buf_pool *pool, struct epb_buf *buf)
{
    EPB_ASSERT(epb_buf_size(buf) == 0);
    if (buf->memory == NULL) {
        return;
    }
    if (pool->count == EPB_BUF_POOL_SPARES ||
        pool->held_bytes + buf->capacity_bytes > EPB_BUF_POOL_MAX_BYTES) {
        epb_buf_fini(buf);
        return;
    }
    struct epb_buf *spare = &pool->spares[pool->count++];
    pool->held_bytes += buf->capacity_bytes;
    *spare = *buf;
    spare->start = 0;
    spare->end = 0;
    epb_buf_init(buf, buf->limit_bytes);
}
