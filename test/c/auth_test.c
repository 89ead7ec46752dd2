/* The handshake: only two ends with one secret, and an untouched exchange, come out with
 * keys. The hash functions are held to the examples of their RFCs. */
#include "wire/auth.h"

#include "wire/hash.h"
#include "wire_help.h"

static size_t
from_hex(const char *hex, uint8_t *out)
{
    size_t size_bytes = strlen(hex) / 2;
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return size_bytes;
}

static void
assert_hex(const uint8_t *bytes, const char *hex)
{
    uint8_t expected[256];
    size_t size_bytes = from_hex(hex, expected);
    cr_assert_eq(memcmp(bytes, expected, size_bytes), 0, "not %s", hex);
}

static void
assert_hmac(struct epb_bytes key, struct epb_bytes message, const char *hex)
{
    struct epb_hmac hmac;
    uint8_t out[32];
    cr_assert_eq(epb_hmac_init(&hmac, key), EPB_OK);
    for (int round = 0; round < 2; round++) { /* the keyed state serves more than once */
        epb_hmac_begin(&hmac);
        for (size_t i = 0; i < message.size_bytes; i++)
            epb_hmac_add(&hmac, message.data + i, 1);
        epb_hmac_end(&hmac, out);
        assert_hex(out, hex);
    }
    epb_hmac_fini(&hmac);
}

Test(auth, hmac_gives_the_results_of_rfc_4231)
{
    uint8_t key[131];
    uint8_t message[50];
    memset(key, 0x0b, 20);
    assert_hmac((struct epb_bytes){key, 20}, LITERAL("Hi There"),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_hmac(LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    memset(message, 0xdd, sizeof message);
    assert_hmac((struct epb_bytes){key, 20}, (struct epb_bytes){message, 50},
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    assert_hmac((struct epb_bytes){key, 131},
                LITERAL("Test Using Larger Than Block-Size Key - Hash Key First"),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

Test(auth, hkdf_gives_the_results_of_rfc_5869)
{
    uint8_t secret[80];
    uint8_t salt[80];
    uint8_t info[80];
    uint8_t out[82];
    memset(secret, 0x0b, 22);
    (void)from_hex("000102030405060708090a0b0c", salt);
    (void)from_hex("f0f1f2f3f4f5f6f7f8f9", info);
    cr_assert_eq(epb_hash_hkdf((struct epb_bytes){secret, 22},
                               (struct epb_bytes){salt, 13}, (struct epb_bytes){info, 10},
                               out, 42),
                 EPB_OK);
    assert_hex(
        out,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b8"
        "87185865");
    for (uint8_t i = 0; i < 80; i++) {
        secret[i] = i;
        salt[i] = (uint8_t)(0x60 + i);
        info[i] = (uint8_t)(0xb0 + i);
    }
    cr_assert_eq(epb_hash_hkdf((struct epb_bytes){secret, 80},
                               (struct epb_bytes){salt, 80}, (struct epb_bytes){info, 80},
                               out, 82),
                 EPB_OK);
    assert_hex(
        out,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7"
        "827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5"
        "c1f3434f1d87");
    memset(secret, 0x0b, 22);
    cr_assert_eq(epb_hash_hkdf((struct epb_bytes){secret, 22},
                               (struct epb_bytes){NULL, 0}, (struct epb_bytes){NULL, 0},
                               out, 42),
                 EPB_OK);
    assert_hex(
        out,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4"
        "b61a96c8");
}

/* What went over the wire in one handshake, and how it ended. */
struct transcript {
    uint8_t client_hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t server_hello[EPB_SERVER_HELLO_MAX_BYTES];
    size_t server_hello_bytes;
    uint8_t proof[EPB_PROOF_BYTES];
};

enum place {
    NOWHERE,
    IN_CLIENT_HELLO,
    IN_SERVER_HELLO,
    IN_PROOF
};

struct outcome {
    enum epb_status server_hello;
    enum epb_status client;
    enum epb_status server;
    struct epb_session_keys client_keys;
    struct epb_session_keys server_keys;
    enum epb_record_mode client_mode;
    enum epb_record_mode mode;
};

static void
flip(uint8_t *bytes, unsigned bit)
{
    bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
}

/* A handshake of these two in which one bit is changed on the way. */
static struct outcome
shake_between(struct epb_handshake *client, struct epb_handshake *server,
              enum epb_record_mode mode, enum place place, unsigned bit)
{
    struct transcript seen;
    struct outcome outcome;
    memset(&outcome, 0, sizeof outcome);
    outcome.server_hello = outcome.client = outcome.server = EPB_INTERNAL;
    cr_assert_eq(epb_handshake_client_hello(client, mode, seen.client_hello), EPB_OK);
    if (place == IN_CLIENT_HELLO)
        flip(seen.client_hello, bit);
    outcome.server_hello = epb_handshake_server_hello(
        server, seen.client_hello, seen.server_hello, &seen.server_hello_bytes);
    if (outcome.server_hello == EPB_OK) {
        if (place == IN_SERVER_HELLO)
            flip(seen.server_hello, bit);
        outcome.client =
            epb_handshake_client_finish(client, seen.server_hello, seen.proof,
                                        &outcome.client_keys, &outcome.client_mode);
    }
    if (outcome.client == EPB_OK) {
        if (place == IN_PROOF)
            flip(seen.proof, bit);
        outcome.server = epb_handshake_server_finish(server, seen.proof,
                                                     &outcome.server_keys, &outcome.mode);
    }
    epb_handshake_free(client);
    epb_handshake_free(server);
    return outcome;
}

static struct outcome
shake(struct epb_bytes client_secret, struct epb_bytes server_secret,
      enum epb_record_mode mode, enum place place, unsigned bit)
{
    return shake_between(epb_handshake_new(client_secret),
                         epb_handshake_new(server_secret), mode, place, bit);
}

static void
assert_agreed(const struct outcome *outcome, enum epb_record_mode mode)
{
    cr_assert_eq(outcome->server, EPB_OK);
    cr_assert_eq(outcome->mode, mode);
    cr_assert_eq(outcome->client_mode, mode);
    cr_assert_eq(memcmp(&outcome->client_keys, &outcome->server_keys, 64), 0);
    cr_assert_neq(memcmp(outcome->client_keys.client_to_server,
                         outcome->client_keys.server_to_client, 32),
                  0);
}

Test(auth, ends_with_one_secret_agree_on_keys)
{
    static uint8_t long_secret[1000] = {1, 2, 3};
    struct epb_bytes secrets[] = {LITERAL("x"),
                                  LITERAL("\0\0"),
                                  LITERAL("a secret"),
                                  {long_secret, sizeof long_secret}};
    for (size_t i = 0; i < 4; i++) {
        struct epb_session_keys last = {{0}, {0}};
        for (size_t m = 0; m < keyed_mode_count(); m++) {
            struct outcome outcome =
                shake(secrets[i], secrets[i], KEYED_MODES[m], NOWHERE, 0);
            assert_agreed(&outcome, KEYED_MODES[m]);
            cr_assert_neq(memcmp(&outcome.client_keys, &last, sizeof last), 0);
            last = outcome.client_keys;
        }
    }
}

/* Another build, or an emulated processor. */
Test(auth, a_broker_without_aes_chooses_the_other_cipher)
{
    if (!epb_cipher_has_aes())
        cr_skip("this machine has none");
    struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
    epb_handshake_without_aes(server);
    struct outcome outcome = shake_between(epb_handshake_new(LITERAL("secret")), server,
                                           EPB_RECORD_AES, NOWHERE, 0);
    assert_agreed(&outcome, EPB_RECORD_CHACHA20);
}

/* What a broker says that has the secret and names any byte as its choice. */
static void
answer_by_hand(const uint8_t *client_hello, uint8_t choice,
               uint8_t out[EPB_SERVER_HELLO_MAX_BYTES])
{
    uint8_t salt[2 * EPB_NONCE_BYTES];
    uint8_t material[4 * EPB_KEY_BYTES];
    uint8_t transcript[EPB_HASH_BYTES];
    struct epb_hmac hmac;
    memset(out, 7, EPB_NONCE_BYTES);
    out[EPB_NONCE_BYTES] = choice;
    memcpy(salt, client_hello + EPB_MAGIC_BYTES, EPB_NONCE_BYTES);
    memcpy(salt + EPB_NONCE_BYTES, out, EPB_NONCE_BYTES);
    cr_assert_eq(epb_hash_hkdf(LITERAL("secret"), (struct epb_bytes){salt, sizeof salt},
                               LITERAL("epb1 keys"), material, sizeof material),
                 EPB_OK);
    const struct epb_bytes seen[] = {{client_hello, EPB_CLIENT_HELLO_BYTES},
                                     {out, EPB_NONCE_BYTES + EPB_CHOICE_BYTES}};
    epb_hash_sha256(seen, 2, transcript);
    struct epb_bytes key = {material, EPB_KEY_BYTES};
    cr_assert_eq(epb_hmac_init(&hmac, key), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, "epb1 server", 11);
    epb_hmac_add(&hmac, transcript, sizeof transcript);
    epb_hmac_end(&hmac, out + EPB_NONCE_BYTES + EPB_CHOICE_BYTES);
    epb_hmac_fini(&hmac);
}

Test(auth, a_choice_that_is_none_is_refused_though_the_proof_holds)
{
    if (!epb_cipher_has_aes())
        cr_skip("this machine offers no choice");
    for (unsigned choice = 0; choice < 256; choice++) {
        struct epb_handshake *client = epb_handshake_new(LITERAL("secret"));
        struct transcript seen;
        struct epb_session_keys keys;
        enum epb_record_mode mode = EPB_RECORD_PLAIN;
        cr_assert_eq(
            epb_handshake_client_hello(client, EPB_RECORD_AES, seen.client_hello),
            EPB_OK);
        answer_by_hand(seen.client_hello, (uint8_t)choice, seen.server_hello);
        enum epb_status status = epb_handshake_client_finish(client, seen.server_hello,
                                                             seen.proof, &keys, &mode);
        if (choice == 1 || choice == 2) {
            cr_assert_eq(status, EPB_OK, "%u", choice);
            cr_assert_eq(mode, choice == 1 ? EPB_RECORD_CHACHA20 : EPB_RECORD_AES);
        } else {
            cr_assert_eq(status, EPB_AUTH_FAILED, "%u", choice);
            cr_assert_eq(mode, EPB_RECORD_PLAIN);
        }
        epb_handshake_free(client);
    }
}

Test(auth, another_secret_fails_at_the_client_before_it_proves_anything)
{
    struct outcome outcome =
        shake(LITERAL("right"), LITERAL("wrong"), EPB_RECORD_CHACHA20, NOWHERE, 0);
    cr_assert_eq(outcome.client, EPB_AUTH_FAILED);
    cr_assert_eq(outcome.server, EPB_INTERNAL, "the proof was never made");
    outcome = shake(LITERAL("secret"), LITERAL("secret\0"), EPB_RECORD_MAC, NOWHERE, 0);
    cr_assert_eq(outcome.client, EPB_AUTH_FAILED);
}

Test(auth, every_changed_bit_of_the_exchange_fails_it)
{
    struct epb_bytes secret = LITERAL("secret");
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        enum epb_record_mode mode = KEYED_MODES[m];
        for (unsigned bit = 0; bit < 8 * EPB_CLIENT_HELLO_BYTES; bit++) {
            struct outcome outcome = shake(secret, secret, mode, IN_CLIENT_HELLO, bit);
            if (bit < 32) {
                cr_assert_eq(outcome.server_hello, EPB_VERSION_MISMATCH, "bit %u", bit);
            } else {
                cr_assert_eq(outcome.client, EPB_AUTH_FAILED, "bit %u", bit);
            }
        }
        for (unsigned bit = 0; bit < 8 * epb_server_hello_bytes(mode); bit++) {
            struct outcome outcome = shake(secret, secret, mode, IN_SERVER_HELLO, bit);
            cr_assert_eq(outcome.client, EPB_AUTH_FAILED, "bit %u", bit);
        }
        for (unsigned bit = 0; bit < 8 * EPB_PROOF_BYTES; bit++) {
            struct outcome outcome = shake(secret, secret, mode, IN_PROOF, bit);
            cr_assert_eq(outcome.server, EPB_AUTH_FAILED, "bit %u", bit);
        }
    }
}

Test(auth, a_mode_that_is_changed_on_the_way_is_noticed)
{
    struct epb_bytes secret = LITERAL("secret");
    struct transcript seen;
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    struct epb_handshake *client = epb_handshake_new(secret);
    struct epb_handshake *server = epb_handshake_new(secret);
    cr_assert_eq(
        epb_handshake_client_hello(client, EPB_RECORD_CHACHA20, seen.client_hello),
        EPB_OK);
    memcpy(seen.client_hello, EPB_MAGIC_MAC, EPB_MAGIC_BYTES);
    cr_assert_eq(epb_handshake_server_hello(server, seen.client_hello, seen.server_hello,
                                            &seen.server_hello_bytes),
                 EPB_OK);
    cr_assert_eq(
        epb_handshake_client_finish(client, seen.server_hello, seen.proof, &keys, &mode),
        EPB_AUTH_FAILED);
    epb_handshake_free(client);
    epb_handshake_free(server);
}

Test(auth, a_proof_is_good_for_one_session_only)
{
    struct epb_bytes secret = LITERAL("secret");
    struct transcript first;
    struct transcript second;
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    struct epb_handshake *client = epb_handshake_new(secret);
    struct epb_handshake *server = epb_handshake_new(secret);
    struct epb_handshake *later = epb_handshake_new(secret);
    cr_assert_eq(
        epb_handshake_client_hello(client, EPB_RECORD_CHACHA20, first.client_hello),
        EPB_OK);
    cr_assert_eq(epb_handshake_server_hello(server, first.client_hello,
                                            first.server_hello,
                                            &first.server_hello_bytes),
                 EPB_OK);
    cr_assert_eq(epb_handshake_client_finish(client, first.server_hello, first.proof,
                                             &keys, &mode),
                 EPB_OK);
    cr_assert_eq(epb_handshake_server_hello(later, first.client_hello,
                                            second.server_hello,
                                            &second.server_hello_bytes),
                 EPB_OK);
    cr_assert_eq(epb_handshake_server_finish(later, first.proof, &keys, &mode),
                 EPB_AUTH_FAILED);
    epb_handshake_free(client);
    epb_handshake_free(server);
    epb_handshake_free(later);
}

/* Who doesn't know the secret has nothing but what the broker said: in this session, or
 * in another one, to which this one's nonce was the client's. */
static enum epb_status
reflect(const char *magic, bool of_another)
{
    struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
    struct epb_handshake *other = epb_handshake_new(LITERAL("secret"));
    struct transcript seen = {.client_hello = {0}};
    struct transcript second = {.client_hello = {0}};
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    memcpy(seen.client_hello, magic, EPB_MAGIC_BYTES);
    cr_assert_eq(epb_handshake_server_hello(server, seen.client_hello, seen.server_hello,
                                            &seen.server_hello_bytes),
                 EPB_OK);
    memcpy(second.client_hello, magic, EPB_MAGIC_BYTES);
    memcpy(second.client_hello + EPB_MAGIC_BYTES, seen.server_hello, EPB_NONCE_BYTES);
    cr_assert_eq(epb_handshake_server_hello(other, second.client_hello,
                                            second.server_hello,
                                            &second.server_hello_bytes),
                 EPB_OK);
    const struct transcript *from = of_another ? &second : &seen;
    enum epb_status status = epb_handshake_server_finish(
        server, from->server_hello + from->server_hello_bytes - EPB_PROOF_BYTES, &keys,
        &mode);
    epb_handshake_free(server);
    epb_handshake_free(other);
    return status;
}

Test(auth, the_brokers_own_proof_is_none_of_a_client)
{
    static const char *const magics[] = {EPB_MAGIC_CHACHA20, EPB_MAGIC_CHOICE,
                                         EPB_MAGIC_MAC};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(reflect(magics[i], false), EPB_AUTH_FAILED);
        cr_assert_eq(reflect(magics[i], true), EPB_AUTH_FAILED);
    }
}

Test(auth, a_magic_without_a_secret_is_no_hello)
{
    struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
    struct transcript seen;
    memset(&seen, 0, sizeof seen);
    memcpy(seen.client_hello, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
    cr_assert_eq(epb_handshake_server_hello(server, seen.client_hello, seen.server_hello,
                                            &seen.server_hello_bytes),
                 EPB_VERSION_MISMATCH);
    epb_handshake_free(server);
}
