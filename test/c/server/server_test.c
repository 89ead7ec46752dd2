/* A whole broker over real sockets: service, limits, hostile and lazy peers, and its end.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/mem_testing.h"
#include "io_help.h"

static struct broker broker;

static void
begin(void)
{
    broker_init(&broker);
    broker_start(&broker);
}

static void
end(void)
{
    broker_stop(&broker);
}

Test(server, serves_a_request, .init = begin, .fini = end)
{
    int fd = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");

    peer_ping(fd);
    cr_assert_eq(peer_ask(fd, &get).status, EPB_NOT_FOUND);
    peer_set(fd, "key", 'v', 100, 60000);
    struct answer answer = peer_ask(fd, &get);
    cr_assert_eq(answer.status, EPB_OK);
    cr_assert_eq(answer.body_bytes, 100);
    cr_assert_eq(answer.first, 'v');
    close(fd);
}

Test(server, serves_json_lines, .init = begin, .fini = end)
{
    static const char request[] = "{\"action\":\"ping\"}\n";
    char reply[64] = {0};
    int fd = peer_connect(&broker);

    peer_send(fd, request, sizeof(request) - 1);
    cr_assert(peer_receive(fd, reply, 11));
    cr_assert_str_eq(reply, "{\"ok\":true,");
    close(fd);
}

Test(server, a_request_may_come_byte_by_byte, .init = begin, .fini = end)
{
    int fd = peer_open(&broker);
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    struct epb_buf frame;
    struct answer answer;

    peer_set(fd, "key", 'v', 3000, 60000);
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &get), EPB_OK);
    for (size_t i = 0; i < epb_buf_size(&frame); i++) {
        peer_send(fd, epb_buf_data(&frame) + i, 1);
        /* Its reply shows that the broker has seen the byte. */
        peer_ping(other);
    }
    cr_assert(peer_answer(fd, &answer));
    cr_assert_eq(answer.body_bytes, 3000);
    epb_buf_fini(&frame);
    close(fd);
    close(other);
}

Test(server, answers_thousands_of_pipelined_requests_in_order, .init = begin, .fini = end)
{
    enum {
        COUNT = 20000
    };
    int fd = peer_open(&broker);
    struct epb_buf frames;

    peer_set(fd, "key", 'v', 40, 60000);
    epb_buf_init(&frames, 8U << 20);
    for (uint32_t id = 1; id <= COUNT; id++) {
        struct epb_request request =
            request_of(EPB_ACTION_GET, id, id % 2 ? "key" : "no");
        cr_assert_eq(epb_frame_encode_request(&frames, &request), EPB_OK);
    }
    /* Half of the time more than the socket holds waits on both sides. */
    size_t sent = 0;
    uint32_t answered = 0;
    while (answered < COUNT) {
        size_t part = epb_buf_size(&frames) - sent;
        part = part < 40000 ? part : 40000;
        peer_send(fd, epb_buf_data(&frames) + sent, part);
        sent += part;
        for (unsigned i = 0; i < 800 && answered < COUNT; i++) {
            struct answer answer = {0};
            cr_assert(peer_answer(fd, &answer));
            answered++;
            cr_assert_eq(answer.id, answered);
            cr_assert_eq(answer.status, answered % 2 ? EPB_OK : EPB_NOT_FOUND);
        }
    }
    epb_buf_fini(&frames);
    close(fd);
}

/* Limits */

Test(server, more_connections_than_allowed_are_refused)
{
    struct answer answer = {0};
    int fds[4];

    broker_init(&broker);
    broker.options.engine.max_connections = 3;
    broker_start(&broker);
    for (int i = 0; i < 3; i++) {
        fds[i] = peer_open(&broker);
        peer_ping(fds[i]);
    }
    fds[3] = peer_connect(&broker);
    cr_assert(peer_answer(fds[3], &answer));
    cr_assert_eq(answer.status, EPB_MAX_CONNECTIONS);
    cr_assert_eq(answer.id, 0);
    peer_expect_end(fds[3]);
    close(fds[3]);
    peer_await_stat(fds[0], "connectionsRefused", "1");
    close(fds[1]);
    peer_await_stat(fds[0], "connections", "2");
    fds[3] = peer_open(&broker);
    peer_ping(fds[3]);
    close(fds[0]);
    close(fds[2]);
    close(fds[3]);
    end();
}

/* Beyond the limit */

#define FULL 3U

static const uint8_t session_key[EPB_SESSION_KEY_BYTES] = "the session";
static int within[FULL];

/* As many connections as it may have, of one session, all of this process. */
static void
begin_full(void)
{
    broker_init(&broker);
    broker.options.engine.max_connections = FULL;
    broker_start(&broker);
    for (unsigned i = 0; i < FULL; i++) {
        struct epb_request join = request_of(EPB_ACTION_JOIN, 1, NULL);
        join.value = (struct epb_bytes){session_key, sizeof(session_key)};
        within[i] = peer_open(&broker);
        cr_assert_eq(peer_ask(within[i], &join).status, EPB_OK);
    }
}

static void
end_full(void)
{
    for (unsigned i = 0; i < FULL; i++) {
        close(within[i]);
    }
    end();
}

/* Without a reply, as the connection that renews does. */
static void
peer_join(int fd)
{
    struct epb_request join = request_of(EPB_ACTION_JOIN, 0, NULL);

    join.value = (struct epb_bytes){session_key, sizeof(session_key)};
    peer_request(fd, &join);
}

static int
open_surplus(void)
{
    int fd = peer_open(&broker);

    peer_join(fd);
    peer_ping(fd);
    return fd;
}

static void
expect_refusal(int fd, uint32_t id)
{
    struct answer answer = {0};

    cr_assert(peer_answer(fd, &answer));
    cr_assert_eq(answer.status, EPB_MAX_CONNECTIONS);
    cr_assert_eq(answer.id, id);
    peer_expect_end(fd);
    close(fd);
}

Test(server, a_full_broker_takes_the_connection_that_renews, .init = begin_full,
     .fini = end_full)
{
    struct epb_request lease = request_of(EPB_ACTION_LEASE, 5, "k");
    struct epb_request renew = {.action = EPB_ACTION_RENEW, .flags = EPB_F_TTL};

    lease.worker = renew.worker = bytes_of("w");
    lease.flags = EPB_F_TTL;
    lease.ttl_ms = 60000;
    cr_assert_eq(peer_ask(within[0], &lease).status, EPB_OK);
    int surplus = open_surplus();
    /* It may name one by its token; of this one there is none. */
    const struct epb_request take = {.action = EPB_ACTION_TAKE,
                                     .id = 6,
                                     .flags = EPB_F_FENCE,
                                     .fence = UINT64_C(1) << 50};
    cr_assert_eq(peer_ask(surplus, &take).status, EPB_LEASE_LOST);
    const struct epb_request by_token = {.action = EPB_ACTION_RENEW,
                                         .id = 7,
                                         .flags = EPB_F_FENCE,
                                         .fence = UINT64_C(1) << 50};
    cr_assert_eq(peer_ask(surplus, &by_token).status, EPB_LEASE_LOST);
    /* To a TTL that is soon over: that is how the test sees it. */
    renew.ttl_ms = 1;
    peer_request(surplus, &renew);
    peer_await_stat(within[1], "leases", "0");
    peer_await_stat(within[1], "connections", "4");
    close(surplus);
    peer_await_stat(within[1], "connections", "3");
    peer_await_stat(within[1], "connectionsRefused", "0");
}

Test(server, one_beyond_the_limit_is_all_a_process_gets, .init = begin_full,
     .fini = end_full)
{
    int surplus = open_surplus();

    for (unsigned i = 0; i < 3; i++) {
        expect_refusal(peer_connect(&broker), 0);
    }
    close(surplus);
    peer_await_stat(within[1], "connections", "3");
    close(open_surplus());
}

Test(server, one_beyond_the_limit_may_only_renew, .init = begin_full, .fini = end_full)
{
    static const char line[] = "{\"action\":\"ping\"}\n";
    static const enum epb_action others[] = {EPB_ACTION_GET, EPB_ACTION_STATS,
                                             EPB_FRAME_PIPE_PAIR, EPB_ACTION_RENEW};
    struct epb_request join = request_of(EPB_ACTION_JOIN, 7, NULL);
    struct epb_request ping = request_of(EPB_ACTION_PING, 7, NULL);

    join.value = (struct epb_bytes){session_key, sizeof(session_key)};
    /* A client begins by asking for its session, or for what it wants. */
    for (unsigned i = 0; i < 2; i++) {
        int fd = peer_open(&broker);
        peer_request(fd, i == 0 ? &join : &ping);
        expect_refusal(fd, 7);
        peer_await_stat(within[0], "connections", "3");
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct epb_request other = request_of(others[i], 8, NULL);
        int fd = open_surplus();
        peer_request(fd, &other);
        expect_refusal(fd, 8);
        peer_await_stat(within[0], "connections", "3");
    }
    int fd = peer_connect(&broker);
    char reply[64] = {0};
    peer_send(fd, line, sizeof(line) - 1);
    cr_assert(peer_receive(fd, reply, 38));
    cr_assert_str_eq(reply, "{\"ok\":false,\"error\":\"max_connections\",");
    close(fd);
    peer_await_stat(within[0], "connectionsRefused", "3");
}

Test(server, one_beyond_the_limit_goes_with_the_others_of_its_process, .init = begin_full,
     .fini = end)
{
    int surplus = open_surplus();

    for (unsigned i = 0; i < FULL; i++) {
        close(within[i]);
    }
    peer_expect_end(surplus);
    close(surplus);
    int fd = peer_open(&broker);
    peer_await_stat(fd, "connections", "1");
    close(fd);
}

/* In a process of its own, whose exit status tells. It is told before it has said
 * anything: what it would say might find nobody any more. */
static int
knock_as_stranger(void)
{
    struct answer answer = {0};
    int fd = -1;

    if (epb_socket_connect(epb_server_path(broker.server), &fd) != 0) {
        return 2;
    }
    make_blocking(fd);
    bool refused = peer_answer(fd, &answer) && answer.status == EPB_MAX_CONNECTIONS &&
                   answer.id == 0;
    close(fd);
    return refused ? 0 : 1;
}

Test(server, a_stranger_gets_none_beyond_the_limit, .init = begin_full, .fini = end_full)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        _exit(knock_as_stranger());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(server, of_silent_connections_the_oldest_goes, .init = begin, .fini = end)
{
    int silent[EPB_UNPROVEN_MAX + 1];
    int proven = peer_open(&broker);

    peer_ping(proven);
    for (unsigned i = 0; i < EPB_UNPROVEN_MAX + 1; i++) {
        silent[i] = peer_connect(&broker);
    }
    /* It has its time first: the last one waits in the queue until then. */
    peer_expect_end(silent[0]);
    peer_ping(proven);
    for (unsigned i = 0; i < EPB_UNPROVEN_MAX + 1; i++) {
        if (i != 0) {
            peer_send(silent[i], EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
            peer_ping(silent[i]);
        }
        close(silent[i]);
    }
    close(proven);
}

Test(server, a_crowd_that_starts_at_once_is_served, .init = begin, .fini = end)
{
    enum {
        CROWD = 3 * EPB_UNPROVEN_MAX
    };
    int fds[CROWD];

    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = peer_connect(&broker);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        peer_send(fds[i], EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
        peer_ping(fds[i]);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        close(fds[i]);
    }
}

Test(server, garbage_closes_its_own_connection_only, .init = begin, .fini = end)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\n\r\n", "\n", "null\n", "EPB9aaaa", "EPX", "\xff\xff\xff\xff"};
    int other = peer_open(&broker);

    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        char byte;
        int fd = peer_connect(&broker);
        peer_send(fd, garbage[i], strlen(garbage[i]));
        shutdown(fd, SHUT_WR);
        while (peer_receive(fd, &byte, 1)) {
        }
        close(fd);
        peer_ping(other);
    }
    close(other);
}

Test(server, a_refusal_reaches_a_peer_that_is_still_sending, .init = begin, .fini = end)
{
    enum {
        PART = 65536
    };
    static uint8_t part[PART];
    uint8_t header[EPB_FRAME_LENGTH_BYTES];
    struct answer answer = {0};
    int fd = peer_open(&broker);

    /* A frame that says it is longer than any may be, and that goes on and on. */
    epb_put_u32(header, 64U << 20);
    peer_send(fd, header, sizeof(header));
    for (unsigned i = 0; i < 16; i++) {
        if (send(fd, part, PART, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    cr_assert(peer_answer(fd, &answer), "the refusal is lost");
    cr_assert_eq(answer.status, EPB_TOO_LARGE);
    peer_expect_end(fd);
    close(fd);
}

/* Sends requests until the broker takes no more; how many whole ones it took, and the
 * rest of the last one in *rest. */
static unsigned
push_requests(int fd, struct epb_bytes frame, size_t *rest)
{
    unsigned count = 0;
    size_t sent = 0;
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    /* A pause of the peer is no end: it has to stay unwritable for a while. */
    while (count < 1000000 && poll(&writable, 1, 300) == 1) {
        ssize_t part = send(fd, frame.data + sent, frame.size_bytes - sent, MSG_NOSIGNAL);
        if (part < 0 && errno == EAGAIN) {
            continue;
        }
        cr_assert_gt(part, 0, "%s", strerror(errno));
        sent += (size_t)part;
        if (sent == frame.size_bytes) {
            sent = 0;
            count++;
        }
    }
    make_blocking(fd);
    *rest = sent == 0 ? 0 : frame.size_bytes - sent;
    return count;
}

Test(server, who_does_not_read_is_not_read_from_and_loses_nothing, .init = begin,
     .fini = end)
{
    int lazy = peer_open(&broker);
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    struct epb_buf frame;
    size_t rest = 0;

    peer_set(lazy, "key", 'v', 100000, 60000);
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &get), EPB_OK);
    struct epb_bytes bytes = {epb_buf_data(&frame), epb_buf_size(&frame)};
    unsigned taken = push_requests(lazy, bytes, &rest);
    cr_assert_lt(taken, 1000000U, "the broker reads on without end");
    peer_ping(other);
    /* All of it is answered once it is read. */
    for (unsigned i = 0; i < taken; i++) {
        struct answer answer = {0};
        cr_assert(peer_answer(lazy, &answer));
        cr_assert_eq(answer.status, EPB_OK);
        cr_assert_eq(answer.body_bytes, 100000);
        cr_assert_eq(answer.first, 'v');
        cr_assert_eq(answer.last, 'v');
    }
    if (rest != 0) {
        struct answer answer = {0};
        peer_send(lazy, bytes.data + bytes.size_bytes - rest, rest);
        cr_assert(peer_answer(lazy, &answer));
    }
    peer_ping(lazy);
    epb_buf_fini(&frame);
    close(lazy);
    close(other);
}

struct reader {
    int fd;
    unsigned count;
    unsigned got;
};

static void *
read_answers(void *context)
{
    struct reader *reader = context;
    static uint8_t bytes[EPB_FRAME_LENGTH_BYTES + EPB_REPLY_HEADER_BYTES -
                         EPB_FRAME_LENGTH_BYTES + 250000];

    while (reader->got < reader->count &&
           peer_receive(reader->fd, bytes, sizeof(bytes))) {
        reader->got++;
    }
    return NULL;
}

/* Many large replies, taken as fast as they come: however much of them a write takes at
 * once, the broker goes on with the requests that have arrived. */
Test(server, who_reads_as_fast_as_it_can_gets_everything, .init = begin, .fini = end)
{
    struct reader reader = {.fd = peer_open(&broker), .count = 1000};
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    pthread_t thread;

    peer_set(reader.fd, "key", 'v', 250000, 60000);
    cr_assert_eq(pthread_create(&thread, NULL, read_answers, &reader), 0);
    for (unsigned i = 0; i < reader.count; i++) {
        peer_request(reader.fd, &get);
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(reader.got, reader.count);
    close(reader.fd);
}

Test(server, all_partial_requests_together_are_bounded, .init = begin, .fini = end)
{
    enum {
        COUNT = 40,
        PART = 1000000
    };
    static uint8_t part[PART];
    uint8_t header[EPB_FRAME_LENGTH_BYTES];
    int fds[COUNT];
    unsigned gone = 0;
    int other = peer_open(&broker);

    peer_ping(other);
    epb_put_u32(header, 1000 * 1000);
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = peer_open(&broker);
        peer_ping(fds[i]);
        peer_send(fds[i], header, sizeof(header));
        /* All but the end; the broker may have dropped it by now. */
        size_t sent = 0;
        while (sent < PART - 1) {
            ssize_t got = send(fds[i], part, PART - 1 - sent, MSG_NOSIGNAL);
            if (got < 0) {
                break;
            }
            sent += (size_t)got;
        }
    }
    peer_ping(other);
    for (unsigned i = 0; i < COUNT; i++) {
        char byte;
        gone += recv(fds[i], &byte, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN;
        close(fds[i]);
    }
    cr_assert_gt(gone, 0, "40 MB of partial requests are held");
    /* What is counted is the memory taken: up to twice what was sent. */
    cr_assert_leq(gone, COUNT - 15, "%u connections were dropped", gone);
    peer_ping(other);
    close(other);
}

Test(server, all_unread_replies_together_are_bounded, .init = begin, .fini = end)
{
    enum {
        COUNT = 90,
        REQUESTS = 8
    };
    int fds[COUNT];
    unsigned whole = 0;
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    struct epb_buf frames;
    int other = peer_open(&broker);

    peer_set(other, "key", 'v', 250000, 600000);
    epb_buf_init(&frames, 1000);
    for (unsigned j = 0; j < REQUESTS; j++) {
        cr_assert_eq(epb_frame_encode_request(&frames, &get), EPB_OK);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        fds[i] = peer_open(&broker);
        /* At once: it may be dropped right afterwards. */
        cr_assert_eq(
            send(fds[i], epb_buf_data(&frames), epb_buf_size(&frames), MSG_NOSIGNAL),
            (ssize_t)epb_buf_size(&frames));
    }
    epb_buf_fini(&frames);
    broker_await_log(&broker, "output_limit");
    peer_ping(other);
    /* Those that were not dropped get all of their answers. */
    for (unsigned i = 0; i < COUNT; i++) {
        struct answer answer = {0};
        unsigned answers = 0;
        while (answers < REQUESTS && peer_answer(fds[i], &answer)) {
            cr_assert_eq(answer.body_bytes, 250000);
            answers++;
        }
        whole += answers == REQUESTS;
        close(fds[i]);
    }
    cr_assert_gt(whole, COUNT / 4, "only %u connections were kept", whole);
    cr_assert_lt(whole, COUNT);
    peer_ping(other);
    close(other);
}

Test(server, without_descriptors_those_connected_are_served)
{
    enum {
        MOST = 64
    };
    int fds[MOST];
    unsigned count = 0;
    struct rlimit limit;
    struct rlimit before;

    broker_init(&broker);
    broker_start(&broker);
    int fd = peer_open(&broker);
    peer_ping(fd);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)fd + 9;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    /* Each side takes one; those of ours that the broker can't accept wait in the queue.
     */
    for (int error = 0; count < MOST && error == 0; count += error == 0) {
        error = epb_socket_connect(epb_server_path(broker.server), &fds[count]);
    }
    cr_assert_geq(count, 3);
    broker_await_log(&broker, "accept_paused");
    peer_ping(fd);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < count; i++) {
        make_blocking(fds[i]);
        peer_send(fds[i], EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
        peer_ping(fds[i]);
        close(fds[i]);
    }
    close(fd);
    end();
}

Test(server, another_users_connection_is_refused, .init = begin, .fini = end)
{
    int status = -1;

    if (geteuid() != 0) {
        cr_skip("only root can become another user");
    }
    /* As if the rights of the file were not there to stop it. */
    cr_assert_eq(chmod(own_directory(), 0711), 0);
    cr_assert_eq(chmod(epb_server_path(broker.server), 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        int fd = -1;
        bool refused = setuid(65534) == 0 &&
                       epb_socket_connect(epb_server_path(broker.server), &fd) == 0 &&
                       fcntl(fd, F_SETFL, 0) == 0 && recv(fd, &byte, 1, 0) <= 0;
        _exit(refused ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    broker_await_log(&broker, "another_user");
}

/* Time */

Test(server, what_expires_leaves_memory_by_itself)
{
    broker_init(&broker);
    broker.options.heartbeat_ms = 20;
    broker_start(&broker);
    int fd = peer_open(&broker);
    peer_set(fd, "key", 'v', 100, 50);
    close(fd);
    /* Nobody asks any more: the broker's own timer removes it. */
    struct timespec until = patience_end();
    pthread_mutex_lock(&broker.lock);
    while (strstr(broker.heartbeat, "\"expired\":1") == NULL) {
        cr_assert_eq(pthread_cond_timedwait(&broker.happened, &broker.lock, &until), 0,
                     "%s", broker.heartbeat);
    }
    cr_assert_not_null(strstr(broker.heartbeat, "\"items\":0"));
    pthread_mutex_unlock(&broker.lock);
    end();
}

Test(server, tells_once_that_it_is_idle)
{
    broker_init(&broker);
    broker.options.idle_timeout_ms = 30;
    broker.options.heartbeat_ms = 20;
    broker_start(&broker);
    broker_await_event(&broker, EPB_SERVER_IDLE, 1);
    broker_await_event(&broker, EPB_SERVER_HEARTBEAT,
                       broker.counts[EPB_SERVER_HEARTBEAT] + 5);
    cr_assert_eq(broker.counts[EPB_SERVER_IDLE], 1);
    end();
}

/* Logs */

Test(server, logs_keys_but_no_values)
{
    broker_init(&broker);
    broker.options.debug = true;
    broker_start(&broker);
    int fd = peer_open(&broker);
    struct epb_request set = request_of(EPB_ACTION_SET, 1, "a \"key\"\n\\");
    set.flags = EPB_F_TTL | EPB_F_BINARY;
    set.ttl_ms = 1000;
    set.value = bytes_of("hush-hush");
    cr_assert_eq(peer_ask(fd, &set).status, EPB_OK);
    set.key = bytes_of("\xff\xfe");
    cr_assert_eq(peer_ask(fd, &set).status, EPB_INVALID_KEY);
    broker_await_log(&broker, "\"key\":\"a \\\"key\\\"\\n\\\\\"");
    broker_await_log(&broker, "\"status\":\"invalid_key\"");
    cr_assert_null(strstr(broker.logs, "hush-hush"));
    close(fd);
    end();
}

Test(server, a_failed_proof_is_logged_without_the_secret)
{
    uint8_t hello[EPB_OLD_CLIENT_HELLO_BYTES] = EPB_MAGIC_CHACHA20;
    uint8_t answer[EPB_NONCE_BYTES + EPB_PROOF_BYTES];
    uint8_t proof[EPB_PROOF_BYTES] = {0};

    broker_init(&broker);
    broker.options.secret = bytes_of("correct-horse");
    broker_start(&broker);
    int fd = peer_connect(&broker);
    peer_send(fd, hello, sizeof(hello));
    cr_assert(peer_receive(fd, answer, sizeof(answer)));
    peer_send(fd, proof, sizeof(proof));
    broker_await_log(&broker, "auth_refused");
    cr_assert_null(strstr(broker.logs, "correct-horse"));
    close(fd);
    end();
}

/* The end */

Test(server, stopping_closes_everything_and_leaves_nothing)
{
    begin();
    int fd = peer_open(&broker);
    peer_set(fd, "key", 'v', 1000, 60000);
    int partial = peer_open(&broker);
    peer_send(partial, "\x20", 1);
    end();
    peer_expect_end(fd);
    peer_expect_end(partial);
    close(fd);
    close(partial);
}

Test(server, draining_answers_what_has_arrived)
{
    enum {
        COUNT = 5000
    };
    struct epb_buf frames;
    struct answer answer = {0};
    unsigned served = 0;
    unsigned refused = 0;

    begin();
    int fd = peer_open(&broker);
    peer_set(fd, "key", 'v', 10, 60000);
    epb_buf_init(&frames, 8U << 20);
    for (uint32_t id = 1; id <= COUNT; id++) {
        struct epb_request request = request_of(EPB_ACTION_GET, id, "key");
        cr_assert_eq(epb_frame_encode_request(&frames, &request), EPB_OK);
    }
    peer_send(fd, epb_buf_data(&frames), epb_buf_size(&frames));
    epb_server_drain(broker.server, 60000);
    for (uint32_t id = 1; peer_answer(fd, &answer); id++) {
        cr_assert_eq(answer.id, id);
        served += answer.status == EPB_OK;
        refused += answer.status == EPB_DRAINING;
    }
    cr_assert_eq(served + refused, COUNT, "%u + %u", served, refused);
    broker_await_event(&broker, EPB_SERVER_STOPPED, 1);
    cr_assert_eq(access(epb_server_path(broker.server), F_OK), -1);
    epb_buf_fini(&frames);
    close(fd);
    end();
}

Test(server, draining_does_not_wait_for_ever)
{
    begin();
    int lazy = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    peer_set(lazy, "key", 'v', 200000, 60000);
    /* More than the socket holds, and nobody reads it. */
    for (unsigned i = 0; i < 20; i++) {
        peer_request(lazy, &get);
    }
    epb_server_drain(broker.server, 50);
    broker_await_event(&broker, EPB_SERVER_STOPPED, 1);
    close(lazy);
    end();
}

Test(server, a_drained_broker_accepts_nobody)
{
    int fd = -1;

    begin();
    epb_server_drain(broker.server, 0);
    broker_await_event(&broker, EPB_SERVER_STOPPED, 1);
    cr_assert_eq(epb_socket_connect(epb_server_path(broker.server), &fd), UV_ENOENT);
    end();
}

Test(server, a_forked_child_can_not_stop_it, .init = begin, .fini = end)
{
    int status = -1;

    pid_t child = fork();

    if (child == 0) {
        epb_server_drain(broker.server, 0);
        epb_server_stop(broker.server);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    int fd = peer_open(&broker);
    peer_ping(fd);
    close(fd);
}

Test(server, a_name_in_use_is_refused)
{
    struct epb_server *other = NULL;
    int os_error = 0;

    broker_init(&broker);
    broker.options.pipe_id = "x";
    broker_start(&broker);
    cr_assert_eq(epb_server_start(&broker.options, &other, &os_error), EPB_BROKER_GONE);
    cr_assert_str_eq(epb_os_error_name(os_error), "EADDRINUSE");
    int fd = peer_open(&broker);
    peer_ping(fd);
    close(fd);
    end();
}

Test(server, several_brokers_live_in_one_process)
{
    static struct broker other;

    begin();
    broker_init(&other);
    broker_start(&other);
    int one = peer_open(&broker);
    int two = peer_open(&other);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    peer_set(one, "key", 'v', 10, 60000);
    cr_assert_eq(peer_ask(two, &get).status, EPB_NOT_FOUND);
    epb_server_stop(other.server);
    peer_ping(one);
    close(one);
    close(two);
    end();
}

Test(server, every_failing_allocation_is_survived)
{
    unsigned fired = 0;
    unsigned unharmed = 0;

    /* Each request meets a broker whose n-th allocation from now fails; to the end of all
     * that there are. */
    for (uint64_t countdown = 1; unharmed < 3; countdown++) {
        struct answer answer = {0};
        begin();
        int fd = peer_open(&broker);
        peer_set(fd, "key", 'v', 2000, 60000);
        epb_mem_fail_after(countdown);
        int other = peer_connect(&broker);
        struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
        struct epb_buf frame;
        epb_buf_init(&frame, 1000);
        /* Our own buffers count, too. */
        if (epb_frame_encode_request(&frame, &get) == EPB_OK) {
            (void)send(other, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES, MSG_NOSIGNAL);
            (void)send(other, epb_buf_data(&frame), epb_buf_size(&frame), MSG_NOSIGNAL);
            if (peer_answer(other, &answer)) {
                cr_expect(answer.status == EPB_INTERNAL || answer.body_bytes == 2000,
                          "status %d", (int)answer.status);
            }
        }
        if (epb_mem_fail_after(0) == 0) {
            fired++;
            unharmed = 0;
        } else {
            unharmed++;
            cr_expect_eq(answer.body_bytes, 2000, "nothing has failed");
        }
        epb_buf_fini(&frame);
        close(other);
        peer_ping(fd);
        close(fd);
        end();
    }
    cr_assert_gt(fired, 3, "%u", fired);
}
