/*
 * A strict scanner of JSON text (RFC 8259) that finds where values begin and end and
 * allocates nothing: the value of a request is kept as the bytes it came in, never parsed
 * into a tree, so that neither its size nor its shape can cost more memory than its text.
 *
 * The text must have been checked to be UTF-8 already. Nesting is followed with one bit a
 * level, without recursion.
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

/* A value's place in the text. A string's includes its quotes. */
struct epb_json_span {
    struct epb_bytes text;
    enum epb_json_kind kind;
    bool lone_surrogate; /* somewhere inside, an escape names half of a character */
};

struct epb_json_scan {
    const uint8_t *at;
    const uint8_t *end;
    bool lone_surrogate; /* seen so far */
};

struct epb_json_scan
epb_json_scan(struct epb_bytes text);
/* Skips white space, then one character when it is this one. */
bool
epb_json_take(struct epb_json_scan *scan, uint8_t character);
/* Skips white space and one value; false when there is no well-formed one, or one nested
 * deeper than `depth_max` (at most EPB_JSON_DEPTH_MAX; a number is 0 deep, [] is 1). */
bool
epb_json_value(struct epb_json_scan *scan, unsigned depth_max,
               struct epb_json_span *span);
/* Whether only white space is left. */
bool
epb_json_ended(struct epb_json_scan *scan);

/* Replaces the escapes in the inside of a well-formed string without lone surrogates, in
 * place; returns the new size. The result may contain NUL. */
size_t
epb_json_unescape(uint8_t *text, size_t size_bytes);

#endif
