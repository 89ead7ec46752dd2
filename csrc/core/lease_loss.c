/* Losses: grants that ended without an act of their holder, kept until the holder has
 * been notified. */
#include "../base/arena.h"
#include "lease_internal.h"

void
epb_loss_add(struct epb_leases *leases, struct epb_grant *grant)
{
    struct epb_holder *holder = grant->holding->holder;
    bool by_event = !epb_list_empty(&grant->takes);
    bool by_renewal = grant->holding->resource->space != EPB_SPACE_COMPUTE;

    if (!by_event && !by_renewal) {
        return;
    }
    grant->lost = true;
    leases->loss_count++;
    epb_list_append(&leases->losses, &grant->of_resource);
    if (by_renewal) {
        epb_list_append(&holder->losses, &grant->of_holder);
    }
    for (struct epb_list *node = grant->takes.next; node != &grant->takes;
         node = node->next) {
        struct epb_take *take = EPB_LIST_ITEM(node, struct epb_take, of_grant);

        epb_list_remove(&take->of_peer);
        epb_list_append(&take->peer->losses, &take->of_peer);
        epb_peer_ready(leases->waits, take->peer);
    }
    if (leases->loss_count > EPB_LOSSES_MAX) {
        epb_loss_forget(
            leases, EPB_LIST_ITEM(leases->losses.next, struct epb_grant, of_resource));
    }
}

void
epb_loss_forget(struct epb_leases *leases, struct epb_grant *grant)
{
    epb_list_remove(&grant->of_resource);
    epb_list_remove(&grant->of_holder);
    while (!epb_list_empty(&grant->takes)) {
        struct epb_take *take =
            EPB_LIST_ITEM(grant->takes.next, struct epb_take, of_grant);
        struct epb_peer *peer = take->peer;

        epb_take_free(leases, take);
        /* The peer may have nothing left to take. */
        epb_peer_recheck(peer);
    }
    grant->lost = false;
    leases->loss_count--;
    if (leases->shown == grant) {
        leases->shown = NULL;
    }
    epb_grant_free_unused(leases, grant);
}

void
epb_loss_told(struct epb_leases *leases, struct epb_grant *grant)
{
    if (epb_list_empty(&grant->of_holder) && epb_list_empty(&grant->takes)) {
        epb_loss_forget(leases, grant);
    }
}

bool
epb_lease_next_loss(struct epb_leases *leases, struct epb_peer *peer, uint64_t *token,
                    struct epb_bytes *key)
{
    struct epb_take *take;
    struct epb_grant *grant;

    if (leases->shown != NULL) {
        epb_loss_told(leases, leases->shown);
        leases->shown = NULL;
    }
    if (epb_list_empty(&peer->losses)) {
        return false;
    }
    take = EPB_LIST_ITEM(peer->losses.next, struct epb_take, of_peer);
    grant = take->grant;
    epb_take_free(leases, take);
    leases->shown = grant;
    *token = grant->token;
    *key = epb_resource_key(grant->holding->resource);
    return true;
}
