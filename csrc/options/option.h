/*
 * Options: the rows of options.def, and how text becomes their values. JavaScript has its
 * own reading of the same rows (lib/options.js), for values that are no text.
 *
 * An explicit value overrides the environment, and the environment overrides the default.
 * An invalid value is an error and is never replaced by a default.
 */
#ifndef EPB_OPTIONS_OPTION_H
#define EPB_OPTIONS_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/buf.h"
#include "../base/status.h"

enum epb_option_kind {
    EPB_KIND_BROKER,
    EPB_KIND_CLIENT,
    EPB_KIND_SECRET,
    EPB_KIND_START,
    EPB_KIND_FLAG
};

enum epb_option_type {
    EPB_TYPE_BYTES,
    EPB_TYPE_MS,
    EPB_TYPE_COUNT,
    EPB_TYPE_BOOLEAN,
    EPB_TYPE_ENUM,
    EPB_TYPE_STRING,
    EPB_TYPE_FUNCTION /* JavaScript only */
};

struct epb_option {
    const char *name;
    const char *env;           /* NULL: no variable */
    const char *flag;          /* with its dashes; NULL: none */
    const char *values;        /* of an enum: "none|lru" */
    const char *placeholder;   /* of the flag's argument; NULL: by type */
    const char *help;          /* one or two sentences */
    const char *flag_help;     /* if the flag does the opposite of the option */
    const char *zero_means;    /* if 0 is special */
    const char *pattern_help;  /* what a string may be, in words */
    const char *fallback_help; /* the default in words, if the row has no value for it */
    uint64_t fallback;
    uint64_t min;
    uint64_t max_bytes; /* of a string; 0: any */
    enum epb_option_kind kind;
    enum epb_option_type type;
    bool identifier; /* a string of letters, digits, "-" and "_" */
    bool endless;    /* "forever" is allowed: as long as the broker */
    bool never;      /* JavaScript: Infinity is allowed and means 0 */
    bool negated;    /* the flag is --no-... and turns the option off */
    bool optional;   /* has no default: the command behaves differently without it */
    bool repeats;    /* may be given several times */
};

enum epb_option_id {
#define EPB_OPTION(kind, id, ...) EPB_OPTION_##kind##_##id,
#include "options.def"
#undef EPB_OPTION
    EPB_OPTION_COUNT
};

/* The defaults, for code that needs one of them as a constant. */
enum epb_option_fallback {
#define EPB_OPTION(kind, id, name, type, fallback, ...) \
    EPB_FALLBACK_##kind##_##id = (fallback),
#include "options.def"
#undef EPB_OPTION
};

/* "No limit" as a time: 2^53 - 1. Also the largest number of any option. */
#define EPB_OPTION_FOREVER ((UINT64_C(1) << 53) - 1)

struct epb_option_value {
    uint64_t number;  /* a boolean: 0 or 1; an enum: its place in `values` */
    const char *text; /* of a string, borrowed; NULL: none */
};

/* Static storage. */
const struct epb_option *
epb_option_row(enum epb_option_id id);
/* The default of a row. */
struct epb_option_value
epb_option_fallback(const struct epb_option *option);

/* Converts a text from a flag or an environment variable. The value borrows the text.
 * EPB_INVALID_REQUEST: it is none of the option's values (epb_option_explain). */
EPB_MUST_USE enum epb_status
epb_option_parse(const struct epb_option *option, const char *text,
                 struct epb_option_value *value);
/* Whether a time has no unit and is below one second: it probably means seconds. */
bool
epb_option_lacks_unit(const struct epb_option *option, const char *text);

/* Writes "WHERE takes 1 to 64 letters ..., not "TEXT"."; without a text the sentence ends
 * before the comma. Same errors as epb_buf_append. */
EPB_MUST_USE enum epb_status
epb_option_explain(struct epb_buf *out, const struct epb_option *option,
                   const char *where, const char *text);
/* Writes the flag as help shows it: "--max-items N", "--no-require-ttl". Same errors. */
EPB_MUST_USE enum epb_status
epb_option_usage(struct epb_buf *out, const struct epb_option *option);
/* Writes the default in a readable unit: "256 KiB", "30 min", "none". Same errors. */
EPB_MUST_USE enum epb_status
epb_option_show_fallback(struct epb_buf *out, const struct epb_option *option);

#endif
