/* How the companion's first thread is woken. See companion.h. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../os/fd.h"
#include "companion_internal.h"

int
epb_companion_open_wake(struct epb_companion *companion)
{
    int error = epb_fd_pipe(companion->wake);

    for (unsigned i = 0; i < 2 && error == 0; i++) {
        if (fcntl(companion->wake[i], F_SETFL, O_NONBLOCK) != 0) {
            error = errno;
        }
    }
    return error;
}

void
epb_companion_report(const struct epb_companion *companion, enum epb_companion_news news)
{
    char byte = (char)news;
    int error = errno;

    /* Never full: a service reports once. */
    ssize_t ignored = write(companion->wake[1], &byte, 1);
    (void)ignored;
    errno = error;
}
