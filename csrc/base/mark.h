/*
 * A mark is a word in an object that states the object's kind and that it is alive. It is
 * set when the object is made, and cleared before its memory is freed. Code that reaches
 * the object by a list, a tree or a callback checks the mark. Use after free and use of
 * an object of another kind thus end the process at once, in release builds too. A check
 * costs a load and a compare.
 */
#ifndef EPB_BASE_MARK_H
#define EPB_BASE_MARK_H

#include "status.h"

/* 0 is the content of wiped memory. The values are unlike any count or length. */
enum epb_mark_kind {
    EPB_MARK_HOLDER = 0x5EA1D001,
    EPB_MARK_HOLDING = 0x5EA1D002,
    EPB_MARK_GRANT = 0x5EA1D003,
    EPB_MARK_RESOURCE = 0x5EA1D004,
    EPB_MARK_PEER = 0x5EA1D005,
    EPB_MARK_WAIT = 0x5EA1D006,
    EPB_MARK_WATCHER = 0x5EA1D007
};

/* `object` has a member `mark`, a uint32_t. */
#define EPB_MARK_CHECK(object, kind) EPB_ASSERT((object)->mark == (kind))

/* Marks a new object. */
static inline void
epb_mark_set(uint32_t *mark, enum epb_mark_kind kind)
{
    *mark = kind;
}

/* Call before freeing the object. A second call ends the process. */
static inline void
epb_mark_clear(uint32_t *mark, enum epb_mark_kind kind)
{
    EPB_ASSERT(*mark == kind);
    *mark = 0;
}

#endif
