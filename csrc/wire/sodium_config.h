/*
 * What libsodium's own configure would find out, for the part of it that is built: its
 * ChaCha20-Poly1305 and AES-256-GCM. Included before each of its files by the command
 * line.
 *
 * The vector code for AVX2 and SSSE3, and that for AES, is compiled by GCC and MSVC;
 * clang takes it only with options for single files, and has SSE2 and plain C instead,
 * and no AES.
 */
#ifndef EPB_WIRE_SODIUM_CONFIG_H
#define EPB_WIRE_SODIUM_CONFIG_H

#define CONFIGURED 1
#define SODIUM_STATIC 1

/* Of the rest of libsodium this part asks for three functions: cipher.c has them. */
#define sodium_memzero epb_cipher_wipe
#define sodium_misuse epb_cipher_misuse
#define randombytes_buf epb_cipher_random

#if defined(_WIN32) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_LITTLE_ENDIAN 1
#endif
#if defined(__SIZEOF_INT128__)
#define HAVE_TI_MODE 1
#endif

/* For MSVC libsodium knows by itself. */
#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_AMD64_ASM 1
#define HAVE_CPUID 1
#define HAVE_EMMINTRIN_H 1
#if !defined(__clang__)
#define HAVE_AVX_ASM 1
#define HAVE_TMMINTRIN_H 1
#define HAVE_SMMINTRIN_H 1
#define HAVE_AVXINTRIN_H 1
#define HAVE_AVX2INTRIN_H 1
#define HAVE_WMMINTRIN_H 1
#endif
#endif

#endif
