/* See output.h. */
#include <string.h>
#include <windows.h>

#include "output.h"

static HANDLE
stream_of(int fd)
{
    return GetStdHandle(fd == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
}

bool
epb_out_try(int fd, const void *data, size_t size_bytes)
{
    HANDLE stream = stream_of(fd);
    const char *at = data;

    while (size_bytes > 0) {
        DWORD part = size_bytes < 65536 ? (DWORD)size_bytes : 65536;
        DWORD written = 0;
        if (!WriteFile(stream, at, part, &written, NULL)) {
            return false;
        }
        at += written;
        size_bytes -= written;
    }
    return true;
}

bool
epb_out_is_closed(void)
{
    DWORD error = GetLastError();

    return error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA ||
           error == ERROR_INVALID_HANDLE;
}

bool
epb_out_write(int fd, const void *data, size_t size_bytes)
{
    return epb_out_try(fd, data, size_bytes);
}

bool
epb_out_text(const char *text)
{
    return epb_out_write(1, text, strlen(text));
}

bool
epb_out_buf(const struct epb_buf *buf)
{
    return epb_out_write(1, epb_buf_data(buf), epb_buf_size(buf));
}

bool
epb_out_is_ready(int fd)
{
    (void)fd;
    return true;
}

bool
epb_out_is_terminal(int fd)
{
    DWORD mode;

    return GetConsoleMode(stream_of(fd), &mode) != 0;
}

void
epb_out_discard(int fd)
{
    HANDLE nothing =
        CreateFileW(L"NUL", GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                    OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    HANDLE before = stream_of(fd);

    if (nothing != INVALID_HANDLE_VALUE &&
        SetStdHandle(fd == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE, nothing)) {
        (void)CloseHandle(before);
    }
}
