/*
 * The limit of what a request over a Unix socket can cost: two processes that send each
 * other 100 bytes, one at a time, and do nothing else.
 *
 *   ping_pong block|spin CPU CPU WARM_MS MS
 *
 * `block` sleeps until bytes are there, `spin` asks again at once. Prints, as JSON, how
 * many round trips there were, in how many milliseconds, and percentiles in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 100
#define LAPS_MAX (8U * 1024U * 1024U)

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static double
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void
pin(const char *cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("sched_setaffinity");
}

static void
send_message(int fd, const char *message)
{
    if (send(fd, message, MESSAGE_BYTES, MSG_NOSIGNAL) != MESSAGE_BYTES)
        die("send");
}

/* False at the end of the other side. */
static bool
receive_message(int fd, char *message)
{
    size_t have = 0;

    while (have < MESSAGE_BYTES) {
        ssize_t got = recv(fd, message + have, MESSAGE_BYTES - have, 0);

        if (got > 0)
            have += (size_t)got;
        else if (got == 0)
            return false;
        else if (errno != EAGAIN && errno != EINTR)
            die("recv");
    }
    return true;
}

static void
echo(int fd)
{
    char message[MESSAGE_BYTES];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (receive_message(fd, message))
        send_message(fd, message);
    exit(0);
}

/* Asks until the time is over; returns how often, and how long each of the first laps
 * took. */
static size_t
ask(int fd, double ms, float *laps)
{
    char message[MESSAGE_BYTES] = {0};
    size_t count = 0;
    double last = now_us();
    double until = last + ms * 1e3;

    while (last < until) {
        double now;

        send_message(fd, message);
        if (!receive_message(fd, message))
            die("the other side ended");
        now = now_us();
        if (count < LAPS_MAX)
            laps[count] = (float)(now - last);
        count++;
        last = now;
    }
    return count;
}

static int
compare(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;

    return (x > y) - (x < y);
}

static void
report(size_t count, double ms, float *laps)
{
    size_t kept = count < LAPS_MAX ? count : LAPS_MAX;

    qsort(laps, kept, sizeof *laps, compare);
    printf("{\"operations\":%zu,\"ms\":%.3f,\"percentiles\":{\"p50\":%.2f,\"p95\":%.2f,"
           "\"p99\":%.2f}}\n",
           count, ms, (double)laps[kept / 2], (double)laps[kept * 95 / 100],
           (double)laps[kept * 99 / 100]);
}

int
main(int argc, char **argv)
{
    int fds[2];
    float *laps = calloc(LAPS_MAX, sizeof *laps);
    int kind = SOCK_STREAM;
    double began;
    size_t count;

    if (argc != 6 || laps == NULL)
        return 2;
    if (strcmp(argv[1], "spin") == 0)
        kind |= SOCK_NONBLOCK;
    if (socketpair(AF_UNIX, kind, 0, fds) != 0)
        die("socketpair");
    if (fork() == 0) {
        close(fds[0]);
        pin(argv[3]);
        echo(fds[1]);
    }
    close(fds[1]);
    pin(argv[2]);
    ask(fds[0], atof(argv[4]), laps);
    began = now_us();
    count = ask(fds[0], atof(argv[5]), laps);
    report(count, (now_us() - began) / 1e3, laps);
    return 0;
}
