/* See listing.h. */
#include "listing.h"

#include "../base/mem.h"
#include "../base/shared_mem.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define PLACE_BITS 16U
#define PLACE_MASK ((UINT32_C(1) << PLACE_BITS) - 1)
/* Includes duplicates: an entry is met at most twice, unless a table is resized during
 * the walk. */
#define HELD_MAX_BYTES (3 * EPB_LIST_MAX_BYTES + CHUNK_BYTES)
/* The units to wipe and free a chunk. */
#define UNITS_CHUNK 256U
#define ROOM_LEAST ((size_t)64)

void
epb_listing_init(struct epb_listing *listing, const struct epb_listing_calls *calls)
{
    *listing = (struct epb_listing){.calls = calls, .width = 1};
}

/* Collecting */

static enum epb_status
chunk_add(struct epb_listing *listing)
{
    if (listing->chunk_count == listing->chunk_room) {
        size_t room = listing->chunk_room == 0 ? ROOM_LEAST : 2 * listing->chunk_room;
        uint8_t **chunks =
            epb_mem_table_resize(listing->chunks, room * sizeof(*listing->chunks));

        if (chunks == NULL) {
            return EPB_INTERNAL;
        }
        listing->chunks = chunks;
        listing->chunk_room = room;
    }
    listing->chunks[listing->chunk_count] = epb_mem_alloc(CHUNK_BYTES);
    if (listing->chunks[listing->chunk_count] == NULL) {
        return EPB_INTERNAL;
    }
    listing->chunk_count++;
    listing->chunk_bytes = 0;
    return EPB_OK;
}

static enum epb_status
ref_room(struct epb_listing *listing)
{
    size_t room = listing->ref_room == 0 ? ROOM_LEAST : 2 * listing->ref_room;
    uint32_t *refs;

    if (listing->count < listing->ref_room) {
        return EPB_OK;
    }
    refs = epb_mem_table_resize(listing->refs, room * sizeof(*refs));
    if (refs == NULL) {
        return EPB_INTERNAL;
    }
    listing->refs = refs;
    listing->ref_room = room;
    return EPB_OK;
}

enum epb_status
epb_listing_add(struct epb_listing *listing, size_t size_bytes, uint8_t **out)
{
    enum epb_status status = ref_room(listing);

    EPB_ASSERT(size_bytes <= CHUNK_BYTES && !listing->sorted);
    if (listing->held_bytes + size_bytes > HELD_MAX_BYTES) {
        return EPB_TOO_LARGE;
    }
    if (status == EPB_OK &&
        (listing->chunk_count == 0 || CHUNK_BYTES - listing->chunk_bytes < size_bytes)) {
        status = chunk_add(listing);
    }
    if (status != EPB_OK) {
        return status;
    }
    listing->refs[listing->count++] =
        (uint32_t)((listing->chunk_count - 1) << PLACE_BITS | listing->chunk_bytes);
    *out = listing->chunks[listing->chunk_count - 1] + listing->chunk_bytes;
    listing->chunk_bytes += size_bytes;
    listing->held_bytes += size_bytes;
    return EPB_OK;
}

/* Sorting */

static const uint8_t *
entry_of(const struct epb_listing *listing, uint32_t ref)
{
    return listing->chunks[ref >> PLACE_BITS] + (ref & PLACE_MASK);
}

static size_t
least(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Sets the positions for the pair of runs that begins here. */
static void
pair_begin(struct epb_listing *listing, size_t pair)
{
    listing->pair = pair;
    listing->left = pair;
    listing->right = least(pair + listing->width, listing->count);
    listing->to = pair;
}

/* Whether the next entry comes from the left run. The runs end at `middle` and `end`. */
static bool
from_left(const struct epb_listing *listing, size_t middle, size_t end)
{
    if (listing->left == middle || listing->right == end) {
        return listing->right == end;
    }
    return listing->calls->compare(entry_of(listing, listing->refs[listing->left]),
                                   entry_of(listing, listing->refs[listing->right])) <= 0;
}

/* Merges one pair of runs; false: the budget is spent. */
static bool
pair_merge(struct epb_listing *listing, struct epb_budget *budget)
{
    size_t middle = least(listing->pair + listing->width, listing->count);
    size_t end = least(middle + listing->width, listing->count);

    while (listing->to < end) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 1);
        listing->scratch[listing->to++] =
            listing->refs[from_left(listing, middle, end) ? listing->left++
                                                          : listing->right++];
    }
    return true;
}

static bool
merge_all(struct epb_listing *listing, struct epb_budget *budget)
{
    while (listing->width < listing->count) {
        while (listing->pair < listing->count) {
            if (!pair_merge(listing, budget)) {
                return false;
            }
            pair_begin(listing, listing->to);
        }
        uint32_t *refs = listing->refs;

        listing->refs = listing->scratch;
        listing->scratch = refs;
        listing->width *= 2;
        pair_begin(listing, 0);
    }
    return true;
}

/* Drops duplicates and sums up sizes; false: the budget is spent. */
static bool
unite(struct epb_listing *listing, struct epb_budget *budget)
{
    while (listing->read < listing->count) {
        uint32_t ref = listing->refs[listing->read];
        const uint8_t *entry = entry_of(listing, ref);

        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 1);
        listing->read++;
        if (listing->to > 0 &&
            listing->calls->compare(entry_of(listing, listing->refs[listing->to - 1]),
                                    entry) == 0) {
            continue;
        }
        listing->refs[listing->to++] = ref;
        listing->size_bytes += listing->calls->size_of(entry);
    }
    return true;
}

enum epb_status
epb_listing_sort(struct epb_listing *listing, struct epb_budget *budget, bool *done)
{
    *done = false;
    if (listing->scratch == NULL && listing->count > 0) {
        listing->scratch = epb_mem_table_alloc(listing->ref_room * sizeof(uint32_t));
        if (listing->scratch == NULL) {
            return EPB_INTERNAL;
        }
        pair_begin(listing, 0);
    }
    if (!listing->sorted && !merge_all(listing, budget)) {
        return EPB_OK;
    }
    if (!listing->sorted) {
        listing->sorted = true;
        listing->to = 0;
    }
    if (!unite(listing, budget)) {
        return EPB_OK;
    }
    listing->count = listing->to;
    listing->read = 0;
    *done = true;
    return listing->size_bytes > EPB_LIST_MAX_BYTES ? EPB_TOO_LARGE : EPB_OK;
}

/* Emitting, and the end */

enum epb_status
epb_listing_take(struct epb_listing *listing, struct epb_buf *out)
{
    size_t hidden_bytes = listing->calls->hidden_bytes;

    while (listing->read < listing->count) {
        const uint8_t *entry = entry_of(listing, listing->refs[listing->read]);
        size_t size_bytes = listing->calls->size_of(entry);
        size_t taken_bytes = epb_buf_size(out);

        if (taken_bytes > 0 && taken_bytes + size_bytes > EPB_LIST_PIECE_BYTES) {
            break;
        }
        enum epb_status status = epb_buf_append(out, entry + hidden_bytes, size_bytes);

        if (status != EPB_OK) {
            return status;
        }
        listing->read++;
    }
    return EPB_OK;
}

bool
epb_listing_drop(struct epb_listing *listing, struct epb_budget *budget)
{
    while (listing->chunk_count > 0) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, UNITS_CHUNK);
        epb_mem_free(listing->chunks[--listing->chunk_count]);
    }
    epb_mem_table_free(listing->chunks);
    epb_mem_table_free(listing->refs);
    epb_mem_table_free(listing->scratch);
    epb_listing_init(listing, listing->calls);
    return true;
}

size_t
epb_listing_bytes(const struct epb_listing *listing)
{
    return listing->chunk_count * CHUNK_BYTES +
           2 * listing->ref_room * sizeof(*listing->refs);
}
