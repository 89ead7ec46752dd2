/* The plan of what is sent again and again, with a clock of the test's own. */
#include <criterion/criterion.h>

#include "client/beats.h"
#include "helpers.h"

static struct epb_beats beats;
static struct epb_beats_user user;

static void
begin(void)
{
    cr_assert_eq(epb_beats_init(&beats), EPB_OK);
    epb_beats_user_init(&user);
}

static void
end(void)
{
    epb_beats_forget(&beats, &user);
    cr_assert_eq(epb_beats_due(&beats), EPB_BEATS_NEVER_MS);
    epb_beats_fini(&beats);
}

static uint64_t
add(struct epb_beats_user *whose, const char *frame, uint64_t interval_ms,
    uint64_t now_ms)
{
    uint64_t id = 0;

    cr_assert_eq(epb_beats_add(&beats, whose, bytes_of(frame), interval_ms, now_ms, &id),
                 EPB_OK);
    cr_assert_gt(id, 0);
    return id;
}

/* One turn of the user who is next, with this result; *text is what was to be sent. */
static struct epb_beats_user *
turn(uint64_t now_ms, enum epb_beats_sent sent, char *text, size_t text_bytes)
{
    struct epb_buf batch;
    struct epb_beats_user *next = epb_beats_next(&beats, now_ms);

    text[0] = '\0';
    if (next == NULL) {
        return NULL;
    }
    epb_buf_init(&batch, EPB_BEATS_BATCH_BYTES);
    epb_beats_take(next, &batch);
    cr_assert_lt(epb_buf_size(&batch), text_bytes);
    if (epb_buf_size(&batch) != 0) {
        memcpy(text, epb_buf_data(&batch), epb_buf_size(&batch));
    }
    text[epb_buf_size(&batch)] = '\0';
    epb_buf_fini(&batch);
    epb_beats_settle(&beats, next, sent, now_ms);
    return next;
}

static void
expect_turn(uint64_t now_ms, enum epb_beats_sent sent, const char *expected)
{
    char text[256];

    cr_assert_eq(turn(now_ms, sent, text, sizeof(text)), &user);
    cr_assert_str_eq(text, expected);
}

static void
expect_rest(uint64_t now_ms, uint64_t due_ms)
{
    cr_assert_null(epb_beats_next(&beats, now_ms));
    cr_assert_eq(epb_beats_due(&beats), due_ms, "%llu",
                 (unsigned long long)epb_beats_due(&beats));
}

Test(beats, what_is_due_together_leaves_together_and_again, .init = begin, .fini = end)
{
    expect_rest(0, EPB_BEATS_NEVER_MS);
    add(&user, "a", 100, 0);
    add(&user, "a", 100, 0);
    add(&user, "c", 250, 0);
    expect_rest(99, 100);
    expect_turn(100, EPB_BEATS_LEFT, "aa");
    expect_rest(100, 200);
    /* Late by a little: the plan stays where it was. */
    expect_turn(207, EPB_BEATS_LEFT, "aa");
    expect_rest(207, 250);
    expect_turn(250, EPB_BEATS_LEFT, "c");
    expect_rest(250, 300);
}

Test(beats, after_a_pause_each_is_sent_once, .init = begin, .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 30, 0);
    expect_turn(5000, EPB_BEATS_LEFT, "ba");
    expect_rest(5000, 5030);
    expect_turn(5030, EPB_BEATS_LEFT, "b");
    expect_rest(5030, 5060);
}

Test(beats, a_full_socket_holds_one_beat_of_each, .init = begin, .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 120, 0);
    expect_turn(100, EPB_BEATS_WAITS, "a");
    /* b is due meanwhile; it waits for what is in the way, as a would. */
    expect_rest(120, 100 + EPB_BEATS_AGAIN_MS);
    for (uint64_t now_ms = 150; now_ms < 10000; now_ms += EPB_BEATS_AGAIN_MS) {
        expect_turn(now_ms, EPB_BEATS_WAITS, "");
        expect_rest(now_ms, now_ms + EPB_BEATS_AGAIN_MS);
    }
    expect_turn(10000, EPB_BEATS_LEFT, "");
    expect_turn(10000, EPB_BEATS_LEFT, "b");
    expect_rest(10000, 10100);
    expect_turn(10100, EPB_BEATS_LEFT, "a");
    expect_rest(10100, 10120);
}

Test(beats, what_is_refused_is_tried_again, .init = begin, .fini = end)
{
    uint64_t ago_ms = 0;

    uint64_t id = add(&user, "a", 100, 0);

    add(&user, "b", 110, 0);
    expect_turn(100, EPB_BEATS_REFUSED, "a");
    expect_rest(149, 150);
    expect_turn(150, EPB_BEATS_LEFT, "ab");
    cr_assert(epb_beats_ago(&beats, &user, id, 170, &ago_ms));
    cr_assert_eq(ago_ms, 20);
    expect_rest(150, 200);
}

Test(beats, tells_how_long_ago_the_socket_took_it, .init = begin, .fini = end)
{
    struct epb_beats_user other;
    uint64_t ago_ms = 0;

    epb_beats_user_init(&other);
    uint64_t id = add(&user, "a", 100, 1000);
    cr_assert(epb_beats_ago(&beats, &user, id, 1070, &ago_ms));
    cr_assert_eq(ago_ms, 70);
    expect_turn(1100, EPB_BEATS_WAITS, "a");
    cr_assert(epb_beats_ago(&beats, &user, id, 1120, &ago_ms));
    cr_assert_eq(ago_ms, 120, "it has not left yet");
    expect_turn(1150, EPB_BEATS_LEFT, "");
    cr_assert(epb_beats_ago(&beats, &user, id, 1160, &ago_ms));
    cr_assert_eq(ago_ms, 10);
    cr_assert_not(epb_beats_ago(&beats, &other, id, 1160, &ago_ms), "somebody else's");
    cr_assert_not(epb_beats_remove(&beats, &other, id));
    cr_assert(epb_beats_remove(&beats, &user, id));
    cr_assert_not(epb_beats_remove(&beats, &user, id));
    cr_assert_not(epb_beats_ago(&beats, &user, id, 1160, &ago_ms));
    expect_rest(9999, EPB_BEATS_NEVER_MS);
}

Test(beats, may_be_removed_wherever_it_is, .init = begin, .fini = end)
{
    uint64_t planned = add(&user, "p", 500, 0);
    uint64_t leaving = add(&user, "l", 100, 0);
    uint64_t due = add(&user, "d", 120, 0);

    expect_turn(100, EPB_BEATS_WAITS, "l");
    expect_rest(130, 150);
    cr_assert(epb_beats_remove(&beats, &user, leaving));
    cr_assert(epb_beats_remove(&beats, &user, due));
    cr_assert(epb_beats_remove(&beats, &user, planned));
    /* What the socket has not taken yet is moved on all the same. */
    expect_turn(150, EPB_BEATS_WAITS, "");
    expect_turn(200, EPB_BEATS_LEFT, "");
    expect_rest(200, EPB_BEATS_NEVER_MS);
}

Test(beats, who_is_dead_has_no_turn_until_it_is_forgotten, .init = begin, .fini = end)
{
    add(&user, "a", 100, 0);
    add(&user, "b", 150, 0);
    expect_turn(100, EPB_BEATS_DEAD, "a");
    add(&user, "c", 10, 100);
    expect_rest(5000, EPB_BEATS_NEVER_MS);
    epb_beats_forget(&beats, &user);
    add(&user, "new", 100, 6000);
    expect_turn(6100, EPB_BEATS_LEFT, "new");
}

Test(beats, users_do_not_wait_for_each_other, .init = begin, .fini = end)
{
    struct epb_beats_user other;
    char text[256];

    epb_beats_user_init(&other);
    add(&user, "mine", 100, 0);
    add(&other, "other", 100, 0);
    expect_turn(100, EPB_BEATS_WAITS, "mine");
    cr_assert_eq(turn(100, EPB_BEATS_LEFT, text, sizeof(text)), &other);
    cr_assert_str_eq(text, "other");
    epb_beats_forget(&beats, &user);
    cr_assert_eq(turn(200, EPB_BEATS_LEFT, text, sizeof(text)), &other);
    epb_beats_forget(&beats, &other);
}

Test(beats, a_batch_is_bounded_and_the_rest_follows, .init = begin, .fini = end)
{
    enum {
        COUNT = 5
    };
    static uint8_t large[EPB_BEATS_BATCH_BYTES / 4 + 1];
    size_t sent_bytes = 0;
    uint64_t id = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        struct epb_bytes frame = {large, sizeof(large)};
        cr_assert_eq(epb_beats_add(&beats, &user, frame, 100, 0, &id), EPB_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct epb_buf batch;
        cr_assert_eq(epb_beats_next(&beats, 100), &user);
        epb_buf_init(&batch, EPB_BEATS_BATCH_BYTES);
        epb_beats_take(&user, &batch);
        sent_bytes += epb_buf_size(&batch);
        epb_buf_fini(&batch);
        epb_beats_settle(&beats, &user, EPB_BEATS_LEFT, 100);
    }
    cr_assert_eq(sent_bytes, COUNT * sizeof(large));
    expect_rest(100, 200);
}

/* Against the obvious: every keep has a time, and what is due at it is sent. */
Test(beats, ten_thousand_follow_their_plans, .init = begin, .fini = end)
{
    enum {
        COUNT = 10000,
        USERS = 7
    };
    static struct epb_beats_user users[USERS];
    static uint64_t ids[COUNT];
    static uint64_t due_ms[COUNT];
    static uint64_t interval_ms[COUNT];
    struct random random = {random_seed("beats")};
    uint64_t sent = 0;
    uint64_t expected = 0;

    for (unsigned i = 0; i < USERS; i++) {
        epb_beats_user_init(&users[i]);
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
        struct epb_beats_user *next;
        while ((next = epb_beats_next(&beats, now_ms)) != NULL) {
            struct epb_buf batch;
            epb_buf_init(&batch, EPB_BEATS_BATCH_BYTES);
            epb_beats_take(next, &batch);
            sent += epb_buf_size(&batch);
            epb_buf_fini(&batch);
            epb_beats_settle(&beats, next, EPB_BEATS_LEFT, now_ms);
        }
        cr_assert_eq(sent, expected, "at %llu ms", (unsigned long long)now_ms);
        unsigned victim = random_below(&random, COUNT);
        cr_assert_eq(epb_beats_remove(&beats, &users[victim % USERS], ids[victim]),
                     ids[victim] != 0);
        ids[victim] = 0;
    }
    for (unsigned i = 0; i < USERS; i++) {
        epb_beats_forget(&beats, &users[i]);
    }
}

Test(beats, every_failing_allocation_changes_nothing, .init = begin, .fini = end)
{
    uint64_t id = 0;
    unsigned failed = 0;

    for (uint64_t countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        enum epb_status status = epb_beats_add(&beats, &user, bytes_of("a"), 100, 0, &id);
        epb_mem_fail_after(0);
        if (status == EPB_OK) {
            break;
        }
        cr_assert_eq(status, EPB_INTERNAL);
        expect_rest(1000, EPB_BEATS_NEVER_MS);
        failed++;
    }
    cr_assert_gt(failed, 0);
    /* Without memory for a batch it is sent later. */
    struct epb_buf batch;
    cr_assert_eq(epb_beats_next(&beats, 100), &user);
    epb_buf_init(&batch, EPB_BEATS_BATCH_BYTES);
    epb_mem_fail_after(1);
    epb_beats_take(&user, &batch);
    epb_mem_fail_after(0);
    cr_assert_eq(epb_buf_size(&batch), 0);
    epb_beats_settle(&beats, &user, EPB_BEATS_LEFT, 100);
    expect_turn(100 + EPB_BEATS_AGAIN_MS, EPB_BEATS_LEFT, "a");
}
