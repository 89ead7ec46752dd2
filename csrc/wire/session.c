/*
 * See session.h: the life of a session, its turns, its input and output.
 *
 * Input is processed where it was read: frames and lines are decoded in the input buffer,
 * records are opened in it, and the engine copies a value from there into the store.
 * Replies are encoded into the output buffer. The replies of one turn become one record,
 * sealed in place.
 *
 * Both buffers come from the broker's pool and return to it when empty.
 *
 * Any early end of a connection goes through epb_session_refuse (sends the reason, then
 * closes) or epb_session_abandon (nothing more can be sent).
 */
#include "session.h"

#include "../base/shared_mem.h"
#include "../base/utf8.h"
#include "../core/command.h"
#include "frame.h"
#include "jsonl.h"
#include "session_internal.h"

#define PATIENCE_MS 10000U        /* for a handshake, and for a frame that has begun */
#define RENEWAL_PATIENCE_MS 1000U /* for a session in surplus to join */
#define OUTPUT_BOUND_BYTES (1024U * 1024U)
/* The size of a read adapts to the input between these bounds. */
#define READ_LEAST_BYTES 4096U
#define READ_MOST_BYTES (256U * 1024U)
/* After this many reads in a row that were far too large, the next is smaller. A single
 * one may have read the rest of something large. */
#define SMALL_READS_MOST 8U
/* Reading pauses while this much input awaits its turn. */
#define BACKLOG_BYTES (64U * 1024U)

/* Life */

struct epb_session *
epb_session_new(struct epb_session_config *config, void *owner,
                const struct epb_time *now)
{
    struct epb_session *session = epb_mem_alloc(sizeof(*session));

    if (session == NULL) {
        return NULL;
    }
    uint64_t limit = epb_engine_options(config->engine)->max_request_bytes;
    session->config = config;
    session->owner = owner;
    session->handshake_due_ms = now->mono_ms + PATIENCE_MS;
    session->partial_due_ms = EPB_SESSION_NEVER;
    session->read_bytes = READ_LEAST_BYTES;
    session->request_limit_bytes =
        limit < UINT32_MAX / 4U ? (size_t)limit : UINT32_MAX / 4U;
    /* A request, the record behind it, the gaps between records, and a read. */
    epb_buf_init(&session->in, 2 * session->request_limit_bytes +
                                   2 * EPB_RECORD_MAX_BYTES + READ_MOST_BYTES +
                                   BACKLOG_BYTES);
    epb_buf_init(&session->out,
                 EPB_SESSION_OUTPUT_LIMIT_BYTES + 2 * session->request_limit_bytes);
    return session;
}

/* Releases what the session holds now, not when the last of its output is written. */
static void
leave(struct epb_session *session, const struct epb_time *now)
{
    struct epb_peer *peer = session->peer;

    session->peer = NULL;
    epb_engine_leave(session->config->engine, peer, now);
    epb_pending_lines_free(session->calls);
    session->calls = NULL;
    session->holding = NULL;
    session->rest_bytes = 0;
}

void
epb_session_free(struct epb_session *session, const struct epb_time *now)
{
    if (session == NULL) {
        return;
    }
    leave(session, now);
    epb_buf_fini(&session->in);
    epb_buf_fini(&session->out);
    epb_handshake_free(session->handshake);
    epb_record_free(session->receiving);
    epb_record_free(session->sending);
    epb_hmac_fini(&session->line_hmac);
    epb_mem_free(session);
}

void
epb_session_restrict(struct epb_session *session, const struct epb_time *now)
{
    session->is_surplus = true;
    session->handshake_due_ms = now->mono_ms + RENEWAL_PATIENCE_MS;
}

bool
epb_session_renews(const struct epb_session *session)
{
    return session->renews;
}

void
epb_session_wake(void *context, void *session)
{
    const struct epb_session *woken = session;

    (void)context;
    if (woken->in_turn || woken->peer == NULL || woken->config->on_wake == NULL) {
        return;
    }
    woken->config->on_wake(woken->config->wake_context, woken->owner);
}

void
epb_session_turn_away(struct epb_session *session)
{
    bool in_records = session->stage == EPB_STAGE_FRAMES;

    if (in_records && epb_record_begin(session->sending, &session->out) != EPB_OK) {
        epb_session_abandon(session);
        return;
    }
    epb_session_refuse(session, 0, EPB_MAX_CONNECTIONS);
    if (in_records && epb_record_end(session->sending, &session->out) != EPB_OK) {
        epb_session_abandon(session);
    }
}

/* To the engine, and from it */

static bool
has_next(const struct epb_session *session)
{
    return session->peer != NULL &&
           epb_engine_has_next(session->config->engine, session->peer);
}

/* A request is still being worked on, or its reply leaves in pieces: requests behind it
 * wait. */
static bool
is_occupied(const struct epb_session *session)
{
    return session->peer != NULL && epb_engine_is_occupied(session->peer);
}

/* The usual case: the engine has no reply and no work for this session. */
static bool
is_idle(const struct epb_session *session)
{
    return session->rest_bytes == 0 &&
           (session->peer == NULL || epb_engine_is_idle(session->peer));
}

static bool
output_is_full(const struct epb_session *session)
{
    return epb_buf_size(&session->out) >= OUTPUT_BOUND_BYTES;
}

/* Sends the next piece of a long body. A reply can't end in the middle: after an error
 * the connection closes. */
static void
put_piece(struct epb_session *session)
{
    struct epb_bytes piece;
    enum epb_status status =
        epb_engine_piece(session->config->engine, session->peer, &piece);

    if (status == EPB_OK) {
        EPB_ASSERT(piece.size_bytes <= session->rest_bytes);
        session->rest_bytes -= piece.size_bytes;
        status = session->stage == EPB_STAGE_LINES
                     ? epb_session_put_line_piece(session, piece)
                     : epb_session_put_frame_piece(session, piece);
    }
    if (status != EPB_OK) {
        epb_session_abandon(session);
    }
}

/* Takes one reply or event from the engine and encodes it. False when there is none. */
static bool
take_next(struct epb_session *session, const struct epb_time *now)
{
    struct epb_reply reply;

    if (session->rest_bytes > 0) {
        put_piece(session);
        return true;
    }
    if (!has_next(session)) {
        return false;
    }
    if (!epb_session_has_reply_room(session)) {
        epb_session_abandon(session);
        return false;
    }
    if (!epb_engine_next(session->config->engine, session->peer, now, &reply)) {
        return false;
    }
    if (session->config->log_requests && reply.id != 0) {
        epb_session_emit(session, "answered", NULL, reply.status);
    }
    if (session->stage == EPB_STAGE_LINES) {
        epb_session_put_line(session, &reply);
    } else {
        epb_session_put_frame(session, &reply);
    }
    return true;
}

/* Turns */

static enum epb_session_found
serve_next(struct epb_session *session, const struct epb_time *now, size_t *size_bytes)
{
    if (session->stage == EPB_STAGE_LINES) {
        return epb_session_serve_line(session, now, size_bytes);
    }
    return epb_session_serve_frame(session, now, size_bytes);
}

/* Alternates between output of the engine and requests. The engine's output comes first
 * because it happened before. Returns how many requests were served. */
static unsigned
serve(struct epb_session *session, const struct epb_time *now, unsigned max_frames,
      size_t max_bytes)
{
    unsigned served = 0;
    unsigned taken = 0;
    size_t done_bytes = 0;
    /* Large replies to small requests take time too, to copy and to seal. */
    size_t most_bytes = epb_buf_size(&session->out) + max_bytes;

    if (most_bytes > OUTPUT_BOUND_BYTES) {
        most_bytes = OUTPUT_BOUND_BYTES;
    }
    session->has_more = true;
    while (served + taken < max_frames && done_bytes < max_bytes &&
           epb_buf_size(&session->out) < most_bytes &&
           session->stage != EPB_STAGE_CLOSING &&
           session->asks != EPB_SESSION_CHANGES_PATH) {
        bool took = false;
        if (!is_idle(session)) {
            took = take_next(session, now);
            taken += took;
            if (session->stage == EPB_STAGE_CLOSING || served + taken == max_frames ||
                output_is_full(session)) {
                break;
            }
            if (is_occupied(session)) {
                if (took) {
                    continue;
                }
                break;
            }
        }
        size_t size_bytes;
        enum epb_session_found found = serve_next(session, now, &size_bytes);
        if (found == EPB_FOUND_END) {
            break;
        }
        if (found == EPB_FOUND_REQUEST) {
            served++;
            done_bytes += size_bytes;
        } else if (!took) {
            session->has_more = session->holding != NULL;
            break;
        }
    }
    if (epb_buf_size(&session->in) == 0 || session->stage == EPB_STAGE_CLOSING) {
        session->has_more = false;
    }
    return served;
}

/* Like serve, with the replies in one record. */
static unsigned
serve_frames(struct epb_session *session, const struct epb_time *now, unsigned max_frames,
             size_t max_bytes)
{
    if (epb_record_begin(session->sending, &session->out) != EPB_OK) {
        epb_session_abandon(session);
        return 0;
    }
    unsigned served = serve(session, now, max_frames, max_bytes);
    if (epb_record_end(session->sending, &session->out) != EPB_OK) {
        epb_session_abandon(session);
    }
    return served;
}

/* Sets the deadline of a request that has begun and is not complete. While the output is
 * full nothing is read, so nothing can be late. */
static void
watch_partial(struct epb_session *session, const struct epb_time *now, unsigned served)
{
    bool begun = epb_buf_size(&session->in) > 0 || session->skip_bytes > 0;
    bool partial = begun && !session->has_more && !output_is_full(session);

    if (!partial) {
        session->partial_due_ms = EPB_SESSION_NEVER;
    } else if (served > 0 || session->partial_due_ms == EPB_SESSION_NEVER) {
        session->partial_due_ms = now->mono_ms + PATIENCE_MS;
    }
}

/* Whether a session of lines still owes its peer something after the end of input. */
static bool
has_calls(const struct epb_session *session)
{
    return session->stage == EPB_STAGE_LINES && epb_pending_lines_any(session->calls);
}

/* The peer sends no more, and all complete requests have been served. */
static void
end_input(struct epb_session *session)
{
    if (has_calls(session)) {
        epb_buf_consume(&session->in, epb_buf_size(&session->in));
    } else {
        epb_session_abandon(session);
    }
}

static bool
take_turn(struct epb_session *session, const struct epb_time *now, unsigned max_frames,
          size_t max_bytes)
{
    epb_session_advance(session);
    if (session->stage != EPB_STAGE_FRAMES && session->stage != EPB_STAGE_LINES) {
        if (session->input_ended) {
            epb_session_abandon(session);
        }
        return false;
    }
    if (output_is_full(session) || session->asks == EPB_SESSION_CHANGES_PATH) {
        session->partial_due_ms = EPB_SESSION_NEVER;
        return false;
    }
    epb_buf_pool_take(&session->config->pool, &session->out);
    unsigned served = session->stage == EPB_STAGE_LINES
                          ? serve(session, now, max_frames, max_bytes)
                          : serve_frames(session, now, max_frames, max_bytes);
    if (session->input_ended && !session->has_more && !is_occupied(session)) {
        end_input(session);
    }
    if (session->stage == EPB_STAGE_CLOSING) {
        return false;
    }
    watch_partial(session, now, served);
    if (epb_buf_size(&session->in) == 0) {
        epb_buf_pool_give(&session->config->pool, &session->in);
    }
    if (epb_buf_size(&session->out) == 0) {
        epb_buf_pool_give(&session->config->pool, &session->out);
    }
    bool more = session->has_more && session->holding == NULL && !is_occupied(session);
    return (more || session->rest_bytes > 0 || has_next(session)) &&
           !output_is_full(session);
}

bool
epb_session_turn(struct epb_session *session, const struct epb_time *now,
                 unsigned max_frames, size_t max_bytes)
{
    session->in_turn = true;
    bool more = take_turn(session, now, max_frames, max_bytes);
    session->in_turn = false;
    if (session->stage == EPB_STAGE_CLOSING) {
        leave(session, now);
        /* Discards the refused request and all input behind it. */
        epb_buf_consume(&session->in, epb_buf_size(&session->in));
    }
    return more;
}

/* Pipe pair */

enum epb_session_asks
epb_session_asks(struct epb_session *session)
{
    enum epb_session_asks asks = session->asks;

    session->asks = EPB_SESSION_ASKS_NOTHING;
    return asks;
}

void
epb_session_pipe_pair_passed(struct epb_session *session)
{
    session->has_pipe_pair = true;
}

/* Input and output */

static size_t
clamp(size_t value, size_t least, size_t most)
{
    if (value < least) {
        return least;
    }
    return value > most ? most : value;
}

/* How many bytes may be read now. */
static size_t
room_for_input(const struct epb_session *session)
{
    size_t held_bytes = epb_buf_size(&session->in);

    switch (session->stage) {
    case EPB_STAGE_CLOSING:
        return 0;
    case EPB_STAGE_SNIFF:
    case EPB_STAGE_HELLO:
    case EPB_STAGE_PROOF:
        if (!epb_session_has_secret(session)) {
            break;
        }
        return held_bytes < EPB_HELLO_MAX_BYTES ? EPB_HELLO_MAX_BYTES - held_bytes : 0;
    default:
        break;
    }
    if (session->input_ended || output_is_full(session)) {
        return 0;
    }
    if (session->has_more && held_bytes >= BACKLOG_BYTES) {
        return 0;
    }
    return session->read_bytes;
}

void
epb_session_input(struct epb_session *session, uint8_t **memory, size_t *size_bytes)
{
    *memory = NULL;
    *size_bytes = room_for_input(session);
    if (*size_bytes >= READ_LEAST_BYTES) {
        epb_buf_pool_take(&session->config->pool, &session->in);
    }
    if (*size_bytes > 0 && epb_buf_reserve(&session->in, *size_bytes, memory) != EPB_OK) {
        *size_bytes = 0;
        /* Outside a turn there is no record for a refusal. */
        epb_session_emit(session, "refused", NULL, EPB_INTERNAL);
        epb_session_abandon(session);
    }
    session->offered_bytes = *size_bytes;
}

void
epb_session_received(struct epb_session *session, size_t size_bytes)
{
    EPB_ASSERT(size_bytes <= session->offered_bytes);
    if (size_bytes == 0) {
        session->offered_bytes = 0;
        if (epb_buf_size(&session->in) == 0) {
            epb_buf_pool_give(&session->config->pool, &session->in);
        }
        return;
    }
    epb_buf_commit(&session->in, size_bytes);
    session->has_more = true;
    if (session->offered_bytes == session->read_bytes) {
        size_t next_bytes = session->read_bytes;
        session->small_reads =
            size_bytes < session->offered_bytes / 4 ? session->small_reads + 1 : 0;
        if (size_bytes == session->offered_bytes) {
            next_bytes *= 2;
        }
        if (session->small_reads == SMALL_READS_MOST) {
            session->small_reads = 0;
            next_bytes /= 2;
        }
        session->read_bytes = clamp(next_bytes, READ_LEAST_BYTES, READ_MOST_BYTES);
    }
    session->offered_bytes = 0;
}

struct epb_bytes
epb_session_output(const struct epb_session *session)
{
    return (struct epb_bytes){epb_buf_data(&session->out), epb_buf_size(&session->out)};
}

void
epb_session_sent(struct epb_session *session, size_t size_bytes)
{
    epb_buf_consume(&session->out, size_bytes);
    if (epb_buf_size(&session->out) == 0) {
        epb_buf_pool_give(&session->config->pool, &session->out);
    }
}

void
epb_session_end_of_input(struct epb_session *session, const struct epb_time *now)
{
    session->input_ended = true;
    if (epb_buf_size(&session->in) > 0 || is_occupied(session)) {
        return;
    }
    end_input(session);
    if (session->stage == EPB_STAGE_CLOSING) {
        leave(session, now);
    }
}

bool
epb_session_is_occupied(const struct epb_session *session)
{
    return is_occupied(session);
}

bool
epb_session_is_closing(const struct epb_session *session)
{
    return session->stage == EPB_STAGE_CLOSING;
}

bool
epb_session_is_unproven(const struct epb_session *session)
{
    if (session->stage == EPB_STAGE_LINES) {
        return epb_session_has_secret(session) && !session->proven;
    }
    return session->stage < EPB_STAGE_FRAMES;
}

/* A session in surplus that has not joined yet. */
static bool
awaits_renewal(const struct epb_session *session)
{
    return session->is_surplus && !session->renews && session->stage != EPB_STAGE_CLOSING;
}

uint64_t
epb_session_deadline(const struct epb_session *session)
{
    if (epb_session_is_unproven(session) || awaits_renewal(session)) {
        return session->handshake_due_ms;
    }
    return session->partial_due_ms;
}

bool
epb_session_prolong(struct epb_session *session, const struct epb_time *now)
{
    if (session->peer == NULL || epb_session_is_unproven(session) ||
        !epb_engine_holds(session->peer)) {
        return false;
    }
    session->partial_due_ms = now->mono_ms + PATIENCE_MS;
    return true;
}

size_t
epb_session_held_input(const struct epb_session *session)
{
    return session->in.capacity_bytes;
}

size_t
epb_session_held_output(const struct epb_session *session)
{
    size_t held_bytes = session->out.capacity_bytes;

    if (session->peer != NULL) {
        held_bytes += epb_engine_held_bytes(session->peer);
    }
    return held_bytes;
}
