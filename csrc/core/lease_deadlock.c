/*
 * Deadlocks: waits that can never be granted, since each depends on another one.
 *
 * A waiting request may name the grants that its flow holds. The flow doesn't release
 * them before the request has its reply. This makes a graph with these edges:
 *
 * - a grant depends on every wait that names it;
 * - a wait depends on every wait before it in its queue, and on grants of its resource:
 *   on all of them if it must be exclusive, on enough of them if the resource is a pool
 *   or a semaphore, which has several things.
 *
 * There are no other edges. The other grants of the wait's worker are none, since another
 * flow of the worker may release them at any time. A wait that has ended, or whose time
 * is over, names nothing. A grant that has ended is no longer named. Names are kept until
 * the request has its reply: a request that was granted a computation, and lost it before
 * the reply, waits again with the same names. A wait for more elements than its pool has
 * is not stuck: it waits until elements are added.
 *
 * The method is the reduction of a general resource graph (R. C. Holt, Some deadlock
 * properties of computer systems, 1972). Of the waits that are reachable from one wait,
 * the search removes those that depend on nothing, then those that depended only on
 * these, and so on. The rest is stuck. The search visits only what is reachable: each
 * wait, each name and each named grant once.
 *
 * Invariant: when a call returns, no wait is stuck. Only two events could change that:
 * - A new wait, or a wait for a computation that waits again. It is checked, and refused
 *   if it is stuck. If it is not stuck, no other wait has become stuck, because this wait
 *   will end, and its names with it. A wait that names nothing can't close a cycle, since
 *   no edge leads to it.
 * - A pool or a semaphore whose size changes (a discarded element does not come back; an
 *   added element makes waits depend on grants, where they depended on new elements
 *   before). Its queue is checked. A cycle enters a queue only through a wait that names
 *   something, so it is enough to refuse such waits, the first in the queue first.
 *
 * A new grant is named by no wait yet, and replaces a wait that was not stuck. A grant or
 * a wait that ends only removes edges.
 */
#include "lease_internal.h"

/* Dependencies */

static struct epb_resource *
resource_of(const struct epb_grant *grant)
{
    return grant->holding->resource;
}

static bool
is_over(const struct epb_leases *leases, const struct epb_grant *pending,
        const struct epb_time *now)
{
    return epb_wait_is_due(pending->wait, now) ||
           epb_wait_is_leaving(leases->waits, pending->wait);
}

/* How many of its resource's things a grant keeps from waiting requests. */
static uint64_t
kept_by(const struct epb_grant *grant)
{
    uint64_t kept = grant->count;

    for (uint32_t i = 0; resource_of(grant)->kind == EPB_KIND_POOL && i < grant->count;
         i++) {
        kept -= grant->things[i].element->discarded;
    }
    return kept;
}

/* Whether it could be granted after everything that is not stuck has ended. */
static bool
fits_in_the_end(const struct epb_resource *resource, const struct epb_grant *pending)
{
    uint64_t wanted = pending->count;
    uint64_t size = resource->elements.count;

    switch (resource->kind) {
    case EPB_KIND_NUMBERS:
        return true;
    case EPB_KIND_SEMAPHORE:
        size = resource->limit;
        break;
    case EPB_KIND_POOL:
        break;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        return resource->search.stuck == 0 ||
               epb_grant_fits(resource, pending->shared, 1);
    }
    return size < wanted || resource->search.stuck + wanted <= size;
}

/* The search */

struct search {
    struct epb_leases *leases;
    const struct epb_time *now;
    struct epb_list found; /* resources, in the order in which they were reached */
    struct epb_list work;  /* of these, where another wait may be reducible now */
};

static struct epb_resource *
take_work(struct search *search)
{
    struct epb_resource *resource =
        EPB_LIST_ITEM(search->work.next, struct epb_resource, search.of_work);

    epb_list_remove(&resource->search.of_work);
    return resource;
}

static struct epb_grant *
pending_at(struct epb_tree_node *node)
{
    return EPB_TREE_ITEM(node, struct epb_grant, by_token);
}

/* Whether the link is an edge: its pending grant still waits. */
static bool
binds(const struct search *search, const struct epb_flow_link *link)
{
    return link->pending->queued && !is_over(search->leases, link->pending, search->now);
}

/* Reaches the resource, and the waits in its queue up to this serial number. */
static void
reach(struct search *search, struct epb_resource *resource, uint64_t serial)
{
    struct epb_search_place *place = &resource->search;

    if (place->round != search->leases->search_round) {
        *place = (struct epb_search_place){
            .round = search->leases->search_round,
            .next = resource->queue.first,
        };
        epb_list_append(&search->found, &place->of_found);
        epb_list_append(&search->work, &place->of_work);
    }
    if (place->last_serial < serial) {
        place->last_serial = serial;
    }
}

/* Reaches the waits that name the resource's grants, and counts what these grants
 * keep. */
static void
reach_on(struct search *search, struct epb_resource *resource)
{
    for (struct epb_list *at = resource->named.next; at != &resource->named;
         at = at->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(at, struct epb_grant, of_named);

        grant->stuck = 0;
        for (struct epb_list *name = grant->named_by.next; name != &grant->named_by;
             name = name->next) {
            struct epb_flow_link *link =
                EPB_LIST_ITEM(name, struct epb_flow_link, of_grant);

            if (binds(search, link)) {
                grant->stuck++;
                reach(search, resource_of(link->pending), link->pending->by_token.major);
            }
        }
        if (grant->stuck > 0) {
            resource->search.stuck += kept_by(grant);
        }
    }
}

/* The wait will end, and its flow will release what it names. */
static void
free_pending(struct search *search, const struct epb_grant *pending)
{
    for (size_t i = 0; pending->flow != NULL && i < pending->flow->count; i++) {
        struct epb_flow_link *link = &pending->flow->links[i];

        if (epb_list_empty(&link->of_grant)) {
            continue;
        }
        struct epb_search_place *place = &resource_of(link->grant)->search;

        if (place->round == search->leases->search_round && --link->grant->stuck == 0) {
            place->stuck -= kept_by(link->grant);
            epb_list_remove(&place->of_work);
            epb_list_append(&search->work, &place->of_work);
        }
    }
}

/* Reduces the resource's waits, in their order, as far as possible. */
static void
reduce(struct search *search, struct epb_resource *resource)
{
    struct epb_search_place *place = &resource->search;

    while (place->next != NULL && place->next->major <= place->last_serial) {
        const struct epb_grant *pending = pending_at(place->next);

        if (!is_over(search->leases, pending, search->now)) {
            if (!fits_in_the_end(resource, pending)) {
                return;
            }
            free_pending(search, pending);
        }
        place->next = epb_tree_next(&resource->queue, place->next);
    }
}

/* Reaches all dependencies of these waits, and reduces what is not stuck. */
static void
search_from(struct search *search, struct epb_leases *leases,
            struct epb_resource *resource, uint64_t serial, const struct epb_time *now)
{
    *search = (struct search){.leases = leases, .now = now};
    epb_list_init(&search->found);
    epb_list_init(&search->work);
    leases->search_round++;
    reach(search, resource, serial);
    for (struct epb_list *at = search->found.next; at != &search->found; at = at->next) {
        reach_on(search, EPB_LIST_ITEM(at, struct epb_resource, search.of_found));
    }
    while (!epb_list_empty(&search->work)) {
        reduce(search, take_work(search));
    }
}

static bool
is_left(const struct epb_grant *pending)
{
    const struct epb_tree_node *next = resource_of(pending)->search.next;

    return next != NULL && next->major <= pending->by_token.major;
}

/* Finding the cycle */

/* The link from a stuck grant of the resource to this wait; NULL: there is none. Adds
 * resources that are reached for the first time to the work. */
static const struct epb_flow_link *
closing_link(struct search *search, struct epb_resource *resource,
             const struct epb_grant *pending)
{
    for (struct epb_list *at = resource->named.next; at != &resource->named;
         at = at->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(at, struct epb_grant, of_named);
        struct epb_list *name = grant->named_by.next;

        for (; grant->stuck > 0 && name != &grant->named_by; name = name->next) {
            const struct epb_flow_link *link =
                EPB_LIST_ITEM(name, const struct epb_flow_link, of_grant);
            struct epb_resource *to = resource_of(link->pending);

            if (link->pending == pending) {
                return link;
            }
            if (binds(search, link) && is_left(link->pending) && to->search.via == NULL &&
                to != resource_of(pending)) {
                to->search.via = link;
                epb_list_append(&search->work, &to->search.of_work);
            }
        }
    }
    return NULL;
}

/* The cycle ends with this link. It begins with the grant that the wait's own flow holds,
 * followed by the grant that this flow waits for, and so on. */
static void
note_cycle(struct epb_cycle *cycle, const struct epb_flow_link *last)
{
    const struct epb_flow_link *link = last;
    size_t at = 0;

    for (; link != NULL; link = resource_of(link->grant)->search.via) {
        at++;
    }
    cycle->count = at;
    for (link = last; link != NULL; link = resource_of(link->grant)->search.via) {
        if (at == cycle->count || at < EPB_CYCLE_SHOWN) {
            cycle->grants[at % cycle->count] = link->grant;
        }
        at--;
    }
}

/* Finds the shortest way from the wait, through what is stuck, back to the wait. False:
 * the wait is in no cycle; it only waits for others that are. */
static bool
find_cycle(struct search *search, const struct epb_grant *pending)
{
    const struct epb_flow_link *link = NULL;

    epb_list_append(&search->work, &resource_of(pending)->search.of_work);
    while (link == NULL && !epb_list_empty(&search->work)) {
        link = closing_link(search, take_work(search), pending);
    }
    while (!epb_list_empty(&search->work)) {
        (void)take_work(search);
    }
    if (link != NULL) {
        note_cycle(&search->leases->cycle, link);
    }
    return link != NULL;
}

bool
epb_pending_is_stuck(struct epb_leases *leases, const struct epb_grant *pending,
                     const struct epb_time *now)
{
    struct search search;

    if (pending->flow == NULL || pending->flow->count == 0) {
        return false;
    }
    search_from(&search, leases, resource_of(pending), pending->by_token.major, now);
    return is_left(pending) && find_cycle(&search, pending);
}

/* The first wait in the queue that is in a cycle; NULL: there is none. */
static struct epb_grant *
first_stuck(struct epb_leases *leases, struct epb_resource *resource,
            const struct epb_time *now)
{
    struct search search;
    struct epb_tree_node *node;

    search_from(&search, leases, resource, UINT64_MAX, now);
    node = resource->search.next;
    while (node != NULL && !epb_pending_is_stuck(leases, pending_at(node), now)) {
        node = epb_tree_next(&resource->queue, node);
    }
    return node == NULL ? NULL : pending_at(node);
}

void
epb_pending_refuse(struct epb_leases *leases, struct epb_grant *pending,
                   const struct epb_time *now)
{
    epb_queue_remove(leases, pending);
    epb_reason_set_cycle(leases, pending->wait, now);
    epb_wait_finish(leases->waits, pending->wait, EPB_DEADLOCK);
}

static void
refuse_stuck_of(struct epb_leases *leases, struct epb_resource *pool,
                const struct epb_time *now)
{
    struct epb_grant *pending;

    while (pool->queue.count > 0 && (pending = first_stuck(leases, pool, now)) != NULL) {
        epb_pending_refuse(leases, pending, now);
        epb_resource_go_on(leases, pool, now);
    }
}

void
epb_pools_refuse_stuck(struct epb_leases *leases, const struct epb_time *now)
{
    while (!epb_list_empty(&leases->resized)) {
        struct epb_resource *pool =
            EPB_LIST_ITEM(leases->resized.next, struct epb_resource, of_resized);

        epb_list_remove(&pool->of_resized);
        refuse_stuck_of(leases, pool, now);
    }
}
