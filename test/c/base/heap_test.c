#include <criterion/criterion.h>

#include "base/heap.h"
#include "base/mem_testing.h"
#include "helpers.h"

#define NODES 500U

static void
insert(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms)
{
    cr_assert_eq(epb_heap_reserve(heap), EPB_OK);
    epb_heap_insert(heap, node, due_ms);
}

Test(heap, gives_the_earliest_first)
{
    struct epb_heap_node nodes[5];
    const uint64_t due_ms[] = {30, 10, 50, 10, 20};
    const uint64_t in_order[] = {10, 10, 20, 30, 50};
    struct epb_heap heap;

    epb_heap_init(&heap);
    cr_assert_null(epb_heap_first(&heap));
    for (unsigned i = 0; i < 5; i++) {
        insert(&heap, &nodes[i], due_ms[i]);
    }
    for (unsigned i = 0; i < 5; i++) {
        struct epb_heap_node *first = epb_heap_first(&heap);

        cr_assert_eq(first->due_ms, in_order[i]);
        epb_heap_remove(&heap, first);
        cr_assert_eq(first->index, EPB_HEAP_NOWHERE);
    }
    cr_assert_null(epb_heap_first(&heap));
    epb_heap_fini(&heap);
}

Test(heap, keeps_the_owners_tag)
{
    struct epb_heap_node node = {.tag = 77};
    struct epb_heap heap;

    epb_heap_init(&heap);
    insert(&heap, &node, 1);
    epb_heap_change(&heap, &node, 9);
    epb_heap_remove(&heap, &node);
    cr_assert_eq(node.tag, 77);
    epb_heap_fini(&heap);
}

Test(heap, a_replacement_has_the_place_and_the_deadline)
{
    struct epb_heap_node nodes[3];
    struct epb_heap_node by = {0};
    struct epb_heap heap;

    epb_heap_init(&heap);
    for (unsigned i = 0; i < 3; i++) {
        insert(&heap, &nodes[i], 10 + i);
    }
    epb_heap_replace(&heap, &nodes[0], &by);
    cr_assert_eq(nodes[0].index, EPB_HEAP_NOWHERE);
    cr_assert_eq(epb_heap_first(&heap), &by);
    cr_assert_eq(by.due_ms, 10);
    epb_heap_fini(&heap);
}

Test(heap, without_memory_nothing_changes)
{
    struct epb_heap_node node;
    struct epb_heap heap;

    epb_heap_init(&heap);
    epb_mem_fail_after(1);
    cr_assert_eq(epb_heap_reserve(&heap), EPB_INTERNAL);
    cr_assert_eq(heap.count, 0);
    insert(&heap, &node, 1);
    cr_assert_eq(epb_heap_first(&heap), &node);
    epb_heap_fini(&heap);
}

Test(heap, gives_its_memory_back)
{
    static struct epb_heap_node nodes[10000];
    struct epb_heap heap;

    epb_heap_init(&heap);
    for (unsigned i = 0; i < 10000; i++) {
        insert(&heap, &nodes[i], i);
    }
    cr_assert_leq(epb_heap_bytes(&heap), 10000 * sizeof(void *) * 5 / 4);
    for (unsigned i = 0; i < 9900; i++) {
        epb_heap_remove(&heap, &nodes[i]);
    }
    cr_assert_leq(epb_heap_bytes(&heap), 1000 * sizeof(void *));
    for (unsigned i = 9900; i < 10000; i++) {
        epb_heap_remove(&heap, &nodes[i]);
    }
    cr_assert_eq(epb_heap_bytes(&heap), 0);
}

static void
check_against_model(const struct epb_heap *heap, const struct epb_heap_node *nodes,
                    const uint64_t *due_ms, const bool *inside, unsigned step)
{
    uint64_t earliest = UINT64_MAX;
    unsigned count = 0;

    for (unsigned i = 0; i < NODES; i++) {
        if (inside[i]) {
            count++;
            earliest = due_ms[i] < earliest ? due_ms[i] : earliest;
            cr_assert_eq(heap->nodes[nodes[i].index], &nodes[i], "step %u", step);
            cr_assert_eq(nodes[i].due_ms, due_ms[i], "step %u", step);
            /* Not before its parent: the top is its own. */
            unsigned parent = nodes[i].index == 0 ? 0 : (nodes[i].index - 1) / 4;

            cr_assert_leq(heap->nodes[parent]->due_ms, due_ms[i], "step %u", step);
        } else {
            cr_assert_eq(nodes[i].index, EPB_HEAP_NOWHERE, "step %u", step);
        }
    }
    cr_assert_eq(heap->count, count, "step %u", step);
    cr_assert_eq(count == 0 ? UINT64_MAX : epb_heap_first(heap)->due_ms, earliest,
                 "step %u", step);
}

Test(heap, agrees_with_a_plain_array)
{
    static struct epb_heap_node nodes[NODES];
    static uint64_t due_ms[NODES];
    static bool inside[NODES];
    uint64_t seed = random_seed("heap");
    struct random random = {seed};
    struct epb_heap heap;

    epb_heap_init(&heap);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].index = EPB_HEAP_NOWHERE;
    }
    for (unsigned step = 0; step < 20000; step++) {
        unsigned at = random_below(&random, NODES);
        uint64_t due = random_below(&random, 1000);

        if (!inside[at]) {
            insert(&heap, &nodes[at], due);
            inside[at] = true;
            due_ms[at] = due;
        } else if (random_below(&random, 3) == 0) {
            epb_heap_change(&heap, &nodes[at], due);
            due_ms[at] = due;
        } else {
            epb_heap_remove(&heap, &nodes[at]);
            inside[at] = false;
        }
        check_against_model(&heap, nodes, due_ms, inside, step);
    }
    epb_heap_fini(&heap);
}
