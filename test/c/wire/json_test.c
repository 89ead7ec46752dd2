/* The strict JSON scanner: accepts what RFC 8259 allows, and nothing else. */
#include "wire/json.h"

#include "wire/base64.h"
#include "wire_help.h"

/* A copy of exactly this size, so that the sanitizer sees a byte too far. */
static uint8_t *
exact_copy(struct epb_bytes bytes)
{
    uint8_t *copy = malloc(bytes.size_bytes + (bytes.size_bytes == 0));

    memcpy(copy, bytes.data, bytes.size_bytes);
    return copy;
}

static bool
accepts(struct epb_bytes text, unsigned depth_max, struct epb_json_span *span)
{
    uint8_t *copy = exact_copy(text);
    struct epb_json_scan scan = epb_json_scan((struct epb_bytes){copy, text.size_bytes});
    bool good = epb_json_value(&scan, depth_max, span) && epb_json_has_ended(&scan);

    free(copy);
    return good;
}

Test(json, accepts_every_kind_of_value)
{
    struct {
        const char *text;
        enum epb_json_kind kind;
    } cases[] = {
        {"null", EPB_JSON_NULL},
        {" true ", EPB_JSON_TRUE},
        {"false", EPB_JSON_FALSE},
        {"0", EPB_JSON_NUMBER},
        {"-0", EPB_JSON_NUMBER},
        {"-12.50e+10", EPB_JSON_NUMBER},
        {"1E5", EPB_JSON_NUMBER},
        {"1e-5", EPB_JSON_NUMBER},
        {"\"\"", EPB_JSON_STRING},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"", EPB_JSON_STRING},
        {"[]", EPB_JSON_ARRAY},
        {"[ ]", EPB_JSON_ARRAY},
        {"[1 , [2,[ ]], {\"a\" : []}]", EPB_JSON_ARRAY},
        {"{}", EPB_JSON_OBJECT},
        {"\t{ \"a\" : 1 , \"b\":{\"c\":[true,false,null]} }\r\n", EPB_JSON_OBJECT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_json_span span;
        cr_assert(accepts(TEXT(cases[i].text), 32, &span), "%s", cases[i].text);
        cr_assert_eq(span.kind, cases[i].kind, "%s", cases[i].text);
        cr_assert_not(span.lone_surrogate, "%s", cases[i].text);
    }
}

Test(json, refuses_everything_else)
{
    const char *cases[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "1 2",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\t\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "\v1",
        "\f1",
        "1\v",
        "//c\n1",
        "1//c",
        "[1]]",
        "\xEF\xBB\xBF"
        "1",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_json_span span;
        cr_assert_not(accepts(TEXT(cases[i]), 32, &span), "%s", cases[i]);
    }
    struct epb_json_span span;
    cr_assert_not(accepts(LITERAL("\"a\0b\""), 32, &span), "a raw NUL");
    cr_assert_not(accepts(LITERAL("1\0"), 32, &span));
}

Test(json, nothing_without_an_address_is_no_value)
{
    struct epb_json_scan scan = epb_json_scan((struct epb_bytes){NULL, 0});
    struct epb_json_span span;

    cr_assert_not(epb_json_value(&scan, 1, &span));
    cr_assert(epb_json_has_ended(&scan));
}

Test(json, notices_half_a_character)
{
    const char *lone[] = {"\"\\ud83d\"",        "\"\\ude00\"",    "\"\\ud83d\\ud83d\"",
                          "\"\\ude00\\ud83d\"", "[\"\\uD83Dx\"]", "{\"\\uDFFF\":1}",
                          "\"\\ud83d\\n\""};
    for (size_t i = 0; i < sizeof(lone) / sizeof(lone[0]); i++) {
        struct epb_json_span span;
        cr_assert(accepts(TEXT(lone[i]), 32, &span), "%s", lone[i]);
        cr_assert(span.lone_surrogate, "%s", lone[i]);
    }
}

Test(json, follows_nesting_to_its_limit_and_no_further)
{
    enum {
        MOST = EPB_JSON_DEPTH_MAX
    };
    static char text[2 * MOST + 3];

    for (unsigned depth = 1; depth <= MOST + 1;
         depth = depth < 40 ? depth + 1 : depth * 2) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        struct epb_json_span span;
        cr_assert_eq(accepts(TEXT(text), 32, &span), depth <= 32, "%u", depth);
        cr_assert(accepts(TEXT(text), depth <= MOST ? depth : MOST, &span) ||
                  depth > MOST);
        if (depth <= MOST) {
            cr_assert_not(accepts(TEXT(text), depth - 1, &span), "%u", depth);
        }
    }
    struct epb_json_span span;
    cr_assert(accepts(LITERAL("5"), 0, &span));
    cr_assert_not(accepts(LITERAL("{}"), 0, &span));
}

Test(json, random_text_made_of_json_characters_is_scanned_safely)
{
    static const char alphabet[] = "{}[]\",:\\u0019adeftnrlsb. -+E\n";
    uint64_t random = UINT64_C(0x5151515151515151);
    unsigned accepted = 0;

    for (int round = 0; round < 100000; round++) {
        uint8_t text[12];
        size_t size_bytes = 1 + next_random(&random) % sizeof(text);
        for (size_t i = 0; i < size_bytes; i++) {
            text[i] = (uint8_t)alphabet[next_random(&random) % (sizeof(alphabet) - 1)];
        }
        struct epb_json_span span;
        accepted += accepts((struct epb_bytes){text, size_bytes}, 32, &span);
    }
    cr_assert_gt(accepted, 0);
}

Test(json, unescapes_in_place)
{
    struct {
        struct epb_bytes escaped;
        struct epb_bytes plain;
    } cases[] = {
        {LITERAL(""), LITERAL("")},
        {LITERAL("plain"), LITERAL("plain")},
        {LITERAL("\\\"\\\\\\/\\b\\f\\n\\r\\t"), LITERAL("\"\\/\b\f\n\r\t")},
        {LITERAL("a\\u0000b"), LITERAL("a\0b")},
        {LITERAL("\\u0041\\u00e9\\u20AC"), LITERAL("A\xC3\xA9\xE2\x82\xAC")},
        {LITERAL("\\ud83d\\ude00!"), LITERAL("\xF0\x9F\x98\x80!")},
        {LITERAL("\\uDBFF\\uDFFF"), LITERAL("\xF4\x8F\xBF\xBF")},
        {LITERAL("\xC3\xA9\\u00e9"), LITERAL("\xC3\xA9\xC3\xA9")},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *text = exact_copy(cases[i].escaped);
        size_t size_bytes = epb_json_unescape(text, cases[i].escaped.size_bytes);
        cr_assert(bytes_equal((struct epb_bytes){text, size_bytes}, cases[i].plain),
                  "%zu", i);
        free(text);
    }
}

Test(json, base64_gives_the_examples_of_rfc_4648)
{
    const char *pairs[][2] = {{"", ""},
                              {"f", "Zg=="},
                              {"fo", "Zm8="},
                              {"foo", "Zm9v"},
                              {"foob", "Zm9vYg=="},
                              {"fooba", "Zm9vYmE="},
                              {"foobar", "Zm9vYmFy"}};
    struct epb_buf buf;

    epb_buf_init(&buf, 1024);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        cr_assert_eq(epb_base64_encode(&buf, TEXT(pairs[i][0])), EPB_OK);
        cr_assert(bytes_equal(bytes_of(&buf), TEXT(pairs[i][1])), "%s", pairs[i][0]);
        epb_buf_consume(&buf, epb_buf_size(&buf));
        uint8_t *text = exact_copy(TEXT(pairs[i][1]));
        size_t size_bytes;
        cr_assert(epb_base64_decode(text, strlen(pairs[i][1]), &size_bytes));
        cr_assert(bytes_equal((struct epb_bytes){text, size_bytes}, TEXT(pairs[i][0])));
        free(text);
    }
    epb_buf_fini(&buf);
}

Test(json, base64_of_all_bytes_returns)
{
    uint8_t all[256];

    for (size_t i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    struct epb_buf buf;
    epb_buf_init(&buf, 1024);
    cr_assert_eq(epb_base64_encode(&buf, (struct epb_bytes){all, 256}), EPB_OK);
    size_t size_bytes;
    cr_assert(epb_base64_decode(front_of(&buf), epb_buf_size(&buf), &size_bytes));
    cr_assert_eq(size_bytes, 256);
    cr_assert_eq(memcmp(front_of(&buf), all, 256), 0);
    epb_buf_fini(&buf);
}

Test(json, base64_takes_the_canonical_text_only)
{
    const char *bad[] = {
        "Z",    "Zg",       "Zg=",  "Zh==", "Zm9=",     "Zm9v\n", "Zm 9v", "====",
        "Zg=a", "Zg==Zg==", "=g==", "Zm-_", "Zm9vY===", "Z===",   "Zm9v="};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t *text = exact_copy(TEXT(bad[i]));
        size_t size_bytes;
        cr_assert_not(epb_base64_decode(text, strlen(bad[i]), &size_bytes), "%s", bad[i]);
        free(text);
    }
}
