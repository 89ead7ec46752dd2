/*
 * Names that a name which does not exist may have been meant for: the same but for case
 * (of ASCII), at an edit distance of 1 or 2 (insertions, deletions, replacements, and
 * neighbours that are swapped), or one that begins with the other. The nearest few are
 * kept.
 *
 * Work is bounded twice: a search looks at some thousands of names, and all searches
 * together at some hundred a millisecond, so that a client that asks for names that
 * aren't there, again and again, costs what any other request costs. Beyond that, fewer
 * names are found, or none.
 */
#ifndef EPB_CORE_NEAR_H
#define EPB_CORE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/bytes.h"

/* Names that are kept. */
#define EPB_NEAR_MAX 3U

/* What searches may still cost. All zero is a good start. */
struct epb_near_budget {
    uint64_t left;
    uint64_t at_mono_ms;
};

struct epb_near_name {
    struct epb_bytes name; /* borrowed */
    uint8_t kind;          /* enum epb_lease_kind */
    unsigned rank;         /* 0 is nearest */
};

struct epb_near {
    struct epb_near_budget *budget;
    struct epb_bytes wanted;
    struct epb_near_name names[EPB_NEAR_MAX]; /* the nearest first; equals by name */
    unsigned count;
};

/* Begins a search; `wanted` and the budget are borrowed. */
struct epb_near
epb_near_begin(struct epb_near_budget *budget, struct epb_bytes wanted,
               uint64_t now_mono_ms);
/* Looks at a name, which must stay where it is. False: no more may be looked at. */
bool
epb_near_look(struct epb_near *near, struct epb_bytes name, uint8_t kind);

#endif
