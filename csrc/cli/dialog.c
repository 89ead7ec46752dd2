/* See dialog.h. */
#include "dialog.h"

#include <string.h>

#include "flow.h"
#include "secret.h"

#define LINE_MAX_BYTES 8192U

/* Opening */

const char *
epb_dialog_path(const struct epb_cli *cli)
{
    const char *path = epb_cli_text(cli, EPB_OPTION_FLAG_PIPE);

    path = path == NULL ? epb_cli_env("EPHEMERAL_PIPE") : path;
    return path != NULL && *path != '\0' ? path : NULL;
}

struct epb_bytes
epb_dialog_word(const struct epb_cli *cli, size_t index)
{
    if (index >= cli->args.word_count) {
        return (struct epb_bytes){NULL, 0};
    }
    const char *word = cli->args.words[index];
    return (struct epb_bytes){(const uint8_t *)word, strlen(word)};
}

const char *
epb_dialog_worker(const struct epb_cli *cli, enum epb_option_id option)
{
    static const char *const VARIABLES[] = {
        "CLIENT_WORKER_ID",    "WORKER_ID",          "WDIO_WORKER_ID",
        "TEST_PARALLEL_INDEX", "VITEST_POOL_ID",     "JEST_WORKER_ID",
        "MOCHA_WORKER_ID",     "CUCUMBER_WORKER_ID", "NODE_TEST_WORKER_ID"};
    const char *worker = epb_cli_text(cli, option);

    for (size_t i = 0; worker == NULL && i < sizeof(VARIABLES) / sizeof(VARIABLES[0]);
         i++) {
        const char *text = epb_cli_env(VARIABLES[i]);
        worker = text != NULL && *text != '\0' ? text : NULL;
    }
    return worker;
}

static int
create_caller(struct epb_dialog *dialog, struct epb_bytes secret,
              const struct epb_dialog_how *how)
{
    uint64_t timeout_ms = epb_cli_number(dialog->cli, EPB_OPTION_CLIENT_TIMEOUT);
    uint64_t connect_ms = epb_cli_number(dialog->cli, EPB_OPTION_CLIENT_CONNECT_TIMEOUT);
    struct epb_caller_options options = {
        .path = dialog->path,
        .secret = secret,
        .timeout_ms = timeout_ms,
        .connect_timeout_ms =
            connect_ms == 0 || connect_ms > timeout_ms ? timeout_ms : connect_ms,
    };

    if (how != NULL) {
        options.shares_session = how->shares_session;
        options.session_pid = how->session_pid;
        options.on_event = how->on_event;
        options.on_ready = how->on_ready;
        options.context = how->context;
    }
    return epb_caller_new(&options, &dialog->caller) == EPB_OK
               ? 0
               : epb_cli_no_memory(dialog->cli);
}

static int
no_path(const struct epb_dialog *dialog)
{
    epb_cli_complain("%s: No pipe: none was given, and EPHEMERAL_PIPE is not set. Start "
                     "your command with `" EPB_CLI_PROGRAM
                     " start -- <command>`, which sets it.",
                     dialog->cli->command->name);
    return EPB_EXIT_NO_BROKER;
}

int
epb_dialog_open_with(struct epb_dialog *dialog, struct epb_cli *cli,
                     struct epb_bytes secret, const struct epb_dialog_how *how)
{
    *dialog = (struct epb_dialog){.cli = cli, .path = epb_dialog_path(cli)};
    epb_buf_init(&dialog->flow, sizeof(uint64_t) * EPB_FLOW_TOKENS_MAX);
    if (dialog->path == NULL) {
        return no_path(dialog);
    }
    if (epb_flow_tokens(&dialog->flow, epb_cli_env(EPB_FLOW_VARIABLE), dialog->path) !=
        EPB_OK) {
        return epb_cli_no_memory(cli);
    }
    return create_caller(dialog, secret, how);
}

int
epb_dialog_open(struct epb_dialog *dialog, struct epb_cli *cli,
                const struct epb_dialog_how *how)
{
    struct epb_buf secret;

    *dialog = (struct epb_dialog){.cli = cli};
    epb_buf_init(&secret, EPB_SECRET_MAX_BYTES);
    int status = epb_secret_resolve(cli, EPB_SECRET_OF_CLIENT, &secret);
    if (status == 0) {
        struct epb_bytes bytes = {epb_buf_data(&secret), epb_buf_size(&secret)};
        status = epb_dialog_open_with(dialog, cli, bytes, how);
    }
    epb_buf_fini(&secret);
    return status;
}

void
epb_dialog_close(struct epb_dialog *dialog)
{
    epb_caller_free(dialog->caller);
    epb_buf_fini(&dialog->flow);
}

/* Failures */

/* Statuses that mean that there was no conversation. */
static int
exit_status(enum epb_status status)
{
    switch (status) {
    case EPB_BROKER_GONE:
    case EPB_AUTH_FAILED:
    case EPB_AUTH_REQUIRED:
    case EPB_VERSION_MISMATCH:
    case EPB_TIMEOUT:
    case EPB_DRAINING:
    case EPB_MAX_CONNECTIONS:
        return EPB_EXIT_NO_BROKER;
    default:
        return EPB_EXIT_REFUSED;
    }
}

/* Says the message; with --debug, the code as well. */
static int
complain(const struct epb_dialog *dialog, struct epb_buf *message,
         enum epb_status written, enum epb_status failure)
{
    if (written == EPB_OK) {
        epb_cli_complain_buf(message);
    } else {
        epb_cli_complain("%s: %s", dialog->cli->command->name,
                         epb_status_message(failure));
    }
    epb_buf_fini(message);
    if (epb_cli_flag(dialog->cli, EPB_OPTION_FLAG_DEBUG)) {
        epb_cli_complain("code %s, pipe %s", epb_status_name(failure), dialog->path);
    }
    return exit_status(failure);
}

static int
no_conversation(const struct epb_dialog *dialog, struct epb_bytes key,
                enum epb_status failure)
{
    struct epb_buf message;

    epb_buf_init(&message, LINE_MAX_BYTES);
    enum epb_status status =
        epb_message_prefix(&message, dialog->cli->command->name, key);
    if (status == EPB_OK) {
        status = epb_caller_explain(dialog->caller, failure, &message);
    }
    return complain(dialog, &message, status, failure);
}

int
epb_dialog_refuse(struct epb_dialog *dialog, const struct epb_request *request,
                  const struct epb_hint *hints, const struct epb_reply *reply)
{
    struct epb_refused refused = {.command = dialog->cli->command->name,
                                  .action = request->action,
                                  .key = request->key,
                                  .worker = request->worker,
                                  .wait_ms = request->wait_ms,
                                  .hints = hints};
    struct epb_buf message;

    epb_buf_init(&message, LINE_MAX_BYTES);
    enum epb_status status = epb_message_refusal(&message, &refused, reply);
    return complain(dialog, &message, status, reply->status);
}

/* Asking */

int
epb_dialog_try(struct epb_dialog *dialog, const struct epb_request *request,
               struct epb_reply *reply)
{
    struct epb_request flowing = *request;

    if ((request->flags & EPB_F_WAIT) != 0 && request->wait_ms > 0 &&
        request->action != EPB_ACTION_WAIT_FOR && request->value.size_bytes == 0) {
        flowing.value =
            (struct epb_bytes){epb_buf_data(&dialog->flow), epb_buf_size(&dialog->flow)};
    }
    enum epb_status status = epb_caller_ask(dialog->caller, &flowing, reply);
    return status == EPB_OK ? 0 : no_conversation(dialog, request->key, status);
}

int
epb_dialog_ask(struct epb_dialog *dialog, const struct epb_request *request,
               const struct epb_hint *hints, struct epb_reply *reply)
{
    int status = epb_dialog_try(dialog, request, reply);

    if (status == 0 && reply->status != EPB_OK) {
        status = epb_dialog_refuse(dialog, request, hints, reply);
    }
    return status;
}

int
epb_dialog_answer(struct epb_dialog *dialog, const struct epb_request *request,
                  const struct epb_hint *hints, epb_dialog_print_fn print)
{
    struct epb_reply reply;
    int status = epb_dialog_ask(dialog, request, hints, &reply);

    return status == 0 && print != NULL ? print(dialog->cli, &reply) : status;
}

int
epb_dialog_run(struct epb_cli *cli, const struct epb_request *request,
               const struct epb_hint *hints, epb_dialog_print_fn print)
{
    /* A session has a process id, which `leases` shows of a request that waits. */
    const struct epb_dialog_how how = {.shares_session = request->wait_ms > 0};
    struct epb_dialog dialog;
    int status = epb_dialog_open(&dialog, cli, &how);

    if (status == 0) {
        status = epb_dialog_answer(&dialog, request, hints, print);
    }
    epb_dialog_close(&dialog);
    return status;
}
