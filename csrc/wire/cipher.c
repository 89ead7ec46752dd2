/* See cipher.h; sodium_config.h maps the names that libsodium calls. */
#include "cipher.h"

#include "sodium_config.h"
#include <sodium/core.h>
#include <sodium/crypto_aead_aes256gcm.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/private/implementations.h>
#include <sodium/randombytes.h>
#include <sodium/runtime.h>
#include <sodium/utils.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../base/once.h"
#include "../base/sys.h"

_Static_assert(sizeof(crypto_aead_aes256gcm_state) == EPB_CIPHER_AES_STATE_BYTES, "");

void
epb_cipher_wipe(void *const memory, const size_t size_bytes)
{
    epb_mem_wipe(memory, size_bytes);
}

/* libsodium calls this for more bytes than can occur here. */
void
epb_cipher_misuse(void)
{
    abort();
}

/* libsodium calls this to make keys, which this program never does. */
void
epb_cipher_random(void *const out, const size_t size_bytes)
{
    if (epb_sys_random(out, size_bytes) != EPB_OK) {
        abort();
    }
}

/* Before this, libsodium uses no vector code and reports no AES. */
static void
choose_instructions(void)
{
    (void)_sodium_runtime_get_cpu_features();
    (void)_crypto_stream_chacha20_pick_best_implementation();
    (void)_crypto_onetimeauth_poly1305_pick_best_implementation();
}

static struct epb_once chosen = EPB_ONCE_INIT;

/* When registers run out, the library leaves words of the key, the key stream and the
 * text on the stack: the vector code of ChaCha20 in up to 2.3 KiB, AES in less than 0.5
 * KiB. These functions are called from the same frame as the library, so `stack` overlays
 * the area that it used. A larger `stack` would only cost cache misses. */
#define CHACHA20_STACK_BYTES 3072U
#define AES_STACK_BYTES 1024U

static EPB_NOINLINE void
wipe_stack_of_chacha20(void)
{
    uint8_t stack[CHACHA20_STACK_BYTES];

    epb_mem_wipe(stack, sizeof(stack));
}

static EPB_NOINLINE void
wipe_stack_of_aes(void)
{
    uint8_t stack[AES_STACK_BYTES];

    epb_mem_wipe(stack, sizeof(stack));
}

bool
epb_cipher_has_aes(void)
{
    epb_once(&chosen, choose_instructions);
    return crypto_aead_aes256gcm_is_available() != 0;
}

static const crypto_aead_aes256gcm_state *
aes_state(const struct epb_cipher *cipher)
{
    return (const crypto_aead_aes256gcm_state *)(const void *)cipher->key.aes;
}

void
epb_cipher_init(struct epb_cipher *cipher, enum epb_cipher_kind kind,
                const uint8_t key[EPB_CIPHER_KEY_BYTES])
{
    epb_once(&chosen, choose_instructions);
    cipher->kind = kind;
    if (kind == EPB_CIPHER_AES_256_GCM) {
        EPB_ASSERT(epb_cipher_has_aes());
        void *state = cipher->key.aes;
        (void)crypto_aead_aes256gcm_beforenm(state, key);
        wipe_stack_of_aes();
    } else {
        memcpy(cipher->key.chacha20, key, sizeof(cipher->key.chacha20));
    }
}

void
epb_cipher_seal(const struct epb_cipher *cipher,
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, uint8_t tag[EPB_CIPHER_TAG_BYTES])
{
    if (cipher->kind == EPB_CIPHER_AES_256_GCM) {
        (void)crypto_aead_aes256gcm_encrypt_detached_afternm(
            body, tag, NULL, body, body_bytes, header.data, header.size_bytes, NULL,
            nonce, aes_state(cipher));
        wipe_stack_of_aes();
    } else {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            body, tag, NULL, body, body_bytes, header.data, header.size_bytes, NULL,
            nonce, cipher->key.chacha20);
        wipe_stack_of_chacha20();
    }
}

enum epb_status
epb_cipher_unseal(const struct epb_cipher *cipher,
                  const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                  uint8_t *body, size_t body_bytes,
                  const uint8_t tag[EPB_CIPHER_TAG_BYTES])
{
    int failed;

    if (cipher->kind == EPB_CIPHER_AES_256_GCM) {
        failed = crypto_aead_aes256gcm_decrypt_detached_afternm(
            body, NULL, body, body_bytes, tag, header.data, header.size_bytes, nonce,
            aes_state(cipher));
        wipe_stack_of_aes();
    } else {
        failed = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            body, NULL, body, body_bytes, tag, header.data, header.size_bytes, nonce,
            cipher->key.chacha20);
        wipe_stack_of_chacha20();
    }
    return failed == 0 ? EPB_OK : EPB_AUTH_FAILED;
}
