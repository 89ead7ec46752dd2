/* The plan against a model that keeps every exchange and counts again from the end:
 * random histories of exchanges, failures and replies. */
#include <criterion/criterion.h>

#include "client/path_plan.h"
#include "helpers.h"

#define STEPS 4000U

struct run {
    struct random random;
    uint64_t seed;
    unsigned step;
    struct epb_path_plan plan;
    bool larges[STEPS]; /* the exchanges that have ended */
    unsigned ended;
    size_t bytes; /* of the current one */
    bool has_asked;
    bool has_pair; /* the plan was told that it has one */
    bool on_pair;
    bool waits;
    bool fixed;
};

#define CHECK(run, condition)                                                      \
    cr_assert(condition, "seed %llu step %u: %s", (unsigned long long)(run)->seed, \
              (run)->step, #condition)

/* Number of exchanges at the end that are all large, or all small. */
static unsigned
in_row(const struct run *run, bool large)
{
    unsigned count = 0;

    while (count < run->ended && run->larges[run->ended - 1 - count] == large) {
        count++;
    }
    return count;
}

static bool
is_due(const struct run *run)
{
    return run->on_pair ? in_row(run, true) >= EPB_PATH_LARGE_IN_ROW
                        : in_row(run, false) >= EPB_PATH_SMALL_IN_ROW;
}

static size_t
some_bytes(struct run *run, bool likely_large)
{
    bool edge = random_below(&run->random, 100) == 0;

    if (edge) {
        return EPB_PATH_LARGE_BYTES - 1 + random_below(&run->random, 3);
    }
    return likely_large ? 20000 + random_below(&run->random, 90000)
                        : random_below(&run->random, 200);
}

static void
switch_path(struct run *run)
{
    bool is_sent = random_below(&run->random, 8) != 0;

    epb_path_began(&run->plan, is_sent);
    run->waits = is_sent;
}

static void
exchange(struct run *run, bool likely_large)
{
    size_t sent_bytes = some_bytes(run, likely_large);
    enum epb_path_step step = epb_path_send(&run->plan, sent_bytes);

    run->larges[run->ended++] = run->bytes > EPB_PATH_LARGE_BYTES;
    run->bytes = sent_bytes;
    if (run->fixed || run->waits || !is_due(run)) {
        CHECK(run, step == EPB_PATH_STAY);
    } else if (!run->has_pair) {
        CHECK(run, step == EPB_PATH_ASK && !run->has_asked);
        bool is_sent = random_below(&run->random, 16) != 0;

        epb_path_asked(&run->plan, is_sent);
        run->has_asked = true;
        run->waits = is_sent;
        run->fixed = !is_sent;
    } else {
        CHECK(run, step == EPB_PATH_SWITCH);
        switch_path(run);
    }
}

static void
reply(struct run *run)
{
    bool good = random_below(&run->random, 16) != 0;

    run->waits = false;
    run->fixed = !good;
    if (run->has_pair) {
        epb_path_switched(&run->plan, good);
        run->on_pair ^= good;
        return;
    }
    CHECK(run,
          epb_path_paired(&run->plan, good) == (good ? EPB_PATH_SWITCH : EPB_PATH_STAY));
    run->has_pair = good;
    if (good) {
        switch_path(run);
    }
}

/* Returns how often it has switched. */
static unsigned
history(uint64_t seed)
{
    static struct run run;
    unsigned switches = 0;
    bool likely_large = false;

    run = (struct run){.seed = seed, .random = {.state = seed}};
    for (run.step = 0; run.step < STEPS; run.step++) {
        bool before = run.on_pair;

        if (random_below(&run.random, 200) == 0) {
            likely_large = !likely_large;
        }
        if (run.waits && random_below(&run.random, 4) == 0) {
            reply(&run);
        } else if (random_below(&run.random, 3) == 0) {
            size_t received_bytes = some_bytes(&run, likely_large);

            epb_path_receive(&run.plan, received_bytes);
            run.bytes += received_bytes;
        } else {
            exchange(&run, likely_large);
        }
        CHECK(&run, epb_path_awaits_reply(&run.plan) == run.waits);
        CHECK(&run, run.plan.is_on_pipe_pair == run.on_pair);
        switches += before != run.on_pair;
    }
    return switches;
}

Test(path_plan, agrees_with_the_model_on_random_histories)
{
    uint64_t first = random_seed("path_plan");
    unsigned switches = 0;

    for (uint64_t seed = first; seed < first + 300; seed++) {
        switches += history(seed);
    }
    cr_assert_gt(switches, 600, "both ways, again and again");
}

Test(path_plan, stays_after_a_refusal)
{
    struct epb_path_plan plan = {0};

    for (unsigned i = 1; i < EPB_PATH_SMALL_IN_ROW; i++) {
        cr_assert_eq(epb_path_send(&plan, 1), EPB_PATH_STAY);
    }
    cr_assert_eq(epb_path_send(&plan, 1), EPB_PATH_ASK);
    epb_path_asked(&plan, true);
    cr_assert_eq(epb_path_paired(&plan, false), EPB_PATH_STAY);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(epb_path_send(&plan, 1), EPB_PATH_STAY);
    }
    cr_assert_not(epb_path_awaits_reply(&plan));
}
