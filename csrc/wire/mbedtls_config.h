/*
 * The parts of mbedTLS that are built: message digests. Nothing of it reads files, opens
 * sockets, handles certificates or gathers entropy (randomness comes from base/sys.h).
 * The command line names this file as MBEDTLS_CONFIG_FILE. mbedTLS reads it instead of
 * its own configuration, so only the features defined here exist.
 */
#ifndef EPB_WIRE_MBEDTLS_CONFIG_H
#define EPB_WIRE_MBEDTLS_CONFIG_H

/* Handshake proofs, key derivation, EPBM frames and --legacy-hmac. */
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_HKDF_C

/* Keyed states are kept in locked memory and wiped when freed. */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO epb_mem_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO epb_mem_free
#include "../base/shared_mem.h"

/* Processor support is detected at run time: one binary serves all machines of a
 * platform. */
#define MBEDTLS_HAVE_ASM
#if defined(__aarch64__) && defined(__GNUC__)
#define MBEDTLS_SHA256_USE_ARMV8_A_CRYPTO_IF_PRESENT
#endif

#endif
