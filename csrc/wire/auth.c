/*
 * See auth.h. All of the key material is derived in one place (`derive`), from what both
 * ends have seen; a proof that does not match therefore means another secret, another
 * transcript, or a peer that knows neither.
 */
#include "auth.h"

#include "../base/mem.h"
#include "../base/sys.h"
#include "cipher.h"
#include "hash.h"

static const char INFO[] = "epb1 keys";
static const char SERVER_LABEL[] = "epb1 server";
static const char CLIENT_LABEL[] = "epb1 client";

/* What the byte says by which the broker chooses a cipher. */
enum choice {
    CHOICE_CHACHA20 = 1,
    CHOICE_AES = 2
};

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
    enum epb_record_mode asked; /* by the client's magic */
    enum epb_record_mode mode;
    bool without_aes;
    bool nonce_is_fixed;
    uint8_t fixed_nonce[EPB_NONCE_BYTES];
    uint8_t client_hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t server_says[EPB_NONCE_BYTES + EPB_CHOICE_BYTES]; /* before its proof */
    uint8_t server_proof[EPB_PROOF_BYTES];
    uint8_t client_proof[EPB_PROOF_BYTES];
    struct derived keys;
    size_t secret_bytes;
    uint8_t secret[];
};

struct epb_handshake *
epb_handshake_new(struct epb_bytes secret)
{
    EPB_ASSERT(secret.size_bytes > 0);
    struct epb_handshake *handshake =
        epb_mem_alloc(sizeof *handshake + secret.size_bytes);
    if (handshake == NULL)
        return NULL;
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

/* How much of its answer comes before the broker's proof. */
static size_t
says_bytes(enum epb_record_mode asked)
{
    return EPB_NONCE_BYTES + (asked == EPB_RECORD_AES ? EPB_CHOICE_BYTES : 0);
}

size_t
epb_server_hello_bytes(enum epb_record_mode mode)
{
    return says_bytes(mode) + EPB_PROOF_BYTES;
}

static enum epb_status
draw_nonce(const struct epb_handshake *handshake, uint8_t out[EPB_NONCE_BYTES])
{
    if (!handshake->nonce_is_fixed)
        return epb_sys_random(out, EPB_NONCE_BYTES);
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
    if (status != EPB_OK)
        return status;
    epb_hmac_begin(&hmac);
    for (size_t i = 0; i < part_count; i++) {
        epb_hmac_add(&hmac, parts[i].data, parts[i].size_bytes);
    }
    epb_hmac_end(&hmac, out);
    epb_hmac_fini(&hmac);
    return EPB_OK;
}

/* Keys and both proofs, from the secret, the client's hello and what the server says. */
static enum epb_status
derive(struct epb_handshake *handshake)
{
    uint8_t salt[2 * EPB_NONCE_BYTES];
    memcpy(salt, handshake->client_hello + EPB_MAGIC_BYTES, EPB_NONCE_BYTES);
    memcpy(salt + EPB_NONCE_BYTES, handshake->server_says, EPB_NONCE_BYTES);
    struct epb_bytes secret = {handshake->secret, handshake->secret_bytes};
    enum epb_status status =
        epb_hash_hkdf(secret, (struct epb_bytes){salt, sizeof salt}, label(INFO),
                      (uint8_t *)&handshake->keys, sizeof handshake->keys);
    if (status != EPB_OK)
        return status;

    uint8_t transcript[EPB_HASH_BYTES];
    const struct epb_bytes seen[] = {
        {handshake->client_hello, EPB_CLIENT_HELLO_BYTES},
        {handshake->server_says, says_bytes(handshake->asked)}};
    epb_hash_sha256(seen, 2, transcript);

    const struct epb_bytes server_says[] = {label(SERVER_LABEL),
                                            {transcript, sizeof transcript}};
    status =
        prove(handshake->keys.server_proof_key, server_says, 2, handshake->server_proof);
    if (status != EPB_OK)
        return status;
    const struct epb_bytes client_says[] = {label(CLIENT_LABEL),
                                            {transcript, sizeof transcript},
                                            {handshake->server_proof, EPB_PROOF_BYTES}};
    return prove(handshake->keys.client_proof_key, client_says, 3,
                 handshake->client_proof);
}

static const char *const MAGICS[] = {[EPB_RECORD_PLAIN] = EPB_MAGIC_PLAIN,
                                     [EPB_RECORD_CHACHA20] = EPB_MAGIC_CHACHA20,
                                     [EPB_RECORD_AES] = EPB_MAGIC_CHOICE,
                                     [EPB_RECORD_MAC] = EPB_MAGIC_MAC};

bool
epb_auth_mode(const uint8_t magic[EPB_MAGIC_BYTES], enum epb_record_mode *mode)
{
    for (size_t i = 0; i < sizeof MAGICS / sizeof MAGICS[0]; i++) {
        if (memcmp(magic, MAGICS[i], EPB_MAGIC_BYTES) != 0)
            continue;
        *mode = (enum epb_record_mode)i;
        return true;
    }
    return false;
}

/* The broker chooses: sets the mode, and the byte that tells it. */
static void
choose(struct epb_handshake *handshake)
{
    handshake->mode = handshake->asked;
    if (handshake->asked != EPB_RECORD_AES)
        return;
    bool aes = epb_cipher_has_aes() && !handshake->without_aes;
    handshake->mode = aes ? EPB_RECORD_AES : EPB_RECORD_CHACHA20;
    handshake->server_says[EPB_NONCE_BYTES] = aes ? CHOICE_AES : CHOICE_CHACHA20;
}

/* The client is told, by a broker that has proved itself. */
static enum epb_status
take_choice(struct epb_handshake *handshake)
{
    handshake->mode = handshake->asked;
    if (handshake->asked != EPB_RECORD_AES ||
        handshake->server_says[EPB_NONCE_BYTES] == CHOICE_AES)
        return EPB_OK;
    handshake->mode = EPB_RECORD_CHACHA20;
    return handshake->server_says[EPB_NONCE_BYTES] == CHOICE_CHACHA20 ? EPB_OK
                                                                      : EPB_AUTH_FAILED;
}

enum epb_status
epb_handshake_client_hello(struct epb_handshake *handshake, enum epb_record_mode mode,
                           uint8_t out[EPB_CLIENT_HELLO_BYTES])
{
    EPB_ASSERT(handshake->stage == STAGE_NEW && mode != EPB_RECORD_PLAIN);
    uint8_t *hello = handshake->client_hello;
    enum epb_status status = draw_nonce(handshake, hello + EPB_MAGIC_BYTES);
    if (status != EPB_OK)
        return status;
    memcpy(hello, MAGICS[mode], EPB_MAGIC_BYTES);
    memcpy(out, hello, EPB_CLIENT_HELLO_BYTES);
    handshake->asked = mode;
    handshake->stage = STAGE_HELLO;
    return EPB_OK;
}

enum epb_status
epb_handshake_client_finish(struct epb_handshake *handshake, const uint8_t *server_hello,
                            uint8_t proof[EPB_PROOF_BYTES], struct epb_session_keys *keys,
                            enum epb_record_mode *mode)
{
    EPB_ASSERT(handshake->stage == STAGE_HELLO);
    handshake->stage = STAGE_DONE;
    size_t says = says_bytes(handshake->asked);
    memcpy(handshake->server_says, server_hello, says);
    enum epb_status status = derive(handshake);
    if (status != EPB_OK)
        return status;
    if (!epb_mem_equal(handshake->server_proof, server_hello + says, EPB_PROOF_BYTES)) {
        return EPB_AUTH_FAILED;
    }
    status = take_choice(handshake);
    if (status != EPB_OK)
        return status;
    memcpy(proof, handshake->client_proof, EPB_PROOF_BYTES);
    *keys = handshake->keys.session;
    *mode = handshake->mode;
    return EPB_OK;
}

enum epb_status
epb_handshake_server_hello(struct epb_handshake *handshake,
                           const uint8_t client_hello[EPB_CLIENT_HELLO_BYTES],
                           uint8_t out[EPB_SERVER_HELLO_MAX_BYTES], size_t *out_bytes)
{
    EPB_ASSERT(handshake->stage == STAGE_NEW);
    if (!epb_auth_mode(client_hello, &handshake->asked) ||
        handshake->asked == EPB_RECORD_PLAIN) {
        return EPB_VERSION_MISMATCH;
    }
    enum epb_status status = draw_nonce(handshake, handshake->server_says);
    if (status != EPB_OK)
        return status;
    choose(handshake);
    memcpy(handshake->client_hello, client_hello, EPB_CLIENT_HELLO_BYTES);
    status = derive(handshake);
    if (status != EPB_OK)
        return status;
    size_t says = says_bytes(handshake->asked);
    memcpy(out, handshake->server_says, says);
    memcpy(out + says, handshake->server_proof, EPB_PROOF_BYTES);
    *out_bytes = says + EPB_PROOF_BYTES;
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
    if (!epb_mem_equal(handshake->client_proof, proof, EPB_PROOF_BYTES))
        return EPB_AUTH_FAILED;
    *keys = handshake->keys.session;
    *mode = handshake->mode;
    return EPB_OK;
}
