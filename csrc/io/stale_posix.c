/* See stale.h. A broker that was killed leaves its socket behind; the next one tidies up.
 */
#include "stale.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "socket.h"

/* Temporary directories can be huge; what is left today is found another day. */
#define ENTRIES_MAX 10000U
#define PROBES_MAX 1000U

static bool
is_socket_name(const char *name)
{
    static const char prefix[] = "broker-";
    static const char suffix[] = ".sock";

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return false;
    name += sizeof(prefix) - 1;
    if (strspn(name, "0123456789abcdef") != EPB_SOCKET_NAME_HEX)
        return false;
    return strcmp(name + EPB_SOCKET_NAME_HEX, suffix) == 0;
}

bool
epb_stale_remove(const char *path)
{
    struct stat status;
    int fd = -1;

    if (lstat(path, &status) != 0)
        return false;
    if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid())
        return false;
    int error = epb_socket_connect(path, &fd);
    if (error == 0)
        epb_socket_close(fd);
    return error == UV_ECONNREFUSED && unlink(path) == 0;
}

unsigned
epb_stale_collect(const char *directory)
{
    unsigned removed = 0;
    unsigned probes = 0;
    DIR *entries = opendir(directory);

    if (entries == NULL)
        return 0;
    for (unsigned seen = 0; seen < ENTRIES_MAX && probes < PROBES_MAX; seen++) {
        const struct dirent *entry = readdir(entries);
        if (entry == NULL)
            break;
        if (!is_socket_name(entry->d_name))
            continue;
        char path[EPB_SOCKET_PATH_BYTES];
        int size = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (size < 0 || (size_t)size >= sizeof(path))
            continue;
        probes++;
        if (epb_stale_remove(path))
            removed++;
    }
    closedir(entries);
    return removed;
}
