/*
 * A strict scanner of JSON text (RFC 8259). It finds where values begin and end, and
 * allocates nothing: the value of a request keeps the bytes in which it arrived and is
 * never parsed into a tree. So neither the size nor the shape of a value can cost more
 * memory than its text.
 *
 * The text must be checked to be UTF-8 before. Nesting takes one bit a level, without
 * recursion.
 */
#ifndef EPB_WIRE_JSON_H
#define EPB_WIRE_JSON_H

#include <stdbool.h>

#include "../base/bytes.h"

#define EPB_JSON_DEPTH_MAX 1024U

enum epb_json_kind {
    EPB_JSON_NULL,
    EPB_JSON_FALSE,
    EPB_JSON_TRUE,
    EPB_JSON_NUMBER,
    EPB_JSON_STRING,
    EPB_JSON_ARRAY,
    EPB_JSON_OBJECT
};

/* A value's place in the text. The text of a string includes its quotes. */
struct epb_json_span {
    struct epb_bytes text;
    enum epb_json_kind kind;
    bool lone_surrogate; /* some escape inside names half of a character */
};

struct epb_json_scan {
    const uint8_t *at;
    const uint8_t *end;
    bool lone_surrogate; /* seen so far */
};

struct epb_json_scan
epb_json_scan(struct epb_bytes text);
/* Skips white space, then `character` if it comes next; false if it doesn't. */
bool
epb_json_take(struct epb_json_scan *scan, uint8_t character);
/* Skips white space and one value. False when the value is not well-formed or is nested
 * deeper than `depth_max` (at most EPB_JSON_DEPTH_MAX; the depth of a number is 0, of []
 * 1). */
bool
epb_json_value(struct epb_json_scan *scan, unsigned depth_max,
               struct epb_json_span *span);
/* Whether only white space is left. */
bool
epb_json_has_ended(struct epb_json_scan *scan);

/* Replaces escapes in place and returns the new size. The text is the inside of a
 * well-formed string without lone surrogates. The result may contain NUL. */
size_t
epb_json_unescape(uint8_t *text, size_t size_bytes);

#endif
