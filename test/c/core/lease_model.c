#include "lease_model.h"

#include <string.h>

/* Looking */

struct model_resource *
model_resource_of(struct model *model, unsigned space, unsigned key)
{
    return &model->resources[space][key];
}

unsigned
model_grants_of(const struct model *model, unsigned space, unsigned key)
{
    unsigned count = 0;

    for (unsigned i = 0; i < model->grant_count; i++) {
        count += model->grants[i].space == space && model->grants[i].key == key;
    }
    return count;
}

struct model_wait *
model_next_queued(struct model *model, unsigned space, unsigned key, uint64_t serial)
{
    struct model_wait *first = NULL;

    for (unsigned i = 0; i < model->wait_count; i++) {
        struct model_wait *wait = &model->waits[i];

        if (wait->state == MODEL_QUEUED && wait->space == space && wait->key == key &&
            wait->serial > serial && (first == NULL || wait->serial < first->serial)) {
            first = wait;
        }
    }
    return first;
}

struct model_wait *
model_first_queued(struct model *model, unsigned space, unsigned key)
{
    return model_next_queued(model, space, key, 0);
}

bool
model_exists(const struct model *model, unsigned space, unsigned key)
{
    if (model->resources[space][key].defined || model_grants_of(model, space, key) > 0) {
        return true;
    }
    for (unsigned i = 0; i < model->wait_count; i++) {
        const struct model_wait *wait = &model->waits[i];

        if (wait->state == MODEL_QUEUED && wait->space == space && wait->key == key) {
            return true;
        }
    }
    return false;
}

unsigned
model_waiting(const struct model *model)
{
    unsigned count = 0;

    for (unsigned i = 0; i < model->wait_count; i++) {
        count += model->waits[i].state == MODEL_QUEUED;
    }
    return count;
}

unsigned
model_elements(const struct model *model, unsigned key)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        const struct model_element *element =
            &model->resources[EPB_SPACE_KEY][key].elements[i];

        count += element->there && !element->discarded;
    }
    return count;
}

struct model_grant *
model_find(struct model *model, uint64_t token)
{
    for (unsigned i = 0; i < model->grant_count; i++) {
        if (model->grants[i].token == token) {
            return model->grants[i].due > model->now ? &model->grants[i] : NULL;
        }
    }
    return NULL;
}

struct model_wait *
model_wait_of(struct model *model, unsigned peer, uint32_t id)
{
    for (unsigned i = 0; i < model->wait_count; i++) {
        if (model->waits[i].peer == peer && model->waits[i].id == id) {
            return &model->waits[i];
        }
    }
    return NULL;
}

unsigned
model_place(const struct model *model, unsigned peer, bool detached)
{
    return detached ? MODEL_NOBODY : model->peers[peer].place;
}

uint64_t
model_session_at(const struct model *model, unsigned place)
{
    return place == MODEL_NOBODY ? 0 : model->sessions[place].number;
}

/* Whether a holder has anything: a grant, a request that has not been freed, a loss. */
bool
model_holder_exists(const struct model *model, unsigned worker, unsigned place)
{
    for (unsigned i = 0; i < model->grant_count; i++) {
        if (model->grants[i].worker == worker && model->grants[i].place == place) {
            return true;
        }
    }
    for (unsigned i = 0; i < model->wait_count; i++) {
        if (model->waits[i].worker == worker && model->waits[i].place == place) {
            return true;
        }
    }
    for (unsigned i = 0; i < model->loss_count; i++) {
        if (model->losses[i].worker == worker && model->losses[i].place == place) {
            return true;
        }
    }
    return false;
}

/* Granting */

static unsigned
first_free_element(const struct model_resource *pool)
{
    unsigned first = MODEL_ELEMENTS;

    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        const struct model_element *element = &pool->elements[i];

        if (element->there && !element->held &&
            (first == MODEL_ELEMENTS ||
             element->free_since < pool->elements[first].free_since)) {
            first = i;
        }
    }
    return first;
}

static unsigned
lowest_number(const struct model *model, unsigned key)
{
    for (unsigned number = 0;; number++) {
        bool taken = false;

        for (unsigned i = 0; i < model->grant_count; i++) {
            const struct model_grant *grant = &model->grants[i];

            for (unsigned j = 0; j < grant->count; j++) {
                taken = taken || (grant->space == EPB_SPACE_KEY && grant->key == key &&
                                  grant->numbers[j] == number);
            }
        }
        if (!taken) {
            return number;
        }
    }
}

unsigned
model_size(const struct model *model, unsigned space, unsigned key)
{
    const struct model_resource *resource = &model->resources[space][key];

    return resource->kind == EPB_KIND_NUMBERS     ? UINT32_MAX
           : resource->kind == EPB_KIND_SEMAPHORE ? resource->limit
           : resource->kind == EPB_KIND_POOL      ? model_elements(model, key)
                                                  : 1;
}

static unsigned
free_elements(const struct model_resource *pool)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MODEL_ELEMENTS; i++) {
        count += pool->elements[i].there && !pool->elements[i].held;
    }
    return count;
}

static unsigned
things_of(const struct model *model, unsigned space, unsigned key)
{
    unsigned count = 0;

    for (unsigned i = 0; i < model->grant_count; i++) {
        const struct model_grant *grant = &model->grants[i];

        count += grant->space == space && grant->key == key ? grant->count : 0;
    }
    return count;
}

bool
model_fits(const struct model *model, const struct model_wait *terms)
{
    unsigned space = terms->space;
    unsigned key = terms->key;
    bool shared = terms->shared;
    const struct model_resource *resource = &model->resources[space][key];

    if (resource->kind == EPB_KIND_NUMBERS) {
        return true;
    }
    if (resource->kind == EPB_KIND_SEMAPHORE) {
        return things_of(model, space, key) + terms->count <= resource->limit;
    }
    if (resource->kind == EPB_KIND_POOL) {
        return free_elements(resource) >= terms->count;
    }
    for (unsigned i = 0; i < model->grant_count; i++) {
        const struct model_grant *grant = &model->grants[i];

        if (grant->space == space && grant->key == key && !(shared && grant->shared)) {
            return false;
        }
    }
    return true;
}

uint64_t
model_grant_new(struct model *model, const struct model_wait *terms)
{
    struct model_grant *grant = &model->grants[model->grant_count];
    struct model_resource *resource = model_resource_of(model, terms->space, terms->key);
    struct model_grant made = {
        .space = terms->space,
        .key = terms->key,
        .worker = terms->worker,
        .place = terms->place,
        .shared = terms->shared,
        .token = model->next_token++,
        .due = model->now + terms->ttl,
        .ttl = terms->ttl,
        .since = model->now,
        .count = terms->count,
    };

    *grant = made;
    /* One by one: those that have been taken are known by the grant. */
    grant->count = 0;
    model->grant_count++;
    for (unsigned i = 0; i < terms->count; i++) {
        unsigned element = MODEL_ELEMENTS;

        if (resource->kind == EPB_KIND_POOL) {
            element = first_free_element(resource);
            resource->elements[element].held = true;
        } else if (resource->kind == EPB_KIND_NUMBERS ||
                   resource->kind == EPB_KIND_SEMAPHORE) {
            grant->numbers[i] = lowest_number(model, terms->key);
        }
        grant->elements[i] = element;
        grant->count++;
    }
    model->granted_total++;
    return made.token;
}

struct model_grant *
model_standing_of(struct model *model, const struct model_wait *terms)
{
    for (unsigned i = 0; i < model->grant_count; i++) {
        struct model_grant *grant = &model->grants[i];

        if (grant->space == terms->space && grant->key == terms->key &&
            grant->worker == terms->worker && grant->place == terms->place &&
            grant->due > model->now) {
            return grant->shared == terms->shared ? grant : NULL;
        }
    }
    return NULL;
}

bool
model_is_barred(const struct model *model, const struct model_wait *terms)
{
    for (unsigned i = 0; i < model->grant_count && model->single_lease; i++) {
        const struct model_grant *grant = &model->grants[i];

        if (terms->space == EPB_SPACE_KEY && grant->space == EPB_SPACE_KEY &&
            grant->key != terms->key && grant->worker == terms->worker &&
            grant->place == terms->place) {
            return true;
        }
    }
    return false;
}

void
model_finish(struct model *model, struct model_wait *wait, enum epb_status status)
{
    wait->state = MODEL_FINISHED;
    wait->status = status;
    wait->finished = ++model->order;
}

void
model_renew(struct model *model, struct model_grant *grant, uint64_t ttl)
{
    grant->ttl = ttl;
    grant->due = model->now + ttl;
}

void
model_take(struct model *model, uint64_t token, unsigned peer)
{
    for (unsigned i = 0; i < model->grant_count; i++) {
        struct model_grant *grant = &model->grants[i];

        if (grant->token == token && grant->place != MODEL_NOBODY &&
            grant->takes[peer] == 0) {
            grant->takes[peer] = ++model->order;
        }
    }
}

static bool
serve(struct model *model, struct model_wait *wait)
{
    struct model_grant *standing = wait->fresh ? NULL : model_standing_of(model, wait);

    if (model->ending || model->peers[wait->peer].leaving) {
        wait->state = MODEL_POPPED;
    } else if (wait->due <= model->now) {
        model_finish(model, wait, EPB_WAIT_TIMEOUT);
    } else if (standing != NULL) {
        model_renew(model, standing, wait->ttl);
        wait->grant = standing->token;
        model_take(model, wait->grant, wait->peer);
        model_finish(model, wait, EPB_OK);
    } else if (!model_fits(model, wait)) {
        return false;
    } else if (model_is_barred(model, wait)) {
        model_finish(model, wait, EPB_WORKER_ALREADY_HAS_LEASE);
    } else {
        wait->own = wait->grant = model_grant_new(model, wait);
        model_take(model, wait->grant, wait->peer);
        model_finish(model, wait, EPB_OK);
    }
    return true;
}

void
model_refuse(struct model *model, unsigned space, unsigned key)
{
    unsigned size = model_size(model, space, key);
    struct model_wait *wait = model_first_queued(model, space, key);

    while (wait != NULL) {
        uint64_t serial = wait->serial;

        if (wait->count > 1 && wait->count > size) {
            wait->refused = size;
            model_finish(model, wait, EPB_CONFLICT);
        }
        wait = model_next_queued(model, space, key, serial);
    }
}

void
model_go_on(struct model *model, unsigned space, unsigned key)
{
    struct model_wait *wait = model_first_queued(model, space, key);

    while (wait != NULL && serve(model, wait)) {
        wait = model_first_queued(model, space, key);
    }
}

/* Ending */

static bool
is_awaited(const struct model *model, uint64_t token)
{
    for (unsigned i = 0; i < model->wait_count; i++) {
        if (model->waits[i].own == token) {
            return true;
        }
    }
    return false;
}

static void
lose(struct model *model, const struct model_grant *grant)
{
    struct model_loss *loss = &model->losses[model->loss_count++];

    *loss = (struct model_loss){
        .space = grant->space,
        .key = grant->key,
        .worker = grant->worker,
        .place = grant->place,
        .token = grant->token,
        .by_renewal = grant->space != EPB_SPACE_COMPUTE,
    };
    for (unsigned peer = 0; peer < MODEL_PARTIES; peer++) {
        loss->by_event[peer] = grant->takes[peer] != 0;
    }
    model_forget_told(model);
    if (model->loss_count > EPB_LOSSES_MAX) {
        model->loss_count--;
        memmove(&model->losses[0], &model->losses[1],
                model->loss_count * sizeof(model->losses[0]));
    }
}

static void
elements_back(struct model *model, const struct model_grant *grant)
{
    for (unsigned i = 0; i < grant->count && grant->elements[i] < MODEL_ELEMENTS; i++) {
        struct model_element *element =
            &model_resource_of(model, grant->space, grant->key)
                 ->elements[grant->elements[i]];

        element->held = false;
        element->there = !element->discarded;
        element->discarded = false;
        element->free_since = ++model->order;
    }
}

void
model_end(struct model *model, uint64_t token, enum model_why why)
{
    struct model_grant grant;
    unsigned at = 0;

    while (model->grants[at].token != token) {
        at++;
    }
    grant = model->grants[at];
    model->grant_count--;
    memmove(&model->grants[at], &model->grants[at + 1],
            (model->grant_count - at) * sizeof(grant));
    elements_back(model, &grant);
    for (unsigned i = 0; i < model->wait_count; i++) {
        if (model->waits[i].grant == token) {
            model->waits[i].grant = 0;
        }
    }
    model->expired_total += why == MODEL_EXPIRED;
    model->lost_total += why == MODEL_LEFT || why == MODEL_FORCED;
    if ((why == MODEL_EXPIRED || why == MODEL_FORCED) && grant.taken &&
        !is_awaited(model, token)) {
        lose(model, &grant);
    }
    model_go_on(model, grant.space, grant.key);
}

void
model_forget_told(struct model *model)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < model->loss_count; i++) {
        const struct model_loss *loss = &model->losses[i];
        bool is_kept = loss->by_renewal;

        for (unsigned peer = 0; peer < MODEL_PARTIES; peer++) {
            is_kept = is_kept || loss->by_event[peer];
        }
        if (is_kept) {
            model->losses[kept++] = model->losses[i];
        }
    }
    model->loss_count = kept;
}

static const struct model_grant *
first_due(const struct model *model)
{
    const struct model_grant *first = NULL;

    for (unsigned i = 0; i < model->grant_count; i++) {
        if (first == NULL || model->grants[i].due < first->due) {
            first = &model->grants[i];
        }
    }
    return first;
}

uint64_t
model_sweep_leases(struct model *model, unsigned limit)
{
    const struct model_grant *first = first_due(model);

    for (; first != NULL && first->due <= model->now && limit > 0; limit--) {
        model_end(model, first->token, MODEL_EXPIRED);
        first = first_due(model);
    }
    return first == NULL ? UINT64_MAX : first->due;
}

void
model_settle(struct model *model)
{
    (void)model_sweep_leases(model, UINT32_MAX);
}

/* Waits */

void
model_withdraw(struct model *model, struct model_wait *wait)
{
    wait->state = MODEL_POPPED;
    model_settle(model);
    model_go_on(model, wait->space, wait->key);
}

bool
model_cancel(struct model *model, unsigned peer, uint32_t id)
{
    struct model_wait *wait = model_wait_of(model, peer, id);

    if (wait == NULL || wait->state != MODEL_QUEUED) {
        return false;
    }
    model_withdraw(model, wait);
    model_finish(model, wait, EPB_WAIT_TIMEOUT);
    return true;
}

static struct model_wait *
first_wait_due(struct model *model)
{
    struct model_wait *first = NULL;

    for (unsigned i = 0; i < model->wait_count; i++) {
        struct model_wait *wait = &model->waits[i];

        if (wait->state == MODEL_QUEUED &&
            (first == NULL || wait->due < first->due ||
             (wait->due == first->due && wait->serial < first->serial))) {
            first = wait;
        }
    }
    return first;
}

uint64_t
model_sweep_waits(struct model *model, unsigned limit)
{
    struct model_wait *wait = first_wait_due(model);

    for (; wait != NULL && wait->due <= model->now && limit > 0; limit--) {
        model_withdraw(model, wait);
        model_finish(model, wait, EPB_WAIT_TIMEOUT);
        wait = first_wait_due(model);
    }
    return wait == NULL ? UINT64_MAX : wait->due;
}

/* A request that was taken from its queue because it leaves is popped until its turn. */
void
model_drain(struct model *model)
{
    bool leaves[MODEL_MAX] = {false};
    struct model_wait *wait;

    model->ending = true;
    for (unsigned i = 0; i < model->wait_count; i++) {
        leaves[i] = model->waits[i].state == MODEL_QUEUED;
    }
    for (;;) {
        wait = NULL;
        for (unsigned i = 0; i < model->wait_count; i++) {
            struct model_wait *next = &model->waits[i];

            if (leaves[i] && (wait == NULL || next->due < wait->due ||
                              (next->due == wait->due && next->serial < wait->serial))) {
                wait = next;
            }
        }
        if (wait == NULL) {
            break;
        }
        leaves[wait - model->waits] = false;
        model_withdraw(model, wait);
        model_finish(model, wait, EPB_DRAINING);
    }
    model->ending = false;
}

struct model_wait *
model_pop(struct model *model, unsigned peer)
{
    struct model_wait *first = NULL;

    for (unsigned i = 0; i < model->wait_count; i++) {
        struct model_wait *wait = &model->waits[i];

        if (wait->state == MODEL_FINISHED && wait->peer == peer &&
            (first == NULL || wait->finished < first->finished)) {
            first = wait;
        }
    }
    if (first != NULL) {
        first->state = MODEL_POPPED;
    }
    return first;
}

void
model_wait_remove(struct model *model, struct model_wait *wait)
{
    unsigned at = (unsigned)(wait - model->waits);

    model->wait_count--;
    memmove(wait, wait + 1, (model->wait_count - at) * sizeof(*wait));
}

void
model_free(struct model *model, struct model_wait *wait)
{
    struct model_grant *grant = NULL;

    for (unsigned i = 0; i < model->grant_count; i++) {
        if (model->grants[i].token == wait->grant) {
            grant = &model->grants[i];
        }
    }
    if (grant != NULL) {
        grant->taken = true;
    }
    model_wait_remove(model, wait);
}
