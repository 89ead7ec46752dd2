/* Kept frames: the keeper's thread, and a client's beats against brokers, real and raw.
 */
#include <sys/wait.h>

#include "client/client.h"
#include "client/holds.h"
#include "client/own_frame.h"
#include "client/renewal.h"
#include "client/renewer.h"
#include "io_help.h"

/* The keeper, with something that records what is handed over */

struct recorder {
    struct epb_renewer_user user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned batches;
    unsigned frames; /* of one byte each */
    bool blocked;    /* `record` waits as long as this is set */
    bool inside;
    bool over; /* nothing may come any more */
};

static enum epb_renewal_plan_sent
record(void *context, struct epb_bytes frames)
{
    struct recorder *recorder = context;

    pthread_mutex_lock(&recorder->lock);
    cr_assert_not(recorder->over, "it came after the removal had returned");
    recorder->batches++;
    recorder->frames += (unsigned)frames.size_bytes;
    recorder->inside = true;
    pthread_cond_broadcast(&recorder->changed);
    while (recorder->blocked) {
        pthread_cond_wait(&recorder->changed, &recorder->lock);
    }
    recorder->inside = false;
    pthread_mutex_unlock(&recorder->lock);
    return EPB_RENEWAL_PLAN_LEFT;
}

static void
recorder_init(struct recorder *recorder)
{
    memset(recorder, 0, sizeof(*recorder));
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->changed, NULL);
    epb_renewer_user_init(&recorder->user, record, recorder);
}

static void
await_frames(struct recorder *recorder, unsigned count)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&recorder->lock);
    while (recorder->frames < count) {
        cr_assert_eq(pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until),
                     0, "only %u frames came", recorder->frames);
    }
    pthread_mutex_unlock(&recorder->lock);
}

static uint64_t
keep(struct recorder *recorder, uint64_t interval_ms)
{
    uint64_t id = 0;

    cr_assert_eq(epb_renewer_add(&recorder->user, bytes_of("x"), interval_ms, &id),
                 EPB_OK);
    return id;
}

static void
say_over(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    recorder->over = true;
    pthread_mutex_unlock(&recorder->lock);
}

Test(renewer, frames_come_again_and_again_until_they_are_removed)
{
    struct recorder recorder;
    uint64_t ago_ms = 0;

    recorder_init(&recorder);
    uint64_t id = keep(&recorder, 2);
    uint64_t rare = keep(&recorder, 60 * 60 * 1000);
    cr_assert_neq(id, rare);
    await_frames(&recorder, 5);
    cr_assert(epb_renewer_ago(&recorder.user, id, &ago_ms));
    cr_assert_lt(ago_ms, PATIENCE_S * 1000);
    epb_renewer_remove(&recorder.user, id);
    say_over(&recorder);
    cr_assert_not(epb_renewer_ago(&recorder.user, id, &ago_ms));
    cr_assert(epb_renewer_ago(&recorder.user, rare, &ago_ms));
    epb_renewer_remove(&recorder.user, id);
    epb_renewer_forget(&recorder.user);
    cr_assert_not(epb_renewer_ago(&recorder.user, rare, &ago_ms));
}

Test(renewer, a_sooner_frame_wakes_the_thread)
{
    struct recorder recorder;

    recorder_init(&recorder);
    keep(&recorder, 60 * 60 * 1000);
    keep(&recorder, 30 * 60 * 1000);
    keep(&recorder, 1);
    await_frames(&recorder, 3);
    epb_renewer_forget(&recorder.user);
}

Test(renewer, who_is_forgotten_is_touched_no_more)
{
    for (unsigned i = 0; i < 200; i++) {
        /* The sanitizer watches its memory. */
        struct recorder *recorder = malloc(sizeof(*recorder));
        cr_assert_not_null(recorder);
        recorder_init(recorder);
        keep(recorder, 1);
        keep(recorder, 1);
        if (i % 2 == 0) {
            await_frames(recorder, 1 + i % 5);
        }
        epb_renewer_forget(&recorder->user);
        say_over(recorder);
        pthread_cond_destroy(&recorder->changed);
        pthread_mutex_destroy(&recorder->lock);
        free(recorder);
    }
}

Test(renewer, a_busy_client_blocks_nobodys_calls)
{
    struct recorder busy;
    struct recorder other;
    uint64_t ago_ms = 0;
    struct timespec until = patience_end();

    recorder_init(&busy);
    recorder_init(&other);
    busy.blocked = true;
    keep(&busy, 1);
    pthread_mutex_lock(&busy.lock);
    while (!busy.inside) {
        cr_assert_eq(pthread_cond_timedwait(&busy.changed, &busy.lock, &until), 0);
    }
    pthread_mutex_unlock(&busy.lock);
    uint64_t id = keep(&other, 1);
    cr_assert(epb_renewer_ago(&other.user, id, &ago_ms));
    epb_renewer_remove(&other.user, id);
    keep(&other, 1);
    pthread_mutex_lock(&busy.lock);
    busy.blocked = false;
    pthread_cond_broadcast(&busy.changed);
    pthread_mutex_unlock(&busy.lock);
    await_frames(&other, 3);
    await_frames(&busy, 3);
    epb_renewer_forget(&other.user);
    epb_renewer_forget(&busy.user);
}

static void
await_inside(struct recorder *recorder)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&recorder->lock);
    while (!recorder->inside) {
        cr_assert_eq(pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until),
                     0);
    }
    pthread_mutex_unlock(&recorder->lock);
}

static void
set_blocked(struct recorder *recorder, bool blocked)
{
    pthread_mutex_lock(&recorder->lock);
    recorder->blocked = blocked;
    pthread_cond_broadcast(&recorder->changed);
    pthread_mutex_unlock(&recorder->lock);
}

Test(renewer, who_keeps_nothing_any_more_has_no_turn_to_come)
{
    struct recorder gate;
    struct recorder first;
    struct recorder second;
    uint64_t ago_ms = 0;

    recorder_init(&gate);
    recorder_init(&first);
    recorder_init(&second);
    set_blocked(&gate, true);
    keep(&gate, 1);
    await_inside(&gate);
    /* Both are due when the thread looks next. */
    set_blocked(&first, true);
    keep(&first, 1);
    uint64_t id = keep(&second, 1);
    while (ago_ms < 3) {
        cr_assert(epb_renewer_ago(&second.user, id, &ago_ms));
    }
    set_blocked(&gate, false);
    await_inside(&first);
    cr_assert_not(epb_renewer_remove(&second.user, id));
    say_over(&second);
    set_blocked(&first, false);
    await_frames(&first, 3);
    epb_renewer_forget(&gate.user);
    epb_renewer_forget(&first.user);
}

Test(renewer, a_forked_child_keeps_nothing)
{
    struct recorder recorder;
    int status = -1;

    recorder_init(&recorder);
    uint64_t id = keep(&recorder, 1);
    await_frames(&recorder, 1);
    pid_t child = fork();
    if (child == 0) {
        struct recorder own;
        uint64_t none = 0;
        recorder_init(&own);
        bool refused = epb_renewer_add(&own.user, bytes_of("x"), 1, &none) != EPB_OK;
        epb_renewer_remove(&recorder.user, id);
        epb_renewer_forget(&recorder.user);
        _exit(refused ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    pthread_mutex_lock(&recorder.lock);
    unsigned frames = recorder.frames;
    pthread_mutex_unlock(&recorder.lock);
    await_frames(&recorder, frames + 2);
    epb_renewer_forget(&recorder.user);
}

static void *
come_and_go(void *context)
{
    (void)context;
    for (unsigned i = 0; i < 50; i++) {
        struct recorder recorder;
        uint64_t ids[20];
        recorder_init(&recorder);
        for (unsigned j = 0; j < 20; j++) {
            ids[j] = keep(&recorder, 1 + j % 3);
        }
        await_frames(&recorder, 1);
        for (unsigned j = 0; j < 20; j += 2) {
            epb_renewer_remove(&recorder.user, ids[j]);
        }
        await_frames(&recorder, 30);
        epb_renewer_forget(&recorder.user);
        say_over(&recorder);
    }
    return NULL;
}

Test(renewer, many_threads_share_it)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
}

/* A client, with a raw peer for a broker */

static struct epb_client *client;
static uint8_t into[1 << 20];
static int listener = -1;

static void
ignore_ready(void *context)
{
    (void)context;
}

static void
connect_client(const char *path, const char *secret)
{
    int os_error = 0;

    client = epb_client_new(path, bytes_of(secret), ignore_ready, NULL);
    cr_assert_not_null(client);
    cr_assert_eq(epb_client_share(client, 0), EPB_OK);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_OK, "%s",
                 epb_os_error_name(os_error));
}

static int
accept_one(void)
{
    int fd = accept(listener, NULL, NULL);

    cr_assert_geq(fd, 0);
    make_blocking(fd);
    return fd;
}

/* Listens where a broker would, and accepts one client. */
static int
accept_client(void)
{
    char path[128];

    signal(SIGPIPE, SIG_IGN);
    (void)snprintf(path, sizeof(path), "%s/raw.sock", own_directory());
    cr_assert_eq(epb_socket_new(&listener), 0);
    cr_assert_eq(epb_socket_bind(listener, path), 0);
    cr_assert_eq(listen(listener, 8), 0);
    make_blocking(listener);
    connect_client(path, "");
    return accept_one();
}

static void
stop_listening(void)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/raw.sock", own_directory());
    close(listener);
    unlink(path);
    remove_own_directory();
}

static enum epb_status
send_frames(struct epb_bytes out)
{
    struct epb_exchange exchange = {.out = out, .into = into, .into_bytes = sizeof(into)};

    return epb_client_exchange(client, &exchange);
}

static void
encode(struct epb_buf *out, enum epb_action action, uint32_t id, size_t value_bytes)
{
    struct epb_request request = request_of(action, id, "key");
    uint8_t *value = calloc(1, value_bytes + 1);

    cr_assert_not_null(value);
    if (value_bytes != 0) {
        request.flags = EPB_F_TTL | EPB_F_BINARY;
        request.ttl_ms = 1000;
        request.value = (struct epb_bytes){value, value_bytes};
    }
    cr_assert_eq(epb_frame_encode_request(out, &request), EPB_OK);
    free(value);
}

static struct epb_bytes
bytes_in(const struct epb_buf *buf)
{
    return (struct epb_bytes){epb_buf_data(buf), epb_buf_size(buf)};
}

/* The next request, whose texts are in `frame`; false at the end of the stream. */
static bool
next_request(int fd, struct epb_request *request, struct epb_buf *frame)
{
    uint8_t length[EPB_FRAME_LENGTH_BYTES];
    uint8_t *rest;

    if (!peer_receive(fd, length, sizeof(length))) {
        return false;
    }
    size_t size_bytes = epb_get_u32(length);
    epb_buf_fini(frame);
    epb_buf_init(frame, 8U << 20);
    cr_assert_eq(epb_buf_append(frame, length, sizeof(length)), EPB_OK);
    cr_assert_eq(epb_buf_reserve(frame, size_bytes, &rest), EPB_OK);
    if (!peer_receive(fd, rest, size_bytes)) {
        return false;
    }
    epb_buf_commit(frame, size_bytes);
    cr_assert_eq(epb_frame_decode_request(bytes_in(frame), request), EPB_OK);
    return true;
}

/* The action of the next frame; 0 at the end of the stream. */
static unsigned
next_action(int fd)
{
    struct epb_request request = {0};
    struct epb_buf frame;

    epb_buf_init(&frame, 1);
    bool is_there = next_request(fd, &request, &frame);
    epb_buf_fini(&frame);
    return is_there ? request.action : 0;
}

static void
take_magic(int fd)
{
    uint8_t magic[EPB_MAGIC_BYTES];

    cr_assert(peer_receive(fd, magic, sizeof(magic)));
}

static void
answer(int fd, uint32_t id, enum epb_status status)
{
    const struct epb_reply ok = {.id = id, .status = status};
    struct epb_buf reply;

    epb_buf_init(&reply, 100);
    cr_assert_eq(epb_frame_encode_reply(&reply, &ok), EPB_OK);
    peer_send(fd, epb_buf_data(&reply), epb_buf_size(&reply));
    epb_buf_fini(&reply);
}

static enum epb_renewal_plan_sent
send_renewal(void *context, struct epb_bytes frames)
{
    return epb_renewal_send(context, frames);
}

/* Accepts the connection that renews in the name of a session, and lets it be open. */
static int
accept_renewer_of(const uint8_t *key)
{
    struct epb_request request;
    struct epb_buf frame;
    int fd = accept_one();

    epb_buf_init(&frame, 1);
    take_magic(fd);
    cr_assert(next_request(fd, &request, &frame));
    cr_assert_eq(request.action, EPB_ACTION_JOIN);
    cr_assert_eq(request.id, 0);
    cr_assert(key == NULL ||
              bytes_equal(request.value, (struct epb_bytes){key, EPB_SESSION_KEY_BYTES}));
    epb_buf_fini(&frame);
    cr_assert_eq(next_action(fd), EPB_ACTION_PING);
    answer(fd, EPB_OWN_ID, EPB_OK);
    return fd;
}

static uint64_t
keep_renewal(uint64_t interval_ms)
{
    struct epb_buf beat;
    uint64_t id = 0;

    epb_buf_init(&beat, 1000);
    encode(&beat, EPB_ACTION_RENEW, 0, 0);
    cr_assert_eq(epb_client_start_renewal(client, bytes_in(&beat), interval_ms, &id),
                 EPB_OK);
    epb_buf_fini(&beat);
    return id;
}

/* The next beat, which is answered. */
static void
expect_beat(int fd, enum epb_status status)
{
    struct epb_request request;
    struct epb_buf frame;

    epb_buf_init(&frame, 1);
    cr_assert(next_request(fd, &request, &frame));
    cr_assert_eq(request.action, EPB_ACTION_RENEW);
    cr_assert_neq(request.id, 0);
    answer(fd, request.id, status);
    epb_buf_fini(&frame);
}

/* The client's own connection says first which session it is of, in the write of the
 * first request. */
static void
expect_first_request(int fd, uint8_t key[EPB_SESSION_KEY_BYTES])
{
    struct epb_request request;
    struct epb_buf frame;

    epb_buf_init(&frame, 1);
    take_magic(fd);
    cr_assert(next_request(fd, &request, &frame));
    cr_assert_eq(request.action, EPB_ACTION_JOIN);
    cr_assert_eq(request.count, getpid());
    cr_assert_eq(request.value.size_bytes, EPB_SESSION_KEY_BYTES);
    memcpy(key, request.value.data, EPB_SESSION_KEY_BYTES);
    cr_assert_eq(next_action(fd), EPB_ACTION_GET);
    epb_buf_fini(&frame);
}

static void
send_get(void)
{
    struct epb_buf get;

    epb_buf_init(&get, 1000);
    encode(&get, EPB_ACTION_GET, 1, 0);
    cr_assert_eq(send_frames(bytes_in(&get)), EPB_OK);
    epb_buf_fini(&get);
}

Test(renewer, beats_leave_by_a_connection_of_their_own_and_end_with_unkeep)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];
    uint64_t ago_ms = 0;

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    uint64_t id = keep_renewal(1);
    int renewer = accept_renewer_of(key);
    for (unsigned i = 0; i < 5; i++) {
        expect_beat(renewer, EPB_OK);
    }
    epb_client_stop_renewal(client, id);
    cr_assert_not(epb_client_ms_since_renewal(client, id, &ago_ms));
    while (next_action(renewer) != 0) {
    }
    /* Nothing is kept: that connection was closed, and the client's own was not. */
    send_get();
    cr_assert_eq(next_action(fd), EPB_ACTION_GET);
    epb_client_free(client);
    cr_assert_eq(next_action(fd), 0);
    close(renewer);
    close(fd);
    stop_listening();
}

Test(renewer, what_the_client_has_not_sent_does_not_hold_up_its_beats)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];
    struct epb_buf large;

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    epb_buf_init(&large, 8U << 20);
    encode(&large, EPB_ACTION_SET, 1, 4U << 20);
    cr_assert_eq(send_frames(bytes_in(&large)), EPB_OK);
    cr_assert_gt(epb_client_unsent(client), 0);
    keep_renewal(1);
    int renewer = accept_renewer_of(key);
    for (unsigned i = 0; i < 5; i++) {
        expect_beat(renewer, EPB_OK);
    }
    cr_assert_gt(epb_client_unsent(client), 0);
    epb_client_free(client);
    epb_buf_fini(&large);
    close(renewer);
    close(fd);
    stop_listening();
}

Test(renewer, a_connection_that_takes_nothing_holds_one_beat)
{
    struct epb_buf frame;
    struct epb_request request;
    uint64_t ago_ms = 0;
    unsigned plan = 0;

    int fd = accept_client();
    /* So large that a socket holds a few only. */
    uint64_t id = 0;

    epb_buf_init(&frame, 1U << 20);
    encode(&frame, EPB_ACTION_SET, 0, EPB_CLIENT_KEPT_MAX_BYTES - 1000);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(epb_client_start_renewal(client, bytes_in(&frame), 1, &id), EPB_OK);
    }
    int renewer = accept_renewer_of(NULL);
    /* Long enough for many. */
    while (ago_ms < 4 * EPB_RENEWAL_PLAN_AGAIN_MS) {
        cr_assert_not(epb_client_wait(client, 10));
        cr_assert(epb_client_ms_since_renewal(client, id, &ago_ms));
    }
    /* It moves on by itself once the peer reads. */
    for (unsigned i = 0; i < 100; i++) {
        cr_assert(next_request(renewer, &request, &frame));
        plan += request.action == EPB_ACTION_SET;
    }
    cr_assert_gt(plan, 20);
    cr_assert(epb_client_ms_since_renewal(client, id, &ago_ms));
    epb_client_free(client);
    epb_buf_fini(&frame);
    close(renewer);
    close(fd);
    stop_listening();
}

Test(renewer, beats_go_on_by_another_connection_when_theirs_ends)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    keep_renewal(1);
    for (unsigned i = 0; i < 5; i++) {
        int renewer = accept_renewer_of(key);
        expect_beat(renewer, EPB_OK);
        close(renewer);
    }
    /* One that is refused, too. */
    int refused = accept_one();
    take_magic(refused);
    const struct epb_reply refusal = {.status = EPB_MAX_CONNECTIONS};
    struct epb_buf reply;
    epb_buf_init(&reply, 100);
    cr_assert_eq(epb_frame_encode_reply(&reply, &refusal), EPB_OK);
    peer_send(refused, epb_buf_data(&reply), epb_buf_size(&reply));
    close(refused);
    int renewer = accept_renewer_of(key);
    expect_beat(renewer, EPB_OK);
    epb_client_free(client);
    epb_buf_fini(&reply);
    close(renewer);
    close(fd);
    stop_listening();
}

Test(renewer, beats_end_with_their_clients_connection)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];
    uint64_t ago_ms = 0;

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    uint64_t id = keep_renewal(1);
    int renewer = accept_renewer_of(key);
    expect_beat(renewer, EPB_OK);
    close(fd);
    while (send_frames((struct epb_bytes){NULL, 0}) == EPB_OK) {
        cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
    }
    while (next_action(renewer) != 0) {
    }
    cr_assert_not(epb_client_ms_since_renewal(client, id, &ago_ms));
    cr_assert_eq(epb_client_start_renewal(client, bytes_of("x"), 1, &id),
                 EPB_BROKER_GONE);
    epb_client_stop_renewal(client, id);
    epb_client_free(client);
    close(renewer);
    stop_listening();
}

Test(renewer, a_keep_ends_with_what_it_keeps)
{
    const enum epb_status endings[] = {EPB_LEASE_LOST, EPB_LEASE_HELD};
    uint8_t key[EPB_SESSION_KEY_BYTES];
    uint64_t ago_ms = 0;

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = keep_renewal(1);
        int renewer = accept_renewer_of(key);
        expect_beat(renewer, EPB_OK);
        expect_beat(renewer, endings[i]);
        /* Each beat is answered before the next, so there is none. */
        while (epb_client_ms_since_renewal(client, id, &ago_ms)) {
            cr_assert_not(epb_client_wait(client, 1));
        }
        epb_client_stop_renewal(client, id);
        cr_assert_eq(next_action(renewer), 0);
        close(renewer);
    }
    epb_client_free(client);
    close(fd);
    stop_listening();
}

Test(renewer, nothing_is_kept_at_a_broker_that_has_ended)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    struct epb_renewer_user user;
    struct epb_renewal renewal = {.path = "/nowhere/there", .key = key};
    epb_renewer_user_init(&user, send_renewal, &renewal);
    cr_assert_eq(epb_renewal_hold(&renewal), EPB_OK);
    uint64_t id = 0;
    cr_assert_eq(epb_renewer_add_now(&user, bytes_of("x"), 1, &id), EPB_OK);
    epb_renewer_await(&user, id, PATIENCE_S * 1000);
    cr_assert(epb_renewer_is_dead(&user));
    epb_renewer_forget(&user);
    cr_assert_not(epb_renewer_is_dead(&user));
    epb_renewal_let_go(&renewal);
    epb_client_free(client);
    close(fd);
    stop_listening();
}

/* What a beat of a hold has to say. */
static void
expect_hold(int fd, uint64_t token, bool is_renewed)
{
    const enum epb_action actions[] = {EPB_ACTION_TAKE, EPB_ACTION_RENEW};
    struct epb_request request;
    struct epb_buf frame;

    epb_buf_init(&frame, 1);
    for (unsigned i = 0; i < 1U + is_renewed; i++) {
        cr_assert(next_request(fd, &request, &frame));
        cr_assert_eq(request.action, actions[i]);
        cr_assert_eq(request.flags, EPB_F_FENCE);
        cr_assert_eq(request.fence, token);
        answer(fd, request.id, EPB_OK);
    }
    epb_buf_fini(&frame);
}

Test(renewer, what_a_client_holds_outlives_it)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];
    const uint64_t rarely_ms = 60 * 60 * 1000;

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    cr_assert_eq(epb_client_hold(client, 7, 1, true), EPB_OK);
    int renewer = accept_renewer_of(key);
    expect_hold(renewer, 7, true);
    cr_assert(epb_client_holds(client, 7));
    /* It ends when the broker knows who has it now. */
    epb_client_free(client);
    cr_assert_eq(next_action(fd), 0);
    close(fd);
    for (unsigned i = 0; i < 5; i++) {
        expect_hold(renewer, 7, true);
    }
    /* The next client of the thread finds it, and claims it, too, with a TTL. */
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/raw.sock", own_directory());
    connect_client(path, "");
    fd = accept_one();
    cr_assert(epb_client_holds(client, 7));
    cr_assert_eq(epb_client_hold(client, 7, rarely_ms, false), EPB_OK);
    cr_assert_eq(epb_client_hold(client, 8, rarely_ms, false), EPB_OK);
    epb_client_close(client);
    cr_assert_eq(epb_client_hold(client, 9, 1, true), EPB_BROKER_GONE);
    cr_assert(epb_client_drop(client, 8));
    cr_assert_not(epb_client_drop(client, 7), "the first never dropped it");
    epb_holds_end_thread();
    while (next_action(renewer) != 0) {
    }
    cr_assert_not(epb_client_holds(client, 7));
    epb_client_free(client);
    close(renewer);
    close(fd);
    stop_listening();
}

Test(renewer, clients_of_one_broker_renew_by_one_connection)
{
    uint8_t key[EPB_SESSION_KEY_BYTES];
    uint8_t again[EPB_SESSION_KEY_BYTES];

    int fd = accept_client();

    send_get();
    expect_first_request(fd, key);
    struct epb_client *first = client;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/raw.sock", own_directory());
    connect_client(path, "");
    int other = accept_one();
    send_get();
    expect_first_request(other, again);
    cr_assert_eq(memcmp(key, again, sizeof(key)), 0, "one thread, one session");
    keep_renewal(1);
    int renewer = accept_renewer_of(key);
    expect_beat(renewer, EPB_OK);
    struct epb_client *second = client;
    client = first;
    keep_renewal(1);
    epb_client_free(second);
    cr_assert_eq(next_action(other), 0);
    for (unsigned i = 0; i < 5; i++) {
        expect_beat(renewer, EPB_OK);
    }
    cr_assert_eq(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    cr_assert_lt(accept(listener, NULL, NULL), 0, "there was another connection");
    epb_client_free(first);
    while (next_action(renewer) != 0) {
    }
    close(renewer);
    close(other);
    close(fd);
    stop_listening();
}

Test(renewer, what_is_no_whole_frame_is_not_kept)
{
    struct epb_buf frames;
    uint64_t id = 0;

    int fd = accept_client();

    epb_buf_init(&frames, 1U << 20);
    encode(&frames, EPB_ACTION_RENEW, 0, 0);
    struct epb_bytes one = bytes_in(&frames);
    struct epb_bytes part = {one.data, one.size_bytes - 1};
    cr_assert_eq(epb_client_start_renewal(client, part, 1000, &id), EPB_INVALID_REQUEST);
    cr_assert_eq(epb_client_start_renewal(client, (struct epb_bytes){NULL, 0}, 1000, &id),
                 EPB_INVALID_REQUEST);
    cr_assert_eq(epb_client_start_renewal(client, one, 0, &id), EPB_INVALID_REQUEST);
    encode(&frames, EPB_ACTION_RENEW, 0, 0);
    cr_assert_eq(epb_client_start_renewal(client, bytes_in(&frames), 1000, &id),
                 EPB_INVALID_REQUEST, "two frames");
    epb_buf_consume(&frames, epb_buf_size(&frames));
    encode(&frames, EPB_ACTION_SET, 0, EPB_CLIENT_KEPT_MAX_BYTES);
    cr_assert_eq(epb_client_start_renewal(client, bytes_in(&frames), 1000, &id),
                 EPB_INVALID_REQUEST, "too long");
    epb_client_free(client);
    epb_buf_fini(&frames);
    close(fd);
    stop_listening();
}

/* A client and a broker */

static struct broker broker;

static void
begin(void)
{
    broker_init(&broker);
    broker.options.secret = bytes_of("a secret of some length");
    broker.options.heartbeat_ms = 5;
    broker_start(&broker);
    connect_client(epb_server_path(broker.server), "a secret of some length");
}

static void
end(void)
{
    epb_client_free(client);
    broker_stop(&broker);
}

/* Waits for the reply to a request, passing over events. */
static void
receive_reply(uint32_t id, struct epb_reply *reply)
{
    struct epb_exchange exchange = {.into = into, .into_bytes = sizeof(into)};

    for (;;) {
        cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
        struct epb_bytes rest = {into, exchange.received_bytes};
        size_t size_bytes = 0;
        while (epb_frame_scan(rest, sizeof(into), &size_bytes) == EPB_FRAME_COMPLETE) {
            struct epb_bytes frame = {rest.data, size_bytes};
            cr_assert_eq(epb_frame_decode_reply(frame, reply), EPB_OK);
            if (reply->id == id) {
                return;
            }
            cr_assert_eq(reply->id, 0);
            rest.data += size_bytes;
            rest.size_bytes -= size_bytes;
        }
        cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
    }
}

static struct epb_reply
ask(const struct epb_request *request)
{
    struct epb_reply reply;
    struct epb_buf frame;

    epb_buf_init(&frame, 100000);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    struct epb_exchange exchange = {.out = bytes_in(&frame)};
    cr_assert_eq(epb_client_exchange(client, &exchange), EPB_OK);
    epb_buf_fini(&frame);
    receive_reply(request->id, &reply);
    return reply;
}

static struct epb_reply
lease(const char *worker, uint64_t ttl_ms, uint64_t wait_ms)
{
    struct epb_request request = request_of(EPB_ACTION_LOCK, 3, "lock");

    request.worker = bytes_of(worker);
    request.flags = EPB_F_TTL | EPB_F_WAIT | EPB_F_FRESH;
    request.ttl_ms = ttl_ms;
    request.wait_ms = wait_ms;
    return ask(&request);
}

/* The renewal of a token as lib/ keeps it. */
static uint64_t
keep_token(uint64_t token, uint64_t interval_ms)
{
    struct epb_request renew = {
        .action = EPB_ACTION_RENEW, .flags = EPB_F_FENCE, .fence = token};
    struct epb_buf frame;
    uint64_t id = 0;

    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &renew), EPB_OK);
    cr_assert_eq(epb_client_start_renewal(client, bytes_in(&frame), interval_ms, &id),
                 EPB_OK);
    epb_buf_fini(&frame);
    return id;
}

Test(renewer, a_lease_outlives_its_ttl_while_the_client_does_nothing, .init = begin,
     .fini = end)
{
    struct epb_time now;

    struct epb_reply held = lease("w", 400, 0);

    cr_assert_eq(held.status, EPB_OK);
    epb_sys_now(&now);
    uint64_t id = keep_token(held.fence, 20);
    /* The broker's beats are our clock: nothing happens here for three TTLs. */
    for (uint64_t until_ms = now.mono_ms + 1200; now.mono_ms < until_ms;) {
        pthread_mutex_lock(&broker.lock);
        unsigned plan = broker.counts[EPB_SERVER_HEARTBEAT];
        pthread_mutex_unlock(&broker.lock);
        broker_await_event(&broker, EPB_SERVER_HEARTBEAT, plan + 1);
        epb_sys_now(&now);
    }
    struct epb_request write = request_of(EPB_ACTION_SET, 5, "key");
    write.flags = EPB_F_TTL | EPB_F_FENCE | EPB_F_BINARY;
    write.ttl_ms = 1000;
    write.fence = held.fence;
    write.value = bytes_of("v");
    cr_assert_eq(ask(&write).status, EPB_OK, "it was lost");
    /* Without the beats it ends, and the next in the queue has it. */
    epb_client_stop_renewal(client, id);
    struct epb_request next = request_of(EPB_ACTION_LOCK, 6, "lock");
    next.worker = bytes_of("v");
    next.flags = EPB_F_WAIT | EPB_F_FRESH;
    next.wait_ms = EPB_NUMBER_MAX;
    struct epb_reply reply = ask(&next);
    cr_assert_eq(reply.status, EPB_OK);
    cr_assert_gt(reply.fence, held.fence);
}

Test(renewer, beats_and_requests_do_not_disturb_each_other, .init = begin, .fini = end)
{
    struct epb_reply held = lease("w", 60000, 0);
    uint64_t ids[50];

    cr_assert_eq(held.status, EPB_OK);
    for (unsigned i = 0; i < 50; i++) {
        ids[i] = keep_token(held.fence, 1 + i % 3);
    }
    for (unsigned i = 0; i < 3000; i++) {
        struct epb_request get = request_of(EPB_ACTION_GET, 100 + i, "no such key");
        cr_assert_eq(ask(&get).status, EPB_NOT_FOUND);
        if (i % 60 == 0) {
            epb_client_stop_renewal(client, ids[i / 60]);
        }
    }
}
