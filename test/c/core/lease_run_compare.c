#include "lease_run.h"
#include "walk_help.h"

void
run_expect(struct run *run, bool condition, const char *text, unsigned line)
{
    if (!condition && run->failure == NULL) {
        run->failure = text;
        run->failed_line = line;
    }
}

/* Names */

const char *const run_key_names[MODEL_KEYS] = {"account", "acc", "db"};
const char *const run_worker_names[MODEL_WORKERS] = {"w1", "w2", "worker-3"};

/* Some differ only in one being bytes. */
const struct element_name run_element_names[MODEL_ELEMENTS] = {
    {"1", 1, 0}, {"1", 1, 1}, {"22", 2, 0}, {"", 0, 1}, {"\0\1", 2, 1}, {"22", 2, 1}};

struct epb_bytes
run_key_name(unsigned key)
{
    return key == MODEL_KEYS ? (struct epb_bytes){NULL, 0} : bytes_of(run_key_names[key]);
}

struct epb_bytes
run_worker_name(unsigned worker)
{
    return worker == MODEL_WORKERS ? (struct epb_bytes){NULL, 0}
                                   : bytes_of(run_worker_names[worker]);
}

static unsigned
number_of(const char *const *names, unsigned count, struct epb_bytes name)
{
    unsigned at = 0;

    while (at < count && !bytes_equal(bytes_of(names[at]), name)) {
        at++;
    }
    return at;
}

static unsigned
space_of(enum epb_lease_kind kind)
{
    return kind == EPB_KIND_LOCK      ? EPB_SPACE_LOCK
           : kind == EPB_KIND_COMPUTE ? EPB_SPACE_COMPUTE
                                      : EPB_SPACE_KEY;
}

/* What both sides show */

static void
collect(void *context, const struct epb_lease_line *line)
{
    struct run *run = context;

    if (run->line_count == LINES_MAX) {
        EXPECT(run, false);
        return;
    }
    run->lines[run->line_count++] = (struct line){
        .held = line->held,
        .shared = line->shared,
        .kind = line->kind,
        .session = line->session,
        .token = line->token,
        .count = line->count,
        .left_ms = line->left_ms,
        .age_ms = line->age_ms,
        .key = number_of(run_key_names, MODEL_KEYS, line->key),
        .worker = number_of(run_worker_names, MODEL_WORKERS, line->worker),
    };
}

static void
compare_held(struct run *run, const struct line *line, const struct model_grant *grant)
{
    EXPECT(run, line->held);
    EXPECT(run, line->token == grant->token);
    EXPECT(run, line->count == grant->count);
    EXPECT(run, line->shared == grant->shared);
    EXPECT(run, line->session == model_session_at(&run->model, grant->place));
    EXPECT(run, line->worker == grant->worker);
    EXPECT(run, line->left_ms == grant->due - run->model.now);
    EXPECT(run, line->age_ms == run->model.now - grant->since);
}

static void
compare_waiting(struct run *run, const struct line *line, const struct model_wait *wait)
{
    EXPECT(run, !line->held);
    EXPECT(run, line->token == 0);
    EXPECT(run, line->count == wait->count);
    EXPECT(run, line->count == 1 ||
                    line->count <= model_size(&run->model, wait->space, wait->key));
    EXPECT(run, line->shared == wait->shared);
    EXPECT(run, line->session == model_session_at(&run->model, wait->place));
    EXPECT(run, line->worker == wait->worker);
    EXPECT(run, line->left_ms == (wait->due == UINT64_MAX ? EPB_WAIT_FOREVER_MS
                                                          : wait->due - run->model.now));
    EXPECT(run, line->age_ms == run->model.now - wait->since);
}

/* The next line of this resource; NULL: none. */
static const struct line *
line_of(const struct run *run, unsigned space, unsigned key, unsigned *at)
{
    for (; *at < run->line_count; (*at)++) {
        const struct line *line = &run->lines[*at];

        if (space_of(line->kind) == space && line->key == key) {
            (*at)++;
            return line;
        }
    }
    return NULL;
}

static void
compare_resource(struct run *run, unsigned space, unsigned key)
{
    struct model *model = &run->model;
    const struct model_wait *wait;
    const struct line *line;
    unsigned at = 0;

    for (wait = model_next_queued(model, space, key, 0); wait != NULL;
         wait = model_next_queued(model, space, key, wait->serial)) {
        if (wait->due > model->now) {
            line = line_of(run, space, key, &at);
            EXPECT(run, line != NULL);
            if (line == NULL) {
                return;
            }
            compare_waiting(run, line, wait);
        }
    }
    for (unsigned i = 0; i < model->grant_count; i++) {
        const struct model_grant *grant = &model->grants[i];

        if (grant->space == space && grant->key == key && grant->due > model->now) {
            line = line_of(run, space, key, &at);
            EXPECT(run, line != NULL);
            if (line == NULL) {
                return;
            }
            EXPECT(run, line->kind == model->resources[space][key].kind);
            compare_held(run, line, grant);
        }
    }
    EXPECT(run, line_of(run, space, key, &at) == NULL);
}

static void
compare_stats(struct run *run)
{
    const struct model *model = &run->model;
    struct epb_lease_stats stats;
    uint64_t resources = 0;
    uint64_t elements = 0;

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        for (unsigned space = 0; space < MODEL_SPACES; space++) {
            resources += model_exists(model, space, key);
        }
        elements += model_elements(model, key);
    }
    epb_leases_stats(run->leases, &stats);
    EXPECT(run, stats.grants == model->grant_count);
    EXPECT(run, stats.resources == resources);
    EXPECT(run, stats.elements == elements);
    EXPECT(run, stats.granted_total == model->granted_total);
    EXPECT(run, stats.expired_total == model->expired_total);
    EXPECT(run, stats.lost_total == model->lost_total);
    EXPECT(run, epb_waits_count(run->waits) == model_waiting(model));
}

void
run_compare_parties(struct run *run)
{
    const struct model *model = &run->model;

    for (unsigned peer = 0; peer < MODEL_PARTIES; peer++) {
        bool has = false;

        if (run->peers[peer] == NULL) {
            continue;
        }
        for (unsigned i = 0; i < model->wait_count; i++) {
            has = has || (model->waits[i].state == MODEL_FINISHED &&
                          model->waits[i].peer == peer);
        }
        for (unsigned i = 0; i < model->loss_count; i++) {
            has = has || model->losses[i].by_event[peer];
        }
        /* Where limits are tiny, a loss that was all may have been forgotten. */
        if (!has && EPB_LOSSES_MAX < MODEL_MAX) {
            run->ready[peer] = false;
        }
        EXPECT(run, run->ready[peer] == has);
        EXPECT(run, run->peers[peer]->told == has);
    }
}

/* Nothing is in two grants. */
static void
check_things(struct run *run, const struct line *line, const struct epb_grant *one,
             uint64_t i, const struct epb_grant *other, uint64_t j)
{
    struct epb_grant_view left;
    struct epb_grant_view right;

    if (one == NULL || other == NULL || !epb_grant_get_view(one, &run->now, &left) ||
        !epb_grant_get_view(other, &run->now, &right)) {
        EXPECT(run, false);
        return;
    }
    epb_grant_get_view_at(one, i, &left);
    epb_grant_get_view_at(other, j, &right);
    if (line->kind == EPB_KIND_POOL) {
        EXPECT(run, left.value_flags != right.value_flags ||
                        !bytes_equal(left.value, right.value));
    } else if (line->kind < EPB_KIND_POOL) {
        EXPECT(run, left.number != right.number);
    }
}

/* Two of these lines can't stand together, whatever the model says. */
static void
check_pair(struct run *run, const struct line *one, const struct line *other)
{
    if (!one->held || !other->held || one->key != other->key ||
        space_of(one->kind) != space_of(other->kind)) {
        return;
    }
    EXPECT(run, one->kind == other->kind);
    EXPECT(run, one->token < other->token);
    const struct epb_grant *left = epb_lease_find(run->leases, one->token, &run->now);
    const struct epb_grant *right = epb_lease_find(run->leases, other->token, &run->now);

    for (uint64_t i = 0; i < one->count; i++) {
        for (uint64_t j = 0; j < other->count; j++) {
            check_things(run, one, left, i, right, j);
        }
    }
    EXPECT(run, one->kind <= EPB_KIND_POOL || (one->shared && other->shared));
}

/* One that is new is higher than all that were there at the last look. */
static void
check_token(struct run *run, const struct line *line)
{
    bool was_there = !line->held || line->token > run->highest_token;

    for (unsigned i = 0; i < run->seen_count && !was_there; i++) {
        was_there = run->seen[i] == line->token;
    }
    EXPECT(run, was_there);
}

static void
see_tokens(struct run *run)
{
    run->seen_count = 0;
    for (unsigned i = 0; i < run->line_count; i++) {
        uint64_t token = run->lines[i].token;

        if (run->lines[i].held) {
            run->seen[run->seen_count++] = token;
            run->highest_token = token > run->highest_token ? token : run->highest_token;
        }
    }
}

static void
check_invariants(struct run *run)
{
    for (unsigned i = 0; i < run->line_count; i++) {
        const struct line *line = &run->lines[i];
        bool is_held = false;

        for (unsigned j = 0; j < run->line_count; j++) {
            if (j > i) {
                check_pair(run, line, &run->lines[j]);
            }
            is_held = is_held || (run->lines[j].held && run->lines[j].key == line->key &&
                                  run->lines[j].kind == line->kind);
        }
        /* Whoever waits, waits for somebody, or for an element of an empty pool. Grants
         * that are over but not yet ended are not among the lines. */
        EXPECT(run, line->held || is_held || line->kind == EPB_KIND_POOL ||
                        run->model.now >= epb_leases_sweep(run->leases, &run->now, 0));
        check_token(run, line);
    }
    for (unsigned i = 0; i < RECENT; i++) {
        bool is_live = epb_lease_find(run->leases, run->recent[i], &run->now) != NULL;

        EXPECT(run, !is_live || !run->dead[i]);
        run->dead[i] = run->dead[i] || !is_live;
    }
}

void
run_compare(struct run *run)
{
    static const struct epb_bytes no_prefix = {NULL, 0};

    run->line_count = 0;
    walk_leases(run->leases, no_prefix, &run->now, collect, run);
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        for (unsigned space = 0; space < MODEL_SPACES; space++) {
            compare_resource(run, space, key);
        }
    }
    compare_stats(run);
    check_invariants(run);
    EXPECT(run, model_stuck(&run->model) == 0);
    see_tokens(run);
}

/* Tokens */

static void
remember(struct run *run, uint64_t token)
{
    for (unsigned i = 0; i < RECENT; i++) {
        if (run->recent[i] == token) {
            EXPECT(run, !run->dead[i]);
            return;
        }
    }
    run->recent[run->next_recent] = token;
    run->dead[run->next_recent] = false;
    run->next_recent = (run->next_recent + 1) % RECENT;
}

static void
check_thing(struct run *run, const struct epb_grant_view *view,
            const struct model_grant *expected, unsigned i)
{
    EXPECT(run, view->number == expected->numbers[i]);
    if (expected->elements[i] < MODEL_ELEMENTS) {
        const struct element_name *name = &run_element_names[expected->elements[i]];

        EXPECT(run, view->value_flags == (name->is_binary ? EPB_F_BINARY : 0U));
        EXPECT(run, view->value.size_bytes == name->size_bytes &&
                        memcmp(view->value.data, name->text, name->size_bytes) == 0);
    }
}

void
run_check_view(struct run *run, const struct epb_grant *grant, uint64_t token)
{
    const struct model_grant *expected = model_find(&run->model, token);
    struct epb_grant_view view;

    if (expected == NULL) {
        EXPECT(run, grant == NULL || !epb_grant_get_view(grant, &run->now, &view));
        return;
    }
    if (grant == NULL || !epb_grant_get_view(grant, &run->now, &view)) {
        EXPECT(run, false);
        return;
    }
    EXPECT(run, view.token == token);
    EXPECT(run, view.ttl_ms == expected->due - run->model.now);
    EXPECT(run, bytes_equal(view.key, run_key_name(expected->key)));
    EXPECT(run, bytes_equal(view.worker, run_worker_name(expected->worker)));
    EXPECT(run, view.kind == run->model.resources[expected->space][expected->key].kind);
    EXPECT(run, view.count == expected->count);
    for (unsigned i = 0; i < expected->count; i++) {
        epb_grant_get_view_at(grant, i, &view);
        check_thing(run, &view, expected, i);
    }
    remember(run, token);
}
