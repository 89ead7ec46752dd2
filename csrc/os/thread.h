/* Our threads. They block all signals, so that the host program's handlers run on its own
 * threads. */
#ifndef EPB_OS_THREAD_H
#define EPB_OS_THREAD_H

#include <uv.h>

/* Returns a libuv error code, 0 when the thread runs. */
int
epb_thread_start(uv_thread_t *thread, uv_thread_cb run, void *context);
/* No thread will join it. */
void
epb_thread_detach(uv_thread_t *thread);

#endif
