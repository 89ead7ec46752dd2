/* Random hexadecimal text: secrets and names. */
#ifndef EPB_BASE_HEX_H
#define EPB_BASE_HEX_H

#include <stddef.h>

#include "status.h"

/* The digits of a secret: 256 bits. */
#define EPB_HEX_SECRET_DIGITS 64U

/* Writes random lower-case digits, without a terminating null. `digits` is even. The
 * caller wipes a secret. EPB_INTERNAL: the system gives no random bytes; `out` is not
 * usable. */
EPB_MUST_USE enum epb_status
epb_hex_random(char *out, size_t digits);

#endif
