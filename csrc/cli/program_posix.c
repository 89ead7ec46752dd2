/* See program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/mem.h"
#include "../base/quote.h"
#include "../os/fd.h"
#include "../os/oserror.h"

#define SHELL "/bin/sh"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define NAME_SHOWN_BYTES 200U
#define HEAD_BYTES ((size_t)256)

extern char **environ;

/* Where a program may be: one path a call, in the order of PATH. */
struct search {
    const char *name;
    const char *rest; /* of PATH; NULL: at the end */
    char path[PATH_MAX];
};

static void
search_begin(struct search *search, const char *name)
{
    const char *path = getenv("PATH");

    search->name = name;
    search->rest = path == NULL ? DEFAULT_PATH : path;
}

/* Takes the next folder of PATH. An empty one means the current folder. False: its path
 * is too long. */
static bool
take_folder(struct search *search)
{
    size_t folder = strcspn(search->rest, ":");
    size_t name = strlen(search->name) + 1;
    bool fits = folder + 1 + name <= sizeof(search->path);

    if (fits) {
        memcpy(search->path, search->rest, folder);
        size_t at = folder;
        if (folder == 0) {
            search->path[at++] = '.';
        }
        search->path[at++] = '/';
        if (at + name > sizeof(search->path)) {
            fits = false;
        } else {
            memcpy(search->path + at, search->name, name);
        }
    }
    search->rest = search->rest[folder] == '\0' ? NULL : search->rest + folder + 1;
    return fits;
}

/* NULL: there are no more. */
static const char *
search_next(struct search *search)
{
    if (search->rest == NULL) {
        return NULL;
    }
    if (search->name[0] == '\0' || strchr(search->name, '/') != NULL) {
        search->rest = NULL;
        return search->name;
    }
    while (search->rest != NULL) {
        if (take_folder(search)) {
            return search->path;
        }
    }
    return NULL;
}

/* Errors after which the next folder is tried. */
static bool
goes_on(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP ||
           error == ENAMETOOLONG || error == ESTALE || error == ENODEV ||
           error == ETIMEDOUT;
}

/* The first bytes of a file; 0: it can't be read, or is empty. */
static size_t
read_head(const char *path, char head[HEAD_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return 0;
    }
    ssize_t size = read(fd, head, HEAD_BYTES - 1);
    epb_fd_close(fd);
    head[size > 0 ? size : 0] = '\0';
    return size > 0 ? (size_t)size : 0;
}

/* A program of another system or machine has bytes that no script has. */
static bool
is_binary(const char *head, size_t size)
{
    return memchr(head, '\0', size) != NULL || (size > 0 && head[0] == '\x7f');
}

/* Sentences */

static bool
begin_sentence(struct epb_buf *sentence, const char *name)
{
    return epb_quote(sentence, (struct epb_bytes){(const uint8_t *)name, strlen(name)},
                     NAME_SHOWN_BYTES) == EPB_OK;
}

static int
explain_missing(struct epb_buf *sentence, const char *name)
{
    const char *hint =
        strpbrk(name, " \t\n") != NULL
            ? "give the command and its arguments as separate words, or use: -- sh -c "
              "\"...\""
            : "check the spelling; a command of an installed package needs npx in front";

    if (strchr(name, '=') != NULL && name[0] != '=' && strchr(name, '/') == NULL) {
        hint = "to set a variable for the command, use: -- env NAME=value command";
    }
    if (begin_sentence(sentence, name)) {
        (void)!epb_buf_printf(sentence, ": command not found; %s", hint);
    }
    return EPB_PROGRAM_NOT_FOUND;
}

/* The interpreter that a `#!` line names, without its argument. False: no such line. */
static bool
interpreter_of(char *head, size_t size, char **interpreter, bool *has_return)
{
    if (size < 3 || head[0] != '#' || head[1] != '!') {
        return false;
    }
    char *at = head + 2;
    at += strspn(at, " \t");
    size_t length = strcspn(at, " \t\n\r");
    char *line_end = at + strcspn(at, "\n");
    *has_return = line_end > at && line_end[-1] == '\r';
    at[length] = '\0';
    *interpreter = at;
    return true;
}

/* The file is there, and the system says that something is not. */
static int
explain_interpreter(struct epb_buf *sentence, const char *name, const char *path)
{
    char head[HEAD_BYTES];
    char *interpreter;
    bool has_return = false;
    size_t size = read_head(path, head);

    if (!begin_sentence(sentence, name)) {
        return EPB_PROGRAM_NOT_FOUND;
    }
    if (!interpreter_of(head, size, &interpreter, &has_return)) {
        (void)!epb_buf_printf(sentence,
                              ": it can't be executed; its loader does not exist here: "
                              "the program was made for another C library");
    } else if (has_return) {
        (void)!epb_buf_printf(sentence,
                              ": it can't be executed; its first line ends in a carriage "
                              "return: save the file with line ends of Unix");
    } else if (epb_buf_printf(sentence, ": it can't be executed; its interpreter ") ==
                   EPB_OK &&
               begin_sentence(sentence, interpreter)) {
        (void)!epb_buf_printf(sentence, " does not exist");
    }
    return EPB_PROGRAM_NOT_EXECUTABLE;
}

static bool
is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static const char *
hint_of(int error, const char *path)
{
    if (error == EACCES) {
        return is_folder(path) ? "; it is a directory"
                               : "; is it a program, and chmod +x?";
    }
    if (error == ENOEXEC) {
        return "; it was made for another system or another kind of processor";
    }
    if (error == E2BIG) {
        return "; its arguments and its environment are too large together";
    }
    return "";
}

static bool
is_shortage(int error)
{
    return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

static int
explain(struct epb_buf *sentence, const char *name, const char *path, int error)
{
    bool exists = path[0] != '\0' && access(path, F_OK) == 0;

    if ((error == ENOENT || error == ENOTDIR) && !exists) {
        return explain_missing(sentence, name);
    }
    if (error == ENOENT) {
        return explain_interpreter(sentence, name, path);
    }
    if (begin_sentence(sentence, name)) {
        const char *code = epb_os_error_name(epb_os_error_from(error));
        (void)!(is_shortage(error)
                    ? epb_buf_printf(sentence, ": no program can be started (%s)", code)
                    : epb_buf_printf(sentence, ": it can't be executed (%s)%s",
                                     error == ENOEXEC ? "ENOEXEC" : code,
                                     hint_of(error, path)));
    }
    return is_shortage(error) ? EPB_PROGRAM_NO_ROOM : EPB_PROGRAM_NOT_EXECUTABLE;
}

/* Running */

/* As execvp does with a file that the system doesn't know. Returns an errno. */
static int
become_script(const char *path, char *const *command)
{
    char head[HEAD_BYTES] = "";
    size_t count = 0;

    if (is_binary(head, read_head(path, head))) {
        return ENOEXEC;
    }
    while (command[count] != NULL) {
        count++;
    }
    char **words = epb_mem_table_alloc((count + 2) * sizeof(*words));
    if (words == NULL) {
        return ENOMEM;
    }
    words[0] = (char *)(uintptr_t)SHELL;
    words[1] = (char *)(uintptr_t)path;
    memcpy(words + 2, command + 1, count * sizeof(*words));
    execve(SHELL, words, environ);
    int error = errno;
    epb_mem_table_free(words);
    return error;
}

static int
become_path(const char *path, char *const *command)
{
    execve(path, command, environ);
    return errno == ENOEXEC ? become_script(path, command) : errno;
}

/* Why a path can't be executed, as far as that can be told before; 0: it probably can. */
static int
look_at(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return EACCES;
    }
    return access(path, X_OK) == 0 ? 0 : errno;
}

/* Tries each path of the search until one succeeds, or fails for good. The most
 * informative error is kept, with its path. */
static int
try_paths(char *const *command, struct epb_buf *sentence,
          int (*attempt)(const char *path, char *const *command))
{
    struct search search;
    char blamed[PATH_MAX] = "";
    int error = ENOENT;

    search_begin(&search, command[0]);
    for (const char *path = search_next(&search); path != NULL;
         path = search_next(&search)) {
        int found = attempt(path, command);
        if (found == 0) {
            return 0;
        }
        bool is_there = access(path, F_OK) == 0;
        if (blamed[0] == '\0' && is_there && strlen(path) < sizeof(blamed)) {
            memcpy(blamed, path, strlen(path) + 1);
            error = found;
        }
        if (!goes_on(found)) {
            return explain(sentence, command[0], path, found);
        }
    }
    return explain(sentence, command[0], blamed, error);
}

static int
attempt_look(const char *path, char *const *command)
{
    (void)command;
    return look_at(path);
}

int
epb_program_check(char *const *command, struct epb_buf *sentence)
{
    return try_paths(command, sentence, attempt_look);
}

int
epb_program_become(char *const *command, struct epb_buf *sentence)
{
    return try_paths(command, sentence, become_path);
}
