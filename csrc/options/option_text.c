/* What messages and help say about an option. See option.h. */
#include <string.h>

#include "../base/quote.h"
#include "option.h"

#define SHOWN_MAX_BYTES 80U
#define MINUTE_MS 60000U
#define MIB (UINT64_C(1024) * 1024)

static enum epb_status
put(struct epb_buf *out, const char *text)
{
    return epb_buf_append(out, text, strlen(text));
}

/* Valid values */

/* "none|lru" as "none, lru". */
static enum epb_status
put_values(struct epb_buf *out, const char *values)
{
    enum epb_status status = put(out, "one of ");

    while (status == EPB_OK && *values != '\0') {
        size_t size = strcspn(values, "|");
        status = epb_buf_append(out, values, size);
        values += size;
        if (status == EPB_OK && *values == '|') {
            values++;
            status = put(out, ", ");
        }
    }
    return status;
}

static const char *
number_help(enum epb_option_type type)
{
    return type == EPB_TYPE_MS      ? "a time such as 500ms, 30s, 5m or 1h"
           : type == EPB_TYPE_BYTES ? "a size such as 4096, 64k or 1m"
                                    : "a whole number";
}

static enum epb_status
put_number_help(struct epb_buf *out, const struct epb_option *option)
{
    enum epb_status status = put(out, number_help(option->type));

    if (status == EPB_OK && option->min > 0) {
        status =
            epb_buf_printf(out, " of at least %llu", (unsigned long long)option->min);
    }
    if (status == EPB_OK && option->zero_means != NULL) {
        status = epb_buf_printf(out, " (0: %s)", option->zero_means);
    }
    if (status == EPB_OK && option->endless) {
        status = put(out, ", or forever (as long as the broker)");
    }
    return status;
}

static enum epb_status
put_accepted(struct epb_buf *out, const struct epb_option *option)
{
    switch (option->type) {
    case EPB_TYPE_BOOLEAN:
        return put(out, "true or false");
    case EPB_TYPE_ENUM:
        return put_values(out, option->values);
    case EPB_TYPE_STRING:
        return put(out, option->pattern_help != NULL ? option->pattern_help
                                                     : "a string that is not empty");
    case EPB_TYPE_FUNCTION:
        return put(out, "a function");
    case EPB_TYPE_BYTES:
    case EPB_TYPE_MS:
    case EPB_TYPE_COUNT:
        break;
    }
    return put_number_help(out, option);
}

enum epb_status
epb_option_explain(struct epb_buf *out, const struct epb_option *option,
                   const char *where, const char *text)
{
    enum epb_status status = epb_buf_printf(out, "%s takes ", where);

    if (status == EPB_OK) {
        status = put_accepted(out, option);
    }
    if (status == EPB_OK && text != NULL) {
        const struct epb_bytes given = {(const uint8_t *)text, strlen(text)};
        status = put(out, ", not ");
        status = status == EPB_OK ? epb_quote(out, given, SHOWN_MAX_BYTES) : status;
    }
    return status == EPB_OK ? put(out, ".") : status;
}

/* Help */

static const char *
placeholder_of(const struct epb_option *option)
{
    if (option->placeholder != NULL) {
        return option->placeholder;
    }
    switch (option->type) {
    case EPB_TYPE_MS:
        return "TIME";
    case EPB_TYPE_BYTES:
        return "SIZE";
    case EPB_TYPE_COUNT:
        return "N";
    case EPB_TYPE_ENUM:
        return option->values;
    case EPB_TYPE_STRING:
    case EPB_TYPE_BOOLEAN:
    case EPB_TYPE_FUNCTION:
        break;
    }
    return "TEXT";
}

enum epb_status
epb_option_usage(struct epb_buf *out, const struct epb_option *option)
{
    if (option->type != EPB_TYPE_BOOLEAN) {
        return epb_buf_printf(out, "%s %s", option->flag, placeholder_of(option));
    }
    if (option->fallback == 1 && !option->negated) {
        return epb_buf_printf(out, "--no-%s", option->flag + 2);
    }
    return put(out, option->flag);
}

static enum epb_status
put_zero(struct epb_buf *out, const char *meaning)
{
    return epb_buf_printf(out, "0 (%.*s)", (int)strcspn(meaning, ";"), meaning);
}

/* 10000 as "10,000". */
static enum epb_status
put_grouped(struct epb_buf *out, uint64_t number)
{
    if (number < 1000) {
        return epb_buf_printf(out, "%llu", (unsigned long long)number);
    }
    enum epb_status status = put_grouped(out, number / 1000);
    return status == EPB_OK
               ? epb_buf_printf(out, ",%03llu", (unsigned long long)(number % 1000))
               : status;
}

static enum epb_status
put_unit(struct epb_buf *out, uint64_t number, uint64_t large, const char *large_unit,
         uint64_t small, const char *small_unit)
{
    bool is_large = number % large == 0;

    return epb_buf_printf(out, "%llu %s",
                          (unsigned long long)(number / (is_large ? large : small)),
                          is_large ? large_unit : small_unit);
}

/* The value of an enum at a place. */
static enum epb_status
put_value(struct epb_buf *out, const char *values, uint64_t place)
{
    for (; place > 0; place--) {
        values += strcspn(values, "|") + 1;
    }
    return epb_buf_append(out, values, strcspn(values, "|"));
}

enum epb_status
epb_option_show_fallback(struct epb_buf *out, const struct epb_option *option)
{
    uint64_t value = option->fallback;

    if (option->fallback_help != NULL) {
        return put(out, option->fallback_help);
    }
    if (option->optional || option->type == EPB_TYPE_STRING ||
        option->type == EPB_TYPE_FUNCTION) {
        return put(out, "none");
    }
    if (value == 0 && option->zero_means != NULL) {
        return put_zero(out, option->zero_means);
    }
    switch (option->type) {
    case EPB_TYPE_BYTES:
        return put_unit(out, value, MIB, "MiB", 1024, "KiB");
    case EPB_TYPE_MS:
        return put_unit(out, value, MINUTE_MS, "min", 1000, "s");
    case EPB_TYPE_BOOLEAN:
        return put(out, value != 0 ? "true" : "false");
    case EPB_TYPE_ENUM:
        return put_value(out, option->values, value);
    case EPB_TYPE_COUNT:
    case EPB_TYPE_STRING:
    case EPB_TYPE_FUNCTION:
        break;
    }
    return put_grouped(out, value);
}
