/*
 * What of mbedTLS is built: message digests, and nothing that reads files, opens sockets,
 * knows certificates or gathers entropy (randomness comes from base/sys.h). Named as
 * MBEDTLS_CONFIG_FILE on the command line; mbedTLS reads it instead of its own
 * configuration, so only what is defined here exists.
 */
#ifndef EPB_WIRE_MBEDTLS_CONFIG_H
#define EPB_WIRE_MBEDTLS_CONFIG_H

/* Handshake proofs, key derivation, EPBM frames and --legacy-hmac. */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_HKDF_C

/* Keyed states lie in locked memory, and are wiped when they are freed. */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO epb_mem_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO epb_mem_free
#include "../base/shared_mem.h"

/* Processor support is asked for at run time: one binary serves all machines of a
 * platform. */
#define MBEDTLS_HAVE_ASM
#if defined(__aarch64__) && defined(__GNUC__)
#define MBEDTLS_SHA256_USE_ARMV8_A_CRYPTO_IF_PRESENT
#endif

#endif
