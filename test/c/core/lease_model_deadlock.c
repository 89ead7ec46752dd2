/*
 * Deadlocks by their definition: of all requests that wait, those are not stuck that
 * could be granted if everything ended that is not stuck. Found by asking of each again
 * and again until nothing changes, over all that there is.
 */
#include <string.h>

#include "lease_model.h"

static bool
waits(const struct model *model, const struct model_wait *wait)
{
    return wait->state == MODEL_QUEUED && wait->due > model->now && !model->ending &&
           !model->peers[wait->peer].leaving;
}

static bool
names(const struct model_wait *wait, uint64_t token)
{
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        if (wait->names[i] == token) {
            return true;
        }
    }
    return false;
}

static bool
is_kept(const struct model *model, const bool *stuck, const struct model_grant *grant)
{
    for (unsigned i = 0; i < model->wait_count; i++) {
        if (stuck[i] && names(&model->waits[i], grant->token)) {
            return true;
        }
    }
    return false;
}

static bool
is_behind_stuck(const struct model *model, const bool *stuck,
                const struct model_wait *wait)
{
    for (unsigned i = 0; i < model->wait_count; i++) {
        const struct model_wait *other = &model->waits[i];

        if (stuck[i] && other->space == wait->space && other->key == wait->key &&
            other->serial < wait->serial) {
            return true;
        }
    }
    return false;
}

static bool
could_be_granted(struct model *model, const bool *stuck, const struct model_wait *wait)
{
    const struct model_resource *resource = &model->resources[wait->space][wait->key];
    unsigned size = resource->limit;
    unsigned kept = 0;
    bool all_shared = true;

    if (is_behind_stuck(model, stuck, wait)) {
        return false;
    }
    for (unsigned i = 0; i < model->grant_count; i++) {
        const struct model_grant *grant = &model->grants[i];

        if (grant->space != wait->space || grant->key != wait->key) {
            continue;
        }
        all_shared = all_shared && grant->shared;
        for (unsigned j = 0; j < grant->count && is_kept(model, stuck, grant); j++) {
            kept += !(grant->elements[j] < MODEL_ELEMENTS &&
                      resource->elements[grant->elements[j]].discarded);
        }
    }
    if (resource->kind == EPB_KIND_POOL) {
        size = model_elements(model, wait->key);
    }
    if (resource->kind == EPB_KIND_POOL || resource->kind == EPB_KIND_SEMAPHORE) {
        return size < wait->count || size >= kept + wait->count;
    }
    return kept == 0 || (wait->shared && all_shared);
}

static unsigned
find_stuck(struct model *model, bool *stuck)
{
    unsigned count = 0;
    unsigned before;

    for (unsigned i = 0; i < model->wait_count; i++) {
        stuck[i] = waits(model, &model->waits[i]);
        count += stuck[i];
    }
    do {
        before = count;
        for (unsigned i = 0; i < model->wait_count; i++) {
            if (stuck[i] && could_be_granted(model, stuck, &model->waits[i])) {
                stuck[i] = false;
                count--;
            }
        }
    } while (count != before);
    return count;
}

unsigned
model_stuck(struct model *model)
{
    bool stuck[MODEL_MAX];

    return find_stuck(model, stuck);
}

bool
model_closes_cycle(struct model *model, const struct model_wait *wait)
{
    bool stuck[MODEL_MAX];
    bool reached[MODEL_SPACES][MODEL_KEYS] = {{false}};
    bool more = find_stuck(model, stuck) > 0 && stuck[wait - model->waits];

    reached[wait->space][wait->key] = true;
    while (more) {
        more = false;
        for (unsigned i = 0; i < model->wait_count; i++) {
            const struct model_wait *next = &model->waits[i];

            for (unsigned j = 0; stuck[i] && j < model->grant_count; j++) {
                const struct model_grant *grant = &model->grants[j];

                if (!reached[grant->space][grant->key] || !names(next, grant->token)) {
                    continue;
                }
                if (next == wait) {
                    return true;
                }
                more = more || !reached[next->space][next->key];
                reached[next->space][next->key] = true;
            }
        }
    }
    return false;
}

static void
refuse_stuck_of(struct model *model, unsigned key)
{
    struct model_wait *wait = model_first_queued(model, EPB_SPACE_KEY, key);

    while (wait != NULL) {
        uint64_t serial = wait->serial;

        if (model_closes_cycle(model, wait)) {
            model->refused_resized++;
            model_finish(model, wait, EPB_DEADLOCK);
            model_go_on(model, EPB_SPACE_KEY, key);
            serial = 0;
        }
        wait = model_next_queued(model, EPB_SPACE_KEY, key, serial);
    }
}

void
model_refuse_stuck(struct model *model)
{
    for (;;) {
        unsigned first = MODEL_KEYS;

        for (unsigned key = 0; key < MODEL_KEYS; key++) {
            if (model->resized[key] != 0 &&
                (first == MODEL_KEYS || model->resized[key] < model->resized[first])) {
                first = key;
            }
        }
        if (first == MODEL_KEYS) {
            return;
        }
        model->resized[first] = 0;
        refuse_stuck_of(model, first);
    }
}
