/* Binary frames: what goes in comes out, and nothing malformed gets through. */
#include "wire_help.h"

#define LIMIT 1048576U

static struct epb_request
random_request(uint64_t *random, uint8_t *memory)
{
    struct epb_request request = {.action = (uint8_t)next_random(random),
                                  .flags =
                                      (uint32_t)next_random(random) & EPB_KNOWN_FLAGS,
                                  .id = (uint32_t)next_random(random)};
    size_t key_bytes = next_random(random) % 513;
    size_t worker_bytes = next_random(random) % 257;
    size_t value_bytes = next_random(random) % 2000;

    for (size_t i = 0; i < key_bytes + worker_bytes + value_bytes; i++) {
        memory[i] = (uint8_t)next_random(random);
    }
    request.key = (struct epb_bytes){memory, key_bytes};
    request.worker = (struct epb_bytes){memory + key_bytes, worker_bytes};
    request.value = (struct epb_bytes){memory + key_bytes + worker_bytes, value_bytes};
    if (request.flags & EPB_F_TTL) {
        request.ttl_ms = next_random(random);
    }
    if (request.flags & EPB_F_VERSION) {
        request.version = next_random(random);
    }
    if (request.flags & EPB_F_FENCE) {
        request.fence = next_random(random);
    }
    if (request.flags & EPB_F_COUNT) {
        request.count = (int64_t)next_random(random);
    }
    if (request.flags & EPB_F_WAIT) {
        request.wait_ms = next_random(random);
    }
    if (request.flags & EPB_F_PERIOD) {
        request.period_ms = next_random(random);
    }
    if (request.flags & EPB_F_BURST) {
        request.burst = next_random(random);
    }
    if (request.flags & EPB_F_COST) {
        request.cost = next_random(random);
    }
    return request;
}

static void
assert_same_request(const struct epb_request *left, const struct epb_request *right)
{
    cr_assert_eq(left->action, right->action);
    cr_assert_eq(left->flags, right->flags);
    cr_assert_eq(left->id, right->id);
    cr_assert(bytes_equal(left->key, right->key));
    cr_assert(bytes_equal(left->worker, right->worker));
    cr_assert(bytes_equal(left->value, right->value));
    cr_assert_eq(left->ttl_ms, right->ttl_ms);
    cr_assert_eq(left->version, right->version);
    cr_assert_eq(left->fence, right->fence);
    cr_assert_eq(left->count, right->count);
    cr_assert_eq(left->wait_ms, right->wait_ms);
    cr_assert_eq(left->period_ms, right->period_ms);
    cr_assert_eq(left->burst, right->burst);
    cr_assert_eq(left->cost, right->cost);
}

Test(frame, requests_come_back_as_they_went)
{
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);
    static uint8_t memory[4096];
    struct epb_buf buf;

    epb_buf_init(&buf, LIMIT);
    for (int i = 0; i < 2000; i++) {
        struct epb_request request = random_request(&random, memory);
        put_request(&buf, request);
        size_t size_bytes;
        cr_assert_eq(epb_frame_scan(bytes_of(&buf), LIMIT, &size_bytes),
                     EPB_FRAME_COMPLETE);
        cr_assert_eq(size_bytes, epb_buf_size(&buf));
        struct epb_request decoded;
        cr_assert_eq(epb_frame_decode_request(bytes_of(&buf), &decoded), EPB_OK);
        assert_same_request(&request, &decoded);
        epb_buf_consume(&buf, size_bytes);
    }
    epb_buf_fini(&buf);
}

Test(frame, replies_come_back_as_they_went)
{
    struct epb_buf buf;

    epb_buf_init(&buf, LIMIT);
    for (uint32_t numbers = 0; numbers < 128; numbers++) {
        struct epb_reply reply = {.status = EPB_CONFLICT,
                                  .flags = numbers | EPB_F_GZIP,
                                  .id = 77,
                                  .ttl_ms = numbers & EPB_F_TTL ? 11 : 0,
                                  .version = numbers & EPB_F_VERSION ? UINT64_MAX : 0,
                                  .fence = numbers & EPB_F_FENCE ? 13 : 0,
                                  .count = numbers & EPB_F_COUNT ? -14 : 0,
                                  .wait_ms = numbers & EPB_F_WAIT ? 15 : 0,
                                  .period_ms = numbers & EPB_F_PERIOD ? 16 : 0,
                                  .burst = numbers & EPB_F_BURST ? 17 : 0,
                                  .body = LITERAL("body")};
        struct epb_reply decoded;
        cr_assert_eq(epb_frame_encode_reply(&buf, &reply), EPB_OK);
        cr_assert_eq(epb_frame_decode_reply(bytes_of(&buf), &decoded), EPB_OK);
        cr_assert_eq(decoded.status, EPB_CONFLICT);
        cr_assert_eq(decoded.flags, reply.flags);
        cr_assert_eq(decoded.id, 77);
        cr_assert_eq(decoded.ttl_ms, reply.ttl_ms);
        cr_assert_eq(decoded.version, reply.version);
        cr_assert_eq(decoded.fence, reply.fence);
        cr_assert_eq(decoded.count, reply.count);
        cr_assert_eq(decoded.wait_ms, reply.wait_ms);
        cr_assert_eq(decoded.period_ms, reply.period_ms);
        cr_assert_eq(decoded.burst, reply.burst);
        cr_assert(bytes_equal(decoded.body, reply.body));
        epb_buf_consume(&buf, epb_buf_size(&buf));
    }
    epb_buf_fini(&buf);
}

Test(frame, is_partial_until_its_last_byte)
{
    struct epb_buf buf;

    epb_buf_init(&buf, LIMIT);
    put_request(&buf,
                (struct epb_request){.action = EPB_ACTION_GET, .key = LITERAL("key")});
    struct epb_bytes frame = bytes_of(&buf);
    for (size_t size_bytes = 0; size_bytes < frame.size_bytes; size_bytes++) {
        size_t whole_bytes;
        struct epb_bytes part = {frame.data, size_bytes};
        cr_assert_eq(epb_frame_scan(part, LIMIT, &whole_bytes), EPB_FRAME_PARTIAL);
        cr_assert_eq(whole_bytes, size_bytes < 4 ? 4 : frame.size_bytes);
    }
    epb_buf_fini(&buf);
}

Test(frame, beyond_the_limit_is_known_from_its_length)
{
    uint8_t start[4];
    size_t size_bytes;

    epb_put_u32(start, 100);
    cr_assert_eq(epb_frame_scan((struct epb_bytes){start, 4}, 100, &size_bytes),
                 EPB_FRAME_PARTIAL);
    cr_assert_eq(epb_frame_scan((struct epb_bytes){start, 4}, 99, &size_bytes),
                 EPB_FRAME_TOO_LARGE);
    epb_put_u32(start, UINT32_MAX);
    cr_assert_eq(epb_frame_scan((struct epb_bytes){start, 4}, LIMIT, &size_bytes),
                 EPB_FRAME_TOO_LARGE);
}

/* A frame with its length field set right for `size_bytes`. */
static struct epb_bytes
cut(uint8_t *frame, size_t size_bytes)
{
    epb_put_u32(frame, (uint32_t)(size_bytes - 4));
    return (struct epb_bytes){frame, size_bytes};
}

Test(frame, of_every_shorter_length_is_refused_and_its_id_kept)
{
    uint32_t all_numbers = EPB_NUMBER_FLAGS;
    struct epb_request request = {.action = EPB_ACTION_SET,
                                  .flags = all_numbers,
                                  .id = 0xA1B2C3D4,
                                  .key = LITERAL("key"),
                                  .worker = LITERAL("worker")};
    struct epb_buf buf;

    epb_buf_init(&buf, LIMIT);
    put_request(&buf, request);
    size_t whole_bytes = epb_buf_size(&buf);
    for (size_t size_bytes = 4; size_bytes < whole_bytes; size_bytes++) {
        struct epb_request decoded;
        cr_assert_eq(epb_frame_decode_request(cut(front_of(&buf), size_bytes), &decoded),
                     EPB_INVALID_REQUEST, "%zu bytes", size_bytes);
        cr_assert_eq(decoded.id, size_bytes < 12 ? 0 : 0xA1B2C3D4);
        cr_assert_eq(epb_frame_id(cut(front_of(&buf), size_bytes)), decoded.id);
    }
    epb_buf_fini(&buf);
}

Test(frame, of_another_version_or_a_reply_with_flags_of_requests_is_refused)
{
    struct epb_buf buf;
    struct epb_request request;
    struct epb_reply reply;

    epb_buf_init(&buf, LIMIT);
    put_request(&buf, (struct epb_request){.action = EPB_ACTION_PING, .id = 9});
    uint8_t *frame = front_of(&buf);
    struct epb_bytes bytes = bytes_of(&buf);
    static const uint16_t requests_only[] = {
        EPB_F_COST,   EPB_F_IF_ABSENT, EPB_F_FORCE,  EPB_F_FRESH,
        EPB_F_SHARED, EPB_F_DETACHED,  EPB_F_DISCARD};
    for (size_t i = 0; i < sizeof(requests_only) / sizeof(requests_only[0]); i++) {
        epb_put_u16(frame + 6, requests_only[i]);
        cr_assert_eq(epb_frame_decode_reply(bytes, &reply), EPB_INVALID_REQUEST);
    }
    epb_put_u16(frame + 6, 0);
    frame[5] = 200;
    cr_assert_eq(epb_frame_decode_request(bytes, &request), EPB_OK,
                 "the engine judges actions");
    cr_assert_eq(epb_frame_decode_reply(bytes, &reply), EPB_INVALID_REQUEST,
                 "no such status");
    frame[4] = 2;
    cr_assert_eq(epb_frame_decode_request(bytes, &request), EPB_VERSION_MISMATCH);
    cr_assert_eq(request.id, 9);
    cr_assert_eq(epb_frame_decode_reply(bytes, &reply), EPB_VERSION_MISMATCH);
    epb_buf_fini(&buf);
}

static void
assert_inside(struct epb_bytes part, struct epb_bytes whole)
{
    if (part.size_bytes == 0) {
        return;
    }
    cr_assert_geq(part.data, whole.data);
    cr_assert_leq(part.data + part.size_bytes, whole.data + whole.size_bytes);
}

Test(frame, of_random_bytes_never_reaches_outside_itself)
{
    uint64_t random = UINT64_C(0xDEADBEEF12345678);

    for (int round = 0; round < 20000; round++) {
        /* Exactly as large as the frame, so that the sanitizer sees a byte too far. */
        size_t size_bytes = 4 + next_random(&random) % 120;
        uint8_t *frame = malloc(size_bytes);
        for (size_t i = 0; i < size_bytes; i++) {
            frame[i] = (uint8_t)next_random(&random);
        }
        if (size_bytes > 7) {
            frame[4] = 1;
            if (round % 2 == 0) {
                frame[7] &= 0x0C;
            }
        }
        if (size_bytes > 15) {
            frame[13] = frame[15] = 0;
        }
        struct epb_bytes bytes = cut(frame, size_bytes);
        struct epb_request request;
        struct epb_reply reply;
        if (epb_frame_decode_request(bytes, &request) == EPB_OK) {
            assert_inside(request.key, bytes);
            assert_inside(request.worker, bytes);
            assert_inside(request.value, bytes);
        }
        if (epb_frame_decode_reply(bytes, &reply) == EPB_OK) {
            assert_inside(reply.body, bytes);
        }
        free(frame);
    }
}

Test(frame, that_cannot_be_encoded_leaves_the_buffer_as_it_was)
{
    static uint8_t zeros[70000];
    struct epb_buf buf;

    epb_buf_init(&buf, 64);
    put(&buf, LITERAL("before"));
    struct epb_request request = {.key = {zeros, sizeof(zeros)}};
    cr_assert_eq(epb_frame_encode_request(&buf, &request), EPB_TOO_LARGE);
    request = (struct epb_request){.value = {zeros, 100}};
    cr_assert_eq(epb_frame_encode_request(&buf, &request), EPB_TOO_LARGE);
    struct epb_reply reply = {.body = {zeros, 100}};
    cr_assert_eq(epb_frame_encode_reply(&buf, &reply), EPB_TOO_LARGE);
    cr_assert(bytes_equal(bytes_of(&buf), LITERAL("before")));
    epb_buf_fini(&buf);
}
