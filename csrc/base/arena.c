/*
 * How an arena divides its memory.
 *
 * - A chunk is 64 KiB to 1 MiB from the system, between guard pages; larger when one
 *   block needs it. A new chunk is about a 64th of the arena's size, so that a small
 *   arena stays small and a large arena has few chunks. The chunk's record lies outside,
 *   in ordinary memory, with one bit for every unit of 512 bytes.
 * - A slab is 16 or 64 KiB of a chunk, aligned to its own size, for blocks of one size
 *   class: 16 to 512 bytes in steps of 16, then eight steps for every doubling up to 4
 *   KiB (at most 12.5 % more than requested). The address of a block gives its slab.
 * - A run is the number of units that one block of more than 4 KiB needs, with a header
 *   of 16 bytes in front.
 *
 * Slabs and runs have separate chunks. A run's chunk is locked only while a quarter of
 * the process's lock limit remains for slabs, which hold key material and small values.
 *
 * A freed block is wiped completely before it is linked into its slab's list of free
 * blocks. Blocks never used need no list: a slab counts how many blocks it has cut. Empty
 * slabs and runs return to their chunk at once. Empty chunks return to the system, except
 * for a few (SPARE_BYTES), so that memory that is taken and freed with every request is
 * not mapped and unmapped each time.
 *
 * Under AddressSanitizer, memory that is not handed out is poisoned. Memory that is
 * handed out may hold the only pointer to other memory.
 */
#include "arena.h"
#include "mem.h"
#include "mem_testing.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#if defined(WITH_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define POISON(memory, size_bytes) ASAN_POISON_MEMORY_REGION(memory, size_bytes)
#define UNPOISON(memory, size_bytes) ASAN_UNPOISON_MEMORY_REGION(memory, size_bytes)
#else
#define POISON(memory, size_bytes) ((void)(memory), (void)(size_bytes))
#define UNPOISON(memory, size_bytes) ((void)(memory), (void)(size_bytes))
#endif

#define UNIT_BYTES ((size_t)512)
#define WORD_BITS 64U
#define CHUNK_MIN_BYTES ((size_t)64 * 1024)
#define CHUNK_MAX_BYTES ((size_t)1024 * 1024)
#define CHUNK_SHARE 64U
#define SPARE_BYTES ((size_t)512 * 1024)

#define FINE_STEP_BYTES ((size_t)16)
#define FINE_MAX_BYTES ((size_t)512)
#define FINE_CLASSES (FINE_MAX_BYTES / FINE_STEP_BYTES)
#define STEPS_A_DOUBLING 8U
#define DOUBLINGS 3U
#define SLAB_BLOCK_MAX_BYTES (FINE_MAX_BYTES << DOUBLINGS)
#define CLASS_COUNT (FINE_CLASSES + STEPS_A_DOUBLING * DOUBLINGS)
#define SMALL_SLAB_BYTES ((size_t)16 * 1024)
#define LARGE_SLAB_BYTES ((size_t)64 * 1024)
#define SMALL_SLAB_MAX_BLOCK_BYTES ((size_t)1024)

struct chunk {
    uint8_t *base;
    size_t size_bytes;
    struct chunk *next;
    struct chunk **link; /* where the pointer to this chunk lies */
    uint32_t units;
    uint32_t free_units;
    uint32_t longest; /* no run of free units is longer than this */
    enum epb_sys_pages kind;
    uint64_t used[]; /* a bit a unit */
};

/* At the start of a slab; the blocks follow at SLAB_HEADER_BYTES. */
struct slab {
    struct chunk *chunk;
    void *free; /* wiped blocks, linked through their first bytes */
    struct slab *next;
    struct slab **link; /* NULL while the slab is full, and so in no list */
    uint32_t block_bytes;
    uint32_t used;
    uint32_t cut; /* blocks that were handed out at least once */
    uint32_t capacity;
};
#define SLAB_HEADER_BYTES ((size_t)64)
_Static_assert(sizeof(struct slab) <= SLAB_HEADER_BYTES,
               "a slab's header fits before the blocks");

/* In front of a block of more than SLAB_BLOCK_MAX_BYTES. */
struct run {
    struct chunk *chunk;
    uint64_t units;
};
#define RUN_HEADER_BYTES ((size_t)16)
_Static_assert(sizeof(struct run) <= RUN_HEADER_BYTES,
               "a run's header keeps the alignment");

enum chunk_kind {
    CHUNK_OF_SLABS,
    CHUNK_OF_RUNS,
    CHUNK_KINDS
};

struct arena_totals {
    size_t used_bytes;
    size_t reserved_bytes;
    size_t locked_bytes;
    size_t secret_bytes;
    bool lock_failed;
};

struct epb_arena {
    struct slab *open_slabs[CLASS_COUNT]; /* slabs with free blocks, by class */
    struct chunk *chunks[CHUNK_KINDS];
    size_t spare_bytes; /* size of the empty chunks kept in `chunks` */
    struct arena_totals totals;
    bool require_lock;
};

/* Locked by all arenas of the process; compared with the process's limit. */
static atomic_size_t process_locked_bytes;
/* Size classes */

static unsigned
class_of(size_t size_bytes)
{
    if (size_bytes <= FINE_MAX_BYTES) {
        return size_bytes == 0 ? 0 : (unsigned)((size_bytes - 1) / FINE_STEP_BYTES);
    }
    size_t floor_bytes = FINE_MAX_BYTES;
    unsigned first = FINE_CLASSES;

    while (size_bytes > 2 * floor_bytes) {
        floor_bytes *= 2;
        first += STEPS_A_DOUBLING;
    }
    return first +
           (unsigned)((size_bytes - floor_bytes - 1) / (floor_bytes / STEPS_A_DOUBLING));
}

static size_t
class_bytes(unsigned class)
{
    if (class < FINE_CLASSES) {
        return (class + 1) * FINE_STEP_BYTES;
    }
    unsigned past = class - (unsigned)FINE_CLASSES;
    size_t floor_bytes = FINE_MAX_BYTES << (past / STEPS_A_DOUBLING);

    return floor_bytes + (past % STEPS_A_DOUBLING + 1) * (floor_bytes / STEPS_A_DOUBLING);
}

static size_t
slab_bytes(size_t block_bytes)
{
    return block_bytes <= SMALL_SLAB_MAX_BLOCK_BYTES ? SMALL_SLAB_BYTES
                                                     : LARGE_SLAB_BYTES;
}

static size_t
run_units(size_t size_bytes)
{
    return (size_bytes + RUN_HEADER_BYTES + UNIT_BYTES - 1) / UNIT_BYTES;
}

size_t
epb_arena_block_bytes(size_t size_bytes)
{
    if (size_bytes <= SLAB_BLOCK_MAX_BYTES) {
        return class_bytes(class_of(size_bytes));
    }
    if (size_bytes > SIZE_MAX / 2) {
        return SIZE_MAX;
    }
    return run_units(size_bytes) * UNIT_BYTES;
}

/* Chunks */

static size_t
record_bytes(size_t units)
{
    return sizeof(struct chunk) + (units + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

static size_t
chunk_bytes_for(const struct epb_arena *arena, size_t need_bytes)
{
    size_t wanted_bytes = CHUNK_MIN_BYTES;

    while (wanted_bytes < CHUNK_MAX_BYTES &&
           wanted_bytes * 2 <= arena->totals.reserved_bytes / CHUNK_SHARE) {
        wanted_bytes *= 2;
    }
    if (need_bytes <= wanted_bytes) {
        return wanted_bytes;
    }
    return (need_bytes + CHUNK_MIN_BYTES - 1) / CHUNK_MIN_BYTES * CHUNK_MIN_BYTES;
}

/* Whether to try to lock: runs leave the last quarter of the limit to slabs. */
static bool
may_lock(const struct epb_arena *arena, enum chunk_kind kind, size_t size_bytes)
{
    if (arena->require_lock || kind == CHUNK_OF_SLABS) {
        return true;
    }
    size_t limit_bytes = epb_sys_lock_limit_bytes();

    return size_bytes <= limit_bytes - limit_bytes / 4 &&
           atomic_load(&process_locked_bytes) <=
               limit_bytes - limit_bytes / 4 - size_bytes;
}

static void
chunk_link(struct chunk **list, struct chunk *chunk)
{
    chunk->next = *list;
    chunk->link = list;
    if (chunk->next != NULL) {
        chunk->next->link = &chunk->next;
    }
    *list = chunk;
}

static void
chunk_unlink(struct chunk *chunk)
{
    *chunk->link = chunk->next;
    if (chunk->next != NULL) {
        chunk->next->link = chunk->link;
    }
}

/* Counts a chunk that was made, or that will be freed. */
static void
count_locked(struct arena_totals *totals, const struct chunk *chunk, bool made)
{
    /* Unsigned: adding the negative subtracts. */
    size_t locked_bytes = chunk->kind == EPB_PAGES_PLAIN ? 0 : chunk->size_bytes;
    size_t secret_bytes = chunk->kind == EPB_PAGES_SECRET ? chunk->size_bytes : 0;

    totals->locked_bytes += made ? locked_bytes : 0 - locked_bytes;
    totals->secret_bytes += made ? secret_bytes : 0 - secret_bytes;
    atomic_fetch_add(&process_locked_bytes, made ? locked_bytes : 0 - locked_bytes);
}

static void
chunk_free(struct epb_arena *arena, struct chunk *chunk)
{
    struct arena_totals *totals = &arena->totals;

    UNPOISON(chunk->base, chunk->size_bytes);
#if defined(WITH_ASAN)
    __lsan_unregister_root_region(chunk->base, chunk->size_bytes);
#endif
    epb_sys_pages_unmap(chunk->base, chunk->size_bytes);
    totals->reserved_bytes -= chunk->size_bytes + record_bytes(chunk->units);
    count_locked(totals, chunk, false);
    chunk_unlink(chunk);
    free(chunk);
}

static struct chunk *
chunk_new(struct epb_arena *arena, enum chunk_kind kind, size_t need_bytes)
{
    struct arena_totals *totals = &arena->totals;
    size_t size_bytes = chunk_bytes_for(arena, need_bytes);
    size_t units = size_bytes / UNIT_BYTES;

    if (units > UINT32_MAX) {
        return NULL;
    }
    struct chunk *chunk = calloc(1, record_bytes(units));

    if (chunk == NULL) {
        return NULL;
    }
    chunk->base =
        epb_sys_pages_map(size_bytes, may_lock(arena, kind, size_bytes), &chunk->kind);
    if (chunk->base == NULL) {
        free(chunk);
        return NULL;
    }
    chunk->size_bytes = size_bytes;
    chunk->units = (uint32_t)units;
    chunk->free_units = chunk->units;
    chunk->longest = chunk->units;
    chunk_link(&arena->chunks[kind], chunk);
    totals->reserved_bytes += size_bytes + record_bytes(units);
    count_locked(totals, chunk, true);
    totals->lock_failed = totals->lock_failed || chunk->kind == EPB_PAGES_PLAIN;
#if defined(WITH_ASAN)
    __lsan_register_root_region(chunk->base, size_bytes);
#endif
    POISON(chunk->base, size_bytes);
    if (arena->require_lock && chunk->kind == EPB_PAGES_PLAIN) {
        chunk_free(arena, chunk);
        return NULL;
    }
    return chunk;
}

/* Units of a chunk */

/* One past the last used unit in [from, from + count), or 0 when all are free. */
static size_t
past_used(const struct chunk *chunk, size_t from, size_t count)
{
    size_t at = from + count;

    while (at > from) {
        size_t word = (at - 1) / WORD_BITS;
        size_t low = word * WORD_BITS < from ? from - word * WORD_BITS : 0;
        size_t high = at - word * WORD_BITS; /* 1 to WORD_BITS */
        uint64_t bits = chunk->used[word];

        bits &= UINT64_MAX >> (WORD_BITS - high);
        bits &= UINT64_MAX << low;
        if (bits != 0) {
            size_t last = WORD_BITS - 1;

            while ((bits >> last) == 0) {
                last--;
            }
            return word * WORD_BITS + last + 1;
        }
        at = word * WORD_BITS + low;
    }
    return 0;
}

static void
mark_units(struct chunk *chunk, size_t from, size_t count, bool used)
{
    for (size_t unit = from; unit < from + count;) {
        size_t low = unit % WORD_BITS;
        size_t span = WORD_BITS - low;

        if (span > from + count - unit) {
            span = from + count - unit;
        }
        uint64_t mask = (UINT64_MAX >> (WORD_BITS - span)) << low;

        if (used) {
            chunk->used[unit / WORD_BITS] |= mask;
        } else {
            chunk->used[unit / WORD_BITS] &= ~mask;
        }
        unit += span;
    }
    chunk->free_units =
        (uint32_t)(used ? chunk->free_units - count : chunk->free_units + count);
    if (chunk->longest > chunk->free_units) {
        chunk->longest = chunk->free_units;
    }
}

/* First fit at a multiple of `align` units. */
static bool
take_units(struct chunk *chunk, size_t count, size_t align, size_t *first)
{
    size_t from = 0;

    if (chunk->longest < count) {
        return false;
    }
    while (from + count <= chunk->units) {
        size_t past = past_used(chunk, from, count);

        if (past == 0) {
            mark_units(chunk, from, count, true);
            *first = from;
            return true;
        }
        from = (past + align - 1) / align * align;
    }
    if (align == 1) {
        chunk->longest = (uint32_t)(count - 1);
    }
    return false;
}

/* Memory of `count` units from some chunk of this kind; NULL when memory is out. */
static uint8_t *
units_alloc(struct epb_arena *arena, enum chunk_kind kind, size_t count, size_t align,
            struct chunk **from)
{
    struct chunk *chunk = arena->chunks[kind];
    size_t first = 0;

    while (chunk != NULL && !take_units(chunk, count, align, &first)) {
        chunk = chunk->next;
    }
    if (chunk == NULL) {
        chunk = chunk_new(arena, kind, count * UNIT_BYTES);
        if (chunk == NULL) {
            return NULL;
        }
        bool taken = take_units(chunk, count, align, &first);

        EPB_ASSERT(taken);
    } else if (chunk->free_units + count == chunk->units) {
        arena->spare_bytes -= chunk->size_bytes;
    }
    if (chunk != arena->chunks[kind]) {
        /* This chunk probably has more free units: try it first next time. */
        chunk_unlink(chunk);
        chunk_link(&arena->chunks[kind], chunk);
    }
    *from = chunk;
    return chunk->base + first * UNIT_BYTES;
}

/* The caller has wiped the units. */
static void
units_release(struct epb_arena *arena, struct chunk *chunk, const void *start,
              size_t count)
{
    mark_units(chunk, (size_t)((const uint8_t *)start - chunk->base) / UNIT_BYTES, count,
               false);
    chunk->longest = chunk->free_units;
    if (chunk->free_units < chunk->units) {
        return;
    }
    if (arena->spare_bytes + chunk->size_bytes <= SPARE_BYTES) {
        arena->spare_bytes += chunk->size_bytes;
    } else {
        chunk_free(arena, chunk);
    }
}

/* Slabs */

static void
slab_open(struct epb_arena *arena, struct slab *slab)
{
    struct slab **list = &arena->open_slabs[class_of(slab->block_bytes)];

    slab->next = *list;
    slab->link = list;
    if (slab->next != NULL) {
        slab->next->link = &slab->next;
    }
    *list = slab;
}

static void
slab_close(struct slab *slab)
{
    *slab->link = slab->next;
    if (slab->next != NULL) {
        slab->next->link = slab->link;
    }
    slab->link = NULL;
    slab->next = NULL;
}

static struct slab *
slab_new(struct epb_arena *arena, size_t block_bytes)
{
    size_t size_bytes = slab_bytes(block_bytes);
    size_t units = size_bytes / UNIT_BYTES;
    struct chunk *chunk;
    struct slab *slab = (void *)units_alloc(arena, CHUNK_OF_SLABS, units, units, &chunk);

    if (slab == NULL) {
        return NULL;
    }
    UNPOISON(slab, SLAB_HEADER_BYTES);
    slab->chunk = chunk;
    slab->free = NULL;
    slab->block_bytes = (uint32_t)block_bytes;
    slab->used = 0;
    slab->cut = 0;
    slab->capacity = (uint32_t)((size_bytes - SLAB_HEADER_BYTES) / block_bytes);
    slab_open(arena, slab);
    return slab;
}

/* Returns an empty slab, zero-filled, to its chunk. Only the header and the links of free
 * blocks need wiping. */
static void
slab_free(struct epb_arena *arena, struct slab *slab)
{
    struct chunk *chunk = slab->chunk;
    size_t span_bytes = slab_bytes(slab->block_bytes);

    slab_close(slab);
    UNPOISON(slab, span_bytes);
    for (uint32_t i = 0; i < slab->cut; i++) {
        memset((uint8_t *)slab + SLAB_HEADER_BYTES + (size_t)i * slab->block_bytes, 0,
               sizeof(slab->free));
    }
    memset(slab, 0, SLAB_HEADER_BYTES);
    POISON(slab, span_bytes);
    units_release(arena, chunk, slab, span_bytes / UNIT_BYTES);
}

static void *
slab_take(struct epb_arena *arena, size_t size_bytes)
{
    unsigned class = class_of(size_bytes);
    struct slab *slab = arena->open_slabs[class];
    uint8_t *block;

    if (slab == NULL) {
        slab = slab_new(arena, class_bytes(class));
        if (slab == NULL) {
            return NULL;
        }
    }
    if (slab->free != NULL) {
        block = slab->free;
        UNPOISON(block, sizeof(slab->free));
        memcpy(&slab->free, block, sizeof(slab->free));
        memset(block, 0, sizeof(slab->free));
    } else {
        block =
            (uint8_t *)slab + SLAB_HEADER_BYTES + (size_t)slab->cut * slab->block_bytes;
        slab->cut++;
    }
    slab->used++;
    if (slab->used == slab->capacity) {
        slab_close(slab);
    }
    POISON(block, slab->block_bytes);
    UNPOISON(block, size_bytes);
    return block;
}

static void
slab_give(struct epb_arena *arena, void *block, size_t size_bytes)
{
    size_t block_bytes = class_bytes(class_of(size_bytes));
    size_t span_bytes = slab_bytes(block_bytes);
    struct slab *slab = (void *)((uint8_t *)block - (uintptr_t)block % span_bytes);

    EPB_ASSERT(slab->block_bytes == block_bytes && slab->used > 0);
    UNPOISON(block, block_bytes);
    epb_mem_wipe(block, block_bytes);
    memcpy(block, &slab->free, sizeof(slab->free));
    slab->free = block;
    POISON(block, block_bytes);
    slab->used--;
    if (slab->link == NULL) {
        slab_open(arena, slab);
    }
    if (slab->used == 0) {
        slab_free(arena, slab);
    }
}

/* Runs */

static void *
run_take(struct epb_arena *arena, size_t size_bytes)
{
    size_t units = run_units(size_bytes);
    struct chunk *chunk;
    struct run *run = (void *)units_alloc(arena, CHUNK_OF_RUNS, units, 1, &chunk);

    if (run == NULL) {
        return NULL;
    }
    UNPOISON(run, RUN_HEADER_BYTES + size_bytes);
    run->chunk = chunk;
    run->units = units;
    return (uint8_t *)run + RUN_HEADER_BYTES;
}

static void
run_give(struct epb_arena *arena, void *block, size_t size_bytes)
{
    struct run *run = (void *)((uint8_t *)block - RUN_HEADER_BYTES);
    struct chunk *chunk = run->chunk;
    size_t units = run_units(size_bytes);

    EPB_ASSERT(run->units == units);
    UNPOISON(run, units * UNIT_BYTES);
    epb_mem_wipe(run, units * UNIT_BYTES);
    POISON(run, units * UNIT_BYTES);
    units_release(arena, chunk, run, units);
}

/* Arenas */

struct epb_arena *
epb_arena_new(bool require_lock)
{
    struct epb_arena *arena = epb_mem_table_alloc(sizeof(*arena));

    if (arena == NULL) {
        return NULL;
    }
    arena->require_lock = require_lock;
    arena->totals.reserved_bytes = sizeof(*arena);
    /* Allocate a chunk now, so that a failing lock shows before anything is stored. */
    const struct chunk *first = chunk_new(arena, CHUNK_OF_SLABS, CHUNK_MIN_BYTES);

    if (first == NULL) {
        epb_mem_table_free(arena);
        return NULL;
    }
    arena->spare_bytes = first->size_bytes;
    return arena;
}

void
epb_arena_free(struct epb_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
        for (struct chunk *chunk = arena->chunks[kind], *next; chunk != NULL;
             chunk = next) {
            next = chunk->next;
            UNPOISON(chunk->base, chunk->size_bytes);
            epb_mem_wipe(chunk->base, chunk->size_bytes);
            chunk_free(arena, chunk);
        }
    }
    epb_mem_table_free(arena);
}

void *
epb_arena_alloc(struct epb_arena *arena, size_t size_bytes)
{
    void *block = NULL;

    if (epb_mem_fault_due() || size_bytes > SIZE_MAX / 2) {
        return NULL;
    }
    if (size_bytes <= SLAB_BLOCK_MAX_BYTES) {
        block = slab_take(arena, size_bytes);
    } else {
        block = run_take(arena, size_bytes);
    }
    if (block != NULL) {
        arena->totals.used_bytes += size_bytes;
    }
    return block;
}

void
epb_arena_release(struct epb_arena *arena, void *block, size_t size_bytes)
{
    if (block == NULL) {
        return;
    }
    arena->totals.used_bytes -= size_bytes;
    if (size_bytes <= SLAB_BLOCK_MAX_BYTES) {
        slab_give(arena, block, size_bytes);
    } else {
        run_give(arena, block, size_bytes);
    }
}

void
epb_arena_retag(struct epb_arena *arena, void *block, size_t old_bytes, size_t new_bytes)
{
    EPB_ASSERT(epb_arena_block_bytes(old_bytes) == epb_arena_block_bytes(new_bytes));
    arena->totals.used_bytes = arena->totals.used_bytes - old_bytes + new_bytes;
    UNPOISON(block, new_bytes);
    if (new_bytes < old_bytes) {
        POISON((uint8_t *)block + new_bytes, old_bytes - new_bytes);
    }
}

void
epb_arena_stats(const struct epb_arena *arena, struct epb_mem_stats *stats)
{
    stats->used_bytes = arena->totals.used_bytes;
    stats->reserved_bytes = arena->totals.reserved_bytes;
    stats->locked_bytes = arena->totals.locked_bytes;
    stats->secret_bytes = arena->totals.secret_bytes;
    stats->lock_failed = arena->totals.lock_failed;
}

void
epb_arena_each_chunk(const struct epb_arena *arena,
                     void (*visit)(void *context, const uint8_t *bytes,
                                   size_t size_bytes),
                     void *context)
{
    for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
        for (const struct chunk *chunk = arena->chunks[kind]; chunk != NULL;
             chunk = chunk->next) {
            visit(context, chunk->base, chunk->size_bytes);
        }
    }
}
