/* See input.h. */
#include <windows.h>

#include "input.h"

#define PIECE_BYTES ((size_t)64 * 1024)

enum epb_status
epb_in_read_some(struct epb_buf *out, bool *at_end)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    uint8_t *memory = NULL;
    DWORD count = 0;
    enum epb_status status = epb_buf_reserve(out, PIECE_BYTES, &memory);

    if (status != EPB_OK) {
        return status;
    }
    *at_end = false;
    if (!ReadFile(input, memory, (DWORD)PIECE_BYTES, &count, NULL)) {
        /* The writer has closed its end. */
        *at_end = GetLastError() == ERROR_BROKEN_PIPE;
        return *at_end ? EPB_OK : EPB_BROKER_GONE;
    }
    epb_buf_commit(out, count);
    *at_end = count == 0;
    return EPB_OK;
}
