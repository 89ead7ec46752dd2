/* See become.h. */
#include "become.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fd.h"

#if defined(NSIG)
#define SIGNAL_END NSIG
#else
#define SIGNAL_END 65
#endif

/* Node marks descriptors up to this one. */
#define MARKED_MAX 16
#define LINK_BYTES 64U
#define PARENT_LINKS_MAX 512U
#define LIMITS_BYTES 4096U

extern char **environ;

/* Descriptors */

struct links {
    char text[PARENT_LINKS_MAX][LINK_BYTES];
    size_t count;
};

/* "pipe:[123]", "/a/file". False: there is no such descriptor. */
static bool
read_link(const char *folder, const char *name, char out[LINK_BYTES])
{
    char path[PATH_MAX];

    int size = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return false;
    }
    ssize_t length = readlink(path, out, LINK_BYTES - 1);
    out[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void
read_parent_pipes(struct links *links)
{
    char folder[32];

    links->count = 0;
    (void)snprintf(folder, sizeof(folder), "/proc/%ld/fd", (long)getppid());
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(entries);
         entry != NULL && links->count < PARENT_LINKS_MAX; entry = readdir(entries)) {
        if (read_link(folder, entry->d_name, links->text[links->count]) &&
            strncmp(links->text[links->count], "pipe:", 5) == 0) {
            links->count++;
        }
    }
    (void)closedir(entries);
}

static bool
has_link(const struct links *links, const char *text)
{
    for (size_t i = 0; i < links->count; i++) {
        if (strcmp(links->text[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether this process has the other end of a pipe, too. */
static bool
has_other_end(int fd, const char *link)
{
    char name[16];
    char other[LINK_BYTES];
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;

    for (int i = 0; i <= MARKED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        if (read_link("/proc/self/fd", name, other) && strcmp(link, other) == 0 &&
            (fcntl(i, F_GETFL) & O_ACCMODE) != mode) {
            return true;
        }
    }
    return false;
}

/* A runtime's own descriptors are anonymous inodes (epoll, eventfd) and pipes to itself.
 * The parent holds the pipe of make's jobserver, which a process has both ends of, too.
 */
static bool
is_inherited(int fd, const struct links *parent_pipes)
{
    char name[16];
    char link[LINK_BYTES];

    (void)snprintf(name, sizeof(name), "%d", fd);
    if (!read_link("/proc/self/fd", name, link) ||
        strncmp(link, "anon_inode:", 11) == 0) {
        return false;
    }
    if (strncmp(link, "pipe:", 5) != 0 || has_link(parent_pipes, link)) {
        return true;
    }
    int flags = fcntl(fd, F_GETFL);
    return (flags & O_NONBLOCK) == 0 && !has_other_end(fd, link);
}

static void
give_back_descriptors(void)
{
    struct links parent_pipes;

    read_parent_pipes(&parent_pipes);
    for (int fd = 0; fd <= MARKED_MAX; fd++) {
        if (fd <= STDERR_FILENO || is_inherited(fd, &parent_pipes)) {
            (void)fcntl(fd, F_SETFD, 0);
        }
    }
}

/* The limit */

static size_t
read_file(const char *path, char *out, size_t room)
{
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    while (size < room) {
        ssize_t got = read(fd, out + size, room - size);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            break;
        }
        size += got > 0 ? (size_t)got : 0;
    }
    epb_fd_close(fd);
    return size;
}

static void
give_back_limit(void)
{
    static const char label[] = "\nMax open files";
    char path[32];
    char text[LIMITS_BYTES];
    struct rlimit limit;

    (void)snprintf(path, sizeof(path), "/proc/%ld/limits", (long)getppid());
    text[read_file(path, text, sizeof(text) - 1)] = '\0';
    const char *row = strstr(text, label);
    if (row == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t soft = (rlim_t)strtoull(row + sizeof(label) - 1, NULL, 10);
    if (soft > 0 && soft < limit.rlim_cur) {
        limit.rlim_cur = soft;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Signals */

static void
reset_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < SIGNAL_END; number++) {
        (void)sigaction(number, &action, NULL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Arguments */

/* The whole file, in memory of its own; NULL: there is none, or memory is out. */
static char *
read_all(const char *path, size_t *size)
{
    size_t room = 4096;
    char *text = NULL;

    do {
        room *= 2;
        char *larger = realloc(text, room);
        if (larger == NULL) {
            free(text);
            return NULL;
        }
        text = larger;
        *size = read_file(path, text, room);
    } while (*size == room);
    return text;
}

/* Points `words` at the last `count` of the texts that end with a NUL each. False: there
 * are fewer. */
static bool
point_at_last(char **words, size_t count, char *text, size_t size)
{
    size_t found = 0;

    for (size_t end = size; found < count && end > 0; found++) {
        size_t start = end - 1;
        while (start > 0 && text[start - 1] != '\0') {
            start--;
        }
        words[count - 1 - found] = text + start;
        end = start;
    }
    return found == count;
}

struct words {
    char **list;
    char *text; /* of the words of our own command line; NULL: they are the caller's */
};

static bool
make_words(const struct epb_become_spec *spec, struct words *words)
{
    size_t size = 0;

    words->text = read_all("/proc/self/cmdline", &size);
    words->list = calloc(spec->count + 2, sizeof(*words->list));
    if (words->list == NULL) {
        return false;
    }
    words->list[0] = (char *)(uintptr_t)spec->path;
    if (words->text != NULL &&
        point_at_last(words->list + 1, spec->count, words->text, size)) {
        return true;
    }
    for (size_t i = 0; i < spec->count; i++) {
        words->list[i + 1] = (char *)(uintptr_t)spec->arguments[i];
    }
    return true;
}

static void
free_words(struct words *words)
{
    free((void *)words->list);
    free(words->text);
}

int
epb_become(const struct epb_become_spec *spec)
{
    struct words words = {0};
    int error = make_words(spec, &words) ? 0 : ENOMEM;

    if (error == 0 && access(spec->path, X_OK) != 0) {
        error = errno;
    }
    if (error == 0 && spec->gives_back_descriptors) {
        give_back_descriptors();
    }
    if (error == 0) {
        give_back_limit();
        reset_signals();
        execve(spec->path, words.list, environ);
        error = errno;
    }
    free_words(&words);
    return error;
}
