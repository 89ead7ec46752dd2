#include <criterion/criterion.h>

#include "base/tree.h"
#include "helpers.h"

#define NODES 400U

Test(tree, is_in_order_of_both_numbers)
{
    static const uint64_t majors[] = {5, 1, UINT64_MAX, 5, 0};
    static const uint64_t minors[] = {2, 9, 0, 1, 7};
    static const unsigned in_order[] = {4, 1, 3, 0, 2};
    struct epb_tree_node nodes[5];
    const struct epb_tree_node *node;
    struct epb_tree tree;

    epb_tree_init(&tree, 1);
    cr_assert_null(tree.first);
    cr_assert_null(epb_tree_find(&tree, 5, 2));
    for (unsigned i = 0; i < 5; i++) {
        epb_tree_insert(&tree, &nodes[i], majors[i], minors[i]);
    }
    node = tree.first;
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(node, &nodes[in_order[i]]);
        cr_assert_eq(epb_tree_find(&tree, node->major, node->minor), node);
        node = epb_tree_next(&tree, node);
    }
    cr_assert_null(node);
    cr_assert_null(epb_tree_find(&tree, 5, 3));
}

static unsigned
depth_of(const struct epb_tree_node *node)
{
    unsigned left = node == NULL ? 0 : 1 + depth_of(node->left);
    unsigned right = node == NULL ? 0 : 1 + depth_of(node->right);

    return left > right ? left : right;
}

Test(tree, stays_shallow_whatever_the_order)
{
    static struct epb_tree_node nodes[10000];
    struct epb_tree tree;

    epb_tree_init(&tree, random_seed("tree"));
    for (unsigned i = 0; i < 10000; i++) {
        epb_tree_insert(&tree, &nodes[i], i, 0);
    }
    /* About 30 is to be expected; 80 has a chance of less than one in 10^9. */
    cr_assert_leq(depth_of(tree.root), 80);
    for (unsigned i = 0; i < 9000; i++) {
        epb_tree_remove(&tree, &nodes[i]);
    }
    cr_assert_leq(depth_of(tree.root), 70);
    cr_assert_eq(tree.first, &nodes[9000]);
}

static void
check_order(const struct epb_tree *tree, const bool *inside)
{
    const struct epb_tree_node *node = tree->first;
    size_t count = 0;

    for (unsigned i = 0; i < NODES; i++) {
        if (inside[i]) {
            cr_assert_not_null(node);
            cr_assert_eq(node->major, i / 3);
            cr_assert_eq(node->minor, i % 3);
            node = epb_tree_next(tree, node);
            count++;
        }
    }
    cr_assert_null(node);
    cr_assert_eq(tree->count, count);
}

Test(tree, agrees_with_a_plain_array)
{
    static struct epb_tree_node nodes[NODES];
    static bool inside[NODES];
    uint64_t seed = random_seed("tree");
    struct random random = {seed};
    struct epb_tree tree;

    epb_tree_init(&tree, seed);
    for (unsigned step = 0; step < 40000; step++) {
        unsigned at = random_below(&random, NODES);

        cr_assert_eq(epb_tree_find(&tree, at / 3, at % 3),
                     inside[at] ? &nodes[at] : NULL);
        if (inside[at]) {
            epb_tree_remove(&tree, &nodes[at]);
        } else {
            epb_tree_insert(&tree, &nodes[at], at / 3, at % 3);
        }
        inside[at] = !inside[at];
        if (step % 50 == 0) {
            check_order(&tree, inside);
        }
    }
}
