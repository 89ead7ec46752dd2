#include "base/mem_testing.h"
#include "lease_run.h"

/* Faults: one allocation of the operation fails. Overdue requests are withdrawn first, so
 * that an operation that fails has nothing to do but fail. */

static void
sweep_all(struct run *run)
{
    while (epb_leases_sweep(run->leases, &run->now, 3) <= run->now.mono_ms) {
    }
    while (epb_waits_sweep(run->waits, &run->now, 3) <= run->now.mono_ms) {
    }
    model_settle(&run->model);
    (void)model_sweep_waits(&run->model, UINT32_MAX);
}

static void
arm(struct run *run, const struct op *op)
{
    if (op->fault > 0) {
        sweep_all(run);
        epb_mem_fail_after(op->fault);
    }
}

/* Whether the operation failed for it. */
static bool
has_failed(struct run *run, const struct op *op, enum epb_status status)
{
    epb_mem_fail_after(0);
    EXPECT(run, status != EPB_INTERNAL || op->fault > 0);
    return status == EPB_INTERNAL;
}

/* Operations */

static unsigned
key_or_none(const struct op *op)
{
    return (op->flags & FLAG_KEY) != 0 ? op->key : MODEL_KEYS;
}

static uint64_t
choose_token(const struct run *run, const struct op *op)
{
    return run->recent[op->choice % RECENT];
}

uint64_t
run_choose_ttl(const struct op *op)
{
    static const uint64_t ttls[] = {0, 1, 7, 20, 20, 60, 150, 1000};

    return ttls[op->amount % 8];
}

uint64_t
run_choose_wait(const struct op *op)
{
    static const uint64_t waits[] = {
        0, 1, 10, 20, 40, 100, EPB_WAIT_FOREVER_MS, EPB_WAIT_FOREVER_MS};

    return (op->flags & FLAG_WAIT) != 0 ? waits[op->amount / 8 % 8] : 0;
}

/* 0: none is said. */
unsigned
run_choose_count(const struct op *op)
{
    static const unsigned counts[] = {0, 0, 0, 0, 1, 2, 3, 4};

    return op->space == EPB_SPACE_KEY ? counts[op->choice / 16 % 8] : 0;
}

enum epb_lease_rule
run_choose_rule(const struct op *op)
{
    if (op->space != EPB_SPACE_KEY || (op->flags & FLAG_ODD) == 0) {
        return EPB_RULE_ANY;
    }
    return (op->flags & FLAG_KEY) != 0 ? EPB_RULE_NUMBER : EPB_RULE_DEFINED;
}

static enum epb_defining
choose_defining(const struct op *op)
{
    if ((op->flags & FLAG_FORCE) != 0) {
        return EPB_DEFINE_ANEW;
    }
    return (op->flags & FLAG_SHARED) != 0 ? EPB_DEFINE_IF_ABSENT : EPB_DEFINE_ONCE;
}

/* One to four elements, and their packed form. */
struct elements {
    unsigned numbers[4];
    unsigned count;
    uint8_t packed[64];
    size_t size_bytes;
};

static struct elements
choose_elements(const struct op *op)
{
    struct elements chosen = {.count = 1 + op->amount % 4};

    for (unsigned i = 0; i < chosen.count; i++) {
        const struct element_name *name;
        uint8_t *at = chosen.packed + chosen.size_bytes;

        chosen.numbers[i] = op->amount / (4U << 3 * i) % 8 % MODEL_ELEMENTS;
        name = &run_element_names[chosen.numbers[i]];
        epb_put_u32(at, name->size_bytes);
        at[4] = name->is_binary;
        memcpy(at + EPB_ELEMENT_HEADER_BYTES, name->text, name->size_bytes);
        chosen.size_bytes += EPB_ELEMENT_HEADER_BYTES + name->size_bytes;
    }
    return chosen;
}

/* Mostly the next one; sometimes one that may be taken, or none. */
static uint32_t
choose_id(struct run *run, const struct op *op)
{
    struct model_party *peer = &run->model.peers[op->peer];

    if (op->choice % 16 == 0) {
        return op->choice / 16 % 4;
    }
    return ++peer->last_id;
}

/* What the flow holds: some of the grants seen last, live or not, and now and then one
 * that there has never been. */
static void
choose_names(const struct run *run, const struct op *op, uint64_t *names)
{
    if ((op->flags & FLAG_NAMES) == 0) {
        return;
    }
    for (unsigned i = 0; i <= op->amount % MODEL_NAMES; i++) {
        unsigned choice = op->choice + i * (1 + op->amount / 64 % RECENT);

        names[i] =
            choice % 64 == 63
                ? run->model.next_token + i
                : run->recent[(run->next_recent + RECENT - 1 - choice % RECENT) % RECENT];
    }
}

/* The first grant of the cycle is one that the request names. */
static bool
cycle_is_sound(struct run *run, const struct model_ask *ask)
{
    uint8_t packed[EPB_OBSTACLE_HEADER_BYTES + EPB_CYCLE_SHOWN * 100];
    size_t size_bytes = epb_lease_cycle_pack(run->leases, &run->now, NULL);
    const uint8_t *first = packed + EPB_OBSTACLE_HEADER_BYTES;
    bool is_named = false;

    EXPECT(run, size_bytes <= sizeof(packed));
    EXPECT(run, epb_lease_cycle_pack(run->leases, &run->now, packed) == size_bytes);
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        is_named = is_named || ask->names[i] == epb_get_u64(first + 11);
    }
    return is_named && epb_get_u32(packed + 8) > 0 && first[0] == 1;
}

static void
op_ask(struct run *run, const struct op *op)
{
    uint8_t names[MODEL_NAMES * sizeof(uint64_t)];
    struct model_ask ask = {
        .peer = op->peer,
        .space = op->space,
        .key = op->key,
        .worker = op->worker,
        .ttl = run_choose_ttl(op),
        .wait = run_choose_wait(op),
        .id = choose_id(run, op),
        .fresh = (op->flags & FLAG_FRESH) != 0 || op->space == EPB_SPACE_COMPUTE,
        .shared = (op->flags & FLAG_SHARED) != 0,
        .detached = (op->flags & FLAG_DETACHED) != 0,
        .has_value = op->space == EPB_SPACE_KEY && run->has_value[op->key],
        .count = run_choose_count(op),
        .rule = run_choose_rule(op),
    };
    const struct epb_request request = {
        .action = EPB_ACTION_LEASE,
        .flags = ((op->flags & FLAG_WAIT) != 0 ? EPB_F_WAIT : 0) |
                 (ask.fresh ? EPB_F_FRESH : 0) | (ask.shared ? EPB_F_SHARED : 0) |
                 (ask.detached ? EPB_F_DETACHED : 0) | (ask.count > 0 ? EPB_F_COUNT : 0),
        .id = ask.id,
        .key = run_key_name(op->key),
        .worker = run_worker_name(op->worker),
        .ttl_ms = ask.ttl,
        .wait_ms = ask.wait,
        .value = {names, sizeof(names)},
        .count = (int64_t)ask.count,
    };
    const struct epb_lease_ask terms = {
        .space = (enum epb_lease_space)op->space,
        .rule = ask.rule,
        .request = &request,
        .has_value = ask.has_value,
    };
    struct epb_grant *grant;
    enum epb_status status;
    uint64_t token;

    choose_names(run, op, ask.names);
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        epb_put_u64(names + i * sizeof(uint64_t), ask.names[i]);
    }
    if (run->model.grant_count > 60 || run->model.wait_count > 100 ||
        run->model.loss_count > 300) {
        return;
    }
    arm(run, op);
    status = epb_lease_ask(run->leases, run->peers[op->peer], &terms, &run->now, &grant);
    if (has_failed(run, op, status)) {
        EXPECT(run, grant == NULL);
        return;
    }
    EXPECT(run, status == model_ask(&run->model, &ask, &token));
    EXPECT(run, (grant != NULL) == (token != 0));
    EXPECT(run, status != EPB_DEADLOCK || cycle_is_sound(run, &ask));
    if (token != 0) {
        run_check_view(run, grant, token);
    }
}

static void
op_renew_token(struct run *run, const struct op *op)
{
    uint64_t token = choose_token(run, op);

    EXPECT(run, epb_lease_renew_token(run->leases, run->peers[op->peer], token,
                                      run_choose_ttl(op), &run->now) ==
                    model_renew_token(&run->model, op->peer, token, run_choose_ttl(op)));
}

static void
op_take(struct run *run, const struct op *op)
{
    uint64_t token = choose_token(run, op);

    EXPECT(run, epb_lease_take(run->leases, run->peers[op->peer], token, &run->now) ==
                    model_take_token(&run->model, op->peer, token));
}

struct telling {
    struct run *run;
    unsigned worker, place, left;
};

static bool
tell(void *context, uint64_t token, struct epb_bytes key)
{
    struct telling *telling = context;
    struct model *model = &telling->run->model;

    if (telling->left == 0) {
        return false;
    }
    telling->left--;
    for (unsigned i = 0; i < model->loss_count; i++) {
        struct model_loss *loss = &model->losses[i];

        if (loss->worker == telling->worker && loss->place == telling->place &&
            loss->by_renewal) {
            EXPECT(telling->run, loss->token == token);
            EXPECT(telling->run, bytes_equal(run_key_name(loss->key), key));
            loss->by_renewal = false;
            return true;
        }
    }
    EXPECT(telling->run, false);
    return true;
}

static void
op_renew_worker(struct run *run, const struct op *op)
{
    bool detached = (op->flags & FLAG_DETACHED) != 0;
    struct telling telling = {run, op->worker,
                              model_place(&run->model, op->peer, detached),
                              (op->flags & FLAG_ODD) != 0 ? op->choice % 4 : UINT32_MAX};
    const struct epb_who who = {run->peers[op->peer], run_worker_name(op->worker),
                                detached};
    const struct epb_lease_renewal renewal = {run_key_name(key_or_none(op)),
                                              run_choose_ttl(op), tell, &telling};
    unsigned expected = model_renew_worker(&run->model, telling.place, op->worker,
                                           key_or_none(op), run_choose_ttl(op));

    EXPECT(run,
           epb_lease_renew_worker(run->leases, &who, &renewal, &run->now) == expected);
    for (unsigned i = 0; i < run->model.loss_count && telling.left > 0; i++) {
        const struct model_loss *loss = &run->model.losses[i];

        EXPECT(run, loss->worker != op->worker || loss->place != telling.place ||
                        !loss->by_renewal);
    }
    model_forget_told(&run->model);
}

static void
op_release_token(struct run *run, const struct op *op)
{
    const struct epb_who who = {.peer = run->peers[op->peer]};
    struct epb_lease_release release = {
        .token = choose_token(run, op),
        .force = (op->flags & FLAG_FORCE) != 0,
        .discard = (op->flags & FLAG_DISCARD) != 0,
    };
    struct elements chosen = {.count = 0};
    enum epb_status status;
    bool expected;

    if (release.discard && (op->flags & FLAG_KEY) != 0) {
        chosen = choose_elements(op);
    }
    release.elements = (struct epb_bytes){chosen.packed, chosen.size_bytes};
    arm(run, op);
    status = epb_lease_release_token(run->leases, &who, &release, &run->now);
    if (has_failed(run, op, status)) {
        return;
    }
    EXPECT(run, status == model_release_token(&run->model, op->peer, release.token,
                                              release.force, release.discard,
                                              chosen.numbers, chosen.count, &expected));
    EXPECT(run, release.released == expected);
}

static void
op_release_worker(struct run *run, const struct op *op)
{
    struct model_release release = {
        .peer = op->peer,
        .worker = (op->flags & FLAG_ODD) != 0 && op->choice % 2 == 0 ? MODEL_WORKERS
                                                                     : op->worker,
        .key = key_or_none(op),
        .detached = (op->flags & FLAG_DETACHED) != 0,
        .force = (op->flags & FLAG_FORCE) != 0,
        .discard = (op->flags & FLAG_DISCARD) != 0,
    };
    const struct epb_who who = {run->peers[op->peer], run_worker_name(release.worker),
                                release.detached};
    struct epb_lease_release what = {.key = run_key_name(release.key),
                                     .force = release.force,
                                     .discard = release.discard};
    unsigned expected;

    EXPECT(run, epb_lease_release_worker(run->leases, &who, &what, &run->now) ==
                    model_release_worker(&run->model, &release, &expected));
    EXPECT(run, what.released == expected);
}

static void
op_pool(struct run *run, const struct op *op)
{
    struct elements list = choose_elements(op);
    enum epb_defining how =
        (op->flags & FLAG_FRESH) != 0 ? EPB_DEFINE_MORE : choose_defining(op);
    bool malformed = op->choice % 16 == 0;
    bool changed[2] = {false, false};
    uint64_t size = 0;
    unsigned expected_size = 0;
    enum epb_status status;

    arm(run, op);
    status = fill_whole(run->leases, run_key_name(op->key),
                        (struct epb_bytes){list.packed, list.size_bytes - malformed}, how,
                        run->has_value[op->key], &run->now, &changed[0], &size);
    if (has_failed(run, op, status)) {
        return;
    }
    if (malformed) {
        EXPECT(run, status == EPB_INVALID_VALUE);
        return;
    }
    EXPECT(run,
           status == model_pool(&run->model, op->key, list.numbers, list.count, how,
                                run->has_value[op->key], &changed[1], &expected_size));
    EXPECT(run, status != EPB_OK || (changed[0] == changed[1] && size == expected_size));
}

static void
op_limit(struct run *run, const struct op *op)
{
    int64_t n = (int64_t)(op->amount % 5);
    bool changed[2] = {false, false};
    enum epb_status status;

    arm(run, op);
    status = epb_lease_limit(run->leases, run_key_name(op->key), n, choose_defining(op),
                             run->has_value[op->key], &run->now, &changed[0]);
    if (has_failed(run, op, status)) {
        return;
    }
    EXPECT(run, status == model_limit(&run->model, op->key, n, choose_defining(op),
                                      run->has_value[op->key], &changed[1]));
    EXPECT(run, status != EPB_OK || changed[0] == changed[1]);
}

static void
op_discard(struct run *run, const struct op *op)
{
    unsigned element = op->amount % MODEL_ELEMENTS;
    const struct element_name *name = &run_element_names[element];
    enum epb_status status;

    arm(run, op);
    status = epb_lease_discard(
        run->leases, run_key_name(op->key),
        (struct epb_bytes){(const uint8_t *)name->text, name->size_bytes},
        name->is_binary ? EPB_F_BINARY : 0, &run->now);
    if (!has_failed(run, op, status)) {
        EXPECT(run, status == model_discard(&run->model, op->key, element));
    }
}

static void
op_undefine(struct run *run, const struct op *op)
{
    EXPECT(run, epb_lease_undefine(run->leases, run_key_name(op->key), &run->now) ==
                    model_undefine(&run->model, op->key));
}

/* In slices of all sizes. */
static void
op_clear(struct run *run, const struct op *op)
{
    static const char *const prefixes[] = {"", "acc", "account", "db", "a", "x"};
    struct epb_bytes prefix = bytes_of(prefixes[op->choice % 6]);
    struct epb_lease_clearing clearing = {0};
    struct model_clearing expected = {.cleared = 0};
    struct epb_budget budget;

    epb_lease_clear_begin(run->leases, &clearing);
    do {
        budget.units = 1 + op->amount % 200;
    } while (!epb_lease_clear(run->leases, prefix, &run->now, &budget, &clearing));
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        expected.keys[key] =
            strncmp(run_key_names[key], prefixes[op->choice % 6], prefix.size_bytes) == 0;
    }
    model_clear(&run->model, &expected);
    EXPECT(run, clearing.cleared == expected.cleared);
    EXPECT(run, clearing.held == expected.held);
}

static void
op_cancel(struct run *run, const struct op *op)
{
    uint32_t id = run->model.peers[op->peer].last_id;

    id = id > op->choice % 8 ? id - op->choice % 8 : 0;
    EXPECT(run, epb_wait_has(run->peers[op->peer], id) ==
                    (model_wait_of(&run->model, op->peer, id) != NULL));
    EXPECT(run, epb_wait_cancel(run->waits, run->peers[op->peer], id, &run->now) ==
                    model_cancel(&run->model, op->peer, id));
}

static void
check_told(struct run *run, unsigned peer)
{
    struct epb_peer *real = run->peers[peer];

    real->told = !epb_list_empty(&real->finished) || !epb_list_empty(&real->losses);
    run->ready[peer] = real->told;
}

/* What the engine does with a finished wait: it answers, asks again, or takes the grant
 * back. */
/* In slices of all sizes. */
static void
leave_whole(struct run *run, struct epb_peer *peer)
{
    struct epb_budget budget;
    size_t units = 1;

    do {
        budget.units = units++;
    } while (!epb_lease_leave(run->leases, peer, &run->now, &budget));
}

static void
op_pop(struct run *run, const struct op *op)
{
    struct epb_wait *wait = epb_wait_pop(run->peers[op->peer]);
    struct model_wait *expected = model_pop(&run->model, op->peer);
    uint64_t token;

    EXPECT(run, (wait != NULL) == (expected != NULL));
    if (wait == NULL || expected == NULL) {
        return;
    }
    EXPECT(run, wait->id == expected->id);
    EXPECT(run, wait->status == expected->status);
    EXPECT(run, wait->status != EPB_CONFLICT || wait->count == expected->refused);
    EXPECT(run, bytes_equal(epb_lease_wait_key(wait), run_key_name(expected->key)));
    EXPECT(run, (wait->reason != NULL) == (expected->reason != 0) ||
                    wait->status == EPB_DEADLOCK);
    if (wait->reason != NULL && wait->status != EPB_DEADLOCK) {
        struct epb_bytes text = epb_reason_text(wait->reason);

        EXPECT(run, text.size_bytes == expected->reason);
    }
    token = expected->grant;
    EXPECT(run, (wait->grant != NULL) == (token != 0));
    if (expected->space == EPB_SPACE_COMPUTE && wait->status == EPB_OK && token == 0 &&
        wait->grant == NULL && (op->flags & FLAG_ODD) == 0) {
        bool granted = epb_lease_ask_again(run->leases, wait, &run->now);

        EXPECT(run, granted == model_ask_again(&run->model, expected));
        if (!granted) {
            check_told(run, op->peer);
            return;
        }
        token = expected->grant;
    }
    if (token != 0) {
        run_check_view(run, wait->grant, token);
    }
    if (wait->grant != NULL && token != 0 && op->choice % 8 == 0) {
        epb_lease_end(run->leases, wait->grant, &run->now);
        EXPECT(run, wait->grant == NULL);
        model_end(&run->model, token, MODEL_RELEASED);
    }
    epb_wait_free(run->waits, wait);
    model_free(&run->model, expected);
    check_told(run, op->peer);
}

void
run_leave(struct run *run, unsigned peer)
{
    struct epb_peer *real = run->peers[peer];

    (void)epb_peer_withdraw(run->waits, real, &run->now, &(struct epb_budget){SIZE_MAX});
    leave_whole(run, real);
    EXPECT(run, epb_list_empty(&real->takes) && epb_list_empty(&real->losses));
    epb_peer_free(run->waits, real);
    run->peers[peer] = NULL;
    run->ready[peer] = false;
}

void
run_join(struct run *run, unsigned peer)
{
    bool sessionless = peer == MODEL_PARTIES - 1;

    run->peers[peer] = epb_peer_new(run->waits, (void *)(uintptr_t)peer, sessionless);
    model_join(&run->model, peer, sessionless);
    EXPECT(run, epb_peer_session(run->peers[peer]) ==
                    model_session_at(&run->model, run->model.peers[peer].place));
}

/* What the engine does for `join`. */
static void
op_join(struct run *run, const struct op *op)
{
    struct epb_peer *peer = run->peers[op->peer];
    unsigned key = op->amount % MODEL_SESSION_KEYS;
    const uint8_t bytes[EPB_SESSION_KEY_BYTES] = {[15] = (uint8_t)key};
    bool may = epb_peer_may_join(peer);
    struct epb_group *group;

    if (may) {
        arm(run, op);
        if (has_failed(run, op, epb_group_get(run->waits, bytes, 100 + key, &group))) {
            return;
        }
        if (group != peer->group) {
            leave_whole(run, peer);
            epb_peer_join(run->waits, peer, group);
        }
        EXPECT(run, peer->group->pid == 100 + key);
    }
    EXPECT(run, may == model_change_session(&run->model, op->peer, key));
    EXPECT(run, epb_peer_session(peer) ==
                    model_session_at(&run->model, run->model.peers[op->peer].place));
}

static void
op_leave(struct run *run, const struct op *op)
{
    run_leave(run, op->peer);
    model_leave(&run->model, op->peer);
    if ((op->flags & FLAG_ODD) != 0) {
        run_compare(run);
    }
    run_join(run, op->peer);
}

static void
op_time(struct run *run, const struct op *op)
{
    static const uint64_t steps[] = {1, 1, 3, 10, 20, 21, 100, 2000};
    uint64_t next = epb_leases_sweep(run->leases, &run->now, 0);
    uint64_t to = run->now.mono_ms + steps[op->amount % 8];

    /* Often to the very deadline of something. */
    if (op->choice % 2 == 0) {
        uint64_t other = epb_waits_sweep(run->waits, &run->now, 0);

        next = op->choice % 4 == 0 && other < next ? other : next;
        to =
            next != UINT64_MAX && next > run->now.mono_ms && next < to + 1000 ? next : to;
    }
    run->now.mono_ms = to;
    run->now.boot_ms += 7;
    run->model.now = to;
}

static void
op_sweep(struct run *run, const struct op *op)
{
    unsigned limit = op->amount % 4;

    if ((op->flags & FLAG_ODD) != 0) {
        EXPECT(run, epb_waits_sweep(run->waits, &run->now, limit) ==
                        model_sweep_waits(&run->model, limit));
    } else {
        EXPECT(run, epb_leases_sweep(run->leases, &run->now, limit) ==
                        model_sweep_leases(&run->model, limit));
    }
}

static void
op_computed(struct run *run, const struct op *op)
{
    epb_lease_computed(run->leases, run_key_name(op->key));
    model_computed(&run->model, op->key);
}

static void
op_fail(struct run *run, const struct op *op)
{
    uint64_t token = choose_token(run, op);
    unsigned length = 1 + op->amount % 20;
    bool force = (op->flags & FLAG_FORCE) != 0;
    struct epb_bytes reason = {(const uint8_t *)"twenty bytes of reason", length};
    enum epb_status status;

    arm(run, op);
    status = epb_lease_fail(run->leases, run->peers[op->peer], token, force, reason,
                            &run->now);
    if (!has_failed(run, op, status)) {
        EXPECT(run, status == model_fail(&run->model, op->peer, token, force, length));
    }
}

static void
op_losses(struct run *run, const struct op *op)
{
    struct model *model = &run->model;
    struct epb_bytes key;
    uint64_t token;

    for (unsigned i = 0; i < model->loss_count; i++) {
        struct model_loss *loss = &model->losses[i];

        if (loss->by_event[op->peer]) {
            EXPECT(run,
                   epb_lease_next_loss(run->leases, run->peers[op->peer], &token, &key));
            EXPECT(run, token == loss->token);
            EXPECT(run, bytes_equal(key, run_key_name(loss->key)));
            loss->by_event[op->peer] = false;
        }
    }
    EXPECT(run, !epb_lease_next_loss(run->leases, run->peers[op->peer], &token, &key));
    model_forget_told(model);
    check_told(run, op->peer);
}

static void
op_value(struct run *run, const struct op *op)
{
    struct epb_bytes key = run_key_name(op->key);
    bool allowed = epb_lease_allows_value(run->leases, key, &run->now);

    EXPECT(run, allowed == model_allows_value(&run->model, op->key));
    EXPECT(run, epb_lease_holds_value(run->leases, key) ==
                    model_holds_value(&run->model, op->key));
    run->has_value[op->key] = allowed && !run->has_value[op->key];
}

static void
op_drain(struct run *run, const struct op *op)
{
    (void)op;
    epb_waits_finish_all(run->waits, EPB_DRAINING, &run->now);
    model_drain(&run->model);
}

static void
op_end(struct run *run, const struct op *op)
{
    uint64_t token = choose_token(run, op);
    struct epb_grant *grant = epb_lease_find(run->leases, token, &run->now);

    EXPECT(run, (grant != NULL) == (model_find(&run->model, token) != NULL));
    if (grant != NULL && model_find(&run->model, token) != NULL &&
        (op->flags & FLAG_ODD) != 0) {
        epb_lease_end(run->leases, grant, &run->now);
        model_end(&run->model, token, MODEL_RELEASED);
    }
}

void (*const run_op_calls[OP_KINDS])(struct run *run, const struct op *op) = {
    op_ask,  op_renew_token, op_renew_worker, op_release_token, op_release_worker,
    op_pool, op_limit,       op_discard,      op_undefine,      op_cancel,
    op_pop,  op_leave,       op_time,         op_sweep,         op_computed,
    op_fail, op_losses,      op_value,        op_drain,         op_end,
    op_join, op_clear,       op_take,
};
