/* See holding.h. */
#include "holding.h"

#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../wire/frame.h"
#include "flow.h"
#include "run.h"
#include "secret.h"
#include "system.h"

/* Renewals a TTL. One that is late by a whole interval still arrives in time. */
#define RENEWALS_A_TTL 3U
#define FLOW_MAX_BYTES 8192U

/* Losing */

static void
lose(struct epb_holdings *holdings, struct epb_bytes key, enum epb_status reason)
{
    const char *name = holdings->cli->command->name;

    if (holdings->lost) {
        return;
    }
    holdings->lost = true;
    epb_cli_complain("%s \"%.*s\": lost (%s), so the command is ended", name,
                     (int)key.size_bytes, (const char *)key.data,
                     epb_status_name(reason));
    epb_companion_report(holdings->companion, EPB_COMPANION_SERVICE_LOST);
}

/* A lease that its holder did not end (core/msg.h). */
static void
on_event(void *context, const struct epb_reply *event)
{
    struct epb_holdings *holdings = context;

    if (event->status != EPB_LEASE_LOST) {
        return;
    }
    for (size_t i = 0; i < holdings->count; i++) {
        if (holdings->each[i].token == event->fence) {
            lose(holdings, holdings->each[i].request.key, EPB_LEASE_LOST);
        }
    }
}

/* On another thread. */
static void
on_ready(void *context)
{
    const struct epb_holdings *holdings = context;

    epb_companion_report(holdings->companion, EPB_COMPANION_SERVICE_READY);
}

/* Takes what has arrived, until the connection can be armed. */
static void
work(void *context)
{
    struct epb_holdings *holdings = context;
    bool armed = false;

    while (!armed && !holdings->lost) {
        struct epb_reply reply;
        enum epb_status status = epb_caller_next(holdings->dialog.caller, 0, &reply);
        if (status == EPB_OK || status == EPB_TIMEOUT) {
            status = epb_caller_arm(holdings->dialog.caller, &armed);
        }
        if (status != EPB_OK) {
            lose(holdings, holdings->each[0].request.key, status);
        }
    }
}

/* Taking */

static enum epb_status
renew(struct epb_holdings *holdings, const struct epb_holding *holding)
{
    const struct epb_request request = {
        .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = holding->token};
    uint64_t interval_ms = holding->request.ttl_ms / RENEWALS_A_TTL;
    uint64_t id = 0;
    struct epb_buf frame;

    epb_buf_init(&frame, 256);
    enum epb_status status = epb_frame_encode_request(&frame, &request);
    if (status == EPB_OK) {
        status = epb_client_start_renewal(
            epb_caller_client(holdings->dialog.caller),
            (struct epb_bytes){epb_buf_data(&frame), epb_buf_size(&frame)},
            interval_ms == 0 ? 1 : interval_ms, &id);
    }
    epb_buf_fini(&frame);
    return status;
}

/* The leases so far are the flow of the next request. */
static enum epb_status
add_to_flow(struct epb_holdings *holdings, uint64_t token)
{
    uint8_t packed[sizeof(token)];
    struct epb_buf *flow = &holdings->dialog.flow;

    epb_put_u64(packed, token);
    enum epb_status status = epb_buf_append(flow, packed, sizeof(packed));
    /* Only the innermost tokens count. */
    return status == EPB_TOO_LARGE ? EPB_OK : status;
}

static int
take(struct epb_holdings *holdings, size_t index, struct epb_buf *variables)
{
    struct epb_holding *holding = &holdings->each[index];
    struct epb_reply reply;
    int status =
        epb_dialog_ask(&holdings->dialog, &holding->request, holdings->hints, &reply);

    if (status != 0) {
        return status;
    }
    holding->token = reply.fence;
    if (holdings->put_variables != NULL) {
        status = holdings->put_variables(holdings->cli, index, &reply, variables);
    }
    if (status == 0 && (renew(holdings, holding) != EPB_OK ||
                        add_to_flow(holdings, holding->token) != EPB_OK)) {
        status = epb_cli_no_memory(holdings->cli);
    }
    return status;
}

/* "EPHEMERAL_FLOW=3,2,1@pipe", the innermost lease first. */
static int
put_flow(struct epb_holdings *holdings, struct epb_buf *variables)
{
    const char *outer = epb_cli_env(EPB_FLOW_VARIABLE);
    enum epb_status status = epb_buf_printf(variables, EPB_FLOW_VARIABLE "=");

    for (size_t i = holdings->count; i > 1 && status == EPB_OK; i--) {
        status = epb_buf_printf(variables, "%llu,",
                                (unsigned long long)holdings->each[i - 1].token);
    }
    if (status == EPB_OK) {
        status = epb_flow_text(variables, holdings->each[0].token, outer,
                               holdings->dialog.path);
    }
    status = status == EPB_OK ? epb_buf_append(variables, "", 1) : status;
    return status == EPB_OK ? 0 : epb_cli_no_memory(holdings->cli);
}

static int
begin(void *context, struct epb_companion *companion, struct epb_buf *answer)
{
    struct epb_holdings *holdings = context;
    const struct epb_dialog_how how = {.shares_session = true,
                                       .session_pid = holdings->pid,
                                       .on_event = on_event,
                                       .on_ready = on_ready,
                                       .context = holdings};

    holdings->companion = companion;
    int status =
        epb_dialog_open_with(&holdings->dialog, holdings->cli, holdings->secret, &how);
    if (holdings->secret.size_bytes > 0) {
        epb_mem_wipe((void *)(uintptr_t)holdings->secret.data,
                     holdings->secret.size_bytes);
    }
    for (size_t i = 0; i < holdings->count && status == 0; i++) {
        status = take(holdings, i, answer);
    }
    if (status == 0 && !holdings->is_tied) {
        status = put_flow(holdings, answer);
    }
    if (status != 0) {
        /* The sentence has been printed. */
        epb_buf_truncate(answer, epb_buf_size(answer));
        epb_dialog_close(&holdings->dialog);
        return status;
    }
    epb_companion_report(companion, EPB_COMPANION_SERVICE_READY);
    return 0;
}

/* The end of the connection releases what it holds. */
static void
end(void *context)
{
    struct epb_holdings *holdings = context;

    epb_dialog_close(&holdings->dialog);
}

void
epb_holdings_init(struct epb_holdings *holdings, struct epb_cli *cli)
{
    *holdings = (struct epb_holdings){
        .service = {.context = holdings,
                    .begin = begin,
                    .waits = true,
                    .work = work,
                    .end = end},
        .cli = cli,
        .pid = epb_sys_pid(),
    };
}

/* The caller */

static int
set_variables(struct epb_cli *cli, const struct epb_buf *variables)
{
    size_t size = epb_buf_size(variables);
    char *text = epb_mem_table_alloc(size + 1);

    if (text == NULL) {
        return epb_cli_no_memory(cli);
    }
    memcpy(text, epb_buf_data(variables), size);
    bool done = true;
    for (char *at = text; at < text + size && done; at += strlen(at) + 1) {
        char *value = strchr(at, '=');
        EPB_ASSERT(value != NULL);
        *value = '\0';
        done = epb_system_set_env(at, value + 1);
        *value = '=';
    }
    epb_mem_wipe(text, size);
    epb_mem_table_free(text);
    return done ? 0 : epb_cli_no_memory(cli);
}

static int
start_companion(struct epb_holdings *holdings, struct epb_buf *answer)
{
    struct epb_companion_spec spec = {
        .service = &holdings->service,
        .grace_ms = epb_cli_number(holdings->cli, EPB_OPTION_FLAG_LOCK_GRACE),
        .ready_ms = UINT64_MAX,
        .detached = holdings->is_tied,
        .tied_to = holdings->is_tied ? holdings->pid : 0,
    };
    uint32_t pid = 0;
    int status = epb_companion_start(&spec, answer, &pid);

    if (status != 0 && epb_buf_size(answer) > 0) {
        epb_cli_complain_buf(answer);
    }
    /* 125 is for what stands in for a command. */
    return holdings->is_tied && status == EPB_EXIT_START_FAILED ? EPB_EXIT_REFUSED
                                                                : status;
}

/* Copies the secret to memory that a forked child has, too. Returns 0 or a status after a
 * complaint. */
static int
take_secret(struct epb_holdings *holdings, uint8_t **copy)
{
    struct epb_buf secret;

    epb_buf_init(&secret, EPB_SECRET_MAX_BYTES);
    int status = epb_secret_resolve(holdings->cli, EPB_SECRET_OF_CLIENT, &secret);
    size_t size = epb_buf_size(&secret);
    if (status == 0 && size > 0) {
        *copy = epb_mem_table_alloc(size);
        if (*copy == NULL) {
            status = epb_cli_no_memory(holdings->cli);
        } else {
            memcpy(*copy, epb_buf_data(&secret), size);
            holdings->secret = (struct epb_bytes){*copy, size};
        }
    }
    epb_buf_fini(&secret);
    return status;
}

/* Returns 0 with the answer of the companion, or a status after a complaint. */
static int
start(struct epb_holdings *holdings, struct epb_buf *answer)
{
    uint8_t *secret = NULL;
    int status = take_secret(holdings, &secret);

    if (status == 0) {
        status = start_companion(holdings, answer);
    }
    if (secret != NULL) {
        epb_mem_wipe(secret, holdings->secret.size_bytes);
        epb_mem_table_free(secret);
    }
    return status;
}

int
epb_holdings_tie(struct epb_holdings *holdings, struct epb_buf *answer)
{
    holdings->is_tied = true;
    return start(holdings, answer);
}

int
epb_holdings_run(struct epb_holdings *holdings)
{
    char *const *command = holdings->cli->args.command;
    struct epb_buf answer;
    int status = epb_run_check(command);

    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    status = status == 0 ? start(holdings, &answer) : status;
    if (status == 0) {
        status = set_variables(holdings->cli, &answer);
    }
    epb_buf_fini(&answer);
    return status == 0 ? epb_run_become(command) : status;
}
