/* What several tests of the C core share. */
#ifndef EPB_TEST_HELPERS_H
#define EPB_TEST_HELPERS_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/mem_testing.h"
#include "base/sys.h"

static const struct epb_bytes no_elements = {NULL, 0};

static inline struct epb_bytes
bytes_of(const char *text)
{
    return (struct epb_bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool
bytes_equal(struct epb_bytes left, struct epb_bytes right)
{
    return left.size_bytes == right.size_bytes &&
           (left.size_bytes == 0 || memcmp(left.data, right.data, left.size_bytes) == 0);
}

/* A clock that stands at `ms`, with different readings where that can show a mix-up. */
static inline struct epb_time
time_at(uint64_t ms)
{
    return (struct epb_time){.boot_ms = ms, .mono_ms = ms / 2, .wall_ms = ms + 1000000};
}

/* SplitMix64 (Steele, Lea and Flood 2014): the same numbers for the same seed,
 * everywhere. */
struct random {
    uint64_t state;
};

static inline uint64_t
random_next(struct random *random)
{
    uint64_t mixed = random->state += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

/* 0 to limit - 1. */
static inline unsigned
random_below(struct random *random, unsigned limit)
{
    return (unsigned)(random_next(random) % limit);
}

static inline void
random_fill(struct random *random, uint8_t *out, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        out[i] = (uint8_t)random_next(random);
    }
}

/* A seed nobody has tried; printed, so that a failure can be repeated. */
static inline uint64_t
random_seed(const char *test)
{
    uint64_t seed = 1;

    if (epb_sys_random(&seed, sizeof(seed)) == EPB_OK) {
        fprintf(stderr, "%s: random seed %llu\n", test, (unsigned long long)seed);
    }
    return seed;
}

/* Looking for bytes in memory, whether or not it is handed out. */
struct search {
    const uint8_t *pattern;
    size_t size_bytes;
    unsigned found;
};

__attribute__((no_sanitize("address"), no_sanitize("undefined"))) static inline void
search_chunk(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct search *search = context;

    for (size_t i = 0; i + search->size_bytes <= size_bytes; i++) {
        size_t same = 0;

        while (same < search->size_bytes && bytes[i + same] == search->pattern[same]) {
            same++;
        }
        search->found += same == search->size_bytes;
    }
}

/* How often the bytes are in the memory of an arena; NULL: the process-wide one. */
static inline unsigned
times_in_memory(const struct epb_arena *arena, const void *pattern, size_t size_bytes)
{
    struct search search = {pattern, size_bytes, 0};

    if (arena != NULL) {
        epb_arena_each_chunk(arena, search_chunk, &search);
    } else {
        epb_mem_each_chunk(search_chunk, &search);
    }
    return search.found;
}

#endif
