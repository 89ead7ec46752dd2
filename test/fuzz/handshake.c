/*
 * The handshake. The first byte says what the rest is: garbage for a broker that has a
 * secret, garbage for a client that has one, or edits made by a relay between the two.
 *
 * Whatever comes: nothing reaches the engine of a broker whose peer has not proved
 * itself, nothing but its hello leaves a client whose peer has not, and what was edited
 * is noticed by whoever gets it.
 */
#include "broker.h"

#include "wire/channel.h"
#include "wire/frame.h"

#define MARKER "what must not be seen"
/* The longest that a broker says to somebody unproven: its hello, and a refusal as a
 * frame or as a line. */
#define UNPROVEN_OUTPUT_MAX_BYTES 512U
#define EDITS_MAX 8U

static bool
nothing_ran(const struct fuzz_broker *broker)
{
    struct epb_stats stats;

    epb_engine_stats(broker->config.engine, &broker->now, &stats);
    return stats.by_status[EPB_OK] == 0 && stats.store.items == 0 &&
           stats.leases.grants == 0 && stats.waiting == 0 && stats.watchers == 0;
}

static void
feed_broker(struct epb_bytes input, uint64_t pieces, bool legacy_hmac)
{
    struct fuzz_broker broker;
    struct fuzz_peer peer;

    epb_options_default(&broker.options);
    fuzz_broker_start(&broker, FUZZ_SECRET);
    broker.config.legacy_hmac = legacy_hmac;
    fuzz_peer_open(&broker, &peer);
    fuzz_peer_feed(&broker, &peer, input, pieces);
    FUZZ_CHECK(epb_session_is_unproven(peer.session) ||
               epb_session_is_closing(peer.session));
    FUZZ_CHECK(epb_buf_size(&peer.said) <= UNPROVEN_OUTPUT_MAX_BYTES);
    epb_session_end_of_input(peer.session, &broker.now);
    fuzz_peer_work(&broker, &peer);
    FUZZ_CHECK(epb_session_is_closing(peer.session));
    FUZZ_CHECK(nothing_ran(&broker));
    fuzz_peer_close(&broker, &peer);
    fuzz_broker_stop(&broker);
}

static struct epb_channel *
client_new(enum epb_record_mode mode)
{
    const struct epb_bytes secret = {(const uint8_t *)FUZZ_SECRET, strlen(FUZZ_SECRET)};
    struct epb_channel *channel = epb_channel_new_in_mode(secret, mode);
    struct epb_request request = {.action = EPB_ACTION_SET,
                                  .flags = EPB_F_TTL | EPB_F_BINARY,
                                  .ttl_ms = 60000,
                                  .id = 1,
                                  .key = {(const uint8_t *)"k", 1},
                                  .value = {(const uint8_t *)MARKER, strlen(MARKER)}};
    struct epb_buf frame;

    FUZZ_CHECK(channel != NULL);
    epb_buf_init(&frame, 4096);
    FUZZ_CHECK(epb_frame_encode_request(&frame, &request) == EPB_OK);
    FUZZ_CHECK(epb_channel_send(channel, fuzz_held(&frame)) == EPB_OK);
    epb_buf_fini(&frame);
    return channel;
}

/* False when the channel is dead. */
static bool
client_hears(struct epb_channel *channel, struct epb_bytes bytes, uint64_t *pieces)
{
    while (bytes.size_bytes > 0) {
        uint8_t *memory;
        size_t room;

        if (epb_channel_input(channel, &memory, &room) != EPB_OK) {
            return false;
        }
        struct epb_bytes piece = fuzz_take(&bytes, fuzz_least(room, fuzz_piece(pieces)));
        memcpy(memory, piece.data, piece.size_bytes);
        if (epb_channel_received(channel, piece.size_bytes) != EPB_OK) {
            return false;
        }
    }
    return true;
}

static void
feed_client(struct epb_bytes input, uint64_t pieces, enum epb_record_mode mode)
{
    struct epb_channel *channel = client_new(mode);

    (void)client_hears(channel, input, &pieces);
    FUZZ_CHECK(!epb_channel_is_open(channel));
    FUZZ_CHECK(epb_channel_output(channel).size_bytes == EPB_CLIENT_HELLO_BYTES);
    FUZZ_CHECK(epb_channel_stream(channel).size_bytes == 0);
    FUZZ_CHECK(epb_channel_close(channel) != EPB_OK);
    epb_channel_free(channel);
}

/* A stream that passes the relay: so far, and where it is changed. */
struct relayed {
    size_t passed_bytes;
    size_t changed_at; /* the first place, SIZE_MAX: none */
    struct {
        size_t at;
        uint8_t xor ;
    } edits[EDITS_MAX];
    unsigned count;
};

static void
relay(struct relayed *relayed, uint8_t *bytes, size_t size_bytes)
{
    for (unsigned i = 0; i < relayed->count; i++) {
        size_t at = relayed->edits[i].at;

        if (at >= relayed->passed_bytes && at - relayed->passed_bytes < size_bytes) {
            bytes[at - relayed->passed_bytes] ^= relayed->edits[i].xor ;
            relayed->changed_at = fuzz_least(relayed->changed_at, at);
        }
    }
    relayed->passed_bytes += size_bytes;
}

/* Each place once, so that a change can't be undone. */
static void
add_edit(struct relayed *relayed, size_t at, uint8_t xor)
{
    for (unsigned i = 0; i < relayed->count; i++) {
        if (relayed->edits[i].at == at) {
            return;
        }
    }
    if (relayed->count < EDITS_MAX && xor != 0) {
        relayed->edits[relayed->count].at = at;
        relayed->edits[relayed->count++].xor = xor;
    }
}

/* To the broker and back, until both are silent. Records of the MAC mode can be read,
 * once the broker has proved itself. */
static void
join(struct fuzz_broker *broker, struct fuzz_peer *peer, struct epb_channel *channel,
     struct relayed relayed[2], uint64_t pieces, enum epb_record_mode mode)
{
    bool lives = true;

    for (unsigned rounds = 0; rounds < 8; rounds++) {
        struct epb_bytes out = epb_channel_output(channel);
        uint8_t flight[4096];

        bool readable = mode == EPB_RECORD_MAC && epb_channel_is_open(channel);
        FUZZ_CHECK(out.size_bytes <= sizeof(flight));
        FUZZ_CHECK(readable || !fuzz_contains(out, MARKER));
        memcpy(flight, out.data == NULL ? flight : out.data, out.size_bytes);
        relay(&relayed[0], flight, out.size_bytes);
        epb_channel_sent(channel, out.size_bytes);
        out.data = flight;
        fuzz_peer_feed(broker, peer, out, pieces);

        struct epb_bytes said = fuzz_held(&peer->said);
        if (said.size_bytes == 0) {
            return;
        }
        relay(&relayed[1], peer->said.memory + peer->said.start, said.size_bytes);
        lives = lives && client_hears(channel, said, &pieces);
        epb_buf_consume(&peer->said, said.size_bytes);
    }
}

/* The reply, when nobody changed a thing; at most a refusal, when what the broker got was
 * changed; nothing, when what the client got was. */
static void
check_stream(const struct epb_channel *channel, const struct relayed relayed[2])
{
    struct epb_bytes stream = epb_channel_stream(channel);
    struct epb_reply reply;

    if (relayed[1].changed_at != SIZE_MAX) {
        FUZZ_CHECK(stream.size_bytes == 0);
    } else if (relayed[0].changed_at != SIZE_MAX) {
        FUZZ_CHECK(stream.size_bytes == 0 ||
                   (epb_frame_decode_reply(stream, &reply) == EPB_OK && reply.id == 0 &&
                    reply.status != EPB_OK));
    } else {
        FUZZ_CHECK(epb_frame_decode_reply(stream, &reply) == EPB_OK && reply.id == 1 &&
                   reply.status == EPB_OK);
    }
}

static void
feed_relay(struct epb_bytes input, uint64_t pieces, enum epb_record_mode mode)
{
    struct relayed relayed[2] = {{.changed_at = SIZE_MAX}, {.changed_at = SIZE_MAX}};
    struct epb_channel *channel = client_new(mode);
    struct fuzz_broker broker;
    struct fuzz_peer peer;

    while (input.size_bytes > 0) {
        uint8_t where = fuzz_u8(&input);
        size_t at = fuzz_u8(&input);

        add_edit(&relayed[where & 1], at, fuzz_u8(&input));
    }
    epb_options_default(&broker.options);
    fuzz_broker_start(&broker, FUZZ_SECRET);
    fuzz_peer_open(&broker, &peer);
    join(&broker, &peer, channel, relayed, pieces, mode);

    bool client_knows = relayed[1].changed_at >= EPB_SERVER_HELLO_BYTES &&
                        relayed[0].changed_at >= EPB_CLIENT_HELLO_BYTES;
    FUZZ_CHECK(client_knows || !epb_channel_is_open(channel));
    check_stream(channel, relayed);
    FUZZ_CHECK(nothing_ran(&broker) ==
               (!client_knows || relayed[0].changed_at != SIZE_MAX));
    fuzz_peer_close(&broker, &peer);
    fuzz_broker_stop(&broker);
    epb_channel_free(channel);
}

void
fuzz_handshake(const uint8_t *data, size_t size_bytes)
{
    struct epb_bytes input = {data, size_bytes};
    uint8_t how = fuzz_u8(&input);
    uint64_t pieces = fuzz_u8(&input);
    enum epb_record_mode mode = fuzz_mode((how & 4) != 0, (how & 8) != 0);

    switch (how & 3) {
    case 0:
        feed_broker(input, pieces, (how & 4) != 0);
        break;
    case 1:
        feed_client(input, pieces, mode);
        break;
    default:
        feed_relay(input, pieces, mode);
        break;
    }
}
