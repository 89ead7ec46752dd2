/*
 * Which peers of a session took a grant. The grant ends when the last of them leaves, and
 * all of them are notified when it is lost.
 */
#include "lease_internal.h"

enum epb_status
epb_take_new(struct epb_leases *leases, const struct epb_holding *holding,
             struct epb_peer *peer, struct epb_take **out)
{
    struct epb_take *take;
    void *block;
    enum epb_status status;

    *out = NULL;
    if (holding->holder->group == NULL) {
        return EPB_OK;
    }
    EPB_ASSERT(holding->holder->group == peer->group);
    status = epb_quota_alloc(leases->quota, leases->arena, sizeof(*take), &block);
    if (status != EPB_OK) {
        return status;
    }
    take = block;
    epb_list_init(&take->of_grant);
    epb_list_init(&take->of_peer);
    take->peer = peer;
    *out = take;
    return EPB_OK;
}

void
epb_take_free(struct epb_leases *leases, struct epb_take *take)
{
    if (take == NULL) {
        return;
    }
    epb_list_remove(&take->of_grant);
    epb_list_remove(&take->of_peer);
    epb_quota_release(leases->quota, leases->arena, take, sizeof(*take));
}

static bool
has_taken(const struct epb_grant *grant, const struct epb_peer *peer)
{
    for (const struct epb_list *node = grant->takes.next; node != &grant->takes;
         node = node->next) {
        if (EPB_LIST_ITEM(node, const struct epb_take, of_grant)->peer == peer) {
            return true;
        }
    }
    return false;
}

void
epb_take_add(struct epb_leases *leases, struct epb_grant *grant,
             struct epb_take *take_take)
{
    struct epb_take *take = take_take;

    EPB_ASSERT(grant->live && (take != NULL) == (grant->holding->holder->group != NULL));
    if (take == NULL) {
        return;
    }
    EPB_ASSERT(!take->peer->leaving);
    if (has_taken(grant, take->peer)) {
        epb_take_free(leases, take);
        return;
    }
    take->grant = grant;
    epb_list_append(&grant->takes, &take->of_grant);
    epb_list_append(&take->peer->takes, &take->of_peer);
}

void
epb_take_add_spare(struct epb_leases *leases, struct epb_grant *grant,
                   struct epb_grant *pending)
{
    struct epb_take *take = pending->spare;

    pending->spare = NULL;
    epb_take_add(leases, grant, take);
}

void
epb_takes_drop(struct epb_leases *leases, struct epb_grant *grant)
{
    while (!epb_list_empty(&grant->takes)) {
        struct epb_take *take =
            EPB_LIST_ITEM(grant->takes.next, struct epb_take, of_grant);

        if (grant->wait != NULL && grant->wait->peer == take->peer) {
            epb_list_remove(&take->of_grant);
            epb_list_remove(&take->of_peer);
            grant->spare = take;
        } else {
            epb_take_free(leases, take);
        }
    }
}
