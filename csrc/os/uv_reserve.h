/*
 * Reserves what libuv allocates later for its own tables.
 *
 * libuv ends the process when it finds no memory for its table of watched descriptors, no
 * descriptor for the pipe that guards its signals, or no place in the kernel's event
 * queue. A broker must not end its host process. So each of these resources is requested
 * here first, where a failure is an error code.
 *
 * libuv allocates from the same allocators as our tables (epb_mem_table_alloc), so that
 * tests can make any of its allocations fail.
 */
#ifndef EPB_OS_UV_RESERVE_H
#define EPB_OS_UV_RESERVE_H

#include <uv.h>

#include "../base/status.h"

/* uv_loop_init, but returns UV_ENOMEM, UV_EMFILE and the like. */
EPB_MUST_USE int
epb_uv_reserve_loop_init(uv_loop_t *loop);
/* Call before the loop first watches a descriptor. */
EPB_MUST_USE int
epb_uv_reserve_fd(uv_loop_t *loop, int fd);
/* The same for an open pipe: call before it is later read from or written to. */
EPB_MUST_USE int
epb_uv_reserve_pipe(const uv_pipe_t *pipe);

#endif
