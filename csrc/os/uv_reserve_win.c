/* See uv_reserve.h. On Windows libuv has no such tables, and its loops report
 * failures. */
#include "uv_reserve.h"

int
epb_uv_reserve_loop_init(uv_loop_t *loop)
{
    return uv_loop_init(loop);
}

int
epb_uv_reserve_fd(uv_loop_t *loop, int fd)
{
    (void)loop;
    (void)fd;
    return 0;
}

int
epb_uv_reserve_pipe(const uv_pipe_t *pipe)
{
    (void)pipe;
    return 0;
}
