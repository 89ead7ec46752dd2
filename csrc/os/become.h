/*
 * A script of Node becomes a program, as if Node had never been there. POSIX.
 *
 * Node, at its start, marks descriptors 0 to 16 as close-on-exec, raises the soft limit
 * of descriptors, and resets signals. The descriptors and the limit are given back;
 * signals that were ignored before Node can't be known any more and get their default
 * action.
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
    bool undo_node; /* the runtime is Node */
};

/* Becomes the program, with the environment as it is. Returns an errno; some of the above
 * is changed then. */
EPB_MUST_USE int
epb_become(const struct epb_become_spec *spec);

#endif
