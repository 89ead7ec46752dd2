/*
 * A sorted list of packed entries that is collected, sorted, returned and freed in
 * slices.
 *
 * Entries are in chunks that never move, so growing never copies megabytes. A bottom-up
 * merge sorts references to them, and can stop at any comparison. Entries that compare
 * equal are one entry met twice; the later one is dropped. Entries may contain keys, so
 * chunks are wiped when they are freed.
 *
 *   init -> add... -> sort until done -> take until empty -> drop
 */
#ifndef EPB_CORE_LISTING_H
#define EPB_CORE_LISTING_H

#include <stdint.h>

#include "../base/buf.h"
#include "budget.h"

/* The most bytes of all entries, without duplicates. */
#define EPB_LIST_MAX_BYTES EPB_LIMIT((size_t)16 * 1024 * 1024, (size_t)4096)
/* The most bytes of one piece of a list. */
#define EPB_LIST_PIECE_BYTES EPB_LIMIT((size_t)64 * 1024, (size_t)700)

struct epb_listing_calls {
    /* Orders two entries. */
    int (*compare)(const uint8_t *left, const uint8_t *right);
    /* The length of an entry, without its hidden bytes. */
    size_t (*size_of)(const uint8_t *entry);
    /* This many bytes before an entry are for `compare` only. */
    size_t hidden_bytes;
};

struct epb_listing {
    const struct epb_listing_calls *calls;
    uint8_t **chunks;
    size_t chunk_count;
    size_t chunk_room;  /* of `chunks` */
    size_t chunk_bytes; /* used in the last chunk */
    uint32_t *refs;     /* chunk number, and offset in it */
    uint32_t *scratch;  /* output of the merge */
    size_t count;
    size_t ref_room;
    size_t held_bytes; /* of entries, including duplicates */
    /* The sort: width of the sorted runs, the current pair, and the positions in it. */
    size_t width;
    size_t pair;
    size_t left;
    size_t right;
    size_t to;
    bool sorted;
    size_t read;       /* position in the removal of duplicates, then in `take` */
    size_t size_bytes; /* of all entries, without duplicates */
};

void
epb_listing_init(struct epb_listing *listing, const struct epb_listing_calls *calls);
/* Reserves an entry of this size, including hidden bytes. EPB_TOO_LARGE, EPB_INTERNAL
 * (out of memory). */
EPB_MUST_USE enum epb_status
epb_listing_add(struct epb_listing *listing, size_t size_bytes, uint8_t **out);
/* Continues sorting. EPB_OK: *done is whether the list is sorted; listing->size_bytes is
 * the sum then. EPB_TOO_LARGE, EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_listing_sort(struct epb_listing *listing, struct epb_budget *budget, bool *done);
/* Appends the next entries, as many as fit into EPB_LIST_PIECE_BYTES, but at least one.
 * EPB_INTERNAL. */
EPB_MUST_USE enum epb_status
epb_listing_take(struct epb_listing *listing, struct epb_buf *out);
/* Frees memory within the budget. True: all of it. */
bool
epb_listing_drop(struct epb_listing *listing, struct epb_budget *budget);
/* The memory it holds. */
size_t
epb_listing_bytes(const struct epb_listing *listing);

#endif
