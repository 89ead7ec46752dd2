#include "base/arena.h"
#include "lease_run.h"

static void
on_ready(void *context, void *user)
{
    struct run *run = context;

    /* Again, when what it was told of may have been forgotten: with tiny limits. */
    EXPECT(run, !run->ready[(uintptr_t)user] || EPB_LOSSES_MAX < MODEL_MAX);
    run->ready[(uintptr_t)user] = true;
}

static void
run_start(struct run *run, const struct history *history, struct epb_arena *arena)
{
    memset(run, 0, sizeof(*run));
    run->arena = arena;
    run->now = (struct epb_time){.boot_ms = 5, .mono_ms = 1000, .wall_ms = 1 << 20};
    run->waits = epb_waits_new(arena, &run->quota, history->max_waits, on_ready, run);
    run->leases =
        epb_leases_new(arena, &run->quota, run->waits, history->single_lease, &run->now);
    model_init(&run->model, history->single_lease, history->max_waits, 1000,
               UINT64_C(1) << 30);
    for (unsigned peer = 0; peer < MODEL_PARTIES; peer++) {
        run_join(run, peer);
    }
}

/* Everybody leaves, detached grants run out: then nothing may be left. */
static void
run_end(struct run *run)
{
    struct epb_mem_stats stats;

    for (unsigned peer = 0; peer < MODEL_PARTIES; peer++) {
        run_leave(run, peer);
    }
    epb_leases_free(run->leases);
    epb_waits_free(run->waits);
    epb_arena_stats(run->arena, &stats);
    EXPECT(run, stats.used_bytes == 0);
    EXPECT(run, run->quota.used_bytes == 0);
}

unsigned
run_play(struct run *run, const struct history *history, struct epb_arena *arena,
         bool thorough)
{
    unsigned at = 0;

    run_start(run, history, arena);
    while (at < history->count && run->failure == NULL) {
        const struct op *op = &history->ops[at++];

        run_op_calls[op->kind](run, op);
        run_compare_parties(run);
        if (thorough || at % 4 == 0 || at == history->count) {
            run_compare(run);
        }
    }
    run_end(run);
    return run->failure == NULL ? 0 : at;
}
