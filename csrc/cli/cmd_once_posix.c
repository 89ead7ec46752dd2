/*
 * once KEY --ttl T -- command: one log-in for all. The first that asks runs the command,
 * what it prints becomes the value, and all print it. The others wait; if the command
 * fails, they fail with its status and do not run it again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/sys.h"
#include "../base/utf8.h"
#include "../wire/frame.h"
#include "capture.h"
#include "commands.h"
#include "dialog.h"
#include "print.h"
#include "run.h"
#include "values.h"

/* The reason of a failure, which carries the command's status to those that wait. */
#define REASON "exit status "
#define RENEWALS_A_TTL 3U

struct once {
    struct epb_dialog dialog;
    struct epb_request request; /* of the value */
    uint64_t token;             /* of the computation */
    uint64_t allowed_ms;
};

/* Renews the right to compute while the command runs. If that fails, the write of the
 * value is refused once the time is over. */
static void
on_started(void *context)
{
    struct once *once = context;
    const struct epb_request renew = {
        .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = once->token};
    uint64_t interval_ms = once->allowed_ms / RENEWALS_A_TTL;
    struct epb_buf frame;
    uint64_t id = 0;

    epb_buf_init(&frame, EPB_CLIENT_KEPT_MAX_BYTES);
    enum epb_status status = epb_frame_encode_request(&frame, &renew);
    if (status == EPB_OK) {
        status = epb_client_start_renewal(
            epb_caller_client(once->dialog.caller),
            (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)},
            interval_ms == 0 ? 1 : interval_ms, &id);
    }
    epb_buf_fini(&frame);
    if (status != EPB_OK) {
        epb_cli_complain("once: the computation can't be renewed, it may take %" PRIu64
                         " ms",
                         once->allowed_ms);
    }
}

/* Lets those that wait fail with this status. */
static int
fail_all(struct once *once, int status)
{
    char reason[sizeof(REASON) + 16];
    struct epb_reply reply;

    int size = snprintf(reason, sizeof(reason), REASON "%d", status);
    const struct epb_request release = {
        .action = EPB_ACTION_RELEASE,
        .flags = EPB_F_FENCE,
        .fence = once->token,
        .value = {(const uint8_t *)reason, (size_t)size},
    };
    /* Without a broker nobody waits, and the status stays the command's. */
    (void)!epb_caller_ask(once->dialog.caller, &release, &reply);
    return status;
}

/* What the command printed, as a value: text without the newline at its end. */
static int
encode_output(struct once *once, struct epb_buf *out, struct epb_buf *value)
{
    struct epb_cli *cli = once->dialog.cli;
    struct epb_bytes text = {epb_buf_data(out), epb_buf_size(out)};

    if (text.size_bytes > 0 && text.data[text.size_bytes - 1] == '\n') {
        text.size_bytes--;
    }
    if (!epb_utf8_valid(text) ||
        (text.size_bytes > 0 && memchr(text.data, '\0', text.size_bytes) != NULL)) {
        epb_cli_complain("once: invalid_value: what the command printed is no text");
        return EPB_EXIT_REFUSED;
    }
    struct epb_text writer = epb_text_begin(value);
    epb_text_put_json_string(&writer, text);
    return epb_text_end(&writer) == EPB_OK ? 0 : epb_cli_no_memory(cli);
}

static int
store(struct once *once, struct epb_buf *out)
{
    struct epb_reply reply;
    struct epb_buf value;

    epb_buf_init(&value, EPB_VALUES_MAX_BYTES);
    int status = encode_output(once, out, &value);
    if (status == 0) {
        const struct epb_request set = {
            .action = EPB_ACTION_SET,
            .flags = EPB_F_FENCE | EPB_F_TTL,
            .fence = once->token,
            .ttl_ms = once->request.ttl_ms,
            .key = once->request.key,
            .value = {epb_buf_data(&value), epb_buf_size(&value)},
        };
        status = epb_dialog_ask(&once->dialog, &set, NULL, &reply);
    }
    if (status == 0) {
        const struct epb_reply shown = {
            .body = {epb_buf_data(&value), epb_buf_size(&value)}};
        status = epb_print_value(once->dialog.cli, &shown);
    } else {
        (void)fail_all(once, status);
    }
    epb_buf_fini(&value);
    return status;
}

static int
compute(struct once *once)
{
    struct epb_cli *cli = once->dialog.cli;
    struct epb_buf out;
    struct epb_capture capture = {.out = &out};

    epb_buf_init(&out, EPB_VALUES_MAX_BYTES);
    int status = epb_capture_run(cli->args.command, on_started, once, &capture);
    if (status != 0) {
        status = fail_all(once, status);
    } else if (capture.status != 0) {
        epb_cli_complain("once: compute_failed: the command ended with status %d",
                         capture.status);
        status = fail_all(once, capture.status);
    } else if (capture.overflowed) {
        epb_cli_complain("once: too_large: the command printed more than any value is");
        status = fail_all(once, EPB_EXIT_REFUSED);
    } else {
        status = store(once, &out);
    }
    epb_buf_fini(&out);
    return status;
}

/* The status in the reason of another's failure; 1 when a program has failed. */
static int
failed_elsewhere(struct once *once, const struct epb_reply *reply)
{
    size_t prefix_bytes = sizeof(REASON) - 1;
    int status = 0;

    if (reply->body.size_bytes > prefix_bytes &&
        memcmp(reply->body.data, REASON, prefix_bytes) == 0) {
        for (size_t i = prefix_bytes; i < reply->body.size_bytes && status < 256; i++) {
            uint8_t digit = reply->body.data[i];
            status = digit >= '0' && digit <= '9' ? status * 10 + (digit - '0') : 256;
        }
    }
    if (status == 0 || status > 255) {
        return epb_dialog_refuse(&once->dialog, &once->request, NULL, reply);
    }
    epb_cli_complain("once: compute_failed: the command of another process ended with "
                     "status %d",
                     status);
    return status;
}

static int
run(struct once *once)
{
    struct epb_reply reply;
    struct epb_request ask = once->request;

    /* The TTL of this request would be that of the computation. */
    ask.ttl_ms = 0;
    int status = epb_dialog_try(&once->dialog, &ask, &reply);
    if (status != 0) {
        return status;
    }
    if (reply.status == EPB_COMPUTE_FAILED) {
        return failed_elsewhere(once, &reply);
    }
    if (reply.status != EPB_OK) {
        return epb_dialog_refuse(&once->dialog, &ask, NULL, &reply);
    }
    if ((reply.flags & EPB_F_VERSION) != 0) {
        return epb_print_value(once->dialog.cli, &reply);
    }
    once->token = reply.fence;
    once->allowed_ms = reply.ttl_ms;
    return compute(once);
}

int
epb_run_once(struct epb_cli *cli)
{
    static const struct epb_dialog_how how = {.shares_session = true};
    struct once once = {.request = {.action = EPB_ACTION_GET_OR_SET,
                                    .flags = EPB_F_WAIT,
                                    .key = epb_dialog_word(cli, 0),
                                    .wait_ms = EPB_NUMBER_MAX}};
    char number[16];
    const char *worker = epb_dialog_worker(cli, EPB_OPTION_FLAG_WORKER);

    if (!epb_cli_is_given(cli, EPB_OPTION_FLAG_TTL)) {
        return epb_cli_wrong_use(cli,
                                 "how long should it live? Give --ttl 30s, 5m or 1h");
    }
    once.request.ttl_ms = epb_cli_number(cli, EPB_OPTION_FLAG_TTL);
    if (epb_cli_is_given(cli, EPB_OPTION_FLAG_WAIT_FOR)) {
        once.request.wait_ms = epb_cli_number(cli, EPB_OPTION_FLAG_WAIT_FOR);
    }
    (void)snprintf(number, sizeof(number), "%" PRIu32, epb_sys_pid());
    worker = worker == NULL ? number : worker;
    once.request.worker = (struct epb_bytes){(const uint8_t *)worker, strlen(worker)};
    int status = epb_run_check(cli->args.command);
    if (status == 0) {
        status = epb_dialog_open(&once.dialog, cli, &how);
        status = status == 0 ? run(&once) : status;
        epb_dialog_close(&once.dialog);
    }
    return status;
}
