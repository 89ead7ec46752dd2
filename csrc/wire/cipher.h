/*
 * ChaCha20-Poly1305 (RFC 8439), as libsodium has it, and for short records of its two
 * primitives: for what lies in one piece of memory and is sealed and opened there. Uses
 * the vector instructions that the processor has.
 *
 * What a call has of the key in memory is wiped before it returns; the caller owns the
 * key and wipes its own. Registers keep words of it until they are used again, or wiped
 * (base/sys.h). Any number of threads may use any keys at once.
 */
#ifndef EPB_WIRE_CIPHER_H
#define EPB_WIRE_CIPHER_H

#include "../base/bytes.h"
#include "../base/status.h"

#define EPB_CIPHER_KEY_BYTES 32U
#define EPB_CIPHER_NONCE_BYTES 12U
#define EPB_CIPHER_TAG_BYTES 16U

/* The key stream of one short record, made before there is the record: most of the work
 * for it. As secret as the key; whoever has one wipes it, if it is not used. */
#define EPB_CIPHER_AHEAD_BYTES 512U
#define EPB_CIPHER_AHEAD_BODY_BYTES (EPB_CIPHER_AHEAD_BYTES - 64U)
struct epb_cipher_ahead {
    bool made;
    uint8_t stream[EPB_CIPHER_AHEAD_BYTES];
};

/* For the one call of _seal or _open with that key and nonce. Makes nothing where the
 * library has no vector code (sodium_config.h): all these blocks would take longer than
 * the few that a record needs. */
void
epb_cipher_make_ahead(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                      const uint8_t nonce[EPB_CIPHER_NONCE_BYTES],
                      struct epb_cipher_ahead *ahead);

/* Encrypts `body` in place and writes EPB_CIPHER_TAG_BYTES to `tag`, which vouch for
 * `header` too. A nonce may be used once with a key. `ahead`, which may be NULL, or not
 * made, is of that key and nonce; what was made is wiped. */
void
epb_cipher_seal(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, uint8_t tag[EPB_CIPHER_TAG_BYTES],
                struct epb_cipher_ahead *ahead);

/* Decrypts `body` in place. When key, nonce, header, body and tag don't belong together:
 * EPB_AUTH_FAILED, and the body is zeros. `ahead` as above. */
EPB_MUST_USE enum epb_status
epb_cipher_open(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, const uint8_t tag[EPB_CIPHER_TAG_BYTES],
                struct epb_cipher_ahead *ahead);

#endif
