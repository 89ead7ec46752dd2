#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "helpers.h"

static void
append(struct epb_buf *buf, const char *text)
{
    cr_assert_eq(epb_buf_append(buf, text, strlen(text)), EPB_OK);
}

static void
assert_holds(const struct epb_buf *buf, const char *text)
{
    const struct epb_bytes held = {epb_buf_data(buf), epb_buf_size(buf)};

    cr_assert(bytes_equal(held, bytes_of(text)), "holds %zu bytes", held.size_bytes);
}

Test(buf, takes_nothing_before_it_is_used)
{
    struct epb_mem_stats stats;
    struct epb_buf buf;

    epb_buf_init(&buf, 1000);
    epb_mem_shared_stats(&stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_eq(epb_buf_size(&buf), 0);
    epb_buf_consume(&buf, 0);
    epb_buf_truncate(&buf, 0);
    epb_buf_trim(&buf, 0);
    cr_assert_eq(epb_buf_append(&buf, NULL, 0), EPB_OK);
    epb_buf_fini(&buf);
}

Test(buf, appends_consumes_and_truncates)
{
    struct epb_buf buf;

    epb_buf_init(&buf, 1000);
    append(&buf, "hello ");
    append(&buf, "world");
    assert_holds(&buf, "hello world");
    epb_buf_consume(&buf, 6);
    assert_holds(&buf, "world");
    epb_buf_truncate(&buf, 2);
    assert_holds(&buf, "wor");
    cr_assert_eq(epb_buf_printf(&buf, " %d-%s", 42, "x"), EPB_OK);
    assert_holds(&buf, "wor 42-x");
    epb_buf_fini(&buf);
    cr_assert_eq(epb_buf_size(&buf), 0);
}

Test(buf, what_is_reserved_counts_when_committed)
{
    struct epb_buf buf;
    uint8_t *out;

    epb_buf_init(&buf, 1000);
    cr_assert_eq(epb_buf_reserve(&buf, 100, &out), EPB_OK);
    memcpy(out, "abc", 3);
    cr_assert_eq(epb_buf_size(&buf), 0);
    epb_buf_commit(&buf, 3);
    assert_holds(&buf, "abc");
    epb_buf_fini(&buf);
}

Test(buf, the_limit_is_exact_and_refusal_changes_nothing)
{
    static uint8_t data[300];
    struct epb_buf buf;
    uint8_t *out;

    epb_buf_init(&buf, 300);
    cr_assert_eq(epb_buf_append(&buf, data, 301), EPB_TOO_LARGE);
    cr_assert_eq(epb_buf_append(&buf, data, 290), EPB_OK);
    cr_assert_eq(epb_buf_append(&buf, data, 11), EPB_TOO_LARGE);
    cr_assert_eq(epb_buf_reserve(&buf, SIZE_MAX, &out), EPB_TOO_LARGE);
    cr_assert_eq(epb_buf_size(&buf), 290);
    cr_assert_eq(epb_buf_append(&buf, data, 10), EPB_OK);
    /* What was consumed makes room, wherever the rest lies. */
    epb_buf_consume(&buf, 5);
    cr_assert_eq(epb_buf_append(&buf, data, 6), EPB_TOO_LARGE);
    cr_assert_eq(epb_buf_append(&buf, data, 5), EPB_OK);
    cr_assert_eq(epb_buf_size(&buf), 300);
    epb_buf_fini(&buf);
}

Test(buf, without_memory_nothing_changes)
{
    static const uint8_t data[5000];
    struct epb_buf buf;

    epb_buf_init(&buf, 100000);
    epb_mem_fail_after(1);
    cr_assert_eq(epb_buf_append(&buf, "x", 1), EPB_INTERNAL);
    append(&buf, "kept");
    epb_mem_fail_after(1);
    cr_assert_eq(epb_buf_append(&buf, data, sizeof(data)), EPB_INTERNAL);
    epb_mem_fail_after(1);
    cr_assert_eq(epb_buf_printf(&buf, "%4000d", 1), EPB_INTERNAL);
    assert_holds(&buf, "kept");
    epb_buf_fini(&buf);
}

Test(buf, leaves_nothing_behind)
{
    static const char secret[] = "correct horse battery staple";
    static const uint8_t filler[3000];
    const size_t size_bytes = sizeof(secret) - 1;
    struct epb_buf buf;

    epb_buf_init(&buf, 100000);
    append(&buf, secret);
    cr_assert_eq(times_in_memory(NULL, secret, size_bytes), 1);
    cr_assert_eq(epb_buf_append(&buf, filler, sizeof(filler)), EPB_OK);
    cr_assert_eq(times_in_memory(NULL, secret, size_bytes), 1, "grown: one copy");
    epb_buf_consume(&buf, size_bytes);
    cr_assert_eq(times_in_memory(NULL, secret, size_bytes), 0, "consumed");
    append(&buf, secret);
    epb_buf_truncate(&buf, size_bytes);
    cr_assert_eq(times_in_memory(NULL, secret, size_bytes), 0, "taken back");
    append(&buf, secret);
    epb_buf_fini(&buf);
    cr_assert_eq(times_in_memory(NULL, secret, size_bytes), 0, "freed");
}

Test(buf, moving_to_the_front_leaves_nothing_behind)
{
    static const char secret[] = "correct horse battery staple";
    static const uint8_t filler[130];
    struct epb_buf buf;

    epb_buf_init(&buf, 256);
    cr_assert_eq(epb_buf_append(&buf, filler, sizeof(filler)), EPB_OK);
    append(&buf, secret);
    epb_buf_consume(&buf, sizeof(filler));
    /* Fits only at the front, and does not reach to where the secret was. */
    cr_assert_eq(epb_buf_append(&buf, filler, 100), EPB_OK);
    cr_assert_eq(buf.start, 0);
    cr_assert_eq(times_in_memory(NULL, secret, sizeof(secret) - 1), 1);
    epb_buf_fini(&buf);
}

Test(buf, trim_gives_memory_back_only_when_empty)
{
    static const uint8_t data[5000];
    struct epb_buf buf;

    epb_buf_init(&buf, 100000);
    cr_assert_eq(epb_buf_append(&buf, data, sizeof(data)), EPB_OK);
    epb_buf_trim(&buf, 100);
    cr_assert_eq(epb_buf_size(&buf), sizeof(data));
    epb_buf_consume(&buf, sizeof(data));
    epb_buf_trim(&buf, 10000);
    cr_assert_geq(buf.capacity_bytes, sizeof(data));
    epb_buf_trim(&buf, 100);
    cr_assert_eq(buf.capacity_bytes, 0);
    append(&buf, "again");
    assert_holds(&buf, "again");
    epb_buf_fini(&buf);
}

/* One byte in, one byte out, with much in between: moving it each time would take for
 * ever. */
Test(buf, a_long_queue_moves_seldom, .timeout = 30)
{
    static const uint8_t data[200000];
    struct epb_buf buf;
    unsigned moves = 0;
    const uint8_t *memory;

    epb_buf_init(&buf, 10 * sizeof(data));
    cr_assert_eq(epb_buf_append(&buf, data, sizeof(data)), EPB_OK);
    memory = epb_buf_data(&buf);
    for (unsigned i = 0; i < 1000000; i++) {
        cr_assert_eq(epb_buf_append(&buf, "x", 1), EPB_OK);
        epb_buf_consume(&buf, 1);
        moves += epb_buf_data(&buf) != memory + 1;
        memory = epb_buf_data(&buf);
    }
    cr_assert_leq(moves, 12);
    epb_buf_fini(&buf);
}

static void
random_history(uint64_t seed)
{
    static uint8_t model[4096];
    struct random random = {seed};
    size_t held = 0;
    struct epb_buf buf;

    epb_buf_init(&buf, sizeof(model));
    for (unsigned step = 0; step < 20000; step++) {
        uint8_t data[600];
        size_t size_bytes = random_below(&random, sizeof(data));
        unsigned choice = random_below(&random, 5);

        if (choice <= 2) {
            enum epb_status expected =
                held + size_bytes <= sizeof(model) ? EPB_OK : EPB_TOO_LARGE;

            random_fill(&random, data, size_bytes);
            cr_assert_eq(epb_buf_append(&buf, data, size_bytes), expected);
            if (expected == EPB_OK) {
                memcpy(model + held, data, size_bytes);
                held += size_bytes;
            }
        } else {
            size_bytes = size_bytes < held ? size_bytes : held;
            held -= size_bytes;
            if (choice == 3) {
                epb_buf_truncate(&buf, size_bytes);
            } else {
                epb_buf_consume(&buf, size_bytes);
                memmove(model, model + size_bytes, held);
            }
            epb_buf_trim(&buf, 1024);
        }
        cr_assert(bytes_equal((struct epb_bytes){model, held},
                              (struct epb_bytes){epb_buf_data(&buf), epb_buf_size(&buf)}),
                  "seed %llu step %u", (unsigned long long)seed, step);
        cr_assert(buf.start <= buf.end && buf.end <= buf.capacity_bytes &&
                  buf.capacity_bytes <= buf.limit_bytes);
    }
    epb_buf_fini(&buf);
}

Test(buf, agrees_with_a_plain_array)
{
    random_history(1);
    random_history(2);
    random_history(random_seed("buf"));
}
