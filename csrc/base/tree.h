/*
 * An intrusive ordered set: nodes are embedded in the user's items, so that insertion
 * needs no memory and can't fail. A treap (Seidel and Aragon 1996): a binary search tree
 * by key, and a heap by random priority, which makes every operation O(log n) whatever
 * keys clients choose, in whatever order. The first node is at hand in O(1).
 *
 * Keys are pairs of numbers, compared in their order; no two nodes of a tree have the
 * same. A key doesn't change while its node is in the tree.
 *
 * Not thread-safe.
 */
#ifndef EPB_BASE_TREE_H
#define EPB_BASE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct epb_tree_node {
    uint64_t major;
    uint64_t minor;
    uint64_t priority;
    struct epb_tree_node *left;
    struct epb_tree_node *right;
};

struct epb_tree {
    struct epb_tree_node *root;
    struct epb_tree_node *first; /* NULL when empty */
    uint64_t random;
    size_t count;
};

/* The item that embeds a node. */
#define EPB_TREE_ITEM(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* `seed`: any number that clients don't know. */
void
epb_tree_init(struct epb_tree *tree, uint64_t seed);
void
epb_tree_insert(struct epb_tree *tree, struct epb_tree_node *node, uint64_t major,
                uint64_t minor);
/* The node must be in the tree. */
void
epb_tree_remove(struct epb_tree *tree, struct epb_tree_node *node);
/* NULL when it is not there. */
struct epb_tree_node *
epb_tree_find(const struct epb_tree *tree, uint64_t major, uint64_t minor);
/* The node with the least key that is greater than this one's; NULL after the last. */
struct epb_tree_node *
epb_tree_next(const struct epb_tree *tree, const struct epb_tree_node *node);

#endif
