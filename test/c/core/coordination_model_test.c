/*
 * Waiting, watching, meeting and computing against a model that is small enough to be
 * obviously right: arrays, searched from end to end. Random histories of writes, waitFor,
 * watch, barrier, getOrSet, a throttle that is waited for, cancels, failures, connections
 * that come and go, and time that passes; after every step, each connection must be told
 * exactly what the model says, in its order, and be said to be ready exactly when there
 * is something.
 *
 * Leases themselves have a model of their own; here a computation is a token that its
 * holder has or not.
 */
#include "core/lease.h"
#include "core/watch.h"
#include "engine_help.h"

#define PARTIES 5U /* the last one has no session */
#define KEYS 6U
#define BARRIERS 2U
#define THROTTLE_MS 2U /* for one unit */
#define THROTTLE_BURST 3U
#define WAITS 600U
#define WATCHERS 8U /* of a who */
#define EVENTS \
    900U /* of a watcher, before which it overflows only where limits are tiny */
#define NEVER UINT64_MAX

enum kind {
    WAIT_FOR,
    COMPUTE,
    BARRIER,
    THROTTLE
};

enum place {
    FREE,
    QUEUED,
    FINISHED
};

struct wait {
    enum place place;
    enum kind kind;
    unsigned who;
    uint32_t id;
    unsigned key;
    uint64_t order;    /* of the request */
    uint64_t queued;   /* its place in a queue; waitFor: behind, when it waits again */
    uint64_t finished; /* in which order they were */
    uint64_t due_ms;
    uint64_t ttl_ms; /* of a computation */
    enum epb_status status;
    int64_t number;
    uint64_t cost;     /* of a throttle */
    uint64_t reset_ms; /* what it was told of that at its grant */
    bool granted;      /* the computation of its key is its own */
    char reason;
};

struct value {
    bool exists;
    uint64_t version;
    uint64_t due_ms;
};

/* The computation of a key. */
struct computation {
    bool exists;
    unsigned who;
    bool sessionless;
    bool known; /* its holder has been told */
    uint64_t token;
    uint64_t due_ms;
    uint64_t granted; /* in which order they were */
};

struct loss {
    uint64_t token;
    uint64_t order;
    unsigned key;
};

struct watcher {
    bool exists;
    uint32_t id;
    const char *prefix;
    unsigned count;
    bool overflowed; /* what it has is one overflow */
    struct {
        enum epb_event_kind kind;
        uint64_t version;
        unsigned key;
    } events[EVENTS];
};

struct seat {
    struct peer *peer;
    struct watcher watchers[WATCHERS];
    struct loss losses[WAITS];
    unsigned loss_count;
    bool ready; /* it has been said to be, since it was last empty */
    unsigned ready_seen;
};

static struct {
    struct random random;
    uint64_t seed;
    unsigned step;
    uint64_t now_ms;
    struct seat seats[PARTIES];
    struct peer extra;
    struct wait waits[WAITS];
    struct value values[KEYS];
    struct computation computations[KEYS];
    int64_t parties[BARRIERS]; /* of the round */
    uint64_t dead[KEYS];       /* the token of an earlier computation */
    uint64_t version, order, finished, granted, last_token, lost;
    uint64_t shown; /* the loss that was told last, until something else is asked for */
    uint32_t last_id;
    uint64_t tat_ms; /* of the throttle: when its full burst is there again */
    unsigned told, taken_over, failed, again; /* what the history has seen */
    unsigned let_in, too_late;                /* by the throttle, after a wait; not */
} run;

#define CHECK(condition)                                                        \
    cr_assert(condition, "seed %llu step %u: %s", (unsigned long long)run.seed, \
              run.step, #condition)

static const char *const keys[KEYS] = {"a", "ab", "abc", "b", "ba", "c"};
static const char *const barriers[BARRIERS] = {"x", "y"};
static const char *const prefixes[] = {"", "a", "ab", "b", "c", "abcd"};

static unsigned
below(unsigned limit)
{
    return random_below(&run.random, limit);
}

/* The model: what is finished, what is told */

static void
finish(struct wait *wait, enum epb_status status)
{
    wait->place = FINISHED;
    wait->finished = ++run.finished;
    wait->status = status;
}

static void
tell(enum epb_event_kind kind, unsigned key)
{
    for (unsigned i = 0; i < PARTIES * WATCHERS; i++) {
        struct watcher *watcher = &run.seats[i / WATCHERS].watchers[i % WATCHERS];

        if (!watcher->exists ||
            strncmp(keys[key], watcher->prefix, strlen(watcher->prefix)) != 0) {
            continue;
        }
        if (watcher->count == EPB_WATCH_EVENTS || watcher->overflowed) {
            watcher->overflowed = true;
            watcher->count = 1;
            continue;
        }
        CHECK(watcher->count < EVENTS);
        watcher->events[watcher->count].kind = kind;
        watcher->events[watcher->count].version = run.values[key].version;
        watcher->events[watcher->count].key = key;
        watcher->count++;
    }
}

/* The first in the queue of a computation. */
static struct wait *
first_in_queue(unsigned key)
{
    struct wait *next = NULL;

    for (unsigned i = 0; i < WAITS; i++) {
        struct wait *wait = &run.waits[i];

        if (wait->place == QUEUED && wait->kind == COMPUTE && wait->key == key &&
            (next == NULL || wait->order < next->order)) {
            next = wait;
        }
    }
    return next;
}

/* The first whose time is not over; those before it are told that theirs is. */
static struct wait *
next_in_queue(unsigned key)
{
    struct wait *next = first_in_queue(key);

    while (next != NULL && next->due_ms <= run.now_ms) {
        finish(next, EPB_WAIT_TIMEOUT);
        next = first_in_queue(key);
    }
    return next;
}

static void
grant(unsigned key, const struct wait *wait)
{
    run.computations[key] = (struct computation){
        .exists = true,
        .who = wait->who,
        .sessionless = wait->who == PARTIES - 1,
        .due_ms = run.now_ms + wait->ttl_ms,
        .granted = ++run.granted,
    };
}

/* The right to compute goes to the next, if there is one. */
static void
go_on(unsigned key)
{
    struct wait *next = next_in_queue(key);

    if (run.computations[key].known) {
        run.dead[key] = run.computations[key].token;
    }
    for (unsigned i = 0; i < WAITS; i++) {
        if (run.waits[i].kind == COMPUTE && run.waits[i].key == key) {
            run.waits[i].granted = false;
        }
    }
    run.computations[key].exists = false;
    if (next != NULL) {
        grant(key, next);
        finish(next, EPB_OK);
        next->granted = true;
        run.taken_over++;
        (void)next_in_queue(key);
    }
}

static void
wrote(unsigned key)
{
    run.values[key].version = ++run.version;
    tell(EPB_EVENT_SET, key);
    for (;;) {
        struct wait *first = NULL;

        for (unsigned i = 0; i < WAITS; i++) {
            struct wait *wait = &run.waits[i];

            if (wait->place == QUEUED && wait->kind < BARRIER && wait->key == key &&
                (first == NULL || wait->kind > first->kind ||
                 (wait->kind == first->kind && wait->queued < first->queued))) {
                first = wait;
            }
        }
        if (first == NULL) {
            return;
        }
        finish(first, EPB_OK);
    }
}

static unsigned
arrived(unsigned barrier)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WAITS; i++) {
        count += run.waits[i].place == QUEUED && run.waits[i].kind == BARRIER &&
                 run.waits[i].key == barrier;
    }
    return count;
}

/* The oldest computation that is due by then, of one who or (PARTIES) of all; KEYS:
 * none. */
static unsigned
first_computation(unsigned who, uint64_t due_ms)
{
    unsigned first = KEYS;

    for (unsigned key = 0; key < KEYS; key++) {
        const struct computation *computation = &run.computations[key];

        if (computation->exists && computation->due_ms <= due_ms &&
            (who == PARTIES || computation->who == who) &&
            (first == KEYS || computation->granted < run.computations[first].granted)) {
            first = key;
        }
    }
    return first;
}

static struct wait *
first_finished(unsigned who)
{
    struct wait *first = NULL;

    for (unsigned i = 0; i < WAITS; i++) {
        struct wait *wait = &run.waits[i];

        if (wait->place == FINISHED && wait->who == who &&
            (first == NULL || wait->finished < first->finished)) {
            first = wait;
        }
    }
    return first;
}

/* Requests */

static struct wait *
new_wait(unsigned who, enum kind kind, unsigned key, uint64_t wait_ms)
{
    for (unsigned i = 0; i < WAITS; i++) {
        if (run.waits[i].place == FREE) {
            run.waits[i] = (struct wait){
                .place = QUEUED,
                .kind = kind,
                .who = who,
                .id = run.seats[who].peer->id,
                .key = key,
                .order = ++run.order,
                .queued = run.order,
                .due_ms = wait_ms == EPB_NUMBER_MAX ? NEVER : run.now_ms + wait_ms,
            };
            return &run.waits[i];
        }
    }
    CHECK(false);
    return NULL;
}

static uint64_t
some_wait(void)
{
    switch (below(4)) {
    case 0:
        return EPB_NUMBER_MAX;
    case 1:
        return below(3);
    default:
        return below(60);
    }
}

static void
check_entry(unsigned key)
{
    CHECK(table.reply.version == run.values[key].version);
    CHECK(table.reply.ttl_ms == run.values[key].due_ms - run.now_ms);
    CHECK(body_is(keys[key]));
}

/* A deadline that no other value has: they expire one after the other. */
static uint64_t
some_ttl(void)
{
    for (;;) {
        uint64_t ttl_ms = 1 + below(60);
        bool taken = false;

        for (unsigned i = 0; i < KEYS; i++) {
            taken = taken ||
                    (run.values[i].exists && run.values[i].due_ms == run.now_ms + ttl_ms);
        }
        if (!taken) {
            return ttl_ms;
        }
    }
}

/* With the token of the key's computation, when it has one, or of an earlier one. */
static void
step_set(unsigned who, unsigned key)
{
    struct seat *seat = &run.seats[who];
    struct computation *computation = &run.computations[key];
    uint64_t ttl_ms = some_ttl();
    struct epb_request request =
        lasting(saying(to(EPB_ACTION_SET, keys[key]), keys[key]), ttl_ms);
    bool fences = below(2) == 0;
    bool live = computation->exists && computation->known;

    if (fences) {
        request = fenced(request, live ? computation->token : run.dead[key]);
        CHECK(ask(seat->peer, request) == (live ? EPB_OK : EPB_FENCED));
        if (!live) {
            return;
        }
    } else {
        CHECK(ask(seat->peer, request) == EPB_OK);
    }
    run.values[key].exists = true;
    run.values[key].due_ms = run.now_ms + ttl_ms;
    wrote(key);
    CHECK(table.reply.version == run.version);
    if (fences) {
        go_on(key);
    }
}

static void
step_del(unsigned who, unsigned key)
{
    CHECK(ask(run.seats[who].peer, to(EPB_ACTION_DEL, keys[key])) == EPB_OK);
    CHECK(table.reply.count == run.values[key].exists);
    if (run.values[key].exists) {
        tell(EPB_EVENT_DEL, key);
        run.values[key].exists = false;
    }
}

static void
step_wait_for(unsigned who, unsigned key)
{
    uint64_t wait_ms = some_wait();
    enum epb_status status = wait_for(run.seats[who].peer, keys[key], wait_ms);

    if (run.values[key].exists) {
        CHECK(status == EPB_OK);
        check_entry(key);
    } else if (wait_ms == 0) {
        CHECK(status == EPB_WAIT_TIMEOUT);
    } else {
        CHECK(status == DEFERRED);
        (void)new_wait(who, WAIT_FOR, key, wait_ms);
    }
}

/* The token of a computation that the holder has been told of now. */
static void
check_grant(unsigned key)
{
    struct computation *computation = &run.computations[key];

    CHECK(table.reply.flags == (EPB_F_FENCE | EPB_F_TTL));
    CHECK(table.reply.ttl_ms == computation->due_ms - run.now_ms);
    computation->known = true;
    computation->token = table.reply.fence;
    if (computation->token > run.last_token) {
        run.last_token = computation->token;
    }
}

static void
step_compute(unsigned who, unsigned key)
{
    struct peer *peer = run.seats[who].peer;
    uint64_t wait_ms = some_wait();
    uint64_t ttl_ms = 1 + below(80);
    uint64_t token_before = run.last_token;
    enum epb_status status = ask(
        peer, lasting(waiting(by(peer, to(EPB_ACTION_GET_OR_SET, keys[key])), wait_ms),
                      ttl_ms));

    if (run.values[key].exists) {
        CHECK(status == EPB_OK);
        check_entry(key);
    } else if (!run.computations[key].exists) {
        struct wait asked = {.who = who, .ttl_ms = ttl_ms};

        CHECK(status == EPB_OK);
        grant(key, &asked);
        check_grant(key);
        CHECK(table.reply.fence > token_before);
    } else if (wait_ms == 0) {
        CHECK(status == EPB_LEASE_HELD);
    } else {
        CHECK(status == DEFERRED);
        new_wait(who, COMPUTE, key, wait_ms)->ttl_ms = ttl_ms;
    }
}

/* Ends a computation that its holder knows of, with a reason or without. */
static void
step_give_up(unsigned key)
{
    struct computation *computation = &run.computations[key];
    static char reason[2];

    if (!computation->exists || !computation->known) {
        return;
    }
    struct epb_request request = fenced(to(EPB_ACTION_RELEASE, ""), computation->token);

    if (below(2) == 0) {
        reason[0] = (char)('A' + below(26));
        request = saying(request, reason);
        for (struct wait *wait = next_in_queue(key); wait != NULL;
             wait = next_in_queue(key)) {
            finish(wait, EPB_COMPUTE_FAILED);
            wait->reason = reason[0];
            run.failed++;
        }
    }
    CHECK(ask(run.seats[computation->who].peer, request) == EPB_OK);
    CHECK(table.reply.count == 1);
    go_on(key);
}

static void
step_barrier(unsigned who, unsigned barrier)
{
    unsigned before = arrived(barrier);
    int64_t parties = 1 + below(4);
    uint64_t wait_ms = some_wait();
    enum epb_status status = ask(
        run.seats[who].peer,
        waiting(counting(to(EPB_ACTION_BARRIER, barriers[barrier]), parties), wait_ms));

    if (before > 0 && run.parties[barrier] != parties) {
        CHECK(status == EPB_KIND_MISMATCH);
        return;
    }
    if (before + 1 < parties) {
        CHECK(status == (wait_ms == 0 ? EPB_WAIT_TIMEOUT : DEFERRED));
        if (wait_ms > 0) {
            run.parties[barrier] = parties;
            (void)new_wait(who, BARRIER, barrier, wait_ms);
        }
        return;
    }
    CHECK(status == EPB_OK);
    CHECK(table.reply.count == before);
    for (int64_t number = 0; number < before; number++) {
        struct wait *first = NULL;

        for (unsigned i = 0; i < WAITS; i++) {
            struct wait *wait = &run.waits[i];

            if (wait->place == QUEUED && wait->kind == BARRIER && wait->key == barrier &&
                (first == NULL || wait->order < first->order)) {
                first = wait;
            }
        }
        finish(first, EPB_OK);
        first->number = number;
    }
}

/* Moves the throttle's time if a request of this cost is allowed in that ms. */
static bool
throttle_allows(uint64_t *tat_ms, uint64_t cost, uint64_t ms)
{
    uint64_t after_ms = (*tat_ms > ms ? *tat_ms : ms) + cost * THROTTLE_MS;
    bool allows = after_ms <= ms + (uint64_t)THROTTLE_BURST * THROTTLE_MS;

    if (allows) {
        *tat_ms = after_ms;
    }
    return allows;
}

/* The first that waits for the throttle and came after that order; NULL: none. */
static struct wait *
next_of_throttle(uint64_t order)
{
    struct wait *next = NULL;

    for (unsigned i = 0; i < WAITS; i++) {
        struct wait *wait = &run.waits[i];

        if (wait->place == QUEUED && wait->kind == THROTTLE && wait->order > order &&
            (next == NULL || wait->order < next->order)) {
            next = wait;
        }
    }
    return next;
}

static void
throttle_go_on(void)
{
    struct wait *first = next_of_throttle(0);

    while (first != NULL && throttle_allows(&run.tat_ms, first->cost, run.now_ms)) {
        finish(first, EPB_OK);
        first->reset_ms = run.tat_ms - run.now_ms;
        run.let_in++;
        first = next_of_throttle(0);
    }
}

/* When a request that comes now is allowed if nothing else happens. */
static uint64_t
throttle_comes_ms(uint64_t cost)
{
    uint64_t tat_ms = run.tat_ms;
    uint64_t ms = run.now_ms;

    for (struct wait *wait = next_of_throttle(0); wait != NULL;
         wait = next_of_throttle(wait->order)) {
        while (!throttle_allows(&tat_ms, wait->cost, ms)) {
            ms++;
        }
    }
    while (!throttle_allows(&tat_ms, cost, ms)) {
        ms++;
    }
    return ms;
}

static void
check_throttle(bool allowed, uint64_t retry_ms, uint64_t reset_ms)
{
    CHECK(table.reply.flags == (EPB_F_COUNT | EPB_F_BURST | EPB_F_PERIOD | EPB_F_WAIT));
    CHECK(table.reply.count == allowed);
    CHECK(table.reply.wait_ms == retry_ms);
    CHECK(!allowed || table.reply.period_ms == reset_ms);
}

static void
step_throttle(unsigned who)
{
    struct epb_request request = counting(to(EPB_ACTION_THROTTLE, "t"), 1);
    uint64_t cost = 1 + below(THROTTLE_BURST);
    uint64_t wait_ms = some_wait();
    uint64_t comes_ms;
    enum epb_status status;
    bool at_once;

    request.flags |= EPB_F_PERIOD | EPB_F_BURST | EPB_F_COST;
    request.period_ms = THROTTLE_MS;
    request.burst = THROTTLE_BURST;
    request.cost = cost;
    throttle_go_on();
    comes_ms = throttle_comes_ms(cost);
    status = ask(run.seats[who].peer, waiting(request, wait_ms));
    at_once = next_of_throttle(0) == NULL && comes_ms == run.now_ms;
    if (at_once) {
        CHECK(status == EPB_OK && throttle_allows(&run.tat_ms, cost, run.now_ms));
        check_throttle(true, 0, run.tat_ms - run.now_ms);
    } else if (wait_ms == 0) {
        CHECK(status == EPB_OK);
        check_throttle(false, comes_ms - run.now_ms, 0);
    } else if (wait_ms != EPB_NUMBER_MAX && comes_ms > run.now_ms + wait_ms) {
        CHECK(status == EPB_WAIT_TIMEOUT);
        run.too_late++;
    } else {
        CHECK(status == DEFERRED);
        new_wait(who, THROTTLE, 0, wait_ms)->cost = cost;
    }
}

static void
step_watch(unsigned who)
{
    struct seat *seat = &run.seats[who];
    struct watcher *watcher = &seat->watchers[below(WATCHERS)];
    const char *prefix = prefixes[below(6)];

    if (watcher->exists) {
        CHECK(ask(seat->peer, counting(to(EPB_ACTION_CANCEL, ""), watcher->id)) ==
              EPB_OK);
        CHECK(table.reply.count == 1);
        watcher->exists = false;
        return;
    }
    CHECK(ask(seat->peer, to(EPB_ACTION_WATCH, prefix)) == EPB_OK);
    watcher->exists = true;
    watcher->id = seat->peer->id;
    watcher->prefix = prefix;
    watcher->overflowed = false;
    watcher->count = 0;
}

static void
step_cancel(unsigned who)
{
    struct seat *seat = &run.seats[who];
    unsigned first = below(WAITS);

    for (unsigned i = 0; i < WAITS; i++) {
        struct wait *wait = &run.waits[(first + i) % WAITS];

        if (wait->place == FREE || wait->who != who) {
            continue;
        }
        bool waits = wait->place == QUEUED;

        CHECK(ask(seat->peer, counting(to(EPB_ACTION_CANCEL, ""), wait->id)) == EPB_OK);
        CHECK(table.reply.count == waits);
        if (waits) {
            finish(wait, EPB_WAIT_TIMEOUT);
        }
        return;
    }
    CHECK(ask(seat->peer, counting(to(EPB_ACTION_CANCEL, ""), 1 << 30)) == EPB_OK);
    CHECK(table.reply.count == 0);
}

/* What it was given and has not taken goes on first, then what it has. */
static void
model_leave(unsigned who)
{
    struct wait *wait;

    for (unsigned i = 0; i < WAITS; i++) {
        if (run.waits[i].place == QUEUED && run.waits[i].who == who) {
            run.waits[i].place = FREE;
        }
    }
    while ((wait = first_finished(who)) != NULL) {
        wait->place = FREE;
        if (wait->granted) {
            go_on(wait->key);
        }
    }
    for (;;) {
        unsigned first = first_computation(who, NEVER);

        if (first == KEYS || run.computations[first].sessionless) {
            return;
        }
        go_on(first);
    }
}

/* The connection ends, and another begins. */
static void
step_leave(unsigned who)
{
    struct seat *seat = &run.seats[who];
    const char *worker = seat->peer->worker;

    peer_leave(seat->peer);
    for (unsigned i = 0; i < WATCHERS; i++) {
        seat->watchers[i].exists = false;
    }
    model_leave(who);
    seat->loss_count = 0;
    run.shown = 0;
    seat->ready = false;
    seat->ready_seen = 0;
    peer_join(seat->peer, worker);
    seat->peer->id = run.last_id;
}

/* Time */

/* Of all losses, the last few are kept; one that is being told counts. */
static void
forget_losses(void)
{
    struct seat *oldest = NULL;
    unsigned count = run.shown != 0;

    for (unsigned i = 0; i < PARTIES; i++) {
        struct seat *seat = &run.seats[i];

        count += seat->loss_count;
        if (seat->loss_count > 0 &&
            (oldest == NULL || seat->losses[0].order < oldest->losses[0].order)) {
            oldest = seat;
        }
    }
    if (count <= EPB_LOSSES_MAX) {
        return;
    }
    if (run.shown != 0 && (oldest == NULL || run.shown < oldest->losses[0].order)) {
        run.shown = 0;
        return;
    }
    oldest->loss_count--;
    memmove(oldest->losses, oldest->losses + 1,
            oldest->loss_count * sizeof(oldest->losses[0]));
}

static void
computations_expire(void)
{
    unsigned key;

    while ((key = first_computation(PARTIES, run.now_ms)) != KEYS) {
        struct computation ended = run.computations[key];

        if (ended.known && !ended.sessionless) {
            struct seat *seat = &run.seats[ended.who];

            CHECK(seat->loss_count < WAITS);
            seat->losses[seat->loss_count++] =
                (struct loss){ended.token, ++run.lost, key};
            forget_losses();
        }
        go_on(key);
    }
}

static void
waits_expire(void)
{
    for (;;) {
        struct wait *first = NULL;

        for (unsigned i = 0; i < WAITS; i++) {
            struct wait *wait = &run.waits[i];

            if (wait->place == QUEUED && wait->due_ms <= run.now_ms &&
                (first == NULL || wait->due_ms < first->due_ms ||
                 (wait->due_ms == first->due_ms && wait->order < first->order))) {
                first = wait;
            }
        }
        if (first == NULL) {
            return;
        }
        /* One that could not come in time was refused. */
        CHECK(first->kind != THROTTLE);
        first->place = FREE;
        if (first->kind == COMPUTE) {
            /* Those behind it move up first. */
            (void)next_in_queue(first->key);
        }
        finish(first, EPB_WAIT_TIMEOUT);
    }
}

static void
step_time(void)
{
    (void)pass(1);
    run.now_ms++;
    for (unsigned key = 0; key < KEYS; key++) {
        if (run.values[key].exists && run.values[key].due_ms <= run.now_ms) {
            tell(EPB_EVENT_EXPIRE, key);
            run.values[key].exists = false;
        }
    }
    computations_expire();
    throttle_go_on();
    waits_expire();
}

/* Taking */

static bool
has_events(const struct seat *seat)
{
    for (unsigned i = 0; i < WATCHERS; i++) {
        if (seat->watchers[i].exists && seat->watchers[i].count > 0) {
            return true;
        }
    }
    return false;
}

/* All events of one watcher: they fit into one reply. */
static void
take_events(struct seat *seat)
{
    size_t at = 0;

    CHECK(table.reply.id == 0 && table.reply.flags == EPB_F_COUNT);
    for (unsigned i = 0; i < WATCHERS; i++) {
        struct watcher *watcher = &seat->watchers[i];

        if (!watcher->exists || watcher->id != table.reply.count) {
            continue;
        }
        CHECK(watcher->count > 0);
        if (watcher->overflowed) {
            CHECK(table.reply.body.size_bytes == EPB_EVENT_HEADER_BYTES);
            CHECK(table.reply.body.data[0] == EPB_EVENT_OVERFLOW);
            watcher->overflowed = false;
            watcher->count = 0;
            return;
        }
        for (unsigned k = 0; k < watcher->count; k++) {
            const uint8_t *event = table.reply.body.data + at;
            const char *key = keys[watcher->events[k].key];

            CHECK(at < table.reply.body.size_bytes);
            CHECK(event[0] == watcher->events[k].kind);
            CHECK(epb_get_u64(event + 1) == watcher->events[k].version);
            CHECK(bytes_equal((struct epb_bytes){event + EPB_EVENT_HEADER_BYTES,
                                                 epb_get_u16(event + 9)},
                              bytes_of(key)));
            at += EPB_EVENT_HEADER_BYTES + strlen(key);
            run.told++;
        }
        watcher->count = 0;
        CHECK(at == table.reply.body.size_bytes);
        return;
    }
    CHECK(false);
}

/* What a finished wait is answered; false: it waits again. */
static bool
expect_finished(struct wait *wait)
{
    const struct value *value = &run.values[wait->key];

    if (wait->status != EPB_OK || wait->kind >= BARRIER || value->exists) {
        return true;
    }
    if (wait->kind == COMPUTE && wait->granted) {
        return true;
    }
    run.again++;
    if (wait->kind == COMPUTE && wait->due_ms > run.now_ms &&
        !run.computations[wait->key].exists) {
        grant(wait->key, wait);
        wait->granted = true;
        return true;
    }
    wait->place = QUEUED;
    if (wait->kind == WAIT_FOR) {
        wait->queued = ++run.order;
    }
    return false;
}

static void
check_finished(struct wait *wait)
{
    CHECK(table.reply.id == wait->id);
    CHECK(table.reply.status == wait->status);
    if (wait->status == EPB_COMPUTE_FAILED) {
        CHECK(table.reply.body.size_bytes == 1 &&
              table.reply.body.data[0] == (uint8_t)wait->reason);
    } else if (wait->status != EPB_OK) {
        /* Who computes is told. */
        CHECK(table.reply.flags == 0 &&
              (table.reply.body.size_bytes == 0 ||
               (wait->kind == COMPUTE && wait->status == EPB_WAIT_TIMEOUT)));
    } else if (wait->kind == BARRIER) {
        CHECK(table.reply.count == wait->number);
    } else if (wait->kind == THROTTLE) {
        check_throttle(true, 0, wait->reset_ms);
    } else if (run.values[wait->key].exists) {
        check_entry(wait->key);
        /* The right to compute is of no use any more. */
        if (wait->granted) {
            wait->granted = false;
            go_on(wait->key);
        }
    } else {
        check_grant(wait->key);
        wait->granted = false;
    }
    wait->place = FREE;
}

/* One reply or event. */
static void
step_take(unsigned who)
{
    struct seat *seat = &run.seats[who];
    struct wait *wait;
    enum epb_status status;

    run.shown = 0;
    if (seat->loss_count > 0) {
        CHECK(answer(seat->peer) == EPB_LEASE_LOST);
        CHECK(table.reply.id == 0 && table.reply.fence == seat->losses[0].token);
        CHECK(body_is(keys[seat->losses[0].key]));
        run.shown = seat->losses[0].order;
        seat->loss_count--;
        memmove(seat->losses, seat->losses + 1,
                seat->loss_count * sizeof(seat->losses[0]));
        return;
    }
    status = answer(seat->peer);
    while ((wait = first_finished(who)) != NULL) {
        if (expect_finished(wait)) {
            CHECK(status != DEFERRED);
            check_finished(wait);
            return;
        }
        /* Computations whose time is over are answered at once, the others by the sweep
         * that follows the step. */
        if (wait->kind == COMPUTE && wait->due_ms <= run.now_ms) {
            finish(wait, EPB_WAIT_TIMEOUT);
        }
    }
    if (status == DEFERRED) {
        CHECK(!has_events(seat));
    } else {
        take_events(seat);
    }
}

/* After every step */

static void
check_ready(void)
{
    for (unsigned who = 0; who < PARTIES; who++) {
        struct seat *seat = &run.seats[who];
        bool has =
            seat->loss_count > 0 || first_finished(who) != NULL || has_events(seat);

        CHECK(epb_engine_has_next(table.engine, seat->peer->peer) == has);
        CHECK(seat->peer->ready - seat->ready_seen <= (seat->ready ? 0U : 1U));
        seat->ready = seat->ready || seat->peer->ready > seat->ready_seen;
        seat->ready_seen = seat->peer->ready;
        CHECK(!has || seat->ready);
        if (!has) {
            seat->ready = false;
        }
    }
}

static void
check_totals(void)
{
    struct epb_stats stats = table_stats();
    unsigned watchers = 0;
    unsigned waits = 0;
    unsigned grants = 0;

    for (unsigned i = 0; i < PARTIES * WATCHERS; i++) {
        watchers += run.seats[i / WATCHERS].watchers[i % WATCHERS].exists;
    }
    for (unsigned i = 0; i < WAITS; i++) {
        waits += run.waits[i].place == QUEUED;
    }
    for (unsigned key = 0; key < KEYS; key++) {
        grants += run.computations[key].exists;
    }
    CHECK(stats.watchers == watchers);
    CHECK(stats.waiting == waits);
    CHECK(stats.leases.grants == grants);
}

/* Nobody falls too far behind for the arrays here. */
static bool
is_behind(const struct seat *seat)
{
    for (unsigned i = 0; i < WATCHERS; i++) {
        if (seat->watchers[i].exists && seat->watchers[i].count > EVENTS / 2) {
            return true;
        }
    }
    return seat->loss_count > WAITS / 2;
}

static unsigned
free_waits(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WAITS; i++) {
        count += run.waits[i].place == FREE;
    }
    return count;
}

static void
step(void)
{
    unsigned who = below(PARTIES);
    unsigned key = below(KEYS);
    unsigned choice = below(100);

    if (is_behind(&run.seats[who]) || free_waits() < 20) {
        choice = 60 + below(40);
    }
    if (choice < 7) {
        step_set(who, key);
    } else if (choice < 12) {
        step_del(who, key);
    } else if (choice < 23) {
        step_wait_for(who, key);
    } else if (choice < 39) {
        step_compute(who, key);
    } else if (choice < 43) {
        step_give_up(key);
    } else if (choice < 48) {
        step_barrier(who, below(BARRIERS));
    } else if (choice < 51) {
        step_throttle(who);
    } else if (choice < 55) {
        step_watch(who);
    } else if (choice < 59) {
        step_cancel(who);
    } else if (choice < 60) {
        step_leave(who);
    } else if (choice < 72) {
        step_time();
    } else {
        step_take(who);
    }
    if (run.seats[who].peer->id > run.last_id) {
        run.last_id = run.seats[who].peer->id;
    }
}

static void
history(uint64_t seed, unsigned steps)
{
    struct peer *const peers[PARTIES] = {&table.a, &table.b, &table.c, &run.extra,
                                         &table.line};

    memset(&run, 0, sizeof(run));
    run.random.state = run.seed = seed;
    table_setup();
    peer_join(&run.extra, "we");
    for (unsigned i = 0; i < PARTIES; i++) {
        run.seats[i].peer = peers[i];
    }
    run.now_ms = table.now.boot_ms;
    for (run.step = 0; run.step < steps; run.step++) {
        step();
        check_ready();
        if (run.step % 64 == 0) {
            check_totals();
        }
    }
    check_totals();
    cr_log_info("%u events, %u takeovers, %u failures, %u woken in vain", run.told,
                run.taken_over, run.failed, run.again);
    CHECK(run.told > steps / 100 && run.taken_over > steps / 1000 &&
          run.failed > steps / 1000 && run.again > steps / 1000 &&
          run.let_in > steps / 1000 && run.too_late > steps / 1000);
    peer_leave(&run.extra);
    table_close();
}

Test(coordination_model, agrees_on_histories_seen_before)
{
    history(1, 100000);
    history(2, 100000);
}

Test(coordination_model, agrees_on_a_history_nobody_has_seen)
{
    history(random_seed("coordination_model"), 150000);
}
