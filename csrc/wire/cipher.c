/* See cipher.h, and sodium_config.h for the names of what libsodium asks for. */
#include "cipher.h"

#include "sodium_config.h"
#include <sodium/core.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/private/implementations.h>
#include <sodium/randombytes.h>
#include <sodium/runtime.h>
#include <sodium/utils.h>
#include <stdlib.h>

#include "../base/mem.h"
#include "../base/once.h"
#include "../base/sys.h"

void
epb_cipher_wipe(void *const memory, const size_t size_bytes)
{
    epb_mem_wipe(memory, size_bytes);
}

/* Called for more bytes than there can be. */
void
epb_cipher_misuse(void)
{
    abort();
}

/* Called by what makes keys, which nobody here does. */
void
epb_cipher_random(void *const out, const size_t size_bytes)
{
    if (epb_sys_random(out, size_bytes) != EPB_OK)
        abort();
}

/* Until this is done, libsodium works without vectors. */
static void
choose_instructions(void)
{
    (void)_sodium_runtime_get_cpu_features();
    (void)_crypto_stream_chacha20_pick_best_implementation();
    (void)_crypto_onetimeauth_poly1305_pick_best_implementation();
}

static struct epb_once chosen = EPB_ONCE_INIT;

/* The vector code keeps words of the key on the stack, where it has more of them than
 * registers, and leaves them there: up to 2.3 KiB below its caller. This is called by the
 * same caller, so it lies upon them. */
#define STACK_BYTES 4096U

static EPB_NOINLINE void
wipe_stack(void)
{
    uint8_t stack[STACK_BYTES];
    epb_mem_wipe(stack, sizeof stack);
}

void
epb_cipher_seal(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, uint8_t tag[EPB_CIPHER_TAG_BYTES])
{
    epb_once(&chosen, choose_instructions);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        body, tag, NULL, body, body_bytes, header.data, header.size_bytes, NULL, nonce,
        key);
    wipe_stack();
}

enum epb_status
epb_cipher_open(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, const uint8_t tag[EPB_CIPHER_TAG_BYTES])
{
    epb_once(&chosen, choose_instructions);
    int result = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
        body, NULL, body, body_bytes, tag, header.data, header.size_bytes, nonce, key);
    wipe_stack();
    return result == 0 ? EPB_OK : EPB_AUTH_FAILED;
}
