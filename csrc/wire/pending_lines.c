/* See pending_lines.h: two maps of the same calls. */
#include "pending_lines.h"

#include "../base/map.h"
#include "../base/shared_mem.h"

struct epb_pending_lines {
    struct epb_list all;
    struct epb_map *by_number;
    struct epb_map *by_id; /* those with an id */
    uint32_t last_number;
};

static struct epb_bytes
number_of(const void *item)
{
    const struct epb_call *call = item;

    return (struct epb_bytes){(const uint8_t *)&call->number, sizeof(call->number)};
}

static struct epb_bytes
id_of(const void *item)
{
    return epb_call_id(item);
}

struct epb_pending_lines *
epb_pending_lines_new(void)
{
    struct epb_pending_lines *calls = epb_mem_alloc(sizeof(*calls));

    if (calls == NULL) {
        return NULL;
    }
    epb_list_init(&calls->all);
    calls->by_number = epb_map_new(number_of);
    calls->by_id = epb_map_new(id_of);
    if (calls->by_number == NULL || calls->by_id == NULL) {
        epb_pending_lines_free(calls);
        return NULL;
    }
    return calls;
}

void
epb_pending_lines_free(struct epb_pending_lines *calls)
{
    if (calls == NULL) {
        return;
    }
    while (!epb_list_empty(&calls->all)) {
        epb_pending_lines_remove(calls,
                                 EPB_LIST_ITEM(calls->all.next, struct epb_call, in_all));
    }
    epb_map_free(calls->by_number);
    epb_map_free(calls->by_id);
    epb_mem_free(calls);
}

static uint32_t
unused_number(struct epb_pending_lines *calls)
{
    do {
        calls->last_number++;
    } while (calls->last_number == 0 ||
             epb_pending_lines_numbered(calls, calls->last_number) != NULL);
    return calls->last_number;
}

struct epb_call *
epb_pending_lines_add(struct epb_pending_lines *calls, const struct epb_command *command,
                      struct epb_bytes id)
{
    struct epb_call *call = epb_mem_alloc(sizeof(*call) + id.size_bytes);

    if (call == NULL) {
        return NULL;
    }
    call->command = command;
    call->number = unused_number(calls);
    call->id_bytes = id.size_bytes;
    if (id.size_bytes > 0) {
        memcpy(call->id, id.data, id.size_bytes);
    }
    if (epb_map_insert(calls->by_number, call) != EPB_OK) {
        epb_mem_free(call);
        return NULL;
    }
    if (id.size_bytes > 0 && epb_map_insert(calls->by_id, call) != EPB_OK) {
        epb_map_remove(calls->by_number, call);
        epb_mem_free(call);
        return NULL;
    }
    epb_list_append(&calls->all, &call->in_all);
    return call;
}

void
epb_pending_lines_remove(struct epb_pending_lines *calls, struct epb_call *call)
{
    epb_list_remove(&call->in_all);
    epb_map_remove(calls->by_number, call);
    if (call->id_bytes > 0) {
        epb_map_remove(calls->by_id, call);
    }
    epb_mem_free(call);
}

struct epb_call *
epb_pending_lines_numbered(const struct epb_pending_lines *calls, uint32_t number)
{
    if (calls == NULL) {
        return NULL;
    }
    struct epb_bytes key = {(const uint8_t *)&number, sizeof(number)};
    return epb_map_find(calls->by_number, key);
}

struct epb_call *
epb_pending_lines_named(const struct epb_pending_lines *calls, struct epb_bytes id)
{
    if (calls == NULL || id.size_bytes == 0) {
        return NULL;
    }
    return epb_map_find(calls->by_id, id);
}

bool
epb_pending_lines_any(const struct epb_pending_lines *calls)
{
    return calls != NULL && !epb_list_empty(&calls->all);
}

struct epb_call *
epb_pending_lines_first(const struct epb_pending_lines *calls)
{
    return epb_pending_lines_any(calls)
               ? EPB_LIST_ITEM(calls->all.next, struct epb_call, in_all)
               : NULL;
}
