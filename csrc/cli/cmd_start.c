/*
 * `start`: a broker for as long as one command runs, or, without a command, until TERM.
 *
 * Standard output belongs to the command, and standard error too unless something is
 * wrong: a run that goes well writes nothing of ours.
 */
#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/hex.h"
#include "../base/mem.h"
#include "../base/sys.h"
#include "broker_service.h"
#include "commands.h"
#include "detach.h"
#include "reuse.h"
#include "secret.h"
#include "standalone.h"
#include "system.h"

/* Shorter secrets can be guessed. */
#define SECRET_STRONG_BYTES 16U

struct start {
    struct epb_cli *cli;
    char *const *command; /* NULL: none */
    char *secret;         /* ends with a NUL; ordinary memory, which a fork copies */
    size_t secret_bytes;  /* 0: none */
};

/* The secret */

static int
keep_secret(struct start *start, const void *bytes, size_t size)
{
    start->secret = epb_mem_table_alloc(size + 1);
    if (start->secret == NULL) {
        return epb_cli_no_memory(start->cli);
    }
    memcpy(start->secret, bytes, size);
    start->secret_bytes = size;
    return 0;
}

static int
make_secret(struct start *start)
{
    char text[EPB_HEX_SECRET_DIGITS];

    if (epb_hex_random(text, sizeof(text)) != EPB_OK) {
        epb_cli_complain("start: the system gives no random bytes for a secret");
        return EPB_EXIT_START_FAILED;
    }
    int status = keep_secret(start, text, sizeof(text));
    epb_mem_wipe(text, sizeof(text));
    return status;
}

static void
forget_secret(struct start *start)
{
    if (start->secret != NULL) {
        epb_mem_wipe(start->secret, start->secret_bytes);
    }
    epb_mem_table_free(start->secret);
    start->secret = NULL;
}

static bool
has_secret_flag(const struct epb_cli *cli)
{
    return epb_cli_is_given(cli, EPB_OPTION_SECRET_FILE) ||
           epb_cli_is_given(cli, EPB_OPTION_SECRET_ENV) ||
           epb_cli_is_given(cli, EPB_OPTION_SECRET_STDIN) ||
           epb_cli_is_given(cli, EPB_OPTION_SECRET_AUTH);
}

static bool
is_empty(const char *name)
{
    const char *text = epb_cli_env(name);

    return text != NULL && *text == '\0';
}

/* A secret of CI that a pull request of a fork does not get is an empty variable. */
static void
tell_random(void)
{
    static const char *const names[] = {EPB_ENV_SECRET, "BROKER_SECRET", "CLIENT_SECRET"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (is_empty(names[i])) {
            epb_cli_complain("%s is empty: this run has a random secret", names[i]);
            return;
        }
    }
}

static int
take_given_secret(struct start *start, const struct epb_buf *given)
{
    if (epb_buf_size(given) < SECRET_STRONG_BYTES) {
        epb_cli_complain(
            "the secret is shorter than %u bytes and can be guessed; without "
            "one, a good one is made",
            SECRET_STRONG_BYTES);
    }
    return keep_secret(start, epb_buf_data(given), epb_buf_size(given));
}

/* Returns 0 or a status after a complaint. */
static int
choose_secret(struct start *start)
{
    struct epb_buf given;

    if (!epb_cli_flag(start->cli, EPB_OPTION_START_AUTHENTICATION)) {
        return has_secret_flag(start->cli)
                   ? epb_cli_wrong_use(
                         start->cli,
                         "--no-auth and a secret were given: keep one of them")
                   : 0;
    }
    epb_buf_init(&given, EPB_SECRET_MAX_BYTES);
    int status = epb_secret_resolve(start->cli, EPB_SECRET_OF_BROKER, &given);
    if (status == 0 && epb_buf_size(&given) > 0) {
        status = take_given_secret(start, &given);
    } else if (status == 0) {
        tell_random();
        status = make_secret(start);
    }
    epb_buf_fini(&given);
    return status;
}

/* The environment of the command */

static bool
set_variables(const struct start *start, const struct epb_buf *path, uint32_t pid)
{
    char text[512];
    char number[16];

    if (epb_buf_size(path) >= sizeof(text)) {
        return false;
    }
    memcpy(text, epb_buf_data(path), epb_buf_size(path));
    text[epb_buf_size(path)] = '\0';
    (void)snprintf(number, sizeof(number), "%" PRIu32, pid);
    if (start->secret_bytes == 0) {
        /* A client that has a secret insists on it, and would be refused. */
        (void)epb_system_set_env(EPB_ENV_SECRET, NULL);
        (void)epb_system_set_env("CLIENT_SECRET", NULL);
    } else if (!epb_system_set_env(EPB_ENV_SECRET, start->secret)) {
        return false;
    }
    return epb_system_set_env(EPB_ENV_PIPE, text) &&
           epb_system_set_env(EPB_ENV_BROKER_PID, number);
}

static int
run_command(struct start *start, struct epb_broker_service *broker)
{
    struct epb_companion_spec spec = {
        .service = &broker->service,
        .grace_ms = epb_cli_number(start->cli, EPB_OPTION_START_GRACE),
        .ready_ms = EPB_READY_MS,
    };
    struct epb_buf answer;
    uint32_t pid = 0;

    broker->keeps_secret = !EPB_COMPANION_IS_PROCESS;
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    int status = epb_companion_start(&spec, &answer, &pid);
    if (status != 0) {
        epb_broker_service_complain(start->cli, &answer);
    } else if (!set_variables(start, &answer, pid)) {
        status = epb_cli_no_memory(start->cli);
    }
    epb_buf_fini(&answer);
    forget_secret(start);
    return status == 0 ? epb_run_become(start->command) : status;
}

/* Running */

static int
check_flags(const struct epb_cli *cli, bool has_command)
{
    if (epb_cli_flag(cli, EPB_OPTION_START_REUSE) && !has_command) {
        return epb_cli_wrong_use(cli,
                                 "--reuse needs a command: start --reuse -- command");
    }
    if (epb_cli_flag(cli, EPB_OPTION_START_PRINT_ENV) && has_command) {
        return epb_cli_wrong_use(cli, "--print-env is for use without a command");
    }
    if (epb_cli_flag(cli, EPB_OPTION_START_DETACH) && has_command) {
        return epb_cli_wrong_use(cli, "--detach is for use without a command");
    }
    if (epb_cli_is_given(cli, EPB_OPTION_START_ENV_FORM) &&
        !epb_cli_flag(cli, EPB_OPTION_START_DETACH)) {
        return epb_cli_wrong_use(cli, "--env is for use with --detach");
    }
    return 0;
}

static int
run_broker(struct start *start)
{
    struct epb_broker_service broker;
    struct epb_bytes secret = {(const uint8_t *)start->secret, start->secret_bytes};

    epb_broker_service_init(&broker, start->cli, secret);
    if (epb_cli_flag(start->cli, EPB_OPTION_START_DETACH)) {
        return epb_detach_run(start->cli, &broker, start->secret);
    }
    if (start->command == NULL) {
        return epb_standalone_run(start->cli, &broker, start->secret);
    }
    /* With a command the broker lives exactly as long as the command. */
    broker.options.idle_timeout_ms = 0;
    broker.command = epb_sys_pid();
    return run_command(start, &broker);
}

int
epb_cmd_start(struct epb_cli *cli)
{
    struct start start = {.cli = cli, .command = cli->args.command};
    const char *outer = epb_cli_env(EPB_ENV_PIPE);
    bool has_outer = outer != NULL && *outer != '\0';
    int status = check_flags(cli, start.command != NULL);

    if (status == 0 && start.command != NULL) {
        status = epb_run_check(start.command);
    }
    if (status != 0) {
        return status;
    }
    if (epb_cli_flag(cli, EPB_OPTION_START_REUSE) && has_outer) {
        return epb_reuse_run(cli, start.command);
    }
    status = choose_secret(&start);
    if (status == 0) {
        if (has_outer) {
            epb_cli_complain(EPB_ENV_PIPE " is set: making another broker for this "
                                          "command; --reuse joins that one");
        }
        status = run_broker(&start);
    }
    forget_secret(&start);
    return status;
}
