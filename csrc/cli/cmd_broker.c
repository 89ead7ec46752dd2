/* ping, stats, health, metrics: about the broker. */
#include <inttypes.h>
#include <string.h>

#include "../base/sys.h"
#include "commands.h"
#include "dialog.h"
#include "print.h"
#include "show.h"
#include "values.h"

/* ping */

static int
print_pong(struct epb_cli *cli, uint64_t ns)
{
    struct epb_buf out;
    bool json = epb_cli_flag(cli, EPB_OPTION_FLAG_JSON);
    double ms = (double)ns / 1e6;

    epb_buf_init(&out, 128);
    return epb_print_finish(
        cli, &out,
        json ? epb_buf_printf(&out, "{\"pong\":true,\"ms\":%.6g}\n", ms)
             : epb_buf_printf(&out, "pong %.2f ms\n", ms));
}

/* The first ping pays for the connection; the second measures. */
int
epb_run_ping(struct epb_cli *cli)
{
    const struct epb_request request = {.action = EPB_ACTION_PING};
    struct epb_dialog dialog;
    struct epb_reply reply;
    uint64_t since_ns = 0;
    int status = epb_dialog_open(&dialog, cli, NULL);

    if (status == 0) {
        status = epb_dialog_ask(&dialog, &request, NULL, &reply);
    }
    if (status == 0) {
        since_ns = epb_sys_ticks_ns();
        status = epb_dialog_ask(&dialog, &request, NULL, &reply);
    }
    uint64_t took_ns = epb_sys_ticks_ns() - since_ns;
    epb_dialog_close(&dialog);
    return status == 0 ? print_pong(cli, took_ns) : status;
}

/* stats and health, which are JSON objects of the broker */

static uint64_t
number_of(struct epb_bytes text)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            break;
        }
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number;
}

/* Whether the name contains the word, but for case. */
static bool
contains(struct epb_bytes name, const char *word)
{
    size_t size_bytes = strlen(word);

    for (size_t at = 0; at + size_bytes <= name.size_bytes; at++) {
        size_t same = 0;
        while (same < size_bytes && (name.data[at + same] | 0x20) == word[same]) {
            same++;
        }
        if (same == size_bytes) {
            return true;
        }
    }
    return false;
}

/* Writes a value in the unit that the name of its member tells. */
static void
put_statistic(struct epb_text *text, struct epb_bytes name,
              const struct epb_json_span *value)
{
    if (value->kind != EPB_JSON_NUMBER || value->text.data[0] == '-' ||
        memchr(value->text.data, '.', value->text.size_bytes) != NULL) {
        epb_text_put_bytes(text, value->text);
    } else if (name.size_bytes == 6 && memcmp(name.data, "uptime", 6) == 0) {
        epb_show_duration(text, number_of(value->text));
    } else if (contains(name, "memory") || contains(name, "bytes")) {
        epb_show_size(text, number_of(value->text));
    } else {
        epb_show_grouped(text, number_of(value->text));
    }
}

static enum epb_status
write_statistics(struct epb_buf *out, struct epb_bytes object)
{
    struct epb_json_scan scan = epb_json_scan(object);
    struct epb_json_span value;
    struct epb_bytes name;
    struct epb_buf cells;

    epb_buf_init(&cells, EPB_PRINT_MAX_BYTES);
    struct epb_text text = epb_text_begin(&cells);
    if (!epb_members_begin(&scan)) {
        epb_text_note(&text, EPB_VERSION_MISMATCH);
    }
    while (text.status == EPB_OK && epb_members_next(&scan, &name, &value)) {
        epb_text_put_bytes(&text, name);
        epb_grid_next(&text);
        put_statistic(&text, name, &value);
        epb_grid_next(&text);
    }
    enum epb_status status = epb_text_end(&text);
    if (status == EPB_OK) {
        struct epb_grid grid = {&cells, 2, 2};
        status = epb_grid_write(out, &grid);
    }
    epb_buf_fini(&cells);
    return status;
}

static enum epb_status
write_json(struct epb_buf *out, struct epb_bytes json)
{
    enum epb_status status = epb_value_compact(out, json);

    if (status == EPB_INVALID_JSON) {
        return EPB_VERSION_MISMATCH;
    }
    return status == EPB_OK ? epb_buf_append(out, "\n", 1) : status;
}

static int
print_stats(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    return epb_print_finish(cli, &out,
                            epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)
                                ? write_json(&out, reply->body)
                                : write_statistics(&out, reply->body));
}

int
epb_run_stats(struct epb_cli *cli)
{
    const struct epb_request request = {.action = EPB_ACTION_STATS};

    return epb_dialog_run(cli, &request, NULL, print_stats);
}

/* A string's inside, as it is in JSON. */
static struct epb_bytes
inside(struct epb_bytes text)
{
    return text.size_bytes < 2 ? (struct epb_bytes){NULL, 0}
                               : (struct epb_bytes){text.data + 1, text.size_bytes - 2};
}

static enum epb_status
write_health(struct epb_buf *out, struct epb_bytes report)
{
    struct epb_text text = epb_text_begin(out);

    epb_text_put_bytes(&text, inside(epb_members_find(report, "status")));
    epb_text_put(&text, ": ");
    epb_text_put_bytes(&text, epb_members_find(report, "items"));
    epb_text_put(&text, " items, ");
    epb_show_size(&text, number_of(epb_members_find(report, "memory")));
    epb_text_put(&text, "\n");
    return epb_text_end(&text);
}

static int
print_health(struct epb_cli *cli, const struct epb_reply *reply)
{
    static const char healthy[] = "healthy";
    struct epb_bytes state = inside(epb_members_find(reply->body, "status"));
    struct epb_buf out;

    bool is_healthy = state.size_bytes == sizeof(healthy) - 1 &&
                      memcmp(state.data, healthy, state.size_bytes) == 0;
    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    int status = epb_print_finish(cli, &out,
                                  epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)
                                      ? write_json(&out, reply->body)
                                      : write_health(&out, reply->body));
    return status == 0 && !is_healthy ? EPB_EXIT_REFUSED : status;
}

int
epb_run_health(struct epb_cli *cli)
{
    const struct epb_request request = {.action = EPB_ACTION_HEALTH};

    return epb_dialog_run(cli, &request, NULL, print_health);
}

static int
print_metrics(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    struct epb_text text = epb_text_begin(&out);
    if (epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        epb_text_put(&text, "{\"metrics\":");
        epb_text_put_json_string(&text, reply->body);
        epb_text_put(&text, "}\n");
    } else {
        epb_text_put_bytes(&text, reply->body);
    }
    return epb_print_finish(cli, &out, epb_text_end(&text));
}

int
epb_run_metrics(struct epb_cli *cli)
{
    const struct epb_request request = {.action = EPB_ACTION_METRICS};

    return epb_dialog_run(cli, &request, NULL, print_metrics);
}
