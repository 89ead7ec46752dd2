/* What a broker counts and reports. */
#ifndef EPB_CORE_STATS_H
#define EPB_CORE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/arena.h"
#include "lease.h"
#include "options.h"
#include "store.h"

/* Highest action number + 1, highest status number + 1: sizes of the counting tables. */
#define EPB_ACTION_SLOTS 64U
#define EPB_STATUS_SLOTS 64U

/* What the I/O side counts; the engine reports it with the rest. */
struct epb_traffic {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t connections_refused;
    uint64_t auth_failures;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

/* Everything that stats, health and metrics report. Times in ms, sizes in bytes. */
struct epb_stats {
    const struct epb_options *options;
    struct epb_store_stats store;
    struct epb_lease_stats leases;
    uint64_t waiting;     /* requests without a reply yet */
    uint64_t watchers;    /* live now */
    uint64_t throttles;   /* keys with a limit in use */
    uint64_t used_bytes;  /* memory that maxMemory counts, of all parts */
    uint64_t table_bytes; /* memory it doesn't count: maps and heaps, of all parts */
    /* The engine's own arena; lock_failed covers the process-wide one, too. */
    struct epb_mem_stats memory;
    struct epb_traffic traffic;
    uint64_t uptime_ms;
    uint64_t wall_ms;
    uint64_t requests;                    /* all requests */
    uint64_t by_action[EPB_ACTION_SLOTS]; /* known actions */
    uint64_t by_status[EPB_STATUS_SLOTS]; /* replies, including EPB_OK */
    bool draining;
};

#endif
