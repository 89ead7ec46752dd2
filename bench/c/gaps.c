/*
 * The time that the machine takes from a program that never sleeps and makes no system
 * calls: reads the clock repeatedly, and prints the longest time between two readings, in
 * milliseconds, as JSON.
 *
 *   gaps MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int
main(int argc, char **argv)
{
    double last = now_ms();
    double until = last + (argc == 2 ? atof(argv[1]) : 0);
    double longest = 0;

    if (argc != 2) {
        return 2;
    }
    while (last < until) {
        double now = now_ms();

        if (now - last > longest) {
            longest = now - last;
        }
        last = now;
    }
    printf("{\"longest\":%.3f}\n", longest);
    return 0;
}
