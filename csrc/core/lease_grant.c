/* Grants: creating and freeing them, and whether one fits. */
#include "lease_internal.h"

static size_t
grant_bytes(uint32_t count)
{
    return sizeof(struct epb_grant) + count * sizeof(union epb_thing);
}

enum epb_status
epb_grant_new(struct epb_leases *leases, struct epb_holding *holding,
              struct epb_peer *peer, uint32_t count, struct epb_grant **out)
{
    struct epb_grant *grant;
    struct epb_take *spare;
    void *block;
    enum epb_status status = epb_take_new(leases, holding, peer, &spare);

    if (status == EPB_OK) {
        status =
            epb_quota_alloc(leases->quota, leases->arena, grant_bytes(count), &block);
    }
    if (status != EPB_OK) {
        epb_take_free(leases, spare);
        return status;
    }
    grant = block;
    grant->count = count;
    grant->spare = spare;
    epb_list_init(&grant->takes);
    epb_list_init(&grant->of_resource);
    epb_list_init(&grant->of_holding);
    epb_list_init(&grant->of_holder);
    epb_list_init(&grant->answers);
    epb_list_init(&grant->named_by);
    epb_list_init(&grant->of_named);
    epb_mark_set(&grant->mark, EPB_MARK_GRANT);
    grant->holding = holding;
    holding->members++;
    *out = grant;
    return EPB_OK;
}

void
epb_grant_free_unused(struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_holding *holding = grant->holding;

    EPB_MARK_CHECK(grant, EPB_MARK_GRANT);
    if (grant->live || grant->lost || grant->wait != NULL) {
        return;
    }
    EPB_ASSERT(!grant->queued && epb_list_empty(&grant->takes));
    EPB_ASSERT(epb_list_empty(&grant->of_resource) &&
               epb_list_empty(&grant->of_holding) && epb_list_empty(&grant->of_holder) &&
               epb_list_empty(&grant->answers));
    epb_mark_clear(&grant->mark, EPB_MARK_GRANT);
    epb_take_free(leases, grant->spare);
    epb_flow_drop(leases, grant);
    epb_quota_release(leases->quota, leases->arena, grant, grant_bytes(grant->count));
    holding->members--;
    epb_holding_free_unused(leases, holding);
}

uint64_t
epb_resource_size(const struct epb_resource *resource)
{
    switch (resource->kind) {
    case EPB_KIND_NUMBERS:
        return UINT64_MAX;
    case EPB_KIND_SEMAPHORE:
        return resource->limit;
    case EPB_KIND_POOL:
        return resource->elements.count;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
    return 1;
}

bool
epb_grant_fits(const struct epb_resource *resource, bool shared, uint32_t count)
{
    const struct epb_list *grants = &resource->grants;

    switch (resource->kind) {
    case EPB_KIND_NUMBERS:
        return true;
    case EPB_KIND_SEMAPHORE:
        return resource->slots.used + count <= resource->limit;
    case EPB_KIND_POOL:
        return resource->free_count >= count;
    case EPB_KIND_VALUE:
    case EPB_KIND_LOCK:
    case EPB_KIND_COMPUTE:
        break;
    }
    /* Live grants are either all shared, or a single exclusive one. */
    return epb_list_empty(grants) ||
           (shared && EPB_LIST_ITEM(grants->next, struct epb_grant, of_resource)->shared);
}

struct epb_grant *
epb_grant_standing(const struct epb_holding *holding, bool shared,
                   const struct epb_time *now)
{
    const struct epb_list *at = holding->grants.next;

    for (; at != &holding->grants; at = at->next) {
        struct epb_grant *grant = EPB_LIST_ITEM(at, struct epb_grant, of_holding);

        if (grant->by_due.major > now->mono_ms) {
            return grant->shared == shared ? grant : NULL;
        }
    }
    return NULL;
}

bool
epb_grant_is_barred(const struct epb_leases *leases, const struct epb_holding *holding)
{
    return leases->single_lease && holding->resource->space == EPB_SPACE_KEY &&
           holding->holder->live[EPB_SPACE_KEY] > holding->grant_count;
}
