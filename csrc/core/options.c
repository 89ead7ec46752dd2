/* See options.h. */
#include "options.h"

#include "../options/option.h"

void
epb_options_default(struct epb_options *options)
{
    *options = (struct epb_options){
        .max_request_bytes = EPB_FALLBACK_BROKER_MAX_REQUEST_SIZE,
        .max_value_bytes = EPB_FALLBACK_BROKER_MAX_VALUE_SIZE,
        .max_items = EPB_FALLBACK_BROKER_MAX_ITEMS,
        .max_memory_bytes = EPB_FALLBACK_BROKER_MAX_MEMORY,
        .max_connections = EPB_FALLBACK_BROKER_MAX_CONNECTIONS,
        .max_waiters = EPB_FALLBACK_BROKER_MAX_WAITERS,
        .default_ttl_ms = EPB_FALLBACK_BROKER_DEFAULT_TTL,
        .sweeper_interval_ms = EPB_FALLBACK_BROKER_SWEEPER_INTERVAL,
        .require_ttl = EPB_FALLBACK_BROKER_REQUIRE_TTL != 0,
    };
}
