/*
 * The two ciphers of records, from libsodium: ChaCha20-Poly1305 (RFC 8439), and
 * AES-256-GCM (NIST SP 800-38D) on processors with AES instructions. Both use the vector
 * instructions of the processor and take constant time.
 *
 * A call wipes its copies of the key in memory before it returns. The caller owns the
 * cipher and wipes it. Registers may hold words of the key until they are reused or wiped
 * (base/sys.h). Any number of threads may use one cipher at once.
 */
#ifndef EPB_WIRE_CIPHER_H
#define EPB_WIRE_CIPHER_H

#include "../base/bytes.h"
#include "../base/status.h"

#define EPB_CIPHER_KEY_BYTES 32U
#define EPB_CIPHER_NONCE_BYTES 12U
#define EPB_CIPHER_TAG_BYTES 16U
#define EPB_CIPHER_AES_STATE_BYTES 512U

enum epb_cipher_kind {
    EPB_CIPHER_CHACHA20_POLY1305,
    EPB_CIPHER_AES_256_GCM
};

/* A prepared key, as secret as the key itself. Aligned to 16. */
struct epb_cipher {
    union {
        _Alignas(16) uint8_t chacha20[EPB_CIPHER_KEY_BYTES];
        _Alignas(16) uint8_t aes[EPB_CIPHER_AES_STATE_BYTES]; /* includes the round
                                                               * keys */
    } key;
    enum epb_cipher_kind kind;
};

/* Whether both this processor and the compiler of this build support AES-256-GCM. */
bool
epb_cipher_has_aes(void);

/* AES-256-GCM only when epb_cipher_has_aes returns true. */
void
epb_cipher_init(struct epb_cipher *cipher, enum epb_cipher_kind kind,
                const uint8_t key[EPB_CIPHER_KEY_BYTES]);

/* Encrypts `body` in place and writes EPB_CIPHER_TAG_BYTES to `tag`, which also
 * authenticates `header`. A nonce may be used once per key. */
void
epb_cipher_seal(const struct epb_cipher *cipher,
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, uint8_t tag[EPB_CIPHER_TAG_BYTES]);

/* Decrypts `body` in place. When key, nonce, header, body and tag don't match:
 * EPB_AUTH_FAILED, and the body is all zeros. */
EPB_MUST_USE enum epb_status
epb_cipher_unseal(const struct epb_cipher *cipher,
                  const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                  uint8_t *body, size_t body_bytes,
                  const uint8_t tag[EPB_CIPHER_TAG_BYTES]);

#endif
