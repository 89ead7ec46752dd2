/* See secret_file.h. */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../os/oserror.h"
#include "secret.h"

#define OTHERS_MAY_READ 0044U
#define SOURCE_MAX_BYTES 512U

/* Reads a byte, also from a non-blocking descriptor. 0: the end; -1: an error. */
static ssize_t
read_byte(int fd, uint8_t *byte)
{
    for (;;) {
        ssize_t size = read(fd, byte, 1);
        if (size >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return size;
        }
        struct pollfd wanted = {.fd = fd, .events = POLLIN};
        (void)poll(&wanted, 1, -1);
    }
}

static void
drop_return(struct epb_buf *line)
{
    size_t size = epb_buf_size(line);

    if (size > 0 && epb_buf_data(line)[size - 1] == '\r') {
        epb_buf_truncate(line, 1);
    }
}

static int
read_line(const struct epb_cli *cli, int fd, const char *source, struct epb_buf *line)
{
    uint8_t byte = 0;
    ssize_t size;

    while ((size = read_byte(fd, &byte)) == 1 && byte != '\n') {
        enum epb_status status = epb_buf_append(line, &byte, 1);
        if (status == EPB_TOO_LARGE) {
            return epb_cli_wrong_use(cli, "%s: its first line is no secret, too long",
                                     source);
        }
        if (status != EPB_OK) {
            return epb_cli_no_memory(cli);
        }
    }
    if (size < 0) {
        return epb_cli_wrong_use(cli, "%s: it can't be read (%s)", source,
                                 epb_os_error_name(epb_os_error_from(errno)));
    }
    drop_return(line);
    return 0;
}

int
epb_secret_read_stdin(const struct epb_cli *cli, const char *source,
                      struct epb_buf *secret)
{
    return read_line(cli, STDIN_FILENO, source, secret);
}

static int
read_open_file(const struct epb_cli *cli, int fd, const char *source,
               struct epb_buf *secret)
{
    struct stat about;

    if (fstat(fd, &about) != 0) {
        return epb_cli_wrong_use(cli, "%s: it can't be read (%s)", source,
                                 epb_os_error_name(epb_os_error_from(errno)));
    }
    if (S_ISDIR(about.st_mode)) {
        return epb_cli_wrong_use(cli, "%s: it is a directory", source);
    }
    if (S_ISREG(about.st_mode) && (about.st_mode & OTHERS_MAY_READ) != 0) {
        epb_cli_complain("%s: other users may read it; chmod 600 it", source);
    }
    return read_line(cli, fd, source, secret);
}

int
epb_secret_read_file(const struct epb_cli *cli, const char *path, struct epb_buf *secret)
{
    char source[SOURCE_MAX_BYTES];

    (void)snprintf(source, sizeof(source), "--secret-file \"%s\"", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return epb_cli_wrong_use(cli, "%s: it can't be read (%s)", source,
                                 epb_os_error_name(epb_os_error_from(errno)));
    }
    int status = read_open_file(cli, fd, source, secret);
    (void)close(fd);
    return status;
}
