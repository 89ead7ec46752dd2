/*
 * The key with which the connections of this thread form one session at a broker, even if
 * several copies of the library make them. Every thread and process has a different key
 * for each broker, so that a broker cannot use a key that it received at another broker.
 */
#ifndef EPB_CLIENT_SESSION_KEY_H
#define EPB_CLIENT_SESSION_KEY_H

#include "../base/bytes.h"
#include "../base/status.h"
#include "../core/msg.h"

/* EPB_INTERNAL: out of memory, or the system has no random bytes. */
EPB_MUST_USE enum epb_status
epb_session_key(const char *path, struct epb_bytes secret,
                uint8_t key[EPB_SESSION_KEY_BYTES]);

#endif
