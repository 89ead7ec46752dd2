/* Pipes instead of a socket: who gets them, how both ends go over to them, and every way
 * in which that can end. */
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "io_help.h"
#include "os/pipe_pair.h"
#include "server/conn.h"

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

/* Closing takes the broker a turn: `fd` asks it for some. */
static void
await_pipes(int fd, unsigned count)
{
    uint64_t until_ns = epb_sys_ticks_ns() + PATIENCE_S * UINT64_C(1000000000);

    while (count_pipes() != count) {
        cr_assert(epb_sys_ticks_ns() < until_ns, "%u pipes' ends, not %u", count_pipes(),
                  count);
        peer_ping(fd);
    }
}

/* A raw peer with pipes */

struct peer {
    int socket;
    struct epb_pipe_ends ends;
};

/* To have pipes. */
static struct epb_request
wish(void)
{
    return request_of(EPB_FRAME_PIPE_PAIR, 99, NULL);
}

/* To go by one way: 1 the pipes, 0 the socket. */
static struct epb_request
change(int64_t way)
{
    struct epb_request request = wish();

    request.flags = EPB_F_COUNT;
    request.count = way;
    return request;
}

/* Asks for pipes; the status of the reply, with which the ends come, if any. */
static enum epb_status
ask_for_pipe_pair(struct peer *peer)
{
    struct epb_request request = wish();
    uint8_t frame[EPB_REPLY_HEADER_BYTES];
    struct epb_reply reply;
    size_t size_bytes = 0;

    peer_request(peer->socket, &request);
    while (size_bytes != sizeof(frame)) {
        int got = epb_pipe_pair_receive(peer->socket, frame + size_bytes,
                                        sizeof(frame) - size_bytes, &peer->ends);
        cr_assert_gt(got, 0, "%s", epb_os_error_name(got));
        size_bytes += (size_t)got;
    }
    cr_assert_eq(epb_frame_decode_reply((struct epb_bytes){frame, sizeof(frame)}, &reply),
                 EPB_OK);
    cr_assert_eq(reply.id, request.id);
    return reply.status;
}

static struct peer
peer_with_pipes(void)
{
    struct peer peer = {.socket = peer_open(&broker), .ends = EPB_PIPE_NO_ENDS};

    cr_assert_eq(ask_for_pipe_pair(&peer), EPB_OK);
    cr_assert(epb_pipe_pair_is_open(&peer.ends));
    return peer;
}

static void
block(struct peer *peer)
{
    cr_assert_eq(fcntl(peer->ends.in, F_SETFL, 0), 0);
    cr_assert_eq(fcntl(peer->ends.out, F_SETFL, 0), 0);
}

/* Has gone over, and blocks, within reason: a test that hangs is ended from outside. */
static struct peer
peer_on_pipes(void)
{
    struct peer peer = peer_with_pipes();
    struct epb_request request = change(1);

    cr_assert_eq(peer_ask(peer.socket, &request).status, EPB_OK);
    block(&peer);
    return peer;
}

static void
peer_close(struct peer *peer)
{
    close(peer->socket);
    epb_pipe_pair_close(&peer->ends);
}

static void
pipe_send(const struct peer *peer, const struct epb_request *request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 8U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    size_t sent = 0;
    while (sent != epb_buf_size(&frame)) {
        ssize_t part = write(peer->ends.out, epb_buf_data(&frame) + sent,
                             epb_buf_size(&frame) - sent);
        cr_assert_gt(part, 0, "write: %s", strerror(errno));
        sent += (size_t)part;
    }
    epb_buf_fini(&frame);
}

/* False at the end of the pipe. */
static bool
pipe_receive(const struct peer *peer, uint8_t *out, size_t size_bytes)
{
    while (size_bytes != 0) {
        ssize_t got = read(peer->ends.in, out, size_bytes);
        cr_assert_geq(got, 0, "read: %s", strerror(errno));
        if (got == 0) {
            return false;
        }
        out += got;
        size_bytes -= (size_t)got;
    }
    return true;
}

static uint8_t room[1 << 20];

/* What is borrowed lies in `room`. */
static bool
pipe_answer(const struct peer *peer, struct epb_reply *reply)
{
    if (!pipe_receive(peer, room, EPB_FRAME_LENGTH_BYTES)) {
        return false;
    }
    size_t size_bytes = epb_get_u32(room);
    cr_assert_lt(size_bytes, sizeof(room) - EPB_FRAME_LENGTH_BYTES);
    cr_assert(pipe_receive(peer, room + EPB_FRAME_LENGTH_BYTES, size_bytes));
    struct epb_bytes frame = {room, EPB_FRAME_LENGTH_BYTES + size_bytes};
    cr_assert_eq(epb_frame_decode_reply(frame, reply), EPB_OK);
    return true;
}

static struct epb_reply
pipe_ask(const struct peer *peer, const struct epb_request *request)
{
    struct epb_reply reply = {0};

    pipe_send(peer, request);
    cr_assert(pipe_answer(peer, &reply), "the pipe has ended");
    cr_assert_eq(reply.id, request->id);
    return reply;
}

static void
pipe_ping(const struct peer *peer)
{
    struct epb_request ping = request_of(EPB_ACTION_PING, 4712, NULL);

    cr_assert_eq(pipe_ask(peer, &ping).status, EPB_OK);
}

/* Ends */

static void
expect_end(int fd, int access_mode)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);

    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert(S_ISFIFO(status.st_mode));
    cr_assert_eq(flags & O_ACCMODE, access_mode);
    cr_assert_neq(flags & O_NONBLOCK, 0);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

Test(pipe_pair, ends_do_not_block_and_are_not_inherited)
{
    struct epb_pipe_ends own;
    struct epb_pipe_ends peers;
    unsigned before = count_pipes();

    cr_assert_eq(epb_pipe_pair_make(&own, &peers), 0);
    expect_end(own.in, O_RDONLY);
    expect_end(own.out, O_WRONLY);
    expect_end(peers.in, O_RDONLY);
    expect_end(peers.out, O_WRONLY);
    cr_assert_eq(count_pipes(), before + 4);
    /* The peer can't make the broker block. */
    cr_assert_eq(fcntl(peers.in, F_SETFL, 0), 0);
    cr_assert_eq(fcntl(peers.out, F_SETFL, 0), 0);
    expect_end(own.in, O_RDONLY);
    expect_end(own.out, O_WRONLY);
    epb_pipe_pair_close(&own);
    epb_pipe_pair_close(&peers);
    cr_assert_eq(count_pipes(), before);
    cr_assert_not(epb_pipe_pair_is_open(&own));
}

Test(pipe_pair, half_of_the_descriptors_are_left_to_those_who_connect)
{
    struct epb_pipe_ends own;
    struct epb_pipe_ends peers;
    struct rlimit before;
    unsigned pipes = count_pipes();

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int newest = dup(0);
    close(newest);
    struct rlimit limit = {.rlim_cur = (rlim_t)newest * 2, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(epb_pipe_pair_make(&own, &peers), UV_EMFILE);
    /* Without any, too. */
    limit.rlim_cur = (rlim_t)newest + 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(epb_pipe_pair_make(&own, &peers), UV_EMFILE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(count_pipes(), pipes);
    cr_assert_not(epb_pipe_pair_is_open(&own) || epb_pipe_pair_is_open(&peers));
}

/* Taking them */

/* Not by fstat: another thread may close the descriptor meanwhile, which ThreadSanitizer
 * reports for the calls that it knows. */
static bool
is_same_file(int fd, int other)
{
    struct stat status;
    struct stat others;

    return fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 &&
           fstatat(other, "", &others, AT_EMPTY_PATH) == 0 &&
           status.st_dev == others.st_dev && status.st_ino == others.st_ino;
}

/* How many descriptors are of the same file as one of these. Not all descriptors: a
 * thread of the test runner opens and closes some. */
static unsigned
count_descriptors(const int *files, size_t file_count)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        for (size_t i = 0; i < file_count; i++) {
            if (is_same_file(fd, files[i])) {
                count++;
                break;
            }
        }
    }
    return count;
}

/* What is not taken is closed on another thread. */
static void
await_descriptors(const int *files, size_t file_count, unsigned count)
{
    uint64_t until_ns = epb_sys_ticks_ns() + PATIENCE_S * UINT64_C(1000000000);

    while (count_descriptors(files, file_count) != count) {
        cr_assert(epb_sys_ticks_ns() < until_ns, "%u descriptors, not %u",
                  count_descriptors(files, file_count), count);
        (void)sched_yield();
    }
}

Test(pipe_pair, what_comes_and_is_no_pair_of_ends_is_closed)
{
    struct epb_pipe_ends own;
    struct epb_pipe_ends good;
    struct epb_pipe_ends taken = EPB_PIPE_NO_ENDS;
    int sockets[2];
    char byte = 0;
    struct epb_bytes x = bytes_of("x");

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    cr_assert_eq(epb_pipe_pair_make(&own, &good), 0);
    int file = open("/dev/null", O_RDWR | O_NONBLOCK);
    int blocking[2];
    cr_assert_eq(pipe(blocking), 0);
    const struct {
        size_t count;
        int fds[3];
    } bad[] = {
        {1, {good.in}},
        {3, {good.in, good.out, good.in}},
        {2, {good.out, good.in}},
        {2, {good.in, own.in}},
        {2, {file, good.out}},
        {2, {good.in, file}},
        {2, {good.in, sockets[0]}},
        {2, {blocking[0], good.out}},
    };
    const int files[] = {own.in, own.out, file, sockets[0], blocking[0]};
    const size_t file_count = sizeof(files) / sizeof(files[0]);
    unsigned before = count_descriptors(files, file_count);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pass_descriptors(sockets[0], x, bad[i].fds, bad[i].count);
        cr_assert_eq(epb_pipe_pair_receive(sockets[1], &byte, 1, &taken), 1);
        cr_assert_eq(byte, 'x');
        cr_assert_not(epb_pipe_pair_is_open(&taken), "pair %zu", i);
        await_descriptors(files, file_count, before);
    }
    /* A proper pair is taken, a second one isn't. */
    for (int i = 0; i < 2; i++) {
        pass_descriptors(sockets[0], x, (int[]){good.in, good.out}, 2);
        cr_assert_eq(epb_pipe_pair_receive(sockets[1], &byte, 1, &taken), 1);
        cr_assert(epb_pipe_pair_is_open(&taken));
        await_descriptors(files, file_count, before + 2);
    }
    expect_end(taken.in, O_RDONLY);
    expect_end(taken.out, O_RDWR);
    close(sockets[0]);
    cr_assert_eq(epb_pipe_pair_receive(sockets[1], &byte, 1, &taken), 0, "the end");
}

/* A peer's ends, received through a socket. */
static struct epb_pipe_ends
receive_ends(const struct epb_pipe_ends *peers)
{
    struct epb_pipe_ends taken = EPB_PIPE_NO_ENDS;
    int sockets[2];
    char byte = 0;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    pass_descriptors(sockets[0], bytes_of("x"), (int[]){peers->in, peers->out}, 2);
    cr_assert_eq(epb_pipe_pair_receive(sockets[1], &byte, 1, &taken), 1);
    close(sockets[0]);
    close(sockets[1]);
    return taken;
}

Test(pipe_pair, a_write_to_a_broker_that_has_ended_raises_no_signal)
{
    struct epb_pipe_ends own;
    struct epb_pipe_ends peers;
    char byte = 0;

    cr_assert_neq(signal(SIGPIPE, SIG_DFL), SIG_ERR);
    cr_assert_eq(epb_pipe_pair_make(&own, &peers), 0);
    struct epb_pipe_ends taken = receive_ends(&peers);
    epb_pipe_pair_close(&peers);
    epb_pipe_pair_close(&own);
    cr_assert_eq(write(taken.out, &byte, 1), 1);
    cr_assert_eq(read(taken.in, &byte, 1), 0, "the other pipe tells the end");
    epb_pipe_pair_close(&taken);
}

Test(pipe_pair, ends_that_cannot_be_opened_again_are_closed)
{
    struct epb_pipe_ends own;
    struct epb_pipe_ends peers;
    struct rlimit before;

    cr_assert_eq(epb_pipe_pair_make(&own, &peers), 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int newest = dup(0);
    close(newest);
    /* Two sockets and the two ends, and no more. */
    struct rlimit limit = {.rlim_cur = (rlim_t)newest + 4, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct epb_pipe_ends taken = receive_ends(&peers);
    cr_assert_not(epb_pipe_pair_is_open(&taken));
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    epb_pipe_pair_close(&peers);
    await_descriptors((int[]){own.in, own.out}, 2, 2);
    epb_pipe_pair_close(&own);
}

/* A broker and its peers */

Test(pipe_pair, a_peer_goes_over_and_is_served_there, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");
    int other = peer_open(&broker);

    pipe_ping(&peer);
    cr_assert_eq(pipe_ask(&peer, &get).status, EPB_NOT_FOUND);
    peer_set(other, "key", 'v', 200000, 60000);
    struct epb_reply reply = pipe_ask(&peer, &get);
    cr_assert_eq(reply.status, EPB_OK);
    cr_assert_eq(reply.body.size_bytes, 200000);
    cr_assert_eq(reply.body.data[199999], 'v');
    peer_close(&peer);
    close(other);
}

Test(pipe_pair, who_does_not_go_over_is_served_as_before, .init = begin, .fini = end)
{
    struct peer peer = peer_with_pipes();

    peer_ping(peer.socket);
    /* A second pair there is none. */
    struct peer again = {.socket = peer.socket, .ends = EPB_PIPE_NO_ENDS};
    cr_assert_eq(ask_for_pipe_pair(&again), EPB_OK);
    cr_assert_not(epb_pipe_pair_is_open(&again.ends));
    peer_ping(peer.socket);
    peer_close(&peer);
}

Test(pipe_pair, going_over_needs_pipes_that_were_passed, .init = begin, .fini = end)
{
    struct epb_request request = change(1);
    int fd = peer_open(&broker);

    cr_assert_eq(peer_ask(fd, &request).status, EPB_INVALID_REQUEST);
    peer_ping(fd);
    close(fd);
    struct peer peer = peer_with_pipes();
    request.count = 2;
    cr_assert_eq(peer_ask(peer.socket, &request).status, EPB_INVALID_REQUEST);
    request.count = 0;
    cr_assert_eq(peer_ask(peer.socket, &request).status, EPB_INVALID_REQUEST);
    request.count = 1;
    cr_assert_eq(peer_ask(peer.socket, &request).status, EPB_OK);
    block(&peer);
    /* There already. */
    cr_assert_eq(pipe_ask(&peer, &request).status, EPB_INVALID_REQUEST);
    request = wish();
    cr_assert_eq(pipe_ask(&peer, &request).status, EPB_OK);
    request = change(1);
    cr_assert_eq(pipe_ask(&peer, &request).status, EPB_INVALID_REQUEST);
    pipe_ping(&peer);
    peer_close(&peer);
}

Test(pipe_pair, a_peer_goes_back_and_over_again, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    int other = peer_open(&broker);
    unsigned pipes = count_pipes();
    struct epb_request back = change(0);
    struct epb_request over = change(1);
    struct epb_request get = request_of(EPB_ACTION_GET, 9, "key");

    peer_set(other, "key", 'v', 200000, 60000);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(pipe_ask(&peer, &get).body.size_bytes, 200000);
        cr_assert_eq(pipe_ask(&peer, &back).status, EPB_OK);
        cr_assert_eq(peer_ask(peer.socket, &get).body_bytes, 200000);
        peer_ping(peer.socket);
        cr_assert_eq(peer_ask(peer.socket, &over).status, EPB_OK);
    }
    cr_assert_eq(count_pipes(), pipes, "the same all the time");
    cr_assert_eq(pipe_ask(&peer, &back).status, EPB_OK);
    /* Back there it is as it was at first, and ends so. */
    peer_ping(peer.socket);
    struct epb_request lock = request_of(EPB_ACTION_LOCK, 6, "lock");
    lock.worker = bytes_of("worker");
    cr_assert_eq(peer_ask(peer.socket, &lock).status, EPB_OK);
    lock.flags = EPB_F_WAIT;
    lock.wait_ms = PATIENCE_S * 1000;
    peer_request(other, &lock);
    cr_assert_eq(shutdown(peer.socket, SHUT_WR), 0);
    peer_expect_end(peer.socket);
    struct answer answer;
    cr_assert(peer_answer(other, &answer));
    cr_assert_eq(answer.status, EPB_OK);
    peer_close(&peer);
    close(other);
}

Test(pipe_pair, a_wish_that_wants_no_reply_is_none, .init = begin, .fini = end)
{
    int fd = peer_open(&broker);
    unsigned before = count_pipes();
    struct epb_request request = wish();

    request.id = 0;
    peer_request(fd, &request);
    peer_ping(fd);
    cr_assert_eq(count_pipes(), before);
    close(fd);
}

Test(pipe_pair, the_reply_is_the_last_of_the_socket, .init = begin, .fini = end)
{
    struct peer peer = peer_with_pipes();
    int other = peer_open(&broker);
    struct epb_request request = request_of(EPB_ACTION_WATCH, 5, NULL);
    struct epb_reply reply;

    cr_assert_eq(peer_ask(peer.socket, &request).status, EPB_OK);
    /* With requests right behind it, and events: all that comes later is in the pipe. */
    struct epb_buf frames;
    epb_buf_init(&frames, 1U << 20);
    request = change(1);
    cr_assert_eq(epb_frame_encode_request(&frames, &request), EPB_OK);
    for (uint32_t id = 1; id <= 100; id++) {
        request = request_of(EPB_ACTION_PING, id, NULL);
        cr_assert_eq(epb_frame_encode_request(&frames, &request), EPB_OK);
    }
    peer_send(peer.socket, epb_buf_data(&frames), epb_buf_size(&frames));
    epb_buf_fini(&frames);
    struct answer answer;
    cr_assert(peer_answer(peer.socket, &answer));
    cr_assert_eq(answer.id, 99);
    block(&peer);
    for (uint32_t id = 1; id <= 100; id++) {
        cr_assert(pipe_answer(&peer, &reply));
        cr_assert_eq(reply.id, id);
    }
    peer_set(other, "key", 'v', 10, 60000);
    cr_assert(pipe_answer(&peer, &reply));
    cr_assert_eq(reply.id, 0);
    cr_assert_eq(reply.count, 5);
    char byte;
    cr_assert_eq(recv(peer.socket, &byte, 1, MSG_DONTWAIT), -1);
    cr_assert_eq(errno, EAGAIN);
    peer_close(&peer);
    close(other);
}

Test(pipe_pair, a_peer_goes_back_when_it_has_read_a_full_pipe, .init = begin, .fini = end)
{
    enum {
        COUNT = 8
    };
    struct peer peer = peer_on_pipes();
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 1, "key");
    struct epb_request back = change(0);
    struct epb_reply reply;

    peer_set(other, "key", 'v', 200000, 60000);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < COUNT; i++) {
            pipe_send(&peer, &get);
        }
        peer_ping(other);
        peer_ping(other);
        pipe_send(&peer, &back);
        for (int i = 0; i < COUNT; i++) {
            cr_assert(pipe_answer(&peer, &reply));
            cr_assert_eq(reply.body.size_bytes, 200000);
        }
        cr_assert(pipe_answer(&peer, &reply));
        cr_assert_eq(reply.id, back.id);
        peer_ping(peer.socket);
        struct epb_request over = change(1);
        cr_assert_eq(peer_ask(peer.socket, &over).status, EPB_OK);
    }
    pipe_ping(&peer);
    peer_close(&peer);
    close(other);
}

Test(pipe_pair, it_comes_when_a_full_socket_has_been_read, .init = begin, .fini = end)
{
    enum {
        COUNT = 8
    };
    struct peer peer = peer_with_pipes();
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 1, "key");
    struct epb_request request = change(1);
    struct answer answer;

    peer_set(other, "key", 'v', 200000, 60000);
    for (int i = 0; i < COUNT; i++) {
        peer_request(peer.socket, &get);
    }
    /* The broker has filled the socket, and waits; then it hears of the wish. */
    peer_ping(other);
    peer_ping(other);
    peer_request(peer.socket, &request);
    peer_ping(other);
    peer_ping(other);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(peer_answer(peer.socket, &answer));
        cr_assert_eq(answer.body_bytes, 200000);
    }
    cr_assert(peer_answer(peer.socket, &answer));
    cr_assert_eq(answer.id, request.id);
    block(&peer);
    pipe_ping(&peer);
    peer_close(&peer);
    close(other);
}

Test(pipe_pair, a_word_on_the_socket_ends_the_connection, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    struct epb_reply reply;

    peer_send(peer.socket, "x", 1);
    peer_expect_end(peer.socket);
    cr_assert_not(pipe_answer(&peer, &reply));
    peer_close(&peer);
}

/* The other end of a pipe can be held by a process that has nothing to do with it; a
 * socket's can't. */
Test(pipe_pair, a_peer_that_has_gone_is_missed_at_once, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    int other = peer_open(&broker);
    struct epb_request lock = request_of(EPB_ACTION_LOCK, 6, "lock");

    lock.worker = bytes_of("worker");

    cr_assert_eq(pipe_ask(&peer, &lock).status, EPB_OK);
    lock.flags = EPB_F_WAIT;
    lock.wait_ms = PATIENCE_S * 1000;
    peer_request(other, &lock);
    /* Its last words are heard. */
    struct epb_request set = request_of(EPB_ACTION_INCR, 7, "words");
    set.flags = EPB_F_TTL;
    set.ttl_ms = 60000;
    for (int i = 0; i < 500; i++) {
        pipe_send(&peer, &set);
    }
    close(peer.socket);
    struct answer answer;
    cr_assert(peer_answer(other, &answer));
    cr_assert_eq(answer.status, EPB_OK);
    set.flags = EPB_F_COUNT | EPB_F_TTL;
    set.count = 0;
    cr_assert_eq(peer_ask(other, &set).count, 500);
    epb_pipe_pair_close(&peer.ends);
    close(other);
}

Test(pipe_pair, a_peer_that_closes_its_pipe_is_answered_and_let_go, .init = begin,
     .fini = end)
{
    struct peer peer = peer_on_pipes();
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_reply reply;

    for (int i = 0; i < 200; i++) {
        pipe_send(&peer, &ping);
    }
    close(peer.ends.out);
    peer.ends.out = -1;
    for (int i = 0; i < 200; i++) {
        cr_assert(pipe_answer(&peer, &reply));
    }
    cr_assert_not(pipe_answer(&peer, &reply));
    peer_expect_end(peer.socket);
    peer_close(&peer);
}

Test(pipe_pair, a_refusal_reaches_the_peer_before_the_end, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    uint8_t frame[EPB_REQUEST_HEADER_BYTES] = {EPB_REQUEST_HEADER_BYTES - 4, 0, 0, 0, 77};
    struct epb_reply reply;

    cr_assert_eq(write(peer.ends.out, frame, sizeof(frame)), (ssize_t)sizeof(frame));
    cr_assert(pipe_answer(&peer, &reply));
    cr_assert_eq(reply.status, EPB_VERSION_MISMATCH);
    cr_assert_not(pipe_answer(&peer, &reply));
    peer_close(&peer);
}

Test(pipe_pair, who_does_not_read_is_not_read_from_and_loses_nothing, .init = begin,
     .fini = end)
{
    struct peer peer = peer_on_pipes();
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 1, "key");
    struct epb_buf frame;
    uint32_t sent = 0;
    struct epb_reply reply;

    peer_set(other, "key", 'v', 100000, 60000);
    epb_buf_init(&frame, 1000);
    cr_assert_eq(epb_frame_encode_request(&frame, &get), EPB_OK);
    cr_assert_eq(fcntl(peer.ends.out, F_SETFL, O_NONBLOCK), 0);
    /* Until the pipe is full and stays so, however long the broker is given. */
    for (unsigned full = 0; full < 100;) {
        if (write(peer.ends.out, epb_buf_data(&frame), epb_buf_size(&frame)) > 0) {
            sent++;
            full = 0;
        } else {
            full++;
            peer_ping(other);
        }
    }
    epb_buf_fini(&frame);
    block(&peer);
    cr_assert_gt(sent, 30);
    for (uint32_t i = 0; i < sent; i++) {
        cr_assert(pipe_answer(&peer, &reply));
        cr_assert_eq(reply.body.size_bytes, 100000);
    }
    pipe_ping(&peer);
    peer_close(&peer);
    close(other);
}

/* It has asked for far more than it will ever read, and nobody else holds its end. */
Test(pipe_pair, who_goes_without_reading_is_let_go, .init = begin, .fini = end)
{
    struct peer peer = peer_on_pipes();
    int other = peer_open(&broker);
    struct epb_request get = request_of(EPB_ACTION_GET, 1, "key");

    peer_set(other, "key", 'v', 200000, 60000);
    for (int i = 0; i < 50; i++) {
        pipe_send(&peer, &get);
    }
    close(peer.socket);
    /* The ends stay open here, as somebody might hold them. */
    peer_await_stat(other, "connections", "1");
    epb_pipe_pair_close(&peer.ends);
    close(other);
}

Test(pipe_pair, only_so_many_get_them, .init = begin, .fini = end)
{
    static struct peer peers[EPB_CONN_PIPED_MAX];
    int other = peer_open(&broker);
    unsigned before = count_pipes();
    struct peer late = {.ends = EPB_PIPE_NO_ENDS};

    for (unsigned i = 0; i < EPB_CONN_PIPED_MAX; i++) {
        peers[i] = i % 2 == 0 ? peer_with_pipes() : peer_on_pipes();
    }
    late.socket = peer_open(&broker);
    cr_assert_eq(ask_for_pipe_pair(&late), EPB_OK);
    cr_assert_not(epb_pipe_pair_is_open(&late.ends));
    peer_ping(late.socket);
    close(late.socket);
    for (unsigned i = 0; i < EPB_CONN_PIPED_MAX; i++) {
        peer_close(&peers[i]);
    }
    await_pipes(other, before);
    struct peer next = peer_on_pipes();
    pipe_ping(&next);
    peer_close(&next);
    await_pipes(other, before);
    close(other);
}

Test(pipe_pair, without_descriptors_a_peer_stays_on_its_socket, .init = begin,
     .fini = end)
{
    struct peer peer = {.socket = peer_open(&broker), .ends = EPB_PIPE_NO_ENDS};
    struct rlimit before;

    peer_ping(peer.socket);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit limit = {.rlim_cur = (rlim_t)peer.socket + 3,
                           .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(ask_for_pipe_pair(&peer), EPB_OK);
    cr_assert_not(epb_pipe_pair_is_open(&peer.ends));
    peer_ping(peer.socket);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(peer.socket);
}

Test(pipe_pair, the_end_of_the_broker_is_the_end_of_the_pipe)
{
    /* What libuv makes once is there then. */
    begin();
    end();
    unsigned before = count_pipes();

    begin();
    struct peer idle = peer_with_pipes();
    struct peer peer = peer_on_pipes();
    struct epb_reply reply;
    pipe_ping(&peer);
    end();
    cr_assert_not(pipe_answer(&peer, &reply));
    peer_expect_end(peer.socket);
    peer_expect_end(idle.socket);
    peer_close(&peer);
    peer_close(&idle);
    cr_assert_eq(count_pipes(), before);
}

Test(pipe_pair, draining_answers_what_is_in_the_pipe)
{
    begin();
    struct peer peer = peer_on_pipes();
    struct epb_request ping = request_of(EPB_ACTION_PING, 1, NULL);
    struct epb_request ask = wish();
    int socket_peer = peer_open(&broker);
    struct epb_reply reply;

    peer_ping(socket_peer);
    for (int i = 0; i < 100; i++) {
        pipe_send(&peer, &ping);
    }
    epb_server_drain(broker.server, PATIENCE_S * 1000);
    /* It may have drained by then; if not, nobody goes anywhere any more. */
    struct answer answer;
    peer_request(socket_peer, &ask);
    if (peer_answer(socket_peer, &answer)) {
        cr_assert_eq(answer.status, EPB_DRAINING);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert(pipe_answer(&peer, &reply));
    }
    cr_assert_not(pipe_answer(&peer, &reply));
    broker_await_event(&broker, EPB_SERVER_STOPPED, 1);
    peer_close(&peer);
    close(socket_peer);
    end();
}
