#include <criterion/criterion.h>
#include <string.h>

#include "core/options.h"
#include "helpers.h"
#include "options/option.h"

struct parsed {
    enum epb_option_id id;
    const char *text;
    uint64_t number;
};

Test(option, times_sizes_and_numbers_have_units)
{
    static const struct parsed cases[] = {
        {EPB_OPTION_BROKER_DEFAULT_TTL, "90", 90},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "90ms", 90},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "1.5m", 90000},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "1.1h", 3960000},
        {EPB_OPTION_BROKER_DEFAULT_TTL, " 2 D ", 172800000},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "0.001s", 1},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "1.500000000000000s", 1500},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "9007199254740991", EPB_OPTION_FOREVER},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "forever", EPB_OPTION_FOREVER},
        {EPB_OPTION_BROKER_MAX_VALUE_SIZE, "64k", 65536},
        {EPB_OPTION_BROKER_MAX_VALUE_SIZE, "1MiB", 1048576},
        {EPB_OPTION_BROKER_MAX_VALUE_SIZE, "2g", UINT64_C(2147483648)},
        {EPB_OPTION_BROKER_MAX_VALUE_SIZE, "0", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "7", 7},
        {EPB_OPTION_BROKER_MAX_ITEMS, "007", 7},
        {EPB_OPTION_BROKER_EVICTION, "lru", 1},
        {EPB_OPTION_BROKER_DEBUG, "TRUE", 1},
        {EPB_OPTION_BROKER_DEBUG, " on ", 1},
        {EPB_OPTION_BROKER_DEBUG, "off", 0},
        {EPB_OPTION_BROKER_DEBUG, "0", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_option_value value = {0};
        const struct epb_option *option = epb_option_row(cases[i].id);
        cr_assert_eq(epb_option_parse(option, cases[i].text, &value), EPB_OK, "%s",
                     cases[i].text);
        cr_assert_eq(value.number, cases[i].number, "%s: %llu", cases[i].text,
                     (unsigned long long)value.number);
    }
}

Test(option, what_is_no_value_is_refused)
{
    static const struct parsed cases[] = {
        {EPB_OPTION_BROKER_MAX_ITEMS, "12abc", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, " ", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "-1", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "1e400", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "0x10", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "1.5", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "1.", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, ".5", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "9007199254740992", 0},
        {EPB_OPTION_BROKER_MAX_ITEMS, "99999999999999999999999999", 0},
        {EPB_OPTION_BROKER_MAX_MEMORY, "9007199254740991g", 0},
        {EPB_OPTION_BROKER_MAX_MEMORY, "5 parsecs", 0},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "0", 0},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "1.2345ms", 0},
        {EPB_OPTION_BROKER_DEFAULT_TTL, "0.00000000000000000001d", 0},
        {EPB_OPTION_BROKER_IDLE_TIMEOUT, "forever", 0},
        {EPB_OPTION_BROKER_MAX_REQUEST_SIZE, "1023", 0},
        {EPB_OPTION_BROKER_EVICTION, "LRU", 0},
        {EPB_OPTION_BROKER_EVICTION, "none|lru", 0},
        {EPB_OPTION_BROKER_EVICTION, "", 0},
        {EPB_OPTION_BROKER_DEBUG, "perhaps", 0},
        {EPB_OPTION_BROKER_PIPE_ID, "../x", 0},
        {EPB_OPTION_BROKER_PIPE_ID, "", 0},
        {EPB_OPTION_BROKER_LOG, "stderr", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_option_value value = {.number = 42};
        const struct epb_option *option = epb_option_row(cases[i].id);
        cr_assert_eq(epb_option_parse(option, cases[i].text, &value), EPB_INVALID_REQUEST,
                     "%s", cases[i].text);
        cr_assert_eq(value.number, 42);
    }
}

Test(option, a_string_is_borrowed_and_bounded)
{
    const struct epb_option *option = epb_option_row(EPB_OPTION_BROKER_PIPE_ID);
    struct epb_option_value value;
    char text[66];

    memset(text, 'a', sizeof(text));
    text[64] = '\0';
    cr_assert_eq(epb_option_parse(option, text, &value), EPB_OK);
    cr_assert_eq(value.text, text);
    text[64] = 'a';
    text[65] = '\0';
    cr_assert_eq(epb_option_parse(option, text, &value), EPB_INVALID_REQUEST);
}

Test(option, a_short_time_without_a_unit_is_suspected)
{
    const struct epb_option *time = epb_option_row(EPB_OPTION_FLAG_TTL);

    cr_assert(epb_option_lacks_unit(time, "60"));
    cr_assert(epb_option_lacks_unit(time, " 999 "));
    cr_assert(epb_option_lacks_unit(time, "0.5"));
    cr_assert_not(epb_option_lacks_unit(time, "0"));
    cr_assert_not(epb_option_lacks_unit(time, "1000"));
    cr_assert_not(epb_option_lacks_unit(time, "60ms"));
    cr_assert_not(epb_option_lacks_unit(time, "soon"));
    cr_assert_not(
        epb_option_lacks_unit(epb_option_row(EPB_OPTION_BROKER_MAX_ITEMS), "60"));
}

static void
assert_holds(struct epb_buf *buf, enum epb_status status, const char *text)
{
    const struct epb_bytes held = {epb_buf_data(buf), epb_buf_size(buf)};

    cr_assert_eq(status, EPB_OK);
    cr_assert(bytes_equal(held, bytes_of(text)), "%.*s instead of %s",
              (int)held.size_bytes, (const char *)held.data, text);
    epb_buf_fini(buf);
}

static void
assert_explained(enum epb_option_id id, const char *text, const char *expected)
{
    struct epb_buf out;

    epb_buf_init(&out, 1024);
    assert_holds(&out, epb_option_explain(&out, epb_option_row(id), "It", text),
                 expected);
}

Test(option, a_refusal_names_what_is_valid)
{
    assert_explained(EPB_OPTION_BROKER_MAX_ITEMS, "many",
                     "It takes a whole number (0: no limit), not \"many\".");
    assert_explained(
        EPB_OPTION_BROKER_MAX_REQUEST_SIZE, "1",
        "It takes a size such as 4096, 64k or 1m of at least 1024, not \"1\".");
    assert_explained(EPB_OPTION_BROKER_DEFAULT_TTL, NULL,
                     "It takes a time such as 500ms, 30s, 5m or 1h of at least 1, or "
                     "forever (as long as the broker).");
    assert_explained(EPB_OPTION_BROKER_EVICTION, "",
                     "It takes one of none, lru, not \"\".");
    assert_explained(EPB_OPTION_BROKER_DEBUG, "\x1B[2J",
                     "It takes true or false, not \"\\u001b[2J\".");
    assert_explained(EPB_OPTION_SECRET_FILE, NULL,
                     "It takes a string that is not empty.");
}

static void
assert_shown(enum epb_option_id id, const char *usage, const char *fallback)
{
    const struct epb_option *option = epb_option_row(id);
    struct epb_buf out;

    epb_buf_init(&out, 256);
    assert_holds(&out, epb_option_usage(&out, option), usage);
    epb_buf_init(&out, 256);
    assert_holds(&out, epb_option_show_fallback(&out, option), fallback);
}

Test(option, help_shows_the_flag_and_its_default)
{
    assert_shown(EPB_OPTION_BROKER_MAX_ITEMS, "--max-items N", "10,000");
    assert_shown(EPB_OPTION_BROKER_MAX_MEMORY, "--max-memory SIZE", "256 MiB");
    assert_shown(EPB_OPTION_BROKER_DEFAULT_TTL, "--default-ttl TIME", "30 min");
    assert_shown(EPB_OPTION_BROKER_SWEEPER_INTERVAL, "--sweeper-interval TIME", "30 s");
    assert_shown(EPB_OPTION_BROKER_IDLE_TIMEOUT, "--idle-timeout TIME", "0 (never)");
    assert_shown(EPB_OPTION_BROKER_EVICTION, "--eviction none|lru", "none");
    assert_shown(EPB_OPTION_BROKER_REQUIRE_TTL, "--no-require-ttl", "true");
    assert_shown(EPB_OPTION_START_AUTHENTICATION, "--no-auth", "true");
    assert_shown(EPB_OPTION_BROKER_PIPE_ID, "--pipe-id ID", "none");
    assert_shown(EPB_OPTION_FLAG_TTL, "--ttl TIME", "none");
}

Test(option, every_row_is_whole)
{
    for (unsigned id = 0; id < EPB_OPTION_COUNT; id++) {
        const struct epb_option *option = epb_option_row((enum epb_option_id)id);
        cr_assert_eq(option->help[strlen(option->help) - 1], '.', "%s", option->help);
        cr_assert(option->flag == NULL || strncmp(option->flag, "--", 2) == 0);
        cr_assert_eq(option->type == EPB_TYPE_ENUM, option->values != NULL);
        cr_assert(option->optional || option->type == EPB_TYPE_STRING ||
                      option->fallback == 0 || option->fallback >= option->min,
                  "%s", option->name);
        cr_assert_leq(option->fallback, EPB_OPTION_FOREVER);
    }
}

Test(option, flags_and_variables_of_a_kind_differ)
{
    for (unsigned id = 0; id < EPB_OPTION_COUNT; id++) {
        const struct epb_option *one = epb_option_row((enum epb_option_id)id);
        for (unsigned other = 0; other < id; other++) {
            const struct epb_option *two = epb_option_row((enum epb_option_id)other);
            cr_assert(one->env == NULL || two->env == NULL ||
                      strcmp(one->env, two->env) != 0);
            cr_assert(one->kind != two->kind || one->kind == EPB_KIND_FLAG ||
                      one->flag == NULL || two->flag == NULL ||
                      strcmp(one->flag, two->flag) != 0);
        }
    }
}

Test(option, defaults_of_the_core_are_those_of_the_table)
{
    struct epb_options options;

    epb_options_default(&options);
    cr_assert_eq(options.max_items, 10000);
    cr_assert_eq(options.max_request_bytes, 1024 * 1024);
    cr_assert_eq(options.default_ttl_ms, 30 * 60 * 1000);
    cr_assert(options.require_ttl);
}
