/* Requests that wait, and events, over JSON lines. */
#include <stdarg.h>

#include "base/mem_testing.h"
#include "session_wait_help.h"

__attribute__((format(printf, 2, 3))) static void
say_lines(struct broker *side, const char *format, ...)
{
    char lines[2000];
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(lines, sizeof(lines), format, arguments);
    va_end(arguments);
    cr_assert_lt((size_t)size, sizeof(lines));
    (void)broker_feed(side, TEXT(lines), SIZE_MAX);
}

/* All that was said since, which must be this. */
static void
hear_lines(struct broker *side, const char *expected)
{
    struct epb_bytes said = bytes_of(&side->output);

    cr_assert(bytes_equal(said, TEXT(expected)), "%.*s\ninstead of\n%s",
              (int)said.size_bytes, (const char *)said.data, expected);
    epb_buf_consume(&side->output, said.size_bytes);
}

TestSuite(session_lines, .init = start_two, .fini = stop_two);

#define LOCK_LINE(id, worker, wait)                                     \
    "{\"action\":\"lock\",\"key\":\"l\",\"workerId\":\"" worker "\"" id \
    ",\"waitMs\":" wait "}\n"
#define GRANTED(id, token) \
    "{\"ok\":true" id ",\"value\":null,\"token\":" token ",\"ttl\":1800000}\n"
/* The first tokens of a broker that starts at the clock of these tests. */
#define TOKEN_1 "5120000000"
#define TOKEN_2 "5120000001"
#define TOKEN_3 "5120000002"

Test(session_lines, a_line_with_an_id_waits_aside)
{
    say_lines(&broker, LOCK_LINE("", "a", "0"));
    hear_lines(&broker, GRANTED("", TOKEN_1));
    say_lines(&peer, LOCK_LINE(",\"id\":\"x\"", "b", "1e99") "{\"action\":\"ping\"}\n");
    hear_lines(&peer, "{\"ok\":true,\"pong\":5000000}\n");
    say_lines(&broker, "{\"action\":\"release\",\"workerId\":\"a\"}\n");
    hear_lines(&broker, "{\"ok\":true,\"released\":true,\"count\":1}\n");
    follow_wake(&peer, 1);
    hear_lines(&peer, GRANTED(",\"id\":\"x\"", TOKEN_2));
}

Test(session_lines, a_line_without_an_id_holds_back_those_behind_it)
{
    say_lines(&broker, LOCK_LINE("", "a", "0"));
    hear_lines(&broker, GRANTED("", TOKEN_1));
    say_lines(&peer, LOCK_LINE("", "b", "1e99") "{\"action\":\"ping\"}\n"
                                                "{\"action\":\"has\",\"key\":\"k\"}\n{");
    hear_lines(&peer, "");
    cr_assert_not(epb_session_turn(peer.session, &peer.now, 32, 65536));
    cr_assert_eq(epb_session_deadline(peer.session), UINT64_MAX,
                 "the line behind is not late");
    say_lines(&broker, "{\"action\":\"release\",\"workerId\":\"a\"}\n");
    follow_wake(&peer, 1);
    hear_lines(&peer, GRANTED("", TOKEN_2) "{\"ok\":true,\"pong\":5000000}\n"
                                           "{\"ok\":true,\"exists\":false}\n");
    cr_assert_eq(epb_session_deadline(peer.session), peer.now.mono_ms + 10000);
}

Test(session_lines, lines_held_back_stay_within_bounds)
{
    say_lines(&broker, LOCK_LINE("", "a", "0"));
    say_lines(&peer, LOCK_LINE("", "b", "1e99"));
    size_t fed = 0;
    for (;;) {
        uint8_t *memory;
        size_t room;
        epb_session_input(peer.session, &memory, &room);
        if (room == 0) {
            break;
        }
        memset(memory, '\n', room);
        epb_session_received(peer.session, room);
        cr_assert_not(epb_session_turn(peer.session, &peer.now, 32, 65536));
        fed += room;
        cr_assert_leq(fed, 1 << 20);
    }
    cr_assert_leq(epb_session_held_input(peer.session), 1 << 20);
}

/* Everything that one connection can do with what waits, and what it is told. The lock
 * goes from a to b when a releases it; c is cancelled; d waits on. */
static const char CONVERSATION[] = LOCK_LINE(",\"id\":1", "a", "0") LOCK_LINE(",\"id\":2",
                                                                              "b", "5000")
    LOCK_LINE(",\"id\":\"c\"", "c", "5000.5") LOCK_LINE(",\"id\":4", "d", "1e18")
        LOCK_LINE(",\"id\":2", "e",
                  "5000") "{\"action\":\"watch\",\"id\":\"w\",\"prefix\":\"u\"}\n"
                          "{\"action\":\"watch\",\"prefix\":\"u\"}\n"
                          "{\"action\":\"cancel\",\"target\":\"c\",\"id\":\"c\"}\n"
                          "{\"action\":\"cancel\",\"target\":\"none\"}\n"
                          "{\"action\":\"cancel\"}\n"
                          "{\"action\":\"set\",\"key\":\"u1\",\"value\":1,\"ttl\":5000}\n"
                          "{\"action\":\"release\",\"workerId\":\"a\",\"id\":5}\n"
                          "{\"action\":\"waitFor\",\"key\":\"u1\",\"waitMs\":5}\n"
                          "{\"action\":\"cancel\",\"target\":\"w\"}\n"
                          "{\"action\":\"set\",\"key\":\"u2\",\"value\":1,\"ttl\":5000}\n"
                          "{\"action\":\"ping\"}\n";

#define FAILED(id, name, message) \
    "{\"ok\":false" id ",\"error\":\"" name "\",\"message\":\"" message "\"}\n"

/* A wait for the lock that a holds. */
#define STILL_HELD(id, queue)                                                         \
    "{\"ok\":false" id ",\"error\":\"wait_timeout\",\"message\":\"%s\"," queue        \
    ",\"holders\":[{\"key\":\"l\",\"kind\":\"lock\",\"state\":\"held\",\"workerId\":" \
    "\"a\","                                                                          \
    "\"shared\":false,\"count\":1,\"session\":null,\"token\":" TOKEN_1                \
    ",\"ttl\":1800000,\"pid\":null,\"since\":5000000}]}\n"

static const char CONVERSATION_REPLY[] = GRANTED(",\"id\":1", TOKEN_1)
    FAILED(",\"id\":2", "conflict", "%s") "{\"ok\":true,\"id\":\"w\"}\n" FAILED(
        "", "invalid_request",
        "%s") "{\"ok\":true,\"id\":\"c\",\"cancelled\":true}"
              "\n" STILL_HELD(
                  ",\"id\":\"c\"",
                  "\"place\":2,\"waiting\":2") "{\"ok\":true,\"cancelled\":false}"
                                               "\n" FAILED("", "invalid_request",
                                                           "%s") "{\"ok\":true,"
                                                                 "\"version\":1}"
                                                                 "\n"
                                                                 "{\"event\":"
                                                                 "\"set\",\"id\":"
                                                                 "\"w\",\"key\":"
                                                                 "\"u1\","
                                                                 "\"version\":1}"
                                                                 "\n"
                                                                 "{\"ok\":true,"
                                                                 "\"id\":5,"
                                                                 "\"released\":"
                                                                 "true,\"count\":"
                                                                 "1}\n" GRANTED(
                                                                     ",\"id\":2",
                                                                     TOKEN_2) "{"
                                                                              "\""
                                                                              "ok"
                                                                              "\""
                                                                              ":t"
                                                                              "ru"
                                                                              "e,"
                                                                              "\""
                                                                              "va"
                                                                              "lu"
                                                                              "e"
                                                                              "\""
                                                                              ":1"
                                                                              ","
                                                                              "\""
                                                                              "ve"
                                                                              "rs"
                                                                              "io"
                                                                              "n"
                                                                              "\""
                                                                              ":1"
                                                                              ","
                                                                              "\""
                                                                              "tt"
                                                                              "l"
                                                                              "\""
                                                                              ":5"
                                                                              "00"
                                                                              "0}"
                                                                              "\n"
                                                                              "{"
                                                                              "\""
                                                                              "ok"
                                                                              "\""
                                                                              ":t"
                                                                              "ru"
                                                                              "e,"
                                                                              "\""
                                                                              "ca"
                                                                              "nc"
                                                                              "el"
                                                                              "le"
                                                                              "d"
                                                                              "\""
                                                                              ":t"
                                                                              "ru"
                                                                              "e}"
                                                                              "\n"
                                                                              "{"
                                                                              "\""
                                                                              "ok"
                                                                              "\""
                                                                              ":t"
                                                                              "ru"
                                                                              "e,"
                                                                              "\""
                                                                              "ve"
                                                                              "rs"
                                                                              "io"
                                                                              "n"
                                                                              "\""
                                                                              ":2"
                                                                              "}"
                                                                              "\n"
                                                                              "{"
                                                                              "\""
                                                                              "ok"
                                                                              "\""
                                                                              ":t"
                                                                              "ru"
                                                                              "e,"
                                                                              "\""
                                                                              "po"
                                                                              "ng"
                                                                              "\""
                                                                              ":5"
                                                                              "00"
                                                                              "00"
                                                                              "00"
                                                                              "}"
                                                                              "\n";

static void
expect_conversation(char *expected, size_t expected_bytes)
{
    const char *invalid = epb_status_message(EPB_INVALID_REQUEST);
    int size = snprintf(expected, expected_bytes, CONVERSATION_REPLY,
                        epb_status_message(EPB_CONFLICT), invalid,
                        epb_status_message(EPB_WAIT_TIMEOUT), invalid);

    cr_assert_lt((size_t)size, expected_bytes);
}

Test(session_lines, lines_are_answered_the_same_however_they_are_cut)
{
    static char expected[4000];
    uint64_t random = UINT64_C(0x1234567890ABCDEF);

    expect_conversation(expected, sizeof(expected));
    for (int round = 0; round < 300; round++) {
        struct broker cut;
        struct epb_bytes rest = TEXT(CONVERSATION);
        broker_start(&cut, NULL, NULL);
        while (rest.size_bytes > 0) {
            size_t piece = 1 + next_random(&random) % (round % 2 == 0 ? 20 : 600);
            if (piece > rest.size_bytes) {
                piece = rest.size_bytes;
            }
            (void)broker_feed(&cut, (struct epb_bytes){rest.data, piece}, SIZE_MAX);
            rest.data += piece;
            rest.size_bytes -= piece;
        }
        hear_lines(&cut, expected);
        cr_assert_eq(cut.wakes, 0);
        cr_assert_eq(stats_of(&cut).waiting, 1, "d");
        broker_stop(&cut);
    }
}

Test(session_lines, a_half_closed_connection_of_lines_waits_for_its_replies)
{
    say_lines(&broker, LOCK_LINE("", "a", "0"));
    say_lines(&peer, LOCK_LINE(",\"id\":1", "b", "1e99") LOCK_LINE(
                         "", "c", "1e99") "{\"action\":\"ping\"}\n{\"action\":\"pin");
    epb_session_end_of_input(peer.session, &peer.now);
    cr_assert_not(epb_session_turn(peer.session, &peer.now, 32, 65536));
    cr_assert_not(epb_session_is_closing(peer.session));
    cr_assert_eq(epb_session_deadline(peer.session), UINT64_MAX);
    say_lines(&broker, "{\"action\":\"release\",\"workerId\":\"a\"}\n");
    follow_wake(&peer, 1);
    hear_lines(&peer, GRANTED(",\"id\":1", TOKEN_2));
    cr_assert_not(epb_session_is_closing(peer.session));
    say_lines(&broker, "{\"action\":\"release\",\"workerId\":\"b\"}\n");
    follow_wake(&peer, 1);
    hear_lines(&peer, GRANTED("", TOKEN_3) "{\"ok\":true,\"pong\":5000000}\n");
    cr_assert(epb_session_is_closing(peer.session));

    /* Half a line can't be late when no more of it will come. */
    broker_connect(&peer);
    say_lines(&peer, LOCK_LINE(",\"id\":1", "d", "1e99") "{\"action\":\"pin");
    cr_assert_eq(epb_session_deadline(peer.session), peer.now.mono_ms + 10000);
    epb_session_end_of_input(peer.session, &peer.now);
    broker_work(&peer);
    cr_assert_not(epb_session_is_closing(peer.session));
    cr_assert_eq(epb_session_deadline(peer.session), UINT64_MAX);
    cr_assert_eq(epb_session_held_input(peer.session), 0);

    /* With nothing but its end left to come. */
    broker_connect(&peer);
    say_lines(&peer, LOCK_LINE("", "d", "1e99"));
    epb_session_end_of_input(peer.session, &peer.now);
    cr_assert_not(epb_session_is_closing(peer.session));
    say_lines(&broker, "{\"action\":\"release\",\"workerId\":\"c\"}\n");
    follow_wake(&peer, 1);
    cr_assert(epb_session_is_closing(peer.session));

    /* The leases are the workers', not the connection's. */
    cr_assert_eq(stats_of(&broker).leases.grants, 1);
}

Test(session_lines, a_half_closed_connection_of_lines_watches_on)
{
    say_lines(&peer, "{\"action\":\"watch\",\"id\":1}\n");
    epb_session_end_of_input(peer.session, &peer.now);
    hear_lines(&peer, "{\"ok\":true,\"id\":1}\n");
    say_lines(&broker, "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":1}\n"
                       "{\"action\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":1}\n");
    follow_wake(&peer, 1);
    hear_lines(&peer, "{\"event\":\"set\",\"id\":1,\"key\":\"k\",\"version\":1}\n"
                      "{\"event\":\"set\",\"id\":1,\"key\":\"k\",\"version\":2}\n");
    cr_assert_not(epb_session_is_closing(peer.session));
}

Test(session_lines, what_is_over_keeps_no_connection_open)
{
    say_lines(&peer,
              LOCK_LINE(",\"id\":1", "a", "1e99")
                  LOCK_LINE("", "a", "1e99") "{\"action\":\"watch\",\"id\":2}\n"
                                             "{\"action\":\"cancel\",\"target\":2}\n"
                                             "{\"action\":\"watch\",\"id\":2}\n"
                                             "{\"action\":\"cancel\",\"target\":2}\n");
    hear_lines(
        &peer,
        GRANTED(",\"id\":1", TOKEN_1) GRANTED(
            "", TOKEN_1) "{\"ok\":true,\"id\":2}\n{\"ok\":true,\"cancelled\":true}\n"
                         "{\"ok\":true,\"id\":2}\n{\"ok\":true,\"cancelled\":true}\n");
    epb_session_end_of_input(peer.session, &peer.now);
    cr_assert(epb_session_is_closing(peer.session));
}

Test(session_lines, a_thousand_lines_wait_and_each_has_its_id)
{
    say_lines(&broker, LOCK_LINE("", "a", "0"));
    for (int i = 0; i < 1000; i++) {
        say_lines(&peer, LOCK_LINE(",\"id\":%d", "b", "1e99"), i);
    }
    hear_lines(&peer, "");
    for (int i = 999; i >= 0; i -= 2) {
        char expected[400];
        char place[30] = "";
        if (i < 100) {
            snprintf(place, sizeof(place), "\"place\":%d,", i + 1);
        }
        say_lines(&peer, "{\"action\":\"cancel\",\"target\":%d}\n", i);
        snprintf(expected, sizeof(expected),
                 "{\"ok\":true,\"cancelled\":true}\n" STILL_HELD(",\"id\":%d",
                                                                 "%s\"waiting\":%d"),
                 i, epb_status_message(EPB_WAIT_TIMEOUT), place, 999 - (999 - i) / 2);
        hear_lines(&peer, expected);
    }
    cr_assert_eq(stats_of(&broker).waiting, 500);
    epb_engine_drain(broker.engine, &broker.now);
    follow_wake(&peer, 1);
    for (int i = 0; i < 1000; i += 2) {
        char expected[200];
        const char *said = (const char *)epb_buf_data(&peer.output);
        int size =
            snprintf(expected, sizeof(expected), FAILED(",\"id\":%d", "draining", "%s"),
                     i, epb_status_message(EPB_DRAINING));
        cr_assert_eq(strncmp(said, expected, (size_t)size), 0, "%.100s", said);
        epb_buf_consume(&peer.output, (size_t)size);
    }
    hear_lines(&peer, "");
}

struct search {
    struct epb_bytes pattern;
    unsigned found;
};

__attribute__((no_sanitize_address, no_sanitize_undefined)) static void
look_for(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct search *search = context;
    size_t pattern_bytes = search->pattern.size_bytes;

    for (size_t i = 0; i + pattern_bytes <= size_bytes; i++) {
        size_t same = 0;
        while (same < pattern_bytes && bytes[i + same] == search->pattern.data[same]) {
            same++;
        }
        search->found += same == pattern_bytes;
    }
}

Test(session_lines, ids_are_wiped_with_their_requests)
{
    static const char id[] = "\"the id of this line\"";
    struct search search = {.pattern = LITERAL("the id of this line")};

    say_lines(&peer, "{\"action\":\"waitFor\",\"key\":\"k\",\"waitMs\":1e9,\"id\":%s}\n",
              id);
    epb_mem_each_chunk(look_for, &search);
    cr_assert_eq(search.found, 1);
    broker_connect(&peer);
    search.found = 0;
    epb_mem_each_chunk(look_for, &search);
    cr_assert_eq(search.found, 0);
}

Test(session_lines, elements_come_in_lines_and_go_out_as_they_came)
{
    say_lines(&broker,
              "{\"action\":\"pool\",\"key\":\"p\",\"values\":[{\"a\": 1},\"b\"]}\n"
              "{\"action\":\"pool\",\"key\":\"p\",\"values\":[1]}\n"
              "{\"action\":\"pool\",\"key\":\"p\",\"values\":[1],\"ifAbsent\":true}\n"
              "{\"action\":\"poolAdd\",\"key\":\"p\",\"encoding\":\"base64\","
              "\"values\":[\"AAE=\"]}\n"
              "{\"action\":\"pool\",\"key\":\"q\",\"values\":[]}\n");
    char expected[600];
    snprintf(expected, sizeof(expected),
             "{\"ok\":true,\"created\":true}\n" FAILED(
                 "", "conflict",
                 "%s") "{\"ok\":true,\"created\":false}\n"
                       "{\"ok\":true,\"size\":3}\n" FAILED("", "invalid_value", "%s"),
             epb_status_message(EPB_CONFLICT), epb_status_message(EPB_INVALID_VALUE));
    hear_lines(&broker, expected);
    for (int i = 1; i <= 3; i++) {
        say_lines(&broker, "{\"action\":\"lease\",\"key\":\"p\",\"workerId\":\"w%d\"}\n",
                  i);
    }
    hear_lines(
        &broker,
        "{\"ok\":true,\"value\":{\"a\": 1},\"token\":" TOKEN_1 ",\"ttl\":1800000}\n"
        "{\"ok\":true,\"value\":\"b\",\"token\":" TOKEN_2 ",\"ttl\":1800000}\n"
        "{\"ok\":true,\"value\":\"AAE=\",\"encoding\":\"base64\",\"token\":" TOKEN_3
        ",\"ttl\":1800000}\n");
}

/* Work that takes several turns. */

Test(session_lines, a_clear_of_many_keys_holds_back_those_behind_it)
{
    for (int i = 0; i < 5000; i++) {
        say_lines(&broker,
                  "{\"action\":\"set\",\"key\":\"k%d\",\"value\":1,\"ttl\":5000}\n", i);
        epb_buf_consume(&broker.output, epb_buf_size(&broker.output));
    }
    say_lines(&peer, "{\"action\":\"clear\",\"prefix\":\"k\"}\n{\"action\":\"ping\"}\n");
    hear_lines(&peer, "{\"ok\":true,\"cleared\":5000,\"held\":0}\n"
                      "{\"ok\":true,\"pong\":5000000}\n");
}

/* Without memory */

/* Holds, waits, watches and ends in the two encodings, with the allocation number
 * `countdown` failing. Whatever comes of it, everything ends with the sessions. Returns
 * whether all went well. */
static bool
wait_without_memory(uint64_t countdown)
{
    struct broker first;
    struct broker second;
    uint8_t *room;

    broker_start(&first, NULL, NULL);
    peer_start(&second, &first);
    cr_assert_eq(epb_buf_reserve(&first.output, 100000, &room), EPB_OK);
    cr_assert_eq(epb_buf_reserve(&second.output, 100000, &room), EPB_OK);
    static const char lines[] = LOCK_LINE("", "a", "0")
        LOCK_LINE(",\"id\":7", "b",
                  "1e99") "{\"action\":\"watch\",\"id\":8}\n" LOCK_LINE("", "c", "1e99");
    struct epb_buf frames;
    epb_buf_init(&frames, 4096);
    put(&frames, LITERAL(EPB_MAGIC_PLAIN));
    put_request(&frames, (struct epb_request){.action = EPB_ACTION_RELEASE,
                                              .flags = EPB_F_DETACHED,
                                              .id = 1,
                                              .worker = LITERAL("a")});
    put_request(&frames, (struct epb_request){.action = EPB_ACTION_SET,
                                              .flags = EPB_F_TTL,
                                              .id = 2,
                                              .key = LITERAL("k"),
                                              .value = LITERAL("1"),
                                              .ttl_ms = 1000});
    put_request(&frames, (struct epb_request){.action = EPB_ACTION_LOCK,
                                              .flags = EPB_F_WAIT,
                                              .id = 3,
                                              .key = LITERAL("l"),
                                              .worker = LITERAL("f"),
                                              .wait_ms = FOREVER});
    epb_mem_fail_after(countdown);
    (void)broker_feed(&second, TEXT(lines), SIZE_MAX);
    (void)broker_feed(&first, bytes_of(&frames), SIZE_MAX);
    if (!epb_session_is_closing(second.session)) {
        broker_work(&second);
    }
    epb_mem_fail_after(0);
    struct epb_stats stats = stats_of(&first);
    bool good = !epb_session_is_closing(first.session) &&
                !epb_session_is_closing(second.session) && stats.waiting == 2 &&
                stats.watchers == 1 && stats.leases.grants == 1 &&
                stats.by_status[EPB_INTERNAL] == 0;
    broker_connect(&second);
    broker_connect(&first);
    stats = stats_of(&first);
    cr_assert_eq(stats.waiting, 0);
    cr_assert_eq(stats.watchers, 0);
    cr_assert_leq(stats.leases.grants, 1, "the worker's of a line alone may stand");
    epb_buf_fini(&frames);
    peer_stop(&second);
    broker_stop(&first);
    return good;
}

Test(session_lines, no_allocation_that_fails_leaves_anything_waiting)
{
    unsigned unharmed = 0;
    unsigned harmed = 0;

    for (uint64_t countdown = 1; unharmed < 20; countdown++) {
        if (wait_without_memory(countdown)) {
            unharmed++;
        } else {
            unharmed = 0;
            harmed++;
        }
    }
    cr_assert_gt(harmed, 10, "%u", harmed);
}
