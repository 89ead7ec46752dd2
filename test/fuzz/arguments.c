/*
 * Command lines. The bytes are words, each ended by a NUL, for one of two sets of
 * options. What is read lies in the words, a value is one that its option has, an error
 * is one line of text, and "--flag value" means the same as "--flag=value".
 */
#include "base/quote.h"
#include "base/utf8.h"
#include "cli/args.h"
#include "fuzz.h"
#include "wire/json.h"

#define WORDS_MAX 32U
#define KNOWN_MAX 60U

static size_t
known_options(bool flags, enum epb_option_id *known)
{
    size_t count = 0;

    for (unsigned id = 0; id < EPB_OPTION_COUNT && count < KNOWN_MAX; id++) {
        const struct epb_option *option = epb_option_row((enum epb_option_id)id);
        if ((option->kind == EPB_KIND_FLAG) == flags) {
            known[count++] = (enum epb_option_id)id;
        }
    }
    return count;
}

/* Splits a copy of the bytes into words; returns their number. */
static size_t
split(char *copy, size_t size_bytes, char **words)
{
    size_t count = 0;

    for (size_t at = 0; at < size_bytes && count < WORDS_MAX;) {
        words[count++] = copy + at;
        at += strlen(copy + at) + 1;
    }
    words[count] = NULL;
    return count;
}

static void
check_value(const struct epb_given *given)
{
    const struct epb_option *option = epb_option_row(given->id);

    FUZZ_CHECK(given->value.number <= EPB_OPTION_FOREVER);
    switch (option->type) {
    case EPB_TYPE_BOOLEAN:
        FUZZ_CHECK(given->value.number <= 1);
        break;
    case EPB_TYPE_STRING:
        FUZZ_CHECK(given->value.text != NULL && given->value.text[0] != '\0');
        FUZZ_CHECK(option->max_bytes == 0 ||
                   strlen(given->value.text) <= option->max_bytes);
        break;
    case EPB_TYPE_BYTES:
    case EPB_TYPE_MS:
    case EPB_TYPE_COUNT:
        FUZZ_CHECK(given->value.number >= option->min);
        break;
    case EPB_TYPE_ENUM:
        FUZZ_CHECK(given->value.number < strlen(option->values));
        break;
    case EPB_TYPE_FUNCTION:
        FUZZ_CHECK(false);
    }
}

static void
check_error(struct epb_bytes error)
{
    FUZZ_CHECK(epb_utf8_valid(error));
    for (size_t i = 0; i < error.size_bytes; i++) {
        FUZZ_CHECK(error.data[i] >= ' ' && error.data[i] != 0x7F);
    }
}

/* Writes "--flag=value" for a value that stands in the next word; returns whether there
 * is one. */
static bool
join(const struct epb_given *given, char **words, char *joined, size_t room_bytes)
{
    const struct epb_option *option = epb_option_row(given->id);

    for (size_t i = 0; words[i] != NULL && words[i + 1] != NULL; i++) {
        if (option->flag != NULL && option->type != EPB_TYPE_BOOLEAN &&
            strcmp(words[i], option->flag) == 0) {
            int size = snprintf(joined, room_bytes, "%s=%s", words[i], words[i + 1]);
            return size > 0 && (size_t)size < room_bytes &&
                   strcmp(words[i + 1], "--") != 0;
        }
    }
    return false;
}

static void
check_joined(const struct epb_given *given, char **words)
{
    char joined[512];
    struct epb_args args;

    if (!join(given, words, joined, sizeof(joined))) {
        return;
    }
    char *argv[] = {joined, NULL};
    FUZZ_CHECK(epb_args_parse(&args, argv, &given->id, 1) == EPB_OK);
    FUZZ_CHECK(args.word_count == 0 && args.given_count <= 1);
    FUZZ_CHECK((args.given_count == 1) != (epb_buf_size(&args.error) > 0));
    epb_args_fini(&args);
}

static void
check_args(const struct epb_args *args, char **words, size_t count)
{
    size_t at = 0;

    FUZZ_CHECK(args->word_count + args->given_count + args->command_count <= count);
    for (size_t i = 0; i < args->word_count; i++) {
        while (at < count && words[at] != args->words[i]) {
            at++;
        }
        FUZZ_CHECK(at < count);
    }
    for (size_t i = 0; i < args->given_count; i++) {
        check_value(&args->given[i]);
        check_joined(&args->given[i], words);
    }
    FUZZ_CHECK(args->command == NULL || args->command[args->command_count] == NULL);
    check_error(fuzz_held(&args->error));
}

static void
check_quoted(struct epb_bytes text)
{
    struct epb_buf out;
    struct epb_json_span span;

    epb_buf_init(&out, (size_t)1 << 20);
    FUZZ_CHECK(epb_quote(&out, text, 80) == EPB_OK);
    check_error(fuzz_held(&out));
    struct epb_json_scan scan = epb_json_scan(fuzz_held(&out));
    FUZZ_CHECK(epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) &&
               epb_json_has_ended(&scan));
    epb_buf_fini(&out);
}

void
fuzz_arguments(const uint8_t *data, size_t size_bytes)
{
    struct epb_bytes input = {data, size_bytes};
    enum epb_option_id known[KNOWN_MAX];
    char *words[WORDS_MAX + 1];
    struct epb_args args;
    bool flags = (fuzz_u8(&input) & 1) != 0;
    char *copy = malloc(input.size_bytes + 1);

    FUZZ_CHECK(copy != NULL);
    if (input.size_bytes > 0) {
        memcpy(copy, input.data, input.size_bytes);
    }
    copy[input.size_bytes] = '\0';
    size_t count = split(copy, input.size_bytes, words);
    size_t known_count = known_options(flags, known);
    FUZZ_CHECK(epb_args_parse(&args, words, known, known_count) == EPB_OK);
    check_args(&args, words, count);
    FUZZ_CHECK(input.size_bytes == 0 || memcmp(copy, input.data, input.size_bytes) == 0);
    epb_args_fini(&args);
    check_quoted(input);
    free(copy);
}
