/*
 * What the tests of server/ and client/ share: a running broker whose events can be
 * waited for, and raw peers, which can misbehave as no client of ours would. Blocking
 * calls give up after a generous time, so that a fault shows as a failure and not as a
 * run that hangs; nothing sleeps.
 */
#ifndef EPB_TEST_IO_HELP_H
#define EPB_TEST_IO_HELP_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

#include "helpers.h"
#include "os/oserror.h"
#include "os/rights.h"
#include "os/socket.h"
#include "server/endpoint_stale.h"
#include "server/server.h"
#include "wire/auth.h"
#include "wire/frame.h"

#define PATIENCE_S 600

/* A directory for this test's sockets */

static char directory[64]; /* empty: not made */

static inline const char *
own_directory(void)
{
    if (directory[0] == '\0') {
        (void)snprintf(directory, sizeof(directory), "/tmp/epb-test-XXXXXX");
        cr_assert_not_null(mkdtemp(directory));
        cr_assert_eq(setenv("TMPDIR", directory, 1), 0);
    }
    return directory;
}

/* Must be empty: nobody left anything behind. */
static inline void
remove_own_directory(void)
{
    cr_expect_eq(rmdir(own_directory()), 0, "something is left in %s", own_directory());
    directory[0] = '\0';
}

/* What a dead broker has left */

/* The name of a socket that this boot has made. */
static inline const char *
dead_name(void)
{
    static char name[80];
    char boot[EPB_BOOT_HEX + 1];

    cr_assert(epb_endpoint_stale_boot(boot));
    (void)snprintf(name, sizeof(name), "broker-%.8s0123456789abcdef01234567.sock", boot);
    return name;
}

static inline void
write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The lock file of a fixed name, of this boot. */
static inline void
leave_lock(const char *path)
{
    char boot[EPB_BOOT_HEX + 1];
    char record[80];

    cr_assert(epb_endpoint_stale_boot(boot));
    (void)snprintf(record, sizeof(record), "epb %s\n", boot);
    write_file(path, record);
}

/* A broker and its events */

struct broker {
    struct epb_server_options options;
    struct epb_server *server;
    pthread_mutex_t lock;
    pthread_cond_t happened;
    unsigned counts[EPB_SERVER_STOPPED + 1];
    char logs[65536]; /* all log lines, one after the other */
    size_t logs_bytes;
    char heartbeat[4096]; /* the last one */
};

static inline void
broker_on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    struct broker *broker = context;

    pthread_mutex_lock(&broker->lock);
    broker->counts[event]++;
    if (event == EPB_SERVER_LOG &&
        broker->logs_bytes + json.size_bytes + 2 < sizeof(broker->logs)) {
        memcpy(broker->logs + broker->logs_bytes, json.data, json.size_bytes);
        broker->logs_bytes += json.size_bytes;
        broker->logs[broker->logs_bytes++] = '\n';
        broker->logs[broker->logs_bytes] = '\0';
    }
    if (event == EPB_SERVER_HEARTBEAT && json.size_bytes < sizeof(broker->heartbeat)) {
        memcpy(broker->heartbeat, json.data, json.size_bytes);
        broker->heartbeat[json.size_bytes] = '\0';
    }
    pthread_cond_broadcast(&broker->happened);
    pthread_mutex_unlock(&broker->lock);
}

static inline void
broker_init(struct broker *broker)
{
    memset(broker, 0, sizeof(*broker));
    signal(SIGPIPE, SIG_IGN);
    own_directory();
    pthread_mutex_init(&broker->lock, NULL);
    pthread_cond_init(&broker->happened, NULL);
    epb_options_default(&broker->options.engine);
    broker->options.on_event = broker_on_event;
    broker->options.event_context = broker;
    /* As a native broker serves. Valgrind's own calls would be refused. */
    broker->options.sandbox = getenv("EPB_TEST_NO_SANDBOX") == NULL;
}

static inline void
broker_start(struct broker *broker)
{
    int os_error = 0;

    enum epb_status status =
        epb_server_start(&broker->options, &broker->server, &os_error);

    cr_assert_eq(status, EPB_OK, "%s %s", epb_status_name(status),
                 epb_os_error_name(os_error));
}

static inline void
broker_stop(struct broker *broker)
{
    epb_server_stop(broker->server);
    broker->server = NULL;
    remove_own_directory();
}

static inline struct timespec
patience_end(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

static inline void
broker_await_event(struct broker *broker, enum epb_server_event event, unsigned count)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&broker->lock);
    while (broker->counts[event] < count) {
        cr_assert_eq(pthread_cond_timedwait(&broker->happened, &broker->lock, &until), 0,
                     "event %d did not come", (int)event);
    }
    pthread_mutex_unlock(&broker->lock);
}

static inline void
broker_await_log(struct broker *broker, const char *part)
{
    struct timespec until = patience_end();

    pthread_mutex_lock(&broker->lock);
    while (strstr(broker->logs, part) == NULL) {
        cr_assert_eq(pthread_cond_timedwait(&broker->happened, &broker->lock, &until), 0,
                     "no log line with %s in %s", part, broker->logs);
    }
    pthread_mutex_unlock(&broker->lock);
}

/* A raw peer */

static inline void
make_blocking(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};

    cr_assert_eq(fcntl(fd, F_SETFL, 0), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
}

/* Connected; nothing sent yet. */
static inline int
peer_connect(const struct broker *broker)
{
    int fd = -1;

    int error = epb_socket_connect(epb_server_path(broker->server), &fd);

    cr_assert_eq(error, 0, "%s", epb_os_error_name(error));
    epb_rights_admit(fd);
    make_blocking(fd);
    return fd;
}

static inline void
peer_send(int fd, const void *data, size_t size_bytes)
{
    const uint8_t *rest = data;

    while (size_bytes != 0) {
        ssize_t sent = send(fd, rest, size_bytes, MSG_NOSIGNAL);
        cr_assert_gt(sent, 0, "send: %s", strerror(errno));
        rest += sent;
        size_bytes -= (size_t)sent;
    }
}

/* Whether that many bytes came; false at the end of the stream or a reset. */
static inline bool
peer_receive(int fd, void *out, size_t size_bytes)
{
    uint8_t *rest = out;

    while (size_bytes != 0) {
        ssize_t got = recv(fd, rest, size_bytes, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            return false;
        }
        cr_assert_gt(got, 0, "recv: %s", strerror(errno));
        rest += got;
        size_bytes -= (size_t)got;
    }
    return true;
}

/* Sends bytes, and descriptors with them; what sendmsg says. */
static inline ssize_t
try_to_pass(int socket, struct epb_bytes bytes, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    union {
        const uint8_t *in;
        void *out;
    } data = {.in = bytes.data};
    struct iovec vector = {.iov_base = data.out, .iov_len = bytes.size_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    memset(&control, 0, sizeof(control));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static inline void
pass_descriptors(int socket, struct epb_bytes bytes, const int *fds, size_t count)
{
    ssize_t passed = try_to_pass(socket, bytes, fds, count);

    cr_assert_eq(passed, (ssize_t)bytes.size_bytes, "%s", strerror(errno));
}

/* How many of this process's descriptors, and a broker's in it, are pipes'. */
static inline unsigned
count_pipes(void)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry = NULL;
    unsigned count = 0;

    cr_assert_not_null(folder);
    /* By name: the broker's descriptors are not ours to touch. */
    while ((entry = readdir(folder)) != NULL) {
        char target[64] = {0};
        (void)readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        count += strncmp(target, "pipe:", 5) == 0;
    }
    closedir(folder);
    return count;
}

/* A plain session. */
static inline int
peer_open(const struct broker *broker)
{
    int fd = peer_connect(broker);

    peer_send(fd, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES);
    return fd;
}

static inline void
peer_request(int fd, const struct epb_request *request)
{
    struct epb_buf frame;

    epb_buf_init(&frame, 8U << 20);
    cr_assert_eq(epb_frame_encode_request(&frame, request), EPB_OK);
    peer_send(fd, epb_buf_data(&frame), epb_buf_size(&frame));
    epb_buf_fini(&frame);
}

/* What a test wants to know of a reply. */
struct answer {
    enum epb_status status;
    uint32_t id;
    int64_t count;
    size_t body_bytes;
    uint8_t first; /* byte of the body */
    uint8_t last;
};

/* False at the end of the stream. */
static inline bool
peer_answer(int fd, struct answer *answer)
{
    uint8_t length[EPB_FRAME_LENGTH_BYTES];

    if (!peer_receive(fd, length, sizeof(length))) {
        return false;
    }
    size_t size_bytes = epb_get_u32(length);
    uint8_t *frame = malloc(sizeof(length) + size_bytes);
    cr_assert_not_null(frame);
    memcpy(frame, length, sizeof(length));
    bool whole = peer_receive(fd, frame + sizeof(length), size_bytes);
    if (whole) {
        struct epb_reply reply;
        struct epb_bytes bytes = {frame, sizeof(length) + size_bytes};
        cr_assert_eq(epb_frame_decode_reply(bytes, &reply), EPB_OK);
        *answer = (struct answer){.status = reply.status,
                                  .id = reply.id,
                                  .count = reply.count,
                                  .body_bytes = reply.body.size_bytes};
        if (reply.body.size_bytes != 0) {
            answer->first = reply.body.data[0];
            answer->last = reply.body.data[reply.body.size_bytes - 1];
        }
    }
    free(frame);
    return whole;
}

static inline struct answer
peer_ask(int fd, const struct epb_request *request)
{
    struct answer answer = {0};

    peer_request(fd, request);
    cr_assert(peer_answer(fd, &answer), "the broker closed");
    cr_assert_eq(answer.id, request->id);
    return answer;
}

static inline struct epb_request
request_of(enum epb_action action, uint32_t id, const char *key)
{
    struct epb_request request = {.action = (uint8_t)action, .id = id};

    if (key != NULL) {
        request.key = bytes_of(key);
    }
    return request;
}

/* Stores `size_bytes` of one byte. */
static inline void
peer_set(int fd, const char *key, uint8_t byte, size_t size_bytes, uint64_t ttl_ms)
{
    struct epb_request request = request_of(EPB_ACTION_SET, 77, key);
    uint8_t *value = malloc(size_bytes + 1);

    cr_assert_not_null(value);
    memset(value, byte, size_bytes);
    request.flags = EPB_F_TTL | EPB_F_BINARY;
    request.ttl_ms = ttl_ms;
    request.value = (struct epb_bytes){value, size_bytes};
    cr_assert_eq(peer_ask(fd, &request).status, EPB_OK);
    free(value);
}

static inline void
peer_ping(int fd)
{
    struct epb_request request = request_of(EPB_ACTION_PING, 4711, NULL);

    cr_assert_eq(peer_ask(fd, &request).status, EPB_OK);
}

/* Asks until a number in the statistics is what it should be. */
static inline void
peer_await_stat(int fd, const char *name, const char *value)
{
    char wanted[64];
    char body[4096];
    struct epb_request request = request_of(EPB_ACTION_STATS, 5, NULL);
    uint64_t until_ns = epb_sys_ticks_ns() + PATIENCE_S * UINT64_C(1000000000);

    (void)snprintf(wanted, sizeof(wanted), "\"%s\":%s", name, value);
    do {
        uint8_t length[EPB_FRAME_LENGTH_BYTES];
        cr_assert(epb_sys_ticks_ns() < until_ns, "%s never came; %s", wanted, body);
        peer_request(fd, &request);
        cr_assert(peer_receive(fd, length, sizeof(length)));
        cr_assert_lt(epb_get_u32(length), sizeof(body));
        cr_assert(peer_receive(fd, body, epb_get_u32(length)));
        memmove(body, body + 8, epb_get_u32(length) - 8);
        body[epb_get_u32(length) - 8] = '\0';
    } while (strstr(body, wanted) == NULL);
}

/* Nothing but the end of the stream comes. */
static inline void
peer_expect_end(int fd)
{
    uint8_t byte;

    cr_assert(!peer_receive(fd, &byte, 1), "the broker sent something");
}

#endif
