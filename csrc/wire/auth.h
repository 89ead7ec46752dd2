/*
 * The handshake of a session with a secret: SKID3 (ISO/IEC 9798-4, three passes) with
 * HMAC-SHA256. HKDF (RFC 5869) derives the keys.
 *
 * - C to B: "EPB3" | u16 n | n bytes: cn[32] | u32 offered | u16 s | scope[s] | more
 * - B to C: "EPB3" | u16 m | m bytes: sn[32] | u32 chosen | more; then ps[32]
 * - C to B: pc[32]
 *
 * where
 *
 * - offered is a mask of ciphers, and chosen is one of its bits
 * - more is for later versions: this version ignores it, but the proofs cover it
 * - th = SHA256(all that the client has sent | all that the broker has sent before ps)
 * - ks | kc | k_c2s | k_s2c = HKDF-SHA256(secret, no salt, info "epb3 keys" | th)
 * - ps = HMAC(ks, "epb3 server" | th)
 * - pc = HMAC(kc, "epb3 client" | th | ps)
 *
 * A broker also answers the older magics. Their client hello is magic | cn[32] and the
 * answer is sn[32] | choice | ps[32], where choice is one byte that only EPB2 contains.
 * Their keys use the salt cn | sn and the info "epb1 keys", and the labels of the proofs
 * begin with "epb1".
 *
 * The broker proves itself first. Until that proof holds, the client sends nothing but
 * its hello. Comparisons take constant time. Key material is kept in locked memory and
 * wiped; copies on the stack are wiped at once.
 */
#ifndef EPB_WIRE_AUTH_H
#define EPB_WIRE_AUTH_H

#include "../base/bytes.h"
#include "../base/status.h"

#define EPB_MAGIC_BYTES 4U
#define EPB_MAGIC_PLAIN "EPB0"    /* no secret: frames follow at once */
#define EPB_MAGIC_CHACHA20 "EPB1" /* records sealed with ChaCha20-Poly1305 */
#define EPB_MAGIC_CHOICE "EPB2"   /* with ChaCha20-Poly1305 or AES: the broker chooses */
#define EPB_MAGIC_MAC "EPBM"      /* records with HMAC-SHA256 */
#define EPB_MAGIC_OFFER "EPB3"    /* the broker chooses from what the client offers */
#define EPB_NONCE_BYTES 32U
#define EPB_PROOF_BYTES 32U
#define EPB_KEY_BYTES 32U
#define EPB_SCOPE_MAX_BYTES 512U
/* The longest hello of either side, everything included. No more is read before a
 * proof. */
#define EPB_HELLO_MAX_BYTES 1024U
/* The hello of this version (EPB3 without a scope), and the answer with its proof. */
#define EPB_CLIENT_HELLO_BYTES 44U
#define EPB_SERVER_HELLO_BYTES 74U
/* The client hello of the older magics. */
#define EPB_OLD_CLIENT_HELLO_BYTES (EPB_MAGIC_BYTES + EPB_NONCE_BYTES)

enum epb_record_mode {
    EPB_RECORD_PLAIN,
    EPB_RECORD_CHACHA20,
    EPB_RECORD_AES,
    EPB_RECORD_MAC
};

/* The client offers a mask of these, and the broker chooses one. */
#define EPB_OFFER_CHACHA20 1U
#define EPB_OFFER_AES 2U /* only where epb_cipher_has_aes */
#define EPB_OFFER_MAC 4U

/* The bit of a mode; 0 for PLAIN. */
uint32_t
epb_auth_offer_of(enum epb_record_mode mode);

/* What the first four bytes of a connection ask for: a session with or without a
 * secret. */
enum epb_opening {
    EPB_OPENING_UNKNOWN,
    EPB_OPENING_PLAIN,
    EPB_OPENING_CHACHA20,
    EPB_OPENING_CHOICE,
    EPB_OPENING_MAC,
    EPB_OPENING_OFFER
};
enum epb_opening
epb_auth_opening(const uint8_t magic[EPB_MAGIC_BYTES]);

/* The length of the client hello that begins with these bytes; 0 when more bytes are
 * needed to know it. EPB_VERSION_MISMATCH when the magic is not one of a session with a
 * secret; EPB_INVALID_REQUEST or EPB_TOO_LARGE when no version has such a hello. */
EPB_MUST_USE enum epb_status
epb_auth_client_hello_bytes(struct epb_bytes held, size_t *size_bytes);
/* The same for a broker's answer to our hello. EPB_AUTH_FAILED when it is not a valid
 * answer. */
EPB_MUST_USE enum epb_status
epb_auth_server_hello_bytes(struct epb_bytes held, size_t *size_bytes);

struct epb_session_keys {
    uint8_t client_to_server[EPB_KEY_BYTES];
    uint8_t server_to_client[EPB_KEY_BYTES];
};

/* Kept in locked memory, wiped when freed. Each end calls its two steps once, in
 * order. */
struct epb_handshake;

/* The secret is any non-empty sequence of bytes; it is copied. NULL when memory is
 * out. */
struct epb_handshake *
epb_handshake_new(struct epb_bytes secret);
void
epb_handshake_free(struct epb_handshake *handshake);

/* Tests: sets the nonce of this end, which is random otherwise. */
void
epb_handshake_fix_nonce(struct epb_handshake *handshake,
                        const uint8_t nonce[EPB_NONCE_BYTES]);

/* Tests: behaves like a broker whose processor lacks AES. */
void
epb_handshake_without_aes(struct epb_handshake *handshake);

/* Client, step 1: draws the nonce and writes a hello that offers these ciphers. */
EPB_MUST_USE enum epb_status
epb_handshake_client_hello(struct epb_handshake *handshake, uint32_t offered,
                           uint8_t out[EPB_CLIENT_HELLO_BYTES]);
/* Client, step 2: checks the broker's proof (EPB_AUTH_FAILED) in an answer of the length
 * that epb_auth_server_hello_bytes returned, and writes the client's own proof. Returns
 * keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_client_finish(struct epb_handshake *handshake,
                            struct epb_bytes server_hello, uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode);
/* Broker, step 1: writes the answer to a hello of the length that
 * epb_auth_client_hello_bytes returned; *out_bytes is its size. `scope` points into the
 * hello and is mostly empty; both proofs cover it. EPB_VERSION_MISMATCH when this broker
 * supports none of the offered ciphers; EPB_INVALID_REQUEST for a scope longer than its
 * hello, EPB_TOO_LARGE for one longer than EPB_SCOPE_MAX_BYTES. */
EPB_MUST_USE enum epb_status
epb_handshake_server_hello(struct epb_handshake *handshake, struct epb_bytes client_hello,
                           uint8_t out[EPB_SERVER_HELLO_BYTES], size_t *out_bytes,
                           struct epb_bytes *scope);
/* Broker, step 2: checks the client's proof (EPB_AUTH_FAILED). Returns keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_server_finish(struct epb_handshake *handshake,
                            const uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode);

#endif
