#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem_testing.h"
#include "helpers.h"

struct item {
    uint64_t size_bytes;
    char text[24];
    unsigned visits;
    bool inside;
};

static struct epb_bytes
key_of(const void *context)
{
    const struct item *item = context;

    return (struct epb_bytes){(const uint8_t *)item->text, item->size_bytes};
}

/* Keys of all lengths up to 16 or so, many with a beginning in common. */
static struct item *
items_new(unsigned count)
{
    struct item *items = calloc(count, sizeof(*items));

    for (unsigned i = 0; i < count; i++) {
        int length =
            i % 3 == 0 ? snprintf(items[i].text, sizeof(items[i].text), "%u", i)
                       : snprintf(items[i].text, sizeof(items[i].text), "key-%08u-x", i);

        items[i].size_bytes = (uint64_t)length;
    }
    return items;
}

static void
insert(struct epb_map *map, struct item *item)
{
    cr_assert_eq(epb_map_insert(map, item), EPB_OK);
    item->inside = true;
}

static bool
visit(void *context, void *found)
{
    struct item *item = found;
    unsigned *left = context;

    item->visits++;
    (*left)--;
    return *left > 0;
}

static void
check_all(struct epb_map *map, struct item *items, unsigned count)
{
    unsigned inside = 0;
    unsigned left = UINT32_MAX;

    epb_map_each(map, visit, &left);
    for (unsigned i = 0; i < count; i++) {
        void *found = epb_map_find(map, key_of(&items[i]));

        cr_assert_eq(found, items[i].inside ? &items[i] : NULL, "item %u", i);
        cr_assert_eq(items[i].visits, items[i].inside ? 1U : 0U, "item %u", i);
        items[i].visits = 0;
        inside += items[i].inside;
    }
    cr_assert_eq(epb_map_count(map), inside);
}

Test(map, finds_what_was_put_in)
{
    struct item *items = items_new(3);
    struct epb_map *map = epb_map_new(key_of);

    cr_assert_null(epb_map_find(map, bytes_of("0")));
    insert(map, &items[0]);
    insert(map, &items[1]);
    check_all(map, items, 3);
    epb_map_remove(map, &items[0]);
    items[0].inside = false;
    check_all(map, items, 3);
    epb_map_free(map);
    epb_map_free(NULL);
    free(items);
}

Test(map, keys_are_bytes)
{
    struct item with_nul = {.size_bytes = 3, .text = "a\0b"};
    struct item shorter = {.size_bytes = 1, .text = "a"};
    struct epb_map *map = epb_map_new(key_of);

    insert(map, &with_nul);
    cr_assert_null(epb_map_find(map, key_of(&shorter)));
    insert(map, &shorter);
    cr_assert_eq(epb_map_find(map, key_of(&shorter)), &shorter);
    cr_assert_eq(epb_map_find(map, key_of(&with_nul)), &with_nul);
    epb_map_free(map);
}

Test(map, a_replacement_is_found_instead)
{
    struct item *items = items_new(400);
    struct item *twins = items_new(400);
    struct epb_map *map = epb_map_new(key_of);

    for (unsigned i = 0; i < 400; i++) {
        insert(map, &items[i]);
        /* Some of them while the table grows. */
        epb_map_replace(map, &items[i / 2], &twins[i / 2]);
        cr_assert_eq(epb_map_find(map, key_of(&items[i / 2])), &twins[i / 2]);
        epb_map_replace(map, &twins[i / 2], &items[i / 2]);
    }
    check_all(map, items, 400);
    epb_map_free(map);
    free(items);
    free(twins);
}

Test(map, a_walk_ends_when_told)
{
    struct item *items = items_new(100);
    struct epb_map *map = epb_map_new(key_of);
    unsigned left = 10;
    unsigned visited = 0;

    for (unsigned i = 0; i < 100; i++) {
        insert(map, &items[i]);
    }
    epb_map_each(map, visit, &left);
    for (unsigned i = 0; i < 100; i++) {
        visited += items[i].visits;
    }
    cr_assert_eq(visited, 10);
    epb_map_free(map);
    free(items);
}

Test(map, memory_follows_the_count)
{
    const unsigned count = 100000;
    struct item *items = items_new(count);
    struct epb_map *map = epb_map_new(key_of);

    for (unsigned i = 0; i < count; i++) {
        insert(map, &items[i]);
        /* Two tables while it grows, both in use. */
        cr_assert_leq(epb_map_bytes(map), 1024 + (size_t)i * 8 * EPB_LIMIT(4, 16));
    }
    cr_assert_leq(epb_map_bytes(map), (size_t)count * EPB_LIMIT(11, 44),
                  "8 bytes a slot, 76 %% of them full");
    check_all(map, items, count);
    for (unsigned i = 0; i < count; i++) {
        epb_map_remove(map, &items[i]);
        items[i].inside = false;
        if (i == count - 1000) {
            cr_assert_leq(epb_map_bytes(map), 256 * 1024);
        }
    }
    cr_assert_leq(epb_map_bytes(map), 16 * 1024);
    check_all(map, items, count);
    epb_map_free(map);
    free(items);
}

Test(map, without_memory_nothing_changes)
{
    struct item *items = items_new(2000);
    struct epb_map *map;
    unsigned refused = 0;

    epb_mem_fail_after(1);
    cr_assert_null(epb_map_new(key_of));
    map = epb_map_new(key_of);
    for (unsigned i = 0; i < 2000; i++) {
        epb_mem_fail_after(1);
        if (epb_map_insert(map, &items[i]) == EPB_INTERNAL) {
            refused++;
            cr_assert_eq(epb_map_count(map), i);
            cr_assert_null(epb_map_find(map, key_of(&items[i])));
            epb_mem_fail_after(0);
            cr_assert_eq(epb_map_insert(map, &items[i]), EPB_OK);
        }
        epb_mem_fail_after(0);
        items[i].inside = true;
    }
    cr_assert_geq(refused, 4, "it grew that often");
    check_all(map, items, 2000);
    for (unsigned i = 0; i < 2000; i++) {
        epb_mem_fail_after(1);
        epb_map_remove(map, &items[i]);
        epb_mem_fail_after(0);
        items[i].inside = false;
    }
    check_all(map, items, 2000);
    epb_map_free(map);
    free(items);
}

static void
random_history(uint64_t seed)
{
    const unsigned count = 6000;
    struct item *items = items_new(count);
    struct epb_map *map = epb_map_new(key_of);
    struct random random = {seed};

    for (unsigned phase = 0; phase < 12; phase++) {
        /* By turns mostly in, mostly out, so that it grows and shrinks. */
        unsigned insert_percent = phase % 2 == 0 ? 80 : 15;

        for (unsigned step = 0; step < 8000; step++) {
            struct item *item = &items[random_below(&random, count)];
            bool want = random_below(&random, 100) < insert_percent;

            cr_assert_eq(epb_map_find(map, key_of(item)), item->inside ? item : NULL,
                         "seed %llu phase %u step %u", (unsigned long long)seed, phase,
                         step);
            if (want && !item->inside) {
                insert(map, item);
            } else if (!want && item->inside) {
                epb_map_remove(map, item);
                item->inside = false;
            }
        }
        check_all(map, items, count);
    }
    epb_map_free(map);
    free(items);
}

Test(map, agrees_with_a_plain_array)
{
    random_history(1);
    random_history(2);
    random_history(random_seed("map"));
}

/* Visits of a walk in parts; `item->visits` are counted. */
static void
visit_part(void *context, void *found)
{
    struct item *item = found;

    (void)context;
    cr_assert(item->inside);
    item->visits++;
}

/* Whatever comes and goes between the parts, what stays is visited. */
Test(map, a_walk_in_parts_meets_all_that_stays)
{
    const unsigned count = 6000;
    struct item *items = items_new(count);

    for (unsigned round = 0; round < 60; round++) {
        struct epb_map *map = epb_map_new(key_of);
        struct random random = {round + 1};
        uint64_t cursor = 0;
        unsigned some = round * 37 % 2000;
        bool more = true;

        for (unsigned i = 0; i < count; i++) {
            items[i].inside = false;
            items[i].visits = 0;
        }
        /* The first `some` stay; of the others a growing or shrinking part is there. */
        for (unsigned i = 0; i < some + (round % 2) * 4000; i++) {
            insert(map, &items[i]);
        }
        while (more) {
            unsigned changes = random_below(&random, 40);

            more = epb_map_scan(map, &cursor, visit_part, NULL);
            for (unsigned i = 0; i < changes; i++) {
                struct item *item = &items[some + random_below(&random, count - some)];

                if (item->inside && (round % 2 == 1 || random_below(&random, 4) == 0)) {
                    epb_map_remove(map, item);
                    item->inside = false;
                } else if (!item->inside && round % 2 == 0) {
                    insert(map, item);
                }
            }
        }
        for (unsigned i = 0; i < some; i++) {
            cr_assert_geq(items[i].visits, 1, "round %u, item %u", round, i);
        }
        epb_map_free(map);
    }
    free(items);
}

/* While nothing changes, once; an empty map has no parts. */
Test(map, a_walk_in_parts_meets_everything_once)
{
    struct item *items = items_new(1000);
    struct epb_map *map = epb_map_new(key_of);
    uint64_t cursor = 0;

    cr_assert_not(epb_map_scan(map, &cursor, visit_part, NULL));
    for (unsigned i = 0; i < 1000; i++) {
        insert(map, &items[i]);
    }
    while (epb_map_scan(map, &cursor, visit_part, NULL)) {
    }
    cr_assert_eq(cursor, 0);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(items[i].visits, 1, "item %u", i);
    }
    epb_map_free(map);
    free(items);
}
