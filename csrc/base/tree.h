/*
 * An intrusive ordered set. Nodes are embedded in the user's items, so insertion needs no
 * memory and can't fail. A treap (Seidel and Aragon 1996): a binary search tree by key
 * and a heap by random priority. Every operation is O(log n), whatever keys clients
 * choose and in whatever order. The first node is available in O(1).
 *
 * Keys are pairs of numbers, compared major first. No two nodes of a tree have the same
 * key. A key does not change while its node is in the tree.
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

/* `seed`: any number that clients can't know. */
void
epb_tree_init(struct epb_tree *tree, uint64_t seed);
void
epb_tree_insert(struct epb_tree *tree, struct epb_tree_node *node, uint64_t major,
                uint64_t minor);
/* The node must be in the tree. */
void
epb_tree_remove(struct epb_tree *tree, struct epb_tree_node *node);
/* NULL when the tree does not contain the key. */
struct epb_tree_node *
epb_tree_find(const struct epb_tree *tree, uint64_t major, uint64_t minor);
/* The node with the least key greater than this node's; NULL after the last. */
struct epb_tree_node *
epb_tree_next(const struct epb_tree *tree, const struct epb_tree_node *node);

#endif
