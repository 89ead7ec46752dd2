/* Names near one that is not there. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/near.h"
#include "helpers.h"

/* The names found, nearest first: "a b c". */
struct found {
    char text[64];
};

static struct found
search(struct epb_near_budget *budget, const char *wanted, const char *const *names,
       unsigned count, uint64_t now_mono_ms)
{
    struct epb_near near;
    struct found found = {""};
    bool begun = epb_near_begin(&near, budget, bytes_of(wanted), count, now_mono_ms);

    for (unsigned i = 0; begun && i < count; i++) {
        if (!epb_near_compare(&near, bytes_of(names[i]), 3)) {
            break;
        }
    }
    for (unsigned i = 0; i < near.count; i++) {
        size_t used = strlen(found.text);

        snprintf(found.text + used, sizeof(found.text) - used, "%s%.*s",
                 i == 0 ? "" : " ", (int)near.names[i].name.size_bytes,
                 (const char *)near.names[i].name.data);
    }
    return found;
}

static void
finds(const char *wanted, const char *name, bool expected)
{
    struct epb_near_budget budget = {.a_ms = EPB_NEAR_SELDOM};
    struct found found = search(&budget, wanted, &name, 1, 1);

    cr_assert_str_eq(found.text, expected ? name : "", "%s, %s", wanted, name);
    found = search(&budget, name, &wanted, 1, 1);
    cr_assert_str_eq(found.text, expected ? wanted : "", "%s, %s", name, wanted);
}

Test(near, is_what_differs_by_two_edits_at_most)
{
    finds("accounts", "acounts", true);
    finds("accounts", "accuonts", true);
    finds("accounts", "bccountz", true);
    finds("accounts", "ACCOUNTS", true);
    finds("accounts", "Acconts", true);
    finds("accounts", "xyccounts", true);
    finds("accounts", "account", true);
    finds("accounts", "xyzcounts", false);
    finds("accounts", "amounts-of", false);
    finds("accounts", "stnuocca", false);
}

Test(near, of_a_short_name_is_little)
{
    finds("ab", "AB", true);
    finds("ab", "ac", false);
    finds("a", "b", false);
    finds("port", "prot", true);
    finds("port", "part", true);
    finds("port", "pears", false);
}

Test(near, is_what_begins_with_it)
{
    finds("token", "token:of:buyer", true);
    finds("Tok", "token:of:buyer", true);
    finds("to", "token:of:buyer", false);
    finds("okens", "token:of:buyer", false);
}

Test(near, the_nearest_three_are_kept)
{
    static const char *const names[] = {"accounts:eu", "accountz", "zccountz",
                                        "ACCOUNTS",    "account",  "somewhere",
                                        "accounts2"};
    struct epb_near_budget budget = {.a_ms = EPB_NEAR_SELDOM};

    cr_assert_str_eq(search(&budget, "accounts", names, 7, 1).text,
                     "ACCOUNTS account accounts2");
}

/* However often somebody asks. */
Test(near, searches_cost_a_bounded_amount_of_work)
{
    static const char *names[20000];
    struct epb_near_budget budget = {.a_ms = EPB_NEAR_SELDOM};
    const char *far = "somewhere else";

    for (unsigned i = 0; i < 20000; i++) {
        names[i] = far;
    }
    names[19999] = "accounts";
    cr_assert_str_eq(search(&budget, "acounts", names + 15000, 5000, 1).text, "accounts");
    cr_assert_str_eq(search(&budget, "acounts", names, 20000, 1000).text, "",
                     "it is beyond what one search looks at");
    cr_assert_str_eq(search(&budget, "acounts", names + 19999, 1, 1000).text, "",
                     "what there was for this millisecond is used up");
    cr_assert_str_eq(search(&budget, "acounts", names + 19999, 1, 1001).text, "accounts");
    cr_assert_str_eq(search(&budget, "acounts", names + 19000, 1000, 1002).text, "");
    cr_assert_str_eq(search(&budget, "acounts", names + 15000, 5000, 9000).text,
                     "accounts");
}

/* A program that polls pays for one search in half a second, and none of the others is
 * begun to be given up. */
Test(near, a_search_that_could_not_be_finished_is_not_begun)
{
    static const char *names[8192];
    struct epb_near_budget budget = {.a_ms = EPB_NEAR_OFTEN};
    unsigned begun = 0;

    for (unsigned i = 0; i < 8192; i++) {
        names[i] = "somewhere else";
    }
    for (uint64_t now_ms = 1; now_ms <= 2048; now_ms++) {
        struct epb_near near;

        if (epb_near_begin(&near, &budget, bytes_of("acounts"), 8192, now_ms)) {
            begun++;
            (void)search(&budget, "acounts", names, 8192, now_ms);
        }
    }
    cr_assert_eq(begun, 4, "%u", begun);
}
