/*
 * The settings that libsodium's configure script would detect, for the part that is
 * built: ChaCha20-Poly1305 and AES-256-GCM. The command line includes this file before
 * each of libsodium's files.
 *
 * GCC and MSVC compile the vector code for AVX2 and SSSE3 and the code for AES. clang
 * compiles it only with options for single files, so it builds SSE2 and plain C instead,
 * and no AES.
 */
#ifndef EPB_WIRE_SODIUM_CONFIG_H
#define EPB_WIRE_SODIUM_CONFIG_H

#define CONFIGURED 1
#define SODIUM_STATIC 1

/* This part calls three functions of the rest of libsodium: cipher.c defines them. */
#define sodium_memzero epb_cipher_wipe
#define sodium_misuse epb_cipher_misuse
#define randombytes_buf epb_cipher_random

#if defined(_WIN32) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_LITTLE_ENDIAN 1
#endif
#if defined(__SIZEOF_INT128__)
#define HAVE_TI_MODE 1
#endif

/* libsodium detects MSVC itself. */
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
