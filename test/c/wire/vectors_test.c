/* The broker's code against test/vectors/protocol.json, which another implementation
 * made. */
#include <cjson/cJSON.h>

#include "wire/auth.h"
#include "wire/hash.h"
#include "wire/jsonl.h"
#include "wire_help.h"

static cJSON *vectors;

static void
load(void)
{
    static char text[65536];
    FILE *file = fopen(VECTORS_FILE, "rb");

    cr_assert_not_null(file, "%s", VECTORS_FILE);
    size_t size_bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size_bytes] = '\0';
    vectors = cJSON_Parse(text);
    cr_assert_not_null(vectors, "%s", VECTORS_FILE);
}

static void
unload(void)
{
    cJSON_Delete(vectors);
}

TestSuite(vectors, .init = load, .fini = unload);

/* The bytes of a vector, valid until the buffer is freed. */
static void
get(struct epb_buf *out, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(vectors, name);

    cr_assert(cJSON_IsString(item), "no vector %s", name);
    epb_buf_init(out, 65536);
    for (const char *hex = item->valuestring; *hex != '\0'; hex += 2) {
        unsigned byte;
        cr_assert_eq(sscanf(hex, "%2x", &byte), 1);
        uint8_t value = (uint8_t)byte;
        put(out, (struct epb_bytes){&value, 1});
    }
}

static void
assert_vector(struct epb_bytes bytes, const char *name)
{
    struct epb_buf expected;

    get(&expected, name);
    cr_assert(bytes_equal(bytes, bytes_of(&expected)), "%s", name);
    epb_buf_fini(&expected);
}

static void
assert_request(const char *name, struct epb_request request)
{
    struct epb_buf frame;
    struct epb_request decoded;

    epb_buf_init(&frame, 4096);
    put_request(&frame, request);
    assert_vector(bytes_of(&frame), name);
    cr_assert_eq(epb_frame_decode_request(bytes_of(&frame), &decoded), EPB_OK);
    cr_assert_eq(decoded.ttl_ms, request.ttl_ms);
    cr_assert_eq(decoded.version, request.version);
    cr_assert_eq(decoded.count, request.count);
    cr_assert_eq(decoded.fence, request.fence);
    cr_assert_eq(decoded.wait_ms, request.wait_ms);
    cr_assert_eq(decoded.period_ms, request.period_ms);
    epb_buf_fini(&frame);
}

/* The token of the vectors. */
#define TOKEN ((UINT64_C(1700000000123) << 10) + 5)

Test(vectors, requests)
{
    assert_request("request_ping",
                   (struct epb_request){.action = EPB_ACTION_PING, .id = 1});
    assert_request(
        "request_get",
        (struct epb_request){.action = EPB_ACTION_GET, .id = 2, .key = LITERAL("token")});
    assert_request("request_set",
                   (struct epb_request){.action = EPB_ACTION_SET,
                                        .flags = EPB_F_TTL | EPB_F_IF_ABSENT,
                                        .id = 3,
                                        .key = LITERAL("token"),
                                        .value = LITERAL("{\"id\":7}"),
                                        .ttl_ms = 60000});
    assert_request("request_set_bytes",
                   (struct epb_request){.action = EPB_ACTION_SET,
                                        .flags = EPB_F_TTL | EPB_F_VERSION | EPB_F_BINARY,
                                        .id = 4,
                                        .key = LITERAL("\xE2\x82\xAC"),
                                        .value = LITERAL("\x00\xFF"),
                                        .ttl_ms = 1500,
                                        .version = 12});
    assert_request("request_incr", (struct epb_request){.action = EPB_ACTION_INCR,
                                                        .flags = EPB_F_COUNT,
                                                        .id = 5,
                                                        .key = LITERAL("n"),
                                                        .count = -2});
    assert_request("request_touch", (struct epb_request){.action = EPB_ACTION_TOUCH,
                                                         .flags = EPB_F_TTL,
                                                         .id = 23,
                                                         .key = LITERAL("session"),
                                                         .ttl_ms = 60000});
}

Test(vectors, requests_of_leases)
{
    static const uint8_t session_key[] = {0, 1, 2,  3,  4,  5,  6,  7,
                                          8, 9, 10, 11, 12, 13, 14, 15};

    assert_request("request_pool",
                   (struct epb_request){.action = EPB_ACTION_POOL,
                                        .id = 8,
                                        .key = LITERAL("accounts"),
                                        .value = LITERAL("\6\0\0\0\0\"anna\""
                                                         "\2\0\0\0\1\0\xFF")});
    assert_request("request_lease",
                   (struct epb_request){.action = EPB_ACTION_LEASE,
                                        .flags = EPB_F_TTL | EPB_F_WAIT | EPB_F_FRESH,
                                        .id = 9,
                                        .key = LITERAL("accounts"),
                                        .worker = LITERAL("w1"),
                                        .ttl_ms = 30000,
                                        .wait_ms = EPB_NUMBER_MAX});
    assert_request("request_renew_unanswered",
                   (struct epb_request){
                       .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = TOKEN});
    assert_request("request_get_or_set",
                   (struct epb_request){.action = EPB_ACTION_GET_OR_SET,
                                        .flags = EPB_F_TTL | EPB_F_WAIT | EPB_F_PERIOD,
                                        .id = 10,
                                        .key = LITERAL("token"),
                                        .worker = LITERAL("w1"),
                                        .ttl_ms = 60000,
                                        .wait_ms = 5000,
                                        .period_ms = 1000});
    assert_request("request_release_failed",
                   (struct epb_request){.action = EPB_ACTION_RELEASE,
                                        .flags = EPB_F_FENCE,
                                        .id = 11,
                                        .value = LITERAL("no network"),
                                        .fence = TOKEN});
    assert_request("request_cancel", (struct epb_request){.action = EPB_ACTION_CANCEL,
                                                          .flags = EPB_F_COUNT,
                                                          .id = 12,
                                                          .count = 9});
    assert_request("request_join",
                   (struct epb_request){.action = EPB_ACTION_JOIN,
                                        .flags = EPB_F_COUNT,
                                        .id = 16,
                                        .value = {session_key, sizeof(session_key)},
                                        .count = 4242});
}

Test(vectors, requests_of_keys)
{
    uint8_t held[8];

    epb_put_u64(held, TOKEN);
    assert_request("request_acquire",
                   (struct epb_request){.action = EPB_ACTION_ACQUIRE,
                                        .flags = EPB_F_TTL | EPB_F_COUNT | EPB_F_WAIT,
                                        .id = 18,
                                        .key = LITERAL("accounts"),
                                        .worker = LITERAL("w1"),
                                        .value = {held, sizeof(held)},
                                        .ttl_ms = 30000,
                                        .count = 2,
                                        .wait_ms = 5000});
    assert_request("request_number", (struct epb_request){.action = EPB_ACTION_NUMBER,
                                                          .flags = EPB_F_COUNT,
                                                          .id = 19,
                                                          .key = LITERAL("port"),
                                                          .worker = LITERAL("w1"),
                                                          .count = 3});
    assert_request("request_take", (struct epb_request){.action = EPB_ACTION_TAKE,
                                                        .flags = EPB_F_FENCE,
                                                        .id = 20,
                                                        .fence = TOKEN});
    assert_request("request_describe", (struct epb_request){.action = EPB_ACTION_DESCRIBE,
                                                            .id = 21,
                                                            .key = LITERAL("accounts")});
    assert_request("request_clear", (struct epb_request){.action = EPB_ACTION_CLEAR,
                                                         .id = 22,
                                                         .key = LITERAL("run:")});
}

static void
assert_reply(const char *name, struct epb_reply reply)
{
    struct epb_buf frame;
    struct epb_reply decoded;

    epb_buf_init(&frame, 4096);
    cr_assert_eq(epb_frame_encode_reply(&frame, &reply), EPB_OK);
    assert_vector(bytes_of(&frame), name);
    cr_assert_eq(epb_frame_decode_reply(bytes_of(&frame), &decoded), EPB_OK);
    cr_assert_eq(decoded.status, reply.status);
    cr_assert(bytes_equal(decoded.body, reply.body));
    epb_buf_fini(&frame);
}

Test(vectors, replies)
{
    uint8_t entry[EPB_LIST_ENTRY_HEADER_BYTES + 5] = {0};

    epb_put_u64(entry, 59000);
    epb_put_u64(entry + 8, 13);
    epb_put_u32(entry + 16, 8);
    epb_put_u16(entry + 20, 5);
    memcpy(entry + 22, "token", 5);
    assert_reply(
        "reply_ping",
        (struct epb_reply){.flags = EPB_F_COUNT, .id = 1, .count = 1700000000123});
    assert_reply("reply_get", (struct epb_reply){.id = 2, .body = LITERAL("{\"id\":7}")});
    assert_reply("reply_set",
                 (struct epb_reply){.flags = EPB_F_VERSION, .id = 3, .version = 13});
    assert_reply("reply_not_found", (struct epb_reply){.status = EPB_NOT_FOUND, .id = 2});
    assert_reply("reply_get_entry",
                 (struct epb_reply){.flags = EPB_F_TTL | EPB_F_VERSION | EPB_F_BINARY,
                                    .id = 6,
                                    .ttl_ms = 1499,
                                    .version = 13,
                                    .body = LITERAL("\x00\xFF")});
    assert_reply("reply_list",
                 (struct epb_reply){.id = 7, .body = {entry, sizeof(entry)}});
    assert_reply("refusal_auth_required",
                 (struct epb_reply){.status = EPB_AUTH_REQUIRED});
}

Test(vectors, replies_of_leases_and_events)
{
    uint8_t loss[EPB_LOSS_HEADER_BYTES + 8];

    epb_put_u64(loss, TOKEN);
    epb_put_u16(loss + 8, 8);
    memcpy(loss + EPB_LOSS_HEADER_BYTES, "accounts", 8);
    uint8_t lease[EPB_LEASES_ENTRY_HEADER_BYTES + 10] = {1, 3, 0};
    epb_put_u64(lease + 3, 7);
    epb_put_u64(lease + 11, TOKEN);
    epb_put_u64(lease + 19, 29000);
    epb_put_u64(lease + 27, 1000);
    epb_put_u32(lease + 35, 4242);
    epb_put_u16(lease + 39, 8);
    epb_put_u16(lease + 41, 2);
    memcpy(lease + EPB_LEASES_ENTRY_HEADER_BYTES, "accountsw1", 10);
    uint8_t event[EPB_EVENT_HEADER_BYTES + 5] = {EPB_EVENT_SET};
    epb_put_u64(event + 1, 13);
    epb_put_u16(event + 9, 5);
    memcpy(event + EPB_EVENT_HEADER_BYTES, "token", 5);
    uint32_t granted = EPB_F_TTL | EPB_F_FENCE;
    assert_reply("reply_lease", (struct epb_reply){.flags = granted,
                                                   .id = 9,
                                                   .ttl_ms = 30000,
                                                   .fence = TOKEN,
                                                   .body = LITERAL("\"anna\"")});
    assert_reply("reply_lease_number", (struct epb_reply){.flags = granted | EPB_F_COUNT,
                                                          .id = 13,
                                                          .ttl_ms = 60000,
                                                          .fence = TOKEN + 1});
    assert_reply("reply_join",
                 (struct epb_reply){.flags = EPB_F_COUNT, .id = 16, .count = 7});
    assert_reply("reply_wait_timeout",
                 (struct epb_reply){.status = EPB_WAIT_TIMEOUT, .id = 9});
    assert_reply("reply_renew", (struct epb_reply){.flags = EPB_F_COUNT,
                                                   .id = 14,
                                                   .count = 1,
                                                   .body = {loss, sizeof(loss)}});
    assert_reply("reply_leases",
                 (struct epb_reply){.id = 15, .body = {lease, sizeof(lease)}});
    assert_reply("reply_compute_failed",
                 (struct epb_reply){.status = EPB_COMPUTE_FAILED,
                                    .id = 10,
                                    .body = LITERAL("no network")});
    assert_reply("reply_throttle", (struct epb_reply){.flags = EPB_F_COUNT | EPB_F_WAIT |
                                                               EPB_F_PERIOD | EPB_F_BURST,
                                                      .id = 16,
                                                      .wait_ms = 250,
                                                      .period_ms = 1000});
    assert_reply("event_watch", (struct epb_reply){.flags = EPB_F_COUNT,
                                                   .count = 17,
                                                   .body = {event, sizeof(event)}});
    assert_reply("event_lease_lost", (struct epb_reply){.status = EPB_LEASE_LOST,
                                                        .flags = EPB_F_FENCE,
                                                        .fence = TOKEN,
                                                        .body = LITERAL("accounts")});
}

Test(vectors, replies_of_keys)
{
    uint8_t numbers[24];

    epb_put_u64(numbers, 0);
    epb_put_u64(numbers + 8, 2);
    epb_put_u64(numbers + 16, 3);
    uint8_t description[EPB_DESCRIPTION_BYTES] = {EPB_KIND_POOL};
    epb_put_u64(description + 1, 5);
    epb_put_u64(description + 9, 3);
    epb_put_u64(description + 17, 1);
    uint32_t granted = EPB_F_TTL | EPB_F_FENCE | EPB_F_BURST;
    assert_reply("reply_acquire",
                 (struct epb_reply){.flags = granted,
                                    .id = 18,
                                    .ttl_ms = 30000,
                                    .fence = TOKEN + 2,
                                    .burst = 2,
                                    .body = LITERAL("\6\0\0\0\0\"anna\""
                                                    "\2\0\0\0\1\0\xFF")});
    assert_reply("reply_acquire_too_many",
                 (struct epb_reply){
                     .status = EPB_CONFLICT, .flags = EPB_F_COUNT, .id = 18, .count = 1});
    assert_reply("reply_acquire_not_found",
                 (struct epb_reply){.status = EPB_NOT_FOUND,
                                    .id = 18,
                                    .body = LITERAL("\3\10\0Accounts\4\7\0account")});
    assert_reply("reply_number", (struct epb_reply){.flags = granted | EPB_F_COUNT,
                                                    .id = 19,
                                                    .ttl_ms = 60000,
                                                    .fence = TOKEN + 3,
                                                    .burst = 3,
                                                    .body = {numbers, sizeof(numbers)}});
    assert_reply("reply_take", (struct epb_reply){.id = 20});
    assert_reply(
        "reply_describe",
        (struct epb_reply){.id = 21, .body = {description, sizeof(description)}});
    assert_reply("reply_clear", (struct epb_reply){.flags = EPB_F_COUNT | EPB_F_BURST,
                                                   .id = 22,
                                                   .count = 12,
                                                   .burst = 1});
}

static void
name_of(char *out, const char *mode, const char *rest)
{
    snprintf(out, 100, "%s_%s", mode, rest);
}

static void
get_named(struct epb_buf *out, const char *session_name, const char *rest)
{
    char name[100];

    name_of(name, session_name, rest);
    get(out, name);
}

static struct epb_handshake *
new_handshake(const char *nonce_name)
{
    struct epb_buf secret;
    struct epb_buf nonce;

    get(&secret, "secret");
    get(&nonce, nonce_name);
    struct epb_handshake *handshake = epb_handshake_new(bytes_of(&secret));
    epb_handshake_fix_nonce(handshake, epb_buf_data(&nonce));
    epb_buf_fini(&secret);
    epb_buf_fini(&nonce);
    return handshake;
}

/* A broker with the vectors' nonce answers the vectors' client with exactly their bytes,
 * takes their proof, and comes out with their keys and scope. */
static void
assert_broker(const char *session_name, enum epb_record_mode mode, const char *its_scope,
              struct epb_session_keys *keys)
{
    char name[100];
    struct epb_buf hello;
    struct epb_buf proof;
    struct epb_bytes scope;
    uint8_t answer[EPB_SERVER_HELLO_BYTES];
    size_t size_bytes;
    enum epb_record_mode agreed;
    struct epb_handshake *broker = new_handshake("server_nonce");

    get_named(&hello, session_name, "client_hello");
    cr_assert_eq(epb_auth_client_hello_bytes(bytes_of(&hello), &size_bytes), EPB_OK);
    cr_assert_eq(size_bytes, epb_buf_size(&hello));
    cr_assert_eq(
        epb_handshake_server_hello(broker, bytes_of(&hello), answer, &size_bytes, &scope),
        EPB_OK);
    cr_assert(bytes_equal(scope, TEXT(its_scope)));
    name_of(name, session_name, "server_hello");
    assert_vector((struct epb_bytes){answer, size_bytes}, name);
    get_named(&proof, session_name, "client_proof");
    cr_assert_eq(epb_handshake_server_finish(broker, epb_buf_data(&proof), keys, &agreed),
                 EPB_OK);
    cr_assert_eq(agreed, mode);
    name_of(name, session_name, "key_to_server");
    assert_vector((struct epb_bytes){keys->client_to_server, EPB_KEY_BYTES}, name);
    name_of(name, session_name, "key_to_client");
    assert_vector((struct epb_bytes){keys->server_to_client, EPB_KEY_BYTES}, name);
    epb_handshake_free(broker);
    epb_buf_fini(&hello);
    epb_buf_fini(&proof);
}

/* The same of our client, which speaks EPB3 and offers these. */
static void
assert_client(const char *session_name, enum epb_record_mode mode, uint32_t offered)
{
    char name[100];
    struct epb_buf answer;
    struct epb_session_keys keys;
    uint8_t hello[EPB_CLIENT_HELLO_BYTES];
    uint8_t proof[EPB_PROOF_BYTES];
    enum epb_record_mode agreed;
    struct epb_handshake *client = new_handshake("client_nonce");

    cr_assert_eq(epb_handshake_client_hello(client, offered, hello), EPB_OK);
    name_of(name, session_name, "client_hello");
    assert_vector((struct epb_bytes){hello, sizeof(hello)}, name);
    get_named(&answer, session_name, "server_hello");
    cr_assert_eq(
        epb_handshake_client_finish(client, bytes_of(&answer), proof, &keys, &agreed),
        EPB_OK);
    cr_assert_eq(agreed, mode);
    name_of(name, session_name, "client_proof");
    assert_vector((struct epb_bytes){proof, sizeof(proof)}, name);
    name_of(name, session_name, "key_to_server");
    assert_vector((struct epb_bytes){keys.client_to_server, EPB_KEY_BYTES}, name);
    name_of(name, session_name, "key_to_client");
    assert_vector((struct epb_bytes){keys.server_to_client, EPB_KEY_BYTES}, name);
    epb_handshake_free(client);
    epb_buf_fini(&answer);
}

/* Seals the named frames as one record, and opens the vector. */
static void
assert_record(struct epb_record *sender, struct epb_record *receiver,
              const char *mode_name, const char *record_name,
              const char *const *frame_names)
{
    char name[100];
    struct epb_buf plain;
    struct epb_buf out;
    struct epb_buf in;

    epb_buf_init(&plain, 4096);
    epb_buf_init(&out, 4096);
    for (; *frame_names != NULL; frame_names++) {
        struct epb_buf frame;
        get(&frame, *frame_names);
        put(&plain, bytes_of(&frame));
        epb_buf_fini(&frame);
    }
    name_of(name, mode_name, record_name);
    cr_assert_eq(epb_record_begin(sender, &out), EPB_OK);
    put(&out, bytes_of(&plain));
    cr_assert_eq(epb_record_end(sender, &out), EPB_OK);
    assert_vector(bytes_of(&out), name);
    get(&in, name);
    cr_assert_eq(epb_record_unseal(receiver, &in, SIZE_MAX), EPB_OK);
    cr_assert(bytes_equal(epb_record_stream(receiver, &in), bytes_of(&plain)));
    epb_record_consume(receiver, &in, epb_buf_size(&plain));
    epb_buf_fini(&plain);
    epb_buf_fini(&out);
    epb_buf_fini(&in);
}

static void
assert_session(const char *mode_name, enum epb_record_mode mode, const char *scope)
{
    struct epb_session_keys keys;

    assert_broker(mode_name, mode, scope, &keys);
    struct epb_record *up = epb_record_new(mode, keys.client_to_server);
    struct epb_record *up_end = epb_record_new(mode, keys.client_to_server);
    struct epb_record *down = epb_record_new(mode, keys.server_to_client);
    struct epb_record *down_end = epb_record_new(mode, keys.server_to_client);
    assert_record(up, up_end, mode_name, "record_to_server_0",
                  (const char *const[]){"request_ping", NULL});
    assert_record(up, up_end, mode_name, "record_to_server_1",
                  (const char *const[]){"request_get", "request_set", NULL});
    assert_record(down, down_end, mode_name, "record_to_client_0",
                  (const char *const[]){"reply_ping", NULL});
    epb_record_free(up);
    epb_record_free(up_end);
    epb_record_free(down);
    epb_record_free(down_end);
}

Test(vectors, sessions)
{
    assert_client("epb3_mac", EPB_RECORD_MAC, EPB_OFFER_MAC);
    assert_session("epb3_mac", EPB_RECORD_MAC, "");
    assert_session("epb3_later", EPB_RECORD_CHACHA20, "get ci:*");
    assert_session("epbm", EPB_RECORD_MAC, "");
    assert_session("epb1", EPB_RECORD_CHACHA20, "");
    if (!epb_cipher_has_aes()) {
        return;
    }
    assert_client("epb3", EPB_RECORD_AES, EPB_OFFER_CHACHA20 | EPB_OFFER_AES);
    assert_session("epb3", EPB_RECORD_AES, "");
    assert_session("epb2", EPB_RECORD_AES, "");
}

Test(vectors, signed_line)
{
    struct epb_buf line;
    struct epb_buf secret;
    struct epb_hmac hmac;

    get(&line, "signed_line");
    get(&secret, "secret");
    cr_assert_eq(epb_hmac_init(&hmac, bytes_of(&secret)), EPB_OK);
    size_t size_bytes = epb_buf_size(&line);
    cr_assert_eq(epb_jsonl_verify(&hmac, front_of(&line), &size_bytes), EPB_OK);
    cr_assert(bytes_equal((struct epb_bytes){front_of(&line), size_bytes},
                          LITERAL("{\"action\":\"get\",\"key\":\"token\"}")));
    epb_hmac_fini(&hmac);
    epb_buf_fini(&line);
    epb_buf_fini(&secret);
}
