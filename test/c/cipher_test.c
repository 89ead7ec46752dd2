/* The cipher of records: as RFC 8439 has it, with and without vector instructions. */
#include "wire/cipher.h"

#include "wire/sodium_config.h"
#include <sodium/crypto_aead_chacha20poly1305.h>
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
    epb_cipher_seal(key, NONCE, HEADER, body, sizeof body, tag);
    cr_assert_arr_eq(body, SEALED, sizeof SEALED);
    cr_assert_arr_eq(tag, TAG, sizeof TAG);
    cr_assert_eq(epb_cipher_open(key, NONCE, HEADER, body, sizeof body, tag), EPB_OK);
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

/* Each test is a process of its own, in which libsodium works in plain C until our first
 * call. */
Test(cipher, every_length_is_the_same_with_and_without_vectors)
{
    static uint8_t plain[LENGTH_MAX_BYTES];
    static uint8_t expected[LENGTH_MAX_BYTES + 1][LENGTH_MAX_BYTES];
    static uint8_t tags[LENGTH_MAX_BYTES + 1][EPB_CIPHER_TAG_BYTES];
    struct random random = {8439};
    uint8_t key[EPB_CIPHER_KEY_BYTES];

    random_fill(&random, key, sizeof key);
    random_fill(&random, plain, sizeof plain);
    assert_vectors(false);
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++) {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            expected[n], tags[n], NULL, plain, n, HEAD, sizeof HEAD, NULL, NONCE, key);
    }
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++) {
        uint8_t body[LENGTH_MAX_BYTES];
        uint8_t tag[EPB_CIPHER_TAG_BYTES];

        memcpy(body, plain, n);
        epb_cipher_seal(key, NONCE, HEADER, body, n, tag);
        cr_assert_eq(memcmp(body, expected[n], n), 0, "%zu bytes", n);
        cr_assert_eq(memcmp(tag, tags[n], sizeof tag), 0, "the tag of %zu bytes", n);
        cr_assert_eq(epb_cipher_open(key, NONCE, HEADER, body, n, tag), EPB_OK);
        cr_assert_eq(memcmp(body, plain, n), 0, "%zu bytes opened", n);
    }
    assert_vectors(true);
}

static bool
opens(const uint8_t *key, const uint8_t *nonce, const uint8_t *head, uint8_t *body,
      const uint8_t *tag)
{
    struct epb_bytes header = {head, sizeof HEAD};

    return epb_cipher_open(key, nonce, header, body, SUNSCREEN_BYTES, tag) == EPB_OK;
}

Test(cipher, nothing_opens_with_a_bit_changed_anywhere)
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
        bool opened = opens(all, all + at[1], all + at[2], all + at[3], all + at[4]);
        cr_assert_eq(opened, !changed, "bit %zu", bit);
        cr_assert_eq(memcmp(all + at[3], changed ? zeros : (const uint8_t *)SUNSCREEN,
                            SUNSCREEN_BYTES),
                     0, "bit %zu", bit);
    }
}

#define STACK_BYTES ((size_t)256 * 1024)

struct work {
    uint8_t key[EPB_CIPHER_KEY_BYTES];
    uint8_t body[2000];
    size_t body_bytes;
};

static void *
seal_and_open(void *argument)
{
    struct work *work = argument;
    uint8_t tag[EPB_CIPHER_TAG_BYTES];

    epb_cipher_seal(work->key, NONCE, HEADER, work->body, work->body_bytes, tag);
    cr_assert_eq(
        epb_cipher_open(work->key, NONCE, HEADER, work->body, work->body_bytes, tag),
        EPB_OK);
    return NULL;
}

Test(cipher, no_word_of_a_key_stays_on_the_stack)
{
    static const size_t sizes[] = {40, 150, 300, 700, 2000};
    static _Alignas(4096) uint8_t stack[STACK_BYTES];
    static uint8_t left[STACK_BYTES];
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
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        work.body_bytes = sizes[i];
        cr_assert_eq(pthread_create(&thread, &attributes, seal_and_open, &work), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(pread(memory, left, sizeof left, (off_t)(uintptr_t)stack),
                     (ssize_t)sizeof left);
        for (size_t at = 0; at + 4 <= sizeof left; at++) {
            for (size_t word = 0; word < sizeof work.key; word += 4)
                cr_assert_neq(memcmp(left + at, work.key + word, 4), 0, "%zu bytes",
                              sizes[i]);
        }
    }
    pthread_attr_destroy(&attributes);
    close(memory);
}
