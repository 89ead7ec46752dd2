/*
 * pipe: JSON lines (wire/jsonl.h) on standard input and output, for any language. The
 * secret stays here: the connection is authenticated and sealed as every other.
 *
 * Requests with an id are in flight together, and their replies come in any order. A
 * request without an id holds back the lines after it, since its reply can be told by
 * its place alone. Each line gets exactly one reply.
 *
 * Leases are renewed here until they are released, or until the program ends; a request
 * with a TTL is not: it says how long the lease lasts. A lost lease is an event.
 *
 * At the end of standard input the program ends when all requests have their replies. The
 * broker's end is the program's, after an error for each request.
 */
#include <inttypes.h>
#include <string.h>

#include "../client/packed.h"
#include "../wire/frame.h"
#include "../wire/jsonl.h"
#include "../wire/pending_lines.h"
#include "commands.h"
#include "dialog.h"
#include "output.h"
#include "pipe_input.h"
#include "pipe_reply.h"

/* Longer than any request that a broker takes. */
#define LINE_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define OUTPUT_MAX_BYTES ((size_t)512 * 1024 * 1024)
#define KEPT_BYTES ((size_t)64 * 1024)
#define RENEWALS_A_TTL 3U

struct pipe {
    struct epb_dialog dialog;
    struct epb_pending_lines *calls; /* unanswered requests, and watches */
    unsigned unanswered;
    struct epb_call *holding; /* without an id: lines after it wait; NULL: none */
    bool skips;               /* the rest of a line that is too long */
    bool input_ended;
    enum epb_status failure; /* of an event; EPB_OK: none */
    struct epb_buf input;
    struct epb_buf output;
};

/* Replies */

static enum epb_status
refuse(struct pipe *pipe, struct epb_bytes id, enum epb_status status)
{
    return epb_jsonl_encode_error(&pipe->output, id, status);
}

static void
forget(struct pipe *pipe, struct epb_call *call)
{
    if (pipe->holding == call) {
        pipe->holding = NULL;
    }
    epb_pending_lines_remove(pipe->calls, call);
}

static enum epb_status
start_renewal(struct pipe *pipe, const struct epb_reply *reply)
{
    const struct epb_request renew = {
        .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = reply->fence};
    uint64_t interval_ms = reply->ttl_ms / RENEWALS_A_TTL;
    struct epb_buf frame;
    uint64_t id = 0;

    epb_buf_init(&frame, EPB_CLIENT_KEPT_MAX_BYTES);
    enum epb_status status = epb_frame_encode_request(&frame, &renew);
    if (status == EPB_OK) {
        struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
        status = epb_client_start_renewal(epb_caller_client(pipe->dialog.caller), bytes,
                                          interval_ms == 0 ? 1 : interval_ms, &id);
    }
    epb_buf_fini(&frame);
    return status;
}

/* Renews a lease that was just granted. Without memory for it, it ends with its TTL, and
 * an event says so then. */
static void
keep(struct pipe *pipe, const struct epb_reply *reply)
{
    if (start_renewal(pipe, reply) != EPB_OK) {
        epb_cli_complain("pipe: a lease can't be renewed, it ends in %" PRIu64 " ms",
                         reply->ttl_ms);
    }
}

/* A call is marked when its lease is to be renewed, and a watch when it has begun. */
static bool
is_renewed(const struct epb_call *call, const struct epb_reply *reply)
{
    return call->is_marked && call->command->shape != EPB_SHAPE_WATCH &&
           reply->status == EPB_OK && (reply->flags & EPB_F_FENCE) != 0 &&
           (reply->flags & EPB_F_TTL) != 0;
}

static enum epb_status
answer(struct pipe *pipe, const struct epb_reply *reply)
{
    struct epb_call *call = epb_pending_lines_numbered(pipe->calls, reply->id);

    if (call == NULL) {
        return EPB_OK;
    }
    enum epb_status status =
        epb_pipe_reply(&pipe->output, call->command, epb_call_id(call), reply);
    if (status == EPB_INVALID_VALUE || status == EPB_TOO_LARGE) {
        status = refuse(pipe, epb_call_id(call), status);
    }
    if (is_renewed(call, reply)) {
        keep(pipe, reply);
    }
    pipe->unanswered--;
    if (call->command->shape == EPB_SHAPE_WATCH && reply->status == EPB_OK) {
        call->is_marked = true;
    } else {
        forget(pipe, call);
    }
    return status;
}

static void
on_event(void *context, const struct epb_reply *event)
{
    struct pipe *pipe = context;
    enum epb_status status = EPB_OK;

    if (event->status != EPB_OK) {
        status = epb_pipe_lost(&pipe->output, event);
    } else if (!epb_packed_are_events(event->body)) {
        status = EPB_VERSION_MISMATCH;
    } else {
        const struct epb_call *watch =
            epb_pending_lines_numbered(pipe->calls, (uint32_t)event->count);
        if (watch != NULL) {
            status =
                epb_jsonl_encode_events(&pipe->output, epb_call_id(watch), event->body);
        }
    }
    pipe->failure = pipe->failure == EPB_OK ? status : pipe->failure;
}

/* Takes all replies that have arrived. */
static enum epb_status
take_replies(struct pipe *pipe)
{
    struct epb_reply reply;
    enum epb_status status = epb_caller_next(pipe->dialog.caller, 0, &reply);

    while (status == EPB_OK) {
        status = answer(pipe, &reply);
        if (status == EPB_OK) {
            status = epb_caller_next(pipe->dialog.caller, 0, &reply);
        }
    }
    if (pipe->failure != EPB_OK) {
        return pipe->failure;
    }
    return status == EPB_TIMEOUT ? EPB_OK : status;
}

/* Requests */

/* Requests of the client's own, which would change the connection itself. */
static bool
is_internal(const struct epb_command *command)
{
    return command->action == EPB_ACTION_JOIN || command->action == EPB_ACTION_TAKE;
}

static bool
asks_for_renewal(const struct epb_jsonl_request *line)
{
    bool is_grant = line->command->shape == EPB_SHAPE_LEASE ||
                    line->command->shape == EPB_SHAPE_COMPUTE;
    bool has_end = line->command->shape == EPB_SHAPE_LEASE &&
                   (line->request.flags & (EPB_F_TTL | EPB_F_DETACHED)) != 0;

    return is_grant && !has_end;
}

static enum epb_status
check(const struct pipe *pipe, const struct epb_jsonl_request *line)
{
    if (is_internal(line->command)) {
        return EPB_UNKNOWN_ACTION;
    }
    if (line->id.size_bytes == 0 && line->command->shape == EPB_SHAPE_WATCH) {
        return EPB_INVALID_REQUEST; /* its events could not be told */
    }
    return line->id.size_bytes > 0 && epb_pending_lines_named(pipe->calls, line->id)
               ? EPB_INVALID_REQUEST /* the id is in use */
               : EPB_OK;
}

/* Puts the number of the request to cancel into the request. */
static void
put_target(struct pipe *pipe, struct epb_jsonl_request *line)
{
    struct epb_call *target = epb_pending_lines_named(pipe->calls, line->target);

    if (target == NULL) {
        return;
    }
    line->request.count = target->number;
    if (target->command->shape == EPB_SHAPE_WATCH && target->is_marked) {
        forget(pipe, target);
    }
}

static enum epb_status
send(struct pipe *pipe, struct epb_jsonl_request *line)
{
    uint32_t id = 0;
    enum epb_status status = check(pipe, line);

    if (status != EPB_OK) {
        return refuse(pipe, line->id, status);
    }
    put_target(pipe, line);
    struct epb_call *call = epb_pending_lines_add(pipe->calls, line->command, line->id);
    if (call == NULL) {
        return EPB_INTERNAL;
    }
    call->is_marked = asks_for_renewal(line);
    line->request.id = call->number;
    status = epb_caller_send(pipe->dialog.caller, &line->request, &id);
    if (status == EPB_TOO_LARGE) {
        status = refuse(pipe, line->id, status);
        forget(pipe, call);
        return status;
    }
    pipe->unanswered++;
    pipe->holding = line->id.size_bytes == 0 ? call : NULL;
    return status;
}

static enum epb_status
serve_line(struct pipe *pipe, uint8_t *text, size_t size_bytes)
{
    struct epb_jsonl_request line;
    struct epb_buf scratch;

    if (size_bytes > 0 && text[size_bytes - 1] == '\r') {
        size_bytes--;
    }
    epb_buf_init(&scratch, EPB_JSONL_SCRATCH_BYTES(size_bytes));
    enum epb_status status = epb_jsonl_decode(text, size_bytes, &scratch, &line);
    status = status == EPB_OK         ? send(pipe, &line)
             : status == EPB_INTERNAL ? status
                                      : refuse(pipe, line.id, status);
    epb_buf_fini(&scratch);
    return status;
}

/* Takes lines while nothing holds them back. At the end, a last line may lack its
 * newline. */
static enum epb_status
serve_lines(struct pipe *pipe)
{
    static const struct epb_bytes no_id = {NULL, 0};
    enum epb_status status = EPB_OK;

    while (status == EPB_OK && pipe->holding == NULL) {
        size_t size_bytes = epb_buf_size(&pipe->input);
        uint8_t *front = pipe->input.memory + pipe->input.start;
        const uint8_t *newline = size_bytes == 0 ? NULL : memchr(front, '\n', size_bytes);
        if (newline == NULL && !(pipe->input_ended && size_bytes > 0)) {
            break;
        }
        size_t line_bytes = newline == NULL ? size_bytes : (size_t)(newline - front);
        if (pipe->skips) {
            status = refuse(pipe, no_id, EPB_TOO_LARGE);
        } else if (line_bytes > 0) {
            status = serve_line(pipe, front, line_bytes);
        }
        pipe->skips = false;
        epb_buf_consume(&pipe->input, line_bytes + (newline == NULL ? 0 : 1));
    }
    return status;
}

/* Takes input, unless lines wait. Of a line that is too long only its end is kept. */
static enum epb_status
take_input(struct pipe *pipe)
{
    size_t size_bytes = epb_buf_size(&pipe->input);

    if (pipe->holding != NULL) {
        return EPB_OK;
    }
    if (size_bytes > LINE_MAX_BYTES || pipe->skips) {
        pipe->skips = true;
        epb_buf_consume(&pipe->input, size_bytes);
    }
    return epb_pipe_input_take(&pipe->input, &pipe->input_ended);
}

/* Runs until the end of the input or of the conversation. EPB_OK: the input's. */
static enum epb_status
converse(struct pipe *pipe)
{
    for (;;) {
        bool armed = false;
        enum epb_status status = take_replies(pipe);
        status = status == EPB_OK ? take_input(pipe) : status;
        status = status == EPB_OK ? serve_lines(pipe) : status;
        if (!epb_out_buf(&pipe->output)) {
            return EPB_OK; /* nothing can be said any more */
        }
        epb_buf_consume(&pipe->output, epb_buf_size(&pipe->output));
        epb_buf_trim(&pipe->output, KEPT_BYTES);
        if (status != EPB_OK) {
            return status;
        }
        if (pipe->input_ended && epb_buf_size(&pipe->input) == 0 &&
            pipe->unanswered == 0) {
            return EPB_OK;
        }
        status = epb_caller_arm(pipe->dialog.caller, &armed);
        if (status != EPB_OK) {
            return status;
        }
        if (armed) {
            epb_pipe_input_wait();
        }
    }
}

/* The conversation is over: every request gets an error. */
static int
end(struct pipe *pipe, enum epb_status failure)
{
    const struct epb_reply reply = {.status = failure};
    const struct epb_request none = {.action = EPB_ACTION_PING};
    struct epb_buf message;
    struct epb_call *call;

    while ((call = epb_pending_lines_first(pipe->calls)) != NULL) {
        if (refuse(pipe, epb_call_id(call), failure) != EPB_OK) {
            break;
        }
        forget(pipe, call);
    }
    (void)epb_out_buf(&pipe->output);
    epb_buf_init(&message, 4096);
    int status = EPB_EXIT_NO_BROKER;
    if (epb_message_prefix(&message, "pipe", none.key) == EPB_OK &&
        epb_caller_explain(pipe->dialog.caller, failure, &message) == EPB_OK) {
        epb_cli_complain_buf(&message);
    } else {
        status = epb_dialog_refuse(&pipe->dialog, &none, NULL, &reply);
    }
    epb_buf_fini(&message);
    return status;
}

static int
run(struct pipe *pipe)
{
    enum epb_status status = epb_caller_connect(pipe->dialog.caller);

    if (status == EPB_OK) {
        status = epb_pipe_input_start();
    }
    if (status == EPB_OK) {
        status = converse(pipe);
    }
    return status == EPB_OK ? EPB_EXIT_DONE : end(pipe, status);
}

int
epb_run_pipe(struct epb_cli *cli)
{
    struct pipe pipe = {.calls = epb_pending_lines_new()};
    const struct epb_dialog_how how = {.shares_session = true,
                                       .on_event = on_event,
                                       .on_ready = epb_pipe_input_ring,
                                       .context = &pipe};

    epb_buf_init(&pipe.input, LINE_MAX_BYTES + 2 * EPB_PIPE_INPUT_AHEAD_BYTES);
    epb_buf_init(&pipe.output, OUTPUT_MAX_BYTES);
    int status = epb_dialog_open(&pipe.dialog, cli, &how);
    if (status == 0 && pipe.calls == NULL) {
        status = epb_cli_no_memory(cli);
    }
    status = status == 0 ? run(&pipe) : status;
    epb_dialog_close(&pipe.dialog);
    epb_pending_lines_free(pipe.calls);
    epb_buf_fini(&pipe.input);
    epb_buf_fini(&pipe.output);
    return status;
}
