/*
 * lease, renew, release, leases: what workers hold.
 *
 * The connection of a command ends with it, so a lease from `lease` is held by the
 * worker's name alone: until `release`, or until its TTL is over.
 */
#include <string.h>
#include <time.h>

#include "../base/sys.h"
#include "../client/packed.h"
#include "commands.h"
#include "dialog.h"
#include "holders.h"
#include "print.h"
#include "show.h"
#include "values.h"

#define NAME_IT "name the worker: --worker NAME, or WORKER_ID in the environment"

static const struct epb_hint LEASE_HINTS[] = {
    {EPB_LEASE_HELD,
     "Nothing of it is free. --wait TIME waits in line; epb leases tells of all"},
    {EPB_WAIT_TIMEOUT, "Nothing of it became free in time; epb leases tells of all"},
    {EPB_OK, NULL},
};

static const struct epb_hint RELEASE_HINTS[] = {
    {EPB_LEASE_HELD,
     "a running process holds it in the name of this worker: it ends with "
     "that, or by --force"},
    {EPB_OK, NULL},
};

/* Sets the worker. Without a name, the process id would be another one next time. */
static int
put_worker(const struct epb_cli *cli, struct epb_request *request)
{
    const char *worker = epb_dialog_worker(cli, EPB_OPTION_FLAG_WORKER);

    if (worker == NULL) {
        return epb_cli_wrong_use(cli, NAME_IT);
    }
    request->worker = (struct epb_bytes){(const uint8_t *)worker, strlen(worker)};
    return 0;
}

static void
put_time(struct epb_request *request, const struct epb_cli *cli, enum epb_option_id id)
{
    if (epb_cli_is_given(cli, id)) {
        request->ttl_ms = epb_cli_number(cli, id);
        request->flags |= EPB_F_TTL;
    }
}

/* lease */

/* "HH:MM:SS" of the local clock. */
static bool
put_clock(struct epb_text *text, uint64_t in_ms)
{
    struct epb_time now;
    char clock[16];

    epb_sys_now(&now);
    time_t end = (time_t)((now.wall_ms + in_ms) / 1000);
    const struct tm *local = localtime(&end);
    if (local == NULL || strftime(clock, sizeof(clock), "%H:%M:%S", local) == 0) {
        return false;
    }
    epb_text_put(text, clock);
    return true;
}

/* Says when the lease ends, unless the user has chosen it. */
static void
say_end(struct epb_cli *cli)
{
    struct epb_buf said;

    if (epb_cli_is_given(cli, EPB_OPTION_FLAG_LEASE_TTL)) {
        return;
    }
    epb_buf_init(&said, 4096);
    struct epb_text text = epb_text_begin(&said);
    epb_text_put(&text, "lease ");
    epb_show_key(&text, epb_dialog_word(cli, 0));
    epb_text_put(&text, ": it ends at ");
    bool is_known = put_clock(&text, EPB_LEASE_TTL_DETACHED_MS);
    epb_text_put(&text, ", in ");
    epb_show_duration(&text, EPB_LEASE_TTL_DETACHED_MS);
    epb_text_put(&text, "; epb renew extends it, --ttl TIME sets another time");
    if (epb_text_end(&text) == EPB_OK && is_known) {
        epb_cli_complain_buf(&said);
    }
    epb_buf_fini(&said);
}

static int
print_lease(struct epb_cli *cli, const struct epb_reply *reply)
{
    int status = (reply->flags & EPB_F_COUNT) != 0 ? epb_print_number(cli, reply->count)
                                                   : epb_print_value(cli, reply);

    say_end(cli);
    return status;
}

int
epb_run_lease(struct epb_cli *cli)
{
    bool has_pid = epb_cli_is_given(cli, EPB_OPTION_FLAG_LEASE_PID);

    if (cli->args.command != NULL) {
        return has_pid ? epb_cli_wrong_use(cli, "--pid is for a lease without a command")
                       : epb_run_lease_command(cli);
    }
    if (cli->args.word_count > 1) {
        return epb_cli_wrong_use(cli, "too many words; several keys need a command: "
                                      "lease KEY ... -- command");
    }
    if (has_pid) {
        return epb_run_lease_for(cli);
    }
    struct epb_request request = {
        .action = EPB_ACTION_LEASE,
        .flags = EPB_F_TTL | EPB_F_WAIT | EPB_F_DETACHED,
        .ttl_ms = EPB_LEASE_TTL_DETACHED_MS,
        .wait_ms = epb_cli_number(cli, EPB_OPTION_FLAG_WAIT),
        .key = epb_dialog_word(cli, 0),
    };
    int status = put_worker(cli, &request);

    put_time(&request, cli, EPB_OPTION_FLAG_LEASE_TTL);
    return status == 0 ? epb_dialog_run(cli, &request, LEASE_HINTS, print_lease) : status;
}

/* renew */

static enum epb_status
write_losses(struct epb_buf *out, const struct epb_reply *reply, bool json)
{
    struct epb_text text = epb_text_begin(out);
    struct epb_bytes rest = reply->body;
    struct epb_packed_loss loss;

    epb_text_put(&text, json ? "{\"renewed\":" : "renewed ");
    epb_text_put_signed(&text, reply->count);
    epb_text_put(&text, json ? ",\"lost\":[" : "\n");
    for (bool first = true; rest.size_bytes > 0; first = false) {
        if (!epb_packed_loss(&rest, &loss)) {
            return EPB_VERSION_MISMATCH;
        }
        if (json) {
            epb_text_put(&text, first ? "{\"key\":" : ",{\"key\":");
            epb_text_put_json_string(&text, loss.key);
            epb_text_put(&text, ",\"token\":");
            epb_text_put_number(&text, loss.token);
            epb_text_put(&text, "}");
        } else {
            epb_text_put(&text, "lost ");
            epb_show_name(&text, loss.key);
            epb_text_put(&text, "\n");
        }
    }
    epb_text_put(&text, json ? "]}\n" : "");
    return epb_text_end(&text);
}

static int
print_renewal(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;
    bool json = epb_cli_flag(cli, EPB_OPTION_FLAG_JSON);
    bool all = reply->count > 0 && reply->body.size_bytes == 0;

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    int status = epb_print_finish(cli, &out, write_losses(&out, reply, json));
    return status == 0 && !all ? EPB_EXIT_REFUSED : status;
}

int
epb_run_renew(struct epb_cli *cli)
{
    struct epb_request request = {.action = EPB_ACTION_RENEW,
                                  .flags = EPB_F_DETACHED,
                                  .key = epb_dialog_word(cli, 0)};
    int status = put_worker(cli, &request);

    put_time(&request, cli, EPB_OPTION_FLAG_RENEW_TTL);
    return status == 0 ? epb_dialog_run(cli, &request, NULL, print_renewal) : status;
}

/* release */

static int
print_released(struct epb_cli *cli, const struct epb_reply *reply)
{
    return epb_print_truth(cli, reply->count > 0);
}

/* By force, the name in the environment does not narrow down whose it is: only --worker
 * does. */
static int
put_holder(const struct epb_cli *cli, struct epb_request *request)
{
    const char *worker = epb_cli_text(cli, EPB_OPTION_FLAG_WORKER);

    if (!epb_cli_flag(cli, EPB_OPTION_FLAG_FORCE)) {
        return put_worker(cli, request);
    }
    request->flags |= EPB_F_FORCE;
    if (worker != NULL) {
        return put_worker(cli, request);
    }
    return request->key.size_bytes > 0
               ? 0
               : epb_cli_wrong_use(
                     cli, "--force needs to know what: a KEY, --worker NAME, or both");
}

int
epb_run_release(struct epb_cli *cli)
{
    struct epb_request request = {.action = EPB_ACTION_RELEASE,
                                  .flags = EPB_F_DETACHED,
                                  .key = epb_dialog_word(cli, 0)};
    int status = put_holder(cli, &request);

    if (epb_cli_flag(cli, EPB_OPTION_FLAG_DISCARD)) {
        request.flags |= EPB_F_DISCARD;
    }
    return status == 0 ? epb_dialog_run(cli, &request, RELEASE_HINTS, print_released)
                       : status;
}

/* leases */

static void
put_number_or_null(struct epb_text *text, const char *before, uint64_t number,
                   bool is_null)
{
    epb_text_put(text, before);
    if (is_null) {
        epb_text_put(text, "null");
    } else {
        epb_text_put_number(text, number);
    }
}

static void
put_lease_json(struct epb_text *text, const struct epb_packed_lease *lease,
               uint64_t wall_ms)
{
    epb_text_put(text, "{\"key\":");
    epb_text_put_json_string(text, lease->key);
    epb_text_put(text, ",\"kind\":\"");
    epb_text_put(text, epb_holders_kind_name(lease->kind));
    epb_text_put(text, lease->is_held ? "\",\"state\":\"held\",\"workerId\":"
                                      : "\",\"state\":\"waiting\",\"workerId\":");
    epb_text_put_json_string(text, lease->worker);
    epb_text_put(text, lease->is_shared ? ",\"shared\":true,\"count\":"
                                        : ",\"shared\":false,\"count\":");
    epb_text_put_number(text, lease->count);
    put_number_or_null(text, ",\"session\":", lease->session, lease->session == 0);
    put_number_or_null(text, ",\"pid\":", lease->pid, lease->pid == 0);
    put_number_or_null(text, ",\"token\":", lease->token, lease->token == 0);
    put_number_or_null(text,
                       lease->is_held ? ",\"ttl\":" : ",\"waitMs\":", lease->left_ms,
                       lease->left_ms >= EPB_NUMBER_MAX);
    epb_text_put(text, ",\"since\":");
    epb_text_put_number(text, wall_ms > lease->age_ms ? wall_ms - lease->age_ms : 0);
    epb_text_put(text, "}");
}

static enum epb_status
write_leases_json(struct epb_buf *out, struct epb_bytes rest)
{
    struct epb_text text = epb_text_begin(out);
    struct epb_packed_lease lease;
    struct epb_time now;

    epb_sys_now(&now);
    epb_text_put(&text, "[");
    for (bool first = true; rest.size_bytes > 0; first = false) {
        if (!epb_packed_lease(&rest, &lease)) {
            return EPB_VERSION_MISMATCH;
        }
        epb_text_put(&text, first ? "" : ",");
        put_lease_json(&text, &lease, now.wall_ms);
    }
    epb_text_put(&text, "]\n");
    return epb_text_end(&text);
}

static void
put_lease_cells(struct epb_text *text, const struct epb_packed_lease *lease)
{
    epb_show_name(text, lease->key);
    epb_grid_next(text);
    epb_text_put(text, epb_holders_kind_name(lease->kind));
    epb_grid_next(text);
    epb_text_put(text, lease->is_held ? "held" : "waiting");
    epb_text_put(text, lease->is_shared ? ", shared" : "");
    epb_grid_next(text);
    epb_show_name(text, lease->worker);
    epb_grid_next(text);
    if (lease->pid == 0) {
        epb_text_put(text, "-");
    } else {
        epb_text_put_number(text, lease->pid);
    }
    epb_grid_next(text);
    if (lease->left_ms >= EPB_NUMBER_MAX) {
        epb_text_put(text, "-");
    } else {
        epb_show_duration(text, lease->left_ms);
    }
    epb_grid_next(text);
    epb_show_duration(text, lease->age_ms);
    epb_text_put(text, " ago");
    epb_grid_next(text);
}

static enum epb_status
write_leases_table(struct epb_buf *out, struct epb_bytes rest)
{
    static const char head[] = "KEY\0KIND\0STATE\0WORKER\0PID\0LEFT\0SINCE";
    struct epb_packed_lease lease;
    struct epb_buf cells;

    epb_buf_init(&cells, EPB_PRINT_MAX_BYTES);
    struct epb_text text = epb_text_begin(&cells);
    epb_text_put_bytes(&text, (struct epb_bytes){(const uint8_t *)head, sizeof(head)});
    while (rest.size_bytes > 0 && text.status == EPB_OK) {
        if (epb_packed_lease(&rest, &lease)) {
            put_lease_cells(&text, &lease);
        } else {
            epb_text_note(&text, EPB_VERSION_MISMATCH);
        }
    }
    enum epb_status status = epb_text_end(&text);
    if (status == EPB_OK) {
        struct epb_grid grid = {&cells, 7, 0x70};
        status = epb_grid_write(out, &grid);
    }
    epb_buf_fini(&cells);
    return status;
}

static int
print_leases(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    if (epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        return epb_print_finish(cli, &out, write_leases_json(&out, reply->body));
    }
    if (reply->body.size_bytes == 0) {
        return epb_print_none(cli, "leases");
    }
    return epb_print_finish(cli, &out, write_leases_table(&out, reply->body));
}

int
epb_run_leases(struct epb_cli *cli)
{
    struct epb_request request = {.action = EPB_ACTION_LEASES,
                                  .key = epb_dialog_word(cli, 0)};

    return epb_dialog_run(cli, &request, NULL, print_leases);
}
