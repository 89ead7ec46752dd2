/* get, set, touch, del, has, ttl, incr, list, wait: values. */
#include <stdlib.h>
#include <string.h>

#include "../base/quote.h"
#include "../client/packed.h"
#include "commands.h"
#include "dialog.h"
#include "print.h"
#include "show.h"
#include "values.h"

#define TTL_HINT \
    "how long should it live? Give --ttl 30s, 5m or 1h, or set CLIENT_DEFAULT_TTL"

static const struct epb_hint TTL_HINTS[] = {{EPB_TTL_REQUIRED, TTL_HINT}, {EPB_OK, NULL}};

/* A request about the command's first word. */
static struct epb_request
about_key(const struct epb_cli *cli, enum epb_action action)
{
    return (struct epb_request){.action = (uint8_t)action,
                                .key = epb_dialog_word(cli, 0)};
}

/* Sets the TTL from --ttl, else from CLIENT_DEFAULT_TTL. */
static void
put_ttl(const struct epb_cli *cli, struct epb_request *request)
{
    uint64_t ttl_ms = epb_cli_is_given(cli, EPB_OPTION_FLAG_TTL)
                          ? epb_cli_number(cli, EPB_OPTION_FLAG_TTL)
                          : epb_cli_number(cli, EPB_OPTION_CLIENT_DEFAULT_TTL);

    if (ttl_ms != 0) {
        request->ttl_ms = ttl_ms;
        request->flags |= EPB_F_TTL;
    }
}

int
epb_run_get(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_GET);

    return epb_dialog_run(cli, &request, NULL, epb_print_value);
}

/* `--secret -` reads the first line of standard input, so the value comes after it. */
int
epb_run_set(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_SET);
    struct epb_dialog dialog;
    struct epb_buf value;

    epb_buf_init(&value, EPB_VALUES_MAX_BYTES);
    int status = epb_dialog_open(&dialog, cli, NULL);
    if (status == 0) {
        status = epb_value_read(cli, &value, &request.flags);
    }
    if (status == 0) {
        request.value = (struct epb_bytes){epb_buf_data(&value), epb_buf_size(&value)};
        put_ttl(cli, &request);
        if (epb_cli_flag(cli, EPB_OPTION_FLAG_IF_ABSENT)) {
            request.flags |= EPB_F_IF_ABSENT;
        }
        status = epb_dialog_answer(&dialog, &request, TTL_HINTS, NULL);
    }
    epb_buf_fini(&value);
    epb_dialog_close(&dialog);
    return status;
}

static int
print_count_as_truth(struct epb_cli *cli, const struct epb_reply *reply)
{
    return epb_print_truth(cli, reply->count != 0);
}

int
epb_run_del(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_DEL);

    return epb_dialog_run(cli, &request, NULL, print_count_as_truth);
}

static int
print_whether(struct epb_cli *cli, const struct epb_reply *reply)
{
    int status = epb_print_truth(cli, reply->count != 0);

    return status == 0 && reply->count == 0 ? EPB_EXIT_REFUSED : status;
}

int
epb_run_touch(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_TOUCH);

    put_ttl(cli, &request);
    return epb_dialog_run(cli, &request, TTL_HINTS, print_whether);
}

int
epb_run_has(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_HAS);

    return epb_dialog_run(cli, &request, NULL, print_whether);
}

/* JSON has no infinity: null is as long as the broker. */
static void
put_ttl_json(struct epb_text *text, uint64_t ttl_ms)
{
    if (ttl_ms >= EPB_NUMBER_MAX) {
        epb_text_put(text, "null");
    } else {
        epb_text_put_number(text, ttl_ms);
    }
}

static int
print_ttl(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, 128);
    struct epb_text text = epb_text_begin(&out);
    if (epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        put_ttl_json(&text, reply->ttl_ms);
    } else {
        epb_show_duration(&text, reply->ttl_ms);
    }
    epb_text_put(&text, "\n");
    return epb_print_finish(cli, &out, epb_text_end(&text));
}

int
epb_run_ttl(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_TTL);

    return epb_dialog_run(cli, &request, NULL, print_ttl);
}

/* Reads the step of incr: digits after a sign, up to 2^53 - 1. */
static bool
read_step(const char *word, int64_t *step)
{
    const char *digits = word + (*word == '-' || *word == '+');
    char *end = NULL;

    if (*digits < '0' || *digits > '9' || strlen(digits) > 18) {
        return false;
    }
    *step = strtoll(word, &end, 10);
    return *end == '\0' && *step <= EPB_NUMBER_MAX && *step >= -EPB_NUMBER_MAX;
}

/* "..., not "TEXT"". */
static int
wrong_word(const struct epb_cli *cli, const char *sentence, struct epb_bytes word)
{
    struct epb_buf quoted;

    epb_buf_init(&quoted, 1024);
    enum epb_status status = epb_quote(&quoted, word, 80);
    int result = status == EPB_OK ? epb_cli_wrong_use(cli, "%s, not %.*s", sentence,
                                                      (int)epb_buf_size(&quoted),
                                                      (const char *)epb_buf_data(&quoted))
                                  : epb_cli_no_memory(cli);
    epb_buf_fini(&quoted);
    return result;
}

static int
print_count(struct epb_cli *cli, const struct epb_reply *reply)
{
    return epb_print_number(cli, reply->count);
}

int
epb_run_incr(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_INCR);

    request.flags = EPB_F_COUNT;
    request.count = 1;
    if (cli->args.word_count > 1 && !read_step(cli->args.words[1], &request.count)) {
        return wrong_word(cli, "the step is a whole number", epb_dialog_word(cli, 1));
    }
    put_ttl(cli, &request);
    return epb_dialog_run(cli, &request, TTL_HINTS, print_count);
}

/* list */

static void
put_item_json(struct epb_text *text, const struct epb_packed_item *item)
{
    epb_text_put(text, "{\"key\":");
    epb_text_put_json_string(text, item->key);
    epb_text_put(text, ",\"ttl\":");
    put_ttl_json(text, item->ttl_ms);
    epb_text_put(text, ",\"version\":");
    epb_text_put_number(text, item->version);
    epb_text_put(text, ",\"size\":");
    epb_text_put_number(text, item->value_bytes);
    epb_text_put(text, "}");
}

static enum epb_status
write_list_json(struct epb_buf *out, struct epb_bytes rest)
{
    struct epb_text text = epb_text_begin(out);
    struct epb_packed_item item;

    epb_text_put(&text, "[");
    for (bool first = true; rest.size_bytes > 0; first = false) {
        if (!epb_packed_item(&rest, &item)) {
            return EPB_VERSION_MISMATCH;
        }
        epb_text_put(&text, first ? "" : ",");
        put_item_json(&text, &item);
    }
    epb_text_put(&text, "]\n");
    return epb_text_end(&text);
}

static void
put_item_cells(struct epb_text *text, const struct epb_packed_item *item)
{
    epb_show_name(text, item->key);
    epb_grid_next(text);
    epb_show_duration(text, item->ttl_ms);
    epb_grid_next(text);
    epb_show_size(text, item->value_bytes);
    epb_grid_next(text);
    epb_text_put_number(text, item->version);
    epb_grid_next(text);
}

static enum epb_status
write_list_table(struct epb_buf *out, struct epb_bytes rest)
{
    static const char head[] = "KEY\0EXPIRES IN\0SIZE\0VERSION";
    struct epb_packed_item item;
    struct epb_buf cells;

    epb_buf_init(&cells, EPB_PRINT_MAX_BYTES);
    struct epb_text text = epb_text_begin(&cells);
    epb_text_put_bytes(&text, (struct epb_bytes){(const uint8_t *)head, sizeof(head)});
    while (rest.size_bytes > 0 && text.status == EPB_OK) {
        if (epb_packed_item(&rest, &item)) {
            put_item_cells(&text, &item);
        } else {
            epb_text_note(&text, EPB_VERSION_MISMATCH);
        }
    }
    enum epb_status status = epb_text_end(&text);
    if (status == EPB_OK) {
        struct epb_grid grid = {&cells, 4, 0xE};
        status = epb_grid_write(out, &grid);
    }
    epb_buf_fini(&cells);
    return status;
}

static int
print_list(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    if (epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)) {
        return epb_print_finish(cli, &out, write_list_json(&out, reply->body));
    }
    if (reply->body.size_bytes == 0) {
        return epb_print_none(cli, "values");
    }
    return epb_print_finish(cli, &out, write_list_table(&out, reply->body));
}

int
epb_run_list(struct epb_cli *cli)
{
    struct epb_request request = about_key(cli, EPB_ACTION_LIST);

    return epb_dialog_run(cli, &request, NULL, print_list);
}

int
epb_run_wait(struct epb_cli *cli)
{
    static const struct epb_hint hints[] = {
        {EPB_WAIT_TIMEOUT, "it has got no value in time"}, {EPB_OK, NULL}};
    struct epb_request request = about_key(cli, EPB_ACTION_WAIT_FOR);

    request.flags = EPB_F_WAIT;
    request.wait_ms = epb_cli_is_given(cli, EPB_OPTION_FLAG_WAIT_FOR)
                          ? epb_cli_number(cli, EPB_OPTION_FLAG_WAIT_FOR)
                          : EPB_NUMBER_MAX;
    return epb_dialog_run(cli, &request, hints, epb_print_value);
}
