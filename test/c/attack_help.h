/* What the attacks on a broker's place share: its directory, and a name to fight for. */
#ifndef EPB_TEST_ATTACK_HELP_H
#define EPB_TEST_ATTACK_HELP_H

#include <dirent.h>

#include "io_help.h"
#include "os/fd.h"
#include "server/endpoint.h"

#define NAME "broker-attacked.sock"

static inline int
open_endpoint(const char *pipe_id, struct epb_endpoint **endpoint)
{
    struct epb_endpoint_spec spec = {.pipe_id = pipe_id};

    return epb_endpoint_open(&spec, endpoint);
}

static inline const char *
in_directory(const char *name)
{
    static char paths[4][300];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", own_directory(), name);
    return path;
}

static inline int
connect_error(const char *path)
{
    int fd = -1;
    int error = epb_socket_connect(path, &fd);

    if (error == 0) {
        epb_fd_close(fd);
    }
    return error;
}

static inline void
leave_dead_socket(const char *path)
{
    int fd = -1;

    cr_assert_eq(epb_socket_new(&fd), 0);
    cr_assert_eq(epb_socket_bind(fd, path), 0);
    epb_fd_close(fd);
}

/* Calls `look` for every name in the directory. */
static inline void
each_name(void (*look)(void *context, const char *name), void *context)
{
    DIR *entries = opendir(own_directory());

    cr_assert_not_null(entries);
    for (struct dirent *entry = readdir(entries); entry != NULL;
         entry = readdir(entries)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            look(context, entry->d_name);
        }
    }
    closedir(entries);
}

static inline void
remove_name(void *context, const char *name)
{
    (void)context;
    if (unlink(in_directory(name)) != 0) {
        (void)rmdir(in_directory(name));
    }
}

static inline void
clean_directory(void)
{
    each_name(remove_name, NULL);
    remove_own_directory();
}

#endif
