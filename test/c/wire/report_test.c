/* Statistics as text. */
#include "wire/report.h"

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "wire_help.h"

static struct epb_options options;

static struct epb_stats
some_stats(uint64_t items, uint64_t max_items, uint64_t bytes, uint64_t max_bytes)
{
    epb_options_default(&options);
    options.max_items = max_items;
    options.max_memory_bytes = max_bytes;
    struct epb_stats stats = {.options = &options, .uptime_ms = 61234, .wall_ms = 5000};
    stats.store = (struct epb_store_stats){.items = items,
                                           .stored_bytes = bytes / 2,
                                           .hits = 5,
                                           .misses = 6,
                                           .expired = 7,
                                           .evicted = 8};
    stats.leases = (struct epb_lease_stats){.grants = 31,
                                            .resources = 32,
                                            .elements = 33,
                                            .granted_total = 34,
                                            .expired_total = 35,
                                            .lost_total = 36};
    stats.waiting = 41;
    stats.watchers = 42;
    stats.throttles = 43;
    stats.used_bytes = bytes;
    stats.table_bytes = 300;
    stats.memory = (struct epb_mem_stats){.used_bytes = 1,
                                          .reserved_bytes = 65536,
                                          .locked_bytes = 4096,
                                          .secret_bytes = 2048,
                                          .lock_failed = true};
    stats.traffic = (struct epb_traffic){3, 9, 1, 2, 1000, 2000};
    stats.requests = 20;
    stats.by_action[EPB_ACTION_GET] = 11;
    stats.by_action[EPB_ACTION_SET] = 9;
    stats.by_status[EPB_OK] = 14;
    stats.by_status[EPB_NOT_FOUND] = 6;
    return stats;
}

static cJSON *
parse(struct epb_buf *buf)
{
    cJSON *json =
        cJSON_ParseWithLength((const char *)epb_buf_data(buf), epb_buf_size(buf));

    cr_assert_not_null(json, "%.*s", (int)epb_buf_size(buf),
                       (const char *)epb_buf_data(buf));
    return json;
}

static double
number_in(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

    cr_assert(cJSON_IsNumber(item), "%s", name);
    return item->valuedouble;
}

Test(report, stats_are_numbers_only)
{
    struct epb_stats stats = some_stats(4, 100, 2222, 10000);
    struct epb_buf buf;

    epb_buf_init(&buf, 1 << 20);
    cr_assert_eq(epb_report_stats(&buf, &stats), EPB_OK);
    cJSON *json = parse(&buf);
    struct {
        const char *name;
        double number;
    } expected[] = {{"items", 4},
                    {"leases", 31},
                    {"waiting", 41},
                    {"watchers", 42},
                    {"throttles", 43},
                    {"poolElements", 33},
                    {"leasesGranted", 34},
                    {"leasesExpired", 35},
                    {"leasesLost", 36},
                    {"memory", 2222},
                    {"tableMemory", 300},
                    {"uptime", 61234},
                    {"maxItems", 100},
                    {"maxMemory", 10000},
                    {"reservedMemory", 65536},
                    {"lockedMemory", 4096},
                    {"secretMemory", 2048},
                    {"mlockFailed", 1},
                    {"connections", 3},
                    {"connectionsTotal", 9},
                    {"connectionsRefused", 1},
                    {"authFailures", 2},
                    {"requests", 20},
                    {"errors", 6},
                    {"hits", 5},
                    {"misses", 6},
                    {"expired", 7},
                    {"evicted", 8},
                    {"bytesIn", 1000},
                    {"bytesOut", 2000},
                    {"draining", 0}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        cr_assert_eq(number_in(json, expected[i].name), expected[i].number, "%s",
                     expected[i].name);
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        cr_assert(cJSON_IsNumber(item), "%s", item->string);
    }
    cJSON_Delete(json);
    epb_buf_fini(&buf);
}

static void
assert_health(struct epb_stats stats, const char *status, double utilization,
              const char *warning)
{
    struct epb_buf buf;

    epb_buf_init(&buf, 1 << 20);
    cr_assert_eq(epb_report_health(&buf, &stats), EPB_OK);
    cJSON *json = parse(&buf);
    cr_assert_str_eq(cJSON_GetObjectItem(json, "status")->valuestring, status);
    cr_assert_float_eq(number_in(json, "utilization"), utilization, 1e-9);
    cr_assert_eq(number_in(json, "timestamp"), 5000);
    cr_assert_eq(cJSON_IsTrue(cJSON_GetObjectItem(json, "draining")), stats.draining);
    const cJSON *capacity = cJSON_GetObjectItem(json, "capacity");
    cr_assert_eq(number_in(capacity, "items"), (double)stats.store.items);
    const cJSON *said = cJSON_GetObjectItem(capacity, "warning");
    if (warning == NULL) {
        cr_assert(cJSON_IsNull(said));
    } else {
        cr_assert_str_eq(said->valuestring, warning);
    }
    cJSON_Delete(json);
    epb_buf_fini(&buf);
}

Test(report, health_warns_at_ninety_percent_and_is_degraded_when_full)
{
    assert_health(some_stats(0, 100, 0, 1000), "healthy", 0, NULL);
    assert_health(some_stats(89, 100, 0, 1000), "healthy", 0.89, NULL);
    assert_health(some_stats(90, 100, 0, 1000), "warning", 0.90, "near_capacity");
    assert_health(some_stats(9999, 10000, 0, 1000), "warning", 0.99, "near_capacity");
    assert_health(some_stats(100, 100, 0, 1000), "degraded", 1, "at_capacity");
    assert_health(some_stats(1, 100, 905, 1000), "warning", 0.90, NULL);
    assert_health(some_stats(1, 100, 1000, 1000), "degraded", 1, NULL);
    assert_health(some_stats(1000, 0, 1000, 0), "healthy", 0, NULL);
}

Test(report, health_is_degraded_while_draining)
{
    struct epb_stats stats = some_stats(1, 100, 1, 1000);

    stats.draining = true;
    assert_health(stats, "degraded", 0.01, NULL);
}

static bool
is_name(const char *text, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (!((text[i] >= 'a' && text[i] <= 'z') || text[i] == '_')) {
            return false;
        }
    }
    return size_bytes > 0;
}

/* Every sample must follow the HELP and TYPE of its own name. */
static void
check_metrics_line(const char *line, size_t line_bytes, char *declared,
                   size_t declared_bytes)
{
    char name[100];
    char type[20];

    if (strncmp(line, "# HELP ", 7) == 0) {
        cr_assert_eq(sscanf(line, "# HELP %99s", name), 1);
        cr_assert_gt(line_bytes, 8 + strlen(name), "a sentence must follow: %s", name);
        snprintf(declared, declared_bytes, "%s", name);
    } else if (strncmp(line, "# TYPE ", 7) == 0) {
        cr_assert_eq(sscanf(line, "# TYPE %99s %19s", name, type), 2);
        cr_assert_str_eq(name, declared);
        bool counter = strcmp(type, "counter") == 0;
        cr_assert(counter || strcmp(type, "gauge") == 0);
        bool total = strcmp(name + strlen(name) - 6, "_total") == 0;
        cr_assert_eq(counter, total, "counters end in _total: %s", name);
    } else {
        size_t name_bytes = strcspn(line, "{ ");
        cr_assert(is_name(line, name_bytes), "%s", line);
        cr_assert_eq(strlen(declared), name_bytes);
        cr_assert_eq(memcmp(line, declared, name_bytes), 0);
        cr_assert_eq(strncmp(line, "ephemeral_broker_", 17), 0);
        const char *number = memchr(line, ' ', line_bytes);
        cr_assert_not_null(number);
        char *end;
        (void)strtod(number + 1, &end);
        cr_assert_eq(end, line + line_bytes, "a number ends the line");
    }
}

Test(report, metrics_are_well_formed_and_declared)
{
    struct epb_stats stats = some_stats(4, 100, 2222, 10000);
    struct epb_buf buf;

    epb_buf_init(&buf, 1 << 20);
    cr_assert_eq(epb_report_metrics(&buf, &stats), EPB_OK);
    cr_assert_eq(epb_buf_data(&buf)[epb_buf_size(&buf) - 1], '\n');
    cr_assert_eq(epb_buf_append(&buf, "", 1), EPB_OK);
    const char *text = (const char *)epb_buf_data(&buf);
    char declared[100] = "";
    for (const char *line = text; *line != '\0';) {
        size_t line_bytes = strcspn(line, "\n");
        check_metrics_line(line, line_bytes, declared, sizeof(declared));
        line += line_bytes + 1;
    }
    const char *expected[] = {
        "\nephemeral_broker_requests_total{action=\"get\"} 11\n",
        "\nephemeral_broker_requests_total{action=\"metrics\"} 0\n",
        "\nephemeral_broker_replies_total{status=\"ok\"} 14\n",
        "\nephemeral_broker_replies_total{status=\"not_found\"} 6\n",
        "\nephemeral_broker_uptime_seconds 61.234\n",
        "\nephemeral_broker_stored_bytes 2222\n",
        "\nephemeral_broker_items 4\n",
        "\nephemeral_broker_leases 31\n",
        "\nephemeral_broker_pool_elements 33\n",
        "\nephemeral_broker_waiting_requests 41\n",
        "\nephemeral_broker_watchers 42\n",
        "\nephemeral_broker_throttled_keys 43\n",
        "\nephemeral_broker_table_bytes 300\n",
        "\nephemeral_broker_leases_granted_total 34\n",
        "\nephemeral_broker_leases_expired_total 35\n",
        "\nephemeral_broker_leases_lost_total 36\n",
        "\nephemeral_broker_auth_failures_total 2\n"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        cr_assert_not_null(strstr(text, expected[i]), "%s", expected[i]);
    }
    epb_buf_fini(&buf);
}

Test(report, no_room_leaves_the_buffer_as_it_was)
{
    struct epb_stats stats = some_stats(4, 100, 2222, 10000);
    struct epb_buf buf;

    epb_buf_init(&buf, 100);
    put(&buf, LITERAL("before"));
    cr_assert_eq(epb_report_stats(&buf, &stats), EPB_TOO_LARGE);
    cr_assert_eq(epb_report_health(&buf, &stats), EPB_TOO_LARGE);
    cr_assert_eq(epb_report_metrics(&buf, &stats), EPB_TOO_LARGE);
    cr_assert(bytes_equal(bytes_of(&buf), LITERAL("before")));
    epb_buf_fini(&buf);
}
