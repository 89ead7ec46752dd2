/* Decompression of values that a client stored compressed (EPB_F_GZIP). */
#ifndef EPB_CLI_GZIP_H
#define EPB_CLI_GZIP_H

#include "../base/buf.h"

/* The most that a value may become. */
#define EPB_GZIP_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Appends the content of a gzip file (RFC 1952), at most as long as it says in its last
 * four bytes. EPB_INVALID_VALUE: it is none, or is damaged; EPB_TOO_LARGE, EPB_INTERNAL.
 */
EPB_MUST_USE enum epb_status
epb_gzip_inflate(struct epb_buf *out, struct epb_bytes zipped);
/* The version of the library inside. */
const char *
epb_gzip_version(void);

#endif
