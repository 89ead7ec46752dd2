/* See cipher.h, and sodium_config.h for the names of what libsodium asks for. */
#include "cipher.h"

#include "sodium_config.h"
#include <sodium/core.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_onetimeauth_poly1305.h>
#include <sodium/crypto_stream_chacha20.h>
#include <sodium/private/implementations.h>
#include <sodium/randombytes.h>
#include <sodium/runtime.h>
#include <sodium/utils.h>
#include <stdlib.h>
#include <string.h>

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

/* The library leaves words of the key, the key stream and the text on the stack, where
 * it has more of them than registers: its vector code in up to 2.3 KiB, the authenticator
 * in far less. Each of these is called by the same caller as the library was, so it lies
 * upon them. What is wiped has to be fetched first, so it is not much more than that. */
#define STREAM_STACK_BYTES 3072U
#define TAG_STACK_BYTES 1024U

static EPB_NOINLINE void
wipe_stack_of_stream(void)
{
    uint8_t stack[STREAM_STACK_BYTES];
    epb_mem_wipe(stack, sizeof stack);
}

static EPB_NOINLINE void
wipe_stack_of_tag(void)
{
    uint8_t stack[TAG_STACK_BYTES];
    epb_mem_wipe(stack, sizeof stack);
}

/*
 * Short records: libsodium's own construction makes the first block of the key stream by
 * itself, for the key of the authenticator, and what of the body is no multiple of 256
 * bytes block by block. Its vector code makes four blocks in the time of one. So here is
 * RFC 8439, section 2.8, of the same two primitives: all of the key stream in one go, in
 * whole strides, and all that is authenticated in another.
 */
#define BLOCK_BYTES 64U
#define STRIDE_BYTES 256U
#define STREAM_BYTES 1024U
#define SHORT_BYTES (STREAM_BYTES - BLOCK_BYTES)
#define UNIT_BYTES 16U /* header and body are padded to a multiple of it */

_Static_assert(EPB_CIPHER_AHEAD_BODY_BYTES == EPB_CIPHER_AHEAD_BYTES - BLOCK_BYTES, "");
_Static_assert(EPB_CIPHER_AHEAD_BYTES % STRIDE_BYTES == 0, "");

struct short_record {
    /* The key of the authenticator, and from the second block on the body's. */
    const uint8_t *stream;
    size_t own_bytes; /* 0: it was made ahead */
    uint8_t own_stream[STREAM_BYTES];
    /* What is authenticated: header, body, and the length of each. */
    _Alignas(UNIT_BYTES) uint8_t text[UNIT_BYTES + SHORT_BYTES + UNIT_BYTES];
    size_t text_bytes;
    uint8_t *body; /* in the text */
    size_t body_bytes;
};

static bool
is_short(struct epb_bytes header, size_t body_bytes)
{
    return body_bytes <= SHORT_BYTES && header.size_bytes <= UNIT_BYTES;
}

static size_t
rounded_up(size_t size_bytes, size_t unit_bytes)
{
    return (size_bytes + unit_bytes - 1) / unit_bytes * unit_bytes;
}

static void
put_length(uint8_t *out, size_t length)
{
    for (unsigned i = 0; i < sizeof(uint64_t); i++)
        out[i] = (uint8_t)((uint64_t)length >> 8U * i);
}

static void
make_stream(struct short_record *record, const uint8_t *key, const uint8_t *nonce,
            const struct epb_cipher_ahead *ahead)
{
    if (ahead != NULL && ahead->made &&
        record->body_bytes <= EPB_CIPHER_AHEAD_BODY_BYTES) {
        record->stream = ahead->stream;
        record->own_bytes = 0;
        return;
    }
    size_t unit_bytes = sodium_runtime_has_ssse3() ? STRIDE_BYTES : BLOCK_BYTES;
    record->own_bytes = rounded_up(BLOCK_BYTES + record->body_bytes, unit_bytes);
    record->stream = record->own_stream;
    (void)crypto_stream_chacha20_ietf(record->own_stream, record->own_bytes, nonce, key);
    wipe_stack_of_stream();
}

static void
begin_short(struct short_record *record, struct epb_bytes header, const uint8_t *body,
            size_t body_bytes)
{
    memset(record->text, 0, UNIT_BYTES);
    memcpy(record->text, header.data, header.size_bytes);
    record->body = record->text + rounded_up(header.size_bytes, UNIT_BYTES);
    record->body_bytes = body_bytes;
    memcpy(record->body, body, body_bytes);
    uint8_t *end = record->body + rounded_up(body_bytes, UNIT_BYTES);
    memset(record->body + body_bytes, 0, (size_t)(end - record->body) - body_bytes);
    put_length(end, header.size_bytes);
    put_length(end + sizeof(uint64_t), body_bytes);
    record->text_bytes = (size_t)(end - record->text) + UNIT_BYTES;
}

/* Encrypts the body, or decrypts it; its padding stays zeros. */
static void
combine(struct short_record *record)
{
    const uint8_t *stream = record->stream + BLOCK_BYTES;
    for (size_t at = 0; at < record->body_bytes; at += UNIT_BYTES) {
        uint64_t words[2];
        uint64_t with[2];
        memcpy(words, record->body + at, UNIT_BYTES);
        memcpy(with, stream + at, UNIT_BYTES);
        words[0] ^= with[0];
        words[1] ^= with[1];
        memcpy(record->body + at, words, UNIT_BYTES);
    }
    uint8_t *end = record->body + record->body_bytes;
    memset(end, 0, rounded_up(record->body_bytes, UNIT_BYTES) - record->body_bytes);
}

static void
make_tag(const struct short_record *record, uint8_t tag[EPB_CIPHER_TAG_BYTES])
{
    (void)crypto_onetimeauth_poly1305(tag, record->text, record->text_bytes,
                                      record->stream);
    wipe_stack_of_tag();
}

static void
end_short(struct short_record *record)
{
    epb_mem_wipe(record->own_stream, record->own_bytes);
    epb_mem_wipe(record->text, record->text_bytes);
}

static void
seal_short(const uint8_t *key, const uint8_t *nonce, struct epb_bytes header,
           uint8_t *body, size_t body_bytes, uint8_t *tag,
           const struct epb_cipher_ahead *ahead)
{
    struct short_record record;
    begin_short(&record, header, body, body_bytes);
    make_stream(&record, key, nonce, ahead);
    combine(&record);
    make_tag(&record, tag);
    memcpy(body, record.body, body_bytes);
    end_short(&record);
}

static bool
open_short(const uint8_t *key, const uint8_t *nonce, struct epb_bytes header,
           uint8_t *body, size_t body_bytes, const uint8_t *tag,
           const struct epb_cipher_ahead *ahead)
{
    struct short_record record;
    uint8_t expected[EPB_CIPHER_TAG_BYTES];
    begin_short(&record, header, body, body_bytes);
    make_stream(&record, key, nonce, ahead);
    make_tag(&record, expected);
    bool same = epb_mem_equal(expected, tag, sizeof expected);
    epb_mem_wipe(expected, sizeof expected);
    if (same) {
        combine(&record);
        memcpy(body, record.body, body_bytes);
    } else {
        memset(body, 0, body_bytes);
    }
    end_short(&record);
    return same;
}

void
epb_cipher_make_ahead(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                      const uint8_t nonce[EPB_CIPHER_NONCE_BYTES],
                      struct epb_cipher_ahead *ahead)
{
    epb_once(&chosen, choose_instructions);
    if (!sodium_runtime_has_ssse3())
        return;
    (void)crypto_stream_chacha20_ietf(ahead->stream, sizeof ahead->stream, nonce, key);
    ahead->made = true;
    wipe_stack_of_stream();
}

static void
forget(struct epb_cipher_ahead *ahead)
{
    if (ahead != NULL && ahead->made)
        epb_mem_wipe(ahead, sizeof *ahead);
}

void
epb_cipher_seal(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, uint8_t tag[EPB_CIPHER_TAG_BYTES],
                struct epb_cipher_ahead *ahead)
{
    epb_once(&chosen, choose_instructions);
    if (is_short(header, body_bytes)) {
        seal_short(key, nonce, header, body, body_bytes, tag, ahead);
    } else {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            body, tag, NULL, body, body_bytes, header.data, header.size_bytes, NULL,
            nonce, key);
        wipe_stack_of_stream();
    }
    forget(ahead);
}

enum epb_status
epb_cipher_open(const uint8_t key[EPB_CIPHER_KEY_BYTES],
                const uint8_t nonce[EPB_CIPHER_NONCE_BYTES], struct epb_bytes header,
                uint8_t *body, size_t body_bytes, const uint8_t tag[EPB_CIPHER_TAG_BYTES],
                struct epb_cipher_ahead *ahead)
{
    epb_once(&chosen, choose_instructions);
    bool opened;
    if (is_short(header, body_bytes)) {
        opened = open_short(key, nonce, header, body, body_bytes, tag, ahead);
    } else {
        opened = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
                     body, NULL, body, body_bytes, tag, header.data, header.size_bytes,
                     nonce, key) == 0;
        wipe_stack_of_stream();
    }
    forget(ahead);
    return opened ? EPB_OK : EPB_AUTH_FAILED;
}
