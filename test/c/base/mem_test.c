#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/mem_testing.h"
#include "base/shared_mem.h"
#include "helpers.h"

static const char secret[] = "wHaT-nObOdY-mAy-ReAd-AfTeRwArDs";
#define SECRET_BYTES (sizeof(secret) - 1)

static bool
is_zero(const uint8_t *bytes, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void
note_chunk(void *context, const uint8_t *bytes, size_t size_bytes)
{
    struct epb_bytes *chunk = context;

    *chunk = (struct epb_bytes){bytes, size_bytes};
}

Test(mem, a_block_takes_at_most_an_eighth_more)
{
    for (size_t size_bytes = 0; size_bytes < 70000; size_bytes++) {
        size_t block_bytes = epb_arena_block_bytes(size_bytes);

        cr_assert_geq(block_bytes, size_bytes);
        cr_assert(block_bytes <= size_bytes + 16 ||
                      block_bytes <= size_bytes + size_bytes / 8 + 16,
                  "%zu for %zu", block_bytes, size_bytes);
        cr_assert_leq(block_bytes, epb_arena_block_bytes(size_bytes + 1));
    }
    cr_assert_eq(epb_arena_block_bytes(100), 112);
    cr_assert_eq(epb_arena_block_bytes(SIZE_MAX), SIZE_MAX);
}

Test(mem, blocks_are_zero_aligned_and_apart)
{
    struct epb_arena *arena = epb_arena_new(false);
    struct epb_mem_stats stats;
    static uint8_t *blocks[600];

    /* Twice, so that the second round gets used memory. */
    for (unsigned round = 0; round < 2; round++) {
        size_t asked_bytes = 0;

        for (unsigned i = 0; i < 600; i++) {
            size_t size_bytes = (size_t)i * i / 4;

            blocks[i] = epb_arena_alloc(arena, size_bytes);
            cr_assert_not_null(blocks[i]);
            cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
            cr_assert(is_zero(blocks[i], size_bytes), "%zu bytes", size_bytes);
            memset(blocks[i], (int)(i % 255) + 1, size_bytes);
            asked_bytes += size_bytes;
        }
        epb_arena_stats(arena, &stats);
        cr_assert_eq(stats.used_bytes, asked_bytes);
        cr_assert_geq(stats.reserved_bytes, asked_bytes);
        for (unsigned i = 0; i < 600; i++) {
            size_t size_bytes = (size_t)i * i / 4;

            for (size_t at = 0; at < size_bytes; at++) {
                cr_assert_eq(blocks[i][at], i % 255 + 1);
            }
            epb_arena_release(arena, blocks[i], size_bytes);
        }
        epb_arena_release(arena, NULL, 5);
        epb_arena_stats(arena, &stats);
        cr_assert_eq(stats.used_bytes, 0);
    }
    epb_arena_free(arena);
}

Test(mem, a_freed_block_leaves_nothing)
{
    static const size_t sizes[] = {32, 100, 500, 1000, 4000, 5000, 70000, 2000000};
    struct epb_arena *arena = epb_arena_new(false);

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = epb_arena_alloc(arena, sizes[i]);
        /* Keeps the chunk where it is, so that there is something to look at. */
        char *neighbour = epb_arena_alloc(arena, sizes[i]);

        memcpy(block, secret, SECRET_BYTES);
        memcpy(block + sizes[i] - SECRET_BYTES, secret, SECRET_BYTES);
        cr_assert_geq(times_in_memory(arena, secret, SECRET_BYTES), 1);
        epb_arena_release(arena, block, sizes[i]);
        cr_assert_eq(times_in_memory(arena, secret, SECRET_BYTES), 0, "%zu bytes",
                     sizes[i]);
        epb_arena_release(arena, neighbour, sizes[i]);
    }
    epb_arena_free(arena);
    epb_arena_free(NULL);
}

Test(mem, a_fresh_arena_is_small_and_memory_goes_back)
{
    struct epb_arena *arena = epb_arena_new(false);
    struct epb_mem_stats stats;
    static void *blocks[20000];

    epb_arena_stats(arena, &stats);
    cr_assert_leq(stats.reserved_bytes, 128 * 1024);
    for (unsigned i = 0; i < 20000; i++) {
        blocks[i] = epb_arena_alloc(arena, 240);
    }
    epb_arena_stats(arena, &stats);
    cr_assert_geq(stats.reserved_bytes, 20000 * 240);
    cr_assert_leq(stats.reserved_bytes, 20000 * 240 * 104 / 100,
                  "at most 4 %% around it");
    /* All but one of 500, the way expiry leaves them. */
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 500 != 0) {
            epb_arena_release(arena, blocks[i], 240);
        }
    }
    /* Half of the slabs hold one each; they are all that is kept. */
    for (unsigned i = 0; i < 20000; i += 500) {
        epb_arena_release(arena, blocks[i], 240);
    }
    epb_arena_stats(arena, &stats);
    cr_assert_leq(stats.reserved_bytes, 600 * 1024);
    epb_arena_free(arena);
}

Test(mem, large_blocks_come_and_go)
{
    struct epb_arena *arena = epb_arena_new(false);
    struct epb_mem_stats stats;

    for (unsigned round = 0; round < 20; round++) {
        void *a = epb_arena_alloc(arena, 256 * 1024 + 40);
        void *b = epb_arena_alloc(arena, 16 * 1024 * 1024);
        void *c = epb_arena_alloc(arena, 64 * 1024);

        cr_assert(a != NULL && b != NULL && c != NULL);
        epb_arena_release(arena, b, 16 * 1024 * 1024);
        epb_arena_release(arena, a, 256 * 1024 + 40);
        epb_arena_release(arena, c, 64 * 1024);
        epb_arena_stats(arena, &stats);
        cr_assert_leq(stats.reserved_bytes, 700 * 1024);
    }
    cr_assert_null(epb_arena_alloc(arena, SIZE_MAX - 5));
    cr_assert_null(epb_arena_alloc(arena, SIZE_MAX / 2));
    epb_arena_free(arena);
}

Test(mem, the_use_of_a_block_can_change_within_its_size)
{
    struct epb_arena *arena = epb_arena_new(false);
    struct epb_mem_stats stats;
    uint8_t *block = epb_arena_alloc(arena, 98);

    memset(block, 1, 98);
    epb_arena_retag(arena, block, 98, 112);
    cr_assert(is_zero(block + 98, 14));
    memset(block + 98, 1, 14);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 112);
    epb_mem_wipe(block + 97, 15);
    epb_arena_retag(arena, block, 112, 97);
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 97);
    epb_arena_release(arena, block, 97);
    epb_arena_free(arena);
}

struct holding {
    uint8_t *block;
    size_t size_bytes;
    uint8_t mark;
};

static void
holding_release(struct epb_arena *arena, struct holding *holding)
{
    for (size_t i = 0; i < holding->size_bytes; i++) {
        cr_assert_eq(holding->block[i], holding->mark);
    }
    epb_arena_release(arena, holding->block, holding->size_bytes);
    holding->block = NULL;
}

static void
random_history(uint64_t seed)
{
    static const unsigned limits[] = {40, 600, 5000, 100000};
    static struct holding holdings[300];
    struct epb_arena *arena = epb_arena_new(false);
    struct random random = {seed};
    struct epb_mem_stats stats;
    size_t used_bytes = 0;

    for (unsigned step = 0; step < 30000; step++) {
        struct holding *holding = &holdings[random_below(&random, 300)];

        if (holding->block != NULL) {
            used_bytes -= holding->size_bytes;
            holding_release(arena, holding);
            continue;
        }
        holding->size_bytes = random_below(&random, limits[random_below(&random, 4)]);
        holding->mark = (uint8_t)(random_below(&random, 255) + 1);
        holding->block = epb_arena_alloc(arena, holding->size_bytes);
        cr_assert_not_null(holding->block);
        cr_assert(is_zero(holding->block, holding->size_bytes), "seed %llu step %u",
                  (unsigned long long)seed, step);
        memset(holding->block, holding->mark, holding->size_bytes);
        used_bytes += holding->size_bytes;
        epb_arena_stats(arena, &stats);
        cr_assert_eq(stats.used_bytes, used_bytes);
    }
    for (unsigned i = 0; i < 300; i++) {
        if (holdings[i].block != NULL) {
            holding_release(arena, &holdings[i]);
        }
    }
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 0);
    cr_assert_leq(stats.reserved_bytes, 1024 * 1024);
    epb_arena_free(arena);
}

Test(mem, random_histories_keep_every_byte)
{
    random_history(1);
    random_history(random_seed("mem"));
}

Test(mem, shared_blocks_remember_their_size)
{
    struct epb_mem_stats stats;
    char *block = epb_mem_alloc(SECRET_BYTES);

    cr_assert_eq((uintptr_t)block % 16, 0);
    memcpy(block, secret, SECRET_BYTES);
    cr_assert_eq(times_in_memory(NULL, secret, SECRET_BYTES), 1);
    epb_mem_free(block);
    cr_assert_eq(times_in_memory(NULL, secret, SECRET_BYTES), 0);
    uint8_t *cells = epb_mem_calloc(100, 50);

    cr_assert(is_zero(cells, 5000));
    epb_mem_free(cells);
    cr_assert_null(epb_mem_calloc(SIZE_MAX / 2, 3));
    epb_mem_fail_after(1);
    cr_assert_null(epb_mem_calloc(1, 1));
    epb_mem_free(NULL);
    cr_assert_null(epb_mem_alloc(SIZE_MAX));
    epb_mem_shared_stats(&stats);
    cr_assert_eq(stats.used_bytes, 0);
}

Test(mem, the_fault_plan_counts_and_fires_once)
{
    struct epb_arena *arena = epb_arena_new(false);
    void *first;
    void *third;

    cr_assert_eq(epb_mem_fail_after(2), 0);
    first = epb_mem_table_alloc(8);
    cr_assert_not_null(first);
    cr_assert_null(epb_arena_alloc(arena, 8));
    third = epb_mem_alloc(8);
    cr_assert_not_null(third);
    cr_assert_eq(epb_mem_fail_after(1), 0, "it has failed");
    cr_assert_null(epb_mem_table_resize(first, 100));
    cr_assert_eq(epb_mem_fail_after(1), 0);
    cr_assert_eq(epb_mem_fail_after(0), 1, "it has not");
    first = epb_mem_table_resize(first, 100);
    cr_assert_not_null(first);
    epb_mem_table_free(first);
    epb_mem_free(third);
    epb_arena_free(arena);
}

Test(mem, wiping_and_comparing)
{
    char left[] = "0123456789abcdef";
    char right[] = "0123456789abcdef";

    cr_assert(epb_mem_equal(left, right, sizeof(left)));
    for (size_t i = 0; i < sizeof(left); i++) {
        right[i] = (char)(right[i] ^ 0x40);
        cr_assert_not(epb_mem_equal(left, right, sizeof(left)));
        cr_assert(epb_mem_equal(left, right, i));
        right[i] = (char)(right[i] ^ 0x40);
    }
    cr_assert(epb_mem_equal(NULL, NULL, 0));
    epb_mem_wipe(NULL, 0);
    epb_mem_wipe(left + 1, sizeof(left) - 2);
    cr_assert_eq(left[0], '0');
    cr_assert(is_zero((uint8_t *)left + 1, sizeof(left) - 2));
}

/* However the two lie to each other within their pages. */
Test(mem, copying)
{
    static uint8_t from[3 * 4096];
    static uint8_t to[sizeof(from)];

    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (size_t distance = 0; distance < 40; distance++) {
        for (size_t size_bytes = 0; size_bytes < 2 * 4096; size_bytes += 509) {
            memset(to, 0, sizeof(to));
            epb_mem_copy(to + distance, from, size_bytes);
            cr_assert_arr_eq(to + distance, from, size_bytes);
            cr_assert(is_zero(to, distance));
            cr_assert(
                is_zero(to + distance + size_bytes, sizeof(to) - distance - size_bytes));
        }
    }
    epb_mem_copy(NULL, NULL, 0);
}

#if defined(__linux__)

/* A system call reports a byte it may not read, without dying of it. */
static bool
can_read(const uint8_t *byte)
{
    int ends[2];
    bool readable;

    cr_assert_eq(pipe(ends), 0);
    readable = syscall(SYS_write, ends[1], byte, 1) == 1;
    cr_assert(readable || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return readable;
}

Test(mem, chunks_lie_between_guard_pages)
{
    struct epb_arena *arena = epb_arena_new(false);
    void *large = epb_arena_alloc(arena, 3000000);
    struct epb_bytes chunk;

    epb_arena_each_chunk(arena, note_chunk, &chunk);
    cr_assert_eq((uintptr_t)chunk.data % EPB_SYS_MAP_ALIGN_BYTES, 0);
    cr_assert(can_read(chunk.data));
    cr_assert(can_read(chunk.data + chunk.size_bytes - 1));
    cr_assert_not(can_read(chunk.data - 1));
    cr_assert_not(can_read(chunk.data + chunk.size_bytes));
    epb_arena_release(arena, large, 3000000);
    epb_arena_free(arena);
}

/* The kernel's own word on a mapping: lo locked, dd not dumped, wf wiped on fork. */
static void
mapping_flags(const void *address, char *flags, size_t size_bytes)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;

    flags[0] = '\0';
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        char *end;
        unsigned long long from = strtoull(line, &end, 16);

        if (*end == '-') {
            unsigned long long to = strtoull(end + 1, NULL, 16);

            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            snprintf(flags, size_bytes, "%s", line + 8);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
}

/* What can't be locked here shows in the test that limits it to nothing. The sanitizers'
 * mlock() does nothing and succeeds. */
static void
skip_unless_lockable(size_t size_bytes)
{
    void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(memory, MAP_FAILED);
    bool locked = syscall(SYS_mlock, memory, size_bytes) == 0;
    cr_assert_eq(munmap(memory, size_bytes), 0);
    if (!locked) {
        cr_skip("the limit of locking is below %zu bytes", size_bytes);
    }
}

Test(mem, chunks_are_locked_and_left_out_of_dumps_and_forks)
{
    char flags[512];
    struct epb_mem_stats stats;

    skip_unless_lockable((size_t)64 * 1024);
    struct epb_arena *arena = epb_arena_new(true);
    void *block = epb_arena_alloc(arena, 100);

    mapping_flags(block, flags, sizeof(flags));
    cr_assert_not_null(strstr(flags, " lo"), "%s", flags);
    cr_assert_not_null(strstr(flags, " dd"), "%s", flags);
    cr_assert_not_null(strstr(flags, " wf"), "%s", flags);
    epb_arena_stats(arena, &stats);
    cr_assert_geq(stats.locked_bytes, 64 * 1024);
    cr_assert_not(stats.lock_failed);
    epb_arena_release(arena, block, 100);
    epb_arena_free(arena);
}

/* Secret memory */

static void
skip_without_secret_memory(void)
{
    if (!epb_sys_use_secret_memory()) {
        cr_skip("this kernel has no memfd_secret, or it is turned off");
    }
    skip_unless_lockable((size_t)8 * 1024 * 1024);
}

/* As root, a debugger and the kernel itself read a process. */
static ssize_t
read_by_the_kernel(const void *address, void *out, size_t size_bytes)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    ssize_t got = pread(fd, out, size_bytes, (off_t)(uintptr_t)address);
    close(fd);
    return got;
}

Test(mem, secret_chunks_cannot_be_read_from_outside)
{
    static const size_t sizes[] = {100, 5000, 3000000};
    char flags[512];
    char seen[100];
    struct epb_mem_stats stats;

    skip_without_secret_memory();
    struct epb_arena *arena = epb_arena_new(true);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *block = epb_arena_alloc(arena, sizes[i]);
        cr_assert(is_zero(block, sizes[i]));
        memset(block, 'v', sizes[i]);
        cr_assert_eq(read_by_the_kernel(block, seen, sizeof(seen)), -1);
        mapping_flags(block, flags, sizeof(flags));
        cr_assert_not_null(strstr(flags, " lo"), "%s", flags);
        cr_assert_not_null(strstr(flags, " dd"), "%s", flags);
        cr_assert_not_null(strstr(flags, " dc"), "%s", flags);
        epb_arena_stats(arena, &stats);
        cr_assert_eq(stats.secret_bytes, stats.locked_bytes);
        epb_arena_release(arena, block, sizes[i]);
    }
    cr_assert_not(stats.lock_failed);
    epb_arena_free(arena);
}

Test(mem, a_forked_child_lacks_secret_memory)
{
    int status = -1;

    skip_without_secret_memory();
    struct epb_arena *arena = epb_arena_new(true);
    uint8_t *block = epb_arena_alloc(arena, 100);
    memset(block, 'v', 100);
    pid_t child = fork();
    if (child == 0) {
        _exit(can_read(block) ? 1 : 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "the child could read it");
    cr_assert_eq(block[99], 'v');
    epb_arena_release(arena, block, 100);
    epb_arena_free(arena);
}

Test(mem, secret_memory_returns_to_the_system)
{
    skip_without_secret_memory();
    struct epb_arena *arena = epb_arena_new(true);
    int before = dup(0);
    close(before);
    for (int i = 0; i < 50; i++) {
        void *block = epb_arena_alloc(arena, 3000000);
        cr_assert_not_null(block);
        memset(block, 'v', 3000000);
        epb_arena_release(arena, block, 3000000);
    }
    int after = dup(0);
    close(after);
    cr_assert_eq(after, before, "no descriptor stays open");
    epb_arena_free(arena);
}

/* The superuser may lock without limit: the rest of the test's process is somebody else.
 */
static void
limit_locking(size_t limit_bytes)
{
    struct rlimit limit = {limit_bytes, limit_bytes};

    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0) {
        cr_assert_eq(setuid(65534), 0);
    }
}

/* In small blocks and in one with a mapping of its own, of an arena and of the whole
 * process. */
Test(mem, a_forked_child_finds_zeros)
{
    static const size_t sizes[] = {1, 100, 5000, 3000000};
    enum {
        SIZES = sizeof(sizes) / sizeof(sizes[0])
    };
    struct epb_arena *arena = epb_arena_new(false);
    uint8_t *blocks[2 * SIZES];
    int status = -1;

    for (unsigned i = 0; i < 2 * SIZES; i++) {
        size_t size_bytes = sizes[i / 2];
        blocks[i] =
            i % 2 == 0 ? epb_arena_alloc(arena, size_bytes) : epb_mem_alloc(size_bytes);
        cr_assert_not_null(blocks[i]);
        memset(blocks[i], 0x5A, size_bytes);
    }
    pid_t child = fork();
    if (child == 0) {
        int wrong = 0;
        for (unsigned i = 0; i < 2 * SIZES && wrong == 0; i++) {
            if (!is_zero(blocks[i], sizes[i / 2])) {
                wrong = (int)i + 1;
            }
        }
        _exit(wrong);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "the child could read block %d", WEXITSTATUS(status) - 1);
    for (unsigned i = 0; i < 2 * SIZES; i++) {
        size_t size_bytes = sizes[i / 2];
        cr_assert(blocks[i][0] == 0x5A && blocks[i][size_bytes - 1] == 0x5A,
                  "the parent has lost block %u", i);
        if (i % 2 == 0) {
            epb_arena_release(arena, blocks[i], size_bytes);
        } else {
            epb_mem_free(blocks[i]);
        }
    }
    epb_arena_free(arena);
}

Test(mem, without_the_right_to_lock_it_goes_on_and_tells)
{
    struct epb_mem_stats stats;
    struct epb_arena *arena;
    void *block;

    limit_locking(0);
    cr_assert_null(epb_arena_new(true));
    arena = epb_arena_new(false);
    block = epb_arena_alloc(arena, 100);
    cr_assert_not_null(block);
    epb_arena_stats(arena, &stats);
    cr_assert(stats.lock_failed);
    cr_assert_eq(stats.locked_bytes, 0);
    epb_arena_release(arena, block, 100);
    epb_arena_free(arena);
}

Test(mem, secret_memory_has_the_limit_of_locked_memory)
{
    struct epb_mem_stats stats;

    skip_without_secret_memory();
    limit_locking(256 * 1024);
    struct epb_arena *arena = epb_arena_new(false);
    void *small = epb_arena_alloc(arena, 100);
    void *large = epb_arena_alloc(arena, 3000000);
    cr_assert_not_null(large);
    memset(large, 'v', 3000000);
    epb_arena_stats(arena, &stats);
    cr_assert(stats.lock_failed);
    cr_assert_geq(stats.secret_bytes, 64 * 1024);
    cr_assert_leq(stats.locked_bytes, 256 * 1024);
    epb_arena_release(arena, small, 100);
    epb_arena_release(arena, large, 3000000);
    epb_arena_free(arena);
}

/* A refused mapping must not take away the memory that it was to replace. */
Test(mem, memory_goes_on_behind_the_limit_of_secret_memory)
{
    struct epb_mem_stats stats;
    static const rlim_t limits_bytes[] = {256 * 1024, 64 * 1024, 0};

    skip_without_secret_memory();
    for (size_t i = 0; i < sizeof(limits_bytes) / sizeof(limits_bytes[0]); i++) {
        limit_locking(limits_bytes[i]);
        struct epb_arena *arena = epb_arena_new(false);
        for (unsigned block = 0; block < 1000; block++) {
            void *memory = epb_arena_alloc(arena, 1000);
            cr_assert_not_null(memory, "limit %zu, block %u", i, block);
            memset(memory, 'v', 1000);
        }
        epb_arena_stats(arena, &stats);
        cr_assert(stats.lock_failed);
        cr_assert_leq(stats.secret_bytes, limits_bytes[i]);
        epb_arena_free(arena);
    }
}

Test(mem, large_blocks_leave_room_to_lock_small_ones)
{
    struct epb_mem_stats stats;
    struct epb_arena *arena;
    void *large[20];

    skip_unless_lockable((size_t)4 * 1024 * 1024);
    limit_locking(4 * 1024 * 1024);
    arena = epb_arena_new(false);
    for (unsigned i = 0; i < 20; i++) {
        large[i] = epb_arena_alloc(arena, 300000);
    }
    epb_arena_stats(arena, &stats);
    cr_assert(stats.lock_failed);
    cr_assert_leq(stats.locked_bytes, 3 * 1024 * 1024);
    size_t before_bytes = stats.locked_bytes;
    struct epb_arena *keys = epb_arena_new(true);

    cr_assert_not_null(keys, "a quarter of %zu is left", before_bytes);
    epb_arena_free(keys);
    for (unsigned i = 0; i < 20; i++) {
        epb_arena_release(arena, large[i], 300000);
    }
    epb_arena_stats(arena, &stats);
    cr_assert_lt(stats.locked_bytes, before_bytes);
    epb_arena_free(arena);
}

Test(mem, what_must_be_locked_and_cannot_is_memory_that_is_out)
{
    struct epb_mem_stats stats;
    struct epb_arena *arena;
    void *small;

    skip_unless_lockable((size_t)256 * 1024);
    limit_locking(256 * 1024);
    arena = epb_arena_new(true);
    small = epb_arena_alloc(arena, 100);
    cr_assert_not_null(small);
    cr_assert_null(epb_arena_alloc(arena, 300000));
    epb_arena_stats(arena, &stats);
    cr_assert_eq(stats.used_bytes, 100);
    cr_assert_geq(stats.locked_bytes, 64 * 1024);
    epb_arena_release(arena, small, 100);
    epb_arena_free(arena);
}

#endif
