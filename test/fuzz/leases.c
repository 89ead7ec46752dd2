/* Leases: a history of operations, read from the input, played against the model that the
 * C suite plays random histories against (test/c/core/lease_model.h). */
#include "fuzz.h"

#include "../c/core/lease_run.h"
#include "base/arena.h"

#define OPS_MAX 400U

static struct op
read_op(struct epb_bytes *input)
{
    uint8_t kind = fuzz_u8(input);
    uint8_t who = fuzz_u8(input);
    uint8_t what = fuzz_u8(input);
    uint8_t fault = fuzz_u8(input);

    return (struct op){
        .kind = kind % OP_KINDS,
        .peer = who % MODEL_PARTIES,
        .worker = (uint8_t)(who / 16 % MODEL_WORKERS),
        .space = what % MODEL_SPACES,
        .key = (uint8_t)(what / 16 % MODEL_KEYS),
        .fault = fault < 224 ? 0 : (uint8_t)(1 + fault % 8),
        .flags = fuzz_u8(input),
        .choice = fuzz_u8(input),
        .amount = fuzz_u16(input),
    };
}

void
fuzz_leases(const uint8_t *data, size_t size_bytes)
{
    static struct run run;
    static struct op ops[OPS_MAX];
    struct epb_bytes input = {data, size_bytes};
    uint8_t how = fuzz_u8(&input);
    struct history history = {
        .single_lease = (how & 1) != 0, .max_waits = (how & 2) != 0 ? 3 : 0, .ops = ops};
    struct epb_arena *arena = epb_arena_new(false);

    FUZZ_CHECK(arena != NULL);
    while (input.size_bytes > 0 && history.count < OPS_MAX) {
        ops[history.count++] = read_op(&input);
    }
    unsigned failed = run_play(&run, &history, arena, true);
    if (failed != 0) {
        fprintf(stderr, "operation %u\n", failed);
        fuzz_fail("", (int)run.failed_line, run.failure);
    }
    epb_arena_free(arena);
}
