/*
 * A sorted list of packed entries that is gathered, sorted, told and freed in slices.
 *
 * Entries lie in chunks, which never move, so that no growth copies megabytes. They are
 * sorted by references, with a merge from the bottom up, which can stop at any
 * comparison. What compares equal is the same entry met twice: the later one is left out.
 * Entries may hold keys: the chunks are wiped when they are freed.
 *
 *   init -> add... -> sort until it says so -> take until nothing is left -> drop
 */
#ifndef EPB_CORE_LISTING_H
#define EPB_CORE_LISTING_H

#include <stdint.h>

#include "../base/buf.h"
#include "budget.h"

/* What all entries take together at most, those that are told. */
#define EPB_LIST_MAX_BYTES EPB_LIMIT((size_t)16 * 1024 * 1024, (size_t)4096)
/* A piece of a list: what leaves at a time. */
#define EPB_LIST_PIECE_BYTES EPB_LIMIT((size_t)64 * 1024, (size_t)700)

struct epb_listing_calls {
    /* The order of two entries. */
    int (*compare)(const uint8_t *left, const uint8_t *right);
    /* How long an entry is, without what is hidden. */
    size_t (*size_of)(const uint8_t *entry);
    /* So many bytes in front of an entry are for `compare` alone. */
    size_t hidden_bytes;
};

struct epb_listing {
    const struct epb_listing_calls *calls;
    uint8_t **chunks;
    size_t chunk_count;
    size_t chunk_room;  /* in `chunks` */
    size_t chunk_bytes; /* used of the last one */
    uint32_t *refs;     /* chunk number, and place in it */
    uint32_t *scratch;  /* what the merge writes to */
    size_t count;
    size_t ref_room;
    size_t held_bytes; /* of entries, with those met twice */
    /* Of the sort: the width of the sorted runs, the pair at work, and the places in it.
     */
    size_t width;
    size_t pair;
    size_t left;
    size_t right;
    size_t to;
    bool sorted;
    size_t read;       /* of the look at neighbours, then of what is taken */
    size_t size_bytes; /* of all entries, without those met twice */
};

void
epb_listing_init(struct epb_listing *listing, const struct epb_listing_calls *calls);
/* Room for an entry of that many bytes, hidden ones included. EPB_TOO_LARGE, EPB_INTERNAL
 * (memory is out). */
EPB_MUST_USE enum epb_status
epb_listing_add(struct epb_listing *listing, size_t size_bytes, uint8_t **out);
/* Goes on sorting. EPB_OK: *done says whether it is sorted, and listing->size_bytes is
 * the sum then. EPB_TOO_LARGE, EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_listing_sort(struct epb_listing *listing, struct epb_budget *budget, bool *done);
/* Appends the next entries, as many as fit EPB_LIST_PIECE_BYTES, but one in any case.
 * EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_listing_take(struct epb_listing *listing, struct epb_buf *out);
/* Frees, as far as the budget goes; true: all of it. */
bool
epb_listing_drop(struct epb_listing *listing, struct epb_budget *budget);
/* What it holds of memory. */
size_t
epb_listing_bytes(const struct epb_listing *listing);

#endif
