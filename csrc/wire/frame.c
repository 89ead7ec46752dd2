/* See frame.h. Decoding borrows from the frame; encoding writes each byte once. */
#include "frame.h"

#include "../base/mem.h"

#define NUMBER_BYTES 8U
#define NUMBER_FLAGS ((1U << EPB_NUMBER_COUNT) - 1)
/* The numbers of struct epb_reply. */
#define REPLY_FLAGS                                                                      \
    (EPB_F_TTL | EPB_F_VERSION | EPB_F_FENCE | EPB_F_COUNT | EPB_F_WAIT | EPB_F_PERIOD | \
     EPB_F_BURST | EPB_VALUE_FLAGS)

enum epb_frame_state
epb_frame_scan(struct epb_bytes input, size_t limit_bytes, size_t *size_bytes)
{
    *size_bytes = EPB_FRAME_LENGTH_BYTES;
    if (input.size_bytes < EPB_FRAME_LENGTH_BYTES) {
        return EPB_FRAME_PARTIAL;
    }
    uint32_t length = epb_get_u32(input.data);
    if (length > limit_bytes) {
        return EPB_FRAME_TOO_LARGE;
    }
    *size_bytes = EPB_FRAME_LENGTH_BYTES + (size_t)length;
    return input.size_bytes < *size_bytes ? EPB_FRAME_PARTIAL : EPB_FRAME_COMPLETE;
}

uint32_t
epb_frame_id(struct epb_bytes frame)
{
    return frame.size_bytes < EPB_FRAME_ID_END_BYTES ? 0 : epb_get_u32(frame.data + 8);
}

void
epb_frames_set_id(uint8_t *frames, size_t size_bytes, uint32_t id)
{
    size_t frame_bytes = 0;

    for (size_t at = 0; at < size_bytes; at += frame_bytes) {
        struct epb_bytes rest = {frames + at, size_bytes - at};
        if (epb_frame_scan(rest, rest.size_bytes, &frame_bytes) != EPB_FRAME_COMPLETE ||
            frame_bytes < EPB_FRAME_ID_END_BYTES) {
            return;
        }
        epb_put_u32(frames + at + 8, id);
    }
}

/* The lowest flag that is set. Most frames have at most one number, so loops visit only
 * the flags that are set. */
static uint32_t
lowest(uint32_t flags)
{
    return flags & (~flags + 1);
}

static size_t
numbers_bytes(uint32_t flags)
{
    size_t count = 0;

    for (uint32_t rest = flags & NUMBER_FLAGS; rest != 0; rest &= rest - 1) {
        count++;
    }
    return count * NUMBER_BYTES;
}

/* The request's number for a flag. COUNT is signed and travels as two's complement. */
static uint64_t
request_number(const struct epb_request *request, uint32_t flag)
{
    switch (flag) {
    case EPB_F_TTL:
        return request->ttl_ms;
    case EPB_F_VERSION:
        return request->version;
    case EPB_F_FENCE:
        return request->fence;
    case EPB_F_COUNT:
        return (uint64_t)request->count;
    case EPB_F_WAIT:
        return request->wait_ms;
    case EPB_F_PERIOD:
        return request->period_ms;
    case EPB_F_BURST:
        return request->burst;
    default:
        return request->cost;
    }
}

static void
set_request_number(struct epb_request *request, uint32_t flag, uint64_t number)
{
    switch (flag) {
    case EPB_F_TTL:
        request->ttl_ms = number;
        break;
    case EPB_F_VERSION:
        request->version = number;
        break;
    case EPB_F_FENCE:
        request->fence = number;
        break;
    case EPB_F_COUNT:
        request->count = (int64_t)number;
        break;
    case EPB_F_WAIT:
        request->wait_ms = number;
        break;
    case EPB_F_PERIOD:
        request->period_ms = number;
        break;
    case EPB_F_BURST:
        request->burst = number;
        break;
    default:
        request->cost = number;
        break;
    }
}

static uint64_t
reply_number(const struct epb_reply *reply, uint32_t flag)
{
    switch (flag) {
    case EPB_F_TTL:
        return reply->ttl_ms;
    case EPB_F_VERSION:
        return reply->version;
    case EPB_F_FENCE:
        return reply->fence;
    case EPB_F_WAIT:
        return reply->wait_ms;
    case EPB_F_PERIOD:
        return reply->period_ms;
    case EPB_F_BURST:
        return reply->burst;
    default:
        return (uint64_t)reply->count;
    }
}

static void
set_reply_number(struct epb_reply *reply, uint32_t flag, uint64_t number)
{
    switch (flag) {
    case EPB_F_TTL:
        reply->ttl_ms = number;
        break;
    case EPB_F_VERSION:
        reply->version = number;
        break;
    case EPB_F_FENCE:
        reply->fence = number;
        break;
    case EPB_F_WAIT:
        reply->wait_ms = number;
        break;
    case EPB_F_PERIOD:
        reply->period_ms = number;
        break;
    case EPB_F_BURST:
        reply->burst = number;
        break;
    default:
        reply->count = (int64_t)number;
        break;
    }
}

/* Takes bytes from the front of a frame's rest; the caller has checked the size. */
static struct epb_bytes
take(struct epb_bytes *rest, size_t size_bytes)
{
    struct epb_bytes taken = {rest->data, size_bytes};

    rest->data += size_bytes;
    rest->size_bytes -= size_bytes;
    return taken;
}

/* Decodes the common start of both kinds of frame: checks the version and fills flags and
 * id. */
static enum epb_status
decode_start(struct epb_bytes frame, size_t header_bytes, uint32_t *flags, uint32_t *id)
{
    *id = epb_frame_id(frame);
    if (frame.size_bytes <= EPB_FRAME_LENGTH_BYTES) {
        return EPB_INVALID_REQUEST;
    }
    if (frame.data[4] != EPB_FRAME_VERSION) {
        return EPB_VERSION_MISMATCH;
    }
    if (frame.size_bytes < header_bytes) {
        return EPB_INVALID_REQUEST;
    }
    *flags = epb_get_u16(frame.data + 6);
    return EPB_OK;
}

enum epb_status
epb_frame_decode_request(struct epb_bytes frame, struct epb_request *request)
{
    epb_zero(request, sizeof(*request));
    enum epb_status status =
        decode_start(frame, EPB_REQUEST_HEADER_BYTES, &request->flags, &request->id);
    if (status != EPB_OK) {
        return status;
    }
    request->action = frame.data[5];
    size_t key_bytes = epb_get_u16(frame.data + 12);
    size_t worker_bytes = epb_get_u16(frame.data + 14);
    struct epb_bytes rest = frame;
    (void)take(&rest, EPB_REQUEST_HEADER_BYTES);
    if (rest.size_bytes < numbers_bytes(request->flags) + key_bytes + worker_bytes) {
        return EPB_INVALID_REQUEST;
    }
    for (uint32_t left = request->flags & NUMBER_FLAGS; left != 0; left &= left - 1) {
        set_request_number(request, lowest(left),
                           epb_get_u64(take(&rest, NUMBER_BYTES).data));
    }
    request->key = take(&rest, key_bytes);
    request->worker = take(&rest, worker_bytes);
    request->value = rest;
    return EPB_OK;
}

enum epb_status
epb_frame_decode_reply(struct epb_bytes frame, struct epb_reply *reply)
{
    epb_zero(reply, sizeof(*reply));
    reply->status = EPB_INTERNAL;
    enum epb_status status =
        decode_start(frame, EPB_REPLY_HEADER_BYTES, &reply->flags, &reply->id);
    if (status != EPB_OK) {
        return status;
    }
    unsigned number = frame.data[5];
    if ((reply->flags & ~REPLY_FLAGS) != 0 || !epb_status_is_known(number)) {
        return EPB_INVALID_REQUEST;
    }
    reply->status = (enum epb_status)number;
    struct epb_bytes rest = frame;
    (void)take(&rest, EPB_REPLY_HEADER_BYTES);
    if (rest.size_bytes < numbers_bytes(reply->flags)) {
        return EPB_INVALID_REQUEST;
    }
    for (uint32_t left = reply->flags & NUMBER_FLAGS; left != 0; left &= left - 1) {
        set_reply_number(reply, lowest(left),
                         epb_get_u64(take(&rest, NUMBER_BYTES).data));
    }
    reply->body = rest;
    return EPB_OK;
}

static uint8_t *
put_bytes(uint8_t *out, struct epb_bytes bytes)
{
    epb_mem_copy(out, bytes.data, bytes.size_bytes);
    return out + bytes.size_bytes;
}

static void
put_start(uint8_t *out, size_t size_bytes, uint8_t code, uint32_t flags, uint32_t id)
{
    epb_put_u32(out, (uint32_t)(size_bytes - EPB_FRAME_LENGTH_BYTES));
    out[4] = EPB_FRAME_VERSION;
    out[5] = code;
    epb_put_u16(out + 6, (uint16_t)flags);
    epb_put_u32(out + 8, id);
}

enum epb_status
epb_frame_encode_request(struct epb_buf *out, const struct epb_request *request)
{
    size_t start_bytes = EPB_REQUEST_HEADER_BYTES + numbers_bytes(request->flags) +
                         request->key.size_bytes + request->worker.size_bytes;

    if (request->key.size_bytes > UINT16_MAX || request->worker.size_bytes > UINT16_MAX ||
        request->value.size_bytes > UINT32_MAX - start_bytes) {
        return EPB_TOO_LARGE;
    }
    size_t size_bytes = start_bytes + request->value.size_bytes;
    uint8_t *frame;
    enum epb_status status = epb_buf_reserve(out, size_bytes, &frame);
    if (status != EPB_OK) {
        return status;
    }

    put_start(frame, size_bytes, request->action, request->flags, request->id);
    epb_put_u16(frame + 12, (uint16_t)request->key.size_bytes);
    epb_put_u16(frame + 14, (uint16_t)request->worker.size_bytes);
    uint8_t *at = frame + EPB_REQUEST_HEADER_BYTES;
    for (uint32_t left = request->flags & NUMBER_FLAGS; left != 0; left &= left - 1) {
        epb_put_u64(at, request_number(request, lowest(left)));
        at += NUMBER_BYTES;
    }
    at = put_bytes(at, request->key);
    at = put_bytes(at, request->worker);
    (void)put_bytes(at, request->value);
    epb_buf_commit(out, size_bytes);
    return EPB_OK;
}

enum epb_status
epb_frame_encode_reply(struct epb_buf *out, const struct epb_reply *reply)
{
    EPB_ASSERT((reply->flags & ~REPLY_FLAGS) == 0);
    size_t start_bytes = EPB_REPLY_HEADER_BYTES + numbers_bytes(reply->flags);
    if (reply->body.size_bytes + reply->rest_bytes > UINT32_MAX - start_bytes) {
        return EPB_TOO_LARGE;
    }
    size_t size_bytes = start_bytes + reply->body.size_bytes;
    uint8_t *frame;
    enum epb_status status = epb_buf_reserve(out, size_bytes, &frame);
    if (status != EPB_OK) {
        return status;
    }

    put_start(frame, size_bytes + reply->rest_bytes, (uint8_t)reply->status, reply->flags,
              reply->id);
    uint8_t *at = frame + EPB_REPLY_HEADER_BYTES;
    for (uint32_t left = reply->flags & NUMBER_FLAGS; left != 0; left &= left - 1) {
        epb_put_u64(at, reply_number(reply, lowest(left)));
        at += NUMBER_BYTES;
    }
    (void)put_bytes(at, reply->body);
    epb_buf_commit(out, size_bytes);
    return EPB_OK;
}
