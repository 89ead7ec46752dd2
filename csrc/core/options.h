/* Limits and choices of a broker. Sizes in bytes, times in milliseconds; 0 means no limit
 * where documented. The table is options/options.def. */
#ifndef EPB_CORE_OPTIONS_H
#define EPB_CORE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct epb_options {
    uint64_t max_request_bytes; /* a frame's payload, or a line */
    uint64_t max_value_bytes;   /* also when unpacked; 0: only the request's limit */
    uint64_t max_items;         /* 0: no limit */
    uint64_t max_memory_bytes;  /* 0: no limit */
    uint64_t max_connections;   /* 0: only the system's limit */
    uint64_t max_waiters;       /* 0: no limit */
    uint64_t default_ttl_ms;    /* for writes without a TTL, when require_ttl is off */
    uint64_t sweeper_interval_ms;
    bool require_ttl;
    bool evict_lru;
    bool refresh_ttl_on_get;
    bool require_mlock;
    bool single_lease; /* a worker can hold leases of one key only */
};

/* The documented defaults. */
void
epb_options_default(struct epb_options *options);

#endif
