/*
 * An intrusive, doubly linked, circular list. `struct epb_list` is both the head and the
 * node that an item embeds. A node outside any list points at itself, so removing it
 * again is harmless. A node of zeroed memory may be appended.
 */
#ifndef EPB_BASE_LIST_H
#define EPB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "status.h"

struct epb_list {
    struct epb_list *next;
    struct epb_list *prev;
};

/* The item that embeds a node. */
#define EPB_LIST_ITEM(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void
epb_list_init(struct epb_list *list)
{
    list->next = list;
    list->prev = list;
}

/* A head: the list is empty. A node: it is in no list. */
static inline bool
epb_list_empty(const struct epb_list *list)
{
    return list->next == list;
}

static inline void
epb_list_append(struct epb_list *head, struct epb_list *node)
{
    EPB_ASSERT(node->next == NULL || node->next == node);
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

static inline void
epb_list_remove(struct epb_list *node)
{
    EPB_ASSERT(node->prev->next == node && node->next->prev == node);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    epb_list_init(node);
}

/* Moves all nodes to the end of another list. */
static inline void
epb_list_append_all(struct epb_list *from, struct epb_list *to)
{
    if (epb_list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    epb_list_init(from);
}

/* Moves all nodes to an empty list, which it initializes. */
static inline void
epb_list_take_all(struct epb_list *from, struct epb_list *to)
{
    epb_list_init(to);
    if (epb_list_empty(from)) {
        return;
    }
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    epb_list_init(from);
}

#endif
