/* See input.h. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "input.h"

#define PIECE_BYTES ((size_t)64 * 1024)

enum epb_status
epb_in_read_some(struct epb_buf *out, bool *at_end)
{
    struct pollfd wanted = {.fd = STDIN_FILENO, .events = POLLIN};
    uint8_t *memory = NULL;
    enum epb_status status = epb_buf_reserve(out, PIECE_BYTES, &memory);

    if (status != EPB_OK) {
        return status;
    }
    for (;;) {
        ssize_t count = read(STDIN_FILENO, memory, PIECE_BYTES);
        if (count >= 0) {
            epb_buf_commit(out, (size_t)count);
            *at_end = count == 0;
            return EPB_OK;
        }
        if (errno == EAGAIN) {
            (void)poll(&wanted, 1, -1);
        } else if (errno != EINTR) {
            return EPB_BROKER_GONE;
        }
    }
}
