/* A broker whose engine's thread tries what the sandbox forbids, again and again, while
 * clients read and write. A kernel without the sandbox has nothing to refuse. */
#include "../c/forbidden.h"
#include "drive.h"
#include "os/sandbox.h"

#define CLIENTS 2U

static char path[128];
static char outside[64];
static struct forbidden forbidden;
static atomic_uint rounds;
static atomic_uint replies;

/* Runs on the engine's thread. */
static void
on_event(void *context, enum epb_server_event event, struct epb_bytes json)
{
    (void)context;
    (void)json;
    if (event != EPB_SERVER_HEARTBEAT) {
        return;
    }
    const char *name = forbidden_first_success(&forbidden);
    DRIVE_REQUIRE(name == NULL, "not refused: %s", name);
    atomic_fetch_add(&rounds, 1);
}

static void *
run_client(void *argument)
{
    static _Thread_local uint8_t place[4096];
    struct epb_request get = {.action = EPB_ACTION_GET,
                              .id = (uint32_t)(uintptr_t)argument,
                              .key = bytes_of("k")};
    struct epb_buf out;

    epb_buf_init(&out, sizeof(place));
    while (!drive_over()) {
        int fd = drive_connect(path);
        DRIVE_REQUIRE(fd >= 0, "connect");
        epb_buf_consume(&out, epb_buf_size(&out));
        DRIVE_REQUIRE(epb_buf_append(&out, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES) == EPB_OK,
                      "memory");
        drive_add(&out, &get);
        ssize_t sent = send(fd, epb_buf_data(&out), epb_buf_size(&out), MSG_NOSIGNAL);
        DRIVE_REQUIRE(sent > 0 && recv(fd, place, sizeof(place), 0) > 0, "no reply");
        atomic_fetch_add(&replies, 1);
        close(fd);
    }
    epb_buf_fini(&out);
    return NULL;
}

static void
play(void)
{
    struct epb_server_options options = drive_options();
    pthread_t clients[CLIENTS];

    options.on_event = on_event;
    options.heartbeat_ms = 1;
    struct epb_server *server = drive_start(&options);
    (void)snprintf(path, sizeof(path), "%s", epb_server_path(server));
    drive_threads(clients, CLIENTS, run_client);
    drive_join(clients, CLIENTS);
    epb_server_stop(server);
}

int
main(int argc, char **argv)
{
    drive_begin(argc, argv);
    if (!epb_sandbox_supported().calls) {
        drive_end();
        printf("no sandbox here\n");
        return 0;
    }
    (void)snprintf(outside, sizeof(outside), "/tmp/epb-outside-XXXXXX");
    DRIVE_REQUIRE(mkdtemp(outside) != NULL, "directory");
    DRIVE_REQUIRE(forbidden_begin(&forbidden, outside, getppid()), "descriptors");
    play();
    forbidden_end(&forbidden);
    DRIVE_REQUIRE(rmdir(outside) == 0, "something is left in %s", outside);
    drive_end();
    printf("%u times %u things refused, %u replies\n", atomic_load(&rounds),
           (unsigned)FORBIDDEN_COUNT, atomic_load(&replies));
    return 0;
}
