/* The ciphers of records: as their standards have them, whatever instructions there are.
 */
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
#define EXAMPLE_MAX_BYTES 128U

struct example {
    enum epb_cipher_kind kind;
    uint8_t key[EPB_CIPHER_KEY_BYTES];
    uint8_t nonce[EPB_CIPHER_NONCE_BYTES];
    uint8_t header[20];
    size_t header_bytes;
    uint8_t plain[EXAMPLE_MAX_BYTES];
    uint8_t sealed[EXAMPLE_MAX_BYTES];
    size_t body_bytes;
    uint8_t tag[EPB_CIPHER_TAG_BYTES];
};

static const struct example EXAMPLES[] = {
    /* RFC 8439, section 2.8.2 */
    {.kind = EPB_CIPHER_CHACHA20_POLY1305,
     .key = {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a,
             0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95,
             0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f},
     .nonce = {0x07, 0x00, 0x00, 0x00, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47},
     .header = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7},
     .header_bytes = 12,
     .plain = {0x4c, 0x61, 0x64, 0x69, 0x65, 0x73, 0x20, 0x61, 0x6e, 0x64, 0x20, 0x47,
               0x65, 0x6e, 0x74, 0x6c, 0x65, 0x6d, 0x65, 0x6e, 0x20, 0x6f, 0x66, 0x20,
               0x74, 0x68, 0x65, 0x20, 0x63, 0x6c, 0x61, 0x73, 0x73, 0x20, 0x6f, 0x66,
               0x20, 0x27, 0x39, 0x39, 0x3a, 0x20, 0x49, 0x66, 0x20, 0x49, 0x20, 0x63,
               0x6f, 0x75, 0x6c, 0x64, 0x20, 0x6f, 0x66, 0x66, 0x65, 0x72, 0x20, 0x79,
               0x6f, 0x75, 0x20, 0x6f, 0x6e, 0x6c, 0x79, 0x20, 0x6f, 0x6e, 0x65, 0x20,
               0x74, 0x69, 0x70, 0x20, 0x66, 0x6f, 0x72, 0x20, 0x74, 0x68, 0x65, 0x20,
               0x66, 0x75, 0x74, 0x75, 0x72, 0x65, 0x2c, 0x20, 0x73, 0x75, 0x6e, 0x73,
               0x63, 0x72, 0x65, 0x65, 0x6e, 0x20, 0x77, 0x6f, 0x75, 0x6c, 0x64, 0x20,
               0x62, 0x65, 0x20, 0x69, 0x74, 0x2e},
     .sealed = {0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb, 0x7b, 0x86, 0xaf, 0xbc,
                0x53, 0xef, 0x7e, 0xc2, 0xa4, 0xad, 0xed, 0x51, 0x29, 0x6e, 0x08, 0xfe,
                0xa9, 0xe2, 0xb5, 0xa7, 0x36, 0xee, 0x62, 0xd6, 0x3d, 0xbe, 0xa4, 0x5e,
                0x8c, 0xa9, 0x67, 0x12, 0x82, 0xfa, 0xfb, 0x69, 0xda, 0x92, 0x72, 0x8b,
                0x1a, 0x71, 0xde, 0x0a, 0x9e, 0x06, 0x0b, 0x29, 0x05, 0xd6, 0xa5, 0xb6,
                0x7e, 0xcd, 0x3b, 0x36, 0x92, 0xdd, 0xbd, 0x7f, 0x2d, 0x77, 0x8b, 0x8c,
                0x98, 0x03, 0xae, 0xe3, 0x28, 0x09, 0x1b, 0x58, 0xfa, 0xb3, 0x24, 0xe4,
                0xfa, 0xd6, 0x75, 0x94, 0x55, 0x85, 0x80, 0x8b, 0x48, 0x31, 0xd7, 0xbc,
                0x3f, 0xf4, 0xde, 0xf0, 0x8e, 0x4b, 0x7a, 0x9d, 0xe5, 0x76, 0xd2, 0x65,
                0x86, 0xce, 0xc6, 0x4b, 0x61, 0x16},
     .body_bytes = 114,
     .tag = {0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0,
             0x60, 0x06, 0x91}},
    /* McGrew and Viega, The Galois/Counter Mode of Operation, test case 16 */
    {.kind = EPB_CIPHER_AES_256_GCM,
     .key = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f,
             0x94, 0x67, 0x30, 0x83, 0x08, 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
             0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08},
     .nonce = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88},
     .header = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2},
     .header_bytes = 20,
     .plain = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
               0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
               0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
               0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
               0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39},
     .sealed = {0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3,
                0x2a, 0x84, 0x42, 0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9,
                0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa, 0x8c, 0xb0, 0x8e, 0x48,
                0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
                0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62},
     .body_bytes = 60,
     .tag = {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb,
             0x2d, 0x55, 0x1b}},
};

/* The last one is left out where the machine has no AES. */
static size_t
example_count(void)
{
    return sizeof(EXAMPLES) / sizeof(EXAMPLES[0]) - (epb_cipher_has_aes() ? 0 : 1);
}

static struct epb_bytes
header_of(const struct example *example)
{
    return (struct epb_bytes){example->header, example->header_bytes};
}

Test(cipher, the_examples_of_their_authors)
{
    for (size_t i = 0; i < example_count(); i++) {
        const struct example *example = &EXAMPLES[i];
        size_t size_bytes = example->body_bytes;
        struct epb_cipher cipher;
        uint8_t body[EXAMPLE_MAX_BYTES];
        uint8_t tag[EPB_CIPHER_TAG_BYTES];

        epb_cipher_init(&cipher, example->kind, example->key);
        memcpy(body, example->plain, size_bytes);
        epb_cipher_seal(&cipher, example->nonce, header_of(example), body, size_bytes,
                        tag);
        cr_assert_arr_eq(body, example->sealed, size_bytes);
        cr_assert_arr_eq(tag, example->tag, sizeof(tag));
        cr_assert_eq(epb_cipher_unseal(&cipher, example->nonce, header_of(example), body,
                                       size_bytes, tag),
                     EPB_OK);
        cr_assert_arr_eq(body, example->plain, size_bytes);
    }
}

static void
assert_instructions(bool chosen)
{
#if defined(HAVE_AVX2INTRIN_H)
    bool avx2 = __builtin_cpu_supports("avx2") != 0;
    bool ssse3 = __builtin_cpu_supports("ssse3") != 0;
    bool aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");

    cr_assert_eq(sodium_runtime_has_avx2() != 0, chosen && avx2);
    cr_assert_eq(sodium_runtime_has_ssse3() != 0, chosen && ssse3);
    cr_assert(!chosen || epb_cipher_has_aes() == aes);
#else
    cr_assert(!chosen || !epb_cipher_has_aes());
#endif
}

/* Each test is a process of its own, in which libsodium works in plain C until our first
 * call. */
Test(cipher, chacha20_is_the_same_with_and_without_vectors_at_every_length)
{
    static uint8_t plain[LENGTH_MAX_BYTES];
    static uint8_t expected[LENGTH_MAX_BYTES + 1][LENGTH_MAX_BYTES];
    static uint8_t tags[LENGTH_MAX_BYTES + 1][EPB_CIPHER_TAG_BYTES];
    const uint8_t *nonce = EXAMPLES[0].nonce;
    struct epb_bytes header = header_of(&EXAMPLES[0]);
    struct random random = {8439};
    struct epb_cipher cipher;
    uint8_t key[EPB_CIPHER_KEY_BYTES];

    random_fill(&random, key, sizeof(key));
    random_fill(&random, plain, sizeof(plain));
    assert_instructions(false);
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++) {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            expected[n], tags[n], NULL, plain, n, header.data, header.size_bytes, NULL,
            nonce, key);
    }
    epb_cipher_init(&cipher, EPB_CIPHER_CHACHA20_POLY1305, key);
    for (size_t n = 0; n <= LENGTH_MAX_BYTES; n++) {
        uint8_t body[LENGTH_MAX_BYTES];
        uint8_t tag[EPB_CIPHER_TAG_BYTES];

        memcpy(body, plain, n);
        epb_cipher_seal(&cipher, nonce, header, body, n, tag);
        cr_assert_eq(memcmp(body, expected[n], n), 0, "%zu bytes", n);
        cr_assert_eq(memcmp(tag, tags[n], sizeof(tag)), 0, "the tag of %zu bytes", n);
        cr_assert_eq(epb_cipher_unseal(&cipher, nonce, header, body, n, tag), EPB_OK);
        cr_assert_eq(memcmp(body, plain, n), 0, "%zu bytes opened", n);
    }
    assert_instructions(true);
}

/* A counter mode: what is shorter begins alike. What the bytes are at every length is
 * held against another implementation by test/integration/ciphers.test.js. */
Test(cipher, aes_gives_back_every_length)
{
    static uint8_t plain[LENGTH_MAX_BYTES];
    static uint8_t longest[LENGTH_MAX_BYTES];
    const uint8_t *nonce = EXAMPLES[0].nonce;
    struct epb_bytes header = header_of(&EXAMPLES[0]);
    struct random random = {800};
    struct epb_cipher cipher;
    uint8_t key[EPB_CIPHER_KEY_BYTES];

    if (!epb_cipher_has_aes()) {
        cr_skip("this machine has none");
    }
    random_fill(&random, key, sizeof(key));
    random_fill(&random, plain, sizeof(plain));
    epb_cipher_init(&cipher, EPB_CIPHER_AES_256_GCM, key);
    for (size_t n = LENGTH_MAX_BYTES + 1; n-- > 0;) {
        uint8_t body[LENGTH_MAX_BYTES];
        uint8_t tag[EPB_CIPHER_TAG_BYTES];

        memcpy(body, plain, n);
        epb_cipher_seal(&cipher, nonce, header, body, n, tag);
        if (n == LENGTH_MAX_BYTES) {
            memcpy(longest, body, n);
        }
        cr_assert_eq(memcmp(body, longest, n), 0, "%zu bytes", n);
        cr_assert(n < 8 || memcmp(body, plain, n) != 0);
        cr_assert_eq(epb_cipher_unseal(&cipher, nonce, header, body, n, tag), EPB_OK);
        cr_assert_eq(memcmp(body, plain, n), 0, "%zu bytes opened", n);
    }
}

Test(cipher, a_header_of_any_length_is_vouched_for)
{
    for (size_t i = 0; i < example_count(); i++) {
        struct epb_cipher cipher;

        epb_cipher_init(&cipher, EXAMPLES[i].kind, EXAMPLES[i].key);
        for (size_t n = 0; n <= 40; n++) {
            uint8_t head[40] = {1, 2, 3};
            struct epb_bytes header = {head, n};
            uint8_t sealed[100] = {4, 5, 6};
            uint8_t body[sizeof(sealed)];
            uint8_t tag[EPB_CIPHER_TAG_BYTES];

            epb_cipher_seal(&cipher, EXAMPLES[i].nonce, header, sealed, sizeof(sealed),
                            tag);
            for (size_t bit = 0; bit <= 8 * n; bit++) {
                bool changed = bit < 8 * n;
                if (changed) {
                    head[bit / 8] ^= (uint8_t)(1U << bit % 8);
                }
                memcpy(body, sealed, sizeof(body));
                cr_assert_eq(epb_cipher_unseal(&cipher, EXAMPLES[i].nonce, header, body,
                                               sizeof(body), tag),
                             changed ? EPB_AUTH_FAILED : EPB_OK, "bit %zu of %zu bytes",
                             bit, n);
                if (changed) {
                    head[bit / 8] ^= (uint8_t)(1U << bit % 8);
                }
            }
            header.size_bytes = n == 40 ? 39 : n + 1;
            memcpy(body, sealed, sizeof(body));
            cr_assert_eq(epb_cipher_unseal(&cipher, EXAMPLES[i].nonce, header, body,
                                           sizeof(body), tag),
                         EPB_AUTH_FAILED, "another length than %zu bytes", n);
        }
    }
}

static bool
opens(const struct example *example, uint8_t *body)
{
    struct epb_cipher cipher;

    epb_cipher_init(&cipher, example->kind, example->key);
    return epb_cipher_unseal(&cipher, example->nonce, header_of(example), body,
                             example->body_bytes, example->tag) == EPB_OK;
}

/* One bit of an example's key, nonce, header, body or tag; past the end: none. */
static bool
flip(struct example *example, size_t bit)
{
    struct {
        uint8_t *bytes;
        size_t size_bytes;
    } parts[] = {{example->key, sizeof(example->key)},
                 {example->nonce, sizeof(example->nonce)},
                 {example->header, example->header_bytes},
                 {example->sealed, example->body_bytes},
                 {example->tag, sizeof(example->tag)}};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (bit < 8 * parts[i].size_bytes) {
            parts[i].bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            return true;
        }
        bit -= 8 * parts[i].size_bytes;
    }
    return false;
}

Test(cipher, nothing_opens_with_a_bit_changed_anywhere)
{
    static const uint8_t zeros[EXAMPLE_MAX_BYTES];

    for (size_t i = 0; i < example_count(); i++) {
        bool changed = true;
        for (size_t bit = 0; changed; bit++) {
            struct example example = EXAMPLES[i];

            changed = flip(&example, bit);
            cr_assert_eq(opens(&example, example.sealed), !changed, "bit %zu", bit);
            cr_assert_eq(memcmp(example.sealed, changed ? zeros : example.plain,
                                example.body_bytes),
                         0, "bit %zu", bit);
        }
    }
}

#define STACK_BYTES ((size_t)256 * 1024)

struct work {
    enum epb_cipher_kind kind;
    uint8_t key[EPB_CIPHER_KEY_BYTES];
    struct epb_cipher cipher;
    uint8_t body[2000];
    size_t body_bytes;
    uint8_t sealed[2000];
};

static void *
seal_and_open(void *argument)
{
    struct work *work = argument;
    const uint8_t *nonce = EXAMPLES[0].nonce;
    struct epb_bytes header = header_of(&EXAMPLES[0]);
    uint8_t tag[EPB_CIPHER_TAG_BYTES];

    epb_cipher_init(&work->cipher, work->kind, work->key);
    epb_cipher_seal(&work->cipher, nonce, header, work->body, work->body_bytes, tag);
    memcpy(work->sealed, work->body, work->body_bytes);
    cr_assert_eq(epb_cipher_unseal(&work->cipher, nonce, header, work->body,
                                   work->body_bytes, tag),
                 EPB_OK);
    return NULL;
}

/* None of the words that `secret` consists of. */
static void
assert_not_left(const uint8_t *left, const uint8_t *secret, size_t secret_bytes,
                size_t word_bytes, const struct work *work)
{
    for (size_t at = 0; at + word_bytes <= secret_bytes; at += word_bytes) {
        cr_assert_null(memmem(left, STACK_BYTES, secret + at, word_bytes),
                       "cipher %d, %zu bytes, word at %zu", (int)work->kind,
                       work->body_bytes, at);
    }
}

/* What is secret beside the key: ChaCha20's key of the authenticator; AES's round keys,
 * and what it authenticates with. */
static size_t
made_of_key(const struct work *work, uint8_t out[sizeof(work->cipher.key.aes)])
{
    if (work->kind == EPB_CIPHER_CHACHA20_POLY1305) {
        (void)crypto_stream_chacha20_ietf(out, 32, EXAMPLES[0].nonce, work->key);
        return 32;
    }
    size_t size_bytes = 0;
    for (size_t at = 0; at < sizeof(work->cipher.key.aes); at += 4) {
        static const uint8_t unused[4];
        if (memcmp(work->cipher.key.aes + at, unused, 4) == 0) {
            continue;
        }
        memcpy(out + size_bytes, work->cipher.key.aes + at, 4);
        size_bytes += 4;
    }
    cr_assert_eq(size_bytes, 15 * 16 + 16);
    return size_bytes;
}

/* The plaintext is random, and what it was combined with is a secret, too. */
static void
assert_stack_clean(int memory, const uint8_t *stack, const struct work *work)
{
    static uint8_t left[STACK_BYTES];
    uint8_t stream[sizeof(work->body)];
    uint8_t made[sizeof(work->cipher.key.aes)];

    cr_assert_eq(pread(memory, left, sizeof(left), (off_t)(uintptr_t)stack),
                 (ssize_t)sizeof(left));
    for (size_t i = 0; i < work->body_bytes; i++) {
        stream[i] = work->sealed[i] ^ work->body[i];
    }
    assert_not_left(left, work->key, sizeof(work->key), 4, work);
    assert_not_left(left, made, made_of_key(work, made), 4, work);
    assert_not_left(left, work->body, work->body_bytes, 8, work);
    assert_not_left(left, stream, work->body_bytes, 8, work);
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
    cr_assert_eq(pthread_attr_setstack(&attributes, stack, sizeof(stack)), 0);
    random_fill(&random, work.key, sizeof(work.key));
    random_fill(&random, work.body, sizeof(work.body));
    for (size_t i = 0; i < example_count() * (sizeof(sizes) / sizeof(*sizes)); i++) {
        work.kind = EXAMPLES[i % example_count()].kind;
        work.body_bytes = sizes[i / example_count()];
        cr_assert_eq(pthread_create(&thread, &attributes, seal_and_open, &work), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        assert_stack_clean(memory, stack, &work);
    }
    pthread_attr_destroy(&attributes);
    close(memory);
}
