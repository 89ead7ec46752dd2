/* Lists of holders and waiting requests: walks in parts, during which leases may
 * change. */
#include "lease_internal.h"

static bool
has_prefix(const struct epb_grant *grant, struct epb_bytes prefix)
{
    const struct epb_resource *resource = grant->holding->resource;

    return resource->key_bytes >= prefix.size_bytes &&
           (prefix.size_bytes == 0 ||
            memcmp(resource->key, prefix.data, prefix.size_bytes) == 0);
}

static uint64_t
pid_of(const struct epb_group *group)
{
    return group == NULL ? 0 : group->pid;
}

static struct epb_lease_line
line_of(const struct epb_grant *grant)
{
    const struct epb_holder *holder = grant->holding->holder;
    const struct epb_resource *resource = grant->holding->resource;

    return (struct epb_lease_line){
        .held = grant->live,
        .count = grant->count,
        .shared = grant->shared,
        .kind = resource->kind,
        .session = holder->name.session,
        .pid = pid_of(holder->group),
        .key = epb_resource_key(resource),
        .worker = epb_worker_key(holder->worker),
    };
}

static void
see_grant(const struct epb_leases_walk *walk, const struct epb_grant *grant)
{
    struct epb_lease_line line;

    if (grant->by_due.major <= walk->began.mono_ms || !has_prefix(grant, walk->prefix)) {
        return;
    }
    line = line_of(grant);
    line.order = grant->token;
    line.token = grant->token;
    line.left_ms = epb_grant_left_ms(grant, &walk->began);
    line.age_ms = walk->began.mono_ms - grant->since_mono_ms;
    walk->visit(walk->context, &line);
}

static void
see_pending(const struct epb_leases_walk *walk, const struct epb_grant *pending)
{
    uint64_t due_ms = pending->wait->due_mono_ms;
    struct epb_lease_line line;

    if (due_ms <= walk->began.mono_ms || !has_prefix(pending, walk->prefix)) {
        return;
    }
    line = line_of(pending);
    line.order = pending->wait->serial;
    /* The waiting peer has a process, even if the grant will be in the name of no
     * session. */
    line.pid = pid_of(pending->wait->peer->group);
    line.left_ms =
        due_ms == UINT64_MAX ? EPB_WAIT_FOREVER_MS : due_ms - walk->began.mono_ms;
    line.age_ms = walk->began.mono_ms - pending->wait->since_mono_ms;
    walk->visit(walk->context, &line);
}

/* Visits what existed when a walk began and was not visited yet. */

void
epb_walks_see_grant(const struct epb_leases *leases, const struct epb_grant *grant)
{
    for (struct epb_list *node = leases->walks.next; node != &leases->walks;
         node = node->next) {
        const struct epb_leases_walk *walk =
            EPB_LIST_ITEM(node, const struct epb_leases_walk, of_leases);

        if (grant->token <= walk->last_token &&
            (walk->in_queues || grant->token > walk->at)) {
            see_grant(walk, grant);
        }
    }
}

void
epb_walks_see_pending(const struct epb_leases *leases, const struct epb_grant *pending)
{
    for (struct epb_list *node = leases->walks.next; node != &leases->walks;
         node = node->next) {
        const struct epb_leases_walk *walk =
            EPB_LIST_ITEM(node, const struct epb_leases_walk, of_leases);

        if (walk->in_queues && pending->wait->serial <= walk->last_serial &&
            pending->wait->serial > walk->at) {
            see_pending(walk, pending);
        }
    }
}

void
epb_leases_each_named(const struct epb_leases *leases, struct epb_bytes key,
                      bool (*visit)(void *context, struct epb_bytes key,
                                    enum epb_lease_kind kind),
                      void *context)
{
    const struct epb_resource *own = epb_resource_find(leases, EPB_SPACE_KEY, key);
    const struct epb_tree_node *at = leases->defined.first;

    if (own != NULL && own->kind == EPB_KIND_NUMBERS && epb_resource_exists(own) &&
        !visit(context, key, EPB_KIND_NUMBERS)) {
        return;
    }
    for (; at != NULL; at = epb_tree_next(&leases->defined, at)) {
        const struct epb_resource *resource =
            EPB_TREE_ITEM(at, const struct epb_resource, of_defined);

        if (!visit(context, epb_resource_key(resource), resource->kind)) {
            return;
        }
    }
}

void
epb_leases_walk_begin(struct epb_leases *leases, struct epb_leases_walk *walk,
                      const struct epb_time *now)
{
    walk->began = *now;
    walk->last_token = leases->next_token - 1;
    walk->last_serial = epb_waits_last_serial(leases->waits);
    walk->in_queues = true;
    walk->at = 0;
    epb_list_init(&walk->of_leases);
    epb_list_append(&leases->walks, &walk->of_leases);
}

/* The first node that the walk has not visited; NULL: there is none. */
static struct epb_tree_node *
next_of(const struct epb_leases_walk *walk, const struct epb_tree *tree, uint64_t last)
{
    const struct epb_tree_node place = {.major = walk->at, .minor = UINT64_MAX};
    struct epb_tree_node *node = epb_tree_next(tree, &place);

    return node != NULL && node->major <= last ? node : NULL;
}

/* Visits the next pending grant, or, after the last, the next live grant. False: none is
 * left. */
static bool
walk_step(const struct epb_leases *leases, struct epb_leases_walk *walk)
{
    struct epb_tree_node *node;

    if (walk->in_queues) {
        node = next_of(walk, &leases->pendings, walk->last_serial);
        if (node != NULL) {
            walk->at = node->major;
            see_pending(walk, EPB_TREE_ITEM(node, struct epb_grant, by_due));
            return true;
        }
        walk->in_queues = false;
        walk->at = 0;
    }
    node = next_of(walk, &leases->tokens, walk->last_token);
    if (node == NULL) {
        return false;
    }
    walk->at = node->major;
    see_grant(walk, EPB_TREE_ITEM(node, struct epb_grant, by_token));
    return true;
}

bool
epb_leases_walk_on(const struct epb_leases *leases, struct epb_leases_walk *walk,
                   struct epb_budget *budget)
{
    while (!epb_budget_is_spent(budget)) {
        epb_budget_spend(budget, 2 * EPB_UNITS_VISIT);
        if (!walk_step(leases, walk)) {
            return true;
        }
    }
    return false;
}

void
epb_leases_walk_end(struct epb_leases_walk *walk)
{
    epb_list_remove(&walk->of_leases);
}

/* Entries of a leases reply */

size_t
epb_lease_line_bytes(const struct epb_lease_line *line)
{
    return EPB_LEASES_ENTRY_HEADER_BYTES + line->key.size_bytes +
           line->worker.size_bytes + (line->count > 1 ? sizeof(uint32_t) : 0);
}

void
epb_lease_line_pack(const struct epb_lease_line *line, uint8_t *out)
{
    out[0] = line->held ? 1 : 2;
    out[1] = (uint8_t)line->kind;
    out[2] = (uint8_t)((line->shared ? EPB_LEASES_SHARED : 0U) |
                       (line->count > 1 ? EPB_LEASES_SEVERAL : 0U));
    epb_put_u64(out + 3, line->session);
    epb_put_u64(out + 11, line->token);
    epb_put_u64(out + 19, line->left_ms);
    epb_put_u64(out + 27, line->age_ms);
    epb_put_u32(out + 35, (uint32_t)line->pid);
    epb_put_u16(out + 39, (uint16_t)line->key.size_bytes);
    epb_put_u16(out + 41, (uint16_t)line->worker.size_bytes);
    out += EPB_LEASES_ENTRY_HEADER_BYTES;
    memcpy(out, line->key.data, line->key.size_bytes);
    out += line->key.size_bytes;
    memcpy(out, line->worker.data, line->worker.size_bytes);
    if (line->count > 1) {
        epb_put_u32(out + line->worker.size_bytes, (uint32_t)line->count);
    }
}

/* Obstacles */

struct obstacle {
    uint8_t *out; /* NULL: only counts */
    size_t size_bytes;
};

static void
obstacle_add(struct obstacle *obstacle, const struct epb_grant *grant,
             const struct epb_time *now)
{
    struct epb_lease_line line = line_of(grant);

    if (grant->by_due.major <= now->mono_ms) {
        return;
    }
    line.token = grant->token;
    line.left_ms = grant->by_due.major - now->mono_ms;
    line.age_ms = now->mono_ms - grant->since_mono_ms;
    if (obstacle->out != NULL) {
        epb_lease_line_pack(&line, obstacle->out + obstacle->size_bytes);
    }
    obstacle->size_bytes += epb_lease_line_bytes(&line);
}

static struct obstacle
obstacle_begin(uint64_t place, uint64_t waiting, uint64_t holders, uint8_t *out)
{
    if (out != NULL) {
        epb_put_u32(out, (uint32_t)place);
        epb_put_u32(out + 4, (uint32_t)waiting);
        epb_put_u32(out + 8, (uint32_t)holders);
    }
    return (struct obstacle){out, EPB_OBSTACLE_HEADER_BYTES};
}

size_t
epb_lease_cycle_pack(const struct epb_leases *leases, const struct epb_time *now,
                     uint8_t *out)
{
    const struct epb_cycle *cycle = &leases->cycle;
    struct obstacle obstacle = obstacle_begin(0, 0, cycle->count, out);

    for (size_t i = 0; i < cycle->count && i < EPB_CYCLE_SHOWN; i++) {
        obstacle_add(&obstacle, cycle->grants[i], now);
    }
    return obstacle.size_bytes;
}

uint64_t
epb_queue_place(const struct epb_grant *pending)
{
    const struct epb_tree *queue = &pending->holding->resource->queue;
    const struct epb_tree_node *node = queue->first;
    uint64_t place = 1;

    EPB_ASSERT(pending->queued);
    while (node != &pending->by_token && place < EPB_OBSTACLE_MAX) {
        node = epb_tree_next(queue, node);
        place++;
    }
    return node == &pending->by_token ? place : 0;
}

static size_t
obstacle_pack(const struct epb_resource *resource, uint64_t place,
              const struct epb_time *now, uint8_t *out)
{
    const struct epb_list *at = resource->grants.next;
    struct obstacle obstacle;
    uint64_t holders = 0;

    for (; at != &resource->grants && holders < EPB_OBSTACLE_MAX; at = at->next) {
        holders++;
    }
    obstacle = obstacle_begin(place, resource->queue.count, holders, out);
    at = resource->grants.next;
    for (size_t i = 0; at != &resource->grants && i < EPB_OBSTACLE_SHOWN; i++) {
        obstacle_add(&obstacle, EPB_LIST_ITEM(at, const struct epb_grant, of_resource),
                     now);
        at = at->next;
    }
    return obstacle.size_bytes;
}

size_t
epb_lease_obstacle_pack(const struct epb_leases *leases, enum epb_lease_space space,
                        struct epb_bytes key, const struct epb_time *now, uint8_t *out)
{
    const struct epb_resource *resource = epb_resource_find(leases, space, key);

    return resource == NULL ? 0 : obstacle_pack(resource, 0, now, out);
}

size_t
epb_lease_wait_obstacle_pack(const struct epb_wait *wait, const struct epb_time *now,
                             uint8_t *out)
{
    const struct epb_grant *pending = wait->detail;
    uint64_t place = pending->queued ? epb_queue_place(pending) : (uint64_t)wait->count;

    return obstacle_pack(pending->holding->resource, place, now, out);
}
