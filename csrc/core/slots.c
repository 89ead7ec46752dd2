/* See slots.h. */
#include "slots.h"
#include "../base/arena.h"

#include <string.h>

#define BITS 64U
#define FULL UINT64_MAX

/* The number of words in the level above a level of this many words. */
static uint64_t
above(uint64_t words)
{
    return (words + BITS - 1) / BITS;
}

static size_t
words_for(uint64_t capacity)
{
    uint64_t level = capacity / BITS;
    uint64_t sum = level;

    while (level > 1) {
        level = above(level);
        sum += level;
    }
    return (size_t)sum;
}

static size_t
bytes_for(uint64_t capacity)
{
    return words_for(capacity) * sizeof(uint64_t);
}

/* The position of the lowest zero bit; there must be one. */
static unsigned
lowest_zero(uint64_t word)
{
    unsigned at = 0;

    for (unsigned half = BITS / 2; half > 0; half /= 2) {
        uint64_t mask = (UINT64_C(1) << half) - 1;

        if ((word & mask) == mask) {
            word >>= half;
            at += half;
        }
    }
    return at;
}

void
epb_slots_init(struct epb_slots *slots)
{
    *slots = (struct epb_slots){NULL, 0, 0, 0};
}

void
epb_slots_fini(struct epb_slots *slots, struct epb_arena *arena, struct epb_quota *quota)
{
    if (slots->words != NULL) {
        epb_quota_release(quota, arena, slots->words, bytes_for(slots->capacity));
    }
    epb_slots_init(slots);
}

/* Sets the bit of a number, and the bits above it as long as words become full. */
static void
mark(uint64_t *words, uint64_t capacity, uint64_t number)
{
    uint64_t level = capacity / BITS;
    uint64_t at = number;

    for (;;) {
        words[at / BITS] |= UINT64_C(1) << at % BITS;
        if (words[at / BITS] != FULL || level == 1) {
            return;
        }
        words += level;
        level = above(level);
        at /= BITS;
    }
}

static enum epb_status
resize(struct epb_slots *slots, struct epb_arena *arena, struct epb_quota *quota,
       uint64_t capacity)
{
    struct epb_slots resized = {NULL, capacity, slots->used, capacity / 8};
    uint64_t kept = (capacity < slots->capacity ? capacity : slots->capacity) / BITS;
    void *block;
    enum epb_status status = epb_quota_alloc(quota, arena, bytes_for(capacity), &block);

    if (status != EPB_OK) {
        return status;
    }
    resized.words = block;
    for (uint64_t i = 0; i < kept; i++) {
        resized.words[i] = slots->words[i];
        if (slots->words[i] == FULL) {
            mark(resized.words, capacity, i * BITS);
        }
    }
    epb_slots_fini(slots, arena, quota);
    *slots = resized;
    return EPB_OK;
}

enum epb_status
epb_slots_reserve(struct epb_slots *slots, struct epb_arena *arena,
                  struct epb_quota *quota, uint64_t capacity)
{
    uint64_t wanted = slots->capacity * 2;

    if (capacity <= slots->capacity) {
        return EPB_OK;
    }
    if (wanted < capacity) {
        wanted = above(capacity) * BITS;
    }
    return resize(slots, arena, quota, wanted);
}

uint64_t
epb_slots_take(struct epb_slots *slots)
{
    size_t offset = words_for(slots->capacity); /* past the current level */
    uint64_t levels[16]; /* words of each level, the lowest first */
    unsigned top = 0;
    uint64_t number = 0;

    EPB_ASSERT(slots->used < slots->capacity);
    for (levels[0] = slots->capacity / BITS; levels[top] > 1; top++) {
        levels[top + 1] = above(levels[top]);
    }
    for (unsigned level = top + 1; level-- > 0;) {
        offset -= (size_t)levels[level];
        number = number * BITS + lowest_zero(slots->words[offset + number]);
    }
    mark(slots->words, slots->capacity, number);
    slots->used++;
    return number;
}

void
epb_slots_give(struct epb_slots *slots, uint64_t number)
{
    uint64_t *words = slots->words;
    uint64_t level = slots->capacity / BITS;
    uint64_t at = number;
    bool was_full;

    EPB_ASSERT(number < slots->capacity && (words[at / BITS] >> at % BITS & 1) != 0);
    do {
        was_full = words[at / BITS] == FULL;
        words[at / BITS] &= ~(UINT64_C(1) << at % BITS);
        words += level;
        at /= BITS;
        if (level == 1) {
            break;
        }
        level = above(level);
    } while (was_full);
    slots->used--;
}

/* The highest number taken plus one, rounded up to a word. */
static uint64_t
height(const struct epb_slots *slots)
{
    uint64_t words = slots->capacity / BITS;

    while (words > 0 && slots->words[words - 1] == 0) {
        words--;
    }
    return words * BITS;
}

void
epb_slots_shrink(struct epb_slots *slots, struct epb_arena *arena,
                 struct epb_quota *quota)
{
    uint64_t needed;

    if (slots->used == 0) {
        epb_slots_fini(slots, arena, quota);
        return;
    }
    if (slots->used >= slots->shrink_below) {
        return;
    }
    needed = height(slots);
    slots->shrink_below = slots->used / 2;
    if (needed <= slots->capacity / 4) {
        /* If this fails, the set just stays large. */
        enum epb_status ignored = resize(slots, arena, quota, needed * 2);

        (void)ignored;
    }
}
