/* See socket.h. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "../base/status.h"
#include "fd.h"
#include "rights.h"

/* For a connect that continues after an interruption: the system alone completes or
 * refuses it. */
#define CONNECT_WAIT_MS 100

size_t
epb_socket_path_max(void)
{
    size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    return room < EPB_SOCKET_PATH_BYTES ? room : EPB_SOCKET_PATH_BYTES - 1;
}

static int
make_address(const char *path, struct sockaddr_un *address)
{
    size_t size = strlen(path);

    if (size == 0) {
        return UV_EINVAL;
    }
    if (size > epb_socket_path_max()) {
        return UV_ENAMETOOLONG;
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, size);
    return 0;
}

int
epb_socket_new(int *fd)
{
#ifdef __linux__
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return -errno;
    }
    (void)epb_rights_refuse(*fd);
    return 0;
#else
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (*fd < 0) {
        return -errno;
    }
    int on = 1;
    if (fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(*fd, F_SETFL, O_NONBLOCK) == 0 &&
        setsockopt(*fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) == 0) {
        return 0;
    }
    int error = -errno;
    epb_fd_close(*fd);
    return error;
#endif
}

int
epb_socket_bind(int fd, const char *path)
{
    struct sockaddr_un address;
    int error = make_address(path, &address);

    if (error != 0) {
        return error;
    }
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

/* ECONNREFUSED also means "not a socket"; callers need to tell the two apart. */
static int
refine_refusal(const char *path, int error)
{
    struct stat status;

    if (error == UV_ECONNREFUSED && stat(path, &status) == 0 &&
        !S_ISSOCK(status.st_mode)) {
        return UV_ENOTSOCK;
    }
    return error;
}

/* Waits for a connect that is under way and returns its result. */
static int
await_connection(int fd)
{
    struct pollfd descriptor = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof(error);
    int count = 0;

    do {
        count = poll(&descriptor, 1, CONNECT_WAIT_MS);
    } while (count < 0 && errno == EINTR);
    if (count == 0) {
        return UV_EAGAIN;
    }
    if (count < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        return -errno;
    }
    return -error;
}

/* An interrupted connect has been undone (Linux) or continues (POSIX). A second call
 * shows which. */
static int
connect_whole(int fd, const struct sockaddr_un *address)
{
    bool interrupted = false;

    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        if (interrupted && errno == EISCONN) {
            return 0;
        }
        if (interrupted && errno == EALREADY) {
            return await_connection(fd);
        }
        if (errno != EINTR) {
            return -errno;
        }
        interrupted = true;
    }
    return 0;
}

int
epb_socket_connect(const char *path, int *fd)
{
    struct sockaddr_un address;
    int connected = -1;
    int error = make_address(path, &address);

    if (error != 0) {
        return error;
    }
    error = epb_socket_new(&connected);
    if (error != 0) {
        return error;
    }
    error = connect_whole(connected, &address);
    if (error != 0) {
        error = refine_refusal(path, error);
        epb_fd_close(connected);
        return error;
    }
    *fd = connected;
    return 0;
}

#define NO_UID ((uid_t)-1)

static _Atomic uid_t kept_uid = NO_UID;

static uid_t
own_uid(void)
{
    uid_t kept = atomic_load(&kept_uid);

    return kept == NO_UID ? geteuid() : kept;
}

#ifdef __linux__

static pthread_once_t overflow_once = PTHREAD_ONCE_INIT;
static uid_t overflow_uid = NO_UID; /* written once */

/* Reads the first numbers of a file and returns how many it found. */
static int
read_numbers(const char *path, unsigned long numbers[3])
{
    char text[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, text, sizeof(text) - 1);
    epb_fd_close(fd);
    text[size > 0 ? size : 0] = '\0';
    char *at = text;
    for (int count = 0; count < 3; count++) {
        char *end = at;
        numbers[count] = strtoul(at, &end, 10);
        if (end == at) {
            return count;
        }
        at = end;
    }
    return 3;
}

/* In a namespace that maps every user of the machine, the overflow number is an ordinary
 * user. */
static void
find_overflow_uid(void)
{
    unsigned long numbers[3] = {0};

    if (read_numbers("/proc/self/uid_map", numbers) == 3 && numbers[0] == 0 &&
        numbers[2] >= UINT32_MAX) {
        return;
    }
    bool known = read_numbers("/proc/sys/kernel/overflowuid", numbers) >= 1;
    overflow_uid = known ? (uid_t)numbers[0] : 65534;
}

bool
epb_socket_own_uid(uid_t uid)
{
    (void)pthread_once(&overflow_once, find_overflow_uid);
    return uid == own_uid() && uid != overflow_uid;
}

void
epb_socket_keep_own_uid(void)
{
    (void)pthread_once(&overflow_once, find_overflow_uid);
    atomic_store(&kept_uid, geteuid());
}

#else

bool
epb_socket_own_uid(uid_t uid)
{
    return uid == own_uid();
}

void
epb_socket_keep_own_uid(void)
{
    atomic_store(&kept_uid, geteuid());
}

#endif

bool
epb_socket_is_root(void)
{
    return own_uid() == 0;
}

bool
epb_socket_peer_trusted(int fd)
{
    uid_t uid = 0;
#ifdef __linux__
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    uid = peer.uid;
#else
    gid_t gid = 0;

    if (getpeereid(fd, &uid, &gid) != 0) {
        return false;
    }
#endif
    return uid == 0 || epb_socket_own_uid(uid);
}

uint32_t
epb_socket_peer_pid(int fd)
{
#ifdef __linux__
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return 0;
    }
    return (uint32_t)peer.pid;
#elif defined(LOCAL_PEERPID)
    pid_t pid = 0;
    socklen_t size = sizeof(pid);

    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &size) != 0) {
        return 0;
    }
    return (uint32_t)pid;
#else
    (void)fd;
    return 0;
#endif
}
