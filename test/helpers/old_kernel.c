/* Preloaded: a kernel without memfd_secret, Landlock and filters of system calls. */
#include <sys/syscall.h>

#define LANDLOCK_CREATE_RULESET 444
#define IS_MISSING(number) \
    ((number) == 447 || (number) == LANDLOCK_CREATE_RULESET || (number) == SYS_seccomp)

#include "no_secret_memory.c"
