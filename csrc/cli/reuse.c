/* See reuse.h. */
#include "reuse.h"

#include <stdlib.h>
#include <string.h>

#include "../client/caller.h"
#include "ancestors.h"
#include "run.h"
#include "secret.h"
#include "system.h"

/* The variable, else the default. False after a complaint. */
static bool
read_timeout(uint64_t *timeout_ms)
{
    const struct epb_option *option = epb_option_row(EPB_OPTION_CLIENT_TIMEOUT);
    const char *text = epb_cli_env(option->env);
    struct epb_option_value value = epb_option_fallback(option);

    if (text != NULL && epb_option_parse(option, text, &value) != EPB_OK) {
        epb_cli_complain("%s is no time: \"%s\"", option->env, text);
        return false;
    }
    *timeout_ms = value.number;
    return true;
}

static enum epb_status
ping(struct epb_caller *caller)
{
    const struct epb_request request = {.action = EPB_ACTION_PING};
    struct epb_reply reply;
    enum epb_status status = epb_caller_ask(caller, &request, &reply);

    return status == EPB_OK ? reply.status : status;
}

static void
complain(const struct epb_caller *caller, enum epb_status failure)
{
    struct epb_buf sentence;

    epb_buf_init(&sentence, 4096);
    if (epb_caller_explain(caller, failure, &sentence) == EPB_OK) {
        epb_cli_complain(
            "--reuse: the broker that " EPB_ENV_PIPE " names does not answer: %.*s",
            (int)epb_buf_size(&sentence), (const char *)epb_buf_data(&sentence));
    }
    epb_buf_fini(&sentence);
}

/* Returns 0 or a status after a complaint. */
static int
reach_broker(struct epb_cli *cli, struct epb_bytes secret)
{
    struct epb_caller *caller;
    struct epb_caller_options options = {.path = epb_cli_env(EPB_ENV_PIPE),
                                         .secret = secret};

    if (!read_timeout(&options.timeout_ms)) {
        return EPB_EXIT_START_FAILED;
    }
    options.connect_timeout_ms = options.timeout_ms;
    if (epb_caller_new(&options, &caller) != EPB_OK) {
        return epb_cli_no_memory(cli);
    }
    enum epb_status failure = ping(caller);
    if (failure != EPB_OK) {
        complain(caller, failure);
    }
    epb_caller_free(caller);
    return failure == EPB_OK ? 0 : EPB_EXIT_START_FAILED;
}

static int
check_broker(struct epb_cli *cli)
{
    struct epb_buf secret;

    epb_buf_init(&secret, EPB_SECRET_MAX_BYTES);
    int status = epb_secret_resolve(cli, EPB_SECRET_OF_CLIENT, &secret);
    if (status == 0) {
        status = reach_broker(
            cli, (struct epb_bytes){epb_buf_data(&secret), epb_buf_size(&secret)});
    }
    epb_buf_fini(&secret);
    return status;
}

/* A service that only watches */

static int
begin(void *context, struct epb_companion *companion, struct epb_buf *answer)
{
    (void)context;
    (void)companion;
    (void)answer;
    return 0;
}

static void
end(void *context)
{
    (void)context;
}

/* A companion watches the package managers above, if there are any. */
static int
watch_managers(const struct epb_cli *cli)
{
    static const struct epb_companion_service service = {.begin = begin, .end = end};
    struct epb_companion_spec spec = {
        .service = &service,
        .grace_ms = epb_cli_number(cli, EPB_OPTION_START_GRACE),
        .ready_ms = EPB_READY_MS,
    };
    struct epb_ancestors above;
    struct epb_buf answer;
    uint32_t pid;

    epb_ancestors_find(&above, epb_system_parent());
    if (above.count == 0) {
        return 0;
    }
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    int status = epb_companion_start(&spec, &answer, &pid);
    if (status != 0) {
        epb_cli_complain_buf(&answer);
    }
    epb_buf_fini(&answer);
    return status;
}

int
epb_reuse_run(struct epb_cli *cli, char *const *command)
{
    int status = check_broker(cli);

    status = status == 0 ? watch_managers(cli) : status;
    return status == 0 ? epb_run_become(command) : status;
}
