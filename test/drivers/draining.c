/* Brokers end at once, round after round, while clients read large values from them as
 * fast as they can: a reply may be half written, or have left this very moment. */
#include "drive.h"

#define CLIENTS 4U
#define GETS 10U
#define VALUE_BYTES (250U * 1024U)

static char path[128];
static uint8_t value[VALUE_BYTES];

static bool
say(int fd, const struct epb_buf *out)
{
    size_t size_bytes = epb_buf_size(out);

    return send(fd, epb_buf_data(out), size_bytes, MSG_NOSIGNAL) == (ssize_t)size_bytes;
}

static void
store(int fd)
{
    struct epb_request set = {.action = EPB_ACTION_SET,
                              .flags = EPB_F_BINARY,
                              .id = 1,
                              .key = bytes_of("k"),
                              .value = {value, sizeof(value)}};
    struct epb_buf out;

    epb_buf_init(&out, 2 * VALUE_BYTES);
    DRIVE_REQUIRE(epb_buf_append(&out, EPB_MAGIC_PLAIN, EPB_MAGIC_BYTES) == EPB_OK,
                  "memory");
    drive_add(&out, &set);
    (void)say(fd, &out);
    epb_buf_fini(&out);
}

/* Asks for more before it has read what it asked for. */
static void
read_on(int fd)
{
    static _Thread_local uint8_t place[1 << 20];
    struct epb_buf out;
    bool on = true;

    epb_buf_init(&out, 4096);
    for (uint32_t id = 2; id < 2 + GETS; id++) {
        struct epb_request get = {
            .action = EPB_ACTION_GET, .id = id, .key = bytes_of("k")};
        drive_add(&out, &get);
    }
    while (on && say(fd, &out)) {
        for (unsigned i = 0; i < GETS && on; i++) {
            on = recv(fd, place, sizeof(place), 0) > 0;
        }
    }
    epb_buf_fini(&out);
}

static void *
run_client(void *argument)
{
    int fd = drive_connect(path);

    (void)argument;
    if (fd < 0) {
        return NULL;
    }
    store(fd);
    read_on(fd);
    close(fd);
    return NULL;
}

static void
play_round(struct random *random)
{
    struct epb_server_options options = drive_options();
    struct epb_server *server = drive_start(&options);
    pthread_t clients[CLIENTS];

    (void)snprintf(path, sizeof(path), "%s", epb_server_path(server));
    drive_threads(clients, CLIENTS, run_client);
    drive_pause_us(5000 + random_below(random, 20000));
    epb_server_drain(server, random_below(random, 3) == 0 ? 3 : 0);
    drive_pause_us(random_below(random, 10000));
    epb_server_stop(server);
    drive_join(clients, CLIENTS);
}

int
main(int argc, char **argv)
{
    unsigned rounds = 0;

    drive_begin(argc, argv);
    struct random random = drive_random(0);
    memset(value, 'v', sizeof(value));
    while (!drive_over()) {
        play_round(&random);
        rounds++;
    }
    drive_end();
    printf("%u brokers ended\n", rounds);
    return 0;
}
