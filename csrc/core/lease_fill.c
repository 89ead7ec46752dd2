/*
 * Fills a pool with a list of elements, in parts (epb_lease_fill).
 *
 *   checking -> deciding -> staging -> committing -> pruning -> finishing
 *                              '-> undoing
 *
 * Checking reads only the list, and sums it up. The number of elements and the sum of
 * their hashes show whether the list is the one that defined the pool, or the pool's
 * elements now. So discarded elements need not be kept for that, and the order doesn't
 * matter. A hash has 64 bits and a secret key.
 *
 * Staging creates the elements and inserts them into the map of all. They can't be
 * granted yet. An element that was discarded and is still held is only noted; if it is
 * given back meanwhile, it is staged. Committing is one step: staged elements become
 * free. When a list is replaced, pruning then discards the other elements: first the free
 * ones, then the held ones; elements that are given back meanwhile are checked, too.
 * Waiting requests are granted at the end.
 *
 * Invariants:
 * - one filling at a time has staged elements; it is leases->filling until it has
 *   finished or undone that; its pool is pinned;
 * - when a node that pruning visits next leaves its list, pruning moves on
 *   (epb_filling_passes);
 * - a filling that is dropped before it has committed is undone; afterwards it is
 *   finished.
 */
#include "../base/utf8.h"
#include "lease_internal.h"

enum step {
    STEP_CHECK,
    STEP_DECIDE,
    STEP_STAGE,
    STEP_COMMIT,
    STEP_PRUNE_FREE,
    STEP_PRUNE_HELD,
    STEP_FINISH,
    STEP_UNDO,
    STEP_DONE
};

/* This many bytes of an element cost one unit. */
#define BYTES_A_UNIT 512U
/* The units to visit an element of the list. */
#define UNITS_CHECK 2U

/* Lists */

static void
spend(struct epb_budget *budget, size_t units, struct epb_bytes value)
{
    epb_budget_spend(budget, units + value.size_bytes / BYTES_A_UNIT);
}

/* Queries of other files */

/* Steps. Each ends when it sets `step` to another one. */

static void
fail(struct epb_lease_filling *filling, enum epb_status status)
{
    filling->status = status;
    filling->step = filling->pool == NULL ? STEP_DONE : STEP_UNDO;
}

static void
check_on(const struct epb_leases *leases, struct epb_lease_filling *filling,
         struct epb_budget *budget)
{
    struct epb_unpack *unpack = &filling->unpack;

    while (!epb_budget_is_spent(budget)) {
        if (!epb_unpack_next(unpack)) {
            filling->step = STEP_DECIDE;
            if (unpack->left_bytes != 0 || filling->mark.count == 0) {
                fail(filling, EPB_INVALID_VALUE);
            }
            return;
        }
        spend(budget, UNITS_CHECK, unpack->value);
        if (filling->element_max_bytes != 0 &&
            unpack->value.size_bytes > filling->element_max_bytes) {
            filling->too_large_bytes = unpack->value.size_bytes;
            fail(filling, EPB_TOO_LARGE);
            return;
        }
        if (!unpack->is_binary && !epb_utf8_valid(unpack->value)) {
            fail(filling, EPB_INVALID_VALUE);
            return;
        }
        filling->mark.count++;
        filling->mark.sum +=
            epb_element_hash_of(leases, unpack->is_binary, unpack->value);
    }
}

static bool
is_same(const struct epb_elements_mark *left, const struct epb_elements_mark *right)
{
    return left->count == right->count && left->sum == right->sum;
}

/* Decides about a second definition of a pool: *done when nothing is left to do. */
static enum epb_status
redefine(struct epb_resource *pool, const struct epb_lease_filling *filling, bool *done)
{
    const struct epb_elements_mark *mark = &filling->mark;
    bool is_now = is_same(mark, &pool->elements);

    *done = filling->how == EPB_DEFINE_IF_ABSENT || is_now;
    switch (filling->how) {
    case EPB_DEFINE_ONCE:
        *done = true;
        return is_now || is_same(mark, &pool->definition) ? EPB_OK : EPB_CONFLICT;
    case EPB_DEFINE_ANEW:
        if (is_now) {
            pool->definition = *mark;
        }
        return EPB_OK;
    case EPB_DEFINE_MORE:
        *done = false;
        return EPB_OK;
    case EPB_DEFINE_IF_ABSENT:
        break;
    }
    return EPB_OK;
}

static void
stage_begin(struct epb_leases *leases, struct epb_lease_filling *filling,
            struct epb_resource *pool)
{
    leases->filling = filling;
    pool->pins++;
    if (!pool->defined) {
        pool->number = ++leases->last_pool;
    }
    filling->pool = pool;
    filling->number = ++leases->last_batch;
    filling->unpack = epb_unpack_of(filling->elements);
    epb_list_init(&filling->added);
    epb_list_init(&filling->kept);
    filling->step = STEP_STAGE;
}

static void
decide(struct epb_leases *leases, struct epb_lease_filling *filling, bool has_value)
{
    struct epb_resource *pool;
    bool done = false;
    enum epb_status status = epb_resource_get(leases, EPB_SPACE_KEY, filling->key, &pool);

    if (status != EPB_OK) {
        fail(filling, status);
        return;
    }
    if (!epb_resource_can_be(pool, EPB_KIND_POOL, has_value)) {
        status = EPB_KIND_MISMATCH;
    } else if (pool->defined) {
        status = redefine(pool, filling, &done);
    }
    if (status == EPB_OK && !done) {
        stage_begin(leases, filling, pool);
        return;
    }
    filling->size = pool->elements.count;
    filling->status = status;
    filling->step = STEP_DONE;
    epb_resource_free_unused(leases, pool);
}

static void
count_in(const struct epb_leases *leases, struct epb_lease_filling *filling,
         const struct epb_element *element)
{
    filling->grown.count++;
    filling->grown.sum += epb_element_hash(leases, element);
}

/* Stages an element that is in the pool, or was discarded but is still held. */
static enum epb_status
stage_known(const struct epb_leases *leases, struct epb_lease_filling *filling,
            struct epb_element *known)
{
    bool is_kept = known->discarded && !epb_list_empty(&known->of_free);

    if (known->batch == filling->number || is_kept) {
        return EPB_INVALID_VALUE;
    }
    if (known->discarded) {
        epb_list_append(&filling->kept, &known->of_free);
        count_in(leases, filling, known);
    } else if (filling->how != EPB_DEFINE_ANEW) {
        return EPB_CONFLICT;
    }
    known->fresh = false;
    known->batch = filling->number;
    return EPB_OK;
}

static enum epb_status
stage_new(struct epb_leases *leases, struct epb_lease_filling *filling,
          struct epb_element *element)
{
    struct epb_element *known = epb_map_find(leases->elements, epb_element_key(element));
    enum epb_status status;

    if (known != NULL) {
        epb_element_release(leases, element);
        return stage_known(leases, filling, known);
    }
    status = epb_map_insert(leases->elements, element);
    if (status != EPB_OK) {
        epb_element_release(leases, element);
        return status;
    }
    element->fresh = true;
    element->batch = filling->number;
    epb_list_append(&filling->added, &element->of_free);
    filling->added_count++;
    count_in(leases, filling, element);
    return EPB_OK;
}

static enum epb_status
stage(struct epb_leases *leases, struct epb_lease_filling *filling,
      const struct epb_unpack *unpack)
{
    struct epb_element *element;
    void *block;
    enum epb_status status = epb_quota_alloc(
        leases->quota, leases->arena,
        sizeof(*element) + EPB_ELEMENT_NAME_BYTES + unpack->value.size_bytes, &block);

    if (status != EPB_OK) {
        return status;
    }
    element = block;
    epb_element_fill(element, filling->pool, unpack->is_binary, unpack->value);
    return stage_new(leases, filling, element);
}

static void
stage_on(struct epb_leases *leases, struct epb_lease_filling *filling,
         struct epb_budget *budget)
{
    while (!epb_budget_is_spent(budget)) {
        struct epb_unpack unpack = filling->unpack;
        enum epb_status status;

        if (!epb_unpack_next(&unpack)) {
            filling->step = STEP_COMMIT;
            return;
        }
        spend(budget, epb_element_units(leases), unpack.value);
        status = stage(leases, filling, &unpack);
        if (status == EPB_MAX_MEMORY && !filling->room_made) {
            filling->wants_room = true;
            return;
        }
        if (status != EPB_OK) {
            fail(filling, status);
            return;
        }
        filling->unpack = unpack;
    }
}

static struct epb_element *
first_of(const struct epb_list *list)
{
    return epb_list_empty(list) ? NULL
                                : EPB_LIST_ITEM(list->next, struct epb_element, of_free);
}

/* In one step: there are at most as many as are held. */
static void
commit_kept(struct epb_lease_filling *filling)
{
    struct epb_element *element;

    while ((element = first_of(&filling->kept)) != NULL) {
        epb_list_remove(&element->of_free);
        element->discarded = false;
    }
}

static void
commit(struct epb_leases *leases, struct epb_lease_filling *filling, bool has_value)
{
    struct epb_resource *pool = filling->pool;
    bool is_anew = filling->how == EPB_DEFINE_ANEW;

    if (!epb_resource_can_be(pool, EPB_KIND_POOL, has_value)) {
        fail(filling, EPB_KIND_MISMATCH);
        return;
    }
    commit_kept(filling);
    epb_list_append_all(&filling->added, &pool->free_elements);
    pool->free_count += filling->added_count;
    pool->elements.count += filling->grown.count;
    pool->elements.sum += filling->grown.sum;
    leases->stats.elements += filling->grown.count;
    epb_pool_resized(leases, pool);
    filling->committed = true;
    filling->changed = !pool->defined || is_anew;
    if (filling->changed) {
        pool->definition = filling->mark;
    }
    if (!pool->defined) {
        epb_resource_define(leases, pool, EPB_KIND_POOL);
    }
    filling->free_at = pool->free_elements.next;
    filling->step = is_anew ? STEP_PRUNE_FREE : STEP_FINISH;
}

/* Discards free elements that are not in the list. The elements that were free before
 * come first in the list of free ones; new elements, and those given back since,
 * follow. */
static void
prune_free(struct epb_leases *leases, struct epb_lease_filling *filling,
           struct epb_budget *budget)
{
    const struct epb_list *end = &filling->pool->free_elements;

    while (!epb_budget_is_spent(budget)) {
        struct epb_element *element =
            EPB_LIST_ITEM(filling->free_at, struct epb_element, of_free);

        if (filling->free_at == end ||
            (element->fresh && element->batch == filling->number)) {
            filling->free_at = NULL;
            filling->grant_at = filling->pool->grants.next;
            filling->step = STEP_PRUNE_HELD;
            return;
        }
        bool is_listed = element->batch == filling->number;

        epb_budget_spend(budget, is_listed ? EPB_UNITS_VISIT : epb_element_units(leases));
        filling->free_at = filling->free_at->next;
        if (!is_listed) {
            epb_element_discard(leases, filling->pool, element);
        }
    }
}

static void
prune_held(struct epb_leases *leases, struct epb_lease_filling *filling,
           struct epb_budget *budget)
{
    const struct epb_list *end = &filling->pool->grants;

    while (filling->grant_at != end && !epb_budget_is_spent(budget)) {
        const struct epb_grant *grant =
            EPB_LIST_ITEM(filling->grant_at, const struct epb_grant, of_resource);

        for (uint32_t i = 0; i < grant->count; i++) {
            if (grant->things[i].element->batch != filling->number) {
                epb_element_discard(leases, filling->pool, grant->things[i].element);
            }
        }
        epb_budget_spend(budget, EPB_UNITS_VISIT * (size_t)grant->count);
        filling->grant_at = filling->grant_at->next;
    }
    if (filling->grant_at == end) {
        filling->grant_at = NULL;
        filling->step = STEP_FINISH;
    }
}

static void
undo_on(struct epb_leases *leases, struct epb_lease_filling *filling,
        struct epb_budget *budget)
{
    struct epb_resource *pool = filling->pool;
    struct epb_element *element;

    while (!epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, epb_element_units(leases));
        if ((element = first_of(&filling->added)) != NULL) {
            epb_element_remove(leases, element);
        } else if ((element = first_of(&filling->kept)) != NULL) {
            epb_list_remove(&element->of_free);
            element->batch = 0;
        } else {
            leases->filling = NULL;
            pool->pins--;
            epb_resource_free_unused(leases, pool);
            filling->step = STEP_DONE;
            return;
        }
    }
}

/* The pool has all its new elements: continues its queue. */
static void
settle_pool(struct epb_leases *leases, struct epb_resource *pool,
            const struct epb_time *now)
{
    epb_queue_refuse(leases, pool);
    epb_resource_go_on(leases, pool, now);
    epb_pools_refuse_stuck(leases, now);
    pool->pins--;
    epb_resource_free_unused(leases, pool);
}

static void
finish(struct epb_leases *leases, struct epb_lease_filling *filling,
       const struct epb_time *now)
{
    leases->filling = NULL;
    filling->size = filling->pool->elements.count;
    filling->step = STEP_DONE;
    settle_pool(leases, filling->pool, now);
}

/* Whether grants that are due must have ended before this step. */
static bool
needs_time(const struct epb_lease_filling *filling)
{
    return filling->step == STEP_DECIDE || filling->step == STEP_COMMIT ||
           filling->step == STEP_FINISH;
}

/* Runs a step that needs no time. */
static void
step_on(struct epb_leases *leases, struct epb_lease_filling *filling,
        struct epb_budget *budget)
{
    switch ((enum step)filling->step) {
    case STEP_CHECK:
        check_on(leases, filling, budget);
        break;
    case STEP_STAGE:
        stage_on(leases, filling, budget);
        break;
    case STEP_PRUNE_FREE:
        prune_free(leases, filling, budget);
        break;
    case STEP_PRUNE_HELD:
        prune_held(leases, filling, budget);
        break;
    case STEP_UNDO:
        undo_on(leases, filling, budget);
        break;
    case STEP_DECIDE:
    case STEP_COMMIT:
    case STEP_FINISH:
    case STEP_DONE:
        break;
    }
}

/* Filling */

void
epb_lease_fill_begin(struct epb_lease_filling *filling)
{
    filling->unpack = epb_unpack_of(filling->elements);
    filling->step = STEP_CHECK;
}

enum epb_status
epb_lease_fill(struct epb_leases *leases, struct epb_lease_filling *filling,
               bool has_value, const struct epb_time *now, struct epb_budget *budget,
               bool *done)
{
    filling->wants_room = false;
    while (filling->step != STEP_DONE && !filling->wants_room &&
           !epb_budget_is_spent(budget)) {
        if (needs_time(filling)) {
            epb_leases_settle(leases, now);
        }
        if (filling->step == STEP_DECIDE) {
            if (epb_filling_settle(leases, now, budget)) {
                decide(leases, filling, has_value);
            }
        } else if (filling->step == STEP_COMMIT) {
            commit(leases, filling, has_value);
        } else if (filling->step == STEP_FINISH) {
            finish(leases, filling, now);
        } else {
            step_on(leases, filling, budget);
        }
    }
    *done = filling->step == STEP_DONE;
    return *done ? filling->status : EPB_OK;
}

bool
epb_lease_fill_drop(struct epb_leases *leases, struct epb_lease_filling *filling,
                    struct epb_budget *budget)
{
    if (leases->filling != filling) {
        return true;
    }
    if (!filling->committed) {
        filling->step = STEP_UNDO;
    }
    while (leases->filling == filling && filling->step != STEP_FINISH &&
           !epb_budget_is_spent(budget)) {
        step_on(leases, filling, budget);
    }
    if (leases->filling == filling && filling->step == STEP_FINISH) {
        leases->filling = NULL;
        epb_list_append(&leases->unsettled, &filling->pool->of_unsettled);
    }
    return leases->filling != filling;
}

void
epb_leases_settle_pools(struct epb_leases *leases, const struct epb_time *now)
{
    while (!epb_list_empty(&leases->unsettled)) {
        struct epb_resource *pool =
            EPB_LIST_ITEM(leases->unsettled.next, struct epb_resource, of_unsettled);

        epb_list_remove(&pool->of_unsettled);
        settle_pool(leases, pool, now);
    }
}

bool
epb_filling_settle(struct epb_leases *leases, const struct epb_time *now,
                   struct epb_budget *budget)
{
    if (leases->filling != NULL &&
        !epb_lease_fill_drop(leases, leases->filling, budget)) {
        return false;
    }
    epb_leases_settle_pools(leases, now);
    return true;
}
