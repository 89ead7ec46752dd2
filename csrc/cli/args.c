/* See args.h. */
#include "args.h"

#include <string.h>

#include "../base/mem.h"
#include "../base/quote.h"
#include "../core/near.h"

#define ERROR_MAX_BYTES 4096U
#define SHOWN_MAX_BYTES 80U
#define UNITLESS_MAX_BYTES 20U
#define KNOWN_MAX 64U

struct parser {
    struct epb_args *args;
    char **next; /* the words that are not read yet */
    char **end;  /* at "--", or at the final NULL */
    const enum epb_option_id *known;
    size_t known_count;
    enum epb_status status;
};

/* A flag and its argument: "--name=inline". */
struct flag {
    const char *text;
    size_t name_bytes;   /* including the dashes */
    const char *inlined; /* NULL: none */
};

static struct flag
flag_of(const char *word)
{
    size_t size = strcspn(word, "=");

    return (struct flag){word, size, word[size] == '=' ? word + size + 1 : NULL};
}

static bool
is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9');
}

static bool
is_named(const struct flag *flag, const char *name)
{
    return strlen(name) == flag->name_bytes &&
           memcmp(flag->text, name, flag->name_bytes) == 0;
}

/* Whether the flag is --no-NAME of a boolean --NAME. */
static bool
is_negation(const struct flag *flag, const struct epb_option *option)
{
    static const char NO[] = "--no-";
    size_t prefix_bytes = sizeof(NO) - 1;

    return option->type == EPB_TYPE_BOOLEAN && !option->negated &&
           flag->name_bytes > prefix_bytes && memcmp(flag->text, NO, prefix_bytes) == 0 &&
           strlen(option->flag + 2) == flag->name_bytes - prefix_bytes &&
           memcmp(flag->text + prefix_bytes, option->flag + 2,
                  flag->name_bytes - prefix_bytes) == 0;
}

/* Suggestions */

const char *
epb_args_near(const char *word, const char *const *names, size_t count)
{
    struct epb_near_budget budget = {.a_ms = 1};
    const struct epb_bytes wanted = {(const uint8_t *)word, strlen(word)};
    struct epb_near near;

    if (!epb_near_begin(&near, &budget, wanted, count, 0)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const struct epb_bytes name = {(const uint8_t *)names[i], strlen(names[i])};
        if (!epb_near_compare(&near, name, 0)) {
            break;
        }
    }
    return near.count == 0 ? NULL : (const char *)near.names[0].name.data;
}

/* Errors */

static bool
has_error(const struct parser *parser)
{
    return epb_buf_size(&parser->args->error) > 0;
}

static void
note(struct parser *parser, enum epb_status status)
{
    if (parser->status == EPB_OK) {
        parser->status = status;
    }
}

static enum epb_status
put_near_flag(struct parser *parser, const struct flag *flag)
{
    const char *names[KNOWN_MAX];
    char word[SHOWN_MAX_BYTES];
    size_t count = 0;

    if (flag->name_bytes < 3 || flag->name_bytes - 2 >= sizeof(word)) {
        return EPB_OK;
    }
    memcpy(word, flag->text + 2, flag->name_bytes - 2);
    word[flag->name_bytes - 2] = '\0';
    for (size_t i = 0; i < parser->known_count; i++) {
        const char *known = epb_option_row(parser->known[i])->flag;
        if (known != NULL) {
            names[count++] = known + 2;
        }
    }
    const char *meant = epb_args_near(word, names, count);
    return meant == NULL
               ? EPB_OK
               : epb_buf_printf(&parser->args->error, " Did you mean --%s?", meant);
}

/* A flag that could be anything is shown without quotes only if it is harmless. */
static enum epb_status
put_flag(struct epb_buf *out, const struct flag *flag)
{
    const struct epb_bytes name = {(const uint8_t *)flag->text, flag->name_bytes};

    for (size_t i = 0; i < name.size_bytes; i++) {
        if (name.data[i] <= ' ' || name.data[i] >= 0x7F || i >= SHOWN_MAX_BYTES) {
            return epb_quote(out, name, SHOWN_MAX_BYTES);
        }
    }
    return epb_buf_append(out, name.data, name.size_bytes);
}

static enum epb_status
refuse_unknown(struct parser *parser, const struct flag *flag)
{
    struct epb_buf *out = &parser->args->error;
    enum epb_status status = epb_buf_printf(out, "Unknown flag ");

    status = status == EPB_OK ? put_flag(out, flag) : status;
    status = status == EPB_OK ? epb_buf_append(out, ".", 1) : status;
    return status == EPB_OK ? put_near_flag(parser, flag) : status;
}

/* Flags */

static void
give(struct parser *parser, enum epb_option_id id, struct epb_option_value value)
{
    struct epb_args *args = parser->args;

    args->given[args->given_count++] = (struct epb_given){id, value};
    if (id == EPB_OPTION_FLAG_HELP) {
        args->wants_help = value.number != 0;
    }
}

/* A time such as "60", which probably means seconds. */
static enum epb_status
refuse_unitless(struct epb_buf *out, const struct epb_option *option, const char *text)
{
    static const char SPACES[] = " \t\n\v\f\r";

    text += strspn(text, SPACES);
    size_t size = strcspn(text, SPACES);
    int shown = size > UNITLESS_MAX_BYTES ? (int)UNITLESS_MAX_BYTES : (int)size;
    return epb_buf_printf(out, "%s %.*s has no unit: say %.*ss for seconds, or %.*sms.",
                          option->flag, shown, text, shown, text, shown, text);
}

static void
give_text(struct parser *parser, enum epb_option_id id, const char *text)
{
    const struct epb_option *option = epb_option_row(id);
    struct epb_buf *error = &parser->args->error;
    struct epb_option_value value;

    if (epb_option_lacks_unit(option, text)) {
        if (!has_error(parser)) {
            note(parser, refuse_unitless(error, option, text));
        }
    } else if (epb_option_parse(option, text, &value) == EPB_OK) {
        value.number = option->negated ? (uint64_t)(value.number == 0) : value.number;
        give(parser, id, value);
    } else if (!has_error(parser)) {
        note(parser, epb_option_explain(error, option, option->flag, text));
    }
}

static void
read_known(struct parser *parser, enum epb_option_id id, const struct flag *flag)
{
    const struct epb_option *option = epb_option_row(id);

    if (flag->inlined != NULL) {
        give_text(parser, id, flag->inlined);
    } else if (option->type == EPB_TYPE_BOOLEAN) {
        give(parser, id, (struct epb_option_value){.number = !option->negated});
    } else if (parser->next < parser->end) {
        give_text(parser, id, *parser->next++);
    } else if (!has_error(parser)) {
        note(parser,
             epb_option_explain(&parser->args->error, option, option->flag, NULL));
    }
}

static void
read_flag(struct parser *parser, const char *word)
{
    struct flag flag = flag_of(word);

    if (is_named(&flag, "-h")) {
        parser->args->wants_help = true;
        return;
    }
    for (size_t i = 0; i < parser->known_count; i++) {
        enum epb_option_id id = parser->known[i];
        const struct epb_option *option = epb_option_row(id);
        if (option->flag == NULL) {
            continue;
        }
        if (is_named(&flag, option->flag)) {
            read_known(parser, id, &flag);
            return;
        }
        if (flag.inlined == NULL && is_negation(&flag, option)) {
            give(parser, id, (struct epb_option_value){.number = 0});
            return;
        }
    }
    if (!has_error(parser)) {
        note(parser, refuse_unknown(parser, &flag));
    }
}

/* All of it */

static size_t
count_words(char **argv)
{
    size_t count = 0;

    while (argv[count] != NULL) {
        count++;
    }
    return count;
}

/* At "--", or at the final NULL. */
static char **
end_of_flags(char **argv)
{
    while (*argv != NULL && strcmp(*argv, "--") != 0) {
        argv++;
    }
    return argv;
}

enum epb_status
epb_args_parse(struct epb_args *args, char **argv, const enum epb_option_id *known,
               size_t known_count)
{
    struct parser parser = {args, argv, end_of_flags(argv), known, known_count, EPB_OK};
    size_t room = count_words(argv) + 1;

    EPB_ASSERT(known_count <= KNOWN_MAX);
    *args = (struct epb_args){0};
    epb_buf_init(&args->error, ERROR_MAX_BYTES);
    if (*parser.end != NULL) {
        args->command = parser.end + 1;
        args->command_count = count_words(args->command);
    }
    args->given = epb_mem_table_alloc(room * sizeof(args->given[0]));
    args->words = epb_mem_table_alloc(room * sizeof(args->words[0]));
    if (args->given == NULL || args->words == NULL) {
        return EPB_INTERNAL;
    }
    while (parser.next < parser.end && *parser.next != NULL) {
        char *word = *parser.next++;
        if (is_flag(word)) {
            read_flag(&parser, word);
        } else {
            args->words[args->word_count++] = word;
        }
    }
    return parser.status;
}

void
epb_args_fini(struct epb_args *args)
{
    epb_mem_table_free(args->given);
    epb_mem_table_free(args->words);
    epb_buf_fini(&args->error);
}

const struct epb_option_value *
epb_args_find(const struct epb_args *args, enum epb_option_id id)
{
    for (size_t i = args->given_count; i > 0; i--) {
        if (args->given[i - 1].id == id) {
            return &args->given[i - 1].value;
        }
    }
    return NULL;
}
