/* JSON lines of leases and of what waits: members, elements, replies, events. */
#include "base/mem_testing.h"
#include "jsonl_help.h"

/* One member besides those that are needed, and what it must become. */
struct member_case {
    const char *line;
    uint32_t flags;
    uint64_t number; /* of the first number that the flags have */
};

static uint64_t
first_number(const struct epb_request *request)
{
    if ((request->flags & EPB_F_FENCE) != 0) {
        return request->fence;
    }
    if ((request->flags & EPB_F_COUNT) != 0) {
        return (uint64_t)request->count;
    }
    if ((request->flags & EPB_F_WAIT) != 0) {
        return request->wait_ms;
    }
    if ((request->flags & EPB_F_PERIOD) != 0) {
        return request->period_ms;
    }
    if ((request->flags & EPB_F_BURST) != 0) {
        return request->burst;
    }
    return (request->flags & EPB_F_COST) != 0 ? request->cost : 0;
}

Test(jsonl_lease, members_become_fields)
{
    static const struct member_case cases[] = {
        {"{\"action\":\"lease\",\"waitMs\":1500}", EPB_F_WAIT, 1500},
        {"{\"action\":\"lease\",\"waitMs\":0}", EPB_F_WAIT, 0},
        {"{\"action\":\"lease\",\"waitMs\":0.2}", EPB_F_WAIT, 1},
        {"{\"action\":\"lease\",\"waitMs\":1e300}", EPB_F_WAIT, EPB_NUMBER_MAX},
        {"{\"action\":\"lease\",\"waitMs\":1e999}", EPB_F_WAIT, EPB_NUMBER_MAX},
        {"{\"action\":\"lease\",\"waitMs\":null}", 0, 0},
        {"{\"action\":\"lease\",\"fresh\":true}", EPB_F_FRESH, 0},
        {"{\"action\":\"lock\",\"shared\":true}", EPB_F_SHARED, 0},
        {"{\"action\":\"lock\",\"shared\":false}", 0, 0},
        {"{\"action\":\"renew\",\"token\":9007199254740991}", EPB_F_FENCE,
         EPB_NUMBER_MAX},
        {"{\"action\":\"release\",\"token\":7,\"force\":true,\"discard\":true}",
         EPB_F_FENCE | EPB_F_FORCE | EPB_F_DISCARD, 7},
        {"{\"action\":\"set\",\"value\":1,\"token\":8}", EPB_F_FENCE, 8},
        {"{\"action\":\"set\",\"value\":1,\"fence\":9}", EPB_F_FENCE, 9},
        {"{\"action\":\"limit\",\"limit\":3}", EPB_F_COUNT, 3},
        {"{\"action\":\"barrier\",\"parties\":4}", EPB_F_COUNT, 4},
        {"{\"action\":\"throttle\",\"limit\":5}", EPB_F_COUNT, 5},
        {"{\"action\":\"throttle\",\"periodMs\":0.5}", EPB_F_PERIOD, 1},
        {"{\"action\":\"throttle\",\"burst\":6}", EPB_F_BURST, 6},
        {"{\"action\":\"throttle\",\"cost\":0}", EPB_F_COST, 0},
        {"{\"action\":\"getOrSet\",\"refreshAheadMs\":200}", EPB_F_PERIOD, 200},
        {"{\"action\":\"cancel\",\"target\":77}", EPB_F_COUNT, 0},
        {"{\"action\":\"lease\",\"detached\":true,\"wait\":5}", 0, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_jsonl_request out;
        cr_assert_eq(decode(TEXT(cases[i].line), &out), EPB_OK, "%s", cases[i].line);
        cr_assert_eq(out.request.flags, cases[i].flags, "%s", cases[i].line);
        cr_assert_eq(first_number(&out.request), cases[i].number, "%s", cases[i].line);
        cr_assert_eq(out.request.id, 0);
    }
}

Test(jsonl_lease, texts_become_keys_reasons_and_targets)
{
    struct epb_jsonl_request out;

    cr_assert_eq(
        decode(LITERAL("{\"action\":\"watch\",\"prefix\":\"us\\u0065r:\"}"), &out),
        EPB_OK);
    cr_assert(bytes_equal(out.request.key, LITERAL("user:")));
    cr_assert_eq(decode(LITERAL("{\"action\":\"leases\",\"prefix\":\"a\"}"), &out),
                 EPB_OK);
    cr_assert(bytes_equal(out.request.key, LITERAL("a")));
    cr_assert_eq(
        decode(LITERAL("{\"action\":\"release\",\"token\":1,\"reason\":\"no\\nway\"}"),
               &out),
        EPB_OK);
    cr_assert(bytes_equal(out.request.value, LITERAL("no\nway")));
    cr_assert_eq(
        decode(LITERAL("{\"action\":\"cancel\",\"target\":\"a\\u0062\",\"id\":2}"), &out),
        EPB_OK);
    cr_assert(bytes_equal(out.target, LITERAL("\"a\\u0062\"")), "as it was written");
    cr_assert(bytes_equal(out.id, LITERAL("2")));
}

Test(jsonl_lease, members_of_other_actions_and_of_wrong_kinds_are_refused)
{
    static const char *const invalid_requests[] = {
        "{\"action\":\"throttle\",\"by\":1}",
        "{\"action\":\"incr\",\"limit\":1}",
        "{\"action\":\"limit\",\"parties\":1}",
        "{\"action\":\"barrier\",\"target\":1}",
        "{\"action\":\"throttle\",\"refreshAheadMs\":1}",
        "{\"action\":\"getOrSet\",\"periodMs\":1}",
        "{\"action\":\"release\",\"fence\":1}",
        "{\"action\":\"set\",\"value\":1,\"fence\":1,\"token\":1}",
        "{\"action\":\"release\",\"value\":1}",
        "{\"action\":\"pool\",\"value\":[1]}",
        "{\"action\":\"set\",\"values\":[1]}",
        "{\"action\":\"discard\",\"value\":1,\"reason\":\"r\"}",
        "{\"action\":\"watch\",\"key\":\"k\"}",
        "{\"action\":\"lease\",\"prefix\":\"k\"}",
        "{\"action\":\"lease\",\"waitMs\":-1}",
        "{\"action\":\"lease\",\"waitMs\":\"5\"}",
        "{\"action\":\"lease\",\"waitMs\":true}",
        "{\"action\":\"lease\",\"fresh\":1}",
        "{\"action\":\"renew\",\"token\":-1}",
        "{\"action\":\"renew\",\"token\":1.5}",
        "{\"action\":\"renew\",\"token\":9007199254740992}",
        "{\"action\":\"throttle\",\"periodMs\":1e300}",
        "{\"action\":\"throttle\",\"cost\":-1}",
        "{\"action\":\"cancel\",\"target\":true}",
        "{\"action\":\"cancel\",\"target\":[1]}",
    };

    for (size_t i = 0; i < sizeof(invalid_requests) / sizeof(invalid_requests[0]); i++) {
        assert_status(invalid_requests[i], EPB_INVALID_REQUEST);
    }
    assert_status("{\"action\":\"pool\"}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"pool\",\"values\":{}}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"pool\",\"values\":\"a\"}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"pool\",\"values\":[\"\\ud800\"]}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"release\",\"token\":1,\"reason\":5}", EPB_INVALID_VALUE);
    assert_status("{\"action\":\"release\",\"token\":1,\"reason\":\"\\udc00\"}",
                  EPB_INVALID_VALUE);
    assert_status("{\"action\":\"lease\",\"ttl\":0}", EPB_INVALID_TTL);
    assert_status("{\"action\":\"lease\",\"waitMs\":1,\"waitMs\":1}", EPB_INVALID_JSON);
}

/* Elements */

static void
put_element(struct epb_buf *out, struct epb_bytes content, uint8_t kind)
{
    uint8_t header[EPB_ELEMENT_HEADER_BYTES];

    epb_put_u32(header, (uint32_t)content.size_bytes);
    header[4] = kind;
    put(out, (struct epb_bytes){header, sizeof(header)});
    put(out, content);
}

Test(jsonl_lease, elements_are_packed_and_kept_byte_for_byte)
{
    struct epb_jsonl_request out;
    struct epb_buf expected;

    epb_buf_init(&expected, 4096);
    cr_assert_eq(
        decode(LITERAL("{\"values\":[ {\"a\": [1 ,2]},\"x\\u0041\" , -0.50,null,\"\", "
                       "[]],\"key\":\"k\",\"action\":\"pool\"}"),
               &out),
        EPB_OK);
    put_element(&expected, LITERAL("{\"a\": [1 ,2]}"), 0);
    put_element(&expected, LITERAL("\"x\\u0041\""), 0);
    put_element(&expected, LITERAL("-0.50"), 0);
    put_element(&expected, LITERAL("null"), 0);
    put_element(&expected, LITERAL("\"\""), 0);
    put_element(&expected, LITERAL("[]"), 0);
    cr_assert(bytes_equal(out.request.value, bytes_of(&expected)));
    cr_assert_eq(out.request.flags, 0);

    epb_buf_consume(&expected, epb_buf_size(&expected));
    cr_assert_eq(decode(LITERAL("{\"action\":\"poolAdd\",\"key\":\"k\",\"encoding\":"
                                "\"base64\",\"values\":[\"AAH/\",\"\",\"eA=\\u003d\"]}"),
                        &out),
                 EPB_OK);
    put_element(&expected, LITERAL("\0\1\xFF"), 1);
    put_element(&expected, LITERAL(""), 1);
    put_element(&expected, LITERAL("x"), 1);
    cr_assert(bytes_equal(out.request.value, bytes_of(&expected)));
    cr_assert_eq(out.request.flags, 0, "the elements say that they are bytes");

    cr_assert_eq(decode(LITERAL("{\"action\":\"pool\",\"values\":[]}"), &out), EPB_OK);
    cr_assert_eq(out.request.value.size_bytes, 0, "for the engine to refuse");
    assert_status("{\"action\":\"pool\",\"encoding\":\"base64\",\"values\":[\"AA==\",5]}",
                  EPB_INVALID_VALUE);
    assert_status("{\"action\":\"pool\",\"encoding\":\"base64\",\"values\":[\"A\"]}",
                  EPB_INVALID_VALUE);
    epb_buf_fini(&expected);
}

Test(jsonl_lease, elements_fit_the_scratch_and_the_depth_of_lines)
{
    static const char *const elements[] = {"1", "\"\"", "[]"};
    for (size_t e = 0; e < 3; e++) {
        struct epb_buf line;
        struct epb_jsonl_request out;
        epb_buf_init(&line, 1 << 20);
        put(&line, LITERAL("{\"action\":\"pool\",\"values\":["));
        for (int i = 0; i < 50000; i++) {
            if (i > 0) {
                put(&line, LITERAL(","));
            }
            put(&line, TEXT(elements[e]));
        }
        put(&line, LITERAL("]}"));
        cr_assert_eq(decode(bytes_of(&line), &out), EPB_OK);
        cr_assert_eq(out.request.value.size_bytes, 50000 * (5 + strlen(elements[e])));
        epb_buf_fini(&line);
    }
    for (int depth = 29; depth <= 32; depth++) {
        char line[200];
        snprintf(line, sizeof(line), "{\"action\":\"pool\",\"values\":[%.*s%.*s]}", depth,
                 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", depth,
                 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
        assert_status(line, depth <= 30 ? EPB_OK : EPB_INVALID_JSON);
    }
}

Test(jsonl_lease, no_memory_for_elements_is_an_internal_error)
{
    struct epb_bytes line = LITERAL("{\"action\":\"pool\",\"values\":[1,2,3]}");
    struct epb_jsonl_request out;

    cr_assert_eq(decode(line, &out), EPB_OK);
    epb_mem_fail_after(1);
    enum epb_status status = decode(line, &out);
    epb_mem_fail_after(0);
    cr_assert_eq(status, EPB_INTERNAL);
}

/* Replies */

Test(jsonl_lease, leases_say_what_was_granted)
{
    struct epb_bytes lease =
        LITERAL("{\"action\":\"lease\",\"key\":\"k\",\"workerId\":\"w\",\"id\":5}");
    uint32_t granted = EPB_F_TTL | EPB_F_FENCE;

    assert_reply(
        lease,
        (struct epb_reply){
            .flags = granted | EPB_F_COUNT, .ttl_ms = 9, .fence = 70, .count = 2},
        "{\"ok\":true,\"id\":5,\"value\":2,\"token\":70,\"ttl\":9}\n");
    assert_reply(
        lease,
        (struct epb_reply){
            .flags = granted, .ttl_ms = 9, .fence = 70, .body = LITERAL("{\"a\":\n1}")},
        "{\"ok\":true,\"id\":5,\"value\":{\"a\": 1},\"token\":70,\"ttl\":9}\n");
    assert_reply(lease,
                 (struct epb_reply){.flags = granted | EPB_F_BINARY,
                                    .ttl_ms = 9,
                                    .fence = 70,
                                    .body = LITERAL("\0\1")},
                 "{\"ok\":true,\"id\":5,\"value\":\"AAE=\",\"encoding\":\"base64\","
                 "\"token\":70,\"ttl\":9}\n");
    assert_reply(LITERAL("{\"action\":\"lock\",\"key\":\"k\"}"),
                 (struct epb_reply){.flags = granted, .ttl_ms = 8, .fence = 71},
                 "{\"ok\":true,\"value\":null,\"token\":71,\"ttl\":8}\n");
    assert_reply(LITERAL("{\"action\":\"release\",\"workerId\":\"w\"}"),
                 (struct epb_reply){.flags = EPB_F_COUNT, .count = 3},
                 "{\"ok\":true,\"released\":true,\"count\":3}\n");
    assert_reply(LITERAL("{\"action\":\"release\",\"workerId\":\"w\"}"),
                 (struct epb_reply){.flags = EPB_F_COUNT},
                 "{\"ok\":true,\"released\":false,\"count\":0}\n");
}

Test(jsonl_lease, renewals_name_what_was_lost)
{
    struct epb_bytes renew = LITERAL("{\"action\":\"renew\",\"workerId\":\"w\"}");
    uint8_t losses[2 * EPB_LOSS_HEADER_BYTES + 3] = {0};

    epb_put_u64(losses, 81);
    epb_put_u16(losses + 8, 1);
    losses[10] = '"';
    epb_put_u64(losses + 11, 82);
    epb_put_u16(losses + 19, 2);
    memcpy(losses + 21, "bc", 2);
    assert_reply(renew, (struct epb_reply){.flags = EPB_F_COUNT, .count = 2},
                 "{\"ok\":true,\"renewed\":2,\"lost\":[]}\n");
    assert_reply(
        renew, (struct epb_reply){.flags = EPB_F_COUNT, .body = {losses, sizeof(losses)}},
        "{\"ok\":true,\"renewed\":0,\"lost\":[{\"key\":\"\\\"\",\"token\":81},"
        "{\"key\":\"bc\",\"token\":82}]}\n");
    assert_reply(
        renew,
        (struct epb_reply){.flags = EPB_F_COUNT | EPB_F_TTL, .count = 1, .ttl_ms = 60},
        "{\"ok\":true,\"renewed\":1,\"lost\":[],\"ttl\":60}\n");
}

static void
put_lease(struct epb_buf *out, bool held, uint8_t kind, uint64_t session, uint64_t token,
          uint64_t left_ms, const char *key)
{
    uint8_t lease[EPB_LEASES_ENTRY_HEADER_BYTES] = {held ? 1 : 2, kind, !held};

    epb_put_u64(lease + 3, session);
    epb_put_u64(lease + 11, token);
    epb_put_u64(lease + 19, left_ms);
    epb_put_u64(lease + 27, 400);
    epb_put_u32(lease + 35, session == 0 ? 0 : 4242);
    epb_put_u16(lease + 39, (uint16_t)strlen(key));
    epb_put_u16(lease + 41, 2);
    put(out, (struct epb_bytes){lease, sizeof(lease)});
    put(out, TEXT(key));
    put(out, LITERAL("w1"));
}

Test(jsonl_lease, leases_are_listed_with_who_and_since_when)
{
    struct epb_buf body;

    epb_buf_init(&body, 4096);
    put_lease(&body, true, 3, 7, 90, 500, "a");
    put_lease(&body, false, 5, 0, 0, 600, "b");
    put_lease(&body, false, 6, 8, 0, EPB_NUMBER_MAX, "c");
    assert_reply(
        LITERAL("{\"action\":\"leases\"}"), (struct epb_reply){.body = bytes_of(&body)},
        "{\"ok\":true,\"leases\":["
        "{\"key\":\"a\",\"kind\":\"pool\",\"state\":\"held\",\"workerId\":\"w1\","
        "\"shared\":false,\"count\":1,\"session\":7,\"token\":90,\"ttl\":500,\"pid\":"
        "4242,\"since\":"
        "600},"
        "{\"key\":\"b\",\"kind\":\"lock\",\"state\":\"waiting\",\"workerId\":\"w1\","
        "\"shared\":true,\"count\":1,\"session\":null,\"waitMs\":600,\"pid\":null,"
        "\"since\":600},"
        "{\"key\":\"c\",\"kind\":\"compute\",\"state\":\"waiting\",\"workerId\":\"w1\","
        "\"shared\":true,\"count\":1,\"session\":8,\"waitMs\":null,\"pid\":4242,"
        "\"since\":600}]}\n");
    assert_reply(LITERAL("{\"action\":\"leases\"}"), (struct epb_reply){.status = EPB_OK},
                 "{\"ok\":true,\"leases\":[]}\n");
    epb_buf_fini(&body);
}

Test(jsonl_lease, definitions_counts_and_clearing_have_their_fields)
{
    static const char *const good[] = {
        "{\"action\":\"pool\",\"key\":\"p\",\"values\":[1,2],\"replace\":true}",
        "{\"action\":\"pool\",\"key\":\"p\",\"values\":[1,3],\"ifAbsent\":true}",
        "{\"action\":\"limit\",\"key\":\"s\",\"n\":2,\"replace\":true}",
        "{\"action\":\"limit\",\"key\":\"s\",\"n\":3,\"ifAbsent\":true}",
        "{\"action\":\"acquire\",\"key\":\"p\",\"workerId\":\"w\",\"count\":2}",
        "{\"action\":\"acquire\",\"key\":\"q\",\"workerId\":\"w\"}",
        "{\"action\":\"number\",\"key\":\"n\",\"workerId\":\"w\",\"count\":3}",
        "{\"action\":\"describe\",\"key\":\"p\"}",
        "{\"action\":\"clear\",\"prefix\":\"p\"}",
        "{\"action\":\"clear\"}",
    };

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_status(good[i], EPB_OK);
    }
    assert_status("{\"action\":\"clear\",\"prefix\":1}", EPB_INVALID_KEY);
    assert_status("{\"action\":\"describe\",\"key\":\"p\",\"replace\":true}",
                  EPB_INVALID_REQUEST);
    assert_status("{\"action\":\"pool\",\"key\":\"p\",\"values\":[1],\"replace\":1}",
                  EPB_INVALID_REQUEST);
    assert_reply(
        LITERAL("{\"action\":\"clear\"}"),
        (struct epb_reply){.flags = EPB_F_COUNT | EPB_F_BURST, .count = 12, .burst = 3},
        "{\"ok\":true,\"cleared\":12,\"held\":3}\n");
    assert_reply(LITERAL("{\"action\":\"describe\",\"key\":\"p\"}"),
                 (struct epb_reply){.body = LITERAL("\3\5\0\0\0\0\0\0\0"
                                                    "\2\0\0\0\0\0\0\0"
                                                    "\1\0\0\0\0\0\0\0")},
                 "{\"ok\":true,\"kind\":\"pool\",\"size\":5,\"free\":2,\"waiting\":1}\n");
}

Test(jsonl_lease, the_other_replies_have_their_members)
{
    struct epb_bytes compute = LITERAL("{\"action\":\"getOrSet\",\"key\":\"k\"}");
    struct epb_bytes throttle = LITERAL("{\"action\":\"throttle\",\"key\":\"k\"}");
    uint32_t entry = EPB_F_TTL | EPB_F_VERSION;
    struct epb_reply value = {
        .flags = entry, .ttl_ms = 5, .version = 6, .body = LITERAL("1")};

    assert_reply(compute, value, "{\"ok\":true,\"value\":1,\"version\":6,\"ttl\":5}\n");
    value.flags |= EPB_F_FENCE;
    value.fence = 77;
    assert_reply(compute, value,
                 "{\"ok\":true,\"value\":1,\"version\":6,\"ttl\":5,\"compute\":true,"
                 "\"token\":77}\n");
    assert_reply(
        compute,
        (struct epb_reply){.flags = EPB_F_FENCE | EPB_F_TTL, .fence = 77, .ttl_ms = 5},
        "{\"ok\":true,\"compute\":true,\"token\":77,\"computeTtl\":5}\n");
    assert_reply(LITERAL("{\"action\":\"waitFor\",\"key\":\"k\"}"),
                 (struct epb_reply){.flags = entry, .ttl_ms = 5, .body = LITERAL("1")},
                 "{\"ok\":true,\"value\":1,\"version\":0,\"ttl\":5}\n");
    assert_reply(LITERAL("{\"action\":\"barrier\",\"key\":\"k\"}"),
                 (struct epb_reply){.count = 3}, "{\"ok\":true,\"value\":3}\n");
    assert_reply(throttle, (struct epb_reply){.count = 1, .burst = 4, .period_ms = 50},
                 "{\"ok\":true,\"allowed\":true,\"remaining\":4,\"retryAfterMs\":0,"
                 "\"resetAfterMs\":50}\n");
    assert_reply(throttle, (struct epb_reply){.wait_ms = EPB_NUMBER_MAX, .period_ms = 50},
                 "{\"ok\":true,\"allowed\":false,\"remaining\":0,\"retryAfterMs\":null,"
                 "\"resetAfterMs\":50}\n");
    assert_reply(LITERAL("{\"action\":\"pool\",\"values\":[1]}"),
                 (struct epb_reply){.count = 1}, "{\"ok\":true,\"created\":true}\n");
    assert_reply(LITERAL("{\"action\":\"limit\",\"limit\":1}"),
                 (struct epb_reply){.count = 0}, "{\"ok\":true,\"created\":false}\n");
    assert_reply(LITERAL("{\"action\":\"poolAdd\",\"values\":[1]}"),
                 (struct epb_reply){.count = 12}, "{\"ok\":true,\"size\":12}\n");
    assert_reply(LITERAL("{\"action\":\"cancel\",\"target\":1}"),
                 (struct epb_reply){.count = 1}, "{\"ok\":true,\"cancelled\":true}\n");
    assert_reply(LITERAL("{\"action\":\"discard\",\"value\":1}"),
                 (struct epb_reply){.count = 0}, "{\"ok\":true}\n");
    assert_reply(LITERAL("{\"action\":\"watch\",\"id\":1}"),
                 (struct epb_reply){.count = 0}, "{\"ok\":true,\"id\":1}\n");
}

Test(jsonl_lease, a_failed_computation_tells_its_reason_when_that_is_text)
{
    struct epb_bytes compute = LITERAL("{\"action\":\"getOrSet\",\"key\":\"k\"}");
    char expected[300];
    const char *format =
        "{\"ok\":false,\"error\":\"compute_failed\",\"message\":\"%s\"%s}\n";
    const char *message = epb_status_message(EPB_COMPUTE_FAILED);

    snprintf(expected, sizeof(expected), format, message,
             ",\"reason\":\"no \\\"way\\\"\\n\"");
    assert_reply(
        compute,
        (struct epb_reply){.status = EPB_COMPUTE_FAILED, .body = LITERAL("no \"way\"\n")},
        expected);
    snprintf(expected, sizeof(expected), format, message, "");
    assert_reply(
        compute,
        (struct epb_reply){.status = EPB_COMPUTE_FAILED, .body = LITERAL("\xFF\xFE")},
        expected);
}

/* Events */

static void
put_event(struct epb_buf *out, uint8_t kind, uint64_t version, struct epb_bytes key)
{
    uint8_t event[EPB_EVENT_HEADER_BYTES] = {kind};

    epb_put_u64(event + 1, version);
    epb_put_u16(event + 9, (uint16_t)key.size_bytes);
    put(out, (struct epb_bytes){event, sizeof(event)});
    put(out, key);
}

Test(jsonl_lease, events_are_lines_with_the_id_of_their_watch)
{
    struct epb_buf packed;
    struct epb_buf out;

    epb_buf_init(&packed, 4096);
    put_event(&packed, EPB_EVENT_SET, 3, LITERAL("a\n"));
    put_event(&packed, EPB_EVENT_DEL, 4, LITERAL("b"));
    put_event(&packed, EPB_EVENT_EXPIRE, 5, LITERAL("c"));
    put_event(&packed, EPB_EVENT_EVICT, 6, LITERAL("d"));
    put_event(&packed, EPB_EVENT_OVERFLOW, 0, LITERAL(""));
    epb_buf_init(&out, 1000);
    cr_assert_eq(epb_jsonl_encode_events(&out, LITERAL("\"w\""), bytes_of(&packed)),
                 EPB_OK);
    cr_assert(bytes_equal(
                  bytes_of(&out),
                  LITERAL("{\"event\":\"set\",\"id\":\"w\",\"key\":\"a\\n\","
                          "\"version\":3}\n"
                          "{\"event\":\"del\",\"id\":\"w\",\"key\":\"b\",\"version\":4}\n"
                          "{\"event\":\"expire\",\"id\":\"w\",\"key\":\"c\",\"version\":"
                          "5}\n"
                          "{\"event\":\"evict\",\"id\":\"w\",\"key\":\"d\",\"version\":"
                          "6}\n"
                          "{\"event\":\"overflow\",\"id\":\"w\"}\n")),
              "%.*s", (int)epb_buf_size(&out), (const char *)epb_buf_data(&out));
    epb_buf_fini(&out);
    epb_buf_init(&out, 100);
    put(&out, LITERAL("before"));
    cr_assert_eq(epb_jsonl_encode_events(&out, LITERAL("1"), bytes_of(&packed)),
                 EPB_TOO_LARGE);
    cr_assert(bytes_equal(bytes_of(&out), LITERAL("before")));
    epb_buf_fini(&out);
    epb_buf_fini(&packed);
}
