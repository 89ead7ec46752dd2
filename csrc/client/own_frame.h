/* Requests that our client makes by itself, apart from those of its callers. */
#ifndef EPB_CLIENT_OWN_FRAME_H
#define EPB_CLIENT_OWN_FRAME_H

#include "../base/sys.h"
#include "../core/msg.h"
#include "../wire/frame.h"

/* Their id; callers use lower ones. */
#define EPB_OWN_ID UINT32_MAX
#define EPB_OWN_FRAME_MAX_BYTES 256U

/* This connection is of the session of this key, which is borrowed; no reply. */
static inline struct epb_request
epb_own_join(const uint8_t key[EPB_SESSION_KEY_BYTES])
{
    return (struct epb_request){.action = EPB_ACTION_JOIN,
                                .flags = EPB_F_COUNT,
                                .count = epb_sys_pid(),
                                .value = {key, EPB_SESSION_KEY_BYTES}};
}

#endif
