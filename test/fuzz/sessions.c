/*
 * Whole sessions: several connections of one broker without a secret, driven by a script.
 * A step of it feeds raw bytes or a request made from the input, turns a session, takes
 * output, lets time pass, ends a connection, or lets an allocation fail.
 *
 * What is said is well-formed frames, or lines, at any time; what sessions hold is
 * bounded; when all have left nothing waits and nobody watches; when all time has passed
 * nothing is held; and when the engine is gone, no memory.
 */
#include "broker.h"

#include "base/arena.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "core/command.h"
#include "wire/auth.h"
#include "wire/frame.h"

#define PEERS 4U
#define STEPS_MAX 400U
/* Of a session whose requests are small; a megabyte and one reply, of what it says. */
#define INPUT_MAX_BYTES ((size_t)1 << 20)
#define OUTPUT_MAX_BYTES ((size_t)2 << 20)

enum encoding {
    UNDECIDED,
    FRAMES,
    LINES
};

struct world {
    struct fuzz_broker broker;
    struct fuzz_peer peers[PEERS];
    enum encoding encodings[PEERS];
    struct epb_bytes input;
    struct epb_buf frame; /* scratch */
};

static void
reconnect(struct world *world, unsigned i)
{
    if (world->peers[i].session != NULL) {
        fuzz_peer_close(&world->broker, &world->peers[i]);
    }
    fuzz_peer_open(&world->broker, &world->peers[i]);
    world->encodings[i] = UNDECIDED;
}

static void
check_said(struct world *world, unsigned i)
{
    if (world->encodings[i] == FRAMES) {
        (void)fuzz_take_frames(&world->peers[i].said);
    } else if (world->encodings[i] == LINES) {
        (void)fuzz_take_lines(&world->peers[i].said);
    }
}

/* The first byte of a connection decides. */
static void
offer(struct world *world, unsigned i, struct epb_bytes bytes)
{
    if (bytes.size_bytes == 0) {
        return;
    }
    if (world->encodings[i] == UNDECIDED) {
        world->encodings[i] = bytes.data[0] == '{' ? LINES : FRAMES;
    }
    size_t taken = fuzz_peer_offer(&world->peers[i], bytes);
    FUZZ_CHECK(taken <= bytes.size_bytes);
}

static void
step_raw(struct world *world, unsigned i)
{
    offer(world, i, fuzz_take(&world->input, fuzz_u8(&world->input)));
}

static struct epb_bytes
name_of(const char *const names[4], uint8_t choice)
{
    const char *name = names[choice % 4];

    return (struct epb_bytes){(const uint8_t *)name, strlen(name)};
}

static uint64_t
number_from(struct epb_bytes *input)
{
    uint8_t choice = fuzz_u8(input);

    switch (choice >> 6) {
    case 0:
    case 1:
        return choice;
    case 2:
        return (uint64_t)(choice & 63) * 1000;
    default:
        return choice == 255 ? UINT64_MAX : (uint64_t)EPB_NUMBER_MAX - (choice & 63) + 32;
    }
}

/* Of fields that the command knows, mostly. */
static void
make_request(struct world *world, struct epb_request *request)
{
    static const char *const keys[] = {"a", "b", "pool", ""};
    static const char *const workers[] = {"w", "v", "x", ""};
    struct epb_bytes *input = &world->input;
    uint8_t action = fuzz_u8(input);
    const struct epb_command *command = epb_command_find(action % 32);
    uint8_t names = fuzz_u8(input);

    *request = (struct epb_request){.action = action % 32, .flags = fuzz_u16(input)};
    if (command != NULL && action < 224) {
        request->flags =
            (request->flags & (command->needs | command->takes)) | command->needs;
    }
    request->flags &= EPB_KNOWN_FLAGS;
    request->id = names >> 4;
    request->key = name_of(keys, names);
    request->worker = name_of(workers, names >> 2);
    request->ttl_ms = number_from(input);
    request->version = number_from(input);
    request->fence = number_from(input);
    request->count = (int64_t)number_from(input);
    request->wait_ms = number_from(input);
    request->period_ms = number_from(input);
    request->burst = number_from(input) % 1000;
    request->cost = number_from(input) % 1000;
    if (command == NULL || ((command->needs | command->takes) & EPB_HAS_VALUE) != 0) {
        request->value = fuzz_take(input, fuzz_u8(input) % 64);
    }
    if (command != NULL && ((command->needs | command->takes) & EPB_HAS_WORKER) == 0) {
        request->worker.size_bytes = 0;
    }
    if (command != NULL && ((command->needs | command->takes) & EPB_HAS_KEY) == 0) {
        request->key.size_bytes = 0;
    }
}

static void
step_request(struct world *world, unsigned i)
{
    struct epb_request request;

    make_request(world, &request);
    if (world->encodings[i] == UNDECIDED) {
        offer(world, i,
              (struct epb_bytes){(const uint8_t *)EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES});
        (void)epb_session_turn(world->peers[i].session, &world->broker.now, 32, 65536);
    }
    if (epb_frame_encode_request(&world->frame, &request) == EPB_OK) {
        offer(world, i, fuzz_held(&world->frame));
    }
    epb_buf_consume(&world->frame, epb_buf_size(&world->frame));
}

static void
step_turn(struct world *world, unsigned i)
{
    uint8_t choice = fuzz_u8(&world->input);

    world->peers[i].woken = false;
    (void)epb_session_turn(world->peers[i].session, &world->broker.now, 1U + choice % 32,
                           (choice & 64) != 0 ? 1 : 65536);
}

/* What a server does when time has passed. */
static void
step_time(struct world *world)
{
    static const uint64_t steps_ms[] = {0, 1, 10, 100, 1000, 10000, 60000, 86400000};
    struct epb_time *now = &world->broker.now;
    uint8_t choice = fuzz_u8(&world->input);
    uint64_t step_ms = steps_ms[choice % 8];
    struct epb_due due;

    now->boot_ms += step_ms;
    now->mono_ms += step_ms;
    /* Somebody may set the clock, to anything. */
    now->wall_ms =
        (choice & 128) != 0 ? (uint64_t)choice << (choice % 53) : now->wall_ms + step_ms;
    epb_engine_sweep(world->broker.config.engine, now, &due);
    for (unsigned i = 0; i < PEERS; i++) {
        if (epb_session_deadline(world->peers[i].session) <= now->mono_ms) {
            reconnect(world, i);
        }
    }
}

static void
step(struct world *world)
{
    uint8_t choice = fuzz_u8(&world->input);
    unsigned i = choice % PEERS;
    struct fuzz_peer *peer = &world->peers[i];

    switch (choice / PEERS % 16) {
    case 0:
    case 1:
    case 2:
        step_raw(world, i);
        break;
    case 3:
        step_turn(world, i);
        break;
    case 4:
        fuzz_peer_listen(peer, fuzz_u8(&world->input));
        break;
    case 5:
        step_time(world);
        break;
    case 6:
        epb_session_end_of_input(peer->session, &world->broker.now);
        break;
    case 7:
        reconnect(world, i);
        break;
    case 8:
        if (choice == 8 * PEERS) { /* one of 256 */
            {
                epb_engine_drain(world->broker.config.engine, &world->broker.now);
            }
        }
        break;
    case 9:
        fuzz_peer_work(&world->broker, peer);
        break;
    case 10:
        epb_mem_fail_after(1U + fuzz_u8(&world->input) % 16);
        step_request(world, i);
        (void)epb_session_turn(peer->session, &world->broker.now, 32, 65536);
        epb_mem_fail_after(0);
        break;
    default:
        step_request(world, i);
        break;
    }
}

static void
check_bounds(struct world *world)
{
    for (unsigned i = 0; i < PEERS; i++) {
        struct fuzz_peer *peer = &world->peers[i];

        if (peer->woken) {
            fuzz_peer_work(&world->broker, peer);
        }
        check_said(world, i);
        FUZZ_CHECK(epb_session_held_input(peer->session) <= INPUT_MAX_BYTES);
        FUZZ_CHECK(epb_session_held_output(peer->session) <= OUTPUT_MAX_BYTES);
    }
}

static void
world_start(struct world *world, struct epb_bytes input)
{
    struct epb_options *options = &world->broker.options;
    uint8_t how;

    *world = (struct world){.input = input};
    how = fuzz_u8(&world->input);
    epb_options_default(options);
    options->default_ttl_ms = 60000;
    options->max_items = (how & 1) != 0 ? 2 : 0;
    options->max_memory_bytes = (how & 2) != 0 ? 3000 : 0;
    options->max_waiters = (how & 4) != 0 ? 2 : 0;
    options->evict_lru = (how & 8) != 0;
    options->single_lease = (how & 16) != 0;
    options->refresh_ttl_on_get = (how & 32) != 0;
    options->require_ttl = (how & 64) != 0;
    options->max_request_bytes = (how & 128) != 0 ? 100 : 1048576;
    epb_buf_init(&world->frame, 65536);
    fuzz_broker_start(&world->broker, NULL);
    for (unsigned i = 0; i < PEERS; i++) {
        reconnect(world, i);
    }
}

/* Everybody leaves, and then everything that ends by itself has ended. */
static void
world_stop(struct world *world)
{
    const struct epb_engine *engine = world->broker.config.engine;
    struct epb_time *now = &world->broker.now;
    struct epb_stats stats;
    struct epb_due due;

    for (unsigned i = 0; i < PEERS; i++) {
        fuzz_peer_work(&world->broker, &world->peers[i]);
        check_said(world, i);
        fuzz_peer_close(&world->broker, &world->peers[i]);
    }
    epb_engine_stats(engine, now, &stats);
    FUZZ_CHECK(stats.waiting == 0 && stats.watchers == 0);
    now->boot_ms = now->mono_ms = UINT64_C(1) << 60;
    do {
        epb_engine_sweep(world->broker.config.engine, now, &due);
    } while (due.item_boot_ms <= now->boot_ms || due.lease_mono_ms <= now->mono_ms);
    epb_engine_stats(engine, now, &stats);
    FUZZ_CHECK(stats.store.items == 0 && stats.leases.grants == 0);
    FUZZ_CHECK(!epb_engine_is_engaged(engine));
    fuzz_broker_stop(&world->broker);
    epb_buf_fini(&world->frame);
}

void
fuzz_sessions(const uint8_t *data, size_t size_bytes)
{
    static struct world world;
    struct epb_mem_stats before;
    struct epb_mem_stats after;

    epb_mem_shared_stats(&before);
    world_start(&world, (struct epb_bytes){data, size_bytes});
    for (unsigned steps = 0; steps < STEPS_MAX && world.input.size_bytes > 0; steps++) {
        step(&world);
        check_bounds(&world);
    }
    world_stop(&world);
    epb_mem_shared_stats(&after);
    FUZZ_CHECK(after.used_bytes == before.used_bytes);
}
