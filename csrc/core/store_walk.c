/* Walks over the store in parts, during which the store may change. */
#include "store_internal.h"

/* The most items of one part of the map that are deleted at a time. */
#define CLEAR_ITEMS 64U

static bool
has_prefix(const struct epb_item *item, struct epb_bytes prefix)
{
    return epb_item_key_bytes(item) >= prefix.size_bytes &&
           (prefix.size_bytes == 0 ||
            memcmp(item->bytes, prefix.data, prefix.size_bytes) == 0);
}

struct each {
    struct epb_bytes prefix;
    const struct epb_time *now;
    bool (*visit)(void *context, const struct epb_item_view *view);
    void *context;
};

static bool
visit_each(void *context, void *item)
{
    const struct each *each = context;
    struct epb_item_view view;

    if (epb_item_is_due(item, each->now) || !has_prefix(item, each->prefix)) {
        return true;
    }
    epb_item_get_view(item, each->now, &view);
    return each->visit(each->context, &view);
}

void
epb_store_each(const struct epb_store *store, struct epb_bytes prefix,
               const struct epb_time *now,
               bool (*visit)(void *context, const struct epb_item_view *view),
               void *context)
{
    struct each each = {prefix, now, visit, context};

    epb_map_each(store->map, visit_each, &each);
}

/* Visits an item that was stored before the walk began and was live then. */
static void
walk_see(struct epb_store_walk *walk, const struct epb_item *item)
{
    struct epb_item_view view;

    if (epb_item_version(item) <= walk->version && !epb_item_is_due(item, &walk->began) &&
        has_prefix(item, walk->prefix)) {
        epb_item_get_view(item, &walk->began, &view);
        walk->visit(walk->context, &view);
    }
}

void
epb_walks_see(const struct epb_store *store, const struct epb_item *item)
{
    for (struct epb_list *node = store->walks.next; node != &store->walks;
         node = node->next) {
        walk_see(EPB_LIST_ITEM(node, struct epb_store_walk, of_store), item);
    }
}

void
epb_store_walk_begin(struct epb_store *store, struct epb_store_walk *walk,
                     const struct epb_time *now)
{
    walk->began = *now;
    walk->version = store->version;
    walk->cursor = 0;
    epb_list_init(&walk->of_store);
    epb_list_append(&store->walks, &walk->of_store);
}

struct part {
    struct epb_store_walk *walk;
    struct epb_budget *budget;
};

static void
visit_part(void *context, void *item)
{
    const struct part *part = context;

    epb_budget_spend(part->budget, EPB_UNITS_VISIT);
    walk_see(part->walk, item);
}

bool
epb_store_walk_on(struct epb_store *store, struct epb_store_walk *walk,
                  struct epb_budget *budget)
{
    struct part part = {walk, budget};

    while (!epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, 1);
        if (!epb_map_scan(store->map, &walk->cursor, visit_part, &part)) {
            return true;
        }
    }
    return false;
}

void
epb_store_walk_end(struct epb_store_walk *walk)
{
    epb_list_remove(&walk->of_store);
}

/* Clearing */

struct found {
    const struct epb_store *store;
    struct epb_bytes prefix;
    uint64_t version;
    struct epb_budget *budget;
    unsigned count;
    struct epb_item *items[CLEAR_ITEMS];
};

/* Leased values stay. */
static bool
may_delete(const struct epb_store *store, const struct epb_item *item)
{
    return store->hooks.may_evict == NULL ||
           store->hooks.may_evict(store->hooks.context, epb_item_key(item));
}

static void
find_part(void *context, void *visited)
{
    struct found *found = context;
    struct epb_item *item = visited;

    epb_budget_spend(found->budget, EPB_UNITS_VISIT);
    if (found->count < CLEAR_ITEMS && epb_item_version(item) <= found->version &&
        has_prefix(item, found->prefix) && may_delete(found->store, item)) {
        found->items[found->count++] = item;
    }
}

static void
delete_found(struct epb_store *store, const struct found *found,
             const struct epb_time *now, uint64_t *deleted)
{
    for (unsigned i = 0; i < found->count; i++) {
        struct epb_item *item = found->items[i];
        bool is_live = !epb_item_is_due(item, now);

        *deleted += is_live;
        epb_budget_spend(found->budget,
                         EPB_UNITS_VISIT + epb_item_value_bytes(item) / 1024);
        epb_store_notify(store, is_live ? EPB_EVENT_DEL : EPB_EVENT_EXPIRE, item);
        epb_item_remove(store, item);
    }
}

bool
epb_store_clear(struct epb_store *store, struct epb_bytes prefix, uint64_t version,
                const struct epb_time *now, uint64_t *cursor, struct epb_budget *budget,
                uint64_t *deleted)
{
    struct found found = {
        .store = store, .prefix = prefix, .version = version, .budget = budget};

    while (!epb_budget_is_spent(budget)) {
        uint64_t next = *cursor;
        bool more;

        epb_budget_spend(budget, 1);
        found.count = 0;
        more = epb_map_scan(store->map, &next, find_part, &found);
        delete_found(store, &found, now, deleted);
        /* If the array is full, the part may contain more items. */
        if (found.count < CLEAR_ITEMS) {
            *cursor = next;
            if (!more) {
                epb_budget_spend(budget,
                                 EPB_UNITS_VISIT * epb_gone_clear(store->gone, prefix));
                return true;
            }
        }
    }
    return false;
}

uint64_t
epb_store_version(const struct epb_store *store)
{
    return store->version;
}
