/*
 * JSON lines: one request a line, one reply a line. The encoding for any language.
 *
 *   {"action":"get","key":"k"}        ->  {"ok":true,"value":"v"}
 *                                     or {"ok":false,"error":"not_found","message":"..."}
 *
 * A line is scanned strictly and decoded in place, so a request borrows from its line.
 * The JSON text of a value is kept byte for byte. Only the elements of a pool need
 * additional memory, because the core takes them packed.
 *
 * Unknown members are ignored. A known member may appear once, and only with an action
 * that takes it. An optional member that is null counts as missing.
 */
#ifndef EPB_WIRE_JSONL_H
#define EPB_WIRE_JSONL_H

#include "../base/buf.h"
#include "../core/command.h"
#include "hash.h"

/* The braces of the request count as the first level. */
#define EPB_JSONL_DEPTH 32U
#define EPB_JSONL_ID_MAX_BYTES 256U

struct epb_jsonl_request {
    struct epb_request request; /* its id is 0: the ids of lines are texts */
    const struct epb_command *command;
    struct epb_bytes id;     /* as JSON text, to be echoed; empty: no id */
    struct epb_bytes target; /* cancel: the id, as JSON text, of the request to cancel;
                              * the caller replaces the request's COUNT of 0 */
};

/* Decodes a line (without its newline) and overwrites it. `out` borrows from the line or
 * from `scratch`, which must be empty. EPB_INVALID_JSON, EPB_INVALID_REQUEST,
 * EPB_UNKNOWN_ACTION, EPB_INVALID_KEY, EPB_INVALID_VALUE, EPB_INVALID_TTL, EPB_TOO_LARGE
 * (the limit of the scratch), EPB_INTERNAL. out->id is filled in whenever it can be
 * read. */
EPB_MUST_USE enum epb_status
epb_jsonl_decode(uint8_t *line, size_t size_bytes, struct epb_buf *scratch,
                 struct epb_jsonl_request *out);
/* The most that the scratch needs for a line of `line_bytes`: an element of one byte and
 * its comma become six bytes when packed. */
#define EPB_JSONL_SCRATCH_BYTES(line_bytes) (3 * (size_t)(line_bytes) + 16)

/* Checks the reference implementation's signature: the line must end in `,"hmac":"<64 hex
 * digits>"}`, the HMAC-SHA256 of the line without that member. Reads raw bytes only. On
 * success the member is cut off and *size_bytes is the size of the line without it.
 * Otherwise EPB_AUTH_FAILED, and the line is unchanged. `hmac` was initialised with the
 * secret. */
EPB_MUST_USE enum epb_status
epb_jsonl_verify(struct epb_hmac *hmac, uint8_t *line, size_t *size_bytes);

/* Appends a reply line. When more of its body will follow (rest_bytes), appends the front
 * part of the line. The id may be empty. EPB_INVALID_VALUE when a value that was stored
 * as JSON text is not JSON, or is nested too deep to be read here; EPB_TOO_LARGE,
 * EPB_INTERNAL. After an error the buffer is unchanged. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode(struct epb_buf *out, const struct epb_command *command,
                 struct epb_bytes id, const struct epb_reply *reply);
/* Appends the next piece of a list, as of `wall_ms`. The last piece ends the line. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_piece(struct epb_buf *out, const struct epb_command *command,
                       struct epb_bytes piece, uint64_t wall_ms, bool last);
/* Appends the reply line of a failure; the id may be empty. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_error(struct epb_buf *out, struct epb_bytes id, enum epb_status status);
/* Appends a line for each event of a watch; the id is the id of the watch's request.
 * Errors and guarantee as for epb_jsonl_encode. */
EPB_MUST_USE enum epb_status
epb_jsonl_encode_events(struct epb_buf *out, struct epb_bytes id,
                        struct epb_bytes packed);

#endif
