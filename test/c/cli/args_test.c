#include <criterion/criterion.h>
#include <string.h>

#include "base/mem_testing.h"
#include "cli/args.h"

static const enum epb_option_id KNOWN[] = {
    EPB_OPTION_BROKER_MAX_ITEMS,    EPB_OPTION_BROKER_REQUIRE_TTL,
    EPB_OPTION_BROKER_IDLE_TIMEOUT, EPB_OPTION_BROKER_DEBUG,
    EPB_OPTION_BROKER_EVICTION,     EPB_OPTION_START_AUTHENTICATION,
    EPB_OPTION_START_GRACE,         EPB_OPTION_BROKER_PIPE_ID,
    EPB_OPTION_BROKER_LOG,
};

static void
parse(struct epb_args *args, char **argv)
{
    cr_assert_eq(epb_args_parse(args, argv, KNOWN, sizeof(KNOWN) / sizeof(KNOWN[0])),
                 EPB_OK);
}

#define PARSE(args, ...) parse(args, (char *[]){__VA_ARGS__, NULL})

static uint64_t
number(const struct epb_args *args, enum epb_option_id id)
{
    const struct epb_option_value *value = epb_args_find(args, id);

    cr_assert_not_null(value, "option %d", id);
    return value->number;
}

static void
assert_error(const struct epb_args *args, const char *text)
{
    cr_assert_eq(epb_buf_size(&args->error), strlen(text), "%.*s",
                 (int)epb_buf_size(&args->error),
                 (const char *)epb_buf_data(&args->error));
    cr_assert(memcmp(epb_buf_data(&args->error), text, strlen(text)) == 0, "%.*s",
              (int)epb_buf_size(&args->error), (const char *)epb_buf_data(&args->error));
}

Test(args, values_inline_values_negations_and_words)
{
    struct epb_args args;

    PARSE(&args, "--max-items", "5", "word", "--grace=2s", "--idle-timeout", "70ms",
          "--no-require-ttl", "--debug", "-", "-7", "--no-auth", "--", "--debug", "x");
    cr_assert_eq(epb_buf_size(&args.error), 0);
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_MAX_ITEMS), 5);
    cr_assert_eq(number(&args, EPB_OPTION_START_GRACE), 2000);
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_IDLE_TIMEOUT), 70);
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_REQUIRE_TTL), 0);
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_DEBUG), 1);
    cr_assert_eq(number(&args, EPB_OPTION_START_AUTHENTICATION), 0);
    cr_assert_eq(args.word_count, 3);
    cr_assert_str_eq(args.words[0], "word");
    cr_assert_str_eq(args.words[1], "-");
    cr_assert_str_eq(args.words[2], "-7");
    cr_assert_eq(args.command_count, 2);
    cr_assert_str_eq(args.command[0], "--debug");
    cr_assert_null(args.command[2]);
    epb_args_fini(&args);
}

Test(args, the_last_of_several_values_counts)
{
    struct epb_args args;

    PARSE(&args, "--max-items=1", "--max-items", "2", "--no-debug", "--debug=yes",
          "--no-auth=false");
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_MAX_ITEMS), 2);
    cr_assert_eq(number(&args, EPB_OPTION_BROKER_DEBUG), 1);
    cr_assert_eq(number(&args, EPB_OPTION_START_AUTHENTICATION), 1);
    cr_assert_eq(args.given_count, 5);
    cr_assert_null(args.command);
    cr_assert_null(epb_args_find(&args, EPB_OPTION_START_GRACE));
    epb_args_fini(&args);
}

Test(args, the_first_error_is_told)
{
    static const struct {
        char *argv[4];
        const char *error;
    } cases[] = {
        {{"--max-itms", "5"}, "Unknown flag --max-itms. Did you mean --max-items?"},
        {{"--xyz"}, "Unknown flag --xyz."},
        {{"-x"}, "Unknown flag -x."},
        {{"--no-max-items"}, "Unknown flag --no-max-items."},
        {{"--no-debug=1"}, "Unknown flag --no-debug."},
        {{"--b\xffg"}, "Unknown flag \"--b\xEF\xBF\xBDg\"."},
        {{"--max-items", "many"},
         "--max-items takes a whole number (0: no limit), not \"many\"."},
        {{"--debug=perhaps"}, "--debug takes true or false, not \"perhaps\"."},
        {{"--grace"}, "--grace takes a time such as 500ms, 30s, 5m or 1h."},
        {{"--grace", "--", "5s"}, "--grace takes a time such as 500ms, 30s, 5m or 1h."},
        {{"--grace", "60"}, "--grace 60 has no unit: say 60s for seconds, or 60ms."},
        {{"--eviction", "all", "--xyz"},
         "--eviction takes one of none, lru, not \"all\"."},
        {{"--pipe-id="},
         "--pipe-id takes 1 to 64 letters, digits, \"-\" or \"_\", not \"\"."},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epb_args args;
        parse(&args, (char **)cases[i].argv);
        assert_error(&args, cases[i].error);
        epb_args_fini(&args);
    }
}

Test(args, texts_stay_as_they_are)
{
    struct epb_args args;

    PARSE(&args, "w\xff", "--", "\xfe", "");
    cr_assert_str_eq(args.words[0], "w\xff");
    cr_assert_str_eq(args.command[0], "\xfe");
    cr_assert_str_eq(args.command[1], "");
    epb_args_fini(&args);
}

Test(args, help_is_wanted_whatever_else_is_wrong)
{
    struct epb_args args;

    PARSE(&args, "--nonsense", "-h");
    cr_assert(args.wants_help);
    epb_args_fini(&args);
}

Test(args, out_of_memory_is_an_error)
{
    char *argv[] = {"--max-items", "many", NULL};

    for (uint64_t countdown = 1;; countdown++) {
        struct epb_args args;
        (void)epb_mem_fail_after(countdown);
        enum epb_status status = epb_args_parse(&args, argv, KNOWN, 1);
        bool has_failed = epb_mem_fail_after(0) == 0;
        cr_assert_eq(status, has_failed ? EPB_INTERNAL : EPB_OK);
        epb_args_fini(&args);
        if (!has_failed) {
            cr_assert_gt(countdown, 3);
            return;
        }
    }
}
