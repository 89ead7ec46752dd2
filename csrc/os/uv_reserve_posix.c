/*
 * See uv_reserve.h.
 *
 * libuv keeps the watched descriptors in an array indexed by their number, followed by
 * two slots for internal use (loop->watchers, loop->nwatchers: public members, since a
 * loop's size is part of its interface). This file grows the array as libuv would, so
 * that libuv finds it large enough.
 *
 * A new loop has no array to grow: when libuv asks for its first array, it receives one
 * that is large enough. To check that the descriptors of a new loop are available, the
 * same number of descriptors is opened and closed beforehand.
 */
#include "uv_reserve.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __linux__
#include <sys/epoll.h>
#endif

#include "../base/locks.h"
#include "../base/mem.h"
#include "fd.h"
#include "socket.h"

/* The most descriptors that uv_loop_init opens: the kernel's queue (twice on kqueue), two
 * pipes, and those by which threads wake the loop. */
#define LOOP_FDS 8U
/* libuv's internal slots after the array. */
#define EXTRA_SLOTS 2U
/* A slot is a pointer. */
#define SLOT_BYTES sizeof(void *)
#define SLOTS_MIN 64U

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The array for the loop that is being made. */
static struct {
    pthread_t maker;
    void *block; /* NULL: no loop is being made */
    size_t size_bytes;
    bool given; /* libuv has taken it */
} first_array;

/* libuv's memory */

static void *
alloc_zeroed(size_t count, size_t size_bytes)
{
    if (size_bytes != 0 && count > SIZE_MAX / size_bytes) {
        return NULL;
    }
    return epb_mem_table_alloc(count * size_bytes);
}

/* Recognises libuv's first allocation for a new loop, and later growth of it. */
static bool
is_first_array(const void *block, size_t size_bytes)
{
    if (first_array.block == NULL || size_bytes > first_array.size_bytes ||
        !pthread_equal(first_array.maker, pthread_self())) {
        return false;
    }
    return first_array.given ? block == first_array.block : block == NULL;
}

static void *
resize(void *block, size_t size_bytes)
{
    void *ready = NULL;

    epb_lock(EPB_LOCK_ARRAY);
    if (is_first_array(block, size_bytes)) {
        first_array.given = true;
        ready = first_array.block;
    }
    epb_unlock(EPB_LOCK_ARRAY);
    return ready != NULL ? ready : epb_mem_table_resize(block, size_bytes);
}

static void
offer_first_array(void *block, size_t size_bytes)
{
    epb_lock(EPB_LOCK_ARRAY);
    first_array.maker = pthread_self();
    first_array.block = block;
    first_array.size_bytes = size_bytes;
    first_array.given = false;
    epb_unlock(EPB_LOCK_ARRAY);
}

/* Frees the array unless libuv has taken it. */
static void
withdraw_first_array(void)
{
    epb_lock(EPB_LOCK_ARRAY);
    void *left = first_array.given ? NULL : first_array.block;
    first_array.block = NULL;
    epb_unlock(EPB_LOCK_ARRAY);
    epb_mem_table_free(left);
}

static void
init_once(void)
{
    EPB_ASSERT(uv_replace_allocator(epb_mem_table_alloc, resize, alloc_zeroed,
                                    epb_mem_table_free) == 0);
}

/* The table of a loop */

/* The number of slots that libuv would allocate for this descriptor. */
static unsigned
slots_for(int fd)
{
    unsigned slots = SLOTS_MIN;

    while (slots < (unsigned)fd + 1 + EXTRA_SLOTS) {
        slots *= 2;
    }
    return slots - EXTRA_SLOTS;
}

static int
grow(uv_loop_t *loop, int fd)
{
    if ((unsigned)fd < loop->nwatchers) {
        return 0;
    }
    unsigned before = loop->nwatchers;
    unsigned count = slots_for(fd);
    struct uv__io_s **grown =
        epb_mem_table_resize(loop->watchers, (count + EXTRA_SLOTS) * SLOT_BYTES);
    if (grown == NULL) {
        return UV_ENOMEM;
    }
    /* Move libuv's internal slots to the new end; a new array has none to move. */
    size_t extra_bytes = EXTRA_SLOTS * SLOT_BYTES;
    if (before != 0) {
        memcpy(grown + count, grown + before, extra_bytes);
    } else {
        memset(grown + count, 0, extra_bytes);
    }
    memset(grown + before, 0, (count - before) * SLOT_BYTES);
    loop->watchers = grown;
    loop->nwatchers = count;
    return 0;
}

/* Making a loop */

/* Whether a loop's descriptors are available, and the highest number among them. */
static int
probe(int *highest)
{
    int fds[LOOP_FDS];
    unsigned count = 0;
    int error = 0;

    *highest = 0;
    while (count < LOOP_FDS && error == 0) {
        error = epb_socket_new(&fds[count]);
        if (error != 0) {
            break;
        }
        *highest = fds[count] > *highest ? fds[count] : *highest;
        count++;
    }
    while (count != 0) {
        epb_fd_close(fds[--count]);
    }
    return error;
}

static int
init_with_room(uv_loop_t *loop)
{
    int highest = 0;
    int error = probe(&highest);

    if (error != 0) {
        return error;
    }
    /* Other threads may open descriptors meanwhile, so leave space for some more. */
    size_t size_bytes = (slots_for(highest + (int)SLOTS_MIN) + EXTRA_SLOTS) * SLOT_BYTES;
    void *block = epb_mem_table_alloc(size_bytes);
    if (block == NULL) {
        return UV_ENOMEM;
    }
    offer_first_array(block, size_bytes);
    error = uv_loop_init(loop);
    withdraw_first_array();
    return error;
}

int
epb_uv_reserve_loop_init(uv_loop_t *loop)
{
    (void)pthread_once(&once, init_once);
    epb_lock(EPB_LOCK_LOOPS);
    int error = init_with_room(loop);
    epb_unlock(EPB_LOCK_LOOPS);
    return error;
}

/* Descriptors */

int
epb_uv_reserve_fd(uv_loop_t *loop, int fd)
{
    int error = grow(loop, fd);

    if (error != 0) {
        return error;
    }
#ifdef __linux__
    /* libuv finds the descriptor registered and modifies its events. */
    struct epoll_event event = {.events = 0, .data = {.fd = fd}};

    if (epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_ADD, fd, &event) != 0 &&
        errno != EEXIST) {
        return -errno;
    }
#endif
    return 0;
}

int
epb_uv_reserve_pipe(const uv_pipe_t *pipe)
{
    int fd = -1;
    int error = uv_fileno((const uv_handle_t *)pipe, &fd);

    return error == 0 ? epb_uv_reserve_fd(pipe->loop, fd) : error;
}
