/*
 * A slot is eight bytes: an item's address in the low 48 bits (user space ends below that
 * on all supported platforms; insertion asserts it) and 16 bits of its hash above. Ten of
 * these are the low bits of the slot where the item's probe begins, its home; six come
 * from the other end of the hash. No item lies 1,024 slots or more behind its home, so
 * the ten bits give the exact home. This has three uses, none of which reads an item: the
 * table is kept in order of homes within a run (Robin Hood hashing, Celis 1986), a
 * removal shifts the rest of the run back (no tombstones), and an absent key is
 * recognised early.
 *
 * To grow to twice the size, or to shrink to a quarter, the map makes a second table. New
 * items go there, and every insertion and removal also moves MOVES_A_STEP slots of the
 * old table. With the thresholds below, a move ends before the next can be due. Meanwhile
 * look-ups search both tables. A moved item's key is hashed again: this costs a cache
 * miss, and saves storing the hash.
 *
 * An insertion that would place an item 1,024 slots behind its home starts a growth,
 * however full the table is. If another move is then under way (the new table is less
 * than half full, so this happens only in a build with tiny limits), all items move to a
 * larger table at once.
 *
 * A walk in steps visits homes in groups of GROUP_HOMES, and counts the group number from
 * its highest bit down (Redis's SCAN, Noordhuis 2013): a table of another size has the
 * same groups, split or joined, in the same order. While there are two tables, a step
 * visits one group of the smaller table and all groups of the larger table into which it
 * is split.
 */
#include "map.h"

#include "limits.h"
#include "mem.h"
#include "sys.h"

#define SMALLEST_SLOTS ((size_t)64)
/* Full at 85 %: beyond that, longer probes cost more than the memory saved. */
#define FULL_PART(slots) ((slots) / 20 * 17)
/* Shrinks below an eighth; the smaller table is then half full. */
#define SPARSE_PART(slots) ((slots) / 8)
/* A table this small is kept when its last item is removed. */
#define KEPT_SLOTS ((size_t)1024)
#define MOVES_A_STEP 16U

#define ADDRESS_BITS 48U
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_BITS) - 1)
#define HOME_BITS EPB_LIMIT(10U, 4U)
#define HOME_MASK ((UINT64_C(1) << HOME_BITS) - 1)
#define DISTANCE_LIMIT ((size_t)1 << HOME_BITS)
/* The slots of a cache line. */
#define GROUP_HOMES ((size_t)8)

struct table {
    uint64_t *slots; /* 0: free */
    size_t mask;     /* slots - 1 */
    size_t count;
};

struct epb_map {
    epb_map_key_fn key_of;
    uint64_t seed[2];
    struct table now;
    struct table old; /* being moved into `now`; slots is NULL when no move is under
                       * way */
    size_t cursor;    /* the next slot of the old table to move */
};

/* SipHash-1-3 */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotate(uint64_t word, unsigned bits)
{
    return (word << bits) | (word >> (64 - bits));
}

static inline void
sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void
sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t
hash_of(const struct epb_map *map, struct epb_bytes key)
{
    struct sip s = {
        map->seed[0] ^ UINT64_C(0x736f6d6570736575),
        map->seed[1] ^ UINT64_C(0x646f72616e646f6d),
        map->seed[0] ^ UINT64_C(0x6c7967656e657261),
        map->seed[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t whole = key.size_bytes / 8 * 8;
    uint64_t last = (uint64_t)key.size_bytes << 56;

    for (size_t i = 0; i < whole; i += 8) {
        sip_word(&s, epb_get_u64(key.data + i));
    }
    if (whole > 0 && whole < key.size_bytes) {
        /* The last eight bytes, shifted to drop the bytes hashed already. */
        last |= epb_get_u64(key.data + key.size_bytes - 8) >>
                (8 * (8 - (key.size_bytes - whole)));
    } else {
        for (size_t i = whole; i < key.size_bytes; i++) {
            last |= (uint64_t)key.data[i] << (8 * i);
        }
    }
    sip_word(&s, last);
    s.v2 ^= 0xFF;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* Slots */

/* The part of the hash that a slot stores. */
static uint64_t
mark_of(uint64_t hash)
{
    return (hash >> 58 << HOME_BITS) | (hash & HOME_MASK);
}

static uint64_t
slot_make(const void *item, uint64_t mark)
{
    uint64_t address = (uint64_t)(uintptr_t)item;

    EPB_ASSERT(address != 0 && address <= ADDRESS_MASK);
    return address | (mark << ADDRESS_BITS);
}

static void *
slot_item(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & ADDRESS_MASK);
}

/* The distance of the entry at `at` from its home. */
static size_t
slot_distance(const struct table *table, size_t at)
{
    return (at - (size_t)(table->slots[at] >> ADDRESS_BITS)) & HOME_MASK & table->mask;
}

/* Tables */

static bool
table_init(struct table *table, size_t slots)
{
    table->slots = epb_mem_table_alloc(slots * sizeof(uint64_t));
    table->mask = slots - 1;
    table->count = 0;
    return table->slots != NULL;
}

static void
table_fini(struct table *table)
{
    epb_mem_table_free(table->slots);
    *table = (struct table){NULL, 0, 0};
}

static size_t
table_slots(const struct table *table)
{
    return table->slots == NULL ? 0 : table->mask + 1;
}

/* Finds the slot of a key; false when the table does not contain it. */
static bool
table_find(const struct table *table, epb_map_key_fn key_of, struct epb_bytes key,
           uint64_t hash, size_t *at)
{
    if (table->count == 0) {
        return false;
    }
    uint64_t mark = mark_of(hash);

    *at = (size_t)hash & table->mask;
    for (size_t distance = 0; table->slots[*at] != 0; distance++) {
        if (slot_distance(table, *at) < distance) {
            return false;
        }
        if (table->slots[*at] >> ADDRESS_BITS == mark) {
            struct epb_bytes found = key_of(slot_item(table->slots[*at]));

            /* Not memcmp: an empty key may have a NULL pointer. */
            if (found.size_bytes == key.size_bytes &&
                epb_bytes_compare(found, key) == 0) {
                return true;
            }
        }
        *at = (*at + 1) & table->mask;
    }
    return false;
}

/* Finds the slot of an item by its address. */
static bool
table_find_item(const struct table *table, const void *item, uint64_t hash, size_t *at)
{
    if (table->count == 0) {
        return false;
    }
    uint64_t slot = slot_make(item, mark_of(hash));

    *at = (size_t)hash & table->mask;
    for (size_t distance = 0; table->slots[*at] != 0; distance++) {
        if (table->slots[*at] == slot) {
            return true;
        }
        if (slot_distance(table, *at) < distance) {
            return false;
        }
        *at = (*at + 1) & table->mask;
    }
    return false;
}

/* Whether the entries from `at` to `end` may move one slot further from home. */
static bool
can_shift(const struct table *table, size_t at, size_t end)
{
    for (; at != end; at = (at + 1) & table->mask) {
        if (slot_distance(table, at) + 1 >= DISTANCE_LIMIT) {
            return false;
        }
    }
    return true;
}

/* Inserts the item after all entries whose home is not past its own, and shifts the rest
 * of the run by one. False when an entry would lie too far from home; nothing has
 * changed. */
static bool
table_insert(struct table *table, const void *item, uint64_t hash)
{
    size_t home = (size_t)hash & table->mask;
    size_t at = home;
    size_t distance = 0;

    while (table->slots[at] != 0 && slot_distance(table, at) >= distance) {
        at = (at + 1) & table->mask;
        distance++;
    }
    size_t end = at;

    while (table->slots[end] != 0) {
        end = (end + 1) & table->mask;
    }
    if (distance >= DISTANCE_LIMIT || !can_shift(table, at, end)) {
        return false;
    }
    for (size_t to = end; to != at; to = (to - 1) & table->mask) {
        table->slots[to] = table->slots[(to - 1) & table->mask];
    }
    table->slots[at] = slot_make(item, mark_of(hash));
    table->count++;
    return true;
}

static void
table_remove(struct table *table, size_t at)
{
    size_t next = (at + 1) & table->mask;

    while (table->slots[next] != 0 && slot_distance(table, next) > 0) {
        table->slots[at] = table->slots[next];
        at = next;
        next = (next + 1) & table->mask;
    }
    table->slots[at] = 0;
    table->count--;
}

/* Resizing */

/* Copies the items of one table to another. False: an item would lie too far from
 * home. */
static bool
table_copy(const struct epb_map *map, const struct table *from, struct table *to)
{
    for (size_t at = 0; at < table_slots(from); at++) {
        const void *item = slot_item(from->slots[at]);

        if (item != NULL && !table_insert(to, item, hash_of(map, map->key_of(item)))) {
            return false;
        }
    }
    return true;
}

/* Moves all items to one larger table at once. False when memory is out; nothing has
 * changed. */
static bool
rebuild(struct epb_map *map)
{
    size_t slots = table_slots(&map->now);
    struct table table;
    bool complete;

    do {
        slots *= 2;
        if (!table_init(&table, slots)) {
            return false;
        }
        complete =
            table_copy(map, &map->now, &table) && table_copy(map, &map->old, &table);
        if (!complete) {
            table_fini(&table);
        }
    } while (!complete);
    table_fini(&map->now);
    table_fini(&map->old);
    map->now = table;
    return true;
}

/* Moves the entry at the cursor. False when memory is out. */
static bool
move_one(struct epb_map *map)
{
    void *item = slot_item(map->old.slots[map->cursor]);

    if (item == NULL) {
        map->cursor = (map->cursor + 1) & map->old.mask;
        return true;
    }
    if (table_insert(&map->now, item, hash_of(map, map->key_of(item)))) {
        table_remove(&map->old, map->cursor);
        return true;
    }
    return rebuild(map);
}

/* Moves up to MOVES_A_STEP slots of the old table. */
static void
move_step(struct epb_map *map)
{
    unsigned moves = 0;

    while (moves < MOVES_A_STEP && map->old.count > 0 && move_one(map)) {
        moves++;
    }
    if (map->old.count == 0) {
        table_fini(&map->old);
    }
}

static bool
resize_start(struct epb_map *map, size_t slots)
{
    struct table table;

    EPB_ASSERT(map->old.slots == NULL);
    if (!table_init(&table, slots)) {
        return false;
    }
    map->old = map->now;
    map->now = table;
    map->cursor = 0;
    if (map->old.count == 0) {
        table_fini(&map->old);
    }
    return true;
}

/* Grows to twice the size: step by step, unless a move is under way. False when memory is
 * out. */
static bool
grow(struct epb_map *map)
{
    size_t slots = table_slots(&map->now);

    if (map->old.slots != NULL) {
        return rebuild(map);
    }
    return resize_start(map, slots == 0 ? SMALLEST_SLOTS : slots * 2);
}

static void
shrink_if_sparse(struct epb_map *map)
{
    size_t slots = table_slots(&map->now);
    size_t count = map->now.count + map->old.count;

    if (count == 0 && slots > KEPT_SLOTS) {
        table_fini(&map->now);
        table_fini(&map->old);
    } else if (map->old.slots == NULL && slots > KEPT_SLOTS &&
               count < SPARSE_PART(slots)) {
        /* A failed shrink is harmless. */
        bool ignored = resize_start(map, slots / 4);

        (void)ignored;
    }
}

/* The map */

struct epb_map *
epb_map_new(epb_map_key_fn key_of)
{
    struct epb_map *map = epb_mem_table_alloc(sizeof(*map));

    if (map == NULL) {
        return NULL;
    }
    if (epb_sys_random(map->seed, sizeof(map->seed)) != EPB_OK) {
        epb_mem_table_free(map);
        return NULL;
    }
    map->key_of = key_of;
    return map;
}

void
epb_map_free(struct epb_map *map)
{
    if (map == NULL) {
        return;
    }
    table_fini(&map->now);
    table_fini(&map->old);
    epb_mem_wipe(map->seed, sizeof(map->seed));
    epb_mem_table_free(map);
}

size_t
epb_map_count(const struct epb_map *map)
{
    return map->now.count + map->old.count;
}

bool
epb_map_is_moving(const struct epb_map *map)
{
    return map->old.slots != NULL;
}

size_t
epb_map_bytes(const struct epb_map *map)
{
    return (table_slots(&map->now) + table_slots(&map->old)) * sizeof(uint64_t) +
           sizeof(*map);
}

uint64_t
epb_map_hash(const struct epb_map *map, struct epb_bytes key)
{
    return hash_of(map, key);
}

void *
epb_map_find(const struct epb_map *map, struct epb_bytes key)
{
    uint64_t hash;
    size_t at;

    if (epb_map_count(map) == 0) {
        return NULL;
    }
    hash = hash_of(map, key);
    if (table_find(&map->now, map->key_of, key, hash, &at)) {
        return slot_item(map->now.slots[at]);
    }
    if (table_find(&map->old, map->key_of, key, hash, &at)) {
        return slot_item(map->old.slots[at]);
    }
    return NULL;
}

enum epb_status
epb_map_insert(struct epb_map *map, void *item)
{
    uint64_t hash;

    move_step(map);
    if (epb_map_count(map) >= FULL_PART(table_slots(&map->now)) && !grow(map)) {
        return EPB_INTERNAL;
    }
    hash = hash_of(map, map->key_of(item));
    while (!table_insert(&map->now, item, hash)) {
        if (!grow(map)) {
            return EPB_INTERNAL;
        }
    }
    return EPB_OK;
}

/* The table and slot of an item that must be in the map. */
static struct table *
table_of(struct epb_map *map, const void *item, size_t *at)
{
    uint64_t hash = hash_of(map, map->key_of(item));

    if (table_find_item(&map->now, item, hash, at)) {
        return &map->now;
    }
    bool found = table_find_item(&map->old, item, hash, at);

    EPB_ASSERT(found);
    return &map->old;
}

void
epb_map_replace(struct epb_map *map, void *old_item, void *item)
{
    size_t at;
    struct table *table = table_of(map, old_item, &at);

    table->slots[at] = slot_make(item, table->slots[at] >> ADDRESS_BITS);
}

void
epb_map_remove(struct epb_map *map, void *item)
{
    size_t at;
    struct table *table = table_of(map, item, &at);

    table_remove(table, at);
    move_step(map);
    shrink_if_sparse(map);
}

static bool
table_each(const struct table *table, bool (*visit)(void *context, void *item),
           void *context)
{
    for (size_t at = 0; at < table_slots(table); at++) {
        if (table->slots[at] != 0 && !visit(context, slot_item(table->slots[at]))) {
            return false;
        }
    }
    return true;
}

void
epb_map_each(const struct epb_map *map, bool (*visit)(void *context, void *item),
             void *context)
{
    if (table_each(&map->now, visit, context)) {
        (void)table_each(&map->old, visit, context);
    }
}

/* Visits the entries whose home is in the group. */
static void
group_scan(const struct table *table, size_t group,
           void (*visit)(void *context, void *item), void *context)
{
    size_t first = group * GROUP_HOMES;

    for (size_t steps = 0;; steps++) {
        size_t at = (first + steps) & table->mask;
        size_t distance;

        if (table->slots[at] == 0 && steps >= GROUP_HOMES) {
            return;
        }
        if (table->slots[at] == 0) {
            continue;
        }
        distance = slot_distance(table, at);
        /* The home lies before the group, behind it, or in it. */
        if (distance > steps) {
            continue;
        }
        if (steps - distance >= GROUP_HOMES) {
            return;
        }
        visit(context, slot_item(table->slots[at]));
    }
}

static uint64_t
reverse_bits(uint64_t word)
{
    word = (word >> 1 & UINT64_C(0x5555555555555555)) |
           (word & UINT64_C(0x5555555555555555)) << 1;
    word = (word >> 2 & UINT64_C(0x3333333333333333)) |
           (word & UINT64_C(0x3333333333333333)) << 2;
    word = (word >> 4 & UINT64_C(0x0F0F0F0F0F0F0F0F)) |
           (word & UINT64_C(0x0F0F0F0F0F0F0F0F)) << 4;
    word = (word >> 8 & UINT64_C(0x00FF00FF00FF00FF)) |
           (word & UINT64_C(0x00FF00FF00FF00FF)) << 8;
    word = (word >> 16 & UINT64_C(0x0000FFFF0000FFFF)) |
           (word & UINT64_C(0x0000FFFF0000FFFF)) << 16;
    return word >> 32 | word << 32;
}

/* The number of groups of a table, minus one. */
static size_t
group_mask(const struct table *table)
{
    return table->mask / GROUP_HOMES;
}

/* The number of the next group; 0 after the last. */
static uint64_t
group_after(const struct table *table, uint64_t group)
{
    return reverse_bits(reverse_bits(group | ~(uint64_t)group_mask(table)) + 1);
}

bool
epb_map_scan(const struct epb_map *map, uint64_t *cursor,
             void (*visit)(void *context, void *item), void *context)
{
    bool two = map->old.slots != NULL;
    bool old_is_small = two && map->old.mask < map->now.mask;
    const struct table *small = old_is_small ? &map->old : &map->now;
    const struct table *large = old_is_small || !two ? &map->now : &map->old;
    uint64_t group = *cursor;
    uint64_t divided;

    if (map->now.slots == NULL) {
        return false;
    }
    divided = group_mask(small) ^ group_mask(large);
    if (two) {
        group_scan(small, (size_t)group & group_mask(small), visit, context);
    }
    do {
        group_scan(large, (size_t)group & group_mask(large), visit, context);
        group = group_after(large, group);
    } while ((group & divided) != 0);
    *cursor = group;
    return group != 0;
}
