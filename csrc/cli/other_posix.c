/* See other.h: the brokers that run. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../os/fd.h"
#include "../os/socket.h"
#include "other.h"

/* "broker-NAME.sock" */
static bool
is_pipe_name(const char *name)
{
    static const char begin[] = "broker-";
    static const char end[] = ".sock";
    size_t size = strlen(name);

    return size > sizeof(begin) - 1 + sizeof(end) - 1 &&
           strncmp(name, begin, sizeof(begin) - 1) == 0 &&
           strcmp(name + size - (sizeof(end) - 1), end) == 0;
}

static uint32_t
peer_pid(int fd)
{
#if defined(__linux__)
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? (uint32_t)peer.pid
                                                                      : 0;
#elif defined(LOCAL_PEERPID)
    pid_t peer = 0;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, 0 /* SOL_LOCAL */, LOCAL_PEERPID, &peer, &size) == 0
               ? (uint32_t)peer
               : 0;
#else
    (void)fd;
    return 0;
#endif
}

static void
look_at(const char *path, epb_other_broker_fn visit, void *context)
{
    struct stat about;
    int fd = -1;

    if (lstat(path, &about) != 0 || !S_ISSOCK(about.st_mode) ||
        about.st_uid != geteuid() || epb_socket_connect(path, &fd) != 0) {
        return;
    }
    uint32_t pid = peer_pid(fd);
    epb_fd_close(fd);
    visit(context, path, pid);
}

static void
look_in(const char *folder, epb_other_broker_fn visit, void *context)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    char path[PATH_MAX];

    if (entries == NULL) {
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        if (is_pipe_name(entry->d_name) && snprintf(path, sizeof(path), "%s/%s", folder,
                                                    entry->d_name) < (int)sizeof(path)) {
            look_at(path, visit, context);
        }
    }
    closedir(entries);
}

/* Whether an earlier one of the folders is the same. */
static bool
is_repeated(const char *const *folders, size_t index)
{
    struct stat one;
    struct stat other;

    if (stat(folders[index], &one) != 0) {
        return true;
    }
    for (size_t i = 0; i < index; i++) {
        if (folders[i] != NULL && stat(folders[i], &other) == 0 &&
            one.st_dev == other.st_dev && one.st_ino == other.st_ino) {
            return true;
        }
    }
    return false;
}

void
epb_other_brokers(epb_other_broker_fn visit, void *context)
{
    const char *const folders[] = {getenv("TMPDIR"), "/tmp", getenv("XDG_RUNTIME_DIR")};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (folders[i] != NULL && folders[i][0] == '/' && !is_repeated(folders, i)) {
            look_in(folders[i], visit, context);
        }
    }
}
