/* The broker's end of a connection, driven with bytes: whatever comes, in whatever
 * pieces, there is the documented answer or a closed connection, within bounds. */
#include "wire/session.h"

#include "base/mem_testing.h"
#include "wire/auth.h"
#include "wire/jsonl.h"
#include "wire_help.h"

#define SECRET "a very secret secret"

/* Without a secret */

/* A few requests and what their replies must be. */
static void
put_conversation(struct epb_buf *out)
{
    put(out, LITERAL(EPB_MAGIC_PLAIN));
    put_request(out, (struct epb_request){.action = EPB_ACTION_PING, .id = 1});
    put_request(out, (struct epb_request){.action = EPB_ACTION_SET,
                                          .flags = EPB_F_TTL,
                                          .id = 2,
                                          .key = LITERAL("k"),
                                          .value = LITERAL("{\"a\":1}"),
                                          .ttl_ms = 60000});
    put_request(out, (struct epb_request){
                         .action = EPB_ACTION_GET, .id = 3, .key = LITERAL("k")});
    put_request(out, (struct epb_request){
                         .action = EPB_ACTION_GET, .id = 4, .key = LITERAL("missing")});
    put_request(out, (struct epb_request){.action = 99, .id = 5});
    put_request(out, (struct epb_request){.action = EPB_ACTION_GET, .id = 6});
}

static void
assert_conversation(struct epb_bytes stream)
{
    static const enum epb_status statuses[] = {
        EPB_OK, EPB_OK, EPB_OK, EPB_NOT_FOUND, EPB_UNKNOWN_ACTION, EPB_INVALID_KEY};
    struct epb_reply reply;

    for (uint32_t id = 1; id <= 6; id++) {
        cr_assert(next_reply(&stream, &reply), "reply %u", id);
        cr_assert_eq(reply.id, id);
        cr_assert_eq(reply.status, statuses[id - 1], "%u: %s", id,
                     epb_status_name(reply.status));
        if (id == 1) {
            cr_assert_eq(reply.count, 5000000);
        }
        if (id == 3) {
            cr_assert(bytes_equal(reply.body, LITERAL("{\"a\":1}")));
        }
    }
    cr_assert_eq(stream.size_bytes, 0);
}

Test(session, frames_are_answered_however_they_are_cut)
{
    struct broker broker;
    struct epb_buf input;

    epb_buf_init(&input, 4096);
    put_conversation(&input);
    broker_start(&broker, NULL, NULL);
    for (size_t cut = 0; cut <= epb_buf_size(&input); cut++) {
        broker_connect(&broker);
        struct epb_bytes all = bytes_of(&input);
        (void)broker_feed(&broker, (struct epb_bytes){all.data, cut}, SIZE_MAX);
        (void)broker_feed(
            &broker, (struct epb_bytes){all.data + cut, all.size_bytes - cut}, SIZE_MAX);
        assert_conversation(bytes_of(&broker.output));
        cr_assert_not(epb_session_is_closing(broker.session));
    }
    broker_connect(&broker);
    (void)broker_feed(&broker, bytes_of(&input), 1);
    assert_conversation(bytes_of(&broker.output));
    epb_buf_fini(&input);
    broker_stop(&broker);
}

static void
assert_refused(struct broker *broker, uint32_t id, enum epb_status status)
{
    struct epb_bytes stream = bytes_of(&broker->output);
    struct epb_reply reply;

    cr_assert(next_reply(&stream, &reply), "nothing was said");
    cr_assert_eq(reply.status, status, "%s", epb_status_name(reply.status));
    cr_assert_eq(reply.id, id);
    cr_assert_eq(stream.size_bytes, 0);
    cr_assert(epb_session_is_closing(broker->session));
}

static void
assert_closed_silently(struct broker *broker)
{
    cr_assert(epb_session_is_closing(broker->session));
    cr_assert_eq(epb_buf_size(&broker->output), 0);
}

Test(session, a_first_byte_that_means_nothing_closes)
{
    struct broker broker;

    broker_start(&broker, NULL, NULL);
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t first = (uint8_t)byte;
        broker_connect(&broker);
        (void)broker_feed(&broker, (struct epb_bytes){&first, 1}, 1);
        if (byte == 'E' || byte == '{') {
            cr_assert_not(epb_session_is_closing(broker.session));
        } else {
            assert_closed_silently(&broker);
        }
    }
    const char *starts[] = {"GET / HTTP/1.1\r\n", "null\n", "EX", "EPA0", "E\n"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        broker_connect(&broker);
        (void)broker_feed(&broker, TEXT(starts[i]), 1);
        assert_closed_silently(&broker);
    }
    broker_stop(&broker);
}

Test(session, another_magic_is_another_version)
{
    const char *magics[] = {"EPB4", "EPB9", "EPBm", "EPB\n"};
    struct broker open;
    struct broker locked;

    broker_start(&open, NULL, NULL);
    broker_start(&locked, SECRET, NULL);
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        broker_connect(&open);
        broker_connect(&locked);
        (void)broker_feed(&open, TEXT(magics[i]), 1);
        (void)broker_feed(&locked, TEXT(magics[i]), 1);
        assert_refused(&open, 0, EPB_VERSION_MISMATCH);
        assert_refused(&locked, 0, EPB_VERSION_MISMATCH);
    }
    broker_stop(&open);
    broker_stop(&locked);
}

Test(session, a_secret_on_one_side_only_is_refused)
{
    struct broker broker;

    broker_start(&broker, NULL, NULL);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_CHACHA20), 1);
    assert_refused(&broker, 0, EPB_AUTH_FAILED);
    cr_assert_eq(epb_engine_traffic(broker.engine)->auth_failures, 1);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_MAC), SIZE_MAX);
    assert_refused(&broker, 0, EPB_AUTH_FAILED);
    broker_stop(&broker);

    broker_start(&broker, SECRET, NULL);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), 1);
    assert_refused(&broker, 0, EPB_AUTH_REQUIRED);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("{"), 1);
    cr_assert(epb_session_is_closing(broker.session));
    cr_assert_not_null(strstr((const char *)epb_buf_data(&broker.output),
                              "{\"ok\":false,\"error\":\"auth_required\""));
    cr_assert_not_null(strstr((const char *)epb_buf_data(&broker.output),
                              "JSON lines need --no-auth or --legacy-hmac"));
    broker_stop(&broker);
}

Test(session, a_frame_beyond_the_limit_is_refused_by_name_before_it_is_there)
{
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 100;
    uint8_t frame[16] = {0};
    for (size_t piece = 1; piece <= 16; piece += 15) {
        struct broker broker;
        broker_start(&broker, NULL, &options);
        (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
        put_request(&broker.output,
                    (struct epb_request){.action = EPB_ACTION_PING, .id = 8});
        struct epb_buf input;
        epb_buf_init(&input, 100);
        put_request(&input, (struct epb_request){.action = EPB_ACTION_PING, .id = 8});
        epb_buf_consume(&broker.output, epb_buf_size(&broker.output));
        epb_put_u32(frame, 101);
        frame[4] = 1;
        epb_put_u32(frame + 8, 0xCAFE);
        put(&input, (struct epb_bytes){frame, sizeof(frame)});
        (void)broker_feed(&broker, bytes_of(&input), piece);
        struct epb_bytes stream = bytes_of(&broker.output);
        struct epb_reply reply;
        cr_assert(next_reply(&stream, &reply) && reply.id == 8 && reply.status == EPB_OK);
        cr_assert(next_reply(&stream, &reply));
        cr_assert_eq(reply.id, 0xCAFE);
        cr_assert_eq(reply.status, EPB_TOO_LARGE);
        cr_assert_not(epb_session_is_closing(broker.session));
        epb_buf_fini(&input);
        broker_stop(&broker);
    }
}

Test(session, a_frame_of_exactly_the_limit_is_served)
{
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 12 + 8 + 1 + 1000;
    static uint8_t value[1001];
    memset(value, '7', sizeof(value));
    for (size_t size_bytes = 1000; size_bytes <= 1001; size_bytes++) {
        struct broker broker;
        struct epb_buf input;
        broker_start(&broker, NULL, &options);
        epb_buf_init(&input, 4096);
        put(&input, LITERAL(EPB_MAGIC_PLAIN));
        put_request(&input, (struct epb_request){.action = EPB_ACTION_SET,
                                                 .flags = EPB_F_TTL,
                                                 .id = 1,
                                                 .key = LITERAL("k"),
                                                 .value = {value, size_bytes},
                                                 .ttl_ms = 1});
        (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
        struct epb_bytes stream = bytes_of(&broker.output);
        struct epb_reply reply;
        cr_assert(next_reply(&stream, &reply));
        cr_assert_eq(reply.status, size_bytes == 1000 ? EPB_OK : EPB_TOO_LARGE);
        epb_buf_fini(&input);
        broker_stop(&broker);
    }
}

Test(session, a_malformed_frame_is_refused_and_the_next_one_served)
{
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 4096);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_request(&input, (struct epb_request){
                            .action = EPB_ACTION_GET, .id = 1, .key = LITERAL("k")});
    epb_put_u16(front_of(&input) + 4 + 12, 500); /* a key longer than the frame */
    put(&input, LITERAL("\3\0\0\0abc"));         /* too short for a header, or an id */
    front_of(&input)[epb_buf_size(&input) - 3] = 1;
    put_request(&input, (struct epb_request){.action = EPB_ACTION_PING, .id = 2});
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    struct epb_bytes stream = bytes_of(&broker.output);
    struct epb_reply reply;
    cr_assert(next_reply(&stream, &reply));
    cr_assert(reply.id == 1 && reply.status == EPB_INVALID_REQUEST);
    cr_assert(next_reply(&stream, &reply));
    cr_assert(reply.id == 0 && reply.status == EPB_INVALID_REQUEST);
    cr_assert(next_reply(&stream, &reply));
    cr_assert(reply.id == 2 && reply.status == EPB_OK);
    cr_assert_not(epb_session_is_closing(broker.session));
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, a_frame_of_another_version_is_refused_and_closes)
{
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 4096);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_request(&input, (struct epb_request){.action = EPB_ACTION_PING, .id = 3});
    front_of(&input)[4 + 4] = 2;
    put_request(&input, (struct epb_request){.action = EPB_ACTION_PING, .id = 4});
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    assert_refused(&broker, 3, EPB_VERSION_MISMATCH);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

/* Turns, bounds, deadlines */

static void
put_pings(struct epb_buf *out, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        put_request(out, (struct epb_request){.action = EPB_ACTION_PING, .id = i});
    }
}

Test(session, a_turn_serves_what_it_may_and_says_that_there_is_more)
{
    struct broker broker;
    struct epb_buf input;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 65536);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_pings(&input, 100);
    epb_session_input(broker.session, &memory, &room);
    cr_assert_geq(room, epb_buf_size(&input));
    memcpy(memory, epb_buf_data(&input), epb_buf_size(&input));
    epb_session_received(broker.session, epb_buf_size(&input));
    size_t reply_bytes = 12 + 8;
    cr_assert(epb_session_turn(broker.session, &broker.now, 32, 65536));
    cr_assert_eq(epb_session_output(broker.session).size_bytes, 32 * reply_bytes);
    cr_assert(epb_session_turn(broker.session, &broker.now, 100, 160),
              "requests of 16 bytes, replies of 20");
    cr_assert_eq(epb_session_output(broker.session).size_bytes, 40 * reply_bytes);
    cr_assert(epb_session_turn(broker.session, &broker.now, 100, 16), "the next one");
    cr_assert_eq(epb_session_output(broker.session).size_bytes, 41 * reply_bytes);
    cr_assert_not(epb_session_turn(broker.session, &broker.now, 100, 65536));
    cr_assert_eq(epb_session_output(broker.session).size_bytes, 100 * reply_bytes);
    cr_assert_not(epb_session_turn(broker.session, &broker.now, 100, 65536));
    epb_buf_fini(&input);
    broker_stop(&broker);
}

/* Stores a value of 200,000 bytes, then asks for it `count` times without taking a reply.
 */
static void
ask_for_much(struct broker *broker, struct epb_buf *input, uint32_t count)
{
    static uint8_t value[200000];

    memset(value, '1', sizeof(value));
    put(input, LITERAL(EPB_MAGIC_PLAIN));
    put_request(input, (struct epb_request){.action = EPB_ACTION_SET,
                                            .flags = EPB_F_TTL,
                                            .id = 1000,
                                            .key = LITERAL("k"),
                                            .value = {value, sizeof(value)},
                                            .ttl_ms = 1000});
    (void)broker_feed(broker, bytes_of(input), SIZE_MAX);
    epb_buf_consume(input, epb_buf_size(input));
    for (uint32_t i = 1; i <= count; i++) {
        put_request(input, (struct epb_request){
                               .action = EPB_ACTION_GET, .id = i, .key = LITERAL("k")});
    }
}

Test(session, unread_output_stops_work_and_reading_until_it_is_taken)
{
    struct broker broker;
    struct epb_buf input;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 1 << 20);
    ask_for_much(&broker, &input, 30);
    epb_session_input(broker.session, &memory, &room);
    memcpy(memory, epb_buf_data(&input), epb_buf_size(&input));
    epb_session_received(broker.session, epb_buf_size(&input));
    for (unsigned turns = 1; epb_session_turn(broker.session, &broker.now, 32, 65536);
         turns++) {
        cr_assert_lt(epb_session_output(broker.session).size_bytes, turns * 200100,
                     "more than one large reply a turn");
    }
    size_t output_bytes = epb_session_output(broker.session).size_bytes;
    cr_assert_geq(output_bytes, 1048576);
    cr_assert_lt(output_bytes, 1048576 + 200100, "at most one reply beyond the bound");
    cr_assert_not(epb_session_turn(broker.session, &broker.now, 32, 65536));
    epb_session_input(broker.session, &memory, &room);
    cr_assert_eq(room, 0);
    cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX,
                 "the peer is not late");
    broker_take_output(&broker);
    broker_work(&broker);
    struct epb_bytes stream = bytes_of(&broker.output);
    struct epb_reply reply;
    cr_assert(next_reply(&stream, &reply) && reply.id == 1000);
    for (uint32_t i = 1; i <= 30; i++) {
        cr_assert(next_reply(&stream, &reply));
        cr_assert_eq(reply.id, i);
        cr_assert_eq(reply.body.size_bytes, 200000);
    }
    epb_session_input(broker.session, &memory, &room);
    cr_assert_gt(room, 0);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, reading_stops_while_a_backlog_waits_for_its_turn)
{
    struct broker broker;
    struct epb_buf input;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 1 << 24);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_pings(&input, 100000);
    size_t fed = 0;
    for (;;) {
        epb_session_input(broker.session, &memory, &room);
        if (room == 0) {
            break;
        }
        memcpy(memory, epb_buf_data(&input) + fed, room);
        epb_session_received(broker.session, room);
        fed += room;
    }
    cr_assert_leq(fed, 512 * 1024, "%zu bytes were taken without a turn", fed);
    broker_work(&broker);
    struct epb_bytes all = bytes_of(&input);
    (void)broker_feed(&broker, (struct epb_bytes){all.data + fed, all.size_bytes - fed},
                      SIZE_MAX);
    cr_assert_eq(epb_buf_size(&broker.output), 100000 * 20);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, a_handshake_has_ten_seconds)
{
    struct broker broker;

    broker_start(&broker, SECRET, NULL);
    uint64_t due = broker.now.mono_ms + 10000;
    cr_assert_eq(epb_session_deadline(broker.session), due);
    cr_assert(epb_session_is_unproven(broker.session));
    broker.now.mono_ms += 5000;
    (void)broker_feed(&broker, LITERAL("EPB1"), 1);
    cr_assert_eq(epb_session_deadline(broker.session), due, "a few bytes gain nothing");
    cr_assert(epb_session_is_unproven(broker.session));
    broker_stop(&broker);

    broker_start(&broker, NULL, NULL);
    (void)broker_feed(&broker, LITERAL("EPB"), 1);
    cr_assert_eq(epb_session_deadline(broker.session), due);
    (void)broker_feed(&broker, LITERAL("0"), 1);
    cr_assert_not(epb_session_is_unproven(broker.session));
    cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
    broker_stop(&broker);
}

/* One in surplus */

static struct epb_request
join_of(uint32_t id)
{
    static const uint8_t key[EPB_SESSION_KEY_BYTES] = "a session";

    return (struct epb_request){
        .action = EPB_ACTION_JOIN, .id = id, .value = {key, sizeof(key)}};
}

static void
feed_request(struct broker *broker, struct epb_request request)
{
    struct epb_buf input;

    epb_buf_init(&input, 4096);
    put_request(&input, request);
    (void)broker_feed(broker, bytes_of(&input), SIZE_MAX);
    epb_buf_fini(&input);
}

Test(session, one_in_surplus_has_a_second_to_say_that_it_renews)
{
    struct broker broker;

    broker_start(&broker, NULL, NULL);
    epb_session_restrict(broker.session, &broker.now);
    uint64_t due = broker.now.mono_ms + 1000;
    cr_assert_eq(epb_session_deadline(broker.session), due);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), due, "it has said nothing yet");
    cr_assert_not(epb_session_renews(broker.session));
    feed_request(&broker, join_of(0));
    cr_assert(epb_session_renews(broker.session));
    cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
    broker_stop(&broker);
}

Test(session, one_in_surplus_that_says_nothing_is_told)
{
    /* Before the first byte, and as a session. */
    for (unsigned i = 0; i < 2; i++) {
        struct broker broker;
        struct epb_reply reply;
        broker_start(&broker, NULL, NULL);
        epb_session_restrict(broker.session, &broker.now);
        if (i == 1) {
            (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
        }
        epb_session_turn_away(broker.session);
        cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
        broker_work(&broker);
        struct epb_bytes said = bytes_of(&broker.output);
        cr_assert(next_reply(&said, &reply));
        cr_assert_eq(reply.status, EPB_MAX_CONNECTIONS);
        cr_assert(epb_session_is_closing(broker.session));
        broker_stop(&broker);
    }
}

Test(session, one_in_surplus_is_told_in_a_record_once_it_is_proven)
{
    struct broker broker;

    broker_start(&broker, SECRET, NULL);
    struct epb_channel *channel = epb_channel_new(TEXT(SECRET));
    cr_assert_not_null(channel);
    epb_session_restrict(broker.session, &broker.now);
    cr_assert_eq(exchange(&broker, channel, SIZE_MAX), EPB_OK);
    cr_assert_not(epb_session_is_unproven(broker.session));
    epb_session_turn_away(broker.session);
    broker_work(&broker);
    (void)exchange(&broker, channel, SIZE_MAX);
    struct epb_bytes stream = epb_channel_stream(channel);
    struct epb_reply reply;
    cr_assert(next_reply(&stream, &reply));
    cr_assert_eq(reply.status, EPB_MAX_CONNECTIONS);
    epb_channel_free(channel);
    broker_stop(&broker);
}

Test(session, a_partial_frame_has_ten_seconds_from_its_first_byte)
{
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 4096);
    put_pings(&input, 2);
    struct epb_bytes pings = bytes_of(&input);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
    broker.now.mono_ms += 60000; /* an idle connection is never late */
    (void)broker_feed(&broker, (struct epb_bytes){pings.data, 5}, SIZE_MAX);
    uint64_t due = broker.now.mono_ms + 10000;
    cr_assert_eq(epb_session_deadline(broker.session), due);
    broker.now.mono_ms += 9000;
    (void)broker_feed(&broker, (struct epb_bytes){pings.data + 5, 5}, SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), due, "more of it gains nothing");
    (void)broker_feed(&broker, (struct epb_bytes){pings.data + 10, 10}, SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), broker.now.mono_ms + 10000,
                 "the next frame has its own time");
    (void)broker_feed(&broker, (struct epb_bytes){pings.data + 20, 12}, SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("{\"action\""), SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), broker.now.mono_ms + 10000);
    (void)broker_feed(&broker, LITERAL(":\"ping\"}\n"), SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, the_end_of_input_still_gets_its_answers)
{
    struct broker broker;
    struct epb_buf input;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 65536);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_pings(&input, 100);
    put(&input, LITERAL("\x10\0"));
    epb_session_input(broker.session, &memory, &room);
    memcpy(memory, epb_buf_data(&input), epb_buf_size(&input));
    epb_session_received(broker.session, epb_buf_size(&input));
    epb_session_end_of_input(broker.session, &broker.now);
    cr_assert_not(epb_session_is_closing(broker.session));
    broker_work(&broker);
    cr_assert_eq(epb_buf_size(&broker.output), 100 * 20);
    cr_assert(epb_session_is_closing(broker.session));
    epb_session_input(broker.session, &memory, &room);
    cr_assert_eq(room, 0);

    broker_connect(&broker);
    epb_session_end_of_input(broker.session, &broker.now);
    assert_closed_silently(&broker);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("EP"), SIZE_MAX);
    epb_session_end_of_input(broker.session, &broker.now);
    broker_work(&broker);
    assert_closed_silently(&broker);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, memory_of_input_stays_bounded)
{
    struct broker broker;
    struct epb_buf input;
    static uint8_t value[250000];

    memset(value, '5', sizeof(value));
    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 1 << 24);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    for (uint32_t i = 1; i <= 20; i++) {
        put_request(&input, (struct epb_request){.action = EPB_ACTION_SET,
                                                 .flags = EPB_F_TTL,
                                                 .id = i,
                                                 .key = LITERAL("k"),
                                                 .value = {value, sizeof(value)},
                                                 .ttl_ms = 1000});
    }
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    cr_assert_eq(epb_buf_size(&broker.output), 20 * 20);
    cr_assert_leq(broker.most_held, 1048576, "%zu bytes", broker.most_held);
    cr_assert_eq(epb_session_held_input(broker.session), 0, "idle sessions hold nothing");
    cr_assert_eq(epb_session_held_output(broker.session), 0);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

/* With a secret */

/* A client made of the handshake and the records, so that every byte can be tampered
 * with. */
struct client {
    struct epb_handshake *handshake;
    struct epb_record *sending;
    struct epb_record *receiving;
    struct epb_buf in;
    struct epb_buf out;
};

/* Proves the secret up to the point where `client->out` is the proof, not yet sent. */
static void
client_hello(struct client *client, struct broker *broker, enum epb_record_mode mode)
{
    uint8_t hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t proof[EPB_PROOF_BYTES];
    struct epb_session_keys keys;

    memset(client, 0, sizeof(*client));
    epb_buf_init(&client->in, 1 << 24);
    epb_buf_init(&client->out, 1 << 24);
    client->handshake = epb_handshake_new(LITERAL(SECRET));
    cr_assert_eq(
        epb_handshake_client_hello(client->handshake, epb_auth_offer_of(mode), hello),
        EPB_OK);
    (void)broker_feed(broker, (struct epb_bytes){hello, sizeof(hello)}, SIZE_MAX);
    cr_assert_eq(epb_buf_size(&broker->output), EPB_SERVER_HELLO_BYTES);
    cr_assert_eq(epb_handshake_client_finish(client->handshake, bytes_of(&broker->output),
                                             proof, &keys, &mode),
                 EPB_OK);
    epb_buf_consume(&broker->output, EPB_SERVER_HELLO_BYTES);
    put(&client->out, (struct epb_bytes){proof, sizeof(proof)});
    client->sending = epb_record_new(mode, keys.client_to_server);
    client->receiving = epb_record_new(mode, keys.server_to_client);
}

static void
client_seal(struct client *client, struct epb_bytes plain)
{
    cr_assert_eq(epb_record_begin(client->sending, &client->out), EPB_OK);
    put(&client->out, plain);
    cr_assert_eq(epb_record_end(client->sending, &client->out), EPB_OK);
}

static struct epb_bytes
client_open(struct client *client, struct broker *broker)
{
    put(&client->in, bytes_of(&broker->output));
    cr_assert_eq(epb_record_unseal(client->receiving, &client->in, SIZE_MAX), EPB_OK);
    return epb_record_stream(client->receiving, &client->in);
}

static void
client_close(struct client *client)
{
    epb_handshake_free(client->handshake);
    epb_record_free(client->sending);
    epb_record_free(client->receiving);
    epb_buf_fini(&client->in);
    epb_buf_fini(&client->out);
}

Test(session, a_place_for_input_that_is_not_needed_is_given_back)
{
    struct broker broker;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, NULL, NULL);
    (void)broker_feed(&broker, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
    epb_session_input(broker.session, &memory, &room);
    cr_assert_gt(room, 0);
    cr_assert_gt(epb_session_held_input(broker.session), 0);
    epb_session_received(broker.session, 0);
    cr_assert_eq(epb_session_held_input(broker.session), 0);
    broker_stop(&broker);
}

Test(session, a_proven_client_is_served_however_its_bytes_are_cut)
{
    struct broker broker;
    struct epb_buf frames;

    broker_start(&broker, SECRET, NULL);
    epb_buf_init(&frames, 4096);
    put_conversation(&frames);
    epb_buf_consume(&frames, EPB_MAGIC_BYTES);
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        for (size_t cut = 0;; cut++) {
            struct client client;
            broker_connect(&broker);
            client_hello(&client, &broker, KEYED_MODES[m]);
            cr_assert(epb_session_is_unproven(broker.session));
            client_seal(&client, bytes_of(&frames));
            struct epb_bytes all = bytes_of(&client.out);
            bool last = cut == all.size_bytes;
            (void)broker_feed(&broker, (struct epb_bytes){all.data, cut}, SIZE_MAX);
            (void)broker_feed(&broker,
                              (struct epb_bytes){all.data + cut, all.size_bytes - cut},
                              SIZE_MAX);
            cr_assert_not(epb_session_is_unproven(broker.session));
            assert_conversation(client_open(&client, &broker));
            client_close(&client);
            if (last) {
                break;
            }
        }
    }
    epb_buf_fini(&frames);
    broker_stop(&broker);
}

Test(session, an_unproven_peer_has_a_buffer_of_one_kibibyte)
{
    struct broker broker;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, SECRET, NULL);
    epb_session_input(broker.session, &memory, &room);
    cr_assert_eq(room, 1024);
    (void)broker_feed(&broker, LITERAL("EPB1abcdef"), SIZE_MAX);
    epb_session_input(broker.session, &memory, &room);
    cr_assert_eq(room, 1024 - 10);
    cr_assert_leq(epb_session_held_input(broker.session), 1024);
    broker_connect(&broker);
    struct client client;
    client_hello(&client, &broker, EPB_RECORD_CHACHA20);
    epb_session_input(broker.session, &memory, &room);
    cr_assert_eq(room, 1024);
    cr_assert_leq(epb_session_held_input(broker.session), 1024);
    client_close(&client);
    broker_stop(&broker);
}

/* A hello of EPB3 with so many bytes for the scope, and some behind it. */
static void
put_hello(struct epb_buf *hello, size_t counted_bytes, size_t scope_bytes)
{
    uint8_t *memory;

    cr_assert_eq(epb_buf_reserve(hello, 6 + counted_bytes, &memory), EPB_OK);
    memset(memory, 's', 6 + counted_bytes);
    memcpy(memory, EPB_MAGIC_OFFER, EPB_MAGIC_BYTES);
    epb_put_u16(memory + 4, (uint16_t)counted_bytes);
    if (counted_bytes >= 38) {
        epb_put_u32(memory + 38, EPB_OFFER_CHACHA20);
        epb_put_u16(memory + 42, (uint16_t)scope_bytes);
    }
    epb_buf_commit(hello, 6 + counted_bytes);
}

/* How a broker answers: EPB_OK for a hello with a proof, or why it refuses. */
static enum epb_status
answer_to(struct broker *broker, size_t counted_bytes, size_t scope_bytes, size_t piece)
{
    struct epb_buf hello;
    struct epb_reply refusal;

    epb_buf_init(&hello, 2 * 65536);
    put_hello(&hello, counted_bytes, scope_bytes);
    broker_connect(broker);
    (void)broker_feed(broker, bytes_of(&hello), piece);
    epb_buf_fini(&hello);
    if (!epb_session_is_closing(broker->session)) {
        cr_assert_eq(epb_buf_size(&broker->output), EPB_SERVER_HELLO_BYTES);
        return EPB_OK;
    }
    cr_assert_eq(epb_frame_decode_reply(bytes_of(&broker->output), &refusal), EPB_OK);
    return refusal.status;
}

Test(session, a_hello_is_bounded_and_its_scope_is_refused)
{
    static const struct {
        size_t counted_bytes;
        size_t scope_bytes;
        enum epb_status status;
    } HELLOS[] = {{38, 0, EPB_OK},
                  {39, 0, EPB_OK}, /* what a later version says */
                  {1018, 0, EPB_OK},
                  {39, 1, EPB_VERSION_MISMATCH},
                  {38 + 512, 512, EPB_VERSION_MISMATCH},
                  {1018, 512, EPB_VERSION_MISMATCH},
                  {1018, 513, EPB_TOO_LARGE},
                  {38, 1, EPB_INVALID_REQUEST},
                  {38 + 511, 512, EPB_INVALID_REQUEST},
                  {0, 0, EPB_INVALID_REQUEST},
                  {37, 0, EPB_INVALID_REQUEST},
                  {1019, 0, EPB_TOO_LARGE},
                  {65535, 0, EPB_TOO_LARGE}};
    static const size_t PIECES[] = {1, 7, SIZE_MAX};
    struct broker broker;

    broker_start(&broker, SECRET, NULL);
    for (size_t i = 0; i < sizeof(HELLOS) / sizeof(HELLOS[0]); i++) {
        for (size_t p = 0; p < 3; p++) {
            cr_assert_eq(answer_to(&broker, HELLOS[i].counted_bytes,
                                   HELLOS[i].scope_bytes, PIECES[p]),
                         HELLOS[i].status, "%zu bytes, of scope %zu",
                         HELLOS[i].counted_bytes, HELLOS[i].scope_bytes);
            cr_assert_leq(broker.most_held, 1024);
        }
    }
    broker_stop(&broker);
}

Test(session, a_client_that_offers_no_cipher_we_have_is_refused)
{
    const uint32_t offers[] = {0, 8, 1U << 31};
    struct broker broker;

    broker_start(&broker, SECRET, NULL);
    for (size_t i = 0; i < 3; i++) {
        uint8_t hello[EPB_CLIENT_HELLO_BYTES] = EPB_MAGIC_OFFER "\x26";
        struct epb_reply refusal;
        epb_put_u32(hello + 38, offers[i]);
        broker_connect(&broker);
        (void)broker_feed(&broker, (struct epb_bytes){hello, sizeof(hello)}, SIZE_MAX);
        cr_assert(epb_session_is_closing(broker.session));
        cr_assert_eq(epb_frame_decode_reply(bytes_of(&broker.output), &refusal), EPB_OK);
        cr_assert_eq(refusal.status, EPB_VERSION_MISMATCH);
    }
    broker_stop(&broker);
}

static void
assert_auth_failed(struct broker *broker, uint64_t failures)
{
    cr_assert(epb_session_is_closing(broker->session));
    cr_assert_eq(epb_engine_traffic(broker->engine)->auth_failures, failures);
    struct epb_stats stats;
    epb_engine_stats(broker->engine, &broker->now, &stats);
    cr_assert_eq(stats.requests, 0, "nothing reached the engine");
}

Test(session, every_changed_bit_of_a_proof_or_a_record_closes)
{
    struct broker broker;
    struct epb_buf frames;
    uint64_t failures = 0;

    broker_start(&broker, SECRET, NULL);
    epb_buf_init(&frames, 4096);
    put_pings(&frames, 1);
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        for (size_t bit = 0;; bit++) {
            struct client client;
            broker_connect(&broker);
            client_hello(&client, &broker, KEYED_MODES[m]);
            client_seal(&client, bytes_of(&frames));
            size_t all_bytes = epb_buf_size(&client.out);
            if (bit < 8 * all_bytes) {
                front_of(&client.out)[bit / 8] ^= (uint8_t)(1U << (bit % 8));
                (void)broker_feed(&broker, bytes_of(&client.out), SIZE_MAX);
                /* A record that grew stays incomplete, or is too large: no failed proof.
                 */
                bool length = bit / 8 >= EPB_PROOF_BYTES && bit / 8 < EPB_PROOF_BYTES + 4;
                if (length) {
                    failures = epb_engine_traffic(broker.engine)->auth_failures;
                    epb_session_end_of_input(broker.session, &broker.now);
                    broker_work(&broker);
                } else {
                    failures++;
                }
                assert_auth_failed(&broker, failures);
            }
            client_close(&client);
            if (bit >= 8 * all_bytes) {
                break;
            }
        }
    }
    epb_buf_fini(&frames);
    broker_stop(&broker);
}

Test(session, replayed_and_reflected_records_close)
{
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        struct broker broker;
        struct client client;
        struct epb_buf frames;
        broker_start(&broker, SECRET, NULL);
        epb_buf_init(&frames, 4096);
        put_pings(&frames, 1);
        client_hello(&client, &broker, KEYED_MODES[m]);
        (void)broker_feed(&broker, bytes_of(&client.out), SIZE_MAX);
        epb_buf_consume(&client.out, epb_buf_size(&client.out));
        client_seal(&client, bytes_of(&frames));
        (void)broker_feed(&broker, bytes_of(&client.out), SIZE_MAX);
        struct epb_buf said;
        epb_buf_init(&said, 4096);
        put(&said, bytes_of(&broker.output));
        cr_assert_not(epb_session_is_closing(broker.session));
        (void)broker_feed(&broker, bytes_of(m == 0 ? &client.out : &said), SIZE_MAX);
        cr_assert(epb_session_is_closing(broker.session));
        cr_assert_eq(epb_engine_traffic(broker.engine)->auth_failures, 1);
        struct epb_bytes stream = client_open(&client, &broker);
        struct epb_reply reply;
        cr_assert(next_reply(&stream, &reply));
        cr_assert(reply.id == 1 && reply.status == EPB_OK);
        cr_assert(next_reply(&stream, &reply), "the session says why it closes");
        cr_assert(reply.id == 0 && reply.status == EPB_AUTH_FAILED);
        epb_buf_fini(&frames);
        epb_buf_fini(&said);
        client_close(&client);
        broker_stop(&broker);
    }
}

Test(session, the_replies_of_a_turn_are_one_record)
{
    struct broker broker;
    struct client client;
    struct epb_buf frames;
    uint8_t *memory;
    size_t room;

    broker_start(&broker, SECRET, NULL);
    epb_buf_init(&frames, 65536);
    put_pings(&frames, 20);
    client_hello(&client, &broker, EPB_RECORD_CHACHA20);
    (void)broker_feed(&broker, bytes_of(&client.out), SIZE_MAX);
    epb_buf_consume(&client.out, epb_buf_size(&client.out));
    client_seal(&client, bytes_of(&frames));
    epb_session_input(broker.session, &memory, &room);
    memcpy(memory, epb_buf_data(&client.out), epb_buf_size(&client.out));
    epb_session_received(broker.session, epb_buf_size(&client.out));
    cr_assert_not(epb_session_turn(broker.session, &broker.now, 32, 65536));
    cr_assert_eq(epb_session_output(broker.session).size_bytes, 4 + 20 * 20 + 16);
    epb_buf_fini(&frames);
    client_close(&client);
    broker_stop(&broker);
}

/* JSON lines */

static void
assert_lines(struct broker *broker, const char *expected)
{
    struct epb_bytes said = bytes_of(&broker->output);

    cr_assert(bytes_equal(said, TEXT(expected)), "%.*s", (int)said.size_bytes,
              (const char *)said.data);
}

static const char LINES[] =
    "{\"action\":\"ping\",\"id\":1}\r\n"
    "{\"action\":\"set\",\"key\":\"k\",\"value\":[1, 2],\"ttl\":5000}\n"
    "{\"action\":\"get\",\"key\":\"k\"}\n"
    "null\n"
    "\n"
    "{\"action\":\"del\",\"key\":\"k\"}\n"
    "{\"action\":\"has\",\"key\":\"k\",\"id\":\"z\"}\n";
static const char LINES_REPLY[] =
    "{\"ok\":true,\"id\":1,\"pong\":5000000}\n"
    "{\"ok\":true,\"version\":%u}\n"
    "{\"ok\":true,\"value\":[1, 2]}\n"
    "{\"ok\":false,\"error\":\"invalid_request\",\"message\":\"%s\"}\n"
    "{\"ok\":false,\"error\":\"invalid_request\",\"message\":\"%s\"}\n"
    "{\"ok\":true,\"deleted\":true}\n"
    "{\"ok\":true,\"id\":\"z\",\"exists\":false}\n";

Test(session, lines_are_answered_in_order_however_they_are_cut)
{
    struct broker broker;
    const char *message = epb_status_message(EPB_INVALID_REQUEST);

    broker_start(&broker, NULL, NULL);
    struct epb_bytes all = LITERAL(LINES);
    for (size_t cut = 0; cut <= all.size_bytes; cut++) {
        char expected[2000];
        broker_connect(&broker);
        (void)broker_feed(&broker, (struct epb_bytes){all.data, cut}, SIZE_MAX);
        (void)broker_feed(&broker,
                          (struct epb_bytes){all.data + cut, all.size_bytes - cut},
                          cut % 2 == 0 ? SIZE_MAX : 1);
        snprintf(expected, sizeof(expected), LINES_REPLY, (unsigned)cut + 1, message,
                 message);
        assert_lines(&broker, expected);
    }
    broker_stop(&broker);
}

Test(session, a_line_beyond_the_limit_is_refused_and_closes)
{
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 60;
    char line[100];
    for (int size_bytes = 59; size_bytes <= 62; size_bytes++) {
        for (size_t piece = 1; piece <= 100; piece += 99) {
            struct broker broker;
            broker_start(&broker, NULL, &options);
            snprintf(
                line, sizeof(line), "{\"action\":\"ping\",\"x\":\"%.*s\"}\n",
                size_bytes - 25,
                "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
            cr_assert_eq(strlen(line), (size_t)size_bytes);
            (void)broker_feed(&broker, TEXT(line), piece);
            bool fits = size_bytes - 1 <= 60;
            cr_assert_eq(epb_session_is_closing(broker.session), !fits);
            const char *start =
                fits ? "{\"ok\":true," : "{\"ok\":false,\"error\":\"too_large\"";
            cr_assert_eq(memcmp(epb_buf_data(&broker.output), start, strlen(start)), 0);
            broker_stop(&broker);
        }
    }
}

static void
put_signed(struct epb_buf *out, const char *secret, const char *payload)
{
    struct epb_hmac hmac;
    uint8_t mac[32];

    cr_assert_eq(epb_hmac_init(&hmac, TEXT(secret)), EPB_OK);
    epb_hmac_begin(&hmac);
    epb_hmac_add(&hmac, payload, strlen(payload));
    epb_hmac_end(&hmac, mac);
    epb_hmac_fini(&hmac);
    cr_assert_eq(epb_buf_append(out, payload, strlen(payload) - 1), EPB_OK);
    put(out, LITERAL(",\"hmac\":\""));
    for (int i = 0; i < 32; i++) {
        cr_assert_eq(epb_buf_printf(out, "%02x", mac[i]), EPB_OK);
    }
    put(out, LITERAL("\"}\n"));
}

Test(session, signed_lines_are_served_and_others_refused)
{
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, SECRET, NULL);
    broker.config.legacy_hmac = true;
    epb_buf_init(&input, 4096);
    put_signed(&input, SECRET,
               "{\"action\":\"set\",\"key\":\"k\",\"value\":\"v\",\"ttl\":1000}");
    put_signed(&input, SECRET, "{\"action\":\"get\",\"key\":\"k\"}");
    for (size_t piece = 1; piece < 300; piece += 7) {
        broker_connect(&broker);
        cr_assert(epb_session_is_unproven(broker.session));
        (void)broker_feed(&broker, bytes_of(&input), piece);
        cr_assert_not(epb_session_is_unproven(broker.session));
        cr_assert_not(epb_session_is_closing(broker.session));
        cr_assert_not_null(strstr((const char *)epb_buf_data(&broker.output),
                                  "{\"ok\":true,\"value\":\"v\"}\n"));
    }
    /* Unsigned, signed with another secret, and not JSON at all: one answer for all. */
    char expected[300];
    snprintf(expected, sizeof(expected),
             "{\"ok\":false,\"error\":\"auth_failed\",\"message\":\"%s\"}\n",
             epb_status_message(EPB_AUTH_FAILED));
    for (int i = 0; i < 3; i++) {
        epb_buf_consume(&input, epb_buf_size(&input));
        if (i == 0) {
            put(&input, LITERAL("{\"action\":\"get\",\"key\":\"k\"}\n"));
        }
        if (i == 1) {
            put_signed(&input, "wrong", "{\"action\":\"get\",\"key\":\"k\"}");
        }
        if (i == 2) {
            put(&input, LITERAL("{]\n"));
        }
        put_signed(&input, SECRET, "{\"action\":\"get\",\"key\":\"k\"}");
        broker_connect(&broker);
        (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
        assert_lines(&broker, expected);
        cr_assert(epb_session_is_closing(broker.session));
        cr_assert_eq(epb_engine_traffic(broker.engine)->auth_failures, (uint64_t)i + 1);
    }
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, a_text_stored_by_frames_that_is_no_json_is_named_over_lines)
{
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 4096);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    put_request(&input, (struct epb_request){.action = EPB_ACTION_SET,
                                             .flags = EPB_F_TTL,
                                             .id = 1,
                                             .key = LITERAL("k"),
                                             .value = LITERAL("1},\n{\"ok\":true"),
                                             .ttl_ms = 1000});
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("{\"action\":\"get\",\"key\":\"k\"}\n"), SIZE_MAX);
    cr_assert_eq(strncmp((const char *)epb_buf_data(&broker.output),
                         "{\"ok\":false,\"error\":\"invalid_value\"", 35),
                 0);
    epb_buf_fini(&input);
    broker_stop(&broker);
}

/* Events, reports, failures */

struct heard {
    unsigned requests;
    unsigned refused;
    unsigned authenticated;
    enum epb_status status;
    char key[16];
};

static void
hear(void *context, const struct epb_session_event *event)
{
    struct heard *heard = context;

    if (strcmp(event->name, "request") == 0) {
        heard->requests++;
    }
    if (strcmp(event->name, "refused") == 0) {
        heard->refused++;
    }
    if (strcmp(event->name, "authenticated") == 0) {
        heard->authenticated++;
    }
    heard->status = event->status;
    if (event->key.size_bytes > 0 && event->key.size_bytes < sizeof(heard->key)) {
        memcpy(heard->key, event->key.data, event->key.size_bytes);
    }
}

Test(session, its_owner_hears_of_requests_refusals_and_proofs)
{
    struct broker broker;
    struct heard heard = {0};
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    broker.config.on_event = hear;
    broker.config.event_context = &heard;
    broker.config.log_requests = true;
    epb_buf_init(&input, 4096);
    put_conversation(&input);
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    cr_assert_eq(heard.requests, 6);
    cr_assert_str_eq(heard.key, "missing");
    cr_assert_eq(heard.refused, 0);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("EPB1"), SIZE_MAX);
    cr_assert_eq(heard.refused, 1);
    cr_assert_eq(heard.status, EPB_AUTH_FAILED);
    epb_buf_fini(&input);
    broker_stop(&broker);

    struct client client;
    broker_start(&broker, SECRET, NULL);
    broker.config.on_event = hear;
    broker.config.event_context = &heard;
    broker_connect(&broker);
    client_hello(&client, &broker, EPB_RECORD_MAC);
    cr_assert_eq(heard.authenticated, 0);
    (void)broker_feed(&broker, bytes_of(&client.out), SIZE_MAX);
    cr_assert_eq(heard.authenticated, 1);
    client_close(&client);
    broker_stop(&broker);
}

Test(session, reports_come_as_text_over_frames)
{
    static const struct {
        uint8_t action;
        const char *start;
    } cases[] = {{EPB_ACTION_STATS, "{\"items\":0,"},
                 {EPB_ACTION_HEALTH, "{\"status\":\"healthy\","},
                 {EPB_ACTION_METRICS, "# HELP ephemeral_broker_"}};
    struct broker broker;
    struct epb_buf input;

    broker_start(&broker, NULL, NULL);
    epb_buf_init(&input, 4096);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    for (uint32_t i = 0; i < 3; i++) {
        put_request(&input, (struct epb_request){.action = cases[i].action, .id = i + 1});
    }
    (void)broker_feed(&broker, bytes_of(&input), SIZE_MAX);
    struct epb_bytes stream = bytes_of(&broker.output);
    for (uint32_t i = 0; i < 3; i++) {
        struct epb_reply reply;
        cr_assert(next_reply(&stream, &reply));
        cr_assert(reply.id == i + 1 && reply.status == EPB_OK && reply.flags == 0);
        cr_assert_eq(memcmp(reply.body.data, cases[i].start, strlen(cases[i].start)), 0);
    }
    epb_buf_fini(&input);
    broker_stop(&broker);
}

/* A conversation of lines in which the allocation number `countdown` fails: each answer
 * is the right one or `internal`, or the connection closes. Returns whether all were
 * right. */
static bool
talk_without_memory(uint64_t countdown)
{
    static const char *const right[] = {
        "{\"ok\":true,\"version\":1}", "{\"ok\":true,\"value\":[1]}",
        "{\"ok\":true,\"metrics\":", "{\"ok\":true,\"items\":{\"k\""};
    static const char internal[] = "{\"ok\":false,\"error\":\"internal\"";
    struct broker broker;
    unsigned good = 0;
    uint8_t *room;

    broker_start(&broker, NULL, NULL);
    cr_assert_eq(epb_buf_reserve(&broker.output, 100000, &room), EPB_OK);
    epb_mem_fail_after(countdown);
    (void)broker_feed(
        &broker,
        LITERAL("{\"action\":\"set\",\"key\":\"k\",\"value\":[1],\"ttl\":5000}\n"
                "{\"action\":\"get\",\"key\":\"k\"}\n"
                "{\"action\":\"metrics\"}\n"
                "{\"action\":\"list\"}\n"),
        SIZE_MAX);
    epb_mem_fail_after(0);
    cr_assert_eq(epb_buf_append(&broker.output, "", 1), EPB_OK);
    const char *line = (const char *)epb_buf_data(&broker.output);
    bool stored = false;
    for (unsigned i = 0; *line != '\0'; i++) {
        cr_assert_lt(i, 4);
        bool is_right = strncmp(line, right[i], strlen(right[i])) == 0;
        if (i == 0) {
            stored = is_right;
        }
        cr_assert(is_right || strncmp(line, internal, sizeof(internal) - 1) == 0 ||
                      !stored,
                  "%s", line);
        good += is_right;
        line = strchr(line, '\n') + 1;
    }
    broker_stop(&broker);
    return good == 4;
}

Test(session, no_allocation_that_fails_does_harm)
{
    unsigned unharmed = 0;
    unsigned harmed = 0;

    for (uint64_t countdown = 1; unharmed < 20; countdown++) {
        if (talk_without_memory(countdown)) {
            unharmed++;
        } else {
            unharmed = 0;
            harmed++;
        }
    }
    cr_assert_gt(harmed, 5, "%u", harmed);
}

Test(session, requests_that_are_refused_unread_are_counted)
{
    struct broker broker;
    struct epb_stats stats;

    broker_start(&broker, NULL, NULL);
    (void)broker_feed(&broker,
                      LITERAL("{\"action\":\"nonsense\"}\n{]\n{\"action\":\"ping\"}\n"),
                      SIZE_MAX);
    broker_connect(&broker);
    (void)broker_feed(&broker, LITERAL("EPB0\xff\xff\xff\x7f\1\1\0\0\5\0\0\0"), SIZE_MAX);
    assert_refused(&broker, 5, EPB_TOO_LARGE);
    epb_engine_stats(broker.engine, &broker.now, &stats);
    cr_assert_eq(stats.requests, 4);
    cr_assert_eq(stats.by_status[EPB_UNKNOWN_ACTION], 1);
    cr_assert_eq(stats.by_status[EPB_INVALID_JSON], 1);
    cr_assert_eq(stats.by_status[EPB_TOO_LARGE], 1);
    cr_assert_eq(stats.by_status[EPB_OK], 1);
    broker_stop(&broker);
}

Test(session, a_frame_beyond_the_limit_costs_the_others_nothing)
{
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 4096;
    static uint8_t value[300000];
    memset(value, '7', sizeof(value));
    struct broker broker;
    struct epb_buf input;
    broker_start(&broker, NULL, &options);
    epb_buf_init(&input, 1 << 20);
    put(&input, LITERAL(EPB_MAGIC_PLAIN));
    for (uint32_t id = 1; id <= 4; id++) {
        bool large = id == 2 || id == 3;
        put_request(&input,
                    (struct epb_request){.action = EPB_ACTION_SET,
                                         .flags = EPB_F_TTL,
                                         .id = id,
                                         .key = LITERAL("k"),
                                         .value = {value, large ? sizeof(value) : 10},
                                         .ttl_ms = 1});
    }
    for (size_t piece = 1; piece <= 100000; piece *= 10) {
        broker_connect(&broker);
        (void)broker_feed(&broker, bytes_of(&input), piece);
        struct epb_bytes stream = bytes_of(&broker.output);
        struct epb_reply reply;
        for (uint32_t id = 1; id <= 4; id++) {
            cr_assert(next_reply(&stream, &reply), "reply %u, in pieces of %zu", id,
                      piece);
            cr_assert_eq(reply.id, id);
            cr_assert_eq(reply.status, id == 2 || id == 3 ? EPB_TOO_LARGE : EPB_OK);
        }
        cr_assert_eq(stream.size_bytes, 0);
        cr_assert_not(epb_session_is_closing(broker.session));
        cr_assert_eq(epb_session_deadline(broker.session), UINT64_MAX);
        cr_assert_lt(epb_session_held_input(broker.session), sizeof(value));
    }
    epb_buf_fini(&input);
    broker_stop(&broker);
}

Test(session, a_frame_beyond_the_limit_must_come_in_time_too)
{
    struct epb_options options;

    epb_options_default(&options);
    options.max_request_bytes = 4096;
    struct broker broker;
    broker_start(&broker, NULL, &options);
    (void)broker_feed(&broker, LITERAL("EPB0\xff\xff\x0f\0\1\1\0\0\5\0\0\0"), SIZE_MAX);
    uint64_t due_ms = epb_session_deadline(broker.session);
    cr_assert_eq(due_ms, broker.now.mono_ms + 10000);
    broker.now.mono_ms += 5000;
    (void)broker_feed(&broker, LITERAL("more of it"), SIZE_MAX);
    cr_assert_eq(epb_session_deadline(broker.session), due_ms);
    broker_stop(&broker);
}

/* Bytes that begin well and then are anything: the session may refuse, but not more. */
Test(session, random_bytes_are_survived)
{
    uint64_t random = UINT64_C(0xFEEDFACECAFEBEEF);
    static const char *const starts[] = {"",     "EPB0", "EPB1",
                                         "EPBM", "{",    "{\"action\":\"set\","};
    for (int round = 0; round < 3000; round++) {
        struct broker broker;
        uint8_t bytes[400];
        broker_start(&broker, round % 2 == 0 ? NULL : SECRET, NULL);
        broker.config.legacy_hmac = round % 4 == 1;
        const char *start = starts[next_random(&random) % 6];
        (void)broker_feed(&broker, TEXT(start), SIZE_MAX);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)next_random(&random);
        }
        for (size_t i = 0; i + 4 < sizeof(bytes); i += 40) {
            epb_put_u32(bytes + i, 12 + (uint32_t)(next_random(&random) % 30));
            bytes[i + 4] = 1;
        }
        (void)broker_feed(&broker, (struct epb_bytes){bytes, sizeof(bytes)},
                          1 + next_random(&random) % 100);
        epb_session_end_of_input(broker.session, &broker.now);
        broker_work(&broker);
        cr_assert(epb_session_is_closing(broker.session));
        broker_stop(&broker);
    }
}
