/* See gone.h. */
#include "gone.h"

#include "../base/arena.h"
#include "../base/list.h"
#include "../base/map.h"
#include "../base/mem.h"

struct name {
    struct epb_list by_age; /* oldest first */
    uint64_t at_boot_ms;
    uint64_t ttl_ms;
    uint8_t kind;
    uint16_t key_bytes;
    uint8_t key[];
};

struct epb_gone {
    struct epb_arena *arena;
    struct epb_map *map;
    struct epb_list names;
};

static struct epb_bytes
key_of(const void *item)
{
    const struct name *name = item;

    return (struct epb_bytes){name->key, name->key_bytes};
}

static size_t
asked_bytes(const struct name *name)
{
    return sizeof(*name) + name->key_bytes;
}

static void
name_free(struct epb_gone *gone, struct name *name)
{
    epb_list_remove(&name->by_age);
    epb_arena_release(gone->arena, name, asked_bytes(name));
}

static struct name *
oldest(const struct epb_gone *gone)
{
    return EPB_LIST_ITEM(gone->names.next, struct name, by_age);
}

static void
name_remove(struct epb_gone *gone, struct name *name)
{
    epb_map_remove(gone->map, name);
    name_free(gone, name);
}

/* Returns NULL when out of memory. */
static struct name *
name_new(struct epb_gone *gone, struct epb_bytes key)
{
    struct name *name = epb_arena_alloc(gone->arena, sizeof(*name) + key.size_bytes);

    if (name == NULL) {
        return NULL;
    }
    name->key_bytes = (uint16_t)key.size_bytes;
    memcpy(name->key, key.data, key.size_bytes);
    epb_list_init(&name->by_age);
    epb_list_append(&gone->names, &name->by_age);
    if (epb_map_insert(gone->map, name) != EPB_OK) {
        name_free(gone, name);
        return NULL;
    }
    if (epb_map_count(gone->map) > EPB_GONE_MAX) {
        name_remove(gone, oldest(gone));
    }
    return name;
}

struct epb_gone *
epb_gone_new(struct epb_arena *arena)
{
    struct epb_gone *gone = epb_mem_table_alloc(sizeof(*gone));

    if (gone == NULL) {
        return NULL;
    }
    gone->arena = arena;
    epb_list_init(&gone->names);
    gone->map = epb_map_new(key_of);
    if (gone->map == NULL) {
        epb_mem_table_free(gone);
        return NULL;
    }
    return gone;
}

void
epb_gone_free(struct epb_gone *gone)
{
    if (gone == NULL) {
        return;
    }
    epb_map_free(gone->map);
    while (!epb_list_empty(&gone->names)) {
        name_free(gone, oldest(gone));
    }
    epb_mem_table_free(gone);
}

void
epb_gone_put(struct epb_gone *gone, struct epb_bytes key, enum epb_event_kind kind,
             uint64_t at_boot_ms, uint64_t ttl_ms)
{
    struct name *name = epb_map_find(gone->map, key);

    if (name != NULL) {
        epb_list_remove(&name->by_age);
        epb_list_append(&gone->names, &name->by_age);
    } else {
        name = name_new(gone, key);
    }
    if (name != NULL) {
        name->kind = (uint8_t)kind;
        name->at_boot_ms = at_boot_ms;
        name->ttl_ms = ttl_ms;
    }
}

void
epb_gone_forget(struct epb_gone *gone, struct epb_bytes key)
{
    struct name *name = epb_map_find(gone->map, key);

    if (name != NULL) {
        name_remove(gone, name);
    }
}

size_t
epb_gone_clear(struct epb_gone *gone, struct epb_bytes prefix)
{
    struct epb_list *node = gone->names.next;
    size_t looked_at = 0;

    while (node != &gone->names) {
        struct name *name = EPB_LIST_ITEM(node, struct name, by_age);

        node = node->next;
        looked_at++;
        if (name->key_bytes >= prefix.size_bytes &&
            (prefix.size_bytes == 0 ||
             memcmp(name->key, prefix.data, prefix.size_bytes) == 0)) {
            name_remove(gone, name);
        }
    }
    return looked_at;
}

bool
epb_gone_find(const struct epb_gone *gone, struct epb_bytes key, uint64_t now_boot_ms,
              struct epb_gone_view *view)
{
    const struct name *name = epb_map_find(gone->map, key);

    if (name == NULL) {
        return false;
    }
    *view = (struct epb_gone_view){
        .kind = (enum epb_event_kind)name->kind,
        .ago_ms = now_boot_ms > name->at_boot_ms ? now_boot_ms - name->at_boot_ms : 0,
        .ttl_ms = name->ttl_ms,
    };
    return true;
}

size_t
epb_gone_bytes(const struct epb_gone *gone)
{
    return sizeof(*gone) + epb_map_bytes(gone->map);
}
