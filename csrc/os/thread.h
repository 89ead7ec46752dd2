/* Our threads: they take no signals, so that the handlers of the program we live in run
 * where it expects them. */
#ifndef EPB_OS_THREAD_H
#define EPB_OS_THREAD_H

#include <uv.h>

/* A libuv error code, 0 when it runs. */
int
epb_thread_start(uv_thread_t *thread, uv_thread_cb run, void *context);
/* Nobody will wait for its end. */
void
epb_thread_detach(uv_thread_t *thread);

#endif
