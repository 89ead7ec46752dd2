/* One connection, its owner a test: whatever libuv has still to tell when it is closed,
 * its owner hears nothing of it, and nothing is touched that has been freed. */
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "base/mem_testing.h"
#include "io_help.h"
#include "os/pipe_pair.h"
#include "os/uv_reserve.h"
#include "server/conn.h"

/* More than the socket takes at first, and no more than it takes once that is read. */
#define VALUE_BYTES 60000U
#define SOCKET_BYTES 16384
#define PIPE_BYTES 32768

static struct {
    uv_loop_t loop;
    struct epb_engine *engine;
    struct epb_conn_owner owner;
    struct epb_conn *conn; /* NULL: closed */
    struct epb_time now;
    int peer;                    /* the other end; -1: closed */
    struct epb_pipe_ends ends;   /* the peer's, of the pipes it has got */
    unsigned called_when_closed; /* the owner */
    void (*between)(void);       /* what was written at once and the rest */
    unsigned met;
} stage;

/* What happens between */

int
__real_epb_uv_reserve_pipe(const uv_pipe_t *pipe);
int
__wrap_epb_uv_reserve_pipe(const uv_pipe_t *pipe);

/* Asked for before the rest is written, and for reading: the former comes first. */
int
__wrap_epb_uv_reserve_pipe(const uv_pipe_t *pipe)
{
    int error = __real_epb_uv_reserve_pipe(pipe);

    if (stage.between != NULL) {
        stage.met++;
        stage.between();
        stage.between = NULL;
    }
    return error;
}

static int
peer_in(void)
{
    return stage.ends.in >= 0 ? stage.ends.in : stage.peer;
}

static void
read_all(void)
{
    static uint8_t place[4096];

    while (read(peer_in(), place, sizeof(place)) > 0) {
    }
}

static void
leave(void)
{
    close(stage.peer);
    stage.peer = -1;
    epb_pipe_pair_close(&stage.ends);
}

static void
stay(void)
{
}

/* Its owner */

static void
on_ready(void *context, struct epb_conn *conn)
{
    (void)context;
    (void)conn;
    stage.called_when_closed += stage.conn == NULL;
}

static bool
always(const void *context)
{
    (void)context;
    return true;
}

static void
on_input_held(void *context, struct epb_conn *conn)
{
    on_ready(context, conn);
}

static const struct epb_time *
on_now(void *context)
{
    (void)context;
    return &stage.now;
}

static void
begin_on(bool guarded)
{
    struct epb_options options;
    int ends[2];
    int room = SOCKET_BYTES;

    signal(SIGPIPE, SIG_IGN);
    memset(&stage, 0, sizeof(stage));
    stage.now = time_at(1000000);
    stage.ends = EPB_PIPE_NO_ENDS;
    cr_assert_eq(epb_uv_reserve_loop_init(&stage.loop), 0);
    epb_options_default(&options);
    stage.engine = epb_engine_new(&options, &stage.now, epb_session_wake, NULL);
    cr_assert_not_null(stage.engine);
    stage.owner = (struct epb_conn_owner){.ready = on_ready,
                                          .may_take = always,
                                          .input_held = on_input_held,
                                          .alone = always,
                                          .now = on_now,
                                          .sessions = {.engine = stage.engine}};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    stage.peer = ends[1];
    if (!guarded && !epb_rights_refuse(ends[0])) {
        cr_skip_test("this system can't refuse descriptors");
    }
    cr_assert_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    stage.conn = epb_conn_new(&stage.loop, &stage.owner);
    cr_assert_not_null(stage.conn);
    cr_assert_eq(uv_pipe_open(&stage.conn->socket, ends[0]), 0);
    cr_assert_eq(epb_conn_begin(stage.conn), EPB_OK);
    cr_assert_eq(stage.conn->guarded, guarded);
}

static void
begin(void)
{
    begin_on(false);
}

/* As on a system that refuses no descriptors. */
static void
begin_guarded(void)
{
    begin_on(true);
}

static void
end(void)
{
    epb_buf_pool_fini(&stage.owner.sessions.pool);
    epb_engine_free(stage.engine);
    cr_assert_eq(uv_loop_close(&stage.loop), 0);
    if (stage.peer >= 0) {
        close(stage.peer);
    }
    epb_pipe_pair_close(&stage.ends);
}

/* Steps */

/* Reads what the peer has sent, and has a turn. */
static enum epb_conn_next
go_on(void)
{
    (void)uv_run(&stage.loop, UV_RUN_NOWAIT);
    return epb_conn_turn(stage.conn, &stage.now);
}

/* In one piece: into an empty pipe or socket it fits. */
static void
say(const void *data, size_t size_bytes)
{
    int fd = stage.ends.out >= 0 ? stage.ends.out : stage.peer;

    cr_assert_eq(write(fd, data, size_bytes), (ssize_t)size_bytes);
}

static void
ask(struct epb_request request)
{
    struct epb_buf frame;

    request.id = 9;
    epb_buf_init(&frame, 2 * VALUE_BYTES);
    cr_assert_eq(epb_frame_encode_request(&frame, &request), EPB_OK);
    say(epb_buf_data(&frame), epb_buf_size(&frame));
    epb_buf_fini(&frame);
    int waiting_bytes = 0;
    while (waiting_bytes == 0) {
        cr_assert_neq(go_on(), EPB_CONN_DONE);
        cr_assert_eq(ioctl(peer_in(), FIONREAD, &waiting_bytes), 0);
    }
}

static void
store_value(void)
{
    static const uint8_t value[VALUE_BYTES];

    say(EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
    ask((struct epb_request){.action = EPB_ACTION_SET,
                             .flags = EPB_F_TTL | EPB_F_BINARY,
                             .ttl_ms = 1000,
                             .key = bytes_of("k"),
                             .value = {value, sizeof(value)}});
    read_all();
}

static void
take_pipes(void)
{
    uint8_t reply[64];

    ask((struct epb_request){.action = EPB_FRAME_PIPE_PAIR});
    cr_assert_gt(epb_pipe_pair_receive(stage.peer, reply, sizeof(reply), &stage.ends), 0);
    struct epb_pipe_ends ends = stage.ends;
    cr_assert(epb_pipe_pair_is_open(&ends));
    cr_assert_eq(fcntl(ends.in, F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    stage.ends = EPB_PIPE_NO_ENDS;
    struct epb_buf frame;
    epb_buf_init(&frame, 64);
    struct epb_request over = {
        .action = EPB_FRAME_PIPE_PAIR, .flags = EPB_F_COUNT, .count = 1, .id = 9};
    cr_assert_eq(epb_frame_encode_request(&frame, &over), EPB_OK);
    say(epb_buf_data(&frame), epb_buf_size(&frame));
    epb_buf_fini(&frame);
    cr_assert_eq(go_on(), EPB_CONN_MORE);
    cr_assert_eq(go_on(), EPB_CONN_WAIT);
    read_all();
    stage.ends = ends;
}

/* The peer asks for the value; between the part that is written at once and the rest
 * happens `what`. */
static void
ask_for_value(void (*what)(void))
{
    struct epb_request get = {.action = EPB_ACTION_GET, .id = 9, .key = bytes_of("k")};
    struct epb_buf frame;

    epb_buf_init(&frame, 100);
    cr_assert_eq(epb_frame_encode_request(&frame, &get), EPB_OK);
    say(epb_buf_data(&frame), epb_buf_size(&frame));
    epb_buf_fini(&frame);
    (void)uv_run(&stage.loop, UV_RUN_NOWAIT);
    stage.between = what;
    stage.met = 0;
    (void)epb_conn_turn(stage.conn, &stage.now);
    cr_assert_eq(stage.met, 1, "nothing was left to be written later");
    cr_assert(stage.conn->writing);
}

/* Closes, and lets libuv say the rest. */
static void
close_and_listen(void)
{
    struct epb_conn *conn = stage.conn;

    stage.conn = NULL;
    epb_conn_close(conn);
    (void)uv_run(&stage.loop, UV_RUN_DEFAULT);
    cr_assert_eq(stage.called_when_closed, 0);
}

/* The tests */

static size_t
left_to_write(void)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)stage.conn->out);
}

Test(conn, closed_when_the_rest_was_written_at_once, .init = begin, .fini = end)
{
    store_value();
    ask_for_value(read_all);
    cr_assert_eq(left_to_write(), 0);
    close_and_listen();
}

Test(conn, closed_when_the_rest_failed_at_once, .init = begin, .fini = end)
{
    store_value();
    ask_for_value(leave);
    close_and_listen();
}

Test(conn, closed_while_the_rest_waits, .init = begin, .fini = end)
{
    store_value();
    ask_for_value(stay);
    cr_assert_neq(left_to_write(), 0);
    close_and_listen();
}

Test(conn, closed_on_pipes_when_the_rest_was_written_at_once, .init = begin, .fini = end)
{
    store_value();
    take_pipes();
    ask_for_value(read_all);
    cr_assert_eq(left_to_write(), 0);
    close_and_listen();
}

Test(conn, closed_on_pipes_when_the_rest_failed_at_once, .init = begin, .fini = end)
{
    store_value();
    take_pipes();
    ask_for_value(leave);
    close_and_listen();
}

Test(conn, closed_on_pipes_while_the_rest_waits, .init = begin, .fini = end)
{
    store_value();
    take_pipes();
    ask_for_value(stay);
    cr_assert_neq(left_to_write(), 0);
    close_and_listen();
}

Test(conn, closed_when_all_is_said, .init = begin, .fini = end)
{
    say("?", 1);
    cr_assert_eq(go_on(), EPB_CONN_WAIT);
    cr_assert(stage.conn->lingering);
    close_and_listen();
}

Test(conn, closed_when_there_is_more_to_read, .init = begin, .fini = end)
{
    store_value();
    say("more", 4);
    close_and_listen();
}

Test(conn, closed_when_its_peer_has_left, .init = begin, .fini = end)
{
    store_value();
    leave();
    close_and_listen();
}

/* What is refused */

#define MARK "{\"action\":\"set\",\"value\":\"mark-of-what-was-refused"

static bool
mark_is_kept(void)
{
    static const char mark[] = "mark-of-what-was-refused";
    struct search search = {.pattern = (const uint8_t *)mark,
                            .size_bytes = sizeof(mark) - 1};

    epb_mem_each_chunk(search_chunk, &search);
    search_chunk(&search, stage.owner.discarded, sizeof(stage.owner.discarded));
    return search.found != 0;
}

static void
say_the_refused(void)
{
    say(MARK, strlen(MARK));
    (void)go_on();
}

Test(conn, what_is_refused_is_wiped_before_the_peer_has_gone, .init = begin, .fini = end)
{
    say("?" MARK, 1 + strlen(MARK));
    while (!stage.conn->lingering) {
        (void)go_on();
    }
    cr_assert_not(mark_is_kept(), "what came with it");
    say_the_refused();
    cr_assert_not(mark_is_kept(), "what came after it");
    close_and_listen();
}

Test(conn, what_is_refused_is_wiped_when_guarded, .init = begin_guarded, .fini = end)
{
    say("?", 1);
    while (!stage.conn->lingering) {
        (void)go_on();
    }
    say_the_refused();
    cr_assert_not(mark_is_kept());
    close_and_listen();
}

Test(conn, a_word_that_nobody_expects_is_wiped, .init = begin, .fini = end)
{
    store_value();
    take_pipes();
    cr_assert_eq(write(stage.peer, "m", 1), 1);
    cr_assert_eq(go_on(), EPB_CONN_DONE);
    cr_assert_eq(stage.owner.discarded[0], 0);
    close_and_listen();
}

/* Descriptors that a peer passes */

/* Whoever has the last of it waits a minute when it is closed. */
static int
slow_to_close(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger linger = {.l_onoff = 1, .l_linger = PATIENCE_S};
    socklen_t size = sizeof(address);
    static uint8_t much[1 << 16];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0) {
    }
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return fd;
}

static uint64_t
pass_slow_one(const char *text)
{
    int fd = slow_to_close();

    pass_descriptors(stage.peer, bytes_of(text), &fd, 1);
    uint64_t now_ns = epb_sys_ticks_ns();
    close(fd);
    cr_assert_lt(epb_sys_ticks_ns() - now_ns, UINT64_C(1000000000) * PATIENCE_S / 2);
    return now_ns;
}

static void
expect_no_wait_since(uint64_t since_ns)
{
    uint64_t spent_ns = epb_sys_ticks_ns() - since_ns;

    cr_assert_lt(spent_ns, UINT64_C(1000000000) * PATIENCE_S / 2,
                 "the close was awaited");
}

Test(conn, refuses_descriptors_where_the_system_can, .init = begin, .fini = end)
{
    cr_assert_eq(try_to_pass(stage.peer, bytes_of("E"), (int[]){0}, 1), -1);
    cr_assert_eq(errno, EPERM);
    close_and_listen();
}

Test(conn, a_guarded_one_is_served, .init = begin_guarded, .fini = end)
{
    store_value();
    ask_for_value(read_all);
    (void)go_on();
    cr_assert_not(stage.conn->writing);
    read_all();
    take_pipes();
    ask_for_value(stay);
    close_and_listen();
}

Test(conn, a_guarded_one_ends_with_its_peer, .init = begin_guarded, .fini = end)
{
    store_value();
    leave();
    while (go_on() != EPB_CONN_DONE) {
    }
    close_and_listen();
}

Test(conn, who_passes_descriptors_is_let_go_and_not_waited_for, .init = begin_guarded,
     .fini = end)
{
    uint64_t since_ns = pass_slow_one("E");

    cr_assert_eq(go_on(), EPB_CONN_DONE);
    expect_no_wait_since(since_ns);
    close_and_listen();
    expect_no_wait_since(since_ns);
}

Test(conn, what_nobody_has_read_is_not_waited_for, .init = begin_guarded, .fini = end)
{
    uint64_t since_ns = pass_slow_one("E");

    close_and_listen();
    expect_no_wait_since(since_ns);
}

Test(conn, on_pipes_the_socket_is_guarded_too, .init = begin_guarded, .fini = end)
{
    store_value();
    take_pipes();
    uint64_t since_ns = pass_slow_one("x");
    cr_assert_eq(go_on(), EPB_CONN_DONE);
    close_and_listen();
    expect_no_wait_since(since_ns);
}

Test(conn, it_is_guarded_while_it_lingers, .init = begin_guarded, .fini = end)
{
    say("?", 1);
    cr_assert_eq(go_on(), EPB_CONN_WAIT);
    uint64_t since_ns = pass_slow_one("x");
    cr_assert_eq(go_on(), EPB_CONN_DONE);
    close_and_listen();
    expect_no_wait_since(since_ns);
}
