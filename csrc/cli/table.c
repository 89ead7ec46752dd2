/* See table.h. */
#include "table.h"

#include <string.h>

#include "../wire/text.h"

static const char *const KINDS[] = {
    [EPB_KIND_BROKER] = "broker", [EPB_KIND_CLIENT] = "client",
    [EPB_KIND_SECRET] = "secret", [EPB_KIND_START] = "start",
    [EPB_KIND_FLAG] = "flag",
};

static const char *const TYPES[] = {
    [EPB_TYPE_BYTES] = "bytes",       [EPB_TYPE_MS] = "ms",
    [EPB_TYPE_COUNT] = "count",       [EPB_TYPE_BOOLEAN] = "boolean",
    [EPB_TYPE_ENUM] = "enum",         [EPB_TYPE_STRING] = "string",
    [EPB_TYPE_FUNCTION] = "function",
};

static void
put_json_text(struct epb_text *text, const char *string)
{
    epb_text_put_json_string(text,
                             (struct epb_bytes){(const uint8_t *)string, strlen(string)});
}

/* ,"name":"text"; nothing for NULL. */
static void
put_member(struct epb_text *text, const char *name, const char *string)
{
    if (string != NULL) {
        epb_text_put(text, ",");
        put_json_text(text, name);
        epb_text_put(text, ":");
        put_json_text(text, string);
    }
}

static void
put_number(struct epb_text *text, const char *name, uint64_t number)
{
    if (number != 0) {
        epb_text_put(text, ",");
        put_json_text(text, name);
        epb_text_put(text, ":");
        epb_text_put_number(text, number);
    }
}

static void
put_true(struct epb_text *text, const char *name, bool is_true)
{
    if (is_true) {
        epb_text_put(text, ",");
        put_json_text(text, name);
        epb_text_put(text, ":true");
    }
}

/* What epb_option_usage and epb_option_show_fallback write. */
static void
put_shown(struct epb_text *text, const char *name, const struct epb_option *option,
          enum epb_status (*show)(struct epb_buf *out, const struct epb_option *option))
{
    struct epb_buf shown;

    epb_buf_init(&shown, 512);
    epb_text_note(text, show(&shown, option));
    epb_text_put(text, ",");
    put_json_text(text, name);
    epb_text_put(text, ":");
    epb_text_put_json_string(
        text, (struct epb_bytes){epb_buf_data(&shown), epb_buf_size(&shown)});
    epb_buf_fini(&shown);
}

static void
put_option(struct epb_text *text, const struct epb_option *option)
{
    epb_text_put(text, "{\"kind\":");
    put_json_text(text, KINDS[option->kind]);
    put_member(text, "name", option->name);
    put_member(text, "type", TYPES[option->type]);
    epb_text_put(text, ",\"fallback\":");
    epb_text_put_number(text, option->fallback);
    put_number(text, "min", option->min);
    put_number(text, "maxBytes", option->max_bytes);
    put_true(text, "identifier", option->identifier);
    put_true(text, "endless", option->endless);
    put_true(text, "isNever", option->never);
    put_true(text, "negated", option->negated);
    put_true(text, "optional", option->optional);
    put_true(text, "repeats", option->repeats);
    put_member(text, "env", option->env);
    put_member(text, "flag", option->flag);
    put_member(text, "values", option->values);
    put_member(text, "placeholder", option->placeholder);
    put_member(text, "patternHelp", option->pattern_help);
    put_member(text, "defaultHelp", option->fallback_help);
    put_member(text, "zeroMeans", option->zero_means);
    put_member(text, "help", option->help);
    put_member(text, "flagHelp", option->flag_help);
    put_shown(text, "shownDefault", option, epb_option_show_fallback);
    if (option->flag != NULL) {
        put_shown(text, "usage", option, epb_option_usage);
    }
    epb_text_put(text, "}");
}

/* The places of a command's options in the list of options. */
static void
put_known(struct epb_text *text, const struct epb_cli_command *command)
{
    enum epb_option_id known[EPB_OPTION_COUNT];
    size_t count = epb_cli_known(command, known);

    epb_text_put(text, ",\"options\":[");
    for (size_t i = 0; i < count; i++) {
        epb_text_put(text, i == 0 ? "" : ",");
        epb_text_put_number(text, (uint64_t)known[i]);
    }
    epb_text_put(text, "]");
}

static void
put_command(struct epb_text *text, const struct epb_cli_command *command)
{
    epb_text_put(text, "{\"name\":");
    put_json_text(text, command->name);
    put_member(text, "usage", command->usage);
    put_member(text, "summary", command->summary);
    put_member(text, "note", command->note);
    put_member(text, "examples", command->examples);
    put_number(text, "group", command->group);
    put_true(text, "runsCommand", command->runs_command);
    put_known(text, command);
    epb_text_put(text, "}");
}

enum epb_status
epb_table_write(struct epb_buf *out, const struct epb_cli *cli)
{
    struct epb_text text = epb_text_begin(out);

    epb_text_put(&text, "{\"commands\":[");
    for (size_t i = 0; i < cli->command_count; i++) {
        epb_text_put(&text, i == 0 ? "" : ",");
        put_command(&text, &cli->commands[i]);
    }
    epb_text_put(&text, "],\"options\":[");
    for (unsigned id = 0; id < EPB_OPTION_COUNT; id++) {
        epb_text_put(&text, id == 0 ? "" : ",");
        put_option(&text, epb_option_row((enum epb_option_id)id));
    }
    epb_text_put(&text, "]}\n");
    return epb_text_end(&text);
}
