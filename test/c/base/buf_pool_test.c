/* Spare buffers: memory goes from one user to the next, emptied and bounded in number. */
#include "base/buf_pool.h"

#include "wire_help.h"

static void
fill(struct epb_buf *buf, size_t size_bytes)
{
    uint8_t *room;

    cr_assert_eq(epb_buf_reserve(buf, size_bytes, &room), EPB_OK);
    memset(room, 'S', size_bytes);
    epb_buf_commit(buf, size_bytes);
}

static void
empty(struct epb_buf_pool *pool, struct epb_buf *buf)
{
    epb_buf_consume(buf, epb_buf_size(buf));
    epb_buf_pool_give(pool, buf);
}

Test(buf_pool, memory_is_handed_on_without_what_was_in_it)
{
    struct epb_buf_pool pool = {.count = 0};
    struct epb_buf first;
    struct epb_buf second;

    epb_buf_init(&first, 1 << 20);
    epb_buf_init(&second, 1 << 19);
    fill(&first, 50000);
    uint8_t *memory = first.memory;
    empty(&pool, &first);
    cr_assert_null(first.memory);
    cr_assert_eq(first.limit_bytes, 1 << 20);
    epb_buf_pool_take(&pool, &second);
    cr_assert_eq(second.memory, memory);
    cr_assert_eq(second.limit_bytes, 1 << 19);
    cr_assert_eq(epb_buf_size(&second), 0);
    for (size_t i = 0; i < second.capacity_bytes; i++) {
        cr_assert_neq(memory[i], 'S');
    }
    epb_buf_pool_take(&pool, &first);
    cr_assert_null(first.memory, "there was one spare only");
    fill(&first, 10);
    cr_assert(bytes_equal(bytes_of(&first), LITERAL("SSSSSSSSSS")));
    epb_buf_fini(&first);
    epb_buf_fini(&second);
    epb_buf_pool_fini(&pool);
}

Test(buf_pool, keeps_so_many)
{
    struct epb_buf_pool pool = {.count = 0};
    struct epb_buf bufs[EPB_BUF_POOL_SPARES + 1];

    for (size_t i = 0; i <= EPB_BUF_POOL_SPARES; i++) {
        epb_buf_init(&bufs[i], 1 << 24);
        fill(&bufs[i], 5000);
    }
    for (size_t i = 0; i <= EPB_BUF_POOL_SPARES; i++) {
        empty(&pool, &bufs[i]);
        cr_assert_null(bufs[i].memory);
        cr_assert_eq(pool.count, i < EPB_BUF_POOL_SPARES ? i + 1 : EPB_BUF_POOL_SPARES);
    }
    epb_buf_pool_fini(&pool);
    cr_assert_eq(pool.count, 0);
}

Test(buf_pool, keeps_so_many_bytes)
{
    struct epb_buf_pool pool = {.count = 0};
    struct epb_buf bufs[3];

    for (size_t i = 0; i < 3; i++) {
        epb_buf_init(&bufs[i], 1 << 24);
        fill(&bufs[i],
             i == 0 ? EPB_BUF_POOL_MAX_BYTES + 1 : EPB_BUF_POOL_MAX_BYTES / 2 + 1);
    }
    for (size_t i = 0; i < 3; i++) {
        empty(&pool, &bufs[i]);
    }
    cr_assert_eq(pool.count, 1, "the first alone is too large, the others are together");
    cr_assert_leq(pool.held_bytes, EPB_BUF_POOL_MAX_BYTES);
    epb_buf_pool_fini(&pool);
}

Test(buf_pool, a_buffer_that_may_not_grow_so_large_takes_no_spare)
{
    struct epb_buf_pool pool = {.count = 0};
    struct epb_buf large;
    struct epb_buf small;

    epb_buf_init(&large, 1 << 20);
    epb_buf_init(&small, 4096);
    fill(&large, 100000);
    empty(&pool, &large);
    epb_buf_pool_take(&pool, &small);
    cr_assert_null(small.memory);
    epb_buf_pool_fini(&pool);
}
