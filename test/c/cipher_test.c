/* The cipher of records: as RFC 8439 has it, with and without vector instructions. */
#include "wire/cipher.h"

#include "wire/sodium_config.h"
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_stream_chacha20.h>
#include <sodium/runtime.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "helpers.h"

/* Vector code takes 512, 256, 128 and 64 bytes at a time, and the rest. */
#define LENGTH_MAX_BYTES 1100U

static const uint8_t HEAD[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                               0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
static const struct epb_bytes HEADER = {HEAD, sizeof HEAD};
static const uint8_t NONCE[EPB_CIPHER_NONCE_BYTES] = {7,    0,    0,    0,    0x40, 0x41,
                                                      0x42, 0x43, 0x44, 0x45, 0x46, 0x47};

/* RFC 8439, section 2.8.2 */
static const char SUNSCREEN[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
    "future, sunscreen would be it.";
static const uint8_t SEALED[] = {
    0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb, 0x7b, 0x86, 0xaf, 0xbc, 0x53,
    0xef, 0x7e, 0xc2, 0xa4, 0xad, 0xed, 0x51, 0x29, 0x6e, 0x08, 0xfe, 0xa9, 0xe2,
    0xb5, 0xa7, 0x36, 0xee, 0x62, 0xd6, 0x3d, 0xbe, 0xa4, 0x5e, 0x8c, 0xa9, 0x67,
    0x12, 0x82, 0xfa, 0xfb, 0x69, 0xda, 0x92, 0x72, 0x8b, 0x1a, 0x71, 0xde, 0x0a,
    0x9e, 0x06, 0x0b, 0x29, 0x05, 0xd6, 0xa5, 0xb6, 0x7e, 0xcd, 0x3b, 0x36, 0x92,
    0xdd, 0xbd, 0x7f, 0x2d, 0x77, 0x8b, 0x8c, 0x98, 0x03, 0xae, 0xe3, 0x28, 0x09,
    0x1b, 0x58, 0xfa, 0xb3, 0x24, 0xe4, 0xfa, 0xd6, 0x75, 0x94, 0x55, 0x85, 0x80,
    0x8b, 0x48, 0x31, 0xd7, 0xbc, 0x3f, 0xf4, 0xde, 0xf0, 0x8e, 0x4b, 0x7a, 0x9d,
    0xe5, 0x76, 0xd2, 0x65, 0x86, 0xce, 0xc6, 0x4b, 0x61, 0x16};
static const uint8_t TAG[] = {0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
                              0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91};
#define SUNSCREEN_BYTES (sizeof SUNSCREEN - 1)

static void
fill_key(uint8_t key[EPB_CIPHER_KEY_BYTES])
{
    for (unsigned i = 0; i < EPB_CIPHER_KEY_BYTES; i++)
        key[i] = (uint8_t)(0x80 + i);
}

Test(cipher, the_example_of_the_rfc)
{
    uint8_t key[EPB_CIPHER_KEY_BYTES];
    uint8_t body[SUNSCREEN_BYTES];
    uint8_t tag[EPB_CIPHER_TAG_BYTES];

    fill_key(key);
    memcpy(body, SUNSCREEN, sizeof body);
    epb_cipher_seal(key, NONCE, HEADER, body, sizeof body, tag, NULL);
    cr_assert_arr_eq(body, SEALED, sizeof SEALED);
    cr_assert_arr_eq(tag, TAG, sizeof TAG);
    cr_assert_eq(epb_cipher_open(key, NONCE, HEADER, body, sizeof body, tag, NULL),
                 EPB_OK);
    cr_assert_arr_eq(body, SUNSCREEN, sizeof body);
}

static void
assert_vectors(bool chosen)
{
#if defined(HAVE_AVX2INTRIN_H)
    bool avx2 = __builtin_cpu_supports("avx2") != 0;
    bool ssse3 = __builtin_cpu_supports("ssse3") != 0;

    cr_assert_eq(sodium_runtime_has_avx2() != 0, chosen && avx2);
    cr_assert_eq(sodium_runtime_has_ssse3() != 0, chosen && ssse3);
#else
    (void)chosen;
#endif
}

/* What the library's own construction makes of it. */
struct expected {
    uint8_t body[LENGTH_MAX_BYTES];
    uint8_t tag[EPB_CIPHER_TAG_BYTES];
};

static void
seal_with_library(const uint8_t *key, struct epb_bytes header, const uint8_t *plain,
                  size_t size_bytes, struct expected *expected)
{
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        expected->body, expected->tag, NULL, plain, size_bytes, header.data,
        header.size_bytes, NULL, NONCE, key);
}

static void
assert_used(const struct epb_cipher_ahead *ahead)
{
    static const struct epb_cipher_ahead wiped;

    cr_assert_eq(memcmp(ahead, &wiped, sizeof wiped), 0);
}

/* Sealed and opened as expected, at once, and with a stream that was made ahead. */
static void
assert_same(const uint8_t *key, struct epb_bytes header, const uint8_t *plain,
            size_t size_bytes, const struct expected *expected)
{
    for (int in_advance = 0; in_advance < 2; in_advance++) {
        struct epb_cipher_ahead ahead = {0};
        uint8_t body[LENGTH_MAX_BYTES];
        uint8_t tag[EPB_CIPHER_TAG_BYTES];

        memcpy(body, plain, size_bytes);
        if (in_advance)
            epb_cipher_make_ahead(key, NONCE, &ahead);
        epb_cipher_seal(key, NONCE, header, body, size_bytes, tag, &ahead);
        cr_assert_eq(memcmp(body, expected->body, size_bytes), 0, "%zu bytes",
                     size_bytes);
        cr_assert_eq(memcmp(tag, expected->tag, sizeof tag), 0, "the tag of %zu bytes",
                     size_bytes);
        assert_used(&ahead);
        if (in_advance)
            epb_cipher_make_ahead(key, NONCE, &ahead);
        cr_assert_eq(epb_cipher_open(key, NONCE, header, body, size_bytes, tag, &ahead),
                     EPB_OK);
        cr_assert_eq(memcmp(body, plain, size_bytes), 0, "%zu bytes opened", size_bytes);
        assert_used(&ahead);
    }
}

/* Each test is a process of its own, in which libsodium works in plain C until our first
 * call. */
Test(cipher, every_length_is_the_same_with_and_without_vectors)
{
    static uint8_t plain[LENGTH_MAX_BYTES];
    static struct expected expected[LENGTH_MAX_BYTES + 1];
    struct random random = {8439};
    uint8_t key[EPB_CIPHER_KEY_BYTES];

    random_fill(&random, key, sizeof key);
    random_fill(&random, plain, sizeof plain);
    assert_vectors(false);
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++)
        seal_with_library(key, HEADER, plain, n, &expected[n]);
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++)
        assert_same(key, HEADER, plain, n, &expected[n]);
    assert_vectors(true);
}

Test(cipher, a_header_of_any_length_is_vouched_for)
{
    static const uint8_t head[40] = {1, 2, 3};
    static const uint8_t plain[100] = {4, 5, 6};
    struct expected expected;
    uint8_t key[EPB_CIPHER_KEY_BYTES];

    fill_key(key);
    for (size_t n = 0; n <= sizeof head; n++) {
        struct epb_bytes header = {head, n};

        seal_with_library(key, header, plain, sizeof plain, &expected);
        assert_same(key, header, plain, sizeof plain, &expected);
    }
}

static bool
opens(const uint8_t *key, const uint8_t *nonce, const uint8_t *head, uint8_t *body,
      const uint8_t *tag, bool in_advance)
{
    struct epb_bytes header = {head, sizeof HEAD};
    struct epb_cipher_ahead ahead = {0};

    if (in_advance)
        epb_cipher_make_ahead(key, nonce, &ahead);
    enum epb_status status =
        epb_cipher_open(key, nonce, header, body, SUNSCREEN_BYTES, tag, &ahead);
    assert_used(&ahead);
    return status == EPB_OK;
}

static void
assert_nothing_opens_changed(bool in_advance)
{
    /* key | nonce | header | body | tag */
    const size_t at[] = {
        0, EPB_CIPHER_KEY_BYTES, EPB_CIPHER_KEY_BYTES + EPB_CIPHER_NONCE_BYTES,
        EPB_CIPHER_KEY_BYTES + EPB_CIPHER_NONCE_BYTES + sizeof HEAD,
        EPB_CIPHER_KEY_BYTES + EPB_CIPHER_NONCE_BYTES + sizeof HEAD + SUNSCREEN_BYTES};
    uint8_t all[EPB_CIPHER_KEY_BYTES + EPB_CIPHER_NONCE_BYTES + sizeof HEAD +
                SUNSCREEN_BYTES + EPB_CIPHER_TAG_BYTES];
    static const uint8_t zeros[SUNSCREEN_BYTES];

    for (size_t bit = 0; bit <= sizeof all * 8; bit++) {
        fill_key(all);
        memcpy(all + at[1], NONCE, sizeof NONCE);
        memcpy(all + at[2], HEAD, sizeof HEAD);
        memcpy(all + at[3], SEALED, sizeof SEALED);
        memcpy(all + at[4], TAG, sizeof TAG);
        /* The last round changes nothing. */
        bool changed = bit < sizeof all * 8;
        if (changed)
            all[bit / 8] ^= (uint8_t)(1U << bit % 8);
        bool opened =
            opens(all, all + at[1], all + at[2], all + at[3], all + at[4], in_advance);
        cr_assert_eq(opened, !changed, "bit %zu", bit);
        cr_assert_eq(memcmp(all + at[3], changed ? zeros : (const uint8_t *)SUNSCREEN,
                            SUNSCREEN_BYTES),
                     0, "bit %zu", bit);
    }
}

Test(cipher, nothing_opens_with_a_bit_changed_anywhere)
{
    assert_nothing_opens_changed(false);
    assert_nothing_opens_changed(true);
}

#define STACK_BYTES ((size_t)256 * 1024)

struct work {
    uint8_t key[EPB_CIPHER_KEY_BYTES];
    uint8_t body[2000];
    size_t body_bytes;
    uint8_t sealed[2000];
    bool in_advance;
    struct epb_cipher_ahead ahead;
};

static void *
seal_and_open(void *argument)
{
    struct work *work = argument;
    uint8_t tag[EPB_CIPHER_TAG_BYTES];

    if (work->in_advance)
        epb_cipher_make_ahead(work->key, NONCE, &work->ahead);
    epb_cipher_seal(work->key, NONCE, HEADER, work->body, work->body_bytes, tag,
                    &work->ahead);
    memcpy(work->sealed, work->body, work->body_bytes);
    if (work->in_advance)
        epb_cipher_make_ahead(work->key, NONCE, &work->ahead);
    cr_assert_eq(epb_cipher_open(work->key, NONCE, HEADER, work->body, work->body_bytes,
                                 tag, &work->ahead),
                 EPB_OK);
    return NULL;
}

/* None of the words that `secret` consists of. */
static void
assert_not_left(const uint8_t *left, const uint8_t *secret, size_t secret_bytes,
                size_t word_bytes, size_t body_bytes)
{
    for (size_t at = 0; at + word_bytes <= secret_bytes; at += word_bytes) {
        cr_assert_null(memmem(left, STACK_BYTES, secret + at, word_bytes),
                       "%zu bytes, word at %zu", body_bytes, at);
    }
}

/* The plaintext is random, and what it was combined with is a secret, too; so is what the
 * record is authenticated with. */
static void
assert_stack_clean(int memory, const uint8_t *stack, struct work *work)
{
    static uint8_t left[STACK_BYTES];
    uint8_t stream[sizeof work->body];
    uint8_t tag_key[32];

    cr_assert_eq(pread(memory, left, sizeof left, (off_t)(uintptr_t)stack),
                 (ssize_t)sizeof left);
    for (size_t i = 0; i < work->body_bytes; i++)
        stream[i] = work->sealed[i] ^ work->body[i];
    (void)crypto_stream_chacha20_ietf(tag_key, sizeof tag_key, NONCE, work->key);
    assert_not_left(left, work->key, sizeof work->key, 4, work->body_bytes);
    assert_not_left(left, tag_key, sizeof tag_key, 4, work->body_bytes);
    assert_not_left(left, work->body, work->body_bytes, 8, work->body_bytes);
    assert_not_left(left, stream, work->body_bytes, 8, work->body_bytes);
}

Test(cipher, no_word_of_a_key_a_stream_or_a_body_stays_on_the_stack)
{
    static const size_t sizes[] = {40, 150, 300, 448, 700, 960, 2000};
    static _Alignas(4096) uint8_t stack[STACK_BYTES];
    struct random random = {42};
    static struct work work;
    pthread_attr_t attributes;
    pthread_t thread;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    cr_skip("a sanitizer needs so much of the stack that more than that is to be wiped");
#endif
    /* Not read as memory: to Valgrind what lies below a stack's end is out of bounds. */
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(memory, 0);
    cr_assert_eq(pthread_attr_init(&attributes), 0);
    cr_assert_eq(pthread_attr_setstack(&attributes, stack, sizeof stack), 0);
    random_fill(&random, work.key, sizeof work.key);
    random_fill(&random, work.body, sizeof work.body);
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) {
        work.body_bytes = sizes[i / 2];
        work.in_advance = i % 2 != 0;
        cr_assert_eq(pthread_create(&thread, &attributes, seal_and_open, &work), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        assert_stack_clean(memory, stack, &work);
    }
    pthread_attr_destroy(&attributes);
    close(memory);
}
