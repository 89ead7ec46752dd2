/* Filling a pool as a job does it: in slices. */
#ifndef TEST_FILL_HELP_H
#define TEST_FILL_HELP_H

#include "core/lease.h"
#include "helpers.h"

/* Slices of so many units. */
static inline enum epb_status
fill_in_slices(struct epb_leases *leases, struct epb_lease_filling *filling,
               bool has_value, const struct epb_time *now, size_t units)
{
    enum epb_status status;
    bool done = false;

    epb_lease_fill_begin(filling);
    do {
        struct epb_budget budget = {units};

        status = epb_lease_fill(leases, filling, has_value, now, &budget, &done);
        filling->room_made = true;
    } while (status == EPB_OK && !done);
    return status;
}

/* Slices of sizes that differ from list to list. */
static inline enum epb_status
fill_whole(struct epb_leases *leases, struct epb_bytes key, struct epb_bytes elements,
           enum epb_defining how, bool has_value, const struct epb_time *now,
           bool *changed, uint64_t *size)
{
    struct epb_lease_filling filling = {.key = key, .elements = elements, .how = how};
    enum epb_status status = fill_in_slices(leases, &filling, has_value, now,
                                            1 + elements.size_bytes * 7 % 40);

    *changed = filling.changed;
    *size = filling.size;
    return status;
}

#endif
