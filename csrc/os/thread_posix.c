/* See thread.h. A new thread inherits its creator's signal mask, so all signals are
 * blocked while it is created. */
#include "thread.h"

#include <pthread.h>
#include <signal.h>

#include "../base/status.h"

int
epb_thread_start(uv_thread_t *thread, uv_thread_cb run, void *context)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (error != 0) {
        return uv_translate_sys_error(error);
    }
    int result = uv_thread_create(thread, run, context);
    error = pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result != 0 ? result : uv_translate_sys_error(error);
}

void
epb_thread_detach(uv_thread_t *thread)
{
    EPB_ASSERT(pthread_detach(*thread) == 0);
}
