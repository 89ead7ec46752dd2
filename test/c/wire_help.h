/* What the tests of the wire share: bytes, a broker's session fed in pieces, and a client
 * joined to it in memory. */
#ifndef EPB_TEST_WIRE_HELP_H
#define EPB_TEST_WIRE_HELP_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/channel.h"
#include "wire/cipher.h"
#include "wire/frame.h"
#include "wire/session.h"

#define TEXT(string) ((struct epb_bytes){(const uint8_t *)(string), strlen(string)})
#define LITERAL(string) \
    ((struct epb_bytes){(const uint8_t *)(string), sizeof(string) - 1})

/* Every mode, and those with keys, that this machine can do: the last one is left out
 * where it has no AES. */
static const enum epb_record_mode MODES[] = {EPB_RECORD_PLAIN, EPB_RECORD_CHACHA20,
                                             EPB_RECORD_MAC, EPB_RECORD_AES};
static const enum epb_record_mode *const KEYED_MODES = MODES + 1;

static inline size_t
mode_count(void)
{
    return sizeof(MODES) / sizeof(MODES[0]) - (epb_cipher_has_aes() ? 0 : 1);
}

static inline size_t
keyed_mode_count(void)
{
    return mode_count() - 1;
}

static inline bool
bytes_equal(struct epb_bytes left, struct epb_bytes right)
{
    return left.size_bytes == right.size_bytes &&
           (left.size_bytes == 0 || memcmp(left.data, right.data, left.size_bytes) == 0);
}

static inline struct epb_bytes
bytes_of(const struct epb_buf *buf)
{
    return (struct epb_bytes){epb_buf_data(buf), epb_buf_size(buf)};
}

static inline uint8_t *
front_of(struct epb_buf *buf)
{
    return buf->memory + buf->start;
}

static inline void
put(struct epb_buf *buf, struct epb_bytes bytes)
{
    cr_assert_eq(epb_buf_append(buf, bytes.data, bytes.size_bytes), EPB_OK);
}

static inline void
put_request(struct epb_buf *buf, struct epb_request request)
{
    cr_assert_eq(epb_frame_encode_request(buf, &request), EPB_OK);
}

/* xorshift64*: good enough for tests, the same everywhere. */
static inline uint64_t
next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* A broker with one session. */
struct broker {
    struct epb_options options;
    struct epb_engine *engine;
    struct epb_session_config config;
    struct epb_session *session;
    struct epb_time now;
    struct epb_buf output; /* what the session said, in all */
    size_t most_held;      /* the largest input ever held */
    unsigned wakes;        /* how often a turn was asked for */
};

static inline void
count_wake(void *context, void *owner)
{
    struct broker *broker = owner;

    cr_assert_null(context);
    broker->wakes++;
}

static inline void
broker_connect(struct broker *broker)
{
    epb_session_free(broker->session, &broker->now);
    broker->session = epb_session_new(&broker->config, broker, &broker->now);
    cr_assert_not_null(broker->session);
    epb_buf_consume(&broker->output, epb_buf_size(&broker->output));
}

/* The secret may be NULL; `options` too, for the defaults. */
static inline void
broker_start(struct broker *broker, const char *secret, const struct epb_options *options)
{
    memset(broker, 0, sizeof(*broker));
    broker->now =
        (struct epb_time){.boot_ms = 1000000, .mono_ms = 1000000, .wall_ms = 5000000};
    epb_options_default(&broker->options);
    if (options != NULL) {
        broker->options = *options;
    }
    broker->engine =
        epb_engine_new(&broker->options, &broker->now, epb_session_wake, NULL);
    cr_assert_not_null(broker->engine);
    broker->config.engine = broker->engine;
    broker->config.on_wake = count_wake;
    if (secret != NULL) {
        broker->config.secret = TEXT(secret);
    }
    epb_buf_init(&broker->output, (size_t)1 << 30);
    broker_connect(broker);
}

static inline void
broker_stop(struct broker *broker)
{
    epb_session_free(broker->session, &broker->now);
    epb_buf_pool_fini(&broker->config.pool);
    epb_engine_free(broker->engine);
    epb_buf_fini(&broker->output);
}

/* Another session of the same broker, with a clock of its own to be kept the same; it
 * goes first. */
static inline void
peer_start(struct broker *peer, const struct broker *broker)
{
    memset(peer, 0, sizeof(*peer));
    peer->options = broker->options;
    peer->now = broker->now;
    peer->engine = broker->engine;
    peer->config = (struct epb_session_config){
        .engine = broker->engine, .secret = broker->config.secret, .on_wake = count_wake};
    epb_buf_init(&peer->output, (size_t)1 << 30);
    broker_connect(peer);
}

static inline void
peer_stop(struct broker *peer)
{
    epb_session_free(peer->session, &peer->now);
    epb_buf_pool_fini(&peer->config.pool);
    epb_buf_fini(&peer->output);
}

static inline void
broker_take_output(struct broker *broker)
{
    struct epb_bytes output = epb_session_output(broker->session);

    put(&broker->output, output);
    epb_session_sent(broker->session, output.size_bytes);
}

/* Turns until there is nothing more to do, taking the output each time. */
static inline void
broker_work(struct broker *broker)
{
    bool more = true;

    while (more) {
        more = epb_session_turn(broker->session, &broker->now, 32, 65536);
        if (epb_session_output(broker->session).size_bytes >= 1048576) {
            more = true;
        }
        broker_take_output(broker);
    }
}

/* Bytes from the socket, at most `piece` at a time; returns how many were taken before
 * the session closed. */
static inline size_t
broker_feed(struct broker *broker, struct epb_bytes bytes, size_t piece)
{
    size_t fed = 0;

    while (fed < bytes.size_bytes && !epb_session_is_closing(broker->session)) {
        uint8_t *memory;
        size_t room;
        epb_session_input(broker->session, &memory, &room);
        if (epb_session_is_closing(broker->session)) {
            break;
        }
        cr_assert_gt(room, 0, "the session takes nothing though its output was taken");
        size_t size_bytes = bytes.size_bytes - fed;
        if (size_bytes > piece) {
            size_bytes = piece;
        }
        if (size_bytes > room) {
            size_bytes = room;
        }
        memcpy(memory, bytes.data + fed, size_bytes);
        epb_session_received(broker->session, size_bytes);
        fed += size_bytes;
        if (epb_session_held_input(broker->session) > broker->most_held) {
            broker->most_held = epb_session_held_input(broker->session);
        }
        broker_work(broker);
    }
    return fed;
}

/* The next reply frame of what was said without encryption; false when there is none. The
 * body points into `output`, which is consumed by the next call. */
static inline bool
next_reply(struct epb_bytes *stream, struct epb_reply *reply)
{
    size_t size_bytes;

    if (epb_frame_scan(*stream, UINT32_MAX, &size_bytes) != EPB_FRAME_COMPLETE) {
        return false;
    }
    struct epb_bytes frame = {stream->data, size_bytes};
    cr_assert_eq(epb_frame_decode_reply(frame, reply), EPB_OK);
    stream->data += size_bytes;
    stream->size_bytes -= size_bytes;
    return true;
}

/* Carries bytes both ways, at most `piece` at a time, until both are silent. Returns the
 * channel's verdict. */
static inline enum epb_status
exchange(struct broker *broker, struct epb_channel *channel, size_t piece)
{
    for (;;) {
        struct epb_bytes out = epb_channel_output(channel);
        bool moved = out.size_bytes > 0;
        if (out.size_bytes > piece) {
            out.size_bytes = piece;
        }
        size_t taken = broker_feed(broker, out, piece);
        epb_channel_sent(channel, taken);
        struct epb_bytes said = bytes_of(&broker->output);
        for (size_t at = 0; at < said.size_bytes;) {
            uint8_t *memory;
            size_t room;
            enum epb_status status = epb_channel_input(channel, &memory, &room);
            if (status != EPB_OK) {
                return status;
            }
            size_t size_bytes = said.size_bytes - at;
            if (size_bytes > piece) {
                size_bytes = piece;
            }
            if (size_bytes > room) {
                size_bytes = room;
            }
            memcpy(memory, said.data + at, size_bytes);
            at += size_bytes;
            moved = true;
            status = epb_channel_received(channel, size_bytes);
            if (status != EPB_OK) {
                return status;
            }
        }
        epb_buf_consume(&broker->output, said.size_bytes);
        if (epb_session_is_closing(broker->session)) {
            return epb_channel_close(channel);
        }
        if (!moved) {
            return EPB_OK;
        }
    }
}

#endif
