/* Internal requests of the client, in addition to those of its callers. */
#ifndef EPB_CLIENT_OWN_FRAME_H
#define EPB_CLIENT_OWN_FRAME_H

#include "../core/msg.h"
#include "../wire/frame.h"

/* The id of internal requests; callers use lower ids. */
#define EPB_OWN_ID UINT32_MAX
#define EPB_OWN_FRAME_MAX_BYTES 256U

/* Joins the connection to the session of this key; the broker sends no reply. The first
 * connection of a session says whose it is: `pid`. Borrows the key. */
static inline struct epb_request
epb_own_join(const uint8_t key[EPB_SESSION_KEY_BYTES], uint32_t pid)
{
    return (struct epb_request){.action = EPB_ACTION_JOIN,
                                .flags = EPB_F_COUNT,
                                .count = pid,
                                .value = {key, EPB_SESSION_KEY_BYTES}};
}

#endif
