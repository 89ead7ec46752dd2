/* Handlers of the commands that list: jobs that walk, sort, and emit the entries. */
#include "command.h"
#include "engine_internal.h"

/* The common part of both jobs. */
struct list_job {
    struct epb_job job;
    struct epb_listing listing;
    enum epb_status status; /* of collecting the entries */
    bool walked;
    union {
        struct epb_store_walk items;
        struct epb_leases_walk leases;
    } walk;
};

static struct list_job *
list_of(struct epb_job *job)
{
    return (struct list_job *)job; /* its first member */
}

/* Reserves an entry in the list; NULL: not possible, and the job fails. */
static uint8_t *
list_place(struct list_job *list, size_t size_bytes)
{
    uint8_t *out = NULL;

    if (list->status == EPB_OK) {
        list->status = epb_listing_add(&list->listing, size_bytes, &out);
    }
    return out;
}

/* After the walk. */
static enum epb_status
list_sort(struct list_job *list, struct epb_budget *budget, bool *done)
{
    if (list->status != EPB_OK || !list->walked) {
        return list->status;
    }
    return epb_listing_sort(&list->listing, budget, done);
}

static size_t
list_body_bytes(const struct epb_job *job)
{
    return ((const struct list_job *)job)->listing.size_bytes;
}

static enum epb_status
list_take(struct epb_job *job, struct epb_buf *out)
{
    return epb_listing_take(&list_of(job)->listing, out);
}

static bool
list_drop(struct epb_job *job, struct epb_budget *budget)
{
    return epb_listing_drop(&list_of(job)->listing, budget);
}

static size_t
list_held(const struct epb_job *job)
{
    return epb_listing_bytes(&((const struct list_job *)job)->listing);
}

/* list */

static struct epb_bytes
item_key(const uint8_t *entry)
{
    return (struct epb_bytes){entry + EPB_LIST_ENTRY_HEADER_BYTES,
                              epb_get_u16(entry + 20)};
}

/* Visits of the same item have the same key. */
static int
item_compare(const uint8_t *left, const uint8_t *right)
{
    return epb_bytes_compare(item_key(left), item_key(right));
}

static size_t
item_size(const uint8_t *entry)
{
    return EPB_LIST_ENTRY_HEADER_BYTES + item_key(entry).size_bytes;
}

static const struct epb_listing_calls item_calls = {item_compare, item_size, 0};

static void
item_visit(void *context, const struct epb_item_view *view)
{
    uint8_t *out =
        list_place(context, EPB_LIST_ENTRY_HEADER_BYTES + view->key.size_bytes);

    if (out != NULL) {
        epb_put_u64(out, view->ttl_ms);
        epb_put_u64(out + 8, view->version);
        epb_put_u32(out + 16, (uint32_t)view->value.size_bytes);
        epb_put_u16(out + 20, (uint16_t)view->key.size_bytes);
        memcpy(out + EPB_LIST_ENTRY_HEADER_BYTES, view->key.data, view->key.size_bytes);
    }
}

static void
items_begin(struct epb_job *job)
{
    struct list_job *list = list_of(job);

    epb_listing_init(&list->listing, &item_calls);
    list->walk.items = (struct epb_store_walk){
        .prefix = epb_job_prefix(job), .visit = item_visit, .context = list};
    epb_store_walk_begin(job->engine->store, &list->walk.items, &job->began);
}

static enum epb_status
items_work(struct epb_job *job, const struct epb_slice *slice, bool *done)
{
    struct list_job *list = list_of(job);

    if (!list->walked) {
        list->walked =
            epb_store_walk_on(job->engine->store, &list->walk.items, slice->budget);
        if (list->walked) {
            epb_store_walk_end(&list->walk.items);
        }
    }
    return list_sort(list, slice->budget, done);
}

static void
items_stop(struct epb_job *job)
{
    epb_store_walk_end(&list_of(job)->walk.items);
}

void
epb_cmd_list(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    static const struct epb_job_kind kind = {
        .size_bytes = sizeof(struct list_job),
        .begin = items_begin,
        .work = items_work,
        .body_bytes = list_body_bytes,
        .take = list_take,
        .stop = items_stop,
        .drop = list_drop,
        .held = list_held,
    };

    epb_job_run(ctx, &kind, reply);
}

/* leases */

/* Before an entry: its order within its kind, u64. */
#define ORDER_BYTES 8U

static int
compare_numbers(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

static struct epb_bytes
line_key(const uint8_t *entry)
{
    return (struct epb_bytes){entry + ORDER_BYTES + EPB_LEASES_ENTRY_HEADER_BYTES,
                              epb_get_u16(entry + ORDER_BYTES + 39)};
}

/* By key and kind; then held entries (1) before waiting ones (2). */
static int
line_compare(const uint8_t *left, const uint8_t *right)
{
    int order = epb_bytes_compare(line_key(left), line_key(right));

    if (order == 0) {
        order = compare_numbers(left[ORDER_BYTES + 1], right[ORDER_BYTES + 1]);
    }
    if (order == 0) {
        order = compare_numbers(left[ORDER_BYTES], right[ORDER_BYTES]);
    }
    return order != 0 ? order : compare_numbers(epb_get_u64(left), epb_get_u64(right));
}

static size_t
line_size(const uint8_t *entry)
{
    bool several = (entry[ORDER_BYTES + 2] & EPB_LEASES_SEVERAL) != 0;

    return EPB_LEASES_ENTRY_HEADER_BYTES + (size_t)epb_get_u16(entry + ORDER_BYTES + 39) +
           epb_get_u16(entry + ORDER_BYTES + 41) + (several ? sizeof(uint32_t) : 0);
}

static const struct epb_listing_calls line_calls = {line_compare, line_size, ORDER_BYTES};

static void
line_visit(void *context, const struct epb_lease_line *line)
{
    uint8_t *out = list_place(context, ORDER_BYTES + epb_lease_line_bytes(line));

    if (out == NULL) {
        return;
    }
    epb_put_u64(out, line->order);
    out += ORDER_BYTES;
    epb_lease_line_pack(line, out);
}

static void
lines_begin(struct epb_job *job)
{
    struct list_job *list = list_of(job);

    epb_listing_init(&list->listing, &line_calls);
    list->walk.leases = (struct epb_leases_walk){
        .prefix = epb_job_prefix(job), .visit = line_visit, .context = list};
    epb_leases_walk_begin(job->engine->leases, &list->walk.leases, &job->began);
}

static enum epb_status
lines_work(struct epb_job *job, const struct epb_slice *slice, bool *done)
{
    struct list_job *list = list_of(job);

    if (!list->walked) {
        list->walked =
            epb_leases_walk_on(job->engine->leases, &list->walk.leases, slice->budget);
        if (list->walked) {
            epb_leases_walk_end(&list->walk.leases);
        }
    }
    return list_sort(list, slice->budget, done);
}

static void
lines_stop(struct epb_job *job)
{
    epb_leases_walk_end(&list_of(job)->walk.leases);
}

void
epb_cmd_leases(const struct epb_ctx *ctx, struct epb_reply *reply)
{
    static const struct epb_job_kind kind = {
        .size_bytes = sizeof(struct list_job),
        .begin = lines_begin,
        .work = lines_work,
        .body_bytes = list_body_bytes,
        .take = list_take,
        .stop = lines_stop,
        .drop = list_drop,
        .held = list_held,
    };

    epb_job_run(ctx, &kind, reply);
}
