/* See broker_service.h. */
#include "broker_service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/mem.h"
#include "../os/oserror.h"
#include "../os/sandbox.h"

/* Requests in progress have this long when the broker is asked to end. */
#define DRAIN_MS 2000U
/* At the end, for records that are not yet written. */
#define LOG_FINISH_MS 50U

static void
on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    struct epb_broker_service *broker = context;

    switch (event) {
    case EPB_SERVER_LOG:
        epb_broker_log_put(broker->log, json);
        break;
    case EPB_SERVER_HEARTBEAT:
        epb_broker_log_heartbeat(broker->log, json);
        break;
    case EPB_SERVER_IDLE:
        epb_broker_log_event(broker->log, "idle", NULL);
        epb_server_drain(broker->server, DRAIN_MS);
        break;
    case EPB_SERVER_STOPPED:
        epb_companion_report(broker->companion, EPB_COMPANION_SERVICE_ENDED);
        break;
    }
}

static void
explain_place(const struct epb_broker_service *broker, int error, struct epb_buf *answer)
{
    const char *id = broker->options.pipe_id;

    if (strcmp(epb_os_error_name(error), "EADDRINUSE") == 0 && id != NULL) {
        (void)!epb_buf_printf(
            answer,
            "Another broker has the pipe id \"%s\": end it, or take another. If none "
            "runs, here or on a machine that shares the folder, one ran before a "
            "restart: remove broker-%s.sock.",
            id, id);
        return;
    }
    (void)!epb_buf_printf(
        answer,
        "The broker can't listen: %s (%s). Its socket is made in TMPDIR, /tmp or "
        "XDG_RUNTIME_DIR: one of them has to be a directory that this user may write to.",
        epb_os_error_message(error), epb_os_error_name(error));
}

static void
explain_failure(const struct epb_broker_service *broker, int error,
                struct epb_buf *answer)
{
    if (error != 0) {
        explain_place(broker, error, answer);
    } else if (broker->options.engine.require_mlock) {
        (void)!epb_buf_printf(answer, "Memory can't be locked although --require-mlock "
                                      "asks for it, or is out: raise the limit (ulimit "
                                      "-l).");
    } else {
        (void)!epb_buf_printf(answer, "The broker can't start: memory is out.");
    }
}

void
epb_broker_service_complain(const struct epb_cli *cli, const struct epb_buf *answer)
{
    if (epb_buf_size(answer) == 0) {
        (void)epb_cli_no_memory(cli);
    } else {
        epb_cli_complain_buf(answer);
    }
}

static void
log_command(const struct epb_broker_service *broker)
{
    char member[32];

    if (broker->command != 0) {
        (void)snprintf(member, sizeof(member), "\"pid\":%" PRIu32, broker->command);
        epb_broker_log_event(broker->log, "command_started", member);
    }
}

static int
begin(void *context, struct epb_companion *companion, struct epb_buf *answer)
{
    struct epb_broker_service *broker = context;
    int error = 0;

    broker->companion = companion;
    enum epb_status status =
        epb_broker_log_open(broker->options.debug, broker->options.heartbeat_ms != 0,
                            broker->options.sandbox, &broker->log);
    if (status == EPB_OK) {
        status = epb_server_start(&broker->options, &broker->server, &error);
    }
    if (!broker->keeps_secret) {
        epb_mem_wipe((void *)(uintptr_t)broker->secret.data, broker->secret.size_bytes);
    }
    if (status != EPB_OK) {
        explain_failure(broker, error, answer);
        return EPB_EXIT_START_FAILED;
    }
    log_command(broker);
    const char *path = epb_server_path(broker->server);
    return epb_buf_append(answer, path, strlen(path)) == EPB_OK ? 0
                                                                : EPB_EXIT_START_FAILED;
}

static void
confine(void *context, const int *pidfds, size_t pidfd_count)
{
    const struct epb_broker_service *broker = context;

    if (broker->options.sandbox) {
        (void)epb_sandbox_enter(
            &(struct epb_sandbox){.socket_path = epb_server_path(broker->server),
                                  .pidfds = pidfds,
                                  .pidfd_count = pidfd_count});
    }
}

static void
drain(void *context)
{
    struct epb_broker_service *broker = context;

    epb_server_drain(broker->server, DRAIN_MS);
}

static void
end(void *context)
{
    struct epb_broker_service *broker = context;

    epb_server_stop(broker->server);
    if (broker->command != 0) {
        epb_broker_log_event(broker->log, "command_ended", NULL);
    }
    epb_broker_log_finish(broker->log, LOG_FINISH_MS);
}

#define NUMBER(id) epb_cli_number(cli, EPB_OPTION_BROKER_##id)
#define FLAG(id) epb_cli_flag(cli, EPB_OPTION_BROKER_##id)

static void
read_engine(struct epb_options *engine, const struct epb_cli *cli)
{
    *engine = (struct epb_options){
        .max_request_bytes = NUMBER(MAX_REQUEST_SIZE),
        .max_value_bytes = NUMBER(MAX_VALUE_SIZE),
        .max_items = NUMBER(MAX_ITEMS),
        .max_memory_bytes = NUMBER(MAX_MEMORY),
        .max_connections = NUMBER(MAX_CONNECTIONS),
        .max_waiters = NUMBER(MAX_WAITERS),
        .default_ttl_ms = NUMBER(DEFAULT_TTL),
        .sweeper_interval_ms = NUMBER(SWEEPER_INTERVAL),
        .require_ttl = FLAG(REQUIRE_TTL),
        .evict_lru = NUMBER(EVICTION) != 0,
        .refresh_ttl_on_get = FLAG(REFRESH_TTL_ON_GET),
        .require_mlock = FLAG(REQUIRE_MLOCK),
        .single_lease = FLAG(SINGLE_LEASE),
    };
}

void
epb_broker_service_init(struct epb_broker_service *broker, const struct epb_cli *cli,
                        struct epb_bytes secret)
{
    *broker = (struct epb_broker_service){
        .service = {.context = broker,
                    .begin = begin,
                    .confine = confine,
                    .drain = drain,
                    .end = end},
        .secret = secret,
        .options = {.secret = secret,
                    .pipe_id = epb_cli_text(cli, EPB_OPTION_BROKER_PIPE_ID),
                    .legacy_hmac = FLAG(LEGACY_HMAC),
                    .debug = FLAG(DEBUG),
                    .sandbox = epb_cli_flag(cli, EPB_OPTION_START_SANDBOX),
                    .idle_timeout_ms = NUMBER(IDLE_TIMEOUT),
                    .heartbeat_ms = NUMBER(HEARTBEAT_INTERVAL),
                    .on_event = on_event},
    };
    broker->options.event_context = broker;
    read_engine(&broker->options.engine, cli);
}
