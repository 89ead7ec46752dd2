/* Pools that are filled in slices: what others see meanwhile, and what is left of one
 * that is given up. What a filling comes to in the end is lease_model_test.c's. */
#include "engine_help.h"

#define MANY 20000U
#define ELEMENT_BYTES 6U

TestSuite(fill, .init = table_setup, .fini = table_close);

/* From `first` on, so many numbers of six digits. */
static struct epb_bytes
many(uint32_t first, uint32_t count)
{
    static uint8_t packed[2 * MANY * (EPB_ELEMENT_HEADER_BYTES + ELEMENT_BYTES)];
    uint8_t *at = packed;

    for (uint32_t i = 0; i < count; i++) {
        char text[ELEMENT_BYTES + 1];

        snprintf(text, sizeof(text), "%06u", first + i);
        epb_put_u32(at, ELEMENT_BYTES);
        at[4] = 1;
        memcpy(at + EPB_ELEMENT_HEADER_BYTES, text, ELEMENT_BYTES);
        at += EPB_ELEMENT_HEADER_BYTES + ELEMENT_BYTES;
    }
    return (struct epb_bytes){packed, (size_t)(at - packed)};
}

static struct epb_request
fills(uint8_t action, uint32_t flags, struct epb_bytes elements)
{
    return (struct epb_request){
        .action = action, .flags = flags, .key = bytes_of("pool"), .value = elements};
}

static uint64_t
size_now(void)
{
    cr_assert_eq(ask(&table.c, (struct epb_request){.action = EPB_ACTION_DESCRIBE,
                                                    .key = bytes_of("pool")}),
                 EPB_OK);
    return table.reply.body.size_bytes == 0 ? 0 : epb_get_u64(table.reply.body.data + 1);
}

/* Slices of a's request until it has its reply, with another request in each pause. */
static unsigned
slices(uint64_t *least, uint64_t *most)
{
    struct epb_reply reply;
    unsigned count = 1;

    *least = UINT64_MAX;
    *most = 0;
    while (!epb_engine_next(table.engine, table.a.peer, &table.now, &reply)) {
        uint64_t size = size_now();

        *least = size < *least ? size : *least;
        *most = size > *most ? size : *most;
        count++;
    }
    table.reply = reply;
    return count + 1;
}

static void
sweep(void)
{
    struct epb_due due;

    do {
        epb_engine_sweep(table.engine, &table.now, &due);
    } while (due.lease_mono_ms <= table.now.mono_ms);
}

static struct epb_stats
stats_now(void)
{
    struct epb_stats stats;

    epb_engine_stats(table.engine, &table.now, &stats);
    return stats;
}

Test(fill, a_long_list_comes_in_slices_and_all_at_once)
{
    uint64_t least;
    uint64_t most;

    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, 0, many(0, MANY))), DEFERRED);
    cr_assert_geq(slices(&least, &most), MANY / 2048);
    cr_assert_eq(most, 0, "none of it is seen before all of it is");
    cr_assert_eq(table.reply.count, 1);
    cr_assert_eq(size_now(), MANY);
    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL_ADD, 0, many(MANY, MANY))),
                 DEFERRED);
    (void)slices(&least, &most);
    cr_assert_eq(least, MANY);
    cr_assert_eq(most, MANY);
    cr_assert_eq(table.reply.count, 2 * MANY);
}

Test(fill, a_replacement_is_seen_with_its_new_elements_first)
{
    uint64_t least;
    uint64_t most;

    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, 0, many(0, MANY))), DEFERRED);
    (void)slices(&least, &most);
    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, EPB_F_FORCE, many(MANY / 2, MANY))),
                 DEFERRED);
    (void)slices(&least, &most);
    cr_assert_eq(least, MANY);
    cr_assert_leq(most, MANY + MANY / 2);
    cr_assert_eq(size_now(), MANY);
    cr_assert_eq(stats_now().leases.elements, MANY);
}

/* A delete frees in slices what the pool had; its key can be defined anew meanwhile. */
Test(fill, what_is_deleted_goes_in_slices)
{
    struct epb_due due;
    uint64_t least;
    uint64_t most;
    uint64_t before_bytes = stats_now().used_bytes;

    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, 0, many(0, MANY))), DEFERRED);
    (void)slices(&least, &most);
    cr_assert_eq(ask(&table.a, (struct epb_request){.action = EPB_ACTION_DEL,
                                                    .key = bytes_of("pool")}),
                 EPB_OK);
    cr_assert_eq(table.reply.count, 1);
    epb_engine_sweep(table.engine, &table.now, &due);
    cr_assert_leq(due.lease_mono_ms, table.now.mono_ms, "there is more");
    cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, 0, many(0, 10))), EPB_OK);
    cr_assert_eq(size_now(), 10);
    cr_assert_eq(stats_now().leases.elements, 10);
    sweep();
    cr_assert_eq(ask(&table.a, (struct epb_request){.action = EPB_ACTION_DEL,
                                                    .key = bytes_of("pool")}),
                 EPB_OK);
    cr_assert_eq(stats_now().used_bytes, before_bytes);
}

/* Wherever its peer leaves: before the elements have come in nothing is left of it, and
 * afterwards it is done. Another pool is filled meanwhile, and who waits is served. */
Test(fill, one_that_is_given_up_is_undone_or_done)
{
    uint64_t before_bytes = stats_now().used_bytes;

    for (unsigned given = 0; given < 45; given++) {
        struct epb_reply reply;
        bool done = false;
        uint64_t size;

        cr_assert_eq(ask(&table.b, fills(EPB_ACTION_POOL, 0, many(0, 3))), EPB_OK);
        cr_assert_eq(ask(&table.a, fills(EPB_ACTION_POOL, EPB_F_FORCE, many(2, MANY))),
                     DEFERRED);
        for (unsigned i = 0; i < given && !done; i++) {
            done = epb_engine_next(table.engine, table.a.peer, &table.now, &reply);
        }
        peer_leave(&table.a);
        peer_join(&table.a, "wa");
        sweep();
        size = size_now();
        cr_assert(size == 3 || size == MANY, "%u: %zu", given, (size_t)size);
        cr_assert(!done || size == MANY);
        cr_assert_eq(stats_now().leases.elements, size);
        cr_assert_eq(ask(&table.b, (struct epb_request){.action = EPB_ACTION_DEL,
                                                        .key = bytes_of("pool")}),
                     EPB_OK);
        sweep();
        cr_assert_eq(stats_now().used_bytes, before_bytes, "%u", given);
    }
}
