/* See pipe_input.h. */
#include "pipe_input.h"

#include <uv.h>

#include "../os/thread.h"
#include "input.h"

/* Guarded by the lock. */
static struct {
    uv_mutex_t lock;
    uv_cond_t changed;
    struct epb_buf arrived;
    bool ended;
    bool rung;
} input;

/* Hands bytes over. False: memory is out. */
static bool
hand_over(const struct epb_buf *piece, bool at_end)
{
    uv_mutex_lock(&input.lock);
    while (epb_buf_size(&input.arrived) >= EPB_PIPE_INPUT_AHEAD_BYTES) {
        uv_cond_wait(&input.changed, &input.lock);
    }
    bool done = epb_buf_append(&input.arrived, epb_buf_data(piece),
                               epb_buf_size(piece)) == EPB_OK;
    input.ended = at_end || !done;
    input.rung = true;
    uv_cond_broadcast(&input.changed);
    uv_mutex_unlock(&input.lock);
    return done;
}

static void
read_all(void *context)
{
    struct epb_buf piece;
    bool at_end = false;

    (void)context;
    epb_buf_init(&piece, EPB_PIPE_INPUT_AHEAD_BYTES);
    while (!at_end) {
        if (epb_in_read_some(&piece, &at_end) != EPB_OK) {
            at_end = true;
        }
        at_end = !hand_over(&piece, at_end) || at_end;
        epb_buf_consume(&piece, epb_buf_size(&piece));
    }
    epb_buf_fini(&piece);
}

enum epb_status
epb_pipe_input_start(void)
{
    uv_thread_t thread;

    epb_buf_init(&input.arrived, EPB_PIPE_INPUT_AHEAD_BYTES * 2);
    if (uv_mutex_init(&input.lock) != 0 || uv_cond_init(&input.changed) != 0 ||
        epb_thread_start(&thread, read_all, NULL) != 0) {
        return EPB_INTERNAL;
    }
    epb_thread_detach(&thread);
    return EPB_OK;
}

void
epb_pipe_input_ring(void *context)
{
    (void)context;
    uv_mutex_lock(&input.lock);
    input.rung = true;
    uv_cond_broadcast(&input.changed);
    uv_mutex_unlock(&input.lock);
}

void
epb_pipe_input_wait(void)
{
    uv_mutex_lock(&input.lock);
    while (!input.rung) {
        uv_cond_wait(&input.changed, &input.lock);
    }
    input.rung = false;
    uv_mutex_unlock(&input.lock);
}

enum epb_status
epb_pipe_input_take(struct epb_buf *out, bool *ended)
{
    uv_mutex_lock(&input.lock);
    size_t size_bytes = epb_buf_size(&input.arrived);
    enum epb_status status =
        epb_buf_append(out, epb_buf_data(&input.arrived), size_bytes);
    if (status == EPB_OK) {
        epb_buf_consume(&input.arrived, size_bytes);
        *ended = input.ended;
    }
    uv_cond_broadcast(&input.changed);
    uv_mutex_unlock(&input.lock);
    return status;
}
