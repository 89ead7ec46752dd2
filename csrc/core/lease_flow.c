/* The names of a flow: grants that it doesn't release before its request has the reply.
 * See lease_deadlock.c. */
#include "../base/arena.h"
#include "lease_internal.h"

enum epb_status
epb_flow_check(struct epb_bytes tokens)
{
    if (tokens.size_bytes % sizeof(uint64_t) != 0) {
        return EPB_INVALID_VALUE;
    }
    return tokens.size_bytes / sizeof(uint64_t) > EPB_FLOW_MAX ? EPB_TOO_LARGE : EPB_OK;
}

static size_t
flow_bytes(size_t room)
{
    return sizeof(struct epb_flow) + room * sizeof(struct epb_flow_link);
}

static void
link_to(struct epb_flow_link *link, struct epb_grant *pending, struct epb_grant *grant)
{
    link->pending = pending;
    link->grant = grant;
    if (epb_list_empty(&grant->named_by)) {
        epb_list_append(&grant->holding->resource->named, &grant->of_named);
    }
    epb_list_append(&grant->named_by, &link->of_grant);
}

static void
unlink(struct epb_flow_link *link)
{
    if (epb_list_empty(&link->of_grant)) {
        return;
    }
    epb_list_remove(&link->of_grant);
    if (epb_list_empty(&link->grant->named_by)) {
        epb_list_remove(&link->grant->of_named);
    }
}

enum epb_status
epb_flow_set(struct epb_leases *leases, struct epb_grant *pending,
             struct epb_bytes tokens, const struct epb_time *now)
{
    size_t room = tokens.size_bytes / sizeof(uint64_t);
    struct epb_flow *flow;
    void *block;
    enum epb_status status;

    if (room == 0) {
        return EPB_OK;
    }
    status = epb_quota_alloc(leases->quota, leases->arena, flow_bytes(room), &block);
    if (status != EPB_OK) {
        return status;
    }
    flow = block;
    flow->room = room;
    for (size_t i = 0; i < room; i++) {
        uint64_t token = epb_get_u64(tokens.data + i * sizeof(token));
        struct epb_grant *grant = epb_lease_find(leases, token, now);

        if (grant != NULL) {
            link_to(&flow->links[flow->count++], pending, grant);
        }
    }
    pending->flow = flow;
    return EPB_OK;
}

void
epb_flow_drop(struct epb_leases *leases, struct epb_grant *pending)
{
    struct epb_flow *flow = pending->flow;

    if (flow == NULL) {
        return;
    }
    for (size_t i = 0; i < flow->count; i++) {
        unlink(&flow->links[i]);
    }
    epb_quota_release(leases->quota, leases->arena, flow, flow_bytes(flow->room));
    pending->flow = NULL;
}

void
epb_flow_forget(struct epb_grant *grant)
{
    while (!epb_list_empty(&grant->named_by)) {
        unlink(EPB_LIST_ITEM(grant->named_by.next, struct epb_flow_link, of_grant));
    }
}
