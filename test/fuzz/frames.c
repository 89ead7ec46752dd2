/*
 * Frames. The first byte says what the rest is: a stream of requests, one of replies, or
 * the fields of a request. Both encodings have one way only to say a thing, so what was
 * decoded is encoded to the very same bytes.
 */
#include "fuzz.h"

#include "wire/frame.h"

#define LIMIT_BYTES 4096U

static void
check_request(struct epb_bytes frame, struct epb_buf *out)
{
    struct epb_request request;

    if (epb_frame_decode_request(frame, &request) == EPB_OK) {
        FUZZ_CHECK(request.id == epb_frame_id(frame));
        FUZZ_CHECK(epb_frame_encode_request(out, &request) == EPB_OK);
        FUZZ_CHECK(fuzz_same(fuzz_held(out), frame));
    }
}

static void
check_reply(struct epb_bytes frame, struct epb_buf *out)
{
    struct epb_reply reply;

    if (epb_frame_decode_reply(frame, &reply) == EPB_OK) {
        FUZZ_CHECK(reply.id == epb_frame_id(frame));
        FUZZ_CHECK(epb_frame_encode_reply(out, &reply) == EPB_OK);
        FUZZ_CHECK(fuzz_same(fuzz_held(out), frame));
    }
}

static void
check_stream(struct epb_bytes stream, struct epb_buf *out,
             void (*check)(struct epb_bytes frame, struct epb_buf *out))
{
    size_t size_bytes;

    while (epb_frame_scan(stream, LIMIT_BYTES, &size_bytes) == EPB_FRAME_COMPLETE) {
        FUZZ_CHECK(size_bytes >= EPB_FRAME_LENGTH_BYTES);
        FUZZ_CHECK(size_bytes <= LIMIT_BYTES + EPB_FRAME_LENGTH_BYTES);
        FUZZ_CHECK(size_bytes <= stream.size_bytes);
        check(fuzz_take(&stream, size_bytes), out);
        epb_buf_truncate(out, epb_buf_size(out));
    }
    if (epb_frame_scan(stream, LIMIT_BYTES, &size_bytes) == EPB_FRAME_PARTIAL) {
        FUZZ_CHECK(size_bytes > stream.size_bytes);
    }
}

static void
fill_numbers(struct epb_request *request, struct epb_bytes *input)
{
    uint64_t *const numbers[] = {&request->ttl_ms,  &request->version,
                                 &request->fence,   (uint64_t *)&request->count,
                                 &request->wait_ms, &request->period_ms,
                                 &request->burst,   &request->cost};

    for (unsigned i = 0; i < EPB_NUMBER_COUNT; i++) {
        if ((request->flags & 1U << i) != 0) {
            *numbers[i] = (uint64_t)fuzz_u16(input) << (fuzz_u8(input) & 63);
        }
    }
}

/* Fields that are not there are zero, so that the two can be compared as they are. */
static void
check_fields(struct epb_bytes input, struct epb_buf *out)
{
    struct epb_request request = {.action = fuzz_u8(&input), .flags = fuzz_u16(&input)};
    struct epb_request decoded;

    request.id = fuzz_u16(&input) * 65537U;
    fill_numbers(&request, &input);
    request.key = fuzz_take(&input, fuzz_u8(&input));
    request.worker = fuzz_take(&input, fuzz_u8(&input));
    request.value = input;
    FUZZ_CHECK(epb_frame_encode_request(out, &request) == EPB_OK);
    FUZZ_CHECK(epb_frame_decode_request(fuzz_held(out), &decoded) == EPB_OK);
    FUZZ_CHECK(decoded.action == request.action && decoded.flags == request.flags);
    FUZZ_CHECK(decoded.id == request.id);
    FUZZ_CHECK(fuzz_same(decoded.key, request.key));
    FUZZ_CHECK(fuzz_same(decoded.worker, request.worker));
    FUZZ_CHECK(fuzz_same(decoded.value, request.value));
    FUZZ_CHECK(decoded.ttl_ms == request.ttl_ms && decoded.version == request.version);
    FUZZ_CHECK(decoded.fence == request.fence && decoded.count == request.count);
    FUZZ_CHECK(decoded.wait_ms == request.wait_ms);
    FUZZ_CHECK(decoded.period_ms == request.period_ms);
    FUZZ_CHECK(decoded.burst == request.burst && decoded.cost == request.cost);
}

void
fuzz_frames(const uint8_t *data, size_t size_bytes)
{
    struct epb_bytes input = {data, size_bytes};
    struct epb_buf out;

    epb_buf_init(&out, (size_t)1 << 24);
    switch (fuzz_u8(&input) % 3) {
    case 0:
        check_stream(input, &out, check_request);
        break;
    case 1:
        check_stream(input, &out, check_reply);
        break;
    default:
        check_fields(input, &out);
        break;
    }
    epb_buf_fini(&out);
}
