/* See jsonl.h: requests. Replies are in jsonl_reply.c. */
#include "jsonl.h"

#include <cjson/cJSON.h>
#include <stdatomic.h>

#include "../base/mem.h"
#include "../base/utf8.h"
#include "base64.h"
#include "json.h"

/* The members that mean something. */
enum member {
    MEMBER_ACTION,
    MEMBER_KEY,
    MEMBER_VALUE,
    MEMBER_TTL,
    MEMBER_WORKER,
    MEMBER_ID,
    MEMBER_PREFIX,
    MEMBER_IF_ABSENT,
    MEMBER_IF_VERSION,
    MEMBER_BY,
    MEMBER_ENCODING,
    MEMBER_COMPRESSED,
    MEMBER_COUNT
};

static const char *const member_names[MEMBER_COUNT] = {
    [MEMBER_ACTION] = "action",        [MEMBER_KEY] = "key",
    [MEMBER_VALUE] = "value",          [MEMBER_TTL] = "ttl",
    [MEMBER_WORKER] = "workerId",      [MEMBER_ID] = "id",
    [MEMBER_PREFIX] = "prefix",        [MEMBER_IF_ABSENT] = "ifAbsent",
    [MEMBER_IF_VERSION] = "ifVersion", [MEMBER_BY] = "by",
    [MEMBER_ENCODING] = "encoding",    [MEMBER_COMPRESSED] = "compressed",
};

/* Where the members of a line are; those that are not there have an empty text. */
struct members {
    uint8_t *line;
    struct epb_json_span spans[MEMBER_COUNT];
};

/* The characters of a string, escapes replaced, in the line itself. */
static struct epb_bytes
string_content(struct members *members, const struct epb_json_span *span)
{
    size_t inside = (size_t)(span->text.data - members->line) + 1;
    uint8_t *content = members->line + inside;
    size_t size_bytes = epb_json_unescape(content, span->text.size_bytes - 2);
    return (struct epb_bytes){content, size_bytes};
}

static bool
bytes_are(struct epb_bytes bytes, const char *text)
{
    return bytes.size_bytes == strlen(text) &&
           memcmp(bytes.data, text, bytes.size_bytes) == 0;
}

static enum member
member_called(struct epb_bytes name)
{
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        if (bytes_are(name, member_names[i]))
            return (enum member)i;
    }
    return MEMBER_COUNT;
}

/* One `"name": value`. */
static enum epb_status
scan_member(struct epb_json_scan *scan, struct members *members)
{
    struct epb_json_span name;
    struct epb_json_span value;
    if (!epb_json_value(scan, 0, &name) || name.kind != EPB_JSON_STRING ||
        !epb_json_take(scan, ':') || !epb_json_value(scan, EPB_JSONL_DEPTH - 1, &value)) {
        return EPB_INVALID_JSON;
    }
    if (name.lone_surrogate)
        return EPB_OK;
    enum member member = member_called(string_content(members, &name));
    if (member == MEMBER_COUNT)
        return EPB_OK;
    if (members->spans[member].text.size_bytes > 0)
        return EPB_INVALID_JSON;
    members->spans[member] = value;
    return EPB_OK;
}

/* A line that holds well-formed JSON, but no object, is a request of the wrong type. */
static enum epb_status
scan_other(struct epb_json_scan *scan)
{
    struct epb_json_span span;
    if (epb_json_ended(scan))
        return EPB_INVALID_REQUEST;
    bool good = epb_json_value(scan, EPB_JSONL_DEPTH, &span) && epb_json_ended(scan);
    return good ? EPB_INVALID_REQUEST : EPB_INVALID_JSON;
}

static enum epb_status
scan_line(struct members *members, size_t size_bytes)
{
    struct epb_bytes line = {members->line, size_bytes};
    if (!epb_utf8_valid(line))
        return EPB_INVALID_JSON;
    struct epb_json_scan scan = epb_json_scan(line);
    if (!epb_json_take(&scan, '{'))
        return scan_other(&scan);
    if (!epb_json_take(&scan, '}')) {
        do {
            enum epb_status status = scan_member(&scan, members);
            if (status != EPB_OK)
                return status;
        } while (epb_json_take(&scan, ','));
        if (!epb_json_take(&scan, '}'))
            return EPB_INVALID_JSON;
    }
    return epb_json_ended(&scan) ? EPB_OK : EPB_INVALID_JSON;
}

/* The member, when it is there and not null. */
static const struct epb_json_span *
given(const struct members *members, enum member member)
{
    const struct epb_json_span *span = &members->spans[member];
    return span->text.size_bytes == 0 || span->kind == EPB_JSON_NULL ? NULL : span;
}

/* cJSON's allocator is a setting of the process: set once, by whoever comes first. */
static void
give_cjson_our_allocator(void)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    static atomic_bool done;
    if (atomic_load_explicit(&done, memory_order_acquire))
        return;
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        epb_sys_yield();
    if (!atomic_load_explicit(&done, memory_order_relaxed)) {
        cJSON_Hooks hooks = {.malloc_fn = epb_mem_alloc, .free_fn = epb_mem_free};
        cJSON_InitHooks(&hooks);
        atomic_store_explicit(&done, true, memory_order_release);
    }
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

/* cJSON looks at this many characters of a number, and would take the rest for something
 * else. */
#define NUMBER_TEXT_MAX_BYTES 63U

/* A number, whatever the locale's decimal point. `bad` when it is none, or absurdly long.
 */
static enum epb_status
read_number(const struct epb_json_span *span, enum epb_status bad, double *number)
{
    if (span->kind != EPB_JSON_NUMBER || span->text.size_bytes > NUMBER_TEXT_MAX_BYTES) {
        return bad;
    }
    give_cjson_our_allocator();
    cJSON *item =
        cJSON_ParseWithLength((const char *)span->text.data, span->text.size_bytes);
    if (item == NULL)
        return EPB_INTERNAL; /* it is well-formed, so memory is out */
    *number = item->valuedouble;
    cJSON_Delete(item);
    return EPB_OK;
}

/* An integer that JavaScript holds exactly. */
static enum epb_status
read_integer(const struct epb_json_span *span, int64_t *integer)
{
    double number;
    enum epb_status status = read_number(span, EPB_INVALID_REQUEST, &number);
    if (status != EPB_OK)
        return status;
    if (!(number >= -(double)EPB_NUMBER_MAX && number <= (double)EPB_NUMBER_MAX)) {
        return EPB_INVALID_REQUEST;
    }
    *integer = (int64_t)number;
    return (double)*integer < number || (double)*integer > number ? EPB_INVALID_REQUEST
                                                                  : EPB_OK;
}

static enum epb_status
read_ttl(const struct members *members, struct epb_request *request)
{
    const struct epb_json_span *span = given(members, MEMBER_TTL);
    if (span == NULL)
        return EPB_OK;
    double number;
    enum epb_status status = read_number(span, EPB_INVALID_TTL, &number);
    if (status != EPB_OK)
        return status;
    if (!(number > 0 && number <= (double)EPB_NUMBER_MAX))
        return EPB_INVALID_TTL;
    request->ttl_ms = (uint64_t)number;
    if ((double)request->ttl_ms < number)
        request->ttl_ms++; /* a fraction counts as a whole */
    request->flags |= EPB_F_TTL;
    return EPB_OK;
}

static enum epb_status
read_numbers(const struct members *members, struct epb_request *request)
{
    const struct epb_json_span *by = given(members, MEMBER_BY);
    if (by != NULL) {
        enum epb_status status = read_integer(by, &request->count);
        if (status != EPB_OK)
            return status;
        request->flags |= EPB_F_COUNT;
    }
    const struct epb_json_span *if_version = given(members, MEMBER_IF_VERSION);
    if (if_version != NULL) {
        int64_t version;
        enum epb_status status = read_integer(if_version, &version);
        if (status != EPB_OK)
            return status;
        if (version < 0)
            return EPB_INVALID_REQUEST;
        request->version = (uint64_t)version;
        request->flags |= EPB_F_VERSION;
    }
    return read_ttl(members, request);
}

/* A member that is true sets the flag. */
static enum epb_status
read_truth(const struct members *members, enum member member, uint32_t flag,
           uint32_t *flags)
{
    const struct epb_json_span *span = given(members, member);
    if (span == NULL || span->kind == EPB_JSON_FALSE)
        return EPB_OK;
    if (span->kind != EPB_JSON_TRUE)
        return EPB_INVALID_REQUEST;
    *flags |= flag;
    return EPB_OK;
}

static enum epb_status
read_string(struct members *members, enum member member, enum epb_status bad,
            struct epb_bytes *content)
{
    const struct epb_json_span *span = given(members, member);
    if (span == NULL)
        return EPB_OK;
    if (span->kind != EPB_JSON_STRING || span->lone_surrogate)
        return bad;
    *content = string_content(members, span);
    return EPB_OK;
}

static enum epb_status
read_choices(struct members *members, struct epb_request *request)
{
    struct epb_bytes encoding = {NULL, 0};
    enum epb_status status =
        read_string(members, MEMBER_ENCODING, EPB_INVALID_REQUEST, &encoding);
    if (status != EPB_OK)
        return status;
    if (encoding.data != NULL) {
        if (!bytes_are(encoding, "base64"))
            return EPB_INVALID_REQUEST;
        request->flags |= EPB_F_BINARY;
    }
    status = read_truth(members, MEMBER_IF_ABSENT, EPB_F_IF_ABSENT, &request->flags);
    if (status != EPB_OK)
        return status;
    return read_truth(members, MEMBER_COMPRESSED, EPB_F_GZIP, &request->flags);
}

/* Null is a value like any other. */
static enum epb_status
read_value(struct members *members, struct epb_jsonl_request *out)
{
    const struct epb_json_span *span = &members->spans[MEMBER_VALUE];
    if (span->text.size_bytes == 0) {
        return (out->command->needs & EPB_HAS_VALUE) != 0 ? EPB_INVALID_VALUE : EPB_OK;
    }
    if (span->lone_surrogate)
        return EPB_INVALID_VALUE;
    if ((out->request.flags & EPB_VALUE_FLAGS) == 0) {
        out->request.value = span->text;
        return EPB_OK;
    }
    if (span->kind != EPB_JSON_STRING)
        return EPB_INVALID_VALUE;
    struct epb_bytes text = string_content(members, span);
    uint8_t *bytes = members->line + (text.data - members->line);
    size_t size_bytes;
    if (!epb_base64_decode(bytes, text.size_bytes, &size_bytes))
        return EPB_INVALID_VALUE;
    out->request.value = (struct epb_bytes){bytes, size_bytes};
    return EPB_OK;
}

/* What names the thing: a key, or the beginning of one for `list`. */
static enum epb_status
read_key(struct members *members, struct epb_jsonl_request *out)
{
    bool takes_prefix = out->command->shape == EPB_SHAPE_LIST;
    if (given(members, takes_prefix ? MEMBER_KEY : MEMBER_PREFIX) != NULL) {
        return EPB_INVALID_REQUEST;
    }
    return read_string(members, takes_prefix ? MEMBER_PREFIX : MEMBER_KEY,
                       EPB_INVALID_KEY, &out->request.key);
}

static enum epb_status
read_action(struct members *members, struct epb_jsonl_request *out)
{
    struct epb_bytes name = {NULL, 0};
    enum epb_status status =
        read_string(members, MEMBER_ACTION, EPB_INVALID_REQUEST, &name);
    if (status != EPB_OK)
        return status;
    if (name.data == NULL)
        return EPB_INVALID_REQUEST;
    out->command = epb_command_by_name(name);
    if (out->command == NULL)
        return EPB_UNKNOWN_ACTION;
    out->request.action = out->command->action;
    return EPB_OK;
}

static enum epb_status
read_id(const struct members *members, struct epb_jsonl_request *out)
{
    const struct epb_json_span *span = given(members, MEMBER_ID);
    if (span == NULL)
        return EPB_OK;
    if (span->kind != EPB_JSON_NUMBER && span->kind != EPB_JSON_STRING) {
        return EPB_INVALID_REQUEST;
    }
    if (span->text.size_bytes > EPB_JSONL_ID_MAX_BYTES)
        return EPB_INVALID_REQUEST;
    out->id = span->text;
    return EPB_OK;
}

enum epb_status
epb_jsonl_decode(uint8_t *line, size_t size_bytes, struct epb_jsonl_request *out)
{
    memset(out, 0, sizeof *out);
    struct members members = {.line = line};
    enum epb_status status = scan_line(&members, size_bytes);
    if (status == EPB_OK)
        status = read_id(&members, out);
    if (status == EPB_OK)
        status = read_action(&members, out);
    if (status == EPB_OK)
        status = read_key(&members, out);
    if (status == EPB_OK)
        status = read_numbers(&members, &out->request);
    if (status == EPB_OK)
        status = read_choices(&members, &out->request);
    if (status == EPB_OK) {
        status = read_string(&members, MEMBER_WORKER, EPB_INVALID_REQUEST,
                             &out->request.worker);
    }
    if (status == EPB_OK)
        status = read_value(&members, out);
    return status;
}

static const char SIGNATURE_START[] = ",\"hmac\":\"";
static const char SIGNATURE_END[] = "\"}";
#define SIGNATURE_BYTES \
    (sizeof SIGNATURE_START - 1 + 2U * EPB_HASH_BYTES + sizeof SIGNATURE_END - 1)

static bool
read_hex(const uint8_t *text, uint8_t *out, size_t size_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * size_bytes; i++) {
        uint8_t character = text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20U : text[i];
        const char *digit = character == 0 ? NULL : strchr(digits, character);
        if (digit == NULL)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
    }
    return true;
}

enum epb_status
epb_jsonl_verify(struct epb_hmac *hmac, uint8_t *line, size_t *size_bytes)
{
    if (*size_bytes < SIGNATURE_BYTES)
        return EPB_AUTH_FAILED;
    size_t signed_bytes = *size_bytes - SIGNATURE_BYTES;
    uint8_t *at = line + signed_bytes;
    if (memcmp(at, SIGNATURE_START, sizeof SIGNATURE_START - 1) != 0)
        return EPB_AUTH_FAILED;
    at += sizeof SIGNATURE_START - 1;
    uint8_t claimed[EPB_HASH_BYTES] = {0};
    if (!read_hex(at, claimed, sizeof claimed))
        return EPB_AUTH_FAILED;
    at += 2U * EPB_HASH_BYTES;
    if (memcmp(at, SIGNATURE_END, sizeof SIGNATURE_END - 1) != 0)
        return EPB_AUTH_FAILED;

    uint8_t expected[EPB_HASH_BYTES];
    epb_hmac_begin(hmac);
    epb_hmac_add(hmac, line, signed_bytes);
    epb_hmac_add(hmac, "}", 1);
    epb_hmac_end(hmac, expected);
    bool same = epb_mem_equal(expected, claimed, sizeof expected);
    epb_mem_wipe(expected, sizeof expected);
    if (!same)
        return EPB_AUTH_FAILED;
    line[signed_bytes] = '}';
    *size_bytes = signed_bytes + 1;
    return EPB_OK;
}
