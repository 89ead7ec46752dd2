/* See session_key.h. The key is an HMAC of the broker's path and secret. Each thread
 * draws a random HMAC key once, so that nothing must be stored per broker. */
#include "session_key.h"

#include <string.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../wire/hash.h"

#define SEED_BYTES 32U

static _Thread_local struct {
    uint32_t pid; /* the process that drew it: a forked child draws another; 0: none yet
                   */
    uint8_t bytes[SEED_BYTES];
} seed;

static enum epb_status
draw(void)
{
    uint32_t pid = epb_sys_pid();

    if (seed.pid == pid) {
        return EPB_OK;
    }
    enum epb_status status = epb_sys_random(seed.bytes, sizeof(seed.bytes));
    if (status == EPB_OK) {
        seed.pid = pid;
    }
    return status;
}

enum epb_status
epb_session_key(const char *path, struct epb_bytes secret,
                uint8_t key[EPB_SESSION_KEY_BYTES])
{
    uint8_t hash[EPB_HASH_BYTES];
    struct epb_hmac hmac;
    enum epb_status status = draw();

    if (status == EPB_OK) {
        status = epb_hmac_init(&hmac, (struct epb_bytes){seed.bytes, sizeof(seed.bytes)});
    }
    if (status != EPB_OK) {
        return status;
    }
    epb_hmac_begin(&hmac);
    /* The NUL separates the path from the secret. */
    epb_hmac_add(&hmac, path, strlen(path) + 1);
    epb_hmac_add(&hmac, secret.data, secret.size_bytes);
    epb_hmac_end(&hmac, hash);
    epb_hmac_fini(&hmac);
    memcpy(key, hash, EPB_SESSION_KEY_BYTES);
    epb_mem_wipe(hash, sizeof(hash));
    return EPB_OK;
}
