/*
 * Keys whose value expired or was evicted, for those who ask too late: which of the two,
 * when, and what TTL it had. The latest EPB_GONE_MAX are kept, the names alone, in the
 * arena; what leaves is wiped. A key that was deleted or cleared is not remembered, not
 * even an earlier loss of it.
 *
 * A key is remembered once, by its latest loss. One that got a value again stays: a
 * request that finds a value does not ask. A key that there is no memory for is not
 * remembered.
 */
#ifndef EPB_CORE_GONE_H
#define EPB_CORE_GONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"
#include "../base/bytes.h"
#include "msg.h"

#define EPB_GONE_MAX 1000U

struct epb_gone;

struct epb_gone_view {
    enum epb_event_kind kind; /* EPB_EVENT_EXPIRE or EPB_EVENT_EVICT */
    uint64_t ago_ms;
    uint64_t ttl_ms; /* that it was written with; EPB_NUMBER_MAX: as long as the broker */
};

/* Borrows the arena. NULL when memory is out. */
struct epb_gone *
epb_gone_new(struct epb_arena *arena);
/* NULL is allowed. */
void
epb_gone_free(struct epb_gone *gone);
void
epb_gone_put(struct epb_gone *gone, struct epb_bytes key, enum epb_event_kind kind,
             uint64_t at_boot_ms, uint64_t ttl_ms);
void
epb_gone_forget(struct epb_gone *gone, struct epb_bytes key);
/* Forgets the keys with this prefix; how many it looked at. */
size_t
epb_gone_clear(struct epb_gone *gone, struct epb_bytes prefix);
bool
epb_gone_find(const struct epb_gone *gone, struct epb_bytes key, uint64_t now_boot_ms,
              struct epb_gone_view *view);
/* Bytes of the table; the names are in the arena. */
size_t
epb_gone_bytes(const struct epb_gone *gone);

#endif
