/* JSON lines: how a line becomes a request, and a reply a line. */
#include "base/mem_testing.h"
#include "jsonl_help.h"

Test(jsonl, a_set_has_all_its_fields)
{
    struct epb_jsonl_request out;

    cr_assert_eq(
        decode(LITERAL("{ \"id\" : 7, \"action\":\"set\", \"key\":\"k\", \"value\" :"
                       " { \"a\": [1, 2 ] } , \"ttl\":1500,\"ifAbsent\":true}"),
               &out),
        EPB_OK);
    cr_assert_eq(out.request.action, EPB_ACTION_SET);
    cr_assert_eq(out.command, epb_command_find(EPB_ACTION_SET));
    cr_assert_eq(out.request.flags, EPB_F_TTL | EPB_F_IF_ABSENT);
    cr_assert_eq(out.request.ttl_ms, 1500);
    cr_assert(bytes_equal(out.request.key, LITERAL("k")));
    cr_assert(bytes_equal(out.request.value, LITERAL("{ \"a\": [1, 2 ] }")),
              "byte for byte");
    cr_assert(bytes_equal(out.id, LITERAL("7")));
}

Test(jsonl, other_members_are_read_and_unknown_ones_ignored)
{
    struct epb_jsonl_request out;

    cr_assert_eq(
        decode(LITERAL("{\"action\":\"incr\",\"by\":-5,\"key\":\"n\",\"ttl\":null,"
                       "\"workerId\":\"w1\",\"hmac\":\"x\",\"beforeSize\":1,"
                       "\"\\ud800\":2,\"deep\":[{\"x\":[]}],\"ifVersion\":12}"),
               &out),
        EPB_OK);
    cr_assert_eq(out.request.flags, EPB_F_COUNT | EPB_F_VERSION);
    cr_assert_eq(out.request.count, -5);
    cr_assert_eq(out.request.version, 12);
    cr_assert(bytes_equal(out.request.worker, LITERAL("w1")));
    cr_assert_eq(decode(LITERAL("{\"action\":\"list\",\"prefix\":\"user:\"}"), &out),
                 EPB_OK);
    cr_assert(bytes_equal(out.request.key, LITERAL("user:")));
}

Test(jsonl, escapes_are_undone_in_names_and_strings)
{
    struct epb_jsonl_request out;

    cr_assert_eq(
        decode(LITERAL("{\"\\u0061ction\":\"g\\u0065t\",\"key\":\"a\\u0000\\\"\\ud83d"
                       "\\ude00\\/\"}"),
               &out),
        EPB_OK);
    cr_assert_eq(out.request.action, EPB_ACTION_GET);
    cr_assert(bytes_equal(out.request.key, LITERAL("a\0\"\xF0\x9F\x98\x80/")));
}

Test(jsonl, bytes_come_in_base64)
{
    struct epb_jsonl_request out;
    const char *format =
        "{\"action\":\"set\",\"key\":\"k\",\"value\":\"%s\",%s,\"ttl\":1}";
    char line[256];

    snprintf(line, sizeof(line), format, "AAH\\/", "\"encoding\":\"base64\"");
    cr_assert_eq(decode(TEXT(line), &out), EPB_OK);
    cr_assert_eq(out.request.flags, EPB_F_TTL | EPB_F_BINARY);
    cr_assert(bytes_equal(out.request.value, LITERAL("\x00\x01\xFF")));
    snprintf(line, sizeof(line), format, "", "\"encoding\":\"base64\"");
    cr_assert_eq(decode(TEXT(line), &out), EPB_OK);
    cr_assert_eq(out.request.value.size_bytes, 0);
    cr_assert_eq(out.request.flags, EPB_F_TTL | EPB_F_BINARY);
    snprintf(line, sizeof(line), format, "H4sI", "\"compressed\":true");
    cr_assert_eq(decode(TEXT(line), &out), EPB_OK);
    cr_assert_eq(out.request.flags, EPB_F_TTL | EPB_F_GZIP);
    cr_assert(bytes_equal(out.request.value, LITERAL("\x1f\x8b\x08")));
    snprintf(line, sizeof(line), format, "text",
             "\"compressed\":false,\"encoding\":null");
    cr_assert_eq(decode(TEXT(line), &out), EPB_OK);
    cr_assert(bytes_equal(out.request.value, LITERAL("\"text\"")));
}

Test(jsonl, a_ttl_is_a_finite_number_above_zero_and_fractions_count_up)
{
    struct {
        const char *text;
        uint64_t ttl_ms; /* 0: refused */
    } cases[] = {{"1", 1},
                 {"0.001", 1},
                 {"1500.2", 1501},
                 {"1e3", 1000},
                 {"1.5E2", 150},
                 {"9007199254740991", 9007199254740991},
                 {"0", 0},
                 {"-1", 0},
                 {"-0.5", 0},
                 {"1e400", 0},
                 {"9007199254740993", 0},
                 {"\"60000\"", 0},
                 {"true", 0},
                 {"[1]", 0},
                 {"{}", 0},
                 {"1000000000000000000000000000000000000000000000000000000000000000", 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[256];
        struct epb_jsonl_request out;
        snprintf(line, sizeof(line),
                 "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":%s}",
                 cases[i].text);
        enum epb_status status = decode(TEXT(line), &out);
        cr_assert_eq(status, cases[i].ttl_ms == 0 ? EPB_INVALID_TTL : EPB_OK, "%s",
                     cases[i].text);
        if (status == EPB_OK) {
            cr_assert_eq(out.request.ttl_ms, cases[i].ttl_ms);
        }
    }
}

Test(jsonl, an_id_is_kept_as_it_was_written)
{
    const char *ids[] = {"0", "-1.50e3", "\"a\\u0041\\\"\"", "\"\"",
                         "12345678901234567890123"};

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        char line[256];
        struct epb_jsonl_request out;
        snprintf(line, sizeof(line), "{\"action\":\"nonsense\",\"id\":%s}", ids[i]);
        cr_assert_eq(decode(TEXT(line), &out), EPB_UNKNOWN_ACTION);
        cr_assert(bytes_equal(out.id, TEXT(ids[i])), "%s", ids[i]);
    }
    char line[600];
    memset(line, 'x', sizeof(line));
    memcpy(line, "{\"action\":\"ping\",\"id\":\"", 23);
    memcpy(line + 590, "\"}", 3);
    assert_status(line, EPB_INVALID_REQUEST);
}

Test(jsonl, what_is_no_json_is_invalid_json)
{
    assert_status("{", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\"", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\"}}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\",}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\"} x", EPB_INVALID_JSON);
    assert_status("{'action':'ping'}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\",\"value\":01}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\",\"x\":\"\xff\"}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"ping\",\"x\":\"\xed\xa0\x80\"}", EPB_INVALID_JSON);
    assert_status("hello", EPB_INVALID_JSON);
    assert_status("{1:2}", EPB_INVALID_JSON);
}

Test(jsonl, a_member_that_means_something_may_appear_once)
{
    assert_status("{\"action\":\"get\",\"key\":\"a\",\"key\":\"b\"}", EPB_INVALID_JSON);
    assert_status("{\"action\":\"get\",\"action\":\"del\",\"key\":\"b\"}",
                  EPB_INVALID_JSON);
    assert_status("{\"action\":\"get\",\"key\":\"a\",\"k\\u0065y\":\"b\"}",
                  EPB_INVALID_JSON);
    assert_status("{\"action\":\"get\",\"key\":\"a\",\"x\":1,\"x\":2}", EPB_OK);
}

Test(jsonl, nesting_is_bounded)
{
    char line[200];

    for (int depth = 30; depth <= 33; depth++) {
        snprintf(line, sizeof(line),
                 "{\"action\":\"set\",\"key\":\"k\",\"value\":%.*s%.*s}", depth,
                 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", depth,
                 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
        assert_status(line, depth <= 31 ? EPB_OK : EPB_INVALID_JSON);
    }
}

Test(jsonl, what_is_json_but_no_request_is_an_invalid_request)
{
    const char *lines[] = {
        "",
        "  ",
        "null",
        "[]",
        "[{\"action\":\"ping\"}]",
        "5",
        "\"ping\"",
        "{}",
        "{\"action\":null}",
        "{\"action\":5}",
        "{\"action\":\"pi\\ud800\"}",
        "{\"action\":\"ping\",\"id\":[]}",
        "{\"action\":\"ping\",\"id\":true}",
        "{\"action\":\"incr\",\"key\":\"k\",\"by\":1.5}",
        "{\"action\":\"incr\",\"key\":\"k\",\"by\":\"1\"}",
        "{\"action\":\"incr\",\"key\":\"k\",\"by\":9007199254740993}",
        "{\"action\":\"incr\",\"key\":\"k\",\"by\":1e400}",
        "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ifVersion\":-1}",
        "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ifVersion\":\"1\"}",
        "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ifAbsent\":1}",
        "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"compressed\":\"yes\"}",
        "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"encoding\":\"hex\"}",
        "{\"action\":\"get\",\"key\":\"k\",\"workerId\":5}",
        "{\"action\":\"get\",\"key\":\"k\",\"prefix\":\"p\"}",
        "{\"action\":\"list\",\"key\":\"k\"}"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_status(lines[i], EPB_INVALID_REQUEST);
    }
}

Test(jsonl, keys_and_values_of_the_wrong_kind_are_named)
{
    assert_status("{\"action\":\"get\",\"key\":5}", EPB_INVALID_KEY);
    assert_status("{\"action\":\"get\",\"key\":[\"k\"]}", EPB_INVALID_KEY);
    assert_status("{\"action\":\"get\",\"key\":\"\\udc00\"}", EPB_INVALID_KEY);
    assert_status("{\"action\":\"list\",\"prefix\":1}", EPB_INVALID_KEY);
    assert_status("{\"action\":\"set\",\"key\":\"k\",\"ttl\":1}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"set\",\"key\":\"k\",\"value\":null,\"ttl\":1}", EPB_OK);
    assert_status("{\"action\":\"set\",\"key\":\"k\",\"value\":\"\\ud83d\"}",
                  EPB_INVALID_VALUE);
    assert_status("{\"action\":\"set\",\"key\":\"k\",\"value\":[{\"\\ud83d\":1}]}",
                  EPB_INVALID_VALUE);
    assert_status(
        "{\"action\":\"set\",\"key\":\"k\",\"value\":5,\"encoding\":\"base64\"}",
        EPB_INVALID_VALUE);
    assert_status(
        "{\"action\":\"set\",\"key\":\"k\",\"value\":\"=\",\"encoding\":\"base64\"}",
        EPB_INVALID_VALUE);
    assert_status(
        "{\"action\":\"set\",\"key\":\"k\",\"value\":\"%\",\"compressed\":true}",
        EPB_INVALID_VALUE);
}

Test(jsonl, no_memory_for_a_number_is_an_internal_error)
{
    struct epb_jsonl_request out;
    struct epb_bytes line =
        LITERAL("{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":5}");
    epb_mem_fail_after(1);
    enum epb_status status = decode(line, &out);
    epb_mem_fail_after(0);
    cr_assert_eq(status, EPB_INTERNAL);
    cr_assert_eq(decode(line, &out), EPB_OK);
}

/* The reference implementation's signature */

/* Made with the reference client's own code, of the secret s3cret. */
static const char SIGNED[] =
    "{\"action\":\"get\",\"key\":\"foo\",\"hmac\":"
    "\"9c5afb7442d015d59c5d3646a46e48a70cb046f1fa5cda769f6eb3dc6f46346f\"}";

/* Signs as the reference client does. */
static void
sign(const char *secret, const char *payload, char *line, size_t line_bytes)
{
    struct epb_hmac hmac;
    uint8_t mac[32];

    cr_assert_eq(epb_hmac_init(&hmac, TEXT(secret)), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, payload, strlen(payload));
    epb_hmac_end(&hmac, mac);
    epb_hmac_fini(&hmac);
    int at =
        snprintf(line, line_bytes, "%.*s,\"hmac\":\"", (int)strlen(payload) - 1, payload);
    for (int i = 0; i < 32; i++) {
        at += snprintf(line + at, line_bytes - (size_t)at, "%02x", mac[i]);
    }
    snprintf(line + at, line_bytes - (size_t)at, "\"}");
}

static enum epb_status
verify(const char *secret, char *line, size_t *size_bytes)
{
    struct epb_hmac hmac;

    cr_assert_eq(epb_hmac_init(&hmac, TEXT(secret)), EPB_OK);
    enum epb_status status = epb_jsonl_verify(&hmac, (uint8_t *)line, size_bytes);
    epb_hmac_fini(&hmac);
    return status;
}

Test(jsonl, a_signed_line_is_verified_and_stripped)
{
    const char *payload = "{\"action\":\"get\",\"key\":\"foo\"}";
    char line[256];

    sign("s3cret", payload, line, sizeof(line));
    cr_assert_str_eq(line, SIGNED);
    size_t size_bytes = strlen(line);
    cr_assert_eq(verify("s3cret", line, &size_bytes), EPB_OK);
    cr_assert(
        bytes_equal((struct epb_bytes){(uint8_t *)line, size_bytes}, TEXT(payload)));
}

Test(jsonl, a_signature_that_does_not_hold_is_refused)
{
    const char *payload = "{\"action\":\"get\",\"key\":\"foo\"}";
    char line[256];

    sign("s3cret", payload, line, sizeof(line));
    size_t whole_bytes = strlen(line);
    for (size_t i = 0; i < whole_bytes; i++) {
        char changed[256];
        memcpy(changed, line, sizeof(line));
        changed[i] ^= 1;
        size_t size_bytes = whole_bytes;
        cr_assert_eq(verify("s3cret", changed, &size_bytes), EPB_AUTH_FAILED, "byte %zu",
                     i);
        cr_assert_eq(size_bytes, whole_bytes);
    }
    for (size_t i = 0; i < whole_bytes; i++) {
        size_t size_bytes = i;
        cr_assert_eq(verify("s3cret", line, &size_bytes), EPB_AUTH_FAILED, "%zu bytes",
                     i);
    }
    size_t size_bytes = whole_bytes;
    cr_assert_eq(verify("another", line, &size_bytes), EPB_AUTH_FAILED);
}

/* Replies */

Test(jsonl, replies_have_the_members_of_their_action)
{
    struct epb_bytes get = LITERAL("{\"action\":\"get\",\"key\":\"k\"}");
    struct epb_reply text = {.body = LITERAL("{ \"a\":\n1}")};
    assert_reply(LITERAL("{\"action\":\"ping\",\"id\":\"x\"}"),
                 (struct epb_reply){.flags = EPB_F_COUNT, .count = 12},
                 "{\"ok\":true,\"id\":\"x\",\"pong\":12}\n");
    assert_reply(get, text, "{\"ok\":true,\"value\":{ \"a\": 1}}\n");
    assert_reply(get, (struct epb_reply){.flags = EPB_F_BINARY, .body = LITERAL("\0\1")},
                 "{\"ok\":true,\"value\":\"AAE=\",\"encoding\":\"base64\"}\n");
    assert_reply(get, (struct epb_reply){.flags = EPB_F_GZIP, .body = LITERAL("gz")},
                 "{\"ok\":true,\"value\":\"Z3o=\",\"compressed\":true}\n");
    assert_reply(LITERAL("{\"action\":\"getEntry\",\"key\":\"k\"}"),
                 (struct epb_reply){.version = 3, .ttl_ms = 9, .body = LITERAL("1")},
                 "{\"ok\":true,\"value\":1,\"version\":3,\"ttl\":9}\n");
    assert_reply(LITERAL("{\"action\":\"set\",\"key\":\"k\",\"value\":1}"),
                 (struct epb_reply){.flags = EPB_F_VERSION, .version = 4},
                 "{\"ok\":true,\"version\":4}\n");
    assert_reply(LITERAL("{\"action\":\"del\",\"key\":\"k\"}"),
                 (struct epb_reply){.count = 1}, "{\"ok\":true,\"deleted\":true}\n");
    assert_reply(LITERAL("{\"action\":\"has\",\"key\":\"k\"}"),
                 (struct epb_reply){.count = 0}, "{\"ok\":true,\"exists\":false}\n");
    assert_reply(LITERAL("{\"action\":\"ttl\",\"key\":\"k\"}"),
                 (struct epb_reply){.ttl_ms = 8}, "{\"ok\":true,\"ttl\":8}\n");
    assert_reply(LITERAL("{\"action\":\"touch\",\"key\":\"k\",\"ttl\":5}"),
                 (struct epb_reply){.count = 1}, "{\"ok\":true,\"touched\":true}\n");
    assert_reply(LITERAL("{\"action\":\"incr\",\"key\":\"k\"}"),
                 (struct epb_reply){.count = -6}, "{\"ok\":true,\"value\":-6}\n");
    assert_reply(
        get, (struct epb_reply){.status = EPB_NOT_FOUND},
        "{\"ok\":false,\"error\":\"not_found\",\"message\":\"The key does not exist or "
        "has expired.\"}\n");
}

Test(jsonl, a_list_names_each_key_with_its_facts)
{
    uint8_t body[2 * EPB_LIST_ENTRY_HEADER_BYTES + 4] = {0};

    epb_put_u64(body, 500);
    epb_put_u64(body + 8, 7);
    epb_put_u32(body + 16, 42);
    epb_put_u16(body + 20, 1);
    body[22] = 'a';
    uint8_t *second = body + 23;
    epb_put_u64(second, 600);
    epb_put_u64(second + 8, 8);
    epb_put_u32(second + 16, 43);
    epb_put_u16(second + 20, 3);
    memcpy(second + 22, "\"\n\\", 3);
    struct epb_reply reply = {.body = {body, sizeof(body)}};
    assert_reply(
        LITERAL("{\"action\":\"list\"}"), reply,
        "{\"ok\":true,\"items\":{\"a\":{\"expires\":1500,\"hasValue\":true,\"ttl\":500,"
        "\"version\":7,\"size\":42},\"\\\"\\n\\\\\":{\"expires\":1600,\"hasValue\":"
        "true,\"ttl\":600,\"version\":8,\"size\":43}}}\n");
    assert_reply(LITERAL("{\"action\":\"list\"}"), (struct epb_reply){.status = EPB_OK},
                 "{\"ok\":true,\"items\":{}}\n");
}

Test(jsonl, a_stored_text_that_is_no_json_cannot_break_the_line)
{
    struct epb_bytes bad[] = {LITERAL("1},{\"ok\":true"), LITERAL("nonsense"),
                              LITERAL("1\n2"), LITERAL("\"a\nb\"")};
    struct epb_jsonl_request request;
    struct epb_buf out;

    epb_buf_init(&out, 1024);
    put(&out, LITERAL("before"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct epb_reply reply = {.body = bad[i]};
        cr_assert_eq(decode(LITERAL("{\"action\":\"get\",\"key\":\"k\"}"), &request),
                     EPB_OK);
        cr_assert_eq(epb_jsonl_encode(&out, request.command, request.id, &reply),
                     EPB_INVALID_VALUE);
        cr_assert(bytes_equal(bytes_of(&out), LITERAL("before")));
    }
    epb_buf_fini(&out);
}
