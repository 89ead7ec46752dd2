/*
 * A mark is a word in an object that says what the object is, and that it lives. It is
 * set when the object is made, and cleared before its memory is given back. Code that
 * reaches the object by a list, a tree or a callback checks it there. A use after the
 * end, or of something else, so ends the process at once, in release builds too, at the
 * price of a load and a compare.
 */
#ifndef EPB_BASE_MARK_H
#define EPB_BASE_MARK_H

#include "status.h"

/* 0 is what wiped memory holds. The others are unlike any count or length. */
enum epb_mark_kind {
    EPB_MARK_HOLDER = 0x5EA1D001,
    EPB_MARK_HOLDING = 0x5EA1D002,
    EPB_MARK_GRANT = 0x5EA1D003,
    EPB_MARK_RESOURCE = 0x5EA1D004,
    EPB_MARK_PEER = 0x5EA1D005,
    EPB_MARK_WAIT = 0x5EA1D006,
    EPB_MARK_WATCHER = 0x5EA1D007
};

/* The object has a member `mark`, a uint32_t. */
#define EPB_MARK_CHECK(object, kind) EPB_ASSERT((object)->mark == (kind))

/* A new object, whose mark is not set. */
static inline void
epb_mark_set(uint32_t *mark, enum epb_mark_kind kind)
{
    *mark = kind;
}

/* Its memory is given back next. A second time stops here. */
static inline void
epb_mark_clear(uint32_t *mark, enum epb_mark_kind kind)
{
    EPB_ASSERT(*mark == kind);
    *mark = 0;
}

#endif
