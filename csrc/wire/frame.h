/*
 * The binary encoding of requests and replies. A frame is
 *
 *   request  u32 length | u8 version | u8 action | u16 flags | u32 id | u16 key bytes
 *            | u16 worker bytes | numbers | key | worker | value
 *   reply    u32 length | u8 version | u8 status | u16 flags | u32 id | numbers | body
 *
 * in little-endian order. `length` counts the bytes behind it. `numbers` contains 8 bytes
 * for each of the flag bits 0 to 7 that is set, in that order. The value (body) is the
 * rest. A request with id 0 gets no reply. A reply with id 0 is a message that the broker
 * sends unasked.
 */
#ifndef EPB_WIRE_FRAME_H
#define EPB_WIRE_FRAME_H

#include "../base/buf.h"
#include "../core/msg.h"

#define EPB_FRAME_VERSION 1U
#define EPB_FRAME_LENGTH_BYTES 4U
#define EPB_REQUEST_HEADER_BYTES 16U
#define EPB_REPLY_HEADER_BYTES 12U
/* In place of an action: a frame for the session (session.h), which asks for a pipe pair,
 * or with COUNT for a change to the pipe pair (1) or back to the socket (0). */
#define EPB_FRAME_PIPE_PAIR 28U

enum epb_frame_state {
    EPB_FRAME_COMPLETE,
    EPB_FRAME_PARTIAL,  /* more bytes are needed */
    EPB_FRAME_TOO_LARGE /* its length exceeds the limit: the stream can't continue */
};

/* Inspects the front of the input. *size_bytes is the size of the whole frame, length
 * field included. On PARTIAL with an incomplete length field, it is the number of bytes
 * needed to know more. `limit_bytes` bounds the bytes behind the length field. */
enum epb_frame_state
epb_frame_scan(struct epb_bytes input, size_t limit_bytes, size_t *size_bytes);

/* The id in the front part of a frame; 0 when the part is too short to contain one. */
uint32_t
epb_frame_id(struct epb_bytes frame);
#define EPB_FRAME_ID_END_BYTES 12U
/* Sets this id in each whole frame at the front of the memory. */
void
epb_frames_set_id(uint8_t *frames, size_t size_bytes, uint32_t id);

/* Decodes one complete frame. EPB_VERSION_MISMATCH; EPB_INVALID_REQUEST when the lengths
 * inside contradict the frame's length, and for a reply also when a flag is set that
 * replies don't use or the status is unknown. The id is filled in whenever it can be
 * read. The results borrow from the frame. */
EPB_MUST_USE enum epb_status
epb_frame_decode_request(struct epb_bytes frame, struct epb_request *request);
EPB_MUST_USE enum epb_status
epb_frame_decode_reply(struct epb_bytes frame, struct epb_reply *reply);

/* Appends a frame. When more of a reply's body will follow (rest_bytes), appends the part
 * that is there. EPB_TOO_LARGE, EPB_INTERNAL; then the buffer is unchanged. */
EPB_MUST_USE enum epb_status
epb_frame_encode_request(struct epb_buf *out, const struct epb_request *request);
EPB_MUST_USE enum epb_status
epb_frame_encode_reply(struct epb_buf *out, const struct epb_reply *reply);

#endif
