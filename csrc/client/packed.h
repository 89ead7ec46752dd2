/*
 * Reads the packed bodies of replies (core/msg.h), as a client must: a body that is cut
 * short, or whose lengths contradict each other, is refused and never read beyond its
 * end.
 *
 * Each function takes one entry from the front of the body. False: the body is malformed,
 * and the broker speaks another version of the protocol. The results borrow from the
 * body.
 */
#ifndef EPB_CLIENT_PACKED_H
#define EPB_CLIENT_PACKED_H

#include <stdbool.h>

#include "../base/bytes.h"
#include "../core/msg.h"

struct epb_packed_item {
    struct epb_bytes key;
    uint64_t ttl_ms;
    uint64_t version;
    uint32_t value_bytes;
};

struct epb_packed_lease {
    struct epb_bytes key;
    struct epb_bytes worker;
    bool is_held; /* else it waits */
    uint8_t kind; /* enum epb_lease_kind */
    bool is_shared;
    uint32_t count;
    uint64_t session; /* 0: none */
    uint64_t token;   /* 0: it waits */
    uint64_t left_ms; /* until it expires, or until the wait ends */
    uint64_t age_ms;
    uint32_t pid; /* 0: unknown */
};

struct epb_packed_name {
    struct epb_bytes key;
    uint8_t kind; /* enum epb_lease_kind */
};

struct epb_packed_loss {
    struct epb_bytes key;
    uint64_t token;
};

struct epb_packed_obstacle {
    uint32_t place;           /* in the queue, from 1; 0: unknown */
    uint32_t waiting;         /* requests in the queue */
    uint32_t holding;         /* holders, counted up to EPB_PACKED_COUNTED_MAX */
    struct epb_bytes holders; /* leases, the first of them */
};

#define EPB_PACKED_COUNTED_MAX 100U

struct epb_packed_description {
    uint8_t kind; /* enum epb_lease_kind */
    uint64_t size;
    uint64_t free; /* UINT64_MAX: unlimited */
    uint64_t waiting;
};

bool
epb_packed_item(struct epb_bytes *rest, struct epb_packed_item *item);
bool
epb_packed_lease(struct epb_bytes *rest, struct epb_packed_lease *lease);
bool
epb_packed_name(struct epb_bytes *rest, struct epb_packed_name *name);
bool
epb_packed_loss(struct epb_bytes *rest, struct epb_packed_loss *loss);
bool
epb_packed_obstacle(struct epb_bytes body, struct epb_packed_obstacle *obstacle);
bool
epb_packed_description(struct epb_bytes body, struct epb_packed_description *description);

/* Whether the whole body of a reply to this command is well formed, so that
 * epb_jsonl_encode can write it. */
bool
epb_packed_fits(uint8_t action, const struct epb_reply *reply);
/* Whether the body is events of a watch. */
bool
epb_packed_are_events(struct epb_bytes body);

#endif
