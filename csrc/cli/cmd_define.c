/* pool, limit, describe, clear: definitions. */
#include <stdlib.h>
#include <string.h>

#include "../client/packed.h"
#include "../core/lease.h"
#include "commands.h"
#include "dialog.h"
#include "holders.h"
#include "print.h"
#include "show.h"
#include "values.h"

static const struct epb_hint POOL_HINTS[] = {
    {EPB_CONFLICT, "it is a pool of another list. --replace puts this list in its place, "
                   "--if-absent leaves what is there, --add adds to it"},
    {EPB_OK, NULL},
};

static const struct epb_hint LIMIT_HINTS[] = {
    {EPB_CONFLICT, "it is a semaphore with another number of permits. --replace changes "
                   "it, --if-absent leaves what is there"},
    {EPB_OK, NULL},
};

static int
print_truth(struct epb_cli *cli, const struct epb_reply *reply)
{
    return epb_print_truth(cli, reply->count != 0);
}

static int
print_size(struct epb_cli *cli, const struct epb_reply *reply)
{
    return epb_print_number(cli, reply->count);
}

/* What to do with an existing definition. */
static uint32_t
defining_flags(const struct epb_cli *cli)
{
    return (epb_cli_flag(cli, EPB_OPTION_FLAG_REPLACE) ? EPB_F_FORCE : 0U) |
           (epb_cli_flag(cli, EPB_OPTION_FLAG_KEEP) ? EPB_F_IF_ABSENT : 0U);
}

int
epb_run_pool(struct epb_cli *cli)
{
    bool adds = epb_cli_flag(cli, EPB_OPTION_FLAG_ADD);
    struct epb_request request = {.action = adds ? EPB_ACTION_POOL_ADD : EPB_ACTION_POOL,
                                  .flags = adds ? 0 : defining_flags(cli),
                                  .key = epb_dialog_word(cli, 0)};
    struct epb_dialog dialog;
    struct epb_buf elements;

    epb_buf_init(&elements, EPB_VALUES_MAX_BYTES);
    int status = epb_dialog_open(&dialog, cli, NULL);
    if (status == 0) {
        status = epb_value_read_elements(cli, cli->args.words + 1,
                                         cli->args.word_count - 1, &elements);
    }
    if (status == 0) {
        request.value =
            (struct epb_bytes){epb_buf_data(&elements), epb_buf_size(&elements)};
        status = epb_dialog_answer(&dialog, &request, adds ? NULL : POOL_HINTS,
                                   adds ? print_size : print_truth);
    }
    epb_buf_fini(&elements);
    epb_dialog_close(&dialog);
    return status;
}

/* Reads a number of permits: digits alone. */
static bool
read_permits(const char *word, int64_t *permits)
{
    char *end = NULL;

    if (*word < '0' || *word > '9' || strlen(word) > 18) {
        return false;
    }
    *permits = strtoll(word, &end, 10);
    return *end == '\0' && *permits >= 1 && *permits <= EPB_PERMITS_MAX;
}

int
epb_run_limit(struct epb_cli *cli)
{
    struct epb_request request = {.action = EPB_ACTION_LIMIT,
                                  .flags = EPB_F_COUNT | defining_flags(cli),
                                  .key = epb_dialog_word(cli, 0)};

    if (!read_permits(cli->args.words[1], &request.count)) {
        return epb_cli_wrong_use(
            cli,
            "how many at a time? A whole number from 1 to 1,000,000, "
            "not \"%.80s\"",
            cli->args.words[1]);
    }
    return epb_dialog_run(cli, &request, LIMIT_HINTS, print_truth);
}

/* describe */

static void
put_count(struct epb_text *text, const char *before, uint64_t count)
{
    epb_text_put(text, before);
    epb_text_put_number(text, count);
}

static enum epb_status
write_description(struct epb_buf *out, const struct epb_packed_description *description)
{
    struct epb_text text = epb_text_begin(out);
    uint8_t kind = description->kind;

    epb_text_put(&text, "{\"kind\":\"");
    epb_text_put(&text, epb_holders_kind_name(kind));
    epb_text_put(&text, "\"");
    if (kind == EPB_KIND_POOL || kind == EPB_KIND_SEMAPHORE) {
        put_count(&text, ",\"size\":", description->size);
    }
    if (kind != EPB_KIND_NUMBERS) {
        put_count(&text, ",\"free\":", description->free);
        put_count(&text, ",\"waiting\":", description->waiting);
    }
    epb_text_put(&text, "}\n");
    return epb_text_end(&text);
}

static int
print_description(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_packed_description description;
    struct epb_buf out;

    epb_buf_init(&out, 1024);
    return epb_print_finish(cli, &out,
                            epb_packed_description(reply->body, &description)
                                ? write_description(&out, &description)
                                : EPB_VERSION_MISMATCH);
}

/* Nothing has the name. The refusal to read it names the keys that are near. */
static int
describe_nothing(struct epb_dialog *dialog, struct epb_bytes key)
{
    const struct epb_request ttl = {.action = EPB_ACTION_TTL, .key = key};
    const struct epb_reply unknown = {.status = EPB_NOT_FOUND};
    struct epb_reply reply;
    int status = epb_dialog_try(dialog, &ttl, &reply);

    if (status != 0) {
        return status;
    }
    /* Otherwise it has come into being meanwhile. */
    return epb_dialog_refuse(dialog, &ttl, NULL,
                             reply.status == EPB_NOT_FOUND ? &reply : &unknown);
}

int
epb_run_describe(struct epb_cli *cli)
{
    const struct epb_request request = {.action = EPB_ACTION_DESCRIBE,
                                        .key = epb_dialog_word(cli, 0)};
    struct epb_dialog dialog;
    struct epb_reply reply;
    int status = epb_dialog_open(&dialog, cli, NULL);

    if (status == 0) {
        status = epb_dialog_ask(&dialog, &request, NULL, &reply);
    }
    if (status == 0) {
        status = reply.body.size_bytes == 0 ? describe_nothing(&dialog, request.key)
                                            : print_description(cli, &reply);
    }
    epb_dialog_close(&dialog);
    return status;
}

/* clear */

static int
print_cleared(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf out;

    epb_buf_init(&out, 256);
    struct epb_text text = epb_text_begin(&out);
    put_count(&text, "{\"cleared\":", (uint64_t)reply->count);
    put_count(&text, ",\"held\":", reply->burst);
    epb_text_put(&text, "}\n");
    return epb_print_finish(cli, &out, epb_text_end(&text));
}

int
epb_run_clear(struct epb_cli *cli)
{
    struct epb_request request = {.action = EPB_ACTION_CLEAR,
                                  .key = epb_dialog_word(cli, 0)};

    return epb_dialog_run(cli, &request, NULL, print_cleared);
}
