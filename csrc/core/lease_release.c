/*
 * What holders do with their grants: renewal, notification of losses, release, and the
 * end of a session.
 *
 * Ending a grant can free its holding, and with the last holding its holder, worker and
 * resource. Adding a loss can forget the oldest loss, which can free the same of that
 * one. So a loop over grants pins the owner of the list, and a loop over holders pins the
 * next holder, too. The end of a grant can begin another grant of the same holder, which
 * is then the last in the list. So the loop ends at the last token that was given before
 * it began.
 */
#include "lease_internal.h"

/* Renewal */

static uint64_t
renew_holding(struct epb_leases *leases, const struct epb_holding *holding,
              uint64_t ttl_ms, const struct epb_time *now)
{
    uint64_t renewed = 0;

    if (holding == NULL) {
        return 0;
    }
    for (struct epb_list *node = holding->grants.next; node != &holding->grants;
         node = node->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(node, struct epb_grant, of_holding);

        epb_grant_renew(leases, grant, ttl_ms == 0 ? grant->ttl_ms : ttl_ms, now);
        renewed++;
    }
    return renewed;
}

static uint64_t
renew_holder(struct epb_leases *leases, const struct epb_holder *holder, uint64_t ttl_ms,
             const struct epb_time *now)
{
    uint64_t renewed = 0;

    for (struct epb_list *node = holder->grants.next; node != &holder->grants;
         node = node->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(node, struct epb_grant, of_holder);

        if (grant->holding->resource->space != EPB_SPACE_COMPUTE) {
            epb_grant_renew(leases, grant, ttl_ms == 0 ? grant->ttl_ms : ttl_ms, now);
            renewed++;
        }
    }
    return renewed;
}

static void
tell_losses(struct epb_leases *leases, struct epb_holder *holder,
            const struct epb_lease_renewal *renewal)
{
    epb_holder_pin(holder);
    while (!epb_list_empty(&holder->losses)) {
        struct epb_grant *grant =
            EPB_LIST_ITEM(holder->losses.next, struct epb_grant, of_holder);

        if (!renewal->lost(renewal->context, grant->token,
                           epb_resource_key(grant->holding->resource))) {
            break;
        }
        epb_list_remove(&grant->of_holder);
        epb_loss_told(leases, grant);
    }
    epb_holder_unpin(leases, holder);
}

uint64_t
epb_lease_renew_worker(struct epb_leases *leases, const struct epb_who *who,
                       const struct epb_lease_renewal *renewal,
                       const struct epb_time *now)
{
    const struct epb_bytes key = renewal->key;
    const uint64_t ttl_ms = renewal->ttl_ms;
    struct epb_holder *holder;
    uint64_t renewed;

    epb_leases_settle(leases, now);
    holder = epb_holder_find(leases, who);
    if (holder == NULL) {
        return 0;
    }
    if (key.size_bytes == 0) {
        renewed = renew_holder(leases, holder, ttl_ms, now);
    } else {
        renewed =
            renew_holding(leases, epb_holding_find(leases, holder, EPB_SPACE_KEY, key),
                          ttl_ms, now) +
            renew_holding(leases, epb_holding_find(leases, holder, EPB_SPACE_LOCK, key),
                          ttl_ms, now);
    }
    tell_losses(leases, holder, renewal);
    return renewed;
}

/* Release */

struct release {
    struct epb_leases *leases;
    const struct epb_who *who;
    struct epb_lease_release *what;
    const struct epb_time *now;
    uint64_t last_token; /* grants made meanwhile stay */
    uint64_t chosen;     /* the elements to discard, see epb_elements_choose; 0: all */
};

static void
discard_things(const struct release *release, const struct epb_grant *grant)
{
    struct epb_resource *pool = grant->holding->resource;

    for (uint32_t i = 0; i < grant->count; i++) {
        struct epb_element *element = grant->things[i].element;

        if (release->chosen == 0 || element->chosen == release->chosen) {
            epb_element_discard(release->leases, pool, element);
        }
    }
    epb_queue_refuse(release->leases, pool);
}

static void
release_grant(struct release *release, struct epb_grant *grant)
{
    const struct epb_group *group = grant->holding->holder->group;
    bool is_own = group != NULL && group == release->who->peer->group;

    if (release->what->discard && grant->holding->resource->kind == EPB_KIND_POOL) {
        discard_things(release, grant);
    }
    epb_grant_end(release->leases, grant,
                  release->what->force && !is_own ? EPB_END_FORCE : EPB_END_RELEASE,
                  release->now);
    release->what->released++;
}

/* Releases the holder's grants. The caller has pinned the holder. */
static void
release_all(struct release *release, struct epb_holder *holder)
{
    struct epb_list *node = holder->grants.next;

    while (node != &holder->grants) {
        struct epb_grant *grant = EPB_LIST_ITEM(node, struct epb_grant, of_holder);

        node = node->next;
        if (grant->token > release->last_token) {
            break;
        }
        if (grant->holding->resource->space != EPB_SPACE_COMPUTE) {
            release_grant(release, grant);
        }
    }
}

static void
release_holding(struct release *release, struct epb_holder *holder,
                enum epb_lease_space space)
{
    struct epb_holding *holding =
        epb_holding_find(release->leases, holder, space, release->what->key);
    struct epb_list *node;

    if (holding == NULL) {
        return;
    }
    holding->members++;
    for (node = holding->grants.next; node != &holding->grants;) {
        struct epb_grant *grant = EPB_LIST_ITEM(node, struct epb_grant, of_holding);

        node = node->next;
        if (grant->token > release->last_token) {
            break;
        }
        release_grant(release, grant);
    }
    holding->members--;
    epb_holding_free_unused(release->leases, holding);
}

static void
release_holder(struct release *release, struct epb_holder *holder)
{
    epb_holder_pin(holder);
    if (release->what->key.size_bytes == 0) {
        release_all(release, holder);
    } else {
        release_holding(release, holder, EPB_SPACE_KEY);
        release_holding(release, holder, EPB_SPACE_LOCK);
    }
    epb_holder_unpin(release->leases, holder);
}

/* Releases all grants of the key. */
static void
release_resource(struct release *release, enum epb_lease_space space)
{
    struct epb_resource *resource =
        epb_resource_find(release->leases, space, release->what->key);

    if (resource == NULL) {
        return;
    }
    resource->holdings++;
    for (struct epb_list *node = resource->grants.next; node != &resource->grants;) {
        struct epb_grant *grant = EPB_LIST_ITEM(node, struct epb_grant, of_resource);

        node = node->next;
        if (grant->token > release->last_token) {
            break;
        }
        release_grant(release, grant);
    }
    resource->holdings--;
    epb_resource_free_unused(release->leases, resource);
}

/* The holder after this one in the worker's list; NULL: it is the last. */
static struct epb_holder *
next_holder(const struct epb_worker *worker, const struct epb_list *place)
{
    return place->next == &worker->holders
               ? NULL
               : EPB_LIST_ITEM(place->next, struct epb_holder, of_worker);
}

/* Releases the grants of every holder with this worker id. The next holder is pinned
 * before the current one is released: it may exist only for a loss that is forgotten
 * meanwhile. */
static void
release_worker(struct release *release, struct epb_worker *worker)
{
    struct epb_holder *holder = next_holder(worker, &worker->holders);

    epb_holder_pin(holder);
    while (holder != NULL) {
        struct epb_holder *next = next_holder(worker, &holder->of_worker);

        if (next != NULL) {
            epb_holder_pin(next);
        }
        release_holder(release, holder);
        epb_holder_unpin(release->leases, holder);
        holder = next;
    }
}

static bool
has_named(const struct release *release, const struct epb_holder *holder)
{
    const struct epb_holding *of_key;
    const struct epb_holding *of_lock;

    if (epb_holder_named_grants(holder) == 0 || release->what->key.size_bytes == 0) {
        return epb_holder_named_grants(holder) > 0;
    }
    of_key = epb_holding_find(release->leases, holder, EPB_SPACE_KEY, release->what->key);
    of_lock =
        epb_holding_find(release->leases, holder, EPB_SPACE_LOCK, release->what->key);
    return (of_key != NULL && of_key->grant_count > 0) ||
           (of_lock != NULL && of_lock->grant_count > 0);
}

/* Whether another holder with this worker id has what was to be released. */
static bool
others_hold(const struct release *release, const struct epb_worker *worker)
{
    for (const struct epb_list *node = worker->holders.next; node != &worker->holders;
         node = node->next) {
        if (has_named(release, EPB_LIST_ITEM(node, struct epb_holder, of_worker))) {
            return true;
        }
    }
    return false;
}

static enum epb_status
release_own(struct release *release, struct epb_worker *worker, uint64_t session)
{
    struct epb_holder *own = epb_holder_of(release->leases, worker, session);

    if (own != NULL && has_named(release, own)) {
        release_holder(release, own);
        return EPB_OK;
    }
    return others_hold(release, worker) ? EPB_LEASE_HELD : EPB_OK;
}

enum epb_status
epb_lease_release_worker(struct epb_leases *leases, const struct epb_who *who,
                         struct epb_lease_release *what, const struct epb_time *now)
{
    struct release release = {leases, who, what, now, 0, 0};
    struct epb_worker *known;
    enum epb_status status = EPB_OK;

    epb_leases_settle(leases, now);
    release.last_token = leases->next_token - 1;
    what->released = 0;
    known = epb_worker_find(leases, who->worker);
    if (what->force && who->worker.size_bytes == 0 && what->key.size_bytes > 0) {
        release_resource(&release, EPB_SPACE_KEY);
        release_resource(&release, EPB_SPACE_LOCK);
    } else if (what->force && known != NULL) {
        release_worker(&release, known);
    } else if (known != NULL) {
        status = release_own(&release, known, epb_who_session(who));
    }
    epb_pools_refuse_stuck(leases, now);
    return status;
}

bool
epb_grant_is_for(const struct epb_grant *grant, const struct epb_peer *peer)
{
    const struct epb_group *group = grant->holding->holder->group;

    return group == NULL || group == peer->group;
}

enum epb_status
epb_lease_release_token(struct epb_leases *leases, const struct epb_who *who,
                        struct epb_lease_release *what, const struct epb_time *now)
{
    struct release release = {leases, who, what, now, what->token, 0};
    struct epb_grant *grant;
    enum epb_status status = EPB_OK;

    epb_leases_settle(leases, now);
    what->released = 0;
    grant = epb_lease_find(leases, what->token, now);
    if (grant == NULL) {
        return EPB_OK;
    }
    if (!what->force && !epb_grant_is_for(grant, who->peer)) {
        return EPB_LEASE_HELD;
    }
    if (what->elements.size_bytes > 0) {
        status = epb_elements_choose(leases, grant, what->elements, &release.chosen);
    }
    if (status != EPB_OK) {
        return status;
    }
    release_grant(&release, grant);
    epb_pools_refuse_stuck(leases, now);
    return EPB_OK;
}

/* Leaving */

/* The session ends: forgets the losses of its holders. False: the budget is spent. */
static bool
forget_losses(struct epb_leases *leases, const struct epb_group *group,
              struct epb_budget *budget)
{
    while (!epb_list_empty(&group->holders)) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 2 * EPB_UNITS_VISIT);
        const struct epb_holder *holder =
            EPB_LIST_ITEM(group->holders.next, struct epb_holder, of_group);

        EPB_ASSERT(!epb_list_empty(&holder->losses));
        epb_loss_forget(leases,
                        EPB_LIST_ITEM(holder->losses.next, struct epb_grant, of_holder));
    }
    return true;
}

/* A peer that took a lost grant won't be notified. */
static void
forget_loss(struct epb_leases *leases, struct epb_take *take)
{
    struct epb_grant *grant = take->grant;

    epb_take_free(leases, take);
    epb_loss_told(leases, grant);
}

/* A peer that took a live grant leaves. The grant ends with the last such peer. */
static void
let_go(struct epb_leases *leases, struct epb_take *take, const struct epb_time *now)
{
    struct epb_grant *grant = take->grant;

    epb_take_free(leases, take);
    if (epb_list_empty(&grant->takes)) {
        epb_grant_end(leases, grant, EPB_END_SESSION, now);
    }
}

bool
epb_lease_leave(struct epb_leases *leases, struct epb_peer *peer,
                const struct epb_time *now, struct epb_budget *budget)
{
    epb_leases_settle(leases, now);
    if (leases->shown != NULL) {
        epb_loss_told(leases, leases->shown);
        leases->shown = NULL;
    }
    while (!epb_list_empty(&peer->losses)) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 2 * EPB_UNITS_VISIT);
        forget_loss(leases, EPB_LIST_ITEM(peer->losses.next, struct epb_take, of_peer));
    }
    while (!epb_list_empty(&peer->takes)) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 3 * EPB_UNITS_VISIT);
        let_go(leases, EPB_LIST_ITEM(peer->takes.next, struct epb_take, of_peer), now);
    }
    return !epb_peer_is_last(peer) || forget_losses(leases, peer->group, budget);
}
