/* See sandbox.h. The kernel's structures and constants are defined here, because the
 * headers of some C libraries lack them. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/sys.h"
#include "fd.h"
#include "socket.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define GET_VERSION 1U
#define RULE_BELOW_PATH 1U

/* The rights over files, by the ABI that introduced them. */
#define FILES_ABI_1 0x1fffU
#define FILES_ABI_2 0x2000U /* moving between folders */
#define FILES_ABI_3 0x4000U /* truncating */
#define FILES_ABI_5 0x8000U /* ioctl of devices */
#define REMOVE_FILE 0x20U
#define NETWORK_ABI_4 0x3U /* bind and connect, TCP */
#define SCOPE_ABSTRACT_SOCKETS 0x1U
#define SCOPE_SIGNALS 0x2U

struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

struct rule {
    uint64_t allowed;
    int32_t folder;
} __attribute__((packed));

static int
landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, GET_VERSION);

    return abi < 0 ? 0 : (int)abi;
}

/* All that this kernel can forbid. Fields of later ABIs stay zero, which earlier kernels
 * accept. */
static struct ruleset
everything(int abi, bool signals_others)
{
    struct ruleset ruleset = {.files = FILES_ABI_1};

    ruleset.files |= abi >= 2 ? FILES_ABI_2 : 0;
    ruleset.files |= abi >= 3 ? FILES_ABI_3 : 0;
    ruleset.files |= abi >= 5 ? FILES_ABI_5 : 0;
    ruleset.network = abi >= 4 ? NETWORK_ABI_4 : 0;
    if (abi >= 6) {
        ruleset.scopes = SCOPE_ABSTRACT_SOCKETS | (signals_others ? 0 : SCOPE_SIGNALS);
    }
    return ruleset;
}

/* Opens the folder of a socket; -1: errno is set. */
static int
open_folder(const char *path)
{
    char folder[EPB_SOCKET_PATH_BYTES] = ".";
    const char *slash = strrchr(path, '/');
    size_t size_bytes = slash == NULL ? 0 : (size_t)(slash - path);

    if (size_bytes >= sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (slash == path) {
        folder[0] = '/';
    } else if (slash != NULL) {
        memcpy(folder, path, size_bytes);
        folder[size_bytes] = '\0';
    }
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool
allow_removal(int ruleset, const char *socket_path)
{
    struct rule rule = {.allowed = REMOVE_FILE, .folder = open_folder(socket_path)};

    if (rule.folder < 0) {
        return false;
    }
    bool added = syscall(SYS_landlock_add_rule, ruleset, RULE_BELOW_PATH, &rule, 0) == 0;
    int error = errno;
    epb_fd_close(rule.folder);
    errno = error;
    return added;
}

/* Not without the rule for the socket's folder, for instance when descriptors are out:
 * the socket's name would stay. */
static bool
confine_files(const struct epb_sandbox *sandbox, int abi)
{
    struct ruleset all = everything(abi, sandbox->pidfd_count != 0);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

    if (ruleset < 0) {
        return false;
    }
    bool allows = sandbox->socket_path == NULL ||
                  allow_removal(ruleset, sandbox->socket_path) || errno == ENOENT;
    bool confined = allows && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    epb_fd_close(ruleset);
    return confined;
}

struct epb_sandbox_parts
epb_sandbox_enter(const struct epb_sandbox *sandbox)
{
    struct epb_sandbox_parts parts = {false, false, false};
    int abi = landlock_abi();

    /* The filter lets no thread ask for it, and the files that tell more are hidden. */
    epb_socket_keep_own_uid();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return parts;
    }
    parts.files = abi > 0 && confine_files(sandbox, abi);
    parts.signals = parts.files && abi >= 6 && sandbox->pidfd_count == 0;
    parts.calls = epb_syscall_filter_install(
        &(struct epb_syscall_filter){.secret_memory = epb_sys_has_secret_memory(),
                                     .pidfds = sandbox->pidfds,
                                     .pidfd_count = sandbox->pidfd_count});
    return parts;
}

struct epb_sandbox_parts
epb_sandbox_supported(void)
{
    int abi = landlock_abi();

    return (struct epb_sandbox_parts){
        .files = abi > 0, .signals = abi >= 6, .calls = epb_syscall_filter_supported()};
}
