/*
 * Records carry the stream of frames once a session has keys; a frame may span records,
 * and a record may hold many frames: one tick's requests, or one turn's replies, are
 * sealed once.
 *
 * - chacha20, aes: u32 n + 16 | ChaCha20-Poly1305 (RFC 8439) or AES-256-GCM (NIST SP
 *   800-38D) of n bytes, with the nonce 0000 | le64(seq) and the 4 length bytes as
 *   additional data
 * - mac: u32 n + 32 | n bytes | HMAC-SHA256(key, le64(seq) | the 4 length bytes | the n
 *   bytes)
 * - plain: the bytes themselves
 *
 * `seq` is implicit and counts from 0 in each direction: a record that is replayed,
 * reordered, reflected, cut or changed fails to open, and the connection with it. A nonce
 * can't repeat: each session and direction has its own key, and at the last sequence
 * number sealing fails.
 */
#ifndef EPB_WIRE_RECORD_H
#define EPB_WIRE_RECORD_H

#include "../base/buf.h"
#include "auth.h"

#define EPB_RECORD_HEADER_BYTES 4U
#define EPB_RECORD_TAG_BYTES 16U
#define EPB_RECORD_MAC_BYTES 32U
/* The largest n that is accepted, and the largest that we send. */
#define EPB_RECORD_MAX_BYTES (1024U * 1024U)
#define EPB_RECORD_SEND_BYTES (256U * 1024U)

/* One direction of a session: used either to send or to receive. */
struct epb_record;

/* Copies the key (unused, and may be NULL, for PLAIN). AES only where epb_cipher_has_aes.
 * NULL when memory is out. */
struct epb_record *
epb_record_new(enum epb_record_mode mode, const uint8_t *key);
/* Wipes. NULL is allowed. */
void
epb_record_free(struct epb_record *record);

/* Sending without a copy: _begin notes where the record starts in the buffer (and makes
 * room for its header), plaintext is appended by anybody, _end seals what was appended in
 * place, in records of at most EPB_RECORD_SEND_BYTES (an empty one is taken back).
 * Nothing may be consumed in between. After an error of _end the plaintext is gone from
 * the buffer and the connection must be closed. */
EPB_MUST_USE enum epb_status
epb_record_begin(struct epb_record *record, struct epb_buf *out);
EPB_MUST_USE enum epb_status
epb_record_end(struct epb_record *record, struct epb_buf *out);

/*
 * Receiving without a copy: `in` holds what came from the socket. _open opens complete
 * records in place, until the stream of plaintext at the front of `in` has `enough` bytes
 * or no complete record is left. Only a record that continues a frame is moved, once, to
 * join the part before it. A receiving `in` is consumed with epb_record_consume alone;
 * bytes may be appended at any time.
 *
 * EPB_AUTH_FAILED when a record doesn't open, EPB_TOO_LARGE when its length is beyond the
 * limit, EPB_INTERNAL when the sequence numbers are used up: the connection must be
 * closed; the stream as opened so far stays valid.
 */
EPB_MUST_USE enum epb_status
epb_record_unseal(struct epb_record *record, struct epb_buf *in, size_t enough);
/* The stream opened so far and not yet consumed; valid until the next call on either. Its
 * bytes may be written to. */
struct epb_bytes
epb_record_stream(const struct epb_record *record, const struct epb_buf *in);
void
epb_record_consume(struct epb_record *record, struct epb_buf *in, size_t size_bytes);

/* Tests: goes on with this sequence number, which may not have been used. */
void
epb_record_skip_to(struct epb_record *record, uint64_t seq);

#endif
