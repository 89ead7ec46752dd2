/* Who holds what, and who waits. */
#include "lease_state.h"

struct walk {
    struct epb_bytes prefix;
    const struct epb_time *now;
    bool (*visit)(void *context, const struct epb_lease_line *line);
    void *context;
    bool stopped;
};

static bool
walk_grant(const struct walk *walk, const struct epb_grant *grant)
{
    const struct epb_holder *holder = grant->stake->holder;
    const struct epb_resource *resource = grant->stake->resource;
    struct epb_lease_line line = {
        .held = grant->live,
        .shared = grant->shared,
        .kind = resource->kind,
        .session = holder->name.session,
        .key = epb_resource_key(resource),
        .worker = epb_worker_key(holder->worker),
    };

    if (grant->live) {
        if (grant->by_due.major <= walk->now->mono_ms) {
            return true;
        }
        line.token = grant->token;
        line.left_ms = grant->by_due.major - walk->now->mono_ms;
        line.age_ms = walk->now->mono_ms - grant->since_mono_ms;
    } else {
        uint64_t due_ms = grant->wait->due_mono_ms;

        if (due_ms <= walk->now->mono_ms) {
            return true;
        }
        line.left_ms =
            due_ms == UINT64_MAX ? EPB_WAIT_FOREVER_MS : due_ms - walk->now->mono_ms;
        line.age_ms = walk->now->mono_ms - grant->wait->since_mono_ms;
    }
    return walk->visit(walk->context, &line);
}

static bool
walk_resource(void *context, void *item)
{
    struct walk *walk = context;
    const struct epb_resource *resource = item;
    const struct epb_tree_node *node = resource->queue.first;
    const struct epb_list *at = resource->grants.next;

    if (resource->key_bytes < walk->prefix.size_bytes ||
        (walk->prefix.size_bytes > 0 &&
         memcmp(resource->key, walk->prefix.data, walk->prefix.size_bytes) != 0)) {
        return true;
    }
    for (; at != &resource->grants && !walk->stopped; at = at->next) {
        walk->stopped =
            !walk_grant(walk, EPB_LIST_ITEM(at, const struct epb_grant, of_resource));
    }
    for (; node != NULL && !walk->stopped; node = epb_tree_next(&resource->queue, node)) {
        walk->stopped =
            !walk_grant(walk, EPB_TREE_ITEM(node, const struct epb_grant, by_token));
    }
    return !walk->stopped;
}

void
epb_leases_each(const struct epb_leases *leases, struct epb_bytes prefix,
                const struct epb_time *now,
                bool (*visit)(void *context, const struct epb_lease_line *line),
                void *context)
{
    struct walk walk = {prefix, now, visit, context, false};

    for (unsigned i = 0; i < EPB_SPACE_COUNT && !walk.stopped; i++) {
        epb_map_each(leases->resources[i], walk_resource, &walk);
    }
}

void
epb_leases_each_named(const struct epb_leases *leases, struct epb_bytes key,
                      bool (*visit)(void *context, struct epb_bytes key,
                                    enum epb_lease_kind kind),
                      void *context)
{
    const struct epb_resource *own = epb_resource_find(leases, EPB_SPACE_KEY, key);
    const struct epb_list *at = leases->defined.next;

    if (own != NULL && own->kind == EPB_KIND_NUMBERS && epb_resource_exists(own) &&
        !visit(context, key, EPB_KIND_NUMBERS)) {
        return;
    }
    for (; at != &leases->defined; at = at->next) {
        const struct epb_resource *resource =
            EPB_LIST_ITEM(at, const struct epb_resource, of_defined);

        if (!visit(context, epb_resource_key(resource), resource->kind)) {
            return;
        }
    }
}
