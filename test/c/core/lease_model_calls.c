#include <string.h>

#include "lease_model.h"

/* Asking */

static enum epb_status
begin_to_wait(struct model *model, const struct model_ask *ask, struct model_wait *terms)
{
    if (ask->id == 0 || model_wait_of(model, ask->peer, ask->id) != NULL) {
        return EPB_CONFLICT;
    }
    if (model->max_waits != 0 && model_waiting(model) >= model->max_waits) {
        return EPB_MAX_WAITERS;
    }
    terms->peer = ask->peer;
    terms->id = ask->id;
    terms->serial = ++model->last_serial;
    terms->started = ++model->order;
    terms->since = model->now;
    terms->due = ask->wait >= EPB_WAIT_FOREVER_MS ? UINT64_MAX : model->now + ask->wait;
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        terms->names[i] = model_find(model, ask->names[i]) == NULL ? 0 : ask->names[i];
    }
    model->waits[model->wait_count++] = *terms;
    if (model_closes_cycle(model, &model->waits[model->wait_count - 1])) {
        model->wait_count--;
        model->refused_asks++;
        return EPB_DEADLOCK;
    }
    return EPB_OK;
}

static enum epb_status
ask_for(struct model *model, const struct model_ask *ask, struct model_wait *terms,
        uint64_t *token)
{
    struct model_resource *resource = model_resource_of(model, ask->space, ask->key);
    struct model_grant *standing;

    model_go_on(model, ask->space, ask->key);
    if (!model_exists(model, ask->space, ask->key)) {
        resource->kind = ask->space == EPB_SPACE_LOCK      ? EPB_KIND_LOCK
                         : ask->space == EPB_SPACE_COMPUTE ? EPB_KIND_COMPUTE
                         : ask->has_value                  ? EPB_KIND_VALUE
                                                           : EPB_KIND_NUMBERS;
    }
    if (resource->kind == EPB_KIND_NUMBERS ? ask->has_value
                                           : ask->rule == EPB_RULE_NUMBER) {
        return EPB_KIND_MISMATCH;
    }
    if (ask->rule == EPB_RULE_DEFINED &&
        (resource->kind == EPB_KIND_NUMBERS ||
         (resource->kind == EPB_KIND_VALUE && !ask->has_value))) {
        return EPB_NOT_FOUND;
    }
    if (model_is_barred(model, terms)) {
        return EPB_WORKER_ALREADY_HAS_LEASE;
    }
    standing = terms->fresh ? NULL : model_standing_of(model, terms);
    if (standing != NULL) {
        model_renew(model, standing, terms->ttl);
        standing->taken = true;
        model_take(model, standing->token, ask->peer);
        *token = standing->token;
        return EPB_OK;
    }
    if (terms->count > 1 && terms->count > model_size(model, ask->space, ask->key)) {
        return EPB_CONFLICT;
    }
    if (model_first_queued(model, ask->space, ask->key) == NULL &&
        model_fits(model, terms)) {
        *token = model_grant_new(model, terms);
        model->grants[model->grant_count - 1].taken = true;
        model_take(model, *token, ask->peer);
        return EPB_OK;
    }
    return ask->wait > 0 ? begin_to_wait(model, ask, terms) : EPB_LEASE_HELD;
}

static uint64_t
default_ttl_ms(unsigned place, enum epb_lease_space space)
{
    bool is_renewed = place != MODEL_NOBODY || space == EPB_SPACE_COMPUTE;

    return is_renewed ? 60 * 1000 : 30 * 60 * 1000;
}

enum epb_status
model_ask(struct model *model, const struct model_ask *ask, uint64_t *token)
{
    unsigned place = model_place(model, ask->peer, ask->detached);
    struct model_wait terms = {
        .space = ask->space,
        .key = ask->key,
        .worker = ask->worker,
        .place = place,
        .shared = ask->shared && ask->space == EPB_SPACE_LOCK,
        .fresh = ask->fresh,
        .count = ask->count == 0 ? 1 : ask->count,
        .ttl = ask->ttl == 0 ? default_ttl_ms(place, ask->space) : ask->ttl,
    };
    bool existed;
    enum epb_status status;

    *token = 0;
    model_settle(model);
    existed = model_holder_exists(model, terms.worker, terms.place);
    status = ask_for(model, ask, &terms, token);
    if (!existed && status == EPB_OK) {
        model->holders[terms.worker][terms.place] = ++model->order;
    }
    return status;
}

bool
model_ask_again(struct model *model, struct model_wait *wait)
{
    model_settle(model);
    model_resource_of(model, wait->space, wait->key)->kind = EPB_KIND_COMPUTE;
    if (wait->due <= model->now) {
        model_finish(model, wait, EPB_WAIT_TIMEOUT);
        return false;
    }
    if (model_fits(model, wait)) {
        wait->own = wait->grant = model_grant_new(model, wait);
        model_take(model, wait->grant, wait->peer);
        return true;
    }
    wait->state = MODEL_QUEUED;
    wait->status = EPB_OK;
    wait->started = ++model->order;
    if (model_closes_cycle(model, wait)) {
        model->refused_again++;
        model_finish(model, wait, EPB_DEADLOCK);
    }
    return false;
}

/* Renewing and releasing */

/* Whether it is held in the name of a session that is not the peer's. */
static bool
is_others(const struct model *model, const struct model_grant *grant, unsigned peer)
{
    return grant->place != MODEL_NOBODY && grant->place != model->peers[peer].place;
}

enum epb_status
model_renew_token(struct model *model, unsigned peer, uint64_t token, uint64_t ttl)
{
    struct model_grant *grant;

    model_settle(model);
    grant = model_find(model, token);
    if (grant == NULL) {
        return EPB_LEASE_LOST;
    }
    if (is_others(model, grant, peer)) {
        return EPB_LEASE_HELD;
    }
    model_renew(model, grant, ttl == 0 ? grant->ttl : ttl);
    return EPB_OK;
}

enum epb_status
model_take_token(struct model *model, unsigned peer, uint64_t token)
{
    struct model_grant *grant;

    model_settle(model);
    grant = model_find(model, token);
    if (grant == NULL) {
        return EPB_LEASE_LOST;
    }
    if (is_others(model, grant, peer)) {
        return EPB_LEASE_HELD;
    }
    model_take(model, token, peer);
    return EPB_OK;
}

static bool
is_named(const struct model_grant *grant, unsigned place, unsigned worker, unsigned key)
{
    return grant->space != EPB_SPACE_COMPUTE && grant->place == place &&
           grant->worker == worker && (key == MODEL_KEYS || grant->key == key);
}

unsigned
model_renew_worker(struct model *model, unsigned place, unsigned worker, unsigned key,
                   uint64_t ttl)
{
    unsigned renewed = 0;

    model_settle(model);
    for (unsigned i = 0; i < model->grant_count; i++) {
        struct model_grant *grant = &model->grants[i];

        if (is_named(grant, place, worker, key)) {
            model_renew(model, grant, ttl == 0 ? grant->ttl : ttl);
            renewed++;
        }
    }
    return renewed;
}

static bool
is_among(unsigned element, const unsigned *elements, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (elements[i] == element) {
            return true;
        }
    }
    return false;
}

static void
resized(struct model *model, unsigned key)
{
    if (model->resized[key] == 0) {
        model->resized[key] = ++model->order;
    }
}

static void
release_one(struct model *model, const struct model_grant *grant, unsigned peer,
            bool force, bool discard, const unsigned *chosen, unsigned count)
{
    bool is_own =
        grant->place != MODEL_NOBODY && grant->place == model->peers[peer].place;
    struct model_resource *resource = model_resource_of(model, grant->space, grant->key);

    for (unsigned i = 0; i < grant->count && discard; i++) {
        unsigned element = grant->elements[i];

        if (element < MODEL_ELEMENTS &&
            (count == 0 || is_among(element, chosen, count))) {
            if (!resource->elements[element].discarded) {
                resized(model, grant->key);
            }
            resource->elements[element].discarded = true;
        }
    }
    if (discard && resource->kind == EPB_KIND_POOL) {
        model_refuse(model, grant->space, grant->key);
    }
    model_end(model, grant->token, force && !is_own ? MODEL_FORCED : MODEL_RELEASED);
}

enum epb_status
model_release_token(struct model *model, unsigned peer, uint64_t token, bool force,
                    bool discard, const unsigned *chosen, unsigned count, bool *released)
{
    const struct model_grant *grant;

    model_settle(model);
    *released = false;
    grant = model_find(model, token);
    if (grant == NULL) {
        return EPB_OK;
    }
    if (!force && is_others(model, grant, peer)) {
        return EPB_LEASE_HELD;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!is_among(chosen[i], grant->elements, grant->count) ||
            grant->elements[0] == MODEL_ELEMENTS) {
            return EPB_NOT_FOUND;
        }
    }
    release_one(model, grant, peer, force, discard, chosen, count);
    model_refuse_stuck(model);
    *released = true;
    return EPB_OK;
}

/* Those of one space, oldest first, that stood when it began. */
static unsigned
release_matching(struct model *model, const struct model_release *release, unsigned place,
                 unsigned space, bool everybody)
{
    uint64_t tokens[MODEL_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < model->grant_count; i++) {
        const struct model_grant *grant = &model->grants[i];
        bool is_holders = is_named(grant, place, release->worker, release->key);
        bool is_keys = grant->space != EPB_SPACE_COMPUTE && grant->key == release->key;

        if (grant->token <= release->last_token &&
            (space == MODEL_SPACES || grant->space == space) &&
            (everybody ? is_keys : is_holders)) {
            tokens[count++] = grant->token;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        release_one(model, model_find(model, tokens[i]), release->peer, release->force,
                    release->discard, NULL, 0);
    }
    return count;
}

static unsigned
release_holder(struct model *model, const struct model_release *release, unsigned place)
{
    if (release->key == MODEL_KEYS) {
        return release_matching(model, release, place, MODEL_SPACES, false);
    }
    return release_matching(model, release, place, EPB_SPACE_KEY, false) +
           release_matching(model, release, place, EPB_SPACE_LOCK, false);
}

/* The places of a worker's holders, in the order in which they began. */
static unsigned
places_of(const struct model *model, unsigned worker, unsigned *places)
{
    unsigned count = 0;

    for (unsigned place = 0; place <= MODEL_NOBODY; place++) {
        unsigned at = count;

        if (!model_holder_exists(model, worker, place)) {
            continue;
        }
        for (; at > 0 &&
               model->holders[worker][places[at - 1]] > model->holders[worker][place];
             at--) {
            places[at] = places[at - 1];
        }
        places[at] = place;
        count++;
    }
    return count;
}

static bool
has_named(const struct model *model, unsigned place, unsigned worker, unsigned key)
{
    for (unsigned i = 0; i < model->grant_count; i++) {
        if (is_named(&model->grants[i], place, worker, key)) {
            return true;
        }
    }
    return false;
}

static enum epb_status
release_worker(struct model *model, struct model_release *release, unsigned *released)
{
    unsigned own = model_place(model, release->peer, release->detached);
    unsigned places[MODEL_PARTIES + 1];
    unsigned count;

    model_settle(model);
    release->last_token = model->next_token - 1;
    *released = 0;
    if (release->force && release->worker == MODEL_WORKERS) {
        *released = release->key == MODEL_KEYS
                        ? 0
                        : release_matching(model, release, 0, EPB_SPACE_KEY, true) +
                              release_matching(model, release, 0, EPB_SPACE_LOCK, true);
        return EPB_OK;
    }
    if (release->worker == MODEL_WORKERS) {
        return EPB_OK;
    }
    count = places_of(model, release->worker, places);
    if (release->force) {
        for (unsigned i = 0; i < count; i++) {
            *released += release_holder(model, release, places[i]);
        }
        return EPB_OK;
    }
    *released = release_holder(model, release, own);
    for (unsigned i = 0; i < count && *released == 0; i++) {
        if (has_named(model, places[i], release->worker, release->key)) {
            return EPB_LEASE_HELD;
        }
    }
    return EPB_OK;
}

enum epb_status
model_release_worker(struct model *model, struct model_release *release,
                     unsigned *released)
{
    enum epb_status status = release_worker(model, release, released);

    model_refuse_stuck(model);
    return status;
}

/* Computations */

enum epb_status
model_fail(struct model *model, unsigned peer, uint64_t token, bool force,
           unsigned reason)
{
    const struct model_grant *grant;
    struct model_wait *wait;

    model_settle(model);
    grant = model_find(model, token);
    if (grant == NULL || grant->space != EPB_SPACE_COMPUTE) {
        return EPB_LEASE_LOST;
    }
    if (!force && is_others(model, grant, peer)) {
        return EPB_LEASE_HELD;
    }
    while ((wait = model_first_queued(model, grant->space, grant->key)) != NULL) {
        bool is_due = wait->due <= model->now;

        wait->reason = is_due ? 0 : reason;
        model_finish(model, wait, is_due ? EPB_WAIT_TIMEOUT : EPB_COMPUTE_FAILED);
    }
    model_end(model, token, MODEL_RELEASED);
    return EPB_OK;
}

void
model_computed(struct model *model, unsigned key)
{
    struct model_wait *wait;

    while ((wait = model_first_queued(model, EPB_SPACE_COMPUTE, key)) != NULL) {
        model_finish(model, wait, EPB_OK);
    }
}

/* Definitions */

static bool
can_be(const struct model *model, unsigned key, enum epb_lease_kind kind, bool has_value)
{
    return !has_value && (!model_exists(model, EPB_SPACE_KEY, key) ||
                          model->resources[EPB_SPACE_KEY][key].kind == kind);
}

/* Whether the list is that of the definition, or that of the elements there are now. */
static bool
is_list(const struct model_resource *pool, const unsigned *elements, unsigned count,
        bool now)
{
    unsigned same = 0;
    unsigned size = 0;

    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        bool is_in = now ? pool->elements[i].there && !pool->elements[i].discarded
                         : pool->definition[i];

        size += is_in;
        same += is_in && is_among(i, elements, count);
    }
    return same == size && size == count;
}

static void
set_definition(struct model_resource *pool, const unsigned *elements, unsigned count)
{
    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        pool->definition[i] = is_among(i, elements, count);
    }
}

static enum epb_status
check_added(const struct model_resource *pool, const unsigned *elements, unsigned count,
            bool anew)
{
    for (unsigned i = 0; i < count; i++) {
        const struct model_element *element = &pool->elements[elements[i]];

        if (is_among(elements[i], elements, i)) {
            return EPB_INVALID_VALUE;
        }
        if (element->there && !element->discarded && !anew) {
            return EPB_CONFLICT;
        }
    }
    return EPB_OK;
}

static void
add(struct model *model, struct model_resource *pool, const unsigned *elements,
    unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct model_element *element = &pool->elements[elements[i]];

        if (!element->there) {
            *element = (struct model_element){.there = true};
            element->free_since = ++model->order;
        }
        element->discarded = false;
    }
}

enum epb_status
model_pool(struct model *model, unsigned key, const unsigned *elements, unsigned count,
           enum epb_defining how, bool has_value, bool *changed, unsigned *size)
{
    struct model_resource *pool = model_resource_of(model, EPB_SPACE_KEY, key);
    bool anew = how == EPB_DEFINE_ANEW;
    enum epb_status status;

    model_settle(model);
    *changed = false;
    if (!can_be(model, key, EPB_KIND_POOL, has_value)) {
        return EPB_KIND_MISMATCH;
    }
    *size = model_elements(model, key);
    if (pool->defined && how == EPB_DEFINE_IF_ABSENT) {
        return EPB_OK;
    }
    if (pool->defined && how == EPB_DEFINE_ONCE) {
        return is_list(pool, elements, count, true) ||
                       is_list(pool, elements, count, false)
                   ? EPB_OK
                   : EPB_CONFLICT;
    }
    if (pool->defined && anew && is_list(pool, elements, count, true)) {
        set_definition(pool, elements, count);
        return EPB_OK;
    }
    status = check_added(pool, elements, count, anew && pool->defined);
    if (status != EPB_OK) {
        return status;
    }
    add(model, pool, elements, count);
    for (unsigned i = 0; i < MODEL_ELEMENTS && anew; i++) {
        struct model_element *element = &pool->elements[i];

        if (element->there && !is_among(i, elements, count)) {
            element->discarded = element->held;
            element->there = element->held;
        }
    }
    *changed = !pool->defined || anew;
    if (*changed) {
        set_definition(pool, elements, count);
    }
    pool->defined_as = pool->defined ? pool->defined_as : ++model->order;
    pool->defined = true;
    pool->kind = EPB_KIND_POOL;
    resized(model, key);
    *size = model_elements(model, key);
    model_refuse(model, EPB_SPACE_KEY, key);
    model_go_on(model, EPB_SPACE_KEY, key);
    model_refuse_stuck(model);
    return EPB_OK;
}

enum epb_status
model_limit(struct model *model, unsigned key, int64_t n, enum epb_defining how,
            bool has_value, bool *changed)
{
    struct model_resource *resource = model_resource_of(model, EPB_SPACE_KEY, key);

    *changed = false;
    if (n < 1 || n > EPB_PERMITS_MAX) {
        return EPB_INVALID_REQUEST;
    }
    model_settle(model);
    if (!can_be(model, key, EPB_KIND_SEMAPHORE, has_value)) {
        return EPB_KIND_MISMATCH;
    }
    if (resource->defined &&
        (how == EPB_DEFINE_IF_ABSENT || resource->limit == (unsigned)n)) {
        return EPB_OK;
    }
    if (resource->defined && how != EPB_DEFINE_ANEW) {
        return EPB_CONFLICT;
    }
    *changed = true;
    resource->defined_as = resource->defined ? resource->defined_as : ++model->order;
    resource->defined = true;
    resource->kind = EPB_KIND_SEMAPHORE;
    resource->limit = (unsigned)n;
    resized(model, key);
    model_refuse(model, EPB_SPACE_KEY, key);
    model_go_on(model, EPB_SPACE_KEY, key);
    model_refuse_stuck(model);
    return EPB_OK;
}

enum epb_status
model_discard(struct model *model, unsigned key, unsigned number)
{
    struct model_resource *pool = model_resource_of(model, EPB_SPACE_KEY, key);
    struct model_element *element = &pool->elements[number];

    model_settle(model);
    if (!pool->defined || pool->kind != EPB_KIND_POOL || !element->there ||
        element->discarded) {
        return EPB_NOT_FOUND;
    }
    element->discarded = element->held;
    element->there = element->held;
    resized(model, key);
    model_refuse(model, EPB_SPACE_KEY, key);
    model_go_on(model, EPB_SPACE_KEY, key);
    model_refuse_stuck(model);
    return EPB_OK;
}

enum epb_status
model_undefine(struct model *model, unsigned key)
{
    struct model_resource *resource = model_resource_of(model, EPB_SPACE_KEY, key);

    model_settle(model);
    if (!resource->defined) {
        return EPB_NOT_FOUND;
    }
    model_go_on(model, EPB_SPACE_KEY, key);
    if (model_grants_of(model, EPB_SPACE_KEY, key) > 0 ||
        model_first_queued(model, EPB_SPACE_KEY, key) != NULL) {
        return EPB_LEASE_HELD;
    }
    memset(resource, 0, sizeof(*resource));
    return EPB_OK;
}

/* In the order of the definitions. */
void
model_clear(struct model *model, struct model_clearing *clearing)
{
    clearing->cleared = clearing->held = 0;
    for (;;) {
        unsigned first = MODEL_KEYS;
        uint64_t first_as = UINT64_MAX;

        for (unsigned key = 0; key < MODEL_KEYS; key++) {
            const struct model_resource *resource = &model->resources[EPB_SPACE_KEY][key];

            if (clearing->keys[key] && resource->defined &&
                resource->defined_as < first_as) {
                first = key;
                first_as = resource->defined_as;
            }
        }
        if (first == MODEL_KEYS) {
            break;
        }
        clearing->keys[first] = false;
        if (model_undefine(model, first) == EPB_OK) {
            clearing->cleared++;
        } else {
            clearing->held++;
        }
    }
    model_settle(model);
}

bool
model_allows_value(struct model *model, unsigned key)
{
    model_settle(model);
    return !model_exists(model, EPB_SPACE_KEY, key) ||
           model->resources[EPB_SPACE_KEY][key].kind == EPB_KIND_VALUE;
}

bool
model_holds_value(const struct model *model, unsigned key)
{
    return model_grants_of(model, EPB_SPACE_KEY, key) > 0 &&
           model->resources[EPB_SPACE_KEY][key].kind == EPB_KIND_VALUE;
}

/* Parties */

void
model_init(struct model *model, bool single_lease, unsigned max_waits, uint64_t now,
           uint64_t first_token)
{
    memset(model, 0, sizeof(*model));
    model->single_lease = single_lease;
    model->max_waits = max_waits;
    model->now = now;
    model->next_token = first_token;
}

static unsigned
begin_session(struct model *model, uint64_t number, unsigned key)
{
    unsigned place = 0;

    while (model->sessions[place].number != 0) {
        place++;
    }
    model->sessions[place] = (struct model_session){number, key};
    return place;
}

void
model_join(struct model *model, unsigned peer, bool sessionless)
{
    unsigned place =
        sessionless ? MODEL_NOBODY
                    : begin_session(model, ++model->last_session, MODEL_SESSION_KEYS);

    model->peers[peer] = (struct model_party){
        .there = true,
        .sessionless = sessionless,
        .place = place,
    };
}

/* Its waits, in the order in which they began to wait. */
static void
leave_waits(struct model *model, unsigned peer)
{
    for (;;) {
        struct model_wait *first = NULL;

        for (unsigned i = 0; i < model->wait_count; i++) {
            struct model_wait *wait = &model->waits[i];

            /* Those that serve() has taken out have not had their turn yet. */
            if (wait->peer == peer && wait->state != MODEL_FINISHED &&
                (first == NULL || wait->started < first->started)) {
                first = wait;
            }
        }
        if (first == NULL) {
            return;
        }
        model_withdraw(model, first);
        model_wait_remove(model, first);
    }
}

static void
leave_finished(struct model *model, unsigned peer)
{
    struct model_wait *wait;

    while ((wait = model_pop(model, peer)) != NULL) {
        uint64_t token;
        bool given = false;

        model_settle(model);
        token = wait->grant;
        wait->grant = 0;
        for (unsigned i = 0; i < model->wait_count; i++) {
            given = given || (token != 0 && model->waits[i].grant == token);
        }
        if (token != 0 && !given && !model_find(model, token)->taken) {
            model_end(model, token, MODEL_LEFT);
        }
        model_wait_remove(model, wait);
    }
}

/* What it alone took ends, in the order of taking. */
static void
leave_grants(struct model *model, unsigned peer)
{
    for (;;) {
        struct model_grant *first = NULL;
        bool is_taken = false;

        for (unsigned i = 0; i < model->grant_count; i++) {
            struct model_grant *grant = &model->grants[i];

            if (grant->takes[peer] != 0 &&
                (first == NULL || grant->takes[peer] < first->takes[peer])) {
                first = grant;
            }
        }
        if (first == NULL) {
            return;
        }
        first->takes[peer] = 0;
        for (unsigned other = 0; other < MODEL_PARTIES; other++) {
            is_taken = is_taken || first->takes[other] != 0;
        }
        if (!is_taken) {
            model_end(model, first->token, MODEL_LEFT);
        }
    }
}

/* Takes a peer from its session, which ends with the last. */
static void
leave_session(struct model *model, unsigned peer)
{
    unsigned place = model->peers[peer].place;
    bool is_last = place != MODEL_NOBODY;

    for (unsigned i = 0; i < model->loss_count; i++) {
        model->losses[i].by_event[peer] = false;
    }
    model->peers[peer].there = false;
    for (unsigned other = 0; other < MODEL_PARTIES; other++) {
        is_last =
            is_last && !(model->peers[other].there && model->peers[other].place == place);
    }
    for (unsigned i = 0; i < model->loss_count && is_last; i++) {
        if (model->losses[i].place == place) {
            model->losses[i].by_renewal = false;
        }
    }
    if (is_last) {
        model->sessions[place].number = 0;
    }
    model_forget_told(model);
}

void
model_leave(struct model *model, unsigned peer)
{
    model->peers[peer].leaving = true;
    leave_waits(model, peer);
    leave_finished(model, peer);
    model_settle(model);
    leave_grants(model, peer);
    leave_session(model, peer);
}

static bool
may_change(const struct model *model, unsigned peer)
{
    bool may = !model->peers[peer].sessionless;

    for (unsigned i = 0; i < model->grant_count; i++) {
        may = may && model->grants[i].takes[peer] == 0;
    }
    for (unsigned i = 0; i < model->loss_count; i++) {
        may = may && !model->losses[i].by_event[peer];
    }
    for (unsigned i = 0; i < model->wait_count; i++) {
        may = may && model->waits[i].peer != peer;
    }
    return may;
}

bool
model_change_session(struct model *model, unsigned peer, unsigned key)
{
    unsigned place = 0;

    if (!may_change(model, peer)) {
        return false;
    }
    while (place < MODEL_PARTIES &&
           !(model->sessions[place].number != 0 && model->sessions[place].key == key)) {
        place++;
    }
    if (place == model->peers[peer].place) {
        return true;
    }
    if (place == MODEL_PARTIES) {
        model->last_session++;
    }
    model_settle(model);
    leave_session(model, peer);
    model->peers[peer].there = true;
    if (place == MODEL_PARTIES) {
        place = begin_session(model, model->last_session, key);
    }
    model->peers[peer].place = place;
    return true;
}
