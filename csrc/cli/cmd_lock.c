/*
 * `lock NAME -- command` and `lease KEY ... -- command`: the command runs while a
 * companion holds what it needs (holding.h), and ends with its own status. What is held
 * is free when the command's process ends. `lease KEY --pid N`: a companion holds it
 * until that process ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/sys.h"
#include "commands.h"
#include "holding.h"
#include "print.h"
#include "values.h"

#define DEFAULT_VARIABLE "EPB_VALUE"
#define VALUE_MAX_BYTES EPB_COMPANION_ANSWER_MAX_BYTES

static const struct epb_hint LOCK_HINTS[] = {
    {EPB_LEASE_HELD, "It is taken, and --wait 0 does not wait"},
    {EPB_DEADLOCK,
     "the command around this one holds it, so that neither would ever go on"},
    {EPB_WAIT_TIMEOUT, "It did not become free in time"},
    {EPB_OK, NULL},
};

static const struct epb_hint LEASE_HINTS[] = {
    {EPB_LEASE_HELD, "Nothing of it is free. --wait TIME waits in line"},
    {EPB_DEADLOCK,
     "the command around this one holds it, so that neither would ever go on"},
    {EPB_WAIT_TIMEOUT, "Nothing of it became free in time"},
    {EPB_OK, NULL},
};

/* The name of the holder: the process that has it, when none is given. */
static struct epb_bytes
worker_of(const struct epb_cli *cli, uint32_t pid)
{
    static char number[16];
    const char *worker = epb_dialog_worker(cli, EPB_OPTION_FLAG_WORKER);

    if (worker == NULL) {
        (void)snprintf(number, sizeof(number), "%" PRIu32, pid);
        worker = number;
    }
    return (struct epb_bytes){(const uint8_t *)worker, strlen(worker)};
}

static struct epb_request
request_of(const struct epb_cli *cli, uint8_t action, size_t word, enum epb_option_id ttl,
           enum epb_option_id wait, uint64_t wait_ms)
{
    return (struct epb_request){
        .action = action,
        .flags = EPB_F_TTL | EPB_F_WAIT | EPB_F_FRESH,
        .key = epb_dialog_word(cli, word),
        .worker = worker_of(cli, epb_sys_pid()),
        .ttl_ms = epb_cli_is_given(cli, ttl) ? epb_cli_number(cli, ttl)
                                             : EPB_LEASE_TTL_DEFAULT_MS,
        .wait_ms = epb_cli_is_given(cli, wait) ? epb_cli_number(cli, wait) : wait_ms,
    };
}

int
epb_run_lock(struct epb_cli *cli)
{
    struct epb_holdings holdings;

    epb_holdings_init(&holdings, cli);
    holdings.hints = LOCK_HINTS;
    holdings.count = 1;
    holdings.each[0].request =
        request_of(cli, EPB_ACTION_LOCK, 0, EPB_OPTION_FLAG_LOCK_TTL,
                   EPB_OPTION_FLAG_LOCK_WAIT, EPB_NUMBER_MAX);
    if (epb_cli_flag(cli, EPB_OPTION_FLAG_SHARED)) {
        holdings.each[0].request.flags |= EPB_F_SHARED;
    }
    return epb_holdings_run(&holdings);
}

/* Elements in variables */

/* "NAME" or "NAME=.field". */
struct variable {
    struct epb_bytes name;
    const char *field; /* NULL: the whole element */
};

static bool
read_variable(const char *text, struct variable *variable)
{
    const char *equals = strchr(text, '=');
    size_t size = equals == NULL ? strlen(text) : (size_t)(equals - text);

    *variable = (struct variable){.name = {(const uint8_t *)text, size}};
    if (equals != NULL) {
        variable->field = equals + 2;
    }
    return size > 0 && (equals == NULL || (equals[1] == '.' && equals[2] != '\0'));
}

/* A stored value without the newline that a terminal wants. */
static enum epb_status
put_shown(struct epb_buf *out, struct epb_bytes stored, uint32_t flags)
{
    enum epb_status status = epb_value_show(out, stored, flags, false);

    if (status == EPB_OK && (flags & EPB_F_BINARY) == 0) {
        epb_buf_truncate(out, 1);
    }
    return status;
}

/* The text of an element: a number, or a value. */
static enum epb_status
put_element(struct epb_buf *out, const struct epb_reply *reply)
{
    if ((reply->flags & EPB_F_COUNT) != 0) {
        return epb_buf_printf(out, "%" PRId64, reply->count);
    }
    return put_shown(out, reply->body, reply->flags);
}

/* The text of a member of an element that is a JSON object. EPB_NOT_FOUND: there is no
 * such member. */
static enum epb_status
put_member(struct epb_buf *out, const struct epb_reply *reply, const char *field)
{
    struct epb_buf whole;

    epb_buf_init(&whole, VALUE_MAX_BYTES);
    enum epb_status status = put_element(&whole, reply);
    if (status == EPB_OK) {
        struct epb_bytes object = {epb_buf_data(&whole), epb_buf_size(&whole)};
        struct epb_bytes member = epb_members_find(object, field);
        status = member.size_bytes == 0 ? EPB_NOT_FOUND : put_shown(out, member, 0);
    }
    epb_buf_fini(&whole);
    return status;
}

static int
complain(struct epb_cli *cli, const struct variable *variable, enum epb_status status)
{
    int size = (int)variable->name.size_bytes;
    const char *name = (const char *)variable->name.data;

    if (status == EPB_NOT_FOUND) {
        epb_cli_complain("%s: --env %.*s=.%s: the element has no such member",
                         cli->command->name, size, name, variable->field);
        return EPB_EXIT_REFUSED;
    }
    if (status == EPB_INVALID_VALUE || status == EPB_TOO_LARGE) {
        epb_cli_complain("%s: --env %.*s: the element has a NUL or is too large for a "
                         "variable",
                         cli->command->name, size, name);
        return EPB_EXIT_REFUSED;
    }
    return epb_cli_no_memory(cli);
}

static int
put_variable(struct epb_cli *cli, const char *text, const struct epb_reply *reply,
             struct epb_buf *out)
{
    struct variable variable;
    struct epb_buf value;

    if (!read_variable(text, &variable)) {
        return epb_cli_wrong_use(cli, "--env takes NAME or NAME=.field");
    }
    epb_buf_init(&value, VALUE_MAX_BYTES);
    enum epb_status status = variable.field == NULL
                                 ? put_element(&value, reply)
                                 : put_member(&value, reply, variable.field);
    size_t size = epb_buf_size(&value);
    if (status == EPB_OK && size > 0 && memchr(epb_buf_data(&value), 0, size) != NULL) {
        status = EPB_INVALID_VALUE;
    }
    if (status == EPB_OK) {
        status = epb_buf_append(out, variable.name.data, variable.name.size_bytes);
    }
    status = status == EPB_OK ? epb_buf_append(out, "=", 1) : status;
    status = status == EPB_OK ? epb_buf_append(out, epb_buf_data(&value), size) : status;
    status = status == EPB_OK ? epb_buf_append(out, "", 1) : status;
    epb_buf_fini(&value);
    return status == EPB_OK ? 0 : complain(cli, &variable, status);
}

/* The text of the n-th --env; NULL: there are fewer. */
static const char *
env_flag(const struct epb_cli *cli, size_t n)
{
    for (size_t i = 0; i < cli->args.given_count; i++) {
        if (cli->args.given[i].id == EPB_OPTION_FLAG_LEASE_ENV && n-- == 0) {
            return cli->args.given[i].value.text;
        }
    }
    return NULL;
}

static int
put_variables(struct epb_cli *cli, size_t index, const struct epb_reply *reply,
              struct epb_buf *variables)
{
    const char *text = env_flag(cli, index);
    int status = 0;

    if (cli->args.word_count > 1) {
        return put_variable(cli, text, reply, variables);
    }
    if (text == NULL) {
        return put_variable(cli, DEFAULT_VARIABLE, reply, variables);
    }
    for (size_t n = 0; text != NULL && status == 0; text = env_flag(cli, ++n)) {
        status = put_variable(cli, text, reply, variables);
    }
    return status;
}

/* Names are checked before anything is leased. */
static int
check_variables(const struct epb_cli *cli, size_t keys)
{
    struct variable variable;
    size_t count = 0;

    for (const char *text = env_flag(cli, 0); text != NULL;
         text = env_flag(cli, ++count)) {
        if (!read_variable(text, &variable)) {
            return epb_cli_wrong_use(cli, "--env takes NAME or NAME=.field");
        }
    }
    if (keys > EPB_HOLDINGS_MAX) {
        return epb_cli_wrong_use(cli, "at most %u keys", EPB_HOLDINGS_MAX);
    }
    return keys > 1 && count != keys
               ? epb_cli_wrong_use(cli,
                                   "with several keys, give --env NAME once for each")
               : 0;
}

int
epb_run_lease_command(struct epb_cli *cli)
{
    struct epb_holdings holdings;
    size_t keys = cli->args.word_count;
    int status = check_variables(cli, keys);

    if (status != 0) {
        return status;
    }
    epb_holdings_init(&holdings, cli);
    holdings.hints = LEASE_HINTS;
    holdings.put_variables = put_variables;
    holdings.count = keys;
    for (size_t i = 0; i < keys; i++) {
        holdings.each[i].request = request_of(
            cli, EPB_ACTION_LEASE, i, EPB_OPTION_FLAG_LEASE_TTL, EPB_OPTION_FLAG_WAIT, 0);
    }
    return epb_holdings_run(&holdings);
}

/* For a process */

#define GRANT_HEAD_BYTES 12U

/* What was granted, for the caller to print. */
static int
pack_grant(struct epb_cli *cli, size_t index, const struct epb_reply *reply,
           struct epb_buf *out)
{
    uint8_t head[GRANT_HEAD_BYTES];

    (void)index;
    epb_put_u32(head, reply->flags);
    epb_put_u64(head + 4, (uint64_t)reply->count);
    enum epb_status status = epb_buf_append(out, head, sizeof(head));
    if (status == EPB_OK) {
        status = epb_buf_append(out, reply->body.data, reply->body.size_bytes);
    }
    return status == EPB_OK ? 0 : epb_cli_no_memory(cli);
}

static int
print_grant(struct epb_cli *cli, const struct epb_buf *packed)
{
    const uint8_t *data = epb_buf_data(packed);
    const struct epb_reply reply = {
        .flags = epb_get_u32(data),
        .count = (int64_t)epb_get_u64(data + 4),
        .body = {data + GRANT_HEAD_BYTES, epb_buf_size(packed) - GRANT_HEAD_BYTES},
    };

    return (reply.flags & EPB_F_COUNT) != 0 ? epb_print_number(cli, reply.count)
                                            : epb_print_value(cli, &reply);
}

int
epb_run_lease_for(struct epb_cli *cli)
{
    uint64_t pid = epb_cli_number(cli, EPB_OPTION_FLAG_LEASE_PID);
    struct epb_holdings holdings;
    struct epb_buf packed;

    if (!EPB_COMPANION_IS_PROCESS) {
        return epb_cli_wrong_use(cli, "--pid is not for Windows");
    }
    if (pid > INT32_MAX) {
        return epb_cli_wrong_use(cli, "--pid takes the number of a process");
    }
    epb_holdings_init(&holdings, cli);
    holdings.hints = LEASE_HINTS;
    holdings.pid = (uint32_t)pid;
    holdings.put_variables = pack_grant;
    holdings.count = 1;
    holdings.each[0].request = request_of(
        cli, EPB_ACTION_LEASE, 0, EPB_OPTION_FLAG_LEASE_TTL, EPB_OPTION_FLAG_WAIT, 0);
    holdings.each[0].request.worker = worker_of(cli, holdings.pid);
    epb_buf_init(&packed, EPB_COMPANION_ANSWER_MAX_BYTES);
    int status = epb_holdings_tie(&holdings, &packed);
    if (status == 0) {
        status = print_grant(cli, &packed);
    }
    epb_buf_fini(&packed);
    return status;
}
