/*
 * A relay between a client and a broker that share a secret: it forwards, cuts, changes,
 * repeats, reorders, reflects and replays, and knows everything but the secret.
 *
 * What must hold, whatever it does: the broker carries out the first requests of the
 * client in their order and nothing else, the client believes the broker's first replies
 * in their order and nothing else, and whoever meets a changed byte says nothing more.
 *
 * Both ends are real (wire/session, wire/channel); between them are only buffers, so
 * every position is tried.
 */
#include "wire/hash.h"
#include "wire_help.h"

#define SECRET "a secret of the tests"
#define REQUESTS 3U
#define NOWHERE SIZE_MAX
#define CIPHERS_AT 38U /* in the hello of a client */

/* What the ends did */

static uint64_t
requests_run(struct broker *broker)
{
    struct epb_stats stats;

    epb_engine_stats(broker->engine, &broker->now, &stats);
    cr_assert_eq(stats.by_action[EPB_ACTION_PING], stats.requests);
    cr_assert_eq(stats.by_status[EPB_OK], stats.requests);
    return stats.requests;
}

static struct epb_channel *
new_client(enum epb_record_mode mode)
{
    struct epb_channel *channel = epb_channel_new_in_mode(LITERAL(SECRET), mode);

    cr_assert_not_null(channel);
    return channel;
}

static enum epb_status
ask(struct epb_channel *channel, uint32_t id)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 4096);
    put_request(&frame, (struct epb_request){.action = EPB_ACTION_PING, .id = id});
    enum epb_status status = epb_channel_send(channel, bytes_of(&frame));
    epb_buf_fini(&frame);
    return status;
}

/* Takes what the client wants to send. */
static void
take_sent(struct epb_channel *channel, struct epb_buf *into)
{
    struct epb_bytes output = epb_channel_output(channel);

    put(into, output);
    epb_channel_sent(channel, output.size_bytes);
}

static enum epb_status
tell(struct epb_channel *channel, struct epb_bytes bytes)
{
    enum epb_status status = EPB_OK;

    while (bytes.size_bytes > 0 && status == EPB_OK) {
        uint8_t *memory;
        size_t room;
        status = epb_channel_input(channel, &memory, &room);
        if (status != EPB_OK) {
            break;
        }
        size_t part = bytes.size_bytes < room ? bytes.size_bytes : room;
        memcpy(memory, bytes.data, part);
        bytes.data += part;
        bytes.size_bytes -= part;
        status = epb_channel_received(channel, part);
    }
    return status;
}

/* How many replies the client believes; they must be the first ones, in their order. */
static unsigned
replies_believed(struct epb_channel *channel)
{
    struct epb_bytes stream = epb_channel_stream(channel);
    struct epb_reply reply;
    unsigned count = 0;

    while (next_reply(&stream, &reply) && reply.id != 0) {
        count++;
        cr_assert_eq(reply.id, count);
        cr_assert_eq(reply.status, EPB_OK);
    }
    return count;
}

/* Changed and cut bytes */

enum direction {
    TO_BROKER,
    TO_CLIENT
};

/* What the relay does, once: to the byte at `at` of one direction. */
struct meddling {
    enum direction direction;
    size_t at;
    uint8_t flip; /* 0: nothing comes from there on */
};

struct relay {
    const struct meddling *meddling;
    struct epb_buf sent[2];         /* all that each end said, unchanged */
    size_t ends[2][REQUESTS + 2];   /* where each request or reply ends in it */
    enum epb_status client_verdict; /* EPB_OK until it gives up */
};

static struct epb_bytes
pass(struct relay *relay, enum direction direction, struct epb_buf *part)
{
    const struct meddling *meddling = relay->meddling;
    size_t before_bytes = epb_buf_size(&relay->sent[direction]);
    struct epb_bytes whole = bytes_of(part);

    put(&relay->sent[direction], whole);
    size_t at = meddling->at - before_bytes;
    if (meddling->direction != direction || meddling->at == NOWHERE) {
        return whole;
    }
    if (meddling->flip == 0 && meddling->at <= before_bytes) {
        return (struct epb_bytes){NULL, 0};
    }
    if (meddling->at < before_bytes || at >= whole.size_bytes) {
        return whole;
    }
    if (meddling->flip == 0) {
        return (struct epb_bytes){whole.data, at};
    }
    front_of(part)[at] ^= meddling->flip;
    return whole;
}

/* Carries until both are silent. */
static void
carry(struct relay *relay, struct broker *broker, struct epb_channel *channel)
{
    bool moved = true;

    while (moved) {
        struct epb_buf part;
        epb_buf_init(&part, 1 << 20);
        take_sent(channel, &part);
        moved = epb_buf_size(&part) > 0;
        (void)broker_feed(broker, pass(relay, TO_BROKER, &part), SIZE_MAX);
        epb_buf_consume(&part, epb_buf_size(&part));
        broker_take_output(broker);
        put(&part, bytes_of(&broker->output));
        epb_buf_consume(&broker->output, epb_buf_size(&broker->output));
        moved = moved || epb_buf_size(&part) > 0;
        enum epb_status status = tell(channel, pass(relay, TO_CLIENT, &part));
        if (relay->client_verdict == EPB_OK) {
            relay->client_verdict = status;
        }
        epb_buf_fini(&part);
    }
}

static void
relay_init(struct relay *relay, const struct meddling *meddling)
{
    memset(relay, 0, sizeof(*relay));
    relay->meddling = meddling;
    epb_buf_init(&relay->sent[TO_BROKER], 1 << 20);
    epb_buf_init(&relay->sent[TO_CLIENT], 1 << 20);
}

static void
relay_fini(struct relay *relay)
{
    epb_buf_fini(&relay->sent[TO_BROKER]);
    epb_buf_fini(&relay->sent[TO_CLIENT]);
}

/* A session of REQUESTS requests, one after the other. What came of it is in `relay`, in
 * the engine's count, and in the client's stream. */
static struct epb_channel *
converse(struct broker *broker, enum epb_record_mode mode, struct relay *relay)
{
    broker_connect(broker);
    struct epb_channel *channel = new_client(mode);
    carry(relay, broker, channel);
    for (uint32_t id = 1; id <= REQUESTS; id++) {
        enum epb_status status = ask(channel, id);
        cr_assert(status == EPB_OK || relay->client_verdict != EPB_OK);
        carry(relay, broker, channel);
        relay->ends[TO_BROKER][id] = epb_buf_size(&relay->sent[TO_BROKER]);
        relay->ends[TO_CLIENT][id] = epb_buf_size(&relay->sent[TO_CLIENT]);
    }
    return channel;
}

/* How many requests or replies of the untouched session end before a byte. */
static unsigned
complete_before(const struct relay *untouched, enum direction direction, size_t at)
{
    unsigned count = 0;

    while (count < REQUESTS && untouched->ends[direction][count + 1] <= at) {
        count++;
    }
    return count;
}

/* One session in which the relay meddles; `untouched` is the same one without. */
static void
meddle(struct broker *broker, enum epb_record_mode mode, const struct relay *untouched,
       const struct meddling *meddling)
{
    struct relay relay;
    uint64_t before = requests_run(broker);
    unsigned expected = complete_before(untouched, meddling->direction, meddling->at);

    relay_init(&relay, meddling);
    struct epb_channel *channel = converse(broker, mode, &relay);
    epb_session_end_of_input(broker->session, &broker->now);
    broker_work(broker);
    cr_assert(epb_session_is_closing(broker->session));
    uint64_t run = requests_run(broker) - before;
    unsigned believed = replies_believed(channel);
    const char *what = meddling->flip == 0 ? "cut" : "flip";
    if (meddling->direction == TO_BROKER) {
        cr_assert_eq(run, expected, "%s at byte %zu to the broker: %u requests ran", what,
                     meddling->at, (unsigned)run);
        cr_assert_eq(believed, expected);
    } else {
        cr_assert_eq(believed, expected, "%s at byte %zu to the client: it believes %u",
                     what, meddling->at, believed);
    }
    /* A broker without a proof has the hello, whatever it said. */
    if (meddling->direction == TO_CLIENT && meddling->at < EPB_SERVER_HELLO_BYTES) {
        cr_assert_eq(epb_buf_size(&relay.sent[TO_BROKER]), EPB_CLIENT_HELLO_BYTES);
        cr_assert_eq(run, 0);
    }
    cr_assert_neq(epb_channel_close(channel), EPB_OK);
    cr_assert_neq(ask(channel, 99), EPB_OK, "it goes on after all that");
    epb_channel_free(channel);
    relay_fini(&relay);
}

static void
meddle_everywhere(bool cut)
{
    static const struct meddling nothing = {.at = NOWHERE};

    for (size_t m = 0; m < keyed_mode_count(); m++) {
        struct broker broker;
        struct relay untouched;
        broker_start(&broker, SECRET, NULL);
        relay_init(&untouched, &nothing);
        struct epb_channel *channel = converse(&broker, KEYED_MODES[m], &untouched);
        cr_assert_eq(requests_run(&broker), REQUESTS);
        cr_assert_eq(replies_believed(channel), REQUESTS);
        epb_channel_free(channel);
        for (int direction = TO_BROKER; direction <= TO_CLIENT; direction++) {
            size_t all_bytes = epb_buf_size(&untouched.sent[direction]);
            for (size_t bit = 0; bit < 8 * all_bytes; bit += cut ? 8 : 1) {
                struct meddling meddling = {direction, bit / 8,
                                            cut ? 0 : (uint8_t)(1U << bit % 8)};
                meddle(&broker, KEYED_MODES[m], &untouched, &meddling);
            }
        }
        relay_fini(&untouched);
        broker_stop(&broker);
    }
}

Test(attack_session, a_bit_changed_anywhere_ends_the_session_there)
{
    meddle_everywhere(false);
}

Test(attack_session, a_session_cut_anywhere_ends_there)
{
    meddle_everywhere(true);
}

/* Records: dropped, repeated, reordered, reflected, of another session */

/* What is delivered in place of three records: any three of these. */
enum {
    OWN = 3,           /* records of this session in this direction */
    REFLECTED = OWN,   /* one of the other direction */
    FOREIGN = OWN + 1, /* one of another session with the same secret */
    KINDS = OWN + 2
};

/* An open session, and requests sent that nobody has carried yet, one record each. */
static struct epb_channel *
open_and_ask(struct broker *broker, enum epb_record_mode mode, struct epb_buf pieces[OWN])
{
    static const struct meddling nothing = {.at = NOWHERE};
    struct relay relay;

    relay_init(&relay, &nothing);
    broker_connect(broker);
    struct epb_channel *channel = new_client(mode);
    carry(&relay, broker, channel);
    cr_assert(epb_channel_is_open(channel));
    relay_fini(&relay);
    for (uint32_t i = 0; i < OWN; i++) {
        cr_assert_eq(ask(channel, i + 1), EPB_OK);
        epb_buf_init(&pieces[i], 4096);
        take_sent(channel, &pieces[i]);
    }
    return channel;
}

/* The replies to these requests, one record each. */
static void
answer_each(struct broker *broker, struct epb_buf requests[OWN],
            struct epb_buf replies[OWN])
{
    for (unsigned i = 0; i < OWN; i++) {
        (void)broker_feed(broker, bytes_of(&requests[i]), SIZE_MAX);
        epb_buf_init(&replies[i], 4096);
        put(&replies[i], bytes_of(&broker->output));
        epb_buf_consume(&broker->output, epb_buf_size(&broker->output));
    }
}

static void
free_pieces(struct epb_buf *pieces, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        epb_buf_fini(&pieces[i]);
    }
}

/* The foreign session's first request and first reply. */
static void
record_foreign(struct broker *broker, enum epb_record_mode mode, struct epb_buf out[2])
{
    struct epb_buf requests[OWN];
    struct epb_buf replies[OWN];
    struct epb_channel *channel = open_and_ask(broker, mode, requests);

    answer_each(broker, requests, replies);
    for (int direction = TO_BROKER; direction <= TO_CLIENT; direction++) {
        epb_buf_init(&out[direction], 4096);
    }
    put(&out[TO_BROKER], bytes_of(&requests[0]));
    put(&out[TO_CLIENT], bytes_of(&replies[0]));
    free_pieces(requests, OWN);
    free_pieces(replies, OWN);
    epb_channel_free(channel);
}

/* How many pieces of a sequence are what was said, in its order. */
static unsigned
honest_prefix(const unsigned order[OWN])
{
    unsigned count = 0;

    while (count < OWN && order[count] == count) {
        count++;
    }
    return count;
}

static void
deliver_to_broker(struct broker *broker, enum epb_record_mode mode,
                  const unsigned order[OWN], const struct epb_buf foreign[2])
{
    struct epb_buf requests[OWN];
    struct epb_channel *channel = open_and_ask(broker, mode, requests);
    uint64_t before = requests_run(broker);
    struct epb_buf reflected;

    epb_buf_init(&reflected, 4096);
    for (unsigned i = 0; i < OWN; i++) {
        const struct epb_buf *piece = order[i] < OWN          ? &requests[order[i]]
                                      : order[i] == REFLECTED ? &reflected
                                                              : &foreign[TO_BROKER];
        /* Before the broker has said anything there is nothing to reflect. */
        if (order[i] == REFLECTED && epb_buf_size(&reflected) == 0) {
            piece = &foreign[TO_CLIENT];
        }
        (void)broker_feed(broker, bytes_of(piece), SIZE_MAX);
        epb_buf_consume(&reflected, epb_buf_size(&reflected));
        put(&reflected, bytes_of(&broker->output));
        epb_buf_consume(&broker->output, epb_buf_size(&broker->output));
    }
    unsigned expected = honest_prefix(order);
    cr_assert_eq(requests_run(broker) - before, expected, "order %u %u %u", order[0],
                 order[1], order[2]);
    cr_assert_eq(epb_session_is_closing(broker->session), expected < OWN);
    epb_buf_fini(&reflected);
    free_pieces(requests, OWN);
    epb_channel_free(channel);
}

static void
deliver_to_client(struct broker *broker, enum epb_record_mode mode,
                  const unsigned order[OWN], const struct epb_buf foreign[2])
{
    struct epb_buf requests[OWN];
    struct epb_buf replies[OWN];
    struct epb_channel *channel = open_and_ask(broker, mode, requests);

    answer_each(broker, requests, replies);
    enum epb_status status = EPB_OK;
    for (unsigned i = 0; i < OWN && status == EPB_OK; i++) {
        const struct epb_buf *piece = order[i] < OWN          ? &replies[order[i]]
                                      : order[i] == REFLECTED ? &requests[i]
                                                              : &foreign[TO_CLIENT];
        status = tell(channel, bytes_of(piece));
    }
    unsigned expected = honest_prefix(order);
    cr_assert_eq(replies_believed(channel), expected, "order %u %u %u", order[0],
                 order[1], order[2]);
    cr_assert_eq(status, expected == OWN ? EPB_OK : EPB_AUTH_FAILED);
    free_pieces(requests, OWN);
    free_pieces(replies, OWN);
    epb_channel_free(channel);
}

Test(attack_session, only_the_records_that_were_sent_in_their_order_are_believed)
{
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        struct broker broker;
        struct epb_buf foreign[2];
        broker_start(&broker, SECRET, NULL);
        record_foreign(&broker, KEYED_MODES[m], foreign);
        for (unsigned n = 0; n < KINDS * KINDS * KINDS; n++) {
            const unsigned order[OWN] = {n % KINDS, n / KINDS % KINDS, n / KINDS / KINDS};
            deliver_to_broker(&broker, KEYED_MODES[m], order, foreign);
            deliver_to_client(&broker, KEYED_MODES[m], order, foreign);
        }
        free_pieces(foreign, 2);
        broker_stop(&broker);
    }
}

/* Whole sessions again */

Test(attack_session, a_recorded_session_is_refused_when_it_is_replayed)
{
    static const struct meddling nothing = {.at = NOWHERE};

    for (size_t m = 0; m < keyed_mode_count(); m++) {
        struct broker broker;
        struct relay recorded;
        broker_start(&broker, SECRET, NULL);
        relay_init(&recorded, &nothing);
        epb_channel_free(converse(&broker, KEYED_MODES[m], &recorded));
        cr_assert_eq(requests_run(&broker), REQUESTS);
        /* To the same broker, and to another one with the same secret. */
        for (int other = 0; other < 2; other++) {
            if (other == 1) {
                broker_stop(&broker);
                broker_start(&broker, SECRET, NULL);
            }
            uint64_t before = requests_run(&broker);
            broker_connect(&broker);
            (void)broker_feed(&broker, bytes_of(&recorded.sent[TO_BROKER]), SIZE_MAX);
            cr_assert(epb_session_is_closing(broker.session));
            cr_assert_eq(requests_run(&broker), before, "a recorded request ran");
            cr_assert_eq(epb_engine_traffic(broker.engine)->auth_failures, 1);
            /* Its hello, and a refusal of 12 bytes. */
            cr_assert_eq(epb_buf_size(&broker.output), EPB_SERVER_HELLO_BYTES + 12);
        }
        /* The broker's side, to another client. */
        struct epb_channel *channel = new_client(KEYED_MODES[m]);
        struct epb_buf sent;
        epb_buf_init(&sent, 4096);
        cr_assert_eq(ask(channel, 1), EPB_OK);
        cr_assert_eq(tell(channel, bytes_of(&recorded.sent[TO_CLIENT])), EPB_AUTH_FAILED);
        take_sent(channel, &sent);
        cr_assert_eq(epb_buf_size(&sent), EPB_CLIENT_HELLO_BYTES);
        cr_assert_eq(replies_believed(channel), 0);
        epb_buf_fini(&sent);
        epb_channel_free(channel);
        relay_fini(&recorded);
        broker_stop(&broker);
    }
}

/* What a client said comes back to it, with and without its magic. */
Test(attack_session, a_reflected_handshake_proves_nothing)
{
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        for (size_t skip = 0; skip <= EPB_MAGIC_BYTES; skip += EPB_MAGIC_BYTES) {
            struct epb_channel *channel = new_client(KEYED_MODES[m]);
            struct epb_buf said;
            epb_buf_init(&said, 4096);
            cr_assert_eq(ask(channel, 1), EPB_OK);
            take_sent(channel, &said);
            cr_assert_eq(epb_buf_size(&said), EPB_CLIENT_HELLO_BYTES);
            struct epb_bytes hello = {epb_buf_data(&said) + skip,
                                      EPB_CLIENT_HELLO_BYTES - skip};
            uint8_t often[3 * EPB_CLIENT_HELLO_BYTES];
            for (size_t i = 0; i < 3; i++) {
                memcpy(often + i * hello.size_bytes, hello.data, hello.size_bytes);
            }
            (void)tell(channel, (struct epb_bytes){often, 3 * hello.size_bytes});
            cr_assert_eq(epb_channel_close(channel), EPB_AUTH_FAILED);
            cr_assert_eq(epb_channel_output(channel).size_bytes, 0);
            epb_buf_fini(&said);
            epb_channel_free(channel);
        }
    }
}

/* Downgrade */

/* The broker's answer to the client's hello with some of its bytes exchanged. */
static void
assert_not_talked_into(enum epb_record_mode mode, size_t at, struct epb_bytes other)
{
    struct broker broker;
    struct epb_buf said;

    broker_start(&broker, SECRET, NULL);
    epb_buf_init(&said, 4096);
    struct epb_channel *channel = new_client(mode);
    cr_assert_eq(ask(channel, 1), EPB_OK);
    take_sent(channel, &said);
    cr_assert_eq(epb_buf_size(&said), EPB_CLIENT_HELLO_BYTES);
    memcpy(front_of(&said) + at, other.data, other.size_bytes);
    (void)broker_feed(&broker, bytes_of(&said), SIZE_MAX);
    broker_take_output(&broker);
    (void)tell(channel, bytes_of(&broker.output));
    (void)epb_channel_close(channel);
    cr_assert_not(epb_channel_is_open(channel), "it goes on");
    cr_assert_eq(epb_channel_output(channel).size_bytes, 0, "more than its hello");
    cr_assert_neq(ask(channel, 2), EPB_OK);
    cr_assert_eq(requests_run(&broker), 0);
    epb_buf_fini(&said);
    epb_channel_free(channel);
    broker_stop(&broker);
}

Test(attack_session, no_other_encoding_can_be_slipped_in)
{
    static const char *const magics[] = {
        EPB_MAGIC_CHACHA20, EPB_MAGIC_MAC, EPB_MAGIC_CHOICE,
        EPB_MAGIC_PLAIN,    "EPB4",        "{\"a\""};
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
            assert_not_talked_into(KEYED_MODES[m], 0, TEXT(magics[i]));
        }
    }
}

/* The client's hello with one more cipher, or one less, on its way to the broker. */
Test(attack_session, no_other_cipher_can_be_slipped_in)
{
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        for (uint32_t offered = 0; offered < 8; offered++) {
            uint8_t other[4];
            epb_put_u32(other, offered);
            if (offered != epb_auth_offer_of(KEYED_MODES[m])) {
                assert_not_talked_into(KEYED_MODES[m], CIPHERS_AT,
                                       (struct epb_bytes){other, sizeof(other)});
            }
        }
    }
}

/* Whatever refusal somebody on the path makes up: it words an error, no more. */
Test(attack_session, a_made_up_refusal_never_makes_a_client_go_on)
{
    for (unsigned status = 0; status < 256; status++) {
        const uint8_t refusal[] = {8, 0, 0, 0, 1, (uint8_t)status, 0, 0, 0, 0, 0, 0};
        struct epb_channel *channel = new_client(EPB_RECORD_CHACHA20);
        struct epb_buf said;
        epb_buf_init(&said, 4096);
        cr_assert_eq(ask(channel, 1), EPB_OK);
        (void)tell(channel, (struct epb_bytes){refusal, sizeof(refusal)});
        cr_assert_neq(epb_channel_close(channel), EPB_OK);
        take_sent(channel, &said);
        cr_assert_eq(epb_buf_size(&said), EPB_CLIENT_HELLO_BYTES);
        cr_assert_not(epb_channel_is_open(channel));
        cr_assert_neq(ask(channel, 2), EPB_OK);
        epb_buf_fini(&said);
        epb_channel_free(channel);
    }
}

/* Signed lines */

/* A signature is of hexadecimal digits, in which one bit is the case of a letter. */
static bool
is_case_bit(uint8_t byte, uint8_t flip)
{
    return flip == 0x20 && ((byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F'));
}

Test(attack_session, a_bit_changed_in_a_signed_line_refuses_it)
{
    static const char payload[] = "{\"action\":\"ping\"";
    struct broker broker;
    struct epb_buf line;
    struct epb_hmac hmac;
    uint8_t mac[EPB_HASH_BYTES];

    broker_start(&broker, SECRET, NULL);
    broker.config.legacy_hmac = true;
    cr_assert_eq(epb_hmac_init(&hmac, LITERAL(SECRET)), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, payload, sizeof(payload) - 1);
    epb_hmac_add(&hmac, "}", 1);
    epb_hmac_end(&hmac, mac);
    epb_hmac_fini(&hmac);
    epb_buf_init(&line, 4096);
    put(&line, LITERAL(payload));
    put(&line, LITERAL(",\"hmac\":\""));
    size_t mac_at = epb_buf_size(&line);
    for (size_t i = 0; i < sizeof(mac); i++) {
        cr_assert_eq(epb_buf_printf(&line, "%02x", mac[i]), EPB_OK);
    }
    size_t mac_end = epb_buf_size(&line);
    put(&line, LITERAL("\"}\n"));
    size_t all_bytes = epb_buf_size(&line);
    for (size_t bit = 0; bit < 8 * all_bytes; bit++) {
        uint8_t *byte = front_of(&line) + bit / 8;
        uint8_t flip = (uint8_t)(1U << bit % 8);
        if (bit / 8 >= mac_at && bit / 8 < mac_end && is_case_bit(*byte, flip)) {
            continue;
        }
        *byte ^= flip;
        broker_connect(&broker);
        (void)broker_feed(&broker, bytes_of(&line), SIZE_MAX);
        cr_assert_eq(requests_run(&broker), 0, "bit %zu", bit);
        *byte ^= flip;
    }
    broker_connect(&broker);
    (void)broker_feed(&broker, bytes_of(&line), SIZE_MAX);
    cr_assert_eq(requests_run(&broker), 1, "the line itself holds");
    epb_buf_fini(&line);
    broker_stop(&broker);
}

/* A byte a second */

/* Feeds a byte a second until the session's time is over; it must be over in time. */
static void
dribble(struct broker *broker, struct epb_bytes bytes, uint64_t limit_ms)
{
    uint64_t began_ms = broker->now.mono_ms;

    for (size_t at = 0; at < bytes.size_bytes; at++) {
        (void)broker_feed(broker, (struct epb_bytes){bytes.data + at, 1}, 1);
        uint64_t due_ms = epb_session_deadline(broker->session);
        cr_assert_leq(due_ms, began_ms + limit_ms, "byte %zu gains time", at);
        if (due_ms <= broker->now.mono_ms) {
            return;
        }
        broker->now.mono_ms += 1000;
    }
    cr_assert_fail("%zu bytes, one a second, were all taken", bytes.size_bytes);
}

Test(attack_session, a_byte_a_second_lives_ten_seconds_in_every_encoding)
{
    static const struct meddling nothing = {.at = NOWHERE};
    static const uint8_t slow[60] = {200};
    struct broker broker;
    struct relay relay;

    /* The handshake. */
    broker_start(&broker, SECRET, NULL);
    dribble(&broker, LITERAL("EPB1................................"), 10000);
    broker.config.legacy_hmac = true;
    broker_connect(&broker);
    dribble(&broker, LITERAL("{\"action\":\"ping\"                    "), 10000);
    /* Records. */
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        relay_init(&relay, &nothing);
        struct epb_channel *channel = converse(&broker, KEYED_MODES[m], &relay);
        cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
        dribble(&broker, (struct epb_bytes){slow, sizeof(slow)}, 10000);
        epb_channel_free(channel);
        relay_fini(&relay);
    }
    broker_stop(&broker);
    /* Frames and lines without a secret. */
    broker_start(&broker, NULL, NULL);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
    dribble(&broker, (struct epb_bytes){slow, sizeof(slow)}, 10000);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("{\"action\":\"ping\"}\n"), SIZE_MAX);
    dribble(&broker, LITERAL("{\"action\":\"ping\"                    "), 10000);
    broker_stop(&broker);
}
