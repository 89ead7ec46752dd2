/*
 * An intrusive min-heap of deadlines with four children a node (cache lines, fewer
 * levels). The item with the earliest deadline is on top. Insertion, removal and change
 * of any item are O(log n). The heap stores pointers to nodes embedded in the user's
 * items.
 *
 * Invariant: `index` of a node in the heap is its position; of any other node it is
 * EPB_HEAP_NOWHERE.
 */
#ifndef EPB_BASE_HEAP_H
#define EPB_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define EPB_HEAP_NOWHERE UINT32_MAX

struct epb_heap_node {
    uint64_t due_ms;
    uint32_t index;
    uint32_t tag; /* for the owner; would be padding otherwise */
};

struct epb_heap {
    struct epb_heap_node **nodes;
    uint32_t count;
    uint32_t capacity;
};

void
epb_heap_init(struct epb_heap *heap);
/* The nodes stay with their owner. */
void
epb_heap_fini(struct epb_heap *heap);
/* Ensures that the next insertion can't fail; EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_heap_reserve(struct epb_heap *heap);
/* Requires a preceding epb_heap_reserve. */
void
epb_heap_insert(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms);
void
epb_heap_remove(struct epb_heap *heap, struct epb_heap_node *node);
void
epb_heap_change(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms);
/* Node `by` takes the place and the deadline of `node`, which is then outside the
 * heap. */
void
epb_heap_replace(struct epb_heap *heap, struct epb_heap_node *node,
                 struct epb_heap_node *by);
/* The node with the earliest deadline; NULL when empty. */
struct epb_heap_node *
epb_heap_first(const struct epb_heap *heap);
size_t
epb_heap_bytes(const struct epb_heap *heap);

#endif
