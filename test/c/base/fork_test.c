/* A fork while other threads are at work: whatever they hold at that moment, the child
 * ends what it has of its parent's, and nothing of it hangs. */
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/shared_mem.h"
#include "client/client.h"
#include "io_help.h"
#include "server/endpoint.h"

#define FORKS 100U
#define WORKERS 3U
#define LIMIT_S 20U

static struct broker broker;
static atomic_bool stop;
static struct epb_client *client;
static struct epb_endpoint *endpoint;

static void
quiet(void *context)
{
    (void)context;
}

static void *
take_memory(void *argument)
{
    while (!atomic_load(&stop)) {
        epb_mem_free(epb_mem_alloc(100));
    }
    return argument;
}

static void *
open_and_close(void *argument)
{
    struct epb_endpoint_spec spec = {0};

    while (!atomic_load(&stop)) {
        struct epb_endpoint *other = NULL;
        if (epb_endpoint_open(&spec, &other) == 0) {
            epb_endpoint_close(other);
        }
    }
    return argument;
}

static void *
wait_and_leave(void *argument)
{
    while (!atomic_load(&stop)) {
        int os_error = 0;
        struct epb_client *other = epb_client_new(
            epb_server_path(broker.server), (struct epb_bytes){NULL, 0}, quiet, NULL);
        if (epb_client_connect(other, &os_error) == EPB_OK) {
            (void)!epb_client_arm(other);
        }
        epb_client_free(other);
    }
    return argument;
}

/* What a child may do with what its parent had. */
static _Noreturn void
end_all(void)
{
    struct epb_mem_stats stats;
    int os_error = 0;

    (void)alarm(LIMIT_S);
    epb_client_free(client);
    epb_endpoint_close(endpoint);
    epb_server_drain(broker.server, 0);
    epb_server_stop(broker.server);
    epb_mem_shared_stats(&stats);
    if (epb_mem_alloc(10) != NULL) {
        _exit(1);
    }
    if (epb_client_connect(
            epb_client_new("/nowhere", (struct epb_bytes){NULL, 0}, quiet, NULL),
            &os_error) == EPB_OK) {
        _exit(2);
    }
    struct epb_endpoint_spec other = {0};
    if (epb_endpoint_open(&other, &endpoint) != 0) {
        _exit(4);
    }
    epb_endpoint_close(endpoint);
    _exit(0);
}

static void
expect_child_ends(unsigned round)
{
    int status = 0;

    pid_t child = fork();

    if (child == 0) {
        end_all();
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "round %u: %x", round, (unsigned)status);
}

Test(fork, a_child_ends_whatever_its_parents_threads_hold)
{
    static void *(*const work[WORKERS])(void *) = {take_memory, open_and_close,
                                                   wait_and_leave};
    pthread_t workers[WORKERS];
    struct epb_endpoint_spec spec = {0};
    int os_error = 0;

#ifdef __SANITIZE_ADDRESS__
    cr_skip("a child may find locks of AddressSanitizer's own allocator held");
#endif
    broker_init(&broker);
    broker_start(&broker);
    cr_assert_eq(epb_endpoint_open(&spec, &endpoint), 0);
    client = epb_client_new(epb_server_path(broker.server), (struct epb_bytes){NULL, 0},
                            quiet, NULL);
    cr_assert_eq(epb_client_connect(client, &os_error), EPB_OK);
    cr_assert_eq(epb_client_arm(client), EPB_OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_assert_eq(pthread_create(&workers[i], NULL, work[i], NULL), 0);
    }
    for (unsigned round = 0; round < FORKS; round++) {
        expect_child_ends(round);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_assert_eq(pthread_join(workers[i], NULL), 0);
    }
    epb_client_free(client);
    epb_endpoint_close(endpoint);
    broker_stop(&broker);
}
