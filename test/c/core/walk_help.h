/* Walks over the store and the leases, from beginning to end. */
#ifndef EPB_TEST_WALK_HELP_H
#define EPB_TEST_WALK_HELP_H

#include <assert.h>

#include "core/lease.h"
#include "core/store.h"

static inline void
walk_items(struct epb_store *store, struct epb_bytes prefix, const struct epb_time *now,
           void (*visit)(void *context, const struct epb_item_view *view), void *context)
{
    struct epb_store_walk walk = {.prefix = prefix, .visit = visit, .context = context};
    struct epb_budget budget = {SIZE_MAX};

    epb_store_walk_begin(store, &walk, now);
    const bool whole = epb_store_walk_on(store, &walk, &budget);

    assert(whole);
    epb_store_walk_end(&walk);
}

static inline void
walk_leases(struct epb_leases *leases, struct epb_bytes prefix,
            const struct epb_time *now,
            void (*visit)(void *context, const struct epb_lease_line *line),
            void *context)
{
    struct epb_leases_walk walk = {.prefix = prefix, .visit = visit, .context = context};
    struct epb_budget budget = {SIZE_MAX};

    epb_leases_walk_begin(leases, &walk, now);
    const bool whole = epb_leases_walk_on(leases, &walk, &budget);

    assert(whole);
    epb_leases_walk_end(&walk);
}

#endif
