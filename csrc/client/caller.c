/* See caller.h. */
#include "caller.h"

#include <inttypes.h>
#include <string.h>

#include <uv.h>

#include "../base/mem.h"
#include "../base/sys.h"
#include "../os/oserror.h"
#include "../os/spin.h"
#include "../wire/frame.h"

#define NS_PER_MS 1000000U
#define BACKOFF_FIRST_MS 5U
#define BACKOFF_MAX_MS 200U
/* The longest single block, so that times in nanoseconds do not overflow. */
#define BLOCK_MAX_MS 3600000U
#define INPUT_FIRST_BYTES ((size_t)16 * 1024)
#define FOREVER_NS UINT64_MAX

struct epb_caller {
    struct epb_client *client;
    char *path;
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms;
    epb_caller_event_fn on_event;
    void *context;
    struct epb_buf input;  /* whole frames that have arrived */
    size_t spent_bytes;    /* the frame at its front that the last reply borrows */
    struct epb_buf output; /* the frame to send */
    uint32_t last_id;
    bool is_open;            /* the broker has proved itself */
    int os_error;            /* of the last attempt to connect; 0: none */
    uint64_t waited_ms;      /* of the last EPB_TIMEOUT */
    enum epb_status failure; /* EPB_OK while the conversation goes on */
};

/* Time */

/* A point in time `ms` from now, for epb_sys_ticks_ns. */
static uint64_t
deadline_in(uint64_t ms)
{
    uint64_t now_ns = epb_sys_ticks_ns();

    return ms >= (FOREVER_NS - now_ns) / NS_PER_MS ? FOREVER_NS : now_ns + ms * NS_PER_MS;
}

/* Rounded up. */
static uint64_t
ms_until(uint64_t deadline_ns)
{
    uint64_t now_ns = epb_sys_ticks_ns();
    uint64_t left_ms =
        deadline_ns > now_ns ? (deadline_ns - now_ns - 1) / NS_PER_MS + 1 : 0;

    return left_ms < BLOCK_MAX_MS ? left_ms : BLOCK_MAX_MS;
}

/* Life */

/* The client calls it only when armed. */
static void
ignore_ready(void *context)
{
    (void)context;
}

enum epb_status
epb_caller_new(const struct epb_caller_options *options, struct epb_caller **out)
{
    struct epb_caller *caller = epb_mem_table_alloc(sizeof(*caller));

    *out = NULL;
    if (caller == NULL) {
        return EPB_INTERNAL;
    }
    caller->timeout_ms = options->timeout_ms;
    caller->connect_timeout_ms = options->connect_timeout_ms;
    caller->on_event = options->on_event;
    caller->context = options->context;
    epb_buf_init(&caller->input, (size_t)EPB_CLIENT_FRAME_MAX_BYTES * 2);
    epb_buf_init(&caller->output, EPB_CLIENT_FRAME_MAX_BYTES);
    caller->path = epb_mem_table_text(options->path);
    caller->client = epb_client_new(
        options->path, options->secret,
        options->on_ready == NULL ? ignore_ready : options->on_ready, options->context);
    if (caller->path == NULL || caller->client == NULL ||
        (options->shares_session &&
         epb_client_share(caller->client, options->session_pid) != EPB_OK)) {
        epb_caller_free(caller);
        return EPB_INTERNAL;
    }
    *out = caller;
    return EPB_OK;
}

void
epb_caller_free(struct epb_caller *caller)
{
    if (caller == NULL) {
        return;
    }
    epb_client_free(caller->client);
    epb_buf_fini(&caller->input);
    epb_buf_fini(&caller->output);
    epb_mem_table_free(caller->path);
    epb_mem_table_free(caller);
}

struct epb_client *
epb_caller_client(struct epb_caller *caller)
{
    return caller->client;
}

/* Exchange */

static enum epb_status
fail(struct epb_caller *caller, enum epb_status status)
{
    if (caller->failure == EPB_OK) {
        caller->failure = status;
    }
    return status;
}

/* Sends the frames and takes what has arrived, without blocking. */
static enum epb_status
exchange(struct epb_caller *caller, struct epb_bytes out, uint64_t spin_us,
         bool *received)
{
    size_t wanted_bytes = INPUT_FIRST_BYTES;

    *received = false;
    for (;;) {
        struct epb_exchange step = {.out = out, .spin_us = spin_us};
        if (epb_buf_reserve(&caller->input, wanted_bytes, &step.into) != EPB_OK) {
            return EPB_INTERNAL;
        }
        step.into_bytes = wanted_bytes;
        enum epb_status status = epb_client_exchange(caller->client, &step);
        if (status != EPB_OK) {
            return status;
        }
        epb_buf_commit(&caller->input, step.received_bytes);
        *received = step.received_bytes != 0;
        if (step.needed_bytes == 0) {
            return EPB_OK;
        }
        wanted_bytes = step.needed_bytes;
        out.size_bytes = 0;
    }
}

/* Connecting */

static bool
is_missing(int os_error)
{
    return os_error == UV_ENOENT || os_error == UV_ECONNREFUSED;
}

static bool
may_pass(int os_error)
{
    return is_missing(os_error) || os_error == UV_EAGAIN || os_error == UV_EINTR ||
           os_error == UV_EMFILE || os_error == UV_ENFILE || os_error == UV_ECONNRESET;
}

/* Waits for the broker's proof. EPB_BROKER_GONE without an os_error: the time is over. */
static enum epb_status
shake_hands(struct epb_caller *caller, uint64_t until_ns)
{
    while (!epb_client_is_open(caller->client)) {
        bool received;
        enum epb_status status =
            exchange(caller, (struct epb_bytes){NULL, 0}, EPB_SPIN_US, &received);
        if (status == EPB_BROKER_GONE) {
            caller->os_error = UV_ECONNRESET;
        }
        if (status != EPB_OK) {
            return status;
        }
        if (epb_client_is_open(caller->client)) {
            break;
        }
        uint64_t left_ms = ms_until(until_ns);
        if (left_ms == 0) {
            epb_client_close(caller->client);
            return EPB_BROKER_GONE;
        }
        (void)epb_client_wait(caller->client, left_ms);
    }
    return EPB_OK;
}

/* A pause before the next attempt, with jitter, so that a hundred callers do not connect
 * at the same time. */
static uint64_t
pause_ms(unsigned failures)
{
    uint64_t longest_ms = BACKOFF_MAX_MS;
    uint8_t dice = 0;

    if (failures < 6) {
        longest_ms = (uint64_t)BACKOFF_FIRST_MS << failures;
    }
    if (longest_ms > BACKOFF_MAX_MS) {
        longest_ms = BACKOFF_MAX_MS;
    }
    if (epb_sys_random(&dice, sizeof(dice)) != EPB_OK) {
        dice = 0;
    }
    return longest_ms - longest_ms * dice / 512;
}

enum epb_status
epb_caller_connect(struct epb_caller *caller)
{
    if (caller->failure != EPB_OK || caller->is_open) {
        return caller->failure;
    }
    uint64_t until_ns = deadline_in(caller->connect_timeout_ms);
    uint64_t missing_until_ns = deadline_in(EPB_CALLER_MISSING_MS);
    int known_error = 0;
    for (unsigned failures = 0;; failures++) {
        enum epb_status status = epb_client_connect(caller->client, &caller->os_error);
        if (status == EPB_OK) {
            status = shake_hands(caller, until_ns);
        }
        if (status == EPB_OK) {
            caller->is_open = true;
            return EPB_OK;
        }
        /* The time limit may end the last attempt before it fails: an earlier attempt has
         * the reason. */
        if (caller->os_error == 0) {
            caller->os_error = known_error;
        }
        known_error = caller->os_error;
        if (status != EPB_BROKER_GONE || !may_pass(caller->os_error)) {
            return fail(caller, status);
        }
        uint64_t left_ms = ms_until(until_ns);
        if (is_missing(caller->os_error) && ms_until(missing_until_ns) < left_ms) {
            left_ms = ms_until(missing_until_ns);
        }
        if (left_ms == 0) {
            return fail(caller, status);
        }
        uint64_t rest_ms = pause_ms(failures);
        uv_sleep((unsigned)(rest_ms < left_ms ? rest_ms : left_ms));
    }
}

/* Requests */

static enum epb_status
encode(struct epb_caller *caller, const struct epb_request *request, uint32_t *id)
{
    struct epb_request numbered = *request;

    if (numbered.id == 0) {
        /* The highest id is the client's own (own_frame.h). */
        caller->last_id = caller->last_id >= UINT32_MAX - 1 ? 1 : caller->last_id + 1;
        numbered.id = caller->last_id;
    }
    *id = numbered.id;
    epb_buf_consume(&caller->output, epb_buf_size(&caller->output));
    return epb_frame_encode_request(&caller->output, &numbered);
}

enum epb_status
epb_caller_send(struct epb_caller *caller, const struct epb_request *request,
                uint32_t *id)
{
    enum epb_status status = epb_caller_connect(caller);

    if (status != EPB_OK) {
        return status;
    }
    status = encode(caller, request, id);
    if (status != EPB_OK) {
        return status;
    }
    struct epb_exchange step = {
        .out = {epb_buf_data(&caller->output), epb_buf_size(&caller->output)}};
    status = epb_client_exchange(caller->client, &step);
    epb_buf_consume(&caller->output, epb_buf_size(&caller->output));
    epb_buf_trim(&caller->output, INPUT_FIRST_BYTES);
    return status == EPB_OK ? EPB_OK : fail(caller, status);
}

/* Takes the next frame from the input. EPB_TIMEOUT: there is none. */
static enum epb_status
take(struct epb_caller *caller, struct epb_reply *reply)
{
    epb_buf_consume(&caller->input, caller->spent_bytes);
    caller->spent_bytes = 0;
    for (;;) {
        struct epb_bytes rest = {epb_buf_data(&caller->input),
                                 epb_buf_size(&caller->input)};
        size_t size_bytes = 0;
        if (rest.size_bytes == 0) {
            epb_buf_trim(&caller->input, INPUT_FIRST_BYTES);
            return EPB_TIMEOUT;
        }
        /* The client delivers whole frames. */
        if (epb_frame_scan(rest, EPB_CLIENT_FRAME_MAX_BYTES, &size_bytes) !=
                EPB_FRAME_COMPLETE ||
            epb_frame_decode_reply((struct epb_bytes){rest.data, size_bytes}, reply) !=
                EPB_OK) {
            epb_client_close(caller->client);
            return fail(caller, EPB_VERSION_MISMATCH);
        }
        if (reply->id != 0) {
            caller->spent_bytes = size_bytes;
            return EPB_OK;
        }
        if (caller->on_event != NULL) {
            caller->on_event(caller->context, reply);
        }
        epb_buf_consume(&caller->input, size_bytes);
    }
}

/* The next reply until a deadline. */
static enum epb_status
next_until(struct epb_caller *caller, uint64_t until_ns, struct epb_reply *reply)
{
    enum epb_status status = take(caller, reply);
    uint64_t spin_us = EPB_SPIN_US;

    while (status == EPB_TIMEOUT) {
        bool received = false;
        status = exchange(caller, (struct epb_bytes){NULL, 0}, spin_us, &received);
        if (status != EPB_OK) {
            return fail(caller, status);
        }
        status = received ? take(caller, reply) : EPB_TIMEOUT;
        if (status != EPB_TIMEOUT || received) {
            continue;
        }
        uint64_t left_ms = ms_until(until_ns);
        if (left_ms == 0) {
            break;
        }
        (void)epb_client_wait(caller->client, left_ms);
        spin_us = 0;
    }
    return status;
}

enum epb_status
epb_caller_next(struct epb_caller *caller, uint64_t timeout_ms, struct epb_reply *reply)
{
    if (caller->failure != EPB_OK) {
        return caller->failure;
    }
    caller->waited_ms = timeout_ms;
    return next_until(caller, deadline_in(timeout_ms), reply);
}

/* How long a reply may take; a wait without an end has no limit. */
static uint64_t
patience_ms(const struct epb_caller *caller, const struct epb_request *request)
{
    uint64_t wait_ms = (request->flags & EPB_F_WAIT) != 0 ? request->wait_ms : 0;

    return wait_ms >= EPB_NUMBER_MAX ? EPB_CALLER_FOREVER_MS
                                     : caller->timeout_ms + wait_ms;
}

enum epb_status
epb_caller_ask(struct epb_caller *caller, const struct epb_request *request,
               struct epb_reply *reply)
{
    struct epb_request numbered = *request;
    uint32_t id = 0;

    numbered.id = 0;
    enum epb_status status = epb_caller_send(caller, &numbered, &id);
    if (status != EPB_OK) {
        return status;
    }
    caller->waited_ms = patience_ms(caller, request);
    uint64_t until_ns = deadline_in(caller->waited_ms);
    do {
        /* A reply with another id comes late: its request was given up. */
        status = next_until(caller, until_ns, reply);
    } while (status == EPB_OK && reply->id != id);
    return status;
}

enum epb_status
epb_caller_arm(struct epb_caller *caller, bool *armed)
{
    if (caller->failure != EPB_OK) {
        return caller->failure;
    }
    *armed = epb_buf_size(&caller->input) == caller->spent_bytes;
    return *armed ? epb_client_arm(caller->client) : EPB_OK;
}

/* Sentences */

static const char *
hint_of(int os_error, const char *path)
{
    switch (os_error) {
    case UV_ENOENT:
        /* systemd's PrivateTmp, and containers. */
        if (strncmp(path, "/tmp/", 5) == 0) {
            return "there is no such pipe. Its broker has ended, the path is wrong, or "
                   "/tmp is "
                   "another folder there (a container, PrivateTmp); start your command "
                   "with "
                   "`ephemeral-pipe-broker start -- <command>`";
        }
        return "there is no such pipe. Its broker has ended, or the path is wrong; start "
               "your command with `ephemeral-pipe-broker start -- <command>`";
    case UV_ECONNREFUSED:
        return "its broker has died";
    case UV_EAGAIN:
        return "its broker does not accept connections at the moment";
    case UV_ECONNRESET:
        return "its broker closes the connection";
    case UV_EACCES:
        return "this user may not use it";
    case UV_EPERM:
        return "its broker belongs to another user";
    case UV_ENOTSOCK:
        return "it is not a pipe";
    case UV_ENAMETOOLONG:
        return "the path is longer than a pipe can have";
    default:
        return "it cannot be connected to";
    }
}

static enum epb_status
explain_gone(const struct epb_caller *caller, struct epb_buf *out)
{
    if (caller->is_open) {
        return epb_buf_printf(
            out,
            "The broker at %s went away before it answered; the request may or may not "
            "have been carried out.",
            caller->path);
    }
    if (caller->os_error == 0) {
        return epb_buf_printf(
            out, "No broker at %s: it has not let us in within %" PRIu64 " ms.",
            caller->path, caller->connect_timeout_ms);
    }
    return epb_buf_printf(out, "No broker at %s: %s (%s).", caller->path,
                          hint_of(caller->os_error, caller->path),
                          epb_os_error_name(caller->os_error));
}

enum epb_status
epb_caller_explain(const struct epb_caller *caller, enum epb_status failure,
                   struct epb_buf *out)
{
    if (failure == EPB_BROKER_GONE) {
        return explain_gone(caller, out);
    }
    if (failure == EPB_TIMEOUT && caller->waited_ms != EPB_CALLER_FOREVER_MS) {
        return epb_buf_printf(out, "No answer came within %" PRIu64 " ms.",
                              caller->waited_ms);
    }
    return epb_buf_printf(out, "%s", epb_status_message(failure));
}
