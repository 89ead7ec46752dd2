/* See fd.h. */
#include "fd.h"

#include <unistd.h>

void
epb_fd_close(int fd)
{
    /* Never retry after EINTR: the descriptor is closed or in an unknown state. */
    (void)close(fd);
}
