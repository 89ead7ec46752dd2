/*
 * JSON lines: one request a line, one reply a line, the encoding for any language.
 *
 *   {"action":"get","key":"k"}        ->  {"ok":true,"value":"v"}
 *                                     or {"ok":false,"error":"not_found","message":"..."}
 *
 * A line is scanned strictly and decoded in place, so that a request borrows from its
 * line; the JSON text of a value is kept byte for byte. Only the elements of a pool,
 * which the core takes packed, need memory of their own.
 *
 * Members that are not known are ignored; known ones may appear once, and only with an
 * action that takes them. An optional member that is null counts as missing.
 */
#ifndef EPB_WIRE_JSONL_H
#define EPB_WIRE_JSONL_H

#include "../base/buf.h"
#include "../core/command.h"
#include "hash.h"

/* The request's own braces are the first level. */
#define EPB_JSONL_DEPTH 32U
#define EPB_JSONL_ID_MAX_BYTES 256U

struct epb_jsonl_request {
    struct epb_request request; /* its id is 0: lines have texts */
    const struct epb_command *command;
    struct epb_bytes id;     /* as JSON text, to be echoed; empty when there is none */
    struct epb_bytes target; /* of cancel: the id, as JSON text, of the request to cancel;
                                the request's COUNT is 0 until the caller knows better */
};

/* Decodes a line (without its newline), which it overwrites; what `out` borrows lies
 * there or in `scratch`, which must be empty. EPB_INVALID_JSON, EPB_INVALID_REQUEST,
 * EPB_UNKNOWN_ACTION, EPB_INVALID_KEY, EPB_INVALID_VALUE, EPB_INVALID_TTL, EPB_TOO_LARGE
 * (of the scratch's limit), EPB_INTERNAL; out->id is filled in whenever it can be read.
 */
EPB_MUST_USE enum epb_status
epb_jsonl_decode(uint8_t *line, size_t size_bytes, struct epb_buf *scratch,
                 struct epb_jsonl_request *out);
/* The scratch never needs more than this for a line of so many bytes: an element of one
 * byte and its comma are packed into six. */
#define EPB_JSONL_SCRATCH_BYTES(line_bytes) (3 * (size_t)(line_bytes) + 16)

/* The reference implementation's signature: the line must end in `,"hmac":"<64 hex
 * digits>"}`, the HMAC-SHA256 of the line without that member. Looks at raw bytes only.
 * On success the member is cut off and *size_bytes is that of the line without it; else
 * EPB_AUTH_FAILED, and the line is unchanged. `hmac` has been set up with the secret. */
EPB_MUST_USE enum epb_status
epb_jsonl_verify(struct epb_hmac *hmac, uint8_t *line, size_t *size_bytes);

/* Appends a reply line, or, when its body has more to come (rest_bytes), the front part
 * of it; the id may be empty. EPB_INVALID_VALUE when a value that was stored as JSON text
 * is none, or is nested too deep to be read here; EPB_TOO_LARGE, EPB_INTERNAL. The buffer
 * is unchanged then. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode(struct epb_buf *out, const struct epb_command *command,
                 struct epb_bytes id, const struct epb_reply *reply);
/* Appends a further piece of a list, as of `wall_ms`; the line ends with the last one. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_piece(struct epb_buf *out, const struct epb_command *command,
                       struct epb_bytes piece, uint64_t wall_ms, bool last);
/* Appends the reply line of a failure; the id may be empty. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_error(struct epb_buf *out, struct epb_bytes id, enum epb_status status);
/* Appends a line for each event of a watch; the id is that of its request. Same errors,
 * same promise. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_events(struct epb_buf *out, struct epb_bytes id,
                        struct epb_bytes packed);

#endif
