/* See holders.h. */
#include "holders.h"

#include "../core/lease.h"
#include "show.h"

#define HOLDERS_MAX 8U

const char *
epb_holders_kind_name(uint8_t kind)
{
    static const char *const NAMES[] = {
        [EPB_KIND_NUMBERS] = "numbers", [EPB_KIND_SEMAPHORE] = "semaphore",
        [EPB_KIND_POOL] = "pool",       [EPB_KIND_VALUE] = "value",
        [EPB_KIND_LOCK] = "lock",       [EPB_KIND_COMPUTE] = "compute",
    };

    return kind < sizeof(NAMES) / sizeof(NAMES[0]) && NAMES[kind] != NULL ? NAMES[kind]
                                                                          : "unknown";
}

const char *
epb_holders_kind(uint8_t kind)
{
    static const char *const NAMES[] = {
        [EPB_KIND_NUMBERS] = "numbers", [EPB_KIND_SEMAPHORE] = "a semaphore",
        [EPB_KIND_POOL] = "a pool",     [EPB_KIND_VALUE] = "a value",
        [EPB_KIND_LOCK] = "a lock",     [EPB_KIND_COMPUTE] = "a computation",
    };

    return kind < sizeof(NAMES) / sizeof(NAMES[0]) && NAMES[kind] != NULL ? NAMES[kind]
                                                                          : "unknown";
}

/* "3.2 s", "5 min 20 s". */
static void
put_held_for(struct epb_text *text, uint64_t ms)
{
    if (ms < 60000) {
        epb_show_duration(text, ms);
        return;
    }
    uint64_t seconds = (ms + 500) / 1000;
    epb_text_put_number(text, seconds / 60);
    epb_text_put(text, " min ");
    epb_text_put_number(text, seconds % 60);
    epb_text_put(text, " s");
}

static void
put_worker(struct epb_text *text, const struct epb_packed_lease *lease)
{
    epb_text_put(text, "worker ");
    epb_show_key(text, lease->worker);
    if (lease->pid != 0) {
        epb_text_put(text, " (pid ");
        epb_text_put_number(text, lease->pid);
        epb_text_put(text, ")");
    }
}

static void
put_holder(struct epb_text *text, const struct epb_packed_lease *lease)
{
    put_worker(text, lease);
    epb_text_put(text, " for ");
    put_held_for(text, lease->age_ms);
}

/* Returns the number of holders. */
static unsigned
read_holders(const struct epb_packed_obstacle *obstacle,
             struct epb_packed_lease holders[HOLDERS_MAX])
{
    struct epb_bytes rest = obstacle->holders;
    unsigned count = 0;

    while (rest.size_bytes > 0 && count < HOLDERS_MAX &&
           epb_packed_lease(&rest, &holders[count])) {
        count++;
    }
    return count;
}

static void
put_space(struct epb_text *text)
{
    size_t size_bytes = epb_buf_size(text->out);

    if (size_bytes > 0 && epb_buf_data(text->out)[size_bytes - 1] != ' ') {
        epb_text_put(text, " ");
    }
}

static void
put_others(struct epb_text *text, uint64_t holding, uint64_t shown)
{
    if (holding <= shown) {
        return;
    }
    epb_text_put(text, holding >= EPB_PACKED_COUNTED_MAX ? " and more than " : " and ");
    epb_text_put_number(text, holding - shown);
    epb_text_put(text, " others");
}

static void
put_place(struct epb_text *text, const struct epb_packed_obstacle *obstacle)
{
    if (obstacle->waiting == 0) {
        return;
    }
    put_space(text);
    epb_text_put_number(text, obstacle->waiting);
    epb_text_put(text, obstacle->waiting == 1 ? " request waits" : " requests wait");
    epb_text_put(text, " for it");
    if (obstacle->place != 0) {
        epb_text_put(text, "; this one is number ");
        epb_text_put_number(text, obstacle->place);
    }
    epb_text_put(text, ".");
}

void
epb_holders_put(struct epb_text *text, const struct epb_packed_obstacle *obstacle)
{
    struct epb_packed_lease holders[HOLDERS_MAX];
    unsigned count = read_holders(obstacle, holders);

    if (count > 0) {
        put_space(text);
        epb_text_put(text, "It is held by ");
        for (unsigned i = 0; i < count; i++) {
            epb_text_put(text, i == 0 ? "" : ", ");
            put_holder(text, &holders[i]);
        }
        put_others(text, obstacle->holding, count);
        epb_text_put(text, ".");
    }
    put_place(text, obstacle);
}

static void
put_cycle(struct epb_text *text, const struct epb_packed_lease *holders, unsigned count,
          uint64_t all)
{
    for (unsigned i = 0; i < count; i++) {
        const struct epb_packed_lease *next = &holders[(i + 1) % count];
        epb_text_put(text, i == 0 ? "" : "; ");
        put_worker(text, &holders[i]);
        epb_text_put(text, " holds ");
        epb_show_key(text, holders[i].key);
        epb_text_put(text, " and waits for ");
        if (i + 1 == count && all > count) {
            epb_text_put(text, "another");
        } else {
            epb_show_key(text, next->key);
        }
    }
    if (all > count) {
        epb_text_put(text, "; and ");
        epb_text_put_number(text, all - count);
        epb_text_put(text, " more");
    }
}

bool
epb_holders_put_cycle(struct epb_text *text, const struct epb_packed_obstacle *cycle)
{
    struct epb_packed_lease holders[HOLDERS_MAX];
    unsigned count = read_holders(cycle, holders);

    if (count == 0) {
        return false;
    }
    epb_text_put(text, "The wait would never end: ");
    if (cycle->holding == 1) {
        epb_text_put(text, "its own code holds it (");
        put_holder(text, &holders[0]);
        epb_text_put(text, ").");
        return true;
    }
    put_cycle(text, holders, count, cycle->holding);
    epb_text_put(text, ". Take them in the same order everywhere.");
    return true;
}
