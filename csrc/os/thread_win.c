/* See thread.h. Windows delivers no signals to threads. */
#include "thread.h"

int
epb_thread_start(uv_thread_t *thread, uv_thread_cb run, void *context)
{
    return uv_thread_create(thread, run, context);
}

void
epb_thread_detach(uv_thread_t *thread)
{
    (void)CloseHandle(*thread);
}
