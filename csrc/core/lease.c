/* The functions for requests that ask for grants. The state is in the other lease
 * files. */
#include "../base/arena.h"
#include "../base/mem.h"
#include "lease_internal.h"

/* Creation and statistics */

static void
maps_free(struct epb_leases *leases)
{
    for (unsigned i = 0; i < EPB_SPACE_COUNT; i++) {
        epb_map_free(leases->resources[i]);
    }
    epb_map_free(leases->workers);
    epb_map_free(leases->holders);
    epb_map_free(leases->holdings);
    epb_map_free(leases->elements);
}

static bool
maps_new(struct epb_leases *leases)
{
    bool complete = true;

    for (unsigned i = 0; i < EPB_SPACE_COUNT; i++) {
        leases->resources[i] = epb_map_new(epb_resource_key);
        complete = complete && leases->resources[i] != NULL;
    }
    leases->workers = epb_map_new(epb_worker_key);
    leases->holders = epb_map_new(epb_holder_key);
    leases->holdings = epb_map_new(epb_holding_key);
    leases->elements = epb_map_new(epb_element_key);
    return complete && leases->workers != NULL && leases->holders != NULL &&
           leases->holdings != NULL && leases->elements != NULL;
}

struct epb_leases *
epb_leases_new(struct epb_arena *arena, struct epb_quota *quota, struct epb_waits *waits,
               bool single_lease, const struct epb_time *now)
{
    struct epb_leases *leases = epb_mem_table_alloc(sizeof(*leases));

    if (leases == NULL) {
        return NULL;
    }
    if (!maps_new(leases) ||
        epb_sys_random(&leases->seed, sizeof(leases->seed)) != EPB_OK) {
        maps_free(leases);
        epb_mem_table_free(leases);
        return NULL;
    }
    leases->arena = arena;
    leases->quota = quota;
    leases->waits = waits;
    leases->single_lease = single_lease;
    leases->next_token = now->wall_ms << 10;
    epb_tree_init(&leases->tokens, leases->seed);
    epb_tree_init(&leases->deadlines, ~leases->seed);
    epb_tree_init(&leases->pendings, leases->seed ^ 1);
    epb_tree_init(&leases->defined, leases->seed ^ 2);
    epb_list_init(&leases->resized);
    epb_list_init(&leases->unsettled);
    epb_list_init(&leases->debris);
    epb_list_init(&leases->losses);
    epb_list_init(&leases->walks);
    return leases;
}

void
epb_leases_free(struct epb_leases *leases)
{
    const struct epb_time any = {0, 0, 0};
    struct epb_budget whole = {SIZE_MAX};
    struct epb_grant *grant;

    if (leases == NULL) {
        return;
    }
    epb_leases_settle_pools(leases, &any);
    while ((grant = epb_leases_first_due(leases)) != NULL) {
        epb_grant_end(leases, grant, EPB_END_RELEASE, &any);
    }
    while (!epb_list_empty(&leases->losses)) {
        epb_loss_forget(
            leases, EPB_LIST_ITEM(leases->losses.next, struct epb_grant, of_resource));
    }
    while (leases->defined.first != NULL) {
        epb_resource_undefine(leases, EPB_TREE_ITEM(leases->defined.first,
                                                    struct epb_resource, of_defined));
    }
    (void)epb_leases_tidy(leases, &whole);
    EPB_ASSERT(epb_map_count(leases->holdings) == 0 && leases->filling == NULL &&
               epb_map_count(leases->elements) == 0);
    maps_free(leases);
    epb_mem_table_free(leases);
}

void
epb_leases_stats(const struct epb_leases *leases, struct epb_lease_stats *stats)
{
    *stats = leases->stats;
    stats->grants = leases->tokens.count;
    stats->table_bytes = epb_map_bytes(leases->workers) + epb_map_bytes(leases->holders) +
                         epb_map_bytes(leases->holdings) +
                         epb_map_bytes(leases->elements);
    for (unsigned i = 0; i < EPB_SPACE_COUNT; i++) {
        stats->table_bytes += epb_map_bytes(leases->resources[i]);
    }
}

/* Requests that wait */

static void
wait_withdraw(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct epb_leases *leases = owner;
    struct epb_grant *pending = wait->detail;

    if (pending->queued) {
        wait->count = (int64_t)epb_queue_place(pending);
        epb_queue_remove(leases, pending);
    }
    epb_leases_settle(leases, now);
    epb_resource_go_on(leases, pending->holding->resource, now);
}

static void
wait_undo(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    struct epb_leases *leases = owner;
    struct epb_grant *grant;

    epb_leases_settle(leases, now);
    grant = wait->grant;
    if (grant == NULL) {
        return;
    }
    epb_list_remove(&wait->of_queue);
    wait->grant = NULL;
    if (!grant->taken && epb_list_empty(&grant->answers)) {
        epb_grant_end(leases, grant, EPB_END_SESSION, now);
    }
}

static void
wait_drop(void *owner, struct epb_wait *wait)
{
    struct epb_leases *leases = owner;
    struct epb_grant *pending = wait->detail;

    if (wait->grant != NULL) {
        epb_list_remove(&wait->of_queue);
        wait->grant->taken = true;
    }
    if (wait->reason != NULL) {
        epb_reason_let_go(leases, wait->reason);
    }
    pending->wait = NULL;
    epb_flow_drop(leases, pending);
    epb_grant_free_unused(leases, pending);
}

static const struct epb_wait_owner owner_calls = {wait_withdraw, wait_undo, wait_drop};

struct epb_bytes
epb_lease_wait_key(const struct epb_wait *wait)
{
    const struct epb_grant *pending = wait->detail;

    return epb_resource_key(pending->holding->resource);
}

/* Requesting grants */

static enum epb_lease_kind
kind_of(const struct epb_resource *resource, bool has_value)
{
    if (epb_resource_exists(resource)) {
        return resource->kind;
    }
    switch (resource->space) {
    case EPB_SPACE_LOCK:
        return EPB_KIND_LOCK;
    case EPB_SPACE_COMPUTE:
        return EPB_KIND_COMPUTE;
    case EPB_SPACE_KEY:
        break;
    }
    return has_value ? EPB_KIND_VALUE : EPB_KIND_NUMBERS;
}

/* Whether the request accepts this kind of resource. */
static enum epb_status
check_rule(const struct epb_resource *resource, const struct epb_lease_ask *ask)
{
    bool is_value_gone = resource->kind == EPB_KIND_VALUE && !ask->has_value;

    if (ask->has_value && resource->kind == EPB_KIND_NUMBERS) {
        return EPB_KIND_MISMATCH;
    }
    if (ask->rule == EPB_RULE_NUMBER && resource->kind != EPB_KIND_NUMBERS) {
        return EPB_KIND_MISMATCH;
    }
    if (ask->rule == EPB_RULE_DEFINED &&
        (resource->kind == EPB_KIND_NUMBERS || is_value_gone)) {
        return EPB_NOT_FOUND;
    }
    return EPB_OK;
}

static bool
may_wait(const struct epb_request *request)
{
    return (request->flags & EPB_F_WAIT) != 0 && request->wait_ms > 0;
}

static enum epb_status
begin_now(struct epb_leases *leases, struct epb_grant *pending,
          const struct epb_time *now)
{
    struct epb_resource *resource = pending->holding->resource;
    enum epb_status status = EPB_OK;

    if (resource->kind == EPB_KIND_NUMBERS) {
        status = epb_slots_reserve(&resource->slots, leases->arena, leases->quota,
                                   resource->slots.used + pending->count);
    }
    if (status == EPB_OK) {
        epb_grant_start(leases, pending, now);
        epb_take_add_spare(leases, pending, pending);
        pending->taken = true;
    }
    epb_grant_free_unused(leases, pending);
    return status;
}

/* Refuses the pending grant if its wait would close a cycle: see lease_deadlock.c. */
static enum epb_status
begin_to_wait(struct epb_leases *leases, struct epb_peer *peer, struct epb_grant *pending,
              const struct epb_request *request, const struct epb_time *now)
{
    enum epb_status status = epb_flow_set(leases, pending, request->value, now);

    if (status == EPB_OK) {
        status = epb_wait_new(leases->waits, peer, request, &owner_calls, leases, now,
                              &pending->wait);
    }
    if (status != EPB_OK) {
        epb_grant_free_unused(leases, pending);
        return status;
    }
    pending->wait->detail = pending;
    epb_queue_add(leases, pending);
    epb_resource_go_on(leases, pending->holding->resource, now);
    if (pending->queued && epb_pending_is_stuck(leases, pending, now)) {
        epb_queue_remove(leases, pending);
        epb_wait_free(leases->waits, pending->wait);
        return EPB_DEADLOCK;
    }
    return EPB_OK;
}

static enum epb_status
ask_anew(struct epb_leases *leases, struct epb_peer *peer, struct epb_holding *holding,
         const struct epb_request *request, bool shared, const struct epb_time *now,
         struct epb_grant **grant)
{
    bool several = (request->flags & EPB_F_COUNT) != 0;
    uint32_t count = several ? (uint32_t)request->count : 1;
    bool fits = holding->resource->queue.count == 0 &&
                epb_grant_fits(holding->resource, shared, count);
    struct epb_grant *pending;
    enum epb_status status;

    if (count > 1 && count > epb_resource_size(holding->resource)) {
        return EPB_CONFLICT;
    }
    if (!fits && !may_wait(request)) {
        return EPB_LEASE_HELD;
    }
    status = epb_grant_new(leases, holding, peer, count, &pending);
    if (status != EPB_OK) {
        return status;
    }
    pending->ttl_ms = request->ttl_ms;
    pending->shared = shared;
    pending->several = several;
    pending->fresh = (request->flags & EPB_F_FRESH) != 0;
    if (!fits) {
        return begin_to_wait(leases, peer, pending, request, now);
    }
    status = begin_now(leases, pending, now);
    if (status == EPB_OK) {
        *grant = pending;
    }
    return status;
}

/* Records that this peer has taken a live grant of its session, too. */
static enum epb_status
share(struct epb_leases *leases, struct epb_peer *peer, struct epb_grant *standing)
{
    struct epb_take *take;
    enum epb_status status = epb_take_new(leases, standing->holding, peer, &take);

    if (status == EPB_OK) {
        epb_take_add(leases, standing, take);
    }
    return status;
}

/* Gives the holder its own grant again, renewed. */
static enum epb_status
ask_standing(struct epb_leases *leases, struct epb_peer *peer, struct epb_grant *standing,
             uint64_t ttl_ms, const struct epb_time *now)
{
    enum epb_status status = share(leases, peer, standing);

    if (status == EPB_OK) {
        epb_grant_renew(leases, standing, ttl_ms, now);
        standing->taken = true;
    }
    return status;
}

static uint64_t
default_ttl_ms(const struct epb_holding *holding)
{
    /* Requests wait for a computation, so it ends soon even if nothing renews it. */
    bool is_renewed =
        holding->holder->group != NULL || holding->resource->space == EPB_SPACE_COMPUTE;

    return is_renewed ? EPB_LEASE_TTL_DEFAULT_MS : EPB_LEASE_TTL_DETACHED_MS;
}

static enum epb_status
ask_on(struct epb_leases *leases, struct epb_peer *peer, struct epb_holding *holding,
       const struct epb_lease_ask *ask, const struct epb_time *now,
       struct epb_grant **grant)
{
    struct epb_resource *resource = holding->resource;
    struct epb_request request = *ask->request;
    bool shared = ask->space == EPB_SPACE_LOCK && (request.flags & EPB_F_SHARED) != 0;
    struct epb_grant *standing;
    enum epb_status status;

    if (request.ttl_ms == 0) {
        request.ttl_ms = default_ttl_ms(holding);
    }
    /* Removes waiting requests that are over, so that they don't block this one. */
    epb_resource_go_on(leases, resource, now);
    resource->kind = kind_of(resource, ask->has_value);
    status = check_rule(resource, ask);
    if (status != EPB_OK) {
        return status;
    }
    if (epb_grant_is_barred(leases, holding)) {
        return EPB_WORKER_ALREADY_HAS_LEASE;
    }
    standing = epb_grant_standing(holding, shared, now);
    if (standing != NULL && (request.flags & EPB_F_FRESH) == 0) {
        status = ask_standing(leases, peer, standing, request.ttl_ms, now);
        *grant = status == EPB_OK ? standing : NULL;
        return status;
    }
    return ask_anew(leases, peer, holding, &request, shared, now, grant);
}

enum epb_status
epb_lease_ask(struct epb_leases *leases, struct epb_peer *peer,
              const struct epb_lease_ask *ask, const struct epb_time *now,
              struct epb_grant **grant)
{
    const struct epb_request *request = ask->request;
    const struct epb_who who = {peer, request->worker,
                                (request->flags & EPB_F_DETACHED) != 0};
    struct epb_resource *resource;
    struct epb_holding *holding;
    enum epb_status status;

    *grant = NULL;
    status = epb_flow_check(request->value);
    if (status != EPB_OK) {
        return status;
    }
    epb_leases_settle(leases, now);
    status = epb_resource_get(leases, ask->space, request->key, &resource);
    if (status != EPB_OK) {
        return status;
    }
    status = epb_holding_get(leases, &who, resource, &holding);
    if (status != EPB_OK) {
        epb_resource_free_unused(leases, resource);
        return status;
    }
    /* Pinned, since the call may end the last member of the holding. */
    holding->members++;
    status = ask_on(leases, peer, holding, ask, now, grant);
    holding->members--;
    epb_holding_free_unused(leases, holding);
    return status;
}

/* Single grants */

void
epb_grant_get_view_at(const struct epb_grant *grant, uint64_t index,
                      struct epb_grant_view *view)
{
    EPB_ASSERT(index < grant->count);
    switch (view->kind) {
    case EPB_KIND_NUMBERS:
    case EPB_KIND_SEMAPHORE:
        view->number = grant->things[index].number;
        break;
    case EPB_KIND_POOL:
        view->value = epb_element_value(grant->things[index].element);
        view->value_flags = epb_element_value_flags(grant->things[index].element);
        break;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
}

bool
epb_grant_get_view(const struct epb_grant *grant, const struct epb_time *now,
                   struct epb_grant_view *view)
{
    const struct epb_resource *resource = grant->holding->resource;

    if (!grant->live || grant->by_due.major <= now->mono_ms) {
        return false;
    }
    *view = (struct epb_grant_view){
        .token = grant->token,
        .ttl_ms = epb_grant_left_ms(grant, now),
        .kind = resource->kind,
        .count = grant->count,
        .several = grant->several,
        .key = epb_resource_key(resource),
        .worker = epb_worker_key(grant->holding->holder->worker),
    };
    epb_grant_get_view_at(grant, 0, view);
    return true;
}

/* The live grant of this token, if the peer may use it. */
static enum epb_status
find_own(struct epb_leases *leases, const struct epb_peer *peer, uint64_t token,
         const struct epb_time *now, struct epb_grant **out)
{
    epb_leases_settle(leases, now);
    *out = epb_lease_find(leases, token, now);
    if (*out == NULL) {
        return EPB_LEASE_LOST;
    }
    return epb_grant_is_for(*out, peer) ? EPB_OK : EPB_LEASE_HELD;
}

enum epb_status
epb_lease_renew_token(struct epb_leases *leases, const struct epb_peer *peer,
                      uint64_t token, uint64_t ttl_ms, const struct epb_time *now)
{
    struct epb_grant *grant;
    enum epb_status status = find_own(leases, peer, token, now, &grant);

    if (status == EPB_OK) {
        epb_grant_renew(leases, grant, ttl_ms == 0 ? grant->ttl_ms : ttl_ms, now);
    }
    return status;
}

enum epb_status
epb_lease_take(struct epb_leases *leases, struct epb_peer *peer, uint64_t token,
               const struct epb_time *now)
{
    struct epb_grant *grant;
    enum epb_status status = find_own(leases, peer, token, now, &grant);

    return status == EPB_OK ? share(leases, peer, grant) : status;
}

void
epb_lease_end(struct epb_leases *leases, struct epb_grant *grant,
              const struct epb_time *now)
{
    epb_grant_end(leases, grant, EPB_END_RELEASE, now);
}
