/* See proc.h. */
#include "proc.h"

#if defined(__linux__)
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#endif

#if defined(__linux__)

/* Reads a file of /proc/PID; 0: there is none. */
static size_t
read_about(uint32_t pid, const char *name, char *out, size_t room)
{
    char path[64];
    size_t size = 0;
    ssize_t got = 0;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    do {
        got = read(fd, out + size, room - size);
        if (got > 0) {
            size += (size_t)got;
        }
    } while (size < room && (got > 0 || (got < 0 && errno == EINTR)));
    (void)close(fd);
    return size;
}

bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length)
{
    char stat[512];

    size_t size = read_about(pid, "stat", stat, sizeof(stat) - 1);

    stat[size] = '\0';
    /* The name in parentheses may contain anything, so parse after the last one: ") S
     * ppid". */
    const char *name_end = strrchr(stat, ')');
    if (name_end == NULL || strlen(name_end) < 5) {
        return false;
    }
    *parent = (uint32_t)strtoul(name_end + 4, NULL, 10);
    *length = read_about(pid, "cmdline", arguments, room);
    return true;
}

#else

bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length)
{
    (void)pid, (void)parent, (void)arguments, (void)room, (void)length;
    return false;
}

#endif
