/*
 * See endpoint_stale.h. A broker that was killed leaves its socket behind; the next
 * broker removes it.
 *
 * A socket that is being made refuses connections too, between bind and listen. So
 * temporary names are left alone for a while. A broker that loses its temporary name
 * anyway makes another (endpoint_posix.c), whichever kernel has removed it.
 */
#include "endpoint_stale.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <uv.h>

#include "../base/sys.h"
#include "../os/fd.h"
#include "../os/socket.h"

/* Temporary directories can be huge; a later broker finds the rest. */
#define ENTRIES_MAX 10000U
#define PROBES_MAX 1000U
#define TEMPORARY_REST_MS 1000U

enum kind {
    KIND_OTHER,
    KIND_SOCKET,             /* broker-<32 hex>.sock, of this boot */
    KIND_TEMPORARY_SOCKET,   /* .epb-<8 hex>: its name before (Linux) */
    KIND_TEMPORARY_DIRECTORY /* .epb-<6 characters>: where it is made (elsewhere) */
};

/* The boot */

#define BOOT_TEXT_BYTES 64U

/* Reads a UUID as text. The kernel makes a new random one at each boot. */
static bool
read_boot(char text[BOOT_TEXT_BYTES])
{
#ifdef __APPLE__
    size_t size = BOOT_TEXT_BYTES;

    return sysctlbyname("kern.bootsessionuuid", text, &size, NULL, 0) == 0;
#else
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, text, BOOT_TEXT_BYTES - 1);
    epb_fd_close(fd);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
#endif
}

bool
epb_endpoint_stale_boot(char out[EPB_BOOT_HEX + 1])
{
    char text[BOOT_TEXT_BYTES];
    size_t count = 0;

    if (!read_boot(text)) {
        return false;
    }
    for (const char *at = text; *at != '\0' && count < EPB_BOOT_HEX; at++) {
        if (isxdigit((unsigned char)*at)) {
            out[count++] = (char)tolower((unsigned char)*at);
        }
    }
    out[count] = '\0';
    return count == EPB_BOOT_HEX;
}

/* Names */

/* `boot` is NULL when it isn't known; then no name matches. */
static bool
is_socket_name(const char *name, const char *boot)
{
    static const char prefix[] = "broker-";
    static const char suffix[] = ".sock";

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
        return false;
    }
    name += sizeof(prefix) - 1;
    if (strspn(name, "0123456789abcdef") != EPB_SOCKET_NAME_HEX) {
        return false;
    }
    if (boot == NULL || strncmp(name, boot, EPB_SOCKET_BOOT_HEX) != 0) {
        return false;
    }
    return strcmp(name + EPB_SOCKET_NAME_HEX, suffix) == 0;
}

static enum kind
kind_of(const char *name, const char *boot)
{
    static const char prefix[] = EPB_TEMPORARY_PREFIX;
    size_t prefix_bytes = sizeof(prefix) - 1;

    if (is_socket_name(name, boot)) {
        return KIND_SOCKET;
    }
    if (strncmp(name, prefix, prefix_bytes) != 0) {
        return KIND_OTHER;
    }
    name += prefix_bytes;
    size_t size = strlen(name);
    if (size == EPB_TEMPORARY_HEX && strspn(name, "0123456789abcdef") == size) {
        return KIND_TEMPORARY_SOCKET;
    }
    return size == EPB_TEMPORARY_RANDOM ? KIND_TEMPORARY_DIRECTORY : KIND_OTHER;
}

/* Whether the file was last changed long enough ago. If the clock was set back, the file
 * stays for later. */
static bool
has_rested(const struct stat *status)
{
    struct epb_time now;

    epb_sys_now(&now);
    uint64_t seconds = status->st_mtime < 0 ? 0 : (uint64_t)status->st_mtime;
    return now.wall_ms / 1000U > seconds + TEMPORARY_REST_MS / 1000U;
}

static bool
is_dead(const char *path, const struct stat *status)
{
    int fd = -1;

    if (!S_ISSOCK(status->st_mode) || !epb_socket_own_uid(status->st_uid)) {
        return false;
    }
    int error = epb_socket_connect(path, &fd);
    if (error == 0) {
        epb_fd_close(fd);
    }
    return error == UV_ECONNREFUSED;
}

bool
epb_endpoint_stale_remove(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && is_dead(path, &status) && unlink(path) == 0;
}

/* Removes the directory and the dead socket in it. Fails if it contains anything else. */
static bool
remove_directory(const char *path)
{
    char inside[EPB_SOCKET_PATH_BYTES];
    int size = snprintf(inside, sizeof(inside), "%s/%s", path, EPB_TEMPORARY_SOCKET);

    if (size > 0 && (size_t)size < sizeof(inside)) {
        (void)epb_endpoint_stale_remove(inside);
    }
    return rmdir(path) == 0;
}

static bool
remove_temporary(const char *path, enum kind kind)
{
    struct stat status;

    if (lstat(path, &status) != 0 || !has_rested(&status)) {
        return false;
    }
    if (kind == KIND_TEMPORARY_SOCKET) {
        return is_dead(path, &status) && unlink(path) == 0;
    }
    return S_ISDIR(status.st_mode) && epb_socket_own_uid(status.st_uid) &&
           remove_directory(path);
}

unsigned
epb_endpoint_stale_collect(const char *directory)
{
    unsigned removed = 0;
    unsigned probes = 0;
    char text[EPB_BOOT_HEX + 1];
    const char *boot = epb_endpoint_stale_boot(text) ? text : NULL;
    DIR *entries = opendir(directory);

    if (entries == NULL) {
        return 0;
    }
    for (unsigned seen = 0; seen < ENTRIES_MAX && probes < PROBES_MAX; seen++) {
        const struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            break;
        }
        enum kind kind = kind_of(entry->d_name, boot);
        if (kind == KIND_OTHER) {
            continue;
        }
        char path[EPB_SOCKET_PATH_BYTES];
        int size = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (size < 0 || (size_t)size >= sizeof(path)) {
            continue;
        }
        probes++;
        removed += kind == KIND_SOCKET ? epb_endpoint_stale_remove(path)
                                       : remove_temporary(path, kind);
    }
    closedir(entries);
    return removed;
}
