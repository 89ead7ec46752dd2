/* See hash.h. */
#include "hash.h"

#include <mbedtls/hkdf.h>
#include <mbedtls/sha256.h>

/* These mbedTLS functions report wrong parameters and failures of hash hardware; neither
 * can occur here. If one failed anyway, no signature and no proof could be trusted. */
static void
must(int result)
{
    EPB_ASSERT(result == 0);
}

static const mbedtls_md_info_t *
sha256(void)
{
    return mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
}

enum epb_status
epb_hmac_init(struct epb_hmac *hmac, struct epb_bytes key)
{
    mbedtls_md_init(&hmac->context);
    if (mbedtls_md_setup(&hmac->context, sha256(), 1) != 0) {
        mbedtls_md_free(&hmac->context);
        return EPB_INTERNAL;
    }
    must(mbedtls_md_hmac_starts(&hmac->context, key.data, key.size_bytes));
    return EPB_OK;
}

void
epb_hmac_fini(struct epb_hmac *hmac)
{
    mbedtls_md_free(&hmac->context);
}

void
epb_hmac_begin(struct epb_hmac *hmac)
{
    must(mbedtls_md_hmac_reset(&hmac->context));
}

void
epb_hmac_add(struct epb_hmac *hmac, const void *data, size_t size_bytes)
{
    if (size_bytes > 0) {
        must(mbedtls_md_hmac_update(&hmac->context, data, size_bytes));
    }
}

void
epb_hmac_end(struct epb_hmac *hmac, uint8_t out[EPB_HASH_BYTES])
{
    must(mbedtls_md_hmac_finish(&hmac->context, out));
}

void
epb_hash_sha256(const struct epb_bytes *parts, size_t part_count,
                uint8_t out[EPB_HASH_BYTES])
{
    mbedtls_sha256_context context;

    mbedtls_sha256_init(&context);
    must(mbedtls_sha256_starts(&context, 0));
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size_bytes > 0) {
            must(mbedtls_sha256_update(&context, parts[i].data, parts[i].size_bytes));
        }
    }
    must(mbedtls_sha256_finish(&context, out));
    mbedtls_sha256_free(&context);
}

enum epb_status
epb_hash_hkdf(struct epb_bytes secret, struct epb_bytes salt, struct epb_bytes info,
              uint8_t *out, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= 255U * EPB_HASH_BYTES);
    int result =
        mbedtls_hkdf(sha256(), salt.data, salt.size_bytes, secret.data, secret.size_bytes,
                     info.data, info.size_bytes, out, size_bytes);

    return result == 0 ? EPB_OK : EPB_INTERNAL;
}
