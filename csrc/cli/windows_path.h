/*
 * Finding a command on Windows: in the folders of PATH, with the extensions of PATHEXT.
 *
 * A name with a dot is tried as it is, then with each extension. A name without a dot is
 * tried with the extensions only: npm puts a script for POSIX shells next to each batch
 * file. Extensions of files that the system can't start by itself (.JS, .VBS) are left
 * out. The current folder is not searched, unlike by cmd.exe: a checked-out project must
 * not replace programs.
 *
 * The code runs on every system, so that its tests do.
 */
#ifndef EPB_CLI_WINDOWS_PATH_H
#define EPB_CLI_WINDOWS_PATH_H

#include <stdbool.h>

#include "../base/buf.h"

/* Whether there is a file at a path. */
typedef bool (*epb_windows_is_file_fn)(void *context, const char *path);

struct epb_windows_search {
    const char *path;       /* PATH; NULL: empty */
    const char *extensions; /* PATHEXT; NULL: the usual ones */
    epb_windows_is_file_fn is_file;
    void *context;
};

/* Writes the path of the file with a final NUL. A name that contains a slash, a backslash
 * or a colon is a path. EPB_NOT_FOUND, EPB_TOO_LARGE, EPB_INTERNAL (memory). */
EPB_MUST_USE enum epb_status
epb_windows_find(const struct epb_windows_search *search, const char *name,
                 struct epb_buf *found);

#endif
