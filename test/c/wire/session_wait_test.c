/* Requests that wait, and events, over frames: several connections of one broker, driven
 * with bytes. */
#include "session_wait_help.h"

static void
open_frames(struct broker *side)
{
    (void)broker_feed(side, LITERAL(EPB_MAGIC_PLAIN), SIZE_MAX);
}

static void
ask(struct broker *side, struct epb_request request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 1 << 20);
    put_request(&frame, request);
    (void)broker_feed(side, bytes_of(&frame), SIZE_MAX);
    epb_buf_fini(&frame);
}

static void
ask_lock(struct broker *side, uint32_t id, const char *name, uint64_t wait_ms)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_LOCK,
                                   .flags = EPB_F_WAIT | EPB_F_FRESH,
                                   .id = id,
                                   .key = TEXT(name),
                                   .worker = LITERAL("w"),
                                   .wait_ms = wait_ms});
}

static void
ask_release(struct broker *side, uint32_t id, const char *name)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                   .id = id,
                                   .key = TEXT(name),
                                   .worker = LITERAL("w")});
}

static void
ask_set(struct broker *side, uint32_t id, const char *key, struct epb_bytes value)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_SET,
                                   .flags = EPB_F_TTL,
                                   .id = id,
                                   .key = TEXT(key),
                                   .value = value,
                                   .ttl_ms = 60000});
}

static void
ask_wait_for(struct broker *side, uint32_t id, const char *key)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_WAIT_FOR,
                                   .flags = EPB_F_WAIT,
                                   .id = id,
                                   .key = TEXT(key),
                                   .wait_ms = FOREVER});
}

static void
ask_cancel(struct broker *side, uint32_t id, int64_t target)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_CANCEL,
                                   .flags = EPB_F_COUNT,
                                   .id = id,
                                   .count = target});
}

/* The next reply frame, which must be this one. */
static struct epb_reply
hear(struct broker *side, uint32_t id, enum epb_status status)
{
    static struct epb_buf last; /* keeps the body */
    struct epb_bytes stream = bytes_of(&side->output);
    struct epb_reply reply;

    cr_assert(next_reply(&stream, &reply), "no reply %u", id);
    size_t size_bytes = epb_buf_size(&side->output) - stream.size_bytes;
    epb_buf_fini(&last);
    epb_buf_init(&last, 1 << 20);
    put(&last, (struct epb_bytes){epb_buf_data(&side->output), size_bytes});
    epb_buf_consume(&side->output, size_bytes);
    struct epb_bytes copy = bytes_of(&last);
    cr_assert(next_reply(&copy, &reply));
    cr_assert_eq(reply.id, id, "%u instead of %u: %s", reply.id, id,
                 epb_status_name(reply.status));
    cr_assert_eq(reply.status, status, "%s", epb_status_name(reply.status));
    return reply;
}

static void
hear_nothing(struct broker *side)
{
    cr_assert_eq(epb_buf_size(&side->output), 0, "%.*s", (int)epb_buf_size(&side->output),
                 (const char *)epb_buf_data(&side->output));
}

TestSuite(session_wait, .init = start_two, .fini = stop_two);

Test(session_wait, a_request_that_waits_holds_up_nothing_and_is_answered_when_it_is_over)
{
    open_frames(&broker);
    open_frames(&peer);
    ask_lock(&broker, 1, "l", 0);
    uint64_t first = hear(&broker, 1, EPB_OK).fence;
    ask_lock(&peer, 2, "l", FOREVER);
    ask(&peer, (struct epb_request){.action = EPB_ACTION_PING, .id = 3});
    hear(&peer, 3, EPB_OK);
    hear_nothing(&peer);
    cr_assert_eq(epb_session_deadline(peer.session), UINT64_MAX, "waiting is not late");
    cr_assert_eq(epb_session_held_input(peer.session), 0);
    cr_assert_eq(epb_session_held_output(peer.session), 0);
    cr_assert_eq(peer.wakes, 0);
    ask_release(&broker, 4, "l");
    cr_assert_eq(hear(&broker, 4, EPB_OK).count, 1);
    hear_nothing(&peer);
    follow_wake(&peer, 1);
    struct epb_reply granted = hear(&peer, 2, EPB_OK);
    cr_assert_gt(granted.fence, first);
    cr_assert_eq(granted.ttl_ms, EPB_LEASE_TTL_DEFAULT_MS);
    cr_assert_not(epb_session_turn(peer.session, &peer.now, 32, 65536));
}

Test(session_wait, what_a_session_brings_about_itself_needs_no_wake)
{
    open_frames(&broker);
    ask_lock(&broker, 1, "l", 0);
    ask_lock(&broker, 2, "l", FOREVER);
    struct epb_reply reply = hear(&broker, 1, EPB_OK);
    hear_nothing(&broker);
    ask(&broker, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                      .flags = EPB_F_FENCE,
                                      .id = 3,
                                      .fence = reply.fence});
    hear(&broker, 3, EPB_OK);
    hear(&broker, 2, EPB_OK);
    cr_assert_eq(broker.wakes, 0);
}

Test(session_wait, many_that_end_at_once_are_one_wake)
{
    open_frames(&broker);
    open_frames(&peer);
    for (uint32_t id = 1; id <= 100; id++) {
        ask_wait_for(&peer, id, "k");
    }
    hear_nothing(&peer);
    cr_assert_eq(stats_of(&broker).waiting, 100);
    ask_set(&broker, 1, "k", LITERAL("\"v\""));
    cr_assert_eq(peer.wakes, 1);
    cr_assert(epb_session_turn(peer.session, &peer.now, 32, 65536),
              "a turn takes as many as it may");
    follow_wake(&peer, 1);
    for (uint32_t id = 1; id <= 100; id++) {
        cr_assert(bytes_equal(hear(&peer, id, EPB_OK).body, LITERAL("\"v\"")));
    }
    hear_nothing(&peer);
    ask_wait_for(&peer, 1, "other");
    ask_set(&broker, 2, "other", LITERAL("1"));
    follow_wake(&peer, 1);
    hear(&peer, 1, EPB_OK);
}

Test(session_wait, replies_that_waited_stop_at_the_bound_of_the_output)
{
    static uint8_t value[200000];

    memset(value, '1', sizeof(value));
    open_frames(&broker);
    open_frames(&peer);
    for (uint32_t id = 1; id <= 30; id++) {
        ask_wait_for(&peer, id, "k");
    }
    ask_set(&broker, 1, "k", (struct epb_bytes){value, sizeof(value)});
    cr_assert_eq(peer.wakes, 1);
    for (unsigned turns = 1; epb_session_turn(peer.session, &peer.now, 32, 65536);
         turns++) {
        cr_assert_lt(epb_session_output(peer.session).size_bytes, turns * 200100,
                     "more than one large reply a turn");
    }
    size_t output_bytes = epb_session_output(peer.session).size_bytes;
    cr_assert_geq(output_bytes, 1048576);
    cr_assert_lt(output_bytes, 1048576 + 200100, "at most one reply beyond the bound");
    cr_assert_not(epb_session_turn(peer.session, &peer.now, 32, 65536));
    cr_assert_eq(epb_session_output(peer.session).size_bytes, output_bytes);
    broker_take_output(&peer);
    broker_work(&peer);
    for (uint32_t id = 1; id <= 30; id++) {
        cr_assert_eq(hear(&peer, id, EPB_OK).body.size_bytes, sizeof(value));
    }
    hear_nothing(&peer);
}

Test(session_wait, requests_and_replies_that_waited_take_turns)
{
    open_frames(&broker);
    open_frames(&peer);
    for (uint32_t id = 1; id <= 10; id++) {
        ask_wait_for(&peer, id, "k");
    }
    ask_set(&broker, 1, "k", LITERAL("1"));
    struct epb_buf pings;
    uint8_t *memory;
    size_t room;
    epb_buf_init(&pings, 4096);
    for (uint32_t id = 101; id <= 110; id++) {
        put_request(&pings, (struct epb_request){.action = EPB_ACTION_PING, .id = id});
    }
    epb_session_input(peer.session, &memory, &room);
    memcpy(memory, epb_buf_data(&pings), epb_buf_size(&pings));
    epb_session_received(peer.session, epb_buf_size(&pings));
    cr_assert(epb_session_turn(peer.session, &peer.now, 10, 65536));
    broker_take_output(&peer);
    for (uint32_t i = 1; i <= 5; i++) {
        hear(&peer, i, EPB_OK);
        hear(&peer, 100 + i, EPB_OK);
    }
    hear_nothing(&peer);
    epb_buf_fini(&pings);
}

Test(session_wait, a_wait_ends_by_time_by_cancel_and_with_its_session)
{
    open_frames(&broker);
    open_frames(&peer);
    ask_lock(&broker, 1, "l", 0);
    hear(&broker, 1, EPB_OK);
    ask_lock(&peer, 2, "l", 500);
    ask_lock(&peer, 3, "l", FOREVER);
    ask_lock(&peer, 4, "l", FOREVER);
    pass_time(&broker, &peer, 499);
    cr_assert_eq(peer.wakes, 0);
    pass_time(&broker, &peer, 1);
    follow_wake(&peer, 1);
    hear(&peer, 2, EPB_WAIT_TIMEOUT);
    hear_nothing(&peer);
    ask_cancel(&peer, 5, 3);
    cr_assert_eq(hear(&peer, 5, EPB_OK).count, 1);
    hear(&peer, 3, EPB_WAIT_TIMEOUT);
    ask_cancel(&peer, 6, 3);
    cr_assert_eq(hear(&peer, 6, EPB_OK).count, 0);
    hear_nothing(&peer);
    cr_assert_eq(stats_of(&broker).waiting, 1);
    broker_connect(&peer);
    cr_assert_eq(stats_of(&broker).waiting, 0);
    ask_release(&broker, 7, "l");
    hear(&broker, 7, EPB_OK);
    cr_assert_eq(stats_of(&broker).leases.grants, 0, "nobody got what nobody takes");
}

Test(session_wait, an_id_waits_once)
{
    open_frames(&broker);
    ask_wait_for(&broker, 5, "k");
    ask_wait_for(&broker, 5, "other");
    hear(&broker, 5, EPB_CONFLICT);
    ask(&broker, (struct epb_request){.action = EPB_ACTION_WATCH, .id = 5});
    hear(&broker, 5, EPB_CONFLICT);
    ask(&broker, (struct epb_request){.action = EPB_ACTION_PING, .id = 5});
    hear(&broker, 5, EPB_OK);
    ask_set(&broker, 6, "k", LITERAL("1"));
    hear(&broker, 6, EPB_OK);
    hear(&broker, 5, EPB_OK);
    ask_wait_for(&broker, 5, "other");
    hear_nothing(&broker);
}

Test(session_wait, the_end_of_input_of_frames_gives_up_what_is_held_and_waited_for)
{
    open_frames(&broker);
    open_frames(&peer);
    ask_lock(&broker, 1, "held", 0);
    hear(&broker, 1, EPB_OK);
    ask_wait_for(&broker, 2, "k");
    ask_lock(&peer, 3, "held", FOREVER);
    epb_session_end_of_input(broker.session, &broker.now);
    cr_assert(epb_session_is_closing(broker.session));
    follow_wake(&peer, 1);
    hear(&peer, 3, EPB_OK);
    cr_assert_eq(stats_of(&broker).waiting, 0);

    /* What was complete is still answered. */
    broker_connect(&broker);
    open_frames(&broker);
    uint8_t *memory;
    size_t room;
    struct epb_buf input;
    epb_buf_init(&input, 4096);
    put_request(&input, (struct epb_request){.action = EPB_ACTION_LOCK,
                                             .id = 4,
                                             .key = LITERAL("brief"),
                                             .worker = LITERAL("w")});
    epb_session_input(broker.session, &memory, &room);
    memcpy(memory, epb_buf_data(&input), epb_buf_size(&input));
    epb_session_received(broker.session, epb_buf_size(&input));
    epb_session_end_of_input(broker.session, &broker.now);
    cr_assert_not(epb_session_is_closing(broker.session));
    broker_work(&broker);
    hear(&broker, 4, EPB_OK);
    cr_assert(epb_session_is_closing(broker.session));
    cr_assert_eq(stats_of(&broker).leases.grants, 1, "the peer's alone");
    epb_buf_fini(&input);
}

Test(session_wait, id_0_is_carried_out_and_not_answered)
{
    open_frames(&broker);
    ask_set(&broker, 0, "k", LITERAL("1"));
    ask(&broker, (struct epb_request){.action = EPB_ACTION_GET, .key = LITERAL("none")});
    ask(&broker, (struct epb_request){.action = EPB_ACTION_STATS});
    ask(&broker, (struct epb_request){.action = 99});
    ask_wait_for(&broker, 0, "other");
    ask(&broker, (struct epb_request){.action = EPB_ACTION_WATCH});
    uint8_t malformed[16] = {12, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0};
    (void)broker_feed(&broker, (struct epb_bytes){malformed, sizeof(malformed)},
                      SIZE_MAX);
    uint8_t large[4] = {0, 0, 32, 0};
    (void)broker_feed(&broker, (struct epb_bytes){large, sizeof(large)}, SIZE_MAX);
    static uint8_t rest[32 * 65536];
    rest[0] = 1;
    (void)broker_feed(&broker, (struct epb_bytes){rest, sizeof(rest)}, SIZE_MAX);
    hear_nothing(&broker);
    cr_assert_not(epb_session_is_closing(broker.session));
    ask(&broker,
        (struct epb_request){.action = EPB_ACTION_GET, .id = 1, .key = LITERAL("k")});
    cr_assert(bytes_equal(hear(&broker, 1, EPB_OK).body, LITERAL("1")));
    cr_assert_eq(stats_of(&broker).waiting + stats_of(&broker).watchers, 0);
}

static void
ask_join(struct broker *side, uint32_t id, const char *key)
{
    ask(side, (struct epb_request){.action = EPB_ACTION_JOIN,
                                   .flags = EPB_F_COUNT,
                                   .id = id,
                                   .value = TEXT(key),
                                   .count = 4242});
}

Test(session_wait, connections_that_join_by_the_same_key_are_one_session)
{
    struct epb_request same = {.action = EPB_ACTION_LEASE,
                               .id = 2,
                               .key = LITERAL("port"),
                               .worker = LITERAL("w")};

    open_frames(&broker);
    open_frames(&peer);
    ask_join(&broker, 1, "sixteen random b");
    ask_join(&peer, 0, "sixteen random b");
    int64_t session = hear(&broker, 1, EPB_OK).count;
    hear_nothing(&peer);
    ask_join(&peer, 1, "sixteen random b");
    cr_assert_eq(hear(&peer, 1, EPB_OK).count, session);
    ask(&broker, same);
    uint64_t token = hear(&broker, 2, EPB_OK).fence;
    ask(&peer, same);
    cr_assert_eq(hear(&peer, 2, EPB_OK).fence, token);
    ask_join(&peer, 3, "sixteen others..");
    hear(&peer, 3, EPB_INVALID_REQUEST);
    broker_connect(&broker);
    cr_assert_eq(stats_of(&broker).leases.grants, 1, "the peer took it, too");
    peer_stop(&peer);
    cr_assert_eq(stats_of(&broker).leases.grants, 0);
    peer_start(&peer, &broker);
    open_frames(&broker);
    ask_join(&broker, 4, "too short");
    hear(&broker, 4, EPB_INVALID_VALUE);
    (void)broker_feed(&peer, LITERAL("{\"action\":\"join\",\"value\":1}\n"), SIZE_MAX);
    struct epb_bytes refusal = LITERAL("{\"ok\":false,\"error\":\"invalid_request\"");
    struct epb_bytes said = bytes_of(&peer.output);
    cr_assert_gt(said.size_bytes, refusal.size_bytes);
    said.size_bytes = refusal.size_bytes;
    cr_assert(bytes_equal(said, refusal));
}

Test(session_wait, half_a_frame_may_wait_while_the_connection_holds_something)
{
    static const uint8_t half[] = {200, 0, 0, 0, 1};

    open_frames(&broker);
    ask(&broker, (struct epb_request){.action = EPB_ACTION_LEASE,
                                      .id = 1,
                                      .key = LITERAL("port"),
                                      .worker = LITERAL("w")});
    uint64_t token = hear(&broker, 1, EPB_OK).fence;
    (void)broker_feed(&broker, (struct epb_bytes){half, sizeof(half)}, SIZE_MAX);
    uint64_t due_ms = epb_session_deadline(broker.session);
    cr_assert_eq(due_ms, broker.now.mono_ms + 10000);
    pass_time(&broker, &peer, 10000);
    cr_assert(epb_session_prolong(broker.session, &broker.now));
    cr_assert_eq(epb_session_deadline(broker.session), due_ms + 10000);
    open_frames(&peer);
    ask(&peer, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                    .flags = EPB_F_FENCE | EPB_F_FORCE,
                                    .id = 1,
                                    .fence = token});
    hear(&peer, 1, EPB_OK);
    cr_assert_not(epb_session_prolong(broker.session, &broker.now));
}

/* The kinds of the events in a packed body, as letters. */
static void
assert_events(struct epb_bytes packed, const char *expected)
{
    char kinds[5000] = "";
    size_t count = 0;

    for (size_t at = 0; at < packed.size_bytes; count++) {
        const uint8_t *event = packed.data + at;
        cr_assert_lt(count, sizeof(kinds) - 1);
        kinds[count] = "?sdxeo"[event[0]];
        at += EPB_EVENT_HEADER_BYTES + epb_get_u16(event + 9);
    }
    cr_assert_str_eq(kinds, expected);
}

Test(session_wait, a_watch_hears_of_changes_between_replies_until_it_is_cancelled)
{
    open_frames(&broker);
    open_frames(&peer);
    ask(&peer,
        (struct epb_request){.action = EPB_ACTION_WATCH, .id = 7, .key = LITERAL("u:")});
    hear(&peer, 7, EPB_OK);
    ask_set(&broker, 1, "u:1", LITERAL("1"));
    ask_set(&broker, 2, "other", LITERAL("1"));
    ask(&broker,
        (struct epb_request){.action = EPB_ACTION_DEL, .id = 3, .key = LITERAL("u:1")});
    follow_wake(&peer, 1);
    struct epb_reply events = hear(&peer, 0, EPB_OK);
    cr_assert_eq(events.count, 7);
    assert_events(events.body, "sd");
    cr_assert_eq(epb_get_u16(events.body.data + 9), 3);
    cr_assert_eq(memcmp(events.body.data + 11, "u:1", 3), 0);
    ask_set(&peer, 8, "u:2", LITERAL("1"));
    hear(&peer, 8, EPB_OK);
    assert_events(hear(&peer, 0, EPB_OK).body, "s");
    ask_set(&broker, 4, "u:3", LITERAL("1"));
    cr_assert_eq(peer.wakes, 1);
    ask_cancel(&peer, 9, 7);
    assert_events(hear(&peer, 0, EPB_OK).body, "s");
    cr_assert_eq(hear(&peer, 9, EPB_OK).count, 1);
    hear_nothing(&peer);
    peer.wakes = 0;
    ask_set(&broker, 5, "u:4", LITERAL("1"));
    cr_assert_eq(peer.wakes, 0);
}

Test(session_wait, a_slow_watcher_is_told_of_an_overflow)
{
    open_frames(&broker);
    open_frames(&peer);
    ask(&peer, (struct epb_request){.action = EPB_ACTION_WATCH, .id = 7});
    hear(&peer, 7, EPB_OK);
    for (uint32_t i = 1; i <= 2000; i++) {
        char key[20];
        snprintf(key, sizeof(key), "k%u", i % 50);
        ask_set(&broker, i, key, LITERAL("1"));
    }
    cr_assert_eq(peer.wakes, 1);
    broker_work(&peer);
    struct epb_bytes stream = bytes_of(&peer.output);
    struct epb_reply reply;
    unsigned overflows = 0;
    while (next_reply(&stream, &reply)) {
        for (size_t at = 0; at < reply.body.size_bytes;) {
            const uint8_t *event = reply.body.data + at;
            overflows += event[0] == EPB_EVENT_OVERFLOW;
            at += EPB_EVENT_HEADER_BYTES + epb_get_u16(event + 9);
        }
    }
    cr_assert_geq(overflows, 1);
    cr_assert_lt(epb_buf_size(&peer.output), 100000);
}

Test(session_wait, a_lease_that_is_lost_is_told_to_its_session)
{
    open_frames(&broker);
    open_frames(&peer);
    ask_lock(&broker, 1, "l", 0);
    uint64_t token = hear(&broker, 1, EPB_OK).fence;
    pass_time(&broker, &peer, EPB_LEASE_TTL_DEFAULT_MS);
    follow_wake(&broker, 1);
    struct epb_reply event = hear(&broker, 0, EPB_LEASE_LOST);
    cr_assert_eq(event.fence, token);
    cr_assert(bytes_equal(event.body, LITERAL("l")));
    hear_nothing(&broker);
    ask_lock(&broker, 2, "forced", 0);
    hear(&broker, 2, EPB_OK);
    ask(&peer, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                    .flags = EPB_F_FORCE,
                                    .id = 1,
                                    .worker = LITERAL("w")});
    hear(&peer, 1, EPB_OK);
    follow_wake(&broker, 1);
    hear(&broker, 0, EPB_LEASE_LOST);
    hear_nothing(&peer);
}

Test(session_wait, a_reason_goes_to_those_who_wait_for_a_computation)
{
    struct epb_request request = {.action = EPB_ACTION_GET_OR_SET,
                                  .flags = EPB_F_WAIT,
                                  .id = 1,
                                  .key = LITERAL("k"),
                                  .worker = LITERAL("w"),
                                  .wait_ms = FOREVER};

    open_frames(&broker);
    open_frames(&peer);
    ask(&broker, request);
    ask(&peer, request);
    struct epb_reply compute = hear(&broker, 1, EPB_OK);
    cr_assert_eq(compute.flags, EPB_F_FENCE | EPB_F_TTL);
    hear_nothing(&peer);
    ask(&broker, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                      .flags = EPB_F_FENCE,
                                      .id = 2,
                                      .value = LITERAL("no network"),
                                      .fence = compute.fence});
    hear(&broker, 2, EPB_OK);
    follow_wake(&peer, 1);
    cr_assert(
        bytes_equal(hear(&peer, 1, EPB_COMPUTE_FAILED).body, LITERAL("no network")));
}

Test(session_wait, replies_that_waited_come_in_records)
{
    for (size_t m = 0; m < keyed_mode_count(); m++) {
        struct broker locked;
        struct broker holder;
        broker_start(&locked, "a secret", NULL);
        peer_start(&holder, &locked);
        enum epb_record_mode other = KEYED_MODES[(m + 1) % keyed_mode_count()];
        struct epb_channel *channel =
            epb_channel_new_in_mode(TEXT("a secret"), KEYED_MODES[m]);
        struct epb_channel *holding = epb_channel_new_in_mode(TEXT("a secret"), other);
        struct epb_buf frames;
        epb_buf_init(&frames, 4096);
        put_request(&frames, (struct epb_request){.action = EPB_ACTION_WAIT_FOR,
                                                  .flags = EPB_F_WAIT,
                                                  .id = 1,
                                                  .key = LITERAL("k"),
                                                  .wait_ms = FOREVER});
        cr_assert_eq(epb_channel_send(channel, bytes_of(&frames)), EPB_OK);
        cr_assert_eq(exchange(&locked, channel, 7), EPB_OK);
        cr_assert_eq(epb_channel_stream(channel).size_bytes, 0);
        epb_buf_consume(&frames, epb_buf_size(&frames));
        put_request(&frames, (struct epb_request){.action = EPB_ACTION_SET,
                                                  .flags = EPB_F_TTL,
                                                  .id = 2,
                                                  .key = LITERAL("k"),
                                                  .value = LITERAL("7"),
                                                  .ttl_ms = 1000});
        cr_assert_eq(epb_channel_send(holding, bytes_of(&frames)), EPB_OK);
        cr_assert_eq(exchange(&holder, holding, SIZE_MAX), EPB_OK);
        follow_wake(&locked, 1);
        cr_assert_eq(exchange(&locked, channel, 7), EPB_OK);
        struct epb_bytes stream = epb_channel_stream(channel);
        struct epb_reply reply;
        cr_assert(next_reply(&stream, &reply));
        cr_assert(reply.id == 1 && bytes_equal(reply.body, LITERAL("7")));
        epb_buf_fini(&frames);
        epb_channel_free(channel);
        epb_channel_free(holding);
        peer_stop(&holder);
        broker_stop(&locked);
    }
}

/* Holds, waits, watches, cancels and hands on, all on one connection. */
static void
put_conversation(struct epb_buf *out)
{
    struct epb_request lock = {.action = EPB_ACTION_LOCK,
                               .flags = EPB_F_WAIT | EPB_F_FRESH,
                               .key = LITERAL("l"),
                               .worker = LITERAL("w"),
                               .wait_ms = FOREVER};
    struct epb_request cancel = {
        .action = EPB_ACTION_CANCEL, .flags = EPB_F_COUNT, .id = 6, .count = 2};

    put(out, LITERAL(EPB_MAGIC_PLAIN));
    for (lock.id = 1; lock.id <= 3; lock.id++) {
        put_request(out, lock);
    }
    put_request(out, (struct epb_request){.action = EPB_ACTION_WATCH, .id = 4});
    put_request(out, (struct epb_request){.action = EPB_ACTION_SET,
                                          .flags = EPB_F_TTL,
                                          .id = 5,
                                          .key = LITERAL("k"),
                                          .value = LITERAL("1"),
                                          .ttl_ms = 1000});
    put_request(out, cancel);
    /* The first token of a broker that starts at the clock of these tests. */
    put_request(out, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                          .flags = EPB_F_FENCE,
                                          .fence = UINT64_C(5000000) << 10});
    put_request(out, (struct epb_request){.action = EPB_ACTION_PING, .id = 7});
}

Test(session_wait, frames_are_answered_the_same_however_they_are_cut)
{
    static const uint32_t ids[] = {1, 4, 5, 0, 6, 2, 3, 7};
    uint64_t random = UINT64_C(0xABCDEF1234567890);
    struct epb_buf input;

    epb_buf_init(&input, 4096);
    put_conversation(&input);
    for (int round = 0; round < 300; round++) {
        struct broker cut;
        struct epb_bytes rest = bytes_of(&input);
        broker_start(&cut, NULL, NULL);
        while (rest.size_bytes > 0) {
            size_t piece = 1 + next_random(&random) % (round % 2 == 0 ? 10 : 300);
            if (piece > rest.size_bytes) {
                piece = rest.size_bytes;
            }
            (void)broker_feed(&cut, (struct epb_bytes){rest.data, piece}, SIZE_MAX);
            rest.data += piece;
            rest.size_bytes -= piece;
        }
        for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
            hear(&cut, ids[i], ids[i] == 2 ? EPB_WAIT_TIMEOUT : EPB_OK);
        }
        hear_nothing(&cut);
        broker_stop(&cut);
    }
    epb_buf_fini(&input);
}

/* The names of what a session told its owner, with the statuses. */
static void
note(void *context, const struct epb_session_event *event)
{
    struct epb_buf *notes = context;

    cr_assert_eq(
        epb_buf_printf(notes, "%s %s %.*s;", event->name, epb_status_name(event->status),
                       (int)event->key.size_bytes, (const char *)event->key.data),
        EPB_OK);
}

Test(session_wait, the_log_tells_that_a_request_waits_and_what_came_of_it)
{
    struct epb_buf notes;

    epb_buf_init(&notes, 4096);
    peer.config.on_event = note;
    peer.config.event_context = &notes;
    peer.config.log_requests = true;
    open_frames(&peer);
    ask_wait_for(&peer, 1, "k");
    ask(&peer, (struct epb_request){.action = EPB_ACTION_WATCH, .id = 2});
    ask_cancel(&peer, 3, 1);
    cr_assert(bytes_equal(bytes_of(&notes), LITERAL("waiting ok k;request ok ;request ok "
                                                    ";answered wait_timeout ;")),
              "%.*s", (int)epb_buf_size(&notes), (const char *)epb_buf_data(&notes));
    epb_buf_fini(&notes);
}
