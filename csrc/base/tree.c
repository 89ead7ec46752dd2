/* See tree.h. */
#include "tree.h"

#include <stdbool.h>

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t
random_next(struct epb_tree *tree)
{
    uint64_t mixed = tree->random += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

static bool
is_before(const struct epb_tree_node *left, const struct epb_tree_node *right)
{
    return left->major < right->major ||
           (left->major == right->major && left->minor < right->minor);
}

void
epb_tree_init(struct epb_tree *tree, uint64_t seed)
{
    *tree = (struct epb_tree){NULL, NULL, seed, 0};
}

/* Splits the subtree at `at` into the nodes before and after `node`. */
static void
split(struct epb_tree_node *at, struct epb_tree_node *node)
{
    struct epb_tree_node **before = &node->left;
    struct epb_tree_node **after = &node->right;

    while (at != NULL) {
        if (is_before(at, node)) {
            *before = at;
            before = &at->right;
            at = at->right;
        } else {
            *after = at;
            after = &at->left;
            at = at->left;
        }
    }
    *before = NULL;
    *after = NULL;
}

void
epb_tree_insert(struct epb_tree *tree, struct epb_tree_node *node, uint64_t major,
                uint64_t minor)
{
    struct epb_tree_node **link = &tree->root;

    node->major = major;
    node->minor = minor;
    node->priority = random_next(tree);
    while (*link != NULL && (*link)->priority >= node->priority) {
        EPB_ASSERT(is_before(node, *link) || is_before(*link, node));
        link = is_before(node, *link) ? &(*link)->left : &(*link)->right;
    }
    split(*link, node);
    *link = node;
    if (tree->first == NULL || is_before(node, tree->first)) {
        tree->first = node;
    }
    tree->count++;
}

void
epb_tree_remove(struct epb_tree *tree, struct epb_tree_node *node)
{
    struct epb_tree_node **link = &tree->root;
    struct epb_tree_node *left = node->left;
    struct epb_tree_node *right = node->right;

    if (node == tree->first) {
        tree->first = epb_tree_next(tree, node);
    }
    while (*link != node) {
        EPB_ASSERT(*link != NULL);
        link = is_before(node, *link) ? &(*link)->left : &(*link)->right;
    }
    while (left != NULL && right != NULL) {
        if (left->priority >= right->priority) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left != NULL ? left : right;
    node->left = NULL;
    node->right = NULL;
    tree->count--;
}

struct epb_tree_node *
epb_tree_find(const struct epb_tree *tree, uint64_t major, uint64_t minor)
{
    const struct epb_tree_node wanted = {.major = major, .minor = minor};
    struct epb_tree_node *at = tree->root;

    while (at != NULL) {
        if (is_before(&wanted, at)) {
            at = at->left;
        } else if (is_before(at, &wanted)) {
            at = at->right;
        } else {
            return at;
        }
    }
    return NULL;
}

struct epb_tree_node *
epb_tree_next(const struct epb_tree *tree, const struct epb_tree_node *node)
{
    struct epb_tree_node *next = NULL;

    for (struct epb_tree_node *at = tree->root; at != NULL;) {
        if (is_before(node, at)) {
            next = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return next;
}
