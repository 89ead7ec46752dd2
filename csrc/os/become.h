/*
 * A script becomes a program, as if the runtime of the script (Node, Bun, Deno) had never
 * been there. POSIX.
 *
 * Node and Bun, at their start, mark descriptors as close-on-exec (Node 0 to 16), and all
 * raise the soft limit of descriptors and change signals. The descriptors up to 16 and
 * the limit are given back; signals that were ignored before the runtime can't be known
 * any more and get their default action.
 */
#ifndef EPB_OS_BECOME_H
#define EPB_OS_BECOME_H

#include <stdbool.h>
#include <stddef.h>

#include "../base/status.h"

struct epb_become_spec {
    const char *path;
    /* The arguments, without the first one. Where the system has the bytes of this
     * process's own arguments, its last `count` ones are used instead. */
    const char *const *arguments;
    size_t count;
    bool gives_back_descriptors; /* the runtime marks them */
};

/* Becomes the program, with the environment as it is. Returns an errno; some of the above
 * is changed then. */
EPB_MUST_USE int
epb_become(const struct epb_become_spec *spec);

#endif
