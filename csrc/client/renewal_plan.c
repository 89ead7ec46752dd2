/* See renewal_plan.h. */
#include "renewal_plan.h"

#include <string.h>

#include "../base/shared_mem.h"
#include "own_frame.h"

/* The owner of a heap node. */
enum {
    TAG_KEEP,
    TAG_USER
};

struct keep {
    uint64_t id;
    struct epb_renewal_plan_user *user;
    struct epb_list of_user;
    struct epb_list of_batch; /* in `due` or `leaving` */
    struct epb_heap_node planned;
    uint64_t due_ms; /* when it is or was last due */
    uint64_t interval_ms;
    uint64_t sent_ms;
    bool answered;
    size_t frame_bytes;
    uint8_t frame[];
};

static struct keep *
keep_of_heap(struct epb_heap_node *node)
{
    return EPB_LIST_ITEM(node, struct keep, planned);
}

static struct keep *
keep_of_batch(struct epb_list *node)
{
    return EPB_LIST_ITEM(node, struct keep, of_batch);
}

static struct epb_bytes
key_of_id(const uint64_t *id)
{
    return (struct epb_bytes){(const uint8_t *)id, sizeof(*id)};
}

static struct epb_bytes
key_of_keep(const void *item)
{
    return key_of_id(&((const struct keep *)item)->id);
}

static uint64_t
after(uint64_t time_ms, uint64_t span_ms)
{
    return span_ms < EPB_RENEWAL_PLAN_NEVER_MS - time_ms ? time_ms + span_ms
                                                         : EPB_RENEWAL_PLAN_NEVER_MS;
}

/* Life */

enum epb_status
epb_renewal_plan_init(struct epb_renewal_plan *plan)
{
    epb_heap_init(&plan->heap);
    epb_list_init(&plan->ready);
    plan->last_id = 0;
    plan->by_id = epb_map_new(key_of_keep);
    return plan->by_id == NULL ? EPB_INTERNAL : EPB_OK;
}

void
epb_renewal_plan_fini(struct epb_renewal_plan *plan)
{
    epb_map_free(plan->by_id);
    epb_heap_fini(&plan->heap);
}

void
epb_renewal_plan_user_init(struct epb_renewal_plan_user *user)
{
    epb_list_init(&user->keeps);
    epb_list_init(&user->due);
    epb_list_init(&user->leaving);
    epb_list_init(&user->ready);
    user->again = (struct epb_heap_node){
        .due_ms = EPB_RENEWAL_PLAN_NEVER_MS, .index = EPB_HEAP_NOWHERE, .tag = TAG_USER};
    user->dead = false;
}

/* Keeps */

/* Ids that do not fit get frame id 0, which means no reply. */
static uint32_t
frame_id(uint64_t id)
{
    return id < EPB_OWN_ID ? (uint32_t)id : 0;
}

/* Puts a user in the heap, where it stays as long as it may have a turn. */
static enum epb_status
seat(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user)
{
    if (user->again.index != EPB_HEAP_NOWHERE) {
        return EPB_OK;
    }
    enum epb_status status = epb_heap_reserve(&plan->heap);
    if (status == EPB_OK) {
        epb_heap_insert(&plan->heap, &user->again, EPB_RENEWAL_PLAN_NEVER_MS);
    }
    return status;
}

static void
unseat(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user)
{
    if (user->again.index != EPB_HEAP_NOWHERE) {
        epb_heap_remove(&plan->heap, &user->again);
    }
    epb_list_remove(&user->ready);
}

static struct keep *
new_keep(struct epb_bytes frame, uint64_t interval_ms, uint64_t now_ms)
{
    struct keep *keep = epb_mem_alloc(sizeof(*keep) + frame.size_bytes);

    if (keep == NULL) {
        return NULL;
    }
    epb_list_init(&keep->of_user);
    epb_list_init(&keep->of_batch);
    keep->planned = (struct epb_heap_node){.index = EPB_HEAP_NOWHERE, .tag = TAG_KEEP};
    keep->interval_ms = interval_ms;
    keep->due_ms = after(now_ms, interval_ms);
    keep->sent_ms = now_ms;
    keep->answered = false;
    keep->frame_bytes = frame.size_bytes;
    memcpy(keep->frame, frame.data, frame.size_bytes);
    return keep;
}

enum epb_status
epb_renewal_plan_add(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                     struct epb_bytes frame, uint64_t interval_ms, uint64_t now_ms,
                     uint64_t *id)
{
    enum epb_status status = EPB_INTERNAL;
    struct keep *keep = new_keep(frame, interval_ms, now_ms);

    if (keep == NULL) {
        return EPB_INTERNAL;
    }
    status = seat(plan, user);
    if (status == EPB_OK) {
        status = epb_heap_reserve(&plan->heap);
    }
    keep->id = plan->last_id + 1;
    if (status == EPB_OK) {
        status = epb_map_insert(plan->by_id, keep);
    }
    if (status != EPB_OK) {
        if (epb_list_empty(&user->keeps)) {
            unseat(plan, user);
        }
        epb_mem_free(keep);
        return status;
    }
    plan->last_id++;
    epb_frames_set_id(keep->frame, keep->frame_bytes, frame_id(keep->id));
    keep->user = user;
    epb_list_append(&user->keeps, &keep->of_user);
    epb_heap_insert(&plan->heap, &keep->planned,
                    user->dead ? EPB_RENEWAL_PLAN_NEVER_MS : keep->due_ms);
    *id = keep->id;
    return EPB_OK;
}

static void
remove_keep(struct epb_renewal_plan *plan, struct keep *keep)
{
    epb_map_remove(plan->by_id, keep);
    epb_heap_remove(&plan->heap, &keep->planned);
    epb_list_remove(&keep->of_user);
    epb_list_remove(&keep->of_batch);
    epb_mem_free(keep);
}

static struct keep *
find_keep(const struct epb_renewal_plan *plan, const struct epb_renewal_plan_user *user,
          uint64_t id)
{
    struct keep *keep = epb_map_find(plan->by_id, key_of_id(&id));

    return keep != NULL && keep->user == user ? keep : NULL;
}

void
epb_renewal_plan_hasten(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id, uint64_t now_ms)
{
    struct keep *keep = find_keep(plan, user, id);

    if (keep == NULL || user->dead || !epb_list_empty(&keep->of_batch)) {
        return;
    }
    keep->due_ms = now_ms;
    epb_heap_change(&plan->heap, &keep->planned, now_ms);
}

void
epb_renewal_plan_answered(struct epb_renewal_plan *plan, uint32_t id)
{
    const uint64_t whole_id = id;
    struct keep *keep = epb_map_find(plan->by_id, key_of_id(&whole_id));

    if (keep != NULL) {
        keep->answered = true;
    }
}

void
epb_renewal_plan_end(struct epb_renewal_plan *plan, uint32_t id)
{
    const uint64_t whole_id = id;
    struct keep *keep = epb_map_find(plan->by_id, key_of_id(&whole_id));

    if (keep != NULL) {
        remove_keep(plan, keep);
    }
}

bool
epb_renewal_plan_unanswered(const struct epb_renewal_plan *plan,
                            const struct epb_renewal_plan_user *user, uint64_t id)
{
    const struct keep *keep = find_keep(plan, user, id);

    return keep != NULL && !user->dead && !keep->answered;
}

bool
epb_renewal_plan_remove(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        uint64_t id)
{
    struct keep *keep = find_keep(plan, user, id);

    if (keep == NULL) {
        return false;
    }
    remove_keep(plan, keep);
    return true;
}

void
epb_renewal_plan_forget(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user)
{
    while (!epb_list_empty(&user->keeps)) {
        remove_keep(plan, EPB_LIST_ITEM(user->keeps.next, struct keep, of_user));
    }
    unseat(plan, user);
    user->dead = false;
}

bool
epb_renewal_plan_ago(const struct epb_renewal_plan *plan,
                     const struct epb_renewal_plan_user *user, uint64_t id,
                     uint64_t now_ms, uint64_t *ago_ms)
{
    const struct keep *keep = find_keep(plan, user, id);

    if (keep == NULL) {
        return false;
    }
    *ago_ms = now_ms > keep->sent_ms ? now_ms - keep->sent_ms : 0;
    return true;
}

/* Turns */

uint64_t
epb_renewal_plan_due(const struct epb_renewal_plan *plan)
{
    const struct epb_heap_node *first = epb_heap_first(&plan->heap);

    if (!epb_list_empty(&plan->ready)) {
        return 0;
    }
    return first == NULL ? EPB_RENEWAL_PLAN_NEVER_MS : first->due_ms;
}

static void
get_ready(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user)
{
    if (!user->dead && epb_list_empty(&user->ready)) {
        epb_list_append(&plan->ready, &user->ready);
    }
}

/* Moves due keeps to their users' `due`, and users with work to `ready`. */
static void
collect(struct epb_renewal_plan *plan, uint64_t now_ms)
{
    struct epb_heap_node *first = epb_heap_first(&plan->heap);

    while (first != NULL && first->due_ms <= now_ms) {
        epb_heap_change(&plan->heap, first, EPB_RENEWAL_PLAN_NEVER_MS);
        if (first->tag == TAG_USER) {
            get_ready(plan, EPB_LIST_ITEM(first, struct epb_renewal_plan_user, again));
        } else {
            struct keep *keep = keep_of_heap(first);
            epb_list_append(&keep->user->due, &keep->of_batch);
            /* A user that waits for its socket gets a turn at its retry. */
            if (keep->user->again.due_ms == EPB_RENEWAL_PLAN_NEVER_MS) {
                get_ready(plan, keep->user);
            }
        }
        first = epb_heap_first(&plan->heap);
    }
}

struct epb_renewal_plan_user *
epb_renewal_plan_next(struct epb_renewal_plan *plan, uint64_t now_ms)
{
    collect(plan, now_ms);
    if (epb_list_empty(&plan->ready)) {
        return NULL;
    }
    struct epb_renewal_plan_user *user =
        EPB_LIST_ITEM(plan->ready.next, struct epb_renewal_plan_user, ready);
    epb_list_remove(&user->ready);
    return user;
}

void
epb_renewal_plan_take(struct epb_renewal_plan_user *user, struct epb_buf *batch)
{
    if (!epb_list_empty(&user->leaving)) {
        return;
    }
    while (!epb_list_empty(&user->due)) {
        struct keep *keep = keep_of_batch(user->due.next);
        if (epb_buf_append(batch, keep->frame, keep->frame_bytes) != EPB_OK) {
            break;
        }
        epb_list_remove(&keep->of_batch);
        epb_list_append(&user->leaving, &keep->of_batch);
    }
}

static void
plan_next(struct epb_renewal_plan *plan, struct keep *keep, uint64_t now_ms)
{
    keep->sent_ms = now_ms;
    keep->due_ms = after(keep->due_ms, keep->interval_ms);
    if (keep->due_ms <= now_ms) {
        keep->due_ms = after(now_ms, keep->interval_ms);
    }
    epb_heap_change(&plan->heap, &keep->planned, keep->due_ms);
}

/* Moves the batch back to the front of `due`, in the same order. */
static void
give_back(struct epb_renewal_plan_user *user)
{
    struct epb_list behind;

    epb_list_take_all(&user->due, &behind);
    epb_list_take_all(&user->leaving, &user->due);
    while (!epb_list_empty(&behind)) {
        struct epb_list *node = behind.next;
        epb_list_remove(node);
        epb_list_append(&user->due, node);
    }
}

static void
try_again(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
          uint64_t now_ms)
{
    if (user->again.index != EPB_HEAP_NOWHERE) {
        epb_heap_change(&plan->heap, &user->again,
                        after(now_ms, EPB_RENEWAL_PLAN_AGAIN_MS));
    }
}

static void
settle_left(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
            uint64_t now_ms)
{
    bool any = !epb_list_empty(&user->leaving);

    while (!epb_list_empty(&user->leaving)) {
        struct keep *keep = keep_of_batch(user->leaving.next);
        epb_list_remove(&keep->of_batch);
        plan_next(plan, keep, now_ms);
    }
    if (epb_list_empty(&user->due)) {
        return;
    }
    if (any) {
        get_ready(plan, user);
    } else {
        /* Memory was out for the batch. */
        try_again(plan, user, now_ms);
    }
}

void
epb_renewal_plan_settle(struct epb_renewal_plan *plan, struct epb_renewal_plan_user *user,
                        enum epb_renewal_plan_sent sent, uint64_t now_ms)
{
    switch (sent) {
    case EPB_RENEWAL_PLAN_LEFT:
        settle_left(plan, user, now_ms);
        break;
    case EPB_RENEWAL_PLAN_WAITS:
        try_again(plan, user, now_ms);
        break;
    case EPB_RENEWAL_PLAN_REFUSED:
        give_back(user);
        try_again(plan, user, now_ms);
        break;
    case EPB_RENEWAL_PLAN_DEAD:
        user->dead = true;
        break;
    }
}
