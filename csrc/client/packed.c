/* See packed.h. */
#include "packed.h"

#include "../base/utf8.h"
#include "../core/command.h"
#include "../core/lease.h"

/* Takes `size_bytes` from the front; NULL: there are not that many. */
static const uint8_t *
take(struct epb_bytes *rest, size_t size_bytes)
{
    const uint8_t *at = rest->data;

    if (size_bytes > rest->size_bytes) {
        return NULL;
    }
    *rest = epb_bytes_after(*rest, size_bytes);
    return at;
}

static bool
take_text(struct epb_bytes *rest, size_t size_bytes, struct epb_bytes *out)
{
    out->data = take(rest, size_bytes);
    out->size_bytes = size_bytes;
    return out->data != NULL && epb_utf8_valid(*out);
}

static bool
is_kind(uint8_t kind)
{
    return kind >= EPB_KIND_NUMBERS && kind <= EPB_KIND_COMPUTE;
}

bool
epb_packed_item(struct epb_bytes *rest, struct epb_packed_item *item)
{
    const uint8_t *at = take(rest, EPB_LIST_ENTRY_HEADER_BYTES);

    if (at == NULL) {
        return false;
    }
    item->ttl_ms = epb_get_u64(at);
    item->version = epb_get_u64(at + 8);
    item->value_bytes = epb_get_u32(at + 16);
    return take_text(rest, epb_get_u16(at + 20), &item->key);
}

bool
epb_packed_lease(struct epb_bytes *rest, struct epb_packed_lease *lease)
{
    const uint8_t *at = take(rest, EPB_LEASES_ENTRY_HEADER_BYTES);

    if (at == NULL) {
        return false;
    }
    lease->is_held = at[0] == 1;
    lease->kind = at[1];
    lease->is_shared = (at[2] & EPB_LEASES_SHARED) != 0;
    lease->session = epb_get_u64(at + 3);
    lease->token = epb_get_u64(at + 11);
    lease->left_ms = epb_get_u64(at + 19);
    lease->age_ms = epb_get_u64(at + 27);
    lease->pid = epb_get_u32(at + 35);
    lease->count = 1;
    if (!is_kind(lease->kind) || !take_text(rest, epb_get_u16(at + 39), &lease->key) ||
        !take_text(rest, epb_get_u16(at + 41), &lease->worker)) {
        return false;
    }
    if ((at[2] & EPB_LEASES_SEVERAL) != 0) {
        const uint8_t *count = take(rest, sizeof(uint32_t));
        lease->count = count == NULL ? 0 : epb_get_u32(count);
        return count != NULL;
    }
    return true;
}

bool
epb_packed_name(struct epb_bytes *rest, struct epb_packed_name *name)
{
    const uint8_t *at = take(rest, EPB_NEAR_HEADER_BYTES);

    if (at == NULL) {
        return false;
    }
    name->kind = at[0];
    return is_kind(name->kind) && take_text(rest, epb_get_u16(at + 1), &name->key);
}

bool
epb_packed_loss(struct epb_bytes *rest, struct epb_packed_loss *loss)
{
    const uint8_t *at = take(rest, EPB_LOSS_HEADER_BYTES);

    if (at == NULL) {
        return false;
    }
    loss->token = epb_get_u64(at);
    return take_text(rest, epb_get_u16(at + 8), &loss->key);
}

bool
epb_packed_obstacle(struct epb_bytes body, struct epb_packed_obstacle *obstacle)
{
    const uint8_t *at = take(&body, EPB_OBSTACLE_HEADER_BYTES);

    if (at == NULL) {
        return false;
    }
    *obstacle = (struct epb_packed_obstacle){epb_get_u32(at), epb_get_u32(at + 4),
                                             epb_get_u32(at + 8), body};
    return true;
}

bool
epb_packed_description(struct epb_bytes body, struct epb_packed_description *description)
{
    const uint8_t *at = take(&body, EPB_DESCRIPTION_BYTES);

    if (at == NULL) {
        return false;
    }
    *description = (struct epb_packed_description){
        at[0], epb_get_u64(at + 1), epb_get_u64(at + 9), epb_get_u64(at + 17)};
    return is_kind(description->kind);
}

/* Whole bodies */

static bool
are_items(struct epb_bytes body)
{
    struct epb_packed_item item;

    while (body.size_bytes > 0) {
        if (!epb_packed_item(&body, &item)) {
            return false;
        }
    }
    return true;
}

static bool
are_leases(struct epb_bytes body)
{
    struct epb_packed_lease lease;

    while (body.size_bytes > 0) {
        if (!epb_packed_lease(&body, &lease)) {
            return false;
        }
    }
    return true;
}

static bool
are_names(struct epb_bytes body)
{
    struct epb_packed_name name;

    while (body.size_bytes > 0) {
        if (!epb_packed_name(&body, &name)) {
            return false;
        }
    }
    return true;
}

static bool
are_losses(struct epb_bytes body)
{
    struct epb_packed_loss loss;

    while (body.size_bytes > 0) {
        if (!epb_packed_loss(&body, &loss)) {
            return false;
        }
    }
    return true;
}

static bool
are_elements(struct epb_bytes body)
{
    while (body.size_bytes > 0) {
        const uint8_t *at = take(&body, EPB_ELEMENT_HEADER_BYTES);
        if (at == NULL || take(&body, epb_get_u32(at)) == NULL) {
            return false;
        }
    }
    return true;
}

/* Several things of one grant: numbers, or elements. */
static bool
are_things(const struct epb_reply *reply)
{
    if ((reply->flags & EPB_F_BURST) == 0) {
        return true;
    }
    return (reply->flags & EPB_F_COUNT) != 0
               ? reply->body.size_bytes % sizeof(uint64_t) == 0
               : are_elements(reply->body);
}

bool
epb_packed_are_events(struct epb_bytes body)
{
    while (body.size_bytes > 0) {
        const uint8_t *at = take(&body, EPB_EVENT_HEADER_BYTES);
        struct epb_bytes key;
        if (at == NULL || at[0] < EPB_EVENT_SET || at[0] > EPB_EVENT_OVERFLOW ||
            !take_text(&body, epb_get_u16(at + 9), &key)) {
            return false;
        }
    }
    return true;
}

static bool
fits_refusal(const struct epb_reply *reply)
{
    struct epb_packed_obstacle obstacle;

    if (reply->body.size_bytes == 0) {
        return true;
    }
    switch (reply->status) {
    case EPB_NOT_FOUND:
        return are_names(reply->body);
    case EPB_LEASE_HELD:
    case EPB_WAIT_TIMEOUT:
    case EPB_DEADLOCK:
        return epb_packed_obstacle(reply->body, &obstacle) &&
               are_leases(obstacle.holders);
    default:
        return true;
    }
}

bool
epb_packed_fits(uint8_t action, const struct epb_reply *reply)
{
    const struct epb_command *command = epb_command_find(action);
    struct epb_packed_description description;

    if (reply->status != EPB_OK) {
        return fits_refusal(reply);
    }
    switch (command == NULL ? EPB_SHAPE_NOTHING : command->shape) {
    case EPB_SHAPE_LIST:
        return are_items(reply->body);
    case EPB_SHAPE_LEASES:
        return are_leases(reply->body);
    case EPB_SHAPE_RENEWAL:
        return are_losses(reply->body);
    case EPB_SHAPE_LEASE:
        return are_things(reply);
    case EPB_SHAPE_DESCRIPTION:
        return reply->body.size_bytes == 0 ||
               epb_packed_description(reply->body, &description);
    default:
        return true;
    }
}
