/*
 * The words of a command line: flags, words, and the command after "--".
 *
 *     --max-items 5   --max-items=5   --debug   --no-debug   word   -   -7
 *
 * "-" and negative numbers are words. Flags end at the first "--". Texts are borrowed
 * from argv and stay as they are, UTF-8 or not.
 */
#ifndef EPB_CLI_ARGS_H
#define EPB_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/buf.h"
#include "../options/option.h"

struct epb_given {
    enum epb_option_id id;
    struct epb_option_value value;
};

struct epb_args {
    struct epb_given *given; /* in the order of the command line */
    size_t given_count;
    char **words; /* room for those after "--", too */
    size_t word_count;
    char **command; /* what follows "--", ends with NULL; NULL: there is no "--" */
    size_t command_count;
    bool wants_help;      /* --help or -h */
    struct epb_buf error; /* a sentence about the first wrong flag; empty: none */
};

/* Reads `argv`, which ends with NULL, and the flags of the `known` options. A wrong flag
 * is no failure of the call: see `error`. EPB_INTERNAL when memory is out. Pairs with
 * epb_args_fini, also after a failure. */
EPB_MUST_USE enum epb_status
epb_args_parse(struct epb_args *args, char **argv, const enum epb_option_id *known,
               size_t known_count);
void
epb_args_fini(struct epb_args *args);

/* The last value that was given for an option; NULL: none. */
const struct epb_option_value *
epb_args_find(const struct epb_args *args, enum epb_option_id id);

/* The one of the names that is near to a mistyped word (core/near.h); NULL: none is. */
const char *
epb_args_near(const char *word, const char *const *names, size_t count);

#endif
