/* See system.h. */
#include "system.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../os/fd.h"
#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

#define COLUMNS_UNKNOWN 80U

enum epb_status
epb_system_program(char *path, size_t room_bytes)
{
#if defined(__APPLE__)
    uint32_t room = room_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)room_bytes;

    return _NSGetExecutablePath(path, &room) == 0 ? EPB_OK : EPB_TOO_LARGE;
#else
    ssize_t size = readlink("/proc/self/exe", path, room_bytes);

    if (size < 0) {
        return EPB_NOT_FOUND;
    }
    if ((size_t)size >= room_bytes) {
        return EPB_TOO_LARGE;
    }
    path[size] = '\0';
    return EPB_OK;
#endif
}

unsigned
epb_system_columns(void)
{
    struct winsize size = {0};

    if (isatty(STDOUT_FILENO) == 0) {
        return 0;
    }
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return COLUMNS_UNKNOWN;
    }
    return size.ws_col;
}

bool
epb_system_utc(time_t seconds, struct tm *parts)
{
    return gmtime_r(&seconds, parts) != NULL;
}

char **
epb_system_arguments(char **argv)
{
    return argv;
}

const char *
epb_system_env(const char *name)
{
    return getenv(name);
}

bool
epb_system_set_env(const char *name, const char *value)
{
    return (value == NULL ? unsetenv(name) : setenv(name, value, 1)) == 0;
}

bool
epb_system_has_terminal(void)
{
    int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (terminal >= 0) {
        epb_fd_close(terminal);
    }
    return terminal >= 0;
}

uint32_t
epb_system_parent(void)
{
    return (uint32_t)getppid();
}
