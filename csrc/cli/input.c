/* See input.h. */
#include "input.h"

enum epb_status
epb_in_read_all(struct epb_buf *out)
{
    bool at_end = false;
    enum epb_status status = EPB_OK;

    while (status == EPB_OK && !at_end) {
        status = epb_in_read_some(out, &at_end);
    }
    return status;
}
