/*
 * The lowest possible cost of a request over a Unix socket, or over a pipe pair: two
 * processes that only send each other 100 bytes, one message at a time.
 *
 *   ping_pong socket|pipes block|spin CPU CPU WARM_MS MS
 *
 * `block` sleeps until bytes arrive, `spin` polls continuously. Prints, as JSON, the
 * number of round trips, the milliseconds that they took, and percentiles in
 * microseconds.
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

/* The descriptors that a process reads from and writes to. */
struct ends {
    int in;
    int out;
};

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
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        die("sched_setaffinity");
    }
}

static void
send_message(struct ends ends, const char *message)
{
    if (write(ends.out, message, MESSAGE_BYTES) != MESSAGE_BYTES) {
        die("write");
    }
}

/* Returns false when the other side has ended. */
static bool
receive_message(struct ends ends, char *message)
{
    size_t have = 0;

    while (have < MESSAGE_BYTES) {
        ssize_t got = read(ends.in, message + have, MESSAGE_BYTES - have);

        if (got > 0) {
            have += (size_t)got;
        } else if (got == 0) {
            return false;
        } else if (errno != EAGAIN && errno != EINTR) {
            die("read");
        }
    }
    return true;
}

static void
echo(struct ends ends)
{
    char message[MESSAGE_BYTES];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (receive_message(ends, message)) {
        send_message(ends, message);
    }
    exit(0);
}

/* Sends messages until the time is over; returns the number of round trips, and stores
 * the durations of the first ones in `laps`. */
static size_t
ask(struct ends ends, double ms, float *laps)
{
    char message[MESSAGE_BYTES] = {0};
    size_t count = 0;
    double last = now_us();
    double until = last + ms * 1e3;

    while (last < until) {
        double now;

        send_message(ends, message);
        if (!receive_message(ends, message)) {
            die("the other side ended");
        }
        now = now_us();
        if (count < LAPS_MAX) {
            laps[count] = (float)(now - last);
        }
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

    qsort(laps, kept, sizeof(*laps), compare);
    printf("{\"operations\":%zu,\"ms\":%.3f,\"percentiles\":{\"p50\":%.2f,\"p95\":%.2f,"
           "\"p99\":%.2f}}\n",
           count, ms, (double)laps[kept / 2], (double)laps[kept * 95 / 100],
           (double)laps[kept * 99 / 100]);
}

static void
open_sockets(bool spin, struct ends *one, struct ends *other)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | (spin ? SOCK_NONBLOCK : 0), 0, fds) != 0) {
        die("socketpair");
    }
    *one = (struct ends){.in = fds[0], .out = fds[0]};
    *other = (struct ends){.in = fds[1], .out = fds[1]};
}

static void
open_pipes(bool spin, struct ends *one, struct ends *other)
{
    int there[2];
    int back[2];
    int flags = spin ? O_NONBLOCK : 0;

    if (pipe2(there, flags) != 0 || pipe2(back, flags) != 0) {
        die("pipe2");
    }
    *one = (struct ends){.in = back[0], .out = there[1]};
    *other = (struct ends){.in = there[0], .out = back[1]};
}

static void
close_ends(struct ends ends)
{
    close(ends.in);
    if (ends.out != ends.in) {
        close(ends.out);
    }
}

int
main(int argc, char **argv)
{
    struct ends own;
    struct ends other;
    float *laps = calloc(LAPS_MAX, sizeof(*laps));
    double began;
    size_t count;

    if (argc != 7 || laps == NULL) {
        return 2;
    }
    bool spin = strcmp(argv[2], "spin") == 0;
    if (strcmp(argv[1], "pipes") == 0) {
        open_pipes(spin, &own, &other);
    } else {
        open_sockets(spin, &own, &other);
    }
    if (fork() == 0) {
        close_ends(own);
        pin(argv[4]);
        echo(other);
    }
    close_ends(other);
    pin(argv[3]);
    ask(own, atof(argv[5]), laps);
    began = now_us();
    count = ask(own, atof(argv[6]), laps);
    report(count, (now_us() - began) / 1e3, laps);
    return 0;
}
