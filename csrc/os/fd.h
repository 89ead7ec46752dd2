/* File descriptors. POSIX. */
#ifndef EPB_OS_FD_H
#define EPB_OS_FD_H

void
epb_fd_close(int fd);

#endif
