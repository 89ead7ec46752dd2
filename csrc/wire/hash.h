/*
 * HMAC-SHA256 (RFC 2104), SHA-256 and HKDF-SHA256 (RFC 5869), from mbedTLS.
 *
 * mbedTLS keeps its keyed states in memory from base/mem.h (set in
 * wire/mbedtls_config.h), which is locked and wiped. EPB_INTERNAL when that memory is
 * out.
 */
#ifndef EPB_WIRE_HASH_H
#define EPB_WIRE_HASH_H

#include <mbedtls/md.h>

#include "../base/bytes.h"
#include "../base/status.h"

#define EPB_HASH_BYTES 32U

/* A key, ready for any number of messages. All zero: no key. */
struct epb_hmac {
    mbedtls_md_context_t context;
};

/* Accepts a key of any length. After an error, _fini is not needed. */
EPB_MUST_USE enum epb_status
epb_hmac_init(struct epb_hmac *hmac, struct epb_bytes key);
/* Wipes. */
void
epb_hmac_fini(struct epb_hmac *hmac);
/* One message: begin, add as often as needed, end. */
void
epb_hmac_begin(struct epb_hmac *hmac);
void
epb_hmac_add(struct epb_hmac *hmac, const void *data, size_t size_bytes);
void
epb_hmac_end(struct epb_hmac *hmac, uint8_t out[EPB_HASH_BYTES]);

void
epb_hash_sha256(const struct epb_bytes *parts, size_t part_count,
                uint8_t out[EPB_HASH_BYTES]);
/* Fills `out` with up to 255 times 32 bytes. */
EPB_MUST_USE enum epb_status
epb_hash_hkdf(struct epb_bytes secret, struct epb_bytes salt, struct epb_bytes info,
              uint8_t *out, size_t size_bytes);

#endif
