/*
 * JSON lines. The bytes are taken apart as lines, a reply is made for each that is a
 * request, and all of them go through whole sessions: as one piece, and in many. What
 * comes out is JSON, a line a reply, and doesn't depend on the pieces.
 */
#include "broker.h"

#include "wire/json.h"
#include "wire/jsonl.h"

static void
check_json(struct epb_bytes text)
{
    struct epb_json_scan scan = epb_json_scan(text);
    struct epb_json_span span;

    FUZZ_CHECK(epb_json_value(&scan, EPB_JSON_DEPTH_MAX, &span) &&
               epb_json_has_ended(&scan));
}

static bool
lies_in(struct epb_bytes inner, const uint8_t *outer, size_t size_bytes)
{
    return inner.size_bytes == 0 ||
           (inner.data >= outer && inner.data + inner.size_bytes <= outer + size_bytes);
}

/* Replies whose body is the value that the request brought, as any bytes may be stored.
 */
static void
check_reply(const struct epb_jsonl_request *asked, struct epb_bytes body)
{
    struct epb_reply reply = {.status = EPB_OK,
                              .flags = EPB_F_TTL | EPB_F_VERSION | EPB_F_FENCE,
                              .ttl_ms = asked->request.ttl_ms,
                              .version = asked->request.version,
                              .fence = asked->request.fence,
                              .body = body};
    struct epb_buf out;

    switch (asked->command->shape) {
    case EPB_SHAPE_VALUE:
    case EPB_SHAPE_ENTRY:
    case EPB_SHAPE_LEASE:
    case EPB_SHAPE_COMPUTE:
        break;
    default:
        return;
    }
    epb_buf_init(&out, (size_t)1 << 24);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t kind =
            ((i & 1) != 0 ? EPB_F_BINARY : 0) | ((i & 2) != 0 ? EPB_F_GZIP : 0);
        enum epb_status status;

        reply.flags = (reply.flags & ~EPB_VALUE_FLAGS) | kind;
        status = epb_jsonl_encode(&out, asked->command, asked->id, &reply);
        FUZZ_CHECK(status == EPB_OK || (status == EPB_INVALID_VALUE && kind == 0));
        FUZZ_CHECK((epb_buf_size(&out) == 0) == (status != EPB_OK));
        FUZZ_CHECK(fuzz_take_lines(&out) == (status == EPB_OK));
        FUZZ_CHECK(epb_buf_size(&out) == 0);
    }
    epb_buf_fini(&out);
}

static void
check_line(struct epb_bytes line)
{
    /* Its very size, so that a sanitizer sees a step too far. */
    uint8_t *copy = malloc(line.size_bytes + (line.size_bytes == 0));
    struct epb_jsonl_request asked;
    struct epb_buf scratch;
    struct epb_buf out;

    FUZZ_CHECK(copy != NULL);
    if (line.size_bytes > 0) {
        memcpy(copy, line.data, line.size_bytes);
    }
    epb_buf_init(&scratch, EPB_JSONL_SCRATCH_BYTES(line.size_bytes));
    epb_buf_init(&out, 65536);
    enum epb_status status = epb_jsonl_decode(copy, line.size_bytes, &scratch, &asked);
    FUZZ_CHECK(status != EPB_INTERNAL && status != EPB_TOO_LARGE);
    FUZZ_CHECK(lies_in(asked.id, copy, line.size_bytes));
    FUZZ_CHECK(asked.id.size_bytes <= EPB_JSONL_ID_MAX_BYTES);
    if (asked.id.size_bytes > 0) {
        check_json(asked.id);
    }
    if (status == EPB_OK) {
        const struct epb_request *request = &asked.request;

        FUZZ_CHECK(lies_in(request->key, copy, line.size_bytes));
        FUZZ_CHECK(lies_in(request->worker, copy, line.size_bytes));
        FUZZ_CHECK(
            lies_in(request->value, copy, line.size_bytes) ||
            lies_in(request->value, epb_buf_data(&scratch), epb_buf_size(&scratch)));
        check_reply(&asked, line);
        check_reply(&asked, request->value);
    }
    FUZZ_CHECK(epb_jsonl_encode_error(
                   &out, asked.id, status == EPB_OK ? EPB_NOT_FOUND : status) == EPB_OK);
    FUZZ_CHECK(fuzz_take_lines(&out) == 1 && epb_buf_size(&out) == 0);
    epb_buf_fini(&out);
    epb_buf_fini(&scratch);
    free(copy);
}

static void
check_each(struct epb_bytes input)
{
    while (input.size_bytes > 0) {
        const uint8_t *end = memchr(input.data, '\n', input.size_bytes);
        size_t size_bytes = end == NULL ? input.size_bytes : (size_t)(end - input.data);

        check_line(fuzz_take(&input, size_bytes));
        (void)fuzz_take(&input, 1);
    }
}

/* Reports tell of memory and buffers, which may depend on the pieces. */
static bool
has_reported(const struct fuzz_broker *broker)
{
    struct epb_stats stats;

    epb_engine_stats(broker->config.engine, &broker->now, &stats);
    return stats.by_action[EPB_ACTION_STATS] + stats.by_action[EPB_ACTION_HEALTH] +
               stats.by_action[EPB_ACTION_METRICS] >
           0;
}

/* Appends what a session said, without the size of a line that is too long: the size
 * counts the bytes that had arrived, which depends on the pieces. Such a reply is the
 * last one. */
static void
append_said(struct epb_buf *said, struct epb_bytes text)
{
    static const char name[] = "\"size\":";
    static const char option[] = "\"option\":\"maxRequestSize\"";
    size_t before_bytes = text.size_bytes;
    size_t after_at = text.size_bytes;
    const uint8_t *last = NULL;

    if (text.size_bytes == 0) {
        return;
    }
    last = memmem(text.data, text.size_bytes, option, sizeof(option) - 1);

    if (last != NULL) {
        const uint8_t *at = last;

        while (at > text.data && memcmp(at, name, sizeof(name) - 1) != 0) {
            at--;
        }
        before_bytes = (size_t)(at - text.data) + sizeof(name) - 1;
        after_at = before_bytes;
        while (text.data[after_at] >= '0' && text.data[after_at] <= '9') {
            after_at++;
        }
    }
    FUZZ_CHECK(epb_buf_append(said, text.data, before_bytes) == EPB_OK);
    FUZZ_CHECK(epb_buf_append(said, text.data + after_at, text.size_bytes - after_at) ==
               EPB_OK);
}

/* Moves events behind the replies, since a session may send them between any two replies.
 * Within both groups the order stays. */
static void
move_events_back(struct epb_bytes text, struct epb_buf *said)
{
    static const char event[] = "{\"event\":";

    for (int is_event = 0; is_event < 2; is_event++) {
        struct epb_bytes rest = text;

        while (rest.size_bytes > 0) {
            const uint8_t *end = memchr(rest.data, '\n', rest.size_bytes);
            size_t size_bytes =
                end == NULL ? rest.size_bytes : (size_t)(end - rest.data) + 1;
            struct epb_bytes line = fuzz_take(&rest, size_bytes);
            bool starts = size_bytes >= sizeof(event) - 1 &&
                          memcmp(line.data, event, sizeof(event) - 1) == 0;

            if (starts == (is_event == 1)) {
                FUZZ_CHECK(epb_buf_append(said, line.data, size_bytes) == EPB_OK);
            }
        }
    }
}

/* Everything a session says to these lines; false when it can't be compared. */
static bool
converse(struct epb_bytes input, uint8_t how, uint64_t pieces, struct epb_buf *said)
{
    struct fuzz_broker broker;
    struct fuzz_peer peer;

    epb_options_default(&broker.options);
    broker.options.max_request_bytes = (how & 1) != 0 ? 300 : 1048576;
    broker.options.max_value_bytes = (how & 2) != 0 ? 40 : 262144;
    broker.options.max_items = (how & 4) != 0 ? 2 : 0;
    broker.options.evict_lru = (how & 8) != 0;
    fuzz_broker_start(&broker, NULL);
    fuzz_peer_open(&broker, &peer);
    fuzz_peer_feed(&broker, &peer, (struct epb_bytes){(const uint8_t *)"{", 1}, 0);
    fuzz_peer_feed(&broker, &peer, input, pieces);
    epb_session_end_of_input(peer.session, &broker.now);
    fuzz_peer_work(&broker, &peer);

    struct epb_buf in_order;
    epb_buf_init(&in_order, (size_t)128 << 20);
    append_said(&in_order, fuzz_held(&peer.said));
    move_events_back(fuzz_held(&in_order), said);
    epb_buf_fini(&in_order);
    bool comparable = !has_reported(&broker);
    (void)fuzz_take_lines(&peer.said);
    FUZZ_CHECK(epb_buf_size(&peer.said) == 0);
    fuzz_peer_close(&broker, &peer);
    fuzz_broker_stop(&broker);
    return comparable;
}

void
fuzz_lines(const uint8_t *data, size_t size_bytes)
{
    struct epb_bytes input = {data, size_bytes};
    uint8_t how = fuzz_u8(&input);
    uint64_t pieces = 1U + fuzz_u8(&input);
    struct epb_buf whole;
    struct epb_buf cut;

    check_each(input);
    epb_buf_init(&whole, (size_t)128 << 20);
    epb_buf_init(&cut, (size_t)128 << 20);
    if (converse(input, how, 0, &whole) && converse(input, how, pieces, &cut)) {
        FUZZ_CHECK(fuzz_same(fuzz_held(&whole), fuzz_held(&cut)));
    }
    epb_buf_fini(&whole);
    epb_buf_fini(&cut);
}
