/* See messages.h. */
#include "messages.h"

#include <string.h>

#include "../client/packed.h"
#include "holders.h"
#include "show.h"

struct message {
    struct epb_text text;
    const struct epb_refused *refused;
    const struct epb_reply *reply;
};

typedef void (*explain_fn)(struct message *message);

/* A key that does not exist */

/* The size of the broker's history (core/gone.h) is 1,000. */
static const char UNKNOWN[] =
    "The key does not exist, and is none of the last 1,000 that expired.";

/* Writes " Did you mean "b" (a pool)?" when there are near names. */
static void
put_near(struct message *message)
{
    struct epb_bytes rest = message->reply->body;
    struct epb_packed_name name;
    const char *before = " Did you mean ";
    bool any = false;

    while (rest.size_bytes > 0 && epb_packed_name(&rest, &name)) {
        if (epb_bytes_compare(name.key, message->refused->key) == 0) {
            continue;
        }
        epb_text_put(&message->text, any ? " or " : before);
        epb_show_key(&message->text, name.key);
        epb_text_put(&message->text, " (");
        epb_text_put(&message->text, epb_holders_kind(name.kind));
        epb_text_put(&message->text, ")");
        any = true;
    }
    epb_text_put(&message->text, any ? "?" : "");
}

/* Writes when the key lost its value; false: the broker does not know. */
static bool
put_gone(struct message *message)
{
    const struct epb_reply *reply = message->reply;
    bool expired = reply->count == EPB_EVENT_EXPIRE;

    if ((reply->flags & EPB_F_PERIOD) == 0) {
        return false;
    }
    epb_text_put(&message->text, expired ? "It expired " : "It was evicted ");
    epb_show_ms(&message->text, reply->period_ms);
    if (!expired) {
        epb_text_put(&message->text,
                     " ago, since the broker was full (maxItems, maxMemory);");
    } else {
        epb_text_put(&message->text, " ago;");
    }
    epb_text_put(&message->text, " its TTL was ");
    if (reply->ttl_ms >= EPB_NUMBER_MAX) {
        epb_text_put(&message->text, "forever");
    } else {
        epb_show_ms(&message->text, reply->ttl_ms);
    }
    epb_text_put(&message->text, ".");
    return true;
}

static void
no_value(struct message *message)
{
    if (!put_gone(message)) {
        epb_text_put(&message->text, UNKNOWN);
        put_near(message);
    }
}

/* Others hold it */

static void
put_waited(struct message *message)
{
    epb_text_put_number(&message->text, message->refused->wait_ms);
    epb_text_put(&message->text, " ms.");
}

static void
put_worker(struct message *message)
{
    epb_text_put(&message->text, "worker ");
    epb_show_key(&message->text, message->refused->worker);
}

static void
put_obstacle(struct message *message)
{
    struct epb_packed_obstacle obstacle;

    if (epb_packed_obstacle(message->reply->body, &obstacle)) {
        epb_holders_put(&message->text, &obstacle);
    }
}

static void
not_free(struct message *message)
{
    epb_text_put(&message->text, "Nothing of it is free for ");
    put_worker(message);
    epb_text_put(&message->text, ".");
    put_obstacle(message);
}

static void
none_in_time(struct message *message)
{
    epb_text_put(&message->text, "Nothing of it became free for ");
    put_worker(message);
    epb_text_put(&message->text, " within ");
    put_waited(message);
    put_obstacle(message);
}

static void
deadlock(struct message *message)
{
    struct epb_packed_obstacle cycle;

    if (!epb_packed_obstacle(message->reply->body, &cycle) ||
        !epb_holders_put_cycle(&message->text, &cycle)) {
        epb_text_put(&message->text, epb_status_message(EPB_DEADLOCK));
    }
}

static void
one_lease(struct message *message)
{
    epb_text_put(&message->text,
                 "The broker allows a worker one lease at a time (singleLease), and ");
    put_worker(message);
    epb_text_put(&message->text, " has one of another key: release that first.");
}

static void
no_value_in_time(struct message *message)
{
    epb_text_put(&message->text, "It had no value within ");
    put_waited(message);
}

static void
too_large(struct message *message)
{
    const struct epb_reply *reply = message->reply;
    bool is_pool = message->refused->action == EPB_ACTION_POOL ||
                   message->refused->action == EPB_ACTION_POOL_ADD;
    bool is_value = reply->body.size_bytes == strlen("maxValueSize") &&
                    memcmp(reply->body.data, "maxValueSize", reply->body.size_bytes) == 0;
    const char *subject = is_pool ? "An element" : "The value";

    if ((reply->flags & EPB_F_BURST) == 0) {
        epb_text_put(&message->text, epb_status_message(EPB_TOO_LARGE));
        return;
    }
    epb_text_put(&message->text, is_value ? subject : "The request");
    epb_text_put(&message->text, " has ");
    epb_text_put_signed(&message->text, reply->count);
    epb_text_put(&message->text, " bytes, and the broker takes ");
    epb_text_put_number(&message->text, reply->burst);
    epb_text_put(&message->text, " (");
    epb_show_name(&message->text, reply->body);
    epb_text_put(&message->text, ").");
}

/* The table */

struct row {
    uint8_t action; /* 0: any */
    enum epb_status status;
    const char *sentence; /* or: */
    explain_fn explain;
};

#define OTHER_KIND                                                                   \
    "The key is in use as something else: release and delete that, or take another " \
    "key."
#define NOT_FOR_VALUES                                                                  \
    "The key is a pool, a semaphore, or numbers that are held: delete it when nothing " \
    "of it is held, or take another key."
#define NOT_A_VALUE "It is a pool or a semaphore, not a value: lease something of it."
#define ELEMENTS "A pool takes at least one element, and all of them different."
#define VALUE_GONE "Its value expired or was deleted while this request waited for it."

static const struct row ROWS[] = {
    {EPB_ACTION_GET, EPB_NOT_FOUND, NULL, no_value},
    {EPB_ACTION_GET, EPB_KIND_MISMATCH, NOT_A_VALUE, NULL},
    {EPB_ACTION_GET_ENTRY, EPB_NOT_FOUND, NULL, no_value},
    {EPB_ACTION_GET_ENTRY, EPB_KIND_MISMATCH, NOT_A_VALUE, NULL},
    {EPB_ACTION_TTL, EPB_NOT_FOUND, NULL, no_value},
    {EPB_ACTION_TTL, EPB_KIND_MISMATCH, NOT_A_VALUE, NULL},
    {EPB_ACTION_LEASE, EPB_LEASE_HELD, NULL, not_free},
    {EPB_ACTION_LEASE, EPB_WAIT_TIMEOUT, NULL, none_in_time},
    {EPB_ACTION_LEASE, EPB_KIND_MISMATCH, OTHER_KIND, NULL},
    {EPB_ACTION_LEASE, EPB_NOT_FOUND, VALUE_GONE, NULL},
    {EPB_ACTION_LOCK, EPB_LEASE_HELD, NULL, not_free},
    {EPB_ACTION_LOCK, EPB_WAIT_TIMEOUT, NULL, none_in_time},
    {EPB_ACTION_LOCK, EPB_KIND_MISMATCH, OTHER_KIND, NULL},
    {EPB_ACTION_SET, EPB_KIND_MISMATCH, NOT_FOR_VALUES, NULL},
    {EPB_ACTION_SET, EPB_FENCED,
     "The lease of this fencing token has ended: the write is refused.", NULL},
    {EPB_ACTION_INCR, EPB_KIND_MISMATCH, NOT_FOR_VALUES, NULL},
    {EPB_ACTION_DEL, EPB_LEASE_HELD,
     "Something of it is held or waited for: that has to end first.", NULL},
    {EPB_ACTION_POOL, EPB_KIND_MISMATCH, OTHER_KIND, NULL},
    {EPB_ACTION_POOL, EPB_INVALID_VALUE, ELEMENTS, NULL},
    {EPB_ACTION_POOL_ADD, EPB_KIND_MISMATCH, OTHER_KIND, NULL},
    {EPB_ACTION_POOL_ADD, EPB_INVALID_VALUE, ELEMENTS, NULL},
    {EPB_ACTION_POOL_ADD, EPB_CONFLICT,
     "The pool has one of these elements already; nothing was added.", NULL},
    {EPB_ACTION_LIMIT, EPB_KIND_MISMATCH, OTHER_KIND, NULL},
    {EPB_ACTION_RELEASE, EPB_NOT_FOUND,
     "--discard names an element that this lease does not have: nothing was released.",
     NULL},
    {EPB_ACTION_WAIT_FOR, EPB_WAIT_TIMEOUT, NULL, no_value_in_time},
    {0, EPB_DEADLOCK, NULL, deadlock},
    {0, EPB_WORKER_ALREADY_HAS_LEASE, NULL, one_lease},
    {0, EPB_TOO_LARGE, NULL, too_large},
};

static const struct row *
find_row(uint8_t action, enum epb_status status)
{
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (ROWS[i].status == status &&
            (ROWS[i].action == 0 || ROWS[i].action == action)) {
            return &ROWS[i];
        }
    }
    return NULL;
}

static const char *
find_hint(const struct epb_hint *hints, enum epb_status status)
{
    for (; hints != NULL && hints->hint != NULL; hints++) {
        if (hints->status == status) {
            return hints->hint;
        }
    }
    return NULL;
}

static bool
has_obstacle(enum epb_status status)
{
    return status == EPB_LEASE_HELD || status == EPB_WAIT_TIMEOUT;
}

static void
put_hint(struct message *message, const char *hint)
{
    size_t before_bytes = epb_buf_size(message->text.out);

    if (has_obstacle(message->reply->status)) {
        put_obstacle(message);
    }
    if (epb_buf_size(message->text.out) > before_bytes) {
        epb_text_put(&message->text, " ");
    }
    epb_text_put(&message->text, hint);
}

static void
put_prefix(struct epb_text *text, const char *command, struct epb_bytes key)
{
    epb_text_put(text, command);
    if (key.size_bytes > 0) {
        epb_text_put(text, " ");
        epb_show_key(text, key);
    }
    epb_text_put(text, ": ");
}

enum epb_status
epb_message_refusal(struct epb_buf *out, const struct epb_refused *refused,
                    const struct epb_reply *reply)
{
    struct message message = {epb_text_begin(out), refused, reply};
    const char *hint = find_hint(refused->hints, reply->status);
    const struct row *row = find_row(refused->action, reply->status);

    put_prefix(&message.text, refused->command, refused->key);
    if (hint != NULL) {
        put_hint(&message, hint);
    } else if (row == NULL) {
        epb_text_put(&message.text, epb_status_message(reply->status));
    } else if (row->explain != NULL) {
        row->explain(&message);
    } else {
        epb_text_put(&message.text, row->sentence);
    }
    return epb_text_end(&message.text);
}

enum epb_status
epb_message_prefix(struct epb_buf *out, const char *command, struct epb_bytes key)
{
    struct epb_text text = epb_text_begin(out);

    put_prefix(&text, command, key);
    return epb_text_end(&text);
}
