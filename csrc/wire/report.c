/* See report.h. Decimals are made of integers, because the C library's decimal point
 * depends on the locale. */
#include "report.h"

#include <inttypes.h>

#include "../core/command.h"
#include "text.h"

/* How full the broker is, by the fuller of its two limits. */
struct fullness {
    unsigned percent; /* rounded down, so that 100 means full */
    unsigned items_percent;
};

static unsigned
percent_of(uint64_t used, uint64_t limit)
{
    if (limit == 0) {
        return 0;
    }
    if (used >= limit) {
        return 100;
    }
    return (unsigned)((double)used * 100.0 / (double)limit);
}

static struct fullness
fullness_of(const struct epb_stats *stats)
{
    unsigned items = percent_of(stats->store.items, stats->options->max_items);
    unsigned memory = percent_of(stats->used_bytes, stats->options->max_memory_bytes);

    return (struct fullness){.percent = items > memory ? items : memory,
                             .items_percent = items};
}

static uint64_t
errors_of(const struct epb_stats *stats)
{
    uint64_t errors = 0;

    for (unsigned i = 0; i < EPB_STATUS_SLOTS; i++) {
        if (i != EPB_OK) {
            errors += stats->by_status[i];
        }
    }
    return errors;
}

struct field {
    const char *name;
    uint64_t number;
};

static void
put_fields(struct epb_text *text, const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        epb_text_put(text, i == 0 ? "\"" : ",\"");
        epb_text_put(text, fields[i].name);
        epb_text_put(text, "\":");
        epb_text_put_number(text, fields[i].number);
    }
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum epb_status
epb_report_stats(struct epb_buf *out, const struct epb_stats *stats)
{
    const struct field fields[] = {
        {"items", stats->store.items},
        {"leases", stats->leases.grants},
        {"waiting", stats->waiting},
        {"watchers", stats->watchers},
        {"memory", stats->used_bytes},
        {"uptime", stats->uptime_ms},
        {"maxItems", stats->options->max_items},
        {"maxMemory", stats->options->max_memory_bytes},
        {"reservedMemory", stats->memory.reserved_bytes},
        {"tableMemory", stats->table_bytes},
        {"lockedMemory", stats->memory.locked_bytes},
        {"secretMemory", stats->memory.secret_bytes},
        {"mlockFailed", stats->memory.lock_failed},
        {"connections", stats->traffic.connections},
        {"connectionsTotal", stats->traffic.connections_total},
        {"connectionsRefused", stats->traffic.connections_refused},
        {"authFailures", stats->traffic.auth_failures},
        {"requests", stats->requests},
        {"errors", errors_of(stats)},
        {"hits", stats->store.hits},
        {"misses", stats->store.misses},
        {"expired", stats->store.expired},
        {"evicted", stats->store.evicted},
        {"poolElements", stats->leases.elements},
        {"leasesGranted", stats->leases.granted_total},
        {"leasesExpired", stats->leases.expired_total},
        {"leasesLost", stats->leases.lost_total},
        {"throttles", stats->throttles},
        {"bytesIn", stats->traffic.bytes_in},
        {"bytesOut", stats->traffic.bytes_out},
        {"draining", stats->draining},
    };
    struct epb_text text = epb_text_begin(out);

    epb_text_put(&text, "{");
    put_fields(&text, fields, COUNT_OF(fields));
    epb_text_put(&text, "}");
    return epb_text_end(&text);
}

static const char *
truth(bool condition)
{
    return condition ? "true" : "false";
}

static void
put_ratio(struct epb_text *text, const char *before, unsigned percent)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status =
        epb_buf_printf(text->out, "%s%u.%02u", before, percent / 100U, percent % 100U);
}

/* The members that clients of the reference implementation know, which count items. */
static void
put_capacity(struct epb_text *text, const struct epb_stats *stats, unsigned percent)
{
    const struct field fields[] = {{"items", stats->store.items},
                                   {"maxItems", stats->options->max_items}};
    const char *warning = "null";

    if (percent >= 90) {
        warning = percent >= 100 ? "\"at_capacity\"" : "\"near_capacity\"";
    }
    epb_text_put(text, ",\"capacity\":{");
    put_fields(text, fields, COUNT_OF(fields));
    put_ratio(text, ",\"utilization\":", percent);
    epb_text_put(text, ",\"nearCapacity\":");
    epb_text_put(text, truth(percent >= 90));
    epb_text_put(text, ",\"atCapacity\":");
    epb_text_put(text, truth(percent >= 100));
    epb_text_put(text, ",\"warning\":");
    epb_text_put(text, warning);
    epb_text_put(text, "}");
}

enum epb_status
epb_report_health(struct epb_buf *out, const struct epb_stats *stats)
{
    struct fullness fullness = fullness_of(stats);
    const char *verdict = "healthy";

    if (fullness.percent >= 90) {
        verdict = "warning";
    }
    if (fullness.percent >= 100 || stats->draining) {
        verdict = "degraded";
    }
    const struct field fields[] = {
        {"uptime", stats->uptime_ms},  {"timestamp", stats->wall_ms},
        {"items", stats->store.items}, {"maxItems", stats->options->max_items},
        {"memory", stats->used_bytes}, {"maxMemory", stats->options->max_memory_bytes},
    };
    struct epb_text text = epb_text_begin(out);
    epb_text_put(&text, "{\"status\":\"");
    epb_text_put(&text, verdict);
    epb_text_put(&text, "\",");
    put_fields(&text, fields, COUNT_OF(fields));
    put_ratio(&text, ",\"utilization\":", fullness.percent);
    epb_text_put(&text, ",\"draining\":");
    epb_text_put(&text, truth(stats->draining));
    put_capacity(&text, stats, fullness.items_percent);
    epb_text_put(&text, ",\"connections\":{");
    /* The engine runs one request at a time: the request in flight is this one. */
    const struct field connections[] = {{"open", stats->traffic.connections},
                                        {"inFlight", 1}};
    put_fields(&text, connections, COUNT_OF(connections));
    epb_text_put(&text, ",\"draining\":");
    epb_text_put(&text, truth(stats->draining));
    epb_text_put(&text, "}}");
    return epb_text_end(&text);
}

struct metric {
    const char *name; /* without the common prefix */
    const char *type;
    const char *help;
    uint64_t number;
};

#define PREFIX "ephemeral_broker_"

static void
put_head(struct epb_text *text, const char *name, const char *type, const char *help)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out,
                                  "# HELP " PREFIX "%s %s\n"
                                  "# TYPE " PREFIX "%s %s\n",
                                  name, help, name, type);
}

static void
put_metric(struct epb_text *text, const struct metric *metric)
{
    put_head(text, metric->name, metric->type, metric->help);
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out, PREFIX "%s %" PRIu64 "\n", metric->name,
                                  metric->number);
}

static void
put_labelled(struct epb_text *text, const char *name, const char *label,
             const char *value, uint64_t number)
{
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out, PREFIX "%s{%s=\"%s\"} %" PRIu64 "\n", name,
                                  label, value, number);
}

static void
put_uptime(struct epb_text *text, uint64_t uptime_ms)
{
    put_head(text, "uptime_seconds", "gauge", "Time since the broker started.");
    if (text->status != EPB_OK) {
        return;
    }
    text->status = epb_buf_printf(text->out, PREFIX "uptime_seconds %" PRIu64 ".%03u\n",
                                  uptime_ms / 1000U, (unsigned)(uptime_ms % 1000U));
}

static void
put_gauges(struct epb_text *text, const struct epb_stats *stats)
{
    const struct metric metrics[] = {
        {"items", "gauge", "Items stored now.", stats->store.items},
        {"max_items", "gauge", "Items that may be stored; 0 means no limit.",
         stats->options->max_items},
        {"leases", "gauge", "Leases held now.", stats->leases.grants},
        {"pool_elements", "gauge", "Elements of pools now.", stats->leases.elements},
        {"waiting_requests", "gauge", "Requests that wait now.", stats->waiting},
        {"watchers", "gauge", "Watches now.", stats->watchers},
        {"throttled_keys", "gauge", "Rate limits that are in use now.", stats->throttles},
        {"stored_bytes", "gauge", "Memory of items, leases and waiting requests.",
         stats->used_bytes},
        {"max_stored_bytes", "gauge", "Memory they may take; 0 means no limit.",
         stats->options->max_memory_bytes},
        {"table_bytes", "gauge", "Memory of the tables that find them.",
         stats->table_bytes},
        {"reserved_bytes", "gauge", "Memory taken from the system for all of that.",
         stats->memory.reserved_bytes},
        {"locked_bytes", "gauge", "Of the reserved memory, what can't be swapped out.",
         stats->memory.locked_bytes},
        {"secret_bytes", "gauge", "Of the locked memory, what no other process can read.",
         stats->memory.secret_bytes},
        {"lock_failed", "gauge", "1 when some memory could not be locked.",
         stats->memory.lock_failed},
        {"connections", "gauge", "Connections open now.", stats->traffic.connections},
        {"draining", "gauge", "1 while the broker shuts down.", stats->draining},
    };

    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        put_metric(text, &metrics[i]);
    }
}

static void
put_counters(struct epb_text *text, const struct epb_stats *stats)
{
    const struct metric metrics[] = {
        {"hits_total", "counter", "Reads that found a value.", stats->store.hits},
        {"misses_total", "counter", "Reads that found none.", stats->store.misses},
        {"expired_total", "counter", "Items removed at the end of their TTL.",
         stats->store.expired},
        {"evicted_total", "counter", "Items removed to make room.", stats->store.evicted},
        {"leases_granted_total", "counter", "Leases granted.",
         stats->leases.granted_total},
        {"leases_expired_total", "counter", "Leases that ended by their TTL.",
         stats->leases.expired_total},
        {"leases_lost_total", "counter",
         "Leases that ended with their session, or by force.", stats->leases.lost_total},
        {"connections_opened_total", "counter", "Connections accepted.",
         stats->traffic.connections_total},
        {"connections_refused_total", "counter", "Connections refused.",
         stats->traffic.connections_refused},
        {"auth_failures_total", "counter", "Proofs of the secret that did not hold.",
         stats->traffic.auth_failures},
        {"received_bytes_total", "counter", "Bytes read from clients.",
         stats->traffic.bytes_in},
        {"sent_bytes_total", "counter", "Bytes written to clients.",
         stats->traffic.bytes_out},
    };

    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        put_metric(text, &metrics[i]);
    }
}

enum epb_status
epb_report_metrics(struct epb_buf *out, const struct epb_stats *stats)
{
    struct epb_text text = epb_text_begin(out);

    put_uptime(&text, stats->uptime_ms);
    put_gauges(&text, stats);
    put_counters(&text, stats);
    put_head(&text, "requests_total", "counter", "Requests by action.");
    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);
        put_labelled(&text, "requests_total", "action", command->name,
                     stats->by_action[command->action]);
    }
    put_head(&text, "replies_total", "counter", "Replies by status.");
    for (unsigned i = 0; i < epb_status_count(); i++) {
        put_labelled(&text, "replies_total", "status",
                     epb_status_name((enum epb_status)i), stats->by_status[i]);
    }
    return epb_text_end(&text);
}
