/*
 * Keys whose value expired or was evicted: which of the two, when, and the TTL it had,
 * for requests that come too late. The latest EPB_GONE_MAX names are kept, in the arena,
 * and wiped when they leave. A key that was deleted or cleared is forgotten, including an
 * earlier loss of its value.
 *
 * Each key is remembered once, with its latest loss. A key that gets a value again stays,
 * because a request that finds the value doesn't look here. When out of memory, a key is
 * not remembered.
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
    uint64_t ttl_ms; /* that it was written with; EPB_NUMBER_MAX: the broker's lifetime */
};

/* Borrows the arena. Returns NULL when out of memory. */
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
/* Forgets the keys with this prefix. Returns the number of keys it visited. */
size_t
epb_gone_clear(struct epb_gone *gone, struct epb_bytes prefix);
bool
epb_gone_find(const struct epb_gone *gone, struct epb_bytes key, uint64_t now_boot_ms,
              struct epb_gone_view *view);
/* Bytes of the table. The names are in the arena. */
size_t
epb_gone_bytes(const struct epb_gone *gone);

#endif
