/*
 * Limits in two sizes. A build with EPB_TINY_LIMITS uses the second size, so that random
 * tests reach each limit all the time (make -C test/c TINY=1).
 */
#ifndef EPB_BASE_LIMITS_H
#define EPB_BASE_LIMITS_H

#if defined(EPB_TINY_LIMITS)
#define EPB_LIMIT(normal, tiny) (tiny)
#else
#define EPB_LIMIT(normal, tiny) (normal)
#endif

#endif
