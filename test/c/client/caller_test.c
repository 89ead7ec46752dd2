/* A blocking caller: against a real broker, against none, and against one that breaks the
 * protocol. */
#include "client/caller.h"

#include <sys/un.h>

#include "client_help.h"

#define PATIENT_MS ((uint64_t)PATIENCE_S * 1000)

/* Callers */

static const char *
path_of(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", own_directory(), name);
    return path;
}

static struct epb_caller *
caller_at(const char *path, const char *secret, struct epb_caller_options options)
{
    struct epb_caller *caller = NULL;

    options.path = path;
    options.secret = bytes_of(secret);
    options.timeout_ms = options.timeout_ms == 0 ? PATIENT_MS : options.timeout_ms;
    if (options.connect_timeout_ms == 0) {
        options.connect_timeout_ms = PATIENT_MS;
    }
    cr_assert_eq(epb_caller_new(&options, &caller), EPB_OK);
    return caller;
}

static struct epb_caller *
caller_of(const char *secret)
{
    return caller_at(path_of("broker-client.sock"), secret,
                     (struct epb_caller_options){0});
}

static enum epb_status
answer_to(struct epb_caller *caller, const struct epb_request *request)
{
    struct epb_reply reply = {.status = EPB_INTERNAL};

    cr_assert_eq(epb_caller_ask(caller, request, &reply), EPB_OK);
    return reply.status;
}

static void
store(struct epb_caller *caller, const char *key, struct epb_bytes value)
{
    struct epb_request set = request_of(EPB_ACTION_SET, 0, key);

    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = 60000;
    set.value = value;
    cr_assert_eq(answer_to(caller, &set), EPB_OK);
}

/* The sentence of a failure must contain each of these. */
static void
expect_said(struct epb_caller *caller, enum epb_status failure, const char *first,
            const char *second)
{
    struct epb_buf said;

    epb_buf_init(&said, 4096);
    cr_assert_eq(epb_caller_explain(caller, failure, &said), EPB_OK);
    cr_assert_eq(epb_buf_append(&said, "", 1), EPB_OK);
    const char *text = (const char *)epb_buf_data(&said);
    cr_assert_not_null(strstr(text, first), "%s", text);
    cr_assert_not_null(strstr(text, second), "%s", text);
    epb_buf_fini(&said);
}

/* A real broker */

static void
store_and_read(const char *secret)
{
    static uint8_t value[250000];
    struct epb_caller *caller = caller_of(secret);
    struct epb_request get = request_of(EPB_ACTION_GET, 0, "key");
    struct epb_reply reply;

    memset(value, 'v', sizeof(value));
    cr_assert_eq(answer_to(caller, &get), EPB_NOT_FOUND);
    for (size_t size_bytes = 1; size_bytes <= sizeof(value); size_bytes *= 7) {
        store(caller, "key", (struct epb_bytes){value, size_bytes});
        cr_assert_eq(epb_caller_ask(caller, &get, &reply), EPB_OK);
        cr_assert(bytes_equal(reply.body, (struct epb_bytes){value, size_bytes}));
    }
    epb_caller_free(caller);
}

Test(caller, stores_and_reads_without_a_secret, .init = begin_plain, .fini = end)
{
    store_and_read("");
}

Test(caller, stores_and_reads_with_a_secret, .init = begin_secret, .fini = end)
{
    store_and_read(secret_text);
}

Test(caller, reads_a_list_of_a_megabyte, .init = begin_secret, .fini = end)
{
    enum {
        COUNT = 2500
    };
    struct epb_caller *caller = caller_of(secret_text);
    struct epb_request list = request_of(EPB_ACTION_LIST, 0, NULL);
    struct epb_reply reply;
    char key[401];

    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof(key), "%0400d", i);
        store(caller, key, bytes_of("v"));
    }
    cr_assert_eq(epb_caller_ask(caller, &list, &reply), EPB_OK);
    cr_assert_eq(reply.body.size_bytes, COUNT * (EPB_LIST_ENTRY_HEADER_BYTES + 400U));
    list = request_of(EPB_ACTION_PING, 0, NULL);
    cr_assert_eq(answer_to(caller, &list), EPB_OK);
    epb_caller_free(caller);
}

Test(caller, pairs_replies_with_requests_in_flight, .init = begin_plain, .fini = end)
{
    struct epb_caller *caller = caller_of("");
    struct epb_request wait = request_of(EPB_ACTION_WAIT_FOR, 0, "later");
    struct epb_request set = request_of(EPB_ACTION_SET, 0, "later");
    struct epb_reply reply;
    uint32_t wait_id = 0;
    uint32_t set_id = 0;
    unsigned seen = 0;

    wait.flags = EPB_F_WAIT;
    wait.wait_ms = EPB_NUMBER_MAX;
    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = 60000;
    set.value = bytes_of("now");
    cr_assert_eq(epb_caller_send(caller, &wait, &wait_id), EPB_OK);
    cr_assert_eq(epb_caller_next(caller, 0, &reply), EPB_TIMEOUT);
    cr_assert_eq(epb_caller_send(caller, &set, &set_id), EPB_OK);
    while (seen != 3) {
        cr_assert_eq(epb_caller_next(caller, PATIENT_MS, &reply), EPB_OK);
        cr_assert_eq(reply.status, EPB_OK);
        if (reply.id == wait_id) {
            cr_assert(bytes_equal(reply.body, bytes_of("now")));
        }
        seen |= reply.id == wait_id ? 1U : 0U;
        seen |= reply.id == set_id ? 2U : 0U;
    }
    epb_caller_free(caller);
}

static void *
store_later(void *context)
{
    struct epb_caller *caller = caller_of("");

    (void)context;
    store(caller, "later", bytes_of("now"));
    epb_caller_free(caller);
    return NULL;
}

Test(caller, waits_without_an_end_beyond_its_time_limit, .init = begin_plain, .fini = end)
{
    struct epb_caller *caller = caller_at(path_of("broker-client.sock"), "",
                                          (struct epb_caller_options){.timeout_ms = 1});
    struct epb_request wait = request_of(EPB_ACTION_WAIT_FOR, 0, "later");
    struct epb_reply reply;
    pthread_t other;

    wait.flags = EPB_F_WAIT;
    wait.wait_ms = EPB_NUMBER_MAX;
    cr_assert_eq(pthread_create(&other, NULL, store_later, NULL), 0);
    cr_assert_eq(epb_caller_ask(caller, &wait, &reply), EPB_OK);
    cr_assert(bytes_equal(reply.body, bytes_of("now")));
    pthread_join(other, NULL);
    epb_caller_free(caller);
}

struct seen {
    unsigned events;
    char key[16];
};

static void
on_event(void *context, const struct epb_reply *event)
{
    struct seen *seen = context;
    size_t header_bytes = EPB_EVENT_HEADER_BYTES;

    cr_assert_eq(event->id, 0);
    cr_assert_eq(event->status, EPB_OK);
    cr_assert_eq(event->body.size_bytes, header_bytes + 5);
    memcpy(seen->key, event->body.data + header_bytes, 5);
    seen->events++;
}

Test(caller, passes_events_on, .init = begin_plain, .fini = end)
{
    struct seen seen = {0};
    struct epb_caller *caller =
        caller_at(path_of("broker-client.sock"), "",
                  (struct epb_caller_options){.on_event = on_event, .context = &seen});
    struct epb_request watch = request_of(EPB_ACTION_WATCH, 0, "");
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);

    cr_assert_eq(answer_to(caller, &watch), EPB_OK);
    store(caller, "event", bytes_of("v"));
    while (seen.events == 0) {
        cr_assert_eq(answer_to(caller, &ping), EPB_OK);
    }
    cr_assert_str_eq(seen.key, "event");
    epb_caller_free(caller);
}

Test(caller, rings_when_a_reply_has_come, .init = begin_secret, .fini = end)
{
    struct ring ring;
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);
    struct epb_reply reply;
    uint32_t id = 0;
    unsigned rung = 0;

    ring_init(&ring);
    struct epb_caller *caller =
        caller_at(path_of("broker-client.sock"), secret_text,
                  (struct epb_caller_options){.on_ready = on_ready, .context = &ring});
    cr_assert_eq(epb_caller_send(caller, &ping, &id), EPB_OK);
    while (epb_caller_next(caller, 0, &reply) == EPB_TIMEOUT) {
        bool armed = false;
        cr_assert_eq(epb_caller_arm(caller, &armed), EPB_OK);
        if (armed) {
            await_ring(&ring, ++rung);
        }
    }
    cr_assert_eq(reply.id, id);
    epb_caller_free(caller);
}

Test(caller, keeps_a_lease_by_renewals, .init = begin_secret, .fini = end)
{
    struct epb_caller *caller =
        caller_at(path_of("broker-client.sock"), secret_text,
                  (struct epb_caller_options){.shares_session = true});
    struct epb_request lock = request_of(EPB_ACTION_LOCK, 0, "lock");
    struct epb_request renew = request_of(EPB_ACTION_RENEW, 0, NULL);
    struct epb_reply reply;
    struct epb_buf frame;
    uint64_t id = 0;

    lock.worker = bytes_of("w");
    lock.flags = EPB_F_TTL | EPB_F_FRESH;
    lock.ttl_ms = 60000;
    cr_assert_eq(epb_caller_ask(caller, &lock, &reply), EPB_OK);
    cr_assert_eq(reply.status, EPB_OK);
    cr_assert_gt(reply.fence, 0);
    renew.flags = EPB_F_FENCE;
    renew.fence = reply.fence;
    epb_buf_init(&frame, 256);
    cr_assert_eq(epb_frame_encode_request(&frame, &renew), EPB_OK);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    cr_assert_eq(epb_client_start_renewal(epb_caller_client(caller), bytes, 5, &id),
                 EPB_OK);
    uint64_t ago_ms = 0;
    cr_assert(epb_client_ms_since_renewal(epb_caller_client(caller), id, &ago_ms));
    epb_client_stop_renewal(epb_caller_client(caller), id);
    cr_assert_eq(answer_to(caller, &renew), EPB_OK);
    epb_buf_fini(&frame);
    epb_caller_free(caller);
}

/* Refusals */

static void
expect_refused(struct epb_caller *caller, enum epb_status expected, const char *first,
               const char *second)
{
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);
    struct epb_reply reply;

    enum epb_status status = epb_caller_ask(caller, &ping, &reply);
    cr_assert_eq(status, expected, "%s", epb_status_name(status));
    expect_said(caller, expected, first, second);
    cr_assert_eq(epb_caller_ask(caller, &ping, &reply), expected, "it goes on");
    epb_caller_free(caller);
}

Test(caller, tells_a_wrong_secret, .init = begin_secret, .fini = end)
{
    expect_refused(caller_of("something else, long"), EPB_AUTH_FAILED, "same secret", "");
}

Test(caller, tells_a_missing_secret, .init = begin_secret, .fini = end)
{
    expect_refused(caller_of(""), EPB_AUTH_REQUIRED, "EPHEMERAL_SECRET", "");
}

Test(caller, tells_that_there_is_no_broker)
{
    struct epb_caller *caller =
        caller_at("/no/such.sock", "s", (struct epb_caller_options){0});

    expect_refused(caller, EPB_BROKER_GONE,
                   "No broker at /no/such.sock: ", "start -- <command>` (ENOENT).");
}

Test(caller, tells_a_private_tmp)
{
    struct epb_caller *caller =
        caller_at("/tmp/no-such.sock", "s", (struct epb_caller_options){0});

    expect_refused(caller, EPB_BROKER_GONE, "PrivateTmp", "(ENOENT)");
}

Test(caller, tells_a_path_that_is_too_long)
{
    char path[300];

    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    struct epb_caller *caller = caller_at(path, "", (struct epb_caller_options){0});
    expect_refused(caller, EPB_BROKER_GONE, "longer than a pipe", "(ENAMETOOLONG)");
}

static void
begin_full(void)
{
    broker_init(&broker);
    broker.options.pipe_id = "client";
    broker.options.engine.max_connections = 1;
    broker_start(&broker);
}

/* Another connection of a process that has one may renew leases, and nothing else. */
Test(caller, passes_on_the_refusal_of_a_full_broker, .init = begin_full, .fini = end)
{
    struct epb_caller *first = caller_of("");
    struct epb_caller *second = caller_of("");
    struct epb_request get = request_of(EPB_ACTION_GET, 0, "key");

    cr_assert_eq(answer_to(first, &get), EPB_NOT_FOUND);
    cr_assert_eq(answer_to(second, &get), EPB_MAX_CONNECTIONS);
    epb_caller_free(first);
    epb_caller_free(second);
}

/* A broker that breaks the protocol: it reads `wants_bytes` of each connection, then
 * sends its answer. It closes then, or stays silent until the end. */

struct impostor {
    size_t wants_bytes;
    struct epb_bytes answer;
    bool stays;
    int listener;
    pthread_t thread;
    int held[64]; /* connections that stay open */
    unsigned count;
};

static void *
deceive(void *context)
{
    struct impostor *impostor = context;
    uint8_t request[256];

    for (;;) {
        int fd = accept(impostor->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        (void)recv(fd, request, impostor->wants_bytes, MSG_WAITALL);
        (void)send(fd, impostor->answer.data, impostor->answer.size_bytes, MSG_NOSIGNAL);
        if (impostor->stays && impostor->count < 64) {
            impostor->held[impostor->count++] = fd;
        } else {
            close(fd);
        }
    }
}

static const char *
impostor_begin(struct impostor *impostor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = path_of("impostor.sock");

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    impostor->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(impostor->listener, (struct sockaddr *)&address, sizeof(address)),
                 0);
    cr_assert_eq(listen(impostor->listener, 8), 0);
    cr_assert_eq(pthread_create(&impostor->thread, NULL, deceive, impostor), 0);
    return path;
}

static void
impostor_end(struct impostor *impostor)
{
    shutdown(impostor->listener, SHUT_RDWR);
    pthread_join(impostor->thread, NULL);
    close(impostor->listener);
    for (unsigned i = 0; i < impostor->count; i++) {
        close(impostor->held[i]);
    }
    unlink(path_of("impostor.sock"));
    remove_own_directory();
}

/* The bytes of a plain connection's first request without a key. */
#define PING_BYTES ((size_t)EPB_MAGIC_BYTES + EPB_REQUEST_HEADER_BYTES)

static void
expect_deceived(struct impostor impostor, const char *secret,
                struct epb_caller_options options, enum epb_status expected,
                const char *said)
{
    struct epb_caller *caller = caller_at(impostor_begin(&impostor), secret, options);

    expect_refused(caller, expected, said, "");
    impostor_end(&impostor);
}

Test(caller, gives_up_a_broker_that_closes_at_once)
{
    struct epb_caller_options options = {.connect_timeout_ms = 1000};

    expect_deceived((struct impostor){0}, "s", options, EPB_BROKER_GONE, "(ECONNRESET)");
}

Test(caller, gives_up_a_broker_that_does_not_prove_itself)
{
    struct epb_caller_options options = {.connect_timeout_ms = 50};

    expect_deceived((struct impostor){.stays = true}, "s", options, EPB_BROKER_GONE,
                    "has not let us in within 50 ms");
}

Test(caller, gives_up_a_broker_that_does_not_answer)
{
    struct epb_caller_options options = {.timeout_ms = 50};
    struct impostor impostor = {.stays = true};
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);
    struct epb_reply reply;

    struct epb_caller *caller = caller_at(impostor_begin(&impostor), "", options);
    cr_assert_eq(epb_caller_ask(caller, &ping, &reply), EPB_TIMEOUT);
    expect_said(caller, EPB_TIMEOUT, "within 50 ms", "");
    epb_caller_free(caller);
    impostor_end(&impostor);
}

Test(caller, tells_that_a_request_may_have_been_carried_out)
{
    expect_deceived((struct impostor){.wants_bytes = PING_BYTES}, "",
                    (struct epb_caller_options){0}, EPB_BROKER_GONE,
                    "may or may not have been carried out");
}

Test(caller, ends_at_frames_that_are_not_replies)
{
    static const uint8_t unknown_status[] = {8, 0, 0, 0, 1, 255, 0, 0, 1, 0, 0, 0};
    static const uint8_t too_short[] = {1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const uint8_t endless[] = {255, 255, 255, 255, 1, 0, 0, 0,
                                      1,   0,   0,   0,   0, 0, 0, 0};
    static const struct {
        struct epb_bytes answer;
        enum epb_status expected;
    } cases[] = {
        {{unknown_status, sizeof(unknown_status)}, EPB_VERSION_MISMATCH},
        {{too_short, sizeof(too_short)}, EPB_VERSION_MISMATCH},
        {{endless, sizeof(endless)}, EPB_TOO_LARGE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_deceived((struct impostor){.wants_bytes = PING_BYTES,
                                          .answer = cases[i].answer,
                                          .stays = true},
                        "", (struct epb_caller_options){0}, cases[i].expected, "");
    }
}

Test(caller, ignores_replies_to_requests_that_it_did_not_send)
{
    static const uint8_t answers[] = {8, 0, 0, 0, 1, 1, 0, 0, 9, 0, 0, 0,
                                      8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    struct impostor impostor = {
        .wants_bytes = PING_BYTES, .answer = {answers, sizeof(answers)}, .stays = true};
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);

    struct epb_caller *caller =
        caller_at(impostor_begin(&impostor), "", (struct epb_caller_options){0});
    cr_assert_eq(answer_to(caller, &ping), EPB_OK);
    epb_caller_free(caller);
    impostor_end(&impostor);
}

/* Memory */

/* A whole conversation; EPB_OK when nothing failed. */
static enum epb_status
converse(const char *path)
{
    struct epb_caller_options options = {.path = path,
                                         .timeout_ms = PATIENT_MS,
                                         .connect_timeout_ms = PATIENT_MS,
                                         .shares_session = false};
    struct epb_request ping = request_of(EPB_ACTION_PING, 0, NULL);
    struct epb_caller *caller = NULL;
    struct epb_reply reply;

    enum epb_status status = epb_caller_new(&options, &caller);
    if (status == EPB_OK) {
        status = epb_caller_ask(caller, &ping, &reply);
    }
    epb_caller_free(caller);
    return status;
}

Test(caller, survives_every_failing_allocation)
{
    static const uint8_t answer[] = {8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    struct impostor impostor = {
        .wants_bytes = PING_BYTES, .answer = {answer, sizeof(answer)}, .stays = true};
    const char *path = impostor_begin(&impostor);
    unsigned failed = 0;

    for (uint64_t countdown = 1;; countdown++) {
        epb_mem_fail_after(countdown);
        enum epb_status status = converse(path);
        if (epb_mem_fail_after(0) != 0) {
            cr_assert_eq(status, EPB_OK);
            break;
        }
        failed += status != EPB_OK;
    }
    cr_assert_gt(failed, 3);
    impostor_end(&impostor);
}
