/*
 * See jsonl.h: requests. Replies are in jsonl_reply.c, signatures in jsonl_sign.c.
 *
 * A line is read twice. The first pass notes where the members are, so that the action is
 * known whatever their order. The second pass reads them into the fields of the request,
 * in the order of the table below. The command table then decides whether an action takes
 * a field, as with frames. The member table only distinguishes members that stand for the
 * same field.
 */
#include "jsonl.h"

#include <stddef.h>

#include "../base/utf8.h"
#include "base64.h"
#include "json.h"
#include "jsonl_number.h"

#define MEMBERS_MAX 32U

struct decoding {
    struct epb_jsonl_request *out;
    uint8_t *line;
    struct epb_buf *scratch;
    /* By row of the table; the text of a missing member is empty. */
    struct epb_json_span spans[MEMBERS_MAX];
    uint32_t seen; /* the fields that have been read */
};

struct member {
    const char *name;
    enum epb_status (*read)(struct decoding *decoding, const struct member *member,
                            const struct epb_json_span *span);
    enum epb_status bad; /* the status for a value of the wrong kind */
    uint32_t field;      /* as in the command table */
    size_t offset;       /* in struct epb_request */
    uint32_t as;         /* commands without this among their names refuse it; 0: any */
    uint32_t unless;     /* commands with one of these names refuse it */
};

/* The characters of a string, with escapes replaced in the line itself. */
static struct epb_bytes
string_content(struct decoding *decoding, const struct epb_json_span *span)
{
    size_t inside = (size_t)(span->text.data - decoding->line) + 1;
    uint8_t *content = decoding->line + inside;
    size_t size_bytes = epb_json_unescape(content, span->text.size_bytes - 2);

    return (struct epb_bytes){content, size_bytes};
}

static bool
bytes_are(struct epb_bytes bytes, const char *text)
{
    return bytes.size_bytes == strlen(text) &&
           memcmp(bytes.data, text, bytes.size_bytes) == 0;
}

/* Members by kind */

static void *
field_of(struct decoding *decoding, const struct member *member)
{
    return (uint8_t *)&decoding->out->request + member->offset;
}

static enum epb_status
read_text(struct decoding *decoding, const struct member *member,
          const struct epb_json_span *span)
{
    if (span->kind != EPB_JSON_STRING || span->lone_surrogate) {
        return member->bad;
    }
    struct epb_bytes content = string_content(decoding, span);
    memcpy(field_of(decoding, member), &content, sizeof(content));
    return EPB_OK;
}

static enum epb_status
read_id_text(struct decoding *decoding, const struct member *member,
             const struct epb_json_span *span, struct epb_bytes *text)
{
    (void)decoding;
    if ((span->kind != EPB_JSON_NUMBER && span->kind != EPB_JSON_STRING) ||
        span->text.size_bytes > EPB_JSONL_ID_MAX_BYTES) {
        return member->bad;
    }
    *text = span->text;
    return EPB_OK;
}

static enum epb_status
read_id(struct decoding *decoding, const struct member *member,
        const struct epb_json_span *span)
{
    return read_id_text(decoding, member, span, &decoding->out->id);
}

static enum epb_status
read_target(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    return read_id_text(decoding, member, span, &decoding->out->target);
}

static enum epb_status
read_action(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    if (span->kind != EPB_JSON_STRING || span->lone_surrogate) {
        return member->bad;
    }
    struct epb_jsonl_request *out = decoding->out;
    out->command = epb_command_by_name(string_content(decoding, span));
    if (out->command == NULL) {
        return EPB_UNKNOWN_ACTION;
    }
    out->request.action = out->command->action;
    return EPB_OK;
}

static enum epb_status
read_signed(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    int64_t integer;
    enum epb_status status = epb_jsonl_integer(span, member->bad, &integer);

    if (status == EPB_OK) {
        memcpy(field_of(decoding, member), &integer, sizeof(integer));
    }
    return status;
}

static enum epb_status
read_unsigned(struct decoding *decoding, const struct member *member,
              const struct epb_json_span *span)
{
    int64_t integer;
    enum epb_status status = epb_jsonl_integer(span, member->bad, &integer);

    if (status != EPB_OK) {
        return status;
    }
    if (integer < 0) {
        return member->bad;
    }
    uint64_t number = (uint64_t)integer;
    memcpy(field_of(decoding, member), &number, sizeof(number));
    return EPB_OK;
}

static enum epb_status
read_period(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    uint64_t period_ms;
    enum epb_status status = epb_jsonl_milliseconds(span, member->bad, false, &period_ms);

    if (status == EPB_OK) {
        memcpy(field_of(decoding, member), &period_ms, sizeof(period_ms));
    }
    return status;
}

static enum epb_status
read_ttl(struct decoding *decoding, const struct member *member,
         const struct epb_json_span *span)
{
    enum epb_status status = read_period(decoding, member, span);

    if (status == EPB_OK && decoding->out->request.ttl_ms == 0) {
        return member->bad;
    }
    return status;
}

/* Any very large number means to wait without a limit. */
static enum epb_status
read_wait(struct decoding *decoding, const struct member *member,
          const struct epb_json_span *span)
{
    return epb_jsonl_milliseconds(span, member->bad, true,
                                  &decoding->out->request.wait_ms);
}

/* The field is a flag; it has no other value. */
static enum epb_status
read_truth(struct decoding *decoding, const struct member *member,
           const struct epb_json_span *span)
{
    if (span->kind != EPB_JSON_TRUE && span->kind != EPB_JSON_FALSE) {
        return member->bad;
    }
    if (span->kind == EPB_JSON_TRUE) {
        decoding->out->request.flags |= member->field;
    }
    return EPB_OK;
}

static enum epb_status
read_encoding(struct decoding *decoding, const struct member *member,
              const struct epb_json_span *span)
{
    if (span->kind != EPB_JSON_STRING || span->lone_surrogate ||
        !bytes_are(string_content(decoding, span), "base64")) {
        return member->bad;
    }
    decoding->out->request.flags |= EPB_F_BINARY;
    return EPB_OK;
}

/* Decodes a string from base64, in place. */
static bool
decode_base64(struct decoding *decoding, const struct epb_json_span *span,
              struct epb_bytes *content)
{
    if (span->kind != EPB_JSON_STRING || span->lone_surrogate) {
        return false;
    }
    struct epb_bytes text = string_content(decoding, span);
    uint8_t *bytes = decoding->line + (text.data - decoding->line);
    content->data = bytes;
    return epb_base64_decode(bytes, text.size_bytes, &content->size_bytes);
}

static enum epb_status
read_value(struct decoding *decoding, const struct member *member,
           const struct epb_json_span *span)
{
    struct epb_request *request = &decoding->out->request;

    if (span->lone_surrogate) {
        return member->bad;
    }
    if ((request->flags & EPB_VALUE_FLAGS) == 0) {
        request->value = span->text;
        return EPB_OK;
    }
    return decode_base64(decoding, span, &request->value) ? EPB_OK : member->bad;
}

static enum epb_status
pack_element(struct decoding *decoding, const struct member *member,
             const struct epb_json_span *span, bool binary)
{
    struct epb_bytes content = span->text;

    if (binary && !decode_base64(decoding, span, &content)) {
        return member->bad;
    }
    uint8_t *element;
    size_t size_bytes = EPB_ELEMENT_HEADER_BYTES + content.size_bytes;
    enum epb_status status = epb_buf_reserve(decoding->scratch, size_bytes, &element);
    if (status != EPB_OK) {
        return status;
    }
    epb_put_u32(element, (uint32_t)content.size_bytes);
    element[4] = binary;
    memcpy(element + EPB_ELEMENT_HEADER_BYTES, content.data, content.size_bytes);
    epb_buf_commit(decoding->scratch, size_bytes);
    return EPB_OK;
}

/* Packs the elements of a pool. Each element says whether it is bytes, so the request's
 * own flag is cleared. */
static enum epb_status
read_values(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    struct epb_request *request = &decoding->out->request;
    bool binary = (request->flags & EPB_F_BINARY) != 0;
    struct epb_json_scan scan = epb_json_scan(span->text);

    request->flags &= ~EPB_F_BINARY;
    if (span->lone_surrogate || !epb_json_take(&scan, '[')) {
        return member->bad;
    }
    struct epb_json_span element;
    while (epb_json_value(&scan, EPB_JSONL_DEPTH, &element)) {
        enum epb_status status = pack_element(decoding, member, &element, binary);
        if (status != EPB_OK) {
            return status;
        }
        if (!epb_json_take(&scan, ',')) {
            break;
        }
    }
    request->value = (struct epb_bytes){epb_buf_data(decoding->scratch),
                                        epb_buf_size(decoding->scratch)};
    return EPB_OK;
}

/* Packs the tokens of the grants that the flow holds. */
static enum epb_status
read_holding(struct decoding *decoding, const struct member *member,
             const struct epb_json_span *span)
{
    struct epb_json_scan scan = epb_json_scan(span->text);

    if (span->kind != EPB_JSON_ARRAY || !epb_json_take(&scan, '[')) {
        return member->bad;
    }
    struct epb_json_span token;
    while (epb_json_value(&scan, EPB_JSONL_DEPTH, &token)) {
        int64_t number;
        uint8_t *out;
        enum epb_status status = epb_jsonl_integer(&token, member->bad, &number);
        if (status == EPB_OK && number < 0) {
            status = member->bad;
        }
        if (status == EPB_OK) {
            status = epb_buf_reserve(decoding->scratch, sizeof(number), &out);
        }
        if (status != EPB_OK) {
            return status;
        }
        epb_put_u64(out, (uint64_t)number);
        epb_buf_commit(decoding->scratch, sizeof(number));
        if (!epb_json_take(&scan, ',')) {
            break;
        }
    }
    decoding->out->request.value = (struct epb_bytes){epb_buf_data(decoding->scratch),
                                                      epb_buf_size(decoding->scratch)};
    return EPB_OK;
}

/* The table */

#define OF(field) offsetof(struct epb_request, field)
#define OTHER_VALUES (EPB_AS_VALUES | EPB_AS_HOLDING)

/* The order matters: failures are answered with the id, the meaning of other members
 * depends on the action, and the meaning of a value depends on the encoding before it. */
static const struct member members[] = {
    {"id", read_id, EPB_INVALID_REQUEST, 0, 0, 0, 0},
    {"action", read_action, EPB_INVALID_REQUEST, 0, 0, 0, 0},
    {"key", read_text, EPB_INVALID_KEY, EPB_HAS_KEY, OF(key), 0, EPB_AS_PREFIX},
    {"prefix", read_text, EPB_INVALID_KEY, EPB_HAS_KEY, OF(key), EPB_AS_PREFIX, 0},
    {"by", read_signed, EPB_INVALID_REQUEST, EPB_F_COUNT, OF(count), EPB_AS_BY, 0},
    {"limit", read_signed, EPB_INVALID_REQUEST, EPB_F_COUNT, OF(count), EPB_AS_LIMIT, 0},
    {"parties", read_signed, EPB_INVALID_REQUEST, EPB_F_COUNT, OF(count), EPB_AS_PARTIES,
     0},
    {"count", read_signed, EPB_INVALID_REQUEST, EPB_F_COUNT, OF(count), EPB_AS_COUNT, 0},
    {"target", read_target, EPB_INVALID_REQUEST, EPB_F_COUNT, 0, EPB_AS_TARGET, 0},
    {"ifVersion", read_unsigned, EPB_INVALID_REQUEST, EPB_F_VERSION, OF(version), 0, 0},
    {"token", read_unsigned, EPB_INVALID_REQUEST, EPB_F_FENCE, OF(fence), 0, 0},
    {"fence", read_unsigned, EPB_INVALID_REQUEST, EPB_F_FENCE, OF(fence), EPB_AS_FENCE,
     0},
    {"ttl", read_ttl, EPB_INVALID_TTL, EPB_F_TTL, OF(ttl_ms), 0, 0},
    {"waitMs", read_wait, EPB_INVALID_REQUEST, EPB_F_WAIT, OF(wait_ms), 0, 0},
    {"periodMs", read_period, EPB_INVALID_REQUEST, EPB_F_PERIOD, OF(period_ms),
     EPB_AS_PERIOD, 0},
    {"refreshAheadMs", read_period, EPB_INVALID_REQUEST, EPB_F_PERIOD, OF(period_ms),
     EPB_AS_REFRESH, 0},
    {"burst", read_unsigned, EPB_INVALID_REQUEST, EPB_F_BURST, OF(burst), 0, 0},
    {"cost", read_unsigned, EPB_INVALID_REQUEST, EPB_F_COST, OF(cost), 0, 0},
    {"encoding", read_encoding, EPB_INVALID_REQUEST, EPB_F_BINARY, 0, 0, 0},
    {"ifAbsent", read_truth, EPB_INVALID_REQUEST, EPB_F_IF_ABSENT, 0, 0, 0},
    {"compressed", read_truth, EPB_INVALID_REQUEST, EPB_F_GZIP, 0, 0, 0},
    {"force", read_truth, EPB_INVALID_REQUEST, EPB_F_FORCE, 0, 0, EPB_AS_REPLACE},
    {"replace", read_truth, EPB_INVALID_REQUEST, EPB_F_FORCE, 0, EPB_AS_REPLACE, 0},
    {"fresh", read_truth, EPB_INVALID_REQUEST, EPB_F_FRESH, 0, 0, 0},
    {"shared", read_truth, EPB_INVALID_REQUEST, EPB_F_SHARED, 0, 0, 0},
    {"discard", read_truth, EPB_INVALID_REQUEST, EPB_F_DISCARD, 0, 0, 0},
    {"workerId", read_text, EPB_INVALID_REQUEST, EPB_HAS_WORKER, OF(worker), 0, 0},
    {"value", read_value, EPB_INVALID_VALUE, EPB_HAS_VALUE, OF(value), 0, OTHER_VALUES},
    {"values", read_values, EPB_INVALID_VALUE, EPB_HAS_VALUE, OF(value), EPB_AS_VALUES,
     0},
    {"reason", read_text, EPB_INVALID_VALUE, EPB_HAS_VALUE, OF(value), EPB_AS_REASON, 0},
    {"holding", read_holding, EPB_INVALID_REQUEST, EPB_HAS_VALUE, OF(value),
     EPB_AS_HOLDING, 0},
};

#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))
_Static_assert(MEMBER_COUNT <= MEMBERS_MAX, "a place for each member");

/* Where the members are */

static size_t
member_called(struct epb_bytes name)
{
    size_t i = 0;

    while (i < MEMBER_COUNT && !bytes_are(name, members[i].name)) {
        i++;
    }
    return i;
}

/* One `"name": value`. */
static enum epb_status
scan_member(struct epb_json_scan *scan, struct decoding *decoding)
{
    struct epb_json_span name;
    struct epb_json_span value;

    if (!epb_json_value(scan, 0, &name) || name.kind != EPB_JSON_STRING ||
        !epb_json_take(scan, ':') || !epb_json_value(scan, EPB_JSONL_DEPTH - 1, &value)) {
        return EPB_INVALID_JSON;
    }
    if (name.lone_surrogate) {
        return EPB_OK;
    }
    size_t member = member_called(string_content(decoding, &name));
    if (member == MEMBER_COUNT) {
        return EPB_OK;
    }
    if (decoding->spans[member].text.size_bytes > 0) {
        return EPB_INVALID_JSON;
    }
    decoding->spans[member] = value;
    return EPB_OK;
}

/* A line with well-formed JSON that is not an object is an invalid request. */
static enum epb_status
scan_other(struct epb_json_scan *scan)
{
    struct epb_json_span span;

    if (epb_json_has_ended(scan)) {
        return EPB_INVALID_REQUEST;
    }
    bool good = epb_json_value(scan, EPB_JSONL_DEPTH, &span) && epb_json_has_ended(scan);
    return good ? EPB_INVALID_REQUEST : EPB_INVALID_JSON;
}

static enum epb_status
scan_line(struct decoding *decoding, size_t size_bytes)
{
    struct epb_bytes line = {decoding->line, size_bytes};

    if (!epb_utf8_valid(line)) {
        return EPB_INVALID_JSON;
    }
    struct epb_json_scan scan = epb_json_scan(line);
    if (!epb_json_take(&scan, '{')) {
        return scan_other(&scan);
    }
    if (!epb_json_take(&scan, '}')) {
        do {
            enum epb_status status = scan_member(&scan, decoding);
            if (status != EPB_OK) {
                return status;
            }
        } while (epb_json_take(&scan, ','));
        if (!epb_json_take(&scan, '}')) {
            return EPB_INVALID_JSON;
        }
    }
    return epb_json_has_ended(&scan) ? EPB_OK : EPB_INVALID_JSON;
}

/* From members to a request */

/* Null is a valid value; for other members it counts as missing. */
static bool
is_given(const struct member *member, const struct epb_json_span *span)
{
    if (span->text.size_bytes == 0) {
        return false;
    }
    return span->kind != EPB_JSON_NULL || member->read == read_value;
}

static enum epb_status
read_member(struct decoding *decoding, const struct member *member,
            const struct epb_json_span *span)
{
    /* `id` and `action` come first and are for any command. */
    uint32_t names = decoding->out->command != NULL ? decoding->out->command->names : 0;

    if ((member->as & ~names) != 0 || (member->unless & names) != 0) {
        return EPB_INVALID_REQUEST;
    }
    /* Two names for one field: `token` and `fence`. */
    if ((decoding->seen & member->field) != 0) {
        return EPB_INVALID_REQUEST;
    }
    enum epb_status status = member->read(decoding, member, span);
    if (status != EPB_OK) {
        return status;
    }
    decoding->seen |= member->field;
    if ((member->field & EPB_NUMBER_FLAGS) != 0) {
        decoding->out->request.flags |= member->field;
    }
    return EPB_OK;
}

enum epb_status
epb_jsonl_decode(uint8_t *line, size_t size_bytes, struct epb_buf *scratch,
                 struct epb_jsonl_request *out)
{
    memset(out, 0, sizeof(*out));
    struct decoding decoding = {.out = out, .line = line, .scratch = scratch};
    enum epb_status status = scan_line(&decoding, size_bytes);
    for (size_t i = 0; i < MEMBER_COUNT && status == EPB_OK; i++) {
        if (is_given(&members[i], &decoding.spans[i])) {
            status = read_member(&decoding, &members[i], &decoding.spans[i]);
        } else if (members[i].read == read_action) {
            status = EPB_INVALID_REQUEST;
        }
    }
    if (status != EPB_OK) {
        return status;
    }
    /* The core can't tell a missing value from an empty one. */
    if ((out->command->needs & ~decoding.seen & EPB_HAS_VALUE) != 0) {
        return EPB_INVALID_VALUE;
    }
    return EPB_OK;
}
