/* See fd.h. */
#include "fd.h"

#include <unistd.h>

void
epb_fd_close(int fd)
{
    /* After EINTR the descriptor is closed all the same, or of unknown state: never close
     * twice. */
    (void)close(fd);
}
