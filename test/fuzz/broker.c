#include "broker.h"

#include "wire/frame.h"
#include "wire/json.h"

#define SAID_MAX_BYTES ((size_t)128 << 20)

static void
on_wake(void *context, void *owner)
{
    struct fuzz_peer *peer = owner;

    (void)context;
    peer->woken = true;
}

void
fuzz_broker_start(struct fuzz_broker *broker, const char *secret)
{
    broker->now = (struct epb_time){
        .boot_ms = 1000000, .mono_ms = 1000000, .wall_ms = UINT64_C(1700000000000)};
    broker->config = (struct epb_session_config){.on_wake = on_wake};
    broker->config.engine =
        epb_engine_new(&broker->options, &broker->now, epb_session_wake, NULL);
    FUZZ_CHECK(broker->config.engine != NULL);
    if (secret != NULL) {
        broker->config.secret =
            (struct epb_bytes){(const uint8_t *)secret, strlen(secret)};
    }
}

void
fuzz_broker_stop(struct fuzz_broker *broker)
{
    epb_buf_pool_fini(&broker->config.pool);
    epb_engine_free(broker->config.engine);
}

void
fuzz_peer_open(struct fuzz_broker *broker, struct fuzz_peer *peer)
{
    peer->woken = false;
    epb_buf_init(&peer->said, SAID_MAX_BYTES);
    peer->session = epb_session_new(&broker->config, peer, &broker->now);
    FUZZ_CHECK(peer->session != NULL);
}

void
fuzz_peer_close(struct fuzz_broker *broker, struct fuzz_peer *peer)
{
    epb_session_free(peer->session, &broker->now);
    epb_buf_fini(&peer->said);
    peer->session = NULL;
}

void
fuzz_peer_listen(struct fuzz_peer *peer, size_t most_bytes)
{
    struct epb_bytes output = epb_session_output(peer->session);

    output.size_bytes = fuzz_least(output.size_bytes, most_bytes);
    if (output.size_bytes > 0) {
        FUZZ_CHECK(epb_buf_append(&peer->said, output.data, output.size_bytes) == EPB_OK);
        epb_session_sent(peer->session, output.size_bytes);
    }
}

void
fuzz_peer_work(struct fuzz_broker *broker, struct fuzz_peer *peer)
{
    bool more;

    peer->woken = false;
    do {
        more = epb_session_turn(peer->session, &broker->now, 32, 65536) ||
               epb_session_output(peer->session).size_bytes >= 1048576;
        fuzz_peer_listen(peer, SIZE_MAX);
    } while (more);
}

size_t
fuzz_peer_offer(struct fuzz_peer *peer, struct epb_bytes bytes)
{
    uint8_t *memory;
    size_t room;

    if (epb_session_is_closing(peer->session) || bytes.size_bytes == 0) {
        return 0;
    }
    epb_session_input(peer->session, &memory, &room);
    if (epb_session_is_closing(peer->session)) {
        return 0;
    }
    room = fuzz_least(room, bytes.size_bytes);
    if (room > 0) {
        memcpy(memory, bytes.data, room);
        epb_session_received(peer->session, room);
    }
    return room;
}

void
fuzz_peer_feed(struct fuzz_broker *broker, struct fuzz_peer *peer, struct epb_bytes bytes,
               uint64_t pieces)
{
    while (bytes.size_bytes > 0) {
        struct epb_bytes piece = {bytes.data,
                                  fuzz_least(bytes.size_bytes, fuzz_piece(&pieces))};
        size_t taken = fuzz_peer_offer(peer, piece);

        if (taken == 0) { /* closing, or held back until something that waits is over */
            {
                return;
            }
        }
        (void)fuzz_take(&bytes, taken);
        fuzz_peer_work(broker, peer);
    }
}

unsigned
fuzz_take_frames(struct epb_buf *said)
{
    struct epb_reply reply;
    size_t size_bytes;
    unsigned count = 0;

    while (epb_frame_scan(fuzz_held(said), UINT32_MAX, &size_bytes) ==
           EPB_FRAME_COMPLETE) {
        struct epb_bytes frame = {epb_buf_data(said), size_bytes};

        FUZZ_CHECK(epb_frame_decode_reply(frame, &reply) == EPB_OK);
        epb_buf_consume(said, size_bytes);
        count++;
    }
    return count;
}

unsigned
fuzz_take_lines(struct epb_buf *said)
{
    const uint8_t *end;
    unsigned count = 0;

    while (epb_buf_size(said) > 0 &&
           (end = memchr(epb_buf_data(said), '\n', epb_buf_size(said))) != NULL) {
        size_t size_bytes = (size_t)(end - epb_buf_data(said));
        struct epb_json_scan scan =
            epb_json_scan((struct epb_bytes){epb_buf_data(said), size_bytes});
        struct epb_json_span span;

        FUZZ_CHECK(epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span));
        FUZZ_CHECK(epb_json_has_ended(&scan) && span.kind == EPB_JSON_OBJECT);
        epb_buf_consume(said, size_bytes + 1);
        count++;
    }
    return count;
}
