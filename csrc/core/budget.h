/*
 * How much work a call may do: time is a parameter of the engine, so what would take long
 * is measured in units of work. A unit takes some 50 to 100 ns: a comparison is one, to
 * look at something that is in no cache a few. A slice is well below a millisecond;
 * others are served before the next one.
 */
#ifndef EPB_CORE_BUDGET_H
#define EPB_CORE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/limits.h"

#define EPB_SLICE_UNITS EPB_LIMIT(8192U, 16U)
/* To visit an item, or to begin or end something with a place in several tables. */
#define EPB_UNITS_VISIT 4U

struct epb_budget {
    size_t units; /* that are left */
};

static inline struct epb_budget
epb_budget_slice(void)
{
    return (struct epb_budget){EPB_SLICE_UNITS};
}

static inline bool
epb_budget_spent(const struct epb_budget *budget)
{
    return budget->units == 0;
}

static inline void
epb_budget_spend(struct epb_budget *budget, size_t units)
{
    budget->units -= units < budget->units ? units : budget->units;
}

#endif
