/* See cli.h. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/quote.h"
#include "output.h"
#include "system.h"

#define STDERR 2
#define LINE_MAX_BYTES 4096U
#define SHOWN_MAX_BYTES 80U

/* Standard error */

static bool
is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7F;
}

/* Makes one line: a run of line breaks and spaces around them becomes a space. */
static size_t
flatten(char *text, size_t size_bytes)
{
    size_t end = 0;

    for (size_t at = 0; at < size_bytes; at++) {
        bool is_break = text[at] == '\n' || text[at] == '\r' || text[at] == '\t';
        if (is_break) {
            text[at] = ' ';
        }
        if (is_control(text[at]) || (is_break && end > 0 && text[end - 1] == ' ')) {
            continue;
        }
        text[end++] = text[at];
    }
    return end;
}

static void
complain_text(const char *text, size_t size_bytes)
{
    static const char PREFIX[] = EPB_CLI_PROGRAM ": ";
    char line[sizeof(PREFIX) + LINE_MAX_BYTES];
    size_t prefix_bytes = sizeof(PREFIX) - 1;

    size_bytes = size_bytes < LINE_MAX_BYTES ? size_bytes : LINE_MAX_BYTES;
    memcpy(line, PREFIX, prefix_bytes);
    memcpy(line + prefix_bytes, text, size_bytes);
    size_t end = prefix_bytes + flatten(line + prefix_bytes, size_bytes);
    line[end] = '\n';
    (void)epb_out_write(STDERR, line, end + 1);
}

static void
complain_va(const char *format, va_list values)
{
    char text[LINE_MAX_BYTES];
    int size = vsnprintf(text, sizeof(text), format, values);

    if (size >= 0) {
        complain_text(text,
                      (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}

void
epb_cli_complain(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    complain_va(format, values);
    va_end(values);
}

void
epb_cli_complain_buf(const struct epb_buf *text)
{
    complain_text((const char *)epb_buf_data(text), epb_buf_size(text));
}

static int
failure_status(const struct epb_cli *cli)
{
    int status = cli->command == NULL ? 0 : cli->command->failure_status;

    return status == 0 ? EPB_EXIT_WRONG_USE : status;
}

int
epb_cli_wrong_use(const struct epb_cli *cli, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list values;

    va_start(values, format);
    if (vsnprintf(text, sizeof(text), format, values) >= 0) {
        epb_cli_complain("%s: %s", cli->command->name, text);
    }
    va_end(values);
    return failure_status(cli);
}

int
epb_cli_no_memory(const struct epb_cli *cli)
{
    bool is_start = cli->command != NULL && cli->command->failure_status != 0;

    epb_cli_complain("memory is out");
    return is_start ? cli->command->failure_status : EPB_EXIT_REFUSED;
}

/* The table of commands */

const struct epb_cli_command *
epb_cli_find(const struct epb_cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->command_count; i++) {
        if (strcmp(cli->commands[i].name, name) == 0) {
            return &cli->commands[i];
        }
    }
    return NULL;
}

#define COMMANDS_MAX 64U

static const char *
near_command(const struct epb_cli *cli, const char *name)
{
    const char *names[COMMANDS_MAX];

    EPB_ASSERT(cli->command_count <= COMMANDS_MAX);
    for (size_t i = 0; i < cli->command_count; i++) {
        names[i] = cli->commands[i].name;
    }
    return epb_args_near(name, names, cli->command_count);
}

static enum epb_status
put_unknown(struct epb_buf *out, const char *name, const char *meant)
{
    const struct epb_bytes given = {(const uint8_t *)name, strlen(name)};
    enum epb_status status =
        epb_buf_printf(out, "unknown %s ", name[0] == '-' ? "flag" : "command");

    status = status == EPB_OK ? epb_quote(out, given, SHOWN_MAX_BYTES) : status;
    if (status != EPB_OK) {
        return status;
    }
    return meant == NULL ? epb_buf_printf(out, "; see: " EPB_CLI_PROGRAM " --help")
                         : epb_buf_printf(out, "; did you mean %s?", meant);
}

int
epb_cli_unknown(const struct epb_cli *cli, const char *name)
{
    struct epb_buf text;

    epb_buf_init(&text, LINE_MAX_BYTES);
    if (put_unknown(&text, name, near_command(cli, name)) == EPB_OK) {
        epb_cli_complain_buf(&text);
    }
    epb_buf_fini(&text);
    return EPB_EXIT_WRONG_USE;
}

static bool
has_kind(const struct epb_cli_command *command, enum epb_option_kind kind)
{
    return (command->kinds & (1U << kind)) != 0;
}

/* Flags that commands share. `start` has a --debug of its own: the broker's. */
static size_t
put_common(const struct epb_cli_command *command, enum epb_option_id *out)
{
    size_t count = 0;

    if (has_kind(command, EPB_KIND_CLIENT)) {
        if (!command->runs_command) {
            out[count++] = EPB_OPTION_FLAG_JSON;
        }
        out[count++] = EPB_OPTION_FLAG_PIPE;
        out[count++] = EPB_OPTION_FLAG_DEBUG;
    }
    out[count++] = EPB_OPTION_FLAG_HELP;
    return count;
}

size_t
epb_cli_known(const struct epb_cli_command *command, enum epb_option_id *out)
{
    size_t count = 0;

    for (size_t i = 0; i < EPB_CLI_FLAGS_MAX && command->flags[i] != 0; i++) {
        out[count++] = command->flags[i];
    }
    count += put_common(command, out + count);
    for (unsigned kind = 0; kind < EPB_KIND_FLAG; kind++) {
        for (unsigned id = 0; id < EPB_OPTION_COUNT; id++) {
            const struct epb_option *option = epb_option_row((enum epb_option_id)id);
            if (option->kind == kind && option->flag != NULL && has_kind(command, kind)) {
                out[count++] = (enum epb_option_id)id;
            }
        }
    }
    return count;
}

/* Options */

const char *
epb_cli_env(const char *name)
{
    return epb_system_env(name);
}

/* Reads the variable of an option. False after a complaint. */
static bool
resolve_variable(struct epb_cli_option *resolved, const struct epb_option *option)
{
    const char *text = option->env == NULL ? NULL : epb_cli_env(option->env);
    struct epb_buf error;

    if (text == NULL) {
        return true;
    }
    if (epb_option_parse(option, text, &resolved->value) == EPB_OK) {
        resolved->source = EPB_SOURCE_ENVIRONMENT;
        return true;
    }
    epb_buf_init(&error, LINE_MAX_BYTES);
    if (epb_option_explain(&error, option, option->env, text) == EPB_OK) {
        epb_cli_complain_buf(&error);
    }
    epb_buf_fini(&error);
    return false;
}

static bool
resolve(struct epb_cli *cli, enum epb_option_id id)
{
    const struct epb_option *option = epb_option_row(id);
    const struct epb_option_value *given = epb_args_find(&cli->args, id);
    struct epb_cli_option *resolved = &cli->options[id];

    *resolved = (struct epb_cli_option){.value = epb_option_fallback(option)};
    if (given != NULL) {
        *resolved = (struct epb_cli_option){*given, EPB_SOURCE_FLAG};
        return true;
    }
    return !has_kind(cli->command, option->kind) || resolve_variable(resolved, option);
}

/* What is wrong with the number of words, or with the command after them; NULL: nothing.
 */
static const char *
count_fault(const struct epb_cli_command *command, const struct epb_args *args,
            size_t words)
{
    if (words < command->words_min) {
        return "something is missing";
    }
    if (words > command->words_max) {
        return "too many words";
    }
    bool needs_command = !command->command_optional || args->command != NULL;
    if (command->runs_command && needs_command && args->command_count == 0) {
        return "there is no command after --";
    }
    return NULL;
}

/* Words after "--" are words of a command that runs none: both lie in argv in order, only
 * the flags between them do not. */
static void
join_words(struct epb_args *args)
{
    for (size_t i = 0; i < args->command_count; i++) {
        args->words[args->word_count++] = args->command[i];
    }
    args->command = NULL;
    args->command_count = 0;
}

static int
check_counts(struct epb_cli *cli)
{
    const struct epb_cli_command *command = cli->command;

    if (!command->runs_command) {
        join_words(&cli->args);
    }
    const char *fault = count_fault(command, &cli->args, cli->args.word_count);
    if (fault == NULL) {
        return 0;
    }
    return epb_cli_wrong_use(cli, "%s; usage: " EPB_CLI_PROGRAM " %s", fault,
                             command->usage);
}

/* Whether the complaint is about a flag that this word follows: then the word may be the
 * argument that the flag would have taken. */
static bool
follows_wrong_flag(const struct epb_args *args, char **argv, const char *word)
{
    const char *before = NULL;
    char error[LINE_MAX_BYTES];

    for (size_t i = 0; argv[i] != NULL && argv[i] != word; i++) {
        before = argv[i];
    }
    (void)snprintf(
        error, sizeof(error), "%.*s", (int)epb_buf_size(&args->error),
        epb_buf_size(&args->error) == 0 ? "" : (const char *)epb_buf_data(&args->error));
    return before != NULL && before[0] == '-' && strstr(error, before) != NULL;
}

/* npm exec takes the first "--" for itself, npx does not. */
static const char *
hint_for_npm(void)
{
    const char *command = epb_cli_env("npm_command");

    return command != NULL && strcmp(command, "exec") == 0
               ? "; npm exec takes the first --, so write: npm exec -- " EPB_CLI_PROGRAM
                 " ..."
               : "";
}

/* A word too many is most likely a command without "--", whose flags are not ours.
 * Returns 0, or the exit status after a complaint. */
static int
check_dashes(const struct epb_cli *cli, char **argv)
{
    const struct epb_args *args = &cli->args;
    const struct epb_cli_command *command = cli->command;

    if (!command->runs_command || args->command != NULL ||
        args->word_count <= command->words_max) {
        return 0;
    }
    const char *word = args->words[command->words_max];
    if (follows_wrong_flag(args, argv, word)) {
        return 0;
    }
    return epb_cli_wrong_use(
        cli, "put -- before the command: " EPB_CLI_PROGRAM " %s%s -- %s ...%s",
        command->name, command->words_max > 0 ? " ..." : "", word, hint_for_npm());
}

int
epb_cli_parse(struct epb_cli *cli, char **argv)
{
    enum epb_option_id known[EPB_OPTION_COUNT];
    size_t count = epb_cli_known(cli->command, known);

    if (epb_args_parse(&cli->args, argv, known, count) != EPB_OK) {
        return epb_cli_no_memory(cli);
    }
    if (cli->args.wants_help) {
        return 0;
    }
    int fault = check_dashes(cli, argv);
    if (fault != 0) {
        return fault;
    }
    if (epb_buf_size(&cli->args.error) > 0) {
        return epb_cli_wrong_use(cli, "%.*s", (int)epb_buf_size(&cli->args.error),
                                 (const char *)epb_buf_data(&cli->args.error));
    }
    int status = check_counts(cli);
    for (unsigned id = 0; id < EPB_OPTION_COUNT && status == 0; id++) {
        if (!resolve(cli, (enum epb_option_id)id)) {
            status = failure_status(cli);
        }
    }
    return status;
}

void
epb_cli_fini(struct epb_cli *cli)
{
    epb_args_fini(&cli->args);
}

bool
epb_cli_is_given(const struct epb_cli *cli, enum epb_option_id id)
{
    return cli->options[id].source != EPB_SOURCE_DEFAULT;
}

bool
epb_cli_flag(const struct epb_cli *cli, enum epb_option_id id)
{
    return cli->options[id].value.number != 0;
}

uint64_t
epb_cli_number(const struct epb_cli *cli, enum epb_option_id id)
{
    return cli->options[id].value.number;
}

const char *
epb_cli_text(const struct epb_cli *cli, enum epb_option_id id)
{
    return cli->options[id].value.text;
}
