/* See other.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../os/fd.h"
#include "other.h"

#define PIECE_BYTES ((size_t)16 * 1024)
#define START_FIELD 22 /* of /proc/PID/stat, from 1 */

/* Appends a file of a process. */
static enum epb_status
read_file(uint32_t pid, const char *name, struct epb_buf *out)
{
    char path[64];
    ssize_t count = 1;
    enum epb_status status = EPB_OK;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES || errno == EPERM ? EPB_AUTH_REQUIRED : EPB_NOT_FOUND;
    }
    while (count > 0 && status == EPB_OK) {
        uint8_t *memory = NULL;
        status = epb_buf_reserve(out, PIECE_BYTES, &memory);
        if (status == EPB_OK) {
            count = read(fd, memory, PIECE_BYTES);
            epb_buf_commit(out, count > 0 ? (size_t)count : 0);
        }
    }
    epb_fd_close(fd);
    return count < 0 && status == EPB_OK ? EPB_AUTH_REQUIRED : status;
}

enum epb_status
epb_other_environment(uint32_t pid, struct epb_buf *out)
{
    return read_file(pid, "environ", out);
}

bool
epb_other_arguments(uint32_t pid, struct epb_buf *out)
{
    size_t start = epb_buf_size(out);

    if (read_file(pid, "cmdline", out) != EPB_OK || epb_buf_size(out) == start) {
        return false;
    }
    uint8_t *text = out->memory + out->start + start;
    size_t size_bytes = epb_buf_size(out) - start;
    for (size_t i = 0; i < size_bytes; i++) {
        text[i] = text[i] == '\0' ? ' ' : text[i];
    }
    return true;
}

/* The field of a stat line; the name in parentheses may contain spaces. */
static const char *
field_of(const char *line, int number)
{
    const char *at = strrchr(line, ')');

    for (int field = 2; at != NULL && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? NULL : at + 1;
}

bool
epb_other_age_ms(uint32_t pid, uint64_t *age_ms)
{
    struct timespec now;
    struct epb_buf line;
    long ticks_a_second = sysconf(_SC_CLK_TCK);

    epb_buf_init(&line, PIECE_BYTES * 2);
    bool known = read_file(pid, "stat", &line) == EPB_OK &&
                 epb_buf_append(&line, "", 1) == EPB_OK && ticks_a_second > 0 &&
                 clock_gettime(CLOCK_BOOTTIME, &now) == 0;
    const char *start =
        known ? field_of((const char *)epb_buf_data(&line), START_FIELD) : NULL;
    if (start != NULL) {
        uint64_t since_ms = strtoull(start, NULL, 10) * 1000U / (uint64_t)ticks_a_second;
        uint64_t now_ms = (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
        *age_ms = now_ms > since_ms ? now_ms - since_ms : 0;
    }
    epb_buf_fini(&line);
    return start != NULL;
}
