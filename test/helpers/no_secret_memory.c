/* Preloaded: a kernel without memfd_secret. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

/* The numbers are the same on all systems. */
#define MEMFD_SECRET 447
#ifndef IS_MISSING
#define IS_MISSING(number) ((number) == MEMFD_SECRET)
#endif

long
syscall(long number, ...)
{
    static long (*real)(long, ...);
    long words[6];
    va_list rest;

    if (IS_MISSING(number)) {
        errno = ENOSYS;
        return -1;
    }
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    }
    va_start(rest, number);
    for (int i = 0; i < 6; i++) {
        words[i] = va_arg(rest, long);
    }
    va_end(rest);
    return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
