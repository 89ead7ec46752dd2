/*
 * Random requests of several peers on a whole engine, without a model: for the
 * sanitizers, the assertions, and what holds whatever is asked. Every allocation may
 * fail, every limit is small, and with EPB_TINY_LIMITS those that are constants are, too.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "core/command.h"
#include "core/engine.h"
#include "helpers.h"

#define PARTIES 5U /* the last one has no session */
#define STEPS 1500U
#define VALUE_MAX_BYTES 5000U
#define TOKENS 16U

struct world {
    struct random random;
    uint64_t seed;
    struct epb_options options;
    struct epb_time now;
    struct epb_engine *engine;
    struct epb_peer *peers[PARTIES];
    uint32_t ids[PARTIES];
    uint64_t tokens[TOKENS];
    uint8_t value[VALUE_MAX_BYTES];
    uint8_t elements[64];
};

static unsigned
below(struct world *world, unsigned limit)
{
    return random_below(&world->random, limit);
}

static bool
one_in(struct world *world, unsigned chances)
{
    return below(world, chances) == 0;
}

/* What the owner of a session would do; the core may not be called from here. */
static void
on_ready(void *context, void *user)
{
    struct world *world = context;

    cr_assert_geq((struct epb_peer **)user, world->peers);
}

static void
options_choose(struct world *world)
{
    struct epb_options *options = &world->options;

    epb_options_default(options);
    options->max_items = one_in(world, 2) ? 6 : 0;
    options->max_memory_bytes = one_in(world, 3) ? 0 : 20000 + below(world, 40000);
    options->evict_lru = one_in(world, 2);
    options->refresh_ttl_on_get = one_in(world, 2);
    options->max_waiters = one_in(world, 2) ? 8 : 0;
    options->require_ttl = one_in(world, 2);
    options->default_ttl_ms = 50;
    options->single_lease = one_in(world, 4);
}

/* Looks at every byte that a reply borrows. */
static unsigned
read_all(struct epb_bytes bytes)
{
    unsigned sum = 0;

    for (size_t i = 0; i < bytes.size_bytes; i++) {
        sum += bytes.data[i];
    }
    return sum;
}

/* A reply that is said in pieces is taken whole, or its peer leaves in the middle. */
static void
take_reply(struct world *world, unsigned place, const struct epb_reply *reply)
{
    size_t rest_bytes = reply->rest_bytes;
    struct epb_bytes piece;

    (void)read_all(reply->body);
    if (reply->status == EPB_OK && (reply->flags & EPB_F_FENCE) != 0) {
        world->tokens[below(world, TOKENS)] = reply->fence;
    }
    while (rest_bytes > 0 && !one_in(world, 20)) {
        if (epb_engine_piece(world->engine, world->peers[place], &piece) != EPB_OK) {
            return;
        }
        cr_assert(piece.size_bytes > 0 && piece.size_bytes <= rest_bytes);
        (void)read_all(piece);
        rest_bytes -= piece.size_bytes;
    }
    if (rest_bytes > 0) {
        epb_engine_leave(world->engine, world->peers[place], &world->now);
        world->peers[place] = NULL;
    }
}

/* Elements of a pool: 1 to 3 digits, packed. */
static struct epb_bytes
elements_choose(struct world *world)
{
    size_t size_bytes = 0;

    for (unsigned left = 1 + below(world, 3); left > 0; left--) {
        uint8_t *at = world->elements + size_bytes;

        epb_put_u32(at, 1);
        at[4] = (uint8_t)one_in(world, 4);
        at[5] = (uint8_t)('0' + below(world, 4));
        size_bytes += EPB_ELEMENT_HEADER_BYTES + 1;
    }
    return (struct epb_bytes){world->elements, size_bytes};
}

static void
numbers_choose(struct world *world, struct epb_request *request)
{
    request->ttl_ms = 1 + below(world, one_in(world, 2) ? 300 : 3);
    request->wait_ms = one_in(world, 3) ? EPB_NUMBER_MAX : below(world, 20);
    request->count = 1 + below(world, 3);
    request->period_ms = 1 + below(world, 50);
    request->fence = world->tokens[below(world, TOKENS)];
    request->version = below(world, 50);
    request->burst = 1 + below(world, 4);
    request->cost = 1 + below(world, 2);
    if (request->action == EPB_ACTION_CANCEL) {
        request->count = 1 + below(world, 30);
    }
}

static void
value_choose(struct world *world, struct epb_request *request)
{
    size_t most_bytes = one_in(world, 3) ? VALUE_MAX_BYTES : 40;

    if (request->action == EPB_ACTION_POOL || request->action == EPB_ACTION_POOL_ADD) {
        request->value = elements_choose(world);
    } else {
        request->value =
            (struct epb_bytes){world->value, 1 + below(world, (unsigned)most_bytes)};
    }
}

/* What the command needs, nearly always, and of what it takes, some. */
static struct epb_request
request_choose(struct world *world, unsigned place)
{
    static const char *const keys[] = {"a", "ab", "abc", "b", "ba", "c", "d", "e"};
    static const char *const workers[] = {"w", "v"};
    const struct epb_command *command = epb_command_at(below(world, epb_command_count()));
    uint32_t fields =
        command->needs | (command->takes & (uint32_t)random_next(&world->random));
    struct epb_request request = {.action = command->action};

    if (one_in(world, 50)) {
        fields ^= 1U << below(world, 19);
    }
    request.id = one_in(world, 12) ? below(world, 4) : ++world->ids[place];
    request.flags = fields & EPB_KNOWN_FLAGS;
    numbers_choose(world, &request);
    if ((fields & EPB_HAS_KEY) != 0) {
        request.key = bytes_of(keys[below(world, 8)]);
    }
    if ((fields & EPB_HAS_WORKER) != 0) {
        request.worker = bytes_of(workers[below(world, 2)]);
    }
    if ((fields & EPB_HAS_VALUE) != 0) {
        value_choose(world, &request);
    }
    return request;
}

static void
step_ask(struct world *world, unsigned place)
{
    struct epb_request request = request_choose(world, place);
    struct epb_reply reply;

    /* A session keeps requests back while one takes long. */
    if (epb_engine_is_occupied(world->peers[place])) {
        return;
    }
    if (one_in(world, 200)) {
        epb_mem_fail_after(1 + below(world, 6));
    }
    epb_engine_run(world->engine, world->peers[place], &request, &world->now, &reply);
    epb_mem_fail_after(0);
    cr_assert_eq(reply.id, request.id);
    cr_assert(!reply.deferred || epb_engine_is_occupied(world->peers[place]) ||
              request.id != 0);
    take_reply(world, place, &reply);
}

static void
step_take(struct world *world, unsigned place)
{
    struct epb_reply reply;

    while (world->peers[place] != NULL &&
           epb_engine_next(world->engine, world->peers[place], &world->now, &reply)) {
        take_reply(world, place, &reply);
        if (one_in(world, 4)) {
            return;
        }
    }
}

static void
step_time(struct world *world)
{
    unsigned ms = below(world, one_in(world, 3) ? 200 : 5);
    struct epb_due due;

    world->now.mono_ms += ms;
    world->now.boot_ms += ms;
    if (one_in(world, 2)) {
        epb_engine_sweep(world->engine, &world->now, &due);
    }
}

static void
step(struct world *world)
{
    unsigned place = below(world, PARTIES);
    unsigned what = below(world, 40);

    if (world->peers[place] == NULL) {
        world->peers[place] =
            epb_engine_join(world->engine, &world->peers[place], place == PARTIES - 1);
    } else if (what == 0) {
        epb_engine_leave(world->engine, world->peers[place], &world->now);
        world->peers[place] = NULL;
    } else if (what < 5) {
        step_time(world);
    } else if (what < 12) {
        step_take(world, place);
    } else if (what == 12 && one_in(world, 20)) {
        epb_engine_drain(world->engine, &world->now);
    } else {
        step_ask(world, place);
    }
}

/* Leaves nothing: neither of what was stored, nor of memory. */
static void
world_close(struct world *world)
{
    struct epb_mem_stats shared;

    for (unsigned i = 0; i < PARTIES; i++) {
        epb_engine_leave(world->engine, world->peers[i], &world->now);
    }
    epb_engine_free(world->engine);
    epb_mem_shared_stats(&shared);
    cr_assert_eq(shared.used_bytes, 0, "seed %llu", (unsigned long long)world->seed);
}

static void
play(uint64_t seed)
{
    static struct world world;

    memset(&world, 0, sizeof(world));
    world.seed = seed;
    world.random.state = seed;
    world.now = time_at(1000);
    world.now.wall_ms = UINT64_C(1700000000000);
    memset(world.value, '7', sizeof(world.value));
    options_choose(&world);
    world.engine = epb_engine_new(&world.options, &world.now, on_ready, &world);
    cr_assert_not_null(world.engine);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&world);
    }
    world_close(&world);
}

#define WORLDS EPB_LIMIT(150U, 600U)

Test(engine_random, nothing_breaks_in_worlds_seen_before)
{
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        play(seed);
    }
}

Test(engine_random, nothing_breaks_in_worlds_nobody_has_seen)
{
    uint64_t seed = random_seed("engine_random");

    for (unsigned i = 0; i < WORLDS; i++) {
        play(seed + i * UINT64_C(1000003));
    }
}
