/* See jsonl_packed.h. The engine packs these bodies, so they are well-formed. */
#include "jsonl_packed.h"

#include "../core/lease.h"
#include "jsonl.h"

/* Takes bytes from the front of a packed body. */
static struct epb_bytes
take(struct epb_bytes *rest, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= rest->size_bytes);
    struct epb_bytes taken = {rest->data, size_bytes};
    rest->data += size_bytes;
    rest->size_bytes -= size_bytes;
    return taken;
}

void
epb_jsonl_put_number(struct epb_text *text, const char *before, uint64_t number)
{
    epb_text_put(text, before);
    epb_text_put_number(text, number);
}

void
epb_jsonl_put_truth(struct epb_text *text, const char *before, bool truth)
{
    epb_text_put(text, before);
    epb_text_put(text, truth ? "true" : "false");
}

/* Writes entries with commas between them, while there is room. */
static void
put_entries(struct epb_text *text, struct epb_bytes rest, uint64_t wall_ms,
            void (*put)(struct epb_text *text, struct epb_bytes *rest, uint64_t wall_ms))
{
    bool first = true;

    while (rest.size_bytes > 0 && text->status == EPB_OK) {
        if (!first) {
            epb_text_put(text, ",");
        }
        first = false;
        put(text, &rest, wall_ms);
    }
}

static void
put_item(struct epb_text *text, struct epb_bytes *rest, uint64_t wall_ms)
{
    const uint8_t *entry = take(rest, EPB_LIST_ENTRY_HEADER_BYTES).data;
    uint64_t ttl_ms = epb_get_u64(entry);

    epb_text_put_json_string(text, take(rest, epb_get_u16(entry + 20)));
    epb_jsonl_put_number(text, ":{\"expires\":", wall_ms + ttl_ms);
    epb_jsonl_put_number(text, ",\"hasValue\":true,\"ttl\":", ttl_ms);
    epb_jsonl_put_number(text, ",\"version\":", epb_get_u64(entry + 8));
    epb_jsonl_put_number(text, ",\"size\":", epb_get_u32(entry + 16));
    epb_text_put(text, "}");
}

static void
put_loss(struct epb_text *text, struct epb_bytes *rest, uint64_t wall_ms)
{
    (void)wall_ms;
    const uint8_t *loss = take(rest, EPB_LOSS_HEADER_BYTES).data;
    epb_text_put(text, "{\"key\":");
    epb_text_put_json_string(text, take(rest, epb_get_u16(loss + 8)));
    epb_jsonl_put_number(text, ",\"token\":", epb_get_u64(loss));
    epb_text_put(text, "}");
}

void
epb_jsonl_put_losses(struct epb_text *text, struct epb_bytes packed)
{
    epb_text_put(text, ",\"lost\":[");
    put_entries(text, packed, 0, put_loss);
    epb_text_put(text, "]");
}

static const char *
kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [EPB_KIND_NUMBERS] = "numbers", [EPB_KIND_SEMAPHORE] = "semaphore",
        [EPB_KIND_POOL] = "pool",       [EPB_KIND_VALUE] = "value",
        [EPB_KIND_LOCK] = "lock",       [EPB_KIND_COMPUTE] = "compute",
    };

    EPB_ASSERT(kind >= EPB_KIND_NUMBERS && kind <= EPB_KIND_COMPUTE);
    return names[kind];
}

static void
put_near_name(struct epb_text *text, struct epb_bytes *rest, uint64_t wall_ms)
{
    (void)wall_ms;
    const uint8_t *near = take(rest, EPB_NEAR_HEADER_BYTES).data;
    epb_text_put(text, "{\"key\":");
    epb_text_put_json_string(text, take(rest, epb_get_u16(near + 1)));
    epb_text_put(text, ",\"kind\":\"");
    epb_text_put(text, kind_name(near[0]));
    epb_text_put(text, "\"}");
}

void
epb_jsonl_put_near(struct epb_text *text, struct epb_bytes packed)
{
    epb_text_put(text, ",\"near\":[");
    put_entries(text, packed, 0, put_near_name);
    epb_text_put(text, "]");
}

/* Writes a number, or null when there is none. */
static void
put_number_or_null(struct epb_text *text, const char *before, uint64_t number, bool null)
{
    epb_text_put(text, before);
    if (null) {
        epb_text_put(text, "null");
    } else {
        epb_text_put_number(text, number);
    }
}

void
epb_jsonl_put_description(struct epb_text *text, struct epb_bytes packed)
{
    if (packed.size_bytes == 0) {
        epb_text_put(text, ",\"kind\":null");
        return;
    }
    const uint8_t *at = take(&packed, EPB_DESCRIPTION_BYTES).data;
    uint64_t size = epb_get_u64(at + 1);
    uint64_t free = epb_get_u64(at + 9);
    epb_text_put(text, ",\"kind\":\"");
    epb_text_put(text, kind_name(at[0]));
    epb_text_put(text, "\"");
    put_number_or_null(text, ",\"size\":", size, size == UINT64_MAX);
    put_number_or_null(text, ",\"free\":", free, free == UINT64_MAX);
    epb_jsonl_put_number(text, ",\"waiting\":", epb_get_u64(at + 17));
}

static void
put_lease(struct epb_text *text, struct epb_bytes *rest, uint64_t wall_ms)
{
    const uint8_t *lease = take(rest, EPB_LEASES_ENTRY_HEADER_BYTES).data;
    struct epb_bytes key = take(rest, epb_get_u16(lease + 39));
    struct epb_bytes worker = take(rest, epb_get_u16(lease + 41));
    bool held = lease[0] == 1;
    bool several = (lease[2] & EPB_LEASES_SEVERAL) != 0;
    uint64_t count = several ? epb_get_u32(take(rest, sizeof(uint32_t)).data) : 1;
    uint64_t session = epb_get_u64(lease + 3);
    uint64_t left_ms = epb_get_u64(lease + 19);
    uint64_t age_ms = epb_get_u64(lease + 27);
    uint32_t pid = epb_get_u32(lease + 35);

    epb_text_put(text, "{\"key\":");
    epb_text_put_json_string(text, key);
    epb_text_put(text, ",\"kind\":\"");
    epb_text_put(text, kind_name(lease[1]));
    epb_text_put(text, held ? "\",\"state\":\"held\"" : "\",\"state\":\"waiting\"");
    epb_text_put(text, ",\"workerId\":");
    epb_text_put_json_string(text, worker);
    epb_jsonl_put_truth(text, ",\"shared\":", (lease[2] & EPB_LEASES_SHARED) != 0);
    epb_jsonl_put_number(text, ",\"count\":", count);
    put_number_or_null(text, ",\"session\":", session, session == 0);
    if (held) {
        epb_jsonl_put_number(text, ",\"token\":", epb_get_u64(lease + 11));
        epb_jsonl_put_number(text, ",\"ttl\":", left_ms);
    } else {
        put_number_or_null(text, ",\"waitMs\":", left_ms, left_ms >= EPB_WAIT_FOREVER_MS);
    }
    put_number_or_null(text, ",\"pid\":", pid, pid == 0);
    epb_jsonl_put_number(text, ",\"since\":", wall_ms < age_ms ? 0 : wall_ms - age_ms);
    epb_text_put(text, "}");
}

void
epb_jsonl_put_list_front(struct epb_text *text, enum epb_shape shape)
{
    epb_text_put(text, shape == EPB_SHAPE_LIST ? ",\"items\":{" : ",\"leases\":[");
}

void
epb_jsonl_put_entries(struct epb_text *text, enum epb_shape shape,
                      struct epb_bytes packed, uint64_t wall_ms)
{
    put_entries(text, packed, wall_ms, shape == EPB_SHAPE_LIST ? put_item : put_lease);
}

void
epb_jsonl_put_list_back(struct epb_text *text, enum epb_shape shape)
{
    epb_text_put(text, shape == EPB_SHAPE_LIST ? "}" : "]");
}

void
epb_jsonl_put_obstacle(struct epb_text *text, struct epb_bytes packed, bool is_cycle,
                       uint64_t wall_ms)
{
    const uint8_t *header = take(&packed, EPB_OBSTACLE_HEADER_BYTES).data;
    uint32_t place = epb_get_u32(header);

    if (!is_cycle) {
        if (place != 0) {
            epb_jsonl_put_number(text, ",\"place\":", place);
        }
        epb_jsonl_put_number(text, ",\"waiting\":", epb_get_u32(header + 4));
    }
    epb_text_put(text, is_cycle ? ",\"cycle\":[" : ",\"holders\":[");
    put_entries(text, packed, wall_ms, put_lease);
    epb_text_put(text, "]");
}

static const char *
event_name(uint8_t kind)
{
    static const char *const names[] = {
        [EPB_EVENT_SET] = "set",           [EPB_EVENT_DEL] = "del",
        [EPB_EVENT_EXPIRE] = "expire",     [EPB_EVENT_EVICT] = "evict",
        [EPB_EVENT_OVERFLOW] = "overflow",
    };

    EPB_ASSERT(kind >= EPB_EVENT_SET && kind <= EPB_EVENT_OVERFLOW);
    return names[kind];
}

enum epb_status
epb_jsonl_encode_events(struct epb_buf *out, struct epb_bytes id, struct epb_bytes packed)
{
    struct epb_text text = epb_text_begin(out);

    while (packed.size_bytes > 0 && text.status == EPB_OK) {
        const uint8_t *event = take(&packed, EPB_EVENT_HEADER_BYTES).data;
        struct epb_bytes key = take(&packed, epb_get_u16(event + 9));
        epb_text_put(&text, "{\"event\":\"");
        epb_text_put(&text, event_name(event[0]));
        epb_text_put(&text, "\",\"id\":");
        epb_text_put_bytes(&text, id);
        if (event[0] != EPB_EVENT_OVERFLOW) {
            epb_text_put(&text, ",\"key\":");
            epb_text_put_json_string(&text, key);
            epb_jsonl_put_number(&text, ",\"version\":", epb_get_u64(event + 1));
        }
        epb_text_put(&text, "}\n");
    }
    return epb_text_end(&text);
}
