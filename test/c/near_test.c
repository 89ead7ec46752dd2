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
    struct epb_near near = epb_near_begin(budget, bytes_of(wanted), now_mono_ms);
    struct found found = {""};

    for (unsigned i = 0; i < count; i++) {
        if (!epb_near_look(&near, bytes_of(names[i]), 3)) {
            break;
        }
    }
    for (unsigned i = 0; i < near.count; i++) {
        size_t used = strlen(found.text);

        snprintf(found.text + used, sizeof found.text - used, "%s%.*s", i == 0 ? "" : " ",
                 (int)near.names[i].name.size_bytes,
                 (const char *)near.names[i].name.data);
    }
    return found;
}

static void
finds(const char *wanted, const char *name, bool expected)
{
    struct epb_near_budget budget = {0, 0};
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
    struct epb_near_budget budget = {0, 0};

    cr_assert_str_eq(search(&budget, "accounts", names, 7, 1).text,
                     "ACCOUNTS account accounts2");
}

/* However often somebody asks. */
Test(near, searches_cost_a_bounded_amount_of_work)
{
    static const char *names[20000];
    struct epb_near_budget budget = {0, 0};
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
