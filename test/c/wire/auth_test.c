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
        {
            epb_hmac_begin(&hmac);
        }
        for (size_t i = 0; i < message.size_bytes; i++) {
            epb_hmac_add(&hmac, message.data + i, 1);
        }
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
    memset(key, 0xaa, sizeof(key));
    memset(message, 0xdd, sizeof(message));
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

/* What went over the wire in one handshake. */
struct transcript {
    uint8_t client_hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t server_hello[EPB_SERVER_HELLO_BYTES];
    size_t server_hello_bytes;
    uint8_t proof[EPB_PROOF_BYTES];
};

/* As the session and the channel do it: of what came, what the first bytes say is the
 * hello. EPB_INTERNAL when more would have to come. */
static enum epb_status
server_answers(struct epb_handshake *server, struct transcript *seen)
{
    struct epb_bytes hello = {seen->client_hello, EPB_CLIENT_HELLO_BYTES};
    struct epb_bytes scope;
    size_t size_bytes;
    enum epb_status status = epb_auth_client_hello_bytes(hello, &size_bytes);

    if (status != EPB_OK) {
        return status;
    }
    if (size_bytes > hello.size_bytes) {
        return EPB_INTERNAL;
    }
    hello.size_bytes = size_bytes;
    return epb_handshake_server_hello(server, hello, seen->server_hello,
                                      &seen->server_hello_bytes, &scope);
}

static enum epb_status
client_finishes(struct epb_handshake *client, struct transcript *seen,
                struct epb_session_keys *keys, enum epb_record_mode *mode)
{
    struct epb_bytes hello = {seen->server_hello, seen->server_hello_bytes};
    size_t size_bytes;
    enum epb_status status = epb_auth_server_hello_bytes(hello, &size_bytes);

    if (status != EPB_OK) {
        return status;
    }
    if (size_bytes > hello.size_bytes) {
        return EPB_INTERNAL;
    }
    hello.size_bytes = size_bytes;
    return epb_handshake_client_finish(client, hello, seen->proof, keys, mode);
}

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
              uint32_t offered, enum place place, unsigned bit)
{
    struct transcript seen;
    struct outcome outcome;

    memset(&outcome, 0, sizeof(outcome));
    outcome.server_hello = outcome.client = outcome.server = EPB_INTERNAL;
    cr_assert_eq(epb_handshake_client_hello(client, offered, seen.client_hello), EPB_OK);
    if (place == IN_CLIENT_HELLO) {
        flip(seen.client_hello, bit);
    }
    outcome.server_hello = server_answers(server, &seen);
    if (outcome.server_hello == EPB_OK) {
        if (place == IN_SERVER_HELLO) {
            flip(seen.server_hello, bit);
        }
        outcome.client =
            client_finishes(client, &seen, &outcome.client_keys, &outcome.client_mode);
    }
    if (outcome.client == EPB_OK) {
        if (place == IN_PROOF) {
            flip(seen.proof, bit);
        }
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
                         epb_handshake_new(server_secret), epb_auth_offer_of(mode), place,
                         bit);
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
                                  {long_secret, sizeof(long_secret)}};

    for (size_t i = 0; i < 4; i++) {
        struct epb_session_keys last = {{0}, {0}};
        for (size_t m = 0; m < keyed_mode_count(); m++) {
            struct outcome outcome =
                shake(secrets[i], secrets[i], KEYED_MODES[m], NOWHERE, 0);
            assert_agreed(&outcome, KEYED_MODES[m]);
            cr_assert_neq(memcmp(&outcome.client_keys, &last, sizeof(last)), 0);
            last = outcome.client_keys;
        }
    }
}

/* Of a client that can do more than one thing, and another build, or an emulated
 * processor. */
Test(auth, the_broker_chooses_the_best_of_what_is_offered)
{
    for (uint32_t offered = 1; offered < 8; offered++) {
        for (int without_aes = 0; without_aes < 2; without_aes++) {
            struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
            bool aes = epb_cipher_has_aes() && without_aes == 0;
            if (without_aes == 1) {
                epb_handshake_without_aes(server);
            }
            struct outcome outcome = shake_between(epb_handshake_new(LITERAL("secret")),
                                                   server, offered, NOWHERE, 0);
            if (offered == EPB_OFFER_AES && !aes) {
                cr_assert_eq(outcome.server_hello, EPB_VERSION_MISMATCH);
                continue;
            }
            assert_agreed(&outcome, aes && (offered & EPB_OFFER_AES) != 0 ? EPB_RECORD_AES
                                    : (offered & EPB_OFFER_CHACHA20) != 0
                                        ? EPB_RECORD_CHACHA20
                                        : EPB_RECORD_MAC);
        }
    }
}

/* An end made here from the hash functions alone, as PROTOCOL.md has it: keys and proofs
 * from what both have said. */
struct by_hand {
    uint8_t server_proof[EPB_PROOF_BYTES];
    uint8_t client_proof[EPB_PROOF_BYTES];
    uint8_t material[4 * EPB_KEY_BYTES];
};

static void
mac_by_hand(const uint8_t *key, struct epb_bytes label, const uint8_t *transcript,
            const uint8_t *more, uint8_t out[EPB_PROOF_BYTES])
{
    struct epb_hmac hmac;

    cr_assert_eq(epb_hmac_init(&hmac, (struct epb_bytes){key, EPB_KEY_BYTES}), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, label.data, label.size_bytes);
    epb_hmac_add(&hmac, transcript, EPB_HASH_BYTES);
    if (more != NULL) {
        epb_hmac_add(&hmac, more, EPB_PROOF_BYTES);
    }
    epb_hmac_end(&hmac, out);
    epb_hmac_fini(&hmac);
}

static void
derive_by_hand(struct epb_bytes client_hello, struct epb_bytes server_says,
               struct by_hand *out)
{
    bool old = memcmp(client_hello.data, EPB_MAGIC_OFFER, EPB_MAGIC_BYTES) != 0;
    uint8_t info[9 + EPB_HASH_BYTES] = "epb3 keys";
    uint8_t salt[2 * EPB_NONCE_BYTES];
    uint8_t transcript[EPB_HASH_BYTES];
    const struct epb_bytes seen[] = {client_hello, server_says};

    epb_hash_sha256(seen, 2, transcript);
    memcpy(info + 9, transcript, EPB_HASH_BYTES);
    memcpy(salt, client_hello.data + EPB_MAGIC_BYTES, EPB_NONCE_BYTES);
    memcpy(salt + EPB_NONCE_BYTES, server_says.data, EPB_NONCE_BYTES);
    cr_assert_eq(
        old ? epb_hash_hkdf(LITERAL("secret"), (struct epb_bytes){salt, sizeof(salt)},
                            LITERAL("epb1 keys"), out->material, sizeof(out->material))
            : epb_hash_hkdf(LITERAL("secret"), LITERAL(""),
                            (struct epb_bytes){info, sizeof(info)}, out->material,
                            sizeof(out->material)),
        EPB_OK);
    mac_by_hand(out->material, old ? LITERAL("epb1 server") : LITERAL("epb3 server"),
                transcript, NULL, out->server_proof);
    mac_by_hand(out->material + EPB_KEY_BYTES,
                old ? LITERAL("epb1 client") : LITERAL("epb3 client"), transcript,
                out->server_proof, out->client_proof);
}

/* What a broker that has the secret makes a client do by naming this cipher, with so many
 * bytes more than this version says. */
static enum epb_status
finish_with(uint32_t offered, uint32_t chosen, size_t more_bytes,
            enum epb_record_mode *mode)
{
    struct epb_handshake *client = epb_handshake_new(LITERAL("secret"));
    uint8_t client_hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t server_hello[EPB_HELLO_MAX_BYTES] = EPB_MAGIC_OFFER;
    uint8_t proof[EPB_PROOF_BYTES];
    size_t says_bytes = EPB_SERVER_HELLO_BYTES - EPB_PROOF_BYTES + more_bytes;
    size_t understood_bytes;
    struct epb_session_keys keys;
    struct by_hand by_hand;

    cr_assert_eq(epb_handshake_client_hello(client, offered, client_hello), EPB_OK);
    memset(server_hello + 6, 7, says_bytes - 6);
    epb_put_u16(server_hello + 4, (uint16_t)(says_bytes - 6));
    epb_put_u32(server_hello + 38, chosen);
    derive_by_hand((struct epb_bytes){client_hello, sizeof(client_hello)},
                   (struct epb_bytes){server_hello, says_bytes}, &by_hand);
    memcpy(server_hello + says_bytes, by_hand.server_proof, EPB_PROOF_BYTES);
    struct epb_bytes hello = {server_hello, says_bytes + EPB_PROOF_BYTES};
    cr_assert_eq(epb_auth_server_hello_bytes(hello, &understood_bytes), EPB_OK);
    cr_assert_eq(understood_bytes, hello.size_bytes);
    enum epb_status status =
        epb_handshake_client_finish(client, hello, proof, &keys, mode);
    if (status == EPB_OK) {
        cr_assert_eq(memcmp(proof, by_hand.client_proof, sizeof(proof)), 0);
        cr_assert_eq(memcmp(&keys, by_hand.material + 64, sizeof(keys)), 0);
    }
    epb_handshake_free(client);
    return status;
}

Test(auth, a_choice_that_was_not_offered_is_refused_though_the_proof_holds)
{
    for (uint32_t offered = 1; offered < 8; offered++) {
        for (uint32_t chosen = 0; chosen < 65540; chosen++) {
            enum epb_record_mode mode = EPB_RECORD_PLAIN;
            enum epb_status status = finish_with(offered, chosen, 0, &mode);
            bool offers = chosen == (chosen & offered) &&
                          (chosen == 1 || chosen == 2 || chosen == 4);
            cr_assert_eq(status, offers ? EPB_OK : EPB_AUTH_FAILED, "%u", chosen);
            cr_assert_eq(epb_auth_offer_of(mode), offers ? chosen : 0);
            if (chosen == 16) {
                chosen = 65530; /* and beyond what two bytes hold */
            }
        }
    }
}

Test(auth, what_a_later_broker_says_is_covered_by_its_proof)
{
    enum epb_record_mode mode;
    size_t room_bytes = EPB_HELLO_MAX_BYTES - EPB_SERVER_HELLO_BYTES;

    for (size_t more_bytes = 0; more_bytes <= room_bytes; more_bytes += 50) {
        cr_assert_eq(
            finish_with(EPB_OFFER_CHACHA20, EPB_OFFER_CHACHA20, more_bytes, &mode),
            EPB_OK);
        cr_assert_eq(mode, EPB_RECORD_CHACHA20);
    }
    cr_assert_eq(finish_with(EPB_OFFER_MAC, EPB_OFFER_MAC, room_bytes, &mode), EPB_OK);
}

Test(auth, no_answer_is_longer_than_a_hello_may_be)
{
    uint8_t head[6] = EPB_MAGIC_OFFER;
    struct epb_bytes held = {head, sizeof(head)};
    size_t size_bytes;

    for (size_t counted = 0; counted <= UINT16_MAX; counted++) {
        epb_put_u16(head + 4, (uint16_t)counted);
        bool holds = counted >= 36 && counted <= EPB_HELLO_MAX_BYTES - 6 - 32;
        cr_assert_eq(epb_auth_server_hello_bytes(held, &size_bytes),
                     holds ? EPB_OK : EPB_AUTH_FAILED);
        cr_assert_eq(size_bytes, holds ? 6 + counted + 32 : 0);
    }
}

/* A client of an older version, made by hand; every bit of what it says counts. */
Test(auth, the_older_magics_are_served)
{
    static const struct {
        const char *magic;
        enum epb_record_mode mode;
        size_t says_bytes;
    } OLD[] = {{EPB_MAGIC_CHACHA20, EPB_RECORD_CHACHA20, 32},
               {EPB_MAGIC_CHOICE, EPB_RECORD_AES, 33},
               {EPB_MAGIC_MAC, EPB_RECORD_MAC, 32}};

    for (size_t i = 0; i < 3; i++) {
        for (unsigned bit = 0; bit <= 8 * EPB_PROOF_BYTES; bit++) {
            struct transcript seen = {.client_hello = {0}};
            struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
            struct epb_session_keys keys;
            struct by_hand by_hand;
            enum epb_record_mode mode;
            memcpy(seen.client_hello, OLD[i].magic, EPB_MAGIC_BYTES);
            cr_assert_eq(server_answers(server, &seen), EPB_OK);
            cr_assert_eq(seen.server_hello_bytes, OLD[i].says_bytes + EPB_PROOF_BYTES);
            derive_by_hand(
                (struct epb_bytes){seen.client_hello, EPB_OLD_CLIENT_HELLO_BYTES},
                (struct epb_bytes){seen.server_hello, OLD[i].says_bytes}, &by_hand);
            cr_assert_eq(memcmp(seen.server_hello + OLD[i].says_bytes,
                                by_hand.server_proof, EPB_PROOF_BYTES),
                         0);
            bool whole = bit == 8 * EPB_PROOF_BYTES;
            if (!whole) {
                flip(by_hand.client_proof, bit);
            }
            cr_assert_eq(
                epb_handshake_server_finish(server, by_hand.client_proof, &keys, &mode),
                whole ? EPB_OK : EPB_AUTH_FAILED);
            if (whole) {
                bool aes = OLD[i].mode == EPB_RECORD_AES && epb_cipher_has_aes();
                cr_assert_eq(mode, OLD[i].mode == EPB_RECORD_AES && !aes
                                       ? EPB_RECORD_CHACHA20
                                       : OLD[i].mode);
                cr_assert_eq(memcmp(&keys, by_hand.material + 64, sizeof(keys)), 0);
            }
            epb_handshake_free(server);
        }
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
            cr_assert(outcome.server_hello != EPB_OK || outcome.client != EPB_OK,
                      "bit %u", bit);
            if (bit >= 48 && bit < 304) { /* the nonce */
                {
                    cr_assert_eq(outcome.client, EPB_AUTH_FAILED, "bit %u", bit);
                }
            }
        }
        for (unsigned bit = 0; bit < 8 * EPB_SERVER_HELLO_BYTES; bit++) {
            struct outcome outcome = shake(secret, secret, mode, IN_SERVER_HELLO, bit);
            cr_assert_neq(outcome.client, EPB_OK, "bit %u", bit);
            if (bit >= 48) {
                cr_assert_eq(outcome.client, EPB_AUTH_FAILED, "bit %u", bit);
            }
        }
        for (unsigned bit = 0; bit < 8 * EPB_PROOF_BYTES; bit++) {
            struct outcome outcome = shake(secret, secret, mode, IN_PROOF, bit);
            cr_assert_eq(outcome.server, EPB_AUTH_FAILED, "bit %u", bit);
        }
    }
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
        epb_handshake_client_hello(client, EPB_OFFER_CHACHA20, first.client_hello),
        EPB_OK);
    cr_assert_eq(server_answers(server, &first), EPB_OK);
    cr_assert_eq(client_finishes(client, &first, &keys, &mode), EPB_OK);
    second = first;
    cr_assert_eq(server_answers(later, &second), EPB_OK);
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
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    bool offers = strcmp(magic, EPB_MAGIC_OFFER) == 0;

    memcpy(seen.client_hello, magic, EPB_MAGIC_BYTES);
    if (offers) {
        epb_put_u16(seen.client_hello + 4, 38);
        epb_put_u32(seen.client_hello + 38, EPB_OFFER_CHACHA20);
    }
    struct transcript second = seen;
    cr_assert_eq(server_answers(server, &seen), EPB_OK);
    size_t nonce_at = offers ? 6 : EPB_MAGIC_BYTES;
    memcpy(second.client_hello + nonce_at, seen.server_hello + (offers ? 6 : 0),
           EPB_NONCE_BYTES);
    cr_assert_eq(server_answers(other, &second), EPB_OK);
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
                                         EPB_MAGIC_MAC, EPB_MAGIC_OFFER};

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(reflect(magics[i], false), EPB_AUTH_FAILED);
        cr_assert_eq(reflect(magics[i], true), EPB_AUTH_FAILED);
    }
}

Test(auth, a_magic_without_a_secret_is_no_hello)
{
    struct epb_handshake *server = epb_handshake_new(LITERAL("secret"));
    struct transcript seen;

    memset(&seen, 0, sizeof(seen));
    memcpy(seen.client_hello, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
    cr_assert_eq(server_answers(server, &seen), EPB_VERSION_MISMATCH);
    epb_handshake_free(server);
}
