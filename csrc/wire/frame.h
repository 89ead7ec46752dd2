/*
 * The binary encoding of requests and replies. A frame is
 *
 *   request  u32 length | u8 version | u8 action | u16 flags | u32 id | u16 key bytes
 *            | u16 worker bytes | numbers | key | worker | value
 *   reply    u32 length | u8 version | u8 status | u16 flags | u32 id | numbers | body
 *
 * little-endian; `length` counts what follows it; `numbers` are 8 bytes each for the flag
 * bits 0 to 7 that are set, in that order; the value (body) is the rest. A request with
 * id 0 gets no reply; a reply with id 0 is what the broker sends on its own.
 */
#ifndef EPB_WIRE_FRAME_H
#define EPB_WIRE_FRAME_H

#include "../base/buf.h"
#include "../core/msg.h"

#define EPB_FRAME_VERSION 1U
#define EPB_FRAME_LENGTH_BYTES 4U
#define EPB_REQUEST_HEADER_BYTES 16U
#define EPB_REPLY_HEADER_BYTES 12U

enum epb_frame_state {
    EPB_FRAME_COMPLETE,
    EPB_FRAME_PARTIAL,  /* more bytes are needed */
    EPB_FRAME_TOO_LARGE /* its length is beyond the limit: the stream can't go on */
};

/* Looks at the front of the input. *size_bytes is that of the whole frame, length field
 * included; on PARTIAL, as far as it is known: how many bytes are needed to know more.
 * `limit_bytes` bounds what follows the length field. */
enum epb_frame_state
epb_frame_scan(struct epb_bytes input, size_t limit_bytes, size_t *size_bytes);

/* The id in the front part of a frame; 0 when that part is too short to have one. */
uint32_t
epb_frame_id(struct epb_bytes frame);
#define EPB_FRAME_ID_END_BYTES 12U
/* Gives this id to each of the whole frames at the front of the memory. */
void
epb_frames_set_id(uint8_t *frames, size_t size_bytes, uint32_t id);

/* Decodes one complete frame. EPB_VERSION_MISMATCH; EPB_INVALID_REQUEST when the lengths
 * inside contradict the frame's; of a reply also when a flag is set that no reply has,
 * or the status is unknown. The id is filled in whenever it can be read. What is borrowed
 * lies in the frame. */
EPB_MUST_USE enum epb_status
epb_frame_decode_request(struct epb_bytes frame, struct epb_request *request);
EPB_MUST_USE enum epb_status
epb_frame_decode_reply(struct epb_bytes frame, struct epb_reply *reply);

/* Appends a frame; of a reply whose body has more to come (rest_bytes), what is there of
 * it. EPB_TOO_LARGE, EPB_INTERNAL; the buffer is unchanged then. */
EPB_MUST_USE enum epb_status
epb_frame_encode_request(struct epb_buf *out, const struct epb_request *request);
EPB_MUST_USE enum epb_status
epb_frame_encode_reply(struct epb_buf *out, const struct epb_reply *reply);

#endif
