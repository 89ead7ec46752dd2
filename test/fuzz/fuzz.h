/*
 * What the fuzz targets share. A target is a function of bytes: it does with them what
 * they say, and aborts when something does not hold that must. libFuzzer finds the bytes
 * (main.c); the C suite replays those that are kept (test/c/wire/fuzz_replay_test.c).
 *
 * A target leaves nothing behind, so that an input means the same after any other.
 */
#ifndef EPB_TEST_FUZZ_H
#define EPB_TEST_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/sys.h"
#include "wire/auth.h"
#include "wire/cipher.h"

#define FUZZ_TARGET_LIST(X)                                               \
    X(frames)    /* requests and replies, decoded and encoded */          \
    X(handshake) /* both sides fed garbage, and a relay that edits */     \
    X(records)   /* what was sealed, edited and cut */                    \
    X(lines)     /* JSON lines, decoded, encoded, and through sessions */ \
    X(sessions)  /* several connections of one broker without a secret */ \
    X(leases)    /* a history of operations against the model */          \
    X(arguments) /* command lines of the program */

#define FUZZ_DECLARE(name) void fuzz_##name(const uint8_t *data, size_t size_bytes);
FUZZ_TARGET_LIST(FUZZ_DECLARE)
#undef FUZZ_DECLARE

#define FUZZ_CHECK(condition) \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* The file that is replayed, for the message; NULL under libFuzzer. */
extern const char *fuzz_replayed;

__attribute__((noreturn)) static inline void
fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    if (fuzz_replayed != NULL) {
        fprintf(stderr, "with %s\n", fuzz_replayed);
    }
    abort();
}

static inline bool
fuzz_same(struct epb_bytes left, struct epb_bytes right)
{
    return left.size_bytes == right.size_bytes && epb_bytes_compare(left, right) == 0;
}

/* Whether the bytes are somewhere among the others. */
static inline bool
fuzz_contains(struct epb_bytes among, const char *text)
{
    return memmem(among.data, among.size_bytes, text, strlen(text)) != NULL;
}

static inline struct epb_bytes
fuzz_held(const struct epb_buf *buf)
{
    return (struct epb_bytes){epb_buf_data(buf), epb_buf_size(buf)};
}

/* With AES, if not one of the others is asked for, and where the machine has it. */
static inline enum epb_record_mode
fuzz_mode(bool mac, bool chacha20)
{
    if (mac) {
        return EPB_RECORD_MAC;
    }
    return chacha20 || !epb_cipher_has_aes() ? EPB_RECORD_CHACHA20 : EPB_RECORD_AES;
}

/* Input that is read from the front; zeros when it is over. */
static inline uint8_t
fuzz_u8(struct epb_bytes *input)
{
    if (input->size_bytes == 0) {
        return 0;
    }
    input->size_bytes--;
    return *input->data++;
}

static inline uint16_t
fuzz_u16(struct epb_bytes *input)
{
    uint16_t low = fuzz_u8(input);

    return (uint16_t)(low | fuzz_u8(input) << 8);
}

/* As much of it as there is. */
static inline struct epb_bytes
fuzz_take(struct epb_bytes *input, size_t size_bytes)
{
    struct epb_bytes taken = {input->data, size_bytes};

    if (taken.size_bytes > input->size_bytes) {
        taken.size_bytes = input->size_bytes;
    }
    input->data += taken.size_bytes;
    input->size_bytes -= taken.size_bytes;
    return taken;
}

/* Sizes of the pieces that a stream comes in, all from one byte of the input: SplitMix64,
 * mostly small; 0 for a stream in one piece. */
static inline size_t
fuzz_piece(uint64_t *state)
{
    uint64_t mixed = *state;

    if (mixed == 0) {
        return SIZE_MAX;
    }
    *state += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return 1 + (size_t)((mixed >> 8) % ((mixed & 3) == 0 ? 500 : 20));
}

static inline size_t
fuzz_least(size_t left, size_t right)
{
    return left < right ? left : right;
}

#endif
