/*
 * Suggestions for a name that does not exist: names that are equal except for (ASCII)
 * case, names at an edit distance of 1 or 2 (insertions, deletions, replacements, swapped
 * neighbours), and names that begin with it or that it begins with. The nearest few are
 * kept.
 *
 * Work is bounded twice: a search visits some thousands of names at most, and all
 * searches of a budget together visit a fixed number per millisecond. A search begins
 * only when the budget covers all names, or is full. So a client that polls for a missing
 * name pays for a search only now and then, and a request never costs more because more
 * is stored. A user who mistypes a name after a time without errors still gets the hint.
 */
#ifndef EPB_CORE_NEAR_H
#define EPB_CORE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/bytes.h"

/* The most names that are kept. */
#define EPB_NEAR_MAX 3U

/* Names per millisecond: for requests that programs repeat (get), and for others. */
#define EPB_NEAR_OFTEN 16U
#define EPB_NEAR_SELDOM 256U

/* The remaining budget of searches. Set `a_ms`; the other fields may start as zero. */
struct epb_near_budget {
    uint64_t a_ms; /* growth: names per ms */
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
    struct epb_near_name names[EPB_NEAR_MAX]; /* nearest first, then by name */
    unsigned count;
};

/* Begins a search among this many names. Borrows `wanted` and the budget. False: the
 * budget is spent. */
bool
epb_near_begin(struct epb_near *near, struct epb_near_budget *budget,
               struct epb_bytes wanted, uint64_t names, uint64_t now_mono_ms);
/* Compares a name, which must stay where it is. False: the budget is spent; stop. */
bool
epb_near_compare(struct epb_near *near, struct epb_bytes name, uint8_t kind);

#endif
