/* File descriptors. POSIX. */
#ifndef EPB_OS_FD_H
#define EPB_OS_FD_H

#include <stdbool.h>
#include <stddef.h>

void
epb_fd_close(int fd);
/* Closes all descriptors from `first` on but those in `keep`, which are sorted and not
 * below `first`. */
void
epb_fd_close_others(int first, const int *keep, size_t count);
/* Moves a descriptor above the standard streams, if it is one of theirs: the process was
 * started with a closed stream. Close-on-exec. False: the system refuses; it is closed.
 */
bool
epb_fd_lift(int *fd);
/* A descriptor that gives and takes nothing, close-on-exec: /dev/null, or the end of a
 * pipe in a container that has none. -1: the system refuses, see errno. */
int
epb_fd_open_nothing(void);
/* Gives closed standard streams a descriptor that can neither be read nor written, so
 * that their numbers don't become those of sockets. A program that this process becomes
 * finds them closed. */
void
epb_fd_fill_streams(void);
/* A pipe above the standard streams, close-on-exec. Returns 0 or an errno. */
int
epb_fd_pipe(int ends[2]);

#endif
