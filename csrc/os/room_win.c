/* See room.h. On Windows libuv has no such tables; its loops report what fails. */
#include "room.h"

int
epb_room_loop_init(uv_loop_t *loop)
{
    return uv_loop_init(loop);
}

int
epb_room_for_fd(uv_loop_t *loop, int fd)
{
    (void)loop;
    (void)fd;
    return 0;
}

int
epb_room_for_pipe(const uv_pipe_t *pipe)
{
    (void)pipe;
    return 0;
}
