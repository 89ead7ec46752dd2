/* The plan of what is sent again and again, with a clock of the test's own. */
#include <criterion/criterion.h>

#include "base/mem_testing.h"
#include "client/renewal_plan.h"
#include "helpers.h"

static struct epb_renewal_plan plan;
static struct epb_renewal_plan_user user;

static void
begin(void)
{
    cr_assert_eq(epb_renewal_plan_init(&plan), EPB_OK);
    epb_renewal_plan_user_init(&user);
}

static void
end(void)
{
    epb_renewal_plan_forget(&plan, &user);
    cr_assert_eq(epb_renewal_plan_due(&plan), EPB_RENEWAL_PLAN_NEVER_MS);
    epb_renewal_plan_fini(&plan);
}

static uint64_t
add(struct epb_renewal_plan_user *whose, const char *frame, uint64_t interval_ms,
    uint64_t now_ms)
{
    uint64_t id = 0;

    cr_assert_eq(
        epb_renewal_plan_add(&plan, whose, bytes_of(frame), interval_ms, now_ms, &id),
        EPB_OK);
    cr_assert_gt(id, 0);
    return id;
}

/* One turn of the user who is next, with this result; *text is what was to be sent. */
static struct epb_renewal_plan_user *
turn(uint64_t now_ms, enum epb_renewal_plan_sent sent, char *text, size_t text_bytes)
{
    struct epb_buf batch;
    struct epb_renewal_plan_user *next = epb_renewal_plan_next(&plan, now_ms);

    text[0] = '\0';
    if (next == NULL) {
        return NULL;
    }
    epb_buf_init(&batch, EPB_RENEWAL_PLAN_BATCH_BYTES);
    epb_renewal_plan_take(next, &batch);
    cr_assert_lt(epb_buf_size(&batch), text_bytes);
    if (epb_buf_size(&batch) != 0) {
        memcpy(text, epb_buf_data(&batch), epb_buf_size(&batch));
    }
    text[epb_buf_size(&batch)] = '\0';
    epb_buf_fini(&batch);
    epb_renewal_plan_settle(&plan, next, sent, now_ms);
    return next;
}

static void
expect_turn(uint64_t now_ms, enum epb_renewal_plan_sent sent, const char *expected)
{
    char text[256];

    cr_assert_eq(turn(now_ms, sent, text, sizeof(text)), &user);
    cr_assert_str_eq(text, expected);
}

static void
expect_rest(uint64_t now_ms, uint64_t due_ms)
{
    cr_assert_null(epb_renewal_plan_next(&plan, now_ms));
    cr_assert_eq(epb_renewal_plan_due(&plan), due_ms, "%llu",
                 (unsigned long long)epb_renewal_plan_due(&plan));
}

Test(renewal_plan, what_is_due_together_leaves_together_and_again, .init = begin,
     .fini = end)
{
    expect_rest(0, EPB_RENEWAL_PLAN_NEVER_MS);
    add(&user, "a", 100, 0);
    add(&user, "a", 100, 0);
    add(&user, "c", 250, 0);
    expect_rest(99, 100);
    expect_turn(100, EPB_RENEWAL_PLAN_LEFT, "aa");
    expect_rest(100, 200);
    /* Late by a little: the plan stays where it was. */
    expect_turn(207, EPB_RENEWAL_PLAN_LEFT, "aa");
    expect_rest(207, 250);
    expect_turn(250, EPB_RENEWAL_PLAN_LEFT, "c");
    expect_rest(250, 300);
}

Test(renewal_plan, after_a_pause_each_is_sent_once, .init = begin, .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 30, 0);
    expect_turn(5000, EPB_RENEWAL_PLAN_LEFT, "ba");
    expect_rest(5000, 5030);
    expect_turn(5030, EPB_RENEWAL_PLAN_LEFT, "b");
    expect_rest(5030, 5060);
}

Test(renewal_plan, a_full_socket_holds_one_beat_of_each, .init = begin, .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 120, 0);
    expect_turn(100, EPB_RENEWAL_PLAN_WAITS, "a");
    /* b is due meanwhile; it waits for what is in the way, as a would. */
    expect_rest(120, 100 + EPB_RENEWAL_PLAN_AGAIN_MS);
    for (uint64_t now_ms = 150; now_ms < 10000; now_ms += EPB_RENEWAL_PLAN_AGAIN_MS) {
        expect_turn(now_ms, EPB_RENEWAL_PLAN_WAITS, "");
        expect_rest(now_ms, now_ms + EPB_RENEWAL_PLAN_AGAIN_MS);
    }
    expect_turn(10000, EPB_RENEWAL_PLAN_LEFT, "");
    expect_turn(10000, EPB_RENEWAL_PLAN_LEFT, "b");
    expect_rest(10000, 10100);
    expect_turn(10100, EPB_RENEWAL_PLAN_LEFT, "a");
    expect_rest(10100, 10120);
}

Test(renewal_plan, what_is_refused_is_tried_again, .init = begin, .fini = end)
{
    uint64_t ago_ms = 0;

    uint64_t id = add(&user, "a", 100, 0);

    add(&user, "b", 110, 0);
    expect_turn(100, EPB_RENEWAL_PLAN_REFUSED, "a");
    expect_rest(149, 150);
    expect_turn(150, EPB_RENEWAL_PLAN_LEFT, "ab");
    cr_assert(epb_renewal_plan_ago(&plan, &user, id, 170, &ago_ms));
    cr_assert_eq(ago_ms, 20);
    expect_rest(150, 200);
}

Test(renewal_plan, tells_how_long_ago_the_socket_took_it, .init = begin, .fini = end)
{
    struct epb_renewal_plan_user other;
    uint64_t ago_ms = 0;

    epb_renewal_plan_user_init(&other);
    uint64_t id = add(&user, "a", 100, 1000);
    cr_assert(epb_renewal_plan_ago(&plan, &user, id, 1070, &ago_ms));
    cr_assert_eq(ago_ms, 70);
    expect_turn(1100, EPB_RENEWAL_PLAN_WAITS, "a");
    cr_assert(epb_renewal_plan_ago(&plan, &user, id, 1120, &ago_ms));
    cr_assert_eq(ago_ms, 120, "it has not left yet");
    expect_turn(1150, EPB_RENEWAL_PLAN_LEFT, "");
    cr_assert(epb_renewal_plan_ago(&plan, &user, id, 1160, &ago_ms));
    cr_assert_eq(ago_ms, 10);
    cr_assert_not(epb_renewal_plan_ago(&plan, &other, id, 1160, &ago_ms),
                  "somebody else's");
    cr_assert_not(epb_renewal_plan_remove(&plan, &other, id));
    cr_assert(epb_renewal_plan_remove(&plan, &user, id));
    cr_assert_not(epb_renewal_plan_remove(&plan, &user, id));
    cr_assert_not(epb_renewal_plan_ago(&plan, &user, id, 1160, &ago_ms));
    expect_rest(9999, EPB_RENEWAL_PLAN_NEVER_MS);
}

Test(renewal_plan, may_be_removed_wherever_it_is, .init = begin, .fini = end)
{
    uint64_t planned = add(&user, "p", 500, 0);
    uint64_t leaving = add(&user, "l", 100, 0);
    uint64_t due = add(&user, "d", 120, 0);

    expect_turn(100, EPB_RENEWAL_PLAN_WAITS, "l");
    expect_rest(130, 150);
    cr_assert(epb_renewal_plan_remove(&plan, &user, leaving));
    cr_assert(epb_renewal_plan_remove(&plan, &user, due));
    cr_assert(epb_renewal_plan_remove(&plan, &user, planned));
    /* What the socket has not taken yet is moved on all the same. */
    expect_turn(150, EPB_RENEWAL_PLAN_WAITS, "");
    expect_turn(200, EPB_RENEWAL_PLAN_LEFT, "");
    expect_rest(200, EPB_RENEWAL_PLAN_NEVER_MS);
}

Test(renewal_plan, who_is_dead_has_no_turn_until_it_is_forgotten, .init = begin,
     .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 150, 0);
    expect_turn(100, EPB_RENEWAL_PLAN_DEAD, "a");
    add(&user, "c", 10, 100);
    expect_rest(5000, EPB_RENEWAL_PLAN_NEVER_MS);
    epb_renewal_plan_forget(&plan, &user);
    add(&user, "new", 100, 6000);
    expect_turn(6100, EPB_RENEWAL_PLAN_LEFT, "new");
}

Test(renewal_plan, users_do_not_wait_for_each_other, .init = begin, .fini = end)
{
    struct epb_renewal_plan_user other;
    char text[256];

    epb_renewal_plan_user_init(&other);
    add(&user, "mine", 100, 0);
    add(&other, "other", 100, 0);
    expect_turn(100, EPB_RENEWAL_PLAN_WAITS, "mine");
    cr_assert_eq(turn(100, EPB_RENEWAL_PLAN_LEFT, text, sizeof(text)), &other);
    cr_assert_str_eq(text, "other");
    epb_renewal_plan_forget(&plan, &user);
    cr_assert_eq(turn(200, EPB_RENEWAL_PLAN_LEFT, text, sizeof(text)), &other);
    epb_renewal_plan_forget(&plan, &other);
}

Test(renewal_plan, a_batch_is_bounded_and_the_rest_follows, .init = begin, .fini = end)
{
    enum {
        COUNT = 5
    };
    static uint8_t large[EPB_RENEWAL_PLAN_BATCH_BYTES / 4 + 1];
    size_t sent_bytes = 0;
    uint64_t id = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        struct epb_bytes frame = {large, sizeof(large)};
        cr_assert_eq(epb_renewal_plan_add(&plan, &user, frame, 100, 0, &id), EPB_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct epb_buf batch;
        cr_assert_eq(epb_renewal_plan_next(&plan, 100), &user);
        epb_buf_init(&batch, EPB_RENEWAL_PLAN_BATCH_BYTES);
        epb_renewal_plan_take(&user, &batch);
        sent_bytes += epb_buf_size(&batch);
        epb_buf_fini(&batch);
        epb_renewal_plan_settle(&plan, &user, EPB_RENEWAL_PLAN_LEFT, 100);
    }
    cr_assert_eq(sent_bytes, COUNT * sizeof(large));
    expect_rest(100, 200);
}

/* Against the obvious: every keep has a time, and what is due at it is sent. */
Test(renewal_plan, ten_thousand_follow_their_plans, .init = begin, .fini = end)
{
    enum {
        COUNT = 10000,
        USERS = 7
    };
    static struct epb_renewal_plan_user users[USERS];
    static uint64_t ids[COUNT];
    static uint64_t due_ms[COUNT];
    static uint64_t interval_ms[COUNT];
    struct random random = {random_seed("beats")};
    uint64_t sent = 0;
    uint64_t expected = 0;

    for (unsigned i = 0; i < USERS; i++) {
        epb_renewal_plan_user_init(&users[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        interval_ms[i] = 1 + random_below(&random, 2000);
        ids[i] = add(&users[i % USERS], "x", interval_ms[i], 0);
        due_ms[i] = interval_ms[i];
    }
    for (uint64_t now_ms = 1; now_ms < 3000; now_ms += 1 + random_below(&random, 20)) {
        for (unsigned i = 0; i < COUNT; i++) {
            if (ids[i] == 0 || due_ms[i] > now_ms) {
                continue;
            }
            expected++;
            due_ms[i] += interval_ms[i];
            if (due_ms[i] <= now_ms) {
                due_ms[i] = now_ms + interval_ms[i];
            }
        }
        struct epb_renewal_plan_user *next;
        while ((next = epb_renewal_plan_next(&plan, now_ms)) != NULL) {
            struct epb_buf batch;
            epb_buf_init(&batch, EPB_RENEWAL_PLAN_BATCH_BYTES);
            epb_renewal_plan_take(next, &batch);
            sent += epb_buf_size(&batch);
            epb_buf_fini(&batch);
            epb_renewal_plan_settle(&plan, next, EPB_RENEWAL_PLAN_LEFT, now_ms);
        }
        cr_assert_eq(sent, expected, "at %llu ms", (unsigned long long)now_ms);
        unsigned victim = random_below(&random, COUNT);
        cr_assert_eq(epb_renewal_plan_remove(&plan, &users[victim % USERS], ids[victim]),
                     ids[victim] != 0);
        ids[victim] = 0;
    }
    for (unsigned i = 0; i < USERS; i++) {
        epb_renewal_plan_forget(&plan, &users[i]);
    }
}

Test(renewal_plan, every_failing_allocation_changes_nothing, .init = begin, .fini = end)
{
    uint64_t id = 0;
    unsigned failed = 0;

    for (uint64_t countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        enum epb_status status =
            epb_renewal_plan_add(&plan, &user, bytes_of("a"), 100, 0, &id);
        epb_mem_fail_after(0);
        if (status == EPB_OK) {
            break;
        }
        cr_assert_eq(status, EPB_INTERNAL);
        expect_rest(1000, EPB_RENEWAL_PLAN_NEVER_MS);
        failed++;
    }
    cr_assert_gt(failed, 0);
    /* Without memory for a batch it is sent later. */
    struct epb_buf batch;
    cr_assert_eq(epb_renewal_plan_next(&plan, 100), &user);
    epb_buf_init(&batch, EPB_RENEWAL_PLAN_BATCH_BYTES);
    epb_mem_fail_after(1);
    epb_renewal_plan_take(&user, &batch);
    epb_mem_fail_after(0);
    cr_assert_eq(epb_buf_size(&batch), 0);
    epb_renewal_plan_settle(&plan, &user, EPB_RENEWAL_PLAN_LEFT, 100);
    expect_turn(100 + EPB_RENEWAL_PLAN_AGAIN_MS, EPB_RENEWAL_PLAN_LEFT, "a");
}
