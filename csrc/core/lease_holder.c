/* Workers, holders and stakes: made with the first that refers to them, freed with the
 * last. */
#include "lease_state.h"

struct epb_bytes
epb_worker_key(const void *item)
{
    const struct epb_worker *worker = item;

    return (struct epb_bytes){worker->id, worker->id_bytes};
}

struct epb_bytes
epb_holder_key(const void *item)
{
    const struct epb_holder *holder = item;

    return (struct epb_bytes){(const uint8_t *)&holder->name, sizeof(holder->name)};
}

struct epb_bytes
epb_stake_key(const void *item)
{
    const struct epb_stake *stake = item;

    return (struct epb_bytes){(const uint8_t *)&stake->name, sizeof(stake->name)};
}
_Static_assert(sizeof(struct epb_holder_name) == sizeof(void *) + sizeof(uint64_t) &&
                   sizeof(struct epb_stake_name) == 2 * sizeof(void *),
               "names have no padding: they are keys");

/* Workers */

static void
worker_release(struct epb_leases *leases, struct epb_worker *worker)
{
    epb_quota_release(leases->quota, leases->arena, worker,
                      sizeof(*worker) + worker->id_bytes);
}

static void
worker_free_unused(struct epb_leases *leases, struct epb_worker *worker)
{
    if (epb_list_empty(&worker->holders)) {
        epb_map_remove(leases->workers, worker);
        worker_release(leases, worker);
    }
}

static enum epb_status
worker_get(struct epb_leases *leases, struct epb_bytes id, struct epb_worker **out)
{
    struct epb_worker *worker = epb_map_find(leases->workers, id);
    void *block;
    enum epb_status status;

    if (worker != NULL) {
        *out = worker;
        return EPB_OK;
    }
    EPB_ASSERT(id.size_bytes > 0 && id.size_bytes <= EPB_WORKER_MAX_BYTES);
    status = epb_quota_alloc(leases->quota, leases->arena,
                             sizeof(*worker) + id.size_bytes, &block);
    if (status != EPB_OK) {
        return status;
    }
    worker = block;
    epb_list_init(&worker->holders);
    worker->id_bytes = (uint16_t)id.size_bytes;
    memcpy(worker->id, id.data, id.size_bytes);
    status = epb_map_insert(leases->workers, worker);
    if (status != EPB_OK) {
        worker_release(leases, worker);
        return status;
    }
    *out = worker;
    return EPB_OK;
}

/* Holders */

uint64_t
epb_who_session(const struct epb_who *who)
{
    return who->detached ? 0 : epb_party_session(who->party);
}

struct epb_holder *
epb_holder_of(const struct epb_leases *leases, const struct epb_worker *worker,
              uint64_t session)
{
    const struct epb_holder_name name = {worker, session};

    return epb_map_find(leases->holders,
                        (struct epb_bytes){(const uint8_t *)&name, sizeof(name)});
}

struct epb_worker *
epb_worker_find(const struct epb_leases *leases, struct epb_bytes id)
{
    return id.size_bytes == 0 ? NULL : epb_map_find(leases->workers, id);
}

struct epb_holder *
epb_holder_find(const struct epb_leases *leases, const struct epb_who *who)
{
    const struct epb_worker *worker = epb_worker_find(leases, who->worker);

    return worker == NULL ? NULL : epb_holder_of(leases, worker, epb_who_session(who));
}

static void
holder_free_unused(struct epb_leases *leases, struct epb_holder *holder)
{
    struct epb_worker *worker = holder->worker;

    EPB_MARK_CHECK(holder, EPB_MARK_HOLDER);
    if (holder->stakes == 0) {
        EPB_ASSERT(epb_list_empty(&holder->grants) && epb_list_empty(&holder->losses));
        epb_mark_clear(&holder->mark, EPB_MARK_HOLDER);
        epb_map_remove(leases->holders, holder);
        epb_list_remove(&holder->of_worker);
        epb_list_remove(&holder->of_group);
        epb_quota_release(leases->quota, leases->arena, holder, sizeof(*holder));
        worker_free_unused(leases, worker);
    }
}

static enum epb_status
holder_new(struct epb_leases *leases, struct epb_worker *worker,
           const struct epb_who *who, struct epb_holder **out)
{
    struct epb_holder *holder;
    void *block;
    enum epb_status status =
        epb_quota_alloc(leases->quota, leases->arena, sizeof(*holder), &block);

    if (status != EPB_OK) {
        return status;
    }
    holder = block;
    holder->name = (struct epb_holder_name){worker, epb_who_session(who)};
    holder->worker = worker;
    holder->group = holder->name.session == 0 ? NULL : who->party->group;
    epb_list_init(&holder->of_group);
    epb_list_init(&holder->grants);
    epb_list_init(&holder->losses);
    status = epb_map_insert(leases->holders, holder);
    if (status != EPB_OK) {
        epb_quota_release(leases->quota, leases->arena, holder, sizeof(*holder));
        return status;
    }
    epb_mark_set(&holder->mark, EPB_MARK_HOLDER);
    epb_list_append(&worker->holders, &holder->of_worker);
    if (holder->group != NULL) {
        epb_list_append(&holder->group->holders, &holder->of_group);
    }
    *out = holder;
    return EPB_OK;
}

static enum epb_status
holder_get(struct epb_leases *leases, const struct epb_who *who, struct epb_holder **out)
{
    struct epb_worker *worker;
    enum epb_status status = worker_get(leases, who->worker, &worker);

    if (status != EPB_OK) {
        return status;
    }
    *out = epb_holder_of(leases, worker, epb_who_session(who));
    if (*out != NULL) {
        return EPB_OK;
    }
    status = holder_new(leases, worker, who, out);
    if (status != EPB_OK) {
        worker_free_unused(leases, worker);
    }
    return status;
}

void
epb_holder_pin(struct epb_holder *holder)
{
    EPB_MARK_CHECK(holder, EPB_MARK_HOLDER);
    holder->stakes++;
}

void
epb_holder_unpin(struct epb_leases *leases, struct epb_holder *holder)
{
    EPB_ASSERT(holder->stakes > 0);
    holder->stakes--;
    holder_free_unused(leases, holder);
}

/* What a worker's id alone speaks of: keys and locks, not computations. */
uint64_t
epb_holder_named_grants(const struct epb_holder *holder)
{
    return holder->live[EPB_SPACE_KEY] + holder->live[EPB_SPACE_LOCK];
}

/* Stakes */

static struct epb_stake *
stake_of(const struct epb_leases *leases, const struct epb_holder *holder,
         const struct epb_resource *resource)
{
    const struct epb_stake_name name = {holder, resource};

    return epb_map_find(leases->stakes,
                        (struct epb_bytes){(const uint8_t *)&name, sizeof(name)});
}

/* The holder's stake in the key or lock of this name, NULL when it has none. */
struct epb_stake *
epb_stake_find(const struct epb_leases *leases, const struct epb_holder *holder,
               enum epb_lease_space space, struct epb_bytes key)
{
    const struct epb_resource *resource = epb_resource_find(leases, space, key);

    return resource == NULL ? NULL : stake_of(leases, holder, resource);
}

void
epb_stake_free_unused(struct epb_leases *leases, struct epb_stake *stake)
{
    struct epb_holder *holder = stake->holder;
    struct epb_resource *resource = stake->resource;

    EPB_MARK_CHECK(stake, EPB_MARK_STAKE);
    if (stake->members > 0) {
        return;
    }
    EPB_ASSERT(epb_list_empty(&stake->grants) && stake->grant_count == 0);
    epb_mark_clear(&stake->mark, EPB_MARK_STAKE);
    epb_map_remove(leases->stakes, stake);
    epb_quota_release(leases->quota, leases->arena, stake, sizeof(*stake));
    holder->stakes--;
    holder_free_unused(leases, holder);
    resource->stakes--;
    epb_resource_free_unused(leases, resource);
}

static enum epb_status
stake_new(struct epb_leases *leases, struct epb_holder *holder,
          struct epb_resource *resource, struct epb_stake **out)
{
    struct epb_stake *stake;
    void *block;
    enum epb_status status =
        epb_quota_alloc(leases->quota, leases->arena, sizeof(*stake), &block);

    if (status != EPB_OK) {
        return status;
    }
    stake = block;
    stake->name = (struct epb_stake_name){holder, resource};
    stake->holder = holder;
    stake->resource = resource;
    epb_list_init(&stake->grants);
    status = epb_map_insert(leases->stakes, stake);
    if (status != EPB_OK) {
        epb_quota_release(leases->quota, leases->arena, stake, sizeof(*stake));
        return status;
    }
    epb_mark_set(&stake->mark, EPB_MARK_STAKE);
    holder->stakes++;
    resource->stakes++;
    *out = stake;
    return EPB_OK;
}

enum epb_status
epb_stake_get(struct epb_leases *leases, const struct epb_who *who,
              struct epb_resource *resource, struct epb_stake **out)
{
    struct epb_holder *holder;
    enum epb_status status = holder_get(leases, who, &holder);

    if (status != EPB_OK) {
        return status;
    }
    *out = stake_of(leases, holder, resource);
    if (*out != NULL) {
        return EPB_OK;
    }
    status = stake_new(leases, holder, resource, out);
    if (status != EPB_OK) {
        holder_free_unused(leases, holder);
    }
    return status;
}
