/*
 * The table grows by a quarter, so that at most a fifth of it is idle. It shrinks by half
 * when a quarter is in use.
 */
#include "heap.h"

#include "mem.h"

#define CHILDREN 4U
#define SMALLEST_CAPACITY 64U

void
epb_heap_init(struct epb_heap *heap)
{
    *heap = (struct epb_heap){NULL, 0, 0};
}

void
epb_heap_fini(struct epb_heap *heap)
{
    epb_mem_table_free(heap->nodes);
    epb_heap_init(heap);
}

static enum epb_status
resize(struct epb_heap *heap, uint32_t capacity)
{
    struct epb_heap_node **nodes = epb_mem_table_resize(
        heap->nodes, (size_t)capacity * sizeof(struct epb_heap_node *));

    if (nodes == NULL) {
        return EPB_INTERNAL;
    }
    heap->nodes = nodes;
    heap->capacity = capacity;
    return EPB_OK;
}

enum epb_status
epb_heap_reserve(struct epb_heap *heap)
{
    if (heap->count < heap->capacity) {
        return EPB_OK;
    }
    if (heap->capacity > UINT32_MAX / 2) {
        return EPB_INTERNAL;
    }
    return resize(heap, heap->capacity < SMALLEST_CAPACITY
                            ? SMALLEST_CAPACITY
                            : heap->capacity + heap->capacity / 4);
}

static void
place(struct epb_heap *heap, struct epb_heap_node *node, uint32_t index)
{
    heap->nodes[index] = node;
    node->index = index;
}

static void
sift_up(struct epb_heap *heap, struct epb_heap_node *node)
{
    uint32_t index = node->index;

    while (index > 0) {
        uint32_t parent = (index - 1) / CHILDREN;

        if (heap->nodes[parent]->due_ms <= node->due_ms) {
            break;
        }
        place(heap, heap->nodes[parent], index);
        index = parent;
    }
    place(heap, node, index);
}

/* The child with the earliest deadline; the node must have a child. */
static uint32_t
first_child(const struct epb_heap *heap, uint32_t index)
{
    uint32_t first = index * CHILDREN + 1;
    uint32_t end = heap->count - first > CHILDREN ? first + CHILDREN : heap->count;

    for (uint32_t child = first + 1; child < end; child++) {
        if (heap->nodes[child]->due_ms < heap->nodes[first]->due_ms) {
            first = child;
        }
    }
    return first;
}

static bool
has_child(const struct epb_heap *heap, uint32_t index)
{
    return heap->count > 1 && index <= (heap->count - 2) / CHILDREN;
}

static void
sift_down(struct epb_heap *heap, struct epb_heap_node *node)
{
    uint32_t index = node->index;

    while (has_child(heap, index)) {
        uint32_t child = first_child(heap, index);

        if (node->due_ms <= heap->nodes[child]->due_ms) {
            break;
        }
        place(heap, heap->nodes[child], index);
        index = child;
    }
    place(heap, node, index);
}

void
epb_heap_insert(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms)
{
    EPB_ASSERT(heap->count < heap->capacity);
    node->due_ms = due_ms;
    node->index = heap->count;
    heap->count++;
    sift_up(heap, node);
}

static bool
holds(const struct epb_heap *heap, const struct epb_heap_node *node)
{
    return node->index < heap->count && heap->nodes[node->index] == node;
}

void
epb_heap_remove(struct epb_heap *heap, struct epb_heap_node *node)
{
    EPB_ASSERT(holds(heap, node));
    uint32_t hole = node->index;
    struct epb_heap_node *last = heap->nodes[heap->count - 1];

    heap->count--;
    node->index = EPB_HEAP_NOWHERE;
    if (last != node) {
        place(heap, last, hole);
        sift_down(heap, last);
        sift_up(heap, last);
    }
    if (heap->count == 0) {
        epb_heap_fini(heap);
    } else if (heap->capacity > SMALLEST_CAPACITY && heap->count < heap->capacity / 4) {
        /* A failed shrink is harmless. */
        enum epb_status ignored = resize(heap, heap->capacity / 2);

        (void)ignored;
    }
}

void
epb_heap_change(struct epb_heap *heap, struct epb_heap_node *node, uint64_t due_ms)
{
    EPB_ASSERT(holds(heap, node));
    node->due_ms = due_ms;
    sift_down(heap, node);
    sift_up(heap, node);
}

void
epb_heap_replace(struct epb_heap *heap, struct epb_heap_node *node,
                 struct epb_heap_node *by)
{
    EPB_ASSERT(holds(heap, node));
    by->due_ms = node->due_ms;
    place(heap, by, node->index);
    node->index = EPB_HEAP_NOWHERE;
}

struct epb_heap_node *
epb_heap_first(const struct epb_heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}

size_t
epb_heap_bytes(const struct epb_heap *heap)
{
    return (size_t)heap->capacity * sizeof(struct epb_heap_node *);
}
