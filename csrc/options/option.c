/* See option.h. */
#include "option.h"

#include <string.h>

static const struct epb_option rows[] = {
#define EPB_OPTION(kind_of, id, name_of, type_of, fallback_of, ...) \
    [EPB_OPTION_##kind_of##_##id] = {.kind = EPB_KIND_##kind_of,    \
                                     .name = (name_of),             \
                                     .type = EPB_TYPE_##type_of,    \
                                     .fallback = (fallback_of),     \
                                     __VA_ARGS__},
#include "options.def"
#undef EPB_OPTION
};

const struct epb_option *
epb_option_row(enum epb_option_id id)
{
    EPB_ASSERT((unsigned)id < EPB_OPTION_COUNT);
    return &rows[id];
}

struct epb_option_value
epb_option_fallback(const struct epb_option *option)
{
    return (struct epb_option_value){.number = option->fallback};
}

/* Numbers */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit MS_UNITS[] = {
    {"", 1},        {"ms", 1},       {"s", 1000}, {"m", 60000},
    {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit BYTE_UNITS[] = {
    {"", 1},           {"b", 1},           {"k", 1024},         {"kb", 1024},
    {"kib", 1024},     {"m", 1024 * 1024}, {"mb", 1024 * 1024}, {"mib", 1024 * 1024},
    {"g", 1073741824}, {NULL, 0},
};
static const struct unit COUNT_UNITS[] = {{"", 1}, {NULL, 0}};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static const char *
skip_spaces(const char *text)
{
    while (is_space(*text)) {
        text++;
    }
    return text;
}

/* Whether the text is this word, in any case, with spaces around it. */
static bool
is_word(const char *text, const char *word)
{
    text = skip_spaces(text);
    while (*word != '\0' && lower(*text) == (unsigned char)*word) {
        text++;
        word++;
    }
    return *word == '\0' && *skip_spaces(text) == '\0';
}

/* A decimal number: `whole` and `fraction` / `scale`. */
struct decimal {
    uint64_t whole;
    uint64_t fraction;
    uint64_t scale;
};

/* A fraction of more digits is no whole number in any unit here. Keeps fraction times
 * factor below 2^64. */
#define SCALE_MAX UINT64_C(10000000000)

static bool
read_digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *at = *text;
    uint64_t number = 0;

    for (; is_digit(*at); at++) {
        number = number * 10 + (uint64_t)(*at - '0');
        if (number > max) {
            return false;
        }
    }
    if (at == *text) {
        return false;
    }
    *text = at;
    *out = number;
    return true;
}

static bool
read_fraction(const char **text, struct decimal *out)
{
    const char *first = *text;
    const char *end = first;

    while (is_digit(*end)) {
        end++;
    }
    *text = end;
    while (end > first && end[-1] == '0') {
        end--;
    }
    for (const char *at = first; at < end; at++) {
        if (out->scale == SCALE_MAX) {
            return false;
        }
        out->fraction = out->fraction * 10 + (uint64_t)(*at - '0');
        out->scale *= 10;
    }
    return *text > first;
}

static bool
read_decimal(const char **text, struct decimal *out)
{
    *out = (struct decimal){.scale = 1};
    if (!read_digits(text, EPB_OPTION_FOREVER, &out->whole)) {
        return false;
    }
    if (**text != '.') {
        return true;
    }
    (*text)++;
    return read_fraction(text, out);
}

static const struct unit *
units_of(enum epb_option_type type)
{
    return type == EPB_TYPE_MS      ? MS_UNITS
           : type == EPB_TYPE_BYTES ? BYTE_UNITS
                                    : COUNT_UNITS;
}

static const struct unit *
find_unit(enum epb_option_type type, const char *text)
{
    for (const struct unit *unit = units_of(type); unit->name != NULL; unit++) {
        if (is_word(text, unit->name)) {
            return unit;
        }
    }
    return NULL;
}

static bool
parse_number(enum epb_option_type type, const char *text, uint64_t *out)
{
    struct decimal decimal;
    const char *at = skip_spaces(text);

    if (!read_decimal(&at, &decimal)) {
        return false;
    }
    const struct unit *unit = find_unit(type, at);
    if (unit == NULL || decimal.whole > EPB_OPTION_FOREVER / unit->factor) {
        return false;
    }
    uint64_t part = decimal.fraction * unit->factor;
    if (part % decimal.scale != 0) {
        return false;
    }
    *out = decimal.whole * unit->factor + part / decimal.scale;
    return *out <= EPB_OPTION_FOREVER;
}

bool
epb_option_lacks_unit(const struct epb_option *option, const char *text)
{
    struct decimal decimal;
    const char *at = skip_spaces(text);

    return option->type == EPB_TYPE_MS && read_decimal(&at, &decimal) &&
           *skip_spaces(at) == '\0' && decimal.whole < 1000 &&
           (decimal.whole > 0 || decimal.fraction > 0);
}

/* Other types */

static bool
parse_boolean(const char *text, uint64_t *out)
{
    static const char *const YES[] = {"true", "1", "yes", "on"};
    static const char *const NO[] = {"false", "0", "no", "off"};

    for (size_t i = 0; i < sizeof(YES) / sizeof(YES[0]); i++) {
        if (is_word(text, YES[i]) || is_word(text, NO[i])) {
            *out = is_word(text, YES[i]);
            return true;
        }
    }
    return false;
}

static bool
parse_enum(const char *values, const char *text, uint64_t *out)
{
    size_t length = strlen(text);

    for (uint64_t place = 0; values != NULL; place++) {
        size_t size = strcspn(values, "|");
        if (size == length && memcmp(values, text, size) == 0) {
            *out = place;
            return true;
        }
        values = values[size] == '|' ? values + size + 1 : NULL;
    }
    return false;
}

static bool
is_identifier(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = lower(*text);
        if (!is_digit(*text) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

static bool
is_string(const struct epb_option *option, const char *text)
{
    return *text != '\0' &&
           (option->max_bytes == 0 || strlen(text) <= option->max_bytes) &&
           (!option->identifier || is_identifier(text));
}

static bool
parse_any(const struct epb_option *option, const char *text,
          struct epb_option_value *value)
{
    switch (option->type) {
    case EPB_TYPE_BOOLEAN:
        return parse_boolean(text, &value->number);
    case EPB_TYPE_ENUM:
        return parse_enum(option->values, text, &value->number);
    case EPB_TYPE_STRING:
        value->text = text;
        return is_string(option, text);
    case EPB_TYPE_FUNCTION:
        return false;
    case EPB_TYPE_BYTES:
    case EPB_TYPE_MS:
    case EPB_TYPE_COUNT:
        break;
    }
    if (option->endless && is_word(text, "forever")) {
        value->number = EPB_OPTION_FOREVER;
        return true;
    }
    return parse_number(option->type, text, &value->number) &&
           value->number >= option->min;
}

enum epb_status
epb_option_parse(const struct epb_option *option, const char *text,
                 struct epb_option_value *value)
{
    struct epb_option_value parsed = {0};

    if (!parse_any(option, text, &parsed)) {
        return EPB_INVALID_REQUEST;
    }
    *value = parsed;
    return EPB_OK;
}
