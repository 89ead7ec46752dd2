/*
 * The key by which connections of this thread are one session to a broker, however many
 * copies of the library make them. Other threads and processes have others, and so has
 * each broker, so that none can use at another what it was told.
 */
#ifndef EPB_CLIENT_SESSION_KEY_H
#define EPB_CLIENT_SESSION_KEY_H

#include "../base/bytes.h"
#include "../base/status.h"
#include "../core/msg.h"

/* EPB_INTERNAL: memory is out, or there is no randomness. */
EPB_MUST_USE enum epb_status
epb_session_key(const char *path, struct epb_bytes secret,
                uint8_t key[EPB_SESSION_KEY_BYTES]);

#endif
