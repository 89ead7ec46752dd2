/*
 * Names that a name which does not exist may have been meant for: the same but for case
 * (of ASCII), at an edit distance of 1 or 2 (insertions, deletions, replacements, and
 * neighbours that are swapped), or one that begins with the other. The nearest few are
 * kept.
 *
 * Work is bounded twice: a search looks at some thousands of names, and all searches of a
 * budget together at a number a millisecond. A search that could not look at all of them
 * is not begun. So a client that asks for a name again and again until it is there pays
 * for a search now and then, and not more for each request the more is stored; and a
 * person who mistypes a name, after a time without errors, gets the hint.
 */
#ifndef EPB_CORE_NEAR_H
#define EPB_CORE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/bytes.h"

/* Names that are kept. */
#define EPB_NEAR_MAX 3U

/* Names a millisecond: of requests that programs repeat (get); and of others. */
#define EPB_NEAR_OFTEN 16U
#define EPB_NEAR_SELDOM 256U

/* What searches may still cost. The rest zero is a good start. */
struct epb_near_budget {
    uint64_t a_ms; /* names that it grows by */
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

/* Begins a search among that many names; `wanted` and the budget are borrowed. False:
 * there is no budget for it. */
bool
epb_near_begin(struct epb_near *near, struct epb_near_budget *budget,
               struct epb_bytes wanted, uint64_t names, uint64_t now_mono_ms);
/* Looks at a name, which must stay where it is. False: no more may be looked at. */
bool
epb_near_compare(struct epb_near *near, struct epb_bytes name, uint8_t kind);

#endif
