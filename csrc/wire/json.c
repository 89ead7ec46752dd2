/* See json.h. */
#include "json.h"

#include "../base/status.h"

struct epb_json_scan
epb_json_scan(struct epb_bytes text)
{
    /* Empty text may have a NULL address, and adding to NULL is undefined. */
    const uint8_t *end = text.size_bytes == 0 ? text.data : text.data + text.size_bytes;

    return (struct epb_json_scan){.at = text.data, .end = end};
}

static void
skip_space(struct epb_json_scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t' ||
                                    *scan->at == '\n' || *scan->at == '\r')) {
        scan->at++;
    }
}

bool
epb_json_take(struct epb_json_scan *scan, uint8_t character)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != character) {
        return false;
    }
    scan->at++;
    return true;
}

bool
epb_json_has_ended(struct epb_json_scan *scan)
{
    skip_space(scan);
    return scan->at == scan->end;
}

static int
hex_value(uint8_t character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    if (character >= 'a' && character <= 'f') {
        return character - 'a' + 10;
    }
    if (character >= 'A' && character <= 'F') {
        return character - 'A' + 10;
    }
    return -1;
}

/* The value of the four digits of a \u escape; -1 when they are not there. */
static int32_t
hex_unit(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 4) {
        return -1;
    }
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int value = hex_value(at[i]);
        if (value < 0) {
            return -1;
        }
        unit = unit * 16 + value;
    }
    return unit;
}

static bool
is_high_surrogate(int32_t unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool
is_low_surrogate(int32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The unit of the \u escape at `at`; -1 when there is none. */
static int32_t
escaped_unit(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return -1;
    }
    return hex_unit(at + 2, end);
}

/* Scans an escape; the backslash is consumed already. */
static bool
scan_escape(struct epb_json_scan *scan)
{
    if (scan->at == scan->end) {
        return false;
    }
    uint8_t character = *scan->at++;
    if (character != 'u') {
        return character != 0 && strchr("\"\\/bfnrt", character) != NULL;
    }
    int32_t unit = hex_unit(scan->at, scan->end);
    if (unit < 0) {
        return false;
    }
    scan->at += 4;
    if (is_high_surrogate(unit) && is_low_surrogate(escaped_unit(scan->at, scan->end))) {
        scan->at += 6;
    } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
        scan->lone_surrogate = true;
    }
    return true;
}

/* Scans a string from behind its opening quote to behind its closing quote. */
static bool
scan_string(struct epb_json_scan *scan)
{
    while (scan->at < scan->end) {
        uint8_t character = *scan->at++;
        if (character == '"') {
            return true;
        }
        if (character < 0x20) {
            return false;
        }
        if (character == '\\' && !scan_escape(scan)) {
            return false;
        }
    }
    return false;
}

static bool
scan_digits(struct epb_json_scan *scan)
{
    const uint8_t *start = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return scan->at > start;
}

static bool
next_is(const struct epb_json_scan *scan, char character)
{
    return scan->at < scan->end && *scan->at == (uint8_t)character;
}

static bool
scan_number(struct epb_json_scan *scan)
{
    if (next_is(scan, '-')) {
        scan->at++;
    }
    if (next_is(scan, '0')) {
        scan->at++;
    } else if (!scan_digits(scan)) {
        return false;
    }
    if (next_is(scan, '.')) {
        scan->at++;
        if (!scan_digits(scan)) {
            return false;
        }
    }
    if (next_is(scan, 'e') || next_is(scan, 'E')) {
        scan->at++;
        if (next_is(scan, '+') || next_is(scan, '-')) {
            scan->at++;
        }
        if (!scan_digits(scan)) {
            return false;
        }
    }
    return true;
}

static bool
scan_word(struct epb_json_scan *scan, const char *word)
{
    size_t size_bytes = strlen(word);

    if ((size_t)(scan->end - scan->at) < size_bytes) {
        return false;
    }
    if (memcmp(scan->at, word, size_bytes) != 0) {
        return false;
    }
    scan->at += size_bytes;
    return true;
}

/* One bit a level: set for an object. */
struct nesting {
    uint8_t bits[EPB_JSON_DEPTH_MAX / 8];
    unsigned depth;
    unsigned depth_max;
};

static bool
push(struct nesting *nesting, bool object)
{
    if (nesting->depth == nesting->depth_max) {
        return false;
    }
    uint8_t *byte = &nesting->bits[nesting->depth / 8];
    uint8_t bit = (uint8_t)(1U << (nesting->depth % 8));
    *byte = object ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
    nesting->depth++;
    return true;
}

static bool
in_object(const struct nesting *nesting)
{
    unsigned level = nesting->depth - 1;

    return ((unsigned)nesting->bits[level / 8] >> (level % 8) & 1U) != 0;
}

/* A member's name and colon. */
static bool
scan_name(struct epb_json_scan *scan)
{
    return epb_json_take(scan, '"') && scan_string(scan) && epb_json_take(scan, ':');
}

enum step {
    STEP_VALUE, /* a value must follow */
    STEP_AFTER, /* a value has ended */
    STEP_BAD
};

static enum step
open_container(struct epb_json_scan *scan, struct nesting *nesting, bool object)
{
    if (!push(nesting, object)) {
        return STEP_BAD;
    }
    if (epb_json_take(scan, object ? '}' : ']')) {
        nesting->depth--;
        return STEP_AFTER;
    }
    return !object || scan_name(scan) ? STEP_VALUE : STEP_BAD;
}

/* Scans what follows a value inside a container. */
static enum step
go_on(struct epb_json_scan *scan, struct nesting *nesting)
{
    bool object = in_object(nesting);

    if (epb_json_take(scan, ',')) {
        return !object || scan_name(scan) ? STEP_VALUE : STEP_BAD;
    }
    if (!epb_json_take(scan, object ? '}' : ']')) {
        return STEP_BAD;
    }
    nesting->depth--;
    return STEP_AFTER;
}

static enum step
begin_value(struct epb_json_scan *scan, struct nesting *nesting, enum epb_json_kind *kind)
{
    if (epb_json_take(scan, '{')) {
        *kind = EPB_JSON_OBJECT;
        return open_container(scan, nesting, true);
    }
    if (epb_json_take(scan, '[')) {
        *kind = EPB_JSON_ARRAY;
        return open_container(scan, nesting, false);
    }
    bool good;
    if (epb_json_take(scan, '"')) {
        *kind = EPB_JSON_STRING;
        good = scan_string(scan);
    } else if (next_is(scan, 't')) {
        *kind = EPB_JSON_TRUE;
        good = scan_word(scan, "true");
    } else if (next_is(scan, 'f')) {
        *kind = EPB_JSON_FALSE;
        good = scan_word(scan, "false");
    } else if (next_is(scan, 'n')) {
        *kind = EPB_JSON_NULL;
        good = scan_word(scan, "null");
    } else {
        *kind = EPB_JSON_NUMBER;
        good = scan_number(scan);
    }
    return good ? STEP_AFTER : STEP_BAD;
}

bool
epb_json_value(struct epb_json_scan *scan, unsigned depth_max, struct epb_json_span *span)
{
    EPB_ASSERT(depth_max <= EPB_JSON_DEPTH_MAX);
    struct nesting nesting = {.depth_max = depth_max};
    bool lone_before = scan->lone_surrogate;
    scan->lone_surrogate = false;
    skip_space(scan);
    const uint8_t *start = scan->at;

    enum step step = begin_value(scan, &nesting, &span->kind);
    while (step == STEP_VALUE || (step == STEP_AFTER && nesting.depth > 0)) {
        enum epb_json_kind inner_kind;
        step = step == STEP_VALUE ? begin_value(scan, &nesting, &inner_kind)
                                  : go_on(scan, &nesting);
    }
    span->text = (struct epb_bytes){start, (size_t)(scan->at - start)};
    span->lone_surrogate = scan->lone_surrogate;
    scan->lone_surrogate = scan->lone_surrogate || lone_before;
    return step == STEP_AFTER;
}

static size_t
put_utf8(uint8_t *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0U | code >> 6);
        out[1] = (uint8_t)(0x80U | (code & 0x3FU));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0U | code >> 12);
        out[1] = (uint8_t)(0x80U | (code >> 6 & 0x3FU));
        out[2] = (uint8_t)(0x80U | (code & 0x3FU));
        return 3;
    }
    out[0] = (uint8_t)(0xF0U | code >> 18);
    out[1] = (uint8_t)(0x80U | (code >> 12 & 0x3FU));
    out[2] = (uint8_t)(0x80U | (code >> 6 & 0x3FU));
    out[3] = (uint8_t)(0x80U | (code & 0x3FU));
    return 4;
}

/* Decodes the \u escape at `at`, both halves of a pair; moves `at` behind it. */
static uint32_t
take_code(const uint8_t **at, const uint8_t *end)
{
    int32_t unit = escaped_unit(*at, end);

    *at += 6;
    if (!is_high_surrogate(unit)) {
        return (uint32_t)unit;
    }
    int32_t low = escaped_unit(*at, end);
    *at += 6;
    return 0x10000U + ((uint32_t)(unit - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
}

size_t
epb_json_unescape(uint8_t *text, size_t size_bytes)
{
    static const char names[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    const uint8_t *at = text;
    const uint8_t *end = text + size_bytes;
    uint8_t *out = text;

    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
        } else if (at[1] == 'u') {
            out += put_utf8(out, take_code(&at, end));
        } else {
            const char *name = strchr(names, at[1]);
            *out++ = name == NULL ? at[1] : (uint8_t)meanings[name - names];
            at += 2;
        }
    }
    return (size_t)(out - text);
}
