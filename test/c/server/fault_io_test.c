/*
 * What libuv, the server and the client allocate by themselves, each allocation failing
 * in turn; and a broker that is started without descriptors. libuv ends the process where
 * it finds no room for its own tables, so a test that comes back at all has shown most of
 * it.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "client/client.h"
#include "client/path_plan.h"
#include "io_help.h"

static struct broker broker;
static const char secret_text[] = "a secret of some length";
/* More failures than any of these operations allocates. */
#define COUNTDOWN_MAX 400U
/* So many undisturbed ones in a row mean that all have failed once. */
#define UNHARMED_ENOUGH 8U

static void
on_ready(void *context)
{
    (void)context;
}

/* Starting */

Test(fault_io, a_broker_is_started_whole_or_not_at_all)
{
    unsigned unharmed = 0;
    unsigned harmed = 0;

    for (uint64_t countdown = 1; unharmed < UNHARMED_ENOUGH; countdown++) {
        int os_error = 0;
        cr_assert_lt(countdown, COUNTDOWN_MAX);
        broker_init(&broker);
        broker.options.pipe_id = "fault";
        broker.options.secret = bytes_of(secret_text);
        epb_mem_fail_after(countdown);
        enum epb_status status =
            epb_server_start(&broker.options, &broker.server, &os_error);
        epb_mem_fail_after(0);
        if (status == EPB_OK) {
            unharmed++;
            int fd = peer_connect(&broker);
            close(fd);
            epb_server_stop(broker.server);
        } else {
            unharmed = 0;
            harmed++;
            cr_assert(status == EPB_INTERNAL || os_error == UV_ENOMEM, "%s %s",
                      epb_status_name(status), epb_os_error_name(os_error));
        }
        /* Its socket and its lock are gone either way. */
        remove_own_directory();
    }
    cr_assert_gt(harmed, 10, "%u", harmed);
}

Test(fault_io, without_descriptors_a_broker_is_not_started)
{
    struct rlimit before;
    unsigned refused = 0;
    bool started = false;

    broker_init(&broker);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY);
    cr_assert_geq(next, 0);
    close(next);
    /* From none that is free to enough. */
    for (rlim_t free_fds = 0; !started; free_fds++) {
        struct rlimit limit = {.rlim_cur = (rlim_t)next + free_fds,
                               .rlim_max = before.rlim_max};
        int os_error = 0;
        cr_assert_lt(free_fds, 64);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        started = epb_server_start(&broker.options, &broker.server, &os_error) == EPB_OK;
        if (!started) {
            refused++;
            cr_assert_eq(os_error, UV_EMFILE, "%s", epb_os_error_name(os_error));
        }
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_geq(refused, 4);
    int fd = peer_open(&broker);
    peer_ping(fd);
    close(fd);
    broker_stop(&broker);
}

/* Serving */

/* Takes all descriptors below a number, so that the next one needs a larger table. */
static unsigned
take_descriptors(int *fds, unsigned room, int below)
{
    unsigned count = 0;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && fd < below && count < room) {
        fds[count++] = fd;
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    cr_assert_geq(fd, below);
    close(fd);
    return count;
}

/* The broker's table grows while the allocation number `countdown` fails. Whether the
 * newcomer was served. */
static bool
grow_without_memory(uint64_t countdown, int below)
{
    int fds[600];
    struct answer answer = {0};

    broker_init(&broker);
    broker_start(&broker);
    int old = peer_open(&broker);
    peer_ping(old);
    unsigned count = take_descriptors(fds, 600, below);
    epb_mem_fail_after(countdown);
    int fd = peer_connect(&broker);
    struct epb_request ping = request_of(EPB_ACTION_PING, 3, NULL);
    bool served = false;
    struct epb_buf frame;
    epb_buf_init(&frame, 1000);
    (void)send(fd, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES, MSG_NOSIGNAL);
    if (epb_frame_encode_request(&frame, &ping) == EPB_OK) {
        (void)send(fd, epb_buf_data(&frame), epb_buf_size(&frame), MSG_NOSIGNAL);
        served = peer_answer(fd, &answer) && answer.status == EPB_OK;
    }
    epb_mem_fail_after(0);
    epb_buf_fini(&frame);
    peer_ping(old);
    close(fd);
    close(old);
    while (count != 0) {
        close(fds[--count]);
    }
    broker_stop(&broker);
    return served;
}

Test(fault_io, a_table_of_descriptors_that_can_not_grow_costs_the_newcomer_only)
{
    unsigned harmed = 0;
    unsigned unharmed = 0;

    for (uint64_t countdown = 1; unharmed < UNHARMED_ENOUGH; countdown++) {
        cr_assert_lt(countdown, COUNTDOWN_MAX);
        if (grow_without_memory(countdown, 520)) {
            unharmed++;
        } else {
            unharmed = 0;
            harmed++;
        }
    }
    cr_assert_geq(harmed, 3, "%u", harmed);
}

/* Clients */

static uint8_t room[65536];

/* Whether the request was answered as it should be; false when the connection ended, or
 * there was no memory for it. */
static bool
ask_once(struct epb_client *client, enum epb_action action)
{
    struct epb_request request = request_of(action, 7, "key");
    struct epb_buf frame;
    struct epb_reply reply = {.status = EPB_INTERNAL};

    if (action == EPB_ACTION_LOCK) {
        request.worker = bytes_of("worker");
        /* The broker may not have noticed yet that the last holder is gone. */
        request.flags = EPB_F_WAIT;
        request.wait_ms = PATIENCE_S * 1000;
    } else {
        request.key = (struct epb_bytes){NULL, 0};
    }
    epb_buf_init(&frame, 1000);
    bool encoded = epb_frame_encode_request(&frame, &request) == EPB_OK;
    struct epb_exchange exchange = {
        .out = {epb_buf_data(&frame), epb_buf_size(&frame)},
        .into = room,
        .into_bytes = sizeof(room),
    };
    enum epb_status status =
        encoded ? epb_client_exchange(client, &exchange) : EPB_INTERNAL;
    exchange.out = (struct epb_bytes){NULL, 0};
    while (status == EPB_OK && exchange.received_bytes == 0) {
        /* One that can't be armed can still wait. */
        enum epb_status armed = epb_client_arm(client);
        cr_assert(armed == EPB_OK || armed == EPB_INTERNAL);
        cr_assert(epb_client_wait(client, PATIENCE_S * 1000));
        status = epb_client_exchange(client, &exchange);
    }
    epb_buf_fini(&frame);
    /* A want of memory on either side is no wrong secret. */
    cr_assert_neq(status, EPB_AUTH_FAILED);
    if (status != EPB_OK) {
        return false;
    }
    struct epb_bytes bytes = {room, exchange.received_bytes};
    cr_assert_eq(epb_frame_decode_reply(bytes, &reply), EPB_OK);
    cr_assert_eq(reply.id, 7);
    cr_assert(reply.status == EPB_OK || reply.status == EPB_INTERNAL, "%s",
              epb_status_name(reply.status));
    return reply.status == EPB_OK;
}

/* The life of a client. Whether all of it went well. */
static bool
live(const char *path)
{
    static const uint8_t frame[] = {12, 0, 0, 0, 1, EPB_ACTION_PING, 0, 0, 0, 0, 0,
                                    0,  0, 0, 0, 0};
    uint64_t id = 0;
    int os_error = 0;
    bool good = false;
    struct epb_client *client =
        epb_client_new(path, bytes_of(secret_text), on_ready, NULL);

    if (client == NULL) {
        return false;
    }
    if (epb_client_share(client, 0) != EPB_OK) {
        epb_client_free(client);
        return false;
    }
    if (epb_client_connect(client, &os_error) == EPB_OK) {
        enum epb_status kept = epb_client_start_renewal(
            client, (struct epb_bytes){frame, sizeof(frame)}, 3600000, &id);
        good = ask_once(client, EPB_ACTION_LOCK) && kept == EPB_OK;
        /* Until it has gone over to pipes, and once there. */
        for (unsigned i = 0; i < EPB_PATH_SMALL_IN_ROW + 2; i++) {
            good = ask_once(client, EPB_ACTION_PING) && good;
        }
        if (kept == EPB_OK) {
            epb_client_stop_renewal(client, id);
        }
    } else {
        cr_assert(os_error == UV_ENOMEM || os_error == 0, "%s",
                  epb_os_error_name(os_error));
    }
    epb_client_free(client);
    return good;
}

Test(fault_io, a_client_survives_every_failing_allocation)
{
    unsigned unharmed = 0;
    unsigned harmed = 0;

    broker_init(&broker);
    broker.options.secret = bytes_of(secret_text);
    broker_start(&broker);
    for (uint64_t countdown = 1; unharmed < UNHARMED_ENOUGH; countdown++) {
        cr_assert_lt(countdown, COUNTDOWN_MAX);
        epb_mem_fail_after(countdown);
        bool good = live(epb_server_path(broker.server));
        epb_mem_fail_after(0);
        unharmed = good ? unharmed + 1 : 0;
        harmed += !good;
        /* Whatever it was, the next one finds a broker that works, and the lock free. */
        cr_assert(live(epb_server_path(broker.server)), "after %u", (unsigned)countdown);
    }
    cr_assert_gt(harmed, 10, "%u", harmed);
    broker_stop(&broker);
}

/* Forking without exec */

/* In a child: everything is refused, and nothing leaves. Returns its exit status. */
static int
use_in_child(struct epb_client *client, struct epb_bytes ping)
{
    struct epb_exchange exchange = {
        .out = ping, .into = room, .into_bytes = sizeof(room)};
    uint64_t id = 0;
    int os_error = 0;

    if (epb_mem_alloc(1) != NULL) {
        return 1;
    }
    if (epb_client_exchange(client, &exchange) != EPB_BROKER_GONE) {
        return 2;
    }
    if (epb_client_arm(client) != EPB_BROKER_GONE || epb_client_is_open(client)) {
        return 3;
    }
    if (epb_client_start_renewal(client, exchange.out, 1, &id) == EPB_OK) {
        return 4;
    }
    if (!epb_client_wait(client, 3600000) || epb_client_unsent(client) != 0) {
        return 5;
    }
    if (epb_client_connect(client, &os_error) != EPB_INTERNAL) {
        return 6;
    }
    epb_client_free(client);
    return 0;
}

static void
fork_after(unsigned pings)
{
    int status = -1;
    struct epb_request ping = request_of(EPB_ACTION_PING, 7, NULL);
    uint8_t text[64];
    struct epb_buf frame;

    broker_init(&broker);
    broker.options.secret = bytes_of(secret_text);
    broker_start(&broker);
    /* In memory that a child has, too. */
    epb_buf_init(&frame, sizeof(text));
    cr_assert_eq(epb_frame_encode_request(&frame, &ping), EPB_OK);
    struct epb_bytes bytes = {text, epb_buf_size(&frame)};
    memcpy(text, epb_buf_data(&frame), bytes.size_bytes);
    epb_buf_fini(&frame);
    struct epb_client *client = epb_client_new(epb_server_path(broker.server),
                                               bytes_of(secret_text), on_ready, NULL);
    cr_assert_not_null(client);
    cr_assert_eq(epb_client_connect(client, &status), EPB_OK);
    cr_assert(ask_once(client, EPB_ACTION_LOCK));
    for (unsigned i = 0; i < pings; i++) {
        cr_assert(ask_once(client, EPB_ACTION_PING));
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(use_in_child(client, bytes));
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    /* Its records are still counted right, and its lock is held. */
    cr_assert(ask_once(client, EPB_ACTION_PING));
    epb_client_free(client);
    broker_stop(&broker);
}

Test(fault_io, a_forked_child_leaves_the_client_of_its_parent_alone)
{
    fork_after(0);
}

Test(fault_io, a_forked_child_leaves_the_pipes_of_its_parent_alone)
{
    fork_after(EPB_PATH_SMALL_IN_ROW + 2);
}
