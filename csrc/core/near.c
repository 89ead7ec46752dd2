/* See near.h. */
#include "near.h"

/* The most that a search may cost. A name costs one, and one more for each 16 of its
 * bytes: about 50 ns. */
#define COST_MAX 8192U
#define BYTES_A_COST 16U
/* Shorter names are the beginning of too many others. */
#define BEGINNING_MIN_BYTES 3U
#define RANK_BEGINNING 3U
#define RANK_FAR 4U

static void
budget_grow(struct epb_near_budget *budget, uint64_t now_mono_ms)
{
    uint64_t passed_ms = now_mono_ms - budget->at_mono_ms;

    if (budget->at_mono_ms == 0 || passed_ms > COST_MAX / budget->a_ms) {
        budget->left = COST_MAX;
    } else {
        budget->left += passed_ms * budget->a_ms;
        budget->left = budget->left > COST_MAX ? COST_MAX : budget->left;
    }
    /* The clock may begin at 0, which means "no search yet" here. */
    budget->at_mono_ms = now_mono_ms == 0 ? 1 : now_mono_ms;
}

bool
epb_near_begin(struct epb_near *near, struct epb_near_budget *budget,
               struct epb_bytes wanted, uint64_t names, uint64_t now_mono_ms)
{
    budget_grow(budget, now_mono_ms);
    *near = (struct epb_near){.budget = budget, .wanted = wanted};
    return budget->left >= (names < COST_MAX ? names : COST_MAX);
}

static uint8_t
folded(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte - 'A' + 'a') : byte;
}

static size_t
common_bytes(struct epb_bytes left, struct epb_bytes right)
{
    size_t least =
        left.size_bytes < right.size_bytes ? left.size_bytes : right.size_bytes;
    size_t at = 0;

    while (at < least && folded(left.data[at]) == folded(right.data[at])) {
        at++;
    }
    return at;
}

static bool
are_swapped(struct epb_bytes left, struct epb_bytes right)
{
    return left.size_bytes > 1 && right.size_bytes > 1 &&
           folded(left.data[0]) == folded(right.data[1]) &&
           folded(left.data[1]) == folded(right.data[0]);
}

/* Whether this many edits turn one into the other; at most 2, which bounds the
 * recursion. */
static bool
is_within(struct epb_bytes left, struct epb_bytes right, unsigned edits)
{
    size_t common = common_bytes(left, right);

    left = epb_bytes_after(left, common);
    right = epb_bytes_after(right, common);
    if (left.size_bytes == 0 || right.size_bytes == 0) {
        return left.size_bytes + right.size_bytes <= edits;
    }
    if (edits == 0) {
        return false;
    }
    return is_within(epb_bytes_after(left, 1), epb_bytes_after(right, 1), edits - 1) ||
           is_within(epb_bytes_after(left, 1), right, edits - 1) ||
           is_within(left, epb_bytes_after(right, 1), edits - 1) ||
           (are_swapped(left, right) &&
            is_within(epb_bytes_after(left, 2), epb_bytes_after(right, 2), edits - 1));
}

/* The most edits for a name of this length: all short names are close to each other. */
static unsigned
edits_for(size_t size_bytes)
{
    return size_bytes < 3 ? 0 : size_bytes < 6 ? 1 : 2;
}

static unsigned
rank_of(struct epb_bytes wanted, struct epb_bytes name)
{
    bool is_shorter = wanted.size_bytes < name.size_bytes;
    size_t least = is_shorter ? wanted.size_bytes : name.size_bytes;
    size_t most = is_shorter ? name.size_bytes : wanted.size_bytes;
    unsigned edits = edits_for(most);

    for (unsigned rank = 0; rank <= edits && most - least <= edits; rank++) {
        if (is_within(wanted, name, rank)) {
            return rank;
        }
    }
    return least >= BEGINNING_MIN_BYTES && common_bytes(wanted, name) == least
               ? RANK_BEGINNING
               : RANK_FAR;
}

static bool
is_before(const struct epb_near_name *left, const struct epb_near_name *right)
{
    return left->rank != right->rank ? left->rank < right->rank
                                     : epb_bytes_compare(left->name, right->name) < 0;
}

static void
keep(struct epb_near *near, struct epb_near_name found)
{
    unsigned at = near->count;

    if (at < EPB_NEAR_MAX) {
        near->count++;
    } else if (is_before(&found, &near->names[EPB_NEAR_MAX - 1])) {
        at = EPB_NEAR_MAX - 1;
    } else {
        return;
    }
    for (; at > 0 && is_before(&found, &near->names[at - 1]); at--) {
        near->names[at] = near->names[at - 1];
    }
    near->names[at] = found;
}

bool
epb_near_compare(struct epb_near *near, struct epb_bytes name, uint8_t kind)
{
    struct epb_near_name found = {name, kind, RANK_FAR};

    uint64_t cost = 1 + name.size_bytes / BYTES_A_COST;

    if (near->budget->left < cost) {
        return false;
    }
    near->budget->left -= cost;
    found.rank = rank_of(near->wanted, name);
    if (found.rank < RANK_FAR) {
        keep(near, found);
    }
    return true;
}
