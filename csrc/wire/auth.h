/*
 * The session with a secret: SKID3 (ISO/IEC 9798-4, three passes) with HMAC-SHA256, and
 * keys by HKDF (RFC 5869).
 *
 * - C to B: magic | cn[32]
 * - B to C: sn[32] | choice | ps[32]
 * - C to B: pc[32]
 *
 * where
 *
 * - choice is a byte after the magic EPB2 alone, and names the cipher
 * - th = SHA256(magic | cn | sn | choice)
 * - ks | kc | k_c2s | k_s2c = HKDF-SHA256(secret, salt cn | sn, info "epb1 keys")
 * - ps = HMAC(ks, "epb1 server" | th)
 * - pc = HMAC(kc, "epb1 client" | th | ps)
 *
 * The broker proves itself first, and the client sends nothing but its nonce before that
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
#define EPB_MAGIC_CHOICE "EPB2"   /* records sealed with what the broker chooses */
#define EPB_MAGIC_MAC "EPBM"      /* records with HMAC-SHA256 */
#define EPB_NONCE_BYTES 32U
#define EPB_PROOF_BYTES 32U
#define EPB_KEY_BYTES 32U
#define EPB_CLIENT_HELLO_BYTES (EPB_MAGIC_BYTES + EPB_NONCE_BYTES)
#define EPB_CHOICE_BYTES 1U
#define EPB_SERVER_HELLO_MAX_BYTES (EPB_NONCE_BYTES + EPB_CHOICE_BYTES + EPB_PROOF_BYTES)

enum epb_record_mode {
    EPB_RECORD_PLAIN,
    EPB_RECORD_CHACHA20,
    EPB_RECORD_AES, /* in a hello: the broker may choose EPB_RECORD_CHACHA20 instead */
    EPB_RECORD_MAC
};

/* What a connection's first four bytes ask for; false when they are none of these. */
bool
epb_auth_mode(const uint8_t magic[EPB_MAGIC_BYTES], enum epb_record_mode *mode);

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

/* Of the broker's answer to a hello of this mode. */
size_t
epb_server_hello_bytes(enum epb_record_mode mode);

/* Client: 1. draws the nonce and writes the hello. EPB_RECORD_AES only where
 * epb_cipher_has_aes. */
EPB_MUST_USE enum epb_status
epb_handshake_client_hello(struct epb_handshake *handshake, enum epb_record_mode mode,
                           uint8_t out[EPB_CLIENT_HELLO_BYTES]);
/* Client: 2. checks the broker's proof (EPB_AUTH_FAILED), in an answer of as many bytes
 * as epb_server_hello_bytes says for the mode of the hello, and writes its own; gives
 * keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_client_finish(struct epb_handshake *handshake, const uint8_t *server_hello,
                            uint8_t proof[EPB_PROOF_BYTES], struct epb_session_keys *keys,
                            enum epb_record_mode *mode);
/* Broker: 1. answers a hello, in *out_bytes. EPB_VERSION_MISMATCH when the magic is none
 * of those with a secret. */
EPB_MUST_USE enum epb_status
epb_handshake_server_hello(struct epb_handshake *handshake,
                           const uint8_t client_hello[EPB_CLIENT_HELLO_BYTES],
                           uint8_t out[EPB_SERVER_HELLO_MAX_BYTES], size_t *out_bytes);
/* Broker: 2. checks the client's proof (EPB_AUTH_FAILED); gives keys and mode. */
EPB_MUST_USE enum epb_status
epb_handshake_server_finish(struct epb_handshake *handshake,
                            const uint8_t proof[EPB_PROOF_BYTES],
                            struct epb_session_keys *keys, enum epb_record_mode *mode);

#endif
