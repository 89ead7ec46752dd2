/* See endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/hex.h"
#include "../base/list.h"
#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/fd.h"
#include "../os/rights.h"
#include "../os/socket.h"
#include "../os/uv_reserve.h"
#include "endpoint_stale.h"
#include "exit_hook.h"

#define BACKLOG 1024
#define PIPE_ID_MAX 64U
#define MAKE_ROUNDS 16
#define LOCK_PATH_BYTES (EPB_SOCKET_PATH_BYTES + 8U)
#define FALLBACK_DIRECTORY "/tmp"

/* Identifies a file that was made here. */
struct epb_endpoint_file {
    dev_t device;
    ino_t inode;
};

struct epb_endpoint {
    struct epb_list open; /* in the list of endpoints to clean up at exit */
    uv_poll_t poll;
    epb_endpoint_fn on_connection;
    void *context;
    uint32_t pid;
    unsigned stale;
    int fd;
    int lock_fd;    /* -1: a random name needs none */
    bool lock_ours; /* we may remove the lock file */
    bool inherits;  /* the lock file says that this boot made the socket with this name */
    bool listening;
    bool visible; /* the final name exists */
    struct epb_endpoint_file socket;
    struct epb_endpoint_file lock;
    int skipped[EPB_ENDPOINT_PLACES]; /* why a place before was not taken; 0: it was */
    char directory[EPB_SOCKET_PATH_BYTES];
    char path[EPB_SOCKET_PATH_BYTES];
    char lock_path[LOCK_PATH_BYTES];
};

/* Endpoints whose names are removed when the process ends, however it ends. `list_taken`
 * is the id of the process whose thread holds the list; 0: no process. A signal handler
 * may try to take the list, but must not wait for it. */
static _Atomic uint32_t list_taken;
static struct epb_list open_endpoints = {&open_endpoints, &open_endpoints};

/* Names */

static int
print_path(char *out, size_t room, const char *directory, const char *id,
           const char *suffix)
{
    int size = snprintf(out, room, "%s/broker-%s%s", directory, id, suffix);

    if (size < 0) {
        return UV_EINVAL;
    }
    return (size_t)size > epb_socket_path_max() || (size_t)size >= room ? UV_ENAMETOOLONG
                                                                        : 0;
}

/* A random name that identifies the boot that made it. */
static int
random_name(char out[EPB_SOCKET_NAME_HEX + 1])
{
    char boot[EPB_BOOT_HEX + 1];

    if (epb_hex_random(out, EPB_SOCKET_NAME_HEX) != EPB_OK) {
        return UV_EIO;
    }
    out[EPB_SOCKET_NAME_HEX] = '\0';
    if (epb_endpoint_stale_boot(boot)) {
        memcpy(out, boot, EPB_SOCKET_BOOT_HEX);
    }
    return 0;
}

static bool
is_pipe_id(const char *id)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = strlen(id);

    return size >= 1 && size <= PIPE_ID_MAX && strspn(id, allowed) == size;
}

/* Splits off the directory of a given path; "." when it has none. */
static int
split_directory(struct epb_endpoint *endpoint, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);

    if (strlen(path) > epb_socket_path_max()) {
        return UV_ENAMETOOLONG;
    }
    if (path[0] == '\0' || (slash != NULL && slash[1] == '\0')) {
        return UV_EINVAL;
    }
    memcpy(endpoint->path, path, strlen(path) + 1);
    if (slash == NULL) {
        endpoint->directory[0] = '.';
    } else if (size == 0) {
        endpoint->directory[0] = '/';
    } else {
        memcpy(endpoint->directory, path, size);
    }
    return 0;
}

/* Where a socket may lie, in this order. XDG_RUNTIME_DIR comes last, since it is removed
 * when its user logs out. */
static const char *
place_at(unsigned index)
{
    switch (index) {
    case 0:
        return getenv("TMPDIR");
    case 1:
        return FALLBACK_DIRECTORY;
    default:
        return getenv("XDG_RUNTIME_DIR");
    }
}

/* Copies a place without slashes at its end. False: it is not set, or relative, which
 * each process would resolve to another place, or too long for any socket. */
static bool
read_place(unsigned index, char out[EPB_SOCKET_PATH_BYTES])
{
    const char *place = place_at(index);
    size_t size = place == NULL ? 0 : strlen(place);

    while (size > 1 && place[size - 1] == '/') {
        size--;
    }
    if (size <= 1 || place[0] != '/' || size >= EPB_SOCKET_PATH_BYTES) {
        return false;
    }
    memcpy(out, place, size);
    out[size] = '\0';
    return true;
}

/* Whether other users can't replace our names there: it is ours, or they may remove only
 * their own. A libuv code when it is no directory. */
static int
look_at_place(const char *directory, bool *is_safe)
{
    struct stat status;

    if (stat(directory, &status) != 0) {
        return -errno;
    }
    *is_safe =
        epb_socket_own_uid(status.st_uid) || (status.st_mode & (mode_t)S_ISVTX) != 0;
    return S_ISDIR(status.st_mode) ? 0 : UV_ENOTDIR;
}

static int
choose_names(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec)
{
    /* Set before, unless the path is given: the directory. */
    char hex[EPB_SOCKET_NAME_HEX + 1];
    size_t stem = 0;

    if (spec->path != NULL) {
        int error = split_directory(endpoint, spec->path);
        if (error != 0) {
            return error;
        }
        stem = strlen(endpoint->path);
    } else {
        if (spec->pipe_id != NULL && !is_pipe_id(spec->pipe_id)) {
            return UV_EINVAL;
        }
        int error = random_name(hex);
        if (error != 0) {
            return error;
        }
        error = print_path(endpoint->path, sizeof(endpoint->path), endpoint->directory,
                           spec->pipe_id != NULL ? spec->pipe_id : hex, ".sock");
        if (error != 0 || spec->pipe_id == NULL) {
            return error;
        }
        stem = strlen(endpoint->path) - strlen(".sock");
    }
    (void)snprintf(endpoint->lock_path, sizeof(endpoint->lock_path), "%.*s.lock",
                   (int)stem, endpoint->path);
    return 0;
}

/* The lock of a fixed name */

static struct epb_endpoint_file
file_of(const struct stat *status)
{
    return (struct epb_endpoint_file){.device = status->st_dev, .inode = status->st_ino};
}

static bool
same_file(const struct stat *left, const struct stat *right)
{
    return left->st_dev == right->st_dev && left->st_ino == right->st_ino;
}

/* Checks that we may lock an open lock file. A file with a second name may belong to
 * something else. */
static int
check_lock_file(int fd, struct stat *opened)
{
    if (fstat(fd, opened) != 0) {
        return -errno;
    }
    if (opened->st_nlink > 1 || !S_ISREG(opened->st_mode) ||
        !epb_socket_own_uid(opened->st_uid)) {
        return UV_EPERM;
    }
    /* A umask may remove the owner's rights too; the next broker must be able to open the
     * file. */
    if ((opened->st_mode & 0600) != 0600 && fchmod(fd, 0600) != 0) {
        return -errno;
    }
    return 0;
}

/* UV_EAGAIN: the file was removed between opening and locking. */
static int
try_lock(const char *path, int *fd, struct epb_endpoint_file *file)
{
    struct stat opened;
    struct stat named;
    int locked = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (locked < 0) {
        return -errno;
    }
    int error = check_lock_file(locked, &opened);
    if (error == 0 && flock(locked, LOCK_EX | LOCK_NB) != 0) {
        error = errno == EWOULDBLOCK ? UV_EADDRINUSE : -errno;
    }
    if (error == 0 && (lstat(path, &named) != 0 || !same_file(&opened, &named))) {
        error = UV_EAGAIN;
    }
    if (error == 0) {
        *fd = locked;
        *file = file_of(&opened);
    } else {
        epb_fd_close(locked);
    }
    return error;
}

/* The contents of a lock file: "epb <boot>\n". */
#define RECORD_FORMAT "epb %s\n"
#define RECORD_BYTES (sizeof("epb \n") - 1 + EPB_BOOT_HEX)

static bool
is_record(const char *text, size_t size)
{
    return size == RECORD_BYTES && memcmp(text, "epb ", 4) == 0 &&
           strspn(text + 4, "0123456789abcdef") == EPB_BOOT_HEX &&
           text[RECORD_BYTES - 1] == '\n';
}

/* Writes the record; the lock is held. Without disk space the file stays empty; then the
 * next broker merely leaves a dead socket of this one alone. */
static int
write_record(int fd, const char *record)
{
    if (ftruncate(fd, 0) != 0) {
        return -errno;
    }
    ssize_t written = pwrite(fd, record, RECORD_BYTES, 0);
    if (written > 0 && written < (ssize_t)RECORD_BYTES && ftruncate(fd, 0) != 0) {
        return -errno;
    }
    return 0;
}

/* Reads the previous owner from the lock file and claims the lock. An existing socket
 * belongs to another or an unknown kernel, unless the file says that this boot made
 * it. */
static int
claim_lock(struct epb_endpoint *endpoint)
{
    char boot[EPB_BOOT_HEX + 1];
    char record[RECORD_BYTES + 1];
    char found[RECORD_BYTES + 2] = "";
    struct stat status;
    bool known = epb_endpoint_stale_boot(boot);

    (void)snprintf(record, sizeof(record), RECORD_FORMAT, known ? boot : "");
    ssize_t size = pread(endpoint->lock_fd, found, sizeof(found) - 1, 0);
    if (size < 0) {
        return -errno;
    }
    if (size != 0 && !is_record(found, (size_t)size)) {
        return UV_EPERM;
    }
    endpoint->inherits = known && size != 0 && memcmp(found, record, RECORD_BYTES) == 0;
    endpoint->lock_ours = endpoint->inherits || size == 0;
    if (endpoint->inherits) {
        return 0;
    }
    if (lstat(endpoint->path, &status) == 0) {
        return UV_EADDRINUSE;
    }
    endpoint->lock_ours = true;
    return known ? write_record(endpoint->lock_fd, record) : 0;
}

static int
take_lock(struct epb_endpoint *endpoint)
{
    int error = UV_EAGAIN;

    /* Each further round means that another broker ended at this very moment. */
    for (int round = 0; round < 16 && error == UV_EAGAIN; round++) {
        error = try_lock(endpoint->lock_path, &endpoint->lock_fd, &endpoint->lock);
    }
    if (error == 0) {
        return claim_lock(endpoint);
    }
    return error == UV_EAGAIN ? UV_EADDRINUSE : error;
}

/* Making the socket */

/* Stores device and inode of the bound socket. */
static int
note_identity(struct epb_endpoint *endpoint, const char *path)
{
    struct stat status;

    if (lstat(path, &status) != 0) {
        return -errno;
    }
    if (!S_ISSOCK(status.st_mode)) {
        return UV_EADDRINUSE;
    }
    endpoint->socket = file_of(&status);
    return 0;
}

/* Frees the final name if a dead broker left it. Returns whether it is free. */
static bool
take_over(const struct epb_endpoint *endpoint)
{
    return endpoint->inherits && epb_endpoint_stale_remove(endpoint->path);
}

/* Gives the bound file its final name, which must be free or left by a dead broker. */
static int
publish(struct epb_endpoint *endpoint, const char *temporary)
{
    for (int round = 0; round < 2; round++) {
        if (link(temporary, endpoint->path) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            break;
        }
        if (!take_over(endpoint)) {
            return UV_EADDRINUSE;
        }
    }
    /* The file system has no hard links. The name is random, or ours by the lock. */
    if (errno != EPERM && errno != ENOTSUP && errno != EOPNOTSUPP && errno != ENOSYS &&
        errno != EMLINK) {
        return -errno;
    }
    struct stat status;
    if (lstat(endpoint->path, &status) == 0 && !take_over(endpoint)) {
        return UV_EADDRINUSE;
    }
    return rename(temporary, endpoint->path) == 0 ? 0 : -errno;
}

#ifdef __linux__

/* A umask of 0777 removes the owner's own rights here too: restores them. The file is
 * addressed by descriptor, so that it can't be replaced meanwhile. */
static int
ensure_mode(const char *path)
{
    struct stat status;
    char by_descriptor[64];
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    int error = 0;
    if (fstat(fd, &status) != 0) {
        error = -errno;
    } else if (!S_ISSOCK(status.st_mode)) {
        error = UV_EADDRINUSE;
    } else if ((status.st_mode & 0777) != 0700) {
        (void)snprintf(by_descriptor, sizeof(by_descriptor), "/proc/self/fd/%d", fd);
        if (chmod(by_descriptor, 0700) != 0) {
            error = -errno;
        }
    }
    epb_fd_close(fd);
    return error;
}

static int
bind_and_listen(struct epb_endpoint *endpoint)
{
    /* Short, so that it fits wherever the final name fits. */
    char hex[EPB_TEMPORARY_HEX + 1];
    char temporary[EPB_SOCKET_PATH_BYTES];

    if (epb_hex_random(hex, EPB_TEMPORARY_HEX) != EPB_OK) {
        return UV_EIO;
    }
    hex[EPB_TEMPORARY_HEX] = '\0';
    int size = snprintf(temporary, sizeof(temporary), "%s/" EPB_TEMPORARY_PREFIX "%s",
                        endpoint->directory, hex);
    if (size < 0 || (size_t)size >= sizeof(temporary)) {
        return UV_ENAMETOOLONG;
    }
    if (fchmod(endpoint->fd, 0700) != 0) {
        return -errno;
    }
    int error = epb_socket_bind(endpoint->fd, temporary);
    if (error != 0) {
        return error;
    }
    error = ensure_mode(temporary);
    if (error == 0) {
        error = note_identity(endpoint, temporary);
    }
    if (error == 0 && listen(endpoint->fd, BACKLOG) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = publish(endpoint, temporary);
    }
    if (unlink(temporary) != 0 && errno != ENOENT && error == 0) {
        error = -errno;
    }
    return error;
}

#else

static int
bind_and_listen(struct epb_endpoint *endpoint)
{
    char private_directory[EPB_SOCKET_PATH_BYTES];
    char temporary[EPB_SOCKET_PATH_BYTES];
    int size = snprintf(private_directory, sizeof(private_directory),
                        "%s/" EPB_TEMPORARY_PREFIX "XXXXXX", endpoint->directory);

    if (size < 0 || (size_t)size + 2 >= sizeof(temporary)) {
        return UV_ENAMETOOLONG;
    }
    if (mkdtemp(private_directory) == NULL) {
        return -errno;
    }
    memcpy(temporary, private_directory, (size_t)size);
    memcpy(temporary + size, "/" EPB_TEMPORARY_SOCKET, 3);
    int error = epb_socket_bind(endpoint->fd, temporary);
    if (error == 0 && chmod(temporary, 0700) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = note_identity(endpoint, temporary);
    }
    if (error == 0 && listen(endpoint->fd, BACKLOG) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = publish(endpoint, temporary);
    }
    (void)unlink(temporary);
    (void)rmdir(private_directory);
    return error;
}

#endif

/* A broker with a different clock may remove the temporary name as stale. Then the name
 * is missing, and another one is made. */
static int
make_socket(struct epb_endpoint *endpoint)
{
    int error = UV_ENOENT;

    for (int round = 0; round < MAKE_ROUNDS && error == UV_ENOENT; round++) {
        if (endpoint->fd >= 0) {
            epb_fd_close(endpoint->fd);
        }
        endpoint->fd = -1;
        error = epb_socket_new(&endpoint->fd);
        if (error == 0) {
            error = bind_and_listen(endpoint);
        }
    }
    return error;
}

/* The list of names to remove at the end */

static bool
try_list(void)
{
    uint32_t pid = epb_sys_pid();
    uint32_t taken = atomic_load_explicit(&list_taken, memory_order_relaxed);

    if (taken == pid || !atomic_compare_exchange_strong_explicit(&list_taken, &taken, pid,
                                                                 memory_order_acquire,
                                                                 memory_order_relaxed)) {
        return false;
    }
    /* A thread of the parent held the list at the fork, in an unknown state. None of its
     * endpoints are ours. */
    if (taken != 0) {
        epb_list_init(&open_endpoints);
    }
    return true;
}

static void
take_list(void)
{
    while (!try_list()) {
        epb_sys_yield();
    }
}

static void
leave_list(void)
{
    atomic_store_explicit(&list_taken, 0, memory_order_release);
}

/* Only with calls that a sandboxed thread has. */
static void
remove_if_same(const char *path, const struct epb_endpoint_file *made)
{
    struct stat status;

    if (fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == made->device && status.st_ino == made->inode) {
        (void)unlinkat(AT_FDCWD, path, 0);
    }
}

/* Removes names only in the process that made them, and only if they are still ours. */
static void
remove_names(struct epb_endpoint *endpoint)
{
    if (endpoint->pid != epb_sys_pid()) {
        return;
    }
    if (endpoint->visible) {
        remove_if_same(endpoint->path, &endpoint->socket);
    }
    endpoint->visible = false;
    /* While it is still locked, so that no other broker can have taken it. */
    if (endpoint->lock_ours) {
        remove_if_same(endpoint->lock_path, &endpoint->lock);
    }
    endpoint->lock_ours = false;
}

/* Runs when the process ends: in exit(), or in a signal handler. */
static void
remove_all_names(void)
{
    /* The signal may have interrupted the thread that holds the list. */
    if (!try_list()) {
        return;
    }
    for (struct epb_list *node = open_endpoints.next; node != &open_endpoints;
         node = node->next) {
        remove_names(EPB_LIST_ITEM(node, struct epb_endpoint, open));
    }
    leave_list();
}

static void
remember(struct epb_endpoint *endpoint)
{
    epb_exit_hook_watch(remove_all_names);
    take_list();
    epb_list_append(&open_endpoints, &endpoint->open);
    leave_list();
}

/* Removes the names while it holds the list: the process may be ending at the same
 * time. */
static void
forget(struct epb_endpoint *endpoint)
{
    take_list();
    remove_names(endpoint);
    epb_list_remove(&endpoint->open);
    leave_list();
}

/* Life */

static void
close_fds(const struct epb_endpoint *endpoint)
{
    if (endpoint->fd >= 0) {
        epb_fd_close(endpoint->fd);
    }
    if (endpoint->lock_fd >= 0) {
        epb_fd_close(endpoint->lock_fd);
    }
}

static int
open_names(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec)
{
    int error = choose_names(endpoint, spec);

    if (error != 0) {
        return error;
    }
    if (endpoint->lock_path[0] != '\0') {
        error = take_lock(endpoint);
        if (error != 0) {
            return error;
        }
    }
    error = make_socket(endpoint);
    endpoint->visible = error == 0;
    return error;
}

/* Undoes a failed open_names, for the next place. */
static void
forget_names(struct epb_endpoint *endpoint)
{
    remove_names(endpoint);
    close_fds(endpoint);
    endpoint->fd = -1;
    endpoint->lock_fd = -1;
    endpoint->inherits = false;
    endpoint->path[0] = '\0';
    endpoint->lock_path[0] = '\0';
}

/* Errors that another place does not mend. */
static bool
is_final(int error)
{
    return error == 0 || error == UV_EADDRINUSE || error == UV_EINVAL ||
           error == UV_EMFILE || error == UV_ENFILE || error == UV_ENOMEM;
}

/* A fixed name whose lock file is not ours to take: no other place may be used for it. */
static bool
has_foreign_lock(const struct epb_endpoint *endpoint)
{
    struct stat status;

    return endpoint->lock_path[0] != '\0' && !endpoint->lock_ours &&
           lstat(endpoint->lock_path, &status) == 0;
}

/* Returns UV_EAGAIN for a place that is left for the second round: other users could
 * replace the name. Clients would refuse their socket, but could not reach ours. */
static int
try_place(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec,
          unsigned index, bool accept_unsafe)
{
    bool is_safe = false;

    if (!read_place(index, endpoint->directory)) {
        return place_at(index) == NULL ? UV_ENOENT : UV_EINVAL;
    }
    int error = look_at_place(endpoint->directory, &is_safe);
    if (error == 0 && is_safe == accept_unsafe) {
        error = UV_EAGAIN;
    }
    return error == 0 ? open_names(endpoint, spec) : error;
}

static int
open_somewhere(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec)
{
    int first_error = UV_ENOENT;

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < EPB_ENDPOINT_PLACES; i++) {
            int error = try_place(endpoint, spec, i, round == 1);
            if ((is_final(error) && endpoint->path[0] != '\0') ||
                has_foreign_lock(endpoint)) {
                return error;
            }
            forget_names(endpoint);
            if (error == UV_EAGAIN) {
                continue;
            }
            endpoint->skipped[i] = place_at(i) == NULL ? 0 : error;
            if ((i == 0 && place_at(0) != NULL) || (i == 1 && first_error == UV_ENOENT)) {
                first_error = error;
            }
        }
    }
    return first_error;
}

/* Dead sockets may lie in each place. */
static unsigned
collect_everywhere(void)
{
    char places[EPB_ENDPOINT_PLACES][EPB_SOCKET_PATH_BYTES];
    unsigned removed = 0;

    for (unsigned i = 0; i < EPB_ENDPOINT_PLACES; i++) {
        bool is_new = read_place(i, places[i]);
        if (!is_new) {
            places[i][0] = '\0';
        }
        for (unsigned before = 0; before < i && is_new; before++) {
            is_new = strcmp(places[before], places[i]) != 0;
        }
        removed += is_new ? epb_endpoint_stale_collect(places[i]) : 0;
    }
    return removed;
}

static int
open_endpoint(struct epb_endpoint *endpoint, const struct epb_endpoint_spec *spec)
{
    if (spec->path != NULL) {
        int error = open_names(endpoint, spec);
        endpoint->stale = epb_endpoint_stale_collect(endpoint->directory);
        return error;
    }
    if (spec->pipe_id != NULL && !is_pipe_id(spec->pipe_id)) {
        return UV_EINVAL;
    }
    endpoint->stale = collect_everywhere();
    return open_somewhere(endpoint, spec);
}

int
epb_endpoint_open(const struct epb_endpoint_spec *spec, struct epb_endpoint **out)
{
    struct epb_endpoint *endpoint = epb_mem_table_alloc(sizeof(*endpoint));

    if (endpoint == NULL) {
        return UV_ENOMEM;
    }
    endpoint->fd = -1;
    endpoint->lock_fd = -1;
    endpoint->pid = epb_sys_pid();
    epb_list_init(&endpoint->open);
    int error = open_endpoint(endpoint, spec);
    remember(endpoint);
    if (error != 0) {
        epb_endpoint_close(endpoint);
        return error;
    }
    *out = endpoint;
    return 0;
}

const char *
epb_endpoint_path(const struct epb_endpoint *endpoint)
{
    return endpoint->path;
}

const char *
epb_endpoint_skipped(const struct epb_endpoint *endpoint, unsigned index, int *why)
{
    *why = endpoint->skipped[index];
    return *why == 0 ? NULL : place_at(index);
}

unsigned
epb_endpoint_stale_removed(const struct epb_endpoint *endpoint)
{
    return endpoint->stale;
}

static void
on_poll(uv_poll_t *poll, int error, int events)
{
    struct epb_endpoint *endpoint = poll->data;

    (void)events;
    if (error == 0) {
        endpoint->on_connection(endpoint->context);
    }
}

static int
resume(struct epb_endpoint *endpoint)
{
    int error = epb_uv_reserve_fd(endpoint->poll.loop, endpoint->fd);

    return error == 0 ? uv_poll_start(&endpoint->poll, UV_READABLE, on_poll) : error;
}

int
epb_endpoint_listen(struct epb_endpoint *endpoint, uv_loop_t *loop,
                    epb_endpoint_fn on_connection, void *context)
{
    endpoint->on_connection = on_connection;
    endpoint->context = context;
    int error = uv_poll_init(loop, &endpoint->poll, endpoint->fd);
    if (error != 0) {
        return error;
    }
    endpoint->poll.data = endpoint;
    endpoint->listening = true;
    return resume(endpoint);
}

size_t
epb_endpoint_read(const uv_pipe_t *pipe, void *memory, size_t size_bytes)
{
    int fd = -1;

    if (uv_fileno((const uv_handle_t *)pipe, &fd) != 0) {
        return 0;
    }
    ssize_t moved = read(fd, memory, size_bytes);
    return moved > 0 ? (size_t)moved : 0;
}

bool
epb_endpoint_guarded(const uv_pipe_t *pipe)
{
    int fd = -1;

    return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 && epb_rights_may_come(fd);
}

int
epb_endpoint_read_guarded(const uv_pipe_t *pipe, void *memory, size_t size_bytes)
{
    int fd = -1;
    int error = uv_fileno((const uv_handle_t *)pipe, &fd);

    if (error != 0) {
        return error;
    }
    int got = epb_rights_read(fd, memory, size_bytes);
    if (got == UV_EAGAIN) {
        return 0;
    }
    return got == 0 ? UV_EOF : got;
}

void
epb_endpoint_write_last(const uv_pipe_t *pipe, struct epb_bytes bytes)
{
    (void)pipe;
    (void)bytes;
}

void
epb_endpoint_drain(const uv_pipe_t *pipe)
{
    int fd = -1;

    if (uv_fileno((const uv_handle_t *)pipe, &fd) == 0) {
        epb_rights_drain(fd);
    }
}

uint32_t
epb_endpoint_peer_pid(const uv_pipe_t *pipe)
{
    int fd = -1;

    return uv_fileno((const uv_handle_t *)pipe, &fd) == 0 ? epb_socket_peer_pid(fd) : 0;
}

bool
epb_endpoint_peer_gone(const uv_pipe_t *pipe)
{
    struct pollfd descriptor = {.fd = -1};

    /* poll always reports a hang-up, which means that both directions are closed. One
     * closed direction is not a hang-up. */
    return uv_fileno((const uv_handle_t *)pipe, &descriptor.fd) == 0 &&
           poll(&descriptor, 1, 0) == 1 &&
           (descriptor.revents & (POLLHUP | POLLERR)) != 0;
}

void
epb_endpoint_pause(struct epb_endpoint *endpoint)
{
    (void)uv_poll_stop(&endpoint->poll);
}

bool
epb_endpoint_resume(struct epb_endpoint *endpoint)
{
    return resume(endpoint) == 0;
}

static int
accept_one(int listener)
{
#ifdef __linux__
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    int fd = accept(listener, NULL, NULL);
    int on = 1;

    if (fd >= 0) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
    }
    return fd;
#endif
}

enum epb_accept
epb_endpoint_accept(struct epb_endpoint *endpoint, uv_pipe_t *into)
{
    int fd = accept_one(endpoint->fd);

    if (fd < 0) {
        bool exhausted =
            errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return exhausted ? EPB_ACCEPT_EXHAUSTED : EPB_ACCEPT_NONE;
    }
    bool trusted = epb_socket_peer_trusted(fd);
    if (trusted && uv_pipe_open(into, fd) == 0) {
        return EPB_ACCEPT_ONE;
    }
    if (epb_rights_may_come(fd)) {
        epb_rights_drain(fd);
    }
    epb_fd_close(fd);
    return trusted ? EPB_ACCEPT_NONE : EPB_ACCEPT_STRANGER;
}

static void
free_endpoint(struct epb_endpoint *endpoint)
{
    EPB_ASSERT(epb_list_empty(&endpoint->open));
    close_fds(endpoint);
    epb_mem_table_free(endpoint);
}

static void
on_closed(uv_handle_t *poll)
{
    free_endpoint(poll->data);
}

void
epb_endpoint_close(struct epb_endpoint *endpoint)
{
    if (endpoint == NULL) {
        return;
    }
    if (endpoint->pid != epb_sys_pid()) {
        /* In a forked child the endpoint stays in the list, so its memory must stay
         * too. */
        close_fds(endpoint);
        return;
    }
    forget(endpoint);
    if (endpoint->listening) {
        uv_close((uv_handle_t *)&endpoint->poll, on_closed);
    } else {
        free_endpoint(endpoint);
    }
}
