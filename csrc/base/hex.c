/* See hex.h. */
#include "hex.h"

#include <stdint.h>

#include "mem.h"
#include "sys.h"

enum epb_status
epb_hex_random(char *out, size_t digits)
{
    static const char text[] = "0123456789abcdef";
    size_t count = digits / 2;
    /* The second half of `out`: a byte is read before its digits overwrite it. */
    uint8_t *bytes = (uint8_t *)out + count;

    EPB_ASSERT(digits % 2 == 0);
    enum epb_status status = epb_sys_random(bytes, count);
    if (status != EPB_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = bytes[i];
        out[2 * i] = text[byte >> 4];
        out[2 * i + 1] = text[byte & 15U];
    }
    return EPB_OK;
}
