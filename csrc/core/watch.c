/* See watch.h. */
#include "watch.h"

#include "../base/arena.h"
#include "../base/buf.h"
#include "../base/map.h"
#include "../base/mem.h"

/* The most memory that an empty queue keeps. */
#define QUEUE_KEPT_BYTES 1024U
#define EVENT_MAX_BYTES (EPB_EVENT_HEADER_BYTES + EPB_KEY_MAX_BYTES)
_Static_assert(EVENT_MAX_BYTES <= EPB_WATCH_BYTES, "any event fits an empty queue");

/* Requests that wait for a key. */
struct group {
    struct epb_list waits; /* waits that are not finished */
    uint32_t members;      /* including finished ones, until they are freed */
    uint16_t key_bytes;
    uint8_t key[];
};

struct prefix {
    struct epb_list watchers; /* watchers that get events */
    struct epb_list silent;   /* watchers with an overflow event to be taken */
    uint16_t size_bytes;
    uint8_t bytes[];
};

/* Identifies a watcher, as the key of a map. */
struct name {
    const struct epb_peer *peer;
    uint64_t id;
};

struct watcher {
    struct name name;
    struct epb_peer *peer;
    struct prefix *prefix;
    struct epb_list of_peer;
    struct epb_list of_prefix; /* in its prefix's `watchers` or `silent` */
    struct epb_list of_events; /* in the peer's events while the queue has events */
    struct epb_buf queue;      /* packed events */
    uint32_t count;            /* of queued events */
    uint32_t mark;
    bool overflowed; /* events were dropped; the queue is empty */
};

struct epb_watches {
    struct epb_arena *arena;
    struct epb_quota *quota;
    struct epb_waits *waits;
    struct epb_map *groups;   /* by key */
    struct epb_map *prefixes; /* by prefix */
    struct epb_map *watchers; /* by name */
    /* The number of prefixes of each length that have watchers to notify. */
    uint32_t length_prefixes[EPB_KEY_MAX_BYTES + 1];
    uint16_t lengths[EPB_KEY_MAX_BYTES + 1]; /* lengths with such prefixes */
    unsigned length_count;
    struct watcher *taken; /* the watcher whose events epb_watch_next returned last */
    size_t taken_bytes;
};

static struct epb_bytes
group_key(const void *item)
{
    const struct group *group = item;

    return (struct epb_bytes){group->key, group->key_bytes};
}

static struct epb_bytes
prefix_key(const void *item)
{
    const struct prefix *prefix = item;

    return (struct epb_bytes){prefix->bytes, prefix->size_bytes};
}

static struct epb_bytes
watcher_key(const void *item)
{
    const struct watcher *watcher = item;

    return (struct epb_bytes){(const uint8_t *)&watcher->name, sizeof(watcher->name)};
}

/* Requests that wait for a key */

static struct group *
group_of(const struct epb_wait *wait)
{
    return wait->detail;
}

static size_t
group_bytes(const struct group *group)
{
    return sizeof(*group) + group->key_bytes;
}

static void
group_free_unused(struct epb_watches *watches, struct group *group)
{
    if (group->members == 0) {
        epb_map_remove(watches->groups, group);
        epb_quota_release(watches->quota, watches->arena, group, group_bytes(group));
    }
}

/* Finds or creates the group of the key. */
static enum epb_status
group_get(struct epb_watches *watches, struct epb_bytes key, struct group **out)
{
    struct group *group = epb_map_find(watches->groups, key);
    void *block;
    enum epb_status status;

    if (group != NULL) {
        *out = group;
        return EPB_OK;
    }
    status = epb_quota_alloc(watches->quota, watches->arena,
                             sizeof(*group) + key.size_bytes, &block);
    if (status != EPB_OK) {
        return status;
    }
    group = block;
    epb_list_init(&group->waits);
    group->key_bytes = (uint16_t)key.size_bytes;
    memcpy(group->key, key.data, key.size_bytes);
    status = epb_map_insert(watches->groups, group);
    if (status != EPB_OK) {
        epb_quota_release(watches->quota, watches->arena, group, group_bytes(group));
        return status;
    }
    *out = group;
    return EPB_OK;
}

static void
wait_withdraw(void *owner, struct epb_wait *wait, const struct epb_time *now)
{
    (void)owner;
    (void)now;
    epb_list_remove(&wait->of_queue);
}

static void
wait_drop(void *owner, struct epb_wait *wait)
{
    struct group *group = group_of(wait);

    wait->detail = NULL;
    group->members--;
    group_free_unused(owner, group);
}

static const struct epb_wait_owner owner_calls = {.withdraw = wait_withdraw,
                                                  .drop = wait_drop};

enum epb_status
epb_watch_wait_for(struct epb_watches *watches, struct epb_peer *peer,
                   const struct epb_request *request, const struct epb_time *now)
{
    struct group *group;
    struct epb_wait *wait;
    enum epb_status status = group_get(watches, request->key, &group);

    if (status != EPB_OK) {
        return status;
    }
    status =
        epb_wait_new(watches->waits, peer, request, &owner_calls, watches, now, &wait);
    if (status != EPB_OK) {
        group_free_unused(watches, group);
        return status;
    }
    group->members++;
    wait->detail = group;
    epb_list_append(&group->waits, &wait->of_queue);
    return EPB_OK;
}

struct epb_bytes
epb_watch_wait_key(const struct epb_wait *wait)
{
    return group_key(group_of(wait));
}

void
epb_watch_wait_again(struct epb_watches *watches, struct epb_wait *wait)
{
    epb_wait_again(watches->waits, wait);
    epb_list_append(&group_of(wait)->waits, &wait->of_queue);
}

static void
group_wake(struct epb_watches *watches, struct epb_bytes key)
{
    struct group *group = epb_map_find(watches->groups, key);

    while (group != NULL && !epb_list_empty(&group->waits)) {
        epb_wait_finish(watches->waits,
                        EPB_LIST_ITEM(group->waits.next, struct epb_wait, of_queue),
                        EPB_OK);
    }
}

/* Prefixes */

static void
length_add(struct epb_watches *watches, uint16_t length)
{
    if (watches->length_prefixes[length]++ == 0) {
        watches->lengths[watches->length_count++] = length;
    }
}

static void
length_remove(struct epb_watches *watches, uint16_t length)
{
    unsigned at = 0;

    if (--watches->length_prefixes[length] > 0) {
        return;
    }
    while (watches->lengths[at] != length) {
        at++;
    }
    watches->lengths[at] = watches->lengths[--watches->length_count];
}

static void
prefix_free_unused(struct epb_watches *watches, struct prefix *prefix)
{
    if (epb_list_empty(&prefix->watchers) && epb_list_empty(&prefix->silent)) {
        epb_map_remove(watches->prefixes, prefix);
        epb_quota_release(watches->quota, watches->arena, prefix,
                          sizeof(*prefix) + prefix->size_bytes);
    }
}

static enum epb_status
prefix_get(struct epb_watches *watches, struct epb_bytes bytes, struct prefix **out)
{
    struct prefix *prefix = epb_map_find(watches->prefixes, bytes);
    void *block;
    enum epb_status status;

    if (prefix != NULL) {
        *out = prefix;
        return EPB_OK;
    }
    status = epb_quota_alloc(watches->quota, watches->arena,
                             sizeof(*prefix) + bytes.size_bytes, &block);
    if (status != EPB_OK) {
        return status;
    }
    prefix = block;
    epb_list_init(&prefix->watchers);
    epb_list_init(&prefix->silent);
    prefix->size_bytes = (uint16_t)bytes.size_bytes;
    if (bytes.size_bytes > 0) {
        memcpy(prefix->bytes, bytes.data, bytes.size_bytes);
    }
    status = epb_map_insert(watches->prefixes, prefix);
    if (status != EPB_OK) {
        epb_quota_release(watches->quota, watches->arena, prefix,
                          sizeof(*prefix) + prefix->size_bytes);
        return status;
    }
    *out = prefix;
    return EPB_OK;
}

/* Adds the watcher to those of its prefix that get events. */
static void
watcher_listen(struct epb_watches *watches, struct watcher *watcher)
{
    struct prefix *prefix = watcher->prefix;

    epb_list_remove(&watcher->of_prefix);
    if (epb_list_empty(&prefix->watchers)) {
        length_add(watches, prefix->size_bytes);
    }
    epb_list_append(&prefix->watchers, &watcher->of_prefix);
}

/* Removes the watcher from the lists of its prefix. */
static void
watcher_hush(struct epb_watches *watches, struct watcher *watcher)
{
    struct prefix *prefix = watcher->prefix;
    bool listened = !epb_list_empty(&prefix->watchers);

    epb_list_remove(&watcher->of_prefix);
    if (listened && epb_list_empty(&prefix->watchers)) {
        length_remove(watches, prefix->size_bytes);
    }
}

/* Watchers */

static struct watcher *
watcher_find(const struct epb_watches *watches, const struct epb_peer *peer, uint32_t id)
{
    const struct name name = {peer, id};

    return epb_map_find(watches->watchers,
                        (struct epb_bytes){(const uint8_t *)&name, sizeof(name)});
}

/* Creates a watcher in the map, without a prefix yet. */
static enum epb_status
watcher_new(struct epb_watches *watches, struct epb_peer *peer, uint32_t id,
            struct watcher **out)
{
    struct watcher *watcher;
    void *block;
    enum epb_status status =
        epb_quota_alloc(watches->quota, watches->arena, sizeof(*watcher), &block);

    if (status != EPB_OK) {
        return status;
    }
    watcher = block;
    epb_mark_set(&watcher->mark, EPB_MARK_WATCHER);
    watcher->name = (struct name){peer, id};
    watcher->peer = peer;
    epb_list_init(&watcher->of_peer);
    epb_list_init(&watcher->of_prefix);
    epb_list_init(&watcher->of_events);
    epb_buf_init(&watcher->queue, EPB_WATCH_BYTES);
    status = epb_map_insert(watches->watchers, watcher);
    if (status == EPB_OK) {
        status = epb_waits_count_in(watches->waits);
        if (status == EPB_OK) {
            peer->watcher_count++;
            *out = watcher;
            return EPB_OK;
        }
        epb_map_remove(watches->watchers, watcher);
    }
    epb_quota_release(watches->quota, watches->arena, watcher, sizeof(*watcher));
    return status;
}

/* Charges the queue's memory after a change. */
static void
queue_charge(struct epb_watches *watches, const struct watcher *watcher,
             size_t before_bytes)
{
    watches->quota->used_bytes += watcher->queue.capacity_bytes - before_bytes;
}

static void
queue_drop(struct epb_watches *watches, struct watcher *watcher)
{
    size_t before_bytes = watcher->queue.capacity_bytes;

    epb_buf_fini(&watcher->queue);
    watcher->count = 0;
    queue_charge(watches, watcher, before_bytes);
}

static void
watcher_free(struct epb_watches *watches, struct watcher *watcher)
{
    EPB_ASSERT(watches->taken != watcher);
    epb_mark_clear(&watcher->mark, EPB_MARK_WATCHER);
    epb_map_remove(watches->watchers, watcher);
    epb_waits_count_out(watches->waits);
    watcher->peer->watcher_count--;
    epb_list_remove(&watcher->of_peer);
    epb_list_remove(&watcher->of_events);
    queue_drop(watches, watcher);
    if (watcher->prefix != NULL) {
        watcher_hush(watches, watcher);
        prefix_free_unused(watches, watcher->prefix);
    }
    epb_quota_release(watches->quota, watches->arena, watcher, sizeof(*watcher));
}

enum epb_status
epb_watch_add(struct epb_watches *watches, struct epb_peer *peer,
              const struct epb_request *request)
{
    struct watcher *watcher;
    enum epb_status status;

    if (request->id == 0 || epb_watch_has(watches, peer, request->id) ||
        epb_wait_has(peer, request->id)) {
        return EPB_CONFLICT;
    }
    if (peer->watcher_count == EPB_WATCHES_MAX) {
        return EPB_MAX_WAITERS;
    }
    status = watcher_new(watches, peer, request->id, &watcher);
    if (status != EPB_OK) {
        return status;
    }
    status = prefix_get(watches, request->key, &watcher->prefix);
    if (status != EPB_OK) {
        watcher_free(watches, watcher);
        return status;
    }
    watcher_listen(watches, watcher);
    epb_list_append(&peer->watchers, &watcher->of_peer);
    return EPB_OK;
}

bool
epb_watch_has(const struct epb_watches *watches, const struct epb_peer *peer, uint32_t id)
{
    return !epb_list_empty(&peer->watchers) && watcher_find(watches, peer, id) != NULL;
}

bool
epb_watch_cancel(struct epb_watches *watches, struct epb_peer *peer, uint32_t id)
{
    epb_watch_forget(watches);
    if (!epb_watch_has(watches, peer, id)) {
        return false;
    }
    watcher_free(watches, watcher_find(watches, peer, id));
    return true;
}

bool
epb_watch_leave(struct epb_watches *watches, struct epb_peer *peer,
                struct epb_budget *budget)
{
    epb_watch_forget(watches);
    while (!epb_list_empty(&peer->watchers)) {
        if (epb_budget_is_spent(budget)) {
            return false;
        }
        epb_budget_spend(budget, 2 * EPB_UNITS_VISIT);
        watcher_free(watches,
                     EPB_LIST_ITEM(peer->watchers.next, struct watcher, of_peer));
    }
    return true;
}

/* Events */

/* The most memory that the queue grows by when this much is appended. */
static size_t
queue_growth_bytes(const struct epb_buf *queue, size_t more_bytes)
{
    size_t grown_bytes = queue->capacity_bytes * 2;

    if (more_bytes <= queue->capacity_bytes - queue->end) {
        return 0;
    }
    if (grown_bytes < 2 * (size_t)EVENT_MAX_BYTES) {
        grown_bytes = 2 * (size_t)EVENT_MAX_BYTES;
    }
    if (grown_bytes > queue->limit_bytes) {
        grown_bytes = queue->limit_bytes;
    }
    return grown_bytes - queue->capacity_bytes;
}

static bool
queue_append(struct epb_watches *watches, struct watcher *watcher,
             enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    struct epb_buf *queue = &watcher->queue;
    size_t before_bytes = queue->capacity_bytes;
    size_t size_bytes = EPB_EVENT_HEADER_BYTES + key.size_bytes;
    uint8_t *out;

    if (watcher->count == EPB_WATCH_EVENTS ||
        !epb_quota_has(watches->quota, queue_growth_bytes(queue, size_bytes)) ||
        epb_buf_reserve(queue, size_bytes, &out) != EPB_OK) {
        return false;
    }
    queue_charge(watches, watcher, before_bytes);
    out[0] = (uint8_t)kind;
    epb_put_u64(out + 1, version);
    epb_put_u16(out + 9, (uint16_t)key.size_bytes);
    memcpy(out + EPB_EVENT_HEADER_BYTES, key.data, key.size_bytes);
    epb_buf_commit(queue, size_bytes);
    watcher->count++;
    return true;
}

static void
watcher_tell(struct epb_watches *watches, struct watcher *watcher,
             enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    EPB_MARK_CHECK(watcher, EPB_MARK_WATCHER);
    if (!queue_append(watches, watcher, kind, key, version)) {
        queue_drop(watches, watcher);
        watcher->overflowed = true;
        watcher_hush(watches, watcher);
        epb_list_append(&watcher->prefix->silent, &watcher->of_prefix);
    }
    if (epb_list_empty(&watcher->of_events)) {
        epb_list_append(&watcher->peer->events, &watcher->of_events);
        epb_peer_ready(watches->waits, watcher->peer);
    }
}

/* Notifies the prefix's watchers. Each of them may fall silent. */
static void
prefix_tell(struct epb_watches *watches, const struct prefix *prefix,
            enum epb_event_kind kind, struct epb_bytes key, uint64_t version)
{
    struct epb_list *next;

    for (struct epb_list *node = prefix->watchers.next; node != &prefix->watchers;
         node = next) {
        next = node->next;
        watcher_tell(watches, EPB_LIST_ITEM(node, struct watcher, of_prefix), kind, key,
                     version);
    }
}

static void
prefixes_tell(struct epb_watches *watches, enum epb_event_kind kind, struct epb_bytes key,
              uint64_t version)
{
    unsigned i = 0;

    epb_watch_forget(watches);
    while (i < watches->length_count) {
        const struct epb_bytes start = {key.data, watches->lengths[i]};
        const struct prefix *prefix = NULL;

        if (start.size_bytes <= key.size_bytes) {
            prefix = epb_map_find(watches->prefixes, start);
        }
        if (prefix != NULL) {
            prefix_tell(watches, prefix, kind, key, version);
        }
        /* If the last watcher of a length falls silent, the last length moves here. */
        if (i < watches->length_count && watches->lengths[i] == start.size_bytes) {
            i++;
        }
    }
}

void
epb_watch_change(struct epb_watches *watches, enum epb_event_kind kind,
                 struct epb_bytes key, uint64_t version)
{
    if (kind == EPB_EVENT_SET && epb_map_count(watches->groups) > 0) {
        group_wake(watches, key);
    }
    if (watches->length_count > 0) {
        prefixes_tell(watches, kind, key, version);
    }
}

/* The whole events at the front of the queue that fit, at least one. */
static size_t
queue_front(const struct watcher *watcher, size_t max_bytes, uint32_t *count)
{
    const uint8_t *data = epb_buf_data(&watcher->queue);
    size_t size_bytes = 0;

    *count = 0;
    while (*count < watcher->count) {
        size_t event_bytes =
            EPB_EVENT_HEADER_BYTES + (size_t)epb_get_u16(data + size_bytes + 9);

        if (*count > 0 && size_bytes + event_bytes > max_bytes) {
            break;
        }
        size_bytes += event_bytes;
        ++*count;
    }
    return size_bytes;
}

static struct epb_bytes
watcher_take(struct epb_watches *watches, struct watcher *watcher, size_t max_bytes)
{
    static const uint8_t overflow[EPB_EVENT_HEADER_BYTES] = {EPB_EVENT_OVERFLOW};
    uint32_t count;

    if (watcher->overflowed) {
        watcher->overflowed = false;
        watcher_listen(watches, watcher);
        return (struct epb_bytes){overflow, sizeof(overflow)};
    }
    watches->taken = watcher;
    watches->taken_bytes = queue_front(watcher, max_bytes, &count);
    watcher->count -= count;
    return (struct epb_bytes){epb_buf_data(&watcher->queue), watches->taken_bytes};
}

bool
epb_watch_next(struct epb_watches *watches, struct epb_peer *peer, size_t max_bytes,
               uint32_t *id, struct epb_bytes *packed)
{
    struct watcher *watcher;

    epb_watch_forget(watches);
    if (epb_list_empty(&peer->events)) {
        return false;
    }
    watcher = EPB_LIST_ITEM(peer->events.next, struct watcher, of_events);
    epb_list_remove(&watcher->of_events);
    *id = (uint32_t)watcher->name.id;
    *packed = watcher_take(watches, watcher, max_bytes);
    if (watcher->count > 0) {
        epb_list_append(&peer->events, &watcher->of_events);
    }
    return true;
}

void
epb_watch_forget(struct epb_watches *watches)
{
    struct watcher *watcher = watches->taken;
    size_t before_bytes;

    if (watcher == NULL) {
        return;
    }
    before_bytes = watcher->queue.capacity_bytes;
    epb_buf_consume(&watcher->queue, watches->taken_bytes);
    epb_buf_trim(&watcher->queue, QUEUE_KEPT_BYTES);
    queue_charge(watches, watcher, before_bytes);
    watches->taken = NULL;
}

/* Creation */

struct epb_watches *
epb_watches_new(struct epb_arena *arena, struct epb_quota *quota, struct epb_waits *waits)
{
    struct epb_watches *watches = epb_mem_table_alloc(sizeof(*watches));

    if (watches == NULL) {
        return NULL;
    }
    watches->arena = arena;
    watches->quota = quota;
    watches->waits = waits;
    watches->groups = epb_map_new(group_key);
    watches->prefixes = epb_map_new(prefix_key);
    watches->watchers = epb_map_new(watcher_key);
    if (watches->groups == NULL || watches->prefixes == NULL ||
        watches->watchers == NULL) {
        epb_watches_free(watches);
        return NULL;
    }
    return watches;
}

void
epb_watches_free(struct epb_watches *watches)
{
    if (watches == NULL) {
        return;
    }
    epb_map_free(watches->groups);
    epb_map_free(watches->prefixes);
    epb_map_free(watches->watchers);
    epb_mem_table_free(watches);
}

uint64_t
epb_watches_count(const struct epb_watches *watches)
{
    return epb_map_count(watches->watchers);
}

size_t
epb_watches_table_bytes(const struct epb_watches *watches)
{
    return sizeof(*watches) + epb_map_bytes(watches->groups) +
           epb_map_bytes(watches->prefixes) + epb_map_bytes(watches->watchers);
}
