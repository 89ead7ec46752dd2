/* The client's end, joined in memory to the broker's: a stream of frames passes in every
 * mode, and a broken, wrong or silent broker is told apart. */
#include "wire/channel.h"

#include "base/mem_testing.h"
#include "wire_help.h"

#define SECRET "between us"

static struct epb_bytes
secret_for(enum epb_record_mode mode)
{
    return mode == EPB_RECORD_PLAIN ? LITERAL("") : LITERAL(SECRET);
}

static struct epb_channel *
join(struct broker *broker, enum epb_record_mode mode)
{
    broker_start(broker, mode == EPB_RECORD_PLAIN ? NULL : SECRET, NULL);
    struct epb_channel *channel = epb_channel_new_in_mode(secret_for(mode), mode);
    cr_assert_not_null(channel);
    return channel;
}

static void
part(struct broker *broker, struct epb_channel *channel)
{
    epb_channel_free(channel);
    broker_stop(broker);
}

static void
send_request(struct epb_channel *channel, struct epb_request request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 1 << 24);
    put_request(&frame, request);
    cr_assert_eq(epb_channel_send(channel, bytes_of(&frame)), EPB_OK);
    epb_buf_fini(&frame);
}

static struct epb_request
set_of(uint32_t id, const char *key, struct epb_bytes value)
{
    return (struct epb_request){.action = EPB_ACTION_SET,
                                .flags = EPB_F_TTL,
                                .id = id,
                                .key = TEXT(key),
                                .value = value,
                                .ttl_ms = 60000};
}

/* Takes one reply off the stream; the body is valid until the next call. */
static bool
take_reply(struct epb_channel *channel, struct epb_reply *reply)
{
    static size_t last_bytes;
    static struct epb_channel *last_channel;

    if (last_channel == channel) {
        epb_channel_consume(channel, last_bytes);
    }
    struct epb_bytes stream = epb_channel_stream(channel);
    size_t before_bytes = stream.size_bytes;
    bool taken = next_reply(&stream, reply);
    last_channel = channel;
    last_bytes = before_bytes - stream.size_bytes;
    if (!taken) {
        last_channel = NULL;
    }
    return taken;
}

Test(channel, carries_a_conversation_in_every_mode_and_any_pieces)
{
    size_t pieces[] = {1, 2, 3, 7, 35, 36, 37, 64, 1000, SIZE_MAX};

    for (size_t m = 0; m < mode_count(); m++) {
        for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
            struct broker broker;
            struct epb_channel *channel = join(&broker, MODES[m]);
            struct epb_reply reply;
            send_request(channel, set_of(1, "k", LITERAL("\"v\"")));
            cr_assert_eq(exchange(&broker, channel, pieces[p]), EPB_OK);
            cr_assert(epb_channel_is_open(channel));
            send_request(channel, (struct epb_request){.action = EPB_ACTION_GET,
                                                       .id = 2,
                                                       .key = LITERAL("k")});
            cr_assert_eq(exchange(&broker, channel, pieces[p]), EPB_OK);
            cr_assert(take_reply(channel, &reply));
            cr_assert(reply.id == 1 && reply.status == EPB_OK);
            cr_assert(take_reply(channel, &reply));
            cr_assert(reply.id == 2 && bytes_equal(reply.body, LITERAL("\"v\"")));
            cr_assert_not(take_reply(channel, &reply));
            part(&broker, channel);
        }
    }
}

Test(channel, sends_nothing_but_its_hello_before_the_broker_has_proved_itself)
{
    struct broker broker;
    struct epb_channel *channel = join(&broker, EPB_RECORD_CHACHA20);
    struct epb_bytes output = epb_channel_output(channel);

    cr_assert_eq(output.size_bytes, EPB_CLIENT_HELLO_BYTES);
    send_request(channel, set_of(1, "k", LITERAL("\"a secret value\"")));
    output = epb_channel_output(channel);
    cr_assert_eq(output.size_bytes, EPB_CLIENT_HELLO_BYTES, "the request waits");
    cr_assert_not(epb_channel_is_open(channel));
    cr_assert_eq(epb_channel_stream(channel).size_bytes, 0);
    part(&broker, channel);
}

Test(channel, the_first_request_rides_with_the_proof)
{
    struct broker broker;
    struct epb_channel *channel = join(&broker, EPB_RECORD_CHACHA20);
    uint8_t *memory;
    size_t room;

    send_request(channel, (struct epb_request){.action = EPB_ACTION_PING, .id = 1});
    struct epb_bytes hello = epb_channel_output(channel);
    (void)broker_feed(&broker, hello, SIZE_MAX);
    epb_channel_sent(channel, hello.size_bytes);
    cr_assert_eq(epb_channel_input(channel, &memory, &room), EPB_OK);
    memcpy(memory, epb_buf_data(&broker.output), EPB_SERVER_HELLO_BYTES);
    cr_assert_eq(epb_channel_received(channel, EPB_SERVER_HELLO_BYTES), EPB_OK);
    cr_assert_eq(epb_channel_output(channel).size_bytes, 32 + 4 + 16 + 16);
    part(&broker, channel);
}

Test(channel, thousands_of_pipelined_requests_get_their_own_replies)
{
    enum {
        COUNT = 5000
    };

    for (size_t m = 0; m < mode_count(); m++) {
        struct broker broker;
        struct epb_channel *channel = join(&broker, MODES[m]);
        struct epb_buf frames;
        char key[16];
        epb_buf_init(&frames, 1 << 24);
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(key, sizeof(key), "key%u", i);
            put_request(&frames, set_of(2 * i + 1, key, TEXT(key + 3)));
            put_request(&frames, (struct epb_request){.action = EPB_ACTION_GET,
                                                      .id = 2 * i + 2,
                                                      .key = TEXT(key)});
        }
        cr_assert_eq(epb_channel_send(channel, bytes_of(&frames)), EPB_OK);
        cr_assert_eq(exchange(&broker, channel, 3001), EPB_OK);
        struct epb_reply reply;
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(key, sizeof(key), "%u", i);
            cr_assert(take_reply(channel, &reply) && reply.id == 2 * i + 1);
            cr_assert(take_reply(channel, &reply) && reply.id == 2 * i + 2);
            cr_assert(bytes_equal(reply.body, TEXT(key)), "reply %u", i);
        }
        cr_assert_not(take_reply(channel, &reply));
        epb_buf_fini(&frames);
        part(&broker, channel);
    }
}

Test(channel, the_largest_values_and_a_long_list_pass)
{
    static uint8_t value[262144];

    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (uint8_t)(i * 7 + i / 255);
    }
    for (size_t m = 0; m < mode_count(); m++) {
        struct broker broker;
        struct epb_channel *channel = join(&broker, MODES[m]);
        struct epb_reply reply;
        struct epb_request set =
            set_of(1, "big", (struct epb_bytes){value, sizeof(value)});
        set.flags |= EPB_F_BINARY;
        send_request(channel, set);
        for (uint32_t i = 0; i < 2000; i++) {
            char key[300];
            snprintf(key, sizeof(key), "%0280u", i);
            send_request(channel, set_of(2, key, LITERAL("1")));
        }
        send_request(channel, (struct epb_request){.action = EPB_ACTION_GET,
                                                   .id = 3,
                                                   .key = LITERAL("big")});
        send_request(channel, (struct epb_request){.action = EPB_ACTION_LIST, .id = 4});
        cr_assert_eq(exchange(&broker, channel, 100000), EPB_OK);
        for (uint32_t i = 0; i < 2001; i++) {
            cr_assert(take_reply(channel, &reply) && reply.status == EPB_OK);
        }
        cr_assert(take_reply(channel, &reply) && reply.id == 3);
        cr_assert(bytes_equal(reply.body, (struct epb_bytes){value, sizeof(value)}));
        cr_assert_eq(reply.flags, EPB_F_BINARY);
        cr_assert(take_reply(channel, &reply) && reply.id == 4);
        cr_assert_eq(reply.body.size_bytes, 2000 * (22 + 280) + 22 + 3);
        cr_assert_not(take_reply(channel, &reply));
        part(&broker, channel);
    }
}

Test(channel, a_wrong_secret_fails)
{
    struct broker broker;

    broker_start(&broker, "another", NULL);
    for (size_t m = 1; m < mode_count(); m++) {
        broker_connect(&broker);
        struct epb_channel *channel = epb_channel_new_in_mode(LITERAL(SECRET), MODES[m]);
        send_request(channel, set_of(1, "k", LITERAL("1")));
        cr_assert_eq(exchange(&broker, channel, SIZE_MAX), EPB_AUTH_FAILED);
        uint8_t *memory;
        size_t room;
        cr_assert_eq(epb_channel_input(channel, &memory, &room), EPB_AUTH_FAILED);
        cr_assert_eq(epb_channel_send(channel, LITERAL("x")), EPB_AUTH_FAILED);
        cr_assert_eq(epb_channel_close(channel), EPB_AUTH_FAILED);
        epb_channel_free(channel);
    }
    broker_stop(&broker);
}

Test(channel, a_secret_on_one_side_only_is_named)
{
    struct broker broker;

    broker_start(&broker, NULL, NULL);
    struct epb_channel *channel = epb_channel_new(LITERAL(SECRET));
    cr_assert_eq(exchange(&broker, channel, 5), EPB_AUTH_FAILED);
    epb_channel_free(channel);
    broker_stop(&broker);

    for (size_t piece = 1; piece < 20; piece++) {
        broker_start(&broker, SECRET, NULL);
        channel = epb_channel_new(LITERAL(""));
        cr_assert_eq(exchange(&broker, channel, piece), EPB_AUTH_REQUIRED);
        cr_assert_eq(epb_channel_stream(channel).size_bytes, 0);
        epb_channel_free(channel);
        broker_stop(&broker);
    }
}

/* What a channel makes of a broker that says this and closes. */
static enum epb_status
verdict_on(struct epb_bytes secret, struct epb_bytes said)
{
    struct epb_channel *channel = epb_channel_new(secret);
    uint8_t *memory;
    size_t room;
    enum epb_status status = EPB_OK;

    for (size_t i = 0; i < said.size_bytes && status == EPB_OK; i++) {
        cr_assert_eq(epb_channel_input(channel, &memory, &room), EPB_OK);
        memory[0] = said.data[i];
        status = epb_channel_received(channel, 1);
    }
    if (status == EPB_OK) {
        status = epb_channel_close(channel);
    }
    cr_assert_eq(epb_channel_close(channel), status, "it says the same from then on");
    epb_channel_free(channel);
    return status;
}

Test(channel, refusals_are_told_from_broken_handshakes)
{
    enum epb_status refusals[] = {EPB_AUTH_FAILED,      EPB_AUTH_REQUIRED,
                                  EPB_VERSION_MISMATCH, EPB_MAX_CONNECTIONS,
                                  EPB_DRAINING,         EPB_INTERNAL};

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct epb_buf frame;
        struct epb_reply reply = {.status = refusals[i]};
        epb_buf_init(&frame, 100);
        cr_assert_eq(epb_frame_encode_reply(&frame, &reply), EPB_OK);
        cr_assert_eq(verdict_on(LITERAL(SECRET), bytes_of(&frame)), refusals[i]);
        cr_assert_eq(verdict_on(LITERAL(""), bytes_of(&frame)), refusals[i]);
        put(&frame, LITERAL("x"));
        cr_assert_eq(verdict_on(LITERAL(SECRET), bytes_of(&frame)), EPB_AUTH_FAILED);
        epb_buf_fini(&frame);
    }
    cr_assert_eq(verdict_on(LITERAL(SECRET), LITERAL("")), EPB_BROKER_GONE);
    cr_assert_eq(verdict_on(LITERAL(""), LITERAL("")), EPB_BROKER_GONE);
    cr_assert_eq(verdict_on(LITERAL(SECRET), LITERAL("{\"ok\":false}\n")),
                 EPB_AUTH_FAILED);
    cr_assert_eq(verdict_on(LITERAL(SECRET), LITERAL("\0")), EPB_AUTH_FAILED);
    uint8_t zeros[64] = {0};
    cr_assert_eq(verdict_on(LITERAL(SECRET), (struct epb_bytes){zeros, 64}),
                 EPB_AUTH_FAILED);
}

Test(channel, a_first_reply_that_is_an_error_is_no_refusal)
{
    struct broker broker;
    struct epb_channel *channel = join(&broker, EPB_RECORD_PLAIN);
    struct epb_reply reply;

    send_request(channel, (struct epb_request){.action = 99, .id = 5});
    cr_assert_eq(exchange(&broker, channel, 1), EPB_OK);
    cr_assert(take_reply(channel, &reply));
    cr_assert(reply.id == 5 && reply.status == EPB_UNKNOWN_ACTION);
    part(&broker, channel);
}

/* Gives a channel bytes as a socket would. */
static enum epb_status
hear(struct epb_channel *channel, struct epb_bytes bytes)
{
    uint8_t *memory;
    size_t room;

    cr_assert_eq(epb_channel_input(channel, &memory, &room), EPB_OK);
    cr_assert_geq(room, bytes.size_bytes);
    memcpy(memory, bytes.data, bytes.size_bytes);
    return epb_channel_received(channel, bytes.size_bytes);
}

Test(channel, speaks_the_other_cipher_with_a_broker_without_aes)
{
    if (!epb_cipher_has_aes()) {
        cr_skip("this machine has none");
    }
    struct epb_channel *channel = epb_channel_new(LITERAL(SECRET));
    struct epb_handshake *broker = epb_handshake_new(LITERAL(SECRET));
    struct epb_session_keys keys;
    enum epb_record_mode mode;
    uint8_t hello[EPB_SERVER_HELLO_BYTES];
    size_t hello_bytes;
    struct epb_bytes scope;
    send_request(channel, (struct epb_request){.action = EPB_ACTION_PING, .id = 7});
    epb_handshake_without_aes(broker);
    struct epb_bytes out = epb_channel_output(channel);
    cr_assert_eq(epb_handshake_server_hello(broker, out, hello, &hello_bytes, &scope),
                 EPB_OK);
    epb_channel_sent(channel, out.size_bytes);
    cr_assert_eq(hear(channel, (struct epb_bytes){hello, hello_bytes}), EPB_OK);
    out = epb_channel_output(channel);
    cr_assert_eq(epb_handshake_server_finish(broker, out.data, &keys, &mode), EPB_OK);
    cr_assert_eq(mode, EPB_RECORD_CHACHA20);

    struct epb_record *receiving = epb_record_new(mode, keys.client_to_server);
    struct epb_record *sending = epb_record_new(mode, keys.server_to_client);
    struct epb_request request;
    struct epb_buf buffer;
    epb_buf_init(&buffer, 4096);
    put(&buffer,
        (struct epb_bytes){out.data + EPB_PROOF_BYTES, out.size_bytes - EPB_PROOF_BYTES});
    cr_assert_eq(epb_record_unseal(receiving, &buffer, SIZE_MAX), EPB_OK);
    cr_assert_eq(
        epb_frame_decode_request(epb_record_stream(receiving, &buffer), &request),
        EPB_OK);
    cr_assert_eq(request.id, 7);
    epb_buf_fini(&buffer);
    cr_assert_eq(epb_record_begin(sending, &buffer), EPB_OK);
    cr_assert_eq(epb_frame_encode_reply(&buffer, &(struct epb_reply){.id = 7}), EPB_OK);
    cr_assert_eq(epb_record_end(sending, &buffer), EPB_OK);
    cr_assert_eq(hear(channel, bytes_of(&buffer)), EPB_OK);
    struct epb_bytes stream = epb_channel_stream(channel);
    struct epb_reply reply;
    cr_assert(next_reply(&stream, &reply) && reply.id == 7);
    epb_buf_fini(&buffer);
    epb_record_free(receiving);
    epb_record_free(sending);
    epb_handshake_free(broker);
    epb_channel_free(channel);
}

Test(channel, changed_bytes_of_the_broker_are_noticed)
{
    for (size_t m = 1; m < mode_count(); m++) {
        for (size_t at = 0;; at++) {
            struct broker broker;
            struct epb_channel *channel = join(&broker, MODES[m]);
            send_request(channel,
                         (struct epb_request){.action = EPB_ACTION_PING, .id = 1});
            cr_assert_eq(exchange(&broker, channel, SIZE_MAX), EPB_OK);
            epb_channel_consume(channel, epb_channel_stream(channel).size_bytes);
            send_request(channel,
                         (struct epb_request){.action = EPB_ACTION_PING, .id = 2});
            struct epb_bytes out = epb_channel_output(channel);
            (void)broker_feed(&broker, out, SIZE_MAX);
            size_t said_bytes = epb_buf_size(&broker.output);
            bool done = at == said_bytes;
            if (!done) {
                uint8_t *memory;
                size_t room;
                front_of(&broker.output)[at] ^= 0x80;
                cr_assert_eq(epb_channel_input(channel, &memory, &room), EPB_OK);
                memcpy(memory, epb_buf_data(&broker.output), said_bytes);
                enum epb_status status = epb_channel_received(channel, said_bytes);
                cr_assert_eq(epb_channel_stream(channel).size_bytes, 0);
                if (at >= 4) {
                    cr_assert_eq(status, EPB_AUTH_FAILED, "byte %zu", at);
                }
                cr_assert(at >= 4 || status == EPB_OK || status == EPB_TOO_LARGE ||
                          status == EPB_AUTH_FAILED);
            }
            part(&broker, channel);
            if (done) {
                break;
            }
        }
    }
}

Test(channel, takes_no_more_than_it_can_keep)
{
    static uint8_t much[1 << 20];

    for (size_t m = 0; m < 2; m++) {
        struct broker broker;
        struct epb_channel *channel = join(&broker, MODES[m]);
        enum epb_status status = EPB_OK;
        int taken = 0;
        for (; taken < 100 && status == EPB_OK; taken++) {
            status = epb_channel_send(channel, (struct epb_bytes){much, sizeof(much)});
        }
        cr_assert_eq(status, EPB_TOO_LARGE);
        cr_assert(taken >= 64 && taken <= 66, "%d MiB", taken);
        part(&broker, channel);
    }
}

/* A whole conversation in which the allocation number `countdown` fails. Nothing may
 * crash or leak, and what is answered must be true. Returns whether every request was
 * served. */
static bool
converse_without_memory(enum epb_record_mode mode, uint64_t countdown)
{
    static uint8_t value[20000];
    struct broker broker;
    unsigned served = 0;

    memset(value, '3', sizeof(value));
    broker_start(&broker, mode == EPB_RECORD_PLAIN ? NULL : SECRET, NULL);
    struct epb_buf frames;
    epb_buf_init(&frames, 1 << 20);
    put_request(&frames, set_of(1, "k", (struct epb_bytes){value, sizeof(value)}));
    put_request(&frames, (struct epb_request){
                             .action = EPB_ACTION_GET, .id = 2, .key = LITERAL("k")});
    put_request(&frames, (struct epb_request){.action = EPB_ACTION_STATS, .id = 3});
    put_request(&frames, (struct epb_request){.action = EPB_ACTION_LIST, .id = 4});
    /* The test's own buffer must not be what fails. */
    uint8_t *room;
    cr_assert_eq(epb_buf_reserve(&broker.output, 100000, &room), EPB_OK);
    epb_mem_fail_after(countdown);
    struct epb_channel *channel = epb_channel_new_in_mode(secret_for(mode), mode);
    if (channel != NULL) {
        bool stored = false;
        struct epb_reply reply;
        if (epb_channel_send(channel, bytes_of(&frames)) == EPB_OK) {
            (void)exchange(&broker, channel, 5000);
        }
        while (take_reply(channel, &reply)) {
            if (reply.id == 1) {
                stored = reply.status == EPB_OK;
            }
            if (reply.id == 2 && reply.status == EPB_OK) {
                cr_assert(stored);
                cr_assert(
                    bytes_equal(reply.body, (struct epb_bytes){value, sizeof(value)}));
            }
            cr_assert(reply.status == EPB_OK || reply.status == EPB_INTERNAL ||
                      (reply.id == 2 && !stored && reply.status == EPB_NOT_FOUND));
            served += reply.status == EPB_OK;
        }
    }
    epb_mem_fail_after(0);
    epb_channel_free(channel);
    epb_buf_fini(&frames);
    broker_stop(&broker);
    return served == 4;
}

Test(channel, no_allocation_that_fails_does_harm)
{
    for (size_t m = 0; m < mode_count(); m++) {
        unsigned unharmed = 0;
        unsigned harmed = 0;
        /* Until it is clear that the conversation needs no more allocations than that. */
        for (uint64_t countdown = 1; unharmed < 20; countdown++) {
            if (converse_without_memory(MODES[m], countdown)) {
                unharmed++;
            } else {
                unharmed = 0;
                harmed++;
            }
        }
        cr_assert_gt(harmed, 10, "%u", harmed);
    }
}
