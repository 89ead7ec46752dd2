/* See secret_file.h. */
#include "secret_file.h"

#include <stdio.h>
#include <windows.h>

#include "secret.h"

#define SOURCE_MAX_BYTES 512U
#define PATH_ROOM 32768

static int
read_line(const struct epb_cli *cli, HANDLE file, const char *source,
          struct epb_buf *line)
{
    uint8_t byte = 0;
    DWORD size = 0;

    /* The other end of a pipe that was closed is the end of the text. */
    while (ReadFile(file, &byte, 1, &size, NULL) && size == 1 && byte != '\n') {
        enum epb_status status = epb_buf_append(line, &byte, 1);
        if (status == EPB_TOO_LARGE) {
            return epb_cli_wrong_use(cli, "%s: its first line is no secret, too long",
                                     source);
        }
        if (status != EPB_OK) {
            return epb_cli_no_memory(cli);
        }
    }
    size_t got = epb_buf_size(line);
    if (got > 0 && epb_buf_data(line)[got - 1] == '\r') {
        epb_buf_truncate(line, 1);
    }
    return 0;
}

int
epb_secret_read_stdin(const struct epb_cli *cli, const char *source,
                      struct epb_buf *secret)
{
    return read_line(cli, GetStdHandle(STD_INPUT_HANDLE), source, secret);
}

int
epb_secret_read_file(const struct epb_cli *cli, const char *path, struct epb_buf *secret)
{
    static wchar_t wide[PATH_ROOM];
    char source[SOURCE_MAX_BYTES];

    (void)snprintf(source, sizeof(source), "--secret-file \"%s\"", path);
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, PATH_ROOM) == 0) {
        return epb_cli_wrong_use(cli, "%s: it can't be read (EINVAL)", source);
    }
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                              FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return epb_cli_wrong_use(cli, "%s: it can't be read (error %lu)", source,
                                 GetLastError());
    }
    int status = read_line(cli, file, source, secret);
    CloseHandle(file);
    return status;
}
