/*
 * The typed request and reply. The wire decodes frames and lines into requests, and
 * encodes replies. The core knows nothing else about a client's request. The bit numbers
 * of the flags are those of the frame encoding.
 */
#ifndef EPB_CORE_MSG_H
#define EPB_CORE_MSG_H

#include <stdbool.h>
#include <string.h>

#include "../base/bytes.h"
#include "../base/status.h"

/* The action numbers, EPB_ACTION_GET etc., from commands.def. */
enum epb_action {
#define EPB_COMMAND(number, NAME, ...) EPB_ACTION_##NAME = (number),
#include "commands.def"
#undef EPB_COMMAND
};

/* The value of `join`: a session's key. Every peer that presents it belongs to the
 * session, so it is drawn at random and kept secret. */
#define EPB_SESSION_KEY_BYTES 16U

/* Bits 0 to 7: the message contains the 8-byte number. The numbers come in this order. */
#define EPB_NUMBER_COUNT 8U
#define EPB_NUMBER_FLAGS 0x00FFU
#define EPB_F_TTL 0x0001U     /* u64 ms */
#define EPB_F_VERSION 0x0002U /* u64: the version a write expects, or a reply reports */
#define EPB_F_FENCE 0x0004U   /* u64: fencing token */
#define EPB_F_COUNT 0x0008U   /* i64: amount, permits, parties; the number in a reply */
#define EPB_F_WAIT 0x0010U    /* u64 ms */
#define EPB_F_PERIOD 0x0020U  /* u64 ms */
#define EPB_F_BURST 0x0040U   /* u64 */
#define EPB_F_COST 0x0080U    /* u64 */
/* Bits 8 and up: yes or no. */
#define EPB_F_IF_ABSENT 0x0100U
#define EPB_F_FORCE 0x0200U
#define EPB_F_BINARY 0x0400U /* the value is bytes, not JSON text */
#define EPB_F_GZIP 0x0800U   /* the value is compressed (RFC 1952) */
#define EPB_VALUE_FLAGS (EPB_F_BINARY | EPB_F_GZIP)
#define EPB_F_FRESH 0x1000U  /* a new grant, even if the holder has one already */
#define EPB_F_SHARED 0x2000U /* a lock that other holders may share */
#define EPB_F_DETACHED \
    0x4000U                   /* the holder is the worker id alone, without its session */
#define EPB_F_DISCARD 0x8000U /* released elements leave their pool */
#define EPB_KNOWN_FLAGS 0xFFFFU

/* Fields without a flag bit, for the columns of the command table. */
#define EPB_HAS_KEY 0x10000U
#define EPB_HAS_WORKER 0x20000U
#define EPB_HAS_VALUE 0x40000U

#define EPB_KEY_MAX_BYTES 512U
#define EPB_WORKER_MAX_BYTES 256U
/* The largest TTL in ms, version or counter: 2^53 - 1, exact in JavaScript. */
#define EPB_NUMBER_MAX 9007199254740991
/* A TTL of this many ms (139 years) or more lasts as long as the broker; replies show it
 * as EPB_NUMBER_MAX. */
#define EPB_TTL_FOREVER_MS (UINT64_C(1) << 42)

struct epb_request {
    uint8_t action; /* as received; may be unknown */
    uint32_t flags;
    uint32_t id; /* chosen by the client, returned in the reply; 0: no reply */
    struct epb_bytes key;
    struct epb_bytes worker;
    struct epb_bytes value;
    uint64_t ttl_ms;
    uint64_t version;
    uint64_t fence;
    int64_t count;
    uint64_t wait_ms;
    uint64_t period_ms;
    uint64_t burst;
    uint64_t cost;
};

struct epb_stats;

/* Memory that `body` borrows stays valid until the next call on the engine. */
struct epb_reply {
    enum epb_status status;
    uint32_t flags; /* which numbers below are set; EPB_VALUE_FLAGS of the body */
    uint32_t id;
    uint64_t ttl_ms;
    uint64_t version;
    uint64_t fence;
    int64_t count;
    uint64_t wait_ms;
    uint64_t period_ms;
    uint64_t burst;
    struct epb_bytes body;         /* the value, or packed entries, see below */
    const struct epb_stats *stats; /* for stats, health and metrics; otherwise NULL */
    size_t rest_bytes; /* of the body, to be fetched with epb_engine_piece; otherwise 0 */
    uint64_t as_of_wall_ms; /* list: when it began; refusal: when it was made */
    bool deferred;          /* no reply yet: epb_engine_next will return it */
};

/* Makes the reply EPB_TOO_LARGE: COUNT is the size, BURST the limit, and the body the
 * name of the option that sets the limit. `option` is a literal. */
static inline void
epb_reply_too_large(struct epb_reply *reply, uint64_t size_bytes, uint64_t limit_bytes,
                    const char *option)
{
    reply->status = EPB_TOO_LARGE;
    reply->flags = EPB_F_COUNT | EPB_F_BURST;
    reply->count = (int64_t)size_bytes;
    reply->burst = limit_bytes;
    reply->body = (struct epb_bytes){(const uint8_t *)option, strlen(option)};
}

/* The form of a reply in JSON and in the client. */
enum epb_shape {
    EPB_SHAPE_NOTHING, /* success only */
    EPB_SHAPE_VALUE,   /* the body is the value */
    EPB_SHAPE_ENTRY,   /* value, version and remaining TTL */
    EPB_SHAPE_NUMBER,  /* count */
    EPB_SHAPE_BOOLEAN, /* count is 0 or 1 */
    EPB_SHAPE_TTL,     /* remaining TTL */
    EPB_SHAPE_PONG,    /* count is the broker's wall clock in ms */
    EPB_SHAPE_LIST,    /* packed entries */
    EPB_SHAPE_STATS,
    EPB_SHAPE_HEALTH,
    EPB_SHAPE_METRICS,
    EPB_SHAPE_LEASE,       /* fence, ttl; a count or a body if the lease has a value */
    EPB_SHAPE_LOCK,        /* fence, ttl */
    EPB_SHAPE_RENEWAL,     /* count: renewed grants; body: packed losses */
    EPB_SHAPE_RELEASE,     /* count */
    EPB_SHAPE_LEASES,      /* packed grants and waiting requests */
    EPB_SHAPE_COMPUTE,     /* a value, a fence to compute it with, or both */
    EPB_SHAPE_THROTTLE,    /* count: allowed; burst: remaining; wait, period: ms */
    EPB_SHAPE_CLEARED,     /* count: cleared entries; burst: held entries, which stay */
    EPB_SHAPE_DESCRIPTION, /* packed */
    EPB_SHAPE_WATCH        /* success; events follow with id 0 */
};

/* A packed entry of a list reply: u64 remaining TTL in ms, u64 version, u32 bytes of the
 * stored value, u16 key bytes, key. Entries are sorted by key, bytewise. */
#define EPB_LIST_ENTRY_HEADER_BYTES 22U

/* The value of a pool request, packed: u32 element bytes, u8 (1: bytes, 0: JSON text),
 * element. */
#define EPB_ELEMENT_HEADER_BYTES 5U

/* A loss in a renewal's reply: u64 fencing token, u16 key bytes, key. */
#define EPB_LOSS_HEADER_BYTES 10U

/* A name similar to one that was not found, in the body of EPB_NOT_FOUND: u8 enum
 * epb_lease_kind, u16 key bytes, key. The nearest name comes first. */
#define EPB_NEAR_HEADER_BYTES 3U

/* An entry of a leases reply: u8 1 held, 2 waiting; u8 enum epb_lease_kind; u8 bits, 1:
 * shared, 2: several things; u64 session, 0: none; u64 fencing token, 0: waiting; u64 ms
 * until it expires, or until the wait ends; u64 ms since it was granted, or began to
 * wait; u32 process id of the session, 0: unknown; u16 key bytes; u16 worker bytes; key;
 * worker; if several: u32 number of things. Entries are sorted by key, then by kind.
 * Within a kind grants come first, by token, then the queue in its order. */
#define EPB_LEASES_ENTRY_HEADER_BYTES 43U
#define EPB_LEASES_SHARED 1U
#define EPB_LEASES_SEVERAL 2U

/* The body of a refusal with EPB_LEASE_HELD, EPB_WAIT_TIMEOUT or EPB_DEADLOCK, if it has
 * one: the obstacle. u32 place in the queue, from 1, 0: none, or above 100; u32 number of
 * waiting requests; u32 number of holders, counted up to 100; then up to 8 holders, as
 * entries of a leases reply.
 *
 * Of a deadlock, the entries are grants of the cycle: the flow of each waits for the next
 * grant, the flow of the last one for the first grant, which the refused flow holds.
 * Place and waiting are 0, and the third number is the number of grants in the cycle. */
#define EPB_OBSTACLE_HEADER_BYTES 12U

/* The body of a grant that was requested with a count. Numbers and permits: u64 each.
 * Elements: as in the value of a pool request, with these bits in the u8. */
#define EPB_ELEMENT_BYTES 1U
#define EPB_ELEMENT_GZIP 2U

/* The body of a description, empty if nothing has the name: u8 enum epb_lease_kind; u64
 * size, u64 free (2^64 - 1: unlimited), u64 waiting. */
#define EPB_DESCRIPTION_BYTES 25U

/* Events have id 0. Of a watch: status EPB_OK, count the id of the watch request, body
 * packed events: u8 kind, u64 version, u16 key bytes, key. Of a lease that its holder did
 * not end: status EPB_LEASE_LOST, fence its token, body its key. */
enum epb_event_kind {
    EPB_EVENT_SET = 1,
    EPB_EVENT_DEL = 2,
    EPB_EVENT_EXPIRE = 3,
    EPB_EVENT_EVICT = 4,
    EPB_EVENT_OVERFLOW = 5 /* events were dropped here; no key, version 0 */
};
#define EPB_EVENT_HEADER_BYTES 11U

/* The TTL of a lease without a TTL in its request. Its session renews it. */
#define EPB_LEASE_TTL_DEFAULT_MS 60000U
/* The same for a lease without a session, which is not renewed automatically. */
#define EPB_LEASE_TTL_DETACHED_MS 1800000U
/* The longest reason of a failed computation, for the requests that wait for it. */
#define EPB_REASON_MAX_BYTES 1024U

#endif
