/* See options.h. */
#include "options.h"

void
epb_options_default(struct epb_options *options)
{
    *options = (struct epb_options){
        .max_request_bytes = UINT64_C(1024) * 1024,
        .max_value_bytes = UINT64_C(256) * 1024,
        .max_items = 10000,
        .max_memory_bytes = UINT64_C(256) * 1024 * 1024,
        .max_connections = 1024,
        .max_waiters = 10000,
        .default_ttl_ms = UINT64_C(30) * 60 * 1000,
        .sweeper_interval_ms = 30000,
        .require_ttl = true,
    };
}
