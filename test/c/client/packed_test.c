/* Packed bodies of replies: whole, cut at every byte, and with wrong lengths. */
#include "client/packed.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/lease.h"
#include "helpers.h"

static uint8_t body[256];

/* Entries with a key of two bytes, as the engine packs them. */

static size_t
pack_item(uint8_t *out)
{
    epb_put_u64(out, 1000);
    epb_put_u64(out + 8, 7);
    epb_put_u32(out + 16, 42);
    epb_put_u16(out + 20, 2);
    memcpy(out + EPB_LIST_ENTRY_HEADER_BYTES, "ab", 2);
    return EPB_LIST_ENTRY_HEADER_BYTES + 2;
}

static size_t
pack_lease(uint8_t *out)
{
    memset(out, 0, EPB_LEASES_ENTRY_HEADER_BYTES);
    out[0] = 1;
    out[1] = EPB_KIND_POOL;
    out[2] = EPB_LEASES_SHARED | EPB_LEASES_SEVERAL;
    epb_put_u64(out + 11, 5);
    epb_put_u32(out + 35, 99);
    epb_put_u16(out + 39, 2);
    epb_put_u16(out + 41, 1);
    memcpy(out + EPB_LEASES_ENTRY_HEADER_BYTES, "abw", 3);
    epb_put_u32(out + EPB_LEASES_ENTRY_HEADER_BYTES + 3, 3);
    return EPB_LEASES_ENTRY_HEADER_BYTES + 7;
}

static size_t
pack_name(uint8_t *out)
{
    out[0] = EPB_KIND_VALUE;
    epb_put_u16(out + 1, 2);
    memcpy(out + EPB_NEAR_HEADER_BYTES, "ab", 2);
    return EPB_NEAR_HEADER_BYTES + 2;
}

static size_t
pack_loss(uint8_t *out)
{
    epb_put_u64(out, 5);
    epb_put_u16(out + 8, 2);
    memcpy(out + EPB_LOSS_HEADER_BYTES, "ab", 2);
    return EPB_LOSS_HEADER_BYTES + 2;
}

static size_t
pack_obstacle(uint8_t *out)
{
    epb_put_u32(out, 1);
    epb_put_u32(out + 4, 2);
    epb_put_u32(out + 8, 1);
    return EPB_OBSTACLE_HEADER_BYTES + pack_lease(out + EPB_OBSTACLE_HEADER_BYTES);
}

static size_t
pack_description(uint8_t *out)
{
    memset(out, 0, EPB_DESCRIPTION_BYTES);
    out[0] = EPB_KIND_SEMAPHORE;
    return EPB_DESCRIPTION_BYTES;
}

static size_t
pack_elements(uint8_t *out)
{
    epb_put_u32(out, 2);
    out[4] = 0;
    memcpy(out + EPB_ELEMENT_HEADER_BYTES, "42", 2);
    return EPB_ELEMENT_HEADER_BYTES + 2;
}

static const struct {
    uint8_t action;
    enum epb_status status;
    uint32_t flags;
    size_t (*pack)(uint8_t *out);
    bool is_list; /* an empty body is well formed */
} BODIES[] = {
    {EPB_ACTION_LIST, EPB_OK, 0, pack_item, true},
    {EPB_ACTION_LEASES, EPB_OK, 0, pack_lease, true},
    {EPB_ACTION_RENEW, EPB_OK, 0, pack_loss, true},
    {EPB_ACTION_ACQUIRE, EPB_OK, EPB_F_BURST, pack_elements, true},
    {EPB_ACTION_DESCRIBE, EPB_OK, 0, pack_description, true},
    {EPB_ACTION_GET, EPB_NOT_FOUND, 0, pack_name, true},
    {EPB_ACTION_LEASE, EPB_LEASE_HELD, 0, pack_obstacle, true},
};

/* In memory of exactly this size, so that the sanitizer sees a byte too far. */
static bool
fits(size_t index, const uint8_t *bytes, size_t size_bytes)
{
    uint8_t *exact = malloc(size_bytes == 0 ? 1 : size_bytes);

    cr_assert_not_null(exact);
    memcpy(exact, bytes, size_bytes);
    const struct epb_reply reply = {.status = BODIES[index].status,
                                    .flags = BODIES[index].flags,
                                    .body = {exact, size_bytes}};
    bool fit = epb_packed_fits(BODIES[index].action, &reply);
    free(exact);
    return fit;
}

Test(packed, whole_bodies_fit_and_cut_ones_do_not)
{
    for (size_t i = 0; i < sizeof(BODIES) / sizeof(BODIES[0]); i++) {
        size_t size_bytes = BODIES[i].pack(body);
        cr_assert(fits(i, body, size_bytes), "body %zu", i);
        cr_assert(fits(i, body, 0));
        for (size_t cut = 1; cut < size_bytes; cut++) {
            /* An obstacle without holders is whole. */
            bool whole =
                BODIES[i].status == EPB_LEASE_HELD && cut == EPB_OBSTACLE_HEADER_BYTES;
            cr_assert_eq(fits(i, body, cut), whole, "body %zu cut at %zu", i, cut);
        }
    }
}

Test(packed, random_bodies_are_never_read_beyond_their_end)
{
    struct random random = {.state = 20261130};

    for (unsigned round = 0; round < 20000; round++) {
        size_t index = random_below(&random, sizeof(BODIES) / sizeof(BODIES[0]));
        size_t size_bytes = BODIES[index].pack(body);
        body[random_below(&random, (unsigned)size_bytes)] = (uint8_t)random_next(&random);
        (void)fits(index, body, size_bytes);
    }
}

Test(packed, keys_are_text_and_kinds_are_known)
{
    size_t size_bytes = pack_name(body);

    body[EPB_NEAR_HEADER_BYTES] = 0xFF;
    cr_assert_not(fits(5, body, size_bytes));
    size_bytes = pack_name(body);
    body[0] = 7;
    cr_assert_not(fits(5, body, size_bytes));
}

Test(packed, entries_have_what_was_packed)
{
    struct epb_bytes rest = {body, pack_lease(body)};
    struct epb_packed_lease lease;

    cr_assert(epb_packed_lease(&rest, &lease));
    cr_assert_eq(rest.size_bytes, 0);
    cr_assert(lease.is_held && lease.is_shared);
    cr_assert_eq(lease.count, 3);
    cr_assert_eq(lease.token, 5);
    cr_assert_eq(lease.pid, 99);
    cr_assert(bytes_equal(lease.key, bytes_of("ab")));
    cr_assert(bytes_equal(lease.worker, bytes_of("w")));
}

Test(packed, events_have_a_known_kind_and_their_key)
{
    memset(body, 0, EPB_EVENT_HEADER_BYTES);
    body[0] = EPB_EVENT_SET;
    epb_put_u16(body + 9, 2);
    memcpy(body + EPB_EVENT_HEADER_BYTES, "ab", 2);
    const size_t size_bytes = EPB_EVENT_HEADER_BYTES + 2;
    cr_assert(epb_packed_are_events((struct epb_bytes){body, size_bytes}));
    cr_assert_not(epb_packed_are_events((struct epb_bytes){body, size_bytes - 1}));
    body[0] = EPB_EVENT_OVERFLOW + 1;
    cr_assert_not(epb_packed_are_events((struct epb_bytes){body, size_bytes}));
}
