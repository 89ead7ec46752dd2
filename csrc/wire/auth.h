/*
 * The session with a secret: SKID3 (ISO/IEC 9798-4, three passes) with HMAC-SHA256, and
 * keys by HKDF (RFC 5869).
 *
 * - C to B: "EPB3" | u16 n | n bytes: cn[32] | u32 offered | u16 s | scope[s] | more
 * - B to C: "EPB3" | u16 m | m bytes: sn[32] | u32 chosen | more; then ps[32]
 * - C to B: pc[32]
 *
 * where
 *
 * - offered is a mask of ciphers, and chosen is one of its bits
 * - more is what a later version says; it is not understood, and covered all the same
 * - th = SHA256(all that the client has sent | all that the broker has sent before ps)
 * - ks | kc | k_c2s | k_s2c = HKDF-SHA256(secret, no salt, info "epb3 keys" | th)
 * - ps = HMAC(ks, "epb3 server" | th)
 * - pc = HMAC(kc, "epb3 client" | th | ps)
 *
 * A broker answers the older magics, too. There the client's hello is magic | cn[32], the
 * answer sn[32] | choice | ps[32] (choice: a byte after EPB2 alone), the keys have the
 * salt cn | sn and the info "epb1 keys", and the labels of the proofs begin with "epb1".
 *
 * The broker proves itself first, and the client sends nothing but its hello before that
 * proof holds. Comparisons take constant time. Key material lies in locked memory and is
 * wiped; what passes over the stack is wiped at once.
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
/* Either hello, with all that is in it: nothing longer is read before a proof. */
#define EPB_HELLO_MAX_BYTES 1024U
/* What this version says: EPB3 without a scope, and the answer with its proof. */
#define EPB_CLIENT_HELLO_BYTES 44U
#define EPB_SERVER_HELLO_BYTES 74U
/* Of the older magics. */
#define EPB_OLD_CLIENT_HELLO_BYTES (EPB_MAGIC_BYTES + EPB_NONCE_BYTES)

enum epb_record_mode {
    EPB_RECORD_PLAIN,
    EPB_RECORD_CHACHA20,
    EPB_RECORD_AES,
    EPB_RECORD_MAC
};

/* A mask of these is offered, one of them chosen. */
#define EPB_OFFER_CHACHA20 1U
#define EPB_OFFER_AES 2U /* only where epb_cipher_has_aes */
#define EPB_OFFER_MAC 4U

/* The one that stands for a mode; 0 for PLAIN. */
uint32_t
epb_auth_offer_of(enum epb_record_mode mode);

/* What a connection's first four bytes ask for: a session without a secret, or with one.
 */
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

/* How long the hello of a client is that begins like this; 0: more of it must come before
 * that can be said. EPB_VERSION_MISMATCH when the magic is none of those with a secret;
 * EPB_INVALID_REQUEST, EPB_TOO_LARGE when it can be no hello of any version. */
EPB_MUST_USE enum epb_status
epb_auth_client_hello_bytes(struct epb_bytes held, size_t *size_bytes);
/* The same of a broker's answer to ours. EPB_AUTH_FAILED when it can be none. */
EPB_MUST_USE enum epb_status
epb_auth_server_hello_bytes(struct epb_bytes held, size_t *size_bytes);

struct epb_session_keys {
    uint8_t client_to_server[EPB_KEY_BYTES];
    uint8_t server_to_client[EPB_KEY_BYTES];
};

/* In locked memory, wiped when freed. Each end calls its two steps once, in order. */
struct epb_handshake;

/* The secret is any non-empty run of bytes; copied. NULL when memory is out. */
struct epb_handshake *
epb_handshake_new(struct epb_bytes secret);
void
epb_handshake_free(struct epb_handshake *handshake);

/* Tests: the nonce this end uses instead of a random one. */
void
epb_handshake_fix_nonce(struct epb_handshake *handshake,
                        const uint8_t nonce[EPB_NONCE_BYTES]);

/* Tests: a broker whose processor has no AES. */
void
epb_handshake_without_aes(struct epb_handshake *handshake);

/* Client: 1. draws the nonce and writes a hello that offers these ciphers. */
EPB_MUST_USE enum epb_status
epb_handshake_client_hello(struct epb_handshake *handshake, uint32_t offered,
                           uint8_t out[EPB_CLIENT_HELLO_BYTES]);
/* Client: 2. checks the broker's proof (EPB_AUTH_FAILED) in an answer that is as long as
 * epb_auth_server_hello_bytes says, and writes its own; gives keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_client_finish(struct epb_handshake *handshake,
                            struct epb_bytes server_hello, uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode);
/* Broker: 1. answers a hello, of as many bytes as epb_auth_client_hello_bytes says, in
 * *out_bytes. `scope` is what the hello names (into it; mostly empty): it is covered by
 * both proofs. EPB_VERSION_MISMATCH when no cipher is offered that this broker has;
 * EPB_INVALID_REQUEST, EPB_TOO_LARGE for a scope that the hello can't hold, or no broker
 * takes. */
EPB_MUST_USE enum epb_status
epb_handshake_server_hello(struct epb_handshake *handshake, struct epb_bytes client_hello,
                           uint8_t out[EPB_SERVER_HELLO_BYTES], size_t *out_bytes,
                           struct epb_bytes *scope);
/* Broker: 2. checks the client's proof (EPB_AUTH_FAILED); gives keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_server_finish(struct epb_handshake *handshake,
                            const uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode);

#endif
