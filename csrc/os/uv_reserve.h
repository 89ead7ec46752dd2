/*
 * Room for libuv's own tables, made before libuv wants it.
 *
 * Where libuv finds no memory for its table of watched descriptors, no descriptor for the
 * pipe that guards its signals, or no place in the kernel's event queue, it ends the
 * process. A broker must not take its host with it: what can run out is asked for here
 * first, where a refusal is an error code.
 *
 * libuv's memory comes from the same allocators as our tables (epb_mem_table_alloc), so
 * that tests can have any of its allocations fail.
 */
#ifndef EPB_OS_UV_RESERVE_H
#define EPB_OS_UV_RESERVE_H

#include <uv.h>

#include "../base/status.h"

/* uv_loop_init that returns UV_ENOMEM, UV_EMFILE and the like. */
EPB_MUST_USE int
epb_uv_reserve_loop_init(uv_loop_t *loop);
/* Before a descriptor that is not watched on the loop is watched. */
EPB_MUST_USE int
epb_uv_reserve_fd(uv_loop_t *loop, int fd);
/* The same for an open pipe: before it is read from or written to later. */
EPB_MUST_USE int
epb_uv_reserve_pipe(const uv_pipe_t *pipe);

#endif
