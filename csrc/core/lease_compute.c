/* Computations: the right to compute a key's value, and the requests that wait for it. */
#include "lease_internal.h"

/* Finishes every request in the queue with the reason. */
static void
fail_queue(struct epb_leases *leases, struct epb_resource *resource,
           struct epb_reason *reason, const struct epb_time *now)
{
    struct epb_grant *pending;

    while ((pending = epb_queue_first(resource)) != NULL) {
        struct epb_wait *wait = pending->wait;

        epb_queue_remove(leases, pending);
        if (epb_wait_is_due(wait, now)) {
            epb_wait_finish(leases->waits, wait, EPB_WAIT_TIMEOUT);
        } else {
            wait->reason = reason;
            reason->waits++;
            epb_wait_finish(leases->waits, wait, EPB_COMPUTE_FAILED);
        }
    }
}

enum epb_status
epb_lease_fail(struct epb_leases *leases, const struct epb_peer *peer, uint64_t token,
               bool force, struct epb_bytes reason, const struct epb_time *now)
{
    struct epb_grant *grant;
    struct epb_reason *shared;
    enum epb_status status;

    epb_leases_settle(leases, now);
    grant = epb_lease_find(leases, token, now);
    if (grant == NULL || grant->holding->resource->space != EPB_SPACE_COMPUTE) {
        return EPB_LEASE_LOST;
    }
    if (!force && !epb_grant_is_for(grant, peer)) {
        return EPB_LEASE_HELD;
    }
    status = epb_reason_new(leases, reason, &shared);
    if (status != EPB_OK) {
        return status;
    }
    fail_queue(leases, grant->holding->resource, shared, now);
    epb_reason_free_unused(leases, shared);
    epb_grant_end(leases, grant, EPB_END_RELEASE, now);
    return EPB_OK;
}

void
epb_lease_computed(struct epb_leases *leases, struct epb_bytes key)
{
    const struct epb_resource *resource =
        epb_resource_find(leases, EPB_SPACE_COMPUTE, key);
    struct epb_grant *pending;

    while (resource != NULL && (pending = epb_queue_first(resource)) != NULL) {
        epb_queue_remove(leases, pending);
        epb_wait_finish(leases->waits, pending->wait, EPB_OK);
    }
}

bool
epb_lease_ask_again(struct epb_leases *leases, struct epb_wait *wait,
                    const struct epb_time *now)
{
    struct epb_grant *pending = wait->detail;
    struct epb_resource *resource = pending->holding->resource;

    EPB_ASSERT(resource->space == EPB_SPACE_COMPUTE && wait->grant == NULL);
    epb_leases_settle(leases, now);
    resource->kind = EPB_KIND_COMPUTE;
    if (epb_wait_is_due(wait, now)) {
        epb_wait_again(leases->waits, wait);
        epb_wait_finish(leases->waits, wait, EPB_WAIT_TIMEOUT);
        return false;
    }
    if (epb_grant_fits(resource, false, 1)) {
        epb_grant_start(leases, pending, now);
        epb_take_add_spare(leases, pending, pending);
        wait->grant = pending;
        epb_list_append(&pending->answers, &wait->of_queue);
        return true;
    }
    epb_wait_again(leases->waits, wait);
    epb_queue_add(leases, pending);
    if (epb_pending_is_stuck(leases, pending, now)) {
        epb_pending_refuse(leases, pending, now);
    }
    return false;
}
