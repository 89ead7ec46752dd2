/* See jsonl.h: the signature of a line. */
#include "../base/mem.h"
#include "jsonl.h"

static const char SIGNATURE_START[] = ",\"hmac\":\"";
static const char SIGNATURE_END[] = "\"}";
#define SIGNATURE_BYTES \
    (sizeof(SIGNATURE_START) - 1 + 2U * EPB_HASH_BYTES + sizeof(SIGNATURE_END) - 1)

static bool
read_hex(const uint8_t *text, uint8_t *out, size_t size_bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 2 * size_bytes; i++) {
        uint8_t character = text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20U : text[i];
        const char *digit = character == 0 ? NULL : strchr(digits, character);
        if (digit == NULL) {
            return false;
        }
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
    }
    return true;
}

enum epb_status
epb_jsonl_verify(struct epb_hmac *hmac, uint8_t *line, size_t *size_bytes)
{
    if (*size_bytes < SIGNATURE_BYTES) {
        return EPB_AUTH_FAILED;
    }
    size_t signed_bytes = *size_bytes - SIGNATURE_BYTES;
    uint8_t *at = line + signed_bytes;
    if (memcmp(at, SIGNATURE_START, sizeof(SIGNATURE_START) - 1) != 0) {
        return EPB_AUTH_FAILED;
    }
    at += sizeof(SIGNATURE_START) - 1;
    uint8_t claimed[EPB_HASH_BYTES] = {0};
    if (!read_hex(at, claimed, sizeof(claimed))) {
        return EPB_AUTH_FAILED;
    }
    at += 2U * EPB_HASH_BYTES;
    if (memcmp(at, SIGNATURE_END, sizeof(SIGNATURE_END) - 1) != 0) {
        return EPB_AUTH_FAILED;
    }

    uint8_t expected[EPB_HASH_BYTES];
    epb_hmac_begin(hmac);
    epb_hmac_add(hmac, line, signed_bytes);
    epb_hmac_add(hmac, "}", 1);
    epb_hmac_end(hmac, expected);
    bool same = epb_mem_equal(expected, claimed, sizeof(expected));
    epb_mem_wipe(expected, sizeof(expected));
    if (!same) {
        return EPB_AUTH_FAILED;
    }
    line[signed_bytes] = '}';
    *size_bytes = signed_bytes + 1;
    return EPB_OK;
}
