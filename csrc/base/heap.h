/*
 * An intrusive min-heap of deadlines, four children a node (cache lines, fewer levels):
 * the item that is due first is on top; insertion, removal and change of any item are
 * O(log n). The heap stores pointers to nodes embedded in the user's items.
 *
 * Invariant: a node in the heap has its own position in `index`; a node outside has
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
    uint32_t tag; /* the owner's: it would be padding otherwise */
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
/* Makes sure that the next insertion can't fail; EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_heap_reserve(struct epb_heap *heap);
/* After a reserve. */
void
epb_heap_insert(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms);
void
epb_heap_remove(struct epb_heap *heap, struct epb_heap_node *node);
void
epb_heap_change(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms);
/* Another node takes this one's place and deadline; the old one is outside afterwards. */
void
epb_heap_replace(struct epb_heap *heap, struct epb_heap_node *node,
                 struct epb_heap_node *by);
/* The first to be due; NULL when empty. */
struct epb_heap_node *
epb_heap_first(const struct epb_heap *heap);
size_t
epb_heap_bytes(const struct epb_heap *heap);

#endif
