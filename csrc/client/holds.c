/* See holds.h. */
#include "holds.h"

#include <string.h>

#include "../base/list.h"
#include "../base/map.h"
#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "../wire/frame.h"
#include "own_frame.h"
#include "renewal.h"
#include "renewer.h"
#include "session_key.h"

/* Longest wait for the broker before a connection with new holds is closed. */
#define AWAIT_MS 200U

struct hold {
    uint64_t token;
    uint64_t kept; /* the id of its keep */
    bool is_renewed;
    unsigned claims;
};

struct epb_holds {
    struct epb_list of_thread;
    unsigned users;
    uint32_t pid;
    char *path;
    uint8_t *secret; /* followed by the session's key */
    size_t secret_bytes;
    struct epb_renewal renewal; /* used by the renewer thread while frames are kept */
    struct epb_renewer_user kept;
    struct epb_map *by_token;
    uint64_t last; /* the id of the last keep added */
};

/* All of this thread. All zero: not initialized yet. */
static _Thread_local struct epb_list all;

static struct epb_bytes
key_of_hold(const void *item)
{
    const struct hold *hold = item;

    return (struct epb_bytes){(const uint8_t *)&hold->token, sizeof(hold->token)};
}

static enum epb_renewal_plan_sent
send_kept(void *context, struct epb_bytes frames)
{
    return epb_renewal_send(context, frames);
}

static bool
is_ours(const struct epb_holds *holds)
{
    return holds->pid == epb_sys_pid();
}

/* Life */

static bool
free_hold(void *context, void *item)
{
    (void)context;
    epb_mem_table_free(item);
    return true;
}

/* Drops all holds. */
static void
empty(struct epb_holds *holds)
{
    epb_renewer_forget(&holds->kept);
    epb_renewal_let_go(&holds->renewal);
    if (holds->by_token != NULL) {
        epb_map_each(holds->by_token, free_hold, NULL);
    }
    epb_map_free(holds->by_token);
    holds->by_token = NULL;
}

static void
holds_free(struct epb_holds *holds)
{
    epb_list_remove(&holds->of_thread);
    if (is_ours(holds)) {
        empty(holds);
        epb_mem_free(holds->secret);
    }
    epb_mem_table_free(holds->path);
    epb_mem_table_free(holds);
}

static struct epb_holds *
holds_new(const char *path, struct epb_bytes secret, const uint8_t *key)
{
    struct epb_holds *holds = epb_mem_table_alloc(sizeof(*holds));

    if (holds == NULL) {
        return NULL;
    }
    epb_list_init(&holds->of_thread);
    epb_renewer_user_init(&holds->kept, send_kept, &holds->renewal);
    holds->pid = epb_sys_pid();
    holds->path = epb_mem_table_text(path);
    holds->secret = epb_mem_alloc(secret.size_bytes + EPB_SESSION_KEY_BYTES);
    if (holds->path == NULL || holds->secret == NULL) {
        holds_free(holds);
        return NULL;
    }
    holds->secret_bytes = secret.size_bytes;
    if (secret.size_bytes != 0) {
        memcpy(holds->secret, secret.data, secret.size_bytes);
    }
    memcpy(holds->secret + secret.size_bytes, key, EPB_SESSION_KEY_BYTES);
    holds->renewal = (struct epb_renewal){.path = holds->path,
                                          .secret = {holds->secret, holds->secret_bytes},
                                          .key = holds->secret + holds->secret_bytes};
    return holds;
}

/* The key is derived from path and secret, so comparing it is enough. */
static bool
is_for(const struct epb_holds *holds, const uint8_t *key)
{
    return is_ours(holds) &&
           epb_mem_equal(holds->secret + holds->secret_bytes, key, EPB_SESSION_KEY_BYTES);
}

struct epb_holds *
epb_holds_enter(const char *path, struct epb_bytes secret, const uint8_t *key)
{
    struct epb_holds *holds = NULL;

    if (all.next == NULL) {
        epb_list_init(&all);
    }
    for (struct epb_list *node = all.next; node != &all; node = node->next) {
        holds = EPB_LIST_ITEM(node, struct epb_holds, of_thread);
        if (is_for(holds, key)) {
            break;
        }
        holds = NULL;
    }
    if (holds == NULL) {
        holds = holds_new(path, secret, key);
        if (holds == NULL) {
            return NULL;
        }
        epb_list_append(&all, &holds->of_thread);
    }
    holds->users++;
    return holds;
}

static void
free_unused(struct epb_holds *holds)
{
    if (holds->users == 0 &&
        (holds->by_token == NULL || epb_map_count(holds->by_token) == 0)) {
        holds_free(holds);
    }
}

void
epb_holds_leave(struct epb_holds *holds)
{
    if (holds == NULL) {
        return;
    }
    holds->users--;
    free_unused(holds);
}

void
epb_holds_end_thread(void)
{
    struct epb_list *next;

    if (all.next == NULL) {
        return;
    }
    for (struct epb_list *node = all.next; node != &all; node = next) {
        struct epb_holds *holds = EPB_LIST_ITEM(node, struct epb_holds, of_thread);
        next = node->next;
        if (!is_ours(holds)) {
            continue;
        }
        empty(holds);
        free_unused(holds);
    }
}

/* Holds */

static struct hold *
find_hold(const struct epb_holds *holds, uint64_t token)
{
    const struct hold wanted = {.token = token};

    return holds->by_token == NULL ? NULL
                                   : epb_map_find(holds->by_token, key_of_hold(&wanted));
}

static enum epb_status
put(struct epb_buf *frames, enum epb_action action, uint64_t token)
{
    const struct epb_request request = {
        .action = action, .flags = EPB_F_FENCE, .fence = token};

    return epb_frame_encode_request(frames, &request);
}

/* Sends the take (and renewal) of a hold at once, and again every interval: a new renewal
 * connection takes the lease again. */
static enum epb_status
keep(struct epb_holds *holds, struct hold *hold, uint64_t interval_ms)
{
    struct epb_buf frames;

    epb_buf_init(&frames, 2 * EPB_OWN_FRAME_MAX_BYTES);
    enum epb_status status = put(&frames, EPB_ACTION_TAKE, hold->token);
    if (status == EPB_OK && hold->is_renewed) {
        status = put(&frames, EPB_ACTION_RENEW, hold->token);
    }
    if (status == EPB_OK) {
        status = epb_renewal_hold(&holds->renewal);
    }
    if (status == EPB_OK) {
        status = epb_renewer_add_now(
            &holds->kept,
            (struct epb_bytes){epb_buf_data(&frames), epb_buf_size(&frames)}, interval_ms,
            &hold->kept);
    }
    if (status == EPB_OK) {
        holds->last = hold->kept;
    }
    epb_buf_fini(&frames);
    return status == EPB_OK ? EPB_OK : EPB_INTERNAL;
}

static void
unkeep(struct epb_holds *holds, struct hold *hold)
{
    if (!epb_renewer_remove(&holds->kept, hold->kept)) {
        epb_renewal_let_go(&holds->renewal);
    }
}

/* Adds a hold to the map, without a keep. */
static struct hold *
new_hold(struct epb_holds *holds, uint64_t token)
{
    struct hold *hold = epb_mem_table_alloc(sizeof(*hold));

    if (hold == NULL) {
        return NULL;
    }
    hold->token = token;
    if (holds->by_token == NULL) {
        holds->by_token = epb_map_new(key_of_hold);
    }
    if (holds->by_token != NULL && epb_map_insert(holds->by_token, hold) == EPB_OK) {
        return hold;
    }
    epb_mem_table_free(hold);
    return NULL;
}

static void
remove_hold(struct epb_holds *holds, struct hold *hold)
{
    epb_map_remove(holds->by_token, hold);
    epb_mem_table_free(hold);
}

enum epb_status
epb_holds_add(struct epb_holds *holds, uint64_t token, uint64_t interval_ms,
              bool is_renewed)
{
    enum epb_status status = EPB_OK;

    if (!is_ours(holds)) {
        return EPB_INTERNAL;
    }
    /* If the broker has ended, so have its leases. */
    if (epb_renewer_is_dead(&holds->kept)) {
        empty(holds);
    }
    struct hold *hold = find_hold(holds, token);
    if (hold == NULL) {
        hold = new_hold(holds, token);
    }
    if (hold == NULL) {
        return EPB_INTERNAL;
    }
    if (hold->claims == 0 || hold->is_renewed != is_renewed) {
        uint64_t kept = hold->kept;
        hold->is_renewed = is_renewed;
        status = keep(holds, hold, interval_ms);
        /* Removed last: without any keep, the connection that has the lease would close.
         */
        if (kept != 0) {
            (void)epb_renewer_remove(&holds->kept, kept);
        }
    }
    if (status == EPB_OK) {
        hold->claims++;
    } else {
        remove_hold(holds, hold);
    }
    return status;
}

bool
epb_holds_drop(struct epb_holds *holds, uint64_t token)
{
    struct hold *hold = is_ours(holds) ? find_hold(holds, token) : NULL;

    if (hold == NULL) {
        return true;
    }
    hold->claims--;
    if (hold->claims > 0) {
        return false;
    }
    unkeep(holds, hold);
    remove_hold(holds, hold);
    return true;
}

bool
epb_holds_has(const struct epb_holds *holds, uint64_t token)
{
    return is_ours(holds) && find_hold(holds, token) != NULL;
}

void
epb_holds_await(struct epb_holds *holds)
{
    if (is_ours(holds)) {
        epb_renewer_await(&holds->kept, holds->last, AWAIT_MS);
    }
}
