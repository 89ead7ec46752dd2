/*
 * See auth.h. `derive` alone derives all key material, from what both ends have seen. So
 * a proof that does not match means another secret, another transcript, or a peer without
 * the secret.
 */
#include "auth.h"

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "cipher.h"
#include "hash.h"

/* EPB3: a magic and a length precede the bytes that the length counts. */
#define HEAD_BYTES (EPB_MAGIC_BYTES + 2U)
#define CIPHERS_BYTES 4U
#define SCOPE_AT (HEAD_BYTES + EPB_NONCE_BYTES + CIPHERS_BYTES + 2U)
#define CLIENT_LEAST_BYTES (SCOPE_AT - HEAD_BYTES)
#define SERVER_LEAST_BYTES (EPB_NONCE_BYTES + CIPHERS_BYTES)
#define CHOICE_BYTES 1U /* EPB2 */
_Static_assert(EPB_CLIENT_HELLO_BYTES == SCOPE_AT, "what we say has no scope");
_Static_assert(EPB_SERVER_HELLO_BYTES ==
                   HEAD_BYTES + SERVER_LEAST_BYTES + EPB_PROOF_BYTES,
               "what we answer has nothing more than must be there");

#define LABEL_BYTES 9U
static const char KEYS_LABEL[] = "epb3 keys";
static const char OLD_KEYS_LABEL[] = "epb1 keys";
_Static_assert(sizeof(KEYS_LABEL) == LABEL_BYTES + 1, "it is followed by the transcript");

enum stage {
    STAGE_NEW,
    STAGE_HELLO,
    STAGE_DONE
};

/* HKDF's output, in this order. */
struct derived {
    uint8_t server_proof_key[EPB_KEY_BYTES];
    uint8_t client_proof_key[EPB_KEY_BYTES];
    struct epb_session_keys session;
};
_Static_assert(sizeof(struct derived) == 4U * EPB_KEY_BYTES,
               "HKDF fills the struct at once");

struct epb_handshake {
    enum stage stage;
    enum epb_record_mode mode;
    bool without_aes;
    bool nonce_is_fixed;
    uint8_t fixed_nonce[EPB_NONCE_BYTES];
    uint32_t offered;                             /* client */
    uint8_t client_hello[EPB_CLIENT_HELLO_BYTES]; /* client */
    uint8_t server_proof[EPB_PROOF_BYTES];
    uint8_t client_proof[EPB_PROOF_BYTES];
    struct derived keys;
    size_t secret_bytes;
    uint8_t secret[];
};

/* The messages */

static const struct {
    const char *magic;
    enum epb_opening opening;
} OPENINGS[] = {{EPB_MAGIC_OFFER, EPB_OPENING_OFFER},
                {EPB_MAGIC_PLAIN, EPB_OPENING_PLAIN},
                {EPB_MAGIC_CHACHA20, EPB_OPENING_CHACHA20},
                {EPB_MAGIC_CHOICE, EPB_OPENING_CHOICE},
                {EPB_MAGIC_MAC, EPB_OPENING_MAC}};

enum epb_opening
epb_auth_opening(const uint8_t magic[EPB_MAGIC_BYTES])
{
    for (size_t i = 0; i < sizeof(OPENINGS) / sizeof(OPENINGS[0]); i++) {
        if (memcmp(magic, OPENINGS[i].magic, EPB_MAGIC_BYTES) == 0) {
            return OPENINGS[i].opening;
        }
    }
    return EPB_OPENING_UNKNOWN;
}

static const uint32_t OFFERS[] = {[EPB_RECORD_PLAIN] = 0,
                                  [EPB_RECORD_CHACHA20] = EPB_OFFER_CHACHA20,
                                  [EPB_RECORD_AES] = EPB_OFFER_AES,
                                  [EPB_RECORD_MAC] = EPB_OFFER_MAC};

uint32_t
epb_auth_offer_of(enum epb_record_mode mode)
{
    return OFFERS[mode];
}

enum epb_status
epb_auth_client_hello_bytes(struct epb_bytes held, size_t *size_bytes)
{
    *size_bytes = 0;
    if (held.size_bytes < EPB_MAGIC_BYTES) {
        return EPB_OK;
    }
    enum epb_opening opening = epb_auth_opening(held.data);
    if (opening == EPB_OPENING_UNKNOWN || opening == EPB_OPENING_PLAIN) {
        return EPB_VERSION_MISMATCH;
    }
    if (opening != EPB_OPENING_OFFER) {
        *size_bytes = EPB_OLD_CLIENT_HELLO_BYTES;
        return EPB_OK;
    }
    if (held.size_bytes < HEAD_BYTES) {
        return EPB_OK;
    }
    size_t counted_bytes = epb_get_u16(held.data + EPB_MAGIC_BYTES);
    if (counted_bytes < CLIENT_LEAST_BYTES) {
        return EPB_INVALID_REQUEST;
    }
    if (counted_bytes > EPB_HELLO_MAX_BYTES - HEAD_BYTES) {
        return EPB_TOO_LARGE;
    }
    *size_bytes = HEAD_BYTES + counted_bytes;
    return EPB_OK;
}

enum epb_status
epb_auth_server_hello_bytes(struct epb_bytes held, size_t *size_bytes)
{
    *size_bytes = 0;
    size_t magic_bytes =
        held.size_bytes < EPB_MAGIC_BYTES ? held.size_bytes : EPB_MAGIC_BYTES;
    if (magic_bytes > 0 && memcmp(held.data, EPB_MAGIC_OFFER, magic_bytes) != 0) {
        return EPB_AUTH_FAILED;
    }
    if (held.size_bytes < HEAD_BYTES) {
        return EPB_OK;
    }
    size_t counted_bytes = epb_get_u16(held.data + EPB_MAGIC_BYTES);
    if (counted_bytes < SERVER_LEAST_BYTES ||
        counted_bytes > EPB_HELLO_MAX_BYTES - HEAD_BYTES - EPB_PROOF_BYTES) {
        return EPB_AUTH_FAILED;
    }
    *size_bytes = HEAD_BYTES + counted_bytes + EPB_PROOF_BYTES;
    return EPB_OK;
}

/* Writes magic, length and nonce. Returns where the rest goes. */
static uint8_t *
write_head(uint8_t *out, uint16_t counted_bytes, const uint8_t nonce[EPB_NONCE_BYTES])
{
    memcpy(out, EPB_MAGIC_OFFER, EPB_MAGIC_BYTES);
    epb_put_u16(out + EPB_MAGIC_BYTES, counted_bytes);
    memcpy(out + HEAD_BYTES, nonce, EPB_NONCE_BYTES);
    return out + HEAD_BYTES + EPB_NONCE_BYTES;
}

/* Life */

struct epb_handshake *
epb_handshake_new(struct epb_bytes secret)
{
    EPB_ASSERT(secret.size_bytes > 0);
    struct epb_handshake *handshake =
        epb_mem_alloc(sizeof(*handshake) + secret.size_bytes);
    if (handshake == NULL) {
        return NULL;
    }
    handshake->secret_bytes = secret.size_bytes;
    memcpy(handshake->secret, secret.data, secret.size_bytes);
    return handshake;
}

void
epb_handshake_free(struct epb_handshake *handshake)
{
    epb_mem_free(handshake);
}

void
epb_handshake_fix_nonce(struct epb_handshake *handshake,
                        const uint8_t nonce[EPB_NONCE_BYTES])
{
    handshake->nonce_is_fixed = true;
    memcpy(handshake->fixed_nonce, nonce, EPB_NONCE_BYTES);
}

void
epb_handshake_without_aes(struct epb_handshake *handshake)
{
    handshake->without_aes = true;
}

static enum epb_status
draw_nonce(const struct epb_handshake *handshake, uint8_t out[EPB_NONCE_BYTES])
{
    if (!handshake->nonce_is_fixed) {
        return epb_sys_random(out, EPB_NONCE_BYTES);
    }
    memcpy(out, handshake->fixed_nonce, EPB_NONCE_BYTES);
    return EPB_OK;
}

static struct epb_bytes
label(const char *text)
{
    return (struct epb_bytes){(const uint8_t *)text, strlen(text)};
}

static enum epb_status
prove(const uint8_t key[EPB_KEY_BYTES], const struct epb_bytes *parts, size_t part_count,
      uint8_t out[EPB_PROOF_BYTES])
{
    struct epb_hmac hmac;
    enum epb_status status = epb_hmac_init(&hmac, (struct epb_bytes){key, EPB_KEY_BYTES});

    if (status != EPB_OK) {
        return status;
    }
    epb_hmac_begin(&hmac);
    for (size_t i = 0; i < part_count; i++) {
        epb_hmac_add(&hmac, parts[i].data, parts[i].size_bytes);
    }
    epb_hmac_end(&hmac, out);
    epb_hmac_fini(&hmac);
    return EPB_OK;
}

/* For a client that begins with EPB3. */
static enum epb_status
derive_keys(struct epb_handshake *handshake, const uint8_t transcript[EPB_HASH_BYTES])
{
    uint8_t info[LABEL_BYTES + EPB_HASH_BYTES];
    struct epb_bytes secret = {handshake->secret, handshake->secret_bytes};

    memcpy(info, KEYS_LABEL, LABEL_BYTES);
    memcpy(info + LABEL_BYTES, transcript, EPB_HASH_BYTES);
    return epb_hash_hkdf(secret, (struct epb_bytes){NULL, 0},
                         (struct epb_bytes){info, sizeof(info)},
                         (uint8_t *)&handshake->keys, sizeof(handshake->keys));
}

/* For the older magics, whose nonces have fixed places. */
static enum epb_status
derive_old_keys(struct epb_handshake *handshake, const uint8_t *client_nonce,
                const uint8_t *server_nonce)
{
    uint8_t salt[2 * EPB_NONCE_BYTES];
    struct epb_bytes secret = {handshake->secret, handshake->secret_bytes};

    memcpy(salt, client_nonce, EPB_NONCE_BYTES);
    memcpy(salt + EPB_NONCE_BYTES, server_nonce, EPB_NONCE_BYTES);
    return epb_hash_hkdf(secret, (struct epb_bytes){salt, sizeof(salt)},
                         label(OLD_KEYS_LABEL), (uint8_t *)&handshake->keys,
                         sizeof(handshake->keys));
}

/* Derives keys and both proofs from the secret, the client's hello and the broker's
 * answer before its proof. */
static enum epb_status
derive(struct epb_handshake *handshake, struct epb_bytes client_hello,
       struct epb_bytes server_says)
{
    uint8_t transcript[EPB_HASH_BYTES];
    const struct epb_bytes seen[] = {client_hello, server_says};

    epb_hash_sha256(seen, 2, transcript);
    bool old = epb_auth_opening(client_hello.data) != EPB_OPENING_OFFER;
    enum epb_status status =
        old ? derive_old_keys(handshake, client_hello.data + EPB_MAGIC_BYTES,
                              server_says.data)
            : derive_keys(handshake, transcript);
    if (status != EPB_OK) {
        return status;
    }

    const struct epb_bytes server_proves[] = {label(old ? "epb1 server" : "epb3 server"),
                                              {transcript, sizeof(transcript)}};
    status = prove(handshake->keys.server_proof_key, server_proves, 2,
                   handshake->server_proof);
    if (status != EPB_OK) {
        return status;
    }
    const struct epb_bytes client_proves[] = {label(old ? "epb1 client" : "epb3 client"),
                                              {transcript, sizeof(transcript)},
                                              {handshake->server_proof, EPB_PROOF_BYTES}};
    return prove(handshake->keys.client_proof_key, client_proves, 3,
                 handshake->client_proof);
}

/* The client */

enum epb_status
epb_handshake_client_hello(struct epb_handshake *handshake, uint32_t offered,
                           uint8_t out[EPB_CLIENT_HELLO_BYTES])
{
    EPB_ASSERT(handshake->stage == STAGE_NEW && offered != 0);
    uint8_t nonce[EPB_NONCE_BYTES];
    enum epb_status status = draw_nonce(handshake, nonce);
    if (status != EPB_OK) {
        return status;
    }
    uint8_t *rest = write_head(handshake->client_hello, CLIENT_LEAST_BYTES, nonce);
    epb_put_u32(rest, offered);
    epb_put_u16(rest + CIPHERS_BYTES, 0);
    memcpy(out, handshake->client_hello, EPB_CLIENT_HELLO_BYTES);
    handshake->offered = offered;
    handshake->stage = STAGE_HELLO;
    return EPB_OK;
}

/* Accepts the choice of a proven broker if it was offered. */
static enum epb_status
take_choice(struct epb_handshake *handshake, uint32_t chosen)
{
    for (size_t mode = EPB_RECORD_CHACHA20; mode <= EPB_RECORD_MAC; mode++) {
        if (chosen == OFFERS[mode] && (handshake->offered & chosen) != 0) {
            handshake->mode = (enum epb_record_mode)mode;
            return EPB_OK;
        }
    }
    return EPB_AUTH_FAILED;
}

enum epb_status
epb_handshake_client_finish(struct epb_handshake *handshake,
                            struct epb_bytes server_hello, uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode)
{
    EPB_ASSERT(handshake->stage == STAGE_HELLO &&
               server_hello.size_bytes >= EPB_SERVER_HELLO_BYTES);
    handshake->stage = STAGE_DONE;
    struct epb_bytes client_hello = {handshake->client_hello, EPB_CLIENT_HELLO_BYTES};
    struct epb_bytes says = {server_hello.data,
                             server_hello.size_bytes - EPB_PROOF_BYTES};
    enum epb_status status = derive(handshake, client_hello, says);
    if (status != EPB_OK) {
        return status;
    }
    if (!epb_mem_equal(handshake->server_proof, says.data + says.size_bytes,
                       EPB_PROOF_BYTES)) {
        return EPB_AUTH_FAILED;
    }
    status =
        take_choice(handshake, epb_get_u32(says.data + HEAD_BYTES + EPB_NONCE_BYTES));
    if (status != EPB_OK) {
        return status;
    }
    memcpy(proof, handshake->client_proof, EPB_PROOF_BYTES);
    *keys = handshake->keys.session;
    *mode = handshake->mode;
    return EPB_OK;
}

/* The broker */

/* Chooses the best offered cipher; 0 when this broker supports none of them. */
static uint32_t
choose(struct epb_handshake *handshake, uint32_t offered)
{
    bool aes = epb_cipher_has_aes() && !handshake->without_aes;

    if (aes && (offered & EPB_OFFER_AES) != 0) {
        handshake->mode = EPB_RECORD_AES;
    } else if ((offered & EPB_OFFER_CHACHA20) != 0) {
        handshake->mode = EPB_RECORD_CHACHA20;
    } else if ((offered & EPB_OFFER_MAC) != 0) {
        handshake->mode = EPB_RECORD_MAC;
    } else {
        handshake->mode = EPB_RECORD_PLAIN;
    }
    return OFFERS[handshake->mode];
}

static enum epb_status
read_scope(struct epb_bytes hello, struct epb_bytes *scope)
{
    scope->data = hello.data + SCOPE_AT;
    scope->size_bytes = epb_get_u16(scope->data - 2);
    if (scope->size_bytes > EPB_SCOPE_MAX_BYTES) {
        return EPB_TOO_LARGE;
    }
    return scope->size_bytes > hello.size_bytes - SCOPE_AT ? EPB_INVALID_REQUEST : EPB_OK;
}

/* Writes the answer up to the proof; *out_bytes is its size. */
static enum epb_status
answer_offer(struct epb_handshake *handshake, struct epb_bytes hello,
             const uint8_t nonce[EPB_NONCE_BYTES], uint8_t *out, size_t *out_bytes,
             struct epb_bytes *scope)
{
    enum epb_status status = read_scope(hello, scope);

    if (status != EPB_OK) {
        return status;
    }
    uint32_t chosen =
        choose(handshake, epb_get_u32(hello.data + HEAD_BYTES + EPB_NONCE_BYTES));
    if (chosen == 0) {
        return EPB_VERSION_MISMATCH;
    }
    epb_put_u32(write_head(out, SERVER_LEAST_BYTES, nonce), chosen);
    *out_bytes = HEAD_BYTES + SERVER_LEAST_BYTES;
    return EPB_OK;
}

/* The same for the older hellos. */
static void
answer_old(struct epb_handshake *handshake, enum epb_opening opening,
           const uint8_t nonce[EPB_NONCE_BYTES], uint8_t *out, size_t *out_bytes)
{
    memcpy(out, nonce, EPB_NONCE_BYTES);
    *out_bytes = EPB_NONCE_BYTES;
    if (opening == EPB_OPENING_CHOICE) {
        out[EPB_NONCE_BYTES] =
            (uint8_t)choose(handshake, EPB_OFFER_CHACHA20 | EPB_OFFER_AES);
        *out_bytes += CHOICE_BYTES;
    } else {
        handshake->mode =
            opening == EPB_OPENING_MAC ? EPB_RECORD_MAC : EPB_RECORD_CHACHA20;
    }
}

enum epb_status
epb_handshake_server_hello(struct epb_handshake *handshake, struct epb_bytes client_hello,
                           uint8_t out[EPB_SERVER_HELLO_BYTES], size_t *out_bytes,
                           struct epb_bytes *scope)
{
    EPB_ASSERT(handshake->stage == STAGE_NEW);
    uint8_t nonce[EPB_NONCE_BYTES];
    size_t hello_bytes;
    size_t says_bytes;
    *scope = (struct epb_bytes){NULL, 0};
    enum epb_status status = epb_auth_client_hello_bytes(client_hello, &hello_bytes);
    if (status != EPB_OK) {
        return status;
    }
    EPB_ASSERT(client_hello.size_bytes == hello_bytes);
    status = draw_nonce(handshake, nonce);
    if (status != EPB_OK) {
        return status;
    }
    enum epb_opening opening = epb_auth_opening(client_hello.data);
    if (opening == EPB_OPENING_OFFER) {
        status = answer_offer(handshake, client_hello, nonce, out, &says_bytes, scope);
        if (status != EPB_OK) {
            return status;
        }
    } else {
        answer_old(handshake, opening, nonce, out, &says_bytes);
    }
    status = derive(handshake, client_hello, (struct epb_bytes){out, says_bytes});
    if (status != EPB_OK) {
        return status;
    }
    memcpy(out + says_bytes, handshake->server_proof, EPB_PROOF_BYTES);
    *out_bytes = says_bytes + EPB_PROOF_BYTES;
    handshake->stage = STAGE_HELLO;
    return EPB_OK;
}

enum epb_status
epb_handshake_server_finish(struct epb_handshake *handshake,
                            const uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode)
{
    EPB_ASSERT(handshake->stage == STAGE_HELLO);
    handshake->stage = STAGE_DONE;
    if (!epb_mem_equal(handshake->client_proof, proof, EPB_PROOF_BYTES)) {
        return EPB_AUTH_FAILED;
    }
    *keys = handshake->keys.session;
    *mode = handshake->mode;
    return EPB_OK;
}
