/* See waiter.h. */
#include "waiter.h"

#include <uv.h>

#include "../base/locks.h"
#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/fd.h"
#include "../os/socket.h"
#include "../os/thread.h"
#include "poller.h"

#define NEWS_MAX 64
#define NO_SLOT UINT32_MAX

struct slot {
    epb_waiter_fn on_ready; /* NULL: free */
    void *context;
    int fd;
    bool armed;
    uint32_t generation;
    uint32_t next_free;
};

/* Guarded by the lock, except that the thread reads `poller` once, at its start. */
static struct slot *slots;
static uint32_t slot_count;
static uint32_t first_free = NO_SLOT;
static int poller = -1;
static uint32_t owner_pid;

static uint64_t
handle_of(uint32_t index)
{
    return ((uint64_t)slots[index].generation << 32) | index;
}

/* NULL: the handle was removed; its slot is free or reused. */
static struct slot *
find_slot(uint64_t handle)
{
    uint32_t index = (uint32_t)handle;

    if (index >= slot_count || slots[index].on_ready == NULL) {
        return NULL;
    }
    return slots[index].generation == (uint32_t)(handle >> 32) ? &slots[index] : NULL;
}

static void
deliver(uint64_t handle)
{
    epb_lock(EPB_LOCK_WAITER);
    struct slot *slot = find_slot(handle);
    if (slot != NULL && slot->armed) {
        slot->armed = false;
        slot->on_ready(slot->context);
    }
    epb_unlock(EPB_LOCK_WAITER);
}

static void
run_waiter(void *context)
{
    int descriptor = *(int *)context;
    uint64_t news[NEWS_MAX];

    /* Runs until the process ends. */
    for (;;) {
        int count = epb_poller_wait(descriptor, news, NEWS_MAX);
        for (int i = 0; i < count; i++) {
            deliver(news[i]);
        }
    }
}

static int
start(void)
{
    uv_thread_t thread;

    if (poller >= 0) {
        return owner_pid == epb_sys_pid() ? 0 : UV_ENOSYS;
    }
    int opened = epb_poller_open();
    if (opened < 0) {
        return opened;
    }
    poller = opened;
    owner_pid = epb_sys_pid();
    int error = epb_thread_start(&thread, run_waiter, &poller);
    if (error == 0) {
        epb_thread_detach(&thread);
    } else {
        poller = -1;
        epb_fd_close(opened);
    }
    return error;
}

static int
grow(void)
{
    uint32_t count = slot_count == 0 ? 16 : slot_count * 2;
    struct slot *grown = epb_mem_table_resize(slots, count * sizeof(*slots));

    if (grown == NULL) {
        return UV_ENOMEM;
    }
    for (uint32_t i = slot_count; i < count; i++) {
        grown[i] = (struct slot){.generation = 1, .next_free = first_free};
        first_free = i;
    }
    slots = grown;
    slot_count = count;
    return 0;
}

static int
add_locked(int fd, epb_waiter_fn on_ready, void *context, uint64_t *handle)
{
    int error = start();

    if (error == 0 && first_free == NO_SLOT) {
        error = grow();
    }
    if (error != 0) {
        return error;
    }
    uint32_t index = first_free;
    struct slot *slot = &slots[index];
    error = epb_poller_add(poller, fd, handle_of(index));
    if (error != 0) {
        return error;
    }
    first_free = slot->next_free;
    slot->on_ready = on_ready;
    slot->context = context;
    slot->fd = fd;
    slot->armed = false;
    *handle = handle_of(index);
    return 0;
}

int
epb_waiter_add(int fd, epb_waiter_fn on_ready, void *context, uint64_t *handle)
{
    epb_lock(EPB_LOCK_WAITER);
    int error = add_locked(fd, on_ready, context, handle);
    epb_unlock(EPB_LOCK_WAITER);
    return error;
}

int
epb_waiter_arm(uint64_t handle, unsigned what)
{
    int error = UV_EINVAL;

    epb_lock(EPB_LOCK_WAITER);
    struct slot *slot = find_slot(handle);
    if (slot != NULL && owner_pid == epb_sys_pid()) {
        slot->armed = true;
        error = epb_poller_arm(poller, slot->fd, handle, what);
    }
    epb_unlock(EPB_LOCK_WAITER);
    return error;
}

void
epb_waiter_remove(uint64_t handle)
{
    epb_lock(EPB_LOCK_WAITER);
    struct slot *slot = find_slot(handle);
    if (slot != NULL) {
        /* A forked child shares the kernel's table with its parent: leave it alone. */
        if (owner_pid == epb_sys_pid()) {
            epb_poller_remove(poller, slot->fd);
        }
        slot->on_ready = NULL;
        slot->context = NULL;
        slot->generation++;
        slot->next_free = first_free;
        first_free = (uint32_t)handle;
    }
    epb_unlock(EPB_LOCK_WAITER);
}
