/*
 * Records carry the stream of frames once a session has keys. A frame may span records,
 * and a record may contain many frames: the requests of one tick, or the replies of one
 * turn, are sealed once.
 *
 * - chacha20, aes: u32 n + 16 | ChaCha20-Poly1305 (RFC 8439) or AES-256-GCM (NIST SP
 *   800-38D) of n bytes, with the nonce 0000 | le64(seq) and the 4 length bytes as
 *   additional data
 * - mac: u32 n + 32 | n bytes | HMAC-SHA256(key, le64(seq) | the 4 length bytes | the n
 *   bytes)
 * - plain: the bytes themselves
 *
 * `seq` is implicit and counts from 0 in each direction. A record that was replayed,
 * reordered, reflected, cut or changed fails to open, and the connection fails with it. A
 * nonce can't repeat: each direction of each session uses another key, and sealing fails
 * after the last sequence number.
 */
#ifndef EPB_WIRE_RECORD_H
#define EPB_WIRE_RECORD_H

#include "../base/buf.h"
#include "auth.h"

#define EPB_RECORD_HEADER_BYTES 4U
#define EPB_RECORD_TAG_BYTES 16U
#define EPB_RECORD_MAC_BYTES 32U
/* The largest n that is accepted, and the largest that is sent. */
#define EPB_RECORD_MAX_BYTES (1024U * 1024U)
#define EPB_RECORD_SEND_BYTES (256U * 1024U)

/* One direction of a session, used either to send or to receive. */
struct epb_record;

/* Copies the key (for PLAIN it is unused and may be NULL). AES only when
 * epb_cipher_has_aes returns true. NULL when memory is out. */
struct epb_record *
epb_record_new(enum epb_record_mode mode, const uint8_t *key);
/* Wipes. NULL is allowed. */
void
epb_record_free(struct epb_record *record);

/* Sending without a copy. _begin notes where the record starts in the buffer and reserves
 * room for its header. Then any code may append plaintext. _end seals the appended bytes
 * in place, in records of at most EPB_RECORD_SEND_BYTES; an empty record is taken back.
 * Nothing may be consumed in between. After an error of _end the plaintext is removed
 * from the buffer, and the connection must be closed. */
EPB_MUST_USE enum epb_status
epb_record_begin(struct epb_record *record, struct epb_buf *out);
EPB_MUST_USE enum epb_status
epb_record_end(struct epb_record *record, struct epb_buf *out);

/*
 * Receiving without a copy. `in` holds the bytes from the socket. _unseal opens complete
 * records in place, until the stream of plaintext at the front of `in` has `enough` bytes
 * or no complete record is left. Only a record that continues a frame is moved, once, to
 * join the part before it. Consume from `in` with epb_record_consume only; bytes may be
 * appended at any time.
 *
 * EPB_AUTH_FAILED when a record doesn't open, EPB_TOO_LARGE when its length exceeds the
 * limit, EPB_INTERNAL when the sequence numbers are used up. Then the connection must be
 * closed; the stream opened before stays valid.
 */
EPB_MUST_USE enum epb_status
epb_record_unseal(struct epb_record *record, struct epb_buf *in, size_t enough);
/* The stream that is opened and not yet consumed; valid until the next call that takes
 * the record or the buffer. Its bytes may be written to. */
struct epb_bytes
epb_record_stream(const struct epb_record *record, const struct epb_buf *in);
void
epb_record_consume(struct epb_record *record, struct epb_buf *in, size_t size_bytes);

/* Tests: continues with this sequence number, which must not have been used. */
void
epb_record_skip_to(struct epb_record *record, uint64_t seq);

#endif
