/*
 * How much work a call may do. The engine has no clock, so long work is measured in
 * units. A unit takes about 50 to 100 ns: a comparison is one unit, an access that misses
 * all caches a few. A slice takes well below a millisecond; other requests are served
 * before the next one.
 */
#ifndef EPB_CORE_BUDGET_H
#define EPB_CORE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/limits.h"

#define EPB_SLICE_UNITS EPB_LIMIT(8192U, 16U)
/* To visit an item, or to create or end something that is in several tables. */
#define EPB_UNITS_VISIT 4U

struct epb_budget {
    size_t units; /* left */
};

static inline struct epb_budget
epb_budget_slice(void)
{
    return (struct epb_budget){EPB_SLICE_UNITS};
}

static inline bool
epb_budget_is_spent(const struct epb_budget *budget)
{
    return budget->units == 0;
}

static inline void
epb_budget_spend(struct epb_budget *budget, size_t units)
{
    budget->units -= units < budget->units ? units : budget->units;
}

#endif
