/* Reasons of refusals, shared by several waits. */
#include "../base/arena.h"
#include "lease_internal.h"

struct epb_bytes
epb_reason_text(const struct epb_reason *reason)
{
    return (struct epb_bytes){reason->text, reason->size_bytes};
}

void
epb_reason_free_unused(struct epb_leases *leases, struct epb_reason *reason)
{
    if (reason->waits == 0) {
        epb_quota_release(leases->quota, leases->arena, reason,
                          sizeof(*reason) + reason->size_bytes);
    }
}

void
epb_reason_let_go(struct epb_leases *leases, struct epb_reason *reason)
{
    reason->waits--;
    epb_reason_free_unused(leases, reason);
}

enum epb_status
epb_reason_new(struct epb_leases *leases, struct epb_bytes text, struct epb_reason **out)
{
    struct epb_reason *reason;
    void *block;
    enum epb_status status = epb_quota_alloc(leases->quota, leases->arena,
                                             sizeof(*reason) + text.size_bytes, &block);

    if (status != EPB_OK) {
        return status;
    }
    reason = block;
    reason->size_bytes = text.size_bytes;
    if (text.size_bytes > 0) {
        memcpy(reason->text, text.data, text.size_bytes);
    }
    *out = reason;
    return EPB_OK;
}

void
epb_reason_set_cycle(struct epb_leases *leases, struct epb_wait *wait,
                     const struct epb_time *now)
{
    struct epb_reason *reason;
    void *block;
    size_t size_bytes = epb_lease_cycle_pack(leases, now, NULL);

    if (epb_quota_alloc(leases->quota, leases->arena, sizeof(*reason) + size_bytes,
                        &block) != EPB_OK) {
        return;
    }
    reason = block;
    reason->size_bytes = size_bytes;
    reason->waits = 1;
    wait->reason = reason;
    (void)epb_lease_cycle_pack(leases, now, reason->text);
}
