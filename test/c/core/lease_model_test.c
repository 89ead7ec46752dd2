/*
 * Random histories of everything that can be asked of leases, against lease_model.c.
 *
 * A history is a list of operations whose parameters are drawn beforehand, so that parts
 * of it can be left out: one that fails is shrunk, by taking out pieces as long as it
 * still fails, and printed.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "lease_run.h"

static const char *const op_names[OP_KINDS] = {
    "ask",  "renew token", "renew worker", "release token", "release worker",
    "pool", "limit",       "discard",      "undefine",      "cancel",
    "pop",  "leave/join",  "time",         "sweep",         "computed",
    "fail", "losses",      "value",        "drain",         "end",
    "join", "clear",       "take",
};

/* In how many of 256 operations. */
static const uint8_t op_weights[OP_KINDS] = {62, 8,  10, 10, 12, 8,  4, 5, 3,  6, 36, 5,
                                             24, 12, 5,  5,  8,  10, 1, 6, 10, 2, 4};

/* The same in histories that tie knots: much is waited for, by flows that hold something,
 * pools change their size, and computed values go again. */
static const uint8_t knot_weights[OP_KINDS] = {116, 2, 2, 12, 2, 22, 4, 22, 1, 3, 34,
                                               1,   4, 2, 20, 2, 2,  2, 0,  2, 1, 0};

/* Histories */

static uint8_t
choose_kind(struct random *random, const uint8_t *weights)
{
    unsigned left = random_below(random, 256);
    unsigned kind = 0;

    while (left >= weights[kind]) {
        left -= weights[kind++];
    }
    return (uint8_t)kind;
}

/* Asks wait for ever, and name what their flow holds. */
static void
tie(struct op *op)
{
    if (op->kind == OP_ASK) {
        op->flags |= FLAG_WAIT | FLAG_NAMES;
        op->amount |= 0x37;
    }
}

static void
make(struct history *history, uint64_t seed, unsigned count)
{
    struct random random = {seed};
    bool ties_knots = random_below(&random, 4) == 0;

    history->single_lease = random_below(&random, 4) == 0;
    history->max_waits = random_below(&random, 4) == 0 ? 3 : 0;
    history->count = count;
    for (unsigned i = 0; i < count; i++) {
        uint64_t bits = random_next(&random);

        history->ops[i] = (struct op){
            .kind = choose_kind(&random, ties_knots ? knot_weights : op_weights),
            .peer = (uint8_t)random_below(&random, MODEL_PARTIES),
            .space = (uint8_t)random_below(&random, MODEL_SPACES),
            .key = (uint8_t)(random_below(&random, 8) * MODEL_KEYS / 12),
            .worker = (uint8_t)random_below(&random, MODEL_WORKERS),
            .flags = (uint8_t)bits,
            .choice = (uint8_t)(bits >> 8),
            .fault = (uint8_t)(bits >> 16 & 7) == 0 ? (uint8_t)(1 + (bits >> 19 & 7)) : 0,
            .amount = (uint32_t)(bits >> 32),
        };
        if (ties_knots) {
            tie(&history->ops[i]);
        }
    }
}

/* Shrinking */

static bool
still_fails(struct run *run, const struct history *history, struct epb_arena *arena)
{
    return run_play(run, history, arena, true) != 0;
}

/* Takes out pieces, large ones first, as long as the rest fails. */
static void
shrink(struct run *run, struct history *history, struct epb_arena *arena)
{
    struct op *all = calloc(history->count, sizeof(*all));

    history->count = run_play(run, history, arena, true);
    for (unsigned piece = history->count / 2; piece > 0;
         piece = piece > 1 && piece <= 4 ? piece - 1 : piece / 2) {
        for (unsigned from = 0; from + piece <= history->count;) {
            unsigned count = history->count;

            memcpy(all, history->ops, count * sizeof(*all));
            memmove(history->ops + from, history->ops + from + piece,
                    (count - from - piece) * sizeof(*all));
            history->count = count - piece;
            if (!still_fails(run, history, arena)) {
                memcpy(history->ops, all, count * sizeof(*all));
                history->count = count;
                from += piece;
            }
        }
    }
    free(all);
    (void)run_play(run, history, arena, true);
}

static void
print(const struct run *run, const struct history *history)
{
    static const char *const spaces[] = {"key", "lock", "compute"};

    fprintf(stderr, "single_lease %d, max_waits %u\n", history->single_lease,
            history->max_waits);
    for (unsigned i = 0; i < history->count; i++) {
        const struct op *op = &history->ops[i];

        fprintf(stderr,
                "%3u %-14s peer %u %s %s %s%s%s%s%s%s%s%s%s ttl %" PRIu64 " wait %" PRIu64
                " choice %u amount %u fault %u\n",
                i + 1, op_names[op->kind], op->peer, spaces[op->space],
                run_key_names[op->key], run_worker_names[op->worker],
                (op->flags & FLAG_FRESH) != 0 ? " fresh" : "",
                (op->flags & FLAG_SHARED) != 0 ? " shared" : "",
                (op->flags & FLAG_DETACHED) != 0 ? " detached" : "",
                (op->flags & FLAG_WAIT) != 0 ? " wait" : "",
                (op->flags & FLAG_FORCE) != 0 ? " force" : "",
                (op->flags & FLAG_DISCARD) != 0 ? " discard" : "",
                (op->flags & FLAG_KEY) != 0 ? " by-key" : "",
                (op->flags & FLAG_ODD) != 0 ? " odd" : "", run_choose_ttl(op),
                run_choose_wait(op), op->choice, op->amount, op->fault);
    }
    fprintf(stderr, "line %u: %s\n", run->failed_line,
            run->failure == NULL ? "no failure" : run->failure);
}

/* What all histories of a test have seen of deadlocks. */
static uint64_t refused_asks, refused_again, refused_resized;

static void
check_history(uint64_t seed, unsigned count, struct epb_arena *arena)
{
    static struct run run;
    struct history history = {.ops = calloc(count, sizeof(struct op))};

    make(&history, seed, count);
    if (run_play(&run, &history, arena, false) != 0) {
        shrink(&run, &history, arena);
        print(&run, &history);
    }
    refused_asks += run.model.refused_asks;
    refused_again += run.model.refused_again;
    refused_resized += run.model.refused_resized;
    free(history.ops);
    cr_assert_null(run.failure,
                   "seed %" PRIu64 ", %u operations: shrunk to %u, see above", seed,
                   count, history.count);
}

/* Many short histories, and some long. */
static void
check_histories(uint64_t seed, unsigned short_ones, unsigned long_ones)
{
    struct epb_arena *arena = epb_arena_new(false);

    for (unsigned i = 0; i < short_ones; i++) {
        check_history(seed + i, 200, arena);
    }
    for (unsigned i = 0; i < long_ones; i++) {
        check_history(~seed + i, 20000, arena);
    }
    epb_arena_free(arena);
    cr_assert(refused_asks > 1000 && refused_again > 10 && refused_resized > 10,
              "deadlocks are seen: %" PRIu64 ", %" PRIu64 ", %" PRIu64, refused_asks,
              refused_again, refused_resized);
}

Test(lease_model, agrees_on_histories_seen_before)
{
    check_histories(1, 2000, 10);
}

Test(lease_model, agrees_on_histories_nobody_has_seen)
{
    check_histories(random_seed("lease_model"), 5000, 20);
}
